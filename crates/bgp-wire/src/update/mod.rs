//! UPDATE (RFC 4271 §4.3, RFC 4760, RFC 7606), and writing many routes that share attributes.

mod write;

use std::sync::Arc;

use crate::afi_safi::AfiSafi;
use crate::attrs::{Found, PathAttributes, code, read_attributes};
use crate::error::{ErrorAction, FaultKind, Part, WireError};
use crate::frame::HEADER;
use crate::negotiated::Negotiated;
use crate::next_hop::NextHop;
use crate::nlri::{Routes, Withdrawals, read_routes, read_withdrawals};
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
        let mut found = read_attributes(message, fields.attributes, negotiated)?;
        let mut faults = Vec::new();
        let mut update = Self::default();

        let classic = Classic { message, negotiated };
        if let Some(list) =
            classic.read(Part::WithdrawnRoutes, fields.withdrawn, &mut faults, read_withdrawals)?
        {
            update.withdrawn.push(list);
        }
        faults.append(&mut found.faults);
        let announced = classic.read(Part::Nlri, fields.nlri, &mut faults, read_routes)?;

        let is_empty =
            fields.attributes.is_empty() && fields.withdrawn.is_empty() && fields.nlri.is_empty();
        if is_empty {
            update.end_of_rib = Some(AfiSafi::IPV4_UNICAST);
        }
        let has_reach = found.has_reach || !fields.nlri.is_empty();
        match found.unreach.take() {
            Some((_, list)) if !list.is_empty() => update.withdrawn.push(list),
            Some((family, _)) if !has_reach && fields.withdrawn.is_empty() => {
                update.end_of_rib = Some(family);
            }
            _ => {}
        }
        update.announce(message, &fields, found, announced, &mut faults);
        update.react(has_reach, faults, negotiated.internal)?;
        Ok(update)
    }

    /// Takes what is announced, and reports the well-known attributes that it lacks (RFC 7606 §3 d).
    fn announce(
        &mut self,
        message: &[u8],
        fields: &Fields<'_>,
        found: Found,
        classic: Option<Routes>,
        faults: &mut Vec<WireError>,
    ) {
        let mut need = |code| {
            if !found.has(code) {
                let missing = Fault { at: fields.attributes, kind: FaultKind::Missing };
                faults.push(missing.locate(message, Part::Attribute(code)));
            }
        };
        let reach = found.reach.as_ref().filter(|(_, routes)| !routes.is_empty());
        if classic.is_some() || reach.is_some() {
            need(code::ORIGIN);
            need(code::AS_PATH);
        }
        if classic.is_some() {
            need(code::NEXT_HOP);
        }
        if let Some(routes) = classic {
            // Without one it is missing or malformed, and the routes are about to be withdrawn.
            let next_hop = found.next_hop.map_or(NextHop::None, NextHop::V4);
            self.announced.push((next_hop, routes));
        }
        self.announced.extend(found.reach.filter(|(_, routes)| !routes.is_empty()));
        if !self.announced.is_empty() {
            self.attributes = Arc::new(found.attributes);
        }
    }

    /// Does what the strongest of the faults asks for.
    fn react(
        &mut self,
        has_reach: bool,
        faults: Vec<WireError>,
        internal: bool,
    ) -> Result<(), WireError> {
        self.faults = faults;
        let withdraw = |fault: &&WireError| fault.action(internal) >= ErrorAction::TreatAsWithdraw;
        let Some(worst) = self.faults.iter().find(withdraw) else { return Ok(()) };
        // §5.2: attributes without a route that they belong to: perhaps the routes were not found.
        if !has_reach && !matches!(worst.part, Part::MpUnreach(_)) {
            return Err(worst.clone());
        }
        let announced = std::mem::take(&mut self.announced);
        self.withdrawn.extend(announced.into_iter().map(|(_, routes)| routes.into_withdrawals()));
        self.attributes = Arc::default();
        Ok(())
    }
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
}

/// How a list of a family is read, see [`read_routes`].
type ReadList<'m, T> =
    fn(AfiSafi, &'m [u8], bool, &mut Vec<Fault<'m>>) -> Option<Result<T, Fault<'m>>>;

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
        let add_path = self.negotiated.add_path_receive.contains(&family);
        read(family, octets, add_path, &mut Vec::new())
            .transpose()
            .map_err(|fault| fault.locate(self.message, part))
    }
}
