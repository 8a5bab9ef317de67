//! The whole federation, raised in namespaces.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arcus_api::v1::{Neighbor, PortState, PortStatus, SessionState, Status};
use serde::de::DeserializeOwned;
use testbed::app::AppBinary;
use testbed::gateway::{BgpPeer, Gateway, GatewaySpec};
use testbed::{Bed, Fabric, GiveUp, Namespace, Process, UPLINK};

use crate::Binaries;
use crate::command::run_arcus;
use crate::reloading::reload;
use crate::scene::{self, Machine, Workload};

/// How long anything may take on a machine that is busy with other things.
const CEILING: Duration = Duration::from_secs(30);

/// For [`Federation::raise`]: nothing is said on the way.
pub const SILENT: fn(&str) = |_| {};

/// All daemons, gateways and workloads of the scene, running.
#[derive(Debug)]
pub struct Federation {
    /// First, so that it ends everything at once before the handles below wait for their processes.
    bed: Bed,
    binaries: Binaries,
    fabric: Fabric,
    nodes: BTreeMap<&'static str, Namespace>,
    daemons: BTreeMap<&'static str, Process>,
    workloads: BTreeMap<&'static str, Namespace>,
    apps: Vec<Process>,
    gateways: BTreeMap<&'static str, Gateway>,
    outside: Namespace,
}

impl Federation {
    /// Raises the scene with `topology`. On return every daemon answers and every port is programmed;
    /// sessions and routes may still be on their way.
    pub async fn raise(bed: Bed, topology: &str, say: impl Fn(&str)) -> Result<Self> {
        let binaries = Binaries::find()?;
        fs::write(bed.run_dir().join("topology.toml"), topology)?;
        let fabric = bed.fabric().await?;
        let outside = bed.namespace("outside").await?;
        let mut federation = Self {
            bed,
            binaries,
            fabric,
            nodes: BTreeMap::new(),
            daemons: BTreeMap::new(),
            workloads: BTreeMap::new(),
            apps: Vec::new(),
            gateways: BTreeMap::new(),
            outside,
        };
        say("control nodes");
        for machine in scene::CONTROL_NODES {
            federation.start_control_node(machine).await?;
        }
        say("nodes");
        for machine in scene::NODES {
            federation.start_node(machine).await?;
        }
        say("gateways: FRR and Open vSwitch");
        for machine in scene::GATEWAYS {
            federation.start_gateway(machine).await?;
        }
        let names: Vec<&str> = scene::GATEWAYS.iter().map(|gateway| gateway.name).collect();
        Gateway::route_from_outside(&federation.outside, "185.22.97.0/24", scene::CLIENT, &names)
            .await?;
        for machine in scene::CONTROL_NODES.iter().chain(&scene::NODES) {
            federation.wait_until_it_answers(machine.name).await?;
        }
        say("virtual machines and pods");
        for workload in &scene::WORKLOADS {
            federation.start_workload(workload).await?;
        }
        for machine in scene::NODES {
            federation.wait_until_ports_are_programmed(machine.name).await?;
        }
        Ok(federation)
    }

    async fn start_control_node(&mut self, machine: Machine) -> Result<()> {
        let namespace = self.fabric.node(&self.bed, machine.name, machine.address).await?;
        self.nodes.insert(machine.name, namespace);
        self.start_daemon(machine.name)
    }

    async fn start_node(&mut self, machine: Machine) -> Result<()> {
        let namespace = self.fabric.node(&self.bed, machine.name, machine.address).await?;
        self.nodes.insert(machine.name, namespace);
        self.bed.remove_at_end(Path::new("/sys/fs/bpf/arcus").join(self.instance(machine.name)))?;
        self.start_daemon(machine.name)
    }

