//! Type, length, value, over and over: what several attributes are made of.

use crate::error::FaultKind;
use crate::read::Fault;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tlv<'a> {
    /// From its header to the end of the list.
    pub(super) at: &'a [u8],
    pub(super) kind: u16,
    pub(super) value: &'a [u8],
}

/// Type, octets of header and of value, read from where a header must be.
type Header = fn(&[u8]) -> Result<(u16, usize, usize), FaultKind>;

/// Goes through a list; ends behind the first fault.
pub(super) struct Tlvs<'a> {
    rest: &'a [u8],
    header: Header,
}

impl<'a> Tlvs<'a> {
    pub(super) fn new(list: &'a [u8], header: Header) -> Self {
        Self { rest: list, header }
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, Fault<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = std::mem::take(&mut self.rest);
        if at.is_empty() {
            return None;
        }
        let read = (self.header)(at).and_then(|(kind, header, length)| {
            let body = at.get(header..).ok_or(FaultKind::Truncated)?;
            let (value, rest) = body.split_at_checked(length).ok_or(FaultKind::Truncated)?;
            self.rest = rest;
            Ok(Tlv { at, kind, value })
        });
        Some(read.map_err(|kind| Fault { at, kind }))
    }
}
