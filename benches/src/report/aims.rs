//! What ours measured against what it is to stay below.

use super::{Results, Row};
use crate::scenario::{Aim, Scenario};
use crate::subject::Subject;

/// How one aim came out.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    pub(crate) row: &'a Row,
    pub(crate) aim: Aim,
    /// In the unit of the aim: a multiple, or the number itself.
    pub(crate) got: f64,
}

impl Outcome<'_> {
    pub(crate) fn is_met(&self) -> bool {
        self.got <= self.aim.most
    }
}

/// Every aim for which there are numbers.
pub(crate) fn outcomes(results: &Results) -> Vec<Outcome<'_>> {
    let ours = results.rows.iter().filter(|row| row.subject == Subject::Arcus);
    ours.flat_map(|row| {
        let aims = Scenario::named(&row.scenario).map_or(&[][..], |scenario| scenario.aims);
        aims.iter().filter_map(move |aim| {
            let got = match aim.of {
                None => row.median(aim.metric),
                Some(other) => results.to(other, row, aim.metric),
            }?;
            Some(Outcome { row, aim: *aim, got })
        })
    })
    .collect()
}

/// Memory hardly depends on how busy a machine is; on the size it does.
const MEMORY_SLACK: f64 = 1.1;

/// What is wrong enough to be refused in one run on a busy machine: more than `slack` times what is aimed
/// at, in multiples of the floor; at full size, more than a tenth above what is aimed at in memory;
/// and messages that are said again and again.
pub(crate) fn excesses(results: &Results, slack: f64) -> Vec<String> {
    let is_full = results.scale >= 1.0;
    let costs = outcomes(results).into_iter().filter_map(|outcome| {
        let Outcome { row, aim, got } = outcome;
        let (slack, whose) = match aim.of {
            Some(Subject::Floor) => (slack, "times the floor's"),
            None if is_full && aim.metric.contains("bytes_per") => (MEMORY_SLACK, "octets"),
            _ => return None,
        };
        (got > slack * aim.most).then(|| {
            format!("{}: {got:.1} {whose}, above {slack} times {}", row.scenario, aim.most)
        })
    });
    let repeats = results.rows.iter().filter_map(|row| {
        // Elsewhere, who comes while routes come may be told twice.
        let is_clear = matches!(row.scenario.as_str(), "vpnv4-1m" | "unicast-1m" | "evpn-400k");
        let ratio =
            results.to_floor(row, "updates_out").filter(|_| row.subject == Subject::Arcus)?;
        (is_clear && ratio > 1.05)
            .then(|| format!("{}: {ratio:.2} times the floor's UPDATEs", row.scenario))
    });
    costs.chain(repeats).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn results(ours: f64, messages: f64) -> Results {
        let mut results = Results::new(0.1, 1);
        for (subject, cpu, messages) in
            [(Subject::Floor, 0.5, 100.0), (Subject::Arcus, ours, messages)]
        {
            let metrics = [("cpu_s", cpu), ("updates_out", messages)];
            let metrics = metrics.map(|(name, value)| (name.to_owned(), value));
            results.add("vpnv4-1m", subject, Ok(BTreeMap::from(metrics)));
        }
        results
    }

    #[test]
    fn an_aim_is_met_by_the_ratio_to_the_floor_of_the_same_run() {
        for (cpu, is_met) in [(1.9, true), (2.1, false)] {
            let results = results(cpu, 100.0);
            let outcomes = outcomes(&results);
            assert_eq!(outcomes.len(), 1, "the others were not measured: {outcomes:?}");
            assert_eq!(outcomes[0].is_met(), is_met, "{outcomes:?}");
        }
    }

    #[test]
    fn memory_is_refused_at_full_size_only() {
        for (scale, excesses_of) in [(1.0, 1), (0.1, 0)] {
            let mut results = Results::new(scale, 1);
            let metrics = BTreeMap::from([("bytes_per_session".to_owned(), 20_000.0)]);
            results.add("idle", Subject::Arcus, Ok(metrics));
            assert_eq!(excesses(&results, 3.0).len(), excesses_of, "{scale}");
        }
    }

    #[test]
    fn a_small_run_is_refused_only_far_beyond_the_aim_or_for_saying_things_twice() {
        assert_eq!(excesses(&results(5.9, 104.0), 3.0), Vec::<String>::new());
        assert!(excesses(&results(6.1, 100.0), 3.0)[0].contains("12.2 times the floor's"));
        assert!(excesses(&results(1.0, 150.0), 3.0)[0].contains("1.50 times the floor's UPDATEs"));
    }
}
