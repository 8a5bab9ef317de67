//! Names of extended communities, by type and sub-type (IANA "BGP Extended Communities").

/// How the six octets of a value are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// An AS number or address and a number: types 0, 1 and 2 and their relatives, by the lower bits
    /// of the type.
    Assigned,
    /// As octets.
    Octets,
    /// Nothing but zeros.
    Empty,
    /// A number in the last two octets.
    Low16,
    /// A number in the last four octets.
    Low32,
    Mac,
    /// RFC 7432 §7.7.
    Mobility,
    /// An AS number and a floating point number.
    Bandwidth,
    /// RFC 7432 §7.5.
    EsiLabel,
}

use Form::{Assigned, Bandwidth, Empty, EsiLabel, Low16, Low32, Mac, Mobility, Octets};

/// (upper bits of the type, sub-type, name): sorts that exist for two-octet ASes, IPv4 addresses and
/// four-octet ASes, one type after the other.
const ASSIGNED: &[(u8, u8, &str)] = &[
    // RFC 4360 §4, §5.
    (0x00, 0x02, "target"),
    (0x00, 0x03, "origin"),
    // RFC 4577 §4.2.4.
    (0x00, 0x05, "ospf-domain"),
    (0x00, 0x07, "ospf-router"),
    // RFC 4384.
    (0x00, 0x08, "data-collection"),
    // RFC 6514 §6, §7.
    (0x00, 0x09, "source-as"),
    (0x00, 0x0b, "vrf-route-import"),
    // RFC 6074 §3.1.
    (0x00, 0x0a, "l2vpn"),
    (0x00, 0x10, "vpn-distinguisher"),
    // RFC 7524 §4.
    (0x00, 0x12, "p2mp-segmented-next-hop"),
    (0x00, 0x13, "target-record"),
    (0x00, 0x14, "vrf-recursive-next-hop"),
    // RFC 9081 §3.
    (0x00, 0x15, "target-derived"),
    // RFC 9081 §4.
    (0x00, 0x20, "mvpn-rp-address"),
    // Their relatives that stay inside the AS.
    (0x40, 0x02, "internal-target"),
    (0x40, 0x03, "internal-origin"),
    // Generic transitive ones: flow specification (RFC 8955 §7.4), and private ones of Contrail.
    (0x80, 0x08, "redirect"),
    (0x80, 0x04, "security-group"),
    (0x80, 0x71, "origin-network"),
    (0x80, 0x84, "tag"),
    (0x80, 0x85, "sub-cluster"),
];