    /// Starts the daemon of a control node or a node, again if it has run before.
    pub fn start_daemon(&mut self, name: &str) -> Result<()> {
        let machine = machine(name)?;
        let namespace = self.node(machine.name)?;
        let text = |path: PathBuf| path.display().to_string();
        let run_dir = self.bed.run_dir();
        let mut args = vec!["--topology".to_owned(), text(self.topology())];
        args.extend(["--run-dir".to_owned(), text(run_dir.to_owned())]);
        let is_control = scene::CONTROL_NODES.iter().any(|node| node.name == machine.name);
        let program = if is_control {
            args.extend(["--node".to_owned(), machine.name.to_owned()]);
            &self.binaries.bgpd
        } else {
            let state = run_dir.join("state").join(machine.name);
            fs::create_dir_all(&state)?;
            for (key, value) in [
                ("--cloud", machine.cloud.to_owned()),
                ("--address", machine.address.to_string()),
                ("--name", machine.name.to_owned()),
                ("--state-dir", text(state)),
                ("--uplink", UPLINK.to_owned()),
                ("--bpffs-instance", self.instance(machine.name)),
            ] {
                args.extend([key.to_owned(), value]);
            }
            &self.binaries.agent
        };
        let process = self.bed.start(&namespace, machine.name, program, args)?;
        self.daemons.insert(machine.name, process);
        Ok(())
    }

    async fn start_gateway(&mut self, machine: Machine) -> Result<()> {
        let peers = scene::CONTROL_NODES.iter().filter(|node| node.cloud == machine.cloud);
        let spec = GatewaySpec {
            name: machine.name.to_owned(),
            address: machine.address,
            asn: scene::GATEWAY_ASN,
            peers: peers
                .map(|node| BgpPeer { address: node.address, asn: scene::KUBERNETES_ASN })
                .collect(),
            route_target: scene::PUBLIC_TARGET.to_owned(),
            label: scene::GATEWAY_LABEL,
        };
        let gateway =
            Gateway::start(&self.bed, &self.fabric, &self.app(), &spec, &self.outside).await?;
        self.gateways.insert(machine.name, gateway);
        Ok(())
    }

    async fn start_workload(&mut self, workload: &'static Workload) -> Result<()> {
        let namespace = self.bed.namespace(workload.name).await?;
        let netns = namespace.path().display().to_string();
        let address = workload.address.to_string();
        let mut words = vec!["port", "add", "--id", workload.name, "--network", workload.network];
        words.extend(["--netns", &netns, "--ip", &address]);
        words.extend(workload.floating.iter().flat_map(|floating| ["--floating", floating]));
        words.extend(workload.service.iter().flat_map(|service| ["--service", service]));
        self.arcus(workload.node, &words).await?;

        let listen = SocketAddr::from(([0, 0, 0, 0], workload.port)).to_string();
        let backends = workload.backends();
        let mut words = vec!["web", "--name", workload.name, "--listen", &listen];
        words.extend(backends.iter().flat_map(|backend| ["--backend", backend]));
        let app = self.app();
        let process = self.bed.start(&namespace, workload.name, app.program(), app.args(&words))?;
        self.workloads.insert(workload.name, namespace);
        self.apps.push(process);
        Ok(())
    }

    /// Adds a workload that is not of the scene, with further words for `arcus port add`, and waits until
    /// packets can reach it. It has no application.
    pub async fn add_workload(
        &mut self,
        name: &'static str,
        node: &str,
        network: &str,
        address: Ipv4Addr,
        words: &[&str],
    ) -> Result<()> {
        let namespace = self.bed.namespace(name).await?;
        let (netns, address) = (namespace.path().display().to_string(), address.to_string());
        let mut all = vec!["port", "add", "--id", name, "--network", network];
        all.extend(["--netns", &netns, "--ip", &address]);
        all.extend(words);
        self.arcus(node, &all).await?;
        self.workloads.insert(name, namespace);
        self.wait_until_ports_are_programmed(node).await
    }

    /// Waits until a daemon has established sessions with all of `peers`, and each has told it everything.
    pub async fn wait_for_peers(&self, name: &str, peers: &[&str]) -> Result<()> {
        let what = format!("{name} has heard all of {peers:?}");
        let addresses: Vec<IpAddr> = peers
            .iter()
            .map(|peer| machine(peer).map(|machine| machine.address.into()))
            .collect::<Result<_>>()?;
        self.bed
            .wait_for(&what, CEILING, async || {
                let neighbors: Vec<Neighbor> = self.ask(name, &["neighbors"]).await?;
                for address in &addresses {
                    let found = neighbors.iter().find(|neighbor| neighbor.address == *address);
                    let found = found.with_context(|| format!("no neighbor {address}"))?;
                    let is_up = found.state == SessionState::Established;
                    ensure!(is_up, "{address} is {:?}", found.state);
                    let silent = found.families.iter().find(|family| !family.end_of_rib);
                    ensure!(silent.is_none(), "{address}: no End-of-RIB for {silent:?}");
                }
                Ok(())
            })
            .await
    }

