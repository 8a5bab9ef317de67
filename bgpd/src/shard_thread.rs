//! The thread of one shard: inputs in batches, one flush for each batch.
//!
//! The shard is moved in, so nobody else can reach its state, and nothing on the path of a route
//! takes a lock. The thread waits for inputs only: peers whose queue is full are left behind, and
//! events for the control task that find no room wait here.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bgp_peer::{Push, PushError, Writer};
use bgp_rib::{Answer, Batch, Full, Input, Mark, Output, PeerIx, PeerView, Query, Shard, Sink};
use bgp_wire::{AfiSafi, RouteRefresh, Update};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::gauges::ShardGauges;
use crate::journal::Journal;

/// Inputs that wait for a shard before sessions stop reading. Each is what one read of a socket held.
pub(crate) const INBOX: usize = 1024;

/// Inputs taken in one turn. More amortises wake-ups, fewer answers queries sooner.
const TURN: usize = 256;

/// Peers to whom a flush writes by itself what is short, when there is little to do. Few are told
/// sooner that way; for many it is better to let all processors write.
const WRITES: usize = 32;

/// Inputs up to which there is little to do. In a flood of them, queues gather what then is one write.
const CALM: usize = 2;

/// How soon to try again when the control task had no room for an event.
const EVENTS_RETRY: Duration = Duration::from_millis(20);

/// What a shard is sent.
#[derive(Debug)]
pub(crate) enum ShardInput {
    Rib(Input),
    /// [`Input::Updates`], and the room that they take until they are worked off.
    Updates {
        peer: PeerIx,
        updates: Vec<Update>,
        room: OwnedSemaphorePermit,
    },
    /// A session is up, and this is its queue.
    Up {
        peer: PeerIx,
        /// Counts the sessions of the peer.
        session: u64,
        view: Arc<PeerView>,
        writer: Writer,
    },
    /// Other terms for that session. One that has ended meanwhile took what it had agreed on with it,
    /// and the control task will hear of the next one.
    Changed {
        peer: PeerIx,
        session: u64,
        view: Arc<PeerView>,
    },
    /// The initial convergence of this daemon is over: End-of-RIB may go out.
    Converged,
    Ask(Query, oneshot::Sender<Answer>),
}

/// One shard and all that belongs to its thread.
pub(crate) struct ShardThread {
    pub(crate) shard: Shard,
    pub(crate) inbox: mpsc::Receiver<ShardInput>,
    pub(crate) events: mpsc::Sender<Output>,
    pub(crate) gauges: ShardGauges,
    pub(crate) journal: Option<Journal>,
    pub(crate) runtime: Handle,
}

