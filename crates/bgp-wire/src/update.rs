//! UPDATE (RFC 4271 §4.3, RFC 4760, RFC 7606), and writing many routes that share attributes.

use std::sync::Arc;

use crate::afi_safi::AfiSafi;
use crate::attrs::PathAttributes;
use crate::error::WireError;
use crate::negotiated::Negotiated;
use crate::next_hop::NextHop;
use crate::nlri::{Family, PathId, Routes, Withdrawals};

/// What an UPDATE says. Faults that RFC 7606 lets pass have been dealt with already: discarded
/// attributes are gone, treat-as-withdraw has moved routes from `announced` to `withdrawn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// At most one list of the classic field and one of `MP_UNREACH_NLRI`.
    pub withdrawn: Vec<Withdrawals>,
    /// At most one list of the classic field and one of `MP_REACH_NLRI`, each with its next hop.
    pub announced: Vec<(NextHop, Routes)>,
    /// Shared by all `announced`; the default value where nothing is announced.
    pub attributes: Arc<PathAttributes>,
    /// Set by an UPDATE without any route: End-of-RIB of this family (RFC 4724 §2).
    pub end_of_rib: Option<AfiSafi>,
    /// What was wrong and has been dealt with, in wire order.
    pub faults: Vec<WireError>,
}

/// What octets of outgoing UPDATEs depend on, in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Form {
    pub four_octet_as: bool,
    pub extended_messages: bool,
    pub add_path: bool,
}

impl Form {
    pub fn of(negotiated: &Negotiated, family: AfiSafi) -> Self {
        Self {
            four_octet_as: negotiated.four_octet_as,
            extended_messages: negotiated.extended_messages,
            add_path: negotiated.add_path_send.contains(&family),
        }
    }
}

/// Appends the attributes as they stand in an UPDATE of `family`: all but MP_REACH/MP_UNREACH;
/// NEXT_HOP only for IPv4 unicast with an IPv4 next hop. Made once per attribute set, used for many
/// messages ([`write_reach`]).
pub fn write_attributes(
    attributes: &PathAttributes,
    next_hop: NextHop,
    family: AfiSafi,
    four_octet_as: bool,
    out: &mut Vec<u8>,
) {
    todo!()
}

/// Appends one UPDATE that announces as many of `routes` as fit, and returns how many it took (0
/// only when `routes` is empty). `attributes` are octets made by [`write_attributes`].
pub fn write_reach<'a, F: Family>(
    form: Form,
    attributes: &[u8],
    next_hop: NextHop,
    routes: impl Iterator<Item = (PathId, &'a F::Key, &'a F::Data)>,
    out: &mut Vec<u8>,
) -> usize {
    todo!()
}

/// Appends one UPDATE that withdraws as many of `routes` as fit, and returns how many it took.
pub fn write_unreach<'a, F: Family>(
    form: Form,
    routes: impl Iterator<Item = (PathId, &'a F::Key)>,
    out: &mut Vec<u8>,
) -> usize {
    todo!()
}

/// Appends an End-of-RIB marker (RFC 4724 §2).
pub fn write_end_of_rib(family: AfiSafi, out: &mut Vec<u8>) {
    todo!()
}
