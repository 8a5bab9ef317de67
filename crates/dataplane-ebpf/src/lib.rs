//! The eBPF data plane: tc programs, pinned maps, veth ports.
//!
//! ```text
//! workload eth0 ─ veth ─ [arcus_port]   flow? route -> group -> next hop ─┬─ another port
//!                                                                         ├─ translate, then a port
//!                                                                         ├─ the node's own address -> uplink
//!                                                                         └─ tunnel headers -> uplink
//! uplink ─ [arcus_uplink]  tunnel? label, VNI -> VRF, route -> local members only ─ as above, no tunnel
//!                          answer to the node's own address? flow -> port
//! ```
//!
//! The programs (`bpf/`) read maps, [`EbpfPlane`] writes them. Maps and links are pinned, so packets
//! flow while there is no agent; [`purge()`] is what takes everything away. Needs Linux 6.1; since
//! 6.6 links (tcx) hold the programs on interfaces, before that filters do.
//!
//! Knows no BGP and not why a route is wanted.

mod batch;
mod checksum;
mod classic;
mod costs;
mod counters;
mod devices;
mod events;
mod filters;
mod found;
mod groups;
mod kernel;
mod layout;
mod limits;
mod look_ups;
mod merging;
mod names;
mod netlink;
mod options;
mod pins;
mod plane;
mod ports;
mod programs;
mod purge;
mod records;
mod resize;
mod route_maps;
mod routes;
mod shares;
#[cfg(test)]
mod sizes;
mod tables;
mod trace;
mod translations;
mod uplinks;
mod veth;

pub use costs::{Cost, Timing, costs};
pub use look_ups::look_up_time;
pub use options::{Hooks, Options, Sizes};
pub use plane::EbpfPlane;
pub use purge::purge;
