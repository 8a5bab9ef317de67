//! Why we end a session that could go on (RFC 4486, RFC 8538, RFC 9003).
//!
//! The NOTIFICATIONs for malformed octets are made by `bgp-wire`, next to the table of RFC 4271 §6.

use bgp_wire::notification::{cease, open_error};
use bgp_wire::{AfiSafi, Notification};
use bytes::{BufMut, BytesMut};

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
            Self::PrefixLimit { .. } => cease::MAXIMUM_PREFIXES,
            Self::AdministrativeShutdown => cease::ADMINISTRATIVE_SHUTDOWN,
            Self::Deconfigured => cease::PEER_DECONFIGURED,
            Self::AdministrativeReset => cease::ADMINISTRATIVE_RESET,
            Self::ConnectionRejected => cease::CONNECTION_REJECTED,
            Self::ConfigurationChange => cease::OTHER_CONFIGURATION_CHANGE,
            Self::Collision => cease::CONNECTION_COLLISION,
            Self::OutOfResources => cease::OUT_OF_RESOURCES,
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
        match self {
            Self::PrefixLimit { family, limit } => {
                let mut data = BytesMut::with_capacity(7);
                data.put_u16(family.afi.0);
                data.put_u8(family.safi.0);
                data.put_u32(limit);
                Notification { data: data.freeze(), ..Notification::cease(self.subcode()) }
            }
            Self::AdministrativeShutdown | Self::AdministrativeReset
                if !communication.is_empty() =>
            {
                Notification::shutdown(self.subcode(), communication)
            }
            _ => Notification::cease(self.subcode()),
        }
    }

    /// As [`Self::notification`], wrapped in a Hard Reset where both sides agreed that a plain
    /// NOTIFICATION keeps routes, and this one must not (RFC 8538 §3.1).
    pub fn notification_that_ends(self, communication: &str) -> Notification {
        let plain = self.notification(communication);
        if self.is_hard() { plain.into_hard_reset() } else { plain }
    }
}

/// No common family: the data are the capabilities that we miss (RFC 5492 §5).
pub(crate) fn unsupported_capability(families: &[AfiSafi]) -> Notification {
    let mut data = BytesMut::with_capacity(families.len() * 6);
    for family in families {
        data.put_slice(&[1, 4]);
        data.put_u16(family.afi.0);
        data.put_slice(&[0, family.safi.0]);
    }
    Notification {
        data: data.freeze(),
        ..Notification::open_error(open_error::UNSUPPORTED_CAPABILITY)
    }
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
    fn what_must_not_keep_routes_becomes_a_hard_reset() {
        let hard = Cease::Deconfigured.notification_that_ends("");
        assert!(hard.is_hard_reset());
        assert_eq!(&hard.data[..], &[6, 3]);
        assert!(!Cease::AdministrativeReset.notification_that_ends("").is_hard_reset());
    }

    #[test]
    fn a_prefix_limit_names_family_and_limit() {
        let told = Cease::PrefixLimit { family: AfiSafi::VPNV4, limit: 1000 }.notification("");
        assert_eq!((told.subcode, &told.data[..]), (1, &[0, 1, 128, 0, 0, 3, 0xe8][..]));
    }
}
