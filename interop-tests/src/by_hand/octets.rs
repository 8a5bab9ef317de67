//! Messages of BGP written octet by octet, right and wrong ones.
//!
//! Shares nothing with the codec of the daemon: a mistake in that one cannot hide itself here.

use std::net::Ipv4Addr;

pub const OPEN: u8 = 1;
pub const UPDATE: u8 = 2;
pub const NOTIFICATION: u8 = 3;
pub const KEEPALIVE: u8 = 4;
pub const ROUTE_REFRESH: u8 = 5;

/// Flags of path attributes.
pub const WELL_KNOWN: u8 = 0x40;
pub const OPTIONAL: u8 = 0x80;
pub const TRANSITIVE: u8 = 0xc0;
pub const PARTIAL: u8 = 0x20;
pub const EXTENDED: u8 = 0x10;

/// AFI and SAFI.
pub type Family = (u16, u8);
pub const IPV4: Family = (1, 1);
pub const IPV6: Family = (2, 1);
pub const VPNV4: Family = (1, 128);
pub const VPNV6: Family = (2, 128);
pub const EVPN: Family = (25, 70);
pub const RTC: Family = (1, 132);

/// The families that control nodes and nodes speak.
pub const OVERLAY: [Family; 4] = [VPNV4, VPNV6, EVPN, RTC];

pub fn be16(number: usize) -> [u8; 2] {
    u16::try_from(number).expect("a length of two octets").to_be_bytes()
}

/// A message with a header that is right.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    with_length(kind, 19 + body.len(), body)
}

/// A message whose header claims this length.
pub fn with_length(kind: u8, length: usize, body: &[u8]) -> Vec<u8> {
    [&[0xff; 16][..], &be16(length), &[kind], body].concat()
}

pub fn keepalive() -> Vec<u8> {
    message(KEEPALIVE, &[])
}

pub fn notification(code: u8, subcode: u8, data: &[u8]) -> Vec<u8> {
    message(NOTIFICATION, &[&[code, subcode], data].concat())
}

pub fn refresh(family: Family, subtype: u8) -> Vec<u8> {
    let [afi_high, afi_low] = family.0.to_be_bytes();
    message(ROUTE_REFRESH, &[afi_high, afi_low, subtype, family.1])
}

pub fn update(withdrawn: &[u8], attributes: &[Vec<u8>], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let lengths = (be16(withdrawn.len()), be16(attributes.len()));
    message(UPDATE, &[&lengths.0, withdrawn, &lengths.1, &attributes, nlri].concat())
}

/// An empty UPDATE for IPv4 unicast, an empty MP_UNREACH_NLRI for others (RFC 4724 §2).
pub fn end_of_rib(family: Family) -> Vec<u8> {
    if family == IPV4 { update(&[], &[], &[]) } else { update(&[], &[unreach(family, &[])], &[]) }
}

/// An OPEN, before anything is spoilt.
#[derive(Debug, Clone)]
pub struct Open {
    pub version: u8,
    pub asn: u16,
    pub hold: u16,
    pub id: Ipv4Addr,
    /// Each is code, length, value.
    pub capabilities: Vec<Vec<u8>>,
}

impl Open {
    /// With route refresh and four-octet AS numbers; without graceful restart.
    pub fn new(asn: u32, id: Ipv4Addr, families: &[Family]) -> Self {
        let mut capabilities: Vec<_> = families.iter().map(|f| multiprotocol(*f)).collect();
        capabilities.push(capability(2, &[]));
        capabilities.push(capability(65, &asn.to_be_bytes()));
        Self { version: 4, asn: u16::try_from(asn).unwrap_or(23_456), hold: 90, id, capabilities }
    }

    #[must_use]
    pub fn hold(mut self, seconds: u16) -> Self {
        self.hold = seconds;
        self
    }

    /// Says one thing more.
    #[must_use]
    pub fn and(mut self, code: u8, value: &[u8]) -> Self {
        self.capabilities.push(capability(code, value));
        self
    }

    #[must_use]
    pub fn without(mut self, code: u8) -> Self {
        self.capabilities.retain(|capability| capability[0] != code);
        self
    }

    /// As the draft of RFC 5492 has it: one optional parameter with all capabilities.
    pub fn octets(&self) -> Vec<u8> {
        let capabilities = self.capabilities.concat();
        let parameters = if capabilities.is_empty() {
            Vec::new()
        } else {
            [&[2, u8::try_from(capabilities.len()).expect("few")], &capabilities[..]].concat()
        };
        self.with_parameters(&parameters)
    }

    /// With these optional parameters instead of the capabilities.
    pub fn with_parameters(&self, parameters: &[u8]) -> Vec<u8> {
        self.with_tail(u8::try_from(parameters.len()).expect("short"), parameters)
    }

    /// With this length of optional parameters, and what follows it.
    pub fn with_tail(&self, length: u8, tail: &[u8]) -> Vec<u8> {
        let mut body = vec![self.version];
        body.extend(self.asn.to_be_bytes());
        body.extend(self.hold.to_be_bytes());
        body.extend(self.id.octets());
        body.push(length);
        body.extend(tail);
        message(OPEN, &body)
    }
}

pub fn capability(code: u8, value: &[u8]) -> Vec<u8> {
    [&[code, u8::try_from(value.len()).expect("a short capability")], value].concat()
}

pub fn multiprotocol(family: Family) -> Vec<u8> {
    let [high, low] = family.0.to_be_bytes();
    capability(1, &[high, low, 0, family.1])
}

