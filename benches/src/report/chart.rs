//! The chart: CPU time of each subject as multiples of the floor, on a logarithmic scale.

use std::fmt::Write as _;

use super::{Machine, Results};
use crate::scenario::Scenario;
use crate::subject::Subject;

const LEFT: f64 = 110.0;
const WIDTH: f64 = 560.0;
const BAR: f64 = 14.0;
const STEP: f64 = 19.0;

/// The greatest multiple that has a place.
const MOST: f64 = 1_000.0;

/// Readable on white and on black: a page's ground is not known to a picture in it.
const STYLE: &str = "text{fill:#757c85}.name{font-weight:600}.line{stroke:#757c85;stroke-opacity:.4}\
.ours{fill:#e8590c}.other{fill:#748ffc}";

/// An SVG of the scenarios that have a floor to be measured by.
pub(crate) fn chart(results: &Results) -> String {
    let mut bars = String::new();
    let mut y = 58.0;
    for scenario in results.scenarios() {
        let rows: Vec<_> = results
            .rows
            .iter()
            .filter(|row| row.scenario == scenario && !row.subject.is_bare())
            .filter_map(|row| Some((row, results.to_floor(row, "cpu_s")?)))
            .collect();
        if rows.is_empty() || !has_floor(scenario) {
            continue;
        }
        let about = Scenario::named(scenario).map_or("", |scenario| scenario.about);
        let _infallible = writeln!(bars, r#"<text class="name" x="8" y="{y:.0}">{about}</text>"#);
        y += 8.0;
        for (row, ratio) in rows {
            let (subject, length) = (row.subject, at(ratio) - LEFT);
            let class = if subject == Subject::Arcus { "ours" } else { "other" };
            let seconds = row.median("cpu_s").unwrap_or_default();
            let base = y + 11.5;
            let _infallible = writeln!(
                bars,
                "<text x=\"{:.0}\" y=\"{base:.1}\" text-anchor=\"end\">{}</text>\
                 <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{BAR}\"/>\
                 <text x=\"{:.1}\" y=\"{base:.1}\">{ratio:.1} ({seconds:.2} s)</text>",
                LEFT - 8.0,
                subject.name(),
                length.max(2.0),
                LEFT + length.max(2.0) + 6.0,
            );
            y += STEP;
        }
        y += 20.0;
    }
    let bottom = y - 14.0;
    let mut lines = String::new();
    for multiple in [1.0, 10.0, 100.0, MOST] {
        let x = at(multiple);
        let _infallible = writeln!(
            lines,
            "<line class=\"line\" x1=\"{x:.1}\" y1=\"40\" x2=\"{x:.1}\" y2=\"{bottom:.0}\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{multiple}</text>",
            bottom + 14.0
        );
    }
    let Machine { cpu, cores, commit, .. } = &results.machine;
    let height = bottom + 40.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 780 {height:.0}\" width=\"780\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n\
         <title>CPU time of route reflectors as multiples of a floor</title>\n\
         <style>{STYLE}</style>\n\
         <text class=\"name\" x=\"8\" y=\"20\" font-size=\"14\">CPU time of the same work, as multiples of a \
         bare program's (logarithmic; shorter is better)</text>\n\
         {lines}{bars}<text x=\"8\" y=\"{:.0}\">{cpu}, {cores} cores; commit {commit}</text>\n</svg>\n",
        bottom + 32.0
    )
}

fn has_floor(scenario: &str) -> bool {
    Scenario::named(scenario)
        .is_some_and(|scenario| scenario.aims.iter().any(|aim| aim.of == Some(Subject::Floor)))
}

/// Where a multiple of the floor ends.
fn at(ratio: f64) -> f64 {
    LEFT + WIDTH * ratio.clamp(1.0, MOST).log10() / MOST.log10()
}
