//! Nodes with a plane each, and workloads behind them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use dataplane::Mirroring;
use dataplane::{
    Attachment, Counters, Dataplane as _, Desired, Devices, DropReason, Encapsulation, Events, Fib,
    Found, Link, Mac, MplsLabel, NextHop, NextHopGroup, NodeConfig, Op, Port, PortId, Probe, Trace,
    Translation, TranslationKind, Tunnel, TunnelHeader, Vni, Vrf, VrfId,
};
use dataplane_ebpf::{EbpfPlane, Hooks, Options, Sizes};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use testbed::{Bed, Fabric, Namespace, UPLINK};
use tokio::sync::{mpsc, oneshot};

/// No wait of these tests is longer.
pub(crate) const CEILING: Duration = Duration::from_secs(10);

/// Runs `work` on a thread inside the namespace. What it opens stays there.
pub(crate) fn inside<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> Result<T> {
    let path = namespace.path();
    let entered = std::thread::scope(|scope| {
        let run = || {
            enter(&path)?;
            Ok(work())
        };
        scope.spawn(run).join()
    });
    entered.map_err(|_| anyhow!("the thread inside {} panicked", path.display()))?
}

fn enter(path: &PathBuf) -> Result<()> {
    let namespace = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// A bed with an underlay.
pub(crate) struct World {
    pub(crate) bed: Bed,
    pub(crate) fabric: Fabric,
    /// What the planes of its nodes are on.
    pub(crate) hooks: Hooks,
    /// How large their tables are.
    pub(crate) sizes: Sizes,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let bed = Bed::new("ebpf")?;
        let fabric = bed.fabric().await?;
        Ok(Self { bed, fabric, hooks: Hooks::Best, sizes: Sizes::default() })
    }

    /// As on kernels before Linux 6.6.
    pub(crate) async fn on_filters() -> Result<Self> {
        Ok(Self { hooks: Hooks::Filters, ..Self::new().await? })
    }

    /// A node `10.0.0.NUMBER` with an open, empty plane.
    pub(crate) async fn node(&self, number: u8) -> Result<Node> {
        let name = format!("node{number}");
        let address = Ipv4Addr::new(10, 0, 0, number);
        let namespace = self.fabric.node(&self.bed, &name, address).await?;
        let instance = format!("{}-{name}", self.bed.prefix());
        let (hooks, sizes) = (self.hooks, self.sizes);
        let options = Options { hooks, sizes, ..Options::new(instance.clone()) };
        self.bed.remove_at_end(options.bpffs.join("arcus").join(instance))?;
        let mut node =
            Node { name, address, namespace, options, wanted: Desired::default(), plane: None };
        node.wanted.node = NodeConfig {
            tunnel_v4: Some(address),
            router_mac: router_mac(address),
            uplinks: vec![UPLINK.to_owned()],
            ..NodeConfig::default()
        };
        node.open().await?;
        Ok(node)
    }

    /// A workload's namespace; it is nothing yet.
    pub(crate) async fn workload(&self, name: &str, address: [u8; 4]) -> Result<Workload> {
        let namespace = self.bed.namespace(name).await?;
        Ok(Workload { id: name.into(), namespace, address: address.into() })
    }
}

/// Two nodes that forward to each other, and a workload of each. Numbers of VRFs and labels are the nodes' own.
pub(crate) struct Pair {
    pub(crate) one: Node,
    pub(crate) two: Node,
    pub(crate) a: Workload,
    pub(crate) b: Workload,
}

impl World {
    pub(crate) async fn pair_over(&self, encapsulation: Encapsulation) -> Result<Pair> {
        let (mut one, mut two) = (self.node(1).await?, self.node(2).await?);
        let a = self.workload("a", [172, 16, 1, 10]).await?;
        let b = self.workload("b", [172, 16, 2, 10]).await?;
        let (to_one, to_two) = (one.tunnel(encapsulation, 101), two.tunnel(encapsulation, 202));
        one.vrf(1, 101).port(1, &a).route(1, "172.16.2.0/24", [to_two]);
        two.vrf(7, 202).port(7, &b).route(7, "172.16.1.10/32", [to_one]);
        one.reconcile().await?;
        two.reconcile().await?;
        Ok(Pair { one, two, a, b })
    }
}

