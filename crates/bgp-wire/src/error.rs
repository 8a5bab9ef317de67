//! What can be wrong with octets, where, and what RFC 7606 makes of it.

use crate::afi_safi::AfiSafi;
use crate::notification::Notification;

/// A part of a message, as an operator would look for it in a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Header,
    Open,
    Capability(u8),
    Notification,
    RouteRefresh,
    /// The lengths that divide an UPDATE.
    Update,
    WithdrawnRoutes,
    /// A path attribute by its code.
    Attribute(u8),
    /// The classic IPv4 field at the end.
    Nlri,
    MpReach(AfiSafi),
    MpUnreach(AfiSafi),
}

/// Why a part cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    #[error("it ends too early")]
    Truncated,
    // the codec adds the rest
}

/// A malformed part of a message: which part, at which octet of the message, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} at octet {offset}: {kind}")]
pub struct WireError {
    pub part: Part,
    pub offset: usize,
    pub kind: FaultKind,
}

/// What a malformed UPDATE asks of us (RFC 7606 §2), weakest first: of several, the `max` is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorAction {
    AttributeDiscard,
    TreatAsWithdraw,
    AfiSafiDisable,
    SessionReset,
}

impl WireError {
    /// RFC 7606 §7, attribute by attribute.
    pub fn action(&self, internal: bool) -> ErrorAction {
        todo!()
    }

    /// The NOTIFICATION that tells the peer: RFC 4271 §6.
    pub fn notification(&self) -> Notification {
        todo!()
    }
}
