use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A route target that somebody asked for or some route carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    pub target: String,
    /// Neighbors that are sent routes with it.
    pub asked_by: Vec<IpAddr>,
    /// Routes whose best path carries it.
    pub routes: u64,
}