    async fn wait_until_it_answers(&mut self, name: &'static str) -> Result<()> {
        let what = format!("{name} answers");
        let process = self.daemons.get_mut(name).context("a daemon that was started")?;
        let socket = arcus_api::socket::path(self.bed.run_dir(), name);
        let arcus = &self.binaries.arcus;
        self.bed
            .wait_for(&what, CEILING, async || {
                ensure!(process.is_running(), GiveUp(format!("it ended:\n{}", process.output())));
                ensure!(socket.exists(), "it has no socket yet");
                run_arcus(arcus, &socket, &["status", "-o", "json"]).await.map(drop)
            })
            .await
    }

    async fn wait_until_ports_are_programmed(&self, node: &str) -> Result<()> {
        self.bed
            .wait_for(&format!("the ports of {node} are programmed"), CEILING, async || {
                let ports: Vec<PortStatus> = self.ask(node, &["port", "list"]).await?;
                for port in ports {
                    match port.state {
                        PortState::Programmed => {}
                        state => bail!("port {} is {state:?}", port.id),
                    }
                }
                Ok(())
            })
            .await
    }

    /// Waits until every session of every daemon is established, those of the gateways included.
    /// Gives the number of session ends that were seen.
    pub async fn wait_for_sessions(&self) -> Result<usize> {
        let mut sessions = 0;
        for machine in scene::CONTROL_NODES {
            let want = wanted_sessions(machine);
            self.wait_for_sessions_of(machine.name, want).await?;
            sessions += want;
        }
        for machine in scene::NODES {
            self.wait_for_sessions_of(machine.name, 2).await?;
            sessions += 2;
        }
        Ok(sessions)
    }

