//! What a daemon has used, as the kernel counts it: all threads of all processes of its group.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, the same on all of Linux's common machines.
const TICKS: u64 = 100;

/// CPU time and memory of a process group.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time, to 10 ms.
    user: Duration,
    pub(crate) system: Duration,
    /// The same together, of threads that still live, to the nanosecond.
    living: Duration,
    /// Octets now, and at most since the start.
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

impl Usage {
    /// Of all processes in the group of `leader`.
    pub(crate) fn of_group(leader: u32) -> Result<Self> {
        let mut sum = Self::default();
        for entry in fs::read_dir("/proc")?.flatten() {
            let directory = entry.path();
            // A process may end while we look.
            let Ok(stat) = fs::read_to_string(directory.join("stat")) else { continue };
            let Some(fields) = fields(&stat) else { continue };
            if fields.group != leader {
                continue;
            }
            let Ok(status) = fs::read_to_string(directory.join("status")) else { continue };
            sum.living += living(&directory);
            sum.user += ticks(fields.user);
            sum.system += ticks(fields.system);
            sum.resident += octets(&status, "VmRSS:");
            sum.peak += octets(&status, "VmHWM:");
        }
        (sum.peak > 0).then_some(sum).context("the daemon has ended")
    }

    /// User and system time of all threads. Each source leaves something out, the one what is below
    /// a tick, the other threads that have ended: the greater is nearer.
    pub(crate) fn cpu(&self) -> Duration {
        self.living.max(self.user + self.system)
    }
}

struct Fields {
    group: u32,
    user: u64,
    system: u64,
}

/// The fields behind the name, which may itself hold spaces and parentheses.
fn fields(stat: &str) -> Option<Fields> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    let group = words.nth(2)?.parse().ok()?;
    let user = words.nth(8)?.parse().ok()?;
    let system = words.next()?.parse().ok()?;
    Some(Fields { group, user, system })
}

/// What the scheduler counted for each thread (`/proc/PID/task/TID/schedstat`).
fn living(process: &Path) -> Duration {
    let Ok(threads) = fs::read_dir(process.join("task")) else { return Duration::ZERO };
    let of = |directory: PathBuf| {
        let text = fs::read_to_string(directory.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(|thread| of(thread.path())).sum())
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 1_000 / TICKS)
}

/// A line like `VmRSS:   1234 kB`.
fn octets(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or_default() * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "77 (a) b (c) S 1 4711 4711 0 -1 4194560 5 0 0 0 12 34 0 0 20 0 3 0";
        let fields = fields(stat).expect("a line of proc");
        assert_eq!((fields.group, fields.user, fields.system), (4_711, 12, 34));
    }

    #[test]
    fn this_process_uses_memory() {
        let group = rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs();
        let usage = Usage::of_group(group).expect("it runs");
        assert!(usage.peak >= usage.resident && usage.resident > 1_000_000);
    }
}
