//! Wanted and found state of a node, their difference, and the trait of a data plane.
//!
//! This crate is the seam between the agent, which knows why a packet goes where it goes, and the
//! planes, which make it go there. It knows no BGP, no netlink and no eBPF. The shape of its data:
//!
//! ```text
//! Desired ── node: NodeConfig               this node's tunnel addresses and underlay interfaces
//!         ├─ vrfs: VrfId -> Vrf             label or VNI that arrives -> table to look up in
//!         ├─ filters: FilterId -> Filter    what ports may send and receive
//!         ├─ ports: PortId -> Port          attachments of workloads
//!         ├─ translations: (VrfId, address) -> Translation   floating and service addresses
//!         └─ fib: VrfId -> IpNet -> Route   NextHopGroup -> [Member{NextHop, weight}], Identities
//! diff(wanted, found) -> [Op] -> Dataplane::apply
//! ```
//!
//! What a plane tells of single packets: [`event`], [`trace`].

pub mod desired;
pub mod diff;
pub mod drop_reason;
pub mod event;
pub mod fib;
pub mod filter;
pub mod mac;
pub mod memory;
pub mod nat;
pub mod next_hop;
pub mod plane;
pub mod port;
pub mod range;
pub mod trace;
pub mod tunnel;

pub use desired::{Desired, NodeConfig, Vrf};
pub use diff::{Op, Scope, diff};
pub use drop_reason::DropReason;
pub use event::{Event, Events};
pub use fib::{Fib, Route, VrfFib};
pub use filter::{Direction, Filter, FilterId, Identities, Identity, Peer, Rule, Verdict};
pub use mac::Mac;
pub use memory::Memory;
pub use nat::{Backend, Protocol, Translation, TranslationKind};
pub use next_hop::{Member, NextHop, NextHopGroup, Spread};
pub use plane::{Counters, Dataplane, DataplaneError, Devices, Found, Mirroring, Result, Traffic};
pub use port::{AllowedSource, Attachment, Link, Port, PortId, VrfId};
pub use range::PortRange;
pub use trace::{Outcome, Probe, Step, Trace};
pub use tunnel::{Encapsulation, MplsLabel, Tunnel, TunnelHeader, Vni};
