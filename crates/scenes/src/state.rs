//! The state of the node that a scene plays on, a line for each thing.
//!
//! ```text
//! node [masquerade 40000-40099] [no-v4] [no-v6] [prober ADDRESS]
//! vrf 1 [label 101] [vni 5001 | no-vni]
//! port a 1 10.0.1.2[/24] [2001:db8:1::2[/64]] [mac MAC] [mtu 1450] [label 77] [filter f] [rate N]
//!      [host] [allow NET [mac MAC]].. [identity N].. [hidden]
//! route 1 10.0.2.0/24 HOP [weight 3], HOP .. [spread source] [identity N]..
//!       HOP: gre|udp REMOTE LABEL, vxlan REMOTE VNI [MAC], port NAME, translate VRF ADDRESS,
//!            discard, masquerade
//! floating 9 198.51.100.7 a,b [exclusive]
//! service 1 10.96.0.1 [affinity 60] tcp 80 a:8080 b:8080 udp 53 a:5353
//! filter f [in deny] [out deny]
//! rule f NAME in|out allow|deny [PROTOCOL [PORTS]] [with NET | identity N] [log]
//! ```
//!
//! A VRF that is named is there: with label 100 and VNI 5000 more than its number. A port brings the
//! routes to its addresses, unless it is `hidden`; so does a translation. Gateways are the first
//! addresses of the prefixes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::{
    AllowedSource, Attachment, Backend, Desired, Direction, Encapsulation, Filter, Identities,
    Identity, Link, Mac, MplsLabel, NextHop, NextHopGroup, NodeConfig, Peer, Port, PortId,
    PortRange, Protocol, Route, Rule, Spread, Translation, TranslationKind, Tunnel, TunnelHeader,
    Verdict, Vni, Vrf, VrfId,
};
use ipnet::IpNet;

use crate::words::{Read, Words, parsed};

/// The router's MAC address of the node on the stage.
pub const ROUTER_MAC: Mac = Mac([0x02, 0, 0x5e, 0, 0, 1]);
/// The router's MAC address of all other nodes, unless a scene says another.
pub const FAR_ROUTER_MAC: Mac = Mac([0x02, 0, 0x5e, 0, 0, 2]);
/// The only interface of the node to the underlay.
pub const UPLINK: &str = "uplink";

/// A node without workloads: tunnels end at `192.0.2.1` and `2001:db8:ffff::1`.
pub fn empty() -> Desired {
    let v6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
    let node = NodeConfig {
        tunnel_v4: Some(Ipv4Addr::new(192, 0, 2, 1)),
        tunnel_v6: Some(v6),
        router_mac: ROUTER_MAC,
        uplinks: vec![UPLINK.to_owned()],
        masquerade_ports: PortRange::new(40_000, 40_099),
        probers: BTreeSet::new(),
        sample_one_in: 0,
    };
    Desired { node, ..Desired::default() }
}

/// Adds what a line says, or puts it in the place of what was there.
pub(crate) fn put(state: &mut Desired, line: &str) -> Read<()> {
    let spaced = line.replace(',', " , ");
    Words::whole(&spaced, |words| match words.next()? {
        "node" => node(state, words),
        "vrf" => vrf(state, words),
        "port" => port(state, words),
        "route" => route(state, words),
        "floating" => floating(state, words),
        "service" => service(state, words),
        "filter" => filter(state, words),
        "rule" => rule(state, words),
        other => Err(format!("`{other}` is no part of a node")),
    })
    .map_err(|why| format!("`{line}`: {why}"))
}

/// Takes away what a line names by the words it is put with.
pub(crate) fn remove(state: &mut Desired, line: &str) -> Read<()> {
    Words::whole(line, |words| {
        match words.next()? {
            "port" => {
                let id = PortId(words.value()?);
                for table in state.fib.values_mut() {
                    table.retain(|_, route| !route.to.has(&NextHop::Port(id.clone())));
                }
                state.ports.remove(&id);
            }
            "route" => {
                let (vrf, net): (_, IpNet) = (VrfId(words.value()?), words.value()?);
                state.fib.entry(vrf).or_default().remove(&net);
            }
            "floating" | "service" => {
                let (vrf, address): (_, IpAddr) = (VrfId(words.value()?), words.value()?);
                let hop = NextHop::Translate { vrf, address };
                for table in state.fib.values_mut() {
                    table.retain(|_, route| !route.to.has(&hop));
                }
                state.translations.remove(&(vrf, address));
            }
            "vrf" => {
                let vrf = VrfId(words.value()?);
                state.vrfs.remove(&vrf);
                state.fib.remove(&vrf);
            }
            other => return Err(format!("`{other}` cannot be removed")),
        }
        state.fib.retain(|_, table| !table.is_empty());
        Ok(())
    })
    .map_err(|why| format!("`remove {line}`: {why}"))
}

