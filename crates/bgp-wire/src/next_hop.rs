//! Where to send packets of a route.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The next hop of a route. How it is written depends on the family: VPN families put eight zero
/// octets of route distinguisher before each address (RFC 4364 §4.3.2, RFC 4659 §3.2.1), and write an
/// IPv4 next hop of VPNv6 as a mapped address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// Global and link-local address (RFC 2545 §3).
    V6WithLinkLocal(Ipv6Addr, Ipv6Addr),
    /// None: End-of-RIB and families without forwarding.
    None,
}

impl NextHop {
    /// The address to forward to; a v4-mapped IPv6 address counts as the IPv4 address.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::V4(v4) => Some(v4.into()),
            Self::V6(v6) | Self::V6WithLinkLocal(v6, _) => Some(v6.to_canonical()),
            Self::None => None,
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => Self::V6(v6),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("-"),
        }
    }
}
