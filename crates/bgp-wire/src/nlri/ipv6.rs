//! Ipv6 unicast (RFC 4271 §4.3, RFC 4760 §5).

use ipnet::Ipv6Net;

use super::{Family, variant};
use crate::afi_safi::AfiSafi;
use crate::error::FaultKind;
use crate::read::{self, Parsed, fault, octet};
use crate::route_distinguisher::RouteDistinguisher;
use crate::write;

/// The family; its key is the prefix, nothing stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv6Unicast;

impl Family for Ipv6Unicast {
    const AFI_SAFI: AfiSafi = AfiSafi::IPV6_UNICAST;
    type Key = Ipv6Net;
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

    variant!(Ipv6);
}

/// Reads a prefix of `bits` from `rest`; a length that no address has is a fault of `at`.
pub(super) fn net<'a>(at: &'a [u8], rest: &'a [u8], bits: u8) -> Parsed<'a, Ipv6Net> {
    if bits > 128 {
        return Err(fault(at, FaultKind::PrefixLength(bits)));
    }
    let (rest, octets) = read::prefix::<16>(rest, bits)?;
    let net =
        Ipv6Net::new(octets.into(), bits).map_err(|_| fault(at, FaultKind::PrefixLength(bits)))?;
    Ok((rest, net))
}
