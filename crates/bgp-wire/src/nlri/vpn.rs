//! VPN-IPv4 and VPN-IPv6 (RFC 4364 §4.3.4, RFC 4659 §3.2, RFC 8277 §2).

use std::fmt;
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::stack::{self, Bottom, LABEL_BITS, RD_BITS, VpnLabels};
use super::{Family, ipv4, ipv6, variant};
use crate::afi_safi::AfiSafi;
use crate::error::FaultKind;
use crate::label::Label;
use crate::read::{Parsed, array, fault, octet};
use crate::route_distinguisher::RouteDistinguisher;
use crate::text::serde_as_text;
use crate::write;

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

/// Both differ in their addresses alone.
macro_rules! vpn {
    ($family:ident: $afi_safi:ident, $net:ty, $bits:literal, $prefix:path) => {
        impl Family for $family {
            const AFI_SAFI: AfiSafi = AfiSafi::$afi_safi;
            type Key = VpnKey<$net>;
            type Data = VpnLabels;

            fn read_reach(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
                Self::read(input, Bottom::Ignored)
            }

            fn read_stacked(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
                Self::read(input, Bottom::Counts)
            }

            fn read_unreach(input: &[u8]) -> Parsed<'_, Self::Key> {
                let (rest, bits) = octet(input)?;
                let (rest, depth) = stack::skip(rest, bits, $bits)?;
                Self::read_key(input, rest, bits, depth)
            }

            fn write_reach(key: &Self::Key, labels: &Self::Data, out: &mut Vec<u8>) {
                let bits = labels.depth() * LABEL_BITS + RD_BITS + key.net.prefix_len();
                let [a, b, c] = labels.outermost().octets();
                // Nearly all have one label: one write for all that stands before the prefix.
                if labels.depth() == 1 {
                    let [d, e, f, g, h, i, j, k] = key.rd.octets();
                    out.extend_from_slice(&[bits, a, b, c, d, e, f, g, h, i, j, k]);
                } else {
                    out.push(bits);
                    labels.iter().for_each(|label| out.extend_from_slice(&label.octets()));
                    out.extend_from_slice(&key.rd.octets());
                }
                write::prefix(key.net.network().octets(), key.net.prefix_len(), out);
            }

            fn write_stacked(key: &Self::Key, labels: &Self::Data, out: &mut Vec<u8>) {
                Self::write_reach(key, &labels.with_bottom(), out);
            }

            fn write_unreach(key: &Self::Key, out: &mut Vec<u8>) {
                Self::write_reach(key, &VpnLabels::one(Label::WITHDRAWN), out);
            }

            fn labels(data: &Self::Data) -> u8 {
                data.depth()
            }

            /// RFC 8277 §2.1: more labels than we have said that we take.
            fn flaw(data: &Self::Data) -> Option<FaultKind> {
                let depth = data.depth();
                (depth > VpnLabels::DEEPEST).then_some(FaultKind::Labels(depth))
            }

            fn route_distinguisher(key: &Self::Key) -> Option<RouteDistinguisher> {
                Some(key.rd)
            }

            variant!($family);
        }

        impl $family {
            #[inline]
            fn read(input: &[u8], bottom: Bottom) -> Parsed<'_, (VpnKey<$net>, VpnLabels)> {
                let (rest, bits) = octet(input)?;
                let (rest, labels) = stack::read(rest, bits, $bits, bottom)?;
                let (rest, key) = if labels.depth() == 1 {
                    Self::read_key(input, rest, bits, 1)?
                } else {
                    Self::read_key(input, rest, bits, labels.depth())?
                };
                Ok((rest, (key, labels)))
            }

            /// What stands behind `labels` labels in a route of `bits`.
            #[inline]
            fn read_key<'a>(
                at: &'a [u8],
                rest: &'a [u8],
                bits: u8,
                labels: u8,
            ) -> Parsed<'a, VpnKey<$net>> {
                let (rest, rd) = array(rest)?;
                let prefix = labels.checked_mul(LABEL_BITS).and_then(|l| l.checked_add(RD_BITS));
                let Some(prefix) = prefix.and_then(|before| bits.checked_sub(before)) else {
                    return Err(fault(at, FaultKind::PrefixLength(bits)));
                };
                let (rest, net) = $prefix(at, rest, prefix)?;
                Ok((rest, VpnKey { rd: RouteDistinguisher::from_octets(rd), net }))
            }
        }
    };
}
vpn!(VpnV4: VPNV4, Ipv4Net, 32, ipv4::net);
vpn!(VpnV6: VPNV6, Ipv6Net, 128, ipv6::net);

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
            let got_label = got_label.outermost().mpls_value();
            assert_eq!((rest, got, got_label), (&[][..], *want, *label), "{source}");
        }
    }

    #[test]
    fn reads_vpn_ipv6() {
        let octets =
            [0x78, 0x00, 0x01, 0x41, 0, 2, 0xfa, 0x56, 0xea, 0, 0, 7, 0x20, 0x01, 0x0d, 0xb8];
        let (rest, (got, label)) = VpnV6::read_reach(&octets).expect("by hand, RFC 4659 §3.2");
        assert_eq!((rest, got), (&[][..], key("4200000000:7", "2001:db8::/32")));
        assert_eq!(label.outermost().mpls_value(), 20);
    }

    #[test]
    fn a_label_is_passed_on_octet_for_octet() {
        let octets = [0x58, 0x12, 0x34, 0x5e, 0, 0, 0xfd, 0xe8, 0, 0, 0, 7];
        let (_, (key, label)) = VpnV4::read_reach(&octets).expect("traffic class bits are set");
        let mut again = Vec::new();
        VpnV4::write_reach(&key, &label, &mut again);
        assert_eq!(again, octets);
    }

    const RD: [u8; 8] = [0, 0, 0xfd, 0xe8, 0, 0, 0, 7];

    #[test]
    #[expect(clippy::type_complexity, reason = "a row of a table is as wide as it is")]
    fn a_stack_is_read_to_its_bottom_and_passed_on_whole() {
        // (who made the octets, labels, prefix, the prefix as text, the stack)
        let cases: &[(&str, &[u8], &[u8], &str, &str)] = &[
            (
                "RFC 3107 §3, a host",
                &[5, 0xdc, 0x50, 5, 0xdc, 0x61],
                &[10, 0, 0, 1],
                "10.0.0.1/32",
                "24005/24006",
            ),
            (
                "small labels, by the length",
                &[0, 1, 0, 0, 2, 1],
                &[10, 0, 1],
                "10.0.1.0/24",
                "16/32",
            ),
            (
                "by the distinguisher",
                &[5, 0xdc, 0x50, 5, 0xdc, 0x61],
                &[10],
                "10.0.0.0/8",
                "24005/24006",
            ),
        ];
        for (source, labels, prefix, net, stack) in cases {
            let bits = u8::try_from(labels.len() * 8 + 64 + prefix.len() * 8).expect("short");
            let octets = [&[bits][..], labels, &RD, prefix].concat();
            for read in [VpnV4::read_reach, VpnV4::read_stacked] {
                let (rest, (got, got_labels)) = read(&octets).expect(source);
                assert_eq!((rest, got), (&[][..], key("65000:7", net)), "{source}");
                assert_eq!((got_labels.to_string().as_str(), got_labels.depth()), (*stack, 2));
                let mut again = Vec::new();
                VpnV4::write_reach(&got, &got_labels, &mut again);
                assert_eq!(again, octets, "{source}");
            }
            assert_eq!(
                VpnV4::read_unreach(&octets),
                Ok((&[][..], key("65000:7", net))),
                "{source}"
            );
        }
    }

    /// RFC 8277 §2.2 and §2.3: what a first label without bottom of stack means depends on the
    /// capability.
    #[test]
    fn the_bottom_of_stack_counts_where_that_was_agreed_on() {
        // The second label looks like the beginning of a distinguisher of type 1.
        let octets =
            [&[176, 0, 1, 0, 0, 1, 0x11][..], &RD, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0]].concat();
        let (_, (got, labels)) = VpnV6::read_stacked(&octets).expect("§2.3");
        assert_eq!((got, labels.depth()), (key("65000:7", "2001:db8::/64"), 2));
        let (_, (got, labels)) = VpnV6::read_reach(&octets).expect("§2.2");
        assert_eq!((got.net.prefix_len(), labels.depth()), (88, 1));
    }

    #[test]
    fn the_last_label_of_a_stack_says_so_where_that_counts() {
        let octets = [&[88, 0, 1, 0][..], &RD].concat();
        let (_, (key, labels)) = VpnV4::read_reach(&octets).expect("one label");
        let (mut plain, mut stacked) = (Vec::new(), Vec::new());
        VpnV4::write_reach(&key, &labels, &mut plain);
        VpnV4::write_stacked(&key, &labels, &mut stacked);
        assert_eq!((plain, stacked), (octets, [&[88, 0, 1, 1][..], &RD].concat()));
    }

    #[test]
    fn a_stack_deeper_than_we_take_keeps_its_key() {
        let labels = [5, 0xdc, 0x50, 5, 0xdc, 0x60, 5, 0xdc, 0x71];
        let octets = [&[9 * 8 + 64 + 24][..], &labels, &RD, &[10, 0, 1]].concat();
        let (_, (got, labels)) = VpnV4::read_reach(&octets).expect("three labels");
        assert_eq!((got, VpnV4::labels(&labels)), (key("65000:7", "10.0.1.0/24"), 3));
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
