//! Communities: standard, extended, large.

use std::fmt;
use std::str::FromStr;

use crate::route_target::RouteTarget;
use crate::text::{parse_octets, serde_as_text};

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

    /// Those with a name, IANA "BGP Well-known Communities".
    const NAMED: [(Self, &'static str); 5] = [
        (Self::NO_EXPORT, "no-export"),
        (Self::NO_ADVERTISE, "no-advertise"),
        (Self::NO_EXPORT_SUBCONFED, "no-export-subconfed"),
        (Self::LLGR_STALE, "llgr-stale"),
        (Self::NO_LLGR, "no-llgr"),
    ];
}

impl fmt::Display for Community {
    /// `65000:100`, or the name of a well-known one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(community, _)| community == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff),
        }
    }
}

/// A text that is no community of the sort that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseCommunityError {
    #[error("`{0}` is not a community; write 65000:100 or a name like no-export")]
    Standard(String),
    #[error("`{0}` is not a large community; write 65000:1:2")]
    Large(String),
    #[error(
        "`{0}` is not an extended community; write target:65000:100, encapsulation:2 or \
         0x0123456789abcdef"
    )]
    Extended(String),
}

impl FromStr for Community {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((community, _)) = Self::NAMED.iter().find(|(_, name)| *name == text) {
            return Ok(*community);
        }
        text.split_once(':')
            .and_then(|(high, low)| Some((high.parse::<u16>().ok()?, low.parse::<u16>().ok()?)))
            .map(|(high, low)| Self(u32::from(high) << 16 | u32::from(low)))
            .ok_or_else(|| ParseCommunityError::Standard(text.to_owned()))
    }
}

serde_as_text!(Community, "a community, such as \"65000:100\"");

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

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.data1, self.data2)
    }
}

impl FromStr for LargeCommunity {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':').map(|part| part.parse().ok());
        match [parts.next(), parts.next(), parts.next(), parts.next()] {
            [Some(Some(global)), Some(Some(data1)), Some(Some(data2)), None] => {
                Ok(Self { global, data1, data2 })
            }
            _ => Err(ParseCommunityError::Large(text.to_owned())),
        }
    }
}

serde_as_text!(LargeCommunity, "a large community, such as \"65000:1:2\"");

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
            (_, Some(tunnel)) if Self::encapsulation(tunnel) == *self => {
                write!(f, "encapsulation:{}", tunnel.0)
            }
            _ => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

impl FromStr for ExtendedCommunity {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let community = match text.split_once(':') {
            Some(("target", target)) => target.parse().ok().map(|t: RouteTarget| t.into()),
            Some(("encapsulation", tunnel)) => {
                tunnel.parse().ok().map(|tunnel| Self::encapsulation(TunnelType(tunnel)))
            }
            Some(_) => None,
            None => parse_octets(text).map(Self),
        };
        community.ok_or_else(|| ParseCommunityError::Extended(text.to_owned()))
    }
}

serde_as_text!(ExtendedCommunity, "an extended community, such as \"target:65000:100\"");

impl fmt::Debug for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_the_ones_operators_write() {
        let cases = [
            ("65000:100", Community(0xfde8_0064)),
            ("no-export", Community::NO_EXPORT),
            ("65535:1", Community(0xffff_0001)),
        ];
        for (text, community) in cases {
            assert_eq!(text.parse(), Ok(community));
            assert_eq!(community.to_string(), text);
        }
        for text in ["", "65000", "65536:1", "1:65536", "1:2:3", "NO-EXPORT"] {
            assert!(text.parse::<Community>().is_err(), "{text}");
        }
        for text in ["1:2", "1:2:3:4", "1:2:4294967296", "1::3"] {
            assert!(text.parse::<LargeCommunity>().is_err(), "{text}");
        }
        for text in ["65000:100", "target:65000", "encapsulation:65536", "0x00", "rt:1:1"] {
            assert!(text.parse::<ExtendedCommunity>().is_err(), "{text}");
        }
        let gre = ExtendedCommunity::encapsulation(TunnelType::GRE);
        assert_eq!(gre.to_string(), "encapsulation:2");
        assert_eq!(
            ExtendedCommunity::from(RouteTarget::as2(65000, 1)).to_string(),
            "target:65000:1"
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            standard: u32,
            large: [u32; 3],
            extended: [u8; 8],
            kind in 0u8..4,
            sub_type in prop_oneof![Just(2u8), Just(0x0c), Just(3)],
            zeros: bool,
        ) {
            let standard = Community(standard);
            prop_assert_eq!(standard.to_string().parse(), Ok(standard));
            let [global, data1, data2] = large;
            let large = LargeCommunity { global, data1, data2 };
            prop_assert_eq!(large.to_string().parse(), Ok(large));
            let [_, _, a, b, c, d, e, f] = if zeros { [0; 8] } else { extended };
            for octets in [extended, [kind, sub_type, a, b, c, d, e, f]] {
                let extended = ExtendedCommunity(octets);
                prop_assert_eq!(extended.to_string().parse(), Ok(extended));
            }
        }
    }
}