/// A node: what is wanted of it, and its plane while that is open.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) namespace: Namespace,
    pub(crate) options: Options,
    pub(crate) wanted: Desired,
    plane: Option<PlaneThread>,
}

/// A plane must be used on threads of its namespace: this is one.
struct PlaneThread {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
    pub(crate) was_found: bool,
}

enum Job {
    List(oneshot::Sender<Result<Found>>),
    Apply(Vec<Op>, oneshot::Sender<Vec<(usize, String)>>),
    Counters(oneshot::Sender<Result<Counters>>),
    Devices(oneshot::Sender<Result<Devices>>),
    Disturbed(oneshot::Sender<()>),
    Review(oneshot::Sender<Result<(Found, Option<Fib>)>>),
    TakeOver(oneshot::Sender<Result<()>>),
    Trace(Probe, oneshot::Sender<Result<Trace>>),
    Mirror(PortId, Mirroring, oneshot::Sender<Result<()>>),
    Events(oneshot::Sender<Option<Box<dyn Events>>>),
}

impl Node {
    /// A node with an open, empty plane, in a namespace that is set up already.
    pub(crate) async fn in_namespace(bed: &Bed, name: &str, namespace: Namespace) -> Result<Self> {
        let instance = format!("{}-{name}", bed.prefix());
        let options = Options::new(instance.clone());
        bed.remove_at_end(options.bpffs.join("arcus").join(instance))?;
        let (name, address, wanted) = (name.to_owned(), Ipv4Addr::UNSPECIFIED, Desired::default());
        let mut node = Self { name, address, namespace, options, wanted, plane: None };
        node.open().await?;
        Ok(node)
    }

    pub(crate) async fn open(&mut self) -> Result<()> {
        let (jobs, inbox) = mpsc::channel(1);
        let (opened, open) = oneshot::channel();
        let (path, options) = (self.namespace.path(), self.options.clone());
        let thread = std::thread::spawn(move || serve(&path, &options, opened, inbox));
        let was_found = open.await??;
        self.plane = Some(PlaneThread { jobs, thread, was_found });
        Ok(())
    }

    /// Ends the agent's part; what is pinned stays.
    pub(crate) fn close(&mut self) {
        if let Some(plane) = self.plane.take() {
            drop(plane.jobs);
            plane.thread.join().expect("the plane's thread");
        }
    }

    pub(crate) fn was_found(&self) -> bool {
        self.plane.as_ref().is_some_and(|plane| plane.was_found)
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let plane = self.plane.as_ref().context("the plane is closed")?;
        plane.jobs.send(job(answer)).await.context("the plane's thread is gone")?;
        answered.await.context("the plane's thread is gone")
    }

    pub(crate) async fn list(&self) -> Result<Found> {
        self.ask(Job::List).await?
    }

    /// Whether interfaces are what is wanted, by a look at nothing else.
    pub(crate) async fn has_its_devices(&self) -> Result<bool> {
        let Devices { node, ports } = self.ask(Job::Devices).await??;
        Ok(node == self.wanted.node && ports == self.wanted.ports)
    }

    /// Whether the plane sees routes as it left them. They are as they are wanted, if so.
    pub(crate) async fn sees_its_routes(&self) -> Result<bool> {
        let (found, fib) = self.ask(Job::Review).await??;
        let is_as_left = fib.is_none();
        let fib = fib.unwrap_or_else(|| self.wanted.fib.clone());
        ensure!(!is_as_left || self.list().await? == Desired { fib, ..found });
        Ok(is_as_left)
    }

    /// Waits until the plane says that interfaces have changed under it.
    pub(crate) async fn disturbed(&self) -> Result<()> {
        tokio::time::timeout(CEILING, self.ask(Job::Disturbed)).await.context("no disturbance")?
    }

