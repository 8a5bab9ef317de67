//! Which path a session watches.

use std::net::IpAddr;
use std::sync::Arc;

use crate::{AuthKey, Role, Timing};

/// How the peer is watched. Each has a port of its own, so they never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Mode {
    /// On the same link: port 3784, and a packet that a router has forwarded is not its peer's
    /// (RFC 5881 §5).
    #[default]
    SingleHop,
    /// Behind routers: port 4784 (RFC 5883 §5).
    MultiHop,
    /// The peer sends back what comes to port 3785, from there (RFC 5881 §4, RFC 9747). It needs no BFD
    /// for that, and no control plane.
    Echo,
}

impl Mode {
    /// In a word, for logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::SingleHop => "single-hop",
            Self::MultiHop => "multi-hop",
            Self::Echo => "echo",
        }
    }

    /// Where packets are sent to.
    pub const fn port(self) -> u16 {
        match self {
            Self::SingleHop => 3784,
            Self::MultiHop => 4784,
            Self::Echo => 3785,
        }
    }
}

/// What a session is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathConfig {
    /// Where we receive, and what we send from: an address of this system, not 0.0.0.0.
    pub local: IpAddr,
    pub remote: IpAddr,
    pub mode: Mode,
    /// Send and receive on this interface only; needed for link-local addresses.
    pub interface: Option<String>,
    pub timing: Timing,
    /// Of no meaning for echoes.
    pub role: Role,
    /// Signs the packets of both sides; of no meaning for echoes.
    pub auth: Option<Arc<AuthKey>>,
}

impl PathConfig {
    /// Over one hop, active, 300 ms three times.
    pub const fn new(local: IpAddr, remote: IpAddr) -> Self {
        Self {
            local,
            remote,
            mode: Mode::SingleHop,
            interface: None,
            timing: Timing::DEFAULT,
            role: Role::Active,
            auth: None,
        }
    }

    pub(super) fn door(&self) -> Door {
        Door { local: self.local, mode: self.mode, interface: self.interface.clone() }
    }
}

/// Where packets arrive. Sessions that agree in it share a receiving socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Door {
    pub(super) local: IpAddr,
    pub(super) mode: Mode,
    pub(super) interface: Option<String>,
}