/// The address of the interface of a port that does not say another.
pub(crate) fn usual_mac(name: &str) -> Mac {
    let mut octets = [2, 0, 0, 0, 0, 0];
    for (at, octet) in name.bytes().enumerate() {
        octets[5 - at % 4] ^= octet;
    }
    Mac(octets)
}

/// With `@gateway`, `@router`, `@far` and `@NAME` of a port replaced by what they stand for.
pub(crate) fn name_macs(text: &str, state: &Desired) -> String {
    let word = |word: &str| {
        let Some(name) = word.strip_prefix('@') else { return word.to_owned() };
        let of_port = || state.ports.get(&PortId::from(name)).map(|port| port.mac);
        match name {
            "gateway" => dataplane::memory::GATEWAY_MAC,
            "router" => ROUTER_MAC,
            "far" => FAR_ROUTER_MAC,
            name => of_port().unwrap_or_else(|| usual_mac(name)),
        }
        .to_string()
    };
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

fn node(state: &mut Desired, words: &mut Words<'_>) -> Read<()> {
    while !words.is_empty() {
        match words.next()? {
            "masquerade" => state.node.masquerade_ports = Some(ports(words.next()?)?),
            "no-masquerade" => state.node.masquerade_ports = None,
            "no-v4" => state.node.tunnel_v4 = None,
            "no-v6" => state.node.tunnel_v6 = None,
            "prober" => drop(state.node.probers.insert(words.value()?)),
            other => return Err(format!("a node has no `{other}`")),
        }
    }
    Ok(())
}

fn vrf(state: &mut Desired, words: &mut Words<'_>) -> Read<()> {
    let id = named_vrf(state, words)?;
    let mut vrf = usual_vrf(id)?;
    while !words.is_empty() {
        match words.next()? {
            "label" => vrf.label = label(words.number()?)?,
            "vni" => vrf.vni = Some(vni(words.number()?)?),
            "no-vni" => vrf.vni = None,
            other => return Err(format!("a VRF has no `{other}`")),
        }
    }
    state.vrfs.insert(id, vrf);
    Ok(())
}

fn named_vrf(state: &mut Desired, words: &mut Words<'_>) -> Read<VrfId> {
    let id = VrfId(words.number()?);
    if let std::collections::btree_map::Entry::Vacant(vacant) = state.vrfs.entry(id) {
        vacant.insert(usual_vrf(id)?);
    }
    Ok(id)
}

fn usual_vrf(id: VrfId) -> Read<Vrf> {
    let name = format!("vrf-{id}");
    Ok(Vrf { name, label: label(100 + id.0)?, vni: Some(vni(5000 + id.0)?) })
}

fn label(value: u32) -> Read<MplsLabel> {
    MplsLabel::try_from(value).map_err(|error| error.to_string())
}

fn vni(value: u32) -> Read<Vni> {
    Vni::try_from(value).map_err(|error| error.to_string())
}

fn ports(word: &str) -> Read<PortRange> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    PortRange::new(parsed(first)?, parsed(last)?).ok_or_else(|| format!("`{word}` is empty"))
}

/// An address with the length of its link's prefix.
fn on_link(word: &str) -> Option<IpNet> {
    word.parse().ok().or_else(|| {
        let address: IpAddr = word.parse().ok()?;
        IpNet::new(address, if address.is_ipv4() { 24 } else { 64 }).ok()
    })
}

