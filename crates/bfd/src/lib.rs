//! Bidirectional Forwarding Detection (RFC 5880) over one hop (RFC 5881) and several (RFC 5883).
//!
//! - [`ControlPacket`] is what goes over the wire.
//! - [`Session`] is one session without I/O: it is given packets and the time, and says what to send
//!   and when to be called again.
//! - [`socket`] has sessions over UDP: a [`socket::Speaker`] starts them and a [`socket::Handle`]
//!   tells how one is doing.
//!
//! Asynchronous mode. Demand mode is respected where the peer asks for it and never asked for by us;
//! the echo function is not offered. Authentication is not done: packets that have it are dropped.

mod diag;
mod jitter;
mod packet;
mod session;
pub mod socket;
mod state;
mod timing;

pub use diag::Diag;
pub use packet::{ControlPacket, LENGTH, PacketError};
pub use session::{Action, Input, Remote, Role, Session, SessionConfig};
pub use state::State;
pub use timing::{Timing, TimingError};
