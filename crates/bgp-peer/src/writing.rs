//! The far end of a peer's queue: the task that writes to the socket.
//!
//! Messages of the session itself have a lane of their own and go before what is queued, between two
//! messages. A batch stays shared with other peers until the kernel has taken its octets.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use bgp_wire::update::write_end_of_rib;
use bgp_wire::{Message, Messages, Negotiated, RouteRefresh};
use bytes::Bytes;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until, timeout};

use crate::marks::Marks;
use crate::outgoing::Outgoing;
use crate::queue::{Item, Queue, Taken};
use crate::reading;
use crate::status::Counters;
use crate::tidings::Tidings;
use crate::writer::Push;

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
    pub(crate) lane: mpsc::Receiver<Box<Lane>>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) tidings: Arc<Tidings>,
    /// The last word of the session: a NOTIFICATION, or nothing.
    pub(crate) parting: oneshot::Receiver<Option<Bytes>>,
    pub(crate) shards: u16,
    pub(crate) counters: Arc<Counters>,
}

/// Writes until the session parts or the socket dies.
pub(crate) async fn run(mut task: Writing) -> WriteEnd {
    let mut out = Outgoing::default();
    let mut marks = Marks::new(task.shards);
    let mut send_hold = None;
    let mut progress = Instant::now();
    loop {
        consume_budget().await;
        match task.parting.try_recv() {
            Ok(last) => return task.part(marks, out, last).await,
            Err(oneshot::error::TryRecvError::Closed) => return WriteEnd::Parted,
            Err(oneshot::error::TryRecvError::Empty) => {}
        }
        while let Ok(lane) = task.lane.try_recv() {
            task.hear(*lane, &mut out, &mut send_hold);
        }
        task.take(&mut marks, &mut out);
        if task.queue.take_drained() {
            task.tidings.drained.notify_one();
        }
        if out.is_empty() {
            tokio::select! {
                biased;
                last = &mut task.parting => return task.part(marks, out, last.ok().flatten()).await,
                Some(lane) = task.lane.recv() => task.hear(*lane, &mut out, &mut send_hold),
                () = task.queue.changed() => {}
            }
            progress = Instant::now();
            continue;
        }
        match task.stream.try_write_vectored(&out.pieces()) {
            Ok(0) => return WriteEnd::Broken,
            Ok(written) => {
                out.advance(written, &task.queue, &task.counters);
                progress = Instant::now();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::select! {
                    biased;
                    last = &mut task.parting => return task.part(marks, out, last.ok().flatten()).await,
                    Some(lane) = task.lane.recv() => task.hear(*lane, &mut out, &mut send_hold),
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
    fn hear(&self, lane: Lane, out: &mut Outgoing, send_hold: &mut Option<Duration>) {
        match lane {
            Lane::Say(kind, octets) => {
                out.say(kind, octets);
                self.queue.has_heard();
            }
            Lane::SendHold(hold) => *send_hold = Some(hold),
        }
    }

    /// Takes what waits, as far as there is room for it.
    fn take(&self, marks: &mut Marks, out: &mut Outgoing) {
        self.queue.take(|item| {
            if let Some(item) = item {
                self.take_one(item, marks, out);
            }
            if out.is_plenty() {
                Taken::Enough
            } else if out.is_empty() {
                Taken::Nothing
            } else {
                Taken::Something
            }
        });
    }

    fn take_one(&self, item: Item, marks: &mut Marks, out: &mut Outgoing) {
        let Item { push, charge, written } = item;
        match push {
            Push::Messages(messages) => {
                out.queue(messages, charge, written, &self.queue, &self.counters);
            }
            Push::EndOfRib { family, shard } => {
                if marks.end_of_rib(family, shard) {
                    let mut octets = Vec::new();
                    write_end_of_rib(family, &mut octets);
                    let mark = Arc::new(Messages::all(octets.into()));
                    out.queue(mark, charge, 0, &self.queue, &self.counters);
                } else {
                    self.queue.leave(charge);
                }
            }
            Push::Refresh { family, subtype, shard } => {
                let refreshed = marks.refresh(family, subtype, shard, self.tidings.peer());
                if refreshed.goes_out {
                    let mut octets = Vec::new();
                    Message::RouteRefresh(RouteRefresh { family, subtype })
                        .encode(&Negotiated::nothing(), &mut octets);
                    let mark = Arc::new(Messages::all(octets.into()));
                    out.queue(mark, charge, 0, &self.queue, &self.counters);
                } else {
                    self.queue.leave(charge);
                }
                if refreshed.is_complete {
                    self.tidings.has_answered(family);
                }
            }
        }
    }

    /// Ends the message that is under way, says the last word, and gives the peer time to read it.
    async fn part(mut self, mut marks: Marks, mut out: Outgoing, last: Option<Bytes>) -> WriteEnd {
        // Our OPEN may be on its way still.
        while let Ok(lane) = self.lane.try_recv() {
            self.hear(*lane, &mut out, &mut None);
        }
        // Somebody may have begun a message that waits for its end.
        self.take(&mut marks, &mut out);
        out.keep_only_what_is_under_way();
        let waits_for_peer = last.is_some();
        if let Some(last) = last {
            self.counters.sent.count(kind_of(&last), 1, 0);
            out.say(0, last);
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
            match self.stream.try_write_vectored(&out.pieces()) {
                Ok(written) => out.advance(written, &self.queue, &self.counters),
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
