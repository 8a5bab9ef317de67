//! EVPN routes on the wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Esi, EvpnData, EvpnKey, MacAddress};
use crate::afi_safi::AfiSafi;
use crate::error::FaultKind;
use crate::label::Label;
use crate::nlri::{Family, variant};
use crate::read::{Parsed, array, be_u32, fault, octet, take};
use crate::route_distinguisher::RouteDistinguisher;

/// AFI 25, SAFI 70.
///
/// ```text
/// +------------------------------+
/// | Route Type (1 octet)         |
/// +------------------------------+
/// | Length (1 octet)             |  in octets, of what follows
/// +------------------------------+
/// | by type                      |  RFC 7432 §7.1 to §7.4, RFC 9136 §3.1
/// +------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Evpn;

/// Route types, IANA "EVPN Route Types".
mod kind {
    pub(super) const ETHERNET_AD: u8 = 1;
    pub(super) const MAC_IP: u8 = 2;
    pub(super) const INCLUSIVE_MULTICAST: u8 = 3;
    pub(super) const ETHERNET_SEGMENT: u8 = 4;
    pub(super) const IP_PREFIX: u8 = 5;
}

/// Bits of a MAC address.
const MAC_BITS: u8 = 48;

impl Family for Evpn {
    const AFI_SAFI: AfiSafi = AfiSafi::EVPN;
    type Key = EvpnKey;
    type Data = EvpnData;

    fn read_reach(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
        let (rest, (key, data)) = read(input)?;
        let data = data.ok_or(fault(rest, FaultKind::Truncated))?;
        Ok((rest, (key, data)))
    }

    /// Nothing but the key counts; labels may be left out.
    fn read_unreach(input: &[u8]) -> Parsed<'_, Self::Key> {
        read(input).map(|(rest, (key, _))| (rest, key))
    }

    fn write_reach(key: &Self::Key, data: &Self::Data, out: &mut Vec<u8>) {
        match key {
            EvpnKey::EthernetAd { rd, esi, tag } => {
                typed(kind::ETHERNET_AD, out, |out| {
                    out.extend(rd.octets());
                    out.extend(esi.0);
                    out.extend(tag.to_be_bytes());
                    out.extend(label(data).octets());
                });
            }
            EvpnKey::MacIp { rd, tag, mac, ip } => {
                typed(kind::MAC_IP, out, |out| {
                    out.extend(rd.octets());
                    out.extend(esi(data).0);
                    out.extend(tag.to_be_bytes());
                    out.push(MAC_BITS);
                    out.extend(mac.0);
                    match ip {
                        Some(ip) => write_ip(*ip, out),
                        None => out.push(0),
                    }
                    out.extend(label(data).octets());
                    if let EvpnData::MacIp { label2: Some(label2), .. } = data {
                        out.extend(label2.octets());
                    }
                });
            }
            EvpnKey::InclusiveMulticast { rd, tag, originator } => {
                typed(kind::INCLUSIVE_MULTICAST, out, |out| {
                    out.extend(rd.octets());
                    out.extend(tag.to_be_bytes());
                    write_ip(*originator, out);
                });
            }
            EvpnKey::EthernetSegment { rd, esi, originator } => {
                typed(kind::ETHERNET_SEGMENT, out, |out| {
                    out.extend(rd.octets());
                    out.extend(esi.0);
                    write_ip(*originator, out);
                });
            }
            EvpnKey::IpPrefix { rd, tag, net } => {
                typed(kind::IP_PREFIX, out, |out| {
                    out.extend(rd.octets());
                    out.extend(esi(data).0);
                    out.extend(tag.to_be_bytes());
                    out.push(net.prefix_len());
                    match net {
                        IpNet::V4(net) => {
                            out.extend(net.network().octets());
                            out.extend(gateway_v4(data).octets());
                        }
                        IpNet::V6(net) => {
                            out.extend(net.network().octets());
                            out.extend(gateway_v6(data).octets());
                        }
                    }
                    out.extend(label(data).octets());
                });
            }
            EvpnKey::Opaque { kind, octets } => typed(*kind, out, |out| out.extend(octets)),
        }
    }

    /// With a zero ESI, label and gateway, which mean nothing in a withdrawal.
    fn write_unreach(key: &Self::Key, out: &mut Vec<u8>) {
        Self::write_reach(key, &EvpnData::Nothing, out);
    }

    fn route_distinguisher(key: &Self::Key) -> Option<RouteDistinguisher> {
        match key {
            EvpnKey::EthernetAd { rd, .. }
            | EvpnKey::MacIp { rd, .. }
            | EvpnKey::InclusiveMulticast { rd, .. }
            | EvpnKey::EthernetSegment { rd, .. }
            | EvpnKey::IpPrefix { rd, .. } => Some(*rd),
            EvpnKey::Opaque { .. } => None,
        }
    }

    /// RFC 9136 §3.2: a route names one overlay index at most.
    fn flaw(data: &Self::Data) -> Option<FaultKind> {
        match data {
            EvpnData::IpPrefix { esi, gateway, .. }
                if *esi != Esi::default() && !gateway.is_unspecified() =>
            {
                Some(FaultKind::OverlayIndex)
            }
            _ => None,
        }
    }

    fn skip(input: &[u8]) -> Option<&[u8]> {
        let (rest, _) = array::<1>(input).ok()?;
        let (rest, length) = octet(rest).ok()?;
        take(rest, usize::from(length)).ok().map(|(rest, _)| rest)
    }

    variant!(Evpn);
}

