//! Route targets (RFC 4360 §4) and memberships in them (RFC 4684).

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::text::{Assigned, serde_as_text};

/// The sub-type of a route target in an extended community (RFC 4360 §4).
const ROUTE_TARGET: u8 = 0x02;

/// Which VPNs a route belongs to. Held as the eight octets of the extended community.
///
/// Text forms: `65000:100` (two-octet AS), `4200000000:7` or `65000L:7` (four-octet AS),
/// `192.0.2.1:7`, and `0x0123456789abcdef` for anything else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteTarget([u8; 8]);

impl RouteTarget {
    /// Two-octet AS number, four-octet assigned number (RFC 4360 §3.1).
    pub const fn as2(asn: u16, number: u32) -> Self {
        let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
        Self([0, ROUTE_TARGET, a, b, c, d, e, f])
    }

    /// IPv4 address, two-octet assigned number (RFC 4360 §3.2).
    pub const fn ipv4(address: Ipv4Addr, number: u16) -> Self {
        let ([a, b, c, d], [e, f]) = (address.octets(), number.to_be_bytes());
        Self([1, ROUTE_TARGET, a, b, c, d, e, f])
    }

    /// Four-octet AS number, two-octet assigned number (RFC 5668 §2).
    pub const fn as4(asn: u32, number: u16) -> Self {
        let ([a, b, c, d], [e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
        Self([2, ROUTE_TARGET, a, b, c, d, e, f])
    }

    /// The eight octets of the extended community.
    pub const fn from_octets(octets: [u8; 8]) -> Self {
        Self(octets)
    }

    /// The eight octets of the extended community.
    pub const fn octets(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, sub_type, value @ ..] = self.0;
        let assigned =
            if sub_type == ROUTE_TARGET { Assigned::from_value(kind, value) } else { None };
        assigned.unwrap_or(Assigned::Octets(self.0)).fmt(f)
    }
}

impl fmt::Debug for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is none of the forms of a [`RouteTarget`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a route target; write 65000:100, 4200000000:7, 65000L:7 or 192.0.2.1:7")]
pub struct ParseRtError(String);

impl FromStr for RouteTarget {
    type Err = ParseRtError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Assigned::parse(text).ok_or_else(|| ParseRtError(text.to_owned()))? {
            Assigned::As2(asn, number) => Ok(Self::as2(asn, number)),
            Assigned::Ipv4(address, number) => Ok(Self::ipv4(address, number)),
            Assigned::As4(asn, number) => Ok(Self::as4(asn, number)),
            Assigned::Octets(octets) => Ok(Self(octets)),
        }
    }
}

serde_as_text!(RouteTarget, "a route target, such as \"65000:100\"");

/// A membership: who wants the routes of which targets. Key of the RTC family (RFC 4684 §4).
///
/// `length` is in bits: 0 is the default target (everything), 32 to 96 is the origin AS and then
/// the first `length - 32` bits of a route target. Bits past the length are zero.
///
/// Text forms: `default`; `64512:65000:100`, the origin AS and one target; `64512:*`, all targets
/// wanted in that AS; `64512:0x0002fde800000000/64`, the targets whose first bits are these, with
/// the length as on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RtMembership {
    length: u8,
    origin_as: u32,
    target: [u8; 8],
}

impl RtMembership {
    /// The default target: all routes are wanted.
    pub const DEFAULT: Self = Self { length: 0, origin_as: 0, target: [0; 8] };

    /// One whole route target, wanted by a speaker of `origin_as`.
    pub const fn exact(origin_as: u32, target: RouteTarget) -> Self {
        Self { length: 96, origin_as, target: target.octets() }
    }

    /// A membership of `length` bits, 0 or 32..=96; bits past it are cleared. `None` for any other
    /// length (RFC 4684 §4).
    pub const fn new(length: u8, origin_as: u32, target: [u8; 8]) -> Option<Self> {
        match length {
            0 => Some(Self::DEFAULT),
            32 => Some(Self { length, origin_as, target: [0; 8] }),
            33..=96 => {
                let mask = u64::MAX << (96 - length);
                let target = (u64::from_be_bytes(target) & mask).to_be_bytes();
                Some(Self { length, origin_as, target })
            }
            _ => None,
        }
    }

    /// In bits: 0 or 32..=96.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// The AS that wants the routes; 0 for the default target.
    pub const fn origin_as(self) -> u32 {
        self.origin_as
    }

    /// The first bits of the wanted targets, zeros after them.
    pub const fn target_octets(self) -> [u8; 8] {
        self.target
    }

    /// Whether a route with `target` is wanted: the first `length - 32` bits agree.
    pub fn matches(self, target: RouteTarget) -> bool {
        let bits = u32::from(self.length.saturating_sub(32));
        let differ = u64::from_be_bytes(self.target) ^ u64::from_be_bytes(target.octets());
        bits == 0 || differ.leading_zeros() >= bits
    }

    /// The target, if the membership is for exactly one.
    pub fn exact_target(self) -> Option<RouteTarget> {
        (self.length == 96).then(|| RouteTarget::from_octets(self.target))
    }
}

impl fmt::Display for RtMembership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, origin_as, target } = self;
        match length {
            0 => f.write_str("default"),
            32 => write!(f, "{origin_as}:*"),
            96 => write!(f, "{origin_as}:{}", RouteTarget(*target)),
            _ => write!(f, "{origin_as}:0x{:016x}/{length}", u64::from_be_bytes(*target)),
        }
    }
}

