//! Capabilities (RFC 5492).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::afi_safi::{Afi, AfiSafi, Safi};
use crate::error::FaultKind;
use crate::read::{Parsed, fault, octet, take};

/// Codes, IANA "Capability Codes".
mod code {
    pub(super) const MULTIPROTOCOL: u8 = 1;
    pub(super) const ROUTE_REFRESH: u8 = 2;
    pub(super) const EXTENDED_NEXT_HOP: u8 = 5;
    pub(super) const EXTENDED_MESSAGE: u8 = 6;
    pub(super) const MULTIPLE_LABELS: u8 = 8;
    pub(super) const ROLE: u8 = 9;
    pub(super) const GRACEFUL_RESTART: u8 = 64;
    pub(super) const FOUR_OCTET_AS: u8 = 65;
    pub(super) const ADD_PATH: u8 = 69;
    pub(super) const ENHANCED_ROUTE_REFRESH: u8 = 70;
    pub(super) const LONG_LIVED_GRACEFUL_RESTART: u8 = 71;
    pub(super) const FQDN: u8 = 73;
    pub(super) const BFD_STRICT: u8 = 74;
    pub(super) const SOFTWARE_VERSION: u8 = 75;
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
    /// RFC 8950 §4: families, and the address family of next hops that are taken in them.
    ExtendedNextHop(Vec<(AfiSafi, Afi)>),
    /// RFC 8277 §2.1: families, and how many labels of a route are taken in them; 255 is any number.
    MultipleLabels(Vec<(AfiSafi, u8)>),
    /// RFC 9234 §4.1. A role without a name is [`Capability::Unknown`].
    Role(Role),
    /// RFC 9494 §3.
    LongLivedGracefulRestart(Vec<LongLived>),
    /// draft-walton-bgp-hostname-capability. Each is cut at 126 octets when written.
    Fqdn { host: String, domain: String },
    /// draft-ietf-idr-bgp-bfd-strict-mode: no session before BFD is up, where both say it.
    BfdStrict,
    /// draft-ietf-bgp-version-capability. Cut at 254 octets when written.
    SoftwareVersion(String),
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

/// RFC 9494 §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongLived {
    pub family: AfiSafi,
    /// Forwarding state was preserved (F bit).
    pub forwarding: bool,
    /// Seconds for which stale routes may be kept, 0..=16,777,215.
    pub stale_time: u32,
}

/// What a speaker is to its peer (RFC 9234 §4.1, IANA "BGP Role Value").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Provider,
    RouteServer,
    RouteServerClient,
    Customer,
    Peer,
}

impl Role {
    /// All of them, by their values.
    const NAMED: [(Self, &str); 5] = [
        (Self::Provider, "provider"),
        (Self::RouteServer, "rs"),
        (Self::RouteServerClient, "rs-client"),
        (Self::Customer, "customer"),
        (Self::Peer, "peer"),
    ];

    /// As on the wire.
    pub const fn to_u8(self) -> u8 {
        self as u8
    }

    /// `None` where the registry has no name for it.
    pub fn from_u8(value: u8) -> Option<Self> {
        Self::NAMED.get(usize::from(value)).map(|(role, _)| *role)
    }

    /// Whether a peer of `other` role stands where this one expects it (RFC 9234 §4.2, table 2).
    pub const fn pairs_with(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Provider, Self::Customer)
                | (Self::Customer, Self::Provider)
                | (Self::RouteServer, Self::RouteServerClient)
                | (Self::RouteServerClient, Self::RouteServer)
                | (Self::Peer, Self::Peer)
        )
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMED[usize::from(self.to_u8())].1)
    }
}

/// A role was named that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role; write provider, rs, rs-client, customer or peer")]
pub struct ParseRoleError(String);

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::NAMED
            .into_iter()
            .find_map(|(role, name)| (name == text).then_some(role))
            .ok_or_else(|| ParseRoleError(text.to_owned()))
    }
}

impl LongLived {
    const FORWARDING: u8 = 0x80;
    const MAX_TIME: u32 = 0x00ff_ffff;
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
    /// The code of [`Capability::Role`], for those who look for a role that has no name.
    pub const ROLE: u8 = code::ROLE;

