//! Ipv4 unicast (RFC 4271 §4.3, RFC 4760 §5).

use ipnet::Ipv4Net;

use super::{Family, variant};
use crate::afi_safi::AfiSafi;
use crate::error::FaultKind;
use crate::read::{self, Parsed, fault, octet};
use crate::route_distinguisher::RouteDistinguisher;
use crate::write;

/// The family; its key is the prefix, nothing stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv4Unicast;

impl Family for Ipv4Unicast {
    const AFI_SAFI: AfiSafi = AfiSafi::IPV4_UNICAST;
    type Key = Ipv4Net;
    type Data = ();

    /// A prefix of multicast addresses is to be ignored (RFC 4271 §6.3).
    fn read_reach(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
        let (rest, net) = Self::read_unreach(input)?;
        if net.network().is_multicast() {
            return Err(fault(input, FaultKind::Multicast));
        }
        Ok((rest, (net, ())))
    }

    fn read_unreach(input: &[u8]) -> Parsed<'_, Self::Key> {
        let (rest, bits) = octet(input)?;
        net(input, rest, bits)
    }

    fn write_reach(key: &Self::Key, (): &Self::Data, out: &mut Vec<u8>) {
        Self::write_unreach(key, out);
    }

    fn write_unreach(key: &Self::Key, out: &mut Vec<u8>) {
        out.push(key.prefix_len());
        write::prefix(key.network().octets(), key.prefix_len(), out);
    }

    fn skip(input: &[u8]) -> Option<&[u8]> {
        Self::read_unreach(input).ok().map(|(rest, _)| rest)
    }

    fn route_distinguisher(_: &Self::Key) -> Option<RouteDistinguisher> {
        None
    }

    variant!(Ipv4);
}

/// Reads a prefix of `bits` from `rest`; a length that no address has is a fault of `at`.
pub(super) fn net<'a>(at: &'a [u8], rest: &'a [u8], bits: u8) -> Parsed<'a, Ipv4Net> {
    if bits > 32 {
        return Err(fault(at, FaultKind::PrefixLength(bits)));
    }
    let (rest, octets) = read::prefix::<4>(rest, bits)?;
    let net =
        Ipv4Net::new(octets.into(), bits).map_err(|_| fault(at, FaultKind::PrefixLength(bits)))?;
    Ok((rest, net))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_others_send() {
        // (who made the octets, the octets, what they mean)
        let cases: &[(&str, &[u8], &str)] = &[
            ("by hand, RFC 4271 §4.3", &[24, 192, 0, 2], "192.0.2.0/24"),
            ("by hand, the default route", &[0], "0.0.0.0/0"),
            ("by hand, a host", &[32, 192, 0, 2, 1], "192.0.2.1/32"),
            ("by hand, noise past the prefix", &[9, 10, 0xff], "10.128.0.0/9"),
        ];
        for (source, octets, want) in cases {
            let (rest, (got, ())) = Ipv4Unicast::read_reach(octets).expect(source);
            assert_eq!((rest, got.to_string().as_str()), (&[][..], *want), "{source}");
            assert_eq!(Ipv4Unicast::read_unreach(octets), Ok((&[][..], got)), "{source}");
        }
    }

    #[test]
    fn impossible_lengths_are_refused_at_their_octet() {
        let octets = [33, 10, 0, 0, 0, 0];
        let error = Ipv4Unicast::read_reach(&octets).expect_err("33 bits");
        assert_eq!(error, fault(&octets, FaultKind::PrefixLength(33)));
        let error = Ipv4Unicast::read_reach(&[24, 10, 0]).expect_err("two octets of three");
        assert_eq!(error, fault(&[10, 0], FaultKind::Truncated));
    }
}
