//! What can be wrong with octets, where, and what RFC 7606 makes of it.

use std::fmt;

use bytes::Bytes;

use crate::afi_safi::AfiSafi;
use crate::attrs::code;
use crate::notification::Notification;

/// A part of a message, as an operator would look for it in a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Header,
    Open,
    /// A capability by its code.
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

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("header"),
            Self::Open => f.write_str("OPEN"),
            Self::Capability(code) => write!(f, "capability {code}"),
            Self::Notification => f.write_str("NOTIFICATION"),
            Self::RouteRefresh => f.write_str("ROUTE-REFRESH"),
            Self::Update => f.write_str("UPDATE"),
            Self::WithdrawnRoutes => f.write_str("withdrawn routes"),
            Self::Attribute(code) => match code::name(*code) {
                Some(name) => f.write_str(name),
                None => write!(f, "attribute {code}"),
            },
            Self::Nlri => f.write_str("NLRI"),
            Self::MpReach(_) => f.write_str("MP_REACH_NLRI"),
            Self::MpUnreach(_) => f.write_str("MP_UNREACH_NLRI"),
        }
    }
}

/// Why a part cannot be read, or is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    #[error("it ends too early")]
    Truncated,
    #[error("octets are left over after its end")]
    Trailing,
    #[error("the marker is not all ones")]
    Marker,
    #[error("a length of {0} octets is impossible here")]
    Length(u16),
    #[error("message type {0} is unknown")]
    MessageType(u8),
    #[error("BGP version {0} is not supported")]
    Version(u8),
    #[error("AS number 0 is reserved")]
    AsZero,
    #[error("the BGP identifier is 0")]
    RouterId,
    #[error("a hold time of {0} s is neither 0 nor at least 3")]
    HoldTime(u16),
    #[error("optional parameter {0} is not supported")]
    OptionalParameter(u8),
    #[error("too few octets are left for the header of an attribute")]
    AttributeHeader,
    #[error("it runs over the end of the path attributes")]
    Overrun,
    #[error("flags 0x{0:02x} do not belong to this attribute")]
    Flags(u8),
    #[error("it is there twice")]
    Duplicate,
    #[error("it is missing")]
    Missing,
    #[error("it claims to be well-known, but is not")]
    UnknownWellKnown,
    #[error("an external peer may not send it")]
    External,
    #[error("origin {0} is undefined")]
    Origin(u8),
    #[error("segment type {0} is undefined")]
    SegmentType(u8),
    #[error("sets of AS numbers are deprecated")]
    AsSet,
    #[error("a segment has no AS number")]
    EmptySegment,
    #[error("the metric is as large as it can be, which means nothing")]
    Metric,
    #[error("a tunnel does not say once where it ends")]
    Endpoint,
    #[error("a tunnel that does not say once where it ends was left out")]
    TunnelLeftOut,
    #[error("it holds routes, which belong outside")]
    Routes,
    #[error("a next hop of {0} octets is impossible in this family")]
    NextHopLength(u8),
    #[error("the next hop is not the address of a host")]
    NextHopAddress,
    #[error("we have not said that we take next hops of IPv6 for routes of IPv4")]
    NextHopFamily,
    #[error("this family was not negotiated")]
    NotNegotiated,
    #[error("a prefix length of {0} bits is impossible here")]
    PrefixLength(u8),
    #[error("an address length of {0} bits is impossible here")]
    AddressLength(u8),
    #[error("a stack of {0} labels is deeper than what we take")]
    Labels(u8),
    #[error("a route of type 5 has both an Ethernet segment and a gateway")]
    OverlayIndex,
    #[error("a prefix of multicast addresses is no unicast route and was left out")]
    Multicast,
    #[error("a route of type {0} is malformed and was left out")]
    RouteLeftOut(u8),
}

