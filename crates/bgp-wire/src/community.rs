//! Communities: standard, extended, large.

use std::fmt;

use crate::route_target::RouteTarget;

/// A community of RFC 1997.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl Community {
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);
    /// RFC 9494.
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// RFC 9494.
    pub const NO_LLGR: Self = Self(0xffff_0007);
}

/// A large community (RFC 8092).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity {
    pub global: u32,
    pub data1: u32,
    pub data2: u32,
}

impl LargeCommunity {
    /// As on the wire.
    pub(crate) fn from_octets(octets: &[u8; 12]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *octets;
        Self {
            global: u32::from_be_bytes([a, b, c, d]),
            data1: u32::from_be_bytes([e, f, g, h]),
            data2: u32::from_be_bytes([i, j, k, l]),
        }
    }

    /// As on the wire.
    pub(crate) fn octets(self) -> [u8; 12] {
        let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) =
            (self.global.to_be_bytes(), self.data1.to_be_bytes(), self.data2.to_be_bytes());
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }
}

/// An extended community (RFC 4360), held as its eight octets: unknown ones are passed on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedCommunity(pub [u8; 8]);

/// Tunnel types of RFC 5512 / RFC 9012, IANA "BGP Tunnel Encapsulation Attribute Tunnel Types".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelType(pub u16);

impl TunnelType {
    /// What MPLSoGRE is announced as (RFC 9012, and what Juniper and Contrail send).
    pub const GRE: Self = Self(2);
    pub const VXLAN: Self = Self(8);
    /// "MPLS in GRE"; accepted as MPLSoGRE, never sent.
    pub const MPLS_IN_GRE: Self = Self(11);
    pub const MPLS_IN_UDP: Self = Self(13);
}

impl ExtendedCommunity {
    /// The encapsulation community (RFC 9012 §4.1).
    pub const fn encapsulation(tunnel: TunnelType) -> Self {
        let [a, b] = tunnel.0.to_be_bytes();
        Self([0x03, 0x0c, 0, 0, 0, 0, a, b])
    }

    /// The tunnel type, if this is an encapsulation community.
    pub const fn as_encapsulation(self) -> Option<TunnelType> {
        match self.0 {
            [0x03, 0x0c, .., a, b] => Some(TunnelType(u16::from_be_bytes([a, b]))),
            _ => None,
        }
    }

    /// The route target, if this is one (RFC 4360 §4, RFC 5668 §2).
    pub const fn as_route_target(self) -> Option<RouteTarget> {
        match self.0 {
            [0x00..=0x02, 0x02, ..] => Some(RouteTarget::from_octets(self.0)),
            _ => None,
        }
    }

    /// Whether it stays with the route across AS borders (RFC 4360 §2: the T bit is 0).
    pub const fn is_transitive(self) -> bool {
        self.0[0] & 0x40 == 0
    }
}

impl From<RouteTarget> for ExtendedCommunity {
    fn from(target: RouteTarget) -> Self {
        Self(target.octets())
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_route_target(), self.as_encapsulation()) {
            (Some(target), _) => write!(f, "target:{target}"),
            (_, Some(TunnelType(tunnel))) => write!(f, "encapsulation:{tunnel}"),
            _ => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

impl fmt::Debug for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Community {
    /// `65000:100`, or the name of a well-known one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NO_EXPORT => f.write_str("no-export"),
            Self::NO_ADVERTISE => f.write_str("no-advertise"),
            Self::NO_EXPORT_SUBCONFED => f.write_str("no-export-subconfed"),
            Self::LLGR_STALE => f.write_str("llgr-stale"),
            Self::NO_LLGR => f.write_str("no-llgr"),
            Self(number) => write!(f, "{}:{}", number >> 16, number & 0xffff),
        }
    }
}

impl fmt::Display for LargeCommunity {
    /// `global:data1:data2`, RFC 8092 §5.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.data1, self.data2)
    }
}
