//! Route distinguishers (RFC 4364 §4.2).

/// Keeps equal prefixes of different VPNs apart.
///
/// Held as the eight wire octets: a route reflector must pass on a type it does not know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteDistinguisher([u8; 8]);
