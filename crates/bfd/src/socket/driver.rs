//! The task that has the sessions: it reads, keeps the deadlines, and sends.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep_until;

use super::config::{Door, Mode};
use super::engine::Engine;
use super::os::{Datagram, Receiver, Transmitter, is_near_enough};
use super::speaker::{Number, Wanted, WantedSet};
use super::status::Drops;
use super::table::{Path, Running, Table};
use crate::{Action, Authenticator, ControlPacket, Input, State};

/// How long until a socket that could not be had is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// What is due within so long of each other is done at once: with a thousand sessions, waking up for each
/// packet costs more than sending it.
const GRAIN: Duration = Duration::from_millis(2);

/// Packets read of one socket before the clock is looked at.
const BURST: usize = 1024;

/// Longer than any packet with authentication (RFC 5880 §4.4); the rest of a longer one is cut off.
const ROOM: usize = 128;

/// Runs the sessions that a [`super::Speaker`] was asked for.
#[derive(Debug)]
pub struct Driver {
    newest: watch::Receiver<WantedSet>,
    drops: Arc<Drops>,
    table: Table,
    receivers: BTreeMap<Door, Receiver>,
    /// When those that could not be started are tried again.
    retry_at: Option<Instant>,
    actions: Vec<Action>,
}

impl Driver {
    pub(super) fn new(newest: watch::Receiver<WantedSet>, drops: Arc<Drops>) -> Self {
        Self {
            newest,
            drops,
            table: Table::default(),
            receivers: BTreeMap::new(),
            retry_at: None,
            actions: Vec::new(),
        }
    }

    /// Runs until `shutdown`, or until no [`super::Speaker`] and no [`super::Handle`] is left. At the end every
    /// peer is told that the session was ended on purpose.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        self.newest.mark_changed();
        loop {
            // What has arrived comes before the clock: a peer whose packets lie in the socket has not been
            // silent, however late we are.
            self.receive();
            self.tick();
            let soonest = now() + GRAIN;
            let deadline = [self.table.deadline(), self.retry_at].into_iter().flatten().min();
            let deadline = deadline.map(|at| at.max(soonest));
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                changed = self.newest.changed() => match changed {
                    Ok(()) => self.reconcile(),
                    Err(_) => break,
                },
                () = until(deadline) => {}
                () = readable(&self.receivers) => {}
            }
        }
        for number in self.table.numbers() {
            self.step(number, Input::Disable);
        }
    }

    /// Makes the sessions those that are wanted.
    fn reconcile(&mut self) {
        let newest = self.newest.borrow_and_update().clone();
        self.retry_at = None;
        for number in self.table.numbers() {
            if !newest.contains_key(&number) {
                self.leave(number);
            }
        }
        for (number, wanted) in newest {
            match self.table.get(number) {
                Some(running) if Arc::ptr_eq(&running.wanted, &wanted) => {}
                Some(_) => self.change(number, wanted),
                None => self.start(number, &wanted),
            }
        }
        let table = &self.table;
        self.receivers.retain(|door, _| table.uses(door));
    }

    fn start(&mut self, number: Number, wanted: &Arc<Wanted>) {
        if let Err(error) = self.try_start(number, wanted) {
            self.retry_at = Some(now() + RETRY);
            let text = error.to_string();
            let mut is_news = false;
            wanted.report.publish(|status| {
                is_news = status.fault.as_ref() != Some(&text);
                status.fault = Some(text);
                is_news
            });
            if is_news {
                let (local, remote) = (wanted.config.local, wanted.config.remote);
                tracing::warn!(%local, %remote, %error, "bfd session cannot start");
            }
        }
    }

    fn try_start(&mut self, number: Number, wanted: &Arc<Wanted>) -> io::Result<()> {
        let config = &wanted.config;
        let path = Path::of(config);
        if let Some(other) = self.table.at_path(&path) {
            let leaves = self.table.get(other).is_some_and(|other| other.leaves_at.is_some());
            if !leaves {
                return Err(io::Error::other("another session watches the same path"));
            }
            self.table.remove(other);
        }
        let receiver = match self.receivers.entry(path.door) {
            Entry::Occupied(occupied) => occupied.into_mut(),
            Entry::Vacant(vacant) => {
                let receiver = Receiver::bind(vacant.key())?;
                vacant.insert(receiver)
            }
        };
        let (discriminator, seed) = self.table.draw();
        let transmitter = match config.mode {
            Mode::SingleHop | Mode::MultiHop => Transmitter::bind(config, seed)?,
            Mode::Echo => receiver.transmitter(config)?,
        };
        let session = Engine::new(now(), config, discriminator, seed);
        let [_, _, _, _, a, b, c, d] = seed.to_be_bytes();
        let signs = Authenticator::new(config.auth.clone(), u32::from_be_bytes([a, b, c, d]));
        wanted.report.publish(|status| status.follow(&session));
        let wanted = Arc::clone(wanted);
        let is_held_down = wanted.is_held_down;
        let running = Running { session, signs, transmitter, wanted, leaves_at: None };
        self.table.insert(number, running);
        if is_held_down {
            self.step(number, Input::Disable);
        }
        Ok(())
    }

    fn change(&mut self, number: Number, wanted: Arc<Wanted>) {
        let (timing, is_held_down) = (wanted.config.timing, wanted.is_held_down);
        let replaced = |running: &mut Running| std::mem::replace(&mut running.wanted, wanted);
        let Some(before) = self.table.with(number, replaced) else { return };
        if before.config.timing != timing {
            self.step(number, Input::Timing(timing));
        }
        if before.is_held_down != is_held_down {
            self.step(number, if is_held_down { Input::Disable } else { Input::Enable });
        }
    }

    /// Tells the peer for about as long as it would wait for us (RFC 5880 §6.8.16).
    fn leave(&mut self, number: Number) {
        let leaves_at = self.table.get(number).map(|running| {
            let multiplier = running.wanted.config.timing.multiplier();
            now() + running.session.transmit_interval() * u32::from(multiplier)
        });
        self.step(number, Input::Disable);
        self.table.with(number, |running| {
            // Who was never heard needs no farewell.
            let is_heard = running.session.remote().is_some();
            running.leaves_at =
                running.leaves_at.or(leaves_at.filter(|_| is_heard)).or(Some(now()));
        });
    }

    fn tick(&mut self) {
        while let Some(number) = self.table.due(now()) {
            let leaves = |running: &Running| running.leaves_at.is_some_and(|at| at <= now());
            if self.table.get(number).is_some_and(leaves) {
                self.table.remove(number);
                let table = &self.table;
                self.receivers.retain(|door, _| table.uses(door));
            } else {
                self.step(number, Input::Tick);
            }
        }
        if self.retry_at.is_some_and(|at| at <= now()) {
            self.reconcile();
        }
    }

    fn receive(&mut self) {
        let mut receivers = std::mem::take(&mut self.receivers);
        for (door, receiver) in &mut receivers {
            let mut room = [0; ROOM];
            for _ in 0..BURST {
                match receiver.receive(&mut room) {
                    Ok(Some(datagram)) => self.datagram(door, datagram, &room),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(local = %door.local, %error, "bfd cannot receive");
                        break;
                    }
                }
            }
        }
        self.receivers = receivers;
    }

    fn datagram(&mut self, door: &Door, datagram: Datagram, room: &[u8]) {
        let Datagram { from, length, ttl } = datagram;
        if !is_near_enough(door.mode, ttl) {
            tracing::debug!(peer = %from, ttl, "bfd packet from beyond the link");
            return self.drops.count_far();
        }
        let octets = room.get(..length).unwrap_or(room);
        let packet = match ControlPacket::read(octets) {
            Ok(packet) => packet,
            Err(error) => {
                tracing::debug!(peer = %from, %error, "bfd packet dropped");
                return self.drops.count_malformed();
            }
        };
        let path = Path { door: door.clone(), remote: from };
        let ours = match door.mode {
            Mode::SingleHop | Mode::MultiHop => packet.your_discriminator,
            Mode::Echo => packet.my_discriminator,
        };
        let number = self.table.find(ours, &path);
        let Some(number) = number.filter(|number| self.is_awaited(*number, &packet)) else {
            tracing::debug!(peer = %from, "bfd packet of no session");
            return self.drops.count_unknown();
        };
        let checked = self.table.with(number, |running| {
            let interval = running.wanted.config.timing.interval();
            let checked = running.signs.check(now(), octets, &packet, interval);
            match checked {
                Ok(()) => running.wanted.report.counters.count_received(),
                Err(_) => running.wanted.report.counters.count_refused(),
            }
            checked
        });
        match checked {
            Some(Err(error)) => tracing::debug!(peer = %from, %error, "bfd packet not believed"),
            _ => self.step(number, Input::Packet(packet)),
        }
    }

    /// Whether it may be what it looks like: an echo has been sent, and has not come back yet.
    fn is_awaited(&self, number: Number, packet: &ControlPacket) -> bool {
        match self.table.get(number).map(|running| &running.session) {
            Some(Engine::Echo(session)) => session.awaits(packet),
            Some(Engine::Control(_)) => true,
            None => false,
        }
    }

    /// Gives a session an input and does what it says.
    fn step(&mut self, number: Number, input: Input) {
        let mut actions = std::mem::take(&mut self.actions);
        self.table.with(number, |running| {
            running.session.step(now(), input, &mut actions);
            let mut ended = End::No;
            for action in actions.drain(..) {
                match action {
                    Action::Send(packet) => running.send(&packet),
                    Action::Left(before) => ended = running.left(before),
                }
            }
            running.wanted.report.publish(|status| {
                status.failures += u64::from(ended == End::Failure);
                status.follow(&running.session)
            });
        });
        self.actions = actions;
    }
}

