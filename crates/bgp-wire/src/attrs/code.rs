//! Path attribute codes and flags, IANA "BGP Path Attributes".

pub const ORIGIN: u8 = 1;
pub const AS_PATH: u8 = 2;
pub const NEXT_HOP: u8 = 3;
pub const MULTI_EXIT_DISC: u8 = 4;
pub const LOCAL_PREF: u8 = 5;
pub const ATOMIC_AGGREGATE: u8 = 6;
pub const AGGREGATOR: u8 = 7;
/// RFC 1997.
pub const COMMUNITIES: u8 = 8;
/// RFC 4456.
pub const ORIGINATOR_ID: u8 = 9;
/// RFC 4456.
pub const CLUSTER_LIST: u8 = 10;
/// RFC 4760.
pub const MP_REACH_NLRI: u8 = 14;
/// RFC 4760.
pub const MP_UNREACH_NLRI: u8 = 15;
/// RFC 4360.
pub const EXTENDED_COMMUNITIES: u8 = 16;
/// RFC 6793.
pub const AS4_PATH: u8 = 17;
/// RFC 6793.
pub const AS4_AGGREGATOR: u8 = 18;
/// RFC 6514.
pub const PMSI_TUNNEL: u8 = 22;
/// RFC 9012.
pub const TUNNEL_ENCAPSULATION: u8 = 23;
/// RFC 5701.
pub const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
/// RFC 7311.
pub const AIGP: u8 = 26;
/// RFC 8092.
pub const LARGE_COMMUNITIES: u8 = 32;
/// RFC 9234, "only to customer".
pub const OTC: u8 = 35;
/// RFC 6368.
pub const ATTR_SET: u8 = 128;

/// Flag bits (RFC 4271 §4.3).
pub(crate) mod flag {
    pub(crate) const OPTIONAL: u8 = 0x80;
    pub(crate) const TRANSITIVE: u8 = 0x40;
    pub(crate) const PARTIAL: u8 = 0x20;
    pub(crate) const EXTENDED_LENGTH: u8 = 0x10;
}

/// The optional and transitive bits of an attribute we know, by the RFC that defines it.
pub(crate) const fn known_flags(code: u8) -> Option<u8> {
    match code {
        ORIGIN | AS_PATH | NEXT_HOP | LOCAL_PREF | ATOMIC_AGGREGATE => Some(flag::TRANSITIVE),
        MULTI_EXIT_DISC | ORIGINATOR_ID | CLUSTER_LIST | MP_REACH_NLRI | MP_UNREACH_NLRI | AIGP => {
            Some(flag::OPTIONAL)
        }
        AGGREGATOR
        | COMMUNITIES
        | EXTENDED_COMMUNITIES
        | AS4_PATH
        | AS4_AGGREGATOR
        | PMSI_TUNNEL
        | TUNNEL_ENCAPSULATION
        | IPV6_EXTENDED_COMMUNITIES
        | LARGE_COMMUNITIES
        | OTC
        | ATTR_SET => Some(flag::OPTIONAL | flag::TRANSITIVE),
        _ => None,
    }
}

/// The name in the RFC, for those we know.
pub(crate) const fn name(code: u8) -> Option<&'static str> {
    Some(match code {
        ORIGIN => "ORIGIN",
        AS_PATH => "AS_PATH",
        NEXT_HOP => "NEXT_HOP",
        MULTI_EXIT_DISC => "MULTI_EXIT_DISC",
        LOCAL_PREF => "LOCAL_PREF",
        ATOMIC_AGGREGATE => "ATOMIC_AGGREGATE",
        AGGREGATOR => "AGGREGATOR",
        COMMUNITIES => "COMMUNITIES",
        ORIGINATOR_ID => "ORIGINATOR_ID",
        CLUSTER_LIST => "CLUSTER_LIST",
        MP_REACH_NLRI => "MP_REACH_NLRI",
        MP_UNREACH_NLRI => "MP_UNREACH_NLRI",
        EXTENDED_COMMUNITIES => "EXTENDED_COMMUNITIES",
        AS4_PATH => "AS4_PATH",
        AS4_AGGREGATOR => "AS4_AGGREGATOR",
        PMSI_TUNNEL => "PMSI_TUNNEL",
        TUNNEL_ENCAPSULATION => "TUNNEL_ENCAPSULATION",
        IPV6_EXTENDED_COMMUNITIES => "IPV6_EXTENDED_COMMUNITIES",
        AIGP => "AIGP",
        LARGE_COMMUNITIES => "LARGE_COMMUNITIES",
        OTC => "OTC",
        ATTR_SET => "ATTR_SET",
        _ => return None,
    })
}
