//! Which path a session watches.

use std::net::IpAddr;

use crate::{Role, Timing};

/// How far away the peer is. The two kinds have ports of their own and never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Hops {
    /// On the same link: port 3784, and a packet that a router has forwarded is not its peer's
    /// (RFC 5881 §5).
    #[default]
    Single,
    /// Behind routers: port 4784 (RFC 5883 §5).
    Multi,
}

impl Hops {
    /// Where control packets are sent to.
    pub const fn port(self) -> u16 {
        match self {
            Self::Single => 3784,
            Self::Multi => 4784,
        }
    }
}

/// What a session is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathConfig {
    /// Where we receive, and what we send from: an address of this system, not 0.0.0.0.
    pub local: IpAddr,
    pub remote: IpAddr,
    pub hops: Hops,
    /// Send and receive on this interface only; needed for link-local addresses.
    pub interface: Option<String>,
    pub timing: Timing,
    pub role: Role,
}

impl PathConfig {
    /// Over one hop, active, 300 ms three times.
    pub const fn new(local: IpAddr, remote: IpAddr) -> Self {
        Self {
            local,
            remote,
            hops: Hops::Single,
            interface: None,
            timing: Timing::DEFAULT,
            role: Role::Active,
        }
    }

    pub(super) fn door(&self) -> Door {
        Door { local: self.local, hops: self.hops, interface: self.interface.clone() }
    }
}

/// Where packets arrive. Sessions that agree in it share a receiving socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Door {
    pub(super) local: IpAddr,
    pub(super) hops: Hops,
    pub(super) interface: Option<String>,
}
