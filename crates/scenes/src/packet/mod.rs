//! Packets as values, as text and as octets.
//!
//! One value serves for three things. Written to octets it is a packet that is sent: what is `None`
//! gets a usual value. Read from octets it is a packet that was seen: everything is known. Compared
//! with a seen one it is what is expected: what is `None` is not looked at.
//!
//! ```text
//! text  "10.0.1.2:4000 > 10.0.2.2:80 tcp S ttl 63"  <->  Frame | Ip  <->  octets, checksums included
//! ```

mod compare;
mod octets;
mod print;
mod seen;
mod text;

use std::net::IpAddr;

use dataplane::Mac;

pub use compare::Bindings;
pub use seen::Unreadable;
pub use text::TextError;

/// An Ethernet frame of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub macs: Option<Macs>,
    /// The tag of IEEE 802.1Q, with its priority.
    pub vlan: Option<u16>,
    pub body: Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Macs {
    pub from: Mac,
    pub to: Mac,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Ip(Ip),
    Arp(Arp),
    /// Of another protocol, or broken: what follows the type.
    Other {
        kind: u16,
        octets: Vec<u8>,
    },
}

/// RFC 826, of Ethernet and IPv4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arp {
    WhoHas { target: IpAddr, tell: IpAddr },
    IsAt { target: IpAddr, mac: Mac },
}

/// An IP packet of either version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: Option<u8>,
    pub traffic_class: Option<u8>,
    pub id: Option<u16>,
    /// "Don't fragment" of IPv4.
    pub df: Option<bool>,
    /// Where it stands in the whole, in units of eight octets, and whether more follows.
    pub offset: u16,
    pub more: bool,
    /// Options of IPv4; of IPv6, which extension headers come first.
    pub extras: Vec<u8>,
    pub payload: Payload,
    /// So many octets only, when it is sent.
    pub cut: Option<usize>,
    /// So many octets behind it, when it is sent: padding of a short frame.
    pub pad: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    Tcp(Tcp),
    Udp {
        source: Port,
        destination: Port,
        sum: Sum,
        content: Content,
    },
    /// Of the version of the packet.
    Icmp(Icmp),
    Gre {
        kind: u16,
        content: Content,
    },
    /// Later fragments, and protocols without ports.
    Other {
        protocol: u8,
        length: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    pub source: Port,
    pub destination: Port,
    /// Unknown when an ICMP error quotes less of it.
    pub flags: Option<u8>,
    pub mss: Option<u16>,
    /// So many options without effect before it, when it is sent.
    pub nops: usize,
    pub sum: Sum,
    pub length: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    pub sum: Sum,
    pub body: IcmpBody,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IcmpBody {
    Echo {
        id: Port,
        sequence: Option<u16>,
        length: usize,
    },
    Error {
        mtu: Option<u32>,
        quoted: Box<Ip>,
    },
    /// Solicitation or advertisement of a neighbour, with its link-layer address.
    Neighbour {
        target: IpAddr,
        mac: Option<Mac>,
        /// Whether who advertises itself says that it routes.
        routes: Option<bool>,
    },
    Other {
        length: usize,
    },
}

/// What a UDP or GRE header is followed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Data {
        length: usize,
    },
    Mpls {
        stack: Vec<Label>,
        inner: Box<Ip>,
    },
    Vxlan {
        vni: u32,
        macs: Option<Macs>,
        inner: Box<Ip>,
    },
    /// A packet without anything between.
    Ip(Box<Ip>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    pub value: u32,
    pub ttl: Option<u8>,
}

/// A port, or the identifier of an echo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    Is(u16),
    Any,
    /// What was seen gets a name (`$p`), which later packets may use.
    Named(String),
}

/// A checksum of a transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    Right,
    /// UDP without one.
    Missing,
    Wrong,
    /// Cannot be told of the beginning of a packet.
    Unknown,
}

pub(crate) mod number {
    //! Assigned numbers.

    pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
    pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
    pub(crate) const ETHERTYPE_VLAN: u16 = 0x8100;
    pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
    pub(crate) const ETHERTYPE_MPLS: u16 = 0x8847;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const GRE: u8 = 47;
    pub(crate) const ICMP_V6: u8 = 58;
    pub(crate) const MPLS_OVER_UDP: u16 = 6635;
    pub(crate) const VXLAN: u16 = 4789;
}

/// How much a packet carries unless it says.
pub const USUAL_LENGTH: usize = 8;
const USUAL_TTL: u8 = 64;

impl Ip {
    pub const fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// Whether a transport header is expected.
    pub const fn is_fragment(&self) -> bool {
        self.offset != 0 || self.more
    }

    /// The packet inside a tunnel.
    pub fn inner(&self) -> Option<&Self> {
        match &self.payload {
            Payload::Udp { content, .. } | Payload::Gre { content, .. } => match content {
                Content::Data { .. } => None,
                Content::Mpls { inner, .. } | Content::Vxlan { inner, .. } | Content::Ip(inner) => {
                    Some(inner)
                }
            },
            _ => None,
        }
    }
}

impl IcmpBody {
    /// By the number of the type, what follows the header.
    const fn is_error(is_v4: bool, kind: u8) -> bool {
        if is_v4 { matches!(kind, 3 | 4 | 5 | 11 | 12) } else { kind < 128 }
    }

    const fn is_echo(is_v4: bool, kind: u8) -> bool {
        if is_v4 { matches!(kind, 0 | 8) } else { matches!(kind, 128 | 129) }
    }

    const fn is_neighbour(is_v4: bool, kind: u8) -> bool {
        !is_v4 && matches!(kind, 135 | 136)
    }
}

/// Data that shows what is missing or has moved.
fn data(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap_or_default() ^ 0x5a).collect()
}
