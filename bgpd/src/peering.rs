//! From an entry of the topology to what a session and a shard are told.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use arcus_config::{PeerRole, PeerSpec, Remote};
use bgp_peer::{Established, Mode, PeerConfig};
use bgp_rib::{InterestMode, Limit, MembershipsOut, PeerKind, PeerView};
use bgp_session::{HoldTime, SessionConfig};
use bgp_wire::capability::GracefulRestart;
use bgp_wire::{AfiSafi, RouteTarget, RtMembership};

/// Who we are towards every peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) asn: u32,
    pub(crate) address: IpAddr,
    pub(crate) router_id: Ipv4Addr,
    pub(crate) cluster_id: Ipv4Addr,
    pub(crate) shards: u16,
}

/// By what a peer is dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Its entry in the topology.
    pub(crate) spec: Arc<PeerSpec>,
    /// Targets that we ask it for on behalf of our gateways, most of which cannot ask themselves.
    /// Empty but for other control nodes.
    pub(crate) for_gateways: Arc<BTreeSet<RouteTarget>>,
}

impl Terms {
    /// `all` are the entries of every peer.
    pub(crate) fn new(spec: Arc<PeerSpec>, all: &[PeerSpec]) -> Self {
        let is_reflector = matches!(spec.role, PeerRole::Sibling | PeerRole::Federated { .. });
        let gateways = all.iter().filter_map(|other| match &other.role {
            PeerRole::Gateway(targets) if is_reflector => Some(&targets.export),
            _ => None,
        });
        Self { for_gateways: Arc::new(gateways.flatten().copied().collect()), spec }
    }
}

/// How the peer at `remote` is reached and what our OPEN says. `restarting`: this daemon has just
/// started, so its first session is one after a restart (RFC 4724 §4.1).
pub(crate) fn session(
    identity: &Identity,
    spec: &PeerSpec,
    remote: IpAddr,
    restarting: bool,
) -> PeerConfig {
    let families = spec.families.clone();
    let restart = (spec.graceful_restart_time > 0).then(|| GracefulRestart {
        restarted: restarting,
        // Silence of a control node says nothing about the nodes behind it, so their routes are kept
        // over it (RFC 8538). A node or gateway that is silent forwards no more: its routes go.
        notification: matches!(spec.role, PeerRole::Sibling | PeerRole::Federated { .. }),
        restart_time: spec.graceful_restart_time,
        // A reflector forwards nothing, so it has lost nothing: the forwarding bit is always true.
        families: families.iter().map(|family| (*family, true)).collect(),
    });
    let session = SessionConfig {
        hold_time: HoldTime::try_from(spec.hold_time.seconds()).unwrap_or_default(),
        families,
        restart,
        ..SessionConfig::external(spec.local_asn, identity.router_id, spec.peer_asn)
    };
    let (mode, port) = match &spec.remote {
        Remote::Address(address) => (Mode::Both, address.port()),
        Remote::Prefixes(_) => (Mode::Passive, 179),
    };
    PeerConfig {
        mode,
        port,
        local: Some(identity.address),
        shards: identity.shards,
        ..PeerConfig::new(session, remote)
    }
}

