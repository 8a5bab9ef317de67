//! EVPN routes (RFC 7432 §7, RFC 9136 §3.1).

mod codec;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

pub use codec::Evpn;
use ipnet::IpNet;

use crate::label::Label;
use crate::route_distinguisher::RouteDistinguisher;
use crate::text::{parse_colon_hex, parse_hex, serde_as_text, write_colon_hex};

/// Ethernet segment identifier (RFC 7432 §5). All zero: single-homed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Esi(pub [u8; 10]);

/// A MAC address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// A text that is no [`Esi`], [`MacAddress`] or [`EvpnKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseEvpnError {
    #[error("`{0}` is not an ethernet segment identifier; write ten octets like 00:11:22:..:99")]
    Esi(String),
    #[error("`{0}` is not a MAC address; write six octets like 02:00:00:00:00:01")]
    Mac(String),
    #[error(
        "`{0}` is not an EVPN route; write its type and fields like [3]:[65000:7]:[0]:[192.0.2.1]"
    )]
    Key(String),
}

impl fmt::Display for Esi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_colon_hex(&self.0, f)
    }
}

impl fmt::Debug for Esi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Esi {
    type Err = ParseEvpnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_colon_hex(text).map(Self).ok_or_else(|| ParseEvpnError::Esi(text.to_owned()))
    }
}

serde_as_text!(Esi, "an ethernet segment identifier, ten octets such as \"00:11:..:99\"");

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_colon_hex(&self.0, f)
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for MacAddress {
    type Err = ParseEvpnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_colon_hex(text).map(Self).ok_or_else(|| ParseEvpnError::Mac(text.to_owned()))
    }
}

serde_as_text!(MacAddress, "a MAC address, such as \"02:00:00:00:00:01\"");

/// The fields of an EVPN route that tell it from others (RFC 7432 §7.1 to §7.4, RFC 9136 §3.1).
///
/// Text form: the type and then the fields in the order below, each in brackets, colons between:
/// `[2]:[65000:7]:[0]:[02:00:00:00:00:01]:[10.0.0.1]`, the last field left out where there is no
/// address; `[9]:[0x0102]` for a type we do not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvpnKey {
    /// Type 1, Ethernet auto-discovery.
    EthernetAd { rd: RouteDistinguisher, esi: Esi, tag: u32 },
    /// Type 2, MAC/IP advertisement.
    MacIp { rd: RouteDistinguisher, tag: u32, mac: MacAddress, ip: Option<IpAddr> },
    /// Type 3, inclusive multicast.
    InclusiveMulticast { rd: RouteDistinguisher, tag: u32, originator: IpAddr },
    /// Type 4, Ethernet segment.
    EthernetSegment { rd: RouteDistinguisher, esi: Esi, originator: IpAddr },
    /// Type 5, IP prefix.
    IpPrefix { rd: RouteDistinguisher, tag: u32, net: IpNet },
    /// A type we do not know, carried octet for octet.
    Opaque { kind: u8, octets: Box<[u8]> },
}

impl fmt::Display for EvpnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EthernetAd { rd, esi, tag } => write!(f, "[1]:[{rd}]:[{esi}]:[{tag}]"),
            Self::MacIp { rd, tag, mac, ip: None } => write!(f, "[2]:[{rd}]:[{tag}]:[{mac}]"),
            Self::MacIp { rd, tag, mac, ip: Some(ip) } => {
                write!(f, "[2]:[{rd}]:[{tag}]:[{mac}]:[{ip}]")
            }
            Self::InclusiveMulticast { rd, tag, originator } => {
                write!(f, "[3]:[{rd}]:[{tag}]:[{originator}]")
            }
            Self::EthernetSegment { rd, esi, originator } => {
                write!(f, "[4]:[{rd}]:[{esi}]:[{originator}]")
            }
            Self::IpPrefix { rd, tag, net } => write!(f, "[5]:[{rd}]:[{tag}]:[{net}]"),
            Self::Opaque { kind, octets } => {
                write!(f, "[{kind}]:[0x")?;
                octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
                f.write_str("]")
            }
        }
    }
}

