//! The far end of a peer's queue: the task that writes to the socket.
//!
//! Messages of the session itself have a lane of their own and go before what is queued, between two
//! messages. A batch stays shared with other peers until the kernel has taken its octets.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bgp_wire::AfiSafi;
use bgp_wire::update::write_end_of_rib;
use bytes::Bytes;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until, timeout};

use crate::reading;
use crate::status::Counters;
use crate::writer::{Batch, Gauge, Push};

/// The type of an UPDATE (RFC 4271 §4.1).
const UPDATE: u8 = 2;

/// Pieces and octets of one write, at most.
const PIECES: usize = 64;
const OCTETS: usize = 512 * 1024;

/// How long the last words may take.
const PARTING: Duration = Duration::from_secs(2);

/// What the session says to its writer.
#[derive(Debug)]
pub(crate) enum Lane {
    /// A message of this type.
    Say(u8, Bytes),
    /// From now on the peer may leave us waiting for so long (RFC 9687).
    SendHold(Duration),
}

/// How the task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteEnd {
    /// The session asked for it.
    Parted,
    /// The socket is dead; reading will tell what the peer said last.
    Broken,
    /// The peer has read nothing for the send hold time.
    Stalled,
}

/// All that the task owns.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) stream: Arc<TcpStream>,
    pub(crate) lane: mpsc::Receiver<Lane>,
    pub(crate) queue: mpsc::Receiver<Push>,
    pub(crate) gauge: Arc<Gauge>,
    /// Tells the session that a full queue has drained.
    pub(crate) drained: Arc<Notify>,
    /// The last word of the session: a NOTIFICATION, or nothing.
    pub(crate) parting: oneshot::Receiver<Option<Bytes>>,
    pub(crate) shards: usize,
    pub(crate) counters: Arc<Counters>,
}

