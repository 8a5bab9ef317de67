//! One control node, the daemon under test, and GoBGP at both ends.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;

use anyhow::Result;
use testbed::{Bed, Fabric, Namespace, UPLINK};

use super::control_node::NAME;
use super::route::next_hop;
use super::{ASN, CONTROL_NODE, ControlNode, GoBgp, Kind, Life, Member, Role, Speaker};
use crate::Binaries;

const FAR_GATEWAY: Member = Member::new("far-gateway", Role::Gateway, [2, 9], 65109, Life::Plain);
const FAR_NODE: Member = Member::new("far-node", Role::Node, [1, 9], ASN, Life::Plain);

/// All of it, in namespaces of its own.
#[derive(Debug)]
pub struct Lab {
    bed: Bed,
    under_test: Namespace,
    pub ours: ControlNode,
    far_gateway: GoBgp,
    far_node: GoBgp,
    /// The client of the daemon under test, where that is a reflector.
    behind: Option<(GoBgp, Member)>,
}

impl Lab {
    /// Raises everything but the daemon under test, which will be `member`.
    pub async fn raise(member: &Member) -> Result<Self> {
        let bed = Bed::new("interop")?;
        let binaries = Binaries::find()?;
        fs::write(bed.run_dir().join("topology.toml"), topology(member)?)?;
        let fabric = bed.fabric().await?;
        let namespace = machine(&bed, &fabric, NAME, CONTROL_NODE).await?;
        let under_test = machine(&bed, &fabric, member.name, member.address).await?;
        let ours = ControlNode::start(&bed, &binaries, &namespace)?;
        let far_gateway = gobgp(&bed, &fabric, &FAR_GATEWAY).await?;
        let far_node = gobgp(&bed, &fabric, &FAR_NODE).await?;
        let behind = if member.client.is_some() {
            let behind = Member::behind(member);
            Some((gobgp(&bed, &fabric, &behind).await?, behind))
        } else {
            None
        };
        let mut lab = Self { bed, under_test, ours, far_gateway, far_node, behind };
        lab.wait_until_ours_is_up().await?;
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

    /// The client of a reflector.
    pub fn behind(&mut self) -> Option<(&mut GoBgp, Member)> {
        self.behind.as_mut().map(|(speaker, member)| (speaker, *member))
    }

    pub async fn start_ours(&mut self) -> Result<()> {
        self.ours.start_again(&self.bed).await?;
        self.wait_until_ours_is_up().await
    }

    async fn wait_until_ours_is_up(&mut self) -> Result<()> {
        self.ours.wait_until_it_answers(&self.bed).await?;
        for far in [FAR_GATEWAY, FAR_NODE] {
            self.ours.wait_until_up(&self.bed, &far, 0).await?;
        }
        Ok(())
    }
}

async fn gobgp(bed: &Bed, fabric: &Fabric, member: &Member) -> Result<GoBgp> {
    let namespace = machine(bed, fabric, member.name, member.address).await?;
    GoBgp::start(bed, &namespace, member).await
}

/// A namespace on the underlay with an address of each version.
pub(super) async fn machine(
    bed: &Bed,
    fabric: &Fabric,
    name: &str,
    address: Ipv4Addr,
) -> Result<Namespace> {
    let namespace = fabric.node(bed, name, address).await?;
    // Next hops of IPv6 have to resolve; the testbed has it off.
    let key = format!("net.ipv6.conf.{UPLINK}.disable_ipv6=0");
    namespace.run(&["sysctl", "-qw", &key]).await?;
    let address = next_hop(Kind::Ipv6, address);
    namespace.ip(&format!("addr add {address}/64 dev {UPLINK} nodad")).await?;
    Ok(namespace)
}

/// What our daemon knows of itself and of everybody else.
pub(super) fn topology(member: &Member) -> Result<String> {
    const UNICAST_TOO: &str = "families = [\"ipv4\", \"ipv6\", \"vpnv4\", \"vpnv6\", \"evpn\"]";
    let mut text = format!(
        "[federation]\nname = \"interop\"\n\n\
         [cloud.lab]\nasn = {ASN}\nhold-time = 9\n\n\
         [cloud.lab.control-node.{NAME}]\naddress = \"{CONTROL_NODE}\"\n\n\
         [cloud.lab.nodes]\nprefixes = [\"10.0.1.0/24\"]\n\n\
         [network.blue]\nclouds = [\"lab\"]\nsubnets = [\"10.100.0.0/16\"]\n\
         route-targets = [\"64512:100\", \"64512:101\"]\n"
    );
    for Member { name, role, address, asn, .. } in [*member, FAR_GATEWAY] {
        match role {
            Role::Node => {}
            Role::Gateway => {
                writeln!(text, "\n[gateway.{name}]\nclouds = [\"lab\"]\naddress = \"{address}\"")?;
                writeln!(text, "asn = {asn}\nnetworks = [\"blue\"]\nhold-time = 9\n{UNICAST_TOO}")?;
            }
            Role::ControlNode => {
                writeln!(text, "\n[cloud.lab.control-node.{name}]\naddress = \"{address}\"")?;
            }
            Role::FarControlNode => {
                writeln!(text, "\n[cloud.far]\nasn = {asn}")?;
                writeln!(text, "[cloud.far.control-node.{name}]\naddress = \"{address}\"")?;
            }
            Role::Reflector => {
                writeln!(text, "\n[neighbor.{name}]\nclouds = [\"lab\"]\naddress = \"{address}\"")?;
                writeln!(text, "asn = {asn}\nhold-time = 9\n{UNICAST_TOO}")?;
            }
        }
    }
    Ok(text)
}
