use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

/// The bound sockets of an API. The Unix socket is removed when this is dropped.
#[derive(Debug)]
pub struct Listeners {
    pub(super) unix: UnixListener,
    pub(super) tcp: Option<TcpListener>,
    pub(super) file: SocketFile,
}

/// Removes the socket's file when dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

/// Why an API does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "{0} is not a loopback address: the API has no passwords; listen on 127.0.0.1 or [::1] and \
         forward from there, for example by ssh"
    )]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {at}")]
    Io { at: String, source: io::Error },
}

impl Listeners {
    /// Binds `unix` for its owner alone (mode 0600), replacing what an earlier daemon left behind, and
    /// `tcp` if given.
    ///
    /// Call it only with a [`Claim`](crate::Claim) on the name: a socket at this path is taken to be
    /// stale.
    pub async fn bind(unix: &Path, tcp: Option<SocketAddr>) -> Result<Self, ListenError> {
        let tcp = match tcp {
            Some(address) if !address.ip().is_loopback() => {
                return Err(ListenError::NotLoopback(address));
            }
            Some(address) => Some(
                TcpListener::bind(address)
                    .await
                    .map_err(|source| ListenError::Io { at: address.to_string(), source })?,
            ),
            None => None,
        };
        let failed = |source| ListenError::Io { at: unix.display().to_string(), source };
        let listener = bind_private(unix).map_err(failed)?;
        Ok(Self { unix: listener, tcp, file: SocketFile(unix.to_owned()) })
    }

    /// The address of the TCP listener, with the port that the kernel chose for 0.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A socket that is gone already is what we want.
        drop(fs::remove_file(&self.0));
    }
}

/// Bound under another name and moved into place: nobody can connect before the mode is set, and there
/// is no moment without a socket while a stale one is replaced.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let mut unborn = path.as_os_str().to_owned();
    unborn.push(".new");
    match fs::remove_file(&unborn) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&unborn)?;
    fs::set_permissions(&unborn, Permissions::from_mode(0o600))?;
    fs::rename(&unborn, path)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_only_its_owner_may_connect() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ctl-1.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a stale socket"));
        let listeners = Listeners::bind(&path, None).await.expect("replaced");
        let mode = fs::metadata(&path).expect("the socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        tokio::net::UnixStream::connect(&path).await.expect("it listens");

        drop(listeners);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn only_loopback_is_listened_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ctl-1.sock");
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
            let address: SocketAddr = address.parse().expect("an address");
            let refusal = Listeners::bind(&path, Some(address)).await.expect_err("not loopback");
            assert!(refusal.to_string().contains("127.0.0.1"), "{refusal}");
            assert!(!path.exists());
        }
    }
}
