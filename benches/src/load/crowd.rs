//! Everyone who receives: one thread, one epoll, one buffer, however many sessions.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::latency::Sent;
use super::look::Expect;
use super::routes::ASN;
use super::tally::Tally;
use super::wire::{self, FamilyCode, HEADER};

/// What our OPENs ask for, in seconds.
const HOLD: u16 = 180;

/// How often every session is told that we live.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// Octets that one read takes at most.
const READ: usize = 512 * 1024;

/// One session of ours, seen from outside the thread. Times are nanoseconds after the crowd began.
#[derive(Debug, Default)]
pub(crate) struct Status {
    /// 0: not yet.
    pub(crate) established: AtomicU64,
    pub(crate) present: AtomicU32,
    pub(crate) announced: AtomicU64,
    pub(crate) withdrawn: AtomicU64,
    /// When `present` changed last.
    pub(crate) changed: AtomicU64,
    pub(crate) is_closed: AtomicBool,
}

/// How a session is opened and what its owner expects.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    pub(crate) from: Ipv4Addr,
    pub(crate) families: Vec<FamilyCode>,
    /// Sent as soon as the session is up.
    pub(crate) hello: Vec<u8>,
    pub(crate) expect: Expect,
    /// Once up, nothing is read any more.
    pub(crate) is_deaf: bool,
}

/// The sending side of a session.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    writing: Mutex<()>,
    pub(crate) status: Arc<Status>,
    key: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    OpenSent,
    OpenConfirm,
    Established,
}