/// A malformed part of a message: which part, at which octet of the message, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} at octet {offset}: {kind}")]
pub struct WireError {
    pub part: Part,
    /// From the start of the message, header included.
    pub offset: usize,
    pub kind: FaultKind,
}

/// What a malformed UPDATE asks of us (RFC 7606 §2), weakest first: of several, the `max` is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorAction {
    /// The part is dropped and the rest of the message is taken.
    AttributeDiscard,
    /// The announced routes are taken as withdrawn.
    TreatAsWithdraw,
    /// Nothing more is taken in this family. The RFC leaves the choice between this and a reset to who
    /// has the session.
    AfiSafiDisable,
    SessionReset,
}

impl WireError {
    /// RFC 7606 §7, attribute by attribute; §3 and §5 for what is no attribute.
    ///
    /// `internal` says whether the peer is in our own AS: what an external peer may not send is
    /// dropped whatever else is wrong with it (§7.5, §7.9, §7.10).
    pub const fn action(&self, internal: bool) -> ErrorAction {
        use ErrorAction::{AfiSafiDisable, AttributeDiscard, SessionReset, TreatAsWithdraw};
        match (self.part, self.kind) {
            // What it says is not taken, whatever it is.
            (
                _,
                FaultKind::External
                | FaultKind::NotNegotiated
                | FaultKind::RouteLeftOut(_)
                | FaultKind::Multicast,
            )
            // RFC 7311 §3.2: whatever is wrong with it, its flags included.
            | (Part::Attribute(code::AIGP), _)
            // RFC 9012 §13: only that tunnel.
            | (Part::Attribute(code::TUNNEL_ENCAPSULATION), FaultKind::TunnelLeftOut) => {
                AttributeDiscard
            }
            (
                Part::Attribute(code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST),
                FaultKind::Length(_),
            ) if !internal => AttributeDiscard,
            // The routes can be told apart, but are not to be taken.
            (
                Part::MpReach(_),
                FaultKind::NextHopAddress
                | FaultKind::NextHopFamily
                | FaultKind::OverlayIndex
                | FaultKind::Labels(_),
            )
            | (Part::Update, FaultKind::AttributeHeader) => TreatAsWithdraw,
            // The family is known, and its routes cannot be told apart, or are not to be looked for: wrong
            // flags are no matter of §3 c here (§5.3, §7.11, §7.12).
            (Part::MpReach(_) | Part::MpUnreach(_), _) => AfiSafiDisable,
            // Without a family there is nothing to withdraw (§3 j), also where the attribute runs over the
            // end, and two of these cannot be told apart (§3 g).
            (Part::Attribute(code::MP_REACH_NLRI | code::MP_UNREACH_NLRI), _)
            | (Part::Attribute(_), FaultKind::UnknownWellKnown) => SessionReset,
            // §3 c for every other attribute, §4 where it runs over the end.
            (Part::Attribute(_), FaultKind::Flags(_) | FaultKind::Overrun | FaultKind::AsSet) => {
                TreatAsWithdraw
            }
            (Part::Attribute(_), FaultKind::Duplicate)
            | (
                Part::Attribute(
                    code::ATOMIC_AGGREGATE
                    | code::AGGREGATOR
                    | code::AS4_PATH
                    | code::AS4_AGGREGATOR,
                ),
                _,
            ) => AttributeDiscard,
            (Part::Attribute(_), _) => TreatAsWithdraw,
            _ => SessionReset,
        }
    }

    /// The NOTIFICATION that tells the peer: RFC 4271 §6.1 to §6.3, RFC 7313 §5.
    ///
    /// Without the octets of the message its data field holds only what the error itself knows;
    /// [`WireError::notification_for`] knows more.
    pub fn notification(&self) -> Notification {
        let (code, subcode) = self.codes();
        let data = match (self.part, self.kind) {
            (Part::Header, FaultKind::Length(length)) => {
                Bytes::copy_from_slice(&length.to_be_bytes())
            }
            (Part::Header, FaultKind::MessageType(kind)) => Bytes::copy_from_slice(&[kind]),
            // The largest version we support.
            (Part::Open, FaultKind::Version(_)) => Bytes::from_static(&[0, 4]),
            (Part::Attribute(code), FaultKind::Missing) => Bytes::copy_from_slice(&[code]),
            _ => Bytes::new(),
        };
        Notification { code, subcode, data }
    }

