//! A session that hears its own packets: the echo function (RFC 5880 §6.4) with a peer that has no BFD
//! of its own and sends back what it gets (RFC 9747).

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::jitter::Jitter;
use crate::timing::micros;
use crate::{Action, ControlPacket, Diag, Input, State, Timing};

/// Who is not up sends no more often than this.
const SLOW: Duration = Duration::from_secs(1);

/// So many packets go at that pace; a peer that has answered none of them is asked ever more seldom, down
/// to once in 32 times as long. It sends back nobody's packets, or is away for long.
const ASKED: u32 = 10;
const MOST_DOUBLINGS: u32 = 5;

/// So many packets in a row have to come back before the peer is trusted to send them back.
const PROOFS: u8 = 3;

/// How much longer than the detection time an echo may be underway.
const GRACE: Duration = Duration::from_secs(2);

/// What an echo session is told before it starts.
#[derive(Debug, Clone)]
pub struct EchoConfig {
    /// Our number of the session. No other session of this system has it.
    pub discriminator: NonZeroU32,
    pub timing: Timing,
    /// Where the sequences of jitter and of packet numbers begin: another one for each session.
    pub seed: u64,
}

/// One session. It is down until the peer has sent back three packets in a row, and then up until
/// nothing has come back for the detection time.
///
/// The peer's silence counts only where we have spoken: a system that was stopped for a while has sent
/// nothing that could have come back, and asks again before it takes the path for dead.
#[derive(Debug)]
pub struct EchoSession {
    config: EchoConfig,
    jitter: Jitter,
    state: State,
    diag: Diag,
    /// When the next packet goes; `None` while held down.
    next: Option<Instant>,
    /// Packets that have not come back, the oldest first: those after the last one that has.
    underway: VecDeque<Underway>,
    /// The last echo, and how long it was underway.
    heard: Option<(Instant, Duration)>,
    /// Echoes without a packet between them that did not come back.
    in_a_row: u8,
    /// Packets since the last echo, while the session is not up.
    asked: u32,
}

#[derive(Debug, Clone, Copy)]
struct Underway {
    number: u32,
    sent: Instant,
}

impl EchoSession {
    /// A session in state Down with its first packet to send at once.
    pub fn new(now: Instant, config: EchoConfig) -> Self {
        Self {
            jitter: Jitter::new(config.seed),
            state: State::Down,
            diag: Diag::NONE,
            next: Some(now),
            underway: VecDeque::new(),
            heard: None,
            in_a_row: 0,
            asked: 0,
            config,
        }
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

    /// Time between two packets, before jitter.
    pub fn transmit_interval(&self) -> Duration {
        let interval = self.config.timing.interval();
        if self.state == State::Up {
            return interval;
        }
        let doublings = self.asked.saturating_sub(ASKED).min(MOST_DOUBLINGS);
        interval.max(SLOW).saturating_mul(1 << doublings)
    }

    /// How long nothing may come back; `None` while the session is not up.
    pub fn detection_time(&self) -> Option<Duration> {
        (self.state == State::Up).then(|| self.patience())
    }

    /// When to call [`EchoSession::step`] with [`Input::Tick`], at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        [self.next, self.lost_at()].into_iter().flatten().min()
    }

    /// Whether a packet is one of ours that has not come back yet. Any other is to be dropped.
    pub fn awaits(&self, packet: &ControlPacket) -> bool {
        packet.my_discriminator == self.config.discriminator.get()
            && self.position(packet.your_discriminator).is_some()
    }

