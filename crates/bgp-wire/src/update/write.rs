//! UPDATEs, written: many routes that share attributes, in as few messages as they fit into.

use std::net::Ipv4Addr;

use super::Update;
use crate::afi_safi::AfiSafi;
use crate::as_path::AsWidth;
use crate::attrs::code::{self, flag};
use crate::attrs::{self, PathAttributes};
use crate::frame::{self, kind};
use crate::negotiated::Negotiated;
use crate::next_hop::NextHop;
use crate::nlri::{Family, PathId, Route, Withdrawal};
use crate::write::{message, with_length};

/// What octets of outgoing UPDATEs depend on, in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Form {
    pub four_octet_as: bool,
    pub extended_messages: bool,
    pub add_path: bool,
    /// As many labels as a route may have there. More than one were agreed on: the last one says that
    /// it is (RFC 8277 §2.1, §2.3).
    pub labels: u8,
}

impl Form {
    pub fn of(negotiated: &Negotiated, family: AfiSafi) -> Self {
        Self {
            four_octet_as: negotiated.four_octet_as,
            extended_messages: negotiated.extended_messages,
            add_path: negotiated.add_path_send.contains(&family),
            labels: negotiated.most_labels(family),
        }
    }

    const fn max_message(self) -> usize {
        if self.extended_messages { u16::MAX as usize } else { frame::MAX }
    }
}

/// Appends the attributes as they stand in an UPDATE of `family`: all but MP_REACH and MP_UNREACH;
/// NEXT_HOP only for IPv4 unicast with an IPv4 next hop. Made once per attribute set, used for many
/// messages ([`write_reach`]).
pub fn write_attributes(
    attributes: &PathAttributes,
    next_hop: NextHop,
    family: AfiSafi,
    four_octet_as: bool,
    out: &mut Vec<u8>,
) {
    let width = if four_octet_as { AsWidth::Four } else { AsWidth::Two };
    attrs::write_attributes(attributes, classic_next_hop(family, next_hop), width, out);
}

/// Appends one UPDATE that announces as many of `routes` as fit, and returns how many it took (0
/// only when `routes` is empty, and then nothing is written). `attributes` are octets made by
/// [`write_attributes`].
///
/// Attributes that leave no room for a route cannot be told to this peer: the UPDATE then withdraws
/// the routes it took, so that the peer does not keep older ones (RFC 8654 §4). So it does with routes
/// of more labels than the peer takes (RFC 8277 §2.1).
pub fn write_reach<'a, F: Family>(
    form: Form,
    attributes: &[u8],
    next_hop: NextHop,
    mut routes: impl Iterator<Item = (PathId, &'a F::Key, &'a F::Data)>,
    out: &mut Vec<u8>,
) -> usize {
    let start = out.len();
    let mut list = List::new(form, start);
    let (mut refused, mut too_deep) = (None, None);
    let mut write = |list: &mut List, out: &mut Vec<u8>| {
        for (path_id, key, data) in routes.by_ref() {
            if F::labels(data) > form.labels {
                too_deep = Some((path_id, key));
                break;
            }
            let write = if form.labels > 1 { F::write_stacked } else { F::write_reach };
            if !list.add(path_id, out, |out| write(key, data, out)) {
                refused = Some((path_id, key));
                break;
            }
        }
    };
    message(kind::UPDATE, out, |out| {
        // No withdrawn routes.
        out.extend([0, 0]);
        if classic_next_hop(F::AFI_SAFI, next_hop).is_some() {
            with_length(out, |out| out.extend(attributes));
            write(&mut list, out);
        } else {
            with_length(out, |out| {
                // RFC 7606 §5.1: before all others, so that a fault in them can be reacted to.
                multiprotocol(code::MP_REACH_NLRI, F::AFI_SAFI, out, |out| {
                    next_hop.write(F::AFI_SAFI, out);
                    // Reserved.
                    out.push(0);
                    list.room_after = attributes.len();
                    write(&mut list, out);
                });
                out.extend(attributes);
            });
        }
    });
    if list.count > 0 {
        return list.count;
    }
    out.truncate(start);
    if let Some(first) = too_deep {
        let more = routes.take_while(|(_, _, data)| F::labels(data) > form.labels);
        let more = more.map(|(path_id, key, _)| (path_id, key));
        return write_unreach::<F>(form, std::iter::once(first).chain(more), out);
    }
    let rest = routes.map(|(path_id, key, _)| (path_id, key));
    write_unreach::<F>(form, refused.into_iter().chain(rest), out)
}

