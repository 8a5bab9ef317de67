//! The chart: CPU time of each subject as multiples of the floor, on a logarithmic scale.

use std::fmt::Write as _;

use super::Results;
use crate::subject::Subject;

const LEFT: f64 = 130.0;
const WIDTH: f64 = 560.0;
const BAR: f64 = 16.0;
const GAP: f64 = 22.0;

/// The greatest multiple that has a place.
const MOST: f64 = 1_000.0;

/// An SVG that is readable on light and dark ground.
pub(crate) fn chart(results: &Results) -> String {
    let mut bars = String::new();
    let mut y = 46.0;
    for scenario in results.scenarios() {
        let rows: Vec<_> = results
            .rows
            .iter()
            .filter(|row| row.scenario == scenario && !row.subject.is_bare())
            .filter_map(|row| Some((row.subject, results.to_floor(row, "cpu_s")?)))
            .collect();
        if rows.is_empty() {
            continue;
        }
        let _infallible = writeln!(
            bars,
            r##"<text x="8" y="{:.0}" font-weight="bold" fill="#888">{scenario}</text>"##,
            y + 12.0
        );
        y += GAP;
        for (subject, ratio) in rows {
            let length = (WIDTH * ratio.clamp(1.0, MOST).log10() / MOST.log10()).max(2.0);
            let fill = if subject == Subject::Arcus { "#d9480f" } else { "#748ffc" };
            let _infallible = writeln!(
                bars,
                r##"<text x="{:.0}" y="{:.0}" text-anchor="end" fill="#888">{}</text><rect x="{LEFT}" y="{y:.0}" width="{length:.0}" height="{BAR}" fill="{fill}"/><text x="{:.0}" y="{:.0}" fill="#888">{ratio:.1}</text>"##,
                LEFT - 8.0,
                y + 13.0,
                subject.name(),
                LEFT + length + 6.0,
                y + 13.0,
            );
            y += GAP;
        }
        y += 10.0;
    }
    let height = y + 10.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<text x=\"8\" y=\"22\" font-size=\"15\" \
         fill=\"#888\">CPU time as multiples of the floor (logarithmic; shorter is better)</text>\n\
         {bars}</svg>\n"
    )
}
