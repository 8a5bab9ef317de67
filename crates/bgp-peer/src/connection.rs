//! One TCP connection with its session: reads, decodes, keeps the deadlines, and has a writer task.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bgp_session::cease::Cease;
use bgp_session::collision::{self, Initiator, Speaker};
use bgp_session::{Action, Agreement, DownReason, Input, Session, SessionConfig, State};
use bgp_wire::capability::Capability;
use bgp_wire::{
    AfiSafi, ErrorAction, Message, Notification, Open, RouteRefresh, Update, WireError, frame,
};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use crate::config::PeerConfig;
use crate::disabling::Disabling;
use crate::event::PeerEvent;
use crate::marks::Restarts;
use crate::queue::Queue;
use crate::reading;
use crate::status::Counters;
use crate::tidings::Tidings;
use crate::transport;
use crate::writer::Writer;
use crate::writing::{self, Lane, WriteEnd, Writing};

/// Messages of the session that may wait for the writer.
const LANE: usize = 16;

/// Time between two lines in the log about malformed UPDATEs of one connection.
const COMPLAINTS: Duration = Duration::from_secs(1);

/// Whether the socket is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Yes,
    /// Nobody takes what would be read.
    No,
}

/// One connection. Its owner looks at `agreement`, `up` and `down` after each turn.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) initiator: Initiator,
    pub(crate) since: Instant,
    /// When the peer's OPEN was accepted.
    pub(crate) confirmed: Option<Instant>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Set when the session came up.
    pub(crate) up: Option<Arc<Agreement>>,
    /// What was read and not handed over yet.
    pub(crate) events: VecDeque<PeerEvent>,
    /// Set when the session is over: nothing is read or written any more.
    pub(crate) down: Option<DownReason>,
    /// The peer's other connection stands as well: should the identifiers speak for that one, the peer's
    /// OPEN ends this one. After our KEEPALIVE it would be too late, the peer could be up.
    pub(crate) yields: bool,
    pub(crate) writer: Writer,
    pub(crate) tidings: Arc<Tidings>,
    /// Families of which the peer has asked for our routes and not all are told yet, where the answer is
    /// marked; and whether it has asked again. One that asks all the time gets one answer after another.
    answering: Vec<(AfiSafi, bool)>,
    /// Families whose End-of-RIB the peer has sent.
    ended: Vec<AfiSafi>,
    /// Families that are not read any more.
    disabling: Disabling,
    session: Session,
    stream: Arc<TcpStream>,
    /// The beginning of a message whose rest has not come yet.
    carried: Vec<u8>,
    lane: mpsc::Sender<Box<Lane>>,
    /// The NOTIFICATION that ends the session, from the moment it is made until it is handed over.
    last_word: Option<Bytes>,
    parting: Option<oneshot::Sender<Option<Bytes>>>,
    task: JoinHandle<WriteEnd>,
    has_ended_writing: bool,
    counters: Arc<Counters>,
    /// When a malformed UPDATE was last in the log, and how many were not since.
    complained: Option<Instant>,
    unsaid: u64,
    /// Kept for its room.
    actions: Vec<Action>,
}