    /// [`WireError::notification`] with the data that RFC 4271 §6.3 asks for taken from `message`,
    /// the octets that were being read: the attribute in question, or a whole ROUTE-REFRESH.
    pub fn notification_for(&self, message: &[u8]) -> Notification {
        let mut notification = self.notification();
        let data = match (notification.code, notification.subcode) {
            (Notification::UPDATE_ERROR, 2 | 4..=6 | 8 | 9) => self
                .attribute()
                .and_then(|code| crate::attrs::attribute_around(message, code, self.offset)),
            (Notification::ROUTE_REFRESH_ERROR, _) => Some(message),
            _ => None,
        };
        if let Some(data) = data {
            notification.data = Bytes::copy_from_slice(data);
        }
        notification
    }

    /// The attribute that it is in.
    const fn attribute(&self) -> Option<u8> {
        match self.part {
            Part::Attribute(code) => Some(code),
            Part::MpReach(_) => Some(code::MP_REACH_NLRI),
            Part::MpUnreach(_) => Some(code::MP_UNREACH_NLRI),
            _ => None,
        }
    }

    /// Error code and subcode.
    const fn codes(&self) -> (u8, u8) {
        match (self.part, self.kind) {
            (Part::Header, FaultKind::Marker) => (Notification::HEADER_ERROR, 1),
            (Part::Header, FaultKind::MessageType(_)) => (Notification::HEADER_ERROR, 3),
            (Part::Header | Part::Notification, _) => (Notification::HEADER_ERROR, 2),
            (Part::Open | Part::Capability(_), kind) => {
                let subcode = match kind {
                    FaultKind::Version(_) => 1,
                    FaultKind::AsZero => 2,
                    FaultKind::RouterId => 3,
                    FaultKind::OptionalParameter(_) => 4,
                    FaultKind::HoldTime(_) => 6,
                    _ => 0,
                };
                (Notification::OPEN_ERROR, subcode)
            }
            (Part::RouteRefresh, _) => (Notification::ROUTE_REFRESH_ERROR, 1),
            (Part::Update, _) => (Notification::UPDATE_ERROR, 1),
            (Part::WithdrawnRoutes | Part::Nlri, _) => (Notification::UPDATE_ERROR, 10),
            (Part::Attribute(code), kind) => {
                (Notification::UPDATE_ERROR, attribute_subcode(code, kind))
            }
            (Part::MpReach(_) | Part::MpUnreach(_), kind) => {
                (Notification::UPDATE_ERROR, attribute_subcode(code::MP_REACH_NLRI, kind))
            }
        }
    }
}

