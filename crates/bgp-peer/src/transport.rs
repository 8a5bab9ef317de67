//! How the sockets of a peer are set up, those that we connect and those that were accepted.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use ipnet::IpNet;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::config::PeerConfig;
use crate::sockopt::{self, AoUse};

/// How long a connection attempt may take. One that gets no answer is worth little: the next one
/// finds a peer that has come back sooner than the kernel's own repetitions.
const CONNECT_WAIT: Duration = Duration::from_secs(4);

/// Internetwork control (DSCP CS6, RFC 4594 §3.1), as the octet of the IP header.
const CS6: u32 = 0xc0;

/// The time to live that GTSM is about (RFC 5082 §3).
pub(crate) const MAX_TTL: u8 = 255;

/// Connects to the peer.
///
/// # Errors
/// Those of the system: an option is refused, nobody listens, nobody answers.
pub(crate) async fn dial(config: &PeerConfig) -> io::Result<TcpStream> {
    let remote = remote(config)?;
    let socket = if remote.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    // Before the first segment: the SYN is signed too.
    let peer = IpNet::from(remote.ip());
    if let Some(key) = &config.security.md5 {
        sockopt::set_md5(&socket, peer, Some(key))?;
    }
    if let Some(keys) = &config.security.ao {
        for (index, key) in keys.keys().iter().enumerate() {
            let when = if index == 0 { AoUse::First } else { AoUse::Later };
            sockopt::add_ao(&socket, peer, key, when)?;
        }
    }
    prepare(&SockRef::from(&socket), remote.ip(), config)?;
    if let Some(local) = config.local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    timeout(CONNECT_WAIT, socket.connect(remote)).await?
}

/// Sets up a connection that our listener accepted. What the listener was told about keys has been
/// checked by the kernel already; a key it was not told counts from here on, so that a connection
/// without it gets no further.
///
/// # Errors
/// A connection that should be signed by TCP-AO and is not, or whose SYN has come over more hops than
/// allowed; those of the system: an option is refused.
pub(crate) fn accepted(stream: &TcpStream, config: &PeerConfig) -> io::Result<()> {
    let remote = stream.peer_addr()?.ip();
    if let Some(key) = &config.security.md5 {
        sockopt::set_md5(stream, remote.into(), Some(key))?;
    }
    // With TCP-AO there is no such thing: a connection is signed from its first segment or never.
    if config.security.ao.is_some() && !sockopt::is_ao(stream)? {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is not signed by TCP-AO"));
    }
    // The kernel looks at what comes from here on; what has come before was let in by the listener, which
    // has no peer to be strict for. Of a SYN that it answered by a cookie it keeps nothing.
    if let Some(hops) = config.security.ttl_security
        && sockopt::syn_ttl(stream)?.is_some_and(|ttl| ttl < min_ttl(hops))
    {
        let why = "it has come over more hops than ttl-security allows";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    prepare(&SockRef::from(stream), remote, config)
}

/// The smallest time to live of what has come over so many hops, 1 being the same link (RFC 5082 §3).
const fn min_ttl(hops: u8) -> u8 {
    MAX_TTL - hops.saturating_sub(1)
}

/// What both sorts of connections have in common.
fn prepare(socket: &SockRef<'_>, remote: IpAddr, config: &PeerConfig) -> io::Result<()> {
    if let Some(interface) = &config.local_interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    let ttl = match config.security.ttl_security {
        Some(hops) => {
            sockopt::set_min_ttl(&**socket, remote, min_ttl(hops))?;
            MAX_TTL
        }
        None => config.ttl,
    };
    set_ttl(socket, remote, ttl)?;
    set_class(socket, remote)
}

/// Where the peer listens. An address of one link needs the link beside it.
fn remote(config: &PeerConfig) -> io::Result<SocketAddr> {
    match (config.remote, &config.local_interface) {
        (IpAddr::V6(address), Some(interface)) if address.is_unicast_link_local() => {
            let any = rustix::net::socket(
                rustix::net::AddressFamily::INET6,
                rustix::net::SocketType::DGRAM,
                None,
            )?;
            let scope = rustix::net::netdevice::name_to_index(&any, interface)?;
            Ok(SocketAddrV6::new(address, config.port, 0, scope).into())
        }
        (address, _) => Ok(SocketAddr::new(address, config.port)),
    }
}

/// Sets the time to live (hop limit) of what a socket sends.
pub(crate) fn set_ttl(socket: &SockRef<'_>, peer: IpAddr, ttl: u8) -> io::Result<()> {
    match peer {
        IpAddr::V4(_) => socket.set_ttl_v4(ttl.into()),
        IpAddr::V6(_) => socket.set_unicast_hops_v6(ttl.into()),
    }
}

/// Routers between us and the peer must not drop what keeps the network together.
pub(crate) fn set_class(socket: &SockRef<'_>, peer: IpAddr) -> io::Result<()> {
    match peer {
        IpAddr::V4(_) => socket.set_tos_v4(CS6),
        IpAddr::V6(_) => socket.set_tclass_v6(CS6),
    }
}
