//! One session without I/O: RFC 5880 §6.8.

mod intervals;
mod poll;
mod remote;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod virtual_link;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::jitter::Jitter;
use crate::timing::micros;
use crate::{ControlPacket, Diag, State, Timing};
use intervals::Intervals;
use poll::Poll;
pub use remote::Remote;

/// Who speaks first (RFC 5880 §6.1). At least one side must be active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    #[default]
    Active,
    /// Silent until the peer is heard.
    Passive,
}

/// What a session is told before it starts.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Our number of the session. No other session of this system has it.
    pub discriminator: NonZeroU32,
    pub role: Role,
    pub timing: Timing,
    /// Where the sequence of jitter begins: another one for each session.
    pub seed: u64,
}

#[derive(Debug, Clone, Copy)]
pub enum Input {
    /// Arrived for this session, and its time to live was as it must be.
    Packet(ControlPacket),
    /// The instant given by [`Session::deadline`] has come.
    Tick,
    /// Other intervals or another multiplier; the session goes on.
    Timing(Timing),
    /// Held down by an operator until [`Input::Enable`]. The peer learns that the path is not to blame.
    Disable,
    Enable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Send(ControlPacket),
    /// [`Session::state`] is another one now; this is what it was.
    Left(State),
}

/// One session. It is stepped by what arrives and by the time.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    jitter: Jitter,
    state: State,
    diag: Diag,
    /// The peer, while it has been heard within the detection time.
    remote: Option<Remote>,
    intervals: Intervals,
    poll: Poll,
    /// When the next periodic packet goes, and by which interval that was found. `None`: none is to go.
    next: Option<(Instant, Duration)>,
    /// The last packet of any kind.
    sent: Option<(Instant, ControlPacket)>,
}

impl Session {
    /// A session in state Down. An active one has its first packet to send at once.
    pub fn new(now: Instant, config: SessionConfig) -> Self {
        let mut session = Self {
            jitter: Jitter::new(config.seed),
            state: State::Down,
            diag: Diag::NONE,
            remote: None,
            intervals: Intervals::new(State::Down, config.timing),
            poll: Poll::Idle,
            next: None,
            sent: None,
            config,
        };
        session.schedule(now);
        session
    }

    pub const fn state(&self) -> State {
        self.state
    }

    /// Why the state is what it is.
    pub const fn diag(&self) -> Diag {
        self.diag
    }

    pub const fn discriminator(&self) -> NonZeroU32 {
        self.config.discriminator
    }

    /// The peer, while it has been heard within the detection time.
    pub const fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// Time between two packets of ours, before jitter (RFC 5880 §6.8.7).
    pub fn transmit_interval(&self) -> Duration {
        let heard = self.remote.map_or(Duration::ZERO, |remote| remote.required_min_rx);
        self.intervals.transmit().max(heard)
    }

    /// How long the peer may be silent (RFC 5880 §6.8.4); `None` while it was not heard.
    pub fn detection_time(&self) -> Option<Duration> {
        self.remote.map(|remote| remote.detection_time(self.intervals.receive()))
    }

