//! Octets read to packets, with every length and checksum checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::Mac;

use super::number::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_MPLS, ETHERTYPE_VLAN, FRAGMENT, GRE,
    ICMP, ICMP_V6, MPLS_OVER_UDP, TCP, UDP, VXLAN,
};
use super::octets::{checksum, message_checksum};
use super::{
    Arp, Body, Content, Frame, Icmp, IcmpBody, Ip, Label, Macs, Payload, Port, Sum, Tcp, data,
};

/// Extension headers of IPv6 (RFC 8200 §4).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;

/// What no plane may send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

type Read<T> = Result<T, Unreadable>;

/// Whether the packet may end before it is whole: quoted in an ICMP error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Beginning,
}

impl Frame {
    pub fn read(octets: &[u8]) -> Read<Self> {
        let (macs, mut kind, mut body) = ethernet(octets)?;
        let mut vlan = None;
        if kind == ETHERTYPE_VLAN {
            (vlan, kind) = (Some(be16(body, 0)?), be16(body, 2)?);
            body = &body[4..];
        }
        let body = match kind {
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => Body::Ip(of_kind(kind, body)?),
            ETHERTYPE_ARP => Body::Arp(arp(body)?),
            kind => Body::Other { kind, octets: body.to_vec() },
        };
        Ok(Self { macs: Some(macs), vlan, body })
    }
}

fn ethernet(octets: &[u8]) -> Read<(Macs, u16, &[u8])> {
    let macs = Macs { to: Mac(array(octets, 0)?), from: Mac(array(octets, 6)?) };
    Ok((macs, be16(octets, 12)?, &octets[14..]))
}

fn of_kind(kind: u16, octets: &[u8]) -> Read<Ip> {
    let ip = Ip::read(octets)?;
    let wanted = if ip.is_v4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
    if kind == wanted { Ok(ip) } else { fault(format!("the Ethernet type of {ip} is {kind:#06x}")) }
}

fn arp(octets: &[u8]) -> Read<Arp> {
    let address = |at| Ok(IpAddr::from(Ipv4Addr::from(array::<4>(octets, at)?)));
    match array::<8>(octets, 0)? {
        [0, 1, 8, 0, 6, 4, 0, 1] => Ok(Arp::WhoHas { target: address(24)?, tell: address(14)? }),
        [0, 1, 8, 0, 6, 4, 0, 2] => {
            Ok(Arp::IsAt { target: address(14)?, mac: Mac(array(octets, 8)?) })
        }
        other => fault(format!("ARP that begins {other:02x?}")),
    }
}

impl Ip {
    /// A whole packet; behind it there may be padding.
    pub fn read(octets: &[u8]) -> Read<Self> {
        read(octets, Extent::Whole)
    }
}

/// A packet inside another one, where nothing pads it.
fn read_exactly(octets: &[u8]) -> Read<Ip> {
    let ip = Ip::read(octets)?;
    let length = if ip.is_v4() { be16(octets, 2)? } else { 40 + be16(octets, 4)? };
    match octets.len() - usize::from(length) {
        0 => Ok(ip),
        more => fault(format!("{more} octets of padding are in the tunnel, behind {ip}")),
    }
}

fn read(octets: &[u8], extent: Extent) -> Read<Ip> {
    match octets.first().map(|first| first >> 4) {
        Some(4) => read_v4(octets, extent),
        Some(6) => read_v6(octets, extent),
        _ => fault(format!("no IP packet: {octets:02x?}")),
    }
}

fn read_v4(octets: &[u8], extent: Extent) -> Read<Ip> {
    let header = usize::from(octets[0] & 15) * 4;
    let length = usize::from(be16(octets, 2)?);
    let place = be16(octets, 6)?;
    let mut ip = Ip {
        source: Ipv4Addr::from(array::<4>(octets, 12)?).into(),
        destination: Ipv4Addr::from(array::<4>(octets, 16)?).into(),
        ttl: Some(octets[8]),
        traffic_class: Some(octets[1]),
        id: Some(be16(octets, 4)?),
        df: Some(place & 0x4000 != 0),
        offset: place & 0x1fff,
        more: place & 0x2000 != 0,
        extras: octets.get(20..header).unwrap_or_default().to_vec(),
        payload: Payload::Other { protocol: octets[9], length: 0 },
        cut: None,
        pad: 0,
    };
    if header < 20 || checksum(part(octets, 0, header)?) != 0 {
        return fault(format!("the header checksum of {ip} is wrong"));
    }
    let body = body(octets, header, length, extent)?;
    ip.payload = payload(&ip, octets[9], body, extent)?;
    Ok(ip)
}

