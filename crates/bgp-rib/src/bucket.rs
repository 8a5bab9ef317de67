//! Buckets: what one peer said in one attribute set, and the routes that have it.
//!
//! A bucket belongs to one sender, since what is passed on names the originator, and since losing a
//! peer is then a walk over its buckets.

use std::hash::BuildHasher as _;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bgp_wire::community::Community;
use bgp_wire::{AfiSafi, NextHop, PathAttributes, RouteTarget};
use foldhash::fast::FixedState;

use crate::chunked::{Chunked, NONE};
use crate::decision::Rank;
use crate::index::{Hash, Index};
use crate::peer::{PeerIx, PeerKind};
use crate::peer_set::SetIx;
use crate::policy;
use crate::target_index::{Carried, TargetIndex};

pub(crate) type BucketIx = u32;

/// Where a route comes from; decides to whom it may go (RFC 4456 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Local,
    Client,
    NonClient,
    External,
}

impl From<PeerKind> for Source {
    fn from(kind: PeerKind) -> Self {
        match kind {
            PeerKind::Client => Self::Client,
            PeerKind::NonClient => Self::NonClient,
            PeerKind::External { .. } => Self::External,
        }
    }
}

/// An attribute set of one sender.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) peer: PeerIx,
    pub(crate) source: Source,
    pub(crate) no_export: bool,
    pub(crate) no_advertise: bool,
    /// It has OTC, in a family where that counts.
    pub(crate) only_to_customers: bool,
    pub(crate) next_hop: NextHop,
    /// As sent to internal peers: LOCAL_PREF there, reflection attributes added.
    pub(crate) attributes: Arc<PathAttributes>,
    pub(crate) rank: Rank,
    /// List of its paths, threaded through the paths.
    pub(crate) head: u32,
    pub(crate) len: u32,
    /// How many of its paths are the best of their destination.
    pub(crate) best: u32,
    /// List of the buckets of its sender.
    prev: BucketIx,
    next: BucketIx,
    pub(crate) carried: Box<[Carried]>,
    /// Who is told its routes, as it was in that epoch.
    pub(crate) audience: SetIx,
    pub(crate) audience_epoch: u64,
}

impl Bucket {
    /// About how many octets its attributes take in a message.
    pub(crate) fn weight(&self) -> usize {
        let PathAttributes {
            as_path,
            communities,
            cluster_list,
            extended_communities,
            large_communities,
            others,
            ..
        } = &*self.attributes;
        let raw: usize = others.iter().map(|other| 4 + other.value.len()).sum();
        4 * (as_path.numbers().count() + communities.len() + cluster_list.len())
            + 8 * extended_communities.len()
            + 12 * large_communities.len()
            + raw
    }
}

/// What makes a bucket.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) peer: PeerIx,
    pub(crate) source: Source,
    pub(crate) next_hop: NextHop,
    /// As sent to internal peers.
    pub(crate) attributes: Arc<PathAttributes>,
    pub(crate) rank: Rank,
}

/// The buckets of one table.
#[derive(Debug)]
pub(crate) struct Buckets {
    hasher: FixedState,
    slab: Chunked<Bucket>,
    index: Index,
    pub(crate) targets: TargetIndex,
    family: AfiSafi,
}

