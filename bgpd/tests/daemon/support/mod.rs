//! Control nodes as processes on loopback addresses of their own, and peers made with `bgp-peer`.
#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a part of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bgp_peer::{Down, Mode, Peer, PeerConfig, PeerEvent, Push, PushError, Security, Writer, spawn};
use bgp_session::SessionConfig;
use bgp_wire::capability::GracefulRestart;
use bgp_wire::community::Community;
use bgp_wire::{
    AfiSafi, AsPath, Family, Label, Message, Messages, Negotiated, NextHop, PathAttributes, PathId,
    Route, RouteTarget, RtMembership, Rtc, Update, VpnV4, Withdrawal,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// No test waits longer for anything. Convergence of a control node may take 10 seconds of it.
const CEILING: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);

/// Of every control node, on an address of its own.
pub(crate) const PORT: u16 = 41_790;

/// Networks of loopback addresses that this process has handed out.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A topology file and the control nodes that run by it.
pub(crate) struct Federation {
    dir: TempDir,
    net: [u8; 3],
    more: String,
    daemons: BTreeMap<&'static str, Child>,
}

impl Federation {
    /// Clouds `openstack` (64512, `os`) and `kubernetes` (64513, `k8s`) with one control node each;
    /// gateway `mx` (64999) of `kubernetes`.
    pub(crate) fn start() -> Self {
        Self::start_with("", &["public"])
    }

    /// With more in the topology; `NET` stands for the first three octets of addresses, and `DIR` for a
    /// folder of the test, in which these files are.
    pub(crate) fn start_also(more: &str, files: &[(&str, &str)]) -> Self {
        Self::start_whole("", &["public"], more, files)
    }

    /// `nodes` is more about the nodes of `openstack`; `gateway` has these networks.
    pub(crate) fn start_with(nodes: &str, gateway: &[&str]) -> Self {
        Self::start_whole(nodes, gateway, "", &[])
    }

    fn start_whole(nodes: &str, gateway: &[&str], more: &str, files: &[(&str, &str)]) -> Self {
        // Tests that run at the same time, in this process or others, shall not meet.
        let number = std::process::id() * 16 + NETWORKS.fetch_add(1, Ordering::SeqCst);
        let [_, high, middle, low] = number.to_be_bytes();
        let net = [127, 64 | (middle & 0x3f), low ^ high.rotate_left(4)];
        let dir = TempDir::new().unwrap();
        let mut federation = Self { dir, net, more: String::new(), daemons: BTreeMap::new() };
        for (name, text) in files {
            let path = federation.dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        federation.more = federation.filled(more);
        federation.write(nodes, gateway);
        for node in ["os", "k8s"] {
            let daemon = Command::new(env!("CARGO_BIN_EXE_arcus-bgpd"))
                .arg("--topology")
                .arg(federation.file())
                .args(["--node", node, "--shards", "2", "--run-dir"])
                .arg(federation.dir.path())
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(federation.dir.path().join(node)).unwrap())
                .spawn()
                .unwrap();
            federation.daemons.insert(node, daemon);
        }
        federation
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("federation.toml")
    }

    pub(crate) fn write(&self, nodes: &str, gateway: &[&str]) {
        let [a, b, c] = self.net;
        let text = format!(
            r#"
[federation]
name = "test"

[cloud.openstack]
asn = 64512
[cloud.openstack.control-node.os]
address = "{a}.{b}.{c}.1"
port = {PORT}
[cloud.openstack.nodes]
prefixes = ["{a}.{b}.{c}.16/28"]
{nodes}

[cloud.kubernetes]
asn = 64513
[cloud.kubernetes.control-node.k8s]
address = "{a}.{b}.{c}.2"
port = {PORT}
[cloud.kubernetes.nodes]
prefixes = ["{a}.{b}.{c}.32/28"]

[network.database]
clouds = ["openstack"]
subnets = ["10.0.100.0/24"]
route-targets = ["64512:100"]

[network.edge]
clouds = ["openstack"]
subnets = ["10.0.101.0/24"]
route-targets = ["64512:700"]

[network.public]
clouds = ["kubernetes"]
subnets = ["185.22.97.0/24"]
route-targets = ["64512:900"]

[gateway.mx]
clouds = ["kubernetes"]
address = "{a}.{b}.{c}.65"
port = {PORT}
asn = 64999
families = ["vpnv4"]
networks = {gateway:?}
tunnel-addresses = ["{a}.{b}.{c}.65"]
encapsulations = ["mpls-over-gre"]
"#
        );
        std::fs::write(self.file(), text + &self.more).unwrap();
    }

