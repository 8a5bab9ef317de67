//! Which path is best, and the step that decided (RFC 4271 §9.1.2.2, RFC 4456 §9).

use std::cmp::Reverse;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use bgp_wire::{Origin, PathAttributes, PathId};

/// LOCAL_PREF of a route that has none (RFC 4271 §5.1.5 leaves it to us).
pub(crate) const DEFAULT_LOCAL_PREF: u32 = 100;

/// The step that told two paths apart, in the order they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Higher LOCAL_PREF.
    LocalPref,
    /// Shorter AS_PATH.
    AsPathLength,
    /// Lower ORIGIN.
    Origin,
    /// Lower MED, among paths of the same neighbouring AS.
    Med,
    /// External before internal.
    External,
    /// Lower ORIGINATOR_ID, or router id of the sender.
    RouterId,
    /// Shorter CLUSTER_LIST.
    ClusterListLength,
    /// Lower address of the sender.
    PeerAddress,
    /// Lower path identifier, of paths from one sender.
    PathId,
}

impl Step {
    /// Name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LocalPref => "local-preference",
            Self::AsPathLength => "as-path-length",
            Self::Origin => "origin",
            Self::Med => "med",
            Self::External => "external",
            Self::RouterId => "router-id",
            Self::ClusterListLength => "cluster-list-length",
            Self::PeerAddress => "peer-address",
            Self::PathId => "path-id",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What of an attribute set the decision looks at. Made once per bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rank {
    pub(crate) local_pref: u32,
    pub(crate) as_path_length: u32,
    pub(crate) origin: Origin,
    /// Missing counts as 0, the best (RFC 4271 §9.1.2.2 c).
    pub(crate) med: u32,
    /// First AS of the path; 0 for a route that has not left our AS.
    pub(crate) neighbor_as: u32,
    pub(crate) external: bool,
    /// ORIGINATOR_ID, else the sender's router id.
    pub(crate) router_id: Ipv4Addr,
    pub(crate) cluster_list_length: u32,
}

impl Rank {
    /// Of attributes as received.
    pub(crate) fn of(attributes: &PathAttributes, external: bool, sender: Ipv4Addr) -> Self {
        Self {
            local_pref: attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF),
            as_path_length: u32::try_from(attributes.as_path.length()).unwrap_or(u32::MAX),
            origin: attributes.origin,
            med: attributes.med.unwrap_or(0),
            neighbor_as: attributes.as_path.first().unwrap_or(0),
            external,
            router_id: attributes.originator_id.unwrap_or(sender),
            cluster_list_length: u32::try_from(attributes.cluster_list.len()).unwrap_or(u32::MAX),
        }
    }
}

/// One path that may be chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) rank: Rank,
    pub(crate) address: IpAddr,
    pub(crate) path_id: PathId,
}

impl Candidate {
    /// Steps before MED; lowest is best.
    fn before_med(&self) -> (Reverse<u32>, u32, Origin) {
        (Reverse(self.rank.local_pref), self.rank.as_path_length, self.rank.origin)
    }

    /// Steps after MED; lowest is best.
    fn after_med(&self) -> (Reverse<bool>, Ipv4Addr, u32, IpAddr, PathId) {
        let Rank { external, router_id, cluster_list_length, .. } = self.rank;
        (Reverse(external), router_id, cluster_list_length, self.address, self.path_id)
    }
}

/// The index of the best candidate; `None` of none. The outcome does not depend on their order:
/// MED, which does not order all paths, takes out losers before the later steps are looked at.
pub(crate) fn best(candidates: &[Candidate]) -> Option<usize> {
    let front = candidates.iter().map(Candidate::before_med).min()?;
    let level = |candidate: &Candidate| candidate.before_med() == front;
    let beaten_by_med = |candidate: &Candidate| {
        candidates.iter().any(|other| {
            other.rank.med < candidate.rank.med
                && other.rank.neighbor_as == candidate.rank.neighbor_as
                && level(other)
        })
    };
    let meds_differ = candidates.iter().any(|other| other.rank.med != candidates[0].rank.med);
    candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| level(candidate) && !(meds_differ && beaten_by_med(candidate)))
        .min_by_key(|(_, candidate)| candidate.after_med())
        .map(|(nth, _)| nth)
}

