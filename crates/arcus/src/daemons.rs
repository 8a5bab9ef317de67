//! Which daemons run on this machine, and which one is meant.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use arcus_api::socket;

use crate::cli::At;

/// Environment variable with the socket that is meant if neither `--socket` nor `--node` is given.
pub(crate) const SOCKET_ENV: &str = "ARCUS_SOCKET";

/// A daemon that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Daemon {
    pub(crate) name: String,
    pub(crate) socket: PathBuf,
}

impl Daemon {
    fn at(socket: PathBuf) -> Self {
        let name = socket.file_stem().unwrap_or(socket.as_os_str()).to_string_lossy().into_owned();
        Self { name, socket }
    }
}

/// The daemon that is meant. `from_env` is the value of [`SOCKET_ENV`].
pub(crate) fn meant(at: &At, from_env: Option<PathBuf>) -> Result<Daemon> {
    if let Some(daemon) = named(at, from_env) {
        return if daemon.socket.exists() { Ok(daemon) } else { Err(missing(&daemon, at)) };
    }
    let mut daemons = running(&at.run_dir);
    match (daemons.pop(), daemons.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            daemons.push(last);
            bail!("several daemons run here; say which with --node NAME:\n{}", list(&daemons))
        }
        (None, _) => bail!("no daemon runs here: {}", how_to_start(&at.run_dir)),
    }
}

/// Every daemon that a command about all of them is for: the named one, else those that run.
pub(crate) fn all(at: &At, from_env: Option<PathBuf>) -> Result<Vec<Daemon>> {
    if at.socket.is_none() && at.node.is_none() && from_env.is_none() {
        let daemons = running(&at.run_dir);
        if daemons.len() > 1 {
            return Ok(daemons);
        }
    }
    meant(at, from_env).map(|daemon| vec![daemon])
}

fn named(at: &At, from_env: Option<PathBuf>) -> Option<Daemon> {
    at.socket
        .clone()
        .or_else(|| at.node.as_deref().map(|node| socket::path(&at.run_dir, node)))
        .or(from_env)
        .map(Daemon::at)
}

fn missing(daemon: &Daemon, at: &At) -> anyhow::Error {
    let Daemon { name, socket } = daemon;
    let daemons = running(&at.run_dir);
    let cure = if daemons.is_empty() {
        how_to_start(&at.run_dir)
    } else {
        format!("these run here:\n{}", list(&daemons))
    };
    anyhow::anyhow!("no daemon `{name}` runs here ({} is missing): {cure}", socket.display())
}

fn how_to_start(run_dir: &Path) -> String {
    format!(
        "there is no socket in {}; start one with `systemctl start arcus-bgpd@NAME` or `systemctl \
         start arcus-vrouter-agent`, or give --run-dir",
        run_dir.display()
    )
}

fn list(daemons: &[Daemon]) -> String {
    daemons.iter().map(|daemon| format!("  {}", daemon.name)).collect::<Vec<_>>().join("\n")
}

/// Those in `run_dir` that listen, by name. One that we may not ask runs all the same.
fn running(run_dir: &Path) -> Vec<Daemon> {
    let Ok(entries) = fs::read_dir(run_dir) else { return Vec::new() };
    let mut daemons: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == socket::EXTENSION))
        .filter(|path| match UnixStream::connect(path) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::PermissionDenied,
        })
        .map(Daemon::at)
        .collect();
    daemons.sort_by(|a, b| a.name.cmp(&b.name));
    daemons
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn at(run_dir: &Path) -> At {
        At { run_dir: run_dir.to_owned(), ..At::default() }
    }

    fn refusal(at: &At) -> String {
        meant(at, None).expect_err("nobody is meant").to_string()
    }

    #[test]
    fn the_only_daemon_is_meant_and_what_a_dead_one_left_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(UnixListener::bind(dir.path().join("dead.sock")).expect("bind"));
        assert!(refusal(&at(dir.path())).contains("systemctl start"));

        let _one = UnixListener::bind(dir.path().join("ctl-1.sock")).expect("bind");
        assert_eq!(meant(&at(dir.path()), None).expect("the only one").name, "ctl-1");
    }

    #[test]
    fn of_several_daemons_one_must_be_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let _one = UnixListener::bind(dir.path().join("ctl-1.sock")).expect("bind");
        let _two = UnixListener::bind(dir.path().join("ctl-2.sock")).expect("bind");
        let mut at = at(dir.path());
        assert!(refusal(&at).ends_with("--node NAME:\n  ctl-1\n  ctl-2"), "{}", refusal(&at));
        assert_eq!(all(&at, None).expect("both").len(), 2);

        at.node = Some("ctl-3".to_owned());
        assert!(refusal(&at).ends_with("these run here:\n  ctl-1\n  ctl-2"), "{}", refusal(&at));
        at.node = Some("ctl-2".to_owned());
        assert_eq!(meant(&at, None).expect("named").socket, dir.path().join("ctl-2.sock"));
    }

    #[test]
    fn the_command_line_comes_before_the_environment() {
        let dir = tempfile::tempdir().expect("a directory");
        let _one = UnixListener::bind(dir.path().join("ctl-1.sock")).expect("bind");
        let _two = UnixListener::bind(dir.path().join("ctl-2.sock")).expect("bind");
        let env = || Some(dir.path().join("ctl-2.sock"));
        assert_eq!(meant(&at(dir.path()), env()).expect("from the environment").name, "ctl-2");
        let named = At { node: Some("ctl-1".to_owned()), ..at(dir.path()) };
        assert_eq!(meant(&named, env()).expect("named").name, "ctl-1");
    }
}
