//! Routes that this node has itself: addresses of ports, services and floating addresses, and what
//! the topology configures.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arcus_api::v1::PortId;
use arcus_config::{Network, StaticNext};
use bgp_wire::RouteTarget;
use dataplane::{Identities, Identity, MplsLabel, NextHop, Spread, VrfId};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Given, Local, LocalVrf, Presence, plane_id};
use crate::port::{AddressUse, PortSpec};
use crate::route_key::RouteKey;

/// A route that this node has itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRoute {
    pub vrf: VrfId,
    /// Never empty.
    pub to: BTreeSet<NextHop>,
    pub label: MplsLabel,
    pub targets: BTreeSet<RouteTarget>,
    /// Who is behind it.
    pub identities: Identities,
    /// Its share of the flows of an address that others have, too; `None`: equal shares.
    pub weight: Option<u64>,
    pub spread: Spread,
    pub purpose: Purpose,
    /// Whether others are to be told of it.
    pub announced: bool,
}

/// What a route is for; says how it stands against those of other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The address of one port, which is in one place.
    Port,
    /// An address that several nodes may have, or a route via a port.
    Shared,
    /// Nobody has it: no share of its packets goes to another node.
    Discard,
    /// Whatever else leads out of the network is better.
    LastResort,
}

impl Purpose {
    /// How this node likes its own route.
    pub const fn local_pref(self) -> u32 {
        match self {
            Self::Port | Self::Shared => 100,
            Self::Discard => u32::MAX,
            Self::LastResort => 0,
        }
    }
}

/// An address of a port, to become a route.
struct Claim<'a> {
    network: &'a Network,
    vrf: VrfId,
    address: IpAddr,
    used_for: AddressUse,
    weight: Option<u32>,
    spread: Spread,
    announced: bool,
}

impl Local {
    pub(super) fn add_addresses(&mut self, given: Given<'_>, id: &PortId, presence: &Presence<'_>) {
        let spec = presence.spec;
        for (network, address, used_for) in spec.addresses() {
            if used_for != AddressUse::Port && !presence.serving {
                continue;
            }
            let vrf = given.vrf_of[network];
            let network = given.topology.networks.get(network).expect("its VRF was made from it");
            let (weight, spread) = sharing(spec, &network.name, address);
            let announced = presence.announced && (used_for == AddressUse::Port || spec.ready);
            let claim = Claim { network, vrf, address, used_for, weight, spread, announced };
            self.add_route(given, id, spec, &claim);
        }
        if presence.serving {
            self.add_targets(given, id, spec);
        }
    }

