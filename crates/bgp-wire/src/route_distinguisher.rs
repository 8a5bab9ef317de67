//! Route distinguishers (RFC 4364 §4.2).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::text::{Assigned, serde_as_text};

/// Keeps equal prefixes of different VPNs apart.
///
/// Held as the eight wire octets: a route reflector must pass on a type it does not know.
///
/// Text forms: `65000:100` (type 0), `192.0.2.1:7` (type 1), `4200000000:7` or `65000L:7` (type 2),
/// `0x` and sixteen digits for any other type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteDistinguisher([u8; 8]);

impl Hash for RouteDistinguisher {
    /// As one number: tables hash one for each route.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from_ne_bytes(self.0));
    }
}

impl RouteDistinguisher {
    /// Type 0: two-octet AS number, four-octet assigned number.
    pub const fn as2(asn: u16, number: u32) -> Self {
        let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
        Self([0, 0, a, b, c, d, e, f])
    }

    /// Type 1: IPv4 address, two-octet assigned number.
    pub const fn ipv4(address: Ipv4Addr, number: u16) -> Self {
        let ([a, b, c, d], [e, f]) = (address.octets(), number.to_be_bytes());
        Self([0, 1, a, b, c, d, e, f])
    }

    /// Type 2: four-octet AS number, two-octet assigned number.
    pub const fn as4(asn: u32, number: u16) -> Self {
        let ([a, b, c, d], [e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
        Self([0, 2, a, b, c, d, e, f])
    }

    /// As on the wire, of whatever type.
    pub const fn from_octets(octets: [u8; 8]) -> Self {
        Self(octets)
    }

    /// As on the wire.
    pub const fn octets(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for RouteDistinguisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, kind, value @ ..] = self.0;
        let assigned = if high == 0 { Assigned::from_value(kind, value) } else { None };
        assigned.unwrap_or(Assigned::Octets(self.0)).fmt(f)
    }
}

impl fmt::Debug for RouteDistinguisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is none of the forms of a [`RouteDistinguisher`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a route distinguisher; write 65000:100, 4200000000:7, 65000L:7 or 192.0.2.1:7"
)]
pub struct ParseRdError(String);

impl FromStr for RouteDistinguisher {
    type Err = ParseRdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Assigned::parse(text).ok_or_else(|| ParseRdError(text.to_owned()))? {
            Assigned::As2(asn, number) => Ok(Self::as2(asn, number)),
            Assigned::Ipv4(address, number) => Ok(Self::ipv4(address, number)),
            Assigned::As4(asn, number) => Ok(Self::as4(asn, number)),
            Assigned::Octets(octets) => Ok(Self(octets)),
        }
    }
}

serde_as_text!(RouteDistinguisher, "a route distinguisher, such as \"65000:100\"");

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every type, and numbers on both sides of the 16-bit line where the text forms meet.
    pub(crate) fn any_rd() -> impl Strategy<Value = RouteDistinguisher> {
        let asn = || prop_oneof![any::<u32>(), 65_530u32..65_540, 0u32..3];
        prop_oneof![
            (any::<u16>(), asn()).prop_map(|(asn, n)| RouteDistinguisher::as2(asn, n)),
            (any::<u32>(), any::<u16>()).prop_map(|(ip, n)| RouteDistinguisher::ipv4(ip.into(), n)),
            (asn(), any::<u16>()).prop_map(|(asn, n)| RouteDistinguisher::as4(asn, n)),
            (0u8..4, any::<[u8; 6]>()).prop_map(|(kind, [a, b, c, d, e, f])| {
                RouteDistinguisher::from_octets([1, kind, a, b, c, d, e, f])
            }),
            any::<[u8; 8]>().prop_map(RouteDistinguisher::from_octets),
        ]
    }

    proptest! {
        /// What we print, we read back as the very same octets.
        #[test]
        fn text_round_trips(rd in any_rd()) {
            prop_assert_eq!(rd.to_string().parse(), Ok(rd));
        }
    }

    #[test]
    fn text_says_the_type() {
        let cases = [
            ("65000:100", [0, 0, 0xfd, 0xe8, 0, 0, 0, 100]),
            ("0:4294967295", [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
            ("192.0.2.1:7", [0, 1, 192, 0, 2, 1, 0, 7]),
            ("4200000000:7", [0, 2, 0xfa, 0x56, 0xea, 0, 0, 7]),
            ("65000L:7", [0, 2, 0, 0, 0xfd, 0xe8, 0, 7]),
            ("0x0003000000000001", [0, 3, 0, 0, 0, 0, 0, 1]),
            ("0x0100fde800000064", [1, 0, 0xfd, 0xe8, 0, 0, 0, 100]),
        ];
        for (text, octets) in cases {
            let rd = RouteDistinguisher::from_octets(octets);
            assert_eq!(text.parse(), Ok(rd), "{text}");
            assert_eq!(rd.to_string(), text);
        }
    }

    #[test]
    fn a_wrong_text_is_told_what_to_write() {
        for text in [
            "",
            "65000",
            "70000:70000",
            "65000:4294967296",
            "1.2.3:4",
            "1.2.3.4:65536",
            "65000:7 ",
            "-1:2",
            "+1:2",
            "0x00",
            "4294967296:1",
            "65000L:65536",
        ] {
            let error = text.parse::<RouteDistinguisher>().expect_err(text);
            assert!(error.to_string().starts_with(&format!("`{text}` is not")), "{error}");
        }
    }
}
