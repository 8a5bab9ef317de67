//! Clients and servers of either version of IP, in workloads and elsewhere.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dataplane::{Link, NextHop};
use testbed::{Namespace, UPLINK};

use crate::world::{CEILING, Node, Workload, inside};

/// Long enough for what is answered, and for what is answered only when asked again.
const PATIENCE: Duration = Duration::from_secs(2);

/// An address of the overlay.
pub(crate) fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0xa, 0, 0, 0, 0, 0, last)
}

/// An address of the underlay.
pub(crate) fn underlay_v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0xb, 0, 0, 0, 0, 0, last)
}

/// Gives a namespace on the underlay an address of IPv6.
pub(crate) async fn add_v6(namespace: &Namespace, address: Ipv6Addr) -> Result<()> {
    let switch = format!("net.ipv6.conf.{UPLINK}.disable_ipv6=0");
    namespace.run(&["sysctl", "-qw", &switch]).await?;
    namespace.ip(&format!("addr add {address}/64 dev {UPLINK} nodad")).await?;
    Ok(())
}

/// Gives the port of a workload IPv6, and routes to it.
pub(crate) fn dual_stack(node: &mut Node, vrf: u32, workload: &Workload, address: Ipv6Addr) {
    let port = node.wanted.ports.get_mut(&workload.id).expect("the port");
    let gateway = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    port.v6 = Some(Link { address, prefix_len: 128, gateway });
    node.route(vrf, &format!("{address}/128"), [NextHop::Port(workload.id.clone())]);
}

/// Who answers, and the caller as it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) caller: SocketAddr,
}

fn read_answer(text: &str) -> Result<Answer> {
    let mut words = text.split_whitespace();
    let (Some(name), Some(caller)) = (words.next(), words.next()) else {
        anyhow::bail!("`{text}` is no answer");
    };
    let caller: SocketAddr = caller.parse()?;
    let caller = SocketAddr::new(caller.ip().to_canonical(), caller.port());
    Ok(Answer { name: name.to_owned(), caller })
}

/// Answers datagrams of both versions: name and caller, then as many octets as were sent.
pub(crate) fn answer_udp(namespace: &Namespace, name: &str, port: u16) -> Result<()> {
    let bind = || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port));
    let socket = inside(namespace, bind)??;
    let name = name.to_owned();
    std::thread::spawn(move || {
        let mut question = vec![0; 65536];
        while let Ok((length, caller)) = socket.recv_from(&mut question) {
            let mut answer = format!("{name} {caller} ").into_bytes();
            answer.resize(answer.len().max(length), b'.');
            // A caller may be gone.
            drop(socket.send_to(&answer, caller));
        }
    });
    Ok(())
}

/// Answers connections of both versions: a line with name and caller, then an echo.
pub(crate) fn answer_tcp(namespace: &Namespace, name: &str, port: u16) -> Result<()> {
    let bind = || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    let listener = inside(namespace, bind)??;
    let name = name.to_owned();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let name = name.clone();
            std::thread::spawn(move || {
                let (Ok(caller), Ok(mut input)) = (stream.peer_addr(), stream.try_clone()) else {
                    return;
                };
                if writeln!(stream, "{name} {caller}").is_ok() {
                    // The caller may leave in the middle.
                    drop(std::io::copy(&mut input, &mut stream));
                }
            });
        }
    });
    Ok(())
}

/// A datagram of so many octets from `source_port`, and the answer of the same length.
pub(crate) fn ask(
    from: &Namespace,
    source_port: u16,
    to: SocketAddr,
    octets: usize,
) -> Result<Answer> {
    let unspecified = if to.is_ipv4() { "0.0.0.0" } else { "::" };
    // A child of another test that is not yet what it is to be may still hold the last socket.
    let bind = || {
        let start = Instant::now();
        loop {
            match UdpSocket::bind((unspecified, source_port)) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && start.elapsed() < CEILING => {
                    std::thread::yield_now();
                }
                done => return done,
            }
        }
    };
    let socket = inside(from, bind)??;
    socket.set_read_timeout(Some(PATIENCE))?;
    // Connected, so that an answer from elsewhere is no answer.
    inside(from, || socket.connect(to))??;
    socket.send(&vec![b'?'; octets])?;
    let mut answer = vec![0; 65536];
    let length = socket.recv(&mut answer).with_context(|| format!("nobody at {to}"))?;
    ensure!(length >= octets, "{length} octets for {octets}");
    read_answer(&String::from_utf8_lossy(&answer[..length]))
}

/// A connection whose other end has said who it is.
pub(crate) struct Call {
    pub(crate) answer: Answer,
    stream: TcpStream,
}

/// Connects; an error when nobody answers.
pub(crate) fn call(from: &Namespace, to: SocketAddr) -> Result<Call> {
    let connect = || TcpStream::connect_timeout(&to, PATIENCE);
    let stream = inside(from, connect)?.with_context(|| format!("nobody at {to}"))?;
    stream.set_read_timeout(Some(CEILING))?;
    stream.set_write_timeout(Some(CEILING))?;
    let mut line = String::new();
    BufReader::with_capacity(1, &stream).read_line(&mut line)?;
    Ok(Call { answer: read_answer(&line)?, stream })
}

impl Call {
    /// Sends octets and gets them back whole.
    pub(crate) fn echo(&self, octets: usize) -> Result<()> {
        let data: Vec<u8> = (0..=u8::MAX).cycle().take(octets).collect();
        let (mut output, sent) = (self.stream.try_clone()?, data.clone());
        let writer = std::thread::spawn(move || output.write_all(&sent));
        let mut back = vec![0; octets];
        (&self.stream).read_exact(&mut back).context("the echo stopped")?;
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        ensure!(back == data, "the echo is not what was sent");
        Ok(())
    }
}

/// One ping; the output also when there is no answer.
pub(crate) async fn ping(from: &Namespace, to: IpAddr, options: &[&str]) -> Result<(bool, String)> {
    let to = to.to_string();
    let words = [&["ping", "-n", "-c", "1", "-W", "2"], options, &[to.as_str()]].concat();
    let output = from.output(&words).await?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

pub(crate) async fn reaches(from: &Namespace, to: IpAddr) -> Result<()> {
    let (answered, text) = ping(from, to, &[]).await?;
    ensure!(answered, "no answer from {to}: {text}");
    Ok(())
}

/// The first line of what tcpdump says about a capture that tells of a wrong checksum.
pub(crate) async fn wrong_checksum(reader: &Namespace, file: &str) -> Result<Option<String>> {
    let text = reader.run(&["tcpdump", "-nvvr", file]).await?;
    let wrong = |line: &&str| {
        line.contains("incorrect") || line.contains("bad cksum") || line.contains("[bad ")
    };
    Ok(text.lines().find(wrong).map(str::to_owned))
}
