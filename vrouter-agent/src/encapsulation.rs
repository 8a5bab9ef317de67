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
    offers_vxlan: bool,
    /// By tunnel address, as the topology lists them.
    gateways: BTreeMap<IpAddr, Vec<Encapsulation>>,
    /// Where tunnels of ours begin.
    ends: Vec<IpAddr>,
}

impl Preferences {
    /// `ends` are this node's tunnel addresses.
    pub fn of(topology: &Topology, cloud: &str, ends: Vec<IpAddr>) -> Self {
        let listed = topology.clouds.get(cloud).map(|cloud| cloud.encapsulations.as_slice());
        let mut order: Vec<_> = listed.unwrap_or_default().iter().map(|e| local(*e)).collect();
        let offers_vxlan = order.contains(&Encapsulation::Vxlan);
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
        Self { order, offers_vxlan, gateways, ends }
    }

    /// Our first preference among what a VPN route offers; VXLAN does not count. A route that offers
    /// nothing takes what its gateway is said to take, else MPLS over GRE. `None`: it offers only
    /// what we do not do.
    pub fn choose_mpls(&self, offers: &[TunnelType], next_hop: IpAddr) -> Option<Encapsulation> {
        let is_mpls = |one: &Encapsulation| *one != Encapsulation::Vxlan;
        self.first_of(&self.offered(offers, next_hop).filter(is_mpls).collect::<Vec<_>>())
    }

    /// The same for an EVPN route. Its label field holds either a VNI or a label: where VXLAN is
    /// offered, nothing else is.
    pub fn choose_evpn(&self, offers: &[TunnelType], next_hop: IpAddr) -> Option<Encapsulation> {
        let offered: Vec<_> = self.offered(offers, next_hop).collect();
        if !offers.is_empty() && offered.contains(&Encapsulation::Vxlan) {
            return Some(Encapsulation::Vxlan);
        }
        self.first_of(&offered)
    }

    /// Whether this node has a tunnel address of the version of `next_hop`.
    pub fn reaches(&self, next_hop: IpAddr) -> bool {
        self.ends.iter().any(|end| end.is_ipv4() == next_hop.is_ipv4())
    }

    /// Where an encapsulation stands among our preferences; less is better.
    pub fn position(&self, encapsulation: Encapsulation) -> usize {
        self.order.iter().position(|ours| *ours == encapsulation).unwrap_or(usize::MAX)
    }

    /// Whether the cloud lists VXLAN: then we offer it.
    pub const fn offers_vxlan(&self) -> bool {
        self.offers_vxlan
    }

    fn offered(
        &self,
        offers: &[TunnelType],
        next_hop: IpAddr,
    ) -> impl Iterator<Item = Encapsulation> {
        let assumed = self.gateways.get(&next_hop).map(Vec::as_slice);
        let assumed = assumed.unwrap_or(&[Encapsulation::MplsOverGre]);
        let assumed = if offers.is_empty() { assumed } else { &[] };
        assumed.iter().copied().chain(offers.iter().filter_map(|offer| of_tunnel_type(*offer)))
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
