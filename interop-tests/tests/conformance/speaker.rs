//! One connection to the daemon, by hand.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, Socket, Type};

use crate::heard::{Heard, Key, Told};
use crate::octets::{self, Family, KEEPALIVE, NOTIFICATION, OPEN};

/// No case waits longer for anything it does not say a time for.
pub(crate) const CEILING: Duration = Duration::from_secs(30);

/// How long a SYN may be without an answer; all is on one machine.
const ANSWER: Duration = Duration::from_secs(5);

/// What came out of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    /// Type and body.
    Message(u8, Vec<u8>),
    /// The daemon has closed, in order or not.
    Closed,
    /// Nothing came in time.
    Nothing,
}

pub(crate) struct Speaker {
    stream: TcpStream,
    pending: Vec<u8>,
    /// The body of the daemon's OPEN.
    pub(crate) open: Vec<u8>,
    pub(crate) heard: Heard,
    pub(crate) local: Ipv4Addr,
}

impl Speaker {
    /// A TCP connection from `local`, nothing more.
    pub(crate) fn connect(local: Ipv4Addr, daemon: SocketAddr) -> Result<Self> {
        Self::connect_with(local, daemon, |_| Ok(()))
    }

    /// As [`Self::connect`], over a socket that was prepared. A daemon that does not answer is waited for
    /// shortly.
    pub(crate) fn connect_with(
        local: Ipv4Addr,
        daemon: SocketAddr,
        prepare: impl FnOnce(&Socket) -> Result<()>,
    ) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((local, 0)).into())?;
        prepare(&socket)?;
        let connected = socket.connect_timeout(&daemon.into(), ANSWER);
        connected.with_context(|| format!("{local} to {daemon}"))?;
        Self::over(socket.into(), local)
    }

    /// Over a connection that the daemon has made.
    pub(crate) fn accept(listener: &TcpListener, local: Ipv4Addr) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let started = Instant::now();
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    return Self::over(stream, local);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ensure!(started.elapsed() < CEILING, "the daemon does not connect to {local}");
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn over(stream: TcpStream, local: Ipv4Addr) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(CEILING))?;
        let (pending, open) = (Vec::new(), Vec::new());
        Ok(Self { stream, pending, open, heard: Heard::default(), local })
    }

    pub(crate) fn send(&mut self, octets: &[u8]) -> Result<()> {
        self.stream.write_all(octets).context("the daemon does not take it")
    }

    /// Sends what may not be taken because the daemon may have closed already.
    pub(crate) fn try_send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).ok();
    }

    pub(crate) fn close(&self) {
        self.stream.shutdown(Shutdown::Both).ok();
    }

    /// Ends the connection with RST instead of FIN.
    pub(crate) fn abort(self) -> Result<()> {
        let socket = Socket::from(self.stream);
        socket.set_linger(Some(Duration::ZERO)).context("SO_LINGER")
    }

    /// A small receive buffer fills soon.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The next message, whatever it is.
    pub(crate) fn next(&mut self, within: Duration) -> Result<Got> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(message) = self.take()? {
                return Ok(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Got::Nothing);
            }
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            let mut chunk = vec![0; 65_536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(Got::Closed),
                Ok(count) => self.pending.extend(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Ok(Got::Closed),
                    _ => return Err(error.into()),
                },
            }
        }
    }

    /// A whole message out of what was read.
    fn take(&mut self) -> Result<Option<Got>> {
        let Some(header) = self.pending.first_chunk::<19>() else { return Ok(None) };
        ensure!(header[..16] == [0xff; 16], "the daemon's marker is wrong");
        let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
        ensure!(length >= 19, "the daemon's length is {length}");
        if self.pending.len() < length {
            return Ok(None);
        }
        let rest = self.pending.split_off(length);
        let message = std::mem::replace(&mut self.pending, rest);
        self.heard.longest = self.heard.longest.max(length);
        Ok(Some(Got::Message(message[18], message[19..].to_vec())))
    }

    /// Reads one message, and takes what is told by it.
    fn hear(&mut self, within: Duration) -> Result<Got> {
        let got = self.next(within)?;
        if let Got::Message(kind, body) = &got {
            self.heard.message(*kind, body)?;
        }
        Ok(got)
    }

    /// Sends `open`, takes the daemon's and confirms it: the session is up afterwards.
    pub(crate) fn establish(&mut self, open: &[u8]) -> Result<()> {
        self.confirm(open)?;
        self.send(&octets::keepalive())?;
        match self.next(CEILING)? {
            Got::Message(KEEPALIVE, _) => Ok(()),
            other => bail!("not confirmed: {other:02x?}"),
        }
    }

    /// Sends `open` and takes the daemon's: OpenConfirm afterwards.
    pub(crate) fn confirm(&mut self, open: &[u8]) -> Result<()> {
        self.send(open)?;
        self.take_open()
    }

    pub(crate) fn take_open(&mut self) -> Result<()> {
        match self.next(CEILING)? {
            Got::Message(OPEN, body) => self.open = body,
            other => bail!("instead of an OPEN: {other:02x?}"),
        }
        Ok(())
    }

    /// Listens until something is so.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Heard) -> bool) -> Result<()> {
        self.until_within(CEILING, what, is_so)
    }

    /// Likewise, for what takes longer on a machine that is busy.
    pub(crate) fn until_within(
        &mut self,
        ceiling: Duration,
        what: &str,
        is_so: impl Fn(&Heard) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + ceiling;
        while !is_so(&self.heard) {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "waited too long until {what}");
            match self.hear(left)? {
                Got::Message(NOTIFICATION, body) => bail!("{body:?} before {what}"),
                Got::Closed => bail!("closed before {what}"),
                _ => {}
            }
        }
        Ok(())
    }

    /// Listens for a while, whatever comes.
    pub(crate) fn listen(&mut self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            match self.hear(left)? {
                Got::Message(NOTIFICATION, body) => bail!("NOTIFICATION {body:?}"),
                Got::Closed => bail!("closed"),
                _ => {}
            }
        }
    }

    pub(crate) fn route(&mut self, key: &Key) -> Result<Told> {
        self.until(&format!("{key:02x?} is told"), |heard| heard.get(key).is_some())?;
        self.heard.get(key).cloned().context("told")
    }

    pub(crate) fn gone(&mut self, key: &Key) -> Result<()> {
        self.until(&format!("{key:02x?} is withdrawn"), |heard| heard.get(key).is_none())
    }

    /// Waits for a NOTIFICATION, and for the end of the connection after it; gives code, subcode
    /// and data.
    pub(crate) fn refusal(&mut self, within: Duration) -> Result<(u8, u8, Vec<u8>)> {
        let deadline = Instant::now() + within;
        loop {
            match self.hear(deadline.saturating_duration_since(Instant::now()))? {
                Got::Message(NOTIFICATION, body) => {
                    let [code, subcode, data @ ..] = &body[..] else { bail!("a short one") };
                    let refusal = (*code, *subcode, data.to_vec());
                    self.closed(CEILING)?;
                    return Ok(refusal);
                }
                Got::Message(..) => {}
                Got::Closed => bail!("closed without NOTIFICATION"),
                Got::Nothing => bail!("no NOTIFICATION within {within:?}"),
            }
        }
    }

    /// Waits for the end of the connection; no NOTIFICATION may come before.
    pub(crate) fn closed(&mut self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            match self.hear(deadline.saturating_duration_since(Instant::now()))? {
                Got::Closed => return Ok(()),
                Got::Message(NOTIFICATION, body) => bail!("NOTIFICATION {body:?}"),
                Got::Message(..) => {}
                Got::Nothing => bail!("not closed within {within:?}"),
            }
        }
    }

    /// The value of a capability of the daemon's OPEN.
    pub(crate) fn capability(&self, code: u8) -> Option<Vec<u8>> {
        self.capabilities().into_iter().find(|(found, _)| *found == code).map(|(_, value)| value)
    }

    /// Capabilities of the daemon's OPEN.
    pub(crate) fn capabilities(&self) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        let mut parameters = self.open.get(10..).unwrap_or_default();
        while let [kind, length, rest @ ..] = parameters {
            let (mut value, rest) = rest.split_at(usize::from(*length).min(rest.len()));
            parameters = rest;
            while let ([code, length, rest @ ..], 2) = (value, *kind) {
                let (content, rest) = rest.split_at(usize::from(*length).min(rest.len()));
                value = rest;
                found.push((*code, content.to_vec()));
            }
        }
        found
    }

    /// Says that a family is complete.
    pub(crate) fn end(&mut self, family: Family) -> Result<()> {
        self.send(&octets::end_of_rib(family))
    }
}
