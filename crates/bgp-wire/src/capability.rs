//! Capabilities (RFC 5492).

use bytes::Bytes;

use crate::afi_safi::{Afi, AfiSafi, Safi};
use crate::read::{Parsed, octet, take};

/// Codes, IANA "Capability Codes".
mod code {
    pub(super) const MULTIPROTOCOL: u8 = 1;
    pub(super) const ROUTE_REFRESH: u8 = 2;
    pub(super) const EXTENDED_MESSAGE: u8 = 6;
    pub(super) const GRACEFUL_RESTART: u8 = 64;
    pub(super) const FOUR_OCTET_AS: u8 = 65;
    pub(super) const ADD_PATH: u8 = 69;
    pub(super) const ENHANCED_ROUTE_REFRESH: u8 = 70;
}

/// One capability of an OPEN.
///
/// A known capability whose value has an impossible form is [`Capability::Unknown`]: it was not
/// understood, so it is not used (RFC 5492 §3, RFC 7911 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capability {
    /// RFC 4760.
    Multiprotocol(AfiSafi),
    /// RFC 2918.
    RouteRefresh,
    /// RFC 7313.
    EnhancedRouteRefresh,
    /// RFC 8654.
    ExtendedMessage,
    /// RFC 6793.
    FourOctetAs(u32),
    /// RFC 4724, RFC 8538.
    GracefulRestart(GracefulRestart),
    /// RFC 7911.
    AddPath(Vec<AddPath>),
    /// Any other, kept as it is.
    Unknown {
        code: u8,
        /// At most 255 octets are written.
        value: Bytes,
    },
}

/// RFC 4724 §3.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GracefulRestart {
    /// The speaker has restarted (R bit).
    pub restarted: bool,
    /// A NOTIFICATION also keeps routes (N bit, RFC 8538 §2).
    pub notification: bool,
    /// Seconds until the peer may drop what it kept, 0..=4095.
    pub restart_time: u16,
    /// Families, and whether forwarding state was preserved (F bit).
    pub families: Vec<(AfiSafi, bool)>,
}

/// RFC 7911 §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddPath {
    pub family: AfiSafi,
    pub receive: bool,
    pub send: bool,
}

impl AddPath {
    const RECEIVE: u8 = 1;
    const SEND: u8 = 2;
}

impl GracefulRestart {
    const RESTARTED: u16 = 0x8000;
    const NOTIFICATION: u16 = 0x4000;
    const TIME: u16 = 0x0fff;
    const FORWARDING: u8 = 0x80;
}

