//! A message of any type.

use crate::error::WireError;
use crate::negotiated::Negotiated;
use crate::notification::Notification;
use crate::open::Open;
use crate::refresh::RouteRefresh;
use crate::update::Update;

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
        todo!()
    }

    /// Appends the message, header included. An UPDATE too long for one message is written as several.
    pub fn encode(&self, negotiated: &Negotiated, out: &mut Vec<u8>) {
        todo!()
    }
}
