//! Address families by number (IANA "Address Family Numbers", "SAFI Parameters").

use std::fmt;
use std::str::FromStr;

use crate::text::serde_as_text;

/// Address family identifier, IANA "Address Family Numbers".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Afi(pub u16);

impl Afi {
    /// IPv4, RFC 4760.
    pub const IPV4: Self = Self(1);
    /// IPv6, RFC 4760.
    pub const IPV6: Self = Self(2);
    /// L2VPN, RFC 7432.
    pub const L2VPN: Self = Self(25);
}

/// Subsequent address family identifier, IANA "SAFI Parameters".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Safi(pub u8);

impl Safi {
    /// RFC 4760.
    pub const UNICAST: Self = Self(1);
    /// Labeled unicast, RFC 8277.
    pub const LABELED: Self = Self(4);
    /// RFC 7432.
    pub const EVPN: Self = Self(70);
    /// MPLS-labelled VPN address, RFC 4364.
    pub const VPN: Self = Self(128);
    /// Route target constraint, RFC 4684.
    pub const RTC: Self = Self(132);
}

/// One address family: what a capability, a table and an MP attribute are about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AfiSafi {
    pub afi: Afi,
    pub safi: Safi,
}

impl AfiSafi {
    pub const IPV4_UNICAST: Self = Self { afi: Afi::IPV4, safi: Safi::UNICAST };
    pub const IPV6_UNICAST: Self = Self { afi: Afi::IPV6, safi: Safi::UNICAST };
    pub const IPV4_LABELED: Self = Self { afi: Afi::IPV4, safi: Safi::LABELED };
    pub const IPV6_LABELED: Self = Self { afi: Afi::IPV6, safi: Safi::LABELED };
    pub const VPNV4: Self = Self { afi: Afi::IPV4, safi: Safi::VPN };
    pub const VPNV6: Self = Self { afi: Afi::IPV6, safi: Safi::VPN };
    pub const EVPN: Self = Self { afi: Afi::L2VPN, safi: Safi::EVPN };
    pub const RTC: Self = Self { afi: Afi::IPV4, safi: Safi::RTC };

    /// The families we have tables for, by the names used in files, commands and metrics.
    pub const NAMED: [(Self, &'static str); 8] = [
        (Self::IPV4_UNICAST, "ipv4"),
        (Self::IPV6_UNICAST, "ipv6"),
        (Self::IPV4_LABELED, "ipv4-labeled"),
        (Self::IPV6_LABELED, "ipv6-labeled"),
        (Self::VPNV4, "vpnv4"),
        (Self::VPNV6, "vpnv6"),
        (Self::EVPN, "evpn"),
        (Self::RTC, "rtc"),
    ];

    /// Whether routes of this family carry route targets, and are told by interest in them.
    pub fn has_targets(self) -> bool {
        matches!(self, Self::VPNV4 | Self::VPNV6 | Self::EVPN)
    }
}

impl fmt::Display for AfiSafi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(family, _)| family == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}/{}", self.afi.0, self.safi.0),
        }
    }
}

impl fmt::Debug for AfiSafi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is no [`AfiSafi`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a family; write ipv4, ipv6, ipv4-labeled, ipv6-labeled, vpnv4, vpnv6, evpn, rtc or \
     numbers like 1/128"
)]
pub struct ParseFamilyError(String);

impl FromStr for AfiSafi {
    type Err = ParseFamilyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((family, _)) = Self::NAMED.iter().find(|(_, name)| *name == text) {
            return Ok(*family);
        }
        text.split_once('/')
            .and_then(|(afi, safi)| Some((afi.parse().ok()?, safi.parse().ok()?)))
            .map(|(afi, safi)| Self { afi: Afi(afi), safi: Safi(safi) })
            .ok_or_else(|| ParseFamilyError(text.to_owned()))
    }
}

serde_as_text!(AfiSafi, "a family, such as \"vpnv4\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_names_or_numbers() {
        for (family, name) in AfiSafi::NAMED {
            assert_eq!(family.to_string(), name);
            assert_eq!(name.parse(), Ok(family));
        }
        let other = AfiSafi { afi: Afi(16_388), safi: Safi(71) };
        assert_eq!(other.to_string(), "16388/71");
        assert_eq!("16388/71".parse(), Ok(other));
        for text in ["", "vpn", "1", "1/256", "65536/1", "1/1/1"] {
            assert!(text.parse::<AfiSafi>().is_err(), "{text}");
        }
    }
}
