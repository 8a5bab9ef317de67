//! Just enough of a packet to tell how it was encapsulated.

use std::fmt;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_MPLS: u16 = 0x8847;
const GRE: u8 = 47;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// MPLS in UDP (RFC 7510).
const MPLS_IN_UDP: u16 = 6635;

/// An IPv4 packet as it was seen on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    /// The protocol number of the outer header.
    pub protocol: u8,
    /// The length in the outer header, in octets.
    pub length: u16,
    pub payload: Payload,
}

/// What follows the IPv4 header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Ports are 0 for protocols without, and for later fragments.
    Plain { source_port: u16, destination_port: u16 },
    /// GRE (RFC 2784) with what its protocol field says; `labels` is empty unless that is 0x8847.
    Gre { flags: u16, protocol: u16, mpls: Option<Mpls> },
    /// UDP to port 6635 (RFC 7510).
    MplsOverUdp { source_port: u16, checksum: u16, mpls: Mpls },
}

/// A label stack and the packet under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mpls {
    /// From the outermost to the one with the bottom-of-stack bit.
    pub labels: Vec<LabelEntry>,
    pub inner: Option<Box<Packet>>,
}

/// RFC 3032 section 2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelEntry {
    pub label: u32,
    pub is_bottom: bool,
    pub ttl: u8,
}

impl Packet {
    /// The packet inside an MPLS tunnel, with its label stack.
    pub fn mpls(&self) -> Option<&Mpls> {
        match &self.payload {
            Payload::Plain { .. } => None,
            Payload::Gre { mpls, .. } => mpls.as_ref(),
            Payload::MplsOverUdp { mpls, .. } => Some(mpls),
        }
    }

    /// Reads an Ethernet frame; `None` when it holds no IPv4.
    fn from_frame(frame: &[u8]) -> Option<Self> {
        if be16(frame, 12)? != ETHERTYPE_IPV4 {
            return None;
        }
        Self::read(frame.get(14..)?)
    }

    fn read(octets: &[u8]) -> Option<Self> {
        let first = *octets.first()?;
        if first >> 4 != 4 {
            return None;
        }
        let address = |at: usize| {
            let four: [u8; 4] = octets.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(four))
        };
        let body = octets.get(usize::from(first & 15) * 4..)?;
        let protocol = *octets.get(9)?;
        let is_first = be16(octets, 6)?.trailing_zeros() >= 13;
        let plain = || Payload::Plain { source_port: 0, destination_port: 0 };
        let payload = match protocol {
            GRE if is_first => gre(body),
            TCP | UDP if is_first => transport(protocol, body),
            _ => None,
        };
        Some(Self {
            source: address(12)?,
            destination: address(16)?,
            protocol,
            length: be16(octets, 2)?,
            payload: payload.unwrap_or_else(plain),
        })
    }
}

fn gre(body: &[u8]) -> Option<Payload> {
    let (flags, protocol) = (be16(body, 0)?, be16(body, 2)?);
    // Checksum, key and sequence number are four octets each, if there.
    let options = [0x8000, 0x2000, 0x1000].iter().filter(|bit| flags & **bit != 0).count();
    let mpls = (protocol == ETHERTYPE_MPLS).then(|| mpls(body.get(4 + 4 * options..)?)).flatten();
    Some(Payload::Gre { flags, protocol, mpls })
}

fn transport(protocol: u8, body: &[u8]) -> Option<Payload> {
    let (source_port, destination_port) = (be16(body, 0)?, be16(body, 2)?);
    if protocol == UDP && destination_port == MPLS_IN_UDP {
        let mpls = mpls(body.get(8..)?)?;
        return Some(Payload::MplsOverUdp { source_port, checksum: be16(body, 6)?, mpls });
    }
    Some(Payload::Plain { source_port, destination_port })
}

fn mpls(mut body: &[u8]) -> Option<Mpls> {
    let mut labels = Vec::new();
    loop {
        let entry = u32::from_be_bytes(body.get(..4)?.try_into().ok()?);
        body = &body[4..];
        let [.., ttl] = entry.to_be_bytes();
        let is_bottom = entry & 0x100 != 0;
        labels.push(LabelEntry { label: entry >> 12, is_bottom, ttl });
        if is_bottom {
            return Some(Mpls { labels, inner: Packet::read(body).map(Box::new) });
        }
    }
}

fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", self.source, self.destination)?;
        match &self.payload {
            Payload::Plain { destination_port: 0, .. } => {
                write!(f, ", IP protocol {}", self.protocol)?;
            }
            Payload::Plain { source_port, destination_port } => {
                write!(f, ", IP protocol {}", self.protocol)?;
                write!(f, ", ports {source_port} > {destination_port}")?;
            }
            Payload::Gre { protocol, .. } => {
                write!(f, ", IP protocol 47, GRE protocol {protocol:#06x}")?;
            }
            Payload::MplsOverUdp { source_port, .. } => {
                write!(f, ", UDP {source_port} > {MPLS_IN_UDP}")?;
            }
        }
        let Some(mpls) = self.mpls() else { return Ok(()) };
        for entry in &mpls.labels {
            let bottom = if entry.is_bottom { " bottom" } else { "" };
            write!(f, ", label {}{bottom}", entry.label)?;
        }
        mpls.inner.as_ref().map_or(Ok(()), |inner| write!(f, " [{inner}]"))
    }
}

/// Reads the IPv4 packets of a capture file (classic pcap, Ethernet, the byte order of this machine).
/// A last record that is not complete yet is left out; other frames than IPv4 too.
pub fn read_pcap(file: &[u8]) -> Result<Vec<Packet>> {
    let word = |at: usize| {
        let four: [u8; 4] = file.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_ne_bytes(four))
    };
    let magic = word(0).context("an empty capture file")?;
    ensure!(matches!(magic, 0xa1b2_c3d4 | 0xa1b2_3c4d), "{magic:#x} does not start a pcap file");
    ensure!(word(20) == Some(1), "the capture is not of an Ethernet interface");
    let mut packets = Vec::new();
    let mut at = 24;
    while let Some(captured) = word(at + 8) {
        let start = at + 16;
        let end = start + usize::try_from(captured)?;
        let Some(frame) = file.get(start..end) else { break };
        packets.extend(Packet::from_frame(frame));
        at = end;
    }
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sent by Open vSwitch 3.1 (userspace datapath, `packet_type=legacy_l3`), captured on its uplink.
    const FROM_OVS: &str = "\
        624bd8513a44e6231a00564908004500007000004000402f25990a6200010a6200020000884700064140450000548c4d\
        400040016db70a00649f0a00c805080055777fb00002a58e006b00000000b2090c000000000010111213141516171819\
        1a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637";

    fn frame() -> Vec<u8> {
        let hex: Vec<u8> = FROM_OVS.bytes().filter(u8::is_ascii_hexdigit).collect();
        let octet = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(text, 16).expect("hexadecimal")
        };
        hex.chunks(2).map(octet).collect()
    }

    #[test]
    fn a_frame_of_open_vswitch_is_mpls_over_gre_with_one_label() {
        let packet = Packet::from_frame(&frame()).expect("IPv4");
        assert_eq!(
            packet.to_string(),
            "10.98.0.1 > 10.98.0.2, IP protocol 47, GRE protocol 0x8847, label 100 bottom \
             [10.0.100.159 > 10.0.200.5, IP protocol 1]"
        );
        assert_eq!((packet.protocol, packet.length), (47, 112));
    }

    #[test]
    fn a_frame_cut_anywhere_is_read_without_a_panic() {
        let whole = frame();
        for end in 0..whole.len() {
            let _maybe = Packet::from_frame(&whole[..end]);
        }
    }

    #[test]
    fn a_record_that_is_still_being_written_is_left_out() {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1_u32] {
            file.extend(word.to_ne_bytes());
        }
        let frame = frame();
        let length = u32::try_from(frame.len()).expect("short");
        for word in [0, 0, length, length] {
            file.extend(word.to_ne_bytes());
        }
        file.extend(&frame);
        assert_eq!(read_pcap(&file).expect("a capture").len(), 1);
        file.pop();
        assert_eq!(read_pcap(&file).expect("a capture").len(), 0);
    }
}
