//! One node for many scenes: its uplink ends in a namespace that is all of the underlay.
//!
//! ```text
//! workload's namespace          node                                 wire
//! [packet socket] eth0 == veth <plane> uplink ==================== far [packet sockets]
//! kernel muted by its mark      [packet sockets: what was passed]
//! ```
//!
//! Packet sockets of one protocol see a packet only after the programs of the interface have let it
//! pass; those of all protocols see it before.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use aya::maps::{HashMap, Map, MapData};
use dataplane::event::Decided;
use dataplane::memory::Place;
use dataplane::{
    Attachment, Counters, Desired, Event, Events, PortId, Probe, Trace, TranslationKind,
};
use dataplane_scenes::{Result, Stage, UPLINK};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{LinkAddr, MsgFlags, recvfrom, sendto};
use socket2::{Domain, Protocol, Socket, Type};
use testbed::{Bed, Namespace};
use tokio::runtime::Runtime;

use crate::world::{Node, inside};

/// The other end of the uplink.
const FAR: &str = "far";
const UPLINK_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xee, 1];
const FAR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xee, 2];
/// How long an expected packet may take.
const CEILING: Duration = Duration::from_millis(500);
/// The mark of packets that a scene puts in; what else a workload's kernel sends is stopped.
const MARK: u32 = 77;
/// Classic BPF: let pass what has the mark, drop the rest.
const ONLY_MARKED: &str = "4,32 0 0 4294963220,21 0 1 77,6 0 0 0,6 0 0 2";

const ALL: u16 = 0x0003;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const OUTGOING: u8 = 4;

pub(crate) struct NetnsStage {
    // The plane ends before its namespaces go.
    node: Node,
    events: Option<Box<dyn Events>>,
    wire: Tap,
    /// What the plane has let through to the kernel.
    passed: Vec<Tap>,
    /// Sends what the node itself sends.
    own: Vec<(Domain, Socket)>,
    workloads: BTreeMap<PortId, Namespace>,
    ports: BTreeMap<PortId, Tap>,
    mtu: u16,
    runtime: Runtime,
    bed: Bed,
}

/// Octets of an entry in the table of flows; another size is another layout.
type FlowKey = [u8; 44];
type Flow = [u8; 56];

/// Packet sockets on one interface.
struct Tap {
    socket: Socket,
    /// Where it sends.
    interface: Option<LinkAddr>,
}

