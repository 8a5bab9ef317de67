//! PMSI tunnel (RFC 6514 §5, RFC 7432 §11.2): how packets for many get to a speaker.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use crate::error::FaultKind;
use crate::label::Label;
use crate::read::Fault;

/// The attribute of an inclusive multicast route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PmsiTunnel {
    /// Bit 0: leaf information is wanted.
    pub flags: u8,
    /// IANA "P-Multicast Service Interface Tunnel Types"; see the constants.
    pub kind: u8,
    /// An MPLS label, or a VNI (RFC 8365 §9).
    pub label: Label,
    /// Its form is the type's.
    pub id: Bytes,
}

impl PmsiTunnel {
    /// RFC 6514 §5.
    pub const NONE: u8 = 0;
    /// RFC 6514 §5: each speaker gets a copy of its own.
    pub const INGRESS_REPLICATION: u8 = 6;

    /// Copies for each speaker, sent to `endpoint`.
    pub fn ingress_replication(endpoint: IpAddr, label: Label) -> Self {
        let id = match endpoint {
            IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
        };
        Self { flags: 0, kind: Self::INGRESS_REPLICATION, label, id }
    }

    /// Where copies are sent to, with ingress replication.
    pub fn endpoint(&self) -> Option<IpAddr> {
        if self.kind != Self::INGRESS_REPLICATION {
            return None;
        }
        match *self.id {
            [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).into()),
            _ => <[u8; 16]>::try_from(&*self.id).ok().map(|octets| Ipv6Addr::from(octets).into()),
        }
    }

    /// Its name in the registry.
    fn name(&self) -> Option<&'static str> {
        Some(match self.kind {
            0 => "none",
            1 => "rsvp-te-p2mp",
            2 => "mldp-p2mp",
            3 => "pim-ssm",
            4 => "pim-sm",
            5 => "bidir-pim",
            6 => "ingress-replication",
            7 => "mldp-mp2mp",
            8 => "transport",
            10 => "assisted-replication",
            11 => "bier",
            12 => "sr-mpls-p2mp",
            _ => return None,
        })
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let (&[flags, kind, a, b, c], id) = value.split_first_chunk()?;
        let label = Label::from_octets([a, b, c]);
        Some(Self { flags, kind, label, id: Bytes::copy_from_slice(id) })
    }

    pub(super) fn write(&self) -> Bytes {
        let [a, b, c] = self.label.octets();
        [&[self.flags, self.kind, a, b, c][..], &self.id].concat().into()
    }
}

/// Whether the value is well-formed. Only what the type of the tunnel leaves no doubt about: a
/// reflector passes on types that it does not know.
pub(super) fn check(value: &[u8]) -> Result<(), Fault<'_>> {
    let possible: &[usize] = match value.get(1) {
        Some(&PmsiTunnel::INGRESS_REPLICATION) => &[5 + 4, 5 + 16],
        _ if value.len() >= 5 => return Ok(()),
        _ => &[],
    };
    if possible.contains(&value.len()) {
        return Ok(());
    }
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    Err(Fault { at: value, kind: FaultKind::Length(length) })
}

impl fmt::Display for PmsiTunnel {
    /// `ingress-replication 192.0.2.1 label 16`, or type and identifier as octets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "type {}", self.kind)?,
        }
        if let Some(endpoint) = self.endpoint() {
            write!(f, " {endpoint}")?;
        } else if !self.id.is_empty() {
            f.write_str(" 0x")?;
            self.id.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
        }
        write!(f, " label {}", self.label)
    }
}
