//! FRR's bgpd, alone: without zebra and without anything in the kernel.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::{Bed, GiveUp, Namespace, Process};

/// Where Debian, Ubuntu and Fedora put it.
const PROGRAMS: [&str; 3] = ["/usr/lib/frr/bgpd", "/usr/libexec/frr/bgpd", "/usr/sbin/bgpd"];

const CONFIGURATION: &str = "bgpd.conf";

const CEILING: Duration = Duration::from_secs(10);

/// One bgpd, as it is configured.
#[derive(Debug, Clone)]
pub struct BgpSpeaker {
    pub name: String,
    pub asn: u32,
    /// Also the address that its sessions come from.
    pub router_id: Ipv4Addr,
    pub peers: Vec<BgpPeer>,
    pub instances: Vec<VpnInstance>,
}

/// A neighbour, for VPN routes of IPv4.
#[derive(Debug, Clone)]
pub struct BgpPeer {
    pub address: Ipv4Addr,
    pub asn: u32,
}

/// A VRF of bgpd, which exports its networks to the VPN table.
#[derive(Debug, Clone)]
pub struct VpnInstance {
    pub name: String,
    pub rd: String,
    /// Exported and imported.
    pub route_target: String,
    /// 16..=1048575
    pub label: u32,
    pub next_hop: Ipv4Addr,
    pub networks: Vec<String>,
}

impl BgpSpeaker {
    fn configuration(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).map_or_else(|_| String::new(), |()| text)
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self { name, asn, router_id, peers, instances } = self;
        writeln!(text, "hostname {name}\nlog stdout informational\nrouter bgp {asn}")?;
        writeln!(text, " bgp router-id {router_id}")?;
        writeln!(text, " no bgp ebgp-requires-policy\n no bgp default ipv4-unicast")?;
        writeln!(text, " no bgp network import-check")?;
        for BgpPeer { address, asn } in peers {
            writeln!(text, " neighbor {address} remote-as {asn}")?;
            if *asn != self.asn {
                writeln!(text, " neighbor {address} ebgp-multihop 255")?;
            }
            writeln!(text, " neighbor {address} update-source {router_id}")?;
            writeln!(text, " neighbor {address} timers connect 1")?;
        }
        writeln!(text, " address-family ipv4 vpn")?;
        for BgpPeer { address, .. } in peers {
            writeln!(text, "  neighbor {address} activate")?;
            // Packets go from tunnel end to tunnel end: a next hop that is rewritten here has no label.
            writeln!(text, "  neighbor {address} attribute-unchanged next-hop")?;
        }
        writeln!(text, " exit-address-family\nexit")?;
        for instance in instances {
            let VpnInstance { name, rd, route_target, label, next_hop, networks } = instance;
            writeln!(text, "router bgp {asn} vrf {name}")?;
            writeln!(text, " bgp router-id {router_id}\n no bgp network import-check")?;
            writeln!(text, " address-family ipv4 unicast")?;
            for network in networks {
                writeln!(text, "  network {network}")?;
            }
            writeln!(text, "  label vpn export {label}\n  rd vpn export {rd}")?;
            writeln!(text, "  rt vpn both {route_target}\n  nexthop vpn export {next_hop}")?;
            writeln!(text, "  export vpn\n  import vpn\n exit-address-family\nexit")?;
        }
        Ok(())
    }
}

/// A running bgpd.
#[derive(Debug)]
pub struct Frr {
    namespace: Namespace,
    name: String,
    directory: PathBuf,
    program: &'static str,
    process: Process,
}

