//! Which path is best, and the step that decided (RFC 4271 §9.1.2.2, RFC 4456 §9).

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use bgp_wire::community::Community;
use bgp_wire::{AfiSafi, PathAttributes, PathId};

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
    /// Lower AIGP, the way to the next hop added where that is known; a path without one comes after those that have it (RFC 7311 §4.1).
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
    cost: u32,
    /// As told, where it counts.
    aigp: Option<u64>,
    /// The steps before MED.
    pub(crate) worth: Worth,
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
            aigp: attributes.aigp().filter(|_| options.aigp),
            worth: Worth::of(attributes, family, options),
            med: attributes.med.unwrap_or(missing_med),
            neighbor_as: if options.always_compare_med { 0 } else { neighbor_as },
            external,
            router_id: attributes.originator_id.unwrap_or(sender),
            cluster_list_length: u32::try_from(attributes.cluster_list.len()).unwrap_or(u32::MAX),
        }
    }
}

impl Rank {
    /// Of the way to the next hop; [`UNREACHABLE`] is none.
    pub(crate) const fn cost(&self) -> u32 {
        self.cost
    }

    pub(crate) fn set_cost(&mut self, cost: u32) {
        self.cost = cost;
        self.worth.set(Worth::LOST, cost == UNREACHABLE);
        // RFC 7311 §4.1: the way to the next hop is a part of the whole.
        if let Some(told) = self.aigp {
            self.worth.0[2] = told.saturating_add(cost.into());
        }
    }
}

/// The steps before MED, put together so that the lowest is best and few paths need a second look.
///
/// - next hop not reached; long-lived stale; not of a default gateway; not sticky; complement of the mobility sequence number
///   (32 bits). A missing number is 0 (RFC 7432 §7.7), and in other families than EVPN nothing counts
/// - complement of LOCAL_PREF; without AIGP
/// - AIGP
/// - length of AS_PATH; ORIGIN (2 bits)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Worth([u64; 4]);

impl Worth {
    const LOST: u64 = 1 << 35;
    const STALE: u64 = 1 << 34;
    const NO_GATEWAY: u64 = 1 << 33;
    const NOT_STICKY: u64 = 1 << 32;

    fn of(attributes: &PathAttributes, family: AfiSafi, options: DecisionOptions) -> Self {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        let (mut is_gateway, mut sticky, mut sequence) = (false, false, 0);
        if family == AfiSafi::EVPN {
            let mobility = attributes.mac_mobility();
            (sticky, sequence) = mobility.map_or((false, 0), |m| (m.sticky, m.sequence));
            is_gateway = attributes.is_default_gateway();
        }
        let stale = attributes.communities.contains(&Community::LLGR_STALE);
        let preference = attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF);
        let aigp = if options.aigp { attributes.aigp() } else { None };
        Self([
            flag(stale, Self::STALE)
                | flag(!is_gateway, Self::NO_GATEWAY)
                | flag(!sticky, Self::NOT_STICKY)
                | u64::from(!sequence),
            u64::from(!preference) << 1 | u64::from(aigp.is_none()),
            aigp.unwrap_or(0),
            (attributes.as_path.length() as u64) << 2 | attributes.origin as u64,
        ])
    }

    pub(crate) const fn is_long_lived_stale(self) -> bool {
        self.0[0] & Self::STALE != 0
    }

    pub(crate) const fn set_long_lived_stale(&mut self) {
        self.set(Self::STALE, true);
    }

    const fn set(&mut self, bit: u64, on: bool) {
        self.0[0] = if on { self.0[0] | bit } else { self.0[0] & !bit };
    }

    /// The step that tells two apart, if one does.
    fn step(self, other: Self) -> Option<Step> {
        let [mobility, preference, aigp, path] =
            std::array::from_fn(|word| self.0[word] ^ other.0[word]);
        [
            (Step::Reachable, mobility & Self::LOST),
            (Step::LongLivedStale, mobility & Self::STALE),
            (Step::DefaultGateway, mobility & Self::NO_GATEWAY),
            (Step::StickyMac, mobility & Self::NOT_STICKY),
            (Step::MacMobility, mobility),
            (Step::LocalPref, preference >> 1),
            (Step::Aigp, preference | aigp),
            (Step::AsPathLength, path >> 2),
            (Step::Origin, path),
        ]
        .into_iter()
        .find(|(_, differs)| *differs != 0)
        .map(|(step, _)| step)
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
    /// Steps after MED; lowest is best.
    fn after_med(&self) -> (Reverse<bool>, u32, Ipv4Addr, u32, IpAddr, PathId) {
        let Rank { external, cost, router_id, cluster_list_length, .. } = self.rank;
        (Reverse(external), cost, router_id, cluster_list_length, self.address, self.path_id)
    }
}

