//! A peer is thrown anything in any state: it ends when it is told to, and its events have one shape.

#![allow(clippy::unwrap_used, reason = "this is a part of tests")]

mod support;

use std::time::Duration;

use bgp_peer::{Listener, Mode, Peer, PeerEvent, Push, Then, Writer, spawn};
use bgp_session::cease::Cease;
use bgp_wire::{AfiSafi, Message, Notification, RouteRefresh};
use proptest::prelude::*;
use socket2::SockRef;
use support::{HIGH, LOW, batch, config, encode, end_of_rib, keepalive, open, session, soon};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    /// Octets of the other side.
    Say(Vec<u8>),
    /// A right message with an octet changed, or cut short.
    Nearly {
        message: usize,
        at: usize,
        with: u8,
        cut: bool,
    },
    Right(usize),
    /// The other side closes, and connects anew.
    Close(How),
    /// The other side connects a second time and leaves the first as it is.
    Second,
    /// The other side takes a connection of the peer, if there is one.
    Accept,
    Command(u8),
    /// Something for the other side to read, which it never does.
    Push(u8),
    /// The peer's tasks come to run.
    Wait,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Fin,
    HalfFin,
    Reset,
}

/// What a peer of ours may say at some time: it begins with what brings a session up.
fn messages() -> Vec<Vec<u8>> {
    let refresh =
        |subtype| encode(&Message::RouteRefresh(RouteRefresh { family: AfiSafi::VPNV4, subtype }));
    let notification = |subtype| Notification::cease(subtype);
    vec![
        open(&session(HIGH)),
        keepalive(),
        end_of_rib(AfiSafi::VPNV4),
        refresh(0),
        refresh(1),
        refresh(2),
        encode(&Message::Notification(notification(4))),
        encode(&Message::Notification(notification(4).into_hard_reset())),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let octets = prop::collection::vec(any::<u8>(), 1..60);
    let how = prop_oneof![Just(How::Fin), Just(How::HalfFin), Just(How::Reset)];
    prop_oneof![
        4 => (0usize..2).prop_map(Act::Right),
        3 => (0usize..8).prop_map(Act::Right),
        2 => octets.prop_map(Act::Say),
        3 => (0usize..8, 0usize..60, any::<u8>(), any::<bool>())
            .prop_map(|(message, at, with, cut)| Act::Nearly { message, at, with, cut }),
        2 => how.prop_map(Act::Close),
        1 => Just(Act::Second),
        2 => Just(Act::Accept),
        2 => any::<u8>().prop_map(Act::Command),
        2 => any::<u8>().prop_map(Act::Push),
        4 => Just(Act::Wait),
    ]
}

/// What the owner saw: `U`p, something in `b`etween, `D`own.
async fn watch(mut events: mpsc::Receiver<PeerEvent>, writers: mpsc::Sender<Writer>) -> String {
    let mut seen = String::new();
    while let Some(event) = events.recv().await {
        seen.push(match event {
            PeerEvent::Up(_, writer) => {
                drop(writers.try_send(writer));
                'U'
            }
            PeerEvent::Down(_) => 'D',
            _ => 'b',
        });
    }
    seen
}

struct World {
    listener: Listener,
    port: u16,
    /// Where the peer connects to, if it does.
    other: TcpListener,
    peer: Peer,
    hands: Vec<TcpStream>,
    writers: mpsc::Receiver<Writer>,
    writer: Option<Writer>,
    watching: JoinHandle<String>,
}

impl World {
    async fn new(mode: Mode) -> Self {
        let (listener, port) = support::listen();
        let other = TcpListener::bind((support::LOOPBACK, 0)).await.unwrap();
        let (sender, events) = mpsc::channel(4);
        let (up, writers) = mpsc::channel(64);
        let mut config = config(LOW, other.local_addr().unwrap().port(), mode);
        config.connect_retry = Some(Duration::from_millis(2));
        std::sync::Arc::make_mut(&mut config.session).enhanced_route_refresh = true;
        let peer = spawn(config, sender);
        let watching = tokio::spawn(watch(events, up));
        Self { listener, port, other, peer, hands: Vec::new(), writers, writer: None, watching }
    }

    async fn connect(&mut self) {
        let connecting = TcpStream::connect((support::LOOPBACK, self.port));
        let (hand, incoming) = tokio::join!(connecting, self.listener.accept());
        self.hands.push(hand.unwrap());
        // Busy is an answer too.
        let _is_taken = self.peer.accept(incoming).is_ok();
    }

    async fn say(&mut self, octets: &[u8]) {
        if let Some(hand) = self.hands.last_mut() {
            // It may have been closed by us.
            drop(soon("room", hand.write_all(octets)).await);
        }
    }

    async fn happens(&mut self, act: Act) {
        let messages = messages();
        match act {
            Act::Say(octets) => self.say(&octets).await,
            Act::Right(message) => self.say(&messages[message]).await,
            Act::Nearly { message, at, with, cut } => {
                let mut octets = messages[message].clone();
                let at = at % octets.len();
                octets[at] = with;
                if cut {
                    octets.truncate(at);
                }
                self.say(&octets).await;
            }
            Act::Close(how) => {
                if let Some(mut hand) = self.hands.pop() {
                    match how {
                        How::Fin => {}
                        How::HalfFin => {
                            drop(hand.shutdown().await);
                            self.hands.insert(0, hand);
                        }
                        How::Reset => {
                            SockRef::from(&hand).set_linger(Some(Duration::ZERO)).unwrap();
                        }
                    }
                }
                self.connect().await;
            }
            Act::Second => self.connect().await,
            Act::Accept => {
                let accepted = timeout(Duration::from_millis(5), self.other.accept()).await;
                self.hands.extend(accepted.ok().map(|accepted| accepted.unwrap().0));
            }
            Act::Command(which) => self.command(which),
            Act::Push(which) => self.push(which),
            Act::Wait => {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn command(&self, which: u8) {
        let peer = &self.peer;
        let _is_taken = match which % 8 {
            0 => peer.cease(Cease::AdministrativeReset, "again", Then::Reconnect),
            1 => peer.cease(Cease::AdministrativeShutdown, "", Then::Wait(Duration::ZERO)),
            2 => peer.cease(Cease::OutOfResources, "", Then::StayDown),
            3 => peer.path_down(),
            4 => peer.refresh(AfiSafi::VPNV4),
            5 => peer.reconfigure(config(LOW, self.port, Mode::Both)),
            _ => peer.start(),
        }
        .is_ok();
    }

    fn push(&mut self, which: u8) {
        while let Ok(writer) = self.writers.try_recv() {
            self.writer = Some(writer);
        }
        let Some(writer) = &self.writer else { return };
        let family = AfiSafi::VPNV4;
        let _is_taken = writer
            .try_push(match which % 4 {
                0 => batch(&end_of_rib(family), 50_000),
                1 => batch(&end_of_rib(family), 1),
                2 => Push::EndOfRib { family, shard: 0 },
                _ => Push::Refresh { family, subtype: 1 + which % 2, shard: 0 },
            })
            .is_ok();
    }

    /// The peer is removed, or its process restarts.
    async fn end(self, restart: bool) -> String {
        let Self { peer, watching, hands, listener, other, .. } = self;
        // Whoever is still connected goes, else last words are waited for.
        drop((hands, listener, other));
        if restart {
            soon("the end of the peer", peer.restart()).await;
        } else {
            soon("the end of the peer", peer.remove()).await;
        }
        soon("the last event", watching).await.unwrap()
    }
}

/// Each `U` has its `D`, with all else between them.
fn has_one_shape(seen: &str) -> bool {
    let mut is_up = false;
    for event in seen.chars() {
        match event {
            'U' if !is_up => is_up = true,
            'D' if is_up => is_up = false,
            'b' if is_up => {}
            _ => return false,
        }
    }
    !is_up
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn every_session_ends_once_and_every_peer_ends(
        // OPEN and KEEPALIVE: from each state something else may follow.
        right in 0usize..=2,
        acts in prop::collection::vec(act(), 0..24),
        restart in any::<bool>(),
        mode in prop_oneof![Just(Mode::Passive), Just(Mode::Both)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seen = runtime.block_on(async {
            let mut world = World::new(mode).await;
            world.connect().await;
            for message in 0..right {
                world.happens(Act::Right(message)).await;
                world.happens(Act::Wait).await;
            }
            for act in acts {
                world.happens(act).await;
            }
            world.end(restart).await
        });
        prop_assert!(has_one_shape(&seen), "{seen}");
    }
}

/// The test above is worth something: sessions do come up in it.
#[tokio::test]
async fn what_is_thrown_brings_sessions_up() {
    let mut world = World::new(Mode::Passive).await;
    world.connect().await;
    for act in [Act::Right(0), Act::Right(1), Act::Wait, Act::Right(2), Act::Close(How::Reset)] {
        world.happens(act).await;
    }
    for act in [Act::Right(0), Act::Right(1), Act::Wait] {
        world.happens(act).await;
    }
    let mut status = world.peer.watch();
    soon("two sessions", status.wait_for(|status| status.sessions == 2)).await.unwrap();
    let seen = world.end(false).await;
    assert!(seen.starts_with('U') && seen.ends_with('D') && has_one_shape(&seen), "{seen}");
    assert_eq!(seen.matches('U').count(), 2);
}
