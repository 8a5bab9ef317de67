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

use bgp_wire::update::write_end_of_rib;
use bgp_wire::{AfiSafi, frame};
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
    /// The range that is being written, and how many of its octets are.
    next: usize,
    at: usize,
    /// Where in that range the message under way ends; `at` between two messages.
    message_end: usize,
}

impl Queued {
    fn range(&self, index: usize) -> Option<Range<usize>> {
        self.batch.ranges.get(index).map(|range| range.start as usize..range.end as usize)
    }

    /// What is left of the message of which the peer has the beginning.
    fn under_way(&self) -> Option<Range<usize>> {
        let start = self.range(self.next)?.start;
        (self.at < self.message_end).then_some(start + self.at..start + self.message_end)
    }

    /// Takes octets off the front, one message at most, and gives those left over. `None` when the
    /// batch is written.
    fn advance(&mut self, written: usize, counters: &Counters) -> Option<usize> {
        let range = self.range(self.next)?;
        let rest = self.batch.arena.get(range.start + self.at..range.end).unwrap_or_default();
        if self.at == self.message_end {
            self.message_end += message_length(rest);
        }
        let left = self.message_end - self.at;
        if written < left {
            self.at += written;
            return Some(0);
        }
        counters.sent.count(UPDATE, 1, 0);
        self.at = self.message_end;
        if self.at == range.len() {
            (self.next, self.at, self.message_end) = (self.next + 1, 0, 0);
        }
        Some(written - left)
    }

    fn is_written(&self) -> bool {
        self.next >= self.batch.ranges.len()
    }
}