/// Appends one UPDATE that withdraws as many of `routes` as fit, and returns how many it took (0 only
/// when `routes` is empty, and then nothing is written).
pub fn write_unreach<'a, F: Family>(
    form: Form,
    routes: impl Iterator<Item = (PathId, &'a F::Key)>,
    out: &mut Vec<u8>,
) -> usize {
    let start = out.len();
    let mut list = List::new(form, start);
    let write = |list: &mut List, out: &mut Vec<u8>| {
        for (path_id, key) in routes {
            if !list.add(path_id, out, |out| F::write_unreach(key, out)) {
                break;
            }
        }
    };
    message(kind::UPDATE, out, |out| {
        if F::AFI_SAFI == AfiSafi::IPV4_UNICAST {
            list.room_after = 2;
            with_length(out, |out| write(&mut list, out));
            // No path attributes.
            out.extend([0, 0]);
        } else {
            out.extend([0, 0]);
            with_length(out, |out| {
                multiprotocol(code::MP_UNREACH_NLRI, F::AFI_SAFI, out, |out| {
                    write(&mut list, out);
                });
            });
        }
    });
    if list.count == 0 {
        out.truncate(start);
    }
    list.count
}

/// Appends an End-of-RIB marker (RFC 4724 §2).
pub fn write_end_of_rib(family: AfiSafi, out: &mut Vec<u8>) {
    message(kind::UPDATE, out, |out| {
        out.extend([0, 0]);
        with_length(out, |out| {
            if family != AfiSafi::IPV4_UNICAST {
                multiprotocol(code::MP_UNREACH_NLRI, family, out, |_| {});
            }
        });
    });
}

impl Update {
    /// Appends the update as one message per list of routes, more where they are too long.
    pub(crate) fn encode(&self, negotiated: &Negotiated, out: &mut Vec<u8>) {
        for withdrawn in &self.withdrawn {
            crate::for_each_family!(Withdrawals, withdrawn, list => {
                encode_withdrawals(list, negotiated, out);
            });
        }
        for (next_hop, routes) in &self.announced {
            crate::for_each_family!(Routes, routes, list => {
                encode_routes(&self.attributes, *next_hop, list, negotiated, out);
            });
        }
        if let Some(family) = self.end_of_rib {
            write_end_of_rib(family, out);
        }
    }
}

fn encode_routes<F: Family>(
    attributes: &PathAttributes,
    next_hop: NextHop,
    routes: &[Route<F>],
    negotiated: &Negotiated,
    out: &mut Vec<u8>,
) {
    let form = Form::of(negotiated, F::AFI_SAFI);
    let mut octets = Vec::new();
    write_attributes(attributes, next_hop, F::AFI_SAFI, form.four_octet_as, &mut octets);
    let mut rest = routes;
    while !rest.is_empty() {
        let triples = rest.iter().map(|route| (route.path_id, &route.key, &route.data));
        let taken = write_reach::<F>(form, &octets, next_hop, triples, out);
        rest = rest.get(taken.max(1)..).unwrap_or_default();
    }
}

fn encode_withdrawals<F: Family>(
    routes: &[Withdrawal<F>],
    negotiated: &Negotiated,
    out: &mut Vec<u8>,
) {
    let form = Form::of(negotiated, F::AFI_SAFI);
    let mut rest = routes;
    while !rest.is_empty() {
        let pairs = rest.iter().map(|route| (route.path_id, &route.key));
        let taken = write_unreach::<F>(form, pairs, out);
        rest = rest.get(taken.max(1)..).unwrap_or_default();
    }
}

/// The next hop that stands in the classic attribute, with the routes in the classic field.
fn classic_next_hop(family: AfiSafi, next_hop: NextHop) -> Option<Ipv4Addr> {
    match next_hop {
        NextHop::V4(v4) if family == AfiSafi::IPV4_UNICAST => Some(v4),
        _ => None,
    }
}

/// Appends MP_REACH or MP_UNREACH. Its length is not known before it is written, so it always has two
/// octets.
fn multiprotocol(code: u8, family: AfiSafi, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.extend([flag::OPTIONAL | flag::EXTENDED_LENGTH, code]);
    with_length(out, |out| {
        out.extend(family.afi.0.to_be_bytes());
        out.push(family.safi.0);
        body(out);
    });
}

/// Routes that are being written into one message.
struct List {
    add_path: bool,
    /// Where the message has to end at the latest.
    limit: usize,
    /// Octets that are still to come behind the routes.
    room_after: usize,
    count: usize,
}

impl List {
    fn new(form: Form, start: usize) -> Self {
        let limit = start + form.max_message();
        Self { add_path: form.add_path, limit, room_after: 0, count: 0 }
    }

    /// Appends one route, or nothing if there is no room for it.
    fn add(
        &mut self,
        PathId(path_id): PathId,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let start = out.len();
        if self.add_path {
            out.extend(path_id.to_be_bytes());
        }
        write(out);
        let fits = out.len() + self.room_after <= self.limit;
        if fits {
            self.count += 1;
        } else {
            out.truncate(start);
        }
        fits
    }
}