/// Reads one route. `None` beside the key: its labels were left out, as in a withdrawal they may be.
fn read(input: &[u8]) -> Parsed<'_, (EvpnKey, Option<EvpnData>)> {
    let (rest, kind) = octet(input)?;
    let (rest, length) = octet(rest)?;
    let (rest, value) = take(rest, usize::from(length))?;
    let (end, route) = match kind {
        kind::ETHERNET_AD => ethernet_ad(value)?,
        kind::MAC_IP => mac_ip(value)?,
        kind::INCLUSIVE_MULTICAST => inclusive_multicast(value)?,
        kind::ETHERNET_SEGMENT => ethernet_segment(value)?,
        kind::IP_PREFIX => ip_prefix(value)?,
        _ => {
            let key = EvpnKey::Opaque { kind, octets: value.into() };
            (&[][..], (key, Some(EvpnData::Nothing)))
        }
    };
    if end.is_empty() { Ok((rest, route)) } else { Err(fault(end, FaultKind::Trailing)) }
}

/// Route type 1 (RFC 7432 §7.1).
fn ethernet_ad(value: &[u8]) -> Parsed<'_, (EvpnKey, Option<EvpnData>)> {
    let (rest, rd) = rd(value)?;
    let (rest, esi) = esi_field(rest)?;
    let (rest, tag) = be_u32(rest)?;
    let (rest, label) = optional_label(rest)?;
    Ok((rest, (EvpnKey::EthernetAd { rd, esi, tag }, label.map(EvpnData::Label))))
}

/// Route type 2 (RFC 7432 §7.2).
fn mac_ip(value: &[u8]) -> Parsed<'_, (EvpnKey, Option<EvpnData>)> {
    let (rest, rd) = rd(value)?;
    let (rest, esi) = esi_field(rest)?;
    let (at_length, tag) = be_u32(rest)?;
    let (rest, mac_bits) = octet(at_length)?;
    if mac_bits != MAC_BITS {
        return Err(fault(at_length, FaultKind::AddressLength(mac_bits)));
    }
    let (rest, mac) = array(rest)?;
    let (rest, ip) = match rest.split_first() {
        Some((0, rest)) => (rest, None),
        _ => ip(rest).map(|(rest, ip)| (rest, Some(ip)))?,
    };
    let (rest, label) = optional_label(rest)?;
    let (rest, label2) = optional_label(rest)?;
    let key = EvpnKey::MacIp { rd, tag, mac: MacAddress(mac), ip };
    Ok((rest, (key, label.map(|label| EvpnData::MacIp { esi, label, label2 }))))
}

