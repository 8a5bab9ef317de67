//! What one CPU has done for us.
//!
//! All of a packet's way is walked on the CPU that sends it: by the sending thread, in its system call and
//! in the soft interrupts that the call raises, or by `ksoftirqd` of that CPU when those become many. What
//! other programs do meanwhile is in neither.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// The highest priority there is below real time.
const FIRST: i32 = -20;

/// The clock of a thread that stays on one CPU.
#[derive(Debug)]
pub(crate) struct Clock {
    /// What the scheduler has counted for `ksoftirqd`.
    ksoftirqd: PathBuf,
}

impl Clock {
    /// Binds the calling thread to the CPU, and puts it before what else wants that: delays are to be ours.
    pub(crate) fn pin(cpu: usize) -> Result<Self> {
        let mut only = CpuSet::new();
        only.set(cpu);
        sched_setaffinity(None, &only).with_context(|| format!("CPU {cpu}"))?;
        setpriority_process(None, FIRST)?;
        let name = format!("ksoftirqd/{cpu}");
        let processes = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
        let is_it = |path: &PathBuf| {
            fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        let ksoftirqd = processes.into_iter().find(is_it).with_context(|| name.clone())?;
        Ok(Self { ksoftirqd: ksoftirqd.join("schedstat") })
    }

    /// Time that the CPU has spent on this thread and on soft interrupts.
    pub(crate) fn now(&self) -> Result<Duration> {
        Ok(own()? + scheduled(&self.ksoftirqd)?.0)
    }

    /// Refuses a kernel that charges interrupts to no thread (`CONFIG_IRQ_TIME_ACCOUNTING`): most of what is to
    /// be measured would be missing.
    ///
    /// `work` keeps this thread busy, mostly with packets.
    pub(crate) fn check(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let waited =
            || Ok::<_, anyhow::Error>(scheduled("/proc/thread-self/schedstat".as_ref())?.1);
        let (before, waited_before, start) = (self.now()?, waited()?, Instant::now());
        work()?;
        let on_cpu = start.elapsed().saturating_sub(waited()?.saturating_sub(waited_before));
        let counted = self.now()?.saturating_sub(before);
        ensure!(
            counted.as_secs_f64() > 0.7 * on_cpu.as_secs_f64(),
            "this kernel charges interrupts to no thread: {counted:?} of {on_cpu:?}"
        );
        Ok(())
    }
}

fn own() -> Result<Duration> {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Ok(Duration::new(now.tv_sec.try_into()?, now.tv_nsec.try_into()?))
}

/// How long a thread has run, and waited for a CPU (`/proc/PID/schedstat`).
fn scheduled(path: &std::path::Path) -> Result<(Duration, Duration)> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut words = text.split_whitespace().map(str::parse);
    let (Some(Ok(run)), Some(Ok(waited))) = (words.next(), words.next()) else {
        anyhow::bail!("{}: {text}", path.display());
    };
    Ok((Duration::from_nanos(run), Duration::from_nanos(waited)))
}
