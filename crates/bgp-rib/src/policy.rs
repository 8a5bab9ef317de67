//! What is taken in and what goes out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bgp_wire::attrs::code::AIGP;
use bgp_wire::capability::Role;
use bgp_wire::{Afi, AfiSafi, NextHop, PathAttributes, RouteTarget};

use crate::bucket::{Bucket, Source};
use crate::decision::UNREACHABLE;
use crate::group::puts_ours;
use crate::peer::{PeerIx, PeerKind, PeerView};
use crate::shard::ShardConfig;

/// Why an announced route was not taken (RFC 4271 §9.1.2, RFC 4456 §8, RFC 4684). It counts as a
/// withdrawal of what the peer had announced before under the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reject {
    /// Our AS is in AS_PATH.
    AsLoop,
    /// ORIGINATOR_ID is our router id.
    Originator,
    /// Our cluster id is in CLUSTER_LIST.
    ClusterLoop,
    /// AS_PATH of an external peer does not start with its AS.
    FirstAs,
    NoNextHop,
    /// Its next hop is our own address (RFC 4271 §6.3).
    OwnNextHop,
    /// None of its route targets is among [`crate::PeerView::import_targets`].
    ImportTargets,
    /// It has passed an AS from which the peer may not bring routes.
    Transit,
    /// AS_PATH is longer than [`crate::PeerPolicy::max_as_path`].
    AsPathTooLong,
    /// OTC says that it has come the wrong way (RFC 9234 §5): a route leak.
    Otc,
}

impl Reject {
    pub const ALL: [Self; 10] = [
        Self::AsLoop,
        Self::Originator,
        Self::ClusterLoop,
        Self::FirstAs,
        Self::NoNextHop,
        Self::OwnNextHop,
        Self::ImportTargets,
        Self::Transit,
        Self::AsPathTooLong,
        Self::Otc,
    ];