/// The length of the message at the start of `octets` by its header (RFC 4271 §4.1). Octets that
/// cannot be a message count as one.
fn message_length(octets: &[u8]) -> usize {
    match *octets {
        [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, high, low, ..] => {
            usize::from(u16::from_be_bytes([high, low])).max(frame::HEADER).min(octets.len())
        }
        _ => octets.len(),
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
            self.batches.push_back(Queued { batch, charge, next: 0, at: 0, message_end: 0 });
        }
    }

    fn is_within_a_batch(&self) -> bool {
        self.batches.front().is_some_and(|queued| queued.under_way().is_some())
    }

    /// One write of as much as one write takes, in the order of [`Self::advance`].
    fn write(&self, stream: &TcpStream) -> io::Result<usize> {
        stream.try_write_vectored(&self.pieces())
    }

    fn pieces(&self) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(PIECES.min(self.said.len() + self.batches.len() * 4));
        let under_way = self.batches.front().and_then(|first| Some((first, first.under_way()?)));
        if let Some((first, message)) = under_way {
            pieces.extend(piece(&first.batch.arena, message));
        }
        for (index, (_, octets)) in self.said.iter().enumerate() {
            let from = if index == 0 { self.said_at } else { 0 };
            pieces.extend(octets.get(from..).map(IoSlice::new));
        }
        let mut octets = 0;
        for queued in &self.batches {
            // Behind the message under way, if there is one.
            let mut skip = queued.message_end;
            for range in (queued.next..).map_while(|next| queued.range(next)) {
                if pieces.len() >= PIECES || octets >= OCTETS {
                    return pieces;
                }
                octets += range.len();
                pieces.extend(piece(&queued.batch.arena, range.start + skip..range.end));
                skip = 0;
            }
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
                written = first.advance(written, counters).unwrap_or_default();
                if first.is_written() {
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
        self.batches.truncate(usize::from(self.is_within_a_batch()));
        if let Some(first) = self.batches.front_mut() {
            let end = first.message_end;
            first.batch.ranges.truncate(first.next + 1);
            if let Some(range) = first.batch.ranges.last_mut() {
                range.end = range.start + u32::try_from(end).unwrap_or_default();
            }
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

    /// A message of 20 octets: its header and one that tells it apart.
    fn message(mark: u8) -> Vec<u8> {
        [&[b'.'; 16][..], &[0, 20, 2, mark]].concat()
    }

    /// Two messages of the session, and a batch of three: `a`, and behind a gap `b` and `c`.
    fn outgoing() -> (Outgoing, Arc<Gauge>, Counters) {
        let (_, _, gauge) = Writer::new(1000);
        let mut out = Outgoing::default();
        let arena = [message(b'a'), vec![b'-'; 2], message(b'b'), message(b'c')].concat().into();
        out.queue(Batch { arena, ranges: vec![0..20, 22..62] }, 0, &gauge);
        for said in [b'K', b'R'] {
            out.say(Lane::Say(4, message(said).into()), &mut None);
        }
        (out, gauge, Counters::default())
    }

    /// Each piece by its length and the marks of the messages that end in it.
    fn pieces(out: &Outgoing) -> Vec<(usize, String)> {
        let marks = |piece: &IoSlice<'_>| {
            piece
                .iter()
                .filter(|octet| octet.is_ascii_alphabetic())
                .map(|o| char::from(*o))
                .collect()
        };
        out.pieces().iter().map(|piece| (piece.len(), marks(piece))).collect()
    }

    fn expected(pieces: &[(usize, &str)]) -> Vec<(usize, String)> {
        pieces.iter().map(|(length, marks)| (*length, (*marks).to_owned())).collect()
    }

    #[test]
    fn the_session_speaks_first_and_a_range_is_one_piece() {
        let (out, _, _) = outgoing();
        assert_eq!(pieces(&out), expected(&[(20, "K"), (20, "R"), (20, "a"), (40, "bc")]));
    }

    #[test]
    fn no_message_is_cut_by_another() {
        let (mut out, gauge, counters) = outgoing();
        out.advance(15, &gauge, &counters);
        assert_eq!(pieces(&out), expected(&[(5, "K"), (20, "R"), (20, "a"), (40, "bc")]));
        out.advance(5 + 20 + 20 + 7, &gauge, &counters);
        assert_eq!(pieces(&out), expected(&[(13, "b"), (20, "c")]));
        out.say(Lane::Say(4, message(b'L').into()), &mut None);
        assert_eq!(pieces(&out), expected(&[(13, "b"), (20, "L"), (20, "c")]));
        out.advance(13 + 20, &gauge, &counters);
        assert_eq!(pieces(&out), expected(&[(20, "c")]));
        assert_eq!((counters.sent().update, counters.sent().keepalive), (2, 3));
        assert_eq!(counters.sent().octets, 15 + 52 + 33);
        out.advance(20, &gauge, &counters);
        assert!(out.is_empty());
    }

    #[test]
    fn a_goodbye_ends_the_message_that_is_under_way_and_drops_the_rest() {
        for (written, left) in [
            (0, None),
            (1, Some((19, "K"))),
            (20, None),
            (39, Some((1, "R"))),
            (42, Some((18, "a"))),
            (60, None),
            (61, Some((19, "b"))),
            (80, None),
            (99, Some((1, "c"))),
        ] {
            let (mut out, gauge, counters) = outgoing();
            out.advance(written, &gauge, &counters);
            out.keep_only_what_is_under_way();
            assert_eq!(pieces(&out), expected(left.as_slice()), "after {written} octets");
            assert_eq!(out.is_empty(), left.is_none(), "after {written} octets");
            out.advance(left.map_or(0, |(length, _)| length), &gauge, &counters);
            assert!(out.is_empty(), "after {written} octets");
        }
    }

    #[test]
    fn what_lies_outside_of_the_arena_is_not_sent() {
        let (_, _, gauge) = Writer::new(1000);
        let mut out = Outgoing::default();
        let ranges = vec![2..4, 1..1, 3..u32::MAX, 0..2];
        out.queue(Batch { arena: Bytes::from_static(b"abc"), ranges }, 0, &gauge);
        assert_eq!(pieces(&out), expected(&[(2, "ab")]));
    }

    #[test]
    fn octets_that_are_no_message_are_written_all_the_same() {
        let (_, _, gauge) = Writer::new(1000);
        let counters = Counters::default();
        for octets in [vec![0; 30], vec![0xff; 30], vec![0; 5], vec![0; 19 + 18]] {
            let end = u32::try_from(octets.len()).unwrap();
            let mut out = Outgoing::default();
            let ranges = std::iter::once(0..end).collect();
            out.queue(Batch { arena: octets.into(), ranges }, 0, &gauge);
            (0..end).for_each(|_| out.advance(1, &gauge, &counters));
            assert!(out.is_empty());
        }
    }
}
