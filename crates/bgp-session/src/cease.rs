//! The NOTIFICATIONs that a session makes itself (RFC 4271 §6, RFC 4486, RFC 6608, RFC 9003).
//!
//! Those for malformed octets are made by `bgp-wire`, next to the table of RFC 4271 §6.

use bgp_wire::{AfiSafi, Notification};
use bytes::{BufMut, Bytes, BytesMut};

const OPEN: u8 = 2;
const HOLD_TIMER: u8 = 4;
const FSM: u8 = 5;
const CEASE: u8 = 6;
const SEND_HOLD_TIMER: u8 = 8;

const HARD_RESET: u8 = 9;

/// Longest shutdown communication (RFC 9003 §2).
const MAX_COMMUNICATION: usize = 255;

/// Why we end a session that could go on (RFC 4486 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cease {
    /// More routes of a family than configured.
    PrefixLimit {
        family: AfiSafi,
        limit: u32,
    },
    AdministrativeShutdown,
    /// The peer is no longer configured.
    Deconfigured,
    AdministrativeReset,
    ConnectionRejected,
    /// A change of configuration that only a new OPEN can tell.
    ConfigurationChange,
    Collision,
    OutOfResources,
}

impl Cease {
    /// The subcode of RFC 4486 §3.
    const fn subcode(self) -> u8 {
        match self {
            Self::PrefixLimit { .. } => 1,
            Self::AdministrativeShutdown => 2,
            Self::Deconfigured => 3,
            Self::AdministrativeReset => 4,
            Self::ConnectionRejected => 5,
            Self::ConfigurationChange => 6,
            Self::Collision => 7,
            Self::OutOfResources => 8,
        }
    }

    /// Whether the peer shall forget our routes even where RFC 8538 was agreed on (RFC 8538 §3).
    pub(crate) const fn is_hard(self) -> bool {
        matches!(self, Self::PrefixLimit { .. } | Self::AdministrativeShutdown | Self::Deconfigured)
    }

    /// As it is named in logs, the API and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::PrefixLimit { .. } => "prefix-limit",
            Self::AdministrativeShutdown => "admin-shutdown",
            Self::Deconfigured => "deconfigured",
            Self::AdministrativeReset => "admin-reset",
            Self::ConnectionRejected => "connection-rejected",
            Self::ConfigurationChange => "configuration-change",
            Self::Collision => "collision",
            Self::OutOfResources => "out-of-resources",
        }
    }

    /// The message, with a text for the operator of the peer where RFC 9003 has room for one.
    pub fn notification(self, communication: &str) -> Notification {
        let mut data = BytesMut::new();
        match self {
            Self::PrefixLimit { family, limit } => {
                data.put_u16(family.afi.0);
                data.put_u8(family.safi.0);
                data.put_u32(limit);
            }
            Self::AdministrativeShutdown | Self::AdministrativeReset
                if !communication.is_empty() =>
            {
                let text = shortened(communication);
                data.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
                data.put_slice(text.as_bytes());
            }
            _ => {}
        }
        Notification { code: CEASE, subcode: self.subcode(), data: data.freeze() }
    }

    /// As [`Self::notification`], wrapped in a Hard Reset where both sides agreed that a plain
    /// NOTIFICATION keeps routes, and this one must not (RFC 8538 §3.1).
    pub fn notification_that_ends(self, communication: &str) -> Notification {
        let plain = self.notification(communication);
        if !self.is_hard() {
            return plain;
        }
        let mut data = BytesMut::with_capacity(2 + plain.data.len());
        data.put_u8(plain.code);
        data.put_u8(plain.subcode);
        data.put_slice(&plain.data);
        Notification { code: CEASE, subcode: HARD_RESET, data: data.freeze() }
    }
}

/// Whether a NOTIFICATION is a Hard Reset (RFC 8538 §3).
pub fn is_hard_reset(notification: &Notification) -> bool {
    (notification.code, notification.subcode) == (CEASE, HARD_RESET)
}

/// Hold timer expired (RFC 4271 §6.5).
pub(crate) fn hold_timer_expired() -> Notification {
    bare(HOLD_TIMER, 0)
}

/// Send hold timer expired (RFC 9687 §3).
pub(crate) fn send_hold_timer_expired() -> Notification {
    bare(SEND_HOLD_TIMER, 0)
}

/// A message that has no place in this state. `subcode` is the state's of RFC 6608 §3.
pub(crate) fn fsm_error(subcode: u8) -> Notification {
    bare(FSM, subcode)
}

/// The peer's AS is not the configured one (RFC 4271 §6.2).
pub(crate) fn bad_peer_as() -> Notification {
    bare(OPEN, 2)
}

/// A BGP identifier of zero, or our own inside our AS (RFC 6286 §2.2).
pub(crate) fn bad_identifier() -> Notification {
    bare(OPEN, 3)
}

/// A hold time of one or two seconds (RFC 4271 §6.2).
pub(crate) fn unacceptable_hold_time() -> Notification {
    bare(OPEN, 6)
}

/// No common family: the data are the capabilities that we miss (RFC 5492 §5).
pub(crate) fn unsupported_capability(families: &[AfiSafi]) -> Notification {
    let mut data = BytesMut::with_capacity(families.len() * 6);
    for family in families {
        data.put_slice(&[1, 4]);
        data.put_u16(family.afi.0);
        data.put_slice(&[0, family.safi.0]);
    }
    Notification { code: OPEN, subcode: 7, data: data.freeze() }
}

const fn bare(code: u8, subcode: u8) -> Notification {
    Notification { code, subcode, data: Bytes::new() }
}

/// The longest start of `text` that fits and does not cut a character.
fn shortened(text: &str) -> &str {
    let end = text.floor_char_boundary(MAX_COMMUNICATION);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_tells_its_reason() {
        let told = Cease::AdministrativeShutdown.notification("ticket 7");
        assert_eq!((told.code, told.subcode, &told.data[..]), (6, 2, &b"\x08ticket 7"[..]));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let told = Cease::AdministrativeReset.notification(&"ö".repeat(200));
        assert_eq!((told.data.len(), told.data[0]), (1 + 254, 254));
        assert!(std::str::from_utf8(&told.data[1..]).is_ok());
    }

    #[test]
    fn what_must_not_keep_routes_becomes_a_hard_reset() {
        let hard = Cease::Deconfigured.notification_that_ends("");
        assert!(is_hard_reset(&hard));
        assert_eq!(&hard.data[..], &[6, 3]);
        assert!(!is_hard_reset(&Cease::AdministrativeReset.notification_that_ends("")));
    }

    #[test]
    fn a_prefix_limit_names_family_and_limit() {
        let told = Cease::PrefixLimit { family: AfiSafi::VPNV4, limit: 1000 }.notification("");
        assert_eq!((told.subcode, &told.data[..]), (1, &[0, 1, 128, 0, 0, 3, 0xe8][..]));
    }
}
