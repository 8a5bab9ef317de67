//! The readable form of packets, read.
//!
//! ```text
//! [eth MAC > MAC] [vlan 100] 10.0.1.2:4000 > 10.0.2.2:80 tcp SA [[nops 1] mss 1400] [len 100]
//!                 [2001:db8::1]:53 > [2001:db8::2]:4000 udp [nosum]
//!                 10.0.1.2 > 10.0.2.2 echo|reply [id 7] [seq 1]
//!                 10.0.1.1 > 10.0.1.2 icmp 3/4 mtu 1472 { what it is about }
//!                 fe80::1 > ff02::1:ff00:2 ns 2001:db8::2 | na 2001:db8::2 MAC [router]
//!                 192.0.2.1 > 192.0.2.2 gre mpls 200[/TTL] { .. }
//!                 192.0.2.1 > 192.0.2.2:6635 udp mpls 200 { .. }
//!                 192.0.2.1 > 192.0.2.2:4789 udp vxlan 5000 [eth MAC > MAC] { .. }
//!                 10.0.1.2 > 10.0.2.2 proto 132
//! any of them:    ttl 64  tos 0xb8  ipid 7  df  mf  frag 185  badsum  cut 30  pad 6
//!                 opts 01010101 (of IPv4)  ext 0,60 (headers of IPv6)
//! [eth ..]        arp who-has 10.0.1.1 tell 10.0.1.2 | arp 10.0.1.1 is-at MAC
//!                 type 0x88cc [len 46] | hex 0800 4500..
//! ```

use std::net::IpAddr;
use std::str::FromStr;

use dataplane::Mac;

use super::number::ETHERTYPE_MPLS;
use super::{
    Arp, Body, Content, Frame, Icmp, IcmpBody, Ip, Label, Macs, Payload, Port, Sum, Tcp,
    USUAL_LENGTH, data,
};
use crate::words::{Read, Words, parsed};

/// Flags of TCP by their letters, from the lowest bit.
pub(super) const FLAGS: [char; 8] = ['F', 'S', 'R', 'P', 'A', 'U', 'E', 'C'];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a packet: {why}")]
pub struct TextError {
    text: String,
    why: String,
}

impl FromStr for Frame {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        whole(text, frame)
    }
}

impl FromStr for Ip {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        whole(text, ip)
    }
}

/// What may stand behind a packet in any order.
#[derive(Default)]
struct Options {
    ttl: Option<u8>,
    traffic_class: Option<u8>,
    id: Option<u16>,
    df: Option<bool>,
    more: bool,
    offset: u16,
    cut: Option<usize>,
    pad: usize,
    extras: Vec<u8>,
    nops: usize,
    wrong_sum: bool,
    no_sum: bool,
    mss: Option<u16>,
    length: Option<usize>,
    echo_id: Option<Port>,
    sequence: Option<u16>,
    mtu: Option<u32>,
    kind: Option<u16>,
    stack: Vec<Label>,
    vni: Option<u32>,
    macs: Option<Macs>,
    inner: Option<Box<Ip>>,
}

fn whole<T>(text: &str, read: impl FnOnce(&mut Words<'_>) -> Read<T>) -> Result<T, TextError> {
    Words::whole(text, read).map_err(|why| TextError { text: text.to_owned(), why })
}

fn frame(words: &mut Words<'_>) -> Read<Frame> {
    let macs = words.has("eth").then(|| words.macs()).transpose()?;
    let vlan = words.has("vlan").then(|| words.number()).transpose()?;
    let body = if words.has("arp") {
        Body::Arp(words.arp()?)
    } else if words.has("type") {
        let kind = words.number()?;
        let length = if words.has("len") { words.value()? } else { 46 };
        Body::Other { kind, octets: data(length) }
    } else if words.has("hex") {
        let kind = u16::from_str_radix(words.next()?, 16).map_err(|error| error.to_string())?;
        let digits = words.rest().concat();
        Body::Other { kind, octets: octets(&digits)? }
    } else {
        Body::Ip(ip(words)?)
    };
    Ok(Frame { macs, vlan, body })
}

fn ip(words: &mut Words<'_>) -> Read<Ip> {
    let (source, from) = end(words.next()?)?;
    words.expect(">")?;
    let (destination, to) = end(words.next()?)?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err("its ends are of two versions".to_owned());
    }
    let protocol = words.next()?;
    let is_v4 = source.is_ipv4();
    let (payload, options) = words.payload(protocol, is_v4, from, to)?;
    let Options { ttl, traffic_class, id, df, offset, more, extras, cut, pad, .. } = options;
    Ok(Ip {
        source,
        destination,
        ttl,
        traffic_class,
        id,
        df,
        offset,
        more,
        extras,
        payload,
        cut,
        pad,
    })
}

