//! Which path is best, and the step that decided (RFC 4271 §9.1.2.2, RFC 4456 §9).

use std::cmp::Reverse;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use bgp_wire::community::Community;
use bgp_wire::{AfiSafi, Origin, PathAttributes, PathId};

use crate::known;

/// LOCAL_PREF of a route that has none (RFC 4271 §5.1.5 leaves it to us).
pub(crate) const DEFAULT_LOCAL_PREF: u32 = 100;

/// How paths are compared, the same for all peers.
///
/// The outcome never depends on the order in which paths came: MED is compared within each
/// neighbouring AS before the later steps are looked at ("deterministic MED" elsewhere).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option that people know by name")]
pub struct DecisionOptions {
    /// Compare MED also between paths of different neighbouring ASes.
    pub always_compare_med: bool,
    /// A missing MED counts as the highest and not as 0 (RFC 4451 §2.2).
    pub missing_med_is_worst: bool,
    /// Compare AIGP where it is there (RFC 7311 §4.1).
    pub aigp: bool,
    /// Use only routes whose next hop is reached, the nearer one first (RFC 4271 §9.1.2.1, §9.1.2.2 e):
    /// see [`crate::Output::NextHopWanted`].
    pub track_next_hops: bool,
}

/// The cost of a next hop that is not reached.
pub(crate) const UNREACHABLE: u32 = u32::MAX;

impl Default for DecisionOptions {
    fn default() -> Self {
        Self {
            always_compare_med: false,
            missing_med_is_worst: false,
            aigp: true,
            track_next_hops: false,
        }
    }
}

/// The step that told two paths apart, in the order they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Its next hop is reached (RFC 4271 §9.1.2.1).
    Reachable,
    /// Not long-lived stale before long-lived stale (RFC 9494 §4.3).
    LongLivedStale,
    /// Of EVPN: the address of a default gateway before others (RFC 7432 §10.1).
    DefaultGateway,
    /// Of EVPN: an address that does not move before others (RFC 7432 §15.2).
    StickyMac,
    /// Of EVPN: higher sequence number, where an address was seen last (RFC 7432 §15).
    MacMobility,
    /// Higher LOCAL_PREF.
    LocalPref,
    /// Lower AIGP; a path without one comes after those that have it (RFC 7311 §4.1).
    Aigp,
    /// Shorter AS_PATH.
    AsPathLength,
    /// Lower ORIGIN.
    Origin,
    /// Lower MED, among paths of the same neighbouring AS.
    Med,
    /// External before internal.
    External,
    /// Lower cost of the way to the next hop.
    NextHopCost,
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
            Self::Reachable => "reachable",
            Self::LongLivedStale => "long-lived-stale",
            Self::DefaultGateway => "default-gateway",
            Self::StickyMac => "sticky-mac",
            Self::MacMobility => "mac-mobility",
            Self::LocalPref => "local-preference",
            Self::Aigp => "aigp",
            Self::AsPathLength => "as-path-length",
            Self::Origin => "origin",
            Self::Med => "med",
            Self::External => "external",
            Self::NextHopCost => "next-hop-cost",
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
    /// Of the way to the next hop; 0 where that is not looked at.
    pub(crate) cost: u32,
    pub(crate) long_lived_stale: bool,
    pub(crate) mobility: Mobility,
    pub(crate) local_pref: u32,
    pub(crate) aigp: Option<u64>,
    pub(crate) as_path_length: u32,
    pub(crate) origin: Origin,
    /// Missing counts as 0, the best (RFC 4271 §9.1.2.2 c), or as asked for.
    pub(crate) med: u32,
    /// First AS of the path; 0 for a route that has not left our AS, and where MED is compared
    /// between all.
    pub(crate) neighbor_as: u32,
    pub(crate) external: bool,
    /// ORIGINATOR_ID, else the sender's router id.
    pub(crate) router_id: Ipv4Addr,
    pub(crate) cluster_list_length: u32,
}

