//! Route target membership (RFC 4684 §4).

use super::{Family, variant};
use crate::afi_safi::AfiSafi;
use crate::error::FaultKind;
use crate::read::{self, Parsed, fault, octet};
use crate::route_distinguisher::RouteDistinguisher;
use crate::route_target::RtMembership;
use crate::write;

/// AFI 1, SAFI 132.
///
/// ```text
/// +------------------------------+
/// | Length (1 octet)             |  in bits: 0, or 32..=96
/// +------------------------------+
/// | Origin AS (4 octets)         |
/// +------------------------------+
/// | Route Target (0..=8 octets)  |  its first bits
/// +------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rtc;

impl Family for Rtc {
    const AFI_SAFI: AfiSafi = AfiSafi::RTC;
    type Key = RtMembership;
    type Data = ();

    fn read_reach(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
        let (rest, membership) = Self::read_unreach(input)?;
        Ok((rest, (membership, ())))
    }

    fn read_unreach(input: &[u8]) -> Parsed<'_, Self::Key> {
        let (rest, bits) = octet(input)?;
        if bits > 96 {
            return Err(fault(input, FaultKind::PrefixLength(bits)));
        }
        let (rest, [a, b, c, d, target @ ..]) = read::prefix::<12>(rest, bits)?;
        let membership = RtMembership::new(bits, u32::from_be_bytes([a, b, c, d]), target)
            .ok_or(fault(input, FaultKind::PrefixLength(bits)))?;
        Ok((rest, membership))
    }

    fn write_reach(key: &Self::Key, (): &Self::Data, out: &mut Vec<u8>) {
        Self::write_unreach(key, out);
    }

    fn write_unreach(key: &Self::Key, out: &mut Vec<u8>) {
        let ([a, b, c, d], [e, f, g, h, i, j, k, l]) =
            (key.origin_as().to_be_bytes(), key.target_octets());
        out.push(key.length());
        write::prefix([a, b, c, d, e, f, g, h, i, j, k, l], key.length(), out);
    }

    fn route_distinguisher(_: &Self::Key) -> Option<RouteDistinguisher> {
        None
    }

    variant!(Rtc);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 96 bits of membership: AS 64512 wants 64512:100. By hand, RFC 4684 §4.
    const WHOLE: [u8; 12] = [0, 0, 0xfc, 0, 0, 2, 0xfc, 0, 0, 0, 0, 100];

    #[test]
    fn every_length_of_rfc_4684_is_read_and_written_back() {
        for bits in (0..=0u8).chain(32..=96) {
            let mut octets = vec![bits];
            octets.extend(WHOLE.iter().take(usize::from(bits.div_ceil(8))));
            let (rest, key) = Rtc::read_unreach(&octets).expect("a possible length");
            assert_eq!((rest, key.length()), (&[][..], bits));
            let mut again = Vec::new();
            Rtc::write_unreach(&key, &mut again);
            let (_, key_again) = Rtc::read_unreach(&again).expect("our own octets");
            assert_eq!((key_again, again.len()), (key, octets.len()), "{bits} bits");
        }
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for bits in (1..32).chain(97..=255) {
            let mut octets = vec![bits];
            octets.extend([0; 32]);
            let error = Rtc::read_reach(&octets).expect_err("an impossible length");
            assert_eq!(error, fault(&octets, FaultKind::PrefixLength(bits)));
        }
    }

    #[test]
    fn the_origin_as_stays_with_the_membership() {
        let (_, (key, ())) = Rtc::read_reach(&[&[96], &WHOLE[..]].concat()).expect("96 bits");
        assert_eq!(key.to_string(), "64512:64512:100");
        assert_eq!(key.origin_as(), 64512);
        let (_, (default, ())) = Rtc::read_reach(&[0]).expect("0 bits");
        assert_eq!(default, RtMembership::DEFAULT);
    }
}
