//! Route target membership (RFC 4684 §4).

use super::{Family, variant};
use crate::afi_safi::AfiSafi;
use crate::read::Parsed;
use crate::route_distinguisher::RouteDistinguisher;
use crate::route_target::RtMembership;

/// AFI 1, SAFI 132.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtc;

impl Family for Rtc {
    const AFI_SAFI: AfiSafi = AfiSafi::RTC;
    type Key = RtMembership;
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

    variant!(Rtc);
}
