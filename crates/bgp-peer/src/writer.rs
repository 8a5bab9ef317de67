//! The near end of a peer's queue: never blocks, used from any thread.

use std::sync::Arc;

use bgp_wire::{AfiSafi, Messages};
use tokio::net::TcpStream;

use crate::outgoing::UPDATE;
use crate::queue::Queue;
use crate::status::Counters;

/// Octets up to which a push may be written by whoever pushes.
const SHORT: usize = 4 * 1024;

/// What goes into a queue.
#[derive(Debug, Clone)]
pub enum Push {
    /// Shared with all peers that are due the same.
    Messages(Arc<Messages>),
    /// All routes of the family that this shard had to tell at first are in the queue before this mark.
    /// The End-of-RIB goes out when all shards have marked.
    EndOfRib { family: AfiSafi, shard: u16 },
    /// Where the answer of this shard to a request for our routes begins or ends (RFC 7313 §4), told only
    /// where both sides said that they mark it. `subtype` is [`RouteRefresh::BEGIN`] or
    /// [`RouteRefresh::END`]: the first beginning and the last end of all shards go out. The peer's next
    /// request for the family is not handed over before that.
    ///
    /// [`RouteRefresh::BEGIN`]: bgp_wire::RouteRefresh::BEGIN
    /// [`RouteRefresh::END`]: bgp_wire::RouteRefresh::END
    Refresh { family: AfiSafi, subtype: u8, shard: u16 },
}

impl Push {
    pub(crate) fn octets(&self) -> usize {
        match self {
            Self::Messages(messages) => messages.octets(),
            Self::EndOfRib { .. } | Self::Refresh { .. } => 0,
        }
    }
}

/// Why a push was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The peer reads too slowly. [`crate::PeerEvent::Drained`] will come; push again then.
    #[error("the queue is full")]
    Full,
    /// The session is over.
    #[error("the session is over")]
    Closed,
}

/// Pushes octets towards the peer of one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) stream: Arc<TcpStream>,
    pub(crate) counters: Arc<Counters>,
}

impl Writer {
    /// Queues without waiting. A queue below its bound takes a batch of any size.
    ///
    /// # Errors
    /// [`PushError::Full`] promises a [`crate::PeerEvent::Drained`], also when the queue drains at this
    /// very moment.
    pub fn try_push(&self, push: Push) -> Result<(), PushError> {
        self.queue.push(push, |_| 0)
    }

    /// As [`Self::try_push`], but what is short goes to the socket at once when nothing waits: that is
    /// sooner and costs less than to wake the task that writes, but the caller pays for it with a
    /// system call.
    ///
    /// # Errors
    /// Those of [`Self::try_push`].
    pub fn try_write(&self, push: Push) -> Result<(), PushError> {
        self.queue.push(push, |push| self.write(push))
    }

    /// Octets that wait, rounded up for small batches.
    pub fn queued_octets(&self) -> usize {
        self.queue.octets()
    }

    fn write(&self, push: &Push) -> usize {
        let Push::Messages(messages) = push else { return 0 };
        // Of several runs each would be a system call.
        let Some(run) = messages.run(0).filter(|run| run.octets.len() == messages.octets()) else {
            return 0;
        };
        if run.octets.len() > SHORT {
            return 0;
        }
        // Whatever is wrong with the socket shows again when the task writes.
        let written = self.stream.try_write(run.octets).unwrap_or_default();
        if written == run.octets.len() {
            self.counters.sent.count(UPDATE, messages.count() as u64, written);
        }
        written
    }
}
