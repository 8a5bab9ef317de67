//! The node daemon: ports, services and routes of one node.
//!
//! `core` is the one owner of state and is called, never waits. Around it are tasks: one session for
//! each control node, one reconcile task that owns the data plane, an HTTP server that turns requests
//! into events. `docs/architecture.md` has the lines of data that run through here.

pub mod agent;
pub mod args;
pub mod core;
pub mod encapsulation;
pub mod erspan;
pub mod events;
pub mod flow_export;
pub mod http;
pub mod import;
pub mod ipam;
pub mod labels;
pub mod local;
pub mod mirror;
pub mod node;
pub mod originate;
pub mod owner;
pub mod path;
pub mod platform;
pub mod port;
pub mod reconcile;
pub mod reconcile_task;

pub mod route_key;
pub mod running;
pub mod sessions;
pub mod state;
pub mod trace;
pub mod uplink;
pub mod vrf_table;
