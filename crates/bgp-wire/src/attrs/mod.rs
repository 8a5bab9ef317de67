//! Path attributes of one route, apart from next hop and NLRI.

mod aigp;
mod attr_set;
pub mod code;
pub mod pmsi;
mod read;
mod tlv;
pub mod tunnel;
mod typed;
mod write;

use std::net::Ipv4Addr;

use bytes::Bytes;

use crate::as_path::AsPath;
use crate::community::{Community, ExtendedCommunity, LargeCommunity, TunnelType};
use crate::frame::HEADER;
use crate::read::{Parsed, be_u16, octet, take};
use crate::route_target::RouteTarget;

pub(crate) use read::{Found, read_attributes};
pub(crate) use write::write_attributes;

/// ORIGIN (RFC 4271 §4.3), best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Origin {
    #[default]
    Igp,
    Egp,
    Incomplete,
}

/// AGGREGATOR (RFC 4271 §5.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Aggregator {
    pub asn: u32,
    pub id: Ipv4Addr,
}

/// An attribute we do not read: kept octet for octet. Unknown non-transitive ones are dropped when
/// reading, unknown transitive ones get the partial bit (RFC 4271 §5).
///
/// What the known ones among them say is asked by methods, such as [`PathAttributes::aigp`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawAttribute {
    /// The optional, transitive and partial bits as they stand on the wire.
    pub flags: u8,
    pub code: u8,
    pub value: Bytes,
}

/// Codes of attributes that have the partial bit: once set, it stays (RFC 4271 §5). Only optional
/// transitive ones have it, and of those only the ones with a field in [`PathAttributes`] are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Partial(u64);

impl Partial {
    /// Codes from 64 on have no place in it.
    pub const fn contains(self, code: u8) -> bool {
        code < 64 && self.0 >> code & 1 == 1
    }

    /// Likewise.
    pub const fn insert(&mut self, code: u8) {
        if code < 64 {
            self.0 |= 1 << code;
        }
    }
}

/// The attributes of a route, without next hop and NLRI (these stand in [`crate::Update`]).
///
/// Lists are in wire order, since order is the sender's. Equal values encode to equal octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PathAttributes {
    pub origin: Origin,
    pub as_path: AsPath,
    pub med: Option<u32>,
    pub local_pref: Option<u32>,
    pub atomic_aggregate: bool,
    pub aggregator: Option<Aggregator>,
    pub communities: Vec<Community>,
    /// RFC 4456.
    pub originator_id: Option<Ipv4Addr>,
    /// RFC 4456, nearest cluster first.
    pub cluster_list: Vec<Ipv4Addr>,
    pub extended_communities: Vec<ExtendedCommunity>,
    pub large_communities: Vec<LargeCommunity>,
    /// Which of those above some AS before us did not know.
    pub partial: Partial,
    /// All others, ascending by code: PMSI tunnel (22), tunnel encapsulation (23), unknown ones.
    pub others: Vec<RawAttribute>,
}

impl PathAttributes {
    /// The route targets among the extended communities, in wire order.
    pub fn route_targets(&self) -> impl Iterator<Item = RouteTarget> + '_ {
        self.extended_communities.iter().filter_map(|community| community.as_route_target())
    }

    /// The tunnel types offered by encapsulation communities, in wire order.
    pub fn encapsulations(&self) -> impl Iterator<Item = TunnelType> + '_ {
        self.extended_communities.iter().filter_map(|community| community.as_encapsulation())
    }
}

/// One attribute as it stands in the list: flags, code and value.
struct Entry<'a> {
    flags: u8,
    code: u8,
    value: &'a [u8],
}

/// Why an entry of the list cannot be found.
enum EntryFault {
    Header,
    /// The code is known, but the value runs over the end.
    Overrun(u8),
}

/// Reads the next attribute of a list that is not at its end.
fn entry(input: &[u8]) -> Result<(&[u8], Entry<'_>), EntryFault> {
    let header = || -> Parsed<'_, (u8, u8, usize)> {
        let (rest, flags) = octet(input)?;
        let (rest, code) = octet(rest)?;
        let (rest, length) = if flags & code::flag::EXTENDED_LENGTH == 0 {
            octet(rest).map(|(rest, length)| (rest, u16::from(length)))?
        } else {
            be_u16(rest)?
        };
        Ok((rest, (flags, code, usize::from(length))))
    };
    let (rest, (flags, code, length)) = header().map_err(|_| EntryFault::Header)?;
    let (rest, value) = take(rest, length).map_err(|_| EntryFault::Overrun(code))?;
    Ok((rest, Entry { flags, code, value }))
}

/// The attribute `code` of an UPDATE in which the octet at `offset` is, or is missing at the end, as it
/// stands there.
pub(crate) fn attribute_around(message: &[u8], code: u8, offset: usize) -> Option<&[u8]> {
    let lists = || -> Parsed<'_, &[u8]> {
        let (rest, withdrawn) = be_u16(message.get(HEADER..).unwrap_or_default())?;
        let (rest, _) = take(rest, usize::from(withdrawn))?;
        let (rest, length) = be_u16(rest)?;
        take(rest, usize::from(length))
    };
    let (_, mut list) = lists().ok()?;
    while !list.is_empty() {
        let start = list.as_ptr().addr() - message.as_ptr().addr();
        let Ok((rest, found)) = entry(list) else {
            // What runs over the end is all that is left of the list.
            return Some(list);
        };
        let length = list.len() - rest.len();
        if found.code == code && (start..=start + length).contains(&offset) {
            return list.get(..length);
        }
        list = rest;
    }
    None
}
