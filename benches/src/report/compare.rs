//! Two runs side by side, as those of two commits.

use std::fmt::Write as _;

use super::Results;

/// Every number that both runs have: old, new, and how they compare. What the floor did in each run is
/// taken out of times, so that a machine that was busier does not look like a slower daemon.
pub(crate) fn compare(old: &Results, new: &Results) -> String {
    let mut text = format!("{} -> {}\n", old.machine.commit, new.machine.commit);
    if (old.scale - new.scale).abs() > f64::EPSILON || old.machine.cpu != new.machine.cpu {
        text += "sizes or machines differ: these numbers do not compare\n";
    }
    for row in &new.rows {
        let Some(before) = old.row(&row.scenario, row.subject) else { continue };
        for metric in row.metrics.keys() {
            let (Some(was), Some(is)) = (before.median(metric), row.median(metric)) else {
                continue;
            };
            let change = if was == 0.0 { 0.0 } else { 100.0 * (is / was - 1.0) };
            let _infallible = write!(
                text,
                "{:17} {:9} {metric:22} {was:14.3} -> {is:14.3}  {change:+6.1} %",
                row.scenario,
                row.subject.name(),
            );
            if metric == "cpu_s"
                && let (Some(was), Some(is)) =
                    (old.to_floor(before, metric), new.to_floor(row, metric))
            {
                let _infallible = write!(text, "  ({was:.2} -> {is:.2} x floor)");
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::subject::Subject;

    #[test]
    fn medians_of_both_are_compared_with_their_floors() {
        let results = |floor: f64, ours: [f64; 3]| {
            let mut results = Results::new(1.0, 3);
            for value in ours {
                let metrics = |value| Ok(BTreeMap::from([("cpu_s".to_owned(), value)]));
                results.add("vpnv4-1m", Subject::Floor, metrics(floor));
                results.add("vpnv4-1m", Subject::Arcus, metrics(value));
            }
            results
        };
        let text = compare(&results(0.25, [9.0, 1.0, 0.5]), &results(0.5, [1.5, 1.5, 1.5]));
        assert!(text.contains("+50.0 %  (4.00 -> 3.00 x floor)"), "{text}");
    }
}
