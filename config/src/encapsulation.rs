//! The ways to carry a packet between nodes.

use std::{fmt, str::FromStr};

/// How a packet of a workload crosses the underlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encapsulation {
    /// RFC 4023: IP protocol 47 with GRE protocol 0x8847.
    MplsOverGre,
    /// RFC 7510: UDP port 6635.
    MplsOverUdp,
    /// RFC 7348: UDP port 4789, with the VNI of the network (RFC 9136 section 4.4).
    Vxlan,
}

impl Encapsulation {
    /// Every encapsulation that a topology may name.
    pub const ALL: [Self; 3] = [Self::MplsOverGre, Self::MplsOverUdp, Self::Vxlan];

    /// What a cloud prefers that does not say.
    pub(crate) const DEFAULT: [Self; 2] = [Self::MplsOverGre, Self::MplsOverUdp];

    /// The text form, as it stands in a topology.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MplsOverGre => "mpls-over-gre",
            Self::MplsOverUdp => "mpls-over-udp",
            Self::Vxlan => "vxlan",
        }
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no encapsulation of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an encapsulation; write \"mpls-over-gre\", \"mpls-over-udp\" or \"vxlan\"")]
pub struct ParseEncapsulationError(String);

impl FromStr for Encapsulation {
    type Err = ParseEncapsulationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| ParseEncapsulationError(text.to_owned()))
    }
}
