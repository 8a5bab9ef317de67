//! Finding messages in a stream (RFC 4271 §4.1).

use crate::error::{FaultKind, Part, WireError};

/// Octets of the marker, the length and the type.
pub const HEADER: usize = 19;

/// Largest OPEN and KEEPALIVE, and largest of every message without RFC 8654.
pub const MAX: usize = 4_096;

/// Message types (IANA "BGP Message Types").
pub(crate) mod kind {
    pub(crate) const OPEN: u8 = 1;
    pub(crate) const UPDATE: u8 = 2;
    pub(crate) const NOTIFICATION: u8 = 3;
    pub(crate) const KEEPALIVE: u8 = 4;
    pub(crate) const ROUTE_REFRESH: u8 = 5;
}

/// The length of the message at the start of `buffer`, header included; `None` until the header is
/// there. The message may not be complete yet.
///
/// # Errors
/// A marker that is not all ones, a type that is unknown, or a length outside 19..=`max` or
/// impossible for the type.
pub fn length(buffer: &[u8], max: usize) -> Result<Option<usize>, WireError> {
    let Some(&[ref marker @ .., high, low, kind]) = buffer.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let error = |offset, kind| Err(WireError { part: Part::Header, offset, kind });
    if marker != &[0xff; 16] {
        return error(0, FaultKind::Marker);
    }
    let sent = u16::from_be_bytes([high, low]);
    let possible = match kind {
        kind::OPEN => 29..=MAX.min(max),
        kind::UPDATE | kind::ROUTE_REFRESH => 23..=max,
        kind::NOTIFICATION => 21..=max,
        kind::KEEPALIVE => HEADER..=HEADER,
        _ => HEADER..=max,
    };
    if !possible.contains(&usize::from(sent)) {
        return error(16, FaultKind::Length(sent));
    }
    if !(kind::OPEN..=kind::ROUTE_REFRESH).contains(&kind) {
        return error(18, FaultKind::MessageType(kind));
    }
    Ok(Some(usize::from(sent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u16, kind: u8) -> Vec<u8> {
        let mut octets = vec![0xff; 16];
        octets.extend(length.to_be_bytes());
        octets.push(kind);
        octets
    }

    #[test]
    fn a_header_in_pieces_is_waited_for() {
        let whole = header(19, kind::KEEPALIVE);
        for end in 0..HEADER {
            assert_eq!(length(&whole[..end], MAX), Ok(None), "{end}");
        }
        assert_eq!(length(&whole, MAX), Ok(Some(19)));
    }

    #[test]
    fn each_type_has_its_own_range_of_lengths() {
        let max = 65_535;
        // (type, shortest, longest without extended messages, longest with them)
        let cases = [
            (kind::OPEN, 29, 4_096, 4_096),
            (kind::UPDATE, 23, 4_096, max),
            (kind::NOTIFICATION, 21, 4_096, max),
            (kind::KEEPALIVE, 19, 19, 19),
            (kind::ROUTE_REFRESH, 23, 4_096, max),
        ];
        for (kind, shortest, longest, longest_extended) in cases {
            for (max, longest) in [(MAX, longest), (usize::from(max), longest_extended)] {
                for good in [shortest, longest] {
                    let got = length(&header(good, kind), max);
                    assert_eq!(got, Ok(Some(usize::from(good))), "type {kind}, {good} octets");
                }
                for bad in [shortest - 1, longest.saturating_add(1)] {
                    let got = length(&header(bad, kind), max);
                    if bad == u16::MAX && longest == u16::MAX {
                        continue;
                    }
                    let error = got.expect_err("an impossible length");
                    assert_eq!((error.offset, error.kind), (16, FaultKind::Length(bad)));
                }
            }
        }
    }

    #[test]
    fn faults_are_found_in_the_order_of_the_header() {
        let mut octets = header(18, 9);
        assert_eq!(length(&octets, MAX).map_err(|e| e.kind), Err(FaultKind::Length(18)));
        octets[15] = 0xfe;
        assert_eq!(length(&octets, MAX).map_err(|e| e.kind), Err(FaultKind::Marker));
        assert_eq!(length(&header(19, 9), MAX).map_err(|e| e.kind), Err(FaultKind::MessageType(9)));
    }
}
