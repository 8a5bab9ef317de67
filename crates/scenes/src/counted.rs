//! What was counted in a step, and what should have been.

use std::collections::BTreeMap;

use dataplane::{Counters, Desired, Traffic};

use crate::play::Outcome;
use crate::step::{Counter, Expected, RuleIndex, Way};

/// How many standard deviations from its share a member may be: a good hash is hardly ever further.
const DEVIATIONS: f64 = 5.0;

pub(crate) fn check(
    before: &Counters,
    now: &Counters,
    state: &Desired,
    expected: &[Expected],
) -> Outcome {
    for one in expected {
        let Expected::Count { what, more } = one else { continue };
        for (way, packets, octets) in more {
            let read = |counters: &Counters| value(counters, what, *way, state);
            let (was, is) = (read(before), read(now));
            let seen = (is.0.saturating_sub(was.0), is.1.saturating_sub(was.1));
            if seen.0 != *packets || octets.is_some_and(|octets| octets != seen.1) {
                let octets = octets.map(|octets| format!("/{octets}")).unwrap_or_default();
                return Err(format!(
                    "expected: {what:?} {way:?} {packets}{octets}\ncounted:  {}/{}",
                    seen.0, seen.1
                ));
            }
        }
    }
    Ok(())
}

/// Packets and octets.
fn value(counters: &Counters, what: &Counter, way: Way, state: &Desired) -> (u64, u64) {
    let traffic = match what {
        Counter::Port(name) => counters.ports.get(&name.as_str().into()),
        Counter::Tunnel(remote) => counters.tunnels.get(remote),
        Counter::Vrf(id) => counters.vrfs.get(&dataplane::VrfId(*id)),
        Counter::Rule(name, index) => {
            let id = name.as_str().into();
            let rules = state.filters.get(&id).map_or(0, |filter| filter.rules.len());
            let index = match index {
                RuleIndex::Rule(index) => *index,
                RuleIndex::DefaultIn => rules,
                RuleIndex::DefaultOut => rules + 1,
            };
            let counts = counters.rules.get(&id).and_then(|counts| counts.get(index));
            return (counts.copied().unwrap_or_default(), 0);
        }
        Counter::Flows => return (counters.flows, 0),
    };
    let traffic: Traffic = traffic.copied().unwrap_or_default();
    match way {
        Way::Sent => (traffic.tx_packets, traffic.tx_bytes),
        Way::Received | Way::Number => (traffic.rx_packets, traffic.rx_bytes),
    }
}

/// Whether flows went where they should, each way with its share.
pub(crate) fn check_shares(went: &[String], expected: &[Expected]) -> Outcome {
    let shares: BTreeMap<&str, f64> = expected
        .iter()
        .filter_map(|one| match one {
            Expected::Share { key, weight } => Some((key.as_str(), f64::from(*weight))),
            _ => None,
        })
        .collect();
    let is_together = |one: &Expected| matches!(one, Expected::Together);
    if expected.iter().any(is_together)
        && let Some(other) = went.iter().find(|key| Some(*key) != went.first())
    {
        return Err(format!("flows went to {} and to {other}", went[0]));
    }
    if shares.is_empty() {
        return Ok(());
    }
    if let Some(other) = went.iter().find(|key| !shares.contains_key(key.as_str())) {
        return Err(format!("a flow went to {other}"));
    }
    let whole: f64 = shares.values().sum();
    let flows = f64::from(u32::try_from(went.len()).unwrap_or(u32::MAX));
    for (key, weight) in shares {
        let number = went.iter().filter(|one| *one == key).count();
        let part = weight / whole;
        let (mean, deviation) = (flows * part, (flows * part * (1.0 - part)).sqrt());
        let off = (f64::from(u32::try_from(number).unwrap_or(u32::MAX)) - mean).abs();
        if off > DEVIATIONS * deviation {
            return Err(format!("{key} got {number} of {flows} flows, its share is {mean:.0}"));
        }
    }
    Ok(())
}
