//! Packets written to octets. All lengths and checksums are filled in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::Mac;

use super::number::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, FRAGMENT, GRE, ICMP, ICMP_V6,
    MPLS_OVER_UDP, TCP, UDP, VXLAN,
};
use super::{
    Arp, Body, Content, Frame, Icmp, IcmpBody, Ip, Label, Macs, Payload, Port, Sum, Tcp, USUAL_TTL,
    data,
};

/// The port of who does not say which.
const SOME_PORT: u16 = 49_999;

impl Frame {
    /// With these addresses, unless it has its own.
    pub fn octets(&self, usual: Macs) -> Vec<u8> {
        let macs = self.macs.unwrap_or(usual);
        let (kind, body) = match &self.body {
            Body::Ip(ip) => (ip.ethertype(), ip.octets()),
            Body::Arp(arp) => (ETHERTYPE_ARP, arp.octets(macs)),
            Body::Other { kind, octets } => (*kind, octets.clone()),
        };
        match self.vlan {
            Some(tag) => {
                let tagged = [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &body].concat();
                ethernet(macs, ETHERTYPE_VLAN, &tagged)
            }
            None => ethernet(macs, kind, &body),
        }
    }
}

fn ethernet(macs: Macs, kind: u16, body: &[u8]) -> Vec<u8> {
    [&macs.to.0[..], &macs.from.0, &kind.to_be_bytes(), body].concat()
}

impl Arp {
    fn octets(&self, macs: Macs) -> Vec<u8> {
        let nobody = Mac::default();
        let (operation, (from, says), (to, hears)) = match self {
            Self::WhoHas { target, tell } => (1, (macs.from, tell), (nobody, target)),
            Self::IsAt { target, mac } => (2, (*mac, target), (macs.to, target)),
        };
        let header = [0, 1, 8, 0, 6, 4, 0, operation];
        let (says, hears) = (v4(*says).octets(), v4(*hears).octets());
        [&header[..], &from.0, &says, &to.0, &hears].concat()
    }
}

impl Ip {
    pub(super) const fn ethertype(&self) -> u16 {
        if self.is_v4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 }
    }

    pub fn octets(&self) -> Vec<u8> {
        let body = self.payload.octets(self);
        let mut octets =
            if self.is_v4() { self.v4_header(body.len()) } else { self.v6_header(&body) };
        octets.extend(body);
        octets.truncate(self.cut.unwrap_or(usize::MAX));
        octets.extend(vec![0; self.pad]);
        octets
    }

    fn v4_header(&self, body: usize) -> Vec<u8> {
        let flags = u16::from(self.df == Some(true)) << 14 | u16::from(self.more) << 13;
        let words = u8::try_from(5 + self.extras.len() / 4).unwrap_or(15);
        let mut header = vec![0x40 | words, self.traffic_class.unwrap_or_default()];
        header
            .extend(u16::try_from(20 + self.extras.len() + body).unwrap_or(u16::MAX).to_be_bytes());
        header.extend(self.id.unwrap_or(0x1234).to_be_bytes());
        header.extend((flags | self.offset).to_be_bytes());
        header.extend([self.ttl.unwrap_or(USUAL_TTL), self.payload.protocol(true), 0, 0]);
        header.extend(v4(self.source).octets());
        header.extend(v4(self.destination).octets());
        header.extend(&self.extras);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    /// With a fragment header (RFC 8200 §4.5) where it is one, behind the others.
    fn v6_header(&self, body: &[u8]) -> Vec<u8> {
        let class = self.traffic_class.unwrap_or_default();
        let protocol = self.payload.protocol(false);
        let fragment = self.is_fragment().then_some(FRAGMENT);
        let kinds: Vec<u8> = self.extras.iter().copied().chain(fragment).collect();
        let next_of = |at: usize| kinds.get(at).copied().unwrap_or(protocol);
        let extension = kinds.len() * 8;
        let mut header = vec![0x60 | class >> 4, class << 4, 0, 0];
        header.extend(u16::try_from(extension + body.len()).unwrap_or(u16::MAX).to_be_bytes());
        header.extend([next_of(0), self.ttl.unwrap_or(USUAL_TTL)]);
        header.extend(v6(self.source).octets());
        header.extend(v6(self.destination).octets());
        for at in 0..self.extras.len() {
            // One option of four octets of padding.
            header.extend([next_of(at + 1), 0, 1, 4, 0, 0, 0, 0]);
        }
        if self.is_fragment() {
            let place = self.offset << 3 | u16::from(self.more);
            header.extend([protocol, 0]);
            header.extend(place.to_be_bytes());
            header.extend(u32::from(self.id.unwrap_or(0x1234)).to_be_bytes());
        }
        header
    }
}

impl Payload {
    pub(super) const fn protocol(&self, is_v4: bool) -> u8 {
        match self {
            Self::Tcp(_) => TCP,
            Self::Udp { .. } => UDP,
            Self::Icmp(_) => {
                if is_v4 {
                    ICMP
                } else {
                    ICMP_V6
                }
            }
            Self::Gre { .. } => GRE,
            Self::Other { protocol, .. } => *protocol,
        }
    }

