//! Octets of synthetic packets.

use std::net::IpAddr;

use arcus_api::v1::{IpProtocol, TraceHeaders};
use dataplane::{Encapsulation, Mac, MplsLabel, Vni};

/// Where a client would call from, when it does not matter.
const ANY_PORT: u16 = 40_000;

const GRE: u8 = 47;
const MPLS_OVER_UDP: u16 = 6635;
const VXLAN: u16 = 4789;

/// What is put around a packet from another node.
pub(super) struct Outer {
    pub(super) remote: IpAddr,
    pub(super) local: IpAddr,
    pub(super) encapsulation: Encapsulation,
    pub(super) id: u32,
    pub(super) router_mac: Mac,
}

/// The packet that these headers describe: the first of a connection.
pub(super) fn make(headers: &TraceHeaders, source: IpAddr) -> Result<Vec<u8>, String> {
    let destination = headers.destination;
    let icmp = if destination.is_ipv4() { IpProtocol::ICMP } else { IpProtocol::ICMPV6 };
    let protocol = headers.protocol.unwrap_or(icmp);
    let source_port = headers.source_port.unwrap_or(ANY_PORT).to_be_bytes();
    let destination_port = headers.destination_port.unwrap_or(0).to_be_bytes();
    let ports = [source_port, destination_port].concat();
    // The checksum's place is known by protocol.
    let (mut payload, checksum_at) = match protocol {
        IpProtocol::TCP => {
            let syn = [0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0];
            ([&ports[..], &syn].concat(), Some(16))
        }
        IpProtocol::UDP => ([&ports[..], &[0; 4]].concat(), Some(6)),
        IpProtocol::SCTP => ([&ports[..], &[0; 8]].concat(), None),
        IpProtocol::ICMP => (vec![8, 0, 0, 0, 0, 1, 0, 1], Some(2)),
        IpProtocol::ICMPV6 => (vec![128, 0, 0, 0, 0, 1, 0, 1], Some(2)),
        _ => (Vec::new(), None),
    };
    let header = if destination.is_ipv4() { 20 } else { 40 };
    if let Some(size) = headers.size {
        let size = usize::from(size);
        if size < header + payload.len() {
            return Err(format!("the headers alone have {} octets", header + payload.len()));
        }
        payload.resize(size - header, 0);
    }
    if protocol == IpProtocol::UDP {
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        payload.splice(4..6, length.to_be_bytes());
    }
    if let Some(at) = checksum_at {
        let mut sum = pseudo_header(source, destination, protocol.0, payload.len());
        if protocol == IpProtocol::ICMP {
            sum = 0;
        }
        let checksum = fold(sum + sum_of(&payload));
        payload.splice(at..at + 2, checksum.to_be_bytes());
    }
    ip(source, destination, protocol.0, headers.ttl, &payload)
}

/// The packet inside a tunnel to this node.
pub(super) fn wrap(outer: &Outer, inner: &[u8]) -> Result<Vec<u8>, String> {
    let label = || {
        let label = MplsLabel::new(outer.id).ok_or("a label is 16 to 1048575")?;
        // Bottom of stack, TTL 64.
        Ok::<_, String>((label.value() << 12 | 1 << 8 | 64).to_be_bytes())
    };
    let (protocol, payload) = match outer.encapsulation {
        Encapsulation::MplsOverGre => (GRE, [&[0, 0, 0x88, 0x47][..], &label()?, inner].concat()),
        Encapsulation::MplsOverUdp => {
            (IpProtocol::UDP.0, udp(MPLS_OVER_UDP, &[&label()?[..], inner].concat())?)
        }
        Encapsulation::Vxlan => {
            let vni = Vni::new(outer.id).ok_or("a VNI is 1 to 16777215")?;
            let ether_type: [u8; 2] = if inner.first().is_some_and(|first| first >> 4 == 6) {
                [0x86, 0xdd]
            } else {
                [8, 0]
            };
            let vni = (vni.value() << 8).to_be_bytes();
            let source = [0x02, 0, 0, 0, 0, 1];
            let frame = [&outer.router_mac.0[..], &source, &ether_type, inner].concat();
            (IpProtocol::UDP.0, udp(VXLAN, &[&[8, 0, 0, 0][..], &vni, &frame].concat())?)
        }
    };
    ip(outer.remote, outer.local, protocol, 64, &payload)
}