    /// Name in metrics and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsLoop => "as-loop",
            Self::Originator => "originator-loop",
            Self::ClusterLoop => "cluster-loop",
            Self::FirstAs => "first-as",
            Self::NoNextHop => "no-next-hop",
            Self::OwnNextHop => "own-next-hop",
            Self::ImportTargets => "import-targets",
            Self::Transit => "transit",
            Self::AsPathTooLong => "as-path-too-long",
            Self::Otc => "route-leak",
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is made of the attributes that `peer` announces, or why they are not taken. Looks at nothing
/// that differs between routes of one UPDATE. Costs no copy where nothing is changed, or the caller
/// has the only reference.
pub(crate) fn take_in(
    config: &ShardConfig,
    peer: &PeerView,
    family: AfiSafi,
    attributes: Arc<PathAttributes>,
    next_hop: NextHop,
) -> Result<Arc<PathAttributes>, Reject> {
    accept(config, peer, family, &attributes, next_hop)?;
    let attributes = changed(peer, family, attributes);
    if family.has_targets() && !permits(peer, attributes.route_targets()) {
        return Err(Reject::ImportTargets);
    }
    Ok(without_foreign_targets(peer, family, attributes))
}

/// A loopback address means something on the machine of the peer alone (RFC 1122 §3.2.1.3). Others end
/// their session over it, so it is not passed on.
fn is_of_another_machine(peer: &PeerView, next_hop: NextHop) -> bool {
    next_hop.address().is_some_and(|address| address.is_loopback()) && !peer.address.is_loopback()
}

fn accept(
    config: &ShardConfig,
    peer: &PeerView,
    family: AfiSafi,
    attributes: &PathAttributes,
    next_hop: NextHop,
) -> Result<(), Reject> {
    let policy = &*peer.policy;
    if next_hop == NextHop::None || is_of_another_machine(peer, next_hop) {
        return Err(Reject::NoNextHop);
    }
    if family != AfiSafi::RTC && next_hop.address() == Some(peer.local_address) {
        return Err(Reject::OwnNextHop);
    }
    let local_as = policy.local_as.filter(|_| peer.kind.is_external());
    let also_ours = local_as.map_or(config.local_as, |local| local.asn);
    let ours = |asn: &u32| *asn == config.local_as || *asn == also_ours;
    if attributes.as_path.numbers().filter(ours).count() > policy.allowas_in.into() {
        return Err(Reject::AsLoop);
    }
    match peer.kind {
        PeerKind::External { asn } => {
            if policy.enforce_first_as && attributes.as_path.first() != Some(asn) {
                return Err(Reject::FirstAs);
            }
            if let Some(role) = policy.role.filter(|_| has_roles(family))
                && is_leak(role, asn, attributes)
            {
                return Err(Reject::Otc);
            }
        }
        PeerKind::Client | PeerKind::NonClient => {
            if attributes.originator_id == Some(config.router_id) {
                return Err(Reject::Originator);
            }
            if attributes.cluster_list.contains(&config.cluster_id) {
                return Err(Reject::ClusterLoop);
            }
        }
    }
    if is_transit(peer, attributes) {
        return Err(Reject::Transit);
    }
    if policy.max_as_path.is_some_and(|max| attributes.as_path.length() > max.into()) {
        return Err(Reject::AsPathTooLong);
    }
    Ok(())
}

/// Whether roles mean anything in a family (RFC 9234 §5).
pub(crate) fn has_roles(family: AfiSafi) -> bool {
    matches!(family, AfiSafi::IPV4_UNICAST | AfiSafi::IPV6_UNICAST)
}

/// Whether we, who are `role` to the AS that announces, should not have been told.
fn is_leak(role: Role, asn: u32, attributes: &PathAttributes) -> bool {
    let Some(otc) = attributes.otc() else { return false };
    match role {
        Role::Provider | Role::RouteServer => true,
        Role::Peer => otc != asn,
        Role::Customer | Role::RouteServerClient => false,
    }
}

/// Whether what comes from the peer, or what has OTC, goes to customers only.
const fn is_below_or_beside(role: Role) -> bool {
    matches!(role, Role::Customer | Role::RouteServerClient | Role::Peer)
}

/// Whether a route has passed an AS from which `peer` may not bring any.
pub(crate) fn is_transit(peer: &PeerView, attributes: &PathAttributes) -> bool {
    let refused = &peer.policy.refused_ases;
    !refused.is_empty() && attributes.as_path.numbers().any(|asn| refused.contains(&asn))
}

/// What the policy of `peer` makes of attributes that are taken.
fn changed(
    peer: &PeerView,
    family: AfiSafi,
    mut attributes: Arc<PathAttributes>,
) -> Arc<PathAttributes> {
    let policy = &*peer.policy;
    if attributes.local_pref.is_none() {
        let in_med = policy.preference_as_med && peer.kind.is_external();
        let carried = attributes.med.filter(|_| in_med);
        let preference = carried.map(preference_to_med).or(policy.default_local_pref);
        if preference.is_some() {
            Arc::make_mut(&mut attributes).local_pref = preference;
        }
    }
    if family.has_targets() && has_target_of(&attributes, &policy.import_rewrite) {
        rewrite_targets(Arc::make_mut(&mut attributes), &policy.import_rewrite);
    }
    if let PeerKind::External { asn } = peer.kind {
        if has_roles(family)
            && policy.role.is_some_and(is_below_or_beside)
            && attributes.otc().is_none()
        {
            Arc::make_mut(&mut attributes).set_otc(Some(asn));
        }
        if let Some(local) = policy.local_as.filter(|local| !local.no_prepend) {
            Arc::make_mut(&mut attributes).as_path.prepend(local.asn);
        }
        if !policy.aigp && attributes.others.iter().any(|other| other.code == AIGP) {
            Arc::make_mut(&mut attributes).set_aigp(None);
        }
    }
    attributes
}

/// LOCAL_PREF as the MED that stands for it between clouds, and back: of two, the better one stays the
/// better one.
pub(crate) const fn preference_to_med(preference: u32) -> u32 {
    match preference {
        100 => 200,
        200 => 100,
        other => u32::MAX - other,
    }
}

/// Whether a rewriting has something to do.
pub(crate) fn has_target_of(
    attributes: &PathAttributes,
    rewrite: &BTreeMap<RouteTarget, RouteTarget>,
) -> bool {
    !rewrite.is_empty() && attributes.route_targets().any(|target| rewrite.contains_key(&target))
}

/// Puts other targets in the place of those in `rewrite`; two that become the same are one.
pub(crate) fn rewrite_targets(
    attributes: &mut PathAttributes,
    rewrite: &BTreeMap<RouteTarget, RouteTarget>,
) {
    let mut seen = BTreeSet::new();
    attributes.extended_communities.retain_mut(|community| {
        let Some(target) = community.as_route_target() else { return true };
        let target = rewrite.get(&target).copied().unwrap_or(target);
        *community = target.into();
        seen.insert(target)
    });
}

/// What is left of `attributes` when targets that `peer` may not use are taken off, or it would put
/// its routes into networks of others by one permitted target beside theirs. Costs no copy where
/// there is nothing to take off, or the caller has the only reference.
pub(crate) fn without_foreign_targets(
    peer: &PeerView,
    family: AfiSafi,
    attributes: Arc<PathAttributes>,
) -> Arc<PathAttributes> {
    let Some(permitted) = peer.import_targets.as_ref().filter(|_| family.has_targets()) else {
        return attributes;
    };
    if attributes.route_targets().all(|target| permitted.contains(&target)) {
        return attributes;
    }
    let mut attributes = attributes;
    Arc::make_mut(&mut attributes).extended_communities.retain(|community| {
        community.as_route_target().is_none_or(|target| permitted.contains(&target))
    });
    attributes
}

/// Whether a route with these targets may come from `peer`.
pub(crate) fn permits(peer: &PeerView, mut targets: impl Iterator<Item = RouteTarget>) -> bool {
    peer.import_targets
        .as_ref()
        .is_none_or(|permitted| targets.any(|target| permitted.contains(&target)))
}

/// Whether the peer can be told IPv4 routes with an IPv6 next hop (RFC 8950 §4).
fn takes_mixed(view: &PeerView, family: AfiSafi) -> bool {
    view.negotiated.extended_next_hop.contains(&(family, Afi::IPV6)) || puts_ours(view, family)
}

/// Whether routes of `bucket` may go to the peer at all, interest left out: split horizon, the rules
/// of reflection (RFC 4456 §6), AS loops, well-known communities (RFC 1997, RFC 9494 §4.3).
pub(crate) fn may_go(
    config: &ShardConfig,
    family: AfiSafi,
    bucket: &Bucket,
    to: PeerIx,
    view: &PeerView,
) -> bool {
    if bucket.peer == to || bucket.no_advertise || bucket.rank.cost() == UNREACHABLE {
        return false;
    }
    if bucket.next_hop.is_mixed(family) && !takes_mixed(view, family) {
        return false;
    }
    match view.kind {
        PeerKind::External { asn } => {
            let policy = &*view.policy;
            let is_leak = bucket.only_to_customers && policy.role.is_some_and(is_below_or_beside);
            let is_loop = !policy.as_override && bucket.attributes.as_path.contains(asn);
            let is_stale = bucket.rank.worth.is_long_lived_stale() && !policy.long_lived;
            !(bucket.no_export || is_leak || is_loop || is_stale)
        }
        PeerKind::NonClient if bucket.source == Source::NonClient => false,
        PeerKind::Client if bucket.source == Source::Client && !config.client_to_client => false,
        // What it has originated itself it would drop (RFC 4456 §8).
        PeerKind::NonClient | PeerKind::Client => {
            bucket.attributes.originator_id != Some(view.router_id)
        }
    }
}
