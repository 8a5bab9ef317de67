//! Namespaces, veths, processes and waiting for a condition; for the demo and all end-to-end tests.
//!
//! A [`Bed`] is one run: a prefix of its own, a run directory, and a journal in it of everything that
//! was made outside the process. Whatever ends the run, the journal is undone: on drop, or by
//! [`sweep`] from another process. All network traffic stays inside the namespaces of the bed; the
//! root namespace gets no interface, no address and no route.
//!
//! Knows nothing of what is tested: no BGP, no topology.

mod bed;
mod capture;
mod fabric;
mod frames;
mod frr;
mod journal;
mod namespace;
mod ping;
mod process;
mod wait;

pub mod app;
pub mod evpn;
pub mod gateway;
pub mod packet;

pub use bed::Bed;
pub use capture::Capture;
pub use fabric::{Fabric, UPLINK};
pub use frames::{TunnelFrame, VxlanFrame, tunnel_frames, vxlan_frames};
pub use frr::FrrRouter;
pub use journal::{abandoned, sweep};
pub use namespace::Namespace;
pub use ping::{PingReport, Pings};
pub use process::{Process, Signal};
pub use wait::{GiveUp, wait_for};
