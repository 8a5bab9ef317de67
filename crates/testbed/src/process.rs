//! A process of the bed: started in a namespace, its output in a log, ended with its whole group.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, kill_process, kill_process_group};

use crate::journal::{self, Entry, Incarnation};
use crate::wait::wait_for;

/// What can be sent to a process of the bed.
pub use rustix::process::Signal;

/// How long a process has between SIGTERM and SIGKILL when its handle is dropped.
const GRACE: Duration = Duration::from_secs(2);

/// A running process. Dropping it ends it, unless the bed is left running.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    pid: Pid,
    ended: Option<ExitStatus>,
    is_left: Arc<AtomicBool>,
}

impl Process {
    /// Starts `command` in a group of its own, with its output appended to `run_dir/log/NAME.log`.
    pub(crate) fn start(
        mut command: Command,
        name: &str,
        run_dir: &Path,
        is_left: Arc<AtomicBool>,
    ) -> Result<Self> {
        let log = run_dir.join("log").join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{name}: {}", command.get_program().display()))?;
        journal::record(run_dir, &Entry::Process(Incarnation::of(child.id())))?;
        let pid = Pid::from_raw(i32::try_from(child.id())?).context("a child has a PID")?;
        Ok(Self { name: name.to_owned(), log, child, pid, ended: None, is_left })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that the process has written so far.
    pub fn output(&self) -> String {
        fs::read(&self.log).map(|o| String::from_utf8_lossy(&o).into_owned()).unwrap_or_default()
    }

    pub fn is_running(&mut self) -> bool {
        self.poll().is_none()
    }

    /// Sends a signal to the process itself, not to its children.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        ensure!(self.ended.is_none(), "{} has ended", self.name);
        kill_process(self.pid, signal).with_context(|| self.name.clone())
    }

    /// Kills the whole group without a chance to clean up, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        if self.is_running() {
            kill_process_group(self.pid, Signal::KILL)?;
        }
        self.wait(GRACE).await.map(drop)
    }

    /// Waits until the process has ended by itself.
    pub async fn wait(&mut self, ceiling: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        wait_for(&what, ceiling, async || self.poll().context("it still runs")).await
    }

    /// As [`Self::wait`]; an exit status other than 0 is an error that shows the end of the output.
    pub async fn wait_ok(&mut self, ceiling: Duration) -> Result<()> {
        let status = self.wait(ceiling).await?;
        if !status.success() {
            bail!("{} ended with {status}:\n{}", self.name, tail(&self.output()));
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            // An error means that somebody else has reaped it, which is an end too.
            self.ended = self.child.try_wait().unwrap_or(Some(ExitStatus::from_raw(0)));
        }
        self.ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_left.load(Ordering::Relaxed) || self.poll().is_some() {
            return;
        }
        let _gone = kill_process_group(self.pid, Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while self.poll().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _gone = kill_process_group(self.pid, Signal::KILL);
        let _status = self.child.wait();
    }
}

/// The last lines of a log.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