    /// Waits until all that the daemons have to say at the start is said: each is ready, and has an
    /// End-of-RIB of every neighbour and owes nothing.
    pub async fn wait_until_all_is_told(&self) -> Result<()> {
        for machine in scene::CONTROL_NODES.iter().chain(&scene::NODES) {
            let name = machine.name;
            self.bed
                .wait_for(&format!("{name} is told everything"), CEILING, async || {
                    let status: Status = self.ask(name, &["status"]).await?;
                    ensure!(status.ready, "it is not ready");
                    for neighbor in self.ask::<Vec<Neighbor>>(name, &["neighbors"]).await? {
                        let (address, owed) = (neighbor.address, neighbor.owed);
                        let silent = neighbor.families.iter().find(|family| !family.end_of_rib);
                        ensure!(silent.is_none(), "{address}: no End-of-RIB for {silent:?}");
                        ensure!(owed == 0, "{owed} owed to {address}");
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(())
    }

    /// Waits until a daemon has `want` established sessions and no other.
    pub async fn wait_for_sessions_of(&self, name: &str, want: usize) -> Result<()> {
        self.bed
            .wait_for(&format!("{want} sessions of {name}"), CEILING, async || {
                let neighbors: Vec<Neighbor> = self.ask(name, &["neighbors"]).await?;
                let (up, down): (Vec<_>, Vec<_>) =
                    neighbors.iter().partition(|n| n.state == SessionState::Established);
                let down: Vec<_> = down.iter().map(|n| (n.address, n.state)).collect();
                ensure!(up.len() == want && down.is_empty(), "{} up, not up: {down:?}", up.len());
                Ok(())
            })
            .await
    }

    pub fn bed(&self) -> &Bed {
        &self.bed
    }

    pub fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    pub fn outside(&self) -> &Namespace {
        &self.outside
    }

    /// The topology file that all daemons read; it may be edited.
    pub fn topology(&self) -> PathBuf {
        self.bed.run_dir().join("topology.toml")
    }

    /// The namespace of a control node or a node.
    pub fn node(&self, name: &str) -> Result<Namespace> {
        self.nodes.get(name).cloned().with_context(|| format!("no machine `{name}`"))
    }

    pub fn workload(&self, name: &str) -> Result<&Namespace> {
        self.workloads.get(name).with_context(|| format!("no workload `{name}`"))
    }

    pub fn gateway(&self, name: &str) -> Result<&Gateway> {
        self.gateways.get(name).with_context(|| format!("no gateway `{name}`"))
    }

    /// Kills BGP on a gateway. Its switch goes on with what it has.
    pub async fn kill_gateway(&mut self, name: &str) -> Result<()> {
        let gateway =
            self.gateways.get_mut(name).with_context(|| format!("no gateway `{name}`"))?;
        gateway.frr_mut().process().kill().await
    }

    /// Starts BGP on a gateway again after [`Self::kill_gateway`].
    pub async fn start_gateway_again(&mut self, name: &str) -> Result<()> {
        let gateway =
            self.gateways.get_mut(name).with_context(|| format!("no gateway `{name}`"))?;
        gateway.frr_mut().start_again(&self.bed).await
    }

    pub fn gateways(&self) -> impl Iterator<Item = (&'static str, &Gateway)> {
        self.gateways.iter().map(|(name, gateway)| (*name, gateway))
    }

    /// The process of a control node's or a node's daemon.
    pub fn daemon(&mut self, name: &str) -> Result<&mut Process> {
        self.daemons.get_mut(name).with_context(|| format!("no daemon `{name}`"))
    }

    /// The programs of workloads and gateways.
    pub fn app(&self) -> AppBinary {
        AppBinary::new(&self.binaries.demo, &["app"])
    }

    /// The command line program that belongs to these daemons.
    pub fn arcus_program(&self) -> &Path {
        &self.binaries.arcus
    }

    /// What `arcus` prints for the daemon called `name`.
    pub async fn arcus(&self, name: &str, words: &[&str]) -> Result<String> {
        let socket = arcus_api::socket::path(self.bed.run_dir(), name);
        run_arcus(&self.binaries.arcus, &socket, words).await
    }

    /// As [`Self::arcus`], read as JSON.
    pub async fn ask<T: DeserializeOwned>(&self, name: &str, words: &[&str]) -> Result<T> {
        let mut words = words.to_vec();
        words.extend(["-o", "json"]);
        let text = self.arcus(name, &words).await?;
        serde_json::from_str(&text).with_context(|| format!("{}: {text}", words.join(" ")))
    }

    /// What the daemon called `name` answers to a GET, without the time that a program takes.
    pub async fn get<T: DeserializeOwned>(&self, name: &str, path: &str) -> Result<T> {
        crate::get(&arcus_api::socket::path(self.bed.run_dir(), name), path).await
    }

    /// Gets a page `count` times from inside a namespace; one line per answer, and any failure is an error.
    pub async fn fetch(
        &self,
        from: &Namespace,
        to: SocketAddr,
        path: &str,
        count: u32,
        ceiling: Duration,
    ) -> Result<String> {
        let app = self.app();
        let program = app.program().to_str().context("a path that is not UTF-8")?;
        let (to, count) = (to.to_string(), count.to_string());
        let timeout = ceiling.as_millis().to_string();
        let args = app.args(&["fetch", &to, path, "--count", &count, "--timeout", &timeout]);
        let mut words = vec![program];
        words.extend(args.iter().map(String::as_str));
        from.run(&words).await
    }

    /// Asks every daemon to read the topology file again, by SIGHUP, and waits until all run it.
    pub async fn reload(&self) -> Result<()> {
        let status = async |name: &str| self.ask(name, &["status"]).await;
        reload(&self.bed, &self.daemons, status).await
    }

    /// Leaves everything running when this process ends; gives the run directory.
    pub fn leave_running(self) -> PathBuf {
        self.bed.leave_running()
    }

    /// A name on bpffs that no other run has.
    fn instance(&self, node: &str) -> String {
        format!("{}-{node}", self.bed.prefix())
    }
}

fn machine(name: &str) -> Result<Machine> {
    let all = scene::CONTROL_NODES.iter().chain(&scene::NODES);
    let found = all.copied().find(|machine| machine.name == name);
    found.with_context(|| format!("no machine `{name}`"))
}

/// The other control nodes, the nodes of the cloud, and the gateways of the cloud.
fn wanted_sessions(control_node: Machine) -> usize {
    let of_the_cloud =
        |machines: &[Machine]| machines.iter().filter(|m| m.cloud == control_node.cloud).count();
    scene::CONTROL_NODES.len() - 1 + of_the_cloud(&scene::NODES) + of_the_cloud(&scene::GATEWAYS)
}