impl Connection {
    /// Takes a connected socket, starts its writer and sends the OPEN of `session`. `seed` is a random number, for the
    /// times between KEEPALIVEs.
    ///
    /// # Errors
    /// Those of the system: the connection is already gone, or an option is refused.
    pub(crate) fn start(
        stream: TcpStream,
        initiator: Initiator,
        config: &PeerConfig,
        session: Arc<SessionConfig>,
        counters: &Arc<Counters>,
        seed: u64,
    ) -> io::Result<Box<Self>> {
        stream.set_nodelay(true)?;
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        if initiator == Initiator::Peer {
            transport::accepted(&stream, config)?;
        }
        let stream = Arc::new(stream);
        let queue = Arc::new(Queue::new(config.queue_octets));
        let (lane, lane_end) = mpsc::channel(LANE);
        let (parting, parting_end) = oneshot::channel();
        let tidings = Arc::new(Tidings::default());
        let task = tokio::spawn(writing::run(Writing {
            stream: Arc::clone(&stream),
            lane: lane_end,
            queue: Arc::clone(&queue),
            tidings: Arc::clone(&tidings),
            parting: parting_end,
            shards: config.shards.max(1),
            counters: Arc::clone(counters),
        }));
        let mut connection = Box::new(Self {
            initiator,
            since: now(),
            confirmed: None,
            local,
            remote,
            up: None,
            events: VecDeque::new(),
            down: None,
            yields: false,
            writer: Writer { queue, stream: Arc::clone(&stream), counters: Arc::clone(counters) },
            tidings,
            answering: Vec::new(),
            ended: Vec::new(),
            disabling: Disabling::default(),
            session: Session::new(session).with_jitter(seed),
            stream,
            carried: Vec::new(),
            lane,
            last_word: None,
            parting: Some(parting),
            task,
            has_ended_writing: false,
            counters: Arc::clone(counters),
            complained: None,
            unsaid: 0,
            actions: Vec::new(),
        });
        connection.step(now(), Input::Connected);
        Ok(connection)
    }

    pub(crate) const fn state(&self) -> State {
        self.session.state()
    }

    /// What was agreed on, once the peer's OPEN was accepted.
    pub(crate) const fn agreement(&self) -> Option<&Arc<Agreement>> {
        self.session.agreement()
    }

    /// Waits for one thing and deals with it. May be dropped at any time.
    pub(crate) async fn turn(&mut self, reading: Reading) {
        if self.down.is_some() {
            return std::future::pending().await;
        }
        let deadline = self.session.deadline();
        tokio::select! {
            // What has arrived comes before the clock: a peer whose messages lie in the socket has
            // not been silent.
            biased;
            end = &mut self.task, if !self.has_ended_writing => {
                self.has_ended_writing = true;
                match end {
                    Ok(WriteEnd::Stalled) => self.step(now(), Input::SendHoldExpired),
                    // Reading tells how it ended: the peer's last words may lie in the socket.
                    Ok(WriteEnd::Broken | WriteEnd::Parted) => {}
                    Err(_) => self.step(now(), Input::Closed),
                }
            }
            ready = self.stream.readable(), if reading == Reading::Yes => match ready {
                Ok(()) => self.read(),
                Err(error) => self.broke(&error),
            },
            () = until(deadline) => {}
        }
        let now = now();
        if self.session.deadline().is_some_and(|deadline| deadline <= now) {
            self.step(now, if reading == Reading::Yes { Input::Tick } else { Input::Busy });
        }
    }

    /// Gives the session an input and does what it says.
    pub(crate) fn step(&mut self, now: Instant, input: Input) {
        let mut actions = mem::take(&mut self.actions);
        self.session.step(now, input, &mut actions);
        if self.confirmed.is_none() && self.session.agreement().is_some() {
            self.confirmed = Some(now);
        }
        for action in actions.drain(..) {
            match action {
                Action::Send(message) => self.send(&message),
                Action::Deliver(update) => self.deliver(update),
                Action::Refresh(refresh) => self.refresh(refresh),
                Action::Up(agreement) => {
                    if let Some(hold) = agreement.send_hold {
                        self.hand(Lane::SendHold(hold));
                    }
                    let said = &agreement.peer.capabilities;
                    let is_restart = |c: &_| matches!(c, Capability::GracefulRestart(_));
                    let restarts = said.iter().any(is_restart);
                    self.tidings.peer_is(if restarts {
                        Restarts::Gracefully
                    } else {
                        Restarts::No
                    });
                    self.up = Some(agreement);
                }
                Action::Down(reason) => {
                    self.writer.queue.close();
                    if let Some(parting) = self.parting.take() {
                        // An error means that the writer has ended before.
                        drop(parting.send(self.last_word.take()));
                    }
                    self.down = Some(reason);
                }
            }
        }
        self.actions = actions;
    }

