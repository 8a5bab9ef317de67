//! NOTIFICATION (RFC 4271 §4.5, §6; RFC 4486; RFC 6608; RFC 9003; RFC 8538).

use std::fmt;

use bytes::Bytes;

use crate::error::WireError;
use crate::frame::{HEADER, kind};
use crate::write;

/// Code, subcode and data of a NOTIFICATION. Unknown numbers stay values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notification {
    pub code: u8,
    pub subcode: u8,
    pub data: Bytes,
}

/// Error codes, IANA "BGP Error (Notification) Codes".
impl Notification {
    pub const HEADER_ERROR: u8 = 1;
    pub const OPEN_ERROR: u8 = 2;
    pub const UPDATE_ERROR: u8 = 3;
    pub const HOLD_TIMER_EXPIRED: u8 = 4;
    pub const FSM_ERROR: u8 = 5;
    pub const CEASE: u8 = 6;
    /// RFC 7313 §5.
    pub const ROUTE_REFRESH_ERROR: u8 = 7;
    /// RFC 9687.
    pub const SEND_HOLD_TIMER_EXPIRED: u8 = 8;
}

/// Subcodes of OPEN errors, RFC 4271 §6.2, RFC 5492 §5, RFC 9234 §4.2.
pub mod open_error {
    pub const UNSUPPORTED_VERSION: u8 = 1;
    pub const BAD_PEER_AS: u8 = 2;
    pub const BAD_BGP_IDENTIFIER: u8 = 3;
    pub const UNSUPPORTED_OPTIONAL_PARAMETER: u8 = 4;
    pub const UNACCEPTABLE_HOLD_TIME: u8 = 6;
    pub const UNSUPPORTED_CAPABILITY: u8 = 7;
    pub const ROLE_MISMATCH: u8 = 11;
}

/// Subcodes of Cease, RFC 4486 §3, RFC 8538 §3.1, RFC 9384 §3.
pub mod cease {
    pub const MAXIMUM_PREFIXES: u8 = 1;
    pub const ADMINISTRATIVE_SHUTDOWN: u8 = 2;
    pub const PEER_DECONFIGURED: u8 = 3;
    pub const ADMINISTRATIVE_RESET: u8 = 4;
    pub const CONNECTION_REJECTED: u8 = 5;
    pub const OTHER_CONFIGURATION_CHANGE: u8 = 6;
    pub const CONNECTION_COLLISION: u8 = 7;
    pub const OUT_OF_RESOURCES: u8 = 8;
    pub const HARD_RESET: u8 = 9;
    pub const BFD_DOWN: u8 = 10;
}

/// Subcodes of FSM errors, RFC 6608 §3: the state that got a message it cannot take.
pub mod fsm_error {
    pub const OPEN_SENT: u8 = 1;
    pub const OPEN_CONFIRM: u8 = 2;
    pub const ESTABLISHED: u8 = 3;
}

/// Longest text of a shutdown communication, in octets (RFC 9003 §2).
const LONGEST_TEXT: usize = 255;

