//! What came out, and how it compares with what is aimed at.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::report::Machine;

use super::cold::Cold;
use super::way::{ALL, Metric, PLAIN, Way};

/// A tenth of what the kernel allows, of instructions that are followed.
const VERIFIED_MOST: u32 = 100_000;
/// Of a look-up among many routes, in nanoseconds.
const COLD_AIM: f64 = 250.0;

/// One number of one way, and of plain routing right before it: as many of each as there were rounds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) way: String,
    pub(crate) metric: Metric,
    pub(crate) plain: Vec<f64>,
    pub(crate) own: Vec<f64>,
}

/// What a program takes for one small datagram of a way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) way: String,
    pub(crate) name: String,
    /// In nanoseconds, the kernel's reading of the clock included.
    pub(crate) run: f64,
    /// Machine code, in octets, and instructions that the verifier has followed.
    pub(crate) code: u32,
    pub(crate) verified: u32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    #[serde(flatten)]
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
    pub(crate) programs: Vec<Program>,
    pub(crate) cold: Option<Cold>,
}

/// A way's number against what is aimed at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) way: Way,
    pub(crate) metric: Metric,
    pub(crate) aim: f64,
    pub(crate) got: f64,
}

impl Outcome {
    /// By all but `slack`, a part of the aim.
    pub(crate) fn is_met(&self, slack: f64) -> bool {
        if self.metric.is_added() {
            self.got <= self.aim / (1.0 - slack)
        } else {
            self.got >= self.aim * (1.0 - slack)
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, metric, aim, got } = self;
        write!(f, "{}, {}: {got:.2}, where {aim:.2} is aimed at", way.name, metric.name())
    }
}

