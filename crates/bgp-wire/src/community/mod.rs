//! Communities: standard, large, and extended ones by name.

mod extended;
mod ipv6;
mod names;

use std::fmt;
use std::str::FromStr;

use crate::text::serde_as_text;

pub use extended::{ExtendedCommunity, MacMobility, TunnelType};
pub use ipv6::Ipv6ExtendedCommunity;

/// A community of RFC 1997.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl Community {
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);
    /// RFC 8326.
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// RFC 7611.
    pub const ACCEPT_OWN: Self = Self(0xffff_0001);
    /// RFC 7999.
    pub const BLACKHOLE: Self = Self(0xffff_029a);
    /// RFC 3765.
    pub const NO_PEER: Self = Self(0xffff_ff04);
    /// RFC 9494.
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// RFC 9494.
    pub const NO_LLGR: Self = Self(0xffff_0007);

    /// Those with a name, IANA "BGP Well-known Communities".
    const NAMED: [(Self, &'static str); 9] = [
        (Self::NO_EXPORT, "no-export"),
        (Self::NO_ADVERTISE, "no-advertise"),
        (Self::NO_EXPORT_SUBCONFED, "no-export-subconfed"),
        (Self::NO_PEER, "no-peer"),
        (Self::GRACEFUL_SHUTDOWN, "graceful-shutdown"),
        (Self::ACCEPT_OWN, "accept-own"),
        (Self::BLACKHOLE, "blackhole"),
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
    #[error(
        "`{0}` is not an IPv6 extended community; write target:2001:db8::1:100 or 0x and 40 digits"
    )]
    Ipv6Extended(String),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_the_ones_operators_write() {
        let cases = [
            ("65000:100", Community(0xfde8_0064)),
            ("no-export", Community::NO_EXPORT),
            ("65535:2", Community(0xffff_0002)),
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
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            standard: u32,
            large: [u32; 3],
        ) {
            let standard = Community(standard);
            prop_assert_eq!(standard.to_string().parse(), Ok(standard));
            let [global, data1, data2] = large;
            let large = LargeCommunity { global, data1, data2 };
            prop_assert_eq!(large.to_string().parse(), Ok(large));
        }
    }
}
