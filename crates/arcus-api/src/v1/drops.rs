use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Packets that the data plane dropped, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DropCounter {
    /// `tunnel-to-tunnel`, `no-route`, ..
    pub reason: String,
    /// What it means, in one sentence.
    pub meaning: String,
    /// Since the data plane was loaded.
    pub packets: u64,
}
