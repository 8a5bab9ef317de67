//! A workload's attachment to this node.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::filter::FilterId;
use crate::mac::Mac;
use crate::tunnel::MplsLabel;

/// Number of a VRF on this node, 1..=4096. The agent persists it; it is also the low part of the
/// route distinguisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VrfId(pub u32);

impl fmt::Display for VrfId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Name of a port, chosen by the platform (`database/db-1`); unique on the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortId(pub String);

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for PortId {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// One port: where it is attached, and what the workload is told about its network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Port {
    /// The VRF in which packets of the workload are looked up.
    pub vrf: VrfId,
    /// What the workload has of IPv4; at least one of the two is there.
    pub v4: Option<Link<Ipv4Addr>>,
    pub v6: Option<Link<Ipv6Addr>>,
    /// MAC address of the workload's interface.
    pub mac: Mac,
    /// MTU of the workload's interface, in octets of IP.
    pub mtu: u16,
    /// What else it may send from: prefixes that are routed via it, addresses that it shares.
    pub allowed: BTreeSet<AllowedSource>,
    /// Packets that arrive in a tunnel with this label go to it without a look-up; `None`: the VRF's
    /// label leads to it.
    pub label: Option<MplsLabel>,
    /// What it may send and receive; `None`: everything, and nothing is remembered of it.
    pub filter: Option<FilterId>,
    /// Most that the workload sends, in bits of IP packets a second; `None`: no limit.
    pub bandwidth: Option<u64>,
    /// Whether this node itself may open connections to it.
    pub host_access: bool,
    pub attachment: Attachment,
}

/// What a workload takes for its link in one version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link<A> {
    /// The workload's own address.
    pub address: A,
    /// Length of the prefix that the workload takes for its link.
    pub prefix_len: u8,
    /// The workload's default gateway; the source of ICMP errors that the plane sends to it.
    pub gateway: A,
}

/// A source besides the port's own addresses (an "allowed address pair").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AllowedSource {
    pub net: IpNet,
    /// `None`: the port's own.
    pub mac: Option<Mac>,
}

impl Port {
    /// Its own addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.map(|link| IpAddr::V4(link.address));
        let v6 = self.v6.map(|link| IpAddr::V6(link.address));
        v4.into_iter().chain(v6)
    }

    /// Whether it has this address itself.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses().any(|own| own == address)
    }
}

/// How a workload is connected.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attachment {
    /// A veth pair that the plane makes: the host end is ours, the other end lives in the network
    /// namespace at `path` as `interface`, with addresses, prefixes and default routes.
    Netns { path: PathBuf, interface: String },
}