impl Words<'_> {
    fn macs(&mut self) -> Read<Macs> {
        let from: Mac = self.value()?;
        self.expect(">")?;
        Ok(Macs { from, to: self.value()? })
    }

    fn arp(&mut self) -> Read<Arp> {
        if self.has("who-has") {
            let target = self.value()?;
            self.expect("tell")?;
            return Ok(Arp::WhoHas { target, tell: self.value()? });
        }
        let target = self.value()?;
        self.expect("is-at")?;
        Ok(Arp::IsAt { target, mac: self.value()? })
    }

    fn payload(
        &mut self,
        protocol: &str,
        is_v4: bool,
        source: Option<Port>,
        destination: Option<Port>,
    ) -> Read<(Payload, Options)> {
        let has_ports = source.is_some() || destination.is_some();
        let (source, destination) = (source.unwrap_or(Port::Any), destination.unwrap_or(Port::Any));
        let icmp = |kind, code, sum, body| Payload::Icmp(Icmp { kind, code, sum, body });
        let (payload, options) = match protocol {
            "tcp" => {
                let flags = flags(self.next()?)?;
                let options = self.options()?;
                let (mss, sum, length) = (options.mss, options.sum(), options.length());
                let flags = Some(flags);
                let nops = options.nops;
                let tcp = Tcp { source, destination, flags, mss, nops, sum, length };
                (Payload::Tcp(tcp), options)
            }
            "udp" => {
                let mut options = self.options()?;
                let sum = options.sum();
                let content = options.content();
                (Payload::Udp { source, destination, sum, content }, options)
            }
            "gre" => {
                let mut options = self.options()?;
                let content = options.content();
                let mpls = matches!(content, Content::Mpls { .. });
                let usual = if mpls { ETHERTYPE_MPLS } else { super::number::ETHERTYPE_IPV4 };
                (Payload::Gre { kind: options.kind.unwrap_or(usual), content }, options)
            }
            "echo" | "reply" => {
                let options = self.options()?;
                let kind = match (protocol, is_v4) {
                    ("echo", true) => 8,
                    (_, true) => 0,
                    ("echo", false) => 128,
                    (_, false) => 129,
                };
                let id = options.echo_id.clone().unwrap_or(Port::Any);
                let (sequence, length) = (options.sequence, options.length());
                let body = IcmpBody::Echo { id, sequence, length };
                (icmp(kind, 0, options.sum(), body), options)
            }
            "icmp" => {
                let (kind, code) = pair(self.next()?)?;
                let mut options = self.options()?;
                let body = match options.inner.take() {
                    Some(quoted) => IcmpBody::Error { mtu: options.mtu, quoted },
                    None => IcmpBody::Other { length: options.length() },
                };
                (icmp(kind, code, options.sum(), body), options)
            }
            "ns" | "na" => {
                let target = self.value()?;
                let (kind, mac) = match protocol {
                    "ns" => (135, None),
                    _ => (136, Some(self.value()?)),
                };
                let routes = self.has("router").then_some(true);
                let options = self.options()?;
                let body = IcmpBody::Neighbour { target, mac, routes };
                (icmp(kind, 0, options.sum(), body), options)
            }
            "proto" => {
                let protocol = self.number()?;
                let options = self.options()?;
                (Payload::Other { protocol, length: options.length() }, options)
            }
            other => return Err(format!("`{other}` is no protocol")),
        };
        match payload {
            Payload::Tcp(_) | Payload::Udp { .. } => Ok((payload, options)),
            _ if has_ports => Err(format!("{protocol} has no ports")),
            _ => Ok((payload, options)),
        }
    }

    fn options(&mut self) -> Read<Options> {
        let mut options = Options::default();
        while let Some(word) = self.next_unless("}") {
            match word {
                "ttl" => options.ttl = Some(self.number()?),
                "tos" => options.traffic_class = Some(self.number()?),
                "ipid" => options.id = Some(self.number()?),
                "df" => options.df = Some(true),
                "mf" => options.more = true,
                "frag" => options.offset = self.number()?,
                "cut" => options.cut = Some(self.value()?),
                "pad" => options.pad = self.value()?,
                "opts" => options.extras = octets(self.next()?)?,
                "ext" => {
                    options.extras = self.next()?.split(',').map(parsed).collect::<Read<_>>()?;
                }
                "nops" => options.nops = self.value()?,
                "badsum" => options.wrong_sum = true,
                "nosum" => options.no_sum = true,
                "mss" => options.mss = Some(self.number()?),
                "len" => options.length = Some(self.value()?),
                "id" => options.echo_id = Some(port(self.next()?)?),
                "seq" => options.sequence = Some(self.number()?),
                "mtu" => options.mtu = Some(self.number()?),
                "type" => options.kind = Some(self.number()?),
                "mpls" => options.stack.push(label(self.next()?)?),
                "vxlan" => options.vni = Some(self.number()?),
                "eth" => options.macs = Some(self.macs()?),
                "{" => {
                    options.inner = Some(Box::new(ip(self)?));
                    self.expect("}")?;
                }
                other => return Err(format!("`{other}` says nothing about a packet")),
            }
        }
        Ok(options)
    }
}