#[derive(Debug)]
struct Member {
    peer: Arc<Peer>,
    opening: Opening,
    state: State,
    /// The beginning of a message whose end has not come.
    partial: Vec<u8>,
    tally: Tally,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    epoll: OwnedFd,
    members: Mutex<Vec<Option<Member>>>,
    stop: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// The thread, and the sessions that it holds.
#[derive(Debug)]
pub(crate) struct Crowd {
    target: SocketAddrV4,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// A crowd that will connect to `target`.
    pub(crate) fn new(target: SocketAddrV4) -> Result<Self> {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            members: Mutex::default(),
            stop: AtomicBool::new(false),
            failure: Mutex::default(),
        });
        let thread = std::thread::Builder::new().name("crowd".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                if let Err(error) = shared.run() {
                    shared.fail(format!("{error:#}"));
                }
            }
        })?;
        Ok(Self { target, shared, thread: Some(thread) })
    }

    /// Connects and sends an OPEN; the thread does the rest.
    pub(crate) fn join(&self, opening: Opening) -> Result<Arc<Peer>> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddr::new(opening.from.into(), 0))?;
        connect(&socket, &SocketAddr::V4(self.target))
            .with_context(|| format!("{} connects to {}", opening.from, self.target))?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.write_all(&wire::open(ASN, HOLD, opening.from, &opening.families))?;
        stream.set_nonblocking(true)?;
        let mut members = lock(&self.shared.members);
        let key = members.len();
        let status = Arc::default();
        let peer = Arc::new(Peer { stream, writing: Mutex::default(), status, key });
        let data = epoll::EventData::new_u64(key as u64);
        epoll::add(&self.shared.epoll, &peer.stream, data, epoll::EventFlags::IN)?;
        members.push(Some(Member {
            peer: Arc::clone(&peer),
            // Only to tell them apart: it may repeat.
            tally: Tally::new(opening.expect.clone(), u16::try_from(key).unwrap_or_default()),
            opening,
            state: State::OpenSent,
            partial: Vec::new(),
        }));
        Ok(peer)
    }

    /// Ends a session by closing its socket.
    pub(crate) fn leave(&self, peer: &Peer) -> Result<()> {
        let member = lock(&self.shared.members).get_mut(peer.key).and_then(Option::take);
        ensure!(member.is_some(), "it had left already");
        epoll::delete(&self.shared.epoll, &peer.stream)?;
        peer.stream.shutdown(std::net::Shutdown::Both).context("closing")
    }

    /// Measures latencies of these sessions from now on.
    pub(crate) fn watch(&self, peers: &[Arc<Peer>], sent: &Arc<Sent>) {
        let mut members = lock(&self.shared.members);
        for peer in peers {
            if let Some(Some(member)) = members.get_mut(peer.key) {
                member.tally.watch(Arc::clone(sent));
            }
        }
    }

    /// All latencies so far, in microseconds, sorted.
    pub(crate) fn latencies(&self) -> Vec<u32> {
        let members = lock(&self.shared.members);
        let mut all: Vec<u32> =
            members.iter().flatten().flat_map(|member| member.tally.took.iter().copied()).collect();
        all.sort_unstable();
        all
    }

    /// UPDATEs that all sessions together were sent.
    pub(crate) fn updates(&self) -> u64 {
        lock(&self.shared.members).iter().flatten().map(|member| member.tally.updates).sum()
    }

    /// Routes that each of these was told and that were compared octet for octet; the fewest of all.
    pub(crate) fn looked_at(&self, peers: &[Arc<Peer>]) -> u64 {
        let members = lock(&self.shared.members);
        let of = |peer: &Arc<Peer>| Some(members.get(peer.key)?.as_ref()?.tally.looked_at);
        peers.iter().map(|peer| of(peer).unwrap_or_default()).min().unwrap_or_default()
    }

    pub(crate) fn start(&self) -> Instant {
        self.shared.start
    }

    /// Nanoseconds after the crowd began.
    pub(crate) fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Waits until `condition` holds; an error when a session was lost, content is wrong, or `ceiling`
    /// has passed.
    pub(crate) fn wait(
        &self,
        what: &str,
        ceiling: Duration,
        condition: impl Fn() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + ceiling;
        while !condition() {
            if let Some(failure) = lock(&self.shared.failure).as_ref() {
                bail!("{what}: {failure}");
            }
            ensure!(Instant::now() < deadline, "not within {ceiling:?}: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.check()
    }

    /// An error when something was wrong so far.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(failure) = lock(&self.shared.failure).as_ref() {
            bail!("{failure}");
        }
        for member in lock(&self.shared.members).iter().flatten() {
            if let Some(wrong) = &member.tally.wrong {
                bail!("{}: {wrong}", member.opening.from);
            }
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Peer {
    /// Writes all of `octets`, however long the other side takes to read.
    pub(crate) fn send(&self, mut octets: &[u8]) -> Result<()> {
        let _alone = lock(&self.writing);
        while !octets.is_empty() {
            match (&self.stream).write(octets) {
                Ok(written) => octets = octets.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.stream, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error).context("sending"),
            }
        }
        Ok(())
    }

    /// Somebody who is sending at this moment need not say that he lives.
    fn keepalive(&self) {
        if let Ok(_alone) = self.writing.try_lock() {
            // A session that is lost is noticed by reading.
            let _written = (&self.stream).write(&wire::keepalive());
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.status.established.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn present(&self) -> u32 {
        self.status.present.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn run(&self) -> Result<()> {
        let mut buffer = vec![0; READ];
        let mut told = Instant::now();
        let tick = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let mut events = Vec::with_capacity(256);
        while !self.stop.load(Ordering::Relaxed) {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&tick))
            {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut members = lock(&self.members);
            for event in &events {
                let key = usize::try_from(event.data.u64())?;
                let Some(slot) = members.get_mut(key) else { continue };
                let Some(member) = slot else { continue };
                if let Err(error) = self.read(member, &mut buffer) {
                    self.fail(format!("{}: {error:#}", member.opening.from));
                    member.peer.status.is_closed.store(true, Ordering::Relaxed);
                    let _gone = epoll::delete(&self.epoll, &member.peer.stream);
                    *slot = None;
                }
            }
            if told.elapsed() >= KEEPALIVE_EVERY {
                told = Instant::now();
                let up = |member: &&Member| member.state == State::Established;
                members.iter().flatten().filter(up).for_each(|member| member.peer.keepalive());
            }
        }
        Ok(())
    }

    /// Takes what one read of a socket gives.
    fn read(&self, member: &mut Member, buffer: &mut [u8]) -> Result<()> {
        let kept = member.partial.len();
        buffer.get_mut(..kept).context("a message too long")?.copy_from_slice(&member.partial);
        let count = match (&member.peer.stream).read(&mut buffer[kept..]) {
            Ok(0) => bail!("the session was closed"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let now = self.now();
        let before = member.tally.present;
        let mut rest = &buffer[..kept + count];
        while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
            let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
            ensure!(length >= HEADER, "a length of {length}");
            let Some((message, next)) = rest.split_at_checked(length) else { break };
            self.message(member, header[18], message, now)?;
            rest = next;
        }
        member.partial.clear();
        member.partial.extend(rest);
        let (status, tally) = (&member.peer.status, &member.tally);
        status.announced.store(tally.announced, Ordering::Relaxed);
        status.withdrawn.store(tally.withdrawn, Ordering::Relaxed);
        if tally.present != before {
            status.changed.store(now, Ordering::Relaxed);
            status.present.store(tally.present, Ordering::Relaxed);
        }
        Ok(())
    }

    fn message(&self, member: &mut Member, kind: u8, octets: &[u8], now: u64) -> Result<()> {
        match (member.state, kind) {
            (State::Established, wire::UPDATE) => member.tally.update(octets, now),
            (State::OpenSent, wire::OPEN) => {
                member.peer.send(&wire::keepalive())?;
                member.state = State::OpenConfirm;
            }
            (State::OpenConfirm, wire::KEEPALIVE) => {
                member.state = State::Established;
                if !member.opening.hello.is_empty() {
                    member.peer.send(&member.opening.hello)?;
                }
                if member.opening.is_deaf {
                    epoll::delete(&self.epoll, &member.peer.stream)?;
                }
                member.peer.status.established.store(now.max(1), Ordering::Relaxed);
            }
            (_, wire::NOTIFICATION) => {
                bail!("NOTIFICATION {:?}", octets.get(HEADER..).unwrap_or_default())
            }
            // KEEPALIVE; what other types a daemon may send is not for us.
            _ => {}
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn fail(&self, what: String) {
        lock(&self.failure).get_or_insert(what);
    }
}

/// A thread that panicked ends the run anyway; what it held is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