/// The value of a graceful restart capability: flags (0x8 restarting, 0x4 notification), seconds,
/// families with the forwarding bit set.
pub fn restart(flags: u8, seconds: u16, families: &[Family]) -> Vec<u8> {
    let mut value = (u16::from(flags) << 12 | seconds).to_be_bytes().to_vec();
    for family in families {
        value.extend(family.0.to_be_bytes());
        value.extend([family.1, 0x80]);
    }
    value
}

/// A path attribute; long ones have a length of two octets.
pub fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    match u8::try_from(value.len()) {
        Ok(length) if flags & EXTENDED == 0 => [&[flags, code, length], value].concat(),
        _ => [&[flags | EXTENDED, code], &be16(value.len())[..], value].concat(),
    }
}

pub fn origin(value: u8) -> Vec<u8> {
    attribute(WELL_KNOWN, 1, &[value])
}

/// A sequence of four-octet AS numbers; empty is an empty attribute.
pub fn as_path(numbers: &[u32]) -> Vec<u8> {
    attribute(WELL_KNOWN, 2, &segments(&[(2, numbers)]))
}

/// Segments by their type: 1 is a set, 2 a sequence.
pub fn segments(segments: &[(u8, &[u32])]) -> Vec<u8> {
    let mut value = Vec::new();
    for (kind, numbers) in segments.iter().filter(|(_, numbers)| !numbers.is_empty()) {
        value.extend([*kind, u8::try_from(numbers.len()).expect("few")]);
        value.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    }
    value
}

pub fn next_hop(address: Ipv4Addr) -> Vec<u8> {
    attribute(WELL_KNOWN, 3, &address.octets())
}

pub fn med(value: u32) -> Vec<u8> {
    attribute(OPTIONAL, 4, &value.to_be_bytes())
}

pub fn local_pref(value: u32) -> Vec<u8> {
    attribute(WELL_KNOWN, 5, &value.to_be_bytes())
}

pub fn communities(values: &[u32]) -> Vec<u8> {
    let octets: Vec<_> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    attribute(TRANSITIVE, 8, &octets)
}

pub fn originator(id: Ipv4Addr) -> Vec<u8> {
    attribute(OPTIONAL, 9, &id.octets())
}

pub fn cluster_list(ids: &[Ipv4Addr]) -> Vec<u8> {
    attribute(OPTIONAL, 10, &ids.iter().flat_map(Ipv4Addr::octets).collect::<Vec<_>>())
}

pub fn extended_communities(values: &[[u8; 8]]) -> Vec<u8> {
    attribute(TRANSITIVE, 16, &values.concat())
}

/// A route target of a two-octet AS.
pub fn target(asn: u16, number: u32) -> [u8; 8] {
    let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
    [0, 2, a, b, c, d, e, f]
}

/// MP_REACH_NLRI.
pub fn reach(family: Family, next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = u8::try_from(next_hop.len()).expect("a next hop");
    attribute(
        OPTIONAL,
        14,
        &[&family.0.to_be_bytes(), &[family.1, length][..], next_hop, &[0], nlri].concat(),
    )
}

/// MP_UNREACH_NLRI.
pub fn unreach(family: Family, nlri: &[u8]) -> Vec<u8> {
    attribute(OPTIONAL, 15, &[&family.0.to_be_bytes(), &[family.1][..], nlri].concat())
}

/// A length in bits and as many octets of the address as it needs.
pub fn prefix(address: &[u8], bits: u8) -> Vec<u8> {
    let octets = usize::from(bits).div_ceil(8);
    [&[bits], &address[..octets]].concat()
}

/// Three octets of a label with the bottom-of-stack bit.
pub fn label(value: u32) -> [u8; 3] {
    let [_, a, b, c] = (value << 4 | 1).to_be_bytes();
    [a, b, c]
}

/// A labeled prefix of a VPN: VPN-IPv4 or VPN-IPv6 by the octets of the address.
pub fn vpn(label: [u8; 3], rd: [u8; 8], address: &[u8], bits: u8) -> Vec<u8> {
    let octets = usize::from(bits).div_ceil(8);
    [&[88 + bits], &label[..], &rd, &address[..octets]].concat()
}

/// A distinguisher of type 0.
pub fn rd(asn: u16, number: u32) -> [u8; 8] {
    let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), number.to_be_bytes());
    [0, 0, a, b, c, d, e, f]
}

/// The next hop of a VPN-IPv4 route: a distinguisher of zeros and the address.
pub fn vpn_next_hop(address: Ipv4Addr) -> Vec<u8> {
    [&[0; 8][..], &address.octets()].concat()
}

/// An IPv4 address as the next hop of a VPN-IPv6 route (RFC 4659 §3.2.1.2).
pub fn mapped_next_hop(address: Ipv4Addr) -> Vec<u8> {
    [&[0; 8][..], &address.to_ipv6_mapped().octets()].concat()
}

/// A route of EVPN: its type, the length of the rest, the rest.
pub fn evpn(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind, u8::try_from(rest.len()).expect("a short route")], rest].concat()
}

/// A membership: so many bits of origin AS and target.
pub fn membership(origin: u32, target: [u8; 8], bits: u8) -> Vec<u8> {
    prefix(&[&origin.to_be_bytes()[..], &target].concat(), bits)
}

/// The membership that asks for everything.
pub const DEFAULT_TARGET: [u8; 1] = [0];

/// A tunnel of VXLAN with its encapsulation and its end (RFC 9012 §2, §3).
pub const TUNNEL: [u8; 30] = [
    0, 8, 0, 26, 1, 12, 0x80, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 6, 10, 0, 0, 0, 0, 0, 1, 192, 0, 2,
    1,
];
