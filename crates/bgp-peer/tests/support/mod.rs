//! A peer under test on one side; on the other side another one, or octets made by hand.
#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a part of tests")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bgp_peer::{
    Established, Incoming, Listener, Mode, Peer, PeerConfig, PeerEvent, Push, Writer, spawn,
};
use bgp_session::{SessionConfig, negotiate};
use bgp_wire::capability::GracefulRestart;
use bgp_wire::{AfiSafi, Message, Messages, Negotiated, Notification, frame};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) const ASN: u32 = 64512;
pub(crate) const LOW: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const HIGH: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// No test waits longer for anything.
const CEILING: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(CEILING, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

pub(crate) fn listen() -> (Listener, u16) {
    let listener = Listener::bind(SocketAddr::new(LOOPBACK, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Inside one AS, `vpnv4` and `rtc`, graceful restart with both.
pub(crate) fn session(id: Ipv4Addr) -> SessionConfig {
    SessionConfig {
        restart: Some(GracefulRestart {
            restart_time: 120,
            families: vec![(AfiSafi::VPNV4, true), (AfiSafi::RTC, true)],
            ..GracefulRestart::default()
        }),
        ..SessionConfig::internal(ASN, id)
    }
}

pub(crate) fn config(id: Ipv4Addr, port: u16, mode: Mode) -> PeerConfig {
    PeerConfig { port, mode, ..PeerConfig::new(session(id), LOOPBACK) }
}

/// A peer with the events it gave.
pub(crate) struct Side {
    pub(crate) peer: Arc<Peer>,
    pub(crate) events: mpsc::Receiver<PeerEvent>,
}

impl Side {
    pub(crate) fn start(config: PeerConfig) -> Self {
        Self::start_with_room(config, 64)
    }

    pub(crate) fn start_with_room(config: PeerConfig, room: usize) -> Self {
        let (sender, events) = mpsc::channel(room);
        Self { peer: Arc::new(spawn(config, sender)), events }
    }

    /// Hands all connections of a listener to this peer, until the test ends.
    pub(crate) fn serve(&self, listener: Listener) {
        let peer = Arc::downgrade(&self.peer);
        tokio::spawn(async move {
            loop {
                let incoming = listener.accept().await;
                match peer.upgrade() {
                    Some(peer) => peer.accept(incoming).unwrap(),
                    None => return,
                }
            }
        });
    }

    pub(crate) fn accept(&self, incoming: Incoming) {
        self.peer.accept(incoming).unwrap();
    }

    pub(crate) async fn event(&mut self) -> PeerEvent {
        soon("an event", self.events.recv()).await.expect("the peer has ended")
    }

    pub(crate) async fn up(&mut self) -> (Arc<Established>, Writer) {
        match self.event().await {
            PeerEvent::Up(established, writer) => (established, writer),
            other => panic!("not up: {other:?}"),
        }
    }

    pub(crate) async fn down(&mut self) -> bgp_peer::Down {
        loop {
            match self.event().await {
                PeerEvent::Down(down) => return down,
                PeerEvent::Updates(_) | PeerEvent::Drained => {}
                other => panic!("not down: {other:?}"),
            }
        }
    }

    /// The handle, when nothing else holds it.
    pub(crate) fn into_peer(self) -> (Peer, mpsc::Receiver<PeerEvent>) {
        (Arc::into_inner(self.peer).expect("the only holder"), self.events)
    }
}

pub(crate) fn encode(message: &Message) -> Vec<u8> {
    let mut octets = Vec::new();
    message.encode(&Negotiated::everything(), &mut octets);
    octets
}

pub(crate) fn keepalive() -> Vec<u8> {
    encode(&Message::Keepalive)
}

pub(crate) fn open(session: &SessionConfig) -> Vec<u8> {
    encode(&Message::Open(negotiate::open(session)))
}

pub(crate) fn end_of_rib(family: AfiSafi) -> Vec<u8> {
    let mut octets = Vec::new();
    bgp_wire::update::write_end_of_rib(family, &mut octets);
    octets
}

/// A batch of one message, `times` over, in one range.
pub(crate) fn batch(message: &[u8], times: usize) -> Push {
    Push::Messages(Arc::new(Messages::all(message.repeat(times).into())))
}

/// The other side by hand.
pub(crate) struct ByHand {
    pub(crate) stream: TcpStream,
    read: BytesMut,
}

impl ByHand {
    pub(crate) async fn connect(port: u16) -> Self {
        Self::over(TcpStream::connect((LOOPBACK, port)).await.unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, read: BytesMut::new() }
    }

    /// Connects to the peer's listener and comes up.
    pub(crate) async fn come_up(&mut self, session: &SessionConfig) {
        self.send(&open(session)).await;
        assert!(matches!(self.message().await, Some(Message::Open(_))));
        assert!(matches!(self.message().await, Some(Message::Keepalive)));
        self.send(&keepalive()).await;
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) {
        soon("room to write", self.stream.write_all(octets)).await.unwrap();
    }

    /// The next message; `None` at the end of the stream.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        loop {
            let length = frame::length(&self.read, 65_535).unwrap();
            if let Some(length) = length.filter(|length| self.read.len() >= *length) {
                let message = self.read.split_to(length);
                return Some(Message::decode(&message, &Negotiated::everything()).unwrap());
            }
            if soon("octets", self.stream.read_buf(&mut self.read)).await.unwrap() == 0 {
                assert!(self.read.is_empty(), "the stream ends within a message");
                return None;
            }
        }
    }

    /// Reads on until a NOTIFICATION, and sees that nothing follows it.
    pub(crate) async fn notification(&mut self) -> Notification {
        loop {
            match self.message().await {
                Some(Message::Notification(notification)) => {
                    assert_eq!(self.message().await, None, "the stream ends after it");
                    return notification;
                }
                Some(_) => {}
                None => panic!("the stream ends without a NOTIFICATION"),
            }
        }
    }

    /// As [`Self::notification`], while this side goes on talking.
    pub(crate) async fn notification_while_saying(self, octets: &[u8]) -> Notification {
        let socket = self.stream.into_std().unwrap();
        let writing = TcpStream::from_std(socket.try_clone().unwrap()).unwrap();
        let mut reading = Self::over(TcpStream::from_std(socket).unwrap());
        let mut talking = Self::over(writing);
        let (told, ()) = tokio::join!(reading.notification(), talking.send(octets));
        told
    }
}