    fn add_route(&mut self, given: Given<'_>, id: &PortId, spec: &PortSpec, claim: &Claim<'_>) {
        let Claim { network, vrf, address, used_for, .. } = *claim;
        let topology = given.topology;
        let LocalVrf { rd, label, export, .. } = &self.vrfs[&vrf];
        let own_network = topology.networks.get(&spec.network);
        let groups = own_network
            .map(|network| topology.port_groups(network, spec.groups.as_deref()))
            .unwrap_or_default();
        let own_label = self.ports.get(&plane_id(id)).and_then(|port| port.label);
        let (to, targets, purpose, label) = match used_for {
            AddressUse::Port => (
                NextHop::Port(plane_id(id)),
                topology.port_targets(network),
                Purpose::Port,
                own_label.unwrap_or(*label),
            ),
            AddressUse::Floating => {
                (NextHop::Translate { vrf, address }, export.clone(), Purpose::Shared, *label)
            }
            AddressUse::Service => (
                NextHop::Translate { vrf, address },
                topology.service_targets(network),
                Purpose::Shared,
                *label,
            ),
        };
        let new = OwnRoute {
            vrf,
            to: [to].into(),
            label,
            targets,
            identities: Identities::new(groups.into_iter().map(Identity)),
            weight: claim.weight.map(u64::from),
            spread: claim.spread,
            purpose,
            announced: claim.announced,
        };
        let key = RouteKey::vpn(*rd, IpNet::from(address));
        match self.routes.entry(key) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(new);
            }
            std::collections::btree_map::Entry::Occupied(mut occupied) => {
                occupied.get_mut().join(new);
            }
        }
    }

    /// Static routes, aggregates and the way out of networks, of the networks that have a VRF here.
    pub(super) fn add_configured(
        &mut self,
        given: Given<'_>,
        present: &[(&PortId, &Presence<'_>)],
    ) {
        for (name, vrf) in given.vrf_of {
            let network = given.topology.networks.get(*name).expect("its VRF was made from it");
            for route in &network.static_routes {
                match route.next {
                    StaticNext::Discard => {
                        self.configure(given, network, *vrf, route.prefix, NextHop::Discard);
                    }
                    StaticNext::Via(address) => {
                        let via = present.iter().filter(|(_, presence)| {
                            !presence.broken
                                && presence.spec.network == *name
                                && presence.spec.own_addresses().any(|own| own == address)
                        });
                        for (id, presence) in via {
                            let to = NextHop::Port(plane_id(id));
                            let route = self.configure(given, network, *vrf, route.prefix, to);
                            route.announced |= presence.announced;
                        }
                    }
                }
            }
            for aggregate in &network.aggregates {
                let is_inside = self.routes.iter().any(|(key, route)| {
                    route.vrf == *vrf && route.announced && aggregate.contains(&key.net)
                });
                let route = self.configure(given, network, *vrf, *aggregate, NextHop::Discard);
                route.announced = is_inside;
            }
            if network.masquerade {
                let everything = [
                    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
                    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
                ];
                for net in everything {
                    let out = match net {
                        IpNet::V4(_) => given.node.tunnel_v4().is_some(),
                        IpNet::V6(_) => given.node.tunnel_v6().is_some(),
                    };
                    if out {
                        self.configure(given, network, *vrf, net, NextHop::Masquerade);
                    }
                }
            }
        }
    }

    fn configure(
        &mut self,
        given: Given<'_>,
        network: &Network,
        vrf: VrfId,
        net: IpNet,
        to: NextHop,
    ) -> &mut OwnRoute {
        let LocalVrf { rd, label, .. } = &self.vrfs[&vrf];
        let purpose = match to {
            NextHop::Discard => Purpose::Discard,
            NextHop::Masquerade => Purpose::LastResort,
            _ => Purpose::Shared,
        };
        let route = self.routes.entry(RouteKey::vpn(*rd, net)).or_insert_with(|| OwnRoute {
            vrf,
            to: BTreeSet::new(),
            label: *label,
            targets: given.topology.port_targets(network),
            identities: Identities::default(),
            weight: None,
            spread: Spread::Flow,
            purpose,
            announced: false,
        });
        // What somebody has is better than nothing and than the way out.
        if purpose < route.purpose {
            route.to.clear();
            route.purpose = purpose;
        }
        if purpose == route.purpose {
            route.to.insert(to);
        }
        route
    }
}

impl OwnRoute {
    /// Several ports behind one address: one that may be announced is enough, and shares add up.
    fn join(&mut self, other: Self) {
        self.announced |= other.announced;
        self.to.extend(other.to);
        self.weight = self.weight.zip(other.weight).map(|(a, b)| a.saturating_add(b));
        self.spread = self.spread.max(other.spread);
        let all = [&self.identities, &other.identities];
        self.identities = Identities::new(all.into_iter().flat_map(Identities::as_slice).copied());
    }
}

/// What a port says of its part in an address of a network.
fn sharing(spec: &PortSpec, network: &str, address: IpAddr) -> (Option<u32>, Spread) {
    let service = spec.services.iter().find(|s| s.network == network && s.address == address);
    if let Some(service) = service {
        let spread = if service.affinity.is_some() { Spread::Source } else { Spread::Flow };
        return (service.weight, spread);
    }
    let floating = spec.floating.iter().find(|f| f.network == network && f.address == address);
    (floating.and_then(|floating| floating.weight), Spread::Flow)
}