fn read_v6(octets: &[u8], extent: Extent) -> Read<Ip> {
    let length = 40 + usize::from(be16(octets, 4)?);
    let (mut next, mut header) = (*part(octets, 6, 1)?.first().unwrap_or(&0), 40);
    let (mut id, mut offset, mut more) = (None, 0, false);
    let source = Ipv6Addr::from(array::<16>(octets, 8)?).into();
    let destination = Ipv6Addr::from(array::<16>(octets, 24)?).into();
    let mut extras = Vec::new();
    while matches!(next, HOP_BY_HOP | ROUTING | DESTINATION) {
        extras.push(next);
        let [following, length] = array(octets, header)?;
        (next, header) = (following, header + 8 + usize::from(length) * 8);
    }
    if next == FRAGMENT {
        let place = be16(octets, header + 2)?;
        id = Some(be16(octets, header + 6)?);
        (offset, more) = (place >> 3, place & 1 != 0);
        (next, header) = (octets[header], header + 8);
    }
    let mut ip = Ip {
        source,
        destination,
        ttl: Some(octets[7]),
        traffic_class: Some(octets[0] << 4 | octets[1] >> 4),
        id,
        df: None,
        offset,
        more,
        extras,
        payload: Payload::Other { protocol: next, length: 0 },
        cut: None,
        pad: 0,
    };
    let body = body(octets, header, length, extent)?;
    ip.payload = payload(&ip, next, body, extent)?;
    Ok(ip)
}

fn body(octets: &[u8], header: usize, length: usize, extent: Extent) -> Read<&[u8]> {
    if length < header || (extent == Extent::Whole && octets.len() < length) {
        return fault(format!("the packet is {} octets and says {length}", octets.len()));
    }
    part(octets, header, length.min(octets.len()).saturating_sub(header))
}

fn payload(ip: &Ip, protocol: u8, body: &[u8], extent: Extent) -> Read<Payload> {
    if ip.offset != 0 {
        return Ok(Payload::Other { protocol, length: filled(body)? });
    }
    let sum = |at: usize| {
        let told = be16(body, at)?;
        let mut zeroed = body.to_vec();
        zeroed[at..at + 2].fill(0);
        Ok(match told {
            _ if extent == Extent::Beginning || ip.more => Sum::Unknown,
            0 if protocol == UDP => Sum::Missing,
            told if told == message_checksum(ip, protocol, &zeroed) => Sum::Right,
            _ => Sum::Wrong,
        })
    };
    let icmp_of_version = if ip.is_v4() { ICMP } else { ICMP_V6 };
    let payload = match protocol {
        TCP | UDP if extent == Extent::Beginning => quoted(protocol, body)?,
        TCP => Payload::Tcp(tcp(body, sum(16)?)?),
        UDP => {
            let length = usize::from(be16(body, 4)?);
            if length != body.len() && !ip.more {
                return fault(format!("UDP of {} octets says {length}", body.len()));
            }
            let (source, destination) = (Port::Is(be16(body, 0)?), Port::Is(be16(body, 2)?));
            let content = match be16(body, 2)? {
                MPLS_OVER_UDP if !ip.more => mpls(&body[8..])?,
                VXLAN if !ip.more => vxlan(&body[8..])?,
                _ => Content::Data { length: filled(&body[8..])? },
            };
            Payload::Udp { source, destination, sum: sum(6)?, content }
        }
        kind if kind == icmp_of_version => Payload::Icmp(icmp(ip, body, sum(2)?, extent)?),
        GRE => gre(body)?,
        protocol => Payload::Other { protocol, length: body.len() },
    };
    Ok(payload)
}

/// Of a quoted packet only the ports are looked at; that is what must be there (RFC 792).
fn quoted(protocol: u8, body: &[u8]) -> Read<Payload> {
    let (source, destination) = (Port::Is(be16(body, 0)?), Port::Is(be16(body, 2)?));
    part(body, 0, 8)?;
    let (sum, length) = (Sum::Unknown, 0);
    Ok(if protocol == TCP {
        let flags = body.get(13).copied();
        Payload::Tcp(Tcp { source, destination, flags, mss: None, nops: 0, sum, length })
    } else {
        Payload::Udp { source, destination, sum, content: Content::Data { length } }
    })
}

fn tcp(body: &[u8], sum: Sum) -> Read<Tcp> {
    let (source, destination) = (Port::Is(be16(body, 0)?), Port::Is(be16(body, 2)?));
    let header = usize::from(*part(body, 12, 1)?.first().unwrap_or(&0) >> 4) * 4;
    let mut options = part(body, 20, header.saturating_sub(20))?;
    let mut mss = None;
    while let [kind, rest @ ..] = options {
        options = match (kind, rest) {
            (0, _) => break,
            (1, rest) => rest,
            (kind, [length, ..]) if *length >= 2 => {
                let whole = part(options, 0, usize::from(*length))?;
                if *kind == 2 {
                    mss = Some(be16(whole, 2)?);
                }
                &options[whole.len()..]
            }
            _ => return fault("a TCP option without a length".to_owned()),
        };
    }
    let flags = Some(body[13]);
    let length = filled(part(body, header, body.len().saturating_sub(header))?)?;
    Ok(Tcp { source, destination, flags, mss, nops: 0, sum, length })
}

