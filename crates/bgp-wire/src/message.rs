//! A message of any type.

use crate::error::{FaultKind, Part, WireError};
use crate::frame::{self, kind};
use crate::negotiated::Negotiated;
use crate::notification::Notification;
use crate::open::Open;
use crate::refresh::RouteRefresh;
use crate::update::Update;
use crate::write;

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Open(Open),
    Update(Update),
    Notification(Notification),
    Keepalive,
    RouteRefresh(RouteRefresh),
}

impl Message {
    /// Reads one whole message, header included (see [`crate::frame::length`]).
    ///
    /// # Errors
    /// Only what ends the session; milder faults of an UPDATE are in [`Update::faults`].
    pub fn decode(octets: &[u8], negotiated: &Negotiated) -> Result<Self, WireError> {
        let error = |offset, kind| WireError { part: Part::Header, offset, kind };
        let length = frame::length(octets, negotiated.max_message())?
            .ok_or_else(|| error(octets.len(), FaultKind::Truncated))?;
        if octets.len() < length {
            return Err(error(octets.len(), FaultKind::Truncated));
        }
        if octets.len() > length {
            return Err(error(length, FaultKind::Trailing));
        }
        match octets.get(frame::HEADER - 1).copied() {
            Some(kind::OPEN) => Open::decode(octets).map(Self::Open),
            Some(kind::UPDATE) => Update::decode(octets, negotiated).map(Self::Update),
            Some(kind::NOTIFICATION) => Notification::decode(octets).map(Self::Notification),
            Some(kind::ROUTE_REFRESH) => RouteRefresh::decode(octets).map(Self::RouteRefresh),
            // `frame::length` lets no other type pass.
            _ => Ok(Self::Keepalive),
        }
    }

    /// Its type, as on the wire.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Open(_) => kind::OPEN,
            Self::Update(_) => kind::UPDATE,
            Self::Notification(_) => kind::NOTIFICATION,
            Self::Keepalive => kind::KEEPALIVE,
            Self::RouteRefresh(_) => kind::ROUTE_REFRESH,
        }
    }

    /// Appends the message, header included. An UPDATE too long for one message, or with routes of
    /// several families, is written as several.
    pub fn encode(&self, negotiated: &Negotiated, out: &mut Vec<u8>) {
        match self {
            Self::Open(open) => open.encode(out),
            Self::Update(update) => update.encode(negotiated, out),
            Self::Notification(notification) => {
                notification.encode(negotiated.max_message(), out);
            }
            Self::Keepalive => write::message(kind::KEEPALIVE, out, |_| {}),
            Self::RouteRefresh(refresh) => refresh.encode(out),
        }
    }
}