    /// Adds to the topology, without telling anybody.
    pub(crate) fn append(&self, more: &str) {
        let text = std::fs::read_to_string(self.file()).unwrap();
        std::fs::write(self.file(), text + &self.filled(more)).unwrap();
    }

    fn filled(&self, text: &str) -> String {
        let [a, b, c] = self.net;
        let dir = self.dir.path().display().to_string();
        text.replace("NET", &format!("{a}.{b}.{c}")).replace("DIR", &dir)
    }

    /// What a control node has logged.
    pub(crate) fn log(&self, node: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(node)).unwrap_or_default()
    }

    /// The last octet tells them apart: 1 and 2 are control nodes, 17 to 30 nodes of `openstack`, 33
    /// to 46 of `kubernetes`, 65 the gateway.
    pub(crate) fn address(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.net;
        Ipv4Addr::new(a, b, c, last)
    }

    /// Asks the API of a control node; gives the status code and the body.
    pub(crate) async fn ask(&self, node: &str, request: &str) -> (u16, Value) {
        let path = self.dir.path().join(format!("{node}.sock"));
        let started = Instant::now();
        let mut socket = loop {
            match UnixStream::connect(&path) {
                Ok(socket) => break socket,
                Err(error) if started.elapsed() > CEILING => panic!("{node}: {error}"),
                Err(_) => sleep(POLL).await,
            }
        };
        write!(socket, "{request} HTTP/1.1\r\nHost: {node}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// The neighbor of a control node at an address.
    pub(crate) async fn neighbor(&self, node: &str, last: u8) -> Value {
        self.ask(node, &format!("GET /v1/neighbors/{}", self.address(last))).await.1
    }

    /// A node of the cloud its address belongs to, with graceful restart of `restart_time` seconds
    pub(crate) fn agent(&self, last: u8, restart_time: u16) -> Fake {
        let (asn, control) = if last < 32 { (64_512, 1) } else { (64_513, 2) };
        let id = self.address(last);
        let families = vec![AfiSafi::VPNV4, AfiSafi::RTC];
        let restart = GracefulRestart {
            restart_time,
            families: families.iter().map(|family| (*family, true)).collect(),
            ..GracefulRestart::default()
        };
        let session = SessionConfig {
            families,
            restart: (restart_time > 0).then_some(restart),
            ..SessionConfig::internal(asn, id)
        };
        self.fake(session, last, control, 1024)
    }

    /// The gateway: `vpnv4` and nothing else, as FRR.
    pub(crate) fn gateway(&self) -> Fake {
        self.gateway_at(65)
    }

    pub(crate) fn gateway_at(&self, last: u8) -> Fake {
        let id = self.address(last);
        let session = SessionConfig {
            families: vec![AfiSafi::VPNV4],
            ..SessionConfig::external(64_999, id, 64_513)
        };
        self.fake(session, last, 2, 1024)
    }

    /// `room` is how many events it holds before it stops reading.
    pub(crate) fn fake(&self, session: SessionConfig, last: u8, control: u8, room: usize) -> Fake {
        self.secured(session, last, control, room, Security::OPEN)
    }

    pub(crate) fn secured(
        &self,
        session: SessionConfig,
        last: u8,
        control: u8,
        room: usize,
        security: Security,
    ) -> Fake {
        let config = PeerConfig {
            mode: Mode::Active,
            port: PORT,
            local: Some(self.address(last).into()),
            security,
            ..PeerConfig::new(session, IpAddr::from(self.address(control)))
        };
        let (sender, events) = mpsc::channel(room);
        let external = config.session.local_asn != config.session.peer_asn;
        Fake {
            as_path: if external { vec![config.session.local_asn] } else { Vec::new() },
            local_pref: (!external).then_some(100),
            med: None,
            address: self.address(last),
            peer: spawn(config, sender),
            events,
            writer: None,
            negotiated: Negotiated::nothing(),
            told: BTreeMap::new(),
            next_hops: BTreeSet::new(),
            memberships: BTreeSet::new(),
            ended: Vec::new(),
            downs: Vec::new(),
        }
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        for (node, mut daemon) in std::mem::take(&mut self.daemons) {
            // One that has ended by itself has failed; what it said is shown with the test's output.
            let ended = daemon.try_wait().ok().flatten();
            if ended.is_some() || std::thread::panicking() {
                let log = std::fs::read_to_string(self.dir.path().join(node)).unwrap_or_default();
                eprintln!("{node} ended: {ended:?}\n{log}");
            }
            daemon.kill().ok();
            daemon.wait().ok();
        }
    }
}

/// What a peer was told of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) next_hop: NextHop,
    pub(crate) attributes: PathAttributes,
    pub(crate) label: Label,
    /// Whether End-of-RIB of `vpnv4` had come before it.
    pub(crate) after_end: bool,
}

