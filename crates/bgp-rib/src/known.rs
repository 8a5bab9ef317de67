//! Attributes that the decision and policy look into.

use bgp_wire::PathAttributes;
use bgp_wire::attrs::RawAttribute;
use bgp_wire::attrs::code::{AIGP, OTC};

/// The AIGP TLV (RFC 7311 §3): its first one of type 1.
pub(crate) fn aigp(attributes: &PathAttributes) -> Option<u64> {
    let mut rest = &*attributes.others.iter().find(|other| other.code == AIGP)?.value;
    while let [kind, high, low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let tlv = rest.get(..length)?;
        if let (1, [_, _, _, value @ ..]) = (kind, tlv) {
            return value.try_into().ok().map(u64::from_be_bytes);
        }
        rest = rest.get(length.max(3)..)?;
    }
    None
}

/// Whether an address stays where it is, and how often it has moved (RFC 7432 §7.7).
pub(crate) fn mac_mobility(attributes: &PathAttributes) -> Option<(bool, u32)> {
    attributes.extended_communities.iter().find_map(|community| match community.0 {
        [0x06, 0x00, flags, _, a, b, c, d] => {
            Some((flags & 1 == 1, u32::from_be_bytes([a, b, c, d])))
        }
        _ => None,
    })
}

/// Whether an address is that of a default gateway (RFC 7432 §7.8).
pub(crate) fn is_default_gateway(attributes: &PathAttributes) -> bool {
    attributes.extended_communities.iter().any(|community| matches!(community.0, [0x03, 0x0d, ..]))
}

/// The AS that a route came down from, "only to customers" (RFC 9234 §5).
pub(crate) fn otc(attributes: &PathAttributes) -> Option<u32> {
    let found = attributes.others.iter().find(|other| other.code == OTC)?;
    found.value.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

/// Adds OTC to attributes that have none.
pub(crate) fn set_otc(attributes: &mut PathAttributes, asn: u32) {
    const OPTIONAL_TRANSITIVE: u8 = 0xc0;
    let value = asn.to_be_bytes().to_vec().into();
    let at = attributes.others.partition_point(|other| other.code < OTC);
    attributes.others.insert(at, RawAttribute { flags: OPTIONAL_TRANSITIVE, code: OTC, value });
}
