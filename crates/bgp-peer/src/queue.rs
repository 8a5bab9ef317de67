//! What waits for one peer to read it: bounded in octets, shared by those who push and the task that
//! writes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::writer::{Push, PushError};

/// Octets that even the smallest push counts as, so that a bound in octets also bounds the items.
pub(crate) const MIN_CHARGE: usize = 512;

/// The queue of one session.
#[derive(Debug)]
pub(crate) struct Queue {
    items: Mutex<Items>,
    gauge: Gauge,
    closed: AtomicBool,
    /// Wakes the task that writes.
    wake: Notify,
}

#[derive(Debug, Default)]
struct Items {
    waiting: VecDeque<Item>,
    /// The task has something to write: nobody else may.
    is_writing: bool,
    /// Messages of the session itself that are on their way to the task. What comes behind our OPEN and
    /// KEEPALIVE must not overtake them.
    said: usize,
}

/// One push in the queue.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) push: Push,
    /// What it counts for in the bound.
    pub(crate) charge: usize,
    /// Octets of it that the peer has already.
    pub(crate) written: usize,
}

impl Queue {
    /// A queue that takes `limit` octets, and one push beyond.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            items: Mutex::default(),
            gauge: Gauge::new(limit.max(MIN_CHARGE)),
            closed: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// Queues without waiting. Where nothing waits, `write` is asked first to bring the octets out at
    /// once, and says how many it did.
    pub(crate) fn push(
        &self,
        push: Push,
        write: impl FnOnce(&Push) -> usize,
    ) -> Result<(), PushError> {
        let mut items = self.items();
        if self.closed.load(SeqCst) {
            return Err(PushError::Closed);
        }
        let is_idle = !items.is_writing && items.said == 0 && items.waiting.is_empty();
        let octets = push.octets();
        let written = if is_idle { write(&push) } else { 0 };
        if written > 0 && written >= octets {
            return Ok(());
        }
        let charge = octets.max(MIN_CHARGE);
        // One that is begun always finds room: nothing else waits.
        if !self.gauge.enter(charge) {
            drop(items);
            if self.gauge.has_room() {
                self.wake.notify_one();
            }
            return Err(PushError::Full);
        }
        let must_wake = !items.is_writing && items.waiting.is_empty();
        items.waiting.push_back(Item { push, charge, written });
        drop(items);
        if must_wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Gives what waits to `take`, until that says that it has enough or, at the end, whether it has
    /// something to write: then nobody else does before the next call.
    pub(crate) fn take(&self, mut take: impl FnMut(Option<Item>) -> Taken) {
        let mut items = self.items();
        let mut taken = take(None);
        while taken != Taken::Enough
            && let Some(item) = items.waiting.pop_front()
        {
            taken = take(Some(item));
        }
        items.is_writing = taken != Taken::Nothing;
    }

    /// A message of the session is about to be given to the task: until it has it, and has written it,
    /// nobody else writes.
    pub(crate) fn says(&self) {
        self.items().said += 1;
    }

    /// The task has a message of the session.
    pub(crate) fn has_heard(&self) {
        let mut items = self.items();
        items.said = items.said.saturating_sub(1);
        items.is_writing = true;
    }

    /// The task was not given a message of the session after all.
    pub(crate) fn says_nothing(&self) {
        let mut items = self.items();
        items.said = items.said.saturating_sub(1);
    }

    /// The session is over: nothing is taken any more, although the writer may still say goodbye.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Octets that wait, rounded up for small pushes.
    pub(crate) fn octets(&self) -> usize {
        self.gauge.octets.load(SeqCst)
    }

    /// A push of this charge was written, or dropped.
    pub(crate) fn leave(&self, charge: usize) {
        self.gauge.leave(charge);
    }

    /// Whether somebody was refused and there is room now. Says so once.
    pub(crate) fn take_drained(&self) -> bool {
        self.gauge.take_drained()
    }

    /// Ends when there is something to take, or [`Self::take_drained`] should be asked.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }

    fn items(&self) -> MutexGuard<'_, Items> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the task that writes has after it took something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Nothing,
    Something,
    Enough,
}

/// Counts what waits, and remembers that somebody was refused.
#[derive(Debug)]
struct Gauge {
    octets: AtomicUsize,
    limit: usize,
    refused: AtomicBool,
}

impl Gauge {
    const fn new(limit: usize) -> Self {
        Self { octets: AtomicUsize::new(0), limit, refused: AtomicBool::new(false) }
    }