/// A peer, with all that it was told.
pub(crate) struct Fake {
    pub(crate) peer: Peer,
    pub(crate) address: Ipv4Addr,
    /// Of what it says.
    pub(crate) as_path: Vec<u32>,
    pub(crate) local_pref: Option<u32>,
    pub(crate) med: Option<u32>,
    events: mpsc::Receiver<PeerEvent>,
    writer: Option<Writer>,
    negotiated: Negotiated,
    pub(crate) told: BTreeMap<String, Told>,
    /// Of all paths that it was ever told.
    pub(crate) next_hops: BTreeSet<NextHop>,
    pub(crate) memberships: BTreeSet<RtMembership>,
    pub(crate) ended: Vec<AfiSafi>,
    pub(crate) downs: Vec<Down>,
}

impl Fake {
    /// Listens to the control node until something is true.
    pub(crate) async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let waited = timeout(CEILING, async {
            while !is_so(self) {
                let event = self.events.recv().await.expect("the peer has ended");
                self.hear(event);
            }
        });
        let in_time = waited.await.is_ok();
        assert!(in_time, "{} waited too long until {what}, told {:?}", self.address, self.told);
    }

    pub(crate) async fn up(&mut self) {
        self.until("it is up", |fake| fake.writer.is_some()).await;
    }

    fn hear(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Up(session, writer) => {
                self.negotiated = session.agreement.negotiated.clone();
                self.writer = Some(writer);
                self.ended.clear();
            }
            PeerEvent::Updates(updates) => updates.into_iter().for_each(|u| self.update(u)),
            PeerEvent::Down(down) => {
                self.writer = None;
                self.downs.push(down);
            }
            PeerEvent::Refresh(_) | PeerEvent::Drained | PeerEvent::Disabled(_) => {}
        }
    }

    fn update(&mut self, update: Update) {
        for list in update.withdrawn {
            match list {
                bgp_wire::Withdrawals::VpnV4(list) => {
                    for route in list {
                        self.told.remove(&route.key.to_string());
                    }
                }
                bgp_wire::Withdrawals::Rtc(list) => {
                    self.memberships.retain(|known| list.iter().all(|route| route.key != *known));
                }
                other => panic!("not negotiated: {other:?}"),
            }
        }
        for (next_hop, list) in update.announced {
            let attributes = (*update.attributes).clone();
            self.next_hops.insert(next_hop);
            match list {
                bgp_wire::Routes::VpnV4(list) => {
                    for route in list {
                        let after_end = self.ended.contains(&AfiSafi::VPNV4);
                        let (attributes, label) = (attributes.clone(), route.data.outermost());
                        let told = Told { next_hop, attributes, label, after_end };
                        self.told.insert(route.key.to_string(), told);
                    }
                }
                bgp_wire::Routes::Rtc(list) => {
                    self.memberships.extend(list.into_iter().map(|route| route.key));
                }
                other => panic!("not negotiated: {other:?}"),
            }
        }
        self.ended.extend(update.end_of_rib);
    }

    /// Wants these targets, and no others: End-of-RIB of memberships follows.
    pub(crate) async fn wants(&self, targets: &[u32]) {
        for target in targets {
            let key = RtMembership::exact(64_512, RouteTarget::as2(64_512, *target));
            self.announce::<Rtc>(vec![Route { path_id: PathId(0), key, data: () }], &[]).await;
        }
        self.end_of_rib(AfiSafi::RTC).await;
    }

    /// Announces a `vpnv4` route with these targets; its next hop is the peer's address.
    pub(crate) async fn says(&self, key: &str, label: u32, targets: &[u32]) {
        let key = key.parse().unwrap();
        let route = Route { path_id: PathId(0), key, data: Label::mpls(label).unwrap().into() };
        self.announce::<VpnV4>(vec![route], targets).await;
    }

    pub(crate) async fn withdraws(&self, key: &str) {
        let list = vec![Withdrawal { path_id: PathId(0), key: key.parse().unwrap() }];
        let withdrawn = vec![VpnV4::into_withdrawals(list)];
        self.send(&Update { withdrawn, ..Update::default() }).await;
    }

    pub(crate) async fn announce<F: Family>(&self, routes: Vec<Route<F>>, targets: &[u32]) {
        self.announce_with(routes, targets, Vec::new()).await;
    }

    pub(crate) async fn announce_with<F: Family>(
        &self,
        routes: Vec<Route<F>>,
        targets: &[u32],
        communities: Vec<Community>,
    ) {
        let as_path = match &self.as_path[..] {
            [] => AsPath::default(),
            numbers => AsPath(vec![bgp_wire::as_path::Segment::Sequence(numbers.to_vec())]),
        };
        let attributes = PathAttributes {
            local_pref: self.local_pref,
            med: self.med,
            as_path,
            communities,
            extended_communities: targets
                .iter()
                .map(|target| RouteTarget::as2(64_512, *target).into())
                .collect(),
            ..PathAttributes::default()
        };
        let update = Update {
            announced: vec![(NextHop::V4(self.address), F::into_routes(routes))],
            attributes: attributes.into(),
            ..Update::default()
        };
        self.send(&update).await;
    }

    pub(crate) async fn end_of_rib(&self, family: AfiSafi) {
        let mut octets = Vec::new();
        bgp_wire::update::write_end_of_rib(family, &mut octets);
        self.push(octets).await;
    }

    async fn send(&self, update: &Update) {
        let mut octets = Vec::new();
        Message::Update(update.clone()).encode(&self.negotiated, &mut octets);
        self.push(octets).await;
    }

    async fn push(&self, octets: Vec<u8>) {
        let push = Push::Messages(Arc::new(Messages::all(octets.into())));
        let pushed = timeout(CEILING, async {
            while self.writer.as_ref().expect("up").try_push(push.clone()) == Err(PushError::Full) {
                sleep(POLL).await;
            }
        });
        pushed.await.expect("the control node reads");
    }
}

/// Asks until something is true of the answer.
pub(crate) async fn eventually<T, F: Future<Output = T>>(
    what: &str,
    mut ask: impl FnMut() -> F,
    is_so: impl Fn(&T) -> bool,
) -> T {
    let started = Instant::now();
    loop {
        let answer = ask().await;
        if is_so(&answer) {
            return answer;
        }
        assert!(started.elapsed() < CEILING, "waited too long until {what}");
        sleep(POLL).await;
    }
}
