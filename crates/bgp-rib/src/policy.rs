//! What is taken in and what goes out.

use std::fmt;

/// Why an announced route was not taken (RFC 4271 §9.1.2, RFC 4456 §8, RFC 4684). It counts as a
/// withdrawal of what the peer had announced before under the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reject {
    /// Our AS is in AS_PATH.
    AsLoop,
    /// ORIGINATOR_ID is our router id.
    Originator,
    /// Our cluster id is in CLUSTER_LIST.
    ClusterLoop,
    /// AS_PATH of an external peer does not start with its AS.
    FirstAs,
    NoNextHop,
    /// None of its route targets is among [`crate::PeerView::import_targets`].
    ImportTargets,
}

impl Reject {
    pub const ALL: [Self; 6] = [
        Self::AsLoop,
        Self::Originator,
        Self::ClusterLoop,
        Self::FirstAs,
        Self::NoNextHop,
        Self::ImportTargets,
    ];

    /// Name in metrics and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsLoop => "as-loop",
            Self::Originator => "originator-loop",
            Self::ClusterLoop => "cluster-loop",
            Self::FirstAs => "first-as",
            Self::NoNextHop => "no-next-hop",
            Self::ImportTargets => "import-targets",
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
