//! One shard of the BGP tables: paths, decision, policy, interest, update groups, packing.
//!
//! Knows no thread, clock, socket or session, and of other shards only [`Totals`]. [`Shard::handle`] takes an [`Input`];
//! [`Shard::flush`] encodes what is owed and hands it to a [`Sink`]; [`Shard::query`] answers.
//! Tables are in `table`, what is still to be told to whom is `owing`, who wants which route
//! target is `interest`, and [`ShardMap`] says which shard a route belongs to.
//!
//! What a peer has been told is not stored. It is a function: the best routes whose targets the peer
//! asked for and that policy lets pass, minus its own. Only what is owed and unsaid takes memory.

pub mod arena;
pub mod decision;
pub mod journal;
pub mod peer;
pub mod policy;
pub mod query;
pub mod shard;
pub mod shard_map;

mod answer;
mod answers;
mod bucket;
mod chunked;
mod family;
mod group;
mod index;
mod interest;
mod many;
mod memberships;
mod outside;
mod owing;
mod peer_policy;
mod peer_set;
mod peering;
mod reach;
mod registry;
mod rewriting;
mod round;
mod stale;
mod table;
mod tables;
mod target_index;
mod totals;
mod walk;

pub use arena::{Batch, Full, Mark, Sink};
pub use decision::DecisionOptions;
pub use peer::{InterestMode, Limit, MembershipsOut, PeerIx, PeerKind, PeerView, UnicastNextHop};
pub use peer_policy::{LocalAs, PeerPolicy, RemovePrivate};
pub use query::{Answer, Query};
pub use shard::{Input, Output, Pace, Shard, ShardConfig};
pub use shard_map::ShardMap;
pub use totals::Totals;
