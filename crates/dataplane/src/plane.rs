//! What a data plane must be able to do.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::net::Ipv4Addr;

use crate::desired::Desired;
use crate::diff::Op;
use crate::port::PortId;

pub type Result<T, E = DataplaneError> = std::result::Result<T, E>;

/// What is really there, in the same terms as what is wanted.
///
/// What a plane finds broken (a port whose interface is gone) it reports different from anything
/// that can be wanted, so that the difference repairs or removes it.
pub type Found = Desired;

/// A data plane: the eBPF one, the kernel's, or [`Memory`](crate::memory::Memory).
pub trait Dataplane: Send {
    /// Lists what is really there, ours or left by an earlier run.
    fn list(&mut self) -> impl Future<Output = Result<Found>> + Send;

    /// Applies `ops` in order. One that cannot be applied does not stop the others; those are
    /// returned with their indices.
    fn apply(&mut self, ops: &[Op]) -> impl Future<Output = Vec<(usize, DataplaneError)>> + Send;

    /// Reads the counters since the plane was made; an adopted plane goes on counting.
    fn counters(&mut self) -> impl Future<Output = Result<Counters>> + Send;

    /// Whether the state of an earlier run was found and adopted, so that forwarding went on
    /// meanwhile (the forwarding bit of RFC 4724 §3).
    fn was_found(&self) -> bool;
}

/// Something that the data plane could not do.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct DataplaneError {
    /// What was tried, and on what: an interface, a port, a route.
    pub what: String,
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl DataplaneError {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    pub fn because(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// No route to the destination in the VRF.
    NoRoute,
    /// It came out of a tunnel, and only other nodes have its destination.
    TunnelToTunnel,
    TtlExpired,
    /// It came out of a tunnel with a label that no VRF has.
    UnknownLabel,
    /// The address is served here, but not that port, or nobody is ready.
    NoBackend,
    /// It would not fit into the underlay.
    TooBig,
    Malformed,
    /// A protocol that the plane does not forward.
    Unsupported,
    /// The route says so.
    Discard,
    /// The port that it was for has no interface.
    PortGone,
    /// A fragment that would have to be translated without its ports.
    Fragment,
    /// The kernel refused to change or send it.
    Refused,
    /// A workload sent it from an address that is not its own.
    Spoofed,
}

impl DropReason {
    pub const ALL: [Self; 13] = [
        Self::NoRoute,
        Self::TunnelToTunnel,
        Self::TtlExpired,
        Self::UnknownLabel,
        Self::NoBackend,
        Self::TooBig,
        Self::Malformed,
        Self::Unsupported,
        Self::Discard,
        Self::PortGone,
        Self::Fragment,
        Self::Refused,
        Self::Spoofed,
    ];

    /// The name in metrics, the API and the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRoute => "no-route",
            Self::TunnelToTunnel => "tunnel-to-tunnel",
            Self::TtlExpired => "ttl-expired",
            Self::UnknownLabel => "unknown-label",
            Self::NoBackend => "no-backend",
            Self::TooBig => "too-big",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::Discard => "discard",
            Self::PortGone => "port-gone",
            Self::Fragment => "fragment",
            Self::Refused => "refused",
            Self::Spoofed => "spoofed",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets; reasons that never occurred may be left out.
    pub drops: BTreeMap<DropReason, u64>,
    pub ports: BTreeMap<PortId, PortCounters>,
    /// By the other node's tunnel address.
    pub tunnels: BTreeMap<Ipv4Addr, TunnelCounters>,
    /// Translated connections that are remembered, both directions together.
    pub flows: u64,
}

/// Seen from the node: received is what the workload sent. Octets are those of IP packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortCounters {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
}

/// Seen from the node: received is what came out of tunnels from the other node. Octets are those
/// of the IP packets inside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TunnelCounters {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
}
