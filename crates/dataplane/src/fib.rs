//! Forwarding tables.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::Serialize;

use crate::filter::Identities;
use crate::next_hop::{NextHop, NextHopGroup};
use crate::port::VrfId;

/// Where packets to a prefix go, and who is behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Route {
    pub to: NextHopGroup,
    /// What filters of this node know senders from the prefix by.
    pub identities: Identities,
}

impl From<NextHopGroup> for Route {
    /// To nobody in particular.
    fn from(to: NextHopGroup) -> Self {
        Self { to, identities: Identities::default() }
    }
}

impl From<NextHop> for Route {
    fn from(only: NextHop) -> Self {
        NextHopGroup::from(only).into()
    }
}

/// The forwarding table of one VRF. Prefixes have no host bits.
pub type VrfFib = BTreeMap<IpNet, Route>;

/// The forwarding tables of a node.
pub type Fib = BTreeMap<VrfId, VrfFib>;
