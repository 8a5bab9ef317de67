//! Packets that no well-behaved socket sends.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType, ipproto, sendto, socket};
use testbed::Namespace;

use crate::world::inside;

/// A UDP header without a checksum, and what follows.
pub(crate) fn datagram(source_port: u16, port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("a datagram");
    let mut octets = Vec::new();
    for word in [source_port, port, length, 0] {
        octets.extend(word.to_be_bytes());
    }
    octets.extend(payload);
    octets
}

/// A TCP header that opens a connection, with a checksum of nothing.
pub(crate) fn syn(source_port: u16, port: u16) -> [u8; 20] {
    let mut octets = [0; 20];
    octets[0..2].copy_from_slice(&source_port.to_be_bytes());
    octets[2..4].copy_from_slice(&port.to_be_bytes());
    (octets[12], octets[13], octets[14]) = (5 << 4, 2, 64);
    octets
}

/// A fragment of UDP; `offset` in eights, with the bit that says that more follow.
pub(crate) fn fragment(
    (source, to): (Ipv4Addr, Ipv4Addr),
    id: u16,
    offset: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut octets = vec![0; 20];
    octets[0] = 0x45;
    octets[4..6].copy_from_slice(&id.to_be_bytes());
    octets[6..8].copy_from_slice(&offset.to_be_bytes());
    (octets[8], octets[9]) = (64, 17);
    octets[12..16].copy_from_slice(&source.octets());
    octets[16..20].copy_from_slice(&to.octets());
    octets.extend(payload);
    octets
}

pub(crate) const MORE: u16 = 0x2000;

fn send(from: &Namespace, as_: Protocol, to: Ipv4Addr, packets: &[Vec<u8>]) -> Result<()> {
    inside(from, || {
        let raw = socket(AddressFamily::INET, SocketType::RAW, Some(as_))?;
        for octets in packets {
            sendto(&raw, octets, SendFlags::empty(), &SocketAddrV4::new(to, 0))?;
        }
        Ok(())
    })?
}

/// UDP or TCP behind a header that the kernel makes.
pub(crate) fn send_udp(from: &Namespace, to: Ipv4Addr, datagram: Vec<u8>) -> Result<()> {
    send(from, ipproto::UDP, to, &[datagram])
}

pub(crate) fn send_tcp(from: &Namespace, to: Ipv4Addr, segments: &[Vec<u8>]) -> Result<()> {
    send(from, ipproto::TCP, to, segments)
}

/// Whole packets, of which the kernel fills in length and checksum.
pub(crate) fn send_packets(from: &Namespace, to: Ipv4Addr, packets: &[Vec<u8>]) -> Result<()> {
    send(from, ipproto::RAW, to, packets)
}
