//! VPN-IPv4 and VPN-IPv6 (RFC 4364 §4.3.4, RFC 4659 §3.2, RFC 8277 §2).

use std::fmt;
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::{Family, ipv4, ipv6, variant};
use crate::afi_safi::AfiSafi;
use crate::error::FaultKind;
use crate::label::Label;
use crate::read::{Parsed, array, fault, octet};
use crate::route_distinguisher::RouteDistinguisher;
use crate::text::serde_as_text;
use crate::write;

const LABEL_BITS: u8 = 24;
const RD_BITS: u8 = 64;

/// One VPN destination. The label is not part of it: it stands beside ([`Family::Data`]).
///
/// Text form: `65000:7:10.0.100.0/24`, `65000:7:2001:db8::/32`: the distinguisher, which has one
/// colon or, in its `0x` form, none; a colon; the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VpnKey<N> {
    pub rd: RouteDistinguisher,
    pub net: N,
}

impl<N: fmt::Display> fmt::Display for VpnKey<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.rd, self.net)
    }
}

/// A text that is no [`VpnKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a VPN prefix; write 65000:7:10.0.100.0/24 or 65000:7:2001:db8::/32")]
pub struct ParseVpnKeyError(String);

impl<N: FromStr> FromStr for VpnKey<N> {
    type Err = ParseVpnKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let colons_in_rd = usize::from(!text.starts_with("0x"));
        text.match_indices(':')
            .nth(colons_in_rd)
            .and_then(|(colon, _)| text.split_at_checked(colon))
            .and_then(|(rd, net)| {
                Some(Self { rd: rd.parse().ok()?, net: net.strip_prefix(':')?.parse().ok()? })
            })
            .ok_or_else(|| ParseVpnKeyError(text.to_owned()))
    }
}

serde_as_text!(VpnKey<Ipv4Net>, "a VPN prefix, such as \"65000:7:10.0.100.0/24\"");
serde_as_text!(VpnKey<Ipv6Net>, "a VPN prefix, such as \"65000:7:2001:db8::/32\"");

/// AFI 1, SAFI 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VpnV4;

/// AFI 2, SAFI 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VpnV6;

impl Family for VpnV4 {
    const AFI_SAFI: AfiSafi = AfiSafi::VPNV4;
    type Key = VpnKey<Ipv4Net>;
    type Data = Label;

    fn read_reach(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
        let (rest, bits) = octet(input)?;
        let (rest, label) = array(rest)?;
        let (rest, rd) = array(rest)?;
        let Some(bits) = bits.checked_sub(LABEL_BITS + RD_BITS) else {
            return Err(fault(input, FaultKind::PrefixLength(bits)));
        };
        let (rest, net) = ipv4::net(input, rest, bits)?;
        let key = VpnKey { rd: RouteDistinguisher::from_octets(rd), net };
        Ok((rest, (key, Label::from_octets(label))))
    }

    fn read_unreach(input: &[u8]) -> Parsed<'_, Self::Key> {
        let (rest, bits) = octet(input)?;
        let (rest, bits) = skip_labels(input, rest, bits, 32)?;
        let (rest, rd) = array(rest)?;
        let (rest, net) = ipv4::net(input, rest, bits)?;
        Ok((rest, VpnKey { rd: RouteDistinguisher::from_octets(rd), net }))
    }

    fn write_reach(key: &Self::Key, label: &Self::Data, out: &mut Vec<u8>) {
        out.push(LABEL_BITS + RD_BITS + key.net.prefix_len());
        out.extend(label.octets());
        out.extend(key.rd.octets());
        write::prefix(key.net.network().octets(), key.net.prefix_len(), out);
    }

    fn write_unreach(key: &Self::Key, out: &mut Vec<u8>) {
        Self::write_reach(key, &Label::WITHDRAWN, out);
    }

    fn route_distinguisher(key: &Self::Key) -> Option<RouteDistinguisher> {
        Some(key.rd)
    }

    variant!(VpnV4);
}

impl Family for VpnV6 {
    const AFI_SAFI: AfiSafi = AfiSafi::VPNV6;
    type Key = VpnKey<Ipv6Net>;
    type Data = Label;

