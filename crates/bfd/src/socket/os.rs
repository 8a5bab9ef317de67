//! UDP sockets as RFC 5881 and RFC 5883 want them.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::config::{Door, Mode, PathConfig};

/// What every packet is sent with, and what one from the same link arrives with (RFC 5881 §5).
pub(super) const TTL: u8 = 255;

/// Network control (DSCP 48): what looks after the path should not wait behind what uses it.
const TRAFFIC_CLASS: u32 = 0xc0;

/// RFC 5881 §4. Each session has a port of its own.
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// How many source ports are tried; others of the system may have some.
const PORT_ATTEMPTS: u16 = 64;

/// What arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram {
    pub(super) from: IpAddr,
    pub(super) length: usize,
    pub(super) ttl: u8,
}

/// Receives the packets of all sessions behind one door.
#[derive(Debug)]
pub(super) struct Receiver {
    socket: Arc<UdpSocket>,
    control: Vec<u8>,
}

impl Receiver {
    pub(super) fn bind(door: &Door) -> io::Result<Self> {
        let socket = open(door)?;
        if door.local.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
        }
        if door.mode == Mode::Echo {
            set_out(&socket, door)?;
        }
        socket.bind(&address(door, door.local, door.mode.port())?.into())?;
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        Ok(Self { socket, control: nix::cmsg_space!(i32) })
    }

    /// Sends the packets of one session by the same socket: what is sent back comes to where it was
    /// sent from.
    pub(super) fn transmitter(&self, config: &PathConfig) -> io::Result<Transmitter> {
        let to = address(&config.door(), config.remote, config.mode.port())?;
        Ok(Transmitter { socket: Sending::Shared(Arc::clone(&self.socket)), to })
    }

    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(context)
    }

    /// The next packet that lies in the socket, whether the runtime has noticed it or not.
    pub(super) fn receive(&mut self, room: &mut [u8]) -> io::Result<Option<Datagram>> {
        let Self { socket, control } = self;
        let fd = socket.as_raw_fd();
        let noticed = socket.try_io(Interest::READABLE, || receive(fd, room, control));
        let received = match noticed {
            Err(error) if error.kind() == ErrorKind::WouldBlock => receive(fd, room, control),
            noticed => noticed,
        };
        match received {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            received => received.map(Some),
        }
    }
}

fn receive(fd: RawFd, room: &mut [u8], control: &mut [u8]) -> io::Result<Datagram> {
    let mut parts = [IoSliceMut::new(room)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(control), flags)?;
    let ttl = message.cmsgs()?.find_map(|item| match item {
        ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => {
            u8::try_from(ttl).ok()
        }
        _ => None,
    });
    // The kernel gives both with every packet; what has none is nobody's.
    let from = message.address.as_ref().and_then(ip).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    Ok(Datagram { from, length: message.bytes, ttl: ttl.unwrap_or_default() })
}

/// Sends the packets of one session.
#[derive(Debug)]
pub(super) struct Transmitter {
    socket: Sending,
    to: SocketAddr,
}

#[derive(Debug)]
enum Sending {
    Own(Socket),
    Shared(Arc<UdpSocket>),
}

impl Transmitter {
    /// `seed` says which source port is tried first.
    pub(super) fn bind(config: &PathConfig, seed: u64) -> io::Result<Self> {
        let door = config.door();
        let socket = open(&door)?;
        set_out(&socket, &door)?;
        // Nobody is expected to send to it.
        socket.set_recv_buffer_size(1)?;
        let first = u16::try_from(seed % 0x4000).unwrap_or_default();
        for offset in 0..PORT_ATTEMPTS {
            let port = SOURCE_PORTS.start() + (first + offset) % 0x4000;
            match socket.bind(&address(&door, door.local, port)?.into()) {
                Ok(()) => {
                    let to = address(&door, config.remote, config.mode.port())?;
                    return Ok(Self { socket: Sending::Own(socket), to });
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(ErrorKind::AddrInUse, "no source port is free"))
    }

    pub(super) fn send(&self, octets: &[u8]) -> io::Result<()> {
        let to = self.to.into();
        let sent = match &self.socket {
            Sending::Own(socket) => socket.send_to(octets, &to),
            Sending::Shared(socket) => SockRef::from(&**socket).send_to(octets, &to),
        };
        sent.map(drop)
    }
}

/// How packets of ours go out.
fn set_out(socket: &Socket, door: &Door) -> io::Result<()> {
    if door.local.is_ipv6() {
        socket.set_unicast_hops_v6(TTL.into())?;
        socket.set_tclass_v6(TRAFFIC_CLASS)
    } else {
        socket.set_ttl_v4(TTL.into())?;
        socket.set_tos_v4(TRAFFIC_CLASS)
    }
}

fn open(door: &Door) -> io::Result<Socket> {
    let domain = if door.local.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    if let Some(interface) = &door.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    Ok(socket)
}

/// With the scope that a link-local address needs.
fn address(door: &Door, ip: IpAddr, port: u16) -> io::Result<SocketAddr> {
    match (ip, &door.interface) {
        (IpAddr::V6(ip), Some(interface)) if is_link_local(ip) => {
            let scope = if_nametoindex(interface.as_str())?;
            Ok(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => Ok(SocketAddr::new(ip, port)),
    }
}

fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local()
}

fn ip(from: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = from.as_sockaddr_in().map(|from| from.ip().into());
    v4.or_else(|| from.as_sockaddr_in6().map(|from| from.ip().into()))
}

/// Whether a packet with this time to live can be a peer's.
pub(super) const fn is_near_enough(mode: Mode, ttl: u8) -> bool {
    match mode {
        Mode::SingleHop => ttl == TTL,
        // An echo has come as far as it went.
        Mode::MultiHop | Mode::Echo => true,
    }
}
