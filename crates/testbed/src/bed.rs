//! One run: prefix, run directory, and what is made in it.

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::journal::{self, Entry, Incarnation, RUN_ROOT};
use crate::process::tail;
use crate::{Fabric, Namespace, Process, wait_for};

/// A run of the demo or of one test. Dropping it undoes everything that was made through it.
#[derive(Debug)]
pub struct Bed {
    prefix: String,
    run_dir: PathBuf,
    is_left: Arc<AtomicBool>,
    number: AtomicU32,
}

impl Bed {
    /// A new run, in `/run/KIND-PREFIX`. Needs root.
    ///
    /// Two runs never get the same prefix: the directory is claimed by making it.
    pub fn new(kind: &str) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "namespaces need root: run it with sudo");
        for _ in 0..16 {
            let prefix = random_prefix();
            let run_dir = Path::new(RUN_ROOT).join(format!("{kind}-{prefix}"));
            match fs::create_dir(&run_dir) {
                Ok(()) => {
                    journal::record(&run_dir, &Entry::Owner(Incarnation::of(std::process::id())))?;
                    fs::create_dir(run_dir.join("log"))?;
                    return Ok(Self {
                        prefix,
                        run_dir,
                        is_left: Arc::default(),
                        number: AtomicU32::new(1),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| run_dir.display().to_string()),
            }
        }
        bail!("no free run directory in {RUN_ROOT}")
    }

    /// As [`Self::new`], after what killed runs of this kind have left is removed. Not for a kind of run
    /// that is left running on purpose.
    pub fn fresh(kind: &str) -> Result<Self> {
        for run_dir in journal::abandoned(kind)? {
            // Another run may be at it at this moment, and what is left then is for the next one.
            let _swept = journal::sweep(&run_dir);
        }
        Self::new(kind)
    }

    /// Six characters that no other run on this machine has.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where logs, sockets and configurations of this run are. Short enough for Unix sockets in it.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// A new, empty namespace called `PREFIX-NAME`, with `lo` up.
    pub async fn namespace(&self, name: &str) -> Result<Namespace> {
        let full = format!("{}-{name}", self.prefix);
        journal::record(&self.run_dir, &Entry::Namespace(full.clone()))?;
        Namespace::create(&full).await
    }

    /// The underlay. One per bed.
    pub async fn fabric(&self) -> Result<Fabric> {
        Fabric::create(self).await
    }

    /// Starts a program inside a namespace; its output goes to `log/NAME.log` of the run directory.
    pub fn start<A: AsRef<OsStr>>(
        &self,
        namespace: &Namespace,
        name: &str,
        program: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Process> {
        self.start_with(namespace, name, program, args, &[])
    }

    /// As [`Self::start`], with variables added to the environment.
    pub fn start_with<A: AsRef<OsStr>>(
        &self,
        namespace: &Namespace,
        name: &str,
        program: impl AsRef<Path>,
        args: impl IntoIterator<Item = A>,
        environment: &[(&str, &Path)],
    ) -> Result<Process> {
        let program = program.as_ref().to_str().context("a program path that is not UTF-8")?;
        let mut command = namespace.command(program);
        command.args(args).envs(environment.iter().copied());
        Process::start(command, name, &self.run_dir, Arc::clone(&self.is_left))
    }

    /// Removes `path` (a file, or a directory with all in it) when the bed is undone.
    pub fn remove_at_end(&self, path: impl Into<PathBuf>) -> Result<()> {
        journal::record(&self.run_dir, &Entry::Path(path.into()))
    }

    /// As [`wait_for`], and a failure shows the ends of all logs of the run.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        ceiling: Duration,
        condition: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let outcome = wait_for(what, ceiling, condition).await;
        // The state that was seen is the cause, and stands last, where the reader looks first.
        outcome.map_err(|error| error.context(format!("{}\n---", self.logs())))
    }

    /// A number that was not given before, for a name that shall be used once.
    pub fn next_number(&self) -> u32 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// The end of each log of the run that is not empty.
    pub fn logs(&self) -> String {
        let Ok(directory) = fs::read_dir(self.run_dir.join("log")) else { return String::new() };
        let mut paths: Vec<PathBuf> = directory.flatten().map(|item| item.path()).collect();
        paths.sort();
        let ends = paths.iter().filter_map(|path| {
            let log = fs::read(path).ok().filter(|log| !log.is_empty())?;
            let name = path.file_stem()?.display();
            Some(format!("--- {name}\n{}\n", tail(&String::from_utf8_lossy(&log))))
        });
        ends.collect::<Vec<_>>().concat()
    }

    /// Ends this process's hold on the bed: everything stays, until [`crate::sweep`] is called on the
    /// run directory that is returned.
    pub fn leave_running(self) -> PathBuf {
        self.is_left.store(true, Ordering::Relaxed);
        self.run_dir.clone()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if self.is_left.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = journal::sweep(&self.run_dir) {
            eprintln!("{} is not wholly removed: {error:#}", self.run_dir.display());
        }
    }
}

/// Lower-case letters and digits: fits namespaces, files and bpffs. The standard library's hasher keys
/// are random, which is all that is needed: uniqueness comes from making the directory.
fn random_prefix() -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = RandomState::new().build_hasher().finish();
    let mut prefix = String::new();
    for _ in 0..6 {
        prefix.push(char::from(DIGITS[(random % 32) as usize]));
        random /= 32;
    }
    prefix
}
