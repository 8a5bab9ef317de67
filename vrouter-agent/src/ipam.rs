//! Which addresses a port may have: what is asked, held against the topology and the other ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use arcus_api::v1::{PortId, PortRequest};
use arcus_config::{Network, Topology};
use ipnet::{IpNet, Ipv4Net};

use crate::port::{AddressUse, Floating, PortSpec, Service, default_mac};

/// The default gateway where the subnet has no other address: link-local, so that it can never be
/// somebody's.
const GATEWAY_OF_ONE: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Why a port cannot be as it is asked for, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// The link of a port: what its workload takes for directly reachable, and its default gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub prefix_len: u8,
    pub gateway: Ipv4Addr,
}

/// Reads a request: the parts that can be judged without topology and other ports.
pub fn read_request(request: &PortRequest) -> Result<PortSpec, Refused> {
    let address = ipv4(request.ip)?;
    let mac = match &request.mac {
        Some(text) => text.parse().map_err(|e| Refused(format!("{e}")))?,
        None => default_mac(address),
    };
    if mac.0[0] & 1 == 1 {
        return Err(Refused(format!("{mac} is a group address; a port needs one of its own")));
    }
    interface_name(&request.interface)?;
    if !request.netns.is_absolute() {
        let netns = request.netns.display();
        return Err(Refused(format!("`{netns}` is no absolute path; write /run/netns/NAME")));
    }
    let floating = request.floating.iter().map(|floating| {
        Ok(Floating { network: floating.network.clone(), address: ipv4(floating.address)? })
    });
    let services = request.services.iter().map(|service| {
        if service.port == 0 || service.target_port == 0 {
            return Err(Refused("a service has ports from 1 to 65535".to_owned()));
        }
        Ok(Service {
            network: service.network.clone(),
            address: ipv4(service.address)?,
            protocol: match service.protocol {
                arcus_api::v1::Protocol::Tcp => dataplane::Protocol::Tcp,
                arcus_api::v1::Protocol::Udp => dataplane::Protocol::Udp,
            },
            port: service.port,
            target_port: service.target_port,
        })
    });
    Ok(PortSpec {
        network: request.network.clone(),
        netns: request.netns.clone(),
        interface: request.interface.clone(),
        address,
        mac,
        floating: floating.collect::<Result<_, _>>()?,
        services: services.collect::<Result<_, _>>()?,
        ready: request.ready,
    })
}

/// Whether the topology has a place for the port in this cloud.
pub fn check_topology(spec: &PortSpec, topology: &Topology, cloud: &str) -> Result<(), Refused> {
    let network = network(topology, cloud, &spec.network)?;
    let link = link(network, spec.address)?;
    if link.gateway == spec.address {
        return Err(Refused(format!(
            "{} is the gateway of network `{}`; choose another address",
            spec.address, network.name
        )));
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
    let mut uses: BTreeMap<(&str, Ipv4Addr), AddressUse> = BTreeMap::new();
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

/// The link of an address in a network.
///
/// # Errors
/// It is in none of the network's subnets, or is not an address of a host.
pub fn link(network: &Network, address: Ipv4Addr) -> Result<Link, Refused> {
    let subnet = network
        .subnets
        .iter()
        .filter_map(|subnet| if let IpNet::V4(v4) = subnet { Some(*v4) } else { None })
        .filter(|subnet| subnet.contains(&address))
        .max_by_key(Ipv4Net::prefix_len);
    let Some(subnet) = subnet else {
        inside("address", address, "subnets", &network.subnets, network)?;
        return Err(Refused(format!("{address} is in no IPv4 subnet of `{}`", network.name)));
    };
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
    Ok(Link { prefix_len: subnet.prefix_len(), gateway })
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
    address: Ipv4Addr,
    key: &str,
    subnets: &[IpNet],
    network: &Network,
) -> Result<(), Refused> {
    if subnets.iter().any(|subnet| subnet.contains(&IpAddr::V4(address))) {
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

fn ipv4(address: IpAddr) -> Result<Ipv4Addr, Refused> {
    match address {
        IpAddr::V4(v4) => Ok(v4),
        IpAddr::V6(v6) => {
            Err(Refused(format!("{v6}: ports have IPv4 addresses; IPv6 is not forwarded yet")))
        }
    }
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