    pub(crate) async fn counters(&self) -> Result<Counters> {
        self.ask(Job::Counters).await?
    }

    pub(crate) async fn mirror(&self, port: &PortId, mirroring: Mirroring) -> Result<()> {
        self.ask(|answer| Job::Mirror(port.clone(), mirroring, answer)).await?
    }

    pub(crate) async fn trace(&self, probe: Probe) -> Result<Trace> {
        self.ask(|answer| Job::Trace(probe, answer)).await?
    }

    pub(crate) async fn take_over(&self) -> Result<()> {
        self.ask(Job::TakeOver).await?
    }

    /// Once for each time that the plane is opened.
    pub(crate) async fn events(&self) -> Result<Box<dyn Events>> {
        self.ask(Job::Events).await?.context("there are no events")
    }

    pub(crate) async fn drops(&self, reason: DropReason) -> Result<u64> {
        Ok(self.counters().await?.drops.get(&reason).copied().unwrap_or_default())
    }

    pub(crate) async fn apply(&self, ops: Vec<Op>) -> Result<Vec<(usize, String)>> {
        self.ask(|answer| Job::Apply(ops, answer)).await
    }

    /// One pass of the reconciler, and the law: the next has nothing to do.
    pub(crate) async fn reconcile(&self) -> Result<usize> {
        let found = self.list().await?;
        let ops = dataplane::diff(&self.wanted, &found, dataplane::Scope::Everything);
        let count = ops.len();
        let failures = self.apply(ops).await?;
        ensure!(failures.is_empty(), "{}: {failures:?}", self.name);
        let found = self.list().await?;
        let again = dataplane::diff(&self.wanted, &found, dataplane::Scope::Everything);
        ensure!(again.is_empty(), "{}: not at rest: {again:?}", self.name);
        Ok(count)
    }

    pub(crate) fn vrf(&mut self, id: u32, label: u32) -> &mut Self {
        let label = MplsLabel::new(label).expect("a label");
        let vni = Vni::new(label.value());
        self.wanted.vrfs.insert(VrfId(id), Vrf { name: format!("vrf-{id}"), label, vni });
        self
    }

    /// Attaches a workload and routes to it.
    pub(crate) fn port(&mut self, vrf: u32, workload: &Workload) -> &mut Self {
        let last = workload.address.octets();
        let port = Port {
            vrf: VrfId(vrf),
            v4: Some(Link {
                address: workload.address,
                prefix_len: 24,
                gateway: Ipv4Addr::new(last[0], last[1], last[2], 1),
            }),
            v6: None,
            allowed: BTreeSet::new(),
            label: None,
            filter: None,
            bandwidth: None,
            host_access: false,
            mac: Mac([2, 0, last[0], last[1], last[2], last[3]]),
            mtu: 1450,
            attachment: Attachment::Netns {
                path: workload.namespace.path(),
                interface: "eth0".to_owned(),
            },
        };
        self.wanted.ports.insert(workload.id.clone(), port);
        let here = [NextHop::Port(workload.id.clone())];
        self.route(vrf, &format!("{}/32", workload.address), here)
    }

    pub(crate) fn route(
        &mut self,
        vrf: u32,
        net: &str,
        to: impl IntoIterator<Item = NextHop>,
    ) -> &mut Self {
        let group = NextHopGroup::new(to).expect("a next hop");
        let table = self.wanted.fib.entry(VrfId(vrf)).or_default();
        table.insert(net.parse().expect("a prefix"), group.into());
        self
    }

    /// An address that is on no interface, and the route to it.
    pub(crate) fn translation(
        &mut self,
        vrf: u32,
        address: [u8; 4],
        kind: TranslationKind,
    ) -> &mut Self {
        let address = IpAddr::from(address);
        self.wanted.translations.insert((VrfId(vrf), address), Translation { kind });
        let here = [NextHop::Translate { vrf: VrfId(vrf), address }];
        self.route(vrf, &format!("{address}/32"), here)
    }

