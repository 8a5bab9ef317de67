//! A network namespace and commands inside it.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::process::Command;

/// A handle to a network namespace of the bed. Deleting it is the bed's work.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: Arc<str>,
}

impl Namespace {
    pub(crate) async fn create(name: &str) -> Result<Self> {
        run(Command::new("ip").args(["netns", "add", name])).await?;
        let namespace = Self { name: name.into() };
        // Without IPv6 there is no neighbour discovery noise in captures. Not fatal: some kernels have none.
        let _output =
            namespace.output(&["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]).await;
        namespace.ip("link set dev lo up").await?;
        Ok(namespace)
    }

    /// The full name, with the prefix of the bed, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for the namespace.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&*self.name)
    }

    /// The words that start a program inside: `nsenter --net=PATH --`.
    ///
    /// Not `ip netns exec`, which also gives a mount namespace and a new `/sys`: bpffs would be
    /// hidden from the agents, and what they pin would die with them.
    pub fn enter(&self) -> [String; 3] {
        ["nsenter".to_owned(), format!("--net={}", self.path().display()), "--".to_owned()]
    }

    pub(crate) fn command(&self, program: &str) -> std::process::Command {
        let [nsenter, net, dashes] = self.enter();
        let mut command = std::process::Command::new(nsenter);
        command.args([&net, &dashes, program]);
        command
    }

    /// Runs a program inside and gives its standard output.
    pub async fn run(&self, words: &[&str]) -> Result<String> {
        run(&mut self.tokio(words)?).await.with_context(|| self.name.to_string())
    }

    /// As [`Self::run`], but an exit status other than 0 is not an error.
    pub async fn output(&self, words: &[&str]) -> Result<Output> {
        self.tokio(words)?.output().await.with_context(|| words.join(" "))
    }

    /// Runs `ip` inside, for example `ns.ip("link set dev lo up")`.
    pub async fn ip(&self, args: &str) -> Result<String> {
        let mut command = Command::new("ip");
        command.args(["-n", self.name()]).args(args.split_whitespace());
        run(&mut command).await
    }

    /// Runs `work` on a thread inside. What it opens stays there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let enter = || {
            let namespace = File::open(self.path()).context("cannot open the namespace")?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        let entered = std::thread::scope(|scope| scope.spawn(enter).join());
        entered.map_err(|_| anyhow!("a thread inside {} panicked", self.name))?
    }

    /// Checksums are computed before a frame leaves on `interface`, and frames have their real size.
    /// Open vSwitch in user space, and anything else that reads a veth by a packet socket, needs that.
    pub async fn offload_off(&self, interface: &str) -> Result<()> {
        self.run(&["ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off"])
            .await
            .map(drop)
    }

    /// The hardware address of an interface, as `ip` shows it.
    pub async fn hardware_address(&self, interface: &str) -> Result<String> {
        let links = self.run(&["ip", "-j", "link", "show", "dev", interface]).await?;
        let links: serde_json::Value = serde_json::from_str(&links)?;
        let address = links[0]["address"].as_str().context("an interface without an address")?;
        Ok(address.to_owned())
    }

    fn tokio(&self, words: &[&str]) -> Result<Command> {
        let (program, args) = words.split_first().context("no program given")?;
        let mut command = self.command(program);
        command.args(args).stdin(Stdio::null());
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        Ok(command)
    }
}

/// Runs a command; standard output on success, else an error with what it said.
pub(crate) async fn run(command: &mut Command) -> Result<String> {
    let line = || {
        let std = command.as_std();
        let words = std::iter::once(std.get_program()).chain(std.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    };
    let line = line();
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| line.clone())?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` gave {}: {}{}", output.status, stdout.trim(), stderr.trim());
    }
    Ok(stdout.into_owned())
}