fn port(state: &mut Desired, words: &mut Words<'_>) -> Read<()> {
    let name = words.next()?;
    let id = PortId::from(name);
    let mut port = Port {
        vrf: named_vrf(state, words)?,
        v4: None,
        v6: None,
        mac: usual_mac(name),
        mtu: 1450,
        allowed: BTreeSet::new(),
        label: None,
        filter: None,
        bandwidth: None,
        host_access: false,
        attachment: Attachment::Netns {
            path: format!("/run/netns/{name}").into(),
            interface: "eth0".to_owned(),
        },
    };
    let (mut identities, mut is_hidden) = (Vec::new(), false);
    while !words.is_empty() {
        let word = words.next()?;
        match (word, on_link(word)) {
            (_, Some(IpNet::V4(net))) => {
                let gateway = Ipv4Addr::from(u32::from(net.network()) + 1);
                let (address, prefix_len) = (net.addr(), net.prefix_len());
                port.v4 = Some(Link { address, prefix_len, gateway });
            }
            (_, Some(IpNet::V6(net))) => {
                let gateway = Ipv6Addr::from(u128::from(net.network()) + 1);
                let (address, prefix_len) = (net.addr(), net.prefix_len());
                port.v6 = Some(Link { address, prefix_len, gateway });
            }
            ("mac", _) => port.mac = words.value()?,
            ("mtu", _) => port.mtu = words.number()?,
            ("label", _) => port.label = Some(label(words.number()?)?),
            ("filter", _) => port.filter = Some(words.next()?.into()),
            ("rate", _) => port.bandwidth = Some(words.value()?),
            ("host", _) => port.host_access = true,
            ("hidden", _) => is_hidden = true,
            ("identity", _) => identities.push(Identity(words.number()?)),
            ("allow", _) => {
                let net = words.value()?;
                let mac = if words.has("mac") { Some(words.value()?) } else { None };
                port.allowed.insert(AllowedSource { net, mac });
            }
            (other, _) => return Err(format!("a port has no `{other}`")),
        }
    }
    let table = state.fib.entry(port.vrf).or_default();
    for address in port.addresses().filter(|_| !is_hidden) {
        let to = NextHop::Port(id.clone()).into();
        let identities = Identities::new(identities.iter().copied());
        table.insert(address.into(), Route { to, identities });
    }
    state.fib.retain(|_, table| !table.is_empty());
    state.ports.insert(id, port);
    Ok(())
}

fn route(state: &mut Desired, words: &mut Words<'_>) -> Read<()> {
    let vrf = named_vrf(state, words)?;
    let net: IpNet = words.value()?;
    let (mut hops, mut spread, mut identities) = (Vec::new(), Spread::Flow, Vec::new());
    loop {
        let hop = hop(words)?;
        let weight = if words.has("weight") { words.value()? } else { 1 };
        hops.push((hop, weight));
        if !words.has(",") {
            break;
        }
    }
    while !words.is_empty() {
        match words.next()? {
            "spread" => {
                words.expect("source")?;
                spread = Spread::Source;
            }
            "identity" => identities.push(Identity(words.number()?)),
            other => return Err(format!("a route has no `{other}`")),
        }
    }
    let to = NextHopGroup::weighted(hops, spread).ok_or("a route leads somewhere")?;
    let route = Route { to, identities: Identities::new(identities) };
    state.fib.entry(vrf).or_default().insert(net, route);
    Ok(())
}

fn hop(words: &mut Words<'_>) -> Read<NextHop> {
    let kind = words.next()?;
    Ok(match kind {
        "discard" => NextHop::Discard,
        "masquerade" => NextHop::Masquerade,
        "port" => NextHop::Port(words.next()?.into()),
        "translate" => NextHop::Translate { vrf: VrfId(words.number()?), address: words.value()? },
        "vxlan" => {
            let (remote, vni) = (words.value()?, vni(words.number()?)?);
            let router_mac = words.maybe().unwrap_or(FAR_ROUTER_MAC);
            NextHop::Tunnel(Tunnel { remote, header: TunnelHeader::Vxlan { vni, router_mac } })
        }
        "gre" | "udp" => {
            let encapsulation =
                if kind == "gre" { Encapsulation::MplsOverGre } else { Encapsulation::MplsOverUdp };
            let (remote, label) = (words.value()?, label(words.number()?)?);
            let tunnel = Tunnel::mpls(remote, encapsulation, label).ok_or("it has no label")?;
            NextHop::Tunnel(tunnel)
        }
        other => return Err(format!("`{other}` is no next hop")),
    })
}