    fn read_reach(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
        let (rest, bits) = octet(input)?;
        let (rest, label) = array(rest)?;
        let (rest, rd) = array(rest)?;
        let Some(bits) = bits.checked_sub(LABEL_BITS + RD_BITS) else {
            return Err(fault(input, FaultKind::PrefixLength(bits)));
        };
        let (rest, net) = ipv6::net(input, rest, bits)?;
        let key = VpnKey { rd: RouteDistinguisher::from_octets(rd), net };
        Ok((rest, (key, Label::from_octets(label))))
    }

    fn read_unreach(input: &[u8]) -> Parsed<'_, Self::Key> {
        let (rest, bits) = octet(input)?;
        let (rest, bits) = skip_labels(input, rest, bits, 128)?;
        let (rest, rd) = array(rest)?;
        let (rest, net) = ipv6::net(input, rest, bits)?;
        Ok((rest, VpnKey { rd: RouteDistinguisher::from_octets(rd), net }))
    }

    fn write_reach(key: &Self::Key, label: &Self::Data, out: &mut Vec<u8>) {
        out.push(LABEL_BITS + RD_BITS + key.net.prefix_len());
        out.extend(label.octets());
        out.extend(key.rd.octets());
        write::prefix(key.net.network().octets(), key.net.prefix_len(), out);
    }

    fn write_unreach(key: &Self::Key, out: &mut Vec<u8>) {
        Self::write_reach(key, &Label::WITHDRAWN, out);
    }

    fn route_distinguisher(key: &Self::Key) -> Option<RouteDistinguisher> {
        Some(key.rd)
    }

    variant!(VpnV6);
}

