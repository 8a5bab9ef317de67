//! Routers that speak EVPN routes of type 5 and send packets over VXLAN, for one VRF: their only one.
//!
//! ```text
//!           outside                     one namespace per router
//!              |            +---------------------------------------------+
//!          veth| lan        |  FRR: zebra and bgpd; the VNI is mapped to  |
//!              +------------+       the routes of the namespace           |
//!                           |  KernelRouter: the kernel's VXLAN device,   |
//!                           |                in a bridge with the         |
//!                           |                router's MAC                 |
//!                           |  SwitchRouter: Open vSwitch in user space,  |
//!                           |                as the follower programs it  |
//!                           +---------------------|-----------------------+
//!                                            uplink, on the fabric
//! ```
//!
//! No VRF device is needed, which not every kernel has.

mod kernel;
mod speaker;
mod switched;
mod way;

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use crate::Namespace;
use crate::gateway::BgpPeer;

pub use kernel::KernelRouter;
pub use speaker::{BRIDGE, DEVICE};
pub use switched::SwitchRouter;
pub use way::Way;

/// What is left for packets inside VXLAN of an underlay's 1500 octets.
pub const MTU: u16 = 1450;

/// What a router is told.
#[derive(Debug, Clone)]
pub struct EvpnSpec {
    pub name: String,
    /// Its one address: of BGP, of the tunnels, and its router id.
    pub address: Ipv4Addr,
    pub asn: u32,
    pub peers: Vec<BgpPeer>,
    pub vni: u32,
    /// Where frames inside VXLAN are to be sent; it announces that with its routes.
    pub router_mac: String,
    /// Imported and exported.
    pub route_target: String,
    /// What is behind it, of both versions of IP: announced, with the router's own address there.
    pub networks: Vec<Attached>,
}

/// A network behind a router.
#[derive(Debug, Clone, Copy)]
pub struct Attached {
    /// The router's address.
    pub router: IpAddr,
    /// The address of the one host.
    pub host: IpAddr,
    pub prefix_len: u8,
}

/// A veth from `lan` of the router to the outside, where the interface is called like the router.
async fn cable(router: &Namespace, outside: &Namespace, name: &str) -> Result<()> {
    let outside_name = outside.name();
    router.ip(&format!("link add lan type veth peer name {name} netns {outside_name}")).await?;
    for (namespace, interface) in [(router, "lan"), (outside, name)] {
        enable_ipv6(namespace, interface).await?;
        namespace.ip(&format!("link set dev {interface} mtu {MTU} up")).await?;
        namespace.offload_off(interface).await?;
    }
    Ok(())
}

/// The testbed has it off.
async fn enable_ipv6(namespace: &Namespace, interface: &str) -> Result<()> {
    let key = format!("net.ipv6.conf.{interface}.disable_ipv6=0");
    namespace.run(&["sysctl", "-qw", &key]).await.map(drop)
}
