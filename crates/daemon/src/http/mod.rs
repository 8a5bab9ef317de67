//! The HTTP shell: an API on a Unix socket for its owner, and read-only on loopback if asked.
//!
//! What a handler refuses is an [`ApiError`]; [`Json`], [`Path`] and [`Query`] refuse in the same shape.

mod connection;
mod error;
mod extract;
mod listeners;
mod serve;

pub use error::ApiError;
pub use extract::{Json, Path, Query};
pub use listeners::{ListenError, Listeners};
pub use serve::serve;
