//! Bidirectional Forwarding Detection (RFC 5880) over one hop (RFC 5881) and several (RFC 5883).
//!
//! - [`ControlPacket`] is what goes over the wire.
//! - [`Session`] is one session without I/O: it is given packets and the time, and says what to send
//!   and when to be called again.
//! - [`EchoSession`] is one whose packets the peer sends back, without any BFD of its own (RFC 9747).
//! - [`socket`] has sessions over UDP: a [`socket::Speaker`] starts them and a [`socket::Handle`]
//!   tells how one is doing.
//!
//! Asynchronous mode. Demand mode is respected where the peer asks for it and never asked for by us; we
//! send back nobody's echoes. [`Authenticator`] signs and checks packets where both sides have a key.

mod auth;
mod diag;
mod echo;
mod jitter;
mod packet;
mod session;
pub mod socket;
mod state;
mod timing;

pub use auth::{AuthError, AuthKey, AuthKeyError, AuthType, Authenticator};
pub use diag::Diag;
pub use echo::{EchoConfig, EchoSession};
pub use packet::{ControlPacket, LENGTH, PacketError};
pub use session::{Action, Input, Remote, Role, Session, SessionConfig};
pub use state::State;
pub use timing::{Timing, TimingError};
