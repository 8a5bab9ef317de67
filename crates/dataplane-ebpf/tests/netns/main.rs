//! The plane with real packets, in network namespaces.

#![allow(clippy::panic, reason = "a test may")]

mod drops;
mod forwarding;
mod node;
mod path_mtu;
mod restart;
mod scenes;
mod services;
mod stage;
mod versions;
mod world;
