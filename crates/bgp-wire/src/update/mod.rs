//! UPDATE (RFC 4271 §4.3, RFC 4760, RFC 7606), and writing many routes that share attributes.

mod write;

use std::sync::Arc;

use crate::afi_safi::AfiSafi;
use crate::attrs::{Found, PathAttributes, code, read_attributes};
use crate::error::{ErrorAction, FaultKind, Part, WireError};
use crate::frame::HEADER;
use crate::negotiated::Negotiated;
use crate::next_hop::NextHop;
use crate::nlri::{Reading, Routes, Withdrawals, read_routes, read_withdrawals};
use crate::read::{Fault, Parsed, be_u16, fault_of, take};

pub use write::{Form, write_attributes, write_end_of_rib, write_reach, write_unreach};

/// What an UPDATE says. Faults that RFC 7606 lets pass have been dealt with already: discarded
/// attributes are gone, treat-as-withdraw has moved routes from `announced` to `withdrawn`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// At most one list of the classic field and one of `MP_UNREACH_NLRI`, and then what was announced
    /// and is treated as withdrawn. None is empty.
    pub withdrawn: Vec<Withdrawals>,
    /// At most one list of the classic field and one of `MP_REACH_NLRI`, each with its next hop. None
    /// is empty.
    pub announced: Vec<(NextHop, Routes)>,
    /// Shared by all `announced`; the default value where nothing is announced.
    pub attributes: Arc<PathAttributes>,
    /// Set by an UPDATE without any route: End-of-RIB of this family (RFC 4724 §2).
    pub end_of_rib: Option<AfiSafi>,
    /// What was wrong and has been dealt with, in wire order.
    pub faults: Vec<WireError>,
}

impl Update {
    /// Reads a whole message whose header has been checked (see [`crate::frame::length`]).
    ///
    /// # Errors
    /// Only what ends the session: lengths that do not divide the message, routes that cannot be told
    /// apart, MP attributes that are there twice (RFC 7606 §3), and what would be treated as
    /// withdrawn had it routes to withdraw (§5.2). Milder faults are in [`Update::faults`].
    pub fn decode(message: &[u8], negotiated: &Negotiated) -> Result<Self, WireError> {
        let fields = Fields::read(message)?;
        let mut found = Found::default();
        read_attributes(message, fields.attributes, negotiated, &mut found)?;

        let classic = Classic { message, negotiated };
        let mut faults = Vec::new();
        let mut withdrawn: Vec<_> = classic
            .read(Part::WithdrawnRoutes, fields.withdrawn, &mut faults, read_withdrawals)?
            .into_iter()
            .collect();
        faults.append(&mut found.faults);
        if !fields.nlri.is_empty() {
            faults.extend(found.next_hop_fault.take());
        }
        let routes = classic.read(Part::Nlri, fields.nlri, &mut faults, read_routes)?;

        let has_reach = found.has_reach || !fields.nlri.is_empty();
        let mut end_of_rib = None;
        match found.unreach.take() {
            Some((_, list)) if !list.is_empty() => withdrawn.push(list),
            Some((family, _)) if !has_reach && fields.withdrawn.is_empty() => {
                end_of_rib = Some(family);
            }
            None if fields.are_empty() => end_of_rib = Some(AfiSafi::IPV4_UNICAST),
            _ => {}
        }

        let announced = announced(&mut found, routes);
        for code in missing(&found, &announced) {
            let missing = Fault { at: fields.attributes, kind: FaultKind::Missing };
            faults.push(missing.locate(message, Part::Attribute(code)));
        }
        let attributes =
            if announced.is_empty() { Arc::default() } else { Arc::new(found.attributes) };
        let mut update = Self { withdrawn, announced, attributes, end_of_rib, faults };
        update.react(has_reach, negotiated.internal)?;
        Ok(update)
    }

