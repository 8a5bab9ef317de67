//! VPN-IPv4 and VPN-IPv6 (RFC 4364 §4.3.4, RFC 4659 §3.2, RFC 8277 §2).

use std::fmt;
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::{Family, variant};
use crate::afi_safi::AfiSafi;
use crate::label::Label;
use crate::read::Parsed;
use crate::route_distinguisher::RouteDistinguisher;
use crate::text::serde_as_text;

/// One VPN destination. The label is not part of it: it stands beside ([`Family::Data`]).
///
/// Text form: `65000:7:10.0.100.0/24`, `65000:7:2001:db8::/32`: the distinguisher, which has one
/// colon or, in its `0x` form, none; a colon; the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VpnKey<N> {
    pub rd: RouteDistinguisher,
    pub net: N,
}

impl<N: fmt::Display> fmt::Display for VpnKey<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.rd, self.net)
    }
}

/// A text that is no [`VpnKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a VPN prefix; write 65000:7:10.0.100.0/24 or 65000:7:2001:db8::/32")]
pub struct ParseVpnKeyError(String);

impl<N: FromStr> FromStr for VpnKey<N> {
    type Err = ParseVpnKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let colons_in_rd = if text.starts_with("0x") { 0 } else { 1 };
        text.match_indices(':')
            .nth(colons_in_rd)
            .and_then(|(colon, _)| text.split_at_checked(colon))
            .and_then(|(rd, net)| {
                Some(Self { rd: rd.parse().ok()?, net: net.strip_prefix(':')?.parse().ok()? })
            })
            .ok_or_else(|| ParseVpnKeyError(text.to_owned()))
    }
}

serde_as_text!(VpnKey<Ipv4Net>, "a VPN prefix, such as \"65000:7:10.0.100.0/24\"");
serde_as_text!(VpnKey<Ipv6Net>, "a VPN prefix, such as \"65000:7:2001:db8::/32\"");

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