/// The index of the best candidate; `None` of none. The outcome does not depend on their order:
/// MED, which does not order all paths, takes out losers before the later steps are looked at.
pub(crate) fn best(candidates: &[Candidate]) -> Option<usize> {
    let (mut best, mut level) = (candidates.first().map(|first| (0, &first.rank.worth))?, false);
    for (nth, candidate) in candidates.iter().enumerate().skip(1) {
        match candidate.rank.worth.cmp(best.1) {
            Ordering::Less => (best, level) = ((nth, &candidate.rank.worth), false),
            Ordering::Equal => level = true,
            Ordering::Greater => {}
        }
    }
    if !level {
        return Some(best.0);
    }
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
    let front = candidates.iter().map(|candidate| candidate.rank.worth).min();
    let level = move |candidate: &Candidate| Some(candidate.rank.worth) == front;
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
    if let Some(step) = x.worth.step(y.worth) {
        return step;
    }
    [
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
    use bgp_wire::as_path::Segment;
    use bgp_wire::attrs::RawAttribute;
    use bgp_wire::{AsPath, ExtendedCommunity, Origin};

    use super::*;

    fn candidate(change: impl Fn(&mut Candidate)) -> Candidate {
        with(|_| {}, change)
    }

    fn with(says: impl Fn(&mut PathAttributes), change: impl Fn(&mut Candidate)) -> Candidate {
        let mut attributes = PathAttributes { med: Some(4), ..PathAttributes::default() };
        says(&mut attributes);
        let address = Ipv4Addr::new(10, 0, 0, 5);
        let rank = Rank::of(&attributes, AfiSafi::EVPN, DecisionOptions::default(), false, address);
        let mut candidate = Candidate { rank, address: address.into(), path_id: PathId(1) };
        change(&mut candidate);
        candidate
    }

    fn community(octets: [u8; 8]) -> impl Fn(&mut PathAttributes) {
        move |attributes| attributes.extended_communities.push(ExtendedCommunity(octets))
    }

    fn aigp(metric: u64) -> impl Fn(&mut PathAttributes) {
        move |attributes| {
            let value = [&[1, 0, 11][..], &metric.to_be_bytes()].concat().into();
            attributes.others.push(RawAttribute { flags: 0x80, code: 26, value });
        }
    }

    #[test]
    fn each_step_decides_when_those_before_are_level() {
        let low = Ipv4Addr::new(10, 0, 0, 1);
        let says = |says: &dyn Fn(&mut PathAttributes)| with(says, |_| {});
        let plain = candidate(|_| {});
        let path = || AsPath(vec![Segment::Set(vec![1])]);
        let cases = [
            (Step::Reachable, plain, candidate(|c| c.rank.set_cost(UNREACHABLE))),
            (Step::LongLivedStale, plain, says(&|a| a.communities = vec![Community::LLGR_STALE])),
            (Step::DefaultGateway, says(&community([3, 13, 0, 0, 0, 0, 0, 0])), plain),
            (Step::StickyMac, says(&community([6, 0, 1, 0, 0, 0, 0, 0])), plain),
            (
                Step::MacMobility,
                says(&community([6, 0, 0, 0, 1, 0, 0, 0])),
                says(&community([6, 0, 0, 0, 0, 255, 255, 255])),
            ),
            (Step::LocalPref, says(&|a| a.local_pref = Some(101)), plain),
            (Step::Aigp, says(&aigp(u64::MAX)), plain),
            (Step::Aigp, says(&aigp(1 << 40)), says(&aigp(1 << 41))),
            (Step::AsPathLength, plain, says(&|a| a.as_path = path())),
            (Step::Origin, plain, says(&|a| a.origin = Origin::Egp)),
            (Step::Med, candidate(|c| c.rank.med = 3), plain),
            (Step::External, candidate(|c| c.rank.external = true), plain),
            (Step::NextHopCost, plain, candidate(|c| c.rank.set_cost(9))),
            (Step::RouterId, candidate(|c| c.rank.router_id = low), plain),
            (Step::ClusterListLength, plain, candidate(|c| c.rank.cluster_list_length = 2)),
            (Step::PeerAddress, candidate(|c| c.address = low.into()), plain),
            (Step::PathId, candidate(|c| c.path_id = PathId(0)), plain),
        ];
        for (step, better, worse) in cases {
            assert_eq!(best(&[worse, better]), Some(1), "{step}");
            assert_eq!(best(&[better, worse]), Some(0), "{step}");
            assert_eq!(step_between(&better, &worse), step);
        }
        // What decides earlier decides alone.
        for pair in cases[2..7].windows(2) {
            let [(earlier, better, _), (later, worse, _)] = pair else { unreachable!() };
            assert_eq!(best(&[*worse, *better]), Some(1), "{earlier} before {later}");
        }
    }

    #[test]
    fn traffic_is_spread_over_what_only_identity_tells_apart() {
        let id = |last| move |c: &mut Candidate| c.rank.router_id = Ipv4Addr::new(10, 0, 0, last);
        let worse = candidate(|c| c.rank.med = 9);
        assert_eq!(multipath(&[candidate(id(7)), worse, candidate(id(3))]), [0, 2]);
        let external = candidate(|c| c.rank.external = true);
        assert_eq!(multipath(&[candidate(id(7)), external]), [1]);
        assert_eq!(multipath(&[]), [0usize; 0]);
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
