//! A control node on loopback, by a topology in which every sort of peer has many seats.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use interop_tests::Binaries;
use serde_json::Value;
use tempfile::TempDir;

use crate::heard::Key;
use crate::octets::{self, Family, OVERLAY, Open, RTC};
use crate::speaker::{CEILING, Speaker};
use crate::watcher::Watcher;

/// Of the cloud of the control node.
pub(crate) const HOME: u32 = 64_512;
/// Of the federated cloud.
pub(crate) const FAR: u32 = 64_600;
/// Of the gateways.
pub(crate) const OUTSIDE: u32 = 64_999;

/// What nodes speak where plain routes are reflected, too.
pub(crate) const UNICAST: &str =
    "families = [\"vpnv4\", \"vpnv6\", \"evpn\", \"rtc\", \"ipv4\", \"ipv6\"]";

const PORT: u16 = 41_830;
/// Peers with an entry of their own.
const SEATS: u16 = 120;
/// Of the federated cloud, whose control nodes stand for all external peers.
const FAR_SEATS: u16 = 250;
const SEATS_OF_NEIGHBOR: u16 = 32;
/// The lower half of the third octet of their addresses.
const FAR_THIRD: u8 = 2;

/// Networks of loopback addresses that this process has tried.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// What a peer is to the control node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// A node: internal, a reflector client.
    Client,
    /// Another control node of the cloud: internal, no client.
    Sibling,
    /// A control node of another cloud.
    Far,
    /// A router that is not ours.
    Gateway,
    /// One with an entry of its own, of this AS.
    Neighbor(u32),
}

impl Sort {
    pub(crate) fn is_internal(self) -> bool {
        self.asn() == HOME
    }

    /// Which of the lists of seats is its own.
    fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Sibling => 1,
            Self::Far => 2,
            Self::Gateway | Self::Neighbor(_) => 3,
        }
    }

    pub(crate) fn asn(self) -> u32 {
        match self {
            Self::Client | Self::Sibling => HOME,
            Self::Far => FAR,
            Self::Gateway => OUTSIDE,
            Self::Neighbor(asn) => asn,
        }
    }
}

/// An address from which the control node expects such a peer; nobody else has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    pub(crate) sort: Sort,
    pub(crate) address: Ipv4Addr,
}

impl Seat {
    /// An OPEN as the control node expects it.
    pub(crate) fn open(self, families: &[Family]) -> Open {
        Open::new(self.sort.asn(), self.address, families)
    }

    /// Listens where the peer would: the control node connects by itself.
    pub(crate) fn listen(self) -> Result<TcpListener> {
        TcpListener::bind((self.address, PORT)).context("cannot listen")
    }
}

pub(crate) struct Bed {
    dir: TempDir,
    daemon: Child,
    /// Two octets and the upper half of the third: the rest is ours.
    net: [u8; 3],
    seats: [AtomicU16; 4],
    numbers: AtomicU32,
    watchers: [OnceLock<Result<Watcher, String>>; 4],
    /// What nodes may speak beyond the overlay.
    unicast: bool,
    neighbors: Vec<(Knob, AtomicU16)>,
}

/// A neighbor with keys to try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Knob {
    pub(crate) name: &'static str,
    pub(crate) asn: u32,
    /// Lines of TOML.
    pub(crate) keys: &'static str,
}

impl Bed {
    pub(crate) fn start() -> Result<Self> {
        Self::with("", "", "")
    }

    /// With a `[neighbor.NAME]` for each of these, 32 at most: its name and its keys but for who it is.
    /// Thirty-two peers of each may connect.
    pub(crate) fn with_neighbors(cloud: &str, nodes: &str, neighbors: &[Knob]) -> Result<Self> {
        ensure!(neighbors.len() <= 32, "there are addresses for 32 neighbors");
        let net = free_network()?;
        let mut more = String::new();
        for (at, knob) in neighbors.iter().enumerate() {
            let prefix = neighbor(net, at, 0);
            let Knob { name, keys, .. } = knob;
            let asn =
                if keys.contains("asns") { String::new() } else { format!("asn = {}", knob.asn) };
            writeln!(
                more,
                "[neighbor.{name}]\nclouds = [\"home\"]\nprefixes = [\"{prefix}/27\"]\n{asn}\n{keys}"
            )?;
        }
        let mut bed = Self::of(net, cloud, nodes, &more)?;
        bed.neighbors = neighbors.iter().map(|knob| (*knob, AtomicU16::new(0))).collect();
        Ok(bed)
    }