impl Row {
    /// By pairs: plain routing's by this way's, or this way's less plain routing's.
    fn compared(&self) -> Vec<f64> {
        let pairs = self.plain.iter().zip(&self.own);
        sorted(pairs.map(
            |(plain, own)| {
                if self.metric.is_added() { own - plain } else { plain / own }
            },
        ))
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values; of an even number the lower one.
fn middle(values: &[f64]) -> f64 {
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

impl Results {
    pub(crate) fn add(&mut self, way: Way, metric: Metric, plain: f64, own: f64) {
        let is_it = |row: &&mut Row| row.way == way.name && row.metric == metric;
        match self.rows.iter_mut().find(is_it) {
            Some(row) => {
                row.plain.push(plain);
                row.own.push(own);
            }
            None => self.rows.push(Row {
                way: way.name.to_owned(),
                metric,
                plain: vec![plain],
                own: vec![own],
            }),
        }
    }

    fn row(&self, way: &str, metric: Metric) -> Option<&Row> {
        self.rows.iter().find(|row| row.way == way && row.metric == metric)
    }

    /// Every aim for which there are numbers.
    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        let all = ALL.iter().flat_map(|way| Metric::ALL.map(|metric| (*way, metric)));
        all.filter_map(|(way, metric)| {
            let (aim, row) = (way.aim(metric)?, self.row(way.name, metric)?);
            Some(Outcome { way, metric, aim, got: middle(&row.compared()) })
        })
        .collect()
    }

    /// What is wrong enough to be refused on a busy machine, where delays say nothing.
    pub(crate) fn excesses(&self, slack: f64) -> Vec<String> {
        let ratios = self.outcomes().into_iter().filter(|outcome| !outcome.metric.is_added());
        let missed = ratios.filter(|outcome| !outcome.is_met(slack));
        let missed = missed.map(|outcome| format!("far off: {outcome}"));
        let large = self.programs.iter().filter(|program| program.verified > VERIFIED_MOST);
        let large = large.map(|Program { way, name, verified, .. }| {
            format!("{way}: the verifier follows {verified} instructions of {name}")
        });
        missed.chain(large).collect()
    }

    /// As Markdown, where it was measured, and a line for each way.
    pub(crate) fn tables(&self) -> String {
        let Machine { commit, cpu, cores, kernel, day, load_before } = &self.machine;
        let pairs = self.rows.first().map_or(0, |row| row.own.len());
        let mut text = format!(
            "{cpu}, {cores} cores, Linux {kernel}; commit {commit}, {day}; {pairs} pairs of each.\nWhen it began \
             the load average was {load_before:.2}.\n\n| way |"
        );
        for metric in Metric::ALL {
            let _infallible = write!(text, " {} |", metric.name());
        }
        text += "\n|---|---|---|---|---|---|\n";
        let _infallible = writeln!(text, "{}", self.plain_line());
        for way in ALL {
            let cells: Vec<String> =
                Metric::ALL.iter().map(|metric| self.cell(*way, *metric)).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                let _infallible = writeln!(text, "| `{}` | {} |", way.name, cells.join(" | "));
            }
        }
        text + "\n" + &self.program_table() + &self.cold_line()
    }

    /// Plain routing's own numbers, over all that it was measured for.
    fn plain_line(&self) -> String {
        let cells: Vec<String> = Metric::ALL
            .iter()
            .map(|metric| {
                let rows = self.rows.iter().filter(|row| row.metric == *metric);
                let all = sorted(rows.flat_map(|row| row.plain.iter().copied()));
                if all.is_empty() {
                    return String::new();
                }
                let middle = middle(&all);
                match metric {
                    Metric::Large | Metric::Frames => format!("{middle:.0} ns/kB"),
                    Metric::Small => format!("{middle:.0} ns"),
                    Metric::Half | Metric::P99 => format!("{:.1} µs", middle / 1e3),
                }
            })
            .collect();
        format!("| `{}` | {} |", PLAIN.name, cells.join(" | "))
    }

    fn cell(&self, way: Way, metric: Metric) -> String {
        let Some(row) = self.row(way.name, metric) else { return String::new() };
        let compared = row.compared();
        let (got, least, most) = (middle(&compared), compared[0], compared[compared.len() - 1]);
        let outcome = way.aim(metric).map(|aim| Outcome { way, metric, aim, got });
        let mark = match outcome {
            Some(outcome) if !outcome.is_met(0.0) => " **missed**",
            _ => "",
        };
        if metric.is_added() {
            let [got, least, most] = [got, least, most].map(|value| value / 1e3);
            format!("{got:.1} µs ({least:.1}..{most:.1}){mark}")
        } else {
            format!("{got:.2} ({least:.2}..{most:.2}){mark}")
        }
    }

    fn cold_line(&self) -> String {
        let Some(Cold { routes, few, all, again, anew }) = &self.cold else {
            return String::new();
        };
        let mark = if *all > COLD_AIM { " **missed**" } else { "" };
        format!(
            "\nOf {routes} host routes, a look-up takes {few:.0} ns where some are used again and again, and {all:.0} ns \
             where each time it is another one{mark}. In a datagram's way through `arcus_port`, with all that the \
             caches have lost, the difference is {:.0} ns ({again:.0} and {anew:.0} ns).\n",
            anew - again
        )
    }

    fn program_table(&self) -> String {
        let mut text = String::from(
            "| way | program | ns | octets of code | verified |\n|---|---|---|---|---|\n",
        );
        for Program { way, name, run, code, verified } in &self.programs {
            let _infallible =
                writeln!(text, "| `{way}` | `{name}` | {run:.0} | {code} | {verified} |");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(name: &str) -> Way {
        *ALL.iter().find(|way| way.name == name).expect("a way")
    }

    #[test]
    fn the_middle_of_pairs_is_held_against_the_aim() {
        let mut results = Results::default();
        for (plain, own) in [(94.0, 100.0), (120.0, 100.0), (10.0, 100.0)] {
            results.add(way("vxlan"), Metric::Small, plain, own);
            results.add(way("vxlan"), Metric::P99, plain, plain + 6_000.0);
        }
        let outcomes = results.outcomes();
        assert_eq!(outcomes.len(), 2);
        for outcome in outcomes {
            assert!(!outcome.is_met(0.0), "{outcome:?}");
            assert!(outcome.is_met(0.2), "{outcome:?}");
        }
        assert_eq!(results.excesses(0.2), Vec::<String>::new());
        assert_eq!(results.excesses(0.0).len(), 1, "delays are not refused");
        let text = results.tables();
        assert!(text.contains("0.94 (0.10..1.20) **missed**"), "{text}");
        assert!(text.contains("6.0 µs (6.0..6.0) **missed**"), "{text}");
    }

    #[test]
    fn a_program_that_grows_without_measure_is_refused() {
        let program = Program {
            way: "vxlan".to_owned(),
            name: "arcus_port".to_owned(),
            run: 1.0,
            code: 1,
            verified: VERIFIED_MOST + 1,
        };
        let results = Results { programs: vec![program], ..Results::default() };
        assert_eq!(results.excesses(0.4).len(), 1);
    }

    #[test]
    fn the_kernels_own_tunnel_has_no_aim() {
        let mut results = Results::default();
        results.add(way("kernel-vxlan"), Metric::Small, 1.0, 2.0);
        assert!(results.outcomes().is_empty());
    }
}