/// What the shards are told of a peer whose session is up.
pub(crate) fn view(identity: &Identity, terms: &Terms, session: &Established) -> PeerView {
    let Terms { spec, for_gateways } = terms;
    let agreement = &session.agreement;
    let kind = match &spec.role {
        PeerRole::Nodes { .. } => PeerKind::Client,
        PeerRole::Sibling => PeerKind::NonClient,
        PeerRole::Federated { .. } | PeerRole::Gateway(_) => {
            PeerKind::External { asn: spec.peer_asn }
        }
    };
    let speaks_rtc = agreement.negotiated.families.contains(&AfiSafi::RTC);
    let exact = |targets: &BTreeSet<_>| -> BTreeSet<RtMembership> {
        targets.iter().map(|target| RtMembership::exact(identity.asn, *target)).collect()
    };
    let base = PeerView {
        enhanced_refresh: agreement.enhanced_route_refresh,
        ..PeerView::new(
            kind,
            agreement.peer.router_id,
            session.remote.ip().to_canonical(),
            session.local.ip().to_canonical(),
            agreement.negotiated.clone(),
        )
    };
    let limits = limits(spec);
    let asked = if speaks_rtc { InterestMode::FromRtc } else { InterestMode::Everything };
    match &spec.role {
        PeerRole::Nodes { .. } => PeerView {
            interest: asked,
            memberships: MembershipsOut::OwnOnly,
            originate: BTreeSet::from([RtMembership::DEFAULT]),
            limits,
            ..base
        },
        PeerRole::Sibling | PeerRole::Federated { .. } => {
            PeerView { interest: asked, originate: exact(for_gateways), limits, ..base }
        }
        PeerRole::Gateway(targets) => {
            let export = Arc::new(targets.export.clone());
            PeerView {
                interest: if speaks_rtc {
                    InterestMode::Both(export)
                } else {
                    InterestMode::Configured(export)
                },
                import_targets: Some(Arc::new(targets.import.clone())),
                memberships: MembershipsOut::OwnOnly,
                originate: exact(&targets.import),
                limits,
                ..base
            }
        }
    }
}

/// Shards count apart, and the routes of one peer may all be in one of them, since those of one VRF
/// have one route distinguisher. So each shard lets pass what all together may hold.
fn limits(spec: &PeerSpec) -> Vec<Limit> {
    let Some(routes) = spec.max_prefixes else { return Vec::new() };
    spec.families.iter().map(|family| Limit { family: *family, routes }).collect()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use arcus_config::GatewayTargets;

    use super::*;

    fn spec(role: PeerRole) -> PeerSpec {
        PeerSpec {
            name: "peer".to_owned(),
            role,
            remote: Remote::Address(SocketAddr::from(([192, 0, 2, 1], 179))),
            local_asn: 64_512,
            peer_asn: 64_513,
            families: vec![AfiSafi::VPNV4, AfiSafi::RTC],
            hold_time: arcus_config::HoldTime::DEFAULT,
            graceful_restart_time: 120,
            max_prefixes: None,
        }
    }

    fn gateway(export: &[u32]) -> PeerRole {
        let export = export.iter().map(|number| RouteTarget::as2(64_512, *number)).collect();
        PeerRole::Gateway(GatewayTargets { import: BTreeSet::new(), export })
    }

    #[test]
    fn other_control_nodes_are_asked_for_what_all_gateways_are_to_get() {
        let all = [gateway(&[1, 2]), gateway(&[2, 3]), PeerRole::Sibling].map(spec);
        let asked = |role| Terms::new(Arc::new(spec(role)), &all).for_gateways;
        let targets = [1, 2, 3].map(|number| RouteTarget::as2(64_512, number));
        assert_eq!(*asked(PeerRole::Sibling), BTreeSet::from(targets));
        let federated = PeerRole::Federated { cloud: "kubernetes".to_owned() };
        assert_eq!(*asked(federated), BTreeSet::from(targets));
        assert!(asked(gateway(&[1])).is_empty());
        assert!(asked(PeerRole::Nodes { max_nodes: None }).is_empty());
    }

    #[test]
    fn a_control_node_that_is_silent_keeps_its_routes_and_a_node_does_not() {
        let us = Ipv4Addr::new(192, 0, 2, 9);
        let identity =
            Identity { asn: 64_512, address: us.into(), router_id: us, cluster_id: us, shards: 1 };
        let said = |role, restarting| {
            let config = session(&identity, &spec(role), us.into(), restarting);
            let restart = config.session.restart.as_ref().unwrap();
            (restart.notification, restart.restarted)
        };
        assert_eq!(said(PeerRole::Sibling, true), (true, true));
        assert_eq!(said(PeerRole::Nodes { max_nodes: None }, true), (false, true));
        assert_eq!(said(gateway(&[]), false), (false, false), "added long after our start");
    }
}