    /// Does what the strongest of the faults asks for.
    fn react(&mut self, has_reach: bool, internal: bool) -> Result<(), WireError> {
        let withdraw = |fault: &&WireError| fault.action(internal) >= ErrorAction::TreatAsWithdraw;
        let Some(worst) = self.faults.iter().find(withdraw) else { return Ok(()) };
        // §5.2: attributes without a route that they belong to: perhaps the routes were not found.
        if !has_reach {
            return Err(worst.clone());
        }
        let announced = std::mem::take(&mut self.announced);
        self.withdrawn.extend(announced.into_iter().map(|(_, routes)| routes.into_withdrawals()));
        self.attributes = Arc::default();
        Ok(())
    }
}

/// The routes of the classic field and of MP_REACH, each with its next hop.
fn announced(found: &mut Found, classic: Option<Routes>) -> Vec<(NextHop, Routes)> {
    // Without a next hop it is missing or malformed, and the routes are about to be withdrawn.
    let next_hop = found.next_hop.map_or(NextHop::None, NextHop::V4);
    // All of them may have been left out.
    let classic = classic.filter(|routes| !routes.is_empty()).map(|routes| (next_hop, routes));
    let reach = found.reach.take().filter(|(_, routes)| !routes.is_empty());
    classic.into_iter().chain(reach).collect()
}

/// The well-known attributes that are not there for what is announced (RFC 7606 §3 d).
fn missing(found: &Found, announced: &[(NextHop, Routes)]) -> impl Iterator<Item = u8> {
    let needed: &[u8] = match announced {
        [] => &[],
        // Of the two, only the classic field has its next hop among the attributes.
        [(NextHop::None, _), ..] => &[code::ORIGIN, code::AS_PATH, code::NEXT_HOP],
        _ => &[code::ORIGIN, code::AS_PATH],
    };
    needed.iter().copied().filter(|code| !found.has(*code))
}

/// The three parts of an UPDATE.
struct Fields<'m> {
    withdrawn: &'m [u8],
    attributes: &'m [u8],
    nlri: &'m [u8],
}

impl<'m> Fields<'m> {
    fn read(message: &'m [u8]) -> Result<Self, WireError> {
        let sized = |input| -> Parsed<'m, &'m [u8]> {
            let (rest, length) = be_u16(input)?;
            take(rest, usize::from(length))
        };
        let fields = || {
            let (rest, withdrawn) = sized(message.get(HEADER..).unwrap_or_default())?;
            let (nlri, attributes) = sized(rest)?;
            Ok(Self { withdrawn, attributes, nlri })
        };
        fields().map_err(|error| fault_of(&error).locate(message, Part::Update))
    }

    const fn are_empty(&self) -> bool {
        self.withdrawn.is_empty() && self.attributes.is_empty() && self.nlri.is_empty()
    }
}

/// How a list of a family is read, see [`read_routes`].
type ReadList<'m, T> =
    fn(AfiSafi, &'m [u8], Reading, &mut Vec<Fault<'m>>) -> Option<Result<T, Fault<'m>>>;

/// The two fields of IPv4 unicast that are older than MP_REACH and MP_UNREACH.
struct Classic<'m> {
    message: &'m [u8],
    negotiated: &'m Negotiated,
}

impl<'m> Classic<'m> {
    /// `None` where nothing is, or nothing was agreed on.
    fn read<T>(
        &self,
        part: Part,
        octets: &'m [u8],
        faults: &mut Vec<WireError>,
        read: ReadList<'m, T>,
    ) -> Result<Option<T>, WireError> {
        let family = AfiSafi::IPV4_UNICAST;
        if octets.is_empty() {
            return Ok(None);
        }
        if !self.negotiated.families.contains(&family) {
            let fault = Fault { at: octets, kind: FaultKind::NotNegotiated };
            faults.push(fault.locate(self.message, part));
            return Ok(None);
        }
        let mut left_out = Vec::new();
        let reading = self.negotiated.reading(family);
        let list = read(family, octets, reading, &mut left_out).transpose();
        faults.extend(left_out.into_iter().map(|fault| fault.locate(self.message, part)));
        list.map_err(|fault| fault.locate(self.message, part))
    }
}
