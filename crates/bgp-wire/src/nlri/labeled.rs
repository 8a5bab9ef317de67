//! Labeled unicast (RFC 8277 §2).

use std::fmt;

use ipnet::{Ipv4Net, Ipv6Net};

use super::stack::Bottom;
use super::{Family, ipv4, ipv6, variant};
use crate::afi_safi::AfiSafi;
use crate::error::FaultKind;
use crate::label::Label;
use crate::read::{Parsed, fault, octet, take};
use crate::route_distinguisher::RouteDistinguisher;
use crate::write;

const LABEL_BITS: u8 = 24;

/// The labels of a labeled unicast route, outermost first: one or more.
///
/// Speakers of RFC 3107 send stacks without having agreed on them (RFC 8277 §2.1); they are read all the
/// same, and passed on octet for octet to those who take them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    outermost: Label,
    /// Empty, and then without an allocation, for nearly every route.
    inner: Box<[Label]>,
}

impl Labels {
    pub fn one(label: Label) -> Self {
        Self { outermost: label, inner: Box::default() }
    }

    /// A stack; `None` without a label.
    pub fn stack(labels: &[Label]) -> Option<Self> {
        labels
            .split_first()
            .map(|(outermost, inner)| Self { outermost: *outermost, inner: inner.into() })
    }

    pub const fn outermost(&self) -> Label {
        self.outermost
    }

    /// How many there are.
    pub fn depth(&self) -> u8 {
        u8::try_from(self.inner.len() + 1).unwrap_or(u8::MAX)
    }

    pub fn iter(&self) -> impl Iterator<Item = Label> + '_ {
        std::iter::once(self.outermost).chain(self.inner.iter().copied())
    }
}

impl fmt::Display for Labels {
    /// `100`, or a stack as `100/200`, outermost first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.outermost)?;
        self.inner.iter().try_for_each(|label| write!(f, "/{label}"))
    }
}

/// AFI 1, SAFI 4. The key is the prefix; the labels are not part of it (RFC 8277 §2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv4Labeled;

/// AFI 2, SAFI 4. The key is the prefix; the labels are not part of it (RFC 8277 §2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv6Labeled;

/// Both differ in their addresses alone.
macro_rules! labeled {
    ($family:ident: $afi_safi:ident, $net:ty, $bits:literal, $prefix:path) => {
        impl Family for $family {
            const AFI_SAFI: AfiSafi = AfiSafi::$afi_safi;
            type Key = $net;
            type Data = Labels;

            fn read_reach(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
                let (rest, (labels, bits)) = labels(input, $bits, Bottom::Ignored)?;
                let (rest, net) = $prefix(input, rest, bits)?;
                Ok((rest, (net, labels)))
            }

            fn read_stacked(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
                let (rest, (mut labels, bits)) = labels(input, $bits, Bottom::Counts)?;
                if labels.inner.is_empty() {
                    labels.outermost = labels.outermost.as_bottom();
                }
                let (rest, net) = $prefix(input, rest, bits)?;
                Ok((rest, (net, labels)))
            }

            fn read_unreach(input: &[u8]) -> Parsed<'_, Self::Key> {
                let (rest, bits) = skip_labels(input, $bits)?;
                $prefix(input, rest, bits)
            }

            fn write_reach(key: &Self::Key, labels: &Self::Data, out: &mut Vec<u8>) {
                write_labels(labels, key.prefix_len(), out);
                write::prefix(key.network().octets(), key.prefix_len(), out);
            }

            fn write_stacked(key: &Self::Key, labels: &Self::Data, out: &mut Vec<u8>) {
                write_labels(labels, key.prefix_len(), out);
                // The last octet of the last label.
                if let Some(last) = out.last_mut() {
                    *last |= 1;
                }
                write::prefix(key.network().octets(), key.prefix_len(), out);
            }

            fn write_unreach(key: &Self::Key, out: &mut Vec<u8>) {
                Self::write_reach(key, &Labels::one(Label::WITHDRAWN), out);
            }

            fn labels(data: &Self::Data) -> u8 {
                data.depth()
            }

            fn route_distinguisher(_: &Self::Key) -> Option<RouteDistinguisher> {
                None
            }

            variant!($family);
        }
    };
}
labeled!(Ipv4Labeled: IPV4_LABELED, Ipv4Net, 32, ipv4::net);
labeled!(Ipv6Labeled: IPV6_LABELED, Ipv6Net, 128, ipv6::net);

