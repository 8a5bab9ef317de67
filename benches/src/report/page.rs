//! The tables of `docs/performance.md`, and what writes such tables between two marks of a page.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::table::value;
use super::{Machine, Results, Row, aims};
use crate::subject::Subject;

const BEGIN: &str = "<!-- measured: begin (written by `arcus-bench`) -->\n";
const END: &str = "<!-- measured: end -->\n";

/// `page` with these tables instead of those that it has.
///
/// # Errors
/// If the page does not have both marks.
pub(crate) fn replace(page: &str, tables: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("the page has no mark of the beginning")?;
    let (_, after) = rest.split_once(END).context("the page has no mark of the end")?;
    Ok(format!("{before}{BEGIN}{tables}{END}{after}"))
}

pub(crate) fn tables(results: &Results) -> String {
    let Results { machine, others_percent, scale, runs, .. } = results;
    let Machine { commit, cpu, cores, kernel, day, load_before } = machine;
    let mut text = format!(
        "{cpu}, {cores} cores, Linux {kernel}; commit {commit}, {day}; {runs} runs at {:.0} % of the full \
         size.\nWhen it began the load average was {load_before:.2}; while it ran, others took \
         {others_percent:.0} % of the cores' time.\n\n",
        100.0 * scale
    );
    text += &against_aims(results);
    text += &ours(results);
    let rivals: Vec<Subject> = results.subjects();
    for (title, metric) in [
        ("CPU seconds, and multiples of the floor's in the same run", "cpu_s"),
        ("Wall seconds", "wall_s"),
        ("Octets per route at the peak", "peak_bytes_per_route"),
        ("Microseconds from a change until a client has read it: the 99th percentile", "p99_us"),
    ] {
        text += &side_by_side(results, &rivals, title, metric);
    }
    text
}

fn against_aims(results: &Results) -> String {
    let mut text = String::from("### Against what is aimed at\n\n");
    text += "| scenario | number | median (least..most) | aim | |\n|---|---|---|---|---|\n";
    for outcome in aims::outcomes(results) {
        let aims::Outcome { row, aim, got } = &outcome;
        let (got, limit) = match aim.of {
            None => (spread(row, aim.metric), format!("≤ {}", plain(aim.metric, aim.most))),
            Some(other) => (format!("{got:.1} x {}'s", other.name()), format!("≤ {} x", aim.most)),
        };
        let verdict = if outcome.is_met() { "met" } else { "**missed**" };
        let _infallible = writeln!(
            text,
            "| `{}` | {} | {got} | {limit} | {verdict} |",
            row.scenario,
            name(aim.metric)
        );
    }
    text + "\n"
}

fn ours(results: &Results) -> String {
    let mut text = String::from("### Ours, all numbers\n\nMedians (least..most).\n\n");
    text += "| scenario | CPU s | x floor | wall s | more |\n|---|---|---|---|---|\n";
    for row in results.rows.iter().filter(|row| row.subject == Subject::Arcus) {
        let ratio = results.to_floor(row, "cpu_s");
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.1}"));
        let cell = |metric| row.median(metric).map_or_else(String::new, |_| spread(row, metric));
        let (cpu, wall) = (cell("cpu_s"), cell("wall_s"));
        let more: Vec<String> = row
            .metrics
            .keys()
            .filter(|metric| !matches!(metric.as_str(), "cpu_s" | "wall_s"))
            .filter_map(|metric| Some(value(metric, row.median(metric)?)))
            .collect();
        let failed = failure(row).map_or_else(String::new, |what| format!(" {what}"));
        let _infallible = writeln!(
            text,
            "| `{}` | {cpu} | {ratio} | {wall} | {}{failed} |",
            row.scenario,
            more.join(", ")
        );
    }
    text + "\n"
}

