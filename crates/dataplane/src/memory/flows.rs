//! What the plane remembers of connections.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::event::Tuple;
use crate::filter::{Connection, Filter};
use crate::nat::Backend;
use crate::port::{PortId, VrfId};

/// Every table that packets write into.
#[derive(Debug, Clone, Default)]
pub(super) struct Flows {
    /// Towards a translated address, as the client sends, in the VRF of the translation.
    pub(super) forward: HashMap<(VrfId, Tuple), Target>,
    /// What a holder or backend answers, to what the client shall see.
    pub(super) reverse: HashMap<(PortId, Tuple), Answer>,
    /// What a workload sends through the node's address, to the source port that it got there.
    pub(super) masqueraded: HashMap<(PortId, Tuple), u16>,
    /// What the underlay answers to that, to the port and to what it shall see.
    pub(super) unmasqueraded: HashMap<Tuple, (PortId, Tuple)>,
    /// Connections that a port's filter let through, by their first packet as the workload sees it.
    pub(super) allowed: HashMap<(PortId, Tuple), Allowed>,
    /// Connections that a rule with `log` did not let through: they are reported once.
    pub(super) refused: HashSet<(PortId, Tuple)>,
    /// What the node itself has sent to ports, whose answers it gets.
    pub(super) own: HashSet<(PortId, Tuple)>,
    /// The backend that a client of a service with affinity had last, and when.
    pub(super) affinity: HashMap<(VrfId, IpAddr, IpAddr), (Backend, Duration)>,
}

/// Who has a translated connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) port: PortId,
    /// What it hears.
    pub(super) tuple: Tuple,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Where answers are routed.
    pub(super) vrf: VrfId,
    /// What the client hears.
    pub(super) tuple: Tuple,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) connection: Connection,
    /// The filter that let it through; a changed one is asked again.
    pub(super) filter: Filter,
    /// The rule in it, or behind the rules the default.
    pub(super) rule: usize,
}

impl Flows {
    pub(super) fn count(&self) -> usize {
        self.forward.len()
            + self.reverse.len()
            + self.masqueraded.len()
            + self.unmasqueraded.len()
            + self.allowed.len()
    }
}
