//! NOTIFICATION (RFC 4271 §4.5, §6; RFC 4486; RFC 9003; RFC 8538).

use bytes::Bytes;

/// Code, subcode and data of a NOTIFICATION. Unknown numbers stay values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notification {
    pub code: u8,
    pub subcode: u8,
    pub data: Bytes,
}
