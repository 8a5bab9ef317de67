//! One BGP peering without I/O: state machine, negotiation, collision, timers, restart.
//!
//! Knows no socket, no runtime, no clock and not what a route means. A driver gives [`Session`] what
//! happened and the time, and does what it is told.
//!
//! - [`Session`] is the life of one connection: [`Session::step`], [`Session::deadline`].
//! - [`negotiate`] makes our OPEN and judges the peer's.
//! - [`collision`] says which of two connections stays (RFC 4271 §6.8).
//! - [`restart`] says which routes outlive a session (RFC 4724, RFC 8538).
//! - [`backoff`] says when to try again.

pub mod backoff;
pub mod cease;
pub mod collision;
pub mod config;
pub mod down;
mod jitter;
pub mod negotiate;
pub mod restart;
pub mod session;

mod capabilities;

pub use backoff::Backoff;
pub use config::{HoldTime, SessionConfig};
pub use down::DownReason;
pub use negotiate::{Agreement, PeerInfo};
pub use restart::RestartAgreement;
pub use session::{Action, Input, Session, State};