impl Capability {
    /// Reads one capability: code, length, value (RFC 5492 §4).
    pub(crate) fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, code) = octet(input)?;
        let (rest, length) = octet(rest)?;
        let (rest, value) = take(rest, usize::from(length))?;
        let capability = Self::from_value(code, value)
            .unwrap_or_else(|| Self::Unknown { code, value: Bytes::copy_from_slice(value) });
        Ok((rest, capability))
    }

    fn from_value(code: u8, value: &[u8]) -> Option<Self> {
        match (code, value) {
            (code::MULTIPROTOCOL, [high, low, _, safi]) => {
                Some(Self::Multiprotocol(family([*high, *low], *safi)))
            }
            (code::ROUTE_REFRESH, []) => Some(Self::RouteRefresh),
            (code::ENHANCED_ROUTE_REFRESH, []) => Some(Self::EnhancedRouteRefresh),
            (code::EXTENDED_MESSAGE, []) => Some(Self::ExtendedMessage),
            (code::FOUR_OCTET_AS, [a, b, c, d]) => {
                Some(Self::FourOctetAs(u32::from_be_bytes([*a, *b, *c, *d])))
            }
            (code::GRACEFUL_RESTART, [high, low, families @ ..]) => {
                let (flags_and_time, families) =
                    (u16::from_be_bytes([*high, *low]), tuples(families)?);
                Some(Self::GracefulRestart(GracefulRestart {
                    restarted: flags_and_time & GracefulRestart::RESTARTED != 0,
                    notification: flags_and_time & GracefulRestart::NOTIFICATION != 0,
                    restart_time: flags_and_time & GracefulRestart::TIME,
                    families: families
                        .map(|(family, flags)| (family, flags & GracefulRestart::FORWARDING != 0))
                        .collect(),
                }))
            }
            (code::ADD_PATH, families) => tuples(families)?
                .map(|(family, mode)| {
                    (1..=3).contains(&mode).then_some(AddPath {
                        family,
                        receive: mode & AddPath::RECEIVE != 0,
                        send: mode & AddPath::SEND != 0,
                    })
                })
                .collect::<Option<_>>()
                .map(Self::AddPath),
            _ => None,
        }
    }

    /// Appends the capability. What does not fit into the 255 octets of a value, 63 families of
    /// graceful restart or ADD-PATH, is left out.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Multiprotocol(AfiSafi { afi, safi }) => {
                let [high, low] = afi.0.to_be_bytes();
                write_value(code::MULTIPROTOCOL, [high, low, 0, safi.0], out);
            }
            Self::RouteRefresh => write_value(code::ROUTE_REFRESH, [], out),
            Self::EnhancedRouteRefresh => write_value(code::ENHANCED_ROUTE_REFRESH, [], out),
            Self::ExtendedMessage => write_value(code::EXTENDED_MESSAGE, [], out),
            Self::FourOctetAs(asn) => write_value(code::FOUR_OCTET_AS, asn.to_be_bytes(), out),
            Self::GracefulRestart(restart) => {
                let flag = |set: bool, bit: u16| if set { bit } else { 0 };
                let flags_and_time = flag(restart.restarted, GracefulRestart::RESTARTED)
                    | flag(restart.notification, GracefulRestart::NOTIFICATION)
                    | restart.restart_time.min(GracefulRestart::TIME);
                let families = restart.families.iter().map(|(family, forwarding)| {
                    tuple(*family, if *forwarding { GracefulRestart::FORWARDING } else { 0 })
                });
                let value = flags_and_time.to_be_bytes().into_iter();
                write_value(code::GRACEFUL_RESTART, value.chain(families.take(63).flatten()), out);
            }
            Self::AddPath(families) => {
                let value = families.iter().map(|add_path| {
                    let receive = if add_path.receive { AddPath::RECEIVE } else { 0 };
                    let send = if add_path.send { AddPath::SEND } else { 0 };
                    tuple(add_path.family, receive | send)
                });
                write_value(code::ADD_PATH, value.take(63).flatten(), out);
            }
            Self::Unknown { code, value } => write_value(*code, value.iter().copied(), out),
        }
    }
}

fn family(afi: [u8; 2], safi: u8) -> AfiSafi {
    AfiSafi { afi: Afi(u16::from_be_bytes(afi)), safi: Safi(safi) }
}

/// AFI, SAFI and one octet, as often as they are there; `None` if octets are left over.
fn tuples(value: &[u8]) -> Option<impl Iterator<Item = (AfiSafi, u8)>> {
    let (tuples, rest) = value.as_chunks();
    rest.is_empty().then(|| {
        tuples.iter().map(|[high, low, safi, octet]| (family([*high, *low], *safi), *octet))
    })
}

fn tuple(family: AfiSafi, octet: u8) -> [u8; 4] {
    let [high, low] = family.afi.0.to_be_bytes();
    [high, low, family.safi.0, octet]
}

fn write_value(code: u8, value: impl IntoIterator<Item = u8>, out: &mut Vec<u8>) {
    out.extend([code, 0]);
    let start = out.len();
    out.extend(value.into_iter().take(255));
    let length = u8::try_from(out.len() - start).unwrap_or(u8::MAX);
    if let Some(field) = out.get_mut(start - 1) {
        *field = length;
    }
}
