//! One control node, the daemon under test, and GoBGP on the far side.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arcus_api::v1::{GracefulRestartState, Neighbor, SessionState};
use testbed::{Bed, Fabric, GiveUp, Namespace, Process, UPLINK};

use super::route::next_hop;
use super::{ASN, CONTROL_NODE, GoBgp, Kind, Life, Speaker};
use crate::Binaries;

/// How long a session may take. GoBGP lets ten seconds pass before it connects, and OpenBGPD two minutes
/// after a connection that was refused.
const CEILING: Duration = Duration::from_secs(150);

/// Who a daemon is to the control node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// eBGP, limited to the targets of one network.
    Gateway,
    /// iBGP, a client of the reflector.
    Node,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Node => "node",
        }
    }
}

/// A daemon other than the control node.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub name: &'static str,
    pub role: Role,
    pub address: Ipv4Addr,
    pub asn: u32,
    pub life: Life,
}

impl Member {
    /// The daemon under test.
    pub const fn under_test(role: Role, life: Life) -> Self {
        match role {
            Role::Gateway => Self::gateway("gateway", 1, 65101, life),
            Role::Node => Self::node("node", 1, life),
        }
    }

    const fn gateway(name: &'static str, last: u8, asn: u32, life: Life) -> Self {
        let address = Ipv4Addr::new(10, 0, 2, last);
        Self { name, role: Role::Gateway, address, asn, life }
    }

    const fn node(name: &'static str, last: u8, life: Life) -> Self {
        let address = Ipv4Addr::new(10, 0, 1, last);
        Self { name, role: Role::Node, address, asn: ASN, life }
    }
}

const FAR_GATEWAY: Member = Member::gateway("far-gateway", 9, 65109, Life::Plain);
const FAR_NODE: Member = Member::node("far-node", 9, Life::Plain);

/// All of it, in namespaces of its own.
#[derive(Debug)]
pub struct Lab {
    bed: Bed,
    binaries: Binaries,
    namespace: Namespace,
    under_test: Namespace,
    ours: Process,
    far_gateway: GoBgp,
    far_node: GoBgp,
}

const NAME: &str = "ctl-1";

impl Lab {
    /// Raises everything but the daemon under test, which will be `member`.
    pub async fn raise(member: &Member) -> Result<Self> {
        let bed = Bed::new("interop")?;
        let binaries = Binaries::find()?;
        fs::write(bed.run_dir().join("topology.toml"), topology(member)?)?;
        let fabric = bed.fabric().await?;
        let namespace = machine(&bed, &fabric, NAME, CONTROL_NODE).await?;
        let under_test = machine(&bed, &fabric, member.name, member.address).await?;
        let ours = start_ours(&bed, &binaries, &namespace)?;
        let gateway = machine(&bed, &fabric, FAR_GATEWAY.name, FAR_GATEWAY.address).await?;
        let far_gateway = GoBgp::start(&bed, &gateway, &FAR_GATEWAY).await?;
        let node = machine(&bed, &fabric, FAR_NODE.name, FAR_NODE.address).await?;
        let far_node = GoBgp::start(&bed, &node, &FAR_NODE).await?;
        let mut lab = Self { bed, binaries, namespace, under_test, ours, far_gateway, far_node };
        lab.wait_until_ours_answers().await?;
        for far in [FAR_GATEWAY, FAR_NODE] {
            lab.wait_until_up(&far, 0).await?;
        }
        Ok(lab)
    }

    pub fn bed(&self) -> &Bed {
        &self.bed
    }

    /// Where the daemon under test runs.
    pub fn under_test(&self) -> &Namespace {
        &self.under_test
    }

    /// The far side of routes of this kind: nodes have no unicast.
    pub fn far(&mut self, kind: Kind) -> (&mut GoBgp, Member) {
        if kind.is_unicast() {
            (&mut self.far_gateway, FAR_GATEWAY)
        } else {
            (&mut self.far_node, FAR_NODE)
        }
    }

    pub async fn kill_ours(&mut self) -> Result<()> {
        self.ours.kill().await
    }

    pub async fn start_ours(&mut self) -> Result<()> {
        self.ours = start_ours(&self.bed, &self.binaries, &self.namespace)?;
        self.wait_until_ours_answers().await?;
        for far in [FAR_GATEWAY, FAR_NODE] {
            self.wait_until_up(&far, 0).await?;
        }
        Ok(())
    }

