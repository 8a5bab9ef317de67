//! Glue to `nom`: our fault type, and the small readers that every part uses.

use crate::error::FaultKind;

/// Where reading stopped and why. Borrowed and `Copy`, so that making one costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault<'a> {
    pub(crate) at: &'a [u8],
    pub(crate) kind: FaultKind,
}

/// What a reader of octets returns: the rest and the value.
pub type Parsed<'a, T> = Result<(&'a [u8], T), nom::Err<Fault<'a>>>;
