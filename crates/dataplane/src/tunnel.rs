//! Tunnels to other nodes: one MPLS label behind GRE or UDP, or an Ethernet frame behind VXLAN.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::mac::Mac;

/// A way into a VRF of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tunnel {
    /// The other node's tunnel address; its version is that of the outer header.
    pub remote: IpAddr,
    pub header: TunnelHeader,
}

/// What stands between the underlay's IP header and the packet of the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelHeader {
    /// RFC 4023, protocol 47, with the label that the other node gave out.
    MplsOverGre { label: MplsLabel },
    /// RFC 7510, port 6635, with the label that the other node gave out.
    MplsOverUdp { label: MplsLabel },
    /// RFC 7348, port 4789, with the router's MAC address of the other node (RFC 9135 §6.1).
    Vxlan { vni: Vni, router_mac: Mac },
}

impl TunnelHeader {
    pub const fn encapsulation(&self) -> Encapsulation {
        match self {
            Self::MplsOverGre { .. } => Encapsulation::MplsOverGre,
            Self::MplsOverUdp { .. } => Encapsulation::MplsOverUdp,
            Self::Vxlan { .. } => Encapsulation::Vxlan,
        }
    }

    /// The label or VNI, as a number.
    pub const fn id(&self) -> u32 {
        match self {
            Self::MplsOverGre { label } | Self::MplsOverUdp { label } => label.value(),
            Self::Vxlan { vni, .. } => vni.value(),
        }
    }
}

impl Tunnel {
    /// With an MPLS label. `None`: the encapsulation has no label.
    pub const fn mpls(
        remote: IpAddr,
        encapsulation: Encapsulation,
        label: MplsLabel,
    ) -> Option<Self> {
        let header = match encapsulation {
            Encapsulation::MplsOverGre => TunnelHeader::MplsOverGre { label },
            Encapsulation::MplsOverUdp => TunnelHeader::MplsOverUdp { label },
            Encapsulation::Vxlan => return None,
        };
        Some(Self { remote, header })
    }

    /// Octets that it adds to a packet of the workload.
    pub const fn overhead(&self) -> u16 {
        let outer_ip = if self.remote.is_ipv4() { 20 } else { 40 };
        outer_ip + self.header.encapsulation().inner_overhead()
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (encapsulation, remote) = (self.header.encapsulation(), self.remote);
        match self.header {
            TunnelHeader::MplsOverGre { label } | TunnelHeader::MplsOverUdp { label } => {
                write!(f, "{encapsulation} {remote} label {label}")
            }
            TunnelHeader::Vxlan { vni, .. } => write!(f, "{encapsulation} {remote} vni {vni}"),
        }
    }
}

/// The kinds of tunnel, without what a single one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    MplsOverGre,
    MplsOverUdp,
    Vxlan,
}

impl Encapsulation {
    pub const ALL: [Self; 3] = [Self::MplsOverGre, Self::MplsOverUdp, Self::Vxlan];

    pub const fn name(self) -> &'static str {
        match self {
            Self::MplsOverGre => "mpls-over-gre",
            Self::MplsOverUdp => "mpls-over-udp",
            Self::Vxlan => "vxlan",
        }
    }

    /// Octets between the outer IP header and the packet of the workload.
    const fn inner_overhead(self) -> u16 {
        match self {
            Self::MplsOverGre => 4 + 4,
            Self::MplsOverUdp => 8 + 4,
            Self::Vxlan => 8 + 8 + 14,
        }
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an encapsulation; write mpls-over-gre, mpls-over-udp or vxlan")]
pub struct ParseEncapsulationError(String);

impl FromStr for Encapsulation {
    type Err = ParseEncapsulationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|encapsulation| encapsulation.name() == text)
            .ok_or_else(|| ParseEncapsulationError(text.to_owned()))
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

/// A VXLAN network identifier, 1..=16777215: 0 is nobody's, so that a map may hold it for "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vni(u32);

impl Vni {
    pub const MAX: Self = Self(0xff_ffff);

    pub const fn new(value: u32) -> Option<Self> {
        if value >= 1 && value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    pub const fn value(self) -> u32 {
        self.0
    }
}

/// Text and serde forms of a number that has a range.
macro_rules! ranged {
    ($kind:ident, $error:ident, $message:literal) => {
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $error(u32);

        impl TryFrom<u32> for $kind {
            type Error = $error;

            fn try_from(value: u32) -> Result<Self, Self::Error> {
                Self::new(value).ok_or($error(value))
            }
        }

        impl From<$kind> for u32 {
            fn from(value: $kind) -> Self {
                value.0
            }
        }
    };
}

ranged!(MplsLabel, LabelRangeError, "{0} is not a usable MPLS label; it must be 16 to 1048575");
ranged!(Vni, VniRangeError, "{0} is not a usable VNI; it must be 1 to 16777215");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_impossible_labels_are_refused() {
        assert_eq!(MplsLabel::new(15), None);
        assert_eq!(MplsLabel::new(16), Some(MplsLabel::MIN));
        assert_eq!(MplsLabel::new(0xf_ffff), Some(MplsLabel::MAX));
        assert_eq!(MplsLabel::new(0x10_0000), None);
        assert_eq!(Vni::new(0), None);
        assert_eq!(Vni::new(0xff_ffff), Some(Vni::MAX));
        assert_eq!(Vni::new(0x100_0000), None);
    }

    #[test]
    fn an_encapsulation_reads_back_what_it_prints() {
        for encapsulation in Encapsulation::ALL {
            assert_eq!(encapsulation.to_string().parse(), Ok(encapsulation));
        }
        assert!("geneve".parse::<Encapsulation>().is_err());
    }

    #[test]
    fn overhead_is_outer_ip_and_what_follows() {
        let label = MplsLabel::MIN;
        let vxlan = TunnelHeader::Vxlan { vni: Vni::MAX, router_mac: Mac([2, 0, 0, 0, 0, 1]) };
        let cases = [
            ("192.0.2.1", TunnelHeader::MplsOverGre { label }, 28),
            ("192.0.2.1", TunnelHeader::MplsOverUdp { label }, 32),
            ("192.0.2.1", vxlan, 50),
            ("2001:db8::1", TunnelHeader::MplsOverGre { label }, 48),
            ("2001:db8::1", vxlan, 70),
        ];
        for (remote, header, want) in cases {
            let tunnel = Tunnel { remote: remote.parse().unwrap(), header };
            assert_eq!(tunnel.overhead(), want, "{tunnel}");
        }
    }
}