impl Notification {
    /// Without data.
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Bytes::new() }
    }

    pub const fn hold_timer_expired() -> Self {
        Self::new(Self::HOLD_TIMER_EXPIRED, 0)
    }

    /// RFC 9687.
    pub const fn send_hold_timer_expired() -> Self {
        Self::new(Self::SEND_HOLD_TIMER_EXPIRED, 0)
    }

    /// `subcode` of [`cease`].
    pub const fn cease(subcode: u8) -> Self {
        Self::new(Self::CEASE, subcode)
    }

    /// `subcode` of [`fsm_error`].
    pub const fn fsm_error(subcode: u8) -> Self {
        Self::new(Self::FSM_ERROR, subcode)
    }

    /// A message of the type `kind` in a state that does not expect it, which the data name (RFC 6608 §4);
    /// `subcode` of [`fsm_error`].
    pub fn unexpected(subcode: u8, kind: u8) -> Self {
        Self { data: Bytes::copy_from_slice(&[kind]), ..Self::fsm_error(subcode) }
    }

    /// Whether it is about an OPEN; `subcode` of [`open_error`].
    pub const fn is_open_error(&self, subcode: u8) -> bool {
        self.code == Self::OPEN_ERROR && self.subcode == subcode
    }

    /// `subcode` of [`open_error`].
    pub const fn open_error(subcode: u8) -> Self {
        Self::new(Self::OPEN_ERROR, subcode)
    }

    /// Cease with a text for the operator on the other side (RFC 9003), cut at 255 octets between
    /// two characters. `subcode` is [`cease::ADMINISTRATIVE_SHUTDOWN`] or
    /// [`cease::ADMINISTRATIVE_RESET`].
    pub fn shutdown(subcode: u8, text: &str) -> Self {
        let text = &text.as_bytes()[..text.floor_char_boundary(LONGEST_TEXT)];
        let mut data = Vec::with_capacity(1 + text.len());
        data.extend(u8::try_from(text.len()));
        data.extend(text);
        Self { data: data.into(), ..Self::cease(subcode) }
    }

    /// Cease with the peer's routes to be dropped although graceful restart was agreed on; `self`
    /// is the reason (RFC 8538 §3.1).
    #[must_use]
    pub fn into_hard_reset(self) -> Self {
        let mut data = vec![self.code, self.subcode];
        data.extend(self.data);
        Self { data: data.into(), ..Self::cease(cease::HARD_RESET) }
    }

    pub const fn is_hard_reset(&self) -> bool {
        self.code == Self::CEASE && self.subcode == cease::HARD_RESET
    }

    /// The reason inside a hard reset.
    pub fn hard_reset_reason(&self) -> Option<Self> {
        match *self.data {
            [code, subcode, ..] if self.is_hard_reset() => {
                Some(Self { code, subcode, data: self.data.slice(2..) })
            }
            _ => None,
        }
    }

    /// The text of a shutdown communication (RFC 9003), also of one inside a hard reset. Octets that
    /// are no UTF-8 are replaced.
    pub fn shutdown_text(&self) -> Option<String> {
        if let Some(reason) = self.hard_reset_reason() {
            return if reason.is_hard_reset() { None } else { reason.shutdown_text() };
        }
        let with_text = matches!(
            (self.code, self.subcode),
            (Self::CEASE, cease::ADMINISTRATIVE_SHUTDOWN | cease::ADMINISTRATIVE_RESET)
        );
        let (length, text) = self.data.split_first().filter(|_| with_text)?;
        let text = text.get(..usize::from(*length))?;
        (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
    }

    /// Reads a whole message whose header has been checked.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, WireError> {
        match message.get(HEADER..) {
            Some([code, subcode, data @ ..]) => {
                Ok(Self { code: *code, subcode: *subcode, data: Bytes::copy_from_slice(data) })
            }
            _ => Err(WireError {
                part: crate::error::Part::Notification,
                offset: message.len(),
                kind: crate::error::FaultKind::Truncated,
            }),
        }
    }

    /// Appends the whole message; data beyond `max` octets of message is cut.
    pub(crate) fn encode(&self, max: usize, out: &mut Vec<u8>) {
        write::message(kind::NOTIFICATION, out, |out| {
            out.extend([self.code, self.subcode]);
            out.extend(self.data.iter().take(max - HEADER - 2));
        });
    }

    /// What the code says.
    fn code_name(&self) -> Option<&'static str> {
        Some(match self.code {
            Self::HEADER_ERROR => "message header error",
            Self::OPEN_ERROR => "OPEN error",
            Self::UPDATE_ERROR => "UPDATE error",
            Self::HOLD_TIMER_EXPIRED => "hold timer expired",
            Self::FSM_ERROR => "FSM error",
            Self::CEASE => "cease",
            Self::ROUTE_REFRESH_ERROR => "ROUTE-REFRESH error",
            Self::SEND_HOLD_TIMER_EXPIRED => "send hold timer expired",
            _ => return None,
        })
    }

    /// What the subcode says beside the code.
    fn subcode_name(&self) -> Option<&'static str> {
        Some(match (self.code, self.subcode) {
            (Self::HEADER_ERROR, 1) => "connection not synchronized",
            (Self::HEADER_ERROR, 2) => "bad message length",
            (Self::HEADER_ERROR, 3) => "bad message type",
            (Self::OPEN_ERROR, open_error::UNSUPPORTED_VERSION) => "unsupported version",
            (Self::OPEN_ERROR, open_error::BAD_PEER_AS) => "bad peer AS",
            (Self::OPEN_ERROR, open_error::BAD_BGP_IDENTIFIER) => "bad BGP identifier",
            (Self::OPEN_ERROR, open_error::UNSUPPORTED_OPTIONAL_PARAMETER) => {
                "unsupported optional parameter"
            }
            (Self::OPEN_ERROR, open_error::UNACCEPTABLE_HOLD_TIME) => "unacceptable hold time",
            (Self::OPEN_ERROR, open_error::UNSUPPORTED_CAPABILITY) => "unsupported capability",
            (Self::OPEN_ERROR, open_error::ROLE_MISMATCH) => "role mismatch",
            (Self::UPDATE_ERROR, 1) => "malformed attribute list",
            (Self::UPDATE_ERROR, 2) => "unrecognized well-known attribute",
            (Self::UPDATE_ERROR, 3) => "missing well-known attribute",
            (Self::UPDATE_ERROR, 4) => "attribute flags error",
            (Self::UPDATE_ERROR, 5) => "attribute length error",
            (Self::UPDATE_ERROR, 6) => "invalid ORIGIN",
            (Self::UPDATE_ERROR, 8) => "invalid NEXT_HOP",
            (Self::UPDATE_ERROR, 9) => "optional attribute error",
            (Self::UPDATE_ERROR, 10) => "invalid network field",
            (Self::UPDATE_ERROR, 11) => "malformed AS_PATH",
            (Self::FSM_ERROR, fsm_error::OPEN_SENT) => "unexpected message in OpenSent",
            (Self::FSM_ERROR, fsm_error::OPEN_CONFIRM) => "unexpected message in OpenConfirm",
            (Self::FSM_ERROR, fsm_error::ESTABLISHED) => "unexpected message in Established",
            (Self::CEASE, cease::MAXIMUM_PREFIXES) => "maximum number of prefixes reached",
            (Self::CEASE, cease::ADMINISTRATIVE_SHUTDOWN) => "administrative shutdown",
            (Self::CEASE, cease::PEER_DECONFIGURED) => "peer deconfigured",
            (Self::CEASE, cease::ADMINISTRATIVE_RESET) => "administrative reset",
            (Self::CEASE, cease::CONNECTION_REJECTED) => "connection rejected",
            (Self::CEASE, cease::OTHER_CONFIGURATION_CHANGE) => "other configuration change",
            (Self::CEASE, cease::CONNECTION_COLLISION) => "connection collision resolution",
            (Self::CEASE, cease::OUT_OF_RESOURCES) => "out of resources",
            (Self::CEASE, cease::HARD_RESET) => "hard reset",
            (Self::CEASE, cease::BFD_DOWN) => "BFD down",
            (Self::ROUTE_REFRESH_ERROR, 1) => "invalid message length",
            _ => return None,
        })
    }
}

