//! What several shards mark together: the end of what a newcomer is told, and the answer to a request.

use std::collections::BTreeSet;

use bgp_wire::{AfiSafi, RouteRefresh};

/// Which shards have marked what of which family.
#[derive(Debug)]
pub(crate) struct Marks {
    shards: u16,
    seen: BTreeSet<(AfiSafi, Mark, u16)>,
    /// Families whose End-of-RIB was told.
    ended: BTreeSet<AfiSafi>,
}

/// Whether the peer takes End-of-RIB for the end of our restart, so that nothing may be marked before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restarts {
    /// It has said that it restarts gracefully (RFC 4724).
    Gracefully,
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    EndOfRib,
    RefreshBegun,
    RefreshEnded,
}

/// What a mark of an answer to a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refreshed {
    /// The peer is told.
    pub(crate) goes_out: bool,
    /// All shards have answered.
    pub(crate) is_complete: bool,
}

impl Marks {
    pub(crate) const fn new(shards: u16) -> Self {
        Self { shards, seen: BTreeSet::new(), ended: BTreeSet::new() }
    }

    /// Whether this was the last mark that was missing. The next round starts anew.
    pub(crate) fn end_of_rib(&mut self, family: AfiSafi, shard: u16) -> bool {
        let complete = self.completes(family, Mark::EndOfRib, shard);
        if complete {
            self.forget(family, Mark::EndOfRib);
            self.ended.insert(family);
        }
        complete
    }

    /// The first beginning goes out, and the end when all shards have ended. Towards a peer that restarts
    /// gracefully an answer that begins before the End-of-RIB is not marked at all (RFC 7313 §4).
    pub(crate) fn refresh(
        &mut self,
        family: AfiSafi,
        subtype: u8,
        shard: u16,
        peer: Restarts,
    ) -> Refreshed {
        match subtype {
            RouteRefresh::BEGIN => {
                let may_go = peer == Restarts::No || self.ended.contains(&family);
                let goes_out = may_go && !self.has_begun(family);
                if goes_out {
                    self.seen.insert((family, Mark::RefreshBegun, shard));
                }
                Refreshed { goes_out, is_complete: false }
            }
            RouteRefresh::END => {
                let is_complete = self.completes(family, Mark::RefreshEnded, shard);
                let goes_out = is_complete && self.has_begun(family);
                if is_complete {
                    self.forget(family, Mark::RefreshBegun);
                    self.forget(family, Mark::RefreshEnded);
                }
                Refreshed { goes_out, is_complete }
            }
            _ => Refreshed { goes_out: false, is_complete: false },
        }
    }

    fn has_begun(&self, family: AfiSafi) -> bool {
        self.seen.iter().any(|(of, mark, _)| (*of, *mark) == (family, Mark::RefreshBegun))
    }

    fn completes(&mut self, family: AfiSafi, mark: Mark, shard: u16) -> bool {
        self.seen.insert((family, mark, shard));
        (0..self.shards).all(|shard| self.seen.contains(&(family, mark, shard)))
    }

    fn forget(&mut self, family: AfiSafi, mark: Mark) {
        self.seen.retain(|(of, seen, _)| (*of, *seen) != (family, mark));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: AfiSafi = AfiSafi::VPNV4;

    fn after_end_of_rib() -> Marks {
        let mut marks = Marks::new(2);
        assert!(!marks.end_of_rib(FAMILY, 0));
        assert!(marks.end_of_rib(FAMILY, 1));
        marks
    }

    #[test]
    fn the_first_beginning_and_the_last_end_of_all_shards_go_out() {
        use RouteRefresh as R;
        let mut marks = after_end_of_rib();
        for _ in 0..2 {
            // (the mark, the shard, whether it goes out)
            for (subtype, shard, goes_out) in [
                (R::BEGIN, 1, true),
                (R::END, 1, false),
                (R::BEGIN, 0, false),
                (R::END, 1, false),
                (R::END, 0, true),
            ] {
                let out = marks.refresh(FAMILY, subtype, shard, Restarts::Gracefully).goes_out;
                assert_eq!(out, goes_out, "{subtype} of shard {shard}");
            }
        }
    }

    #[test]
    fn an_answer_within_the_first_telling_is_not_marked() {
        let mut marks = Marks::new(1);
        let mut say = |family, subtype| marks.refresh(family, subtype, 0, Restarts::Gracefully);
        assert!(!say(FAMILY, RouteRefresh::BEGIN).goes_out);
        let end = say(FAMILY, RouteRefresh::END);
        assert_eq!(end, Refreshed { goes_out: false, is_complete: true });
        assert!(marks.end_of_rib(FAMILY, 0));
        let mut say = |family, subtype| marks.refresh(family, subtype, 0, Restarts::Gracefully);
        assert!(say(FAMILY, RouteRefresh::BEGIN).goes_out);
        assert!(!say(AfiSafi::RTC, RouteRefresh::BEGIN).goes_out);
        assert!(say(FAMILY, RouteRefresh::END).goes_out);
    }

    #[test]
    fn but_to_a_peer_that_does_not_restart_gracefully_it_is() {
        let mut marks = Marks::new(1);
        for subtype in [RouteRefresh::BEGIN, RouteRefresh::END] {
            assert!(marks.refresh(FAMILY, subtype, 0, Restarts::No).goes_out);
        }
    }
}
