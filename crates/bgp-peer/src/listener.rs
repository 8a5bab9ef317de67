//! Accepts connections, without knowing whose they are.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bgp_session::cease::Cease;
use bgp_wire::{Message, Negotiated};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 1024;

/// Pause when the system has no descriptor or memory left for another connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A listening socket on one address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Listens on the address; port 179 needs `CAP_NET_BIND_SERVICE`. IPv6 sockets take IPv6 only.
    ///
    /// # Errors
    /// Those of the system: the address is in use or not ours, or the port is not allowed.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted daemon must not wait for connections of its predecessor to time out.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket: TcpListener::from_std(socket.into())? })
    }

    /// Where it listens: the port, if 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection. May be dropped at any time without losing one.
    pub async fn accept(&self) -> Incoming {
        loop {
            match self.socket.accept().await {
                Ok((stream, remote)) => return Incoming { stream, remote },
                Err(error) if is_about_one(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

/// The connection has gone before we took it.
fn is_about_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A connection that somebody has opened.
#[derive(Debug)]
pub struct Incoming {
    pub(crate) stream: TcpStream,
    remote: SocketAddr,
}

impl Incoming {
    /// Who has connected; an IPv4 address is never given in its IPv6 form.
    pub fn remote(&self) -> IpAddr {
        self.remote.ip().to_canonical()
    }

    /// Closes it, saying that nobody here is meant (RFC 4486, "Connection Rejected").
    pub fn refuse(self) {
        let mut octets = Vec::new();
        Message::Notification(Cease::ConnectionRejected.notification(""))
            .encode(&Negotiated::nothing(), &mut octets);
        // The buffer of a new connection is empty; whoever cannot be told sees the connection close.
        drop(self.stream.try_write(&octets));
    }
}
