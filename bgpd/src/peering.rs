//! From an entry of the topology to what a session and a shard are told.

mod link;
mod session;
mod view;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use arcus_config::{PeerRole, PeerSpec};
use bgp_wire::{AfiSafi, RouteTarget};

pub(crate) use session::session;
pub(crate) use view::view;

/// Who we are towards every peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) asn: u32,
    pub(crate) address: IpAddr,
    pub(crate) router_id: Ipv4Addr,
    pub(crate) cluster_id: Ipv4Addr,
    pub(crate) shards: u16,
}

/// What the terms of one peer depend on beside its own entry.
#[derive(Debug, Clone)]
pub(crate) struct Others {
    /// The entries of every peer.
    pub(crate) peers: Vec<Arc<PeerSpec>>,
    /// The ASes of the other clouds.
    pub(crate) ases: BTreeSet<u32>,
}

/// By what a peer is dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Its entry in the topology.
    pub(crate) spec: Arc<PeerSpec>,
    /// What we ask it for on behalf of others, if it may have that. Clients are asked for
    /// everything anyway.
    pub(crate) asked: Arc<Asked>,
    /// ASes that the path of a route from it may not have: those of other clouds, unless the peer
    /// may be a way to them.
    pub(crate) refused_ases: Arc<BTreeSet<u32>>,
}

/// Routes that we ask other control nodes for, because a gateway or neighbor of ours is to get them
/// and cannot ask itself (RFC 4684).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) targets: BTreeSet<RouteTarget>,
    /// Whether somebody is to get every route there is.
    pub(crate) all: bool,
}

impl Terms {
    pub(crate) fn new(spec: Arc<PeerSpec>, others: &Others) -> Self {
        let asked = match &spec.role {
            PeerRole::Sibling
            | PeerRole::Federated { .. }
            | PeerRole::Neighbor { client: false, .. } => {
                Asked::by(others.peers.iter().map(|p| &**p).filter(|other| other.name != spec.name))
            }
            PeerRole::Gateway(_) | PeerRole::Nodes { .. } | PeerRole::Neighbor { .. } => {
                Asked::default()
            }
        };
        Self {
            asked: Arc::new(asked),
            refused_ases: Arc::new(refused_ases(&spec, &others.ases)),
            spec,
        }
    }
}

impl Asked {
    fn by<'a>(peers: impl Iterator<Item = &'a PeerSpec>) -> Self {
        let mut asked = Self::default();
        for peer in peers {
            match &peer.role {
                PeerRole::Gateway(targets) => asked.targets.extend(&targets.export),
                PeerRole::Neighbor { .. } => match &peer.options.export_targets {
                    Some(targets) => asked.targets.extend(targets),
                    None => asked.all |= is_told_everything(peer),
                },
                PeerRole::Sibling | PeerRole::Federated { .. } | PeerRole::Nodes { .. } => {}
            }
        }
        asked
    }
}

/// Whether it takes part in a family with targets, and neither says nor is told which it wants.
fn is_told_everything(peer: &PeerSpec) -> bool {
    peer.families.iter().any(|family| family.has_targets())
        && !peer.families.contains(&AfiSafi::RTC)
}

