//! Path attributes on the wire, written in ascending order of their codes (RFC 4271 §5).

use std::net::Ipv4Addr;

use super::code::{self, flag};
use super::{Aggregator, Origin, Partial, PathAttributes};
use crate::as_path::{AsPath, AsWidth};
use crate::open::AS_TRANS;

/// Appends all attributes but MP_REACH and MP_UNREACH; `next_hop` is the classic NEXT_HOP.
pub(crate) fn write_attributes(
    attributes: &PathAttributes,
    next_hop: Option<Ipv4Addr>,
    width: AsWidth,
    out: &mut Vec<u8>,
) {
    let PathAttributes {
        origin,
        as_path,
        med,
        local_pref,
        atomic_aggregate,
        aggregator,
        communities,
        originator_id,
        cluster_list,
        extended_communities,
        large_communities,
        partial,
        others,
    } = attributes;
    let mut writer = Writer { partial: *partial, others: others.iter().peekable(), out };

    writer.attribute(code::ORIGIN, |out| {
        out.push(match origin {
            Origin::Igp => 0,
            Origin::Egp => 1,
            Origin::Incomplete => 2,
        });
    });
    writer.attribute(code::AS_PATH, |out| as_path.write(width, out));
    if let Some(next_hop) = next_hop {
        writer.attribute(code::NEXT_HOP, |out| out.extend(next_hop.octets()));
    }
    if let Some(med) = med {
        writer.attribute(code::MULTI_EXIT_DISC, |out| out.extend(med.to_be_bytes()));
    }
    if let Some(local_pref) = local_pref {
        writer.attribute(code::LOCAL_PREF, |out| out.extend(local_pref.to_be_bytes()));
    }
    if *atomic_aggregate {
        writer.attribute(code::ATOMIC_AGGREGATE, |_| {});
    }
    if let Some(aggregator) = aggregator {
        writer.attribute(code::AGGREGATOR, |out| write_aggregator(*aggregator, width, out));
    }
    writer.list(code::COMMUNITIES, communities, |community| community.0.to_be_bytes());
    if let Some(originator_id) = originator_id {
        writer.attribute(code::ORIGINATOR_ID, |out| out.extend(originator_id.octets()));
    }
    writer.list(code::CLUSTER_LIST, cluster_list, Ipv4Addr::octets);
    writer.list(code::EXTENDED_COMMUNITIES, extended_communities, |community| community.0);
    if width == AsWidth::Two {
        if let Some(as4_path) = as4_path(as_path) {
            writer.attribute(code::AS4_PATH, |out| as4_path.write(AsWidth::Four, out));
        }
        if let Some(aggregator) = aggregator.filter(|a| u16::try_from(a.asn).is_err()) {
            writer.attribute(code::AS4_AGGREGATOR, |out| {
                write_aggregator(aggregator, AsWidth::Four, out);
            });
        }
    }
    writer.list(code::LARGE_COMMUNITIES, large_communities, |community| community.octets());
    writer.others_before(None);
}

/// The AS4_PATH that must stand beside an AS_PATH of two-octet numbers (RFC 6793 §4.2.2).
fn as4_path(as_path: &AsPath) -> Option<AsPath> {
    if !as_path.needs_four_octets() {
        return None;
    }
    let as4_path = as_path.without_confederations();
    (!as4_path.0.is_empty()).then_some(as4_path)
}

fn write_aggregator(aggregator: Aggregator, width: AsWidth, out: &mut Vec<u8>) {
    match width {
        AsWidth::Four => out.extend(aggregator.asn.to_be_bytes()),
        AsWidth::Two => out.extend(u16::try_from(aggregator.asn).unwrap_or(AS_TRANS).to_be_bytes()),
    }
    out.extend(aggregator.id.octets());
}

struct Writer<'a> {
    partial: Partial,
    others: std::iter::Peekable<std::slice::Iter<'a, super::RawAttribute>>,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Appends an attribute that we know, after the raw ones whose codes are lower.
    fn attribute(&mut self, code: u8, value: impl FnOnce(&mut Vec<u8>)) {
        self.others_before(Some(code));
        let flags = code::known_flags(code).unwrap_or(flag::OPTIONAL | flag::TRANSITIVE);
        let partial = if self.partial.contains(code) { flag::PARTIAL } else { 0 };
        write_attribute(flags | partial, code, value, self.out);
    }

    /// Appends a list of things of `N` octets; nothing if it is empty.
    fn list<T, const N: usize>(&mut self, code: u8, list: &[T], octets: impl Fn(&T) -> [u8; N]) {
        if !list.is_empty() {
            self.attribute(code, |out| list.iter().for_each(|item| out.extend(octets(item))));
        }
    }

    fn others_before(&mut self, code: Option<u8>) {
        while let Some(other) = self.others.next_if(|other| code.is_none_or(|c| other.code < c)) {
            let flags = other.flags & (flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL);
            write_attribute(flags, other.code, |out| out.extend(&other.value), self.out);
        }
    }
}

/// Appends one attribute, with a length of two octets where one is not enough.
fn write_attribute(flags: u8, code: u8, value: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([flags, code, 0]);
    let value_start = out.len();
    value(out);
    let length = out.len() - value_start;
    match (u8::try_from(length), out.get_mut(start..value_start)) {
        (Ok(length), Some([.., field])) => *field = length,
        (Err(_), Some([flags, _, high])) => {
            // A value too long for any message makes a list too long for any message, which
            // `write_reach` finds; the length field only has to stay in its bounds here.
            let [first, second] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            *flags |= flag::EXTENDED_LENGTH;
            *high = first;
            out.insert(value_start, second);
        }
        _ => {}
    }
}
