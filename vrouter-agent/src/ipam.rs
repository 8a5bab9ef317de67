//! Which addresses a port may have: what is asked, held against the topology and the other ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arcus_api::v1::{PortId, PortRequest};
use arcus_config::{Network, Topology};
use dataplane::{AllowedSource, Link, Mac};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::port::{AddressUse, Floating, PortSpec, Service, default_mac};

/// The default gateway where the subnet has no other address: link-local, so that it can never be
/// somebody's.
const GATEWAY_OF_ONE: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const GATEWAY_OF_ONE_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Why a port cannot be as it is asked for, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Reads a request: the parts that can be judged without topology and other ports.
pub fn read_request(request: &PortRequest) -> Result<PortSpec, Refused> {
    let (v4, v6) = match (request.ip, request.ip6) {
        (IpAddr::V4(v4), v6) => (Some(v4), v6),
        (IpAddr::V6(v6), None) => (None, Some(v6)),
        (IpAddr::V6(v6), Some(_)) => {
            return Err(Refused(format!(
                "`ip6` is the second address of a port whose `ip` is IPv4, and {v6} is not"
            )));
        }
    };
    let mac = match &request.mac {
        Some(text) => read_mac(text)?,
        None => default_mac(request.ip),
    };
    interface_name(&request.interface)?;
    if !request.netns.is_absolute() {
        let netns = request.netns.display();
        return Err(Refused(format!("`{netns}` is no absolute path; write /run/netns/NAME")));
    }
    let weight = |weight: Option<u32>| match weight {
        Some(0) => Err(Refused("a weight is 1 or more".to_owned())),
        weight => Ok(weight),
    };
    let floating = request.floating.iter().map(|floating| {
        Ok(Floating {
            network: floating.network.clone(),
            address: floating.address,
            weight: weight(floating.weight)?,
        })
    });
    let services = request.services.iter().map(|service| {
        if service.port == 0 || service.target_port == 0 {
            return Err(Refused("a service has ports from 1 to 65535".to_owned()));
        }
        if service.affinity_seconds == Some(0) {
            return Err(Refused("an affinity lasts for 1 second or more".to_owned()));
        }
        Ok(Service {
            network: service.network.clone(),
            address: service.address,
            protocol: match service.protocol {
                arcus_api::v1::Protocol::Tcp => dataplane::Protocol::Tcp,
                arcus_api::v1::Protocol::Udp => dataplane::Protocol::Udp,
            },
            port: service.port,
            target_port: service.target_port,
            affinity: service.affinity_seconds,
            weight: weight(service.weight)?,
        })
    });
    let allowed = request.allowed.iter().map(|allowed| {
        let mac = allowed.mac.as_deref().map(read_mac).transpose()?;
        Ok(AllowedSource { net: allowed.prefix.trunc(), mac })
    });
    if request.bandwidth == Some(0) {
        return Err(Refused("a bandwidth is 1 bit a second or more".to_owned()));
    }
    Ok(PortSpec {
        network: request.network.clone(),
        netns: request.netns.clone(),
        interface: request.interface.clone(),
        v4,
        v6,
        mac,
        floating: floating.collect::<Result<_, _>>()?,
        services: services.collect::<Result<_, _>>()?,
        ready: request.ready,
        filter: request.filter.clone(),
        groups: request.groups.clone(),
        allowed: allowed.collect::<Result<_, _>>()?,
        bandwidth: request.bandwidth,
    })
}

fn read_mac(text: &str) -> Result<Mac, Refused> {
    let mac: Mac = text.parse().map_err(|e| Refused(format!("{e}")))?;
    if mac.0[0] & 1 == 1 {
        return Err(Refused(format!("{mac} is a group address; a port needs one of its own")));
    }
    Ok(mac)
}

/// Whether the topology has a place for the port in this cloud.
pub fn check_topology(spec: &PortSpec, topology: &Topology, cloud: &str) -> Result<(), Refused> {
    let network = network(topology, cloud, &spec.network)?;
    let is_gateway = |address: IpAddr| {
        Refused(format!(
            "{address} is the gateway of network `{}`; choose another address",
            network.name
        ))
    };
    if let Some(v4) = spec.v4
        && link_v4(network, v4)?.gateway == v4
    {
        return Err(is_gateway(v4.into()));
    }
    if let Some(v6) = spec.v6
        && link_v6(network, v6)?.gateway == v6
    {
        return Err(is_gateway(v6.into()));
    }
    if let Some(filter) = &spec.filter
        && !topology.filters.contains_key(filter)
    {
        return Err(Refused(format!("there is no filter `{filter}` in the topology")));
    }
    let unknown = spec.groups.iter().flatten().find(|name| !topology.groups.contains_key(*name));
    if let Some(group) = unknown {
        return Err(Refused(format!("there is no group `{group}` in the topology")));
    }
    for floating in &spec.floating {
        let network = self::network(topology, cloud, &floating.network)?;
        inside("floating address", floating.address, "subnets", &network.subnets, network)?;
    }
    for service in &spec.services {
        let network = self::network(topology, cloud, &service.network)?;
        let subnets = &network.service_subnets;
        inside("service address", service.address, "service-subnets", subnets, network)?;
    }
    Ok(())
}

