//! Where daemons listen on one machine: `/run/arcus/NAME.sock`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The directory of the sockets unless [`RUN_DIR_ENV`] or `--run-dir` says otherwise.
pub const RUN_DIR: &str = "/run/arcus";

/// Environment variable that replaces [`RUN_DIR`], for the daemons and the command line.
pub const RUN_DIR_ENV: &str = "ARCUS_RUN_DIR";

/// The file name extension of a daemon's socket.
pub const EXTENSION: &str = "sock";

/// The socket of the daemon called `name` in `run_dir`.
pub fn path(run_dir: &Path, name: &str) -> PathBuf {
    run_dir.join(format!("{name}.{EXTENSION}"))
}

/// What the agent of a node is called. A control node is called as in the topology file; nodes have no
/// entry of their own there, so that cloud and address name them.
pub fn agent_name(cloud: &str, address: IpAddr) -> String {
    format!("{cloud}-{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_found_by_cloud_and_address() {
        let name = agent_name("kubernetes", IpAddr::from([10, 2, 1, 11]));
        let socket = path(Path::new(RUN_DIR), &name);
        assert_eq!(socket, Path::new("/run/arcus/kubernetes-10.2.1.11.sock"));
    }
}
