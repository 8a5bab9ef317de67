//! One control node and a few nodes, with a topology and with networks of a test's own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arcus_api::v1::{PortState, PortStatus};
use serde::de::DeserializeOwned;
use testbed::app::AppBinary;
use testbed::{Bed, Fabric, GiveUp, Namespace, Process, UPLINK};

use crate::Binaries;
use crate::command::run_arcus;
use crate::reloading::reload;

const CEILING: Duration = Duration::from_secs(30);

/// All of it, running. Its namespaces are `CONTROL_NODE` and those of the nodes and workloads, by name.
#[derive(Debug)]
pub struct SmallCloud {
    /// First, so that it ends everything at once before the handles below wait for their processes.
    bed: Bed,
    binaries: Binaries,
    fabric: Fabric,
    daemons: BTreeMap<&'static str, Process>,
    /// With the node of each.
    workloads: BTreeMap<&'static str, (Namespace, &'static str)>,
}

impl SmallCloud {
    /// The cloud's name in the topology.
    pub const NAME: &str = "lab";
    /// The control node's.
    pub const CONTROL_NODE: &str = "ctl-1";

    /// Raises a control node at `control_node` and the nodes with these names and addresses. On return all of
    /// them answer.
    pub async fn raise(
        bed: Bed,
        topology: &str,
        control_node: Ipv4Addr,
        nodes: &[(&'static str, Ipv4Addr)],
    ) -> Result<Self> {
        let binaries = Binaries::find()?;
        let fabric = bed.fabric().await?;
        fs::write(bed.run_dir().join("topology.toml"), topology)?;
        let mut daemons = BTreeMap::new();
        let namespace = fabric.node(&bed, Self::CONTROL_NODE, control_node).await?;
        let mut args = arguments(&bed);
        args.extend(["--node", Self::CONTROL_NODE].map(str::to_owned));
        let process = bed.start(&namespace, Self::CONTROL_NODE, &binaries.bgpd, args)?;
        daemons.insert(Self::CONTROL_NODE, process);
        for (name, address) in nodes {
            let namespace = fabric.node(&bed, name, *address).await?;
            let process = start_node(&bed, &binaries, &namespace, name, *address)?;
            daemons.insert(*name, process);
        }
        let mut cloud = Self { bed, binaries, fabric, daemons, workloads: BTreeMap::new() };
        cloud.wait_until_all_answer().await?;
        Ok(cloud)
    }

    async fn wait_until_all_answer(&mut self) -> Result<()> {
        for (name, process) in &mut self.daemons {
            let socket = arcus_api::socket::path(self.bed.run_dir(), name);
            let arcus = &self.binaries.arcus;
            self.bed
                .wait_for(&format!("{name} answers"), CEILING, async || {
                    let output = process.output();
                    ensure!(process.is_running(), GiveUp(format!("it ended:\n{output}")));
                    ensure!(socket.exists(), "it has no socket yet");
                    run_arcus(arcus, &socket, &["status", "-o", "json"]).await.map(drop)
                })
                .await?;
        }
        Ok(())
    }

    /// Adds a workload with these addresses, and with further words for `arcus port add`, and waits until
    /// packets can reach it. It may have been there before, at another node.
    pub async fn add_workload(
        &mut self,
        name: &'static str,
        node: &'static str,
        network: &str,
        addresses: &[IpAddr],
        more: &[&str],
    ) -> Result<()> {
        let namespace = match self.workloads.get(name) {
            Some((namespace, _)) => namespace.clone(),
            None => self.bed.namespace(name).await?,
        };
        let netns = namespace.path().display().to_string();
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let mut words = vec!["port", "add", "--id", name, "--network", network, "--netns", &netns];
        words.extend(addresses.iter().flat_map(|address| ["--ip", address]));
        words.extend(more);
        self.arcus(node, &words).await?;
        self.workloads.insert(name, (namespace, node));
        self.bed
            .wait_for(&format!("{name} is programmed"), CEILING, async || {
                let ports: Vec<PortStatus> = self.ask(node, &["port", "list"]).await?;
                let port = ports.iter().find(|port| port.id.as_str() == name).context("no port")?;
                ensure!(port.state == PortState::Programmed, "{:?}", port.state);
                Ok(())
            })
            .await
    }

    /// Takes a workload from its node; the namespace stays.
    pub async fn remove_workload(&self, name: &str) -> Result<()> {
        let (_, node) = self.workloads.get(name).with_context(|| format!("no workload {name}"))?;
        self.arcus(node, &["port", "remove", name]).await.map(drop)
    }

    /// Replaces the topology and waits until all run it.
    pub async fn reload(&self, topology: &str) -> Result<()> {
        fs::write(self.bed.run_dir().join("topology.toml"), topology)?;
        let status = async |name: &str| self.ask(name, &["status"]).await;
        reload(&self.bed, &self.daemons, status).await
    }

    /// Sends octets by TCP for a second, from one namespace to an address of another; all of them arrive.
    pub async fn transfer(&self, from: &Namespace, to: &Namespace, at: SocketAddr) -> Result<()> {
        let (app, name) = (self.app(), format!("transfer-{}", self.bed.next_number()));
        let listen = app.args(&["sink", "--listen", &at.to_string()]);
        let mut sink = self.bed.start(to, &format!("{name}-sink"), app.program(), listen)?;
        self.bed
            .wait_for("the sink listens", CEILING, async || {
                let output = sink.output();
                ensure!(sink.is_running(), GiveUp(format!("it ended: {output}")));
                ensure!(output.contains("listening"), "it said: {output}");
                Ok(())
            })
            .await?;
        let send = app.args(&["source", &at.to_string(), "--seconds", "1", "--pace", "20"]);
        let mut source = self.bed.start(from, &format!("{name}-source"), app.program(), send)?;
        source.wait_ok(CEILING).await
    }

    /// Starts a web application in a workload, which answers with the workload's name.
    pub fn serve(&self, workload: &str, listen: SocketAddr) -> Result<Process> {
        let (app, listen) = (self.app(), listen.to_string());
        let args = app.args(&["web", "--name", workload, "--listen", &listen]);
        self.bed.start(self.workload(workload)?, &format!("{workload}-web"), app.program(), args)
    }

    /// Gets the page of a web application so often, over connections of their own: the answers.
    pub async fn fetch(&self, from: &Namespace, at: SocketAddr, count: u32) -> Result<Vec<String>> {
        let (app, at, count) = (self.app(), at.to_string(), count.to_string());
        let program = text(app.program());
        let args = app.args(&["fetch", &at, "--count", &count]);
        let words: Vec<&str> =
            std::iter::once(program.as_str()).chain(args.iter().map(String::as_str)).collect();
        Ok(from.run(&words).await?.lines().map(str::to_owned).collect())
    }

    pub fn bed(&self) -> &Bed {
        &self.bed
    }

    pub fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    pub fn workload(&self, name: &str) -> Result<&Namespace> {
        let found = self.workloads.get(name).map(|(namespace, _)| namespace);
        found.with_context(|| format!("no workload {name}"))
    }

    /// The programs of workloads and routers.
    pub fn app(&self) -> AppBinary {
        AppBinary::new(&self.binaries.demo, &["app"])
    }

    /// What `arcus` prints for the daemon called `name`.
    pub async fn arcus(&self, name: &str, words: &[&str]) -> Result<String> {
        let socket = arcus_api::socket::path(self.bed.run_dir(), name);
        run_arcus(&self.binaries.arcus, &socket, words).await
    }

    /// As [`Self::arcus`], read as JSON.
    pub async fn ask<T: DeserializeOwned>(&self, name: &str, words: &[&str]) -> Result<T> {
        let text = self.arcus(name, &[words, &["-o", "json"]].concat()).await?;
        serde_json::from_str(&text).with_context(|| format!("{}: {text}", words.join(" ")))
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn arguments(bed: &Bed) -> Vec<String> {
    let (run_dir, topology) = (text(bed.run_dir()), text(&bed.run_dir().join("topology.toml")));
    ["--topology", &topology, "--run-dir", &run_dir].map(str::to_owned).into()
}

fn start_node(
    bed: &Bed,
    binaries: &Binaries,
    namespace: &Namespace,
    name: &str,
    address: Ipv4Addr,
) -> Result<Process> {
    let state: PathBuf = bed.run_dir().join("state").join(name);
    fs::create_dir_all(&state)?;
    // On bpffs no other run has it.
    let instance = format!("{}-{name}", bed.prefix());
    bed.remove_at_end(Path::new("/sys/fs/bpf/arcus").join(&instance))?;
    let mut args = arguments(bed);
    for (key, value) in [
        ("--cloud", SmallCloud::NAME.to_owned()),
        ("--address", address.to_string()),
        ("--name", name.to_owned()),
        ("--state-dir", text(&state)),
        ("--uplink", UPLINK.to_owned()),
        ("--bpffs-instance", instance),
    ] {
        args.extend([key.to_owned(), value]);
    }
    bed.start(namespace, name, &binaries.agent, args)
}
