//! An IP packet as octets, with names for the fields that forwarding reads and changes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum;
use crate::event::Tuple;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const GRE: u8 = 47;
pub(super) const FRAGMENT: u8 = 44;
pub(super) const ICMP_V6: u8 = 58;
/// The bits of the traffic class that say so when both are set.
const ECN: u8 = 3;

/// One IP packet whose headers are whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    octets: Vec<u8>,
    /// Where the header of the transport protocol is.
    l4: usize,
    pub(super) protocol: u8,
    pub(super) fragment: Fragment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fragment {
    Whole,
    First,
    /// Without a transport header.
    Later,
}

/// An end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

impl Packet {
    /// `None`: it is not what its own headers say. What follows the packet is padding.
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        let packet = Self::read_cut(octets)?;
        let whole = if packet.is_v4() {
            usize::from(be16(octets, 2)?)
        } else {
            40 + usize::from(be16(octets, 4)?)
        };
        if whole > octets.len() || whole < packet.l4 {
            return None;
        }
        let octets = octets[..whole].to_vec();
        let needed = match packet.protocol {
            TCP => 20,
            UDP | ICMP | ICMP_V6 => 8,
            _ => 0,
        };
        let has_header = packet.fragment == Fragment::Later || whole - packet.l4 >= needed;
        has_header.then_some(Self { octets, ..packet })
    }

    /// The beginning of a packet, as an ICMP error quotes it.
    fn read_cut(octets: &[u8]) -> Option<Self> {
        let (mut l4, mut protocol, mut fragment);
        match octets.first()? >> 4 {
            4 => {
                l4 = usize::from(octets[0] & 15) * 4;
                protocol = *octets.get(9)?;
                let place = be16(octets, 6)?;
                fragment = Fragment::at(place & 0x1fff, place & 0x2000 != 0);
                if l4 < 20 {
                    return None;
                }
            }
            6 => {
                (l4, protocol, fragment) = (40, *octets.get(6)?, Fragment::Whole);
                // Hop-by-hop options, routing header, fragment header, destination options.
                while matches!(protocol, 0 | 43 | FRAGMENT | 60) && fragment != Fragment::Later {
                    let (next, length) = (*octets.get(l4)?, *octets.get(l4 + 1)?);
                    if protocol == FRAGMENT {
                        let place = be16(octets, l4 + 2)?;
                        fragment = Fragment::at(place >> 3, place & 1 != 0);
                        l4 += 8;
                    } else {
                        l4 += 8 + usize::from(length) * 8;
                    }
                    protocol = next;
                }
            }
            _ => return None,
        }
        (l4 <= octets.len()).then(|| Self { octets: octets.to_vec(), l4, protocol, fragment })
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// What follows the IP header.
    pub(super) fn body(&self) -> &[u8] {
        &self.octets[self.l4..]
    }

    pub(super) fn length(&self) -> usize {
        self.octets.len()
    }

    pub(super) fn is_v4(&self) -> bool {
        self.octets[0] >> 4 == 4
    }

    pub(super) fn address(&self, end: End) -> IpAddr {
        let at = self.address_at(end);
        if self.is_v4() {
            Ipv4Addr::from(array::<4>(&self.octets, at)).into()
        } else {
            Ipv6Addr::from(array::<16>(&self.octets, at)).into()
        }
    }

    pub(super) fn source(&self) -> IpAddr {
        self.address(End::Source)
    }

    pub(super) fn destination(&self) -> IpAddr {
        self.address(End::Destination)
    }

    fn address_at(&self, end: End) -> usize {
        match (self.is_v4(), end) {
            (true, End::Source) => 12,
            (true, End::Destination) => 16,
            (false, End::Source) => 8,
            (false, End::Destination) => 24,
        }
    }

    pub(super) fn ttl(&self) -> u8 {
        self.octets[if self.is_v4() { 8 } else { 7 }]
    }

    pub(super) fn decrement_ttl(&mut self) {
        let ttl = self.ttl().saturating_sub(1);
        if self.is_v4() {
            let protocol = self.octets[9];
            self.store(8, &[ttl, protocol], &[10]);
        } else {
            self.octets[7] = ttl;
        }
    }

    /// DSCP and ECN.
    pub(super) fn traffic_class(&self) -> u8 {
        if self.is_v4() { self.octets[1] } else { self.octets[0] << 4 | self.octets[1] >> 4 }
    }

    /// Whether a queue on the way was long (RFC 3168 §5).
    pub(super) fn is_congested(&self) -> bool {
        self.traffic_class() & ECN == ECN
    }

    /// RFC 6040 §4.2; false: its ends do not know what that means.
    pub(super) fn mark_congested(&mut self) -> bool {
        let class = self.traffic_class();
        if class & ECN == 0 {
            return false;
        }
        if self.is_v4() {
            let first = self.octets[0];
            self.store(0, &[first, class | ECN], &[10]);
        } else {
            self.octets[1] |= ECN << 4;
        }
        true
    }

    /// Whether a router may not cut it (RFC 8200 §5: never in IPv6).
    pub(super) fn must_not_be_cut(&self) -> bool {
        !self.is_v4() || self.octets[6] & 0x40 != 0
    }

    /// Type and code of ICMP of its version.
    pub(super) fn icmp(&self) -> Option<(u8, u8)> {
        let is_icmp = self.protocol == if self.is_v4() { ICMP } else { ICMP_V6 };
        let has_header = is_icmp && self.fragment != Fragment::Later;
        let header = self.octets.get(self.l4..self.l4 + 2).filter(|_| has_header)?;
        Some((header[0], header[1]))
    }

    pub(super) fn is_icmp_error(&self) -> bool {
        match (self.is_v4(), self.icmp()) {
            (true, Some((kind, _))) => matches!(kind, 3 | 4 | 5 | 11 | 12),
            (false, Some((kind, _))) => kind < 128,
            _ => false,
        }
    }

    pub(super) fn is_echo_request(&self) -> bool {
        self.icmp().is_some_and(|(kind, _)| kind == if self.is_v4() { 8 } else { 128 })
    }

    fn is_echo_reply(&self) -> bool {
        self.icmp().is_some_and(|(kind, _)| kind == if self.is_v4() { 0 } else { 129 })
    }

    /// Where the number is that tells flows of an end apart: a port, or the identifier of an echo.
    fn port_at(&self, end: End) -> Option<usize> {
        let at = match (self.protocol, end) {
            _ if self.fragment == Fragment::Later => return None,
            (TCP | UDP, End::Source) => self.l4,
            (TCP | UDP, End::Destination) => self.l4 + 2,
            (_, End::Source) if self.is_echo_request() => self.l4 + 4,
            (_, End::Destination) if self.is_echo_reply() => self.l4 + 4,
            _ => return None,
        };
        (at + 2 <= self.octets.len()).then_some(at)
    }

    pub(super) fn port(&self, end: End) -> u16 {
        self.port_at(end).and_then(|at| be16(&self.octets, at)).unwrap_or_default()
    }

    /// Who talks to whom. The asker of an echo has its identifier as port, the other side 0.
    pub(super) fn tuple(&self) -> Tuple {
        Tuple {
            source: self.source(),
            destination: self.destination(),
            protocol: self.protocol,
            source_port: self.port(End::Source),
            destination_port: self.port(End::Destination),
        }
    }

    /// Gives an end another address and, where it has one, another port.
    pub(super) fn set(&mut self, end: End, address: IpAddr, port: u16) {
        let sum_at = self.l4_sum_at();
        let covers_addresses = self.protocol != ICMP;
        let mut sums: Vec<usize> = Vec::new();
        if self.is_v4() {
            sums.push(10);
        }
        sums.extend(sum_at.filter(|_| covers_addresses));
        let at = self.address_at(end);
        match address {
            IpAddr::V4(address) => self.store(at, &address.octets(), &sums),
            IpAddr::V6(address) => self.store(at, &address.octets(), &sums),
        }
        if let Some(at) = self.port_at(end) {
            let sums: Vec<usize> = sum_at.into_iter().collect();
            self.store(at, &port.to_be_bytes(), &sums);
        }
    }

    /// The answer to an echo, or to a later fragment of what may be one.
    pub(super) fn echoed(&self) -> Option<Self> {
        let is_v4 = self.is_v4();
        let is_icmp = self.protocol == if is_v4 { ICMP } else { ICMP_V6 };
        let is_later = is_icmp && self.fragment == Fragment::Later;
        if !is_later && !self.is_echo_request() {
            return None;
        }
        let (mut answer, asked) = (self.clone(), self.tuple());
        answer.set(End::Source, asked.destination, asked.source_port);
        answer.set(End::Destination, asked.source, 0);
        if let Some(sum_at) = answer.l4_sum_at() {
            let code = answer.octets[answer.l4 + 1];
            answer.store(answer.l4, &[if is_v4 { 0 } else { 129 }, code], &[sum_at]);
        }
        Some(answer)
    }

    fn l4_sum_at(&self) -> Option<usize> {
        let at = match self.protocol {
            _ if self.fragment == Fragment::Later => return None,
            TCP => 16,
            UDP => 6,
            ICMP | ICMP_V6 => 2,
            _ => return None,
        };
        (self.l4 + at + 2 <= self.octets.len()).then_some(self.l4 + at)
    }

    /// Writes octets at an even place, and what the checksums that cover them become.
    fn store(&mut self, at: usize, new: &[u8], sums: &[usize]) {
        let was = self.octets[at..at + new.len()].to_vec();
        for sum_at in sums {
            let sum = u16::from_be_bytes(array(&self.octets, *sum_at));
            let is_udp = self.protocol == UDP && Some(*sum_at) == self.l4_sum_at();
            // RFC 768: 0 is "no checksum", which stays, and a sum of 0 is written as all ones.
            if is_udp && sum == 0 && self.is_v4() {
                continue;
            }
            let sum = match checksum::after(sum, &was, new) {
                0 if is_udp => 0xffff,
                sum => sum,
            };
            self.octets[*sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        self.octets[at..at + new.len()].copy_from_slice(new);
    }

    /// The packet that an ICMP error is about.
    pub(super) fn quoted(&self) -> Option<Self> {
        let inner = self.is_icmp_error().then(|| self.octets.get(self.l4 + 8..))??;
        Self::read_cut(inner)
    }

    /// Puts another beginning of a packet in the place of the quoted one.
    pub(super) fn quote(&mut self, quoted: &Self) {
        self.octets.truncate(self.l4 + 8);
        self.octets.extend(quoted.octets());
        self.sum_icmp();
    }

    fn sum_icmp(&mut self) {
        self.octets[self.l4 + 2..self.l4 + 4].fill(0);
        let body = &self.octets[self.l4..];
        let sum = if self.is_v4() {
            checksum::of(body)
        } else {
            checksum::with_pseudo_header(self.source(), self.destination(), ICMP_V6, body)
        };
        self.octets[self.l4 + 2..self.l4 + 4].copy_from_slice(&sum.to_be_bytes());
    }

    /// Lowers the segment size that a TCP SYN offers (RFC 9293 §3.7.1) to `most`.
    pub(super) fn clamp_segments(&mut self, most: usize) {
        let syn = 0x02;
        if self.protocol != TCP || self.fragment == Fragment::Later {
            return;
        }
        let (header, flags) = (self.octets[self.l4 + 12] >> 4, self.octets[self.l4 + 13]);
        let end = (self.l4 + usize::from(header) * 4).min(self.octets.len());
        let mut at = self.l4 + 20;
        while flags & syn != 0 && at < end {
            match (self.octets[at], self.octets.get(at + 1)) {
                (0, _) | (2.., Some(0 | 1) | None) => return,
                (1, _) => at += 1,
                (2, Some(4)) if at + 4 <= end => return self.clamp_option(at + 2, most),
                (_, length) => at += usize::from(*length.unwrap_or(&2)),
            }
        }
    }

    fn clamp_option(&mut self, at: usize, most: usize) {
        let offered = usize::from(u16::from_be_bytes(array(&self.octets, at)));
        let Ok(most) = u16::try_from(most) else { return };
        if offered <= usize::from(most) {
            return;
        }
        let sums: Vec<usize> = self.l4_sum_at().into_iter().collect();
        // An option may begin at an odd octet; checksums are sums of words at even ones.
        let even = at & !1;
        let mut words = self.octets[even..(at + 3) & !1].to_vec();
        words[at - even..at - even + 2].copy_from_slice(&most.to_be_bytes());
        self.store(even, &words, &sums);
    }

    /// A new packet with this body; the checksum of ICMP is filled in, nothing else is touched.
    pub(super) fn new(
        (source, destination): (IpAddr, IpAddr),
        protocol: u8,
        (traffic_class, ttl): (u8, u8),
        body: &[u8],
    ) -> Self {
        let mut octets = Vec::new();
        let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                octets.extend([0x45, traffic_class]);
                octets.extend(length.saturating_add(20).to_be_bytes());
                octets.extend([0, 0, 0, 0, ttl, protocol, 0, 0]);
                octets.extend(source.octets());
                octets.extend(destination.octets());
                let sum = checksum::of(&octets);
                octets[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (source, destination) => {
                octets.extend([0x60 | traffic_class >> 4, traffic_class << 4, 0, 0]);
                octets.extend(length.to_be_bytes());
                octets.extend([protocol, ttl]);
                octets.extend(to_v6(source).octets());
                octets.extend(to_v6(destination).octets());
            }
        }
        let l4 = octets.len();
        octets.extend(body);
        let mut packet = Self { octets, l4, protocol, fragment: Fragment::Whole };
        if packet.icmp().is_some() {
            packet.sum_icmp();
        }
        packet
    }
}

impl Fragment {
    const fn at(offset: u16, more: bool) -> Self {
        match (offset, more) {
            (0, false) => Self::Whole,
            (0, true) => Self::First,
            _ => Self::Later,
        }
    }
}

fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The tuple of the answers.
pub(super) const fn reversed(tuple: &Tuple) -> Tuple {
    Tuple {
        source: tuple.destination,
        destination: tuple.source,
        protocol: tuple.protocol,
        source_port: tuple.destination_port,
        destination_port: tuple.source_port,
    }
}

pub(super) fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

/// `N` octets that are known to be there.
pub(super) fn array<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&octets[at..at + N]);
    array
}
