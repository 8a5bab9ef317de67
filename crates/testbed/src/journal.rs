//! What a run made outside its own process, and how it is undone.
//!
//! The journal is a text file in the run directory, one line per thing, written before or right after the thing
//! is made. Undoing goes by it alone, so that a run which was killed is cleaned up by the next one.
//!
//! ```text
//! owner 4242 887766             the process that runs the bed: PID and start time
//! process 4250 887790           a process group that was started
//! namespace a1b2c3-db-1
//! path /sys/fs/bpf/arcus/a1b2c3-os-node-1
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

/// Where run directories are made.
pub(crate) const RUN_ROOT: &str = "/run";

const FILE: &str = "journal";

/// How long a process has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(3);

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Owner(Incarnation),
    Process(Incarnation),
    Namespace(String),
    Path(PathBuf),
}

/// A PID with the start time of its process, so that a number that is used again is not mistaken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incarnation {
    pub(crate) pid: u32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`; 0 when the process was gone at once.
    started: u64,
}

impl Incarnation {
    pub(crate) fn of(pid: u32) -> Self {
        Self { pid, started: start_time(pid).unwrap_or_default() }
    }

    pub(crate) fn is_alive(self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }
}

/// The start time of a live process. A zombie is not one.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in brackets, which may hold anything, even brackets.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Owner(who) => write!(f, "owner {} {}", who.pid, who.started),
            Self::Process(who) => write!(f, "process {} {}", who.pid, who.started),
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::Path(path) => write!(f, "path {}", path.display()),
        }
    }
}

impl FromStr for Entry {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let (kind, rest) = line.split_once(' ').context("a journal line has two parts")?;
        let incarnation = || {
            let (pid, started) = rest.split_once(' ').context("PID and start time")?;
            anyhow::Ok(Incarnation { pid: pid.parse()?, started: started.parse()? })
        };
        Ok(match kind {
            "owner" => Self::Owner(incarnation()?),
            "process" => Self::Process(incarnation()?),
            "namespace" => Self::Namespace(rest.to_owned()),
            "path" => Self::Path(rest.into()),
            _ => bail!("`{line}` is not a journal line"),
        })
    }
}

/// Appends one entry to the journal of a run directory.
pub(crate) fn record(run_dir: &Path, entry: &Entry) -> Result<()> {
    let path = run_dir.join(FILE);
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    writeln!(file, "{entry}").with_context(|| path.display().to_string())
}

fn read(run_dir: &Path) -> Result<Vec<Entry>> {
    let path = run_dir.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    text.lines().map(str::parse).collect()
}

/// Run directories of `kind` whose owner is gone: beds left up on purpose, or left by a killed run.
pub fn abandoned(kind: &str) -> Result<Vec<PathBuf>> {
    let start = format!("{kind}-");
    let mut found = Vec::new();
    for item in fs::read_dir(RUN_ROOT)? {
        let path = item?.path();
        let is_ours =
            path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(&start));
        if !is_ours {
            continue;
        }
        let entries = read(&path).unwrap_or_default();
        let is_owned =
            entries.iter().any(|entry| matches!(entry, Entry::Owner(who) if who.is_alive()));
        if !entries.is_empty() && !is_owned {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Undoes everything in the journal of `run_dir`, then removes the directory.
///
/// Processes get SIGTERM and, three seconds later, SIGKILL; then whatever else still runs inside a namespace of the
/// bed is killed, the namespaces are deleted (and with them every interface), and the named paths removed.
/// Goes on after a failure, so that one stubborn thing does not keep the rest; the first failure is returned.
pub fn sweep(run_dir: &Path) -> Result<()> {
    let entries = read(run_dir)?;
    let groups: Vec<Incarnation> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Process(who) if who.is_alive() => Some(*who),
            _ => None,
        })
        .collect();
    end_groups(&groups);

    let mut failures = Vec::new();
    for entry in entries.iter().rev() {
        let undone = match entry {
            Entry::Owner(_) | Entry::Process(_) => Ok(()),
            Entry::Namespace(name) => delete_namespace(name),
            Entry::Path(path) => remove_path(path),
        };
        failures.extend(undone.err());
    }
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    fs::remove_dir_all(run_dir).with_context(|| run_dir.display().to_string())
}

fn end_groups(groups: &[Incarnation]) {
    let pids: Vec<Pid> = groups.iter().filter_map(|who| pid(who.pid)).collect();
    for pid in &pids {
        // It may end by itself in this very moment; then there is nothing to do.
        let _gone = kill_process_group(*pid, Signal::TERM);
    }
    let deadline = Instant::now() + GRACE;
    while groups.iter().any(|who| who.is_alive()) && Instant::now() < deadline {
        sleep(Duration::from_millis(5));
    }
    for pid in &pids {
        if test_kill_process_group(*pid).is_ok() {
            let _gone = kill_process_group(*pid, Signal::KILL);
        }
    }
}

fn pid(raw: u32) -> Option<Pid> {
    i32::try_from(raw).ok().and_then(Pid::from_raw)
}

fn delete_namespace(name: &str) -> Result<()> {
    if !Path::new("/run/netns").join(name).exists() {
        return Ok(());
    }
    // A workload may have been given a process by somebody else, for example a shell by `make demo-up`.
    // An error is a namespace that was only half made when its maker was killed.
    let inside = ip(&["netns", "pids", name]).unwrap_or_default();
    for raw in inside.lines().filter_map(|line| line.trim().parse().ok()) {
        if let Some(pid) = pid(raw) {
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
    ip(&["netns", "del", name]).map(drop)
}

fn remove_path(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

fn ip(args: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output().context("ip")?;
    if !output.status.success() {
        bail!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_as_it_was_written() {
        let entries = [
            Entry::Owner(Incarnation { pid: 7, started: 9 }),
            Entry::Process(Incarnation { pid: 8, started: 10 }),
            Entry::Namespace("a1b2c3-db-1".to_owned()),
            Entry::Path("/sys/fs/bpf/arcus/with a space".into()),
        ];
        for entry in entries {
            assert_eq!(entry.to_string().parse::<Entry>().expect("a line"), entry);
        }
    }

    #[test]
    fn a_pid_that_is_used_again_is_another_process() {
        let me = Incarnation::of(std::process::id());
        assert!(me.is_alive());
        assert!(!Incarnation { started: me.started + 1, ..me }.is_alive());
    }

    #[test]
    fn a_swept_run_is_gone_with_its_process_and_its_paths() {
        let dir = tempfile::tempdir().expect("a directory");
        let run_dir = dir.path().join("run");
        let other = dir.path().join("pins");
        fs::create_dir_all(&run_dir).expect("run directory");
        fs::create_dir_all(other.join("v1")).expect("a path outside");
        let mut command = Command::new("sleep");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.arg("600").spawn().expect("sleep");
        let who = Incarnation::of(child.id());
        record(&run_dir, &Entry::Process(who)).expect("journal");
        record(&run_dir, &Entry::Path(other.clone())).expect("journal");

        sweep(&run_dir).expect("swept");

        assert!(!who.is_alive() && !run_dir.exists() && !other.exists());
        child.wait().expect("reaped");
    }
}
