//! What a peer tells its owner, in order.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bgp_session::{Agreement, DownReason};
use bgp_wire::{AfiSafi, RouteRefresh, Update};
use tokio::sync::mpsc;

use crate::writer::Writer;

/// What happened at a peer. `Up` comes first, `Down` ends what it began; failed attempts in between
/// are seen in [`crate::Status`] only.
#[derive(Debug)]
pub enum PeerEvent {
    /// A session is up. The writer is this session's: what is pushed after its end is refused.
    Up(Arc<Established>, Writer),
    /// What one read of the socket held, in wire order. Never empty. An End-of-RIB is an UPDATE with
    /// [`Update::end_of_rib`].
    Updates(Vec<Update>),
    /// The peer wants our routes again, or marks its own answer (RFC 7313). Only for negotiated
    /// families.
    Refresh(RouteRefresh),
    /// What the peer sent in this family cannot be read, and nothing more of it is taken until the end of
    /// the session: what it has announced there is to go (RFC 7606 §2, "AFI/SAFI disable").
    Disabled(AfiSafi),
    /// A queue that had been full has room again ([`crate::PushError::Full`]).
    Drained,
    /// The session is over.
    Down(Down),
}

/// A session that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Established {
    /// Who the peer is and what was agreed on, restart included.
    pub agreement: Arc<Agreement>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Counts the sessions of this [`crate::Peer`], from 1.
    pub epoch: u64,
}

/// How a session ended, and what of it stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    pub reason: DownReason,
    /// Routes to keep as stale (RFC 4724 §4.2); `None` when all go.
    pub retained: Option<Retained>,
}

/// Routes that outlive their session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// Never empty.
    pub families: Vec<AfiSafi>,
    /// How long the peer may take to come back.
    pub restart_time: Duration,
    /// Those of the families that may be kept as long-lived stale after that, and for how long by the
    /// peer's own word (RFC 9494 §4.2).
    pub long_lived: Vec<(AfiSafi, Duration)>,
}

/// The owner is gone: nobody wants events any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes the events of this peer any more")]
pub struct Gone;

/// Where the events of a peer go.
///
/// The future may wait for room in several queues. Until it is done the socket is not read, so that
/// TCP holds the peer back, while KEEPALIVEs and commands go on. It is dropped half-way only when the
/// runtime ends.
pub trait Deliver: Send + 'static {
    fn deliver(&mut self, event: PeerEvent) -> impl Future<Output = Result<(), Gone>> + Send;
}

impl Deliver for mpsc::Sender<PeerEvent> {
    async fn deliver(&mut self, event: PeerEvent) -> Result<(), Gone> {
        self.send(event).await.map_err(|_| Gone)
    }
}

/// For an owner of many peers: each event with the peer's key.
impl<K: Clone + Send + Sync + 'static> Deliver for (K, mpsc::Sender<(K, PeerEvent)>) {
    async fn deliver(&mut self, event: PeerEvent) -> Result<(), Gone> {
        self.1.send((self.0.clone(), event)).await.map_err(|_| Gone)
    }
}