impl fmt::Debug for RtMembership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is none of the forms of a [`RtMembership`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a route target membership; write default, 64512:65000:100, 64512:* or \
     64512:0x0002fde800000000/64"
)]
pub struct ParseMembershipError(String);

impl FromStr for RtMembership {
    type Err = ParseMembershipError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_membership(text).ok_or_else(|| ParseMembershipError(text.to_owned()))
    }
}

fn parse_membership(text: &str) -> Option<RtMembership> {
    if text == "default" {
        return Some(RtMembership::DEFAULT);
    }
    let (origin_as, target) = text.split_once(':')?;
    let origin_as = origin_as.parse().ok()?;
    if target == "*" {
        return RtMembership::new(32, origin_as, [0; 8]);
    }
    match target.split_once('/') {
        None => Some(RtMembership::exact(origin_as, target.parse().ok()?)),
        Some((target, length)) => {
            let length = length.parse().ok().filter(|length| *length >= 32)?;
            let Assigned::Octets(octets) = Assigned::parse(target)? else { return None };
            RtMembership::new(length, origin_as, octets)
        }
    }
}

serde_as_text!(RtMembership, "a route target membership, such as \"64512:65000:100\"");

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every type, and numbers on both sides of the 16-bit line where the text forms meet.
    pub(crate) fn any_rt() -> impl Strategy<Value = RouteTarget> {
        let asn = || prop_oneof![any::<u32>(), 65_530u32..65_540, 0u32..3];
        prop_oneof![
            (any::<u16>(), asn()).prop_map(|(asn, n)| RouteTarget::as2(asn, n)),
            (any::<u32>(), any::<u16>()).prop_map(|(ip, n)| RouteTarget::ipv4(ip.into(), n)),
            (asn(), any::<u16>()).prop_map(|(asn, n)| RouteTarget::as4(asn, n)),
            (0u8..4, 0u8..4, any::<[u8; 6]>()).prop_map(|(kind, sub, [a, b, c, d, e, f])| {
                RouteTarget::from_octets([kind, sub, a, b, c, d, e, f])
            }),
            any::<[u8; 8]>().prop_map(RouteTarget::from_octets),
        ]
    }

    /// Every length there is, the ends more often than the middle.
    pub(crate) fn any_membership() -> impl Strategy<Value = RtMembership> {
        let length = prop_oneof![Just(0u8), Just(32), Just(33), 32u8..=96, Just(95), Just(96)];
        (length, any::<u32>(), any_rt()).prop_map(|(length, origin_as, target)| {
            RtMembership::new(length, origin_as, target.octets()).expect("a possible length")
        })
    }

    proptest! {
        #[test]
        fn target_text_round_trips(target in any_rt()) {
            prop_assert_eq!(target.to_string().parse(), Ok(target));
        }

        #[test]
        fn membership_text_round_trips(membership in any_membership()) {
            prop_assert_eq!(membership.to_string().parse(), Ok(membership));
        }

        /// A membership made from a target's first bits wants that target, and one bit inside its
        /// length decides.
        #[test]
        fn a_membership_matches_by_its_first_bits(
            target in any_rt(), length in 33u8..=96, flip in 0u8..64,
        ) {
            let membership = RtMembership::new(length, 1, target.octets()).expect("in range");
            prop_assert!(membership.matches(target));
            let other = u64::from_be_bytes(target.octets()) ^ (1 << (63 - flip));
            let other = RouteTarget::from_octets(other.to_be_bytes());
            prop_assert_eq!(membership.matches(other), flip >= length - 32);
        }
    }

    #[test]
    fn text_says_the_type() {
        let cases = [
            ("65000:100", [0, 2, 0xfd, 0xe8, 0, 0, 0, 100]),
            ("192.0.2.1:7", [1, 2, 192, 0, 2, 1, 0, 7]),
            ("4200000000:7", [2, 2, 0xfa, 0x56, 0xea, 0, 0, 7]),
            ("65000L:7", [2, 2, 0, 0, 0xfd, 0xe8, 0, 7]),
            ("0x0003fde800000064", [0, 3, 0xfd, 0xe8, 0, 0, 0, 100]),
        ];
        for (text, octets) in cases {
            let target = RouteTarget::from_octets(octets);
            assert_eq!(text.parse(), Ok(target), "{text}");
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn impossible_lengths_make_no_membership() {
        for length in (1..32).chain(97..=255) {
            assert_eq!(RtMembership::new(length, 1, [0xff; 8]), None, "{length}");
        }
    }

    #[test]
    fn memberships_read_as_they_are_written() {
        let target = RouteTarget::as2(65000, 100);
        let partial = RtMembership::new(64, 64512, target.octets()).expect("in range");
        let cases = [
            ("default", RtMembership::DEFAULT),
            ("64512:65000:100", RtMembership::exact(64512, target)),
            ("64512:*", RtMembership::new(32, 64512, [0; 8]).expect("in range")),
            ("64512:0x0002fde800000000/64", partial),
        ];
        for (text, membership) in cases {
            assert_eq!(text.parse(), Ok(membership), "{text}");
            assert_eq!(membership.to_string(), text);
        }
        for text in [
            "",
            "64512",
            "*",
            "64512:",
            "64512:65000:100/64",
            "64512:0x0002/64",
            "64512:0x0002fde800000000/0",
            "64512:0x0002fde800000000/97",
        ] {
            assert!(text.parse::<RtMembership>().is_err(), "{text}");
        }
    }
}
