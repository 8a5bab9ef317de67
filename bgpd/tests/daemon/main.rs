//! Control nodes as real daemons over loopback, and peers made by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by it, also in its helpers")]

mod federation;
mod neighbors;
mod support;
