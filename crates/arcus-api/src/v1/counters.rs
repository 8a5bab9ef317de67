use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Action, Direction, PortId};

/// What the data plane has counted since it was loaded. Drops have a list of their own:
/// [`DropCounter`](super::DropCounter).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    pub ports: Vec<PortCounter>,
    pub tunnels: Vec<TunnelCounter>,
    pub vrfs: Vec<VrfCounter>,
    pub rules: Vec<RuleCounter>,
    /// Remembered connections: entries of the table, two for a connection whose addresses change.
    pub flows: u64,
}

/// Seen from the node: received is what a workload sent, or what came out of tunnels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    pub rx_packets: u64,
    /// Octets of the workloads' packets, from their IP header on.
    pub rx_octets: u64,
    pub tx_packets: u64,
    pub tx_octets: u64,
}

/// What a port sent and was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortCounter {
    pub id: PortId,
    pub network: String,
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// What came from and went to another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TunnelCounter {
    /// Its tunnel address.
    pub remote: IpAddr,
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// What came out of tunnels into a VRF and went from it into tunnels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VrfCounter {
    pub name: String,
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// Packets that a rule has let through or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleCounter {
    pub filter: String,
    /// Of the rule; `default` is what no rule matched.
    pub rule: String,
    pub direction: Direction,
    pub action: Action,
    pub packets: u64,
}