impl fmt::Display for Notification {
    /// `cease: administrative shutdown: "moving to rack 7"`; numbers where there is no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "code {}", self.code)?,
        }
        match self.subcode_name() {
            Some(name) => write!(f, ": {name}")?,
            None if self.subcode == 0 => {}
            None => write!(f, ": subcode {}", self.subcode)?,
        }
        match (self.hard_reset_reason(), self.shutdown_text()) {
            // Only one level: a peer could nest as many as fit into a message.
            (Some(reason), _) if !reason.is_hard_reset() => write!(f, ": {reason}"),
            (_, Some(text)) => write!(f, ": {text:?}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_reads_names_and_the_peers_text() {
        let cases = [
            (Notification::hold_timer_expired(), "hold timer expired"),
            (
                Notification::cease(cease::CONNECTION_COLLISION),
                "cease: connection collision resolution",
            ),
            (
                Notification::fsm_error(fsm_error::OPEN_CONFIRM),
                "FSM error: unexpected message in OpenConfirm",
            ),
            (
                Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, "moving to rack 7"),
                "cease: administrative shutdown: \"moving to rack 7\"",
            ),
            (
                Notification::shutdown(cease::ADMINISTRATIVE_RESET, "new key").into_hard_reset(),
                "cease: hard reset: cease: administrative reset: \"new key\"",
            ),
            (Notification::new(77, 3), "code 77: subcode 3"),
        ];
        for (notification, text) in cases {
            assert_eq!(notification.to_string(), text);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ä".repeat(200);
        let notification = Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, &text);
        assert_eq!(notification.data.len(), 255);
        assert_eq!(notification.shutdown_text(), Some("ä".repeat(127)));
    }

    #[test]
    fn a_text_that_is_longer_than_the_data_is_no_text() {
        let mut notification = Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN);
        notification.data = Bytes::from_static(&[9, b'a']);
        assert_eq!(notification.shutdown_text(), None);
    }

    #[test]
    fn nested_hard_resets_are_not_followed() {
        let mut notification = Notification::cease(cease::ADMINISTRATIVE_RESET);
        for _ in 0..100 {
            notification = notification.into_hard_reset();
        }
        assert_eq!(notification.to_string(), "cease: hard reset");
        assert_eq!(notification.shutdown_text(), None);
    }
}
