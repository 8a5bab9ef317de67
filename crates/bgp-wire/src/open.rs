//! OPEN (RFC 4271 §4.2, RFC 5492, RFC 9072).

use std::net::Ipv4Addr;

use crate::capability::Capability;

/// An OPEN message. `asn` is the four-octet number where the capability gives one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub asn: u32,
    /// Seconds; 0 or at least 3 in a valid message.
    pub hold_time: u16,
    pub router_id: Ipv4Addr,
    pub capabilities: Vec<Capability>,
}
