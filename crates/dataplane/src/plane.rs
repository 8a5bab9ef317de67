//! What a data plane must be able to do.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;

use crate::desired::{Desired, NodeConfig};
use crate::diff::Op;
use crate::drop_reason::DropReason;
use crate::event::Events;
use crate::fib::Fib;
use crate::filter::FilterId;
use crate::port::{Port, PortId, VrfId};
use crate::trace::{Probe, Trace};

pub type Result<T, E = DataplaneError> = std::result::Result<T, E>;

/// What is really there, in the same terms as what is wanted.
///
/// What a plane finds broken (a port whose interface is gone) it reports different from anything
/// that can be wanted, so that the difference repairs or removes it.
pub type Found = Desired;

/// What of a plane's state stands on interfaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Devices {
    pub node: NodeConfig,
    pub ports: BTreeMap<PortId, Port>,
}

/// A data plane: the eBPF one, the kernel's, or [`Memory`](crate::memory::Memory).
pub trait Dataplane: Send {
    /// Lists what is really there, ours or left by an earlier run.
    fn list(&mut self) -> impl Future<Output = Result<Found>> + Send;

    /// As [`Dataplane::list`], but routes by themselves, and `None` where they are as this plane left
    /// them: which can be seen faster than it can be listed.
    fn review(&mut self) -> impl Future<Output = Result<(Found, Option<Fib>)>> + Send {
        async {
            let mut found = self.list().await?;
            let fib = std::mem::take(&mut found.fib);
            Ok((found, Some(fib)))
        }
    }

    /// The part of [`Dataplane::list`] that interfaces can change under the plane; costs nothing for
    /// routes.
    fn devices(&mut self) -> impl Future<Output = Result<Devices>> + Send {
        async {
            let Found { node, ports, .. } = self.list().await?;
            Ok(Devices { node, ports })
        }
    }

    /// Waits until an interface that the plane uses has gone, come back or changed without it: then
    /// [`Dataplane::devices`] are something else. May be given up at any moment.
    fn disturbed(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Applies `ops` in order. One that cannot be applied does not stop the others; those are
    /// returned with their indices.
    fn apply(&mut self, ops: &[Op]) -> impl Future<Output = Vec<(usize, DataplaneError)>> + Send;

    /// Reads the counters since the plane was made; an adopted plane goes on counting.
    fn counters(&mut self) -> impl Future<Output = Result<Counters>> + Send;

    /// Whether the state of an earlier run was found and adopted, so that forwarding went on
    /// meanwhile (the forwarding bit of RFC 4724 §3).
    fn was_found(&self) -> bool;

    /// Everything that is wanted has been applied: what an older version of the plane left goes, and
    /// this one forwards in its place. Called again it does nothing.
    fn take_over(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Sends a synthetic packet through the tables.
    fn trace(&mut self, probe: &Probe) -> impl Future<Output = Result<Trace>> + Send {
        let _ = probe;
        async { Err(DataplaneError::new("this data plane traces no packets")) }
    }

    /// Begins or ends to copy the packets of a port into [`Dataplane::events`].
    fn mirror(
        &mut self,
        port: &PortId,
        mirroring: Mirroring,
    ) -> impl Future<Output = Result<()>> + Send {
        let (_, _) = (port, mirroring);
        async { Err(DataplaneError::new("this data plane mirrors no ports")) }
    }

    /// Where reports come from; once only, and `None` if the plane makes none.
    fn events(&mut self) -> Option<Box<dyn Events>> {
        None
    }
}

/// Whether packets of a port are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirroring {
    On,
    Off,
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

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets; reasons that never occurred may be left out.
    pub drops: BTreeMap<DropReason, u64>,
    pub ports: BTreeMap<PortId, Traffic>,
    /// By the other node's tunnel address.
    pub tunnels: BTreeMap<IpAddr, Traffic>,
    /// What entered and left tunnels, by the VRF it was looked up in.
    pub vrfs: BTreeMap<VrfId, Traffic>,
    /// Packets that each rule of a filter let through or dropped, in the order of the rules; behind
    /// them the default for connections in and the one for connections out. They begin anew when the
    /// filter changes.
    pub rules: BTreeMap<FilterId, Vec<u64>>,
    /// Remembered connections: entries in the tables, two for a translated connection, and one for
    /// each port with a filter.
    pub flows: u64,
}

/// Seen from the node: received is what a workload sent, or what came out of tunnels. Octets are
/// those of the packets of workloads, from their IP header on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
}