    /// The next address of a neighbor.
    pub(crate) fn neighbor_seat(&self, name: &str) -> Result<Seat> {
        let found = self.neighbors.iter().enumerate().find(|(_, (knob, _))| knob.name == name);
        let (at, (knob, next)) = found.with_context(|| format!("no neighbor {name}"))?;
        let number = next.fetch_add(1, Ordering::Relaxed);
        ensure!(number < SEATS_OF_NEIGHBOR, "all seats of {name} are taken");
        Ok(Seat { sort: Sort::Neighbor(knob.asn), address: neighbor(self.net, at, number) })
    }

    /// A TCP connection from the next address of a neighbor.
    pub(crate) fn connect_neighbor(&self, name: &str) -> Result<(Speaker, Seat)> {
        let seat = self.neighbor_seat(name)?;
        Ok((self.connect(seat)?, seat))
    }

    /// `cloud` and `nodes` are more keys of these tables of the topology, `more` are more tables.
    pub(crate) fn with(cloud: &str, nodes: &str, more: &str) -> Result<Self> {
        Self::of(free_network()?, cloud, nodes, more)
    }

    fn of(net: [u8; 3], cloud: &str, nodes: &str, more: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        std::fs::write(dir.path().join("topology.toml"), topology(net, cloud, nodes, more))?;
        crate::pace::watch();
        let daemon = spawn(dir.path())?;
        let bed = Self {
            dir,
            daemon,
            net,
            seats: Default::default(),
            numbers: AtomicU32::new(1),
            watchers: Default::default(),
            unicast: nodes.contains("ipv6"),
            neighbors: Vec::new(),
        };
        bed.wait("the API answers", |bed| Ok(bed.ask("/v1/status").is_ok()))?;
        Ok(bed)
    }

