//! The task of one peer: connects, lets two connections collide, and hands over what a session hears.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bgp_session::cease::Cease;
use bgp_session::collision::Initiator;
use bgp_session::{Backoff, DownReason, Input, backoff};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{debug, info, instrument};

use crate::attempts::{Attempts, Dialing};
use crate::config::{Mode, PeerConfig};
use crate::connection::{Connection, Reading, now, until};
use crate::event::{Deliver, Gone};
use crate::listener::Incoming;
use crate::live::Live;
use crate::peer::{Command, Path, Then};
use crate::status::{Counters, PeerState, Status};
use crate::transport::dial;
use crate::writing::WriteEnd;

/// Connections that say their last words at the same time; a peer that reconnects faster loses some.
const PARTINGS: usize = 8;

/// Base of the waits between attempts, at most: four times this is an hour.
const LONGEST_RETRY: Duration = Duration::from_mins(15);

/// How long we do not connect to a peer that misses a capability, or whose we miss: somebody has to
/// change something first (RFC 5492 §3). A side that has changed connects by itself.
const CAPABILITY_RETRY: Duration = Duration::from_mins(15);

/// Whether we want a session now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Session,
    /// Not before this instant.
    Later(Instant),
    Nothing,
    /// The peer is removed or this process ends: no session any more.
    End,
}

/// All that the task owns, beside the connections of the moment.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) config: Arc<PeerConfig>,
    pub(crate) commands: mpsc::Receiver<Box<Command>>,
    pub(crate) publish: watch::Sender<Status>,
    counters: Arc<Counters>,
    pub(crate) backoff: Backoff,
    /// Of sessions that did not last, and faults before one was up.
    pub(crate) unsteady: Backoff,
    /// The peer has refused our OPEN for its capabilities: the next one has none (RFC 5492 §3).
    pub(crate) plain: bool,
    jitter: RandomState,
    pub(crate) wish: Wish,
    /// When to connect, if we connect at all.
    retry: Option<Instant>,
    /// Until then the peer's connections are refused.
    idle_until: Option<Instant>,
    pub(crate) epoch: u64,
    /// By the last word of who watches it.
    pub(crate) path_is_up: bool,
    /// Writers that end by themselves.
    parting: Vec<JoinHandle<WriteEnd>>,
}

impl Driver {
    pub(crate) fn new(
        config: PeerConfig,
        commands: mpsc::Receiver<Box<Command>>,
        publish: watch::Sender<Status>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            config: Arc::new(config),
            commands,
            publish,
            counters,
            backoff: Backoff::default(),
            unsteady: Backoff::default(),
            plain: false,
            jitter: RandomState::new(),
            wish: Wish::Session,
            retry: Some(now()),
            idle_until: None,
            epoch: 0,
            path_is_up: false,
            parting: Vec::new(),
        }
    }
}

/// Runs a peer until its handle is dropped or its owner is gone.
#[instrument(name = "peer", skip_all, fields(peer = %driver.config.remote))]
pub(crate) async fn run(mut driver: Driver, mut deliver: impl Deliver) {
    let mut attempts = Attempts::default();
    while let Some(live) = Box::pin(driver.connect(attempts)).await {
        match Box::pin(driver.established(live, &mut deliver)).await {
            Ok(left) => attempts = Attempts::of(left),
            Err(Gone) => break,
        }
    }
    driver.publish.send_modify(|status| {
        (status.state, status.since) = (PeerState::Idle, SystemTime::now());
    });
    for task in driver.parting.drain(..) {
        // A writer has a bounded time to part; how it went is in the log.
        drop(task.await);
    }
}

impl Driver {
    /// Connects and accepts until a session is up; gives it, and a connection that may replace it.
    /// `None` at the end of the peer.
    async fn connect(&mut self, mut attempts: Attempts) -> Option<Live> {
        loop {
            if let Some(live) = attempts.take_live() {
                for left in attempts.take_all() {
                    self.lose(left);
                }
                return Some(live);
            }
            if self.wish == Wish::End {
                self.abandon(&mut attempts, None);
                return None;
            }
            self.show(&attempts);
            let wait = self.next_attempt(&attempts);
            let Attempts { dialing, ours, theirs, older } = &mut attempts;
            tokio::select! {
                biased;
                command = self.commands.recv() => {
                    self.command(command.map(|command| *command), &mut attempts);
                }
                dialled = dialled(dialing) => {
                    *dialing = None;
                    match dialled {
                        Ok(stream) => *ours = self.start(stream, Initiator::Us),
                        Err(error) => self.unreachable(&error),
                    }
                }
                () = turn(ours) => {}
                () = turn(theirs) => {}
                () = turn(older) => {}
                () = until(wait) => self.due(&mut attempts),
            }
            let is_other = attempts.number() > 1;
            self.bury(&mut attempts.ours, is_other);
            let is_other = attempts.number() > 1;
            self.bury(&mut attempts.theirs, is_other);
            let is_other = attempts.number() > 1;
            self.bury(&mut attempts.older, is_other);
            while let Some(loser) = attempts.take_loser(self.config.session.speaker(), now()) {
                self.lose(loser);
            }
            attempts.prefer();
        }
    }