impl FromStr for EvpnKey {
    type Err = ParseEvpnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_key(text).ok_or_else(|| ParseEvpnError::Key(text.to_owned()))
    }
}

serde_as_text!(EvpnKey, "an EVPN route, such as \"[3]:[65000:7]:[0]:[192.0.2.1]\"");

fn parse_key(text: &str) -> Option<EvpnKey> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let fields: Vec<&str> = inner.split("]:[").collect();
    Some(match *fields.as_slice() {
        ["1", rd, esi, tag] => EvpnKey::EthernetAd {
            rd: rd.parse().ok()?,
            esi: esi.parse().ok()?,
            tag: tag.parse().ok()?,
        },
        ["2", rd, tag, mac, ref ip @ ..] => EvpnKey::MacIp {
            rd: rd.parse().ok()?,
            tag: tag.parse().ok()?,
            mac: mac.parse().ok()?,
            ip: match ip {
                [] => None,
                [ip] => Some(ip.parse().ok()?),
                _ => return None,
            },
        },
        ["3", rd, tag, originator] => EvpnKey::InclusiveMulticast {
            rd: rd.parse().ok()?,
            tag: tag.parse().ok()?,
            originator: originator.parse().ok()?,
        },
        ["4", rd, esi, originator] => EvpnKey::EthernetSegment {
            rd: rd.parse().ok()?,
            esi: esi.parse().ok()?,
            originator: originator.parse().ok()?,
        },
        ["5", rd, tag, net] => EvpnKey::IpPrefix {
            rd: rd.parse().ok()?,
            tag: tag.parse().ok()?,
            net: net.parse().ok()?,
        },
        [kind, octets] => EvpnKey::Opaque {
            kind: kind.parse().ok().filter(|kind| !(1..=5).contains(kind))?,
            octets: parse_hex(octets.strip_prefix("0x")?)?.into(),
        },
        _ => return None,
    })
}

/// What stands beside an EVPN key. Fields that the key's type has and this value does not, or a
/// gateway of another address family than the prefix, are written as zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EvpnData {
    /// Types 3, 4 and unknown ones.
    Nothing,
    /// Type 1.
    Label(Label),
    /// Type 2. The ESI is no part of the key (RFC 7432 §7.2).
    MacIp { esi: Esi, label: Label, label2: Option<Label> },
    /// Type 5.
    IpPrefix { esi: Esi, gateway: IpAddr, label: Label },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        for text in [
            "[1]:[65000:7]:[00:11:22:33:44:55:66:77:88:99]:[4294967295]",
            "[2]:[192.0.2.1:7]:[0]:[02:00:00:00:00:01]",
            "[2]:[192.0.2.1:7]:[0]:[02:00:00:00:00:01]:[10.0.0.1]",
            "[2]:[65000L:7]:[5]:[02:00:00:00:00:01]:[2001:db8::1]",
            "[3]:[65000:7]:[0]:[192.0.2.1]",
            "[4]:[65000:7]:[00:11:22:33:44:55:66:77:88:99]:[2001:db8::1]",
            "[5]:[65000:7]:[0]:[10.0.100.0/24]",
            "[5]:[0x0003000000000001]:[0]:[::/0]",
            "[9]:[0x]",
            "[255]:[0x0102ff]",
        ] {
            let key: EvpnKey = text.parse().expect(text);
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "[2]",
            "[2]:[0x01]",
            "[3]:[65000:7]:[0]",
            "[3]:[65000:7]:[0]:[192.0.2.1]:[1]",
            "[9]:[0x1]",
            "[256]:[0x01]",
            "3:65000:7:0:192.0.2.1",
            "[2]:[65000:7]:[0]:[02:00:00:00:00]",
            "[2]:[65000:7]:[0]:[02:00:00:00:00:01]:[10.0.0.1]:[1]",
        ] {
            assert!(text.parse::<EvpnKey>().is_err(), "{text}");
        }
        assert!("00:11".parse::<Esi>().is_err());
        assert!("02:00:00:00:00:001".parse::<MacAddress>().is_err());
    }
}
