//! Which path is best, and the step that decided (RFC 4271 §9.1.2.2, RFC 4456 §9).

use std::fmt;

/// The step that told two paths apart, in the order they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Higher LOCAL_PREF.
    LocalPref,
    /// Shorter AS_PATH.
    AsPathLength,
    /// Lower ORIGIN.
    Origin,
    /// Lower MED, among paths of the same neighbouring AS.
    Med,
    /// External before internal.
    External,
    /// Lower ORIGINATOR_ID, or router id of the sender.
    RouterId,
    /// Shorter CLUSTER_LIST.
    ClusterListLength,
    /// Lower address of the sender.
    PeerAddress,
    /// Lower path identifier, of paths from one sender.
    PathId,
}

impl Step {
    /// Name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LocalPref => "local-preference",
            Self::AsPathLength => "as-path-length",
            Self::Origin => "origin",
            Self::Med => "med",
            Self::External => "external",
            Self::RouterId => "router-id",
            Self::ClusterListLength => "cluster-list-length",
            Self::PeerAddress => "peer-address",
            Self::PathId => "path-id",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
