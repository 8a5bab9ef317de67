//! The topology file: read, check, compare.
//!
//! One TOML file (with what it includes) describes a whole federation, and every daemon reads the
//! same one. [`read`] turns it into a [`Topology`] or into a [`ConfigError`] that shows the line; a
//! `Topology` that exists has passed every check. [`plan`] tells what an edited one changes, before
//! anything changes. Knows no daemon and no socket.

mod allocate;
mod ao_keys;
mod check;
mod encapsulation;
mod error;
mod filter;
mod fingerprint;
mod hold_time;
mod name;
mod neighbor;
mod options;
mod peers;
mod places;
mod plan;
mod port_filter;
mod range;
mod read;
mod scale;
mod static_route;
mod table;
mod target_range;
mod targets;
mod topology;
mod value;

pub use allocate::{Allocation, allocate};
pub use ao_keys::{AoKey, ao_keys};
pub use bgp_wire::{AfiSafi, RouteTarget};
pub use encapsulation::Encapsulation;
pub use error::ConfigError;
pub use filter::{Direction, Filter, Group, Rule, RulePeer, Verdict};
pub use hold_time::{HoldTime, HoldTimeError};
pub use neighbor::{Neighbor, PeerAs, Remote};
pub use options::{
    AoAlgorithm, AsnRange, Bfd, BfdAuth, BfdKey, Echo, FilePath, Interface, NextHop, PeerOptions,
    RemovePrivateAs, Rewrite, Role,
};
pub use peers::{GatewayTargets, PeerRole, PeerSpec};
pub use plan::{Change, Effect, Part, plan};
pub use port_filter::{FlatFilter, FlatPeer, FlatRule};
pub use range::{PortRange, Protocol};
pub use read::read;
pub use scale::NodeScale;
pub use static_route::{StaticNext, StaticRoute};
pub use target_range::TargetRange;
pub use topology::{
    Cloud, Connection, ControlNode, Decision, Federation, FlowExport, Gateway, Network, NodeLimits,
    Nodes, SubnetKind, Topology,
};
