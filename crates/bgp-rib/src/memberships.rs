//! What is special about memberships as routes (RFC 4684 §3.2).
//!
//! - A client is told that somebody else wants a target even where its own membership is the best:
//!   each peer is told the best of those paths that may go to it.
//! - A client is told that we are the originator, so that it does not take its own for an echo.
//! - To a non-client the best path from a client is told where the best of all is a non-client's.
//! - What changes nothing of what a peer hears is not said again: of a hundred agents that want the
//!   same, towards a client one counts.

use std::sync::Arc;

use bgp_wire::{AfiSafi, PathAttributes};

use crate::bucket::{Bucket, Source};
use crate::decision::{self, Candidate};
use crate::family::TableFamily;
use crate::peer::{MembershipsOut, PeerIx, PeerKind, PeerView};
use crate::policy;
use crate::registry::World;
use crate::table::Table;

/// What a peer hears of one membership.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) peer: PeerIx,
    heard: Option<Arc<PathAttributes>>,
    originator_is_ours: bool,
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        match (&self.heard, &other.heard) {
            (None, None) => true,
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => true,
            (Some(a), Some(b)) if self.originator_is_ours => {
                let plain = |heard: &Arc<PathAttributes>| PathAttributes {
                    originator_id: None,
                    ..(**heard).clone()
                };
                plain(a) == plain(b)
            }
            (Some(a), Some(b)) => a == b,
            _ => false,
        }
    }
}

impl<F: TableFamily> Table<F> {
    /// What each peer hears that is told of others' memberships.
    pub(crate) fn choices(&self, world: &World, destination: u32) -> Vec<Choice> {
        if world.config.shard != 0 {
            return Vec::new();
        }
        world
            .listeners()
            .iter()
            .filter_map(|peer| Some((*peer, world.up(*peer)?)))
            .map(|(peer, to)| Choice {
                peer,
                heard: self.told_membership(world, destination, peer).map(|path| {
                    Arc::clone(&self.buckets.at(self.paths.at(path).bucket).attributes)
                }),
                originator_is_ours: to.view.kind == PeerKind::Client,
            })
            .collect()
    }

    /// The path of a membership that `peer` is told.
    pub(crate) fn told_membership(
        &self,
        world: &World,
        destination: u32,
        peer: PeerIx,
    ) -> Option<u32> {
        let to = world.up(peer)?;
        if world.config.shard != 0 || self.group_ix(peer).is_none() {
            return None;
        }
        let key = F::membership(&self.destinations.at(destination).key)?;
        let own = to.view.originate.contains(&key);
        let bucket = |path: u32| self.buckets.at(self.paths.at(path).bucket);
        let paths: Vec<u32> = self
            .paths_of(destination)
            .filter(|path| may_hear(world, bucket(*path), peer, &to.view, own))
            .collect();
        let candidates: Vec<Candidate> =
            paths.iter().map(|path| self.candidate(world, *path)).collect();
        decision::best(&candidates).map(|best| paths[best])
    }
}

/// Whether a peer may be told a path; `own` when we originate this membership to it.
fn may_hear(world: &World, bucket: &Bucket, to: PeerIx, view: &PeerView, own: bool) -> bool {
    match (bucket.source, view.memberships) {
        (Source::Local, _) => own,
        (_, MembershipsOut::OwnOnly) => false,
        // What we say ourselves goes before what we pass on.
        (_, MembershipsOut::Reflected) => {
            !own && policy::may_go(&world.config, AfiSafi::RTC, bucket, to, view)
        }
    }
}
