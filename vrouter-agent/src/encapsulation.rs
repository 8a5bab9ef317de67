//! Which tunnel a route is reached through.

use std::collections::BTreeMap;
use std::net::IpAddr;

use arcus_config::Topology;
use bgp_wire::community::TunnelType;
use dataplane::Encapsulation;

/// What this node prefers, and what it assumes where a route says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// Every encapsulation of the data plane, most preferred first. The cloud's list gives the
    /// order; what it leaves out comes last, since a node takes all in any case.
    order: Vec<Encapsulation>,
    /// By tunnel address, as the topology lists them.
    gateways: BTreeMap<IpAddr, Vec<Encapsulation>>,
}

impl Preferences {
    pub fn of(topology: &Topology, cloud: &str) -> Self {
        let listed = topology.clouds.get(cloud).map(|cloud| cloud.encapsulations.as_slice());
        let mut order: Vec<_> = listed.unwrap_or_default().iter().map(|e| local(*e)).collect();
        order.extend(Encapsulation::ALL);
        let mut seen = Vec::new();
        order.retain(|encapsulation| {
            let first = !seen.contains(encapsulation);
            seen.push(*encapsulation);
            first
        });
        let gateways = topology
            .gateways
            .values()
            .flat_map(|gateway| {
                let offers: Vec<_> = gateway.encapsulations.iter().map(|e| local(*e)).collect();
                gateway.tunnel_addresses.iter().map(move |address| (*address, offers.clone()))
            })
            .collect();
        Self { order, gateways }
    }

    /// Our first preference among those a route offers. A route that offers none takes what its
    /// gateway is said to take, else MPLS over GRE. `None`: it offers only what we do not do.
    pub fn choose(&self, offers: &[TunnelType], next_hop: IpAddr) -> Option<Encapsulation> {
        if offers.is_empty() {
            let assumed = self.gateways.get(&next_hop).map(Vec::as_slice);
            let assumed = assumed.unwrap_or(&[Encapsulation::MplsOverGre]);
            return self.first_of(assumed);
        }
        let offered: Vec<_> = offers.iter().filter_map(|tunnel| of_tunnel_type(*tunnel)).collect();
        self.first_of(&offered)
    }

    /// What our VPN routes offer, most preferred first; never VXLAN, which has no label.
    pub fn mpls_types(&self) -> impl Iterator<Item = TunnelType> + '_ {
        self.order.iter().filter_map(|encapsulation| match encapsulation {
            Encapsulation::MplsOverGre => Some(TunnelType::GRE),
            Encapsulation::MplsOverUdp => Some(TunnelType::MPLS_IN_UDP),
            Encapsulation::Vxlan => None,
        })
    }

    fn first_of(&self, offered: &[Encapsulation]) -> Option<Encapsulation> {
        self.order.iter().copied().find(|ours| offered.contains(ours))
    }
}

/// Our reading of the registry: 2 is what everybody sends for MPLS over GRE, 11 what it should be.
fn of_tunnel_type(tunnel: TunnelType) -> Option<Encapsulation> {
    match tunnel {
        TunnelType::GRE | TunnelType::MPLS_IN_GRE => Some(Encapsulation::MplsOverGre),
        TunnelType::MPLS_IN_UDP => Some(Encapsulation::MplsOverUdp),
        TunnelType::VXLAN => Some(Encapsulation::Vxlan),
        _ => None,
    }
}

const fn local(encapsulation: arcus_config::Encapsulation) -> Encapsulation {
    match encapsulation {
        arcus_config::Encapsulation::MplsOverGre => Encapsulation::MplsOverGre,
        arcus_config::Encapsulation::MplsOverUdp => Encapsulation::MplsOverUdp,
        arcus_config::Encapsulation::Vxlan => Encapsulation::Vxlan,
    }
}