    /// Hands a request over, or keeps it until the one before is answered. The mark that all routes come
    /// again is nothing before they have come for the first time (RFC 7313 §4).
    fn refresh(&mut self, refresh: RouteRefresh) {
        let agreement = self.agreement();
        let is_marked = agreement.is_some_and(|agreed| agreed.enhanced_route_refresh);
        if refresh.subtype == RouteRefresh::BEGIN
            && agreement.is_some_and(|agreed| agreed.restart.is_some())
            && !self.ended.contains(&refresh.family)
        {
            return;
        }
        if is_marked && refresh.subtype == RouteRefresh::REQUEST {
            if let Some((_, again)) =
                self.answering.iter_mut().find(|(family, _)| *family == refresh.family)
            {
                *again = true;
                return;
            }
            self.answering.push((refresh.family, false));
        }
        self.events.push_back(PeerEvent::Refresh(refresh));
    }

    /// The answers for these families are complete.
    pub(crate) fn answered(&mut self, families: &[AfiSafi]) {
        for (family, again) in self
            .answering
            .extract_if(.., |(family, _)| families.contains(family))
            .collect::<Vec<_>>()
        {
            if again {
                self.refresh(RouteRefresh { family, subtype: RouteRefresh::REQUEST });
            }
        }
    }

    /// Asks the peer for a family again, where it can answer.
    pub(crate) fn ask(&self, refresh: RouteRefresh) {
        if self.agreement().is_some_and(|agreement| {
            agreement.route_refresh && agreement.negotiated.families.contains(&refresh.family)
        }) && !self.disabling.has(refresh.family)
        {
            self.send_now(&Message::RouteRefresh(refresh));
        }
    }

    /// The writer task, which ends by itself once the session is down.
    pub(crate) fn into_task(self: Box<Self>) -> Option<JoinHandle<WriteEnd>> {
        (!self.has_ended_writing).then_some(self.task)
    }

    fn send(&mut self, message: &Message) {
        if matches!(message, Message::Notification(_)) {
            self.last_word = Some(self.encode(message).1);
        } else {
            self.send_now(message);
        }
    }

    fn send_now(&self, message: &Message) {
        let (kind, octets) = self.encode(message);
        self.writer.queue.says();
        if !self.hand(Lane::Say(kind, octets)) {
            self.writer.queue.says_nothing();
        }
    }

    fn encode(&self, message: &Message) -> (u8, Bytes) {
        let mut octets = Vec::new();
        message.encode(self.session.negotiated(), &mut octets);
        (octets.get(18).copied().unwrap_or_default(), octets.into())
    }

    /// Whether the writer will have it.
    fn hand(&self, lane: Lane) -> bool {
        // A full lane means that the peer reads nothing: another KEEPALIVE would not help, and the send
        // hold timer runs.
        let is_taken = self.lane.try_send(Box::new(lane)).is_ok();
        if !is_taken {
            tracing::debug!("the peer reads too slowly for a message of the session");
        }
        is_taken
    }

    fn deliver(&mut self, mut update: Update) {
        self.disabling.forgive(&mut update);
        if let Some(family) = update.end_of_rib
            && !self.ended.contains(&family)
        {
            self.ended.push(family);
        }
        if !update.faults.is_empty() {
            self.find_fault(&update.faults);
        }
        if let Some(PeerEvent::Updates(batch)) = self.events.back_mut() {
            batch.push(update);
        } else {
            self.events.push_back(PeerEvent::Updates(vec![update]));
        }
    }

