//! Tunnel encapsulation (RFC 9012): through which tunnels a route can be reached.

use std::net::IpAddr;

use bytes::Bytes;

use super::tlv::{Tlv, Tlvs};
use crate::afi_safi::Afi;
use crate::community::TunnelType;
use crate::error::FaultKind;
use crate::read::Fault;

/// One tunnel (RFC 9012 §2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tunnel {
    pub kind: TunnelType,
    /// In wire order. Of most types only the first counts (RFC 9012 §13).
    pub sub_tlvs: Vec<SubTlv>,
}

/// A part of the description of a tunnel, IANA "BGP Tunnel Encapsulation Attribute Sub-TLVs".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubTlv {
    pub code: u8,
    /// At most 255 octets below code 128.
    pub value: Bytes,
}

impl SubTlv {
    /// RFC 9012 §3.2.
    pub const ENCAPSULATION: u8 = 1;
    /// RFC 9012 §3.4.2.
    pub const COLOR: u8 = 4;
    /// RFC 9012 §3.1.
    pub const EGRESS_ENDPOINT: u8 = 6;
    /// RFC 9012 §3.3.2.
    pub const UDP_DESTINATION_PORT: u8 = 8;
    /// RFC 9012 §3.6.
    pub const MPLS_LABEL_STACK: u8 = 10;

    /// The sub-TLV that names where the tunnel ends; `None` says: at the next hop (RFC 9012 §3.1).
    pub fn egress_endpoint(endpoint: Option<IpAddr>) -> Self {
        let mut value = vec![0; 4];
        match endpoint {
            None => value.extend([0, 0]),
            Some(IpAddr::V4(v4)) => {
                value.extend(Afi::IPV4.0.to_be_bytes());
                value.extend(v4.octets());
            }
            Some(IpAddr::V6(v6)) => {
                value.extend(Afi::IPV6.0.to_be_bytes());
                value.extend(v6.octets());
            }
        }
        Self { code: Self::EGRESS_ENDPOINT, value: value.into() }
    }
}

/// Where a tunnel ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Where the next hop of the route is.
    NextHop,
    Address(IpAddr),
}

impl Tunnel {
    /// Where it ends; `None` where no sub-TLV says so, or says nothing that can be understood.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let sub_tlv = self.sub_tlvs.iter().find(|s| s.code == SubTlv::EGRESS_ENDPOINT)?;
        endpoint(&sub_tlv.value)
    }
}

/// Four reserved octets, an address family, an address of it.
fn endpoint(value: &[u8]) -> Option<Endpoint> {
    let (&[_, _, _, _, high, low], address) = value.split_first_chunk()?;
    match (Afi(u16::from_be_bytes([high, low])), address.len()) {
        (Afi(0), 0) => Some(Endpoint::NextHop),
        (Afi::IPV4, 4) => {
            let address: [u8; 4] = address.try_into().ok()?;
            Some(Endpoint::Address(address.into()))
        }
        (Afi::IPV6, 16) => {
            let address: [u8; 16] = address.try_into().ok()?;
            Some(Endpoint::Address(address.into()))
        }
        _ => None,
    }
}

/// What is left of an attribute when RFC 9012 §13 has been applied.
pub(super) enum Checked<'a> {
    /// All of it.
    Whole,
    /// These octets of it; the first tunnel that does not say where it ends is at the fault.
    Without(Bytes, Fault<'a>),
}

/// Checks an attribute: lists that cannot be divided are malformed, tunnels without exactly one
/// endpoint are to be taken out, and a list without a tunnel is malformed too (RFC 9012 §13).
pub(super) fn check(value: &[u8]) -> Result<Checked<'_>, Fault<'_>> {
    let mut kept = Vec::new();
    let mut first_fault = None;
    for tunnel in tunnels(value) {
        let tunnel = tunnel?;
        let mut endpoints = 0;
        let mut understood = true;
        for sub_tlv in sub_tlvs(tunnel.value) {
            let sub_tlv = sub_tlv?;
            if sub_tlv.kind == u16::from(SubTlv::EGRESS_ENDPOINT) {
                endpoints += 1;
                understood &= endpoint(sub_tlv.value).is_some();
            }
        }
        if endpoints == 1 && understood {
            kept.extend(tunnel.at.get(..TUNNEL_HEADER + tunnel.value.len()).unwrap_or_default());
        } else if first_fault.is_none() {
            first_fault = Some(Fault { at: tunnel.at, kind: FaultKind::Endpoint });
        }
    }
    match first_fault {
        None if value.is_empty() => Err(Fault { at: value, kind: FaultKind::Length(0) }),
        None => Ok(Checked::Whole),
        Some(fault) if kept.is_empty() => Err(fault),
        Some(fault) => Ok(Checked::Without(kept.into(), fault)),
    }
}

/// The tunnels of an attribute that was checked.
pub(super) fn read(value: &[u8]) -> Vec<Tunnel> {
    let sub_tlv = |tlv: Tlv<'_>| {
        let code = u8::try_from(tlv.kind).ok()?;
        Some(SubTlv { code, value: Bytes::copy_from_slice(tlv.value) })
    };
    tunnels(value)
        .filter_map(Result::ok)
        .map(|tunnel| Tunnel {
            kind: TunnelType(tunnel.kind),
            sub_tlvs: sub_tlvs(tunnel.value).filter_map(Result::ok).filter_map(sub_tlv).collect(),
        })
        .collect()
}

/// The value of an attribute; what a length cannot say is cut.
pub(super) fn write(tunnels: &[Tunnel]) -> Bytes {
    let mut value = Vec::new();
    for tunnel in tunnels {
        value.extend(tunnel.kind.0.to_be_bytes());
        crate::write::with_length(&mut value, |value| {
            for sub_tlv in &tunnel.sub_tlvs {
                value.push(sub_tlv.code);
                if sub_tlv.code < LONG {
                    let octets = sub_tlv.value.get(..255).unwrap_or(&sub_tlv.value);
                    value.extend(u8::try_from(octets.len()));
                    value.extend(octets);
                } else {
                    crate::write::with_length(value, |value| value.extend(&sub_tlv.value));
                }
            }
        });
    }
    value.into()
}

const TUNNEL_HEADER: usize = 4;

/// Sub-TLVs from this code on have a length of two octets.
const LONG: u8 = 128;

fn tunnels(value: &[u8]) -> Tlvs<'_> {
    Tlvs::new(value, |input| match input {
        [a, b, c, d, ..] => {
            let length = u16::from_be_bytes([*c, *d]);
            Ok((u16::from_be_bytes([*a, *b]), TUNNEL_HEADER, usize::from(length)))
        }
        _ => Err(FaultKind::Truncated),
    })
}

fn sub_tlvs(value: &[u8]) -> Tlvs<'_> {
    Tlvs::new(value, |input| match input {
        [code, length, ..] if *code < LONG => Ok((u16::from(*code), 2, usize::from(*length))),
        [code, high, low, ..] if *code >= LONG => {
            Ok((u16::from(*code), 3, usize::from(u16::from_be_bytes([*high, *low]))))
        }
        _ => Err(FaultKind::Truncated),
    })
}