    fn octets(&self, ip: &Ip) -> Vec<u8> {
        let (mut octets, sum_at, sum) = match self {
            Self::Tcp(tcp) => (tcp.octets(), 16, tcp.sum),
            Self::Udp { source, destination, sum, content } => {
                let is_tunnel = !matches!(content, Content::Data { .. });
                let sum = if is_tunnel { Sum::Missing } else { *sum };
                (udp(source, destination, content), 6, sum)
            }
            Self::Icmp(icmp) => (icmp.octets(ip.is_v4()), 2, icmp.sum),
            Self::Gre { kind, content } => {
                let header = u32::from(*kind).to_be_bytes();
                return [&header[..], &content.octets()].concat();
            }
            Self::Other { length, .. } => return data(*length),
        };
        let whole = message_checksum(ip, self.protocol(ip.is_v4()), &octets);
        let sum = match sum {
            Sum::Right | Sum::Unknown => whole,
            Sum::Missing => 0,
            Sum::Wrong => whole ^ 0x5555,
        };
        octets[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
        octets
    }
}

impl Tcp {
    fn octets(&self) -> Vec<u8> {
        let flags = self.flags.unwrap_or_default();
        let acknowledges: u32 = if flags & 0x10 != 0 { 1000 } else { 0 };
        let options = self.mss.map(|mss| [&[2, 4][..], &mss.to_be_bytes()].concat());
        let mut options = [vec![1; self.nops], options.unwrap_or_default()].concat();
        options.resize(options.len().next_multiple_of(4), 1);
        let words = u8::try_from((20 + options.len()) / 4).unwrap_or_default();
        let mut octets = self.source.octets().to_vec();
        octets.extend(self.destination.octets());
        octets.extend(100_u32.to_be_bytes());
        octets.extend(acknowledges.to_be_bytes());
        octets.extend([words << 4, flags, 0x10, 0, 0, 0, 0, 0]);
        octets.extend(options);
        octets.extend(data(self.length));
        octets
    }
}

fn udp(source: &Port, destination: &Port, content: &Content) -> Vec<u8> {
    let usual = match content {
        Content::Mpls { .. } => MPLS_OVER_UDP,
        Content::Vxlan { .. } => VXLAN,
        _ => SOME_PORT,
    };
    let to = if *destination == Port::Any { Port::Is(usual) } else { destination.clone() };
    let content = content.octets();
    let length = u16::try_from(8 + content.len()).unwrap_or(u16::MAX);
    [&source.octets()[..], &to.octets(), &length.to_be_bytes(), &[0, 0], &content].concat()
}

impl Icmp {
    fn octets(&self, is_v4: bool) -> Vec<u8> {
        let mut octets = vec![self.kind, self.code, 0, 0];
        match &self.body {
            IcmpBody::Echo { id, sequence, length } => {
                octets.extend(id.octets());
                octets.extend(sequence.unwrap_or(1).to_be_bytes());
                octets.extend(data(*length));
            }
            IcmpBody::Error { mtu, quoted } => {
                octets.extend(mtu.unwrap_or_default().to_be_bytes());
                let quoted = quoted.octets();
                // RFC 792: the header and 64 bits, at least; RFC 4443: as much as fits.
                let longest = if is_v4 { 548 } else { 1232 };
                octets.extend(&quoted[..quoted.len().min(longest)]);
            }
            IcmpBody::Neighbour { target, mac, routes } => {
                let routes = if *routes == Some(true) { 0x80 } else { 0 };
                octets.extend([if mac.is_some() { 0x60 | routes } else { 0 }, 0, 0, 0]);
                octets.extend(v6(*target).octets());
                if let Some(mac) = mac {
                    octets.extend([2, 1]);
                    octets.extend(mac.0);
                }
            }
            IcmpBody::Other { length } => {
                octets.extend([0; 4]);
                octets.extend(data(*length));
            }
        }
        octets
    }
}

impl Content {
    fn octets(&self) -> Vec<u8> {
        match self {
            Self::Data { length } => data(*length),
            Self::Mpls { stack, inner } => {
                let last = stack.len().saturating_sub(1);
                let entries = stack.iter().enumerate().map(|(at, label)| label.entry(at == last));
                [entries.collect::<Vec<_>>().concat(), inner.octets()].concat()
            }
            Self::Vxlan { vni, macs, inner } => {
                let header = [0x0800_0000, vni << 8].map(u32::to_be_bytes).concat();
                let nobody = Macs { from: Mac([2, 0, 0, 0, 0, 0xfe]), to: Mac::default() };
                let frame = ethernet(macs.unwrap_or(nobody), inner.ethertype(), &inner.octets());
                [header, frame].concat()
            }
            Self::Ip(inner) => inner.octets(),
        }
    }
}

impl Label {
    /// RFC 3032 §2.1.
    fn entry(self, is_last: bool) -> [u8; 4] {
        let ttl = u32::from(self.ttl.unwrap_or(USUAL_TTL));
        (self.value << 12 | u32::from(is_last) << 8 | ttl).to_be_bytes()
    }
}

impl Port {
    const fn octets(&self) -> [u8; 2] {
        match self {
            Self::Is(number) => number.to_be_bytes(),
            Self::Any | Self::Named(_) => SOME_PORT.to_be_bytes(),
        }
    }
}

pub(super) fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

pub(super) fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// RFC 1071. Octets that have their checksum in them give 0.
pub(super) fn checksum(octets: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in octets.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// The checksum of what a packet carries, whose own field is 0; as written, so never 0 for UDP.
pub(super) fn message_checksum(ip: &Ip, protocol: u8, message: &[u8]) -> u16 {
    if protocol == ICMP {
        return checksum(message);
    }
    let length = u32::try_from(message.len()).unwrap_or_default();
    let mut covered = match (ip.source, ip.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
        (from, to) => [v6(from).octets(), v6(to).octets()].concat(),
    };
    covered.extend(length.to_be_bytes());
    covered.extend(u32::from(protocol).to_be_bytes());
    covered.extend(message);
    match checksum(&covered) {
        0 if protocol == UDP => 0xffff,
        sum => sum,
    }
}
