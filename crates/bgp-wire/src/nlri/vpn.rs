//! VPN-IPv4 and VPN-IPv6 (RFC 4364 §4.3.4, RFC 4659 §3.2, RFC 8277 §2).

use ipnet::{Ipv4Net, Ipv6Net};

use super::{Family, variant};
use crate::afi_safi::AfiSafi;
use crate::label::Label;
use crate::read::Parsed;
use crate::route_distinguisher::RouteDistinguisher;

/// One VPN destination. The label is not part of it: it stands beside ([`Family::Data`]).
///
/// Text form: `65000:7:10.0.100.0/24`, the distinguisher up to the last colon before the prefix;
/// for IPv6 `65000:7:2001:db8::/32` is read with the prefix after the second colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VpnKey<N> {
    pub rd: RouteDistinguisher,
    pub net: N,
}

/// AFI 1, SAFI 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VpnV4;

/// AFI 2, SAFI 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VpnV6;

impl Family for VpnV4 {
    const AFI_SAFI: AfiSafi = AfiSafi::VPNV4;
    type Key = VpnKey<Ipv4Net>;
    type Data = Label;

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
        Some(key.rd)
    }

    variant!(VpnV4);
}

impl Family for VpnV6 {
    const AFI_SAFI: AfiSafi = AfiSafi::VPNV6;
    type Key = VpnKey<Ipv6Net>;
    type Data = Label;

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
        Some(key.rd)
    }

    variant!(VpnV6);
}
