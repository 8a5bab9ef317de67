//! Ipv6 unicast (RFC 4271 §4.3, RFC 4760 §5).

use ipnet::Ipv6Net;

use super::{Family, variant};
use crate::afi_safi::AfiSafi;
use crate::read::Parsed;
use crate::route_distinguisher::RouteDistinguisher;

/// The family; its key is the prefix, nothing stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Unicast;

impl Family for Ipv6Unicast {
    const AFI_SAFI: AfiSafi = AfiSafi::IPV6_UNICAST;
    type Key = Ipv6Net;
    type Data = ();

    fn read_reach(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
        todo!()
    }

    fn read_unreach(input: &[u8]) -> Parsed<'_, Self::Key> {
        todo!()
    }

    fn write_reach(key: &Self::Key, data: &Self::Data, out: &mut Vec<u8>) {
        todo!()
    }

    fn write_unreach(key: &Self::Key, out: &mut Vec<u8>) {
        todo!()
    }

    fn route_distinguisher(key: &Self::Key) -> Option<RouteDistinguisher> {
        None
    }

    variant!(Ipv6);
}
