use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which daemon answers, and what it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// `arcus-bgpd` or `arcus-vrouter-agent`.
    pub daemon: String,
    /// Who it is in the federation: the control node's name, or cloud and address of a node.
    pub name: String,
    /// As `--version` prints it.
    pub version: String,
    pub topology: TopologyStatus,
    /// Whether it does its whole work: a control node is past its initial convergence, an agent has
    /// restored its ports and told of them.
    pub ready: bool,
    /// Seconds since the epoch.
    pub started_at: u64,
}

/// The topology that is running, and what became of the last attempt to change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopologyStatus {
    /// The file as given on the command line.
    pub file: String,
    /// 1 at the start; one more with each reload that was accepted.
    pub generation: u64,
    /// Of the file and all it includes: two daemons with equal hashes run the same topology.
    pub hash: String,
    /// When this generation was read; seconds since the epoch.
    pub loaded_at: u64,
    /// Why the last reload was refused; nothing has changed then. `None` after one that was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// A reload that was accepted. One that was refused is an [`ApiError`](super::ApiError).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    pub topology: TopologyStatus,
    /// What was changed and what it cost, one sentence each; empty if the files say the same as before.
    pub changes: Vec<String>,
}