    /// The way into this node.
    pub(crate) fn tunnel(&self, encapsulation: Encapsulation, label: u32) -> NextHop {
        let header = match encapsulation {
            Encapsulation::MplsOverGre => {
                TunnelHeader::MplsOverGre { label: MplsLabel::new(label).expect("a label") }
            }
            Encapsulation::MplsOverUdp => {
                TunnelHeader::MplsOverUdp { label: MplsLabel::new(label).expect("a label") }
            }
            Encapsulation::Vxlan => TunnelHeader::Vxlan {
                vni: Vni::new(label).expect("a VNI"),
                router_mac: router_mac(self.address),
            },
        };
        NextHop::Tunnel(Tunnel { remote: self.address.into(), header })
    }

    pub(crate) fn gre(&self, label: u32) -> NextHop {
        self.tunnel(Encapsulation::MplsOverGre, label)
    }

    pub(crate) fn udp(&self, label: u32) -> NextHop {
        self.tunnel(Encapsulation::MplsOverUdp, label)
    }

    pub(crate) fn vxlan(&self, vni: u32) -> NextHop {
        self.tunnel(Encapsulation::Vxlan, vni)
    }
}

/// What nodes say that frames in VXLAN are to be sent to.
pub(crate) fn router_mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    Mac([0x02, 0xff, a, b, c, d])
}

fn serve(
    path: &PathBuf,
    options: &Options,
    opened: oneshot::Sender<Result<bool>>,
    mut inbox: mpsc::Receiver<Job>,
) {
    let runtime = enter(path)
        .and_then(|()| Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?));
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(opened.send(Err(error))),
    };
    runtime.block_on(async {
        let mut plane = match EbpfPlane::open(options).await {
            Ok(plane) => plane,
            Err(error) => return drop(opened.send(Err(error.into()))),
        };
        drop(opened.send(Ok(plane.was_found())));
        while let Some(job) = inbox.recv().await {
            match job {
                Job::List(answer) => drop(answer.send(plane.list().await.map_err(Into::into))),
                Job::Counters(answer) => {
                    drop(answer.send(plane.counters().await.map_err(Into::into)));
                }
                Job::Devices(answer) => {
                    drop(answer.send(plane.devices().await.map_err(Into::into)));
                }
                Job::Review(answer) => {
                    drop(answer.send(plane.review().await.map_err(Into::into)));
                }
                Job::Disturbed(answer) => {
                    plane.disturbed().await;
                    let _gone = answer.send(());
                }
                Job::Mirror(port, mirroring, answer) => {
                    drop(answer.send(plane.mirror(&port, mirroring).await.map_err(Into::into)));
                }
                Job::Trace(probe, answer) => {
                    drop(answer.send(plane.trace(&probe).await.map_err(Into::into)));
                }
                Job::TakeOver(answer) => {
                    drop(answer.send(plane.take_over().await.map_err(Into::into)));
                }
                Job::Events(answer) => drop(answer.send(plane.events())),
                Job::Apply(ops, answer) => {
                    let failures = plane.apply(&ops).await.into_iter();
                    let text =
                        |(index, error)| (index, format!("{:#}", anyhow::Error::from(error)));
                    drop(answer.send(failures.map(text).collect()));
                }
            }
        }
    });
}

/// A pod or VM.
pub(crate) struct Workload {
    pub(crate) id: PortId,
    pub(crate) namespace: Namespace,
    pub(crate) address: Ipv4Addr,
}

