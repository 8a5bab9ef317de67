//! The readable form of packets, written: what is read back as the same packet.

use std::fmt::{self, Display, Formatter, Write as _};
use std::net::IpAddr;

use super::number::{ETHERTYPE_IPV4, ETHERTYPE_MPLS};
use super::text::FLAGS;
use super::{
    Arp, Body, Content, Frame, Icmp, IcmpBody, Ip, Label, Macs, Payload, Port, Sum, Tcp,
    USUAL_LENGTH,
};

impl Display for Frame {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(macs) = &self.macs {
            write!(f, "eth {macs} ")?;
        }
        if let Some(tag) = self.vlan {
            write!(f, "vlan {tag} ")?;
        }
        match &self.body {
            Body::Ip(ip) => ip.fmt(f),
            Body::Arp(Arp::WhoHas { target, tell }) => {
                write!(f, "arp who-has {target} tell {tell}")
            }
            Body::Arp(Arp::IsAt { target, mac }) => write!(f, "arp {target} is-at {mac}"),
            Body::Other { kind, octets } => {
                write!(f, "hex {kind:04x} ")?;
                octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }
    }
}

impl Display for Macs {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", self.from, self.to)
    }
}

impl Display for Ip {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ports = match &self.payload {
            Payload::Tcp(Tcp { source, destination, .. })
            | Payload::Udp { source, destination, .. } => (source, destination),
            _ => (&Port::Any, &Port::Any),
        };
        write!(f, "{} > {}", End(self.source, ports.0), End(self.destination, ports.1))?;
        self.payload.fmt(f)?;
        option(f, "ttl", self.ttl)?;
        if let Some(class) = self.traffic_class {
            write!(f, " tos {class:#04x}")?;
        }
        option(f, "ipid", self.id)?;
        if self.df == Some(true) {
            f.write_str(" df")?;
        }
        if self.more {
            f.write_str(" mf")?;
        }
        option(f, "frag", Some(self.offset).filter(|offset| *offset != 0))?;
        self.print_extras(f)?;
        option(f, "cut", self.cut)?;
        option(f, "pad", Some(self.pad).filter(|pad| *pad != 0))?;
        match self.quoted_or_inner() {
            Some(inner) => write!(f, " {{ {inner} }}"),
            None => Ok(()),
        }
    }
}

impl Ip {
    fn print_extras(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.extras.is_empty() {
            return Ok(());
        }
        if self.is_v4() {
            f.write_str(" opts ")?;
            return self.extras.iter().try_for_each(|octet| write!(f, "{octet:02x}"));
        }
        let kinds: Vec<String> = self.extras.iter().map(ToString::to_string).collect();
        write!(f, " ext {}", kinds.join(","))
    }

    fn quoted_or_inner(&self) -> Option<&Self> {
        match &self.payload {
            Payload::Icmp(Icmp { body: IcmpBody::Error { quoted, .. }, .. }) => Some(quoted),
            _ => self.inner(),
        }
    }
}

struct End<'a>(IpAddr, &'a Port);

impl Display for End<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.1, self.0) {
            (Port::Any, address) => address.fmt(f),
            (port, IpAddr::V4(address)) => write!(f, "{address}:{port}"),
            (port, IpAddr::V6(address)) => write!(f, "[{address}]:{port}"),
        }
    }
}

impl Display for Port {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(number) => number.fmt(f),
            Self::Any => f.write_char('*'),
            Self::Named(name) => write!(f, "${name}"),
        }
    }
}

/// All but what is in braces, which comes last.
impl Display for Payload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(Tcp { flags, mss, nops, sum, length, .. }) => {
                let letters = |flags: u8| {
                    let set =
                        FLAGS.iter().enumerate().filter(move |(bit, _)| flags >> bit & 1 == 1);
                    set.map(|(_, letter)| letter).collect::<String>()
                };
                // Of a quoted one there may be nothing to show.
                write!(f, " tcp {}", flags.map_or_else(|| "A".to_owned(), letters))?;
                option(f, "nops", Some(*nops).filter(|nops| *nops != 0))?;
                option(f, "mss", *mss)?;
                carries(f, *length)?;
                sum.fmt(f)
            }
            Self::Udp { sum, content, .. } => {
                f.write_str(" udp")?;
                content.fmt(f)?;
                // Tunnels have none.
                let is_tunnel = !matches!(content, Content::Data { .. });
                if is_tunnel && *sum == Sum::Missing { Ok(()) } else { sum.fmt(f) }
            }
            Self::Icmp(icmp) => icmp.fmt(f),
            Self::Gre { kind, content } => {
                f.write_str(" gre")?;
                let usual = match content {
                    Content::Mpls { .. } => ETHERTYPE_MPLS,
                    _ => ETHERTYPE_IPV4,
                };
                if *kind != usual {
                    write!(f, " type {kind:#06x}")?;
                }
                content.fmt(f)
            }
            Self::Other { protocol, length } => {
                write!(f, " proto {protocol}")?;
                carries(f, *length)
            }
        }
    }
}

impl Display for Icmp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.body {
            IcmpBody::Echo { id, sequence, length } => {
                f.write_str(if matches!(self.kind, 8 | 128) { " echo" } else { " reply" })?;
                if *id != Port::Any {
                    write!(f, " id {id}")?;
                }
                option(f, "seq", *sequence)?;
                carries(f, *length)?;
            }
            IcmpBody::Error { mtu, .. } => {
                write!(f, " icmp {}/{}", self.kind, self.code)?;
                option(f, "mtu", mtu.filter(|mtu| *mtu != 0))?;
            }
            IcmpBody::Neighbour { target, mac: None, .. } => write!(f, " ns {target}")?,
            IcmpBody::Neighbour { target, mac: Some(mac), routes } => {
                let routes = if *routes == Some(true) { " router" } else { "" };
                write!(f, " na {target} {mac}{routes}")?;
            }
            IcmpBody::Other { length } => {
                write!(f, " icmp {}/{}", self.kind, self.code)?;
                carries(f, *length)?;
            }
        }
        self.sum.fmt(f)
    }
}

impl Display for Content {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data { length } => carries(f, *length),
            Self::Mpls { stack, .. } => stack.iter().try_for_each(|label| write!(f, " {label}")),
            Self::Vxlan { vni, macs, .. } => {
                write!(f, " vxlan {vni}")?;
                macs.map_or(Ok(()), |macs| write!(f, " eth {macs}"))
            }
            Self::Ip(_) => Ok(()),
        }
    }
}

impl Display for Label {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "mpls {}", self.value)?;
        self.ttl.map_or(Ok(()), |ttl| write!(f, "/{ttl}"))
    }
}

impl Display for Sum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Right | Self::Unknown => "",
            Self::Missing => " nosum",
            Self::Wrong => " badsum",
        })
    }
}

fn carries(f: &mut Formatter<'_>, length: usize) -> fmt::Result {
    option(f, "len", Some(length).filter(|length| *length != USUAL_LENGTH))
}

fn option(f: &mut Formatter<'_>, name: &str, value: Option<impl Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name} {value}"))
}
