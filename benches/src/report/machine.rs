//! Where and of what something was measured.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Of this repository, with `-dirty` when files differ from it.
    pub(crate) commit: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// The day, as `2026-01-31`.
    #[serde(default)]
    pub(crate) day: String,
    /// Runnable tasks in the minute before.
    #[serde(default)]
    pub(crate) load_before: f64,
}

impl Machine {
    /// This one, now.
    pub(crate) fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
        Self {
            commit: output("git", &["describe", "--always", "--dirty", "--abbrev=12"])
                .unwrap_or_else(|| "unknown".to_owned()),
            cpu: model.unwrap_or_default().trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            day: output("date", &["-u", "+%F"]).unwrap_or_default(),
            load_before: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or_default(),
        }
    }
}

/// What a program prints, if it is there and ends well.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}
