use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use rustix::fs::OFlags;

/// The right to be the daemon of one name in one run directory.
///
/// Holds a lock on `NAME.pid`, so that a second daemon of that name is refused instead of taking over
/// the socket of the first. The kernel drops the lock with the process, however it ends; the file
/// stays, because removing it would let two others lock two different files of the same name.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
    socket: PathBuf,
    is_first: bool,
}

/// Why a daemon may not run here.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error(
        "`{name}` runs already{}; stop it first, or give this one another --run-dir",
        .pid.as_ref().map(|pid| format!(" as process {pid}")).unwrap_or_default()
    )]
    Running { name: String, pid: Option<String> },
    #[error("`{0}` cannot be part of a file name")]
    Name(String),
    #[error(
        "{} may not be written by this user; run the daemon as root or by its systemd unit, or give \
         --run-dir a directory of this user", .path.display()
    )]
    NotAllowed { path: PathBuf },
    #[error("{}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Claim {
    /// Makes `run_dir` if it is not there, and claims `name` in it.
    pub fn take(run_dir: &Path, name: &str) -> Result<Self, ClaimError> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(ClaimError::Name(name.to_owned()));
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| match source.kind() {
                io::ErrorKind::PermissionDenied => ClaimError::NotAllowed { path },
                _ => ClaimError::Io { path, source },
            }
        };
        fs::create_dir_all(run_dir).map_err(failed(run_dir))?;

        let path = run_dir.join(format!("{name}.pid"));
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            // The directory is shared with daemons of other users, who could leave a link here.
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ClaimError::Running { name: name.to_owned(), pid: pid_in(&mut lock) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(&path)(source)),
        }
        let is_first = pid_in(&mut lock).is_none();
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", process::id()))
            .map_err(failed(&path))?;
        Ok(Self { _lock: lock, socket: run_dir.join(format!("{name}.sock")), is_first })
    }

    /// Whether a daemon of this name may have run on this machine within the last `time`: it has left its
    /// file, or the machine was started since, and a run directory is empty after that.
    pub fn may_follow_another(&self, time: Duration) -> bool {
        follows(self.is_first, uptime(), time)
    }

    /// Where the daemon's API listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

fn uptime() -> Duration {
    Duration::from_secs(u64::try_from(rustix::system::sysinfo().uptime).unwrap_or_default())
}

fn follows(is_first: bool, uptime: Duration, time: Duration) -> bool {
    !is_first || uptime <= time
}

fn pid_in(file: &mut File) -> Option<String> {
    let mut text = String::new();
    // Only to help the reader of the message: the lock alone decides.
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse::<u32>().ok().map(|pid| pid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_of_a_name_is_refused_and_told_who_runs() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Claim::take(dir.path(), "ctl-1").expect("nobody runs");
        assert!(first.is_first);
        let refusal = Claim::take(dir.path(), "ctl-1").expect_err("the first still runs");
        assert!(refusal.to_string().contains(&process::id().to_string()), "{refusal}");
        assert!(Claim::take(dir.path(), "ctl-2").expect("another name is free").is_first);

        drop(first);
        let second = Claim::take(dir.path(), "ctl-1").expect("the first is gone, its file is not");
        assert!(!second.is_first && second.may_follow_another(Duration::ZERO));
    }

    #[test]
    fn after_a_boot_nobody_knows_who_ran_before() {
        let secs = Duration::from_secs;
        assert!(follows(true, secs(120), secs(120)));
        assert!(!follows(true, secs(121), secs(120)));
        assert!(follows(false, secs(9999), secs(120)));
    }

    #[test]
    fn a_link_that_somebody_left_is_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let precious = dir.path().join("precious");
        fs::write(&precious, "state").expect("a file");
        std::os::unix::fs::symlink(&precious, dir.path().join("ctl-1.pid")).expect("a link");
        assert!(matches!(Claim::take(dir.path(), "ctl-1"), Err(ClaimError::Io { .. })));
        assert_eq!(fs::read_to_string(&precious).expect("untouched"), "state");
    }

    #[test]
    fn the_run_directory_is_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let claim = Claim::take(&dir.path().join("a/b"), "ctl-1").expect("made");
        assert_eq!(claim.socket(), dir.path().join("a/b/ctl-1.sock"));
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["", "..", "../x", "a/b"] {
            assert!(matches!(Claim::take(dir.path(), name), Err(ClaimError::Name(_))), "{name}");
        }
    }
}