impl Rank {
    /// Of attributes as received.
    pub(crate) fn of(
        attributes: &PathAttributes,
        family: AfiSafi,
        options: DecisionOptions,
        external: bool,
        sender: Ipv4Addr,
    ) -> Self {
        let neighbor_as = attributes.as_path.first().unwrap_or(0);
        let missing_med = if options.missing_med_is_worst { u32::MAX } else { 0 };
        Self {
            cost: 0,
            long_lived_stale: attributes.communities.contains(&Community::LLGR_STALE),
            mobility: if family == AfiSafi::EVPN {
                Mobility::of(attributes)
            } else {
                Mobility::default()
            },
            aigp: if options.aigp { known::aigp(attributes) } else { None },
            local_pref: attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF),
            as_path_length: u32::try_from(attributes.as_path.length()).unwrap_or(u32::MAX),
            origin: attributes.origin,
            med: attributes.med.unwrap_or(missing_med),
            neighbor_as: if options.always_compare_med { 0 } else { neighbor_as },
            external,
            router_id: attributes.originator_id.unwrap_or(sender),
            cluster_list_length: u32::try_from(attributes.cluster_list.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Where an address is now, as EVPN routes tell it; the highest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mobility {
    pub(crate) default_gateway: bool,
    pub(crate) sticky: bool,
    /// Missing counts as 0 (RFC 7432 §7.7).
    pub(crate) sequence: u32,
}

impl Mobility {
    fn of(attributes: &PathAttributes) -> Self {
        let (sticky, sequence) = known::mac_mobility(attributes).unwrap_or_default();
        Self { default_gateway: known::is_default_gateway(attributes), sticky, sequence }
    }
}

/// One path that may be chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) rank: Rank,
    pub(crate) address: IpAddr,
    pub(crate) path_id: PathId,
    before_med: BeforeMed,
}

/// The steps before MED in two numbers; lowest is best.
type BeforeMed = (u64, u128);

impl Candidate {
    pub(crate) fn new(rank: Rank, address: IpAddr, path_id: PathId) -> Self {
        Self { before_med: before_med(&rank), rank, address, path_id }
    }

    /// Steps after MED; lowest is best.
    fn after_med(&self) -> (Reverse<bool>, u32, Ipv4Addr, u32, IpAddr, PathId) {
        let Rank { external, cost, router_id, cluster_list_length, .. } = self.rank;
        (Reverse(external), cost, router_id, cluster_list_length, self.address, self.path_id)
    }
}

fn before_med(rank: &Rank) -> BeforeMed {
    let Rank { cost, long_lived_stale, mobility, local_pref, aigp, as_path_length, origin, .. } =
        *rank;
    let Mobility { default_gateway, sticky, sequence } = mobility;
    let flags = [cost == UNREACHABLE, long_lived_stale, !default_gateway, !sticky];
    let flags = flags.into_iter().fold(0, |flags, flag| flags << 1 | u64::from(flag));
    // No message holds a longer AS_PATH than 16 bits count.
    let length = as_path_length.min(u16::MAX.into());
    let worth = u128::from(!local_pref) << 65 | u128::from(aigp.is_none()) << 64;
    let worth = worth | u128::from(aigp.unwrap_or(0));
    (flags << 32 | u64::from(!sequence), worth << 18 | u128::from(length) << 2 | origin as u128)
}

/// The index of the best candidate; `None` of none. The outcome does not depend on their order:
/// MED, which does not order all paths, takes out losers before the later steps are looked at.
pub(crate) fn best(candidates: &[Candidate]) -> Option<usize> {
    undecided_by_med(candidates).min_by_key(|nth| candidates[*nth].after_med())
}

/// The candidates that only the router id and what comes after it tell from the best: over all of
/// them traffic may be spread.
pub(crate) fn multipath(candidates: &[Candidate]) -> Vec<usize> {
    let key = |nth: &usize| {
        let Rank { external, cost, .. } = candidates[*nth].rank;
        (Reverse(external), cost)
    };
    let best = undecided_by_med(candidates).map(|nth| key(&nth)).min();
    undecided_by_med(candidates).filter(|nth| Some(key(nth)) == best).collect()
}

/// The candidates that no step up to MED takes out.
fn undecided_by_med(candidates: &[Candidate]) -> impl Iterator<Item = usize> + '_ {
    let front = candidates.iter().map(|candidate| candidate.before_med).min();
    let level = move |candidate: &Candidate| Some(candidate.before_med) == front;
    let meds_differ =
        candidates.first().is_some_and(|a| candidates.iter().any(|b| b.rank.med != a.rank.med));
    candidates
        .iter()
        .enumerate()
        .filter(move |(_, candidate)| {
            level(candidate)
                && !(meds_differ
                    && candidates
                        .iter()
                        .any(|other| beats_by_med(other, candidate) && level(other)))
        })
        .map(|(nth, _)| nth)
}

fn beats_by_med(a: &Candidate, b: &Candidate) -> bool {
    a.rank.med < b.rank.med && a.rank.neighbor_as == b.rank.neighbor_as
}

/// The first step at which two paths differ, seen alone.
pub(crate) fn step_between(a: &Candidate, b: &Candidate) -> Step {
    let (x, y) = (&a.rank, &b.rank);
    let same_neighbor = x.neighbor_as == y.neighbor_as;
    let (m, n) = (&x.mobility, &y.mobility);
    [
        (Step::Reachable, (x.cost == UNREACHABLE) != (y.cost == UNREACHABLE)),
        (Step::LongLivedStale, x.long_lived_stale != y.long_lived_stale),
        (Step::DefaultGateway, m.default_gateway != n.default_gateway),
        (Step::StickyMac, m.sticky != n.sticky),
        (Step::MacMobility, m.sequence != n.sequence),
        (Step::LocalPref, x.local_pref != y.local_pref),
        (Step::Aigp, x.aigp != y.aigp),
        (Step::AsPathLength, x.as_path_length != y.as_path_length),
        (Step::Origin, x.origin != y.origin),
        (Step::Med, same_neighbor && x.med != y.med),
        (Step::External, x.external != y.external),
        (Step::NextHopCost, x.cost != y.cost),
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
        let from = Ipv4Addr::new(10, 0, 0, 5);
        let rank = Rank::of(&attributes, AfiSafi::EVPN, DecisionOptions::default(), false, from);
        let mut candidate = Candidate::new(Rank { cost: 9, ..rank }, from.into(), PathId(1));
        change(&mut candidate);
        again(candidate)
    }

    /// What the rank says now.
    fn again(candidate: Candidate) -> Candidate {
        Candidate::new(candidate.rank, candidate.address, candidate.path_id)
    }

    #[test]
    fn each_step_decides_when_those_before_are_level() {
        let low = Ipv4Addr::new(10, 0, 0, 1);
        let moved = |c: &mut Candidate| c.rank.mobility.sequence = 1;
        let cases = [
            (Step::DefaultGateway, candidate(|c| c.rank.mobility.default_gateway = true)),
            (Step::StickyMac, candidate(|c| c.rank.mobility.sticky = true)),
            (Step::MacMobility, candidate(moved)),
            (Step::Aigp, candidate(|c| c.rank.aigp = Some(u64::MAX))),
            (Step::LocalPref, candidate(|c| c.rank.local_pref = 101)),
            (Step::Med, candidate(|c| c.rank.med = 4)),
            (Step::External, candidate(|c| c.rank.external = true)),
            (Step::NextHopCost, candidate(|c| c.rank.cost = 8)),
            (Step::RouterId, candidate(|c| c.rank.router_id = low)),
            (Step::PeerAddress, candidate(|c| c.address = low.into())),
            (Step::PathId, candidate(|c| c.path_id = PathId(0))),
        ];
        let other = candidate(|c| c.rank.med = 5);
        for (step, better) in cases {
            let med = |candidate: Candidate, med| {
                again(Candidate { rank: Rank { med, ..candidate.rank }, ..candidate })
            };
            let better = med(better, better.rank.med.max(4));
            let other = med(other, if step == Step::Med { 5 } else { 4 });
            assert_eq!(best(&[other, better]), Some(1), "{step}");
            assert_eq!(best(&[better, other]), Some(0), "{step}");
            assert_eq!(step_between(&better, &other), step);
        }
        let longer = candidate(|c| c.rank.as_path_length = 1);
        let worse_origin = candidate(|c| c.rank.origin = Origin::Egp);
        let clustered = candidate(|c| c.rank.cluster_list_length = 2);
        let plain = candidate(|_| {});
        let stale = candidate(|c| c.rank.long_lived_stale = true);
        let lost = candidate(|c| c.rank.cost = UNREACHABLE);
        for (step, worse) in [
            (Step::Reachable, lost),
            (Step::LongLivedStale, stale),
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
