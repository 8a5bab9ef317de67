//! Addresses that are on no interface: floating addresses and services.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::port::PortId;

/// What this node does with packets to an address that is not on a port's interface.
///
/// The first packet of a connection chooses a holder or backend; the others, and the answers,
/// follow it. Answers are routed in the VRF that the translation belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Translation {
    pub kind: TranslationKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TranslationKind {
    /// One address for another, all ports and protocols. Several `ports` share the connections
    /// from outside.
    Floating {
        /// The holders on this node.
        ports: Vec<PortId>,
        /// The address belongs to one port of the whole federation as far as declared. Connections
        /// which that port opens, and for which its own VRF has no route but
        /// [`NextHop::Masquerade`](crate::NextHop::Masquerade), leave with this source through the
        /// translation's VRF.
        exclusive: bool,
    },
    /// Ready backends on this node.
    Service {
        /// By the port that a client calls.
        ports: BTreeMap<(Protocol, u16), Vec<Backend>>,
        /// A client that was quiet for no longer than so many seconds keeps its backend, whatever
        /// port it calls from; `None`: each connection chooses anew.
        affinity: Option<u32>,
    },
}

/// Protocols that a service may be offered on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// The protocol's number in an IP header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A ready endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Backend {
    pub port: PortId,
    /// Where the workload listens.
    pub target_port: u16,
}

impl Translation {
    /// Most holders, or backends of one port of a service, that share an address on one node.
    pub const MAX_TARGETS: usize = 64;

    /// The ports that packets may be given to.
    pub fn targets(&self) -> impl Iterator<Item = &PortId> {
        let (floating, service) = match &self.kind {
            TranslationKind::Floating { ports, .. } => (Some(ports), None),
            TranslationKind::Service { ports, .. } => (None, Some(ports)),
        };
        let backends = service.into_iter().flat_map(BTreeMap::values).flatten();
        floating.into_iter().flatten().chain(backends.map(|backend| &backend.port))
    }
}
