//! The handle of a peer: commands in, status out.

use std::sync::Arc;
use std::time::Duration;

use bgp_session::Input;
use bgp_session::cease::Cease;
use bgp_wire::AfiSafi;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::PeerConfig;
use crate::drive;
use crate::event::Deliver;
use crate::listener::Incoming;
use crate::status::{Counters, Status};

/// Commands that may wait. They are rare; more at once means that the peer's task is stuck.
const COMMANDS: usize = 32;

/// What comes after we ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Connect again as after any failure.
    Reconnect,
    /// Neither connect nor accept for this long.
    Wait(Duration),
    /// Neither connect nor accept until [`Peer::start`].
    StayDown,
}

/// What a peer's owner can ask for. Boxed in the queue, which has room for many from the start, in each
/// of thousands of peers; so are the items of the other queues of a peer.
#[derive(Debug)]
pub(crate) enum Command {
    Cease { why: Cease, text: String, then: Then },
    Incoming(Incoming),
    Path(Path),
    Reconfigure(Box<PeerConfig>),
    Refresh(AfiSafi),
    Restart,
    Start,
}

/// How BFD sees the path to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    Away,
    Down,
    Up,
}

impl Path {
    pub(crate) const fn input(self) -> Input {
        match self {
            Self::Away => Input::PathAway,
            Self::Down => Input::PathDown,
            Self::Up => Input::PathUp,
        }
    }
}

/// Too many commands wait for this peer; try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer is busy")]
pub struct Busy;

/// A running peer. Dropping it tells the peer that it is no longer configured, and ends its tasks
/// after [`crate::PeerEvent::Down`] was taken.
#[derive(Debug)]
pub struct Peer {
    commands: mpsc::Sender<Box<Command>>,
    status: watch::Receiver<Status>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

/// Starts a peer on the current runtime.
pub fn spawn(config: PeerConfig, deliver: impl Deliver) -> Peer {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (publish, status) = watch::channel(Status::new());
    let counters = Arc::new(Counters::default());
    let driver = drive::Driver::new(config, inbox, publish, Arc::clone(&counters));
    let task = tokio::spawn(drive::run(driver, deliver));
    Peer { commands, status, counters, task }
}

impl Peer {
    /// Hands over a connection that the peer has opened. Refused where the peer may not connect.
    pub fn accept(&self, incoming: Incoming) -> Result<(), Busy> {
        self.send(Command::Incoming(incoming))
    }

    /// Ends the session, if there is one, and says why. The text is for the peer's operator.
    pub fn cease(&self, why: Cease, text: &str, then: Then) -> Result<(), Busy> {
        self.send(Command::Cease { why, text: text.to_owned(), then })
    }

    /// Undoes [`Then::StayDown`] and [`Then::Wait`]; else connects now instead of later.
    pub fn start(&self) -> Result<(), Busy> {
        self.send(Command::Start)
    }

    /// Asks the peer for its routes again (RFC 2918). Without effect where the peer cannot, or the
    /// family was not negotiated.
    pub fn refresh(&self, family: AfiSafi) -> Result<(), Busy> {
        self.send(Command::Refresh(family))
    }

    /// The path to the peer is down (BFD, link): ends the session, and nothing of it is kept.
    pub fn path_down(&self) -> Result<(), Busy> {
        self.send(Command::Path(Path::Down))
    }

    /// BFD is up, or switched off by an operator: a session that waits for it comes up.
    pub fn path_up(&self) -> Result<(), Busy> {
        self.send(Command::Path(Path::Up))
    }

    /// BFD is not up, and was not lost. Sessions go on, new ones that are strict wait for it.
    pub fn path_away(&self) -> Result<(), Busy> {
        self.send(Command::Path(Path::Away))
    }

    /// Takes another configuration. A session that is up goes on as it is: whoever wants the change at
    /// once ends it by [`Cease::ConfigurationChange`].
    pub fn reconfigure(&self, config: PeerConfig) -> Result<(), Busy> {
        self.send(Command::Reconfigure(Box::new(config)))
    }

    /// Closes the connection without a NOTIFICATION, so that the peer keeps our routes while this
    /// process restarts, and ends the peer.
    pub async fn restart(self) {
        // A full inbox is being worked off; one that is closed has nothing to end.
        if self.commands.send(Box::new(Command::Restart)).await.is_ok() {
            self.ended().await;
        }
    }

    /// Tells the peer that it is no longer configured, and waits for the end of its tasks.
    pub async fn remove(self) {
        self.ended().await;
    }

    async fn ended(self) {
        let Self { commands, task, .. } = self;
        drop(commands);
        // A task that panicked has ended too; the runtime has reported it.
        drop(task.await);
    }

    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// For an observer that outlives this handle, or waits for a change.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    fn send(&self, command: Command) -> Result<(), Busy> {
        self.commands.try_send(Box::new(command)).map_err(|_| Busy)
    }
}