    /// Counts each reaction of RFC 7606, and names the worst fault in the log, once in a while: a peer that
    /// sends nothing else must not fill a disk.
    #[cold]
    fn find_fault(&mut self, faults: &[WireError]) {
        let internal = self.session.negotiated().internal;
        self.counters.faulty.fetch_add(1, Relaxed);
        for fault in faults {
            self.counters.react(fault.action(internal));
        }
        let now = now();
        if self.complained.is_some_and(|last| now < last + COMPLAINTS) {
            self.unsaid += 1;
            return;
        }
        if let Some(worst) = faults.iter().max_by_key(|fault| fault.action(internal)) {
            let (action, unsaid) = (worst.action(internal), self.unsaid);
            tracing::warn!(error = %worst, ?action, faults = faults.len(), unsaid, "malformed update");
        }
        (self.complained, self.unsaid) = (Some(now), 0);
    }

    fn read(&mut self) {
        let mut carried = mem::take(&mut self.carried);
        let stream = Arc::clone(&self.stream);
        let read = reading::read(&stream, &mut carried, |octets| self.take(octets));
        self.carried = carried;
        match read {
            Ok(0) => self.step(now(), Input::Closed),
            Ok(_) => {}
            Err(error) => self.broke(&error),
        }
    }

    fn broke(&mut self, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
            tracing::debug!(%error, "cannot read");
            self.step(now(), Input::Closed);
        }
    }

    /// Deals with all whole messages and says how many octets they had.
    fn take(&mut self, octets: &[u8]) -> usize {
        let now = now();
        let mut used = 0;
        while self.down.is_none() {
            let rest = octets.get(used..).unwrap_or_default();
            match frame::length(rest, self.session.negotiated().max_message()) {
                Ok(Some(length)) => match rest.get(..length) {
                    Some(message) => {
                        used += length;
                        self.message(now, message);
                    }
                    None => break,
                },
                Ok(None) => break,
                Err(error) => self.malformed(now, &error, rest),
            }
        }
        used
    }

    fn message(&mut self, now: Instant, octets: &[u8]) {
        let kind = octets.get(18).copied().unwrap_or_default();
        self.counters.received.count(kind, 1, octets.len());
        // What an UPDATE or a ROUTE-REFRESH means depends on the OPENs; no other OPEN comes after those.
        let is_up = self.session.state() == State::Established;
        if (is_up && kind == 1) || (!is_up && matches!(kind, 2 | 5)) {
            return self.step(now, Input::Untimely(kind));
        }
        self.decode(now, octets);
    }

    fn decode(&mut self, now: Instant, octets: &[u8]) {
        match Message::decode(octets, self.disabling.reading(self.session.negotiated())) {
            Ok(Message::Open(open)) if self.yields && self.loses(&open) => {
                self.step(now, Input::Cease(Cease::Collision, String::new()));
            }
            Ok(message) => self.step(now, Input::Message(message)),
            Err(error) => match self.disabling.disable(&self.session, &error) {
                Some(family) => {
                    tracing::warn!(%family, %error, "family disabled");
                    self.counters.react(ErrorAction::AfiSafiDisable);
                    self.events.push_back(PeerEvent::Disabled(family));
                    // What the message says of others is taken.
                    self.decode(now, octets);
                }
                None => self.malformed(now, &error, octets),
            },
        }
    }

    /// Whether the identifiers speak for the other connection (RFC 4271 §6.8).
    fn loses(&self, open: &Open) -> bool {
        let peer = Speaker { id: open.router_id, asn: open.asn };
        matches!(self.session.state(), State::Connect | State::OpenSent)
            && collision::winner(self.session.config().speaker(), peer) != self.initiator
    }

    fn malformed(&mut self, now: Instant, error: &WireError, octets: &[u8]) {
        if error.notification().code == Notification::UPDATE_ERROR {
            self.counters.react(ErrorAction::SessionReset);
        }
        tracing::warn!(%error, "malformed message");
        self.step(now, Input::Malformed(error.notification_for(octets)));
    }
}

/// The time that sessions are given; paused where tokio's is.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
