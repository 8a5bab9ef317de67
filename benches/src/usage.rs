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

/// User and system time of this process, threads that have ended included, to 10 ms.
pub(crate) fn own() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let Fields { user, system, .. } = fields(&stat).context("/proc/self/stat")?;
    Ok(ticks(user + system))
}

/// What all cores have done so far, and what of it was done by us and by processes that we ran.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Others {
    /// Ticks, of all cores together.
    all: u64,
    busy: u64,
    ours: u64,
}

impl Others {
    pub(crate) fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let of_machine = machine(&stat).context("/proc/stat has no line of all cores")?;
        let own = fs::read_to_string("/proc/self/stat")?;
        let Fields { user, system, of_children, .. } = fields(&own).context("/proc/self/stat")?;
        let (all, busy) = of_machine;
        Ok(Self { all, busy, ours: user + system + of_children })
    }

    /// The part of the cores' time that others took since then, other machines on the same cores
    /// included.
    #[expect(clippy::cast_precision_loss, reason = "ticks of some hours")]
    pub(crate) fn percent_since(&self, before: &Self) -> f64 {
        let others = (self.busy - before.busy).saturating_sub(self.ours - before.ours);
        100.0 * others as f64 / (self.all - before.all).max(1) as f64
    }
}

/// All ticks and the busy ones: user, nice, system, idle, iowait, irq, softirq, steal.
fn machine(stat: &str) -> Option<(u64, u64)> {
    let words = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<u64> = words.take(8).map_while(|word| word.parse().ok()).collect();
    let all = ticks.iter().sum::<u64>();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all, all - idle))
}

struct Fields {
    group: u32,
    user: u64,
    system: u64,
    /// Of processes that have ended and been waited for, user and system time.
    of_children: u64,
}

/// The fields behind the name, which may itself hold spaces and parentheses.
fn fields(stat: &str) -> Option<Fields> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    let group = words.nth(2)?.parse().ok()?;
    let user = words.nth(8)?.parse().ok()?;
    let mut next = || words.next()?.parse::<u64>().ok();
    let (system, children_user, children_system) = (next()?, next()?, next()?);
    Some(Fields { group, user, system, of_children: children_user + children_system })
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
    fn what_waits_is_not_busy() {
        let stat = "cpu  10 1 5 100 20 0 2 7 0 0\ncpu0 1 1 1 1\n";
        assert_eq!(machine(stat), Some((145, 25)));
    }

    #[test]
    fn this_process_uses_memory() {
        let group = rustix::process::getpgrp().as_raw_nonzero().get().unsigned_abs();
        let usage = Usage::of_group(group).expect("it runs");
        assert!(usage.peak >= usage.resident && usage.resident > 1_000_000);
    }
}