fn icmp(ip: &Ip, body: &[u8], sum: Sum, extent: Extent) -> Read<Icmp> {
    let [kind, code, ..] = array::<8>(body, 0)?;
    let is_v4 = ip.is_v4();
    let body = if IcmpBody::is_echo(is_v4, kind) {
        let (id, sequence) = (Port::Is(be16(body, 4)?), Some(be16(body, 6)?));
        let length = if extent == Extent::Whole { filled(&body[8..])? } else { 0 };
        IcmpBody::Echo { id, sequence, length }
    } else if IcmpBody::is_error(is_v4, kind) && extent == Extent::Whole {
        let mtu = Some(u32::from_be_bytes(array(body, 4)?));
        IcmpBody::Error { mtu, quoted: Box::new(read(&body[8..], Extent::Beginning)?) }
    } else if IcmpBody::is_neighbour(is_v4, kind) && extent == Extent::Whole {
        let target = Ipv6Addr::from(array::<16>(body, 8)?).into();
        let mac = (kind == 136).then(|| array(body, 26).map(Mac)).transpose()?;
        // Asked for, and replacing what was known (RFC 4861 §4.4); never through a router.
        let is_right =
            body[4] & 0x60 == 0x60 && body.get(24..26) == Some(&[2, 1]) && ip.ttl == Some(255);
        if kind == 136 && !is_right {
            return fault(format!("the advertisement of {target} is wrong: {body:02x?}"));
        }
        IcmpBody::Neighbour { target, mac, routes: Some(body[4] & 0x80 != 0) }
    } else {
        IcmpBody::Other { length: body.len() - 8 }
    };
    Ok(Icmp { kind, code, sum, body })
}

fn gre(body: &[u8]) -> Read<Payload> {
    let (flags, kind) = (be16(body, 0)?, be16(body, 2)?);
    let content = match (flags, kind) {
        (0, ETHERTYPE_MPLS) => mpls(&body[4..])?,
        (0, ETHERTYPE_IPV4 | ETHERTYPE_IPV6) => Content::Ip(Box::new(of_kind(kind, &body[4..])?)),
        _ => Content::Data { length: body.len() - 4 },
    };
    Ok(Payload::Gre { kind, content })
}

fn mpls(mut body: &[u8]) -> Read<Content> {
    let mut stack = Vec::new();
    loop {
        let entry = u32::from_be_bytes(array(body, 0)?);
        stack.push(Label { value: entry >> 12, ttl: Some((entry & 0xff) as u8) });
        body = &body[4..];
        if entry & 0x100 != 0 {
            return Ok(Content::Mpls { stack, inner: Box::new(read_exactly(body)?) });
        }
    }
}

/// RFC 7348 §5.
fn vxlan(body: &[u8]) -> Read<Content> {
    let (flags, vni) = (u32::from_be_bytes(array(body, 0)?), u32::from_be_bytes(array(body, 4)?));
    if flags != 0x0800_0000 || vni & 0xff != 0 {
        return fault(format!("a VXLAN header of {flags:08x} {vni:08x}"));
    }
    let (macs, kind, inner) = ethernet(&body[8..])?;
    read_exactly(inner)?;
    let inner = Box::new(of_kind(kind, inner)?);
    Ok(Content::Vxlan { vni: vni >> 8, macs: Some(macs), inner })
}

/// How much data there is; it must be what was sent.
fn filled(octets: &[u8]) -> Read<usize> {
    if octets == data(octets.len()) {
        Ok(octets.len())
    } else {
        fault(format!("the data is not what was sent: {octets:02x?}"))
    }
}

fn part(octets: &[u8], at: usize, length: usize) -> Read<&[u8]> {
    let part = octets.get(at..at + length);
    part.ok_or_else(|| Unreadable(format!("it ends too early: {octets:02x?}")))
}

fn array<const N: usize>(octets: &[u8], at: usize) -> Read<[u8; N]> {
    let part = part(octets, at, N)?;
    part.try_into().map_err(|_| Unreadable("it ends too early".to_owned()))
}

fn be16(octets: &[u8], at: usize) -> Read<u16> {
    array(octets, at).map(u16::from_be_bytes)
}

fn fault<T>(what: String) -> Read<T> {
    Err(Unreadable(what))
}
