//! The control node as a black box: octets in, octets and `/v1` out, over loopback.
//!
//! `docs/conformance.md` says what the groups of cases cover and how to run one.

#![allow(clippy::panic, clippy::print_stdout, reason = "this is a test, and says what it tried")]
#![allow(clippy::too_many_lines, reason = "a table of cases is as long as it is")]
#![allow(clippy::doc_markdown, reason = "MP_REACH_NLRI and OpenConfirm are words of the protocol")]

use interop_tests::by_hand::{heard, octets};

mod add_path;
mod attributes;
mod bed;
mod borders;
mod cases;
mod labeled;
mod liveness;
mod load;
mod long_lived;
mod memberships;
mod neighbors;
mod next_hops;
mod options;
mod pace;
mod protection;
mod reflection;
mod refresh;
mod restart;
mod roles;
mod routes;
mod speaker;
mod steady;
mod vendors;
mod watcher;

mod decision;
mod headers;
mod old_controllers;
mod opens;
mod states;