impl Tap {
    /// Inside the namespace of the calling thread.
    fn open(protocol: u16, interface: Option<&str>) -> anyhow::Result<Self> {
        let number = Protocol::from(i32::from(protocol.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(number))?;
        socket.set_nonblocking(true)?;
        socket.set_mark(MARK)?;
        let interface = interface.map(find_interface).transpose()?;
        Ok(Self { socket, interface })
    }

    fn send(&self, octets: &[u8]) -> anyhow::Result<()> {
        let to = self.interface.context("nothing is sent here")?;
        sendto(self.socket.as_raw_fd(), octets, &to, MsgFlags::empty())?;
        Ok(())
    }

    /// Frames that have come in, the oldest first.
    fn take(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Ok((_, Some(from))) if from.pkttype() == OUTGOING => {}
                Ok((length, from)) => {
                    let here = self.interface.map(|interface| interface.ifindex());
                    if here.is_none() || from.map(|from| from.ifindex()) == here {
                        frames.push(buffer[..length].to_vec());
                    }
                }
                Err(Errno::EAGAIN) => return Ok(frames),
                // The interface was down for a moment.
                Err(Errno::ENETDOWN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn find_interface(name: &str) -> anyhow::Result<LinkAddr> {
    let found = nix::ifaddrs::getifaddrs()?
        .filter(|one| one.interface_name == name)
        .find_map(|one| one.address?.as_link_addr().copied());
    found.with_context(|| format!("there is no interface {name}"))
}

impl NetnsStage {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let bed = Bed::fresh("scenes")?;
        let (node, events, wire, passed, own) = runtime.block_on(set_up(&bed))?;
        let (workloads, ports) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { node, events, wire, passed, own, workloads, ports, mtu: 1500, runtime, bed })
    }

    pub(crate) fn trace(&self, probe: Probe) -> anyhow::Result<Trace> {
        self.runtime.block_on(self.node.trace(probe))
    }

    /// An IP packet that the port sends to its gateway with its own address.
    pub(crate) fn is_own_frame(&self, id: &PortId, frame: &[u8]) -> bool {
        let Some(port) = self.node.wanted.ports.get(id) else { return false };
        let kind = u16::from_be_bytes([frame[12], frame[13]]);
        let version = frame.get(14).map(|first| first >> 4);
        frame[6..12] == port.mac.0 && [(IPV4, Some(4)), (IPV6, Some(6))].contains(&(kind, version))
    }

    /// The workload's end is there: listens on it, and mutes its kernel.
    fn listen(&mut self, id: &PortId) -> anyhow::Result<()> {
        let namespace = &self.workloads[id];
        let now = inside(namespace, || find_interface("eth0"))??;
        let known = self.ports.get(id).and_then(|tap| tap.interface);
        if known.is_some_and(|known| known.ifindex() == now.ifindex()) {
            return Ok(());
        }
        self.runtime.block_on(async {
            namespace.run(&["tc", "qdisc", "add", "dev", "eth0", "clsact"]).await?;
            let filter = ["tc", "filter", "add", "dev", "eth0", "egress", "bpf", "da", "bytecode"];
            namespace.run(&[&filter[..], &[ONLY_MARKED]].concat()).await
        })?;
        let tap = inside(namespace, || Tap::open(ALL, Some("eth0")))??;
        self.ports.insert(id.clone(), tap);
        Ok(())
    }

    fn reconcile(&mut self, wanted: &Desired) -> anyhow::Result<()> {
        let mut wanted = wanted.clone();
        for (id, port) in &mut wanted.ports {
            if !self.workloads.contains_key(id) {
                let namespace = self.runtime.block_on(self.bed.namespace(&id.0))?;
                self.workloads.insert(id.clone(), namespace);
            }
            let path = self.workloads[id].path();
            port.attachment = Attachment::Netns { path, interface: "eth0".to_owned() };
        }
        self.node.wanted = wanted;
        self.runtime.block_on(self.node.reconcile())?;
        self.ports.retain(|id, _| self.node.wanted.ports.contains_key(id));
        let ids: Vec<PortId> = self.node.wanted.ports.keys().cloned().collect();
        ids.iter().try_for_each(|id| self.listen(id))
    }

    /// Empties the tables of translated connections, if they look as they are known here.
    fn forget_flows(&self) -> anyhow::Result<()> {
        let instance = self.node.options.bpffs.join("arcus").join(&self.node.options.instance);
        let version = std::fs::read_dir(instance)?.next().context("no version is pinned")??;
        for table in ["flows", "new_flows"] {
            let pin = version.path().join("maps").join(table);
            let map = Map::LruHashMap(MapData::from_pin(pin)?);
            let mut flows = HashMap::<MapData, FlowKey, Flow>::try_from(map)?;
            let keys: Vec<FlowKey> = flows.keys().collect::<Result<_, _>>()?;
            keys.iter().try_for_each(|key| flows.remove(key))?;
        }
        Ok(())
    }

    /// What has come out since the last call.
    fn take(&self) -> anyhow::Result<Vec<(Place, Vec<u8>)>> {
        let mut out = Vec::new();
        for (id, tap) in &self.ports {
            out.extend(tap.take()?.into_iter().map(|frame| (Place::Port(id.clone()), frame)));
        }
        let packets = self.wire.take()?.into_iter().map(|frame| frame[14..].to_vec());
        out.extend(packets.filter(|packet| !is_noise(packet)).map(|one| (Place::Underlay, one)));
        for tap in &self.passed {
            let packets =
                tap.take()?.into_iter().map(|frame| (Place::Kernel, frame[14..].to_vec()));
            out.extend(packets);
        }
        Ok(out)
    }

    fn wait_for(&self, expected: usize) -> anyhow::Result<Vec<(Place, Vec<u8>)>> {
        let mut out = self.take()?;
        let end = Instant::now() + CEILING;
        while out.len() < expected {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let taps = self.ports.values().chain(&self.passed).chain([&self.wire]);
            let mut ready: Vec<PollFd<'_>> =
                taps.map(|tap| PollFd::new(tap.socket.as_fd(), PollFlags::POLLIN)).collect();
            poll(&mut ready, PollTimeout::try_from(left)?)?;
            out.extend(self.take()?);
        }
        Ok(out)
    }

    fn send(&self, at: &Place, octets: &[u8]) -> anyhow::Result<()> {
        match at {
            Place::Port(id) => {
                self.ports.get(id).with_context(|| format!("there is no port {id}"))?.send(octets)
            }
            Place::Underlay => {
                let kind =
                    if octets.first().is_some_and(|first| first >> 4 == 6) { IPV6 } else { IPV4 };
                let header = [&UPLINK_MAC[..], &FAR_MAC, &kind.to_be_bytes()].concat();
                self.wire.send(&[&header[..], octets].concat())
            }
            Place::Kernel => {
                let is_v4 = octets.first().is_some_and(|first| first >> 4 == 4);
                let to: IpAddr = if is_v4 {
                    <[u8; 4]>::try_from(&octets[16..20])?.into()
                } else {
                    <[u8; 16]>::try_from(&octets[24..40])?.into()
                };
                let domain = if is_v4 { Domain::IPV4 } else { Domain::IPV6 };
                let mut sockets = self.own.iter();
                let (_, socket) = sockets.find(|(of, _)| *of == domain).context("a raw socket")?;
                socket.send_to(octets, &SocketAddr::new(to, 0).into())?;
                Ok(())
            }
        }
    }
}

type Parts = (Node, Option<Box<dyn Events>>, Tap, Vec<Tap>, Vec<(Domain, Socket)>);

/// The node and the wire, with nothing else on it.
async fn set_up(bed: &Bed) -> anyhow::Result<Parts> {
    let (node, wire) = (bed.namespace("node").await?, bed.namespace("wire").await?);
    wire.ip(&format!("link add {FAR} type veth peer name {UPLINK} netns {}", node.name())).await?;
    wire.ip(&format!("link set dev {FAR} address {} arp off up", mac(FAR_MAC))).await?;
    wire.offload_off(FAR).await?;
    node.ip(&format!("link set dev {UPLINK} address {}", mac(UPLINK_MAC))).await?;
    for interface in ["default", "all", UPLINK] {
        let switch = format!("net.ipv6.conf.{interface}.disable_ipv6=0");
        node.run(&["sysctl", "-qw", &switch]).await?;
    }
    node.ip(&format!("link set dev {UPLINK} addrgenmode none up")).await?;
    node.offload_off(UPLINK).await?;
    // Everything is behind one router, whose link address is known.
    for (family, address, router) in
        [("-4", "192.0.2.1/32", "192.0.2.254"), ("-6", "2001:db8:ffff::1/128", "fe80::254")]
    {
        let nodad = if family == "-6" { " nodad" } else { "" };
        let far = mac(FAR_MAC);
        node.ip(&format!("{family} addr add {address} dev {UPLINK}{nodad}")).await?;
        node.ip(&format!("{family} neigh add {router} lladdr {far} dev {UPLINK} nud permanent"))
            .await?;
        node.ip(&format!("{family} route add default via {router} dev {UPLINK} onlink")).await?;
    }
    let far = inside(&wire, || Tap::open(ALL, Some(FAR)))??;
    let passed = inside(&node, || [IPV4, IPV6].map(|of| Tap::open(of, None)))?;
    let passed = passed.into_iter().collect::<anyhow::Result<_>>()?;
    let own = inside(&node, || {
        [Domain::IPV4, Domain::IPV6].map(|domain| {
            // IPPROTO_RAW: with the header.
            Ok((domain, Socket::new(domain, Type::RAW, Some(Protocol::from(255)))?))
        })
    })?;
    let own = own.into_iter().collect::<io::Result<_>>()?;
    let node = Node::in_namespace(bed, "node", node).await?;
    let events = Some(node.events().await?);
    Ok((node, events, far, passed, own))
}

/// What the kernel of a node says of itself: to what was passed to it, and to its neighbours.
fn is_noise(packet: &[u8]) -> bool {
    let (protocol, body) = match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() > 33 => (packet[9], &packet[20..]),
        Some(6) if packet.len() > 53 => (packet[6], &packet[40..]),
        // Multicast listeners have a header in between.
        _ => return true,
    };
    match protocol {
        0 => true,
        1 => matches!(body[0], 0 | 3),
        6 => body[13] & 0x04 != 0,
        58 => matches!(body[0], 1 | 4 | 129 | 130..=143),
        _ => false,
    }
}

fn mac(octets: [u8; 6]) -> String {
    dataplane::Mac(octets).to_string()
}

impl Stage for NetnsStage {
    fn name(&self) -> &'static str {
        "ebpf"
    }

