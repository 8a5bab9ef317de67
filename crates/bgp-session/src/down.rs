//! Why a session ended: one enum for log lines, the API and metrics.

use std::fmt;

use bgp_wire::Notification;
use bgp_wire::notification::open_error;

use crate::cease::Cease;

/// Why a session, or an attempt at one, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownReason {
    /// No connection came about: what the system said.
    Unreachable(String),
    /// The peer closed or reset the connection without a NOTIFICATION.
    Closed,
    /// The peer was silent for its hold time (RFC 4271 §6.5).
    HoldTimerExpired,
    /// The peer read nothing for the send hold time (RFC 9687).
    SendHoldTimerExpired,
    /// We found fault with a message of the peer.
    Sent(Notification),
    /// The peer ended it.
    Received(Notification),
    /// We ended it for a reason of our own.
    Ceased(Cease),
    /// We closed the connection without a NOTIFICATION: we restart, and the peer shall keep our routes.
    Restarting,
    /// The peer has connected anew, so that this session is dead (RFC 4724 §4.2).
    Replaced,
    /// The path to the peer is down, as seen by BFD or the link.
    PathDown,
}

impl DownReason {
    /// Whether the peer knows no capabilities: to try again without them is what is left (RFC 5492 §3).
    pub fn knows_no_capabilities(&self) -> bool {
        matches!(self, Self::Received(why)
            if why.is_open_error(open_error::UNSUPPORTED_OPTIONAL_PARAMETER))
    }

    /// Whether one side misses a capability of the other: the same OPENs will not agree the next time
    /// either (RFC 5492 §3).
    pub fn misses_capability(&self) -> bool {
        matches!(self, Self::Received(why) | Self::Sent(why)
            if why.is_open_error(open_error::UNSUPPORTED_CAPABILITY))
    }

    /// A short constant name, for a metric label and an API field.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Closed => "closed",
            Self::HoldTimerExpired => "hold-timer-expired",
            Self::SendHoldTimerExpired => "send-hold-timer-expired",
            Self::Sent(_) => "notification-sent",
            Self::Received(_) => "notification-received",
            Self::Ceased(cease) => cease.label(),
            Self::Restarting => "restarting",
            Self::Replaced => "replaced",
            Self::PathDown => "path-down",
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "unreachable: {why}"),
            Self::Sent(why) => write!(f, "notification sent: {why}"),
            Self::Received(why) => write!(f, "notification received: {why}"),
            other => f.write_str(other.label()),
        }
    }
}
