//! Length prefixes that fill themselves in.

use crate::frame::HEADER;

/// Appends a two-octet length and what `body` writes; the length is that of the body.
pub(crate) fn with_length(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0, 0]);
    body(out);
    patch_length(out, start, start + 2);
}

/// Appends a message: the header, and what `body` writes.
pub(crate) fn message(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0xff; 16]);
    out.extend([0, 0, kind]);
    debug_assert_eq!(out.len() - start, HEADER);
    body(out);
    patch_length(out, start + 16, start);
}

/// Writes the number of octets from `from` to the end of `out` into the two at `at`.
///
/// What is written is bounded by the length of a message before it gets here; a body that is too
/// long all the same gets the largest length there is, which no peer takes for a message.
fn patch_length(out: &mut [u8], at: usize, from: usize) {
    let length = u16::try_from(out.len() - from).unwrap_or(u16::MAX);
    if let Some(field) = out.get_mut(at..at + 2) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends the octets of an `N` octet field that hold its first `bits`.
pub(crate) fn prefix<const N: usize>(octets: [u8; N], bits: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(octets.get(..usize::from(bits.div_ceil(8))).unwrap_or(&octets));
}
