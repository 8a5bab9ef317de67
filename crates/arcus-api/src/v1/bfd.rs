use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the path to a neighbor carries packets both ways (RFC 5880).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bfd {
    pub state: BfdState,
    /// Since the state became what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_seconds: Option<u64>,
    /// Why the state is what it is, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<String>,
    /// What the neighbor said last; nothing when it has been silent for the detection time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_state: Option<BfdState>,
    /// Why its state is what it is, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_diagnostic: Option<String>,
    /// Over routers (RFC 5883), or on one link (RFC 5881).
    pub multihop: bool,
    /// By packets of ours that the data plane of the neighbor, a node, sends back (RFC 9747).
    #[serde(default)]
    pub echo: bool,
    /// Time between two packets of ours, as agreed.
    pub transmit_interval_milliseconds: u64,
    /// How long the neighbor may be silent, as agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection_milliseconds: Option<u64>,
    /// How often the path was found to carry packets. A node that never sent back any is not watched.
    #[serde(default)]
    pub ups: u64,
    /// How often the path was lost, other than by an operator of either side.
    pub failures: u64,
    pub packets_received: u64,
    pub packets_sent: u64,
    /// Packets that were not signed as they should be (RFC 5880 §6.7).
    #[serde(default)]
    pub packets_refused: u64,
    /// Why nothing can be sent or received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The states of RFC 5880 §6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BfdState {
    /// Held down by an operator.
    AdminDown,
    Down,
    /// The other side is heard and may not hear back yet.
    Init,
    Up,
}