    /// When to call [`Session::step`] with [`Input::Tick`], at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let next = self.next.map(|(at, _)| at);
        [next, self.silent_at()].into_iter().flatten().min()
    }

    /// Takes one input and appends what the driver must do, in order. Never blocks, reads no clock.
    pub fn step(&mut self, now: Instant, input: Input, out: &mut Vec<Action>) {
        let was = self.state;
        let mut answer = false;
        match input {
            Input::Packet(packet) => answer = self.receive(now, &packet),
            Input::Tick => self.silence(now),
            Input::Timing(timing) => {
                self.config.timing = timing;
                self.negotiate();
            }
            Input::Disable => self.enter(State::AdminDown, Diag::ADMINISTRATIVELY_DOWN),
            Input::Enable if self.state == State::AdminDown => self.enter(State::Down, Diag::NONE),
            Input::Enable => {}
        }
        if self.state != was {
            out.push(Action::Left(was));
        }
        let is_due = self.next.is_some_and(|(at, _)| at <= now);
        if answer {
            // At once and whatever the timers say (§6.5, §6.8.7). It tells a new state as well.
            self.send(now, ControlPacket { r#final: true, ..self.packet() }, out);
        } else if is_due && self.is_periodic() || self.has_news() {
            let packet = ControlPacket { poll: self.poll.is_running(), ..self.packet() };
            self.poll.asked();
            self.send(now, packet, out);
        }
        if is_due && !answer {
            self.advance(now);
        }
        self.schedule(now);
    }

    /// §6.8.6, from where the session is known. Says whether the packet asks for an answer.
    fn receive(&mut self, now: Instant, packet: &ControlPacket) -> bool {
        self.remote = Some(Remote::new(now, packet));
        if self.poll.heard(packet.r#final) {
            self.intervals.release();
        }
        match (self.state, packet.state) {
            // Held down by us: the packet is dropped, and a poll in it too.
            (State::AdminDown, _) => return false,
            // Why it was down is told until it is up.
            (State::Down, State::Down) => self.enter(State::Init, self.diag),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(State::Up, Diag::NONE);
            }
            (State::Init, State::AdminDown) | (State::Up, State::Down | State::AdminDown) => {
                self.enter(State::Down, Diag::NEIGHBOR_SIGNALED_DOWN);
            }
            (State::Down, State::Up | State::AdminDown)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => {}
        }
        packet.poll
    }

    /// §6.8.4, and §6.8.1 on `bfd.RemoteDiscr`: who is silent for the detection time is forgotten.
    fn silence(&mut self, now: Instant) {
        if self.silent_at().is_none_or(|at| now < at) {
            return;
        }
        self.remote = None;
        self.poll = Poll::Idle;
        self.intervals.release();
        if matches!(self.state, State::Init | State::Up) {
            self.enter(State::Down, Diag::DETECTION_TIME_EXPIRED);
        }
    }

    fn silent_at(&self) -> Option<Instant> {
        Some(self.remote?.heard + self.detection_time()?)
    }

    fn enter(&mut self, state: State, diag: Diag) {
        (self.state, self.diag) = (state, diag);
        self.negotiate();
    }

    /// What we ask for follows the state and the configuration; a change is polled (§6.8.3).
    fn negotiate(&mut self) {
        let changed = self.intervals.set(self.state, self.config.timing);
        if changed && self.remote.is_some() {
            self.poll.start();
        }
    }

    /// Whether packets go at regular times (§6.8.7).
    fn is_periodic(&self) -> bool {
        let Some(remote) = &self.remote else { return self.config.role == Role::Active };
        let both_up = (self.state, remote.state) == (State::Up, State::Up);
        let demands_silence = remote.demand && both_up && !self.poll.is_running();
        !remote.required_min_rx.is_zero() && !demands_silence
    }

    /// Whether the peer should know something now, not with the next packet. Timing can wait for that one:
    /// a poll has no packets of its own (§6.5).
    fn has_news(&self) -> bool {
        let told = |packet: &ControlPacket| (packet.state, packet.diag, packet.your_discriminator);
        let may_speak = self.remote.is_some() || self.config.role == Role::Active;
        let news = |(_, sent): &(Instant, _)| told(sent) != told(&self.packet());
        may_speak && self.sent.as_ref().is_none_or(news)
    }

    /// What we have to say, without poll and final.
    fn packet(&self) -> ControlPacket {
        ControlPacket {
            diag: self.diag,
            state: self.state,
            multiplier: self.config.timing.multiplier(),
            my_discriminator: self.config.discriminator.get(),
            your_discriminator: self.remote.map_or(0, |remote| remote.discriminator),
            desired_min_tx: micros(self.intervals.desired_min_tx()),
            required_min_rx: micros(self.intervals.required_min_rx()),
            ..ControlPacket::default()
        }
    }

    fn send(&mut self, now: Instant, packet: ControlPacket, out: &mut Vec<Action>) {
        self.sent = Some((now, packet));
        out.push(Action::Send(packet));
    }

    /// From the schedule, not from now, or every delay would add up. But never sooner after what has just
    /// gone out than jitter allows.
    fn advance(&mut self, now: Instant) {
        let Some((at, interval)) = self.next else { return };
        let multiplier = self.config.timing.multiplier();
        let next = at + self.jitter.apply(interval, multiplier);
        self.next = Some((next.max(now + interval / 4 * 3), interval));
    }

    /// Makes the schedule follow the interval and the rules.
    fn schedule(&mut self, now: Instant) {
        if !self.is_periodic() {
            self.next = None;
            return;
        }
        let interval = self.transmit_interval();
        if self.next.is_some_and(|(_, before)| before == interval) {
            return;
        }
        // A change counts from the last packet, and at once (§6.8.3).
        let wait = self.jitter.apply(interval, self.config.timing.multiplier());
        let at = self.sent.as_ref().map_or(now, |(sent, _)| (*sent + wait).max(now));
        self.next = Some((at, interval));
    }
}
