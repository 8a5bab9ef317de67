//! The plane with real packets, in network namespaces.

#![allow(clippy::panic, reason = "a test may")]

mod connections;
mod drops;
mod filters;
mod forwarding;
mod node;
mod path_mtu;
mod restart;
mod services;
mod versions;
mod world;