/// Whether no other port of this node has one of its addresses for another use, its own address, or
/// its place in the same namespace.
pub fn check_others(
    id: &PortId,
    spec: &PortSpec,
    ports: &BTreeMap<PortId, PortSpec>,
) -> Result<(), Refused> {
    for (other_id, other) in ports.iter().filter(|(other, _)| *other != id) {
        for (network, address, used_for) in spec.addresses() {
            for (other_network, other_address, other_use) in other.addresses() {
                let shared = used_for == other_use && used_for != AddressUse::Port;
                if (network, address) == (other_network, other_address) && !shared {
                    let other_use = other_use.name();
                    return Err(Refused(format!(
                        "{address} of network `{network}` is the {other_use} of port `{other_id}`"
                    )));
                }
            }
        }
        if (&spec.netns, &spec.interface) == (&other.netns, &other.interface) {
            return Err(Refused(format!(
                "{} in {} is the interface of port `{other_id}`; name another one",
                spec.interface,
                spec.netns.display()
            )));
        }
    }
    check_itself(spec)
}

/// Two uses of one address within one port.
fn check_itself(spec: &PortSpec) -> Result<(), Refused> {
    let mut uses: BTreeMap<(&str, IpAddr), AddressUse> = BTreeMap::new();
    for (network, address, used_for) in spec.addresses() {
        let before = uses.insert((network, address), used_for);
        if before.is_some_and(|before| before != used_for) {
            return Err(Refused(format!(
                "{address} of network `{network}` is asked for twice with different uses"
            )));
        }
    }
    let mut endpoints = BTreeMap::new();
    for service in &spec.services {
        let key = (&service.network, service.address, service.protocol, service.port);
        if endpoints.insert(key, service.target_port).is_some() {
            return Err(Refused(format!(
                "{} port {} has two target ports; a connection can go to one",
                service.address, service.port
            )));
        }
    }
    Ok(())
}

/// The link of an IPv4 address in a network.
///
/// # Errors
/// It is in none of the network's subnets, or is not an address of a host.
pub fn link_v4(network: &Network, address: Ipv4Addr) -> Result<Link<Ipv4Addr>, Refused> {
    let subnet = network
        .subnets
        .iter()
        .filter_map(|subnet| if let IpNet::V4(v4) = subnet { Some(*v4) } else { None })
        .filter(|subnet| subnet.contains(&address))
        .max_by_key(Ipv4Net::prefix_len);
    let Some(subnet) = subnet else { return Err(outside(network, address.into())) };
    let reserved =
        subnet.prefix_len() < 31 && (address == subnet.network() || address == subnet.broadcast());
    if reserved {
        return Err(Refused(format!("{address} is not an address of a host in {subnet}")));
    }
    let gateway = match subnet.prefix_len() {
        32 => GATEWAY_OF_ONE,
        31 => subnet.hosts().find(|host| *host != address).unwrap_or(GATEWAY_OF_ONE),
        _ => subnet.hosts().next().unwrap_or(GATEWAY_OF_ONE),
    };
    Ok(Link { address, prefix_len: subnet.prefix_len(), gateway })
}

/// The link of an IPv6 address in a network. The gateway is the first address behind that of all
/// routers of the subnet (RFC 4291 §2.6.1).
///
/// # Errors
/// As [`link_v4`].
pub fn link_v6(network: &Network, address: Ipv6Addr) -> Result<Link<Ipv6Addr>, Refused> {
    let subnet = network
        .subnets
        .iter()
        .filter_map(|subnet| if let IpNet::V6(v6) = subnet { Some(*v6) } else { None })
        .filter(|subnet| subnet.contains(&address))
        .max_by_key(Ipv6Net::prefix_len);
    let Some(subnet) = subnet else { return Err(outside(network, address.into())) };
    if subnet.prefix_len() < 127 && address == subnet.network() {
        return Err(Refused(format!("{address} is not an address of a host in {subnet}")));
    }
    let gateway = match subnet.prefix_len() {
        128 => GATEWAY_OF_ONE_V6,
        127 => Ipv6Addr::from(u128::from(address) ^ 1),
        _ => Ipv6Addr::from(u128::from(subnet.network()) | 1),
    };
    Ok(Link { address, prefix_len: subnet.prefix_len(), gateway })
}

fn outside(network: &Network, address: IpAddr) -> Refused {
    let subnets: Vec<String> = network.subnets.iter().map(ToString::to_string).collect();
    Refused(format!(
        "address {address} is outside of the subnets of network `{}`, which are {}",
        network.name,
        list(&subnets)
    ))
}

fn network<'a>(topology: &'a Topology, cloud: &str, name: &str) -> Result<&'a Network, Refused> {
    let Some(network) = topology.networks.get(name) else {
        let known: Vec<&str> = topology.networks_of(cloud).map(|n| n.name.as_str()).collect();
        return Err(Refused(format!(
            "there is no network `{name}`; cloud `{cloud}` has {}",
            list(&known)
        )));
    };
    if !network.is_in(cloud) {
        return Err(Refused(format!(
            "network `{name}` is in {}, not in cloud `{cloud}`; add it to `clouds` of the network",
            list(&network.clouds)
        )));
    }
    Ok(network)
}

fn inside(
    what: &str,
    address: IpAddr,
    key: &str,
    subnets: &[IpNet],
    network: &Network,
) -> Result<(), Refused> {
    if subnets.iter().any(|subnet| subnet.contains(&address)) {
        return Ok(());
    }
    let subnets: Vec<String> = subnets.iter().map(ToString::to_string).collect();
    Err(Refused(format!(
        "{what} {address} is outside of the {key} of network `{}`, which are {}",
        network.name,
        list(&subnets)
    )))
}

fn list<S: AsRef<str>>(items: &[S]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// What Linux takes as an interface name.
fn interface_name(name: &str) -> Result<(), Refused> {
    let fits = (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && name != "lo"
        && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
    if fits {
        return Ok(());
    }
    Err(Refused(format!(
        "`{name}` cannot be an interface; write up to 15 letters, digits, `-`, `_` or `.`"
    )))
}
