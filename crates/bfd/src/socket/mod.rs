//! Sessions over UDP.
//!
//! [`Speaker`] and [`Handle`] say which sessions are wanted; the [`Driver`] is one task that has them
//! all, with a receiving socket for each local address and a sending one for each session; those that hear
//! their own packets send from the socket that they receive by. What is
//! wanted is a set, not a queue of orders: nothing can be lost or wait in line.
//!
//! The driver deserves a thread of its own in a program that does other work: a task beside it that
//! computes for a detection time would look like a dead path to the peer.

mod config;
mod driver;
mod engine;
mod os;
mod speaker;
mod status;
mod table;

pub use config::{Mode, PathConfig};
pub use driver::Driver;
pub use speaker::{Handle, Speaker};
pub use status::{Counters, Drops, Status};
