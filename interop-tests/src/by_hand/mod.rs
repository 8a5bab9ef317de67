//! BGP by hand: messages octet by octet, sent and taken apart without the codec of the daemons.
//!
//! The conformance tests speak so from their own process. Inside a namespace a [`Relay`] has the
//! session, and [`ByHand`] gives it what to send and reads what it has heard.

#![allow(clippy::doc_markdown, reason = "MP_REACH_NLRI is a word of the protocol")]

pub mod heard;
pub mod octets;

mod peer;
mod relay;

pub use heard::Heard;
pub use peer::{ByHand, Session, most_memory};
pub use relay::Relay;
