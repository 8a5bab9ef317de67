//! The table on the terminal.

use std::fmt::Write as _;

use super::{Machine, Results, Row};
use crate::scenario::ALL;

/// All results: a block for each scenario, a line for each subject.
pub(crate) fn table(results: &Results) -> String {
    let mut text = String::new();
    let Results { machine: Machine { cpu, cores, kernel, commit, .. }, scale, runs, .. } = results;
    let percent = scale * 100.0;
    let _infallible = writeln!(
        text,
        "{cpu}, {cores} cores, Linux {kernel}, commit {commit}\n\
         {percent:.0} % of full size; medians of {runs} runs, (least..most) beside the first two\n"
    );
    for scenario in results.scenarios() {
        let about = ALL.iter().find(|one| one.name == scenario).map_or("", |one| one.about);
        let _infallible = writeln!(text, "{scenario}: {about}");
        for row in results.rows.iter().filter(|row| row.scenario == scenario) {
            let _infallible = writeln!(text, "  {:9} {}", row.subject.name(), line(results, row));
        }
        text.push('\n');
    }
    text
}

fn line(results: &Results, row: &Row) -> String {
    let mut parts = Vec::new();
    for metric in ["cpu_s", "wall_s"] {
        let (Some(median), Some((least, most))) = (row.median(metric), row.spread(metric)) else {
            continue;
        };
        let name = metric.trim_end_matches("_s");
        parts.push(format!("{name} {median:.3} s ({least:.3}..{most:.3})"));
        if metric == "cpu_s"
            && let Some(ratio) = results.to_floor(row, metric)
        {
            parts.push(format!("{ratio:.1} x floor"));
        }
    }
    for metric in row.metrics.keys() {
        if matches!(metric.as_str(), "cpu_s" | "wall_s") {
            continue;
        }
        if let Some(median) = row.median(metric) {
            parts.push(value(metric, median));
        }
    }
    if let Some(failure) = row.failures.first() {
        let short: String = failure.chars().take(160).collect();
        parts.push(format!("FAILED {} times: {}", row.failures.len(), short.replace('\n', " ")));
    }
    parts.join(", ")
}

/// A number with the unit that its name ends with, for a reader.
pub(crate) fn value(metric: &str, number: f64) -> String {
    if let Some(name) = metric.strip_suffix("_s") {
        format!("{} {number:.3} s", name.replace('_', " "))
    } else if let Some(name) = metric.strip_suffix("_us") {
        format!("{} {number:.0} us", name.replace('_', " "))
    } else if let Some(name) = metric.strip_suffix("_percent") {
        format!("{} {number:.1} %", name.replace('_', " "))
    } else {
        let digits = if number.abs() < 10.0 { 2 } else { 0 };
        format!("{} {number:.digits$}", metric.replace('_', " "))
    }
}
