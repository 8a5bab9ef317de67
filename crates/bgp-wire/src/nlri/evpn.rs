//! EVPN routes (RFC 7432 §7, RFC 9136 §3.1).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Family, variant};
use crate::afi_safi::AfiSafi;
use crate::label::Label;
use crate::read::Parsed;
use crate::route_distinguisher::RouteDistinguisher;

/// Ethernet segment identifier (RFC 7432 §5). All zero: single-homed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Esi(pub [u8; 10]);

/// A MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// The fields of an EVPN route that tell it from others (RFC 7432 §7.1 to §7.4, RFC 9136 §3.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvpnKey {
    /// Type 1, Ethernet auto-discovery.
    EthernetAd { rd: RouteDistinguisher, esi: Esi, tag: u32 },
    /// Type 2, MAC/IP advertisement.
    MacIp { rd: RouteDistinguisher, tag: u32, mac: MacAddress, ip: Option<IpAddr> },
    /// Type 3, inclusive multicast.
    InclusiveMulticast { rd: RouteDistinguisher, tag: u32, originator: IpAddr },
    /// Type 4, Ethernet segment.
    EthernetSegment { rd: RouteDistinguisher, esi: Esi, originator: IpAddr },
    /// Type 5, IP prefix.
    IpPrefix { rd: RouteDistinguisher, tag: u32, net: IpNet },
    /// A type we do not know, carried octet for octet.
    Opaque { kind: u8, octets: Box<[u8]> },
}

/// What stands beside an EVPN key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EvpnData {
    /// Types 3, 4 and unknown ones.
    Nothing,
    /// Type 1.
    Label(Label),
    /// Type 2.
    MacIp { esi: Esi, label: Label, label2: Option<Label> },
    /// Type 5.
    IpPrefix { esi: Esi, gateway: IpAddr, label: Label },
}

/// AFI 25, SAFI 70.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evpn;

impl Family for Evpn {
    const AFI_SAFI: AfiSafi = AfiSafi::EVPN;
    type Key = EvpnKey;
    type Data = EvpnData;

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
        todo!()
    }

    variant!(Evpn);
}
