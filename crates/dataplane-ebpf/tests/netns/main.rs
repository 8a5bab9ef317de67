//! The plane with real packets, in network namespaces.

#![allow(clippy::panic, reason = "a test may")]

mod affinity;
mod connections;
mod drops;
mod faults;
mod filters;
mod floating;
mod flood;
mod foretold;
mod forwarding;
mod fragments;
mod full;
mod hosts;
mod linux;
mod masquerade;
mod memory;
mod merging;
mod node;
mod path_mtu;
mod raw;
mod resize;
mod restart;
mod scale;
mod scenes;
mod services;
mod stage;
mod superpackets;
mod through;
mod trace;
mod uplinks;
mod versions;
mod watch;
mod wire;
mod world;