/// A router that stands at two clouds shall not become a way between them by accident.
fn refused_ases(spec: &PeerSpec, others: &BTreeSet<u32>) -> BTreeSet<u32> {
    let is_border = matches!(spec.role, PeerRole::Gateway(_) | PeerRole::Neighbor { .. });
    if !is_border || !spec.is_external() || spec.options.transit == Some(true) {
        return BTreeSet::new();
    }
    others.iter().copied().filter(|asn| !spec.peer_asn.contains(*asn)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::SocketAddr;

    use arcus_config::{GatewayTargets, PeerAs, PeerOptions, Remote};

    use super::*;

    pub(crate) fn spec(role: PeerRole) -> PeerSpec {
        PeerSpec {
            name: "peer".to_owned(),
            role,
            remote: Remote::Address(SocketAddr::from(([192, 0, 2, 1], 179))),
            local_asn: 64_512,
            peer_asn: PeerAs::Is(64_513),
            families: vec![AfiSafi::VPNV4, AfiSafi::RTC],
            hold_time: arcus_config::HoldTime::DEFAULT,
            graceful_restart_time: 120,
            max_prefixes: None,
            options: PeerOptions::default(),
        }
    }

    pub(super) fn gateway(export: &[u32]) -> PeerRole {
        let export = export.iter().map(|number| RouteTarget::as2(64_512, *number)).collect();
        PeerRole::Gateway(GatewayTargets { import: BTreeSet::new(), export })
    }

    pub(super) fn neighbor() -> PeerRole {
        PeerRole::Neighbor { client: false, max_peers: None }
    }

    fn terms(spec: PeerSpec, peers: &[PeerSpec]) -> Terms {
        let peers = peers.iter().cloned().map(Arc::new).collect();
        let others = Others { peers, ases: BTreeSet::from([64_513, 64_514]) };
        Terms::new(Arc::new(spec), &others)
    }

    #[test]
    fn other_control_nodes_are_asked_for_what_all_gateways_are_to_get() {
        let all = [gateway(&[1, 2]), gateway(&[2, 3]), PeerRole::Sibling]
            .map(|role| PeerSpec { name: "another".to_owned(), ..spec(role) });
        let asked = |role| terms(spec(role), &all).asked;
        let targets = [1, 2, 3].map(|number| RouteTarget::as2(64_512, number));
        assert_eq!(asked(PeerRole::Sibling).targets, BTreeSet::from(targets));
        let federated = PeerRole::Federated { cloud: "kubernetes".to_owned() };
        assert_eq!(asked(federated).targets, BTreeSet::from(targets));
        assert_eq!(*asked(gateway(&[1])), Asked::default());
        assert_eq!(*asked(PeerRole::Nodes { max_nodes: None }), Asked::default());
    }

    #[test]
    fn other_control_nodes_are_asked_for_everything_when_a_neighbor_is_to_get_it() {
        let vpnv4 = PeerSpec { families: vec![AfiSafi::VPNV4], ..spec(neighbor()) };
        let targets = Some(vec![RouteTarget::as2(64_512, 7)]);
        let configured = PeerSpec {
            options: PeerOptions { export_targets: targets, ..PeerOptions::default() },
            ..vpnv4.clone()
        };
        let ipv4 = PeerSpec { families: vec![AfiSafi::IPV4_UNICAST], ..spec(neighbor()) };
        // (the neighbor, all, targets)
        let cases = [
            (vpnv4, true, 0),
            (configured, false, 1),
            (ipv4, false, 0),
            (spec(neighbor()), false, 0),
        ];
        for (peer, all, targets) in cases {
            let sibling = PeerSpec { name: "sibling".to_owned(), ..spec(PeerRole::Sibling) };
            let asked = terms(sibling, std::slice::from_ref(&peer)).asked;
            assert_eq!((asked.all, asked.targets.len()), (all, targets), "{peer:?}");
        }
    }

    #[test]
    fn a_border_router_is_no_way_to_another_cloud_unless_it_may() {
        let refused = |spec: PeerSpec| -> Vec<u32> {
            terms(spec, &[]).refused_ases.iter().copied().collect()
        };
        let transit = PeerOptions { transit: Some(true), ..PeerOptions::default() };
        let border = |role| PeerSpec { peer_asn: PeerAs::Is(64_999), ..spec(role) };
        assert_eq!(refused(border(gateway(&[]))), [64_513, 64_514]);
        assert_eq!(refused(PeerSpec { options: transit, ..border(gateway(&[])) }), [0; 0]);
        assert_eq!(refused(spec(neighbor())), [64_514], "of the AS of a cloud itself");
        assert_eq!(refused(PeerSpec { peer_asn: PeerAs::Is(64_512), ..spec(neighbor()) }), [0; 0]);
        assert_eq!(refused(spec(PeerRole::Federated { cloud: String::new() })), [0; 0]);
    }
}