    /// Reads one capability: code, length, value (RFC 5492 §4).
    pub(crate) fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, code) = octet(input)?;
        let (rest, length) = octet(rest)?;
        let (rest, value) = take(rest, usize::from(length))?;
        // Without these two nothing that follows could be read as it is meant (RFC 4271 §6.2). What is
        // wrong with another one is as if it had not been said.
        if matches!((code, length), (code::MULTIPROTOCOL | code::FOUR_OCTET_AS, length) if length != 4)
        {
            return Err(fault(input, FaultKind::Length(length.into())));
        }
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
            (code::EXTENDED_NEXT_HOP, value) => {
                let (entries, rest) = value.as_chunks::<6>();
                let entry = |[high, low, _, safi, next_high, next_low]: &[u8; 6]| {
                    (family([*high, *low], *safi), Afi(u16::from_be_bytes([*next_high, *next_low])))
                };
                rest.is_empty().then(|| Self::ExtendedNextHop(entries.iter().map(entry).collect()))
            }
            (code::MULTIPLE_LABELS, families) => {
                tuples(families).map(|families| Self::MultipleLabels(families.collect()))
            }
            (code::ROLE, [role]) => Role::from_u8(*role).map(Self::Role),
            (code::LONG_LIVED_GRACEFUL_RESTART, value) => {
                let (entries, rest) = value.as_chunks::<7>();
                let entry = |[high, low, safi, flags, a, b, c]: &[u8; 7]| LongLived {
                    family: family([*high, *low], *safi),
                    forwarding: flags & LongLived::FORWARDING != 0,
                    stale_time: u32::from_be_bytes([0, *a, *b, *c]),
                };
                rest.is_empty()
                    .then(|| Self::LongLivedGracefulRestart(entries.iter().map(entry).collect()))
            }
            (code::FQDN, value) => {
                let (host, rest) = counted_text(value)?;
                let (domain, rest) = counted_text(rest)?;
                rest.is_empty().then_some(Self::Fqdn { host, domain })
            }
            (code::BFD_STRICT, []) => Some(Self::BfdStrict),
            (code::SOFTWARE_VERSION, value) => {
                let (version, rest) = counted_text(value)?;
                rest.is_empty().then_some(Self::SoftwareVersion(version))
            }
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
            Self::MultipleLabels(families) => {
                let value = families.iter().map(|(family, most)| tuple(*family, *most));
                write_value(code::MULTIPLE_LABELS, value.take(63).flatten(), out);
            }
            Self::ExtendedNextHop(entries) => {
                let value = entries.iter().map(|(AfiSafi { afi, safi }, next_hop)| {
                    let ([high, low], [next_high, next_low]) =
                        (afi.0.to_be_bytes(), next_hop.0.to_be_bytes());
                    [high, low, 0, safi.0, next_high, next_low]
                });
                write_value(code::EXTENDED_NEXT_HOP, value.take(42).flatten(), out);
            }
            Self::Role(role) => write_value(code::ROLE, [role.to_u8()], out),
            Self::LongLivedGracefulRestart(entries) => {
                let value = entries.iter().map(|entry| {
                    let [high, low, safi, flags] = tuple(
                        entry.family,
                        if entry.forwarding { LongLived::FORWARDING } else { 0 },
                    );
                    let [_, a, b, c] = entry.stale_time.min(LongLived::MAX_TIME).to_be_bytes();
                    [high, low, safi, flags, a, b, c]
                });
                write_value(code::LONG_LIVED_GRACEFUL_RESTART, value.take(36).flatten(), out);
            }
            Self::Fqdn { host, domain } => {
                let value = with_count(host, 126).chain(with_count(domain, 126));
                write_value(code::FQDN, value, out);
            }
            Self::BfdStrict => write_value(code::BFD_STRICT, [], out),
            Self::SoftwareVersion(version) => {
                write_value(code::SOFTWARE_VERSION, with_count(version, 254), out);
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

/// A text behind an octet with its length. Octets that are no UTF-8 are replaced: it is read by people.
fn counted_text(value: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = value.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}

/// The text behind an octet with its length, cut between two characters at `max` octets.
fn with_count(text: &str, max: u8) -> impl Iterator<Item = u8> {
    let text = &text.as_bytes()[..text.floor_char_boundary(max.into())];
    std::iter::once(u8::try_from(text.len()).unwrap_or(max)).chain(text.iter().copied())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written, and what is read back from it.
    #[test]
    fn by_hand_from_the_documents() {
        let long_lived = LongLived { family: AfiSafi::VPNV4, forwarding: true, stale_time: 86_400 };
        let cases: [(&str, &[u8], Capability); 7] = [
            (
                "RFC 8950 §4",
                &[5, 6, 0, 1, 0, 128, 0, 2],
                Capability::ExtendedNextHop(vec![(AfiSafi::VPNV4, Afi(2))]),
            ),
            (
                "RFC 8277 §2.1",
                &[8, 8, 0, 1, 128, 2, 0, 2, 4, 255],
                Capability::MultipleLabels(vec![(AfiSafi::VPNV4, 2), (AfiSafi::IPV6_LABELED, 255)]),
            ),
            ("RFC 9234 §4.1", &[9, 1, 3], Capability::Role(Role::Customer)),
            (
                "RFC 9494 §3",
                &[71, 7, 0, 1, 128, 0x80, 1, 0x51, 0x80],
                Capability::LongLivedGracefulRestart(vec![long_lived]),
            ),
            (
                "draft-walton-bgp-hostname-capability",
                b"\x49\x08\x03ctl\x03lab",
                Capability::Fqdn { host: "ctl".into(), domain: "lab".into() },
            ),
            ("draft-ietf-idr-bgp-bfd-strict-mode", &[74, 0], Capability::BfdStrict),
            (
                "draft-ietf-bgp-version-capability",
                b"\x4b\x06\x05a/1.2",
                Capability::SoftwareVersion("a/1.2".into()),
            ),
        ];
        for (source, octets, want) in cases {
            let (rest, got) = Capability::read(octets).expect(source);
            assert_eq!((rest, &got), (&[][..], &want), "{source}");
            let mut written = Vec::new();
            want.write(&mut written);
            assert_eq!(written, octets, "{source}");
        }
    }

    #[test]
    fn what_has_no_right_form_is_unknown() {
        for octets in [
            &[9, 1, 5][..],
            &[8, 3, 0, 1, 4],
            &[9, 2, 0, 0],
            &[71, 1, 0],
            &[5, 1, 0],
            &[73, 2, 9, 0],
        ] {
            let (_, got) = Capability::read(octets).expect("a capability");
            assert!(matches!(got, Capability::Unknown { .. }), "{got:?}");
        }
    }

    #[test]
    fn long_texts_are_cut_to_what_a_capability_holds() {
        let mut out = Vec::new();
        Capability::Fqdn { host: "h".repeat(300), domain: "d".repeat(300) }.write(&mut out);
        Capability::SoftwareVersion("v".repeat(300)).write(&mut out);
        let (rest, fqdn) = Capability::read(&out).expect("the names");
        assert_eq!(fqdn, Capability::Fqdn { host: "h".repeat(126), domain: "d".repeat(126) });
        let (rest, version) = Capability::read(rest).expect("the version");
        assert_eq!((rest, version), (&[][..], Capability::SoftwareVersion("v".repeat(254))));
    }

    #[test]
    fn roles_come_in_pairs_and_have_names() {
        for (us, pair) in [(0, 3), (1, 2), (2, 1), (3, 0), (4, 4)] {
            let role = Role::from_u8(us).expect("a role");
            assert_eq!((role.to_u8(), role.to_string().parse()), (us, Ok(role)));
            for peer in 0..5 {
                let other = Role::from_u8(peer).expect("a role");
                assert_eq!(role.pairs_with(other), peer == pair, "{role} and {other}");
            }
        }
        assert!("provider-ish".parse::<Role>().is_err());
    }
}
