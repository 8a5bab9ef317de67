//! Families that are given up so that the session can go on (RFC 7606 §2, "AFI/SAFI disable").

use bgp_session::{Session, State};
use bgp_wire::error::{FaultKind, Part};
use bgp_wire::{AfiSafi, ErrorAction, Negotiated, Update, WireError};

/// The families of one session that are not read any more.
#[derive(Debug, Default)]
pub(crate) struct Disabling {
    families: Vec<AfiSafi>,
    /// What was negotiated, without them; `None` while there are none.
    reading: Option<Box<Negotiated>>,
}

impl Disabling {
    /// What to read by.
    pub(crate) fn reading<'a>(&'a self, negotiated: &'a Negotiated) -> &'a Negotiated {
        self.reading.as_deref().unwrap_or(negotiated)
    }

    pub(crate) fn has(&self, family: AfiSafi) -> bool {
        self.families.contains(&family)
    }

    /// Gives up the family that an error is about. `None` where the session has to end instead:
    ///
    /// - the RFC asks for that, or the session is not to be saved;
    /// - memberships cannot be read: without them the peer would silently be told nothing (RFC 4684);
    /// - no family with routes is left, and nothing would come until somebody resets the session.
    pub(crate) fn disable(&mut self, session: &Session, error: &WireError) -> Option<AfiSafi> {
        let (Part::MpReach(family) | Part::MpUnreach(family)) = error.part else { return None };
        let negotiated = self.reading(session.negotiated());
        let is_asked_for = error.action(negotiated.internal) == ErrorAction::AfiSafiDisable
            && session.config().disable_families
            && session.state() == State::Established;
        let has_routes = |family: &AfiSafi| *family != AfiSafi::RTC;
        let others = negotiated.families.iter().filter(|other| **other != family);
        if !is_asked_for || !has_routes(&family) || !others.clone().any(has_routes) {
            return None;
        }
        let families = others.copied().collect();
        self.reading = Some(Box::new(Negotiated { families, ..negotiated.clone() }));
        self.families.push(family);
        Some(family)
    }

    /// That routes of such a family come is no fault any more.
    pub(crate) fn forgive(&self, update: &mut Update) {
        if self.families.is_empty() {
            return;
        }
        update.faults.retain(|fault| {
            let family = match fault.part {
                Part::MpReach(family) | Part::MpUnreach(family) => family,
                Part::Nlri | Part::WithdrawnRoutes => AfiSafi::IPV4_UNICAST,
                _ => return true,
            };
            fault.kind != FaultKind::NotNegotiated || !self.has(family)
        });
    }
}
