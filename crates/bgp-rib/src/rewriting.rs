//! Memberships at a border where route targets are rewritten (RFC 4684).
//!
//! Routes from the peer have our targets in the place of its own, so it is asked for its own where
//! somebody here wants ours. Routes to it have its targets in the place of ours, so what it asks for is
//! what ours become. Both are preimages: of a target, all that are rewritten to it, and the target itself
//! if it is not rewritten. Those of two targets have nothing in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bgp_wire::{AfiSafi, Route, RouteTarget, RtMembership};

use crate::family::TableFamily;
use crate::peer::PeerView;

/// How memberships of one peer are rewritten, in and out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rewriting {
    /// What it asks for, in our targets.
    pub(crate) heard: Preimages,
    /// What it is asked for, in its own.
    pub(crate) told: Preimages,
}

/// What is rewritten to a target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Preimages {
    of: BTreeMap<RouteTarget, Vec<RouteTarget>>,
    rewritten: BTreeSet<RouteTarget>,
}

impl Rewriting {
    /// `None` where memberships stay as they are.
    pub(crate) fn of(view: &PeerView) -> Option<Arc<Self>> {
        let (import, export) = (&view.policy.import_rewrite, &view.policy.export_rewrite);
        if !view.speaks(AfiSafi::RTC) || import.is_empty() && export.is_empty() {
            return None;
        }
        Some(Arc::new(Self { heard: Preimages::new(export), told: Preimages::new(import) }))
    }
}

impl Preimages {
    fn new(rewrite: &BTreeMap<RouteTarget, RouteTarget>) -> Self {
        let mut of: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (from, to) in rewrite {
            of.entry(*to).or_default().push(*from);
        }
        Self { of, rewritten: rewrite.keys().copied().collect() }
    }

    /// Part of a target, and the default target, stay as they are.
    fn memberships(&self, membership: RtMembership) -> Vec<RtMembership> {
        let Some(target) = membership.exact_target() else { return vec![membership] };
        let others = self.of.get(&target).into_iter().flatten().copied();
        let itself = (!self.rewritten.contains(&target)).then_some(target);
        let all: BTreeSet<RouteTarget> = others.chain(itself).collect();
        all.into_iter().map(|target| RtMembership::exact(membership.origin_as(), target)).collect()
    }

    /// What a key of the table of memberships is on the other side.
    pub(crate) fn keys<F: TableFamily>(&self, key: &F::Key) -> Vec<F::Key> {
        let Some(membership) = F::membership(key) else { return vec![key.clone()] };
        self.memberships(membership).into_iter().filter_map(F::of_membership).collect()
    }

    /// Likewise, of routes.
    pub(crate) fn routes<F: TableFamily>(&self, list: Vec<Route<F>>) -> Vec<Route<F>> {
        let all = list.into_iter().flat_map(|Route { path_id, key, data }| {
            let keys = self.keys::<F>(&key);
            keys.into_iter().map(move |key| Route { path_id, key, data: data.clone() })
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_becomes_the_target() {
        let target = |number| RouteTarget::as2(64_512, number);
        let asked = |number| RtMembership::exact(7, target(number));
        let swapped = [(1, 2), (2, 1), (3, 4), (5, 4)].map(|(from, to)| (target(from), target(to)));
        let preimages = Preimages::new(&swapped.into());
        // (a target, what is rewritten to it)
        let cases: [(u32, &[u32]); 6] =
            [(1, &[2]), (2, &[1]), (3, &[]), (4, &[3, 4, 5]), (5, &[]), (6, &[6])];
        for (number, want) in cases {
            let want: Vec<_> = want.iter().map(|number| asked(*number)).collect();
            assert_eq!(preimages.memberships(asked(number)), want, "{number}");
        }
        let part = RtMembership::new(80, 7, target(1).octets()).unwrap();
        for whole in [RtMembership::DEFAULT, part] {
            assert_eq!(preimages.memberships(whole), [whole]);
        }
    }
}