    /// When to do something although nothing happens.
    fn next_attempt(&self, attempts: &Attempts) -> Option<Instant> {
        match self.wish {
            Wish::Session if attempts.number() > 0 || self.config.mode == Mode::Passive => None,
            Wish::Session => self.retry,
            Wish::Later(at) => Some(at),
            Wish::Nothing | Wish::End => None,
        }
    }

    fn due(&mut self, attempts: &mut Attempts) {
        self.wish = Wish::Session;
        if self.config.mode != Mode::Passive {
            let config = Arc::clone(&self.config);
            attempts.dialing = Some(Box::pin(async move { dial(&config).await }));
        }
    }

    fn command(&mut self, command: Option<Command>, attempts: &mut Attempts) {
        match command {
            None => {
                self.wish = Wish::End;
                self.abandon(attempts, Some((Cease::Deconfigured, "")));
            }
            Some(Command::Restart) => self.wish = Wish::End,
            Some(Command::Cease { why, text, then }) => {
                self.abandon(attempts, Some((why, &text)));
                self.then(then);
            }
            Some(Command::Start) => {
                (self.wish, self.retry, self.idle_until) = (Wish::Session, Some(now()), None);
                self.plain = false;
            }
            Some(Command::Reconfigure(config)) => self.reconfigure(*config),
            Some(Command::Incoming(incoming)) => {
                if let Some(incoming) = self.admit(incoming) {
                    // The peer may have two for a moment; a third means that it has given one up.
                    if let Some(oldest) = attempts.older.take() {
                        self.lose(oldest);
                    }
                    attempts.older = attempts.theirs.take();
                    attempts.theirs = self.start(incoming.stream, Initiator::Peer);
                }
            }
            Some(Command::Path(path)) => {
                self.path_is_up = path == Path::Up;
                attempts.iter_mut().for_each(|connection| connection.step(now(), path.input()));
            }
            Some(Command::Refresh(_)) => {}
        }
    }