    fn clear(&mut self) -> Result<()> {
        if self.counters()?.flows == 0 {
            return Ok(());
        }
        // Ports take a while to be made, and the kernel to notice their carrier: most scenes need no
        // new ones.
        let is_simple =
            self.node.wanted.filters.is_empty()
                && !self.node.wanted.translations.values().any(|to| {
                    matches!(to.kind, TranslationKind::Service { affinity: Some(_), .. })
                });
        if is_simple && self.forget_flows().is_ok() {
            return Ok(());
        }
        // The flows of a port end with it.
        Ok(self.reconcile(&dataplane_scenes::empty())?)
    }

    fn apply(&mut self, wanted: &Desired) -> Result<()> {
        Ok(self.reconcile(wanted)?)
    }

    fn set_underlay_mtu(&mut self, mtu: u16) -> Result<()> {
        if self.mtu != mtu {
            let change = format!("link set dev {UPLINK} mtu {mtu}");
            self.runtime.block_on(self.node.namespace.ip(&change))?;
            self.mtu = mtu;
            // A plane sees it at its next look.
            let found = self.runtime.block_on(self.node.list())?;
            if !self.node.wanted.vrfs.is_empty() && found != self.node.wanted {
                return Err(anyhow!("the plane is not at rest: {found:?}").into());
            }
        }
        Ok(())
    }

    fn inject(&mut self, at: &Place, octets: &[u8]) -> Result<()> {
        Ok(self.send(at, octets)?)
    }

    fn collect(&mut self, expected: usize) -> Result<Vec<(Place, Vec<u8>)>> {
        Ok(self.wait_for(expected)?)
    }

    fn counters(&mut self) -> Result<Counters> {
        Ok(self.runtime.block_on(self.node.counters())?)
    }

    fn decisions(&mut self, expected: usize) -> Result<Vec<Decided>> {
        let mut decisions = Vec::new();
        let Some(events) = &mut self.events else { return Ok(decisions) };
        self.runtime.block_on(async {
            loop {
                let wait = if decisions.len() < expected { CEILING } else { Duration::ZERO };
                match tokio::time::timeout(wait, events.next()).await {
                    Ok(Event::Decided(decided)) => decisions.push(decided),
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        });
        Ok(decisions)
    }

    fn wait(&mut self, time: Duration) -> Result<()> {
        std::thread::sleep(time);
        Ok(())
    }
}
