//! The plane with real packets, in network namespaces.

#![allow(clippy::panic, reason = "a test may")]

mod affinity;
mod connections;
mod drops;
mod filters;
mod floating;
mod flood;
mod forwarding;
mod fragments;
mod hosts;
mod masquerade;
mod node;
mod path_mtu;
mod raw;
mod restart;
mod services;
mod trace;
mod versions;
mod world;
