//! Routes that a network has by configuration.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

/// One of `static-routes = [ .. ]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StaticRoute {
    pub prefix: IpNet,
    pub next: StaticNext,
}

/// Where a static route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StaticNext {
    /// The port that has this address, of the same IP version; the node that holds it announces the
    /// route.
    Via(IpAddr),
    /// Packets are dropped, on every node that has the network.
    Discard,
}

impl fmt::Display for StaticRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.next {
            StaticNext::Via(address) => write!(f, "{}=>{address}", self.prefix),
            StaticNext::Discard => write!(f, "{}=>discard", self.prefix),
        }
    }
}