    /// Kills the daemon and starts another one in its place.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.daemon.kill()?;
        self.daemon.wait()?;
        self.daemon = spawn(self.dir.path())?;
        self.wait("the API answers again", |bed| Ok(bed.ask("/v1/status").is_ok()))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((self.id(), PORT))
    }

    /// Router id and cluster id of the control node.
    pub(crate) fn id(&self) -> Ipv4Addr {
        at(self.net, 0, 1)
    }

    /// A number that no other case has: for targets, distinguishers and prefixes.
    pub(crate) fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn seat(&self, sort: Sort) -> Result<Seat> {
        let number = self.seats[sort.index()].fetch_add(1, Ordering::Relaxed);
        let seats = match sort {
            Sort::Client => 2048,
            Sort::Far => FAR_SEATS,
            Sort::Sibling | Sort::Gateway | Sort::Neighbor(_) => SEATS,
        };
        ensure!(number < seats, "all seats of {sort:?} are taken");
        Ok(Seat { sort, address: seat(self.net, sort, number) })
    }

    /// A TCP connection from this seat.
    pub(crate) fn connect(&self, seat: Seat) -> Result<Speaker> {
        Speaker::connect(seat.address, self.address())
    }

    /// A peer whose session is up, and that asks for nothing.
    pub(crate) fn up(&self, sort: Sort) -> Result<Speaker> {
        let seat = self.seat(sort)?;
        self.up_with(seat, &seat.open(&OVERLAY))
    }

    /// One that speaks every family it may.
    pub(crate) fn up_with_all(&self, sort: Sort) -> Result<Speaker> {
        let seat = self.seat(sort)?;
        self.up_with(seat, &seat.open(&self.families(sort)))
    }

    /// All families of a sort of peers.
    pub(crate) fn families(&self, sort: Sort) -> Vec<Family> {
        let mut families = OVERLAY.to_vec();
        if self.unicast && sort == Sort::Client {
            families.extend([octets::IPV4, octets::IPV6]);
        }
        families
    }

    pub(crate) fn up_with(&self, seat: Seat, open: &Open) -> Result<Speaker> {
        let mut speaker = self.connect(seat)?;
        speaker.establish(&open.octets())?;
        Ok(speaker)
    }

    /// A peer that is told everything it may be told.
    pub(crate) fn receiver(&self, sort: Sort) -> Result<Speaker> {
        let mut speaker = self.up(sort)?;
        speaker.asks_for_all()?;
        Ok(speaker)
    }

    /// One that listens for all cases, in a thread of its own.
    pub(crate) fn watcher(&self, sort: Sort) -> Result<&Watcher> {
        let watcher = self.watchers[sort.index()]
            .get_or_init(|| Watcher::start(self, sort).map_err(|error| format!("{error:#}")));
        watcher.as_ref().map_err(|error| anyhow!("the watcher: {error}"))
    }

    /// `GET` of the API; an error unless the answer is 200.
    pub(crate) fn ask(&self, path: &str) -> Result<Value> {
        let mut socket = UnixStream::connect(self.dir.path().join("dut.sock"))?;
        socket.set_read_timeout(Some(CEILING))?;
        write!(socket, "GET {path} HTTP/1.1\r\nHost: dut\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("a head")?;
        ensure!(head.contains(" 200 "), "{path}: {head}");
        Ok(serde_json::from_str(body)?)
    }

    /// A metric of a neighbor.
    pub(crate) fn metric(&self, name: &str, neighbor: Ipv4Addr) -> Result<u64> {
        let mut socket = UnixStream::connect(self.dir.path().join("dut.sock"))?;
        socket.set_read_timeout(Some(CEILING))?;
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: dut\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let start = format!("arcus_bgpd_neighbor_{name}{{neighbor=\"{neighbor}\"}} ");
        let value = answer.lines().find_map(|line| line.strip_prefix(&start));
        Ok(value.with_context(|| format!("no {start}"))?.trim().parse()?)
    }

    /// The neighbor at an address, as `/v1` shows it.
    pub(crate) fn neighbor(&self, address: Ipv4Addr) -> Result<Value> {
        self.ask(&format!("/v1/neighbors/{address}"))
    }

    /// Waits until the daemon has seen that the session is up.
    pub(crate) fn is_up(&self, seat: Seat) -> Result<()> {
        self.wait("/v1 shows it established", |bed| {
            Ok(bed.neighbor(seat.address)?["state"] == "established")
        })
    }

    pub(crate) fn wait(
        &self,
        what: &str,
        mut is_so: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let started = Instant::now();
        while !is_so(self)? {
            ensure!(started.elapsed() < CEILING, "waited too long until {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Octets of memory that the process has resident.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
        let kibi = line.split_whitespace().nth(1).context("a number")?;
        Ok(kibi.parse::<u64>()? * 1024)
    }

    /// Whether the process lives and answers.
    pub(crate) fn lives(&self) -> Result<()> {
        self.ask("/v1/status").map(|_| ()).with_context(|| format!("it is dead:\n{}", self.log()))
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Waits until a route is not announced any more to the watcher of a sort.
    pub(crate) fn gone(&self, sort: Sort, key: &Key) -> Result<()> {
        self.watcher(sort)?.gone(key)
    }
}

/// Starts the daemon of the topology in a directory.
fn spawn(dir: &Path) -> Result<Child> {
    Command::new(Binaries::directory()?.join("arcus-bgpd"))
        .args(["--node", "dut", "--shards", "2", "--topology"])
        .arg(dir.join("topology.toml"))
        .arg("--run-dir")
        .arg(dir)
        .env("RUST_LOG", "info")
        .stdout(Stdio::null())
        .stderr(File::create(dir.join("log"))?)
        .spawn()
        .context("arcus-bgpd: `cargo build -p arcus-bgpd` first")
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Ok(Some(ended)) = self.daemon.try_wait() {
            eprintln!("the daemon has ended: {ended}\n{}", self.log());
        }
        if std::env::var_os("KEEP_LOG").is_some() {
            eprintln!(
                "{}",
                std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
            );
        }
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}

impl Speaker {
    /// Asks for everything, and says that this is all it asks for.
    pub(crate) fn asks_for_all(&mut self) -> Result<()> {
        let is_far = self.local.octets()[2] & 15 == FAR_THIRD;
        let asn = if is_far { FAR } else { HOME };
        self.send(&membership(asn, self.local, &octets::DEFAULT_TARGET))?;
        self.end(RTC)
    }

    /// Likewise, as an external peer whose AS numbers have two octets.
    pub(crate) fn asks_for_all_in_short(&mut self) -> Result<()> {
        let [_, _, high, low] = FAR.to_be_bytes();
        let attributes = [
            octets::origin(0),
            octets::attribute(octets::WELL_KNOWN, 2, &[2, 1, high, low]),
            octets::reach(RTC, &self.local.octets(), &octets::DEFAULT_TARGET),
        ];
        self.send(&octets::update(&[], &attributes, &[]))?;
        self.end(RTC)
    }
}

/// An UPDATE that announces a membership with the attributes that a peer of this AS has to send.
pub(crate) fn membership(asn: u32, next_hop: Ipv4Addr, nlri: &[u8]) -> Vec<u8> {
    let mut attributes = vec![octets::origin(0)];
    if asn == HOME {
        attributes.extend([octets::as_path(&[]), octets::local_pref(100)]);
    } else {
        attributes.push(octets::as_path(&[asn]));
    }
    attributes.push(octets::reach(RTC, &next_hop.octets(), nlri));
    octets::update(&[], &attributes, &[])
}

fn at(net: [u8; 3], third: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(net[0], net[1], net[2] | third, last)
}

/// 4096 addresses of loopback that nobody uses, as far as the control node's own one shows.
fn free_network() -> Result<[u8; 3]> {
    for _ in 0..64 {
        let number = std::process::id().wrapping_mul(37) + NETWORKS.fetch_add(1, Ordering::Relaxed);
        let [_, _, high, low] = (number << 4).to_be_bytes();
        let net = [127, 128 | (high & 0x7f), low & 0xf0];
        if TcpListener::bind((at(net, 0, 1), PORT)).is_ok() {
            return Ok(net);
        }
    }
    bail!("no network of loopback is free")
}

fn seat(net: [u8; 3], sort: Sort, number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    match sort {
        Sort::Client => at(net, 4 + high, low),
        Sort::Sibling => at(net, 1, low + 1),
        Sort::Far => at(net, FAR_THIRD, low + 1),
        Sort::Gateway | Sort::Neighbor(_) => at(net, 3, low + 1),
    }
}

/// An address of the neighbor that stands at this place of the list.
fn neighbor(net: [u8; 3], at_list: usize, number: u16) -> Ipv4Addr {
    let place = u16::try_from(at_list * 32).unwrap_or(u16::MAX) + number;
    let [high, low] = place.to_be_bytes();
    at(net, 12 + high, low)
}

fn topology(net: [u8; 3], cloud: &str, nodes: &str, more: &str) -> String {
    let mut text = format!(
        r#"
[federation]
name = "conformance"
[cloud.home]
asn = {HOME}
{cloud}
[cloud.home.nodes]
prefixes = ["{}/22", "{}/22"]
{nodes}
[cloud.home.control-node.dut]
address = "{}"
port = {PORT}
[cloud.far]
asn = {FAR}
[network.all]
clouds = ["home"]
subnets = ["10.0.0.0/8"]
route-targets = ["{HOME}:1"]
{more}
"#,
        at(net, 4, 0),
        at(net, 8, 0),
        at(net, 0, 1),
    );
    let peers = [
        ("home.control-node.sibling", Sort::Sibling, SEATS),
        ("far.control-node.far", Sort::Far, FAR_SEATS),
    ];
    for (name, sort, seats) in peers {
        for number in 0..seats {
            let address = seat(net, sort, number);
            writeln!(text, "[cloud.{name}{number}]\naddress = \"{address}\"\nport = {PORT}").ok();
        }
    }
    for number in 0..SEATS {
        let address = seat(net, Sort::Gateway, number);
        writeln!(
            text,
            "[gateway.router{number}]\nclouds = [\"home\"]\naddress = \"{address}\"\nport = {PORT}\n\
             asn = {OUTSIDE}\nnetworks = [\"all\"]\n\
             families = [\"vpnv4\", \"vpnv6\", \"evpn\", \"ipv4\", \"ipv6\"]",
        )
        .ok();
    }
    text
}
