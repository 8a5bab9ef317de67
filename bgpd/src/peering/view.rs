//! What the shards are told of a peer whose session is up.

use std::collections::BTreeSet;
use std::sync::Arc;

use arcus_config::{NextHop, PeerRole, PeerSpec};
use bgp_peer::Established;
use bgp_rib::{InterestMode, Limit, MembershipsOut, PeerKind, PeerView, UnicastNextHop};
use bgp_wire::{AfiSafi, RouteTarget, RtMembership};

use super::{Asked, Identity, Terms};

/// What the shards are told of a peer whose session is up.
pub(crate) fn view(identity: &Identity, terms: &Terms, session: &Established) -> PeerView {
    let spec = &terms.spec;
    let agreement = &session.agreement;
    let kind = match &spec.role {
        _ if spec.is_external() => PeerKind::External { asn: agreement.peer.asn },
        _ if spec.is_client() => PeerKind::Client,
        _ => PeerKind::NonClient,
    };
    let base = PeerView {
        limits: limits(spec),
        enhanced_refresh: agreement.enhanced_route_refresh,
        unicast_next_hop: match spec.options.next_hop {
            Some(NextHop::Itself) => UnicastNextHop::OurselvesToExternal,
            Some(NextHop::Unchanged) | None => UnicastNextHop::Unchanged,
        },
        ..PeerView::new(
            kind,
            agreement.peer.router_id,
            session.remote.ip().to_canonical(),
            session.local.ip().to_canonical(),
            agreement.negotiated.clone(),
        )
    };
    let exact = |targets: &BTreeSet<_>| -> BTreeSet<RtMembership> {
        targets.iter().map(|target| RtMembership::exact(identity.asn, *target)).collect()
    };
    let everything = BTreeSet::from([RtMembership::DEFAULT]);
    let asked = match &*terms.asked {
        Asked { all: true, .. } => everything.clone(),
        Asked { targets, .. } => exact(targets),
    };
    let speaks_rtc = agreement.negotiated.families.contains(&AfiSafi::RTC);
    match &spec.role {
        PeerRole::Nodes { .. } => PeerView {
            interest: interest(speaks_rtc, None),
            memberships: MembershipsOut::OwnOnly,
            originate: everything,
            ..base
        },
        PeerRole::Sibling | PeerRole::Federated { .. } => {
            PeerView { interest: interest(speaks_rtc, None), originate: asked, ..base }
        }
        PeerRole::Gateway(targets) => PeerView {
            interest: interest(speaks_rtc, Some(targets.export.clone())),
            import_targets: Some(Arc::new(targets.import.clone())),
            memberships: MembershipsOut::OwnOnly,
            originate: exact(&targets.import),
            ..base
        },
        PeerRole::Neighbor { .. } => {
            let set = |targets: &Option<Vec<RouteTarget>>| -> Option<BTreeSet<RouteTarget>> {
                targets.as_ref().map(|targets| targets.iter().copied().collect())
            };
            let import = set(&spec.options.import_targets);
            PeerView {
                interest: interest(speaks_rtc, set(&spec.options.export_targets)),
                // What we take anyway it need not hear of from others.
                memberships: match import {
                    Some(_) => MembershipsOut::OwnOnly,
                    None => MembershipsOut::Reflected,
                },
                originate: match &import {
                    Some(targets) => exact(targets),
                    None if spec.is_client() => everything,
                    None => asked,
                },
                import_targets: import.map(Arc::new),
                ..base
            }
        }
    }
}

/// Whose routes a peer is told: what it asks for, as far as the topology permits.
fn interest(speaks_rtc: bool, permitted: Option<BTreeSet<RouteTarget>>) -> InterestMode {
    match (permitted.map(Arc::new), speaks_rtc) {
        (None, true) => InterestMode::FromRtc,
        (None, false) => InterestMode::Everything,
        (Some(targets), true) => InterestMode::Both(targets),
        (Some(targets), false) => InterestMode::Configured(targets),
    }
}

/// Shards count apart, and the routes of one peer may all be in one of them, since those of one VRF
/// have one route distinguisher. So each shard lets pass what all together may hold.
fn limits(spec: &PeerSpec) -> Vec<Limit> {
    let Some(routes) = spec.max_prefixes else { return Vec::new() };
    spec.families.iter().map(|family| Limit { family: *family, routes }).collect()
}
