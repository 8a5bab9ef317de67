//! Glue to `nom`: our fault type, and the small readers that every part uses.

use nom::error::{ErrorKind, ParseError};

use crate::error::{FaultKind, Part, WireError};

/// Where reading stopped and why. Borrowed and `Copy`, so that making one costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault<'a> {
    pub(crate) at: &'a [u8],
    pub(crate) kind: FaultKind,
}

/// What a reader of octets returns: the rest and the value.
pub type Parsed<'a, T> = Result<(&'a [u8], T), nom::Err<Fault<'a>>>;

impl<'a> ParseError<&'a [u8]> for Fault<'a> {
    fn from_error_kind(at: &'a [u8], _: ErrorKind) -> Self {
        Self { at, kind: FaultKind::Truncated }
    }

    fn append(_: &'a [u8], _: ErrorKind, inner: Self) -> Self {
        inner
    }
}

impl Fault<'_> {
    /// The fault as an operator reads it: the octet is the distance from the start of `message`,
    /// which `at` is a part of.
    pub(crate) fn locate(self, message: &[u8], part: Part) -> WireError {
        let offset = self.at.as_ptr().addr().saturating_sub(message.as_ptr().addr());
        WireError { part, offset: offset.min(message.len()), kind: self.kind }
    }
}

/// An error of our own at a place.
pub(crate) const fn fault(at: &[u8], kind: FaultKind) -> nom::Err<Fault<'_>> {
    nom::Err::Error(Fault { at, kind })
}

/// The fault inside of what a reader returned.
pub(crate) fn fault_of<'a>(error: &nom::Err<Fault<'a>>) -> Fault<'a> {
    match error {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => *fault,
        // Only streaming readers say this, and we use none.
        nom::Err::Incomplete(_) => Fault { at: &[], kind: FaultKind::Truncated },
    }
}

/// Exactly `N` octets.
pub(crate) fn array<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    match input.split_first_chunk() {
        Some((octets, rest)) => Ok((rest, *octets)),
        None => Err(fault(input, FaultKind::Truncated)),
    }
}

pub(crate) fn octet(input: &[u8]) -> Parsed<'_, u8> {
    array(input).map(|(rest, [octet])| (rest, octet))
}

pub(crate) fn be_u16(input: &[u8]) -> Parsed<'_, u16> {
    array(input).map(|(rest, octets)| (rest, u16::from_be_bytes(octets)))
}

pub(crate) fn be_u32(input: &[u8]) -> Parsed<'_, u32> {
    array(input).map(|(rest, octets)| (rest, u32::from_be_bytes(octets)))
}

pub(crate) fn take(input: &[u8], count: usize) -> Parsed<'_, &[u8]> {
    match input.split_at_checked(count) {
        Some((octets, rest)) => Ok((rest, octets)),
        None => Err(fault(input, FaultKind::Truncated)),
    }
}

/// The first `bits` of an `N` octet field, as a prefix is written: only the octets that hold them.
/// Bits past the prefix are noise and come back as zero.
///
/// `bits` must not be more than `8 * N`; the caller has checked it against the family.
pub(crate) fn prefix<const N: usize>(input: &[u8], bits: u8) -> Parsed<'_, [u8; N]> {
    let (rest, sent) = take(input, usize::from(bits.div_ceil(8)))?;
    let mut octets = [0; N];
    for (octet, sent) in octets.iter_mut().zip(sent) {
        *octet = *sent;
    }
    let noise = bits.div_ceil(8) * 8 - bits;
    if noise > 0
        && let Some(last) = octets.get_mut(sent.len() - 1)
    {
        *last &= 0xff << noise;
    }
    Ok((rest, octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_no_bits_past_its_length() {
        let cases: &[(u8, [u8; 4], usize)] = &[
            (0, [0, 0, 0, 0], 0),
            (1, [0x80, 0, 0, 0], 1),
            (8, [0xff, 0, 0, 0], 1),
            (9, [0xff, 0x80, 0, 0], 2),
            (31, [0xff, 0xff, 0xff, 0xfe], 4),
            (32, [0xff, 0xff, 0xff, 0xff], 4),
        ];
        for (bits, want, taken) in cases {
            let (rest, got) = prefix::<4>(&[0xff; 6], *bits).expect("enough octets");
            assert_eq!((got, 6 - rest.len()), (*want, *taken), "{bits}");
        }
        assert!(prefix::<4>(&[0xff; 3], 25).is_err());
    }

    #[test]
    fn a_fault_is_located_inside_its_message() {
        let message = [0; 30];
        let fault = Fault { at: &message[17..20], kind: FaultKind::Truncated };
        assert_eq!(fault.locate(&message, Part::Nlri).offset, 17);
        let elsewhere = Fault { at: &[], kind: FaultKind::Truncated };
        assert!(elsewhere.locate(&message, Part::Nlri).offset <= 30);
    }
}
