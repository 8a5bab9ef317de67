//! Drives a BGP session over TCP: sockets, deadlines, listener, bounded writer.
//!
//! Knows what a session says and hears, not what a route means: no tables, no topology.
//!
//! - [`spawn`] starts a peer and gives a [`Peer`]: its commands, its [`Status`]. Dropping it ends it.
//! - [`Deliver`] is where its [`PeerEvent`]s go. While nobody takes them, the socket is not read, and
//!   our KEEPALIVEs go on.
//! - [`Writer`] comes with [`PeerEvent::Up`] and is good for that session only.
//! - [`Listener`] accepts connections; the owner of the peers hands them over by [`Peer::accept`].

mod attempts;
mod config;
mod connection;
mod disabling;
mod drive;
mod event;
mod listener;
mod live;
mod marks;
mod outgoing;
mod peer;
mod queue;
mod reading;
mod security;
mod sockopt;
mod status;
mod tidings;
mod transport;
mod writer;
mod writing;

pub use config::{Mode, PeerConfig};
pub use event::{Deliver, Down, Established, Gone, PeerEvent, Retained};
pub use listener::{Incoming, Listener};
pub use peer::{Busy, Peer, Then, spawn};
pub use security::{AoAlgorithm, AoKey, AoKeys, Secret, Security};
pub use status::{Counters, Counts, PeerState, Reactions, Status};
pub use writer::{Push, PushError, Writer};