/// What a change of the state was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The session was not up, or is.
    No,
    ByOperator,
    Failure,
}

impl Running {
    fn send(&mut self, packet: &ControlPacket) {
        let sent = self.transmitter.send(&self.signs.sign(packet));
        if let Err(error) = &sent {
            tracing::debug!(peer = %self.remote(), %error, "bfd packet not sent");
        }
        self.wanted.report.counters.count_sent(sent.is_ok());
    }

    /// The session was in another state before.
    fn left(&self, before: State) -> End {
        let (session, peer, mode) = (&self.session, self.remote(), self.wanted.config.mode);
        if session.state() == State::Up {
            let detection_time = session.detection_time();
            tracing::info!(%peer, mode = mode.label(), ?detection_time, "bfd session up");
        }
        if before != State::Up {
            return End::No;
        }
        tracing::info!(
            %peer,
            mode = mode.label(),
            state = %session.state(),
            diag = %session.diag(),
            remote_diag = session.remote().map(|remote| remote.diag.to_string()),
            "bfd session down"
        );
        let by_peer = session.remote().is_some_and(|remote| remote.state == State::AdminDown);
        let by_us = session.state() == State::AdminDown;
        if by_us || by_peer { End::ByOperator } else { End::Failure }
    }

    fn remote(&self) -> IpAddr {
        self.wanted.config.remote
    }
}

/// The time that sessions are given; paused where tokio's is.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits until one of the sockets has something.
async fn readable(receivers: &BTreeMap<Door, Receiver>) {
    poll_fn(|context| {
        // Each is asked, so that each wakes us.
        let ready = receivers.values().filter(|r| r.poll_readable(context).is_ready()).count();
        if ready > 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