impl Frr {
    /// Starts bgpd in a namespace. On return it answers on its socket.
    pub async fn start(bed: &Bed, namespace: &Namespace, speaker: &BgpSpeaker) -> Result<Self> {
        let program = PROGRAMS.into_iter().find(|path| Path::new(path).exists());
        let program = program.context("FRR's bgpd is not installed: apt-get install frr")?;
        let directory = bed.run_dir().join(format!("{}-frr", speaker.name));
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(CONFIGURATION), speaker.configuration())?;
        let process = launch(bed, namespace, &speaker.name, &directory, program)?;
        let mut frr = Self {
            namespace: namespace.clone(),
            name: speaker.name.clone(),
            directory,
            program,
            process,
        };
        frr.wait_until_it_answers(bed).await?;
        Ok(frr)
    }

    /// Starts it again with the configuration that it had at first, once its process has ended.
    pub async fn start_again(&mut self, bed: &Bed) -> Result<()> {
        ensure!(!self.process.is_running(), "it still runs");
        self.process = launch(bed, &self.namespace, &self.name, &self.directory, self.program)?;
        self.wait_until_it_answers(bed).await
    }

    async fn wait_until_it_answers(&mut self, bed: &Bed) -> Result<()> {
        let socket = self.socket();
        let process = &mut self.process;
        bed.wait_for("bgpd answers", CEILING, async || {
            ensure!(process.is_running(), GiveUp("it ended".to_owned()));
            Vty::connect(&socket).await.map(drop)
        })
        .await
    }

    /// The socket that takes commands.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("bgpd.vty")
    }

    /// The command line that a person would use to look at this bgpd.
    pub fn vtysh(&self) -> String {
        format!("vtysh --vty_socket {}", self.directory.display())
    }

    /// Runs a command as `vtysh -c` would.
    pub async fn show(&self, command: &str) -> Result<String> {
        Vty::connect(&self.socket()).await?.run(command).await
    }

    /// Goes down the configuration by `path` and gives one command there.
    pub async fn configure(&self, path: &[&str], command: &str) -> Result<()> {
        let mut vty = Vty::connect(&self.socket()).await?;
        vty.run("configure terminal").await?;
        for step in path {
            vty.run(step).await?;
        }
        vty.run(command).await.map(drop)
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn launch(
    bed: &Bed,
    namespace: &Namespace,
    name: &str,
    directory: &Path,
    program: &str,
) -> Result<Process> {
    let path = |path: &Path| path.display().to_string();
    let args = [
        "-Z".to_owned(),
        // Stay root: the run directory is root's.
        "-S".to_owned(),
        "-f".to_owned(),
        path(&directory.join(CONFIGURATION)),
        "-i".to_owned(),
        path(&directory.join("bgpd.pid")),
        "--vty_socket".to_owned(),
        path(directory),
        // No telnet.
        "-P".to_owned(),
        "0".to_owned(),
    ];
    bed.start(namespace, &format!("{name}-bgpd"), program, args)
}

/// A connection to the command socket of an FRR daemon: a command ends with an octet of zero, an answer
/// with three of them and a status.
#[derive(Debug)]
pub(super) struct Vty {
    stream: UnixStream,
}

impl Vty {
    pub(super) async fn connect(socket: &Path) -> Result<Self> {
        let stream =
            UnixStream::connect(socket).await.with_context(|| socket.display().to_string())?;
        let mut vty = Self { stream };
        vty.run("enable").await?;
        Ok(vty)
    }

    /// Runs one command and gives what it prints.
    pub(super) async fn run(&mut self, command: &str) -> Result<String> {
        let mut request = command.as_bytes().to_vec();
        request.push(0);
        self.stream.write_all(&request).await?;
        let mut answer = Vec::new();
        loop {
            if let [text @ .., 0, 0, 0, status] = answer.as_slice() {
                let text = String::from_utf8_lossy(text);
                // 0 is success, 1 a warning; what bgpd says then is worth reading too.
                ensure!(*status <= 1, "`{command}`: status {status}: {}", text.trim());
                return Ok(text.into_owned());
            }
            ensure!(self.stream.read_buf(&mut answer).await? > 0, "bgpd closed its socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multihop_is_for_neighbours_of_another_as_only() {
        let speaker = BgpSpeaker {
            name: "mx1".to_owned(),
            asn: 64999,
            router_id: Ipv4Addr::new(10, 2, 0, 1),
            peers: vec![
                BgpPeer { address: Ipv4Addr::new(10, 2, 0, 11), asn: 64513 },
                BgpPeer { address: Ipv4Addr::new(10, 2, 0, 2), asn: 64999 },
            ],
            instances: Vec::new(),
        };
        let text = speaker.configuration();
        assert!(text.contains("neighbor 10.2.0.11 ebgp-multihop 255"), "{text}");
        assert!(!text.contains("neighbor 10.2.0.2 ebgp-multihop"), "{text}");
    }
}
