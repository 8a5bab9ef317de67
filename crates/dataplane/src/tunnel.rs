//! Tunnels to other nodes: one MPLS label behind GRE or UDP.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A way into a VRF of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tunnel {
    /// The other node's tunnel address.
    pub remote: Ipv4Addr,
    pub encapsulation: Encapsulation,
    /// The label that the other node gave out.
    pub label: MplsLabel,
}

/// What stands between the underlay's IP header and the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    /// RFC 4023, protocol 47.
    MplsOverGre,
    /// RFC 7510, port 6635.
    MplsOverUdp,
}

impl Encapsulation {
    pub const fn name(self) -> &'static str {
        match self {
            Self::MplsOverGre => "mpls-over-gre",
            Self::MplsOverUdp => "mpls-over-udp",
        }
    }

    /// Octets that the tunnel adds to a packet of the workload.
    pub const fn overhead(self) -> u16 {
        match self {
            Self::MplsOverGre => 20 + 4 + 4,
            Self::MplsOverUdp => 20 + 8 + 4,
        }
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an encapsulation; write mpls-over-gre or mpls-over-udp")]
pub struct ParseEncapsulationError(String);

impl FromStr for Encapsulation {
    type Err = ParseEncapsulationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "mpls-over-gre" => Ok(Self::MplsOverGre),
            "mpls-over-udp" => Ok(Self::MplsOverUdp),
            _ => Err(ParseEncapsulationError(text.to_owned())),
        }
    }
}

/// An MPLS label that may be given out, 16..=1048575: the lower ones are reserved (RFC 3032 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MplsLabel(u32);

impl MplsLabel {
    pub const MIN: Self = Self(16);
    pub const MAX: Self = Self(0xf_ffff);

    pub const fn new(value: u32) -> Option<Self> {
        if value >= Self::MIN.0 && value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for MplsLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a usable MPLS label; it must be 16 to 1048575")]
pub struct LabelRangeError(u32);

impl TryFrom<u32> for MplsLabel {
    type Error = LabelRangeError;

    fn try_from(value: u32) -> Result<Self, Self::Error> {
        Self::new(value).ok_or(LabelRangeError(value))
    }
}

impl From<MplsLabel> for u32 {
    fn from(label: MplsLabel) -> Self {
        label.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_impossible_labels_are_refused() {
        assert_eq!(MplsLabel::new(15), None);
        assert_eq!(MplsLabel::new(16), Some(MplsLabel::MIN));
        assert_eq!(MplsLabel::new(0xf_ffff), Some(MplsLabel::MAX));
        assert_eq!(MplsLabel::new(0x10_0000), None);
    }

    #[test]
    fn an_encapsulation_reads_back_what_it_prints() {
        for encapsulation in [Encapsulation::MplsOverGre, Encapsulation::MplsOverUdp] {
            assert_eq!(encapsulation.to_string().parse(), Ok(encapsulation));
        }
        assert!("vxlan".parse::<Encapsulation>().is_err());
    }
}
