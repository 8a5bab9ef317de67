//! Finding messages in a stream (RFC 4271 §4.1).

use crate::error::WireError;

/// Octets of the marker, the length and the type.
pub const HEADER: usize = 19;

/// The length of the message at the start of `buffer`, header included; `None` until the header is
/// there. The message may not be complete yet.
///
/// # Errors
/// A marker that is not all ones, or a length outside 19..=`max` or impossible for the type.
pub fn length(buffer: &[u8], max: usize) -> Result<Option<usize>, WireError> {
    todo!()
}