/// How many labels stand before a prefix; `None` where the length does not allow even one.
///
/// Where stacks were agreed on, the bottom of stack ends them, if the length says that a prefix can follow
/// there (RFC 8277 §2.3). Else that bit says nothing, and there is one label (§2.2), unless there cannot
/// be just one: by the length, or since no address begins like what would then be the prefix.
fn stack_depth(octets: &[u8], bits: u8, max_prefix: u8, bottom: Bottom) -> Option<u8> {
    let is_possible = |depth: &u8| {
        let left = depth.checked_mul(LABEL_BITS).and_then(|labels| bits.checked_sub(labels));
        left.is_some_and(|left| left <= max_prefix)
    };
    let is_address = |depth: u8| match octets.get(usize::from(depth) * 3) {
        Some(first) if max_prefix == 32 => (1..224).contains(first),
        Some(first) => matches!(first, 0x20..=0x3f | 0xfc..=0xfd),
        None => false,
    };
    let (fields, _) = octets.as_chunks::<3>();
    let last = fields.iter().position(|field| Label::from_octets(*field).is_bottom_of_stack());
    let stack = last.and_then(|last| u8::try_from(last + 1).ok()).filter(is_possible);
    match (bottom, stack) {
        (Bottom::Counts, Some(stack)) => Some(stack),
        (Bottom::Ignored, Some(stack))
            if !is_possible(&1) || is_address(stack) && !is_address(1) =>
        {
            Some(stack)
        }
        _ => Some(1).filter(is_possible),
    }
}

/// Length and labels of an announcement; returns them with the bits of the prefix that follows.
fn labels(input: &[u8], max_prefix: u8, bottom: Bottom) -> Parsed<'_, (Labels, u8)> {
    let (rest, bits) = octet(input)?;
    let (_, octets) = take(rest, usize::from(bits.div_ceil(8)))?;
    let impossible = fault(input, FaultKind::PrefixLength(bits));
    let Some(depth) = stack_depth(octets, bits, max_prefix, bottom) else {
        return Err(impossible);
    };
    let (rest, stack) = take(rest, usize::from(depth) * 3)?;
    match stack.as_chunks::<3>().0 {
        [label] => Ok((rest, (Labels::one(Label::from_octets(*label)), bits - LABEL_BITS))),
        stack => {
            let stack: Vec<Label> = stack.iter().map(|label| Label::from_octets(*label)).collect();
            let labels = Labels::stack(&stack).ok_or(impossible)?;
            Ok((rest, (labels, bits - depth * LABEL_BITS)))
        }
    }
}

/// Length and labels of a withdrawal; returns the bits of the prefix that follows.
///
/// The three octets mean nothing (RFC 8277 §2.4). An echoed stack is understood as in an announcement,
/// or where the length leaves no other reading.
fn skip_labels(input: &[u8], max_prefix: u8) -> Parsed<'_, u8> {
    let (rest, bits) = octet(input)?;
    let (_, octets) = take(rest, usize::from(bits.div_ceil(8)))?;
    // The withdrawal labels of RFC 8277 and RFC 3107 have no bottom of stack, and are alone.
    let alone = matches!(octets, [0 | 0x80, 0, 0, ..]);
    let depth = if alone { None } else { stack_depth(octets, bits, max_prefix, Bottom::Ignored) };
    let shallowest = bits.saturating_sub(max_prefix).div_ceil(LABEL_BITS).max(1);
    let depth = depth.unwrap_or(shallowest);
    match depth.checked_mul(LABEL_BITS).and_then(|labels| bits.checked_sub(labels)) {
        Some(left) => take(rest, usize::from(depth) * 3).map(|(rest, _)| (rest, left)),
        None => Err(fault(input, FaultKind::PrefixLength(bits))),
    }
}