/// One number of all subjects, a line for each scenario that has it. Nothing of ours alone.
fn side_by_side(results: &Results, subjects: &[Subject], title: &str, metric: &str) -> String {
    let mut lines = String::new();
    for scenario in results.scenarios() {
        let cells: Vec<String> = subjects
            .iter()
            .map(|subject| {
                let row = results.row(scenario, *subject);
                row.map_or_else(String::new, |row| cell(results, row, metric))
            })
            .collect();
        let has = |subject| results.row(scenario, subject).is_some_and(|row| row.has(metric));
        if subjects.iter().filter(|subject| has(**subject)).count() > 1 {
            let _infallible = writeln!(lines, "| `{scenario}` | {} |", cells.join(" | "));
        }
    }
    if lines.is_empty() {
        return lines;
    }
    let names: Vec<&str> = subjects.iter().map(|subject| subject.name()).collect();
    let rule = "|---".repeat(1 + names.len());
    format!("### {title}\n\n| | {} |\n{rule}|\n{lines}\n", names.join(" | "))
}

fn cell(results: &Results, row: &Row, metric: &str) -> String {
    let Some(median) = row.median(metric) else {
        return failure(row).unwrap_or_default();
    };
    let number = plain(metric, median);
    match results.to_floor(row, metric) {
        Some(ratio) if metric == "cpu_s" && row.subject != Subject::Floor => {
            format!("{number} ({ratio:.1})")
        }
        _ => number,
    }
}

/// In two words: the whole of it is in the JSON.
fn failure(row: &Row) -> Option<String> {
    let what = row.failures.first()?;
    Some(if what.contains("not within") { "too slow" } else { "wrong" }.to_owned())
}

fn spread(row: &Row, metric: &str) -> String {
    let (Some(median), Some((least, most))) = (row.median(metric), row.spread(metric)) else {
        return String::new();
    };
    let number = |value| plain(metric, value);
    if number(least) == number(most) {
        return number(median);
    }
    format!("{} ({}..{})", number(median), number(least), number(most))
}

/// A number without its unit, to as many digits as mean something.
fn plain(metric: &str, number: f64) -> String {
    if metric.ends_with("_s") || metric.ends_with("_ratio") {
        let digits = if number.abs() < 0.1 { 3 } else { 2 };
        format!("{number:.digits$}")
    } else if number.abs() < 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    }
}

/// What a metric is called for a reader, with its unit.
fn name(metric: &str) -> String {
    let units = [("_s", "s"), ("_us", "µs"), ("_percent", "% of a core")];
    let unit = units.iter().find_map(|(end, unit)| Some((metric.strip_suffix(end)?, unit)));
    match unit {
        Some(("core", unit)) => (*unit).to_owned(),
        Some((name, unit)) => format!("{}, {unit}", name.replace('_', " ")),
        None => metric.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use anyhow::anyhow;

    use super::*;

    fn results() -> Results {
        let mut results = Results::new(1.0, 3);
        for (subject, cpu) in [(Subject::Floor, 0.5), (Subject::Arcus, 1.0), (Subject::Bird, 20.0)]
        {
            results.add("vpnv4-1m", subject, Ok(BTreeMap::from([("cpu_s".to_owned(), cpu)])));
        }
        results.add("vpnv4-1m", Subject::Frr, Err(anyhow!("not within 300s: routes")));
        results
    }

    #[test]
    fn what_stands_between_the_marks_is_replaced_and_nothing_else() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let text = replace(&page, &tables(&results())).expect("both marks");
        assert!(text.starts_with(&format!("before\n{BEGIN}")) && text.ends_with("after\n"));
        assert!(!text.contains("old\n"), "{text}");
        assert_eq!(replace(&text, &tables(&results())).expect("again"), text);
        assert!(replace("no marks", "").is_err());
    }

    #[test]
    fn subjects_stand_side_by_side_with_multiples_of_the_floor() {
        let text = tables(&results());
        let line = "| `vpnv4-1m` | 0.50 | 1.00 (2.0) | too slow | 20.00 (40.0) |";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("| `vpnv4-1m` | cpu, s | 2.0 x floor's | ≤ 4 x | met |"), "{text}");
    }
}
