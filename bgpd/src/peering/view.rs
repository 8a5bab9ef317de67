//! What the shards are told of a peer whose session is up.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::{Arc, LazyLock};

use arcus_config::{NextHop, PeerRole, PeerSpec, RemovePrivateAs, Rewrite, Role};
use bgp_peer::Established;
use bgp_rib::{
    InterestMode, Limit, LocalAs, MembershipsOut, PeerKind, PeerPolicy, PeerView, RemovePrivate,
    Totals, UnicastNextHop,
};
use bgp_session::Agreement;
use bgp_wire::capability::Capability;
use bgp_wire::{AfiSafi, RouteTarget, RtMembership};

use super::session::role;
use super::{Asked, Identity, Terms, link};

/// What the shards are told of a peer whose session is up. They count its routes in `totals`.
pub(crate) fn view(
    identity: &Identity,
    terms: &Terms,
    session: &Established,
    totals: &Totals,
) -> PeerView {
    let spec = &terms.spec;
    let agreement = &session.agreement;
    let kind = match &spec.role {
        _ if spec.is_external() => PeerKind::External { asn: agreement.peer.asn },
        _ if spec.is_client() => PeerKind::Client,
        _ => PeerKind::NonClient,
    };
    let base = PeerView {
        limits: limits(spec),
        totals: totals.clone(),
        enhanced_refresh: agreement.enhanced_route_refresh,
        unicast_next_hop: unicast_next_hop(spec, session.local.ip(), session.remote.ip()),
        policy: shared(policy(terms, agreement)),
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

/// Neighbors of another AS send us what they want forwarded, unless somebody has said that it is not to
/// pass us (RFC 4271 §5.1.3, RFC 7947 §2.2.1). Gateways and other clouds get next hops as they came: of
/// workloads we forward nothing.
fn unicast_next_hop(spec: &PeerSpec, local: IpAddr, remote: IpAddr) -> UnicastNextHop {
    let options = &spec.options;
    let is_unchanged =
        options.next_hop == Some(NextHop::Unchanged) || options.role == Some(Role::RouteServer);
    let is_neighbor = matches!(spec.role, PeerRole::Neighbor { .. });
    if !is_neighbor || !spec.is_external() || is_unchanged {
        return UnicastNextHop::Unchanged;
    }
    let link = link::shared(local.to_canonical(), remote.to_canonical());
    UnicastNextHop::OurselvesToExternal { link }
}

/// Thousands of nodes have no policy of their own: one value in memory is enough for them.
fn shared(policy: PeerPolicy) -> Arc<PeerPolicy> {
    static NONE: LazyLock<Arc<PeerPolicy>> = LazyLock::new(Arc::default);
    if policy == **NONE { Arc::clone(&NONE) } else { Arc::new(policy) }
}

/// What is done to its routes, in and out.
fn policy(terms: &Terms, agreement: &Agreement) -> PeerPolicy {
    let options = &terms.spec.options;
    let pairs = |rewrite: &Option<Rewrite>| match rewrite {
        Some(rewrite) => Arc::new(rewrite.pairs().clone()),
        None => Arc::default(),
    };
    let paths = options.add_path_send.and_then(NonZeroU8::new);
    let several = &agreement.negotiated.add_path_send;
    PeerPolicy {
        local_as: options.local_as.map(|asn| LocalAs {
            asn,
            no_prepend: options.local_as_no_prepend.unwrap_or_default(),
            replace: options.local_as_replace.unwrap_or_default(),
        }),
        allowas_in: options.allowas_in.unwrap_or_default(),
        as_override: options.as_override.unwrap_or_default(),
        remove_private_as: match options.remove_private_as {
            None => RemovePrivate::No,
            Some(RemovePrivateAs::Leading) => RemovePrivate::Leading,
            Some(RemovePrivateAs::All) => RemovePrivate::All,
            Some(RemovePrivateAs::Replace) => RemovePrivate::Replace,
        },
        preference_as_med: terms.spec.has_preference_as_med(),
        refused_ases: Arc::clone(&terms.refused_ases),
        import_rewrite: pairs(&options.import_rewrite),
        export_rewrite: pairs(&options.export_rewrite),
        aigp: options.aigp.unwrap_or_default(),
        next_hop_self: options.next_hop == Some(NextHop::Itself),
        add_path_send: paths
            .map_or_else(Vec::new, |paths| several.iter().map(|family| (*family, paths)).collect()),
        long_lived: agreement
            .peer
            .capabilities
            .iter()
            .any(|said| matches!(said, Capability::LongLivedGracefulRestart(_))),
        enforce_first_as: options.first_as.unwrap_or(true),
        default_local_pref: options.default_local_pref,
        max_as_path: options.max_as_path,
        // Ours counts also where the peer does not say its own (RFC 9234 §4.2).
        role: options.role.map(role),
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

/// What it may have in each family.
fn limits(spec: &PeerSpec) -> Vec<Limit> {
    let Some(routes) = spec.max_prefixes else { return Vec::new() };
    let percent = spec.options.max_prefixes_warning.map(u64::from);
    // Rounded up, so that the least that is warned of is one route.
    let warning = percent.map(|percent| (u64::from(routes) * percent).div_ceil(100));
    let warning = warning.and_then(|warning| u32::try_from(warning).ok());
    spec.families.iter().map(|family| Limit { family: *family, routes, warning }).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use arcus_config::{PeerAs, PeerOptions};

    use super::super::tests::{gateway, neighbor, spec};
    use super::*;

    #[test]
    fn neighbors_of_another_as_send_us_what_they_want_forwarded() {
        let told = |role, asn, options| {
            let spec = PeerSpec { options, peer_asn: PeerAs::Is(asn), ..spec(role) };
            let end = |last| Ipv4Addr::new(203, 0, 113, last).into();
            unicast_next_hop(&spec, end(1), end(2))
        };
        let unset = PeerOptions::default;
        let unchanged = PeerOptions { next_hop: Some(NextHop::Unchanged), ..unset() };
        let route_server = PeerOptions { role: Some(Role::RouteServer), ..unset() };
        let provider = PeerOptions { role: Some(Role::Provider), ..unset() };
        let ours = UnicastNextHop::OurselvesToExternal { link: None };
        for (role, asn, options, want) in [
            (neighbor(), 64_513, unset(), ours),
            (neighbor(), 64_513, provider, ours),
            (neighbor(), 64_513, unchanged, UnicastNextHop::Unchanged),
            (neighbor(), 64_513, route_server, UnicastNextHop::Unchanged),
            (neighbor(), 64_512, unset(), UnicastNextHop::Unchanged),
            (gateway(&[]), 64_513, unset(), UnicastNextHop::Unchanged),
        ] {
            assert_eq!(told(role, asn, options.clone()), want, "{asn} {options:?}");
        }
    }
}
