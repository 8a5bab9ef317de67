//! What is taken in and what goes out.

use std::fmt;
use std::sync::Arc;

use bgp_wire::{AfiSafi, NextHop, PathAttributes, RouteTarget};

use crate::bucket::{Bucket, Source};
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
    /// None of its route targets is among [`crate::PeerView::import_targets`].
    ImportTargets,
}

impl Reject {
    pub const ALL: [Self; 6] = [
        Self::AsLoop,
        Self::Originator,
        Self::ClusterLoop,
        Self::FirstAs,
        Self::NoNextHop,
        Self::ImportTargets,
    ];

    /// Name in metrics and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsLoop => "as-loop",
            Self::Originator => "originator-loop",
            Self::ClusterLoop => "cluster-loop",
            Self::FirstAs => "first-as",
            Self::NoNextHop => "no-next-hop",
            Self::ImportTargets => "import-targets",
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether what `peer` announces with these attributes is taken. Looks at nothing that differs
/// between routes of one UPDATE.
pub(crate) fn accept(
    config: &ShardConfig,
    peer: &PeerView,
    family: AfiSafi,
    attributes: &PathAttributes,
    next_hop: NextHop,
) -> Result<(), Reject> {
    if next_hop == NextHop::None {
        return Err(Reject::NoNextHop);
    }
    if attributes.as_path.contains(config.local_as) {
        return Err(Reject::AsLoop);
    }
    match peer.kind {
        PeerKind::External { asn } => {
            if attributes.as_path.first() != Some(asn) {
                return Err(Reject::FirstAs);
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
    if family.has_targets() && !permits(peer, attributes.route_targets()) {
        return Err(Reject::ImportTargets);
    }
    Ok(())
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

/// Whether routes of `bucket` may go to the peer at all, interest left out: split horizon, the rules
/// of reflection (RFC 4456 §6), AS loops, well-known communities (RFC 1997).
pub(crate) fn may_go(bucket: &Bucket, to: PeerIx, view: &PeerView) -> bool {
    if bucket.peer == to || bucket.no_advertise {
        return false;
    }
    match view.kind {
        PeerKind::External { asn } => !bucket.no_export && !bucket.attributes.as_path.contains(asn),
        PeerKind::NonClient if bucket.source == Source::NonClient => false,
        // What it has originated itself it would drop (RFC 4456 §8).
        PeerKind::NonClient | PeerKind::Client => {
            bucket.attributes.originator_id != Some(view.router_id)
        }
    }
}
