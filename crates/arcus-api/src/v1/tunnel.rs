use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A pair of tunnel ends that at least one route uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tunnel {
    pub local: IpAddr,
    pub remote: IpAddr,
    /// Spelt as in the topology file.
    pub encapsulation: String,
    /// Of VXLAN: what frames to the other node are sent to, `02:00:0a:01:01:0b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router_mac: Option<String>,
    /// Next hops of routes that use it.
    pub routes: u64,
    /// The largest inner packet, in octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}
