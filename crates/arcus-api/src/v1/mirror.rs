use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a port is mirrored. The reply is a pcap file with link type `RAW` (101) that grows while the
/// connection is open; closing it ends the mirroring. With `erspan` it is empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorQuery {
    /// Until the client goes if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// Octets of each packet at most; all there are if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snaplen: Option<u32>,
    /// Where the packets are sent instead, in ERSPAN type II over GRE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erspan: Option<IpAddr>,
    /// The session there, 0 to 1023; 1 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u16>,
}