impl Buckets {
    pub(crate) fn new(seed: u64, family: AfiSafi) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            slab: Chunked::new(),
            index: Index::default(),
            targets: TargetIndex::new(seed),
            family,
        }
    }

    pub(crate) fn at(&self, ix: BucketIx) -> &Bucket {
        self.slab.at(ix)
    }

    pub(crate) fn at_mut(&mut self, ix: BucketIx) -> &mut Bucket {
        self.slab.at_mut(ix)
    }

    pub(crate) fn len(&self) -> u32 {
        self.slab.len()
    }

    /// One above the highest number ever used.
    pub(crate) fn end(&self) -> BucketIx {
        self.slab.end()
    }

    /// The route targets of a bucket, each once.
    pub(crate) fn targets_of(&self, ix: BucketIx) -> impl Iterator<Item = RouteTarget> + '_ {
        self.at(ix).carried.iter().map(|carried| self.targets.target(carried.target))
    }

    /// The bucket of `said`, made if there is none. `head` is the list of the sender's buckets.
    pub(crate) fn intern(&mut self, said: Said, head: &mut BucketIx) -> BucketIx {
        let hash = hash(&self.hasher, said.peer, said.next_hop, &said.attributes);
        let slab = &self.slab;
        let found = self.index.find(hash, |ix| {
            let bucket = slab.at(ix);
            bucket.peer == said.peer
                && bucket.next_hop == said.next_hop
                && (Arc::ptr_eq(&bucket.attributes, &said.attributes)
                    || bucket.attributes == said.attributes)
        });
        if let Some(ix) = found {
            return ix;
        }
        let Said { peer, source, next_hop, attributes, rank } = said;
        let has = |community| attributes.communities.contains(&community);
        let ix = self.slab.insert(Bucket {
            peer,
            source,
            no_export: has(Community::NO_EXPORT) || has(Community::NO_EXPORT_SUBCONFED),
            no_advertise: has(Community::NO_ADVERTISE),
            only_to_customers: policy::has_roles(self.family) && attributes.otc().is_some(),
            next_hop,
            attributes,
            rank,
            head: NONE,
            len: 0,
            best: 0,
            prev: NONE,
            next: *head,
            carried: Box::new([]),
            audience: NONE,
            audience_epoch: 0,
        });
        if *head != NONE {
            self.slab.at_mut(*head).prev = ix;
        }
        *head = ix;
        if self.family.has_targets() {
            let mut targets: Vec<RouteTarget> = self.at(ix).attributes.route_targets().collect();
            targets.sort_unstable();
            targets.dedup();
            self.slab.at_mut(ix).carried =
                targets.into_iter().map(|target| self.targets.insert(target, ix)).collect();
        }
        self.index.insert(hash, ix);
        ix
    }

    /// Removes a bucket that has no paths. Returns the audience it held.
    pub(crate) fn remove(&mut self, ix: BucketIx, head: &mut BucketIx) -> SetIx {
        let bucket = self.slab.at_mut(ix);
        debug_assert_eq!(bucket.len, 0);
        let (prev, next) = (bucket.prev, bucket.next);
        let carried = std::mem::take(&mut bucket.carried);
        // A walk may still have this number.
        bucket.head = NONE;
        let hash = hash(&self.hasher, bucket.peer, bucket.next_hop, &bucket.attributes);
        bucket.attributes = Arc::default();
        let audience = std::mem::replace(&mut bucket.audience, NONE);
        self.index.remove(hash, ix);
        match prev {
            NONE => *head = next,
            prev => self.slab.at_mut(prev).next = next,
        }
        if next != NONE {
            self.slab.at_mut(next).prev = prev;
        }
        for carried in carried {
            let Some(moved) = self.targets.remove(carried) else { continue };
            let places = &mut self.slab.at_mut(moved).carried;
            if let Some(place) = places.iter_mut().find(|place| place.target == carried.target) {
                place.position = carried.position;
            }
        }
        self.slab.remove(ix);
        audience
    }

    /// The bucket after `ix` of the same sender.
    pub(crate) fn next_of_sender(&self, ix: BucketIx) -> BucketIx {
        self.at(ix).next
    }
}

fn hash(hasher: &FixedState, peer: PeerIx, next_hop: NextHop, attributes: &PathAttributes) -> Hash {
    Hash::of(hasher.hash_one((peer, next_hop, attributes)))
}

/// What `attributes` look like when an internal peer is told: LOCAL_PREF is there, and what comes
/// from an internal peer has an originator and our cluster (RFC 4456 §8). Costs no copy when the
/// caller has the only reference.
pub(crate) fn as_sent_inside(
    attributes: Arc<PathAttributes>,
    source: Source,
    sender: Ipv4Addr,
    cluster_id: Ipv4Addr,
) -> Arc<PathAttributes> {
    let reflected = matches!(source, Source::Client | Source::NonClient);
    if !reflected && attributes.local_pref.is_some() {
        return attributes;
    }
    let mut attributes = attributes;
    let change = Arc::make_mut(&mut attributes);
    change.local_pref.get_or_insert(crate::decision::DEFAULT_LOCAL_PREF);
    if reflected {
        change.originator_id.get_or_insert(sender);
        change.cluster_list.insert(0, cluster_id);
    }
    attributes
}
