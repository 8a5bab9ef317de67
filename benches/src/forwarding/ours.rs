//! Our two nodes: what their planes are told for each way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use dataplane::{
    Attachment, Backend, Dataplane as _, Desired, Direction, Encapsulation, Filter, FilterId, Link,
    Mac, MplsLabel, NextHop, NextHopGroup, NodeConfig, Peer, Port, PortId, PortRange, Protocol,
    Rule, Scope, Translation, TranslationKind, Tunnel, TunnelHeader, Verdict, Vni, Vrf, VrfId,
    diff,
};
use dataplane_ebpf::{EbpfPlane, Options};
use testbed::{Namespace, UPLINK};

use super::traffic::PORT;
use super::way::{Treatment, Way};

/// A node with a plane.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) namespace: Namespace,
    pub(crate) address: Ipv4Addr,
    pub(crate) options: Options,
    pub(crate) wanted: Desired,
}

/// So many octets of IP a workload sends in one packet.
pub(crate) const MTU: u16 = 1450;

const FILTER: &str = "filter";

impl Node {
    pub(crate) fn new(namespace: Namespace, address: Ipv4Addr, options: Options) -> Self {
        let node = NodeConfig {
            tunnel_v4: Some(address),
            router_mac: router_mac(address),
            uplinks: vec![UPLINK.to_owned()],
            masquerade_ports: PortRange::new(40_000, 49_999),
            ..NodeConfig::default()
        };
        let filters = BTreeMap::from([(FilterId::from(FILTER), filter())]);
        let wanted = Desired { node, filters, ..Desired::default() };
        Self { namespace, address, options, wanted }
    }

    /// Makes the plane what is wanted. It goes on without us.
    pub(crate) fn apply(&self) -> Result<()> {
        self.namespace.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut plane = EbpfPlane::open(&self.options).await?;
                let found = plane.list().await?;
                let failures = plane.apply(&diff(&self.wanted, &found, Scope::Everything)).await;
                ensure!(failures.is_empty(), "the plane refuses: {failures:?}");
                Ok(())
            })
        })?
    }

    /// The caller's node of a way.
    pub(crate) fn put_caller(
        &mut self,
        way: Way,
        encapsulation: Encapsulation,
        there: &Self,
        at: &Namespace,
    ) {
        let vrf = self.vrf(way.number);
        self.port(vrf, way, way.caller(), at);
        let hop = match way.treatment() {
            Treatment::Masquerade => NextHop::Masquerade,
            _ => there.tunnel(encapsulation, way.number),
        };
        self.route(vrf, way.target(), hop);
    }

    /// The other's.
    pub(crate) fn put_called(
        &mut self,
        way: Way,
        encapsulation: Encapsulation,
        there: &Self,
        at: &Namespace,
    ) {
        let vrf = self.vrf(way.number);
        self.route(vrf, way.caller(), there.tunnel(encapsulation, way.number));
        // Answers of who has a floating address leave with it only where their VRF knows no other way.
        let home = match way.treatment() {
            Treatment::Floating => self.vrf(way.number + 100),
            _ => vrf,
        };
        let port = self.port(home, way, way.called(), at);
        let Some(kind) = translation(way.treatment(), port) else { return };
        let address = IpAddr::from(way.target());
        self.wanted.translations.insert((vrf, address), Translation { kind });
        self.route(vrf, way.target(), NextHop::Translate { vrf, address });
    }

    fn vrf(&mut self, number: u8) -> VrfId {
        let id = VrfId(number.into());
        let vrf =
            Vrf { name: format!("vrf-{number}"), label: label(number), vni: Some(vni(number)) };
        self.wanted.vrfs.insert(id, vrf);
        id
    }

    fn port(&mut self, vrf: VrfId, way: Way, address: Ipv4Addr, at: &Namespace) -> PortId {
        let id = PortId(format!("{}-{address}", way.name));
        let [a, b, c, d] = address.octets();
        let is_filtered = matches!(way.treatment(), Treatment::Filter | Treatment::FilteredService);
        let port = Port {
            vrf,
            v4: Some(Link { address, prefix_len: 24, gateway: Ipv4Addr::new(a, b, c, 1) }),
            v6: None,
            allowed: BTreeSet::new(),
            label: None,
            filter: is_filtered.then(|| FilterId::from(FILTER)),
            bandwidth: None,
            host_access: false,
            mac: Mac([2, 0, a, b, c, d]),
            mtu: MTU,
            attachment: Attachment::Netns { path: at.path(), interface: "eth0".to_owned() },
        };
        self.wanted.ports.insert(id.clone(), port);
        self.route(vrf, address, NextHop::Port(id.clone()));
        id
    }

    pub(crate) fn route(&mut self, vrf: VrfId, to: Ipv4Addr, hop: NextHop) {
        let net = IpAddr::from(to).into();
        self.wanted.fib.entry(vrf).or_default().insert(net, NextHopGroup::from(hop).into());
    }

    /// The way into a VRF of this node.
    fn tunnel(&self, encapsulation: Encapsulation, number: u8) -> NextHop {
        let header = match encapsulation {
            Encapsulation::MplsOverGre => TunnelHeader::MplsOverGre { label: label(number) },
            Encapsulation::MplsOverUdp => TunnelHeader::MplsOverUdp { label: label(number) },
            Encapsulation::Vxlan => {
                TunnelHeader::Vxlan { vni: vni(number), router_mac: router_mac(self.address) }
            }
        };
        NextHop::Tunnel(Tunnel { remote: self.address.into(), header })
    }
}

fn translation(treatment: Treatment, port: PortId) -> Option<TranslationKind> {
    match treatment {
        Treatment::Nothing | Treatment::Filter | Treatment::Masquerade => None,
        Treatment::Floating => {
            Some(TranslationKind::Floating { ports: vec![port], exclusive: true })
        }
        Treatment::Service | Treatment::FilteredService => {
            let backends = vec![Backend { port, target_port: PORT }];
            let of = |protocol| ((protocol, PORT), backends.clone());
            let ports = BTreeMap::from([of(Protocol::Tcp), of(Protocol::Udp)]);
            Some(TranslationKind::Service { ports, affinity: None })
        }
    }
}

/// What a tenant might write.
fn filter() -> Filter {
    let rule = |name: &str, protocol, port| Rule {
        name: name.to_owned(),
        direction: Direction::In,
        verdict: Verdict::Allow,
        peer: Peer::Net(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12).into()),
        protocol: Some(protocol),
        ports: PortRange::new(port, port),
        log: false,
    };
    let rules = vec![
        rule("ssh", 6, 22),
        rule("web", 6, 443),
        rule("data", 6, PORT),
        rule("datagrams", 17, PORT),
    ];
    Filter { rules, default_in: Verdict::Deny, default_out: Verdict::Allow }
}

fn label(number: u8) -> MplsLabel {
    MplsLabel::new(100 + u32::from(number)).expect("a label above the reserved ones")
}

fn vni(number: u8) -> Vni {
    Vni::new(100 + u32::from(number)).expect("a VNI of 24 bits")
}

fn router_mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    Mac([0x02, 0xff, a, b, c, d])
}