impl ShardThread {
    /// Runs until every sender of inputs is gone.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let mut writers = Writers::new(self.shard.config().shard);
        let mut unsaid = VecDeque::new();
        let mut turn = Vec::with_capacity(TURN);
        while self.take(&mut turn, !unsaid.is_empty()) {
            let inputs = turn.len();
            for input in turn.drain(..) {
                self.handle(input, &mut writers)?;
            }
            if let Some(journal) = &mut self.journal {
                journal.flush()?;
            }
            writers.writes = if inputs <= CALM && self.inbox.is_empty() { WRITES } else { 0 };
            self.shard.flush(&mut writers);
            unsaid.extend(self.shard.take_outputs());
            self.tell(&mut unsaid);
            self.gauges.publish(&self.shard, self.inbox.len());
        }
        Ok(())
    }

    /// Fills `turn`; waits for an input only if there is nothing else to do. `false` at the end.
    fn take(&mut self, turn: &mut Vec<ShardInput>, unsaid: bool) -> bool {
        if self.shard.has_work() {
            while turn.len() < TURN {
                match self.inbox.try_recv() {
                    Ok(input) => turn.push(input),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return false,
                }
            }
            return true;
        }
        let inputs = self.inbox.recv_many(turn, TURN);
        if unsaid {
            let waited = async { tokio::time::timeout(EVENTS_RETRY, inputs).await };
            return self.runtime.block_on(waited).is_ok_and(|count| count > 0)
                || !turn.is_empty()
                || !self.inbox.is_closed();
        }
        self.runtime.block_on(inputs) > 0
    }

    fn handle(&mut self, input: ShardInput, writers: &mut Writers) -> anyhow::Result<()> {
        let mut taken = None;
        let input = match input {
            ShardInput::Rib(input) => input,
            ShardInput::Updates { peer, updates, room } => {
                taken = Some(room);
                Input::Updates { peer, updates }
            }
            ShardInput::Up { peer, session, view, writer } => {
                writers.add(peer, session, writer);
                Input::PeerUp { peer, view }
            }
            ShardInput::Changed { peer, session, view } => {
                if !writers.is_up(peer, session) {
                    return Ok(());
                }
                Input::PeerChanged { peer, view }
            }
            ShardInput::Converged => {
                writers.release_end_of_rib();
                return Ok(());
            }
            ShardInput::Ask(query, reply) => {
                // Whoever asked may have gone.
                drop(reply.send(self.shard.query(&query)));
                return Ok(());
            }
        };
        match &input {
            Input::Drained { peer } => writers.drained(*peer),
            Input::PeerDown { peer, .. } | Input::PeerGone { peer } => writers.remove(*peer),
            _ => {}
        }
        if let Some(journal) = &mut self.journal {
            journal.record(&input)?;
        }
        self.shard.handle(input);
        drop(taken);
        Ok(())
    }

    fn tell(&mut self, unsaid: &mut VecDeque<Output>) {
        while let Some(output) = unsaid.pop_front() {
            match self.events.try_send(output) {
                Ok(()) => {}
                Err(TrySendError::Full(output)) => return unsaid.push_front(output),
                // The daemon ends.
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }
}

/// The queues of the sessions that are up.
struct Writers {
    shard: u16,
    /// By peer number.
    by_peer: Vec<Option<Queue>>,
    /// Before the initial convergence End-of-RIB is withheld: a peer that kept our routes over our
    /// restart would drop those that we are still to learn (RFC 4724 §4.1).
    withhold: bool,
    /// Peers to whom this flush may still write by itself.
    writes: usize,
}

struct Queue {
    session: u64,
    writer: Writer,
    /// Marks that could not be pushed yet, or may not.
    marks: BTreeSet<Mark>,
}

impl Writers {
    fn new(shard: u16) -> Self {
        Self { shard, by_peer: Vec::new(), withhold: true, writes: 0 }
    }

    fn of(&mut self, peer: PeerIx) -> Option<&mut Queue> {
        self.by_peer.get_mut(usize::from(peer.0))?.as_mut()
    }

    fn add(&mut self, peer: PeerIx, session: u64, writer: Writer) {
        let at = usize::from(peer.0);
        if self.by_peer.len() <= at {
            self.by_peer.resize_with(at + 1, || None);
        }
        self.by_peer[at] = Some(Queue { session, writer, marks: BTreeSet::new() });
    }

    fn is_up(&mut self, peer: PeerIx, session: u64) -> bool {
        self.of(peer).is_some_and(|queue| queue.session == session)
    }

    fn remove(&mut self, peer: PeerIx) {
        if let Some(queue) = self.by_peer.get_mut(usize::from(peer.0)) {
            *queue = None;
        }
    }

    fn drained(&mut self, peer: PeerIx) {
        let (shard, withhold) = (self.shard, self.withhold);
        if let Some(queue) = self.of(peer) {
            queue.push_marks(shard, withhold);
        }
    }

    fn release_end_of_rib(&mut self) {
        self.withhold = false;
        for queue in self.by_peer.iter_mut().flatten() {
            queue.push_marks(self.shard, false);
        }
    }
}

impl Queue {
    /// Pushes the marks that may go. One that finds no room stays: the queue says when it has drained.
    fn push_marks(&mut self, shard: u16, withhold: bool) {
        let writer = &self.writer;
        self.marks.retain(|mark| {
            // Memberships are never withheld: peers wait for them before they tell us anything.
            let may_go = !withhold || !matches!(mark, Mark::EndOfRib(of) if *of != AfiSafi::RTC);
            !may_go || writer.try_push(as_push(*mark, shard)) == Err(PushError::Full)
        });
    }
}

fn as_push(mark: Mark, shard: u16) -> Push {
    let refresh = |family, subtype| Push::Refresh { family, subtype, shard };
    match mark {
        Mark::EndOfRib(family) => Push::EndOfRib { family, shard },
        Mark::RefreshBegin(family) => refresh(family, RouteRefresh::BEGIN),
        Mark::RefreshEnd(family) => refresh(family, RouteRefresh::END),
    }
}

impl Sink for Writers {
    fn push(&mut self, peer: PeerIx, batch: &Batch) -> Result<(), Full> {
        let (shard, withhold) = (self.shard, self.withhold);
        let may_write = self.writes > 0;
        self.writes = self.writes.saturating_sub(1);
        // A peer without a queue is one whose end the shard is about to hear of.
        let Some(queue) = self.of(peer) else { return Ok(()) };
        if let Some(messages) = &batch.messages {
            let push = Push::Messages(Arc::clone(messages));
            let pushed =
                if may_write { queue.writer.try_write(push) } else { queue.writer.try_push(push) };
            if pushed == Err(PushError::Full) {
                return Err(Full);
            }
        }
        if batch.marks.is_empty() && queue.marks.is_empty() {
            return Ok(());
        }
        for mark in &batch.marks {
            if !matches!(mark, Mark::RefreshBegin(_)) {
                queue.marks.insert(*mark);
            } else if queue.writer.try_push(as_push(*mark, shard)) == Err(PushError::Full) {
                // It goes before what follows, or not at all.
                return Err(Full);
            }
        }
        queue.push_marks(shard, withhold);
        Ok(())
    }
}
