//! The address families of a BGP session, by the names operators use.

use std::{fmt, str::FromStr};

/// An address family (AFI and SAFI) that a session can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4,
    /// AFI 2, SAFI 1.
    Ipv6,
    /// AFI 1, SAFI 128 (RFC 4364).
    Vpnv4,
    /// AFI 2, SAFI 128 (RFC 4659).
    Vpnv6,
    /// AFI 25, SAFI 70 (RFC 7432).
    Evpn,
    /// AFI 1, SAFI 132: route target membership (RFC 4684).
    Rtc,
}

impl Family {
    /// Every family that a topology may name.
    pub const ALL: [Self; 6] =
        [Self::Ipv4, Self::Ipv6, Self::Vpnv4, Self::Vpnv6, Self::Evpn, Self::Rtc];

    /// The text form, as it stands in a topology.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Vpnv4 => "vpnv4",
            Self::Vpnv6 => "vpnv6",
            Self::Evpn => "evpn",
            Self::Rtc => "rtc",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no address family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an address family; write \"vpnv4\", \"vpnv6\", \"evpn\", \"rtc\", \"ipv4\" or \
     \"ipv6\""
)]
pub struct ParseFamilyError(String);

impl FromStr for Family {
    type Err = ParseFamilyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| ParseFamilyError(text.to_owned()))
    }
}
