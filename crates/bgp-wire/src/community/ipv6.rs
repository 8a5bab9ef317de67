//! IPv6-address-specific extended communities (RFC 5701).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::ParseCommunityError;
use crate::text::{parse_hex, serde_as_text};

/// An extended community of twenty octets, held as they are: unknown ones are passed on.
///
/// Text forms: `target:2001:db8::1:100` (RFC 5701 §3), `origin:`, `vrf-route-import:` (RFC 6515 §2),
/// and `0x` with forty digits for others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv6ExtendedCommunity(pub [u8; 20]);

/// (type, sub-type, name), IANA "Transitive IPv6-Address-Specific Extended Community Types".
const NAMES: [(u8, u8, &str); 6] = [
    (0x00, 0x02, "target"),
    (0x00, 0x03, "origin"),
    (0x00, 0x0b, "vrf-route-import"),
    (0x00, 0x0c, "redirect-ipv6"),
    (0x00, 0x12, "p2mp-segmented-next-hop"),
    (0x00, 0x14, "vrf-recursive-next-hop"),
];

impl Ipv6ExtendedCommunity {
    fn parts(&self) -> (u8, u8, Ipv6Addr, u16) {
        let [kind, sub_type, address @ .., high, low] = self.0;
        (kind, sub_type, Ipv6Addr::from(address), u16::from_be_bytes([high, low]))
    }

    fn of(kind: u8, sub_type: u8, address: Ipv6Addr, number: u16) -> Self {
        let mut octets = [0; 20];
        let all = [kind, sub_type].into_iter().chain(address.octets()).chain(number.to_be_bytes());
        octets.iter_mut().zip(all).for_each(|(octet, value)| *octet = value);
        Self(octets)
    }
}

impl fmt::Display for Ipv6ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, sub_type, address, number) = self.parts();
        if let Some((_, _, name)) = NAMES.iter().find(|(k, s, _)| (*k, *s) == (kind, sub_type)) {
            return write!(f, "{name}:{address}:{number}");
        }
        f.write_str("0x")?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Ipv6ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Ipv6ExtendedCommunity {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseCommunityError::Ipv6Extended(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Ipv6ExtendedCommunity> {
    if let Some(digits) = text.strip_prefix("0x") {
        return parse_hex(digits)?.try_into().ok().map(Ipv6ExtendedCommunity);
    }
    let (name, value) = text.split_once(':')?;
    let (kind, sub_type, _) = NAMES.iter().find(|(.., known)| *known == name)?;
    let (address, number) = value.rsplit_once(':')?;
    let (address, number) = (address.parse().ok()?, number.parse().ok()?);
    Some(Ipv6ExtendedCommunity::of(*kind, *sub_type, address, number))
}

serde_as_text!(
    Ipv6ExtendedCommunity,
    "an IPv6 extended community, such as \"target:2001:db8::1:100\""
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_the_ones_operators_write() {
        let target: Ipv6ExtendedCommunity = "target:2001:db8::1:100".parse().expect("RFC 5701 §3");
        assert_eq!(target.0[..6], [0, 2, 0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(target.0[16..], [0, 1, 0, 100]);
        for text in ["", "target:1:2", "target:2001:db8::1:65536", "0x00", "rt:::1"] {
            assert!(text.parse::<Ipv6ExtendedCommunity>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(octets: [u8; 20], row in 0..NAMES.len()) {
            let (kind, sub_type, _) = NAMES[row];
            let mut named = octets;
            (named[0], named[1]) = (kind, sub_type);
            for octets in [octets, named] {
                let community = Ipv6ExtendedCommunity(octets);
                prop_assert_eq!(community.to_string().parse(), Ok(community));
            }
        }
    }
}