    /// Takes a charge in, or sees to it that the one who is refused hears of room. The mark is set
    /// before the octets are looked at, and the writer does it the other way round: one of both sees
    /// it.
    fn enter(&self, charge: usize) -> bool {
        let fits = self.octets.fetch_add(charge, SeqCst) < self.limit;
        if !fits {
            self.octets.fetch_sub(charge, SeqCst);
            self.refused.store(true, SeqCst);
        }
        fits
    }

    /// Half empty: enough for it to be worth waking those who fill it.
    fn has_room(&self) -> bool {
        self.octets.load(SeqCst) <= self.limit / 2
    }

    fn leave(&self, charge: usize) {
        self.octets.fetch_sub(charge, SeqCst);
    }

    fn take_drained(&self) -> bool {
        self.has_room() && self.refused.swap(false, SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bgp_wire::{AfiSafi, Messages};

    use super::*;

    fn batch(octets: usize) -> Push {
        Push::Messages(Arc::new(Messages::all(vec![0; octets].into())))
    }

    fn push(queue: &Queue, octets: usize) -> Result<(), PushError> {
        queue.push(batch(octets), |_| 0)
    }

    /// Takes one item, as a task that goes on writing or not.
    fn take_one(queue: &Queue, then: Taken) -> Option<Item> {
        let mut found = None;
        queue.take(|item| {
            let had = item.is_some();
            found = item;
            if had && then == Taken::Something { Taken::Enough } else { Taken::Nothing }
        });
        found
    }

    #[test]
    fn a_queue_takes_one_batch_beyond_its_bound_and_then_no_more() {
        let queue = Queue::new(10_000);
        assert_eq!(push(&queue, 50_000), Ok(()));
        assert_eq!(push(&queue, 1), Err(PushError::Full));
        assert_eq!(queue.octets(), 50_000);
    }

    #[test]
    fn marks_are_bounded_too() {
        let queue = Queue::new(10_000);
        let mark = || queue.push(Push::EndOfRib { family: AfiSafi::VPNV4, shard: 0 }, |_| 0);
        let taken = (0..1000).take_while(|_| mark().is_ok()).count();
        assert_eq!(taken, 10_000_usize.div_ceil(MIN_CHARGE));
    }

    #[tokio::test]
    async fn whoever_was_refused_hears_of_room_once() {
        let queue = Queue::new(10_000);
        push(&queue, 10_000).unwrap();
        assert!(!queue.take_drained());
        push(&queue, 1).unwrap_err();
        assert!(!queue.take_drained(), "nothing was written yet");
        queue.changed().await;
        queue.leave(take_one(&queue, Taken::Something).unwrap().charge);
        assert!(queue.take_drained());
        assert!(!queue.take_drained());
    }

    #[test]
    fn a_session_that_is_over_takes_nothing() {
        let queue = Queue::new(10_000);
        queue.close();
        assert_eq!(push(&queue, 1), Err(PushError::Closed));
        let written = queue.push(batch(1), |_| panic!("nothing is said after the last word"));
        assert_eq!(written, Err(PushError::Closed));
    }

    #[test]
    fn nothing_overtakes_what_the_session_says() {
        let queue = Queue::new(10_000);
        queue.says();
        queue.take(|_| Taken::Nothing);
        assert_eq!(queue.push(batch(10), |_| panic!("before our KEEPALIVE")), Ok(()));
        queue.has_heard();
        while take_one(&queue, Taken::Something).is_some() {}
        queue.says();
        queue.says_nothing();
        assert_eq!(queue.push(batch(100), |_| 100), Ok(()));
    }

    #[test]
    fn octets_go_out_at_once_only_where_nothing_waits() {
        let queue = Queue::new(10_000);
        assert_eq!(queue.push(batch(100), |_| 100), Ok(()));
        assert_eq!(queue.octets(), 0, "all of it is written");
        assert_eq!(queue.push(batch(100), |_| 30), Ok(()));
        let behind = queue.push(batch(100), |_| panic!("within another message"));
        assert_eq!(behind, Ok(()));
        assert_eq!(take_one(&queue, Taken::Something).map(|item| item.written), Some(30));
        assert_eq!(queue.push(batch(100), |_| panic!("while the task writes")), Ok(()));
        queue.take(|_| Taken::Nothing);
        assert_eq!(queue.push(batch(100), |_| 100), Ok(()));
    }
}
