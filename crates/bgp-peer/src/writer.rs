//! The near end of a peer's queue: bounded in octets, never blocks, used from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use bgp_wire::{AfiSafi, Messages};
use tokio::sync::{Notify, mpsc};

/// Octets that even the smallest push counts as, so that a bound in octets also bounds the items.
const MIN_CHARGE: usize = 512;

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
    fn octets(&self) -> usize {
        match self {
            Self::Messages(messages) => messages.octets(),
            Self::EndOfRib { .. } | Self::Refresh { .. } => 0,
        }
    }

    /// What it counts for in the bound.
    pub(crate) fn charge(&self) -> usize {
        self.octets().max(MIN_CHARGE)
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
    /// The gauge bounds it.
    queue: mpsc::UnboundedSender<Push>,
    gauge: Arc<Gauge>,
}

impl Writer {
    /// A writer and the far end of its queue, which takes `limit` octets.
    #[expect(clippy::disallowed_methods, reason = "the gauge bounds it, in octets and so in items")]
    pub(crate) fn new(limit: usize) -> (Self, mpsc::UnboundedReceiver<Push>, Arc<Gauge>) {
        let limit = limit.max(MIN_CHARGE);
        let (queue, far) = mpsc::unbounded_channel();
        let gauge = Arc::new(Gauge::new(limit));
        (Self { queue, gauge: Arc::clone(&gauge) }, far, gauge)
    }

    /// Queues without waiting. A queue below its bound takes a batch of any size.
    ///
    /// # Errors
    /// [`PushError::Full`] promises a [`crate::PeerEvent::Drained`], also when the queue drains at this
    /// very moment.
    pub fn try_push(&self, push: Push) -> Result<(), PushError> {
        let charge = push.charge();
        if self.gauge.closed.load(SeqCst) {
            return Err(PushError::Closed);
        }
        if !self.gauge.enter(charge) {
            return Err(PushError::Full);
        }
        self.queue.send(push).map_err(|_| {
            self.gauge.leave(charge);
            PushError::Closed
        })
    }

    /// The session is over: nothing is taken any more, although the writer may still say goodbye.
    pub(crate) fn close(&self) {
        self.gauge.closed.store(true, SeqCst);
    }

    /// Octets that wait, rounded up for small batches.
    pub fn queued_octets(&self) -> usize {
        self.gauge.octets.load(SeqCst)
    }
}

/// Counts what waits, and remembers that somebody was refused.
#[derive(Debug)]
pub(crate) struct Gauge {
    octets: AtomicUsize,
    limit: usize,
    refused: AtomicBool,
    closed: AtomicBool,
    /// Wakes the writer to look at `refused` when nothing else would.
    look: Notify,
}

impl Gauge {
    fn new(limit: usize) -> Self {
        Self {
            octets: AtomicUsize::new(0),
            limit,
            refused: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            look: Notify::new(),
        }
    }

    fn enter(&self, charge: usize) -> bool {
        let fits = self.octets.fetch_add(charge, SeqCst) < self.limit;
        if !fits {
            self.refuse(charge);
        }
        fits
    }

    /// Takes a charge back and sees to it that the refused one hears of room. The mark is set before
    /// the octets are looked at, and the writer does it the other way round: one of both sees it.
    fn refuse(&self, charge: usize) {
        self.octets.fetch_sub(charge, SeqCst);
        self.refused.store(true, SeqCst);
        if self.has_room() {
            self.look.notify_one();
        }
    }

    /// Half empty: enough for it to be worth waking those who fill it.
    fn has_room(&self) -> bool {
        self.octets.load(SeqCst) <= self.limit / 2
    }

    /// The writer has written (or dropped) a push of this charge.
    pub(crate) fn leave(&self, charge: usize) {
        self.octets.fetch_sub(charge, SeqCst);
    }

    /// Whether somebody was refused and there is room now. Says so once.
    pub(crate) fn take_drained(&self) -> bool {
        self.has_room() && self.refused.swap(false, SeqCst)
    }

    /// Ends when [`Self::take_drained`] should be asked although nothing was written.
    pub(crate) async fn looked_for(&self) {
        self.look.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(octets: usize) -> Push {
        Push::Messages(Arc::new(Messages::all(vec![0; octets].into())))
    }

    #[test]
    fn a_queue_takes_one_batch_beyond_its_bound_and_then_no_more() {
        let (writer, _far, _) = Writer::new(10_000);
        assert_eq!(writer.try_push(batch(50_000)), Ok(()));
        assert_eq!(writer.try_push(batch(1)), Err(PushError::Full));
        assert_eq!(writer.queued_octets(), 50_000);
    }

    #[test]
    fn marks_are_bounded_too() {
        let (writer, _far, _) = Writer::new(10_000);
        let mark = || writer.try_push(Push::EndOfRib { family: AfiSafi::VPNV4, shard: 0 });
        let taken = (0..1000).take_while(|_| mark().is_ok()).count();
        assert_eq!(taken, 10_000_usize.div_ceil(MIN_CHARGE));
    }

    #[tokio::test]
    async fn whoever_was_refused_hears_of_room_once() {
        let (writer, mut far, gauge) = Writer::new(10_000);
        writer.try_push(batch(10_000)).unwrap();
        assert!(!gauge.take_drained());
        writer.try_push(batch(1)).unwrap_err();
        assert!(!gauge.take_drained(), "nothing was written yet");
        gauge.leave(far.recv().await.unwrap().charge());
        assert!(gauge.take_drained());
        assert!(!gauge.take_drained());
    }

    #[test]
    fn a_session_that_is_over_takes_nothing() {
        let (writer, far, _) = Writer::new(10_000);
        drop(far);
        assert_eq!(writer.try_push(batch(1)), Err(PushError::Closed));
    }
}