/// (type, sub-type, name, form of the value).
const SINGLE: &[(u8, u8, &str, Form)] = &[
    // draft-ietf-idr-link-bandwidth.
    (0x00, 0x04, "transitive-link-bandwidth", Bandwidth),
    (0x40, 0x04, "link-bandwidth", Bandwidth),
    // Opaque. draft-ietf-idr-custom-decision.
    (0x03, 0x01, "transitive-cost", Octets),
    // draft-ietf-idr-bgp-model: CP-ORF (RFC 7543 §3).
    (0x03, 0x03, "cp-orf", Octets),
    // RFC 7900 §4.4, §4.5.
    (0x03, 0x04, "extranet-source", Octets),
    (0x03, 0x05, "extranet-separation", Octets),
    // RFC 4577 §4.2.6.
    (0x03, 0x06, "ospf-route-type", Octets),
    // RFC 7902 §3.
    (0x03, 0x07, "pmsi-flags", Octets),
    // RFC 9573 §3.
    (0x03, 0x08, "context-label-space", Octets),
    // RFC 9012 §4.3, §4.1.
    (0x03, 0x0b, "color", Low32),
    (0x03, 0x0c, "encapsulation", Low16),
    // RFC 7432 §7.8.
    (0x03, 0x0d, "default-gateway", Empty),
    // RFC 9015 §3.3.
    (0x03, 0x0e, "point-to-multipoint", Octets),
    (0x03, 0x10, "consistent-hash-order", Octets),
    // Of Contrail.
    (0x03, 0xaa, "load-balance", Octets),
    // draft-knoll-idr-qos-attribute, draft-knoll-idr-cos-interconnect.
    (0x04, 0x00, "transitive-qos-marking", Octets),
    (0x05, 0x00, "cos-capability", Octets),
    // EVPN: RFC 7432 §7.7, §7.5, §7.6, RFC 9135 §8.1.
    (0x06, 0x00, "mac-mobility", Mobility),
    (0x06, 0x01, "esi-label", EsiLabel),
    (0x06, 0x02, "es-import", Mac),
    (0x06, 0x03, "router-mac", Mac),
    // RFC 8214 §3.1.
    (0x06, 0x04, "l2-attributes", Octets),
    // RFC 8317 §6.1.
    (0x06, 0x05, "e-tree", Octets),
    // RFC 8584 §2.2.
    (0x06, 0x06, "df-election", Octets),
    // RFC 7623 §7.2.
    (0x06, 0x07, "i-sid", Octets),
    // RFC 9047 §2.
    (0x06, 0x08, "arp-nd", Octets),
    // RFC 9251 §9.4, §9.5.
    (0x06, 0x09, "multicast-flags", Octets),
    (0x06, 0x0a, "evi-target-0", Octets),
    (0x06, 0x0b, "evi-target-1", Octets),
    (0x06, 0x0c, "evi-target-2", Octets),
    (0x06, 0x0d, "evi-target-3", Octets),
    // draft-sajassi-bess-evpn-ac-aware-bundling.
    (0x06, 0x0e, "attachment-circuit", Octets),
    // RFC 9722 §2.1.
    (0x06, 0x0f, "service-carving-time", Octets),
    // draft-ietf-bess-evpn-unequal-lb.
    (0x06, 0x10, "evpn-link-bandwidth", Octets),
    // Flow specification: RFC 8955 §7, draft-ietf-idr-flowspec-redirect-ip.
    (0x80, 0x06, "traffic-rate", Octets),
    (0x80, 0x07, "traffic-action", Octets),
    (0x80, 0x09, "traffic-marking", Octets),
    (0x80, 0x0c, "traffic-rate-packets", Octets),
    (0x08, 0x00, "redirect-next-hop", Octets),
    (0x01, 0x0c, "redirect-ipv4", Octets),
    // RFC 4761 §3.2.4.
    (0x80, 0x0a, "l2-info", Octets),
    // RFC 4577, as it was sent before.
    (0x80, 0x00, "old-ospf-route-type", Octets),
    (0x80, 0x01, "old-ospf-router", Octets),
    (0x80, 0x05, "old-ospf-domain", Octets),
    // RFC 8097 §2, draft-ietf-idr-custom-decision.
    (0x43, 0x00, "origin-validation", Low16),
    (0x43, 0x01, "cost", Octets),
    (0x44, 0x00, "qos-marking", Octets),
    // Of Contrail.
    (0xc0, 0x00, "local-sequence", Octets),
];

/// Types that are alike but for whose number it is: two-octet AS, IPv4 address, four-octet AS.
const KINDS: std::ops::Range<u8> = 0..3;

/// Name and form of a type and sub-type.
pub(super) fn of(kind: u8, sub_type: u8) -> Option<(&'static str, Form)> {
    let single = SINGLE.iter().find(|(k, s, ..)| (*k, *s) == (kind, sub_type));
    if let Some((_, _, name, form)) = single {
        return Some((name, *form));
    }
    let upper = KINDS.contains(&(kind & 0x0f)).then_some(kind & 0xf0)?;
    let assigned = ASSIGNED.iter().find(|(k, s, _)| (*k, *s) == (upper, sub_type));
    assigned.map(|(_, _, name)| (*name, Assigned))
}

/// Type, sub-type and form of a name; of an assigned one the lowest type.
pub(super) fn named(name: &str) -> Option<(u8, u8, Form)> {
    let assigned = ASSIGNED.iter().find(|(.., known)| *known == name);
    assigned.map(|(kind, sub_type, _)| (*kind, *sub_type, Assigned)).or_else(|| {
        let single = SINGLE.iter().find(|(_, _, known, _)| *known == name);
        single.map(|(kind, sub_type, _, form)| (*kind, *sub_type, *form))
    })
}

/// Every type and sub-type that has a name.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (u8, u8, &'static str, Form)> {
    let assigned = ASSIGNED.iter().flat_map(|(upper, sub_type, name)| {
        KINDS.map(move |kind| (upper | kind, *sub_type, *name, Assigned))
    });
    let all = assigned.chain(SINGLE.iter().copied());
    all.filter(|(kind, sub_type, name, _)| of(*kind, *sub_type).is_some_and(|(n, _)| n == *name))
}
