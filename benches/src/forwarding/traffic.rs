//! The two workloads of a way, and what they send each other.
//!
//! One thread is both: what it sends has arrived when the system call returns, and then it receives. So
//! nothing waits, nothing is lost, and no wake-up is in the numbers.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{IoSlice, IoSliceMut};
use testbed::Namespace;

/// Where the called one listens.
pub(crate) const PORT: u16 = 5000;

/// With all headers of Ethernet, 64 octets.
const PAYLOAD: [u8; 22] = [0x5a; 22];
/// Datagrams of one system call: as many as a socket's buffer holds.
const BATCH: usize = 64;
/// What TCP is given at once, in octets.
const CHUNK: usize = 256 << 10;
/// Nothing on the way takes longer.
const CEILING: Duration = Duration::from_secs(5);

/// Sockets of both workloads.
#[derive(Debug)]
pub(crate) struct Traffic {
    sender: TcpStream,
    receiver: TcpStream,
    source: UdpSocket,
    sink: UdpSocket,
    buffer: Vec<u8>,
}

impl Traffic {
    /// Connects; the first packets may be lost, while neighbours are still looked for.
    pub(crate) fn open(from: &Namespace, to: &Namespace, target: Ipv4Addr) -> Result<Self> {
        let (target, any) = (SocketAddrV4::new(target, PORT), (Ipv4Addr::UNSPECIFIED, PORT));
        let (listener, sink) =
            to.inside(|| anyhow::Ok((TcpListener::bind(any)?, UdpSocket::bind(any)?)))??;
        let (sender, source) = from.inside(|| {
            let sender = TcpStream::connect_timeout(&SocketAddr::V4(target), CEILING)
                .with_context(|| format!("nobody answers at {target}"))?;
            let source = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            source.connect(target)?;
            anyhow::Ok((sender, source))
        })??;
        let (receiver, _) = listener.accept()?;
        for socket in [&sender, &receiver] {
            socket.set_nonblocking(true)?;
        }
        for socket in [&source, &sink] {
            socket.set_nonblocking(true)?;
        }
        Ok(Self { sender, receiver, source, sink, buffer: vec![0x5a; CHUNK] })
    }

    /// Sends so many octets over TCP, and receives them.
    pub(crate) fn stream(&mut self, octets: usize) -> Result<()> {
        let (mut sent, mut received) = (0, 0);
        while received < octets {
            let before = sent + received;
            while sent < octets {
                let end = (octets - sent).min(CHUNK);
                match self.sender.write(&self.buffer[..end]) {
                    Ok(count) => sent += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).context("TCP"),
                }
            }
            loop {
                match self.receiver.read(&mut self.buffer) {
                    Ok(0) => bail!("the TCP connection has ended"),
                    Ok(count) => received += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).context("TCP"),
                }
            }
            if sent + received == before {
                self.wait_for_tcp()?;
            }
        }
        Ok(())
    }

    /// Both have to wait: for an answer that is late on purpose.
    fn wait_for_tcp(&self) -> Result<()> {
        let mut sockets = [
            PollFd::from_borrowed_fd(self.sender.as_fd(), PollFlags::OUT),
            PollFd::from_borrowed_fd(self.receiver.as_fd(), PollFlags::IN),
        ];
        let ready = poll(&mut sockets, Some(&CEILING.try_into()?))?;
        ensure!(ready > 0, "TCP stands still");
        Ok(())
    }

    /// Sends so many small datagrams, and receives them.
    pub(crate) fn datagrams(&self, count: usize) -> Result<()> {
        let payload = [IoSlice::new(&PAYLOAD)];
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let mut back = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let mut octets = [[0; 64]; BATCH];
        let mut left = count;
        while left > 0 {
            let batch = left.min(BATCH);
            let payloads = vec![&payload; batch];
            let addresses = vec![None; batch];
            let sent = sendmmsg(
                self.source.as_raw_fd(),
                &mut headers,
                payloads,
                &addresses,
                [],
                MsgFlags::empty(),
            )?
            .count();
            ensure!(sent == batch, "{sent} of {batch} datagrams were sent");
            let mut arrived = 0;
            while arrived < batch {
                let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                    octets.iter_mut().map(|one| [IoSliceMut::new(one)]).collect();
                let got = recvmmsg(
                    self.sink.as_raw_fd(),
                    &mut back,
                    slices.iter_mut(),
                    MsgFlags::empty(),
                    None,
                );
                match got {
                    Ok(got) => arrived += got.count(),
                    Err(Errno::EAGAIN) => self.wait_for_datagram()?,
                    Err(error) => return Err(error.into()),
                }
            }
            left -= batch;
        }
        Ok(())
    }

    fn wait_for_datagram(&self) -> Result<()> {
        let mut sockets = [PollFd::from_borrowed_fd(self.sink.as_fd(), PollFlags::IN)];
        let ready = poll(&mut sockets, Some(&CEILING.try_into()?))?;
        ensure!(ready > 0, "datagrams were lost");
        Ok(())
    }

    /// Sends a small datagram to each of these.
    pub(crate) fn scatter(&self, to: impl Iterator<Item = Ipv4Addr>) -> Result<()> {
        for address in to {
            self.source.send_to(&PAYLOAD, (address, PORT))?;
        }
        Ok(())
    }

    /// How long each of so many datagrams takes, from before it is sent until after it is received, in
    /// nanoseconds.
    pub(crate) fn one_by_one(&self, count: usize) -> Result<Vec<u64>> {
        let mut buffer = [0; 64];
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            self.source.send(&PAYLOAD)?;
            loop {
                match self.sink.recv(&mut buffer) {
                    Ok(_) => break,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        ensure!(start.elapsed() < CEILING, "a datagram was lost");
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            times.push(u64::try_from(start.elapsed().as_nanos())?);
        }
        Ok(times)
    }
}