/// Route type 3 (RFC 7432 §7.3).
fn inclusive_multicast(value: &[u8]) -> Parsed<'_, (EvpnKey, Option<EvpnData>)> {
    let (rest, rd) = rd(value)?;
    let (rest, tag) = be_u32(rest)?;
    let (rest, originator) = ip(rest)?;
    Ok((rest, (EvpnKey::InclusiveMulticast { rd, tag, originator }, Some(EvpnData::Nothing))))
}

/// Route type 4 (RFC 7432 §7.4).
fn ethernet_segment(value: &[u8]) -> Parsed<'_, (EvpnKey, Option<EvpnData>)> {
    let (rest, rd) = rd(value)?;
    let (rest, esi) = esi_field(rest)?;
    let (rest, originator) = ip(rest)?;
    Ok((rest, (EvpnKey::EthernetSegment { rd, esi, originator }, Some(EvpnData::Nothing))))
}

/// Route type 5 (RFC 9136 §3.1). Prefix and gateway are of one family, which only the length of the
/// whole route tells.
fn ip_prefix(value: &[u8]) -> Parsed<'_, (EvpnKey, Option<EvpnData>)> {
    let (rest, rd) = rd(value)?;
    let (rest, esi) = esi_field(rest)?;
    let (at_bits, tag) = be_u32(rest)?;
    let (rest, bits) = octet(at_bits)?;
    let impossible = || fault(at_bits, FaultKind::PrefixLength(bits));
    let (rest, net, gateway) = if rest.len() >= 32 {
        let (rest, network) = array::<16>(rest)?;
        let (rest, gateway) = array::<16>(rest)?;
        let net = IpNet::new(Ipv6Addr::from(network).into(), bits).map_err(|_| impossible())?;
        (rest, net, IpAddr::from(gateway))
    } else {
        let (rest, network) = array::<4>(rest)?;
        let (rest, gateway) = array::<4>(rest)?;
        let net = IpNet::new(Ipv4Addr::from(network).into(), bits).map_err(|_| impossible())?;
        (rest, net, IpAddr::from(gateway))
    };
    let (rest, label) = optional_label(rest)?;
    let key = EvpnKey::IpPrefix { rd, tag, net: net.trunc() };
    Ok((rest, (key, label.map(|label| EvpnData::IpPrefix { esi, gateway, label }))))
}

fn rd(input: &[u8]) -> Parsed<'_, RouteDistinguisher> {
    array(input).map(|(rest, octets)| (rest, RouteDistinguisher::from_octets(octets)))
}

fn esi_field(input: &[u8]) -> Parsed<'_, Esi> {
    array(input).map(|(rest, octets)| (rest, Esi(octets)))
}

/// An address with its length in bits before it.
fn ip(input: &[u8]) -> Parsed<'_, IpAddr> {
    match octet(input)? {
        (rest, 32) => array::<4>(rest).map(|(rest, octets)| (rest, octets.into())),
        (rest, 128) => array::<16>(rest).map(|(rest, octets)| (rest, octets.into())),
        (_, bits) => Err(fault(input, FaultKind::AddressLength(bits))),
    }
}

/// A label, or nothing at the end of the route.
fn optional_label(input: &[u8]) -> Parsed<'_, Option<Label>> {
    if input.is_empty() {
        return Ok((input, None));
    }
    array(input).map(|(rest, octets)| (rest, Some(Label::from_octets(octets))))
}

/// Appends type, length and what `body` writes: at most 255 octets, since only an opaque key of our
/// own making could have more.
fn typed(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.extend([kind, 0]);
    let start = out.len();
    body(out);
    out.truncate(start + 255);
    let length = u8::try_from(out.len() - start).unwrap_or(u8::MAX);
    if let Some(field) = out.get_mut(start - 1) {
        *field = length;
    }
}

fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(v4) => {
            out.push(32);
            out.extend(v4.octets());
        }
        IpAddr::V6(v6) => {
            out.push(128);
            out.extend(v6.octets());
        }
    }
}