/// The first step at which two paths differ, seen alone.
pub(crate) fn step_between(a: &Candidate, b: &Candidate) -> Step {
    let (x, y) = (&a.rank, &b.rank);
    let same_neighbor = x.neighbor_as == y.neighbor_as;
    [
        (Step::LocalPref, x.local_pref != y.local_pref),
        (Step::AsPathLength, x.as_path_length != y.as_path_length),
        (Step::Origin, x.origin != y.origin),
        (Step::Med, same_neighbor && x.med != y.med),
        (Step::External, x.external != y.external),
        (Step::RouterId, x.router_id != y.router_id),
        (Step::ClusterListLength, x.cluster_list_length != y.cluster_list_length),
        (Step::PeerAddress, a.address != b.address),
    ]
    .into_iter()
    .find(|(_, differs)| *differs)
    .map_or(Step::PathId, |(step, _)| step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(change: impl Fn(&mut Candidate)) -> Candidate {
        let attributes = PathAttributes::default();
        let mut candidate = Candidate {
            rank: Rank::of(&attributes, false, Ipv4Addr::new(10, 0, 0, 5)),
            address: Ipv4Addr::new(10, 0, 0, 5).into(),
            path_id: PathId(1),
        };
        change(&mut candidate);
        candidate
    }

    #[test]
    fn each_step_decides_when_those_before_are_level() {
        let low = Ipv4Addr::new(10, 0, 0, 1);
        let cases = [
            (Step::LocalPref, candidate(|c| c.rank.local_pref = 101)),
            (Step::Med, candidate(|c| c.rank.med = 4)),
            (Step::External, candidate(|c| c.rank.external = true)),
            (Step::RouterId, candidate(|c| c.rank.router_id = low)),
            (Step::PeerAddress, candidate(|c| c.address = low.into())),
            (Step::PathId, candidate(|c| c.path_id = PathId(0))),
        ];
        let other = candidate(|c| c.rank.med = 5);
        for (step, better) in cases {
            let better =
                Candidate { rank: Rank { med: better.rank.med.max(4), ..better.rank }, ..better };
            let other = Candidate {
                rank: Rank { med: if step == Step::Med { 5 } else { 4 }, ..other.rank },
                ..other
            };
            assert_eq!(best(&[other, better]), Some(1), "{step}");
            assert_eq!(best(&[better, other]), Some(0), "{step}");
            assert_eq!(step_between(&better, &other), step);
        }
        let longer = candidate(|c| c.rank.as_path_length = 1);
        let worse_origin = candidate(|c| c.rank.origin = Origin::Egp);
        let clustered = candidate(|c| c.rank.cluster_list_length = 2);
        let plain = candidate(|_| {});
        for (step, worse) in [
            (Step::AsPathLength, longer),
            (Step::Origin, worse_origin),
            (Step::ClusterListLength, clustered),
        ] {
            assert_eq!(best(&[worse, plain]), Some(1), "{step}");
            assert_eq!(step_between(&worse, &plain), step);
        }
    }

    #[test]
    fn med_is_compared_only_within_a_neighbouring_as_and_in_any_order() {
        // b beats a by MED, c beats b by router id, a would beat c by router id.
        let path = |neighbor_as, med, last| {
            candidate(|c| {
                c.rank.neighbor_as = neighbor_as;
                c.rank.med = med;
                c.rank.router_id = Ipv4Addr::new(10, 0, 0, last);
            })
        };
        let (a, b, c) = (path(1, 10, 1), path(1, 5, 3), path(2, 50, 2));
        for order in [[a, b, c], [c, b, a], [b, a, c], [a, c, b], [b, c, a], [c, a, b]] {
            let won = order[best(&order).unwrap()];
            assert_eq!(won.rank, c.rank);
        }
        assert_eq!(best(&[]), None);
    }
}
