//! A port as the platform wants it, read: what the core and the state file hold.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use dataplane::{Mac, Protocol};
use serde::{Deserialize, Serialize};

/// Everything that was asked for one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortSpec {
    pub network: String,
    pub netns: PathBuf,
    pub interface: String,
    pub address: Ipv4Addr,
    pub mac: Mac,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub floating: BTreeSet<Floating>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<Service>,
    /// Whether it answers under its floating and service addresses.
    pub ready: bool,
}

/// An address of another network under which the port is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floating {
    pub network: String,
    pub address: Ipv4Addr,
}

/// A part in a service: connections to `address` and `port` are answered at `target_port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub network: String,
    pub address: Ipv4Addr,
    pub protocol: Protocol,
    pub port: u16,
    pub target_port: u16,
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

    /// Every address that it has, and what for.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, Ipv4Addr, AddressUse)> {
        let own = std::iter::once((self.network.as_str(), self.address, AddressUse::Port));
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
pub fn default_mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    Mac([0x02, 0x00, a, b, c, d])
}
