//! Forwarding tables.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::next_hop::NextHopGroup;
use crate::port::VrfId;

/// The forwarding table of one VRF. Prefixes have no host bits.
pub type VrfFib = BTreeMap<IpNet, NextHopGroup>;

/// The forwarding tables of a node.
pub type Fib = BTreeMap<VrfId, VrfFib>;
