//! Octets of messages, by hand: what is measured shall not have made its own input.

use std::net::Ipv4Addr;

/// Octets of the marker, the length and the type (RFC 4271 section 4.1).
pub(crate) const HEADER: usize = 19;

pub(crate) const OPEN: u8 = 1;
pub(crate) const UPDATE: u8 = 2;
pub(crate) const NOTIFICATION: u8 = 3;
pub(crate) const KEEPALIVE: u8 = 4;

/// Optional transitive, optional non-transitive, well-known.
pub(crate) const OPTIONAL: u8 = 0x80;
pub(crate) const TRANSITIVE: u8 = 0x40;
pub(crate) const EXTENDED_LENGTH: u8 = 0x10;

/// AFI and SAFI as they stand in a multiprotocol attribute.
pub(crate) type FamilyCode = (u16, u8);
pub(crate) const RTC: FamilyCode = (1, 132);

/// A whole message of this type around `body`.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + body.len()).expect("messages of the bench are short");
    let mut out = vec![0xff; 16];
    out.extend(length.to_be_bytes());
    out.push(kind);
    out.extend(body);
    out
}

pub(crate) fn keepalive() -> Vec<u8> {
    message(KEEPALIVE, &[])
}

/// An OPEN with multiprotocol, route refresh and four-octet AS (RFC 4760, 2918, 6793); no graceful
/// restart, so that a lost session withdraws at once.
pub(crate) fn open(asn: u16, hold: u16, id: Ipv4Addr, families: &[FamilyCode]) -> Vec<u8> {
    let mut capabilities = Vec::new();
    for (afi, safi) in families {
        capabilities.extend([1, 4]);
        capabilities.extend(afi.to_be_bytes());
        capabilities.extend([0, *safi]);
    }
    capabilities.extend([2, 0, 65, 4]);
    capabilities.extend(u32::from(asn).to_be_bytes());
    let length = u8::try_from(capabilities.len()).expect("few capabilities");
    let mut body = vec![4];
    body.extend(asn.to_be_bytes());
    body.extend(hold.to_be_bytes());
    body.extend(id.octets());
    body.extend([length + 2, 2, length]);
    body.extend(capabilities);
    message(OPEN, &body)
}

/// One path attribute; the long form of the length only where it is needed.
pub(crate) fn attribute(flags: u8, code: u8, value: &[u8], out: &mut Vec<u8>) {
    if let Ok(length) = u8::try_from(value.len()) {
        out.extend([flags, code, length]);
    } else {
        let length = u16::try_from(value.len()).expect("attributes of the bench are short");
        out.extend([flags | EXTENDED_LENGTH, code]);
        out.extend(length.to_be_bytes());
    }
    out.extend(value);
}

/// An UPDATE of the three fields of RFC 4271 section 4.3.
pub(crate) fn update(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| u16::try_from(part.len()).expect("short").to_be_bytes();
    let mut body = Vec::with_capacity(4 + withdrawn.len() + attributes.len() + nlri.len());
    body.extend(length(withdrawn));
    body.extend(withdrawn);
    body.extend(length(attributes));
    body.extend(attributes);
    body.extend(nlri);
    message(UPDATE, &body)
}

/// End-of-RIB of a family other than IPv4 unicast (RFC 4724 section 2).
pub(crate) fn end_of_rib((afi, safi): FamilyCode) -> Vec<u8> {
    let mut attributes = Vec::new();
    let [high, low] = afi.to_be_bytes();
    attribute(OPTIONAL, 15, &[high, low, safi], &mut attributes);
    update(&[], &attributes, &[])
}

/// The parts of an UPDATE that say which routes come and go.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// Field of withdrawn routes, then value of `MP_UNREACH_NLRI` behind the family.
    pub(crate) withdrawn: [&'a [u8]; 2],
    /// Field of announced routes, then routes of `MP_REACH_NLRI`.
    pub(crate) announced: [&'a [u8]; 2],
    /// AFI and SAFI of the multiprotocol attributes.
    pub(crate) family: Option<FamilyCode>,
    /// All attributes, as they stand there.
    pub(crate) attributes: &'a [u8],
    /// The value of `MP_REACH_NLRI` up to its routes: family, next hop, reserved octet.
    pub(crate) reach_head: &'a [u8],
}

/// Divides a whole UPDATE. `None` if its lengths do not fit together.
pub(crate) fn parts(message: &[u8]) -> Option<Parts<'_>> {
    let body = message.get(HEADER..)?;
    let (withdrawn, rest) = counted(body)?;
    let (attributes, nlri) = counted(rest)?;
    let mut parts = Parts {
        withdrawn: [withdrawn, &[]],
        announced: [nlri, &[]],
        attributes,
        ..Parts::default()
    };
    let mut rest = attributes;
    while !rest.is_empty() {
        let ((_, code, value), next) = first_attribute(rest)?;
        rest = next;
        match (code, value) {
            (14, [high, low, safi, next_hop, ..]) => {
                parts.family = Some((u16::from_be_bytes([*high, *low]), *safi));
                let (head, routes) = value.split_at_checked(5 + usize::from(*next_hop))?;
                (parts.reach_head, parts.announced[1]) = (head, routes);
            }
            (15, [high, low, safi, routes @ ..]) => {
                parts.family = Some((u16::from_be_bytes([*high, *low]), *safi));
                parts.withdrawn[1] = routes;
            }
            _ => {}
        }
    }
    Some(parts)
}

/// Flags, code, value.
type Attribute<'a> = (u8, u8, &'a [u8]);

/// The attributes of [`Parts::attributes`].
pub(crate) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    std::iter::from_fn(move || {
        let (attribute, next) = first_attribute(rest)?;
        rest = next;
        Some(attribute)
    })
}

fn first_attribute(octets: &[u8]) -> Option<(Attribute<'_>, &[u8])> {
    let [flags, code, more @ ..] = octets else { return None };
    let (value, rest) = if flags & EXTENDED_LENGTH == 0 {
        let (length, more) = more.split_first()?;
        more.split_at_checked(usize::from(*length))?
    } else {
        counted(more)?
    };
    Some(((*flags, *code, value), rest))
}

/// A field of two octets of length and so many octets, and what follows it.
fn counted(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[high, low], rest) = input.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))
}
