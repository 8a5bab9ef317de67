//! The plane with real packets, in network namespaces.

#![allow(clippy::panic, reason = "a test may")]

mod forwarding;
mod services;
mod world;