/// Appends the length of the whole route and the labels: as many as a length of one octet can say.
fn write_labels(labels: &Labels, prefix_bits: u8, out: &mut Vec<u8>) {
    let start = out.len();
    let mut bits = prefix_bits;
    out.push(0);
    for label in labels.iter() {
        let Some(more) = bits.checked_add(LABEL_BITS) else { break };
        bits = more;
        out.extend(label.octets());
    }
    if let Some(field) = out.get_mut(start) {
        *field = bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_others_send() {
        // (who made the octets, the octets, prefix, labels)
        let cases: &[(&str, &[u8], &str, &str)] = &[
            ("by hand, RFC 8277 §2.2", &[48, 0, 1, 1, 192, 0, 2], "192.0.2.0/24", "16"),
            ("by hand, a host", &[56, 0, 0, 0x31, 192, 0, 2, 1], "192.0.2.1/32", "3"),
            ("by hand, everything", &[24, 0, 1, 1], "0.0.0.0/0", "16"),
            (
                "RFC 3107 §3, two labels",
                &[72, 0, 1, 0, 0, 2, 1, 192, 0, 2],
                "192.0.2.0/24",
                "16/32",
            ),
            ("two labels and 10/8", &[56, 0, 1, 0, 0, 2, 1, 10], "10.0.0.0/8", "16/32"),
            ("no bottom of stack anywhere", &[48, 0, 1, 0, 192, 0, 2], "192.0.2.0/24", "16"),
        ];
        for (source, octets, net, want) in cases {
            let (rest, (got, labels)) = Ipv4Labeled::read_reach(octets).expect(source);
            assert_eq!((rest, got.to_string().as_str()), (&[][..], *net), "{source}");
            assert_eq!(labels.to_string(), *want, "{source}");
            let mut again = Vec::new();
            Ipv4Labeled::write_reach(&got, &labels, &mut again);
            assert_eq!(again, *octets, "{source}");
            assert_eq!(Ipv4Labeled::read_unreach(octets), Ok((&[][..], got)), "{source}");
        }
        // One label whose bit says nothing, or two and no prefix.
        let octets = [48, 0, 1, 0, 192, 0, 3];
        let (_, (got, labels)) = Ipv4Labeled::read_reach(&octets).expect("RFC 8277 §2.2");
        assert_eq!((got.to_string().as_str(), labels.depth()), ("192.0.3.0/24", 1));
        let (_, (got, labels)) = Ipv4Labeled::read_stacked(&octets).expect("RFC 8277 §2.3");
        assert_eq!((got.to_string().as_str(), labels.depth()), ("0.0.0.0/0", 2));
        let octets = [48, 0, 1, 0, 0, 2, 1];
        let (_, (got, _)) = Ipv4Labeled::read_reach(&octets).expect("RFC 8277 §2.2");
        assert_eq!(got.to_string(), "0.2.1.0/24", "no prefix at all is less likely still");
        let octets = [24 + 32, 0, 1, 1, 0x20, 0x01, 0x0d, 0xb8];
        let (rest, (net, labels)) = Ipv6Labeled::read_reach(&octets).expect("RFC 8277 §2.2");
        assert_eq!((rest, net.to_string().as_str()), (&[][..], "2001:db8::/32"));
        assert_eq!(labels.outermost().mpls_value(), 16);
    }

    /// RFC 8277 §2.2: S is to be ignored where stacks were not agreed on, however odd the third octet of
    /// the prefix. §2.4: likewise in a withdrawal.
    #[test]
    fn one_label_without_bottom_of_stack_is_one_label() {
        let v4: &[(&[u8], &str, u8)] = &[
            (&[56, 0, 1, 0, 10, 20, 21, 1], "10.20.21.1/32", 1),
            (&[49, 5, 0xdc, 0, 198, 51, 101, 0x80], "198.51.101.128/25", 1),
            (&[56, 0x49, 0x30, 0, 203, 0, 113, 9], "203.0.113.9/32", 1),
        ];
        for (octets, net, depth) in v4 {
            let (_, (got, labels)) = Ipv4Labeled::read_reach(octets).expect(net);
            assert_eq!((got.to_string().as_str(), labels.depth()), (*net, *depth));
            assert_eq!(Ipv4Labeled::read_unreach(octets), Ok((&[][..], got)), "{net}");
        }
        let v6: &[(&[u8], &str, u8)] = &[
            (&[72, 0, 1, 0, 0x20, 1, 0x0d, 0xb8, 0, 1], "2001:db8:1::/48", 1),
            (&[72, 0, 1, 0, 0xfd, 0, 0x0d, 0xb8, 0, 1], "fd00:db8:1::/48", 1),
            // RFC 3107 §3: a label of 24,001 is no address.
            (&[80, 5, 0xdc, 0, 5, 0xdc, 0x11, 0x20, 1, 0x0d, 0xb8], "2001:db8::/32", 2),
        ];
        for (octets, net, depth) in v6 {
            let (_, (got, labels)) = Ipv6Labeled::read_reach(octets).expect(net);
            assert_eq!((got.to_string().as_str(), labels.depth()), (*net, *depth));
            assert_eq!(Ipv6Labeled::read_unreach(octets), Ok((&[][..], got)), "{net}");
        }
    }

    #[test]
    fn a_withdrawal_may_carry_any_three_octets() {
        for label in [[0x80, 0, 0], [0, 0, 0], [0, 1, 0x41], [0xff, 0xff, 0xff]] {
            let octets = [&[48][..], &label, &[10, 0, 1]].concat();
            let (rest, net) = Ipv4Labeled::read_unreach(&octets).expect("any label");
            assert_eq!((rest, net.to_string().as_str()), (&[][..], "10.0.1.0/24"), "{label:?}");
        }
        let mut octets = Vec::new();
        Ipv4Labeled::write_unreach(&"10.0.1.0/24".parse().expect("a net"), &mut octets);
        assert_eq!(octets, [48, 0x80, 0, 0, 10, 0, 1]);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for bits in 0..24 {
            let octets = [&[bits][..], &[0; 40]].concat();
            assert!(Ipv4Labeled::read_reach(&octets).is_err(), "{bits}");
            assert!(Ipv4Labeled::read_unreach(&octets).is_err(), "{bits}");
        }
        for bits in 57..=255 {
            let octets = [&[bits][..], &[0; 40]].concat();
            let error = Ipv4Labeled::read_reach(&octets).expect_err("no bottom of stack");
            assert_eq!(error, fault(&octets, FaultKind::PrefixLength(bits)));
        }
        assert!(Ipv4Labeled::read_reach(&[48, 0, 1, 1, 10, 0]).is_err());
    }
}