/// Steps over the label of a withdrawal and returns how many bits of prefix follow the
/// distinguisher.
///
/// Three octets stand where the label was and mean nothing, bottom of stack included (RFC 8277
/// §2.4). A sender that echoes a stack of labels is understood where the length leaves no other
/// reading: when one label would make the prefix longer than `max_prefix`.
fn skip_labels<'a>(at: &'a [u8], mut rest: &'a [u8], bits: u8, max_prefix: u8) -> Parsed<'a, u8> {
    let mut left = bits;
    loop {
        (rest, _) = array::<{ LABEL_BITS as usize / 8 }>(rest)?;
        left = left
            .checked_sub(LABEL_BITS)
            .filter(|left| *left >= RD_BITS)
            .ok_or(fault(at, FaultKind::PrefixLength(bits)))?;
        if left - RD_BITS <= max_prefix {
            return Ok((rest, left - RD_BITS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<N: FromStr<Err: std::fmt::Debug>>(rd: &str, net: &str) -> VpnKey<N> {
        VpnKey { rd: rd.parse().expect("rd"), net: net.parse().expect("net") }
    }

    #[test]
    fn reads_what_others_send() {
        // (who made the octets, the octets, what they mean, the label)
        let cases: &[(&str, &[u8], VpnKey<Ipv4Net>, u32)] = &[
            (
                "by hand, RFC 4364 §4.3.4",
                &[0x70, 0, 1, 0x01, 0, 0, 0xfd, 0xe8, 0, 0, 0, 7, 10, 0, 100],
                key("65000:7", "10.0.100.0/24"),
                16,
            ),
            (
                "by hand, noise past the prefix",
                &[0x59, 0, 1, 0x01, 0, 0, 0xfd, 0xe8, 0, 0, 0, 7, 0xff],
                key("65000:7", "128.0.0.0/1"),
                16,
            ),
            (
                "by hand, no bottom of stack, which is ignored: RFC 8277 §2.2",
                &[0x58, 0, 1, 0x00, 0, 1, 192, 0, 2, 1, 0, 7],
                key("192.0.2.1:7", "0.0.0.0/0"),
                16,
            ),
        ];
        for (source, octets, want, label) in cases {
            let (rest, (got, got_label)) = VpnV4::read_reach(octets).expect(source);
            assert_eq!((rest, got, got_label.mpls_value()), (&[][..], *want, *label), "{source}");
        }
    }

    #[test]
    fn reads_vpn_ipv6() {
        let octets =
            [0x78, 0x00, 0x01, 0x41, 0, 2, 0xfa, 0x56, 0xea, 0, 0, 7, 0x20, 0x01, 0x0d, 0xb8];
        let (rest, (got, label)) = VpnV6::read_reach(&octets).expect("by hand, RFC 4659 §3.2");
        assert_eq!((rest, got), (&[][..], key("4200000000:7", "2001:db8::/32")));
        assert_eq!(label.mpls_value(), 20);
    }

    #[test]
    fn a_label_is_passed_on_octet_for_octet() {
        let octets = [0x58, 0x12, 0x34, 0x5e, 0, 0, 0xfd, 0xe8, 0, 0, 0, 7];
        let (_, (key, label)) = VpnV4::read_reach(&octets).expect("traffic class bits are set");
        let mut again = Vec::new();
        VpnV4::write_reach(&key, &label, &mut again);
        assert_eq!(again, octets);
    }

    #[test]
    fn a_withdrawal_may_carry_any_three_octets() {
        // (who sends it, the octets)
        let labels: &[(&str, [u8; 3])] = &[
            ("RFC 8277 §2.4", [0x80, 0, 0]),
            ("Juniper, FRR before 9: 0x000000", [0, 0, 0]),
            ("an echoed label", [0, 0x01, 0x41]),
            ("a label without bottom of stack", [0, 0x01, 0x40]),
            ("all ones", [0xff, 0xff, 0xff]),
        ];
        for (source, [a, b, c]) in labels {
            let octets = [0x70, *a, *b, *c, 0, 0, 0xfd, 0xe8, 0, 0, 0, 7, 10, 0, 100];
            let (rest, got) = VpnV4::read_unreach(&octets).expect(source);
            assert_eq!((rest, got), (&[][..], key("65000:7", "10.0.100.0/24")), "{source}");
        }
    }

    #[test]
    fn a_withdrawal_may_echo_a_stack_when_the_length_says_so() {
        let rd = [0, 0, 0xfd, 0xe8, 0, 0, 0, 7];
        let two = [&[24 + 24 + 64 + 32, 0, 1, 0x40, 0, 1, 0x51][..], &rd, &[10, 0, 0, 1]].concat();
        let (rest, got) = VpnV4::read_unreach(&two).expect("two labels and a host");
        assert_eq!((rest, got), (&[][..], key("65000:7", "10.0.0.1/32")));
        let three = [&[3 * 24 + 64 + 24][..], &[7; 9], &rd, &[10, 0, 1]].concat();
        let (rest, got) = VpnV4::read_unreach(&three).expect("three labels");
        assert_eq!((rest, got), (&[][..], key("65000:7", "10.0.1.0/24")));
    }

    #[test]
    fn what_we_withdraw_has_the_compatibility_label() {
        let mut octets = Vec::new();
        VpnV4::write_unreach(&key("65000:7", "10.0.100.0/24"), &mut octets);
        assert_eq!(octets, [0x70, 0x80, 0, 0, 0, 0, 0xfd, 0xe8, 0, 0, 0, 7, 10, 0, 100]);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for bits in (0..88).chain(121..=255) {
            let octets = [&[bits][..], &[0; 40]].concat();
            let error = VpnV4::read_reach(&octets).expect_err("an impossible length");
            assert!(matches!(fault_kind(&error), FaultKind::PrefixLength(_)), "{bits}: {error:?}");
        }
        for bits in 0..88 {
            let octets = [&[bits][..], &[0; 40]].concat();
            assert!(VpnV4::read_unreach(&octets).is_err(), "{bits}");
            assert!(VpnV6::read_unreach(&octets).is_err(), "{bits}");
        }
    }

    fn fault_kind(error: &nom::Err<crate::read::Fault<'_>>) -> FaultKind {
        crate::read::fault_of(error).kind
    }

    #[test]
    fn texts_name_distinguisher_and_prefix() {
        for text in
            ["65000:7:10.0.100.0/24", "192.0.2.1:7:0.0.0.0/0", "0x0003000000000001:10.0.0.0/8"]
        {
            let key: VpnKey<Ipv4Net> = text.parse().expect(text);
            assert_eq!(key.to_string(), text);
        }
        for text in ["65000L:7:2001:db8::/32", "0x0003000000000001:::/0"] {
            let key: VpnKey<Ipv6Net> = text.parse().expect(text);
            assert_eq!(key.to_string(), text);
        }
        for text in
            ["", "65000:7", "65000:7:", "10.0.0.0/8", "65000:7:10.0.0.0/33", "0x00:10.0.0.0/8"]
        {
            assert!(text.parse::<VpnKey<Ipv4Net>>().is_err(), "{text}");
        }
    }
}
