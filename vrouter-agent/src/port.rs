//! A port as the platform wants it, read: what the core and the state file hold.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use dataplane::{AllowedSource, Mac, Protocol};
use serde::{Deserialize, Serialize};

use crate::node::hashed_mac;

/// Everything that was asked for one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortSpec {
    pub network: String,
    pub netns: PathBuf,
    pub interface: String,
    /// At least one of the two is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v4: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v6: Option<Ipv6Addr>,
    pub mac: Mac,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub floating: BTreeSet<Floating>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<Service>,
    /// Whether it answers under its floating and service addresses.
    pub ready: bool,
    /// Its own; `None`: that of its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Its own; `None`: those of its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed: BTreeSet<AllowedSource>,
    /// In bits a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
}

/// An address of another network under which the port is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floating {
    pub network: String,
    pub address: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// A part in a service: connections to `address` and `port` are answered at `target_port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub network: String,
    pub address: IpAddr,
    pub protocol: Protocol,
    pub port: u16,
    pub target_port: u16,
    /// In seconds; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

/// What an address is used for; one address of a network has one use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressUse {
    Port,
    Floating,
    Service,
}

impl PortSpec {
    /// The networks that need a VRF for it.
    pub fn networks(&self) -> impl Iterator<Item = &str> {
        self.addresses().map(|(network, _, _)| network)
    }

    /// Its own addresses, IPv4 first.
    pub fn own_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// Every address that it has, and what for.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, IpAddr, AddressUse)> {
        let own = self.own_addresses().map(|own| (self.network.as_str(), own, AddressUse::Port));
        let floating =
            self.floating.iter().map(|f| (f.network.as_str(), f.address, AddressUse::Floating));
        let services =
            self.services.iter().map(|s| (s.network.as_str(), s.address, AddressUse::Service));
        own.chain(floating).chain(services)
    }
}

impl AddressUse {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Port => "port address",
            Self::Floating => "floating address",
            Self::Service => "service address",
        }
    }
}

/// The MAC address of a port that asked for none: made from its address, which is unique in its
/// network, and locally administered.
pub fn default_mac(address: IpAddr) -> Mac {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            Mac([0x02, 0x00, a, b, c, d])
        }
        IpAddr::V6(v6) => hashed_mac(v6),
    }
}
