//! Platforms: where wishes for ports come from. Each turns what its world says into requests to the
//! owner, and nothing else.

pub mod local;