    async fn wait_until_ours_answers(&mut self) -> Result<()> {
        let (bed, ours) = (&self.bed, &mut self.ours);
        let (binaries, namespace) = (&self.binaries, &self.namespace);
        bed.wait_for("arcus-bgpd answers", CEILING, async || {
            ensure!(ours.is_running(), GiveUp(format!("it ended:\n{}", ours.output())));
            neighbors(bed, binaries, namespace).await.map(drop)
        })
        .await
    }

    /// How often the session of `member` has ended.
    pub async fn flaps(&self, member: &Member) -> Result<u64> {
        Ok(self.neighbor(member).await.map_or(0, |neighbor| neighbor.flaps))
    }

    /// Waits for a session that has ended so often at least.
    pub async fn wait_until_up(&self, member: &Member, flaps: u64) -> Result<Neighbor> {
        let what = format!("the session of {} is established", member.name);
        self.bed
            .wait_for(&what, CEILING, async || {
                let neighbor = self.neighbor(member).await?;
                let state = neighbor.state;
                ensure!(state == SessionState::Established, "{state:?}");
                ensure!(neighbor.flaps >= flaps, "it has not ended yet");
                Ok(neighbor)
            })
            .await
    }

    /// Waits until routes of `member` are kept for it and marked stale, or until none is.
    pub async fn wait_until_stale(&self, member: &Member, want: bool) -> Result<()> {
        let what = format!("routes of {} are stale: {want}", member.name);
        self.bed
            .wait_for(&what, CEILING, async || {
                let restart = self.neighbor(member).await?.graceful_restart;
                let is_helping = restart.state == GracefulRestartState::Helping;
                ensure!(is_helping == want && (restart.stale > 0) == want, "{restart:?}");
                Ok(())
            })
            .await
    }

    async fn neighbor(&self, member: &Member) -> Result<Neighbor> {
        let all = neighbors(&self.bed, &self.binaries, &self.namespace).await?;
        let found = all.into_iter().find(|neighbor| neighbor.address == member.address);
        found.with_context(|| format!("{} is not known yet", member.address))
    }
}

async fn neighbors(bed: &Bed, binaries: &Binaries, at: &Namespace) -> Result<Vec<Neighbor>> {
    let socket = arcus_api::socket::path(bed.run_dir(), NAME);
    ensure!(socket.exists(), "it has no socket yet");
    let (arcus, socket) = (binaries.arcus.display().to_string(), socket.display().to_string());
    let text = at.run(&[&arcus, "--socket", &socket, "neighbors", "-o", "json"]).await?;
    serde_json::from_str(&text).context(text)
}

fn start_ours(bed: &Bed, binaries: &Binaries, namespace: &Namespace) -> Result<Process> {
    let run_dir = bed.run_dir().display().to_string();
    let topology = bed.run_dir().join("topology.toml").display().to_string();
    let args = ["--topology", &topology, "--node", NAME, "--run-dir", &run_dir];
    bed.start(namespace, NAME, &binaries.bgpd, args)
}

/// A namespace on the underlay with an address of each version.
async fn machine(bed: &Bed, fabric: &Fabric, name: &str, address: Ipv4Addr) -> Result<Namespace> {
    let namespace = fabric.node(bed, name, address).await?;
    // Next hops of IPv6 have to resolve; the testbed has it off.
    let key = format!("net.ipv6.conf.{UPLINK}.disable_ipv6=0");
    namespace.run(&["sysctl", "-qw", &key]).await?;
    let address = next_hop(Kind::Ipv6, address);
    namespace.ip(&format!("addr add {address}/64 dev {UPLINK} nodad")).await?;
    Ok(namespace)
}

fn topology(member: &Member) -> Result<String> {
    let mut text = format!(
        "[federation]\nname = \"interop\"\n\n\
         [cloud.lab]\nasn = {ASN}\nhold-time = 9\n\n\
         [cloud.lab.control-node.{NAME}]\naddress = \"{CONTROL_NODE}\"\n\n\
         [cloud.lab.nodes]\nprefixes = [\"10.0.1.0/24\"]\n\n\
         [network.blue]\nclouds = [\"lab\"]\nsubnets = [\"10.100.0.0/16\"]\n\
         route-targets = [\"64512:100\", \"64512:101\"]\n"
    );
    let gateways = [*member, FAR_GATEWAY].into_iter().filter(|m| m.role == Role::Gateway);
    for Member { name, address, asn, .. } in gateways {
        writeln!(text, "\n[gateway.{name}]\nclouds = [\"lab\"]\naddress = \"{address}\"")?;
        writeln!(text, "asn = {asn}\nnetworks = [\"blue\"]\nhold-time = 9")?;
        writeln!(text, "families = [\"ipv4\", \"ipv6\", \"vpnv4\", \"vpnv6\", \"evpn\"]")?;
    }
    Ok(text)
}
