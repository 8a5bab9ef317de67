//! An agent with a data plane in memory, and control nodes on loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcus_vrouter_agent::agent::{self, Settings};
use arcus_vrouter_agent::node::Node;
use arcus_vrouter_agent::running;
use bgp_peer::{Listener, Mode, Peer, PeerConfig, PeerEvent, Push, Writer};
use bgp_session::SessionConfig;
use bgp_wire::capability::GracefulRestart;
use bgp_wire::{AfiSafi, Messages, Update};
use daemon::Supervisor;
use dataplane::{
    Counters, Dataplane, DataplaneError, Desired, Found, Memory, Op, Result as PlaneResult,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
pub(crate) const ASN: u32 = 64512;

/// No test waits longer for anything.
const CEILING: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(CEILING, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Polls until `look` gives something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let poll = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(what, poll).await
}

/// A plane that outlives its agent, as pinned maps do.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Memory>>);

impl Shared {
    pub(crate) fn state(&self) -> Desired {
        self.0.lock().expect("no panic while locked").state.clone()
    }

    /// As the next agent finds it.
    pub(crate) fn left_behind(&self) -> Self {
        Self(Arc::new(Mutex::new(Memory::left_by_an_earlier_run(self.state()))))
    }
}

impl Dataplane for Shared {
    async fn list(&mut self) -> PlaneResult<Found> {
        Ok(self.state())
    }

    async fn apply(&mut self, ops: &[Op]) -> Vec<(usize, DataplaneError)> {
        let mut memory = self.0.lock().expect("no panic while locked");
        let outcomes = ops.iter().map(|op| memory.apply_one(op)).enumerate();
        outcomes.filter_map(|(index, outcome)| Some((index, outcome.err()?))).collect()
    }

    async fn counters(&mut self) -> PlaneResult<Counters> {
        Ok(Counters::default())
    }

    fn was_found(&self) -> bool {
        self.0.lock().expect("no panic while locked").found
    }
}

/// A running agent; its directory stays for the next one.
pub(crate) struct Agent {
    supervisor: Supervisor,
    socket: std::path::PathBuf,
}

impl Agent {
    pub(crate) async fn start(directory: &Path, plane: Shared) -> Self {
        let topology_file = directory.join("topology.toml");
        let topology = running::read(&topology_file, "test").unwrap_or_else(|e| panic!("{e}"));
        let socket = directory.join("agent.sock");
        let settings = Settings {
            node: Node {
                name: "node".into(),
                cloud: "test".into(),
                address: NODE.into(),
                address6: None,
                router_id: NODE,
                uplink_mtu: 1500,
                port_mtu: 1450,
                uplinks: vec!["lo".into()],
            },
            topology_file,
            topology,
            state_dir: directory.join("state"),
            socket: socket.clone(),
            http: None,
        };
        let mut supervisor = Supervisor::new();
        agent::start(settings, plane, &mut supervisor).await.expect("it starts");
        Self { supervisor, socket }
    }

    pub(crate) async fn stop(self) {
        self.supervisor.stop(CEILING).await;
    }

    /// Status and body of a request.
    pub(crate) async fn request(&self, line: &str, body: &str) -> (u16, String) {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.socket).await.expect("it listens");
            let request = format!(
                "{line} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.expect("a reply");
            let (head, body) = reply.split_once("\r\n\r\n").expect("a head and a body");
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            (status.expect("a status"), body.to_owned())
        };
        soon(line, exchange).await
    }

    pub(crate) async fn json(&self, line: &str, body: &str) -> serde_json::Value {
        let (status, text) = self.request(line, body).await;
        assert_eq!(status, 200, "{line}: {text}");
        serde_json::from_str(&text).expect("json")
    }
}

/// A control node that says what the test says.
pub(crate) struct Control {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    listener: Listener,
    peer: Arc<Peer>,
    events: mpsc::Receiver<PeerEvent>,
    writer: Option<Writer>,
    /// Updates that came and were not looked at yet.
    pub(crate) heard: Vec<Update>,
}

impl Control {
    pub(crate) fn start(last: u8) -> Self {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        let listener = Listener::bind(SocketAddr::new(address, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let id = Ipv4Addr::new(127, 0, 0, last);
        let session = SessionConfig {
            restart: Some(GracefulRestart {
                restart_time: 120,
                families: vec![(AfiSafi::VPNV4, true), (AfiSafi::RTC, true)],
                ..GracefulRestart::default()
            }),
            ..SessionConfig::internal(ASN, id)
        };
        let config = PeerConfig {
            mode: Mode::Passive,
            local: Some(address),
            ..PeerConfig::new(session, NODE.into())
        };
        let (deliver, events) = mpsc::channel(64);
        let peer = Arc::new(bgp_peer::spawn(config, deliver));
        Self { address, port, listener, peer, events, writer: None, heard: Vec::new() }
    }

    /// Waits for the session, and returns what the agent's OPEN says of restarts.
    pub(crate) async fn up(&mut self) -> (bool, bool) {
        let up = async {
            loop {
                tokio::select! {
                    incoming = self.listener.accept() => self.peer.accept(incoming).expect("taken"),
                    event = self.events.recv() => match event.expect("an event") {
                        PeerEvent::Up(established, writer) => {
                            self.writer = Some(writer);
                            let restart = established.agreement.restart.clone();
                            let restart = restart.expect("graceful restart is negotiated");
                            return (restart.restarted, !restart.forwarding.is_empty());
                        }
                        other => drop(other),
                    },
                }
            }
        };
        soon("a session", up).await
    }

    /// Waits until the agent's messages so far satisfy `enough`.
    pub(crate) async fn hear(&mut self, what: &str, enough: impl Fn(&[Update]) -> bool) {
        let hear = async {
            while !enough(&self.heard) {
                match self.events.recv().await.expect("an event") {
                    PeerEvent::Updates(updates) => self.heard.extend(updates),
                    PeerEvent::Down(down) => panic!("down: {}", down.reason),
                    _ => {}
                }
            }
        };
        soon(what, hear).await;
    }

    /// Waits for the end of the session, and returns why it ended and whether routes are kept.
    pub(crate) async fn down(&mut self) -> (String, bool) {
        let down = async {
            loop {
                if let PeerEvent::Down(down) = self.events.recv().await.expect("an event") {
                    return (down.reason.to_string(), down.retained.is_some());
                }
            }
        };
        soon("the end of the session", down).await
    }

    pub(crate) fn say(&self, messages: Vec<u8>) {
        let messages = Arc::new(Messages::all(messages.into()));
        let writer = self.writer.as_ref().expect("a session");
        writer.try_push(Push::Messages(messages)).expect("room");
    }
}

/// A topology with these control nodes, network `a` with a service subnet, and network `public`.
pub(crate) fn write_topology(directory: &Path, controls: &[&Control], target: &str) {
    let controls = controls.iter().enumerate().map(|(index, control)| {
        format!(
            "[cloud.test.control-node.ctl-{index}]\naddress = \"{}\"\nport = {}\n",
            control.address, control.port
        )
    });
    let controls: String = controls.collect();
    let text = format!(
        "[federation]\nname = \"test\"\n[cloud.test]\nasn = {ASN}\n{controls}\
         [cloud.test.nodes]\nprefixes = [\"127.1.0.0/16\"]\n\
         [network.a]\nclouds = [\"test\"]\nsubnets = [\"10.20.0.0/16\"]\n\
         service-subnets = [\"10.254.98.0/24\"]\nroute-targets = [\"{target}\"]\n"
    );
    std::fs::write(directory.join("topology.toml"), text).expect("written");
}
