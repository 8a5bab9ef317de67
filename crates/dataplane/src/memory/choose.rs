//! The longest prefix, and the member of a group that has a flow.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use crate::event::Tuple;
use crate::fib::{Route, VrfFib};
use crate::next_hop::{Member, NextHop, Spread};

pub(super) fn longest_match(table: &VrfFib, address: IpAddr) -> Option<&Route> {
    let matching = table.iter().filter(|(net, _)| net.contains(&address));
    matching.max_by_key(|(net, _)| net.prefix_len()).map(|(_, route)| route)
}

/// Of the members that may have the packet, the one that draws highest for its flow (weighted
/// rendezvous hashing): one that goes away moves only its own flows.
pub(super) fn member<'a>(
    members: impl Iterator<Item = &'a Member>,
    spread: Spread,
    tuple: &Tuple,
) -> Option<&'a NextHop> {
    let weighted = members.map(|member| (&member.hop, f64::from(member.weight)));
    match spread {
        Spread::Flow => highest(weighted, tuple),
        Spread::Source => highest(weighted, &tuple.source),
    }
}

/// The one of several equal holders or backends that has a flow.
pub(super) fn equal<'a, T: Hash>(targets: &'a [T], flow: &impl Hash) -> Option<&'a T> {
    // Another draw than that of the nodes, or a node would see only flows that fit one backend.
    highest(targets.iter().map(|target| (target, 1.0)), &(1, flow))
}

fn highest<'a, T: Hash>(
    weighted: impl Iterator<Item = (&'a T, f64)>,
    flow: &impl Hash,
) -> Option<&'a T> {
    let score = |target: &T, weight: f64| {
        let mut hasher = DefaultHasher::new();
        (target, flow).hash(&mut hasher);
        let drawn = u32::try_from(hasher.finish() >> 32).unwrap_or(u32::MAX);
        // From 0 to 1, both excluded.
        let uniform = (f64::from(drawn) + 0.5) / (f64::from(u32::MAX) + 1.0);
        -weight / uniform.ln()
    };
    weighted
        .map(|(target, weight)| (score(target, weight), target))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, target)| target)
}
