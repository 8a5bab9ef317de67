//! What came out of a run.

pub(crate) mod aims;
pub(crate) mod chart;
pub(crate) mod compare;
mod machine;
pub(crate) mod page;
pub(crate) mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub(crate) use self::machine::Machine;
use crate::scenario::Metrics;
use crate::subject::Subject;

/// All numbers of a run, and where it was.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    #[serde(flatten)]
    pub(crate) machine: Machine,
    /// Percent of all cores' time that other programs, or other machines on the same cores, took
    /// while this ran.
    #[serde(default)]
    pub(crate) others_percent: f64,
    pub(crate) scale: f64,
    pub(crate) runs: u32,
    pub(crate) rows: Vec<Row>,
}

/// One subject in one scenario.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) subject: Subject,
    /// Each number of each run that ended well.
    pub(crate) metrics: BTreeMap<String, Vec<f64>>,
    /// Why the others did not.
    pub(crate) failures: Vec<String>,
}

impl Row {
    /// The middle of all runs; of an even number the lower one.
    pub(crate) fn median(&self, metric: &str) -> Option<f64> {
        let sorted = self.sorted(metric)?;
        sorted.get((sorted.len() - 1) / 2).copied()
    }

    /// The least and the greatest.
    pub(crate) fn spread(&self, metric: &str) -> Option<(f64, f64)> {
        let sorted = self.sorted(metric)?;
        Some((*sorted.first()?, *sorted.last()?))
    }

    pub(crate) fn has(&self, metric: &str) -> bool {
        self.metrics.get(metric).is_some_and(|values| !values.is_empty())
    }

    fn sorted(&self, metric: &str) -> Option<Vec<f64>> {
        let mut values = self.metrics.get(metric).filter(|values| !values.is_empty())?.clone();
        values.sort_by(f64::total_cmp);
        Some(values)
    }
}

impl Results {
    pub(crate) fn new(scale: f64, runs: u32) -> Self {
        Self { machine: Machine::here(), others_percent: 0.0, scale, runs, rows: Vec::new() }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    pub(crate) fn add(&mut self, scenario: &str, subject: Subject, outcome: Result<Metrics>) {
        let is_it = |row: &Row| row.scenario == scenario && row.subject == subject;
        let at = self.rows.iter().position(is_it).unwrap_or_else(|| {
            self.rows.push(Row {
                scenario: scenario.to_owned(),
                subject,
                metrics: BTreeMap::new(),
                failures: Vec::new(),
            });
            self.rows.len() - 1
        });
        let Some(row) = self.rows.get_mut(at) else { return };
        match outcome {
            Ok(metrics) => {
                for (name, value) in metrics {
                    row.metrics.entry(name).or_default().push(value);
                }
            }
            Err(error) => row.failures.push(format!("{error:#}")),
        }
    }

    pub(crate) fn has_failed(&self, subject: Subject) -> bool {
        self.rows.iter().any(|row| row.subject == subject && !row.failures.is_empty())
    }

    pub(crate) fn row(&self, scenario: &str, subject: Subject) -> Option<&Row> {
        self.rows.iter().find(|row| row.scenario == scenario && row.subject == subject)
    }

    /// The names of the scenarios, in the order in which they ran.
    pub(crate) fn scenarios(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.scenario.as_str()) {
                names.push(&row.scenario);
            }
        }
        names
    }

    /// The subjects, in the order in which they ran.
    pub(crate) fn subjects(&self) -> Vec<Subject> {
        let mut subjects: Vec<Subject> = self.rows.iter().map(|row| row.subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }

    /// How much of the floor's a subject's number is, in the same run.
    pub(crate) fn to_floor(&self, row: &Row, metric: &str) -> Option<f64> {
        self.to(Subject::Floor, row, metric)
    }

    /// How much of another subject's a number is, in the same run.
    pub(crate) fn to(&self, other: Subject, row: &Row, metric: &str) -> Option<f64> {
        let other = self.row(&row.scenario, other)?.median(metric)?;
        // A difference that is below what can be measured may come out as nothing, or less.
        (other > 0.0).then_some(row.median(metric)? / other)
    }
}
