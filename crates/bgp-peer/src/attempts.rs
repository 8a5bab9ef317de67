//! The connections of a peer that has no session yet, and which of them goes on (RFC 4271 §6.8).

use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bgp_session::collision::{self, Initiator, Speaker};
use tokio::net::TcpStream;

use crate::connection::{Connection, now};
use crate::live::Live;
use crate::status::PeerState;

/// How long a connection that stands may wait for the peer's OPEN and still be preferred to another one
/// that has it: the peer of an older one may be gone without a word.
const SAME_START: Duration = Duration::from_secs(5);

pub(crate) type Dialing = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The connections of a peer that has no session yet.
#[derive(Default)]
pub(crate) struct Attempts {
    pub(crate) dialing: Option<Dialing>,
    /// The one that we opened.
    pub(crate) ours: Option<Box<Connection>>,
    /// The last one that the peer opened.
    pub(crate) theirs: Option<Box<Connection>>,
    /// One that the peer opened before, and has not closed.
    pub(crate) older: Option<Box<Connection>>,
}

impl Attempts {
    /// The connection that a session has left behind, if any.
    pub(crate) fn of(left: Option<Box<Connection>>) -> Self {
        let mut attempts = Self::default();
        match left {
            Some(ours) if ours.initiator == Initiator::Us => attempts.ours = Some(ours),
            theirs => attempts.theirs = theirs,
        }
        attempts
    }

    /// Connections that stand or are being opened.
    pub(crate) fn number(&self) -> usize {
        self.iter().count() + usize::from(self.dialing.is_some())
    }

    fn iter(&self) -> impl Iterator<Item = &Connection> {
        [&self.ours, &self.theirs, &self.older].into_iter().flatten().map(AsRef::as_ref)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        [&mut self.ours, &mut self.theirs, &mut self.older].into_iter().flatten().map(AsMut::as_mut)
    }

    /// All that stand, to be let go of.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Box<Connection>> {
        self.dialing = None;
        [self.ours.take(), self.theirs.take(), self.older.take()].into_iter().flatten()
    }

    /// The furthest state.
    pub(crate) fn state(&self) -> Option<PeerState> {
        self.iter().map(|connection| connection.state().into()).max()
    }

    /// Lets the coming OPENs decide between two connections, in such a way that both sides keep the same
    /// one and none comes up that will not stay.
    ///
    /// The side whose connection the identifiers speak for closes the other one before it confirms it,
    /// and opens none any more once it has confirmed one. So the other side never sees both confirmed.
    pub(crate) fn prefer(&mut self) {
        let Self { dialing, ours, theirs, older } = self;
        for theirs in [&mut *theirs, older].into_iter().flatten() {
            if theirs.agreement().is_some() {
                *dialing = None;
            }
            theirs.yields = ours.as_ref().is_some_and(|ours| now() < ours.since + SAME_START);
        }
        if let Some(ours) = ours {
            let theirs = [theirs, older].into_iter().flatten();
            ours.yields = theirs.into_iter().any(|theirs| theirs.agreement().is_some());
        }
    }

    /// As soon as two connections have the peer's OPEN, one of them goes: this one.
    pub(crate) fn take_loser(&mut self, us: Speaker, now: Instant) -> Option<Box<Connection>> {
        let peer = self.iter().find_map(|one| Some(one.agreement()?.peer.speaker()))?;
        let is_for_us = collision::winner(us, peer) == Initiator::Us;
        let is_confirmed = |one: &mut Box<Connection>| one.agreement().is_some();
        let confirmed = self.iter().filter(|one| one.agreement().is_some()).count();
        if confirmed > 1 && self.ours.as_ref().is_some_and(|ours| ours.agreement().is_some()) {
            return if is_for_us {
                self.theirs.take_if(is_confirmed).or_else(|| self.older.take_if(is_confirmed))
            } else {
                self.ours.take()
            };
        }
        let (Some(theirs), Some(older)) = (&self.theirs, &self.older) else { return None };
        let (Some(one), Some(other)) = (theirs.confirmed, older.confirmed) else { return None };
        // Both are the peer's. The identifiers speak for the one whose OPEN came first, or for the other
        // one; and for none that is old, since its peer may be gone without a word.
        let is_older_first = other <= one;
        let first = if is_older_first { older } else { theirs };
        let first_stays = is_for_us && now < first.since + SAME_START;
        if first_stays == is_older_first { self.theirs.take() } else { self.older.take() }
    }

    /// The connection whose session is up, with another one as its rival.
    pub(crate) fn take_live(&mut self) -> Option<Live> {
        let is_up = |connection: &mut Box<Connection>| connection.up.is_some();
        if let Some(up) = self.ours.take_if(is_up) {
            let rival = self.theirs.take().or_else(|| self.older.take());
            return Some(Live { up, rival, is_late: false });
        }
        let up = self.theirs.take_if(is_up).or_else(|| self.older.take_if(is_up))?;
        if let Some(ours) = self.ours.take() {
            return Some(Live { up, rival: Some(ours), is_late: false });
        }
        // The peer itself has opened both.
        let rival = self.theirs.take().or_else(|| self.older.take());
        Some(Live { up, rival, is_late: true })
    }
}