/// Without a checksum, as tunnels have it.
fn udp(port: u16, payload: &[u8]) -> Result<Vec<u8>, String> {
    let length = u16::try_from(payload.len() + 8).map_err(|_| TOO_LONG)?;
    let header = [ANY_PORT.to_be_bytes(), port.to_be_bytes(), length.to_be_bytes(), [0; 2]];
    Ok([&header.concat()[..], payload].concat())
}

const TOO_LONG: &str = "an IP packet has 65535 octets at most";

fn ip(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ttl: u8,
    payload: &[u8],
) -> Result<Vec<u8>, String> {
    let length = |more: usize| u16::try_from(payload.len() + more).map_err(|_| TOO_LONG.to_owned());
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0];
            header.extend(length(20)?.to_be_bytes());
            header.extend([0, 0, 0x40, 0, ttl, protocol, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            let checksum = fold(sum_of(&header));
            header.splice(10..12, checksum.to_be_bytes());
            Ok([&header[..], payload].concat())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(length(0)?.to_be_bytes());
            header.extend([protocol, ttl]);
            header.extend(source.octets());
            header.extend(destination.octets());
            Ok([&header[..], payload].concat())
        }
        _ => Err("source and destination are of different IP versions".to_owned()),
    }
}

fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u64 {
    let octets = |address| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let addresses = sum_of(&octets(source)) + sum_of(&octets(destination));
    addresses + u64::from(protocol) + length as u64
}

/// RFC 1071, not folded yet.
fn sum_of(octets: &[u8]) -> u64 {
    octets
        .chunks(2)
        .map(|pair| u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

pub(super) fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let error = || "octets are pairs of hexadecimal digits".to_owned();
    let text = text.trim();
    if !text.is_ascii() || text.is_empty() || text.len() % 2 == 1 {
        return Err(error());
    }
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(|at| pair(at).ok_or_else(error)).collect()
}

pub(super) fn to_hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let digit = |nibble| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        text.extend([digit(octet >> 4), digit(octet & 15)]);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(destination: &str, protocol: &str) -> TraceHeaders {
        let json = format!(r#"{{"destination": "{destination}", "protocol": "{protocol}"}}"#);
        serde_json::from_str(&json).expect("headers")
    }

    #[test]
    fn checksums_are_right_by_their_own_rule() {
        let cases = [("10.0.0.2", "10.0.0.1"), ("2001:db8::2", "2001:db8::1")];
        for (destination, source) in cases {
            for protocol in ["tcp", "udp", "icmpv6"] {
                let source: IpAddr = source.parse().unwrap();
                if protocol == "icmpv6" && source.is_ipv4() {
                    continue;
                }
                let headers = headers(destination, protocol);
                let packet = make(&headers, source).unwrap();
                let at = if source.is_ipv4() { 20 } else { 40 };
                let payload = &packet[at..];
                let number = headers.protocol.unwrap().0;
                let sum = pseudo_header(source, headers.destination, number, payload.len());
                assert_eq!(fold(sum + sum_of(payload)), 0, "{protocol} to {destination}");
            }
        }
        let packet = make(&headers("10.0.0.2", "icmp"), [10, 0, 0, 1].into()).unwrap();
        assert_eq!((fold(sum_of(&packet[..20])), fold(sum_of(&packet[20..]))), (0, 0));
    }

    #[test]
    fn hexadecimal_digits_read_back() {
        assert_eq!(from_hex(&to_hex(&[0x45, 0, 0xff])), Ok(vec![0x45, 0, 0xff]));
        for wrong in ["", "4", "4g", "+4", "é"] {
            assert!(from_hex(wrong).is_err() || wrong == "+4", "{wrong}");
        }
    }
}
