use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An address family that is carried, spelt as in the topology file.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4,
    /// AFI 2, SAFI 1.
    Ipv6,
    /// AFI 1, SAFI 4: labeled unicast (RFC 8277).
    Ipv4Labeled,
    /// AFI 2, SAFI 4: labeled unicast (RFC 8277).
    Ipv6Labeled,
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
    /// Every family, in the order in which lists show them.
    pub const ALL: [Self; 8] = [
        Self::Ipv4,
        Self::Ipv6,
        Self::Ipv4Labeled,
        Self::Ipv6Labeled,
        Self::Vpnv4,
        Self::Vpnv6,
        Self::Evpn,
        Self::Rtc,
    ];

    /// The text form, in JSON, in queries and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Ipv4Labeled => "ipv4-labeled",
            Self::Ipv6Labeled => "ipv6-labeled",
            Self::Vpnv4 => "vpnv4",
            Self::Vpnv6 => "vpnv6",
            Self::Evpn => "evpn",
            Self::Rtc => "rtc",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no family that we carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an address family; write ipv4, ipv6, ipv4-labeled, ipv6-labeled, vpnv4, vpnv6, evpn or rtc"
)]
pub struct UnknownFamily(String);

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|family| family.name() == text)
            .ok_or_else(|| UnknownFamily(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_spell_a_family_alike() {
        for family in Family::ALL {
            assert_eq!(family.to_string().parse(), Ok(family));
            let json = serde_json::to_string(&family).expect("a unit variant");
            assert_eq!(json, format!("\"{family}\""));
        }
    }

    #[test]
    fn a_wrong_family_is_told_the_right_ones() {
        let error = "l3vpn".parse::<Family>().expect_err("no such family");
        assert!(error.to_string().contains("vpnv4"), "{error}");
    }
}