/// Writes until the session parts or the socket dies.
pub(crate) async fn run(mut task: Writing) -> WriteEnd {
    let mut out = Outgoing::default();
    let mut marks = Marks { shards: task.shards, seen: BTreeSet::new() };
    let mut send_hold = None;
    let mut progress = Instant::now();
    let mut more = true;
    loop {
        consume_budget().await;
        match task.parting.try_recv() {
            Ok(last) => return task.part(out, last).await,
            Err(oneshot::error::TryRecvError::Closed) => return WriteEnd::Parted,
            Err(oneshot::error::TryRecvError::Empty) => {}
        }
        while let Ok(lane) = task.lane.try_recv() {
            out.say(lane, &mut send_hold);
        }
        while out.batches.len() < PIECES
            && let Ok(push) = task.queue.try_recv()
        {
            task.take(push, &mut marks, &mut out);
        }
        if task.gauge.take_drained() {
            task.drained.notify_one();
        }
        if out.is_empty() {
            tokio::select! {
                biased;
                last = &mut task.parting => return task.part(out, last.ok().flatten()).await,
                Some(lane) = task.lane.recv() => out.say(lane, &mut send_hold),
                push = task.queue.recv(), if more => match push {
                    Some(push) => task.take(push, &mut marks, &mut out),
                    None => more = false,
                },
                () = task.gauge.looked_for() => {}
            }
            progress = Instant::now();
            continue;
        }
        match out.write(&task.stream) {
            Ok(0) => return WriteEnd::Broken,
            Ok(written) => {
                out.advance(written, &task.gauge, &task.counters);
                progress = Instant::now();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::select! {
                    biased;
                    last = &mut task.parting => return task.part(out, last.ok().flatten()).await,
                    Some(lane) = task.lane.recv() => out.say(lane, &mut send_hold),
                    // An error shows in the next write.
                    _ = task.stream.writable() => {}
                    () = until(send_hold.map(|hold| progress + hold)) => {
                        return task.give_up();
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::debug!(%error, "cannot write");
                return WriteEnd::Broken;
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Writing {
    fn take(&self, push: Push, marks: &mut Marks, out: &mut Outgoing) {
        let charge = push.charge();
        match push {
            Push::Messages(batch) => out.queue(batch, charge, &self.gauge),
            Push::EndOfRib { family, shard } => {
                if marks.mark(family, shard) {
                    let mut octets = Vec::new();
                    write_end_of_rib(family, &mut octets);
                    let all = 0..u32::try_from(octets.len()).unwrap_or_default();
                    let ranges = std::iter::once(all).collect();
                    out.queue(Batch { arena: octets.into(), ranges }, charge, &self.gauge);
                } else {
                    self.gauge.leave(charge);
                }
            }
        }
    }

    /// Ends the message that is under way, says the last word, and gives the peer time to read it.
    async fn part(self, mut out: Outgoing, last: Option<Bytes>) -> WriteEnd {
        out.keep_only_what_is_under_way();
        let waits_for_peer = last.is_some();
        if let Some(last) = last {
            self.counters.sent.count(kind_of(&last), 1, 0);
            out.said.push_back((0, last));
        }
        let farewell = self.say_goodbye(out, waits_for_peer);
        match timeout(PARTING, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connection broke while closing"),
            Err(_) => tracing::debug!("the peer does not close its side"),
        }
        WriteEnd::Parted
    }

    async fn say_goodbye(&self, mut out: Outgoing, waits_for_peer: bool) -> io::Result<()> {
        while !out.is_empty() {
            self.stream.writable().await?;
            match out.write(&self.stream) {
                Ok(written) => out.advance(written, &self.gauge, &self.counters),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        SockRef::from(&*self.stream).shutdown(Shutdown::Write)?;
        // Closing over octets that we have not read would reset the connection, and the peer would
        // lose our last word.
        let mut is_open = waits_for_peer;
        while is_open {
            self.stream.readable().await?;
            is_open = match reading::read(&self.stream, &mut Vec::new(), <[u8]>::len) {
                Ok(read) => read > 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
                Err(error) => return Err(error),
            };
            consume_budget().await;
        }
        Ok(())
    }

    /// Drops what the kernel still holds for a peer that does not read.
    fn give_up(&self) -> WriteEnd {
        if let Err(error) = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "cannot turn lingering off");
        }
        WriteEnd::Stalled
    }
}

/// The type octet of an encoded message (RFC 4271 §4.1).
fn kind_of(message: &[u8]) -> u8 {
    message.get(18).copied().unwrap_or_default()
}

/// Which shards have marked the End-of-RIB of which family.
#[derive(Debug)]
struct Marks {
    shards: usize,
    seen: BTreeSet<(AfiSafi, usize)>,
}

impl Marks {
    /// Whether this was the last mark that was missing. The next round starts anew.
    fn mark(&mut self, family: AfiSafi, shard: usize) -> bool {
        self.seen.insert((family, shard));
        let complete = (0..self.shards).all(|shard| self.seen.contains(&(family, shard)));
        if complete {
            self.seen.retain(|(marked, _)| *marked != family);
        }
        complete
    }
}

/// What is about to be written, in two lanes. At most one of them is within a message.
#[derive(Debug, Default)]
struct Outgoing {
    said: VecDeque<(u8, Bytes)>,
    /// Octets of the first of `said` that are written.
    said_at: usize,
    batches: VecDeque<Queued>,
}

#[derive(Debug)]
struct Queued {
    batch: Batch,
    charge: usize,
    /// The next range to write, and how much of it is written.
    next: usize,
    at: usize,
}

impl Queued {
    /// What is left of the current message.
    fn current(&self) -> Range<usize> {
        self.range(self.next).map_or(0..0, |range| range.start + self.at..range.end)
    }

    fn range(&self, index: usize) -> Option<Range<usize>> {
        self.batch.ranges.get(index).map(|range| range.start as usize..range.end as usize)
    }
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.said.is_empty() && self.batches.is_empty()
    }

    fn say(&mut self, lane: Lane, send_hold: &mut Option<Duration>) {
        match lane {
            Lane::Say(kind, octets) => self.said.push_back((kind, octets)),
            Lane::SendHold(hold) => *send_hold = Some(hold),
        }
    }

    fn queue(&mut self, mut batch: Batch, charge: usize, gauge: &Gauge) {
        let end = batch.arena.len();
        batch.ranges.retain(|range| range.start < range.end && range.end as usize <= end);
        if batch.ranges.is_empty() {
            gauge.leave(charge);
        } else {
            self.batches.push_back(Queued { batch, charge, next: 0, at: 0 });
        }
    }

    fn is_within_a_batch(&self) -> bool {
        self.batches.front().is_some_and(|queued| queued.at > 0)
    }

    /// One write of as much as one write takes, in the order of [`Self::advance`].
    fn write(&self, stream: &TcpStream) -> io::Result<usize> {
        stream.try_write_vectored(&self.pieces())
    }

    fn pieces(&self) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(PIECES.min(self.said.len() + self.batches.len() * 4));
        let under_way = self.is_within_a_batch();
        if under_way && let Some(first) = self.batches.front() {
            pieces.extend(first.batch.arena.get(first.current()).map(IoSlice::new));
        }
        for (index, (_, octets)) in self.said.iter().enumerate() {
            let from = if index == 0 { self.said_at } else { 0 };
            pieces.extend(octets.get(from..).map(IoSlice::new));
        }
        let mut octets = 0;
        for (index, queued) in self.batches.iter().enumerate() {
            let skip = usize::from(index == 0 && under_way);
            let mut run: Range<usize> = 0..0;
            for range in (queued.next + skip..).map_while(|next| queued.range(next)) {
                if pieces.len() >= PIECES || octets >= OCTETS {
                    break;
                }
                octets += range.len();
                // Neighbours in the arena are one piece for the kernel.
                if range.start == run.end {
                    run.end = range.end;
                } else {
                    pieces.extend(piece(&queued.batch.arena, run));
                    run = range;
                }
            }
            pieces.extend(piece(&queued.batch.arena, run));
        }
        pieces
    }

    /// Forgets `written` octets from the front.
    fn advance(&mut self, mut written: usize, gauge: &Gauge, counters: &Counters) {
        counters.sent.count(0, 0, written);
        while written > 0 {
            if !self.is_within_a_batch()
                && let Some((kind, octets)) = self.said.front()
            {
                let left = octets.len() - self.said_at;
                if written < left {
                    self.said_at += written;
                    return;
                }
                written -= left;
                counters.sent.count(*kind, 1, 0);
                self.said.pop_front();
                self.said_at = 0;
            } else if let Some(first) = self.batches.front_mut() {
                let left = first.current().len();
                if written < left {
                    first.at += written;
                    return;
                }
                written -= left;
                counters.sent.count(UPDATE, 1, 0);
                (first.next, first.at) = (first.next + 1, 0);
                if first.next == first.batch.ranges.len() {
                    gauge.leave(first.charge);
                    self.batches.pop_front();
                }
            } else {
                return;
            }
        }
    }

    /// Drops all but the rest of a message of which the peer has the beginning.
    fn keep_only_what_is_under_way(&mut self) {
        self.said.truncate(usize::from(self.said_at > 0));
        let under_way = self.is_within_a_batch();
        self.batches.truncate(usize::from(under_way));
        if let Some(first) = self.batches.front_mut() {
            first.batch.ranges.truncate(first.next + 1);
        }
    }
}

fn piece(arena: &Bytes, run: Range<usize>) -> Option<IoSlice<'_>> {
    (!run.is_empty()).then(|| arena.get(run)).flatten().map(IoSlice::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::Writer;

    /// Messages of the session in upper case, a batch of three messages in lower case; `bbb` and
    /// `ccc` are neighbours in the arena.
    fn outgoing() -> (Outgoing, Arc<Gauge>, Counters) {
        let (_, _, gauge) = Writer::new(1000);
        let mut out = Outgoing::default();
        let arena = Bytes::from_static(b"aaa--bbbccc");
        out.queue(Batch { arena, ranges: vec![0..3, 5..8, 8..11] }, 0, &gauge);
        for said in [&b"KKK"[..], b"RRR"] {
            out.say(Lane::Say(4, Bytes::from_static(said)), &mut None);
        }
        (out, gauge, Counters::default())
    }

    fn text(out: &Outgoing) -> String {
        let pieces: Vec<_> = out.pieces().iter().map(|piece| piece.to_vec()).collect();
        String::from_utf8(pieces.join(&b"|"[..])).unwrap()
    }

    #[test]
    fn the_session_speaks_first_and_neighbours_are_one_piece() {
        let (out, _, _) = outgoing();
        assert_eq!(text(&out), "KKK|RRR|aaa|bbbccc");
    }

    #[test]
    fn no_message_is_cut_by_another() {
        let (mut out, gauge, counters) = outgoing();
        out.advance(2, &gauge, &counters);
        assert_eq!(text(&out), "K|RRR|aaa|bbbccc");
        out.advance(5, &gauge, &counters);
        assert_eq!(text(&out), "aa|bbbccc");
        out.say(Lane::Say(4, Bytes::from_static(b"LLL")), &mut None);
        assert_eq!(text(&out), "aa|LLL|bbbccc");
        out.advance(5, &gauge, &counters);
        assert_eq!(text(&out), "bbbccc");
        out.advance(4, &gauge, &counters);
        assert_eq!(text(&out), "cc");
        assert_eq!((counters.sent().update, counters.sent().keepalive), (2, 3));
        assert_eq!(counters.sent().octets, 16);
        out.advance(2, &gauge, &counters);
        assert!(out.is_empty());
    }

    #[test]
    fn a_goodbye_ends_the_message_that_is_under_way_and_drops_the_rest() {
        for (written, left) in
            [(0, ""), (1, "KK"), (3, ""), (5, "R"), (7, "aa"), (9, ""), (10, "bb")]
        {
            let (mut out, gauge, counters) = outgoing();
            out.advance(written, &gauge, &counters);
            out.keep_only_what_is_under_way();
            assert_eq!(text(&out), left, "after {written} octets");
            assert_eq!(out.is_empty(), left.is_empty(), "after {written} octets");
        }
    }

    #[test]
    fn what_lies_outside_of_the_arena_is_not_sent() {
        let (_, _, gauge) = Writer::new(1000);
        let mut out = Outgoing::default();
        let ranges = vec![2..4, 1..1, 3..u32::MAX, 0..2];
        out.queue(Batch { arena: Bytes::from_static(b"abc"), ranges }, 0, &gauge);
        assert_eq!(text(&out), "ab");
    }
}