fn esi(data: &EvpnData) -> Esi {
    match data {
        EvpnData::MacIp { esi, .. } | EvpnData::IpPrefix { esi, .. } => *esi,
        EvpnData::Nothing | EvpnData::Label(_) => Esi::default(),
    }
}

fn label(data: &EvpnData) -> Label {
    match data {
        EvpnData::Label(label)
        | EvpnData::MacIp { label, .. }
        | EvpnData::IpPrefix { label, .. } => *label,
        EvpnData::Nothing => Label::from_octets([0; 3]),
    }
}

fn gateway_v4(data: &EvpnData) -> Ipv4Addr {
    match data {
        EvpnData::IpPrefix { gateway: IpAddr::V4(gateway), .. } => *gateway,
        _ => Ipv4Addr::UNSPECIFIED,
    }
}

fn gateway_v6(data: &EvpnData) -> Ipv6Addr {
    match data {
        EvpnData::IpPrefix { gateway: IpAddr::V6(gateway), .. } => *gateway,
        _ => Ipv6Addr::UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RD: [u8; 8] = [0, 1, 192, 0, 2, 1, 0, 7];
    const ESI: [u8; 10] = [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99];
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

    fn route(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let length = u8::try_from(value.len()).expect("short");
        [&[kind, length][..], &value].concat()
    }

    fn label(octets: [u8; 3]) -> Label {
        Label::from_octets(octets)
    }

    /// By hand from RFC 7432 §7.1 to §7.4 and RFC 9136 §3.1: octets, key, data.
    fn cases() -> Vec<(&'static str, Vec<u8>, &'static str, EvpnData)> {
        let esi = Esi(ESI);
        let (one, two) = (label([0, 0x27, 0x11]), label([0, 0x27, 0x12]));
        vec![
            (
                "§7.1 ethernet auto-discovery",
                route(1, &[&RD, &ESI, &[0, 0, 0, 5], &[0, 0x27, 0x11]]),
                "[1]:[192.0.2.1:7]:[00:11:22:33:44:55:66:77:88:99]:[5]",
                EvpnData::Label(one),
            ),
            (
                "§7.2 without an address",
                route(2, &[&RD, &ESI, &[0; 4], &[48], &MAC, &[0], &[0, 0x27, 0x11]]),
                "[2]:[192.0.2.1:7]:[0]:[02:00:00:00:00:01]",
                EvpnData::MacIp { esi, label: one, label2: None },
            ),
            (
                "§7.2 with an IPv4 address and two labels",
                route(
                    2,
                    &[
                        &RD,
                        &ESI,
                        &[0; 4],
                        &[48],
                        &MAC,
                        &[32, 10, 0, 0, 1],
                        &[0, 0x27, 0x11],
                        &[0, 0x27, 0x12],
                    ],
                ),
                "[2]:[192.0.2.1:7]:[0]:[02:00:00:00:00:01]:[10.0.0.1]",
                EvpnData::MacIp { esi, label: one, label2: Some(two) },
            ),
            (
                "§7.2 with an IPv6 address",
                route(2, &[&RD, &ESI, &[0; 4], &[48], &MAC, &[128], &V6, &[0, 0x27, 0x11]]),
                "[2]:[192.0.2.1:7]:[0]:[02:00:00:00:00:01]:[2001:db8::1]",
                EvpnData::MacIp { esi, label: one, label2: None },
            ),
            (
                "§7.3 IPv4",
                route(3, &[&RD, &[0, 0, 0, 1], &[32, 192, 0, 2, 1]]),
                "[3]:[192.0.2.1:7]:[1]:[192.0.2.1]",
                EvpnData::Nothing,
            ),
            (
                "§7.3 IPv6",
                route(3, &[&RD, &[0, 0, 0, 1], &[128], &V6]),
                "[3]:[192.0.2.1:7]:[1]:[2001:db8::1]",
                EvpnData::Nothing,
            ),
            (
                "§7.4",
                route(4, &[&RD, &ESI, &[32, 192, 0, 2, 1]]),
                "[4]:[192.0.2.1:7]:[00:11:22:33:44:55:66:77:88:99]:[192.0.2.1]",
                EvpnData::Nothing,
            ),
            (
                "RFC 9136 §3.1 IPv4",
                route(
                    5,
                    &[&RD, &ESI, &[0; 4], &[24, 10, 0, 100, 0], &[10, 0, 0, 9], &[0, 0x27, 0x11]],
                ),
                "[5]:[192.0.2.1:7]:[0]:[10.0.100.0/24]",
                EvpnData::IpPrefix { esi, gateway: Ipv4Addr::new(10, 0, 0, 9).into(), label: one },
            ),
            (
                "RFC 9136 §3.1 IPv6",
                route(5, &[&RD, &ESI, &[0; 4], &[128], &V6, &V6, &[0, 0x27, 0x11]]),
                "[5]:[192.0.2.1:7]:[0]:[2001:db8::1/128]",
                EvpnData::IpPrefix { esi, gateway: Ipv6Addr::from(V6).into(), label: one },
            ),
            ("an unknown type", route(11, &[&[1, 2, 3]]), "[11]:[0x010203]", EvpnData::Nothing),
        ]
    }

    #[test]
    fn every_field_of_every_type_is_read_and_written_back() {
        for (source, octets, key, data) in cases() {
            let (rest, got) = Evpn::read_reach(&octets).expect(source);
            assert_eq!((rest, got.0.to_string().as_str(), got.1), (&[][..], key, data), "{source}");
            let mut again = Vec::new();
            Evpn::write_reach(&got.0, &got.1, &mut again);
            assert_eq!(again, octets, "{source}");
        }
    }

    #[test]
    fn a_withdrawal_names_the_same_key_whatever_its_labels() {
        for (source, octets, key, data) in cases() {
            let mut ours = Vec::new();
            let (_, parsed) = Evpn::read_unreach(&octets).expect(source);
            Evpn::write_unreach(&parsed, &mut ours);
            let (_, again) = Evpn::read_unreach(&ours).expect(source);
            assert_eq!((parsed.to_string().as_str(), &again), (key, &parsed), "{source}");

            let labels = match data {
                EvpnData::Nothing => continue,
                EvpnData::MacIp { label2: Some(_), .. } => 6,
                _ => 3,
            };
            let mut without = octets[..octets.len() - labels].to_vec();
            without[1] -= u8::try_from(labels).expect("3 or 6");
            assert_eq!(Evpn::read_unreach(&without), Ok((&[][..], parsed)), "{source}");
            assert!(Evpn::read_reach(&without).is_err(), "{source}");
        }
    }

    #[test]
    fn an_opaque_key_of_our_own_making_is_cut_at_255_octets() {
        let key = EvpnKey::Opaque { kind: 9, octets: vec![7; 300].into() };
        let mut octets = Vec::new();
        Evpn::write_unreach(&key, &mut octets);
        let cut = EvpnKey::Opaque { kind: 9, octets: vec![7; 255].into() };
        assert_eq!(Evpn::read_unreach(&octets), Ok((&[][..], cut)));
    }

    #[test]
    fn every_cut_of_every_type_is_a_fault() {
        for (source, octets, ..) in cases() {
            for end in 0..octets.len() {
                assert!(Evpn::read_reach(&octets[..end]).is_err(), "{source} cut at {end}");
            }
            if octets[0] == 11 {
                continue;
            }
            for cut in 1..octets.len() - 1 {
                let mut short = octets[..octets.len() - cut].to_vec();
                short[1] = u8::try_from(short.len() - 2).expect("short");
                // Without its second label, a MAC/IP route is whole again.
                let whole = cut == 3 && source.ends_with("two labels");
                assert_eq!(Evpn::read_reach(&short).is_ok(), whole, "{source} short of {cut}");
            }
            let mut long = [&octets[..], &[0]].concat();
            long[1] += 1;
            assert!(Evpn::read_reach(&long).is_err(), "{source} with an octet too many");
        }
    }
}
