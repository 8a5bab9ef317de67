use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a port is mirrored. The reply is a pcap file with link type `RAW` (101) that grows while the
/// connection is open; closing it ends the mirroring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorQuery {
    /// Until the client goes if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// Octets of each packet at most; all there are if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snaplen: Option<u32>,
}
