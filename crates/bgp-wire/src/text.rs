//! Text forms: the grammar that distinguishers and targets share, and serde as text.

use std::fmt;
use std::net::Ipv4Addr;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n};
use nom::character::complete::{char, u16 as dec_u16, u32 as dec_u32};
use nom::combinator::all_consuming;
use nom::sequence::{preceded, separated_pair, terminated};
use nom::{IResult, Parser};

/// Who assigned a number, and the number: what a route distinguisher and a route target have in
/// common (RFC 4364 §4.2, RFC 4360 §3, RFC 5668 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assigned {
    As2(u16, u32),
    Ipv4(Ipv4Addr, u16),
    As4(u32, u16),
    /// All eight octets, of a type without a text form of its own.
    Octets([u8; 8]),
}

impl Assigned {
    /// The value part of type `kind` (0, 1 or 2).
    pub(crate) fn from_value(kind: u8, [a, b, c, d, e, f]: [u8; 6]) -> Option<Self> {
        match kind {
            0 => Some(Self::As2(u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]))),
            1 => Some(Self::Ipv4(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([e, f]))),
            2 => Some(Self::As4(u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, f]))),
            _ => None,
        }
    }

    /// The reverse of [`Self::from_value`]; `None` for octets of no such type.
    pub(crate) fn value(self) -> Option<(u8, [u8; 6])> {
        match self {
            Self::As2(asn, number) => {
                let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
                Some((0, [a, b, c, d, e, f]))
            }
            Self::Ipv4(address, number) => {
                let ([a, b, c, d], [e, f]) = (address.octets(), number.to_be_bytes());
                Some((1, [a, b, c, d, e, f]))
            }
            Self::As4(asn, number) => {
                let ([a, b, c, d], [e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
                Some((2, [a, b, c, d, e, f]))
            }
            Self::Octets(_) => None,
        }
    }

    /// Reads the whole of `text`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        all_consuming(assigned).parse(text).ok().map(|(_, assigned)| assigned)
    }
}

impl fmt::Display for Assigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::As2(asn, number) => write!(f, "{asn}:{number}"),
            Self::Ipv4(address, number) => write!(f, "{address}:{number}"),
            Self::As4(asn, number) => {
                // `65000:7` already means a two-octet AS, so a small four-octet one has a mark.
                let mark = if u16::try_from(*asn).is_ok() { "L" } else { "" };
                write!(f, "{asn}{mark}:{number}")
            }
            Self::Octets(octets) => write!(f, "0x{:016x}", u64::from_be_bytes(*octets)),
        }
    }
}

fn assigned(input: &str) -> IResult<&str, Assigned> {
    alt((
        separated_pair(ipv4, char(':'), dec_u16)
            .map(|(address, number)| Assigned::Ipv4(address, number)),
        separated_pair(dec_u16, char(':'), dec_u32).map(|(asn, number)| Assigned::As2(asn, number)),
        separated_pair(terminated(dec_u32, char('L')), char(':'), dec_u16)
            .map(|(asn, number)| Assigned::As4(asn, number)),
        separated_pair(dec_u32, char(':'), dec_u16).map(|(asn, number)| Assigned::As4(asn, number)),
        hex_octets.map(Assigned::Octets),
    ))
    .parse(input)
}

fn ipv4(input: &str) -> IResult<&str, Ipv4Addr> {
    take_while_m_n(7, 15, |c: char| c.is_ascii_digit() || c == '.').map_res(str::parse).parse(input)
}

/// `0x` and sixteen hexadecimal digits.
fn hex_octets(input: &str) -> IResult<&str, [u8; 8]> {
    preceded(tag("0x"), take_while_m_n(16, 16, |c: char| c.is_ascii_hexdigit()))
        .map_res(|hex| u64::from_str_radix(hex, 16))
        .map(u64::to_be_bytes)
        .parse(input)
}

/// Reads the whole of `text` as `0x` and sixteen hexadecimal digits.
pub(crate) fn parse_octets(text: &str) -> Option<[u8; 8]> {
    all_consuming(hex_octets).parse(text).ok().map(|(_, octets)| octets)
}

/// Writes octets as two hexadecimal digits each, with colons between.
pub(crate) fn write_colon_hex(octets: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, octet) in octets.iter().enumerate() {
        let colon = if i == 0 { "" } else { ":" };
        write!(f, "{colon}{octet:02x}")?;
    }
    Ok(())
}

/// Reads exactly `N` octets written as by [`write_colon_hex`].
pub(crate) fn parse_colon_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let mut parts = text.split(':');
    for octet in &mut octets {
        let part = parts.next().filter(|part| is_hex(part) && part.len() <= 2)?;
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

/// Reads an even number of hexadecimal digits.
pub(crate) fn parse_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|i| text.get(i..i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_hexdigit())
}

/// `Serialize` and `Deserialize` as the text of `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($type:ty, $expected:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}
pub(crate) use serde_as_text;
