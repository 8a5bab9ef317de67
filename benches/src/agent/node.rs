//! An agent in a namespace, with one port, so that it has a VRF.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testbed::{Bed, Namespace, Process, Signal};

use super::control;
use crate::load::routes::ASN;
use crate::usage::Usage;

pub(super) const UPLINK: &str = "up0";
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);

const NAME: &str = "bench";

/// How long the agent may take to listen.
const START: Duration = Duration::from_secs(20);

/// It does nothing while it uses no more than this of a second tenth.
const STILL: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_millis(5);

pub(super) struct Node {
    process: Process,
    socket: PathBuf,
    instance: PathBuf,
    purge: std::process::Command,
}

impl Node {
    pub(super) fn start(
        agent: &Path,
        routes: u32,
        bed: &Bed,
        namespace: &Namespace,
    ) -> Result<Self> {
        let build = "cargo build --release -p arcus-vrouter-agent";
        let program =
            agent.canonicalize().with_context(|| format!("{}: {build}", agent.display()))?;
        let directory = bed.run_dir();
        let topology = directory.join("topology.toml");
        let text = format!(
            "[federation]\nname = \"{NAME}\"\n\n[cloud.{NAME}]\nasn = {ASN}\n\n\
             [cloud.{NAME}.control-node.ctl]\naddress = \"{}\"\n\n\
             [cloud.{NAME}.nodes]\nprefixes = [\"10.200.0.0/16\"]\nmax-routes = {}\n\n\
             [network.a]\nclouds = [\"{NAME}\"]\nsubnets = [\"172.16.0.0/16\"]\n\
             route-targets = [\"{ASN}:{}\"]\n",
            control::ADDRESS,
            routes + 100,
            control::TARGET,
        );
        std::fs::write(&topology, text)?;
        let name = format!("{}-agent", bed.prefix());
        let instance = Path::new("/sys/fs/bpf/arcus").join(&name);
        bed.remove_at_end(&instance)?;
        let state = directory.join(format!("state-{}", bed.next_number()));
        let words: [&str; 14] = [
            "--topology",
            &topology.display().to_string(),
            "--cloud",
            NAME,
            "--address",
            &ADDRESS.to_string(),
            "--name",
            &name,
            "--instance",
            &name,
            "--run-dir",
            &directory.display().to_string(),
            "--state-dir",
            &state.display().to_string(),
        ];
        let args: Vec<String> = words.map(str::to_owned).into();
        let process = bed.start(namespace, "agent", &program, args.clone())?;
        let socket = directory.join(format!("{name}.sock"));
        let mut purge = std::process::Command::new(&program);
        purge.args(&args).arg("--purge");
        let mut node = Self { process, socket, instance, purge };
        let deadline = Instant::now() + START;
        while UnixStream::connect(&node.socket).is_err() {
            let output = || node.process.output();
            ensure!(Instant::now() < deadline, "the agent does not listen:\n{}", output());
            let is_running = node.process.is_running();
            ensure!(is_running, "the agent has ended:\n{}", node.process.output());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(node)
    }

    /// Where the data plane is pinned.
    pub(super) fn instance(&self) -> &Path {
        &self.instance
    }

    pub(super) fn add_port(&self, workload: &Namespace) -> Result<()> {
        let body = format!(
            "{{\"network\": \"a\", \"netns\": \"{}\", \"ip\": \"172.16.0.10\"}}",
            workload.path().display()
        );
        let mut stream = UnixStream::connect(&self.socket)?;
        write!(
            stream,
            "PUT /v1/ports/p HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(())
    }

    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::of_group(self.process.pid())
    }

    /// Waits until the agent has stopped working.
    pub(super) fn wait_until_idle(&self, ceiling: Duration) -> Result<()> {
        let deadline = Instant::now() + ceiling;
        let mut before = self.usage()?.cpu();
        loop {
            std::thread::sleep(STILL);
            let now = self.usage()?.cpu();
            if now.saturating_sub(before) < IDLE {
                return Ok(());
            }
            before = now;
            ensure!(Instant::now() < deadline, "the agent does not come to rest");
        }
    }

    /// Ends the agent and takes its data plane away.
    pub(super) fn purge(mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        let deadline = Instant::now() + START;
        while self.process.is_running() {
            ensure!(Instant::now() < deadline, "the agent does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = self.purge.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}
