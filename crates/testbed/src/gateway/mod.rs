//! A router at the edge, in the part of a Juniper MX: FRR speaks BGP, Open vSwitch moves the packets.
//!
//! ```text
//!           outside                     one namespace per gateway
//!              |            +---------------------------------------------+
//!          veth| lan        |  br-int: lan <-> gre0 (MPLS over GRE,       |
//!              +------------+          no Ethernet inside)                |
//!                           |  br-phy: the gateway's address, uplink      |
//!                           |  FRR bgpd: VPN routes by BGP                |
//!                           |  follower: FRR's table -> flows of br-int   |
//!                           +---------------------|-----------------------+
//!                                            uplink, on the fabric
//! ```
//!
//! All of it runs in user space: no kernel module, no VRF device. The flows come from FRR's table alone.

pub mod follower;

mod evpn_table;
mod frr;
mod program;
mod switch;
mod tunnel;
mod vpn_table;

use std::fmt::Write;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use crate::app::AppBinary;
use crate::{Bed, Fabric, Namespace, Process};

pub use frr::{BgpPeer, BgpSpeaker, Frr, VpnInstance};
pub use switch::Switch;

/// The MTU of the cable to the outside: what is left of 1500 octets after the tunnel, and some more.
pub const LAN_MTU: u16 = 1400;

/// The next hop that the outside uses on the cable to a gateway. The cable has no other addresses.
const LAN_ADDRESS: &str = "169.254.0.1";

/// What a gateway is told.
#[derive(Debug, Clone)]
pub struct GatewaySpec {
    pub name: String,
    /// Its one address: of BGP, of the tunnels, and its router id.
    pub address: Ipv4Addr,
    pub asn: u32,
    pub peers: Vec<BgpPeer>,
    /// The route target of the network that it serves, imported and exported.
    pub route_target: String,
    /// The label under which it exports the default route, 16..=1048575.
    pub label: u32,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    namespace: Namespace,
    frr: Frr,
    switch: Switch,
    follower: Process,
}

impl Gateway {
    /// Starts a gateway on the fabric, with a cable to `outside`, where the interface is called like the
    /// gateway. On return the cable works and BGP is trying to connect.
    pub async fn start(
        bed: &Bed,
        fabric: &Fabric,
        app: &AppBinary,
        spec: &GatewaySpec,
        outside: &Namespace,
    ) -> Result<Self> {
        let name = &spec.name;
        let namespace = fabric.unaddressed_node(bed, name).await?;
        let switch = Switch::start(bed, &namespace, name).await?;
        switch.add_underlay(spec.address).await?;
        let outside_mac = cable(&namespace, &switch, outside, name).await?;

        let speaker = BgpSpeaker {
            name: name.clone(),
            asn: spec.asn,
            router_id: spec.address,
            peers: spec.peers.clone(),
            instances: vec![VpnInstance {
                name: "public".to_owned(),
                rd: format!("{}:900", spec.address),
                route_target: spec.route_target.clone(),
                label: spec.label,
                next_hop: spec.address,
                networks: vec!["0.0.0.0/0".to_owned()],
            }],
        };
        let frr = Frr::start(bed, &namespace, &speaker).await?;

        let vty = frr.socket();
        let follow = [
            "follow",
            "--vty",
            vty.to_str().context("a run directory that is not UTF-8")?,
            "--bridge",
            &switch.bridge(),
            "--route-target",
            &spec.route_target,
            "--outside-mac",
            &outside_mac,
        ];
        let follower =
            bed.start(&namespace, &format!("{name}-follower"), app.program(), app.args(&follow))?;
        Ok(Self { namespace, frr, switch, follower })
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub fn frr(&self) -> &Frr {
        &self.frr
    }

    /// As [`Self::frr`], to stop it and to start it again.
    pub fn frr_mut(&mut self) -> &mut Frr {
        &mut self.frr
    }

    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    pub fn follower(&mut self) -> &mut Process {
        &mut self.follower
    }

    /// Routes `prefix` from `outside` over all of `gateways` evenly, by flow, with `source` as the source.
    pub async fn route_from_outside(
        outside: &Namespace,
        prefix: &str,
        source: Ipv4Addr,
        gateways: &[&str],
    ) -> Result<()> {
        outside.run(&["sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=1"]).await?;
        outside.ip(&format!("addr replace {source}/32 dev lo")).await?;
        let mut route = format!("route replace {prefix} src {source}");
        for gateway in gateways {
            write!(route, " nexthop via {LAN_ADDRESS} dev {gateway} onlink")?;
        }
        outside.ip(&route).await.map(drop)
    }
}

/// A veth from port `lan` of the switch to the outside; gives the hardware address of the outside's end.
async fn cable(
    gateway: &Namespace,
    switch: &Switch,
    outside: &Namespace,
    name: &str,
) -> Result<String> {
    gateway
        .ip(&format!(
            "link add lan mtu {LAN_MTU} type veth peer name {name} mtu {LAN_MTU} netns {}",
            outside.name()
        ))
        .await?;
    gateway.ip("link set dev lan up").await?;
    outside.ip(&format!("link set dev {name} up")).await?;
    gateway.offload_off("lan").await?;
    outside.offload_off(name).await?;
    // Packets may leave by one gateway and be answered through the other.
    outside.run(&["sysctl", "-qw", &format!("net.ipv4.conf.{name}.rp_filter=0")]).await?;
    switch.add_lan("lan").await?;
    let lan_mac = gateway.hardware_address("lan").await?;
    outside.ip(&format!("neigh replace {LAN_ADDRESS} lladdr {lan_mac} dev {name}")).await?;
    outside.hardware_address(name).await
}