fn floating(state: &mut Desired, words: &mut Words<'_>) -> Read<()> {
    let (vrf, address) = (named_vrf(state, words)?, words.value()?);
    let (mut holders, mut exclusive) = (Vec::new(), false);
    while !words.is_empty() {
        match words.next()? {
            "," => {}
            "exclusive" => exclusive = true,
            holder => holders.push(holder.into()),
        }
    }
    let kind = TranslationKind::Floating { ports: holders, exclusive };
    translation(state, vrf, address, kind);
    Ok(())
}

fn service(state: &mut Desired, words: &mut Words<'_>) -> Read<()> {
    let (vrf, address) = (named_vrf(state, words)?, words.value()?);
    let affinity = if words.has("affinity") { Some(words.number()?) } else { None };
    let mut ports: BTreeMap<(Protocol, u16), Vec<Backend>> = BTreeMap::new();
    let mut of = None;
    while !words.is_empty() {
        let word = words.next()?;
        let protocol = match word {
            "tcp" => Some(Protocol::Tcp),
            "udp" => Some(Protocol::Udp),
            _ => None,
        };
        if let Some(protocol) = protocol {
            let key = (protocol, words.number()?);
            ports.entry(key).or_default();
            of = Some(key);
            continue;
        }
        let (port, target) = word.split_once(':').ok_or(format!("`{word}` is no backend"))?;
        let backend = Backend { port: port.into(), target_port: parsed(target)? };
        let key = of.ok_or("a backend is one of a port")?;
        ports.entry(key).or_default().push(backend);
    }
    translation(state, vrf, address, TranslationKind::Service { ports, affinity });
    Ok(())
}

fn translation(state: &mut Desired, vrf: VrfId, address: IpAddr, kind: TranslationKind) {
    state.translations.insert((vrf, address), Translation { kind });
    let to = NextHop::Translate { vrf, address };
    state.fib.entry(vrf).or_default().insert(address.into(), to.into());
}

fn filter(state: &mut Desired, words: &mut Words<'_>) -> Read<()> {
    let id = words.next()?.into();
    let mut filter =
        Filter { rules: Vec::new(), default_in: Verdict::Allow, default_out: Verdict::Allow };
    while !words.is_empty() {
        match words.next()? {
            "in" => filter.default_in = verdict(words)?,
            "out" => filter.default_out = verdict(words)?,
            other => return Err(format!("a filter has no `{other}`")),
        }
    }
    state.filters.insert(id, filter);
    Ok(())
}

fn verdict(words: &mut Words<'_>) -> Read<Verdict> {
    match words.next()? {
        "allow" => Ok(Verdict::Allow),
        "deny" => Ok(Verdict::Deny),
        other => Err(format!("`{other}` is no verdict")),
    }
}

fn rule(state: &mut Desired, words: &mut Words<'_>) -> Read<()> {
    let filter = words.next()?;
    let name = words.next()?.to_owned();
    let direction = match words.next()? {
        "in" => Direction::In,
        "out" => Direction::Out,
        other => return Err(format!("`{other}` is no direction")),
    };
    let verdict = verdict(words)?;
    let mut rule =
        Rule { name, direction, verdict, peer: Peer::Any, protocol: None, ports: None, log: false };
    while !words.is_empty() {
        let word = words.next()?;
        let protocol = match word {
            "tcp" => Some(6),
            "udp" => Some(17),
            "icmp" => Some(1),
            "icmp6" => Some(58),
            word => word.parse().ok().filter(|_| rule.protocol.is_none()),
        };
        match word {
            "log" => rule.log = true,
            "with" => rule.peer = Peer::Net(words.value()?),
            "identity" => rule.peer = Peer::Identity(Identity(words.number()?)),
            _ if protocol.is_some() => rule.protocol = protocol,
            word => rule.ports = Some(ports(word)?),
        }
    }
    let filter = state.filters.get_mut(&filter.into()).ok_or("its filter comes first")?;
    filter.rules.push(rule);
    Ok(())
}
