//! Accepts connections, without knowing whose they are.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bgp_session::cease::Cease;
use bgp_wire::{Message, Negotiated};
use ipnet::IpNet;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::security::{AoKey, Secret};
use crate::sockopt::{self, AoUse};
use crate::transport;

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
        // The answer to a SYN is sent by this socket: it must pass at peers that look at the time to live
        // (RFC 5082), and should not be dropped on its way.
        let own = SockRef::from(&socket);
        transport::set_ttl(&own, address.ip(), transport::MAX_TTL)?;
        transport::set_class(&own, address.ip())?;
        // What RFC 5082 asks for depends on the peer, which is known only after the handshake.
        sockopt::save_syn(&socket)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket: TcpListener::from_std(socket.into())? })
    }

    /// Where it listens: the port, if 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes connections from these addresses only where they are signed with the key (RFC 2385), and
    /// answers with it; of several prefixes the longest counts. `None` takes connections without a
    /// signature again. Sessions that are up keep the key that they began with.
    ///
    /// # Errors
    /// A key that is empty or longer than 80 octets; a prefix of the other address family; a kernel
    /// without TCP-MD5, or no room for more keys (`net.core.optmem_max`).
    pub fn set_md5(&self, peers: IpNet, key: Option<&Secret>) -> io::Result<()> {
        sockopt::set_md5(&self.socket, peers.trunc(), key)
    }

    /// As [`Self::set_md5`], for the keys of TCP-AO (RFC 5925): puts the `new` ones in the place of the
    /// `old` ones, which stand for the prefix now. At no time a prefix with keys is without any.
    ///
    /// # Errors
    /// As [`Self::set_md5`]; [`io::ErrorKind::Unsupported`] where the kernel has no TCP-AO.
    pub fn set_ao(&self, peers: IpNet, old: &[AoKey], new: &[AoKey]) -> io::Result<()> {
        let peers = peers.trunc();
        let mut gone: Vec<_> = old.iter().filter(|key| !new.contains(key)).collect();
        let mut added: Vec<_> = new.iter().filter(|key| !old.contains(key)).collect();
        // A key with the identifiers of an old one can only come after it; all others come first.
        added.sort_by_key(|new| gone.iter().any(|old| new.has_ids_of(old)));
        for new in added {
            for old in gone.extract_if(.., |old| new.has_ids_of(old)) {
                sockopt::remove_ao(&self.socket, peers, old)?;
            }
            sockopt::add_ao(&self.socket, peers, new, AoUse::Later)?;
        }
        gone.into_iter().try_for_each(|old| sockopt::remove_ao(&self.socket, peers, old))
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