    /// Takes one input and appends what the driver must do, in order. Never blocks, reads no clock.
    pub fn step(&mut self, now: Instant, input: Input, out: &mut Vec<Action>) {
        let was = self.state;
        match input {
            Input::Packet(packet) => self.receive(now, &packet),
            Input::Tick => self.silence(now),
            Input::Timing(timing) => {
                self.config.timing = timing;
                self.hasten(now);
            }
            Input::Disable => {
                (self.state, self.diag) = (State::AdminDown, Diag::ADMINISTRATIVELY_DOWN);
                self.forget();
                self.next = None;
            }
            Input::Enable if self.state == State::AdminDown => {
                (self.state, self.diag) = (State::Down, Diag::NONE);
                self.next = Some(now);
            }
            Input::Enable => {}
        }
        if self.state != was {
            out.push(Action::Left(was));
        }
        if let Some(at) = self.next.filter(|at| *at <= now) {
            out.push(Action::Send(self.packet(now)));
            // From the schedule, not from now, or every delay would add up.
            let interval = self.transmit_interval();
            let next = at + self.jitter.apply(interval, self.config.timing.multiplier());
            self.next = Some(next.max(now + interval / 4 * 3));
        }
    }

    fn receive(&mut self, now: Instant, packet: &ControlPacket) {
        if !self.awaits(packet) {
            return;
        }
        let Some(at) = self.position(packet.your_discriminator) else { return };
        let sent = self.underway.drain(..=at).next_back().map_or(now, |underway| underway.sent);
        self.heard = Some((now, now.saturating_duration_since(sent)));
        self.in_a_row = if at == 0 { self.in_a_row.saturating_add(1) } else { 1 };
        if std::mem::take(&mut self.asked) > ASKED {
            self.hasten(now);
        }
        if self.state == State::Down && self.in_a_row >= PROOFS {
            (self.state, self.diag) = (State::Up, Diag::NONE);
            self.hasten(now);
        }
    }

    fn silence(&mut self, now: Instant) {
        if self.lost_at().is_some_and(|at| at <= now) {
            (self.state, self.diag) = (State::Down, Diag::ECHO_FAILED);
            self.forget();
            // At once: who was away for a moment only is found again the sooner.
            self.next = Some(now);
        }
    }

    /// When the peer is taken for dead. Nothing has come back for the detection time then; and of what
    /// went out after the last echo, all that may be lost but one has had as long as the last echo to come
    /// back, and an interval. Where packets go out in time, that is no later.
    fn lost_at(&self) -> Option<Instant> {
        let (heard, took) = self.heard.filter(|_| self.state == State::Up)?;
        let enough = usize::from(self.config.timing.multiplier()).saturating_sub(2);
        let asked = self.underway.get(enough)?;
        Some((heard + self.patience()).max(asked.sent + self.config.timing.interval() + took))
    }

    fn patience(&self) -> Duration {
        self.config.timing.interval() * u32::from(self.config.timing.multiplier())
    }

    fn position(&self, number: u32) -> Option<usize> {
        self.underway.iter().position(|underway| underway.number == number)
    }

    /// What came before says nothing of what will be.
    fn forget(&mut self) {
        self.underway.clear();
        self.heard = None;
        self.in_a_row = 0;
        self.asked = 0;
    }

    /// Makes the next packet go no later than an interval from now.
    fn hasten(&mut self, now: Instant) {
        let interval = self.transmit_interval();
        let latest = now + self.jitter.apply(interval, self.config.timing.multiplier());
        self.next = self.next.map(|next| next.min(latest));
    }

    /// The next packet. RFC 9747 §2: the times that it names are of no use to anybody. Where the peer's
    /// discriminator would be it has a number of its own, so that it proves life once, and only if it
    /// has been where it was sent to.
    fn packet(&mut self, now: Instant) -> ControlPacket {
        if self.state != State::Up {
            self.asked = self.asked.saturating_add(1);
            if !self.underway.is_empty() {
                self.in_a_row = 0;
            }
        }
        let longest = self.patience() + GRACE;
        while self.underway.front().is_some_and(|first| first.sent + longest < now) {
            self.underway.pop_front();
        }
        let number = self.jitter.number().get();
        self.underway.push_back(Underway { number, sent: now });
        ControlPacket {
            diag: self.diag,
            state: self.state,
            multiplier: self.config.timing.multiplier(),
            my_discriminator: self.config.discriminator.get(),
            your_discriminator: number,
            desired_min_tx: micros(SLOW),
            required_min_rx: micros(SLOW),
            ..ControlPacket::default()
        }
    }
}