/// RFC 4271 §6.3.
const fn attribute_subcode(attribute: u8, kind: FaultKind) -> u8 {
    match (attribute, kind) {
        (_, FaultKind::Duplicate) => 1,
        (_, FaultKind::UnknownWellKnown) => 2,
        (_, FaultKind::Missing) => 3,
        (_, FaultKind::Flags(_)) => 4,
        (_, FaultKind::Length(_) | FaultKind::Overrun) => 5,
        (code::ORIGIN, _) => 6,
        (code::NEXT_HOP, _) => 8,
        (code::AS_PATH, _) => 11,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_can_find_the_octet() {
        let error = WireError {
            part: Part::MpReach(AfiSafi::VPNV4),
            offset: 47,
            kind: FaultKind::Truncated,
        };
        assert_eq!(error.to_string(), "MP_REACH_NLRI at octet 47: it ends too early");
        let error = WireError { part: Part::Attribute(99), ..error };
        assert_eq!(error.to_string(), "attribute 99 at octet 47: it ends too early");
    }

    #[test]
    fn a_family_can_be_disabled_where_it_is_known() {
        let action = |part, kind| WireError { part, offset: 19, kind }.action(true);
        for part in [Part::MpReach(AfiSafi::VPNV4), Part::MpUnreach(AfiSafi::VPNV4)] {
            assert_eq!(action(part, FaultKind::PrefixLength(255)), ErrorAction::AfiSafiDisable);
            assert_eq!(action(part, FaultKind::Flags(0xc0)), ErrorAction::AfiSafiDisable);
        }
        let part = Part::MpReach(AfiSafi::VPNV4);
        assert_eq!(action(part, FaultKind::Labels(3)), ErrorAction::TreatAsWithdraw);
        for part in [Part::Attribute(14), Part::Nlri, Part::WithdrawnRoutes, Part::Update] {
            assert_eq!(action(part, FaultKind::Truncated), ErrorAction::SessionReset);
        }
    }

    #[test]
    fn the_strongest_reaction_is_the_largest() {
        use ErrorAction::{AfiSafiDisable, AttributeDiscard, SessionReset, TreatAsWithdraw};
        assert!(AttributeDiscard < TreatAsWithdraw);
        assert!(TreatAsWithdraw < AfiSafiDisable);
        assert!(AfiSafiDisable < SessionReset);
    }

    #[test]
    fn the_peer_is_told_code_subcode_and_data() {
        let cases: &[(Part, FaultKind, u8, u8, &[u8])] = &[
            (Part::Header, FaultKind::Marker, 1, 1, &[]),
            (Part::Header, FaultKind::Length(18), 1, 2, &[0, 18]),
            (Part::Header, FaultKind::MessageType(9), 1, 3, &[9]),
            (Part::Open, FaultKind::Version(5), 2, 1, &[0, 4]),
            (Part::Open, FaultKind::AsZero, 2, 2, &[]),
            (Part::Open, FaultKind::RouterId, 2, 3, &[]),
            (Part::Open, FaultKind::OptionalParameter(1), 2, 4, &[]),
            (Part::Open, FaultKind::HoldTime(2), 2, 6, &[]),
            (Part::Open, FaultKind::Truncated, 2, 0, &[]),
            (Part::Update, FaultKind::Truncated, 3, 1, &[]),
            (Part::Attribute(99), FaultKind::UnknownWellKnown, 3, 2, &[]),
            (Part::Attribute(2), FaultKind::Missing, 3, 3, &[2]),
            (Part::Attribute(2), FaultKind::Flags(0x80), 3, 4, &[]),
            (Part::Attribute(4), FaultKind::Length(3), 3, 5, &[]),
            (Part::Attribute(1), FaultKind::Origin(3), 3, 6, &[]),
            (Part::Attribute(3), FaultKind::NextHopAddress, 3, 8, &[]),
            (Part::Attribute(2), FaultKind::EmptySegment, 3, 11, &[]),
            (Part::MpReach(AfiSafi::VPNV4), FaultKind::PrefixLength(255), 3, 9, &[]),
            (Part::MpReach(AfiSafi::VPNV4), FaultKind::Duplicate, 3, 1, &[]),
            (Part::Nlri, FaultKind::PrefixLength(33), 3, 10, &[]),
            (Part::WithdrawnRoutes, FaultKind::Truncated, 3, 10, &[]),
            (Part::RouteRefresh, FaultKind::Length(5), 7, 1, &[]),
        ];
        for (part, kind, code, subcode, data) in cases {
            let error = WireError { part: *part, offset: 19, kind: *kind };
            let got = error.notification();
            assert_eq!((got.code, got.subcode, &got.data[..]), (*code, *subcode, *data), "{error}");
        }
    }
}