impl Options {
    fn sum(&self) -> Sum {
        match (self.wrong_sum, self.no_sum) {
            (true, _) => Sum::Wrong,
            (_, true) => Sum::Missing,
            _ => Sum::Right,
        }
    }

    fn length(&self) -> usize {
        self.length.unwrap_or(USUAL_LENGTH)
    }

    fn content(&mut self) -> Content {
        match (self.inner.take(), self.vni) {
            (None, _) => Content::Data { length: self.length() },
            (Some(inner), Some(vni)) => Content::Vxlan { vni, macs: self.macs, inner },
            (Some(inner), None) if self.stack.is_empty() => Content::Ip(inner),
            (Some(inner), None) => Content::Mpls { stack: std::mem::take(&mut self.stack), inner },
        }
    }
}

/// An address, with or without a port: `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn end(word: &str) -> Read<(IpAddr, Option<Port>)> {
    if let Some((address, number)) = word.strip_prefix('[').and_then(|word| word.split_once("]:")) {
        return Ok((parsed(address)?, Some(port(number)?)));
    }
    if let Ok(address) = word.parse() {
        return Ok((address, None));
    }
    let (address, number) = word.rsplit_once(':').ok_or(format!("`{word}` is no address"))?;
    let address: std::net::Ipv4Addr = parsed(address)?;
    Ok((address.into(), Some(port(number)?)))
}

fn port(word: &str) -> Read<Port> {
    match word.strip_prefix('$') {
        Some(name) => Ok(Port::Named(name.to_owned())),
        None if word == "*" => Ok(Port::Any),
        None => parsed(word).map(Port::Is),
    }
}

fn pair(word: &str) -> Read<(u8, u8)> {
    let (kind, code) = word.split_once('/').unwrap_or((word, "0"));
    Ok((parsed(kind)?, parsed(code)?))
}

fn label(word: &str) -> Read<Label> {
    let (value, ttl) = word.split_once('/').map_or((word, None), |(value, ttl)| (value, Some(ttl)));
    Ok(Label { value: parsed(value)?, ttl: ttl.map(parsed).transpose()? })
}

fn flags(word: &str) -> Read<u8> {
    word.chars().try_fold(0, |flags, letter| {
        let bit = FLAGS.iter().position(|flag| *flag == letter);
        let bit = bit.ok_or_else(|| format!("`{letter}` of `{word}` is no flag of TCP"))?;
        Ok(flags | 1 << bit)
    })
}

fn octets(digits: &str) -> Read<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let octet = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    };
    pairs.map(octet).collect::<Option<_>>().ok_or(format!("`{digits}` is not hexadecimal"))
}
