//! The control node as a black box: octets in, octets and `/v1` out, over loopback.
//!
//! `docs/conformance.md` says what the groups of cases cover and how to run one.

#![allow(clippy::panic, reason = "this is a test")]

mod attributes;
mod bed;
mod cases;
mod heard;
mod octets;
mod speaker;
mod watcher;

mod headers;
mod opens;
mod states;
