//! Wanted and found state of a node, their difference, and the trait of a data plane.
//!
//! This crate is the seam between the agent, which knows why a packet goes where it goes, and the
//! planes, which make it go there. It knows no BGP, no netlink and no eBPF. The shape of its data:
//!
//! ```text
//! Desired ── node: NodeConfig               this node's tunnel address and underlay interfaces
//!         ├─ vrfs: VrfId -> Vrf             label that arrives -> table to look up in
//!         ├─ ports: PortId -> Port          attachments of workloads
//!         ├─ translations: (VrfId, address) -> Translation   floating and service addresses
//!         └─ fib: VrfId -> IpNet -> NextHopGroup -> [NextHop]
//! diff(wanted, found) -> [Op] -> Dataplane::apply
//! ```

pub mod desired;
pub mod diff;
pub mod fib;
pub mod memory;
pub mod nat;
pub mod next_hop;
pub mod plane;
pub mod port;
pub mod tunnel;

pub use desired::{Desired, NodeConfig, Vrf};
pub use diff::{Op, Scope, diff};
pub use fib::{Fib, VrfFib};
pub use memory::Memory;
pub use nat::{Backend, Protocol, Translation, TranslationKind};
pub use next_hop::{NextHop, NextHopGroup};
pub use plane::{
    Counters, Dataplane, DataplaneError, DropReason, Found, PortCounters, Result, TunnelCounters,
};
pub use port::{Attachment, Mac, Port, PortId, VrfId};
pub use tunnel::{Encapsulation, MplsLabel, Tunnel};