    /// A connection of the peer that may become a session; others are refused.
    pub(crate) fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        let is_idle = self.idle_until.is_some_and(|until| now() < until);
        if self.wish == Wish::Session && self.config.mode != Mode::Active && !is_idle {
            return Some(incoming);
        }
        debug!(is_idle, "connection refused");
        incoming.refuse();
        None
    }

    /// Puts a new connection of the peer in the place of an older one: the peer has given that up.
    pub(crate) fn replace(&mut self, place: &mut Option<Box<Connection>>, incoming: Incoming) {
        if let Some(old) = place.take() {
            self.lose(old);
        }
        *place = self.start(incoming.stream, Initiator::Peer);
    }

    fn start(&mut self, stream: TcpStream, initiator: Initiator) -> Option<Box<Connection>> {
        let seed = self.jitter.hash_one(now());
        let session = match self.config.session.without_capabilities() {
            Some(plain) if self.plain => Arc::new(plain),
            _ => Arc::clone(&self.config.session),
        };
        let counters = &self.counters;
        match Connection::start(stream, initiator, &self.config, session, counters, seed) {
            Ok(mut connection) => {
                if self.path_is_up {
                    connection.step(now(), Input::PathUp);
                }
                Some(connection)
            }
            // What somebody else could not do says nothing about when we should try.
            Err(error) if initiator == Initiator::Peer => {
                info!(%error, "connection refused");
                self.note(DownReason::Unreachable(error.to_string()));
                None
            }
            Err(error) => {
                self.unreachable(&error);
                None
            }
        }
    }

    pub(crate) fn reconfigure(&mut self, mut config: PeerConfig) {
        // Only the first session after a start is one after a restart (RFC 4724 §4.1).
        if self.epoch > 0 && config.session.restart.is_some() {
            has_restarted_no_more(&mut config);
        }
        self.config = Arc::new(config);
        // Whatever was in the way may be gone.
        self.plain = false;
        self.retry = Some(self.idle_until.map_or_else(now, |until| until.max(now())));
    }

    pub(crate) fn then(&mut self, then: Then) {
        self.wish = match then {
            Then::Reconnect => Wish::Session,
            Then::Wait(wait) => Wish::Later(now() + wait),
            Then::StayDown => Wish::Nothing,
        };
    }

    /// Lets go of all attempts, with a word or without.
    fn abandon(&mut self, attempts: &mut Attempts, word: Option<(Cease, &str)>) {
        for mut connection in attempts.take_all() {
            connection.step(
                now(),
                match word {
                    Some((why, text)) => Input::Cease(why, text.to_owned()),
                    None => Input::Restart,
                },
            );
            self.part(connection);
        }
    }

    fn unreachable(&mut self, error: &io::Error) {
        debug!(%error, "no connection");
        self.failed(DownReason::Unreachable(error.to_string()));
    }

    /// Notes an attempt that failed, and when to try again.
    pub(crate) fn failed(&mut self, reason: DownReason) {
        let jitter = self.jitter.hash_one(self.backoff.failures()).to_be_bytes()[0];
        let base = self.config.connect_retry.unwrap_or(backoff::BASE).min(LONGEST_RETRY);
        let wait = self.backoff.failed(base, jitter);
        let retry = now() + if reason.misses_capability() { CAPABILITY_RETRY } else { wait };
        self.retry = Some(self.idle_until.map_or(retry, |until| until.max(retry)));
        let failures = self.backoff.failures();
        self.publish.send_modify(|status| status.failures = failures);
        self.note(reason);
    }

    fn note(&self, reason: DownReason) {
        self.publish.send_modify(|status| {
            status.last_down = Some((reason, SystemTime::now()));
        });
    }

    /// What did not last, or went wrong before it began, is left alone for a while, if that is asked for.
    pub(crate) fn hold_idle(&mut self) {
        if let Some(base) = self.config.idle_hold {
            let jitter = self.jitter.hash_one(self.unsteady.failures()).to_be_bytes()[0];
            self.idle_until = Some(now() + self.unsteady.failed(base.min(LONGEST_RETRY), jitter));
        }
    }

    /// Clears away a connection that is over before it became a session. One read may hold a whole
    /// session, up and down: that one is announced. It is no failure while there is another.
    fn bury(&mut self, place: &mut Option<Box<Connection>>, is_other: bool) {
        let is_dead =
            |connection: &mut Box<Connection>| connection.down.is_some() && connection.up.is_none();
        let Some(mut dead) = place.take_if(is_dead) else { return };
        if let Some(reason) = dead.down.take()
            && !is_collision(&reason)
            && !(is_other && reason == DownReason::Closed)
        {
            info!(%reason, "no session");
            if reason != DownReason::Closed {
                self.hold_idle();
            }
            // A peer that has learnt them in the meantime is found by the attempt after the next one.
            self.plain = !self.plain && reason.knows_no_capabilities();
            self.failed(reason);
        }
        self.part(dead);
    }

    /// Closes a connection that has lost against another one (RFC 4271 §6.8).
    fn lose(&mut self, mut loser: Box<Connection>) {
        debug!(initiator = ?loser.initiator, "collision: connection closed");
        loser.step(now(), Input::Cease(Cease::Collision, String::new()));
        self.part(loser);
    }

    /// Leaves a connection that is down to its writer.
    pub(crate) fn part(&mut self, connection: Box<Connection>) {
        self.parting.retain(|task| !task.is_finished());
        if self.parting.len() >= PARTINGS {
            self.parting.swap_remove(0).abort();
        }
        self.parting.extend(connection.into_task());
    }

    /// Publishes the state, where it has changed.
    fn show(&self, attempts: &Attempts) {
        let state = attempts.state().unwrap_or(match self.wish {
            _ if attempts.dialing.is_some() => PeerState::Connect,
            Wish::Session if self.config.mode != Mode::Active => PeerState::Active,
            _ => PeerState::Idle,
        });
        self.publish.send_if_modified(|status| {
            let changed = status.state != state;
            if changed {
                (status.state, status.since) = (state, SystemTime::now());
            }
            changed
        });
    }
}

/// Says no longer that we have just restarted.
pub(crate) fn has_restarted_no_more(config: &mut PeerConfig) {
    if let Some(restart) = &mut Arc::make_mut(&mut config.session).restart {
        restart.restarted = false;
    }
}

/// The other connection was the better one: no failure.
fn is_collision(reason: &DownReason) -> bool {
    match reason {
        DownReason::Ceased(Cease::Collision) => true,
        DownReason::Received(why) => (why.code, why.subcode) == (6, 7),
        _ => false,
    }
}

pub(crate) async fn turn(connection: &mut Option<Box<Connection>>) {
    match connection {
        Some(connection) => connection.turn(Reading::Yes).await,
        None => std::future::pending().await,
    }
}

async fn dialled(dialing: &mut Option<Dialing>) -> io::Result<TcpStream> {
    match dialing {
        Some(dialing) => dialing.await,
        None => std::future::pending().await,
    }
}
