use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bfd, Family};

/// A BGP peer, configured or accepted from a configured prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbor {
    /// As in the topology file; a node has none. Of neighbors from prefixes several may have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub address: IpAddr,
    pub asn: u32,
    /// Known once its OPEN was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router_id: Option<Ipv4Addr>,
    pub kind: NeighborKind,
    /// Whether it is a route reflector client (RFC 4456).
    pub client: bool,
    pub state: SessionState,
    /// Since the state became what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<u64>,
    /// As negotiated, in seconds; 0 is no timer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_time: Option<u16>,
    /// The negotiated families while established, else those we would offer.
    pub families: Vec<NeighborFamily>,
    /// What both sides announced, as text: `4-octet-as`, `route-refresh`, ..
    pub capabilities: Vec<String>,
    /// Route targets it asked for (RFC 4684); `default` is all of them.
    pub memberships: Vec<String>,
    pub graceful_restart: GracefulRestart,
    /// Routes that it is still to be told.
    pub owed: u64,
    /// Encoded and not yet taken by its TCP connection.
    pub queued_octets: u64,
    /// How often an established session was lost since the daemon started.
    pub flaps: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_down_reason: Option<String>,
    /// The BFD session beside the BGP session, where the topology asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<Bfd>,
    /// What it calls itself in its OPEN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Its software, in the words of its OPEN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    /// The options that the topology gives it, by key, as they are written there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Routes that it announced and that were not taken, by reason, since the session came up first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    /// What its malformed UPDATEs led to (RFC 7606), since the daemon started.
    #[serde(default)]
    pub faults: Faults,
}

/// Routes that were not taken, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// `as-loop`, `cluster-loop`, `transit`, `import-targets`, ..
    pub reason: String,
    /// How often such a route was announced.
    pub routes: u64,
}

/// Malformed UPDATEs by the reaction to them (RFC 7606 §2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Faults {
    /// A part was dropped, and the routes were taken.
    pub attribute_discard: u64,
    /// The routes were taken as withdrawn.
    pub treat_as_withdraw: u64,
    /// A family was given up, and the session went on.
    #[serde(default)]
    pub afi_safi_disable: u64,
    /// The session was ended.
    pub session_reset: u64,
}

/// What a peer is in the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NeighborKind {
    /// A vrouter agent.
    Node,
    /// A control node, of this cloud or another.
    ControlNode,
    /// A router of the outside world.
    Gateway,
    /// Whatever else has an entry of its own.
    Neighbor,
}

/// The states of RFC 4271 §8.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    Idle,
    Connect,
    Active,
    OpenSent,
    OpenConfirm,
    Established,
}

/// What one family carries to and from a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NeighborFamily {
    pub family: Family,
    /// Routes held from it.
    pub received: u64,
    /// Of those, how many policy let in and are the best or one of the equals.
    pub accepted: u64,
    /// Routes it has been told.
    pub advertised: u64,
    /// Whether its End-of-RIB has come since the session is up (RFC 4724).
    pub end_of_rib: bool,
    /// Whether what it sent here could not be read: nothing is taken until the next session (RFC 7606
    /// §2, "AFI/SAFI disable").
    #[serde(default)]
    pub disabled: bool,
    /// The highest number of routes it may send; 0 is no limit.
    #[serde(default)]
    pub prefix_limit: u64,
}

/// Graceful restart with one peer (RFC 4724).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GracefulRestart {
    pub state: GracefulRestartState,
    /// How long its routes are kept when it goes, in seconds, as it asked.
    pub restart_time: u16,
    /// Routes that are kept and marked stale.
    pub stale: u64,
}

/// Where a peering stands between two lives of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GracefulRestartState {
    /// Not negotiated: what it told goes when the session goes.
    Off,
    /// Negotiated, nothing is stale.
    Ready,
    /// It is away or has not sent End-of-RIB yet; its routes are kept.
    Helping,
    /// It has been away for longer than its restart time; its routes are kept as the last choice (RFC
    /// 9494).
    LongLived,
}
