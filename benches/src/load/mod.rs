//! The load generator: cheaper than any daemon, so that it is the daemon which is measured.
//!
//! Senders write messages that were encoded before the clock started ([`feed`]). All that is received
//! goes through one thread ([`crowd`]), which counts routes without decoding them ([`tally`]) and
//! compares one message in sixty-four octet for octet with what it must be ([`look`]).

pub(crate) mod crowd;
pub(crate) mod feed;
pub(crate) mod latency;
pub(crate) mod look;
pub(crate) mod routes;
pub(crate) mod tally;
pub(crate) mod wire;