impl Workload {
    /// One ping; the output also when there is no answer.
    pub(crate) async fn ping(&self, to: Ipv4Addr, options: &[&str]) -> Result<(bool, String)> {
        let to = to.to_string();
        let words = [&["ping", "-n", "-c", "1", "-W", "1"], options, &[to.as_str()]].concat();
        let output = self.namespace.output(&words).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), text))
    }

    pub(crate) async fn reaches(&self, to: Ipv4Addr) -> Result<()> {
        let (answered, text) = self.ping(to, &[]).await?;
        ensure!(answered, "{} does not reach {to}: {text}", self.id);
        Ok(())
    }

    /// A TCP server that says who it is and who calls, and then gives back what it gets.
    pub(crate) fn serve(&self, port: u16) -> Result<()> {
        let bind = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
        let listener = inside(&self.namespace, bind)??;
        let name = self.id.0.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let name = name.clone();
                std::thread::spawn(move || greet(stream, &name));
            }
        });
        Ok(())
    }

    /// Connects; `None` when nobody answers in time.
    pub(crate) fn connect(&self, to: Ipv4Addr, port: u16) -> Result<Option<TcpStream>> {
        let to = SocketAddr::from((to, port));
        let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(3));
        let Ok(stream) = inside(&self.namespace, connect)? else { return Ok(None) };
        stream.set_read_timeout(Some(CEILING))?;
        stream.set_write_timeout(Some(CEILING))?;
        Ok(Some(stream))
    }

    /// A UDP server that answers with its name and the address of the caller as it sees it.
    pub(crate) fn serve_udp(&self, port: u16) -> Result<()> {
        let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
        let socket = inside(&self.namespace, bind)??;
        let name = self.id.0.clone();
        std::thread::spawn(move || {
            let mut question = [0; 2048];
            while let Ok((_, caller)) = socket.recv_from(&mut question) {
                // A caller may be gone.
                drop(socket.send_to(format!("{name} {}", caller.ip()).as_bytes(), caller));
            }
        });
        Ok(())
    }

    /// Who answers a datagram from `source_port`, and the caller as it sees it.
    pub(crate) fn ask_udp(
        &self,
        source_port: u16,
        to: Ipv4Addr,
        port: u16,
    ) -> Result<(String, Ipv4Addr)> {
        let bind = || UdpSocket::bind((self.address, source_port));
        let socket = inside(&self.namespace, bind)??;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        // Connected, so that an answer from elsewhere is no answer.
        socket.connect((to, port))?;
        socket.send(b"who")?;
        let mut answer = [0; 256];
        let length = socket.recv(&mut answer).with_context(|| format!("nobody at {to}:{port}"))?;
        let text = String::from_utf8_lossy(&answer[..length]);
        let (name, caller) = text.split_once(' ').with_context(|| format!("`{text}`"))?;
        Ok((name.to_owned(), caller.parse()?))
    }

    /// The greeting of who answers at that address: name, and address of the caller as it sees it.
    pub(crate) fn call(&self, to: Ipv4Addr, port: u16) -> Result<(String, Ipv4Addr)> {
        let stream = self.connect(to, port)?;
        let stream = stream.with_context(|| format!("{}: nobody at {to}:{port}", self.id))?;
        greeting(&stream)
    }
}

fn greet(mut stream: TcpStream, name: &str) {
    use std::io::Write as _;
    let Ok(caller) = stream.peer_addr() else { return };
    if writeln!(stream, "{name} {}", caller.ip()).is_err() {
        return;
    }
    if let Ok(mut input) = stream.try_clone() {
        // The caller may leave in the middle.
        drop(std::io::copy(&mut input, &mut stream));
    }
}

pub(crate) fn greeting(stream: &TcpStream) -> Result<(String, Ipv4Addr)> {
    use std::io::BufRead as _;
    let mut line = String::new();
    std::io::BufReader::with_capacity(1, stream).read_line(&mut line)?;
    let (name, caller) = line.trim().split_once(' ').with_context(|| format!("`{line}`"))?;
    Ok((name.to_owned(), caller.parse()?))
}

/// Sends `octets` through a greeted connection and gets them back whole.
pub(crate) fn echo(mut stream: TcpStream, octets: usize) -> Result<()> {
    use std::io::{Read as _, Write as _};
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(octets).collect();
    let mut output = stream.try_clone()?;
    let sent = data.clone();
    let writer = std::thread::spawn(move || output.write_all(&sent));
    let mut back = vec![0; octets];
    stream.read_exact(&mut back).context("the echo stopped")?;
    writer.join().map_err(|_| anyhow!("the writer panicked"))??;
    ensure!(back == data, "the echo is not what was sent");
    Ok(())
}
