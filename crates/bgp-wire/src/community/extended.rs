//! Extended communities (RFC 4360): what they say, and their text forms.

use std::fmt;
use std::str::FromStr;

use super::ParseCommunityError;
use super::names::{self, Form};
use crate::nlri::MacAddress;
use crate::route_target::RouteTarget;
use crate::text::{Assigned, parse_octets, serde_as_text};

/// An extended community (RFC 4360), held as its eight octets: unknown ones are passed on.
///
/// Text forms: the name of its type, a colon, and the value as people write it
/// (`target:65000:100`, `encapsulation:8`, `mac-mobility:5`, `router-mac:02:00:00:00:00:01`); a value
/// that has no such form as six octets (`l2-attributes:0x000105dc0000`); all eight octets
/// (`0x0123456789abcdef`) where the type has no name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedCommunity(pub [u8; 8]);

/// Tunnel types of RFC 5512 / RFC 9012, IANA "BGP Tunnel Encapsulation Attribute Tunnel Types".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelType(pub u16);

impl TunnelType {
    /// What MPLSoGRE is announced as (RFC 9012, and what Juniper and Contrail send).
    pub const GRE: Self = Self(2);
    pub const VXLAN: Self = Self(8);
    /// "MPLS in GRE"; accepted as MPLSoGRE, never sent.
    pub const MPLS_IN_GRE: Self = Self(11);
    pub const MPLS_IN_UDP: Self = Self(13);
}

/// How often a MAC address has moved (RFC 7432 §7.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacMobility {
    /// It must not move at all.
    pub sticky: bool,
    pub sequence: u32,
}

impl ExtendedCommunity {
    /// Default gateway (RFC 7432 §7.8).
    pub const DEFAULT_GATEWAY: Self = Self([0x03, 0x0d, 0, 0, 0, 0, 0, 0]);

    /// The encapsulation community (RFC 9012 §4.1).
    pub const fn encapsulation(tunnel: TunnelType) -> Self {
        let [a, b] = tunnel.0.to_be_bytes();
        Self([0x03, 0x0c, 0, 0, 0, 0, a, b])
    }

    /// The tunnel type, if this is an encapsulation community.
    pub const fn as_encapsulation(self) -> Option<TunnelType> {
        match self.0 {
            [0x03, 0x0c, .., a, b] => Some(TunnelType(u16::from_be_bytes([a, b]))),
            _ => None,
        }
    }

    /// The route target, if this is one (RFC 4360 §4, RFC 5668 §2).
    pub const fn as_route_target(self) -> Option<RouteTarget> {
        match self.0 {
            [0x00..=0x02, 0x02, ..] => Some(RouteTarget::from_octets(self.0)),
            _ => None,
        }
    }

    /// MAC mobility (RFC 7432 §7.7).
    pub const fn mac_mobility(MacMobility { sticky, sequence }: MacMobility) -> Self {
        let [a, b, c, d] = sequence.to_be_bytes();
        Self([0x06, 0x00, if sticky { 1 } else { 0 }, 0, a, b, c, d])
    }

    /// How often its MAC address has moved, if this says so.
    pub const fn as_mac_mobility(self) -> Option<MacMobility> {
        match self.0 {
            [0x06, 0x00, flags, _, a, b, c, d] => Some(MacMobility {
                sticky: flags & 1 == 1,
                sequence: u32::from_be_bytes([a, b, c, d]),
            }),
            _ => None,
        }
    }

    /// ESI label (RFC 7432 §7.5): whether only one of the segment's speakers forwards, and the label
    /// field.
    pub const fn as_esi_label(self) -> Option<(bool, crate::Label)> {
        match self.0 {
            [0x06, 0x01, flags, _, _, a, b, c] => {
                Some((flags & 1 == 1, crate::Label::from_octets([a, b, c])))
            }
            _ => None,
        }
    }

    /// ES-Import route target (RFC 7432 §7.6).
    pub const fn as_es_import(self) -> Option<MacAddress> {
        match self.0 {
            [0x06, 0x02, mac @ ..] => Some(MacAddress(mac)),
            _ => None,
        }
    }

    /// The MAC address of the router that routes for others (RFC 9135 §8.1).
    pub const fn router_mac(mac: MacAddress) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        Self([0x06, 0x03, a, b, c, d, e, f])
    }

    /// The MAC address, if this is a router's MAC.
    pub const fn as_router_mac(self) -> Option<MacAddress> {
        match self.0 {
            [0x06, 0x03, mac @ ..] => Some(MacAddress(mac)),
            _ => None,
        }
    }

    pub const fn is_default_gateway(self) -> bool {
        matches!(self.0, [0x03, 0x0d, ..])
    }

    /// Link bandwidth (draft-ietf-idr-link-bandwidth): the AS that added it, and octets a second. Both
    /// its non-transitive form and the transitive one that many send.
    pub const fn as_link_bandwidth(self) -> Option<(u16, f32)> {
        match self.0 {
            [0x00 | 0x40, 0x04, high, low, a, b, c, d] => {
                Some((u16::from_be_bytes([high, low]), f32::from_be_bytes([a, b, c, d])))
            }
            _ => None,
        }
    }

    /// Whether it stays with the route across AS borders (RFC 4360 §2: the T bit is 0).
    pub const fn is_transitive(self) -> bool {
        self.0[0] & 0x40 == 0
    }

    const fn value(self) -> [u8; 6] {
        let [_, _, a, b, c, d, e, f] = self.0;
        [a, b, c, d, e, f]
    }

    const fn of(kind: u8, sub_type: u8, [a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self([kind, sub_type, a, b, c, d, e, f])
    }
}

impl From<RouteTarget> for ExtendedCommunity {
    fn from(target: RouteTarget) -> Self {
        Self(target.octets())
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, sub_type, ..] = self.0;
        let Some((name, form)) = names::of(kind, sub_type) else {
            return write!(f, "0x{:016x}", u64::from_be_bytes(self.0));
        };
        let value = self.value();
        let text = value_text(form, kind, value)
            // Only if nothing is lost: bits that mean nothing yet are shown as octets.
            .filter(|text| value_of(form, text).is_some_and(|(_, again)| again == value));
        match text.as_deref() {
            Some("") => f.write_str(name),
            Some(text) => write!(f, "{name}:{text}"),
            None if form == Form::Assigned => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
            None => {
                write!(f, "{name}:0x")?;
                value.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }
    }
}

impl FromStr for ExtendedCommunity {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseCommunityError::Extended(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<ExtendedCommunity> {
    if let Some(octets) = parse_octets(text) {
        return Some(ExtendedCommunity(octets));
    }
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let (kind, sub_type, form) = names::named(name)?;
    if let Some((by_value, octets)) = value_of(form, value) {
        let kind = if form == Form::Assigned { kind & 0xf0 | by_value } else { kind };
        return Some(ExtendedCommunity::of(kind, sub_type, octets));
    }
    let octets = crate::text::parse_hex(value.strip_prefix("0x")?)?.try_into().ok()?;
    (form != Form::Assigned).then(|| ExtendedCommunity::of(kind, sub_type, octets))
}

/// A value as people write it; `None` where it has no such form.
fn value_text(form: Form, kind: u8, value: [u8; 6]) -> Option<String> {
    let [a, b, c, d, e, f] = value;
    Some(match form {
        Form::Assigned => Assigned::from_value(kind & 0x0f, value)?.to_string(),
        Form::Octets => return None,
        Form::Empty => String::new(),
        Form::Low16 => u16::from_be_bytes([e, f]).to_string(),
        Form::Low32 => u32::from_be_bytes([c, d, e, f]).to_string(),
        Form::Mac => MacAddress(value).to_string(),
        Form::Mobility => {
            let sequence = u32::from_be_bytes([c, d, e, f]);
            if a == 1 { format!("sticky:{sequence}") } else { sequence.to_string() }
        }
        Form::Bandwidth => {
            format!("{}:{}", u16::from_be_bytes([a, b]), f32::from_be_bytes([c, d, e, f]))
        }
        Form::EsiLabel => {
            let label = crate::Label::from_octets([d, e, f]).vni_value();
            format!("{}:{label}", if a == 1 { "single-active" } else { "all-active" })
        }
    })
}

/// The reverse of [`value_text`], with the kind that an assigned number belongs to.
fn value_of(form: Form, text: &str) -> Option<(u8, [u8; 6])> {
    let low32 = |[c, d, e, f]: [u8; 4]| [0, 0, c, d, e, f];
    let octets = match form {
        Form::Assigned => {
            return Assigned::parse(text)?.value();
        }
        Form::Octets => return None,
        Form::Empty => text.is_empty().then_some([0; 6])?,
        Form::Low16 => low32(u32::from(text.parse::<u16>().ok()?).to_be_bytes()),
        Form::Low32 => low32(text.parse::<u32>().ok()?.to_be_bytes()),
        Form::Mac => text.parse::<MacAddress>().ok()?.0,
        Form::Mobility => {
            let (sticky, sequence) = match text.strip_prefix("sticky:") {
                Some(sequence) => (1, sequence),
                None => (0, text),
            };
            let [c, d, e, f] = sequence.parse::<u32>().ok()?.to_be_bytes();
            [sticky, 0, c, d, e, f]
        }
        Form::Bandwidth => {
            let (asn, octets) = text.split_once(':')?;
            let ([a, b], [c, d, e, f]) =
                (asn.parse::<u16>().ok()?.to_be_bytes(), octets.parse::<f32>().ok()?.to_be_bytes());
            [a, b, c, d, e, f]
        }
        Form::EsiLabel => {
            let (flag, label) = text.split_once(':')?;
            let flag = match flag {
                "single-active" => 1,
                "all-active" => 0,
                _ => return None,
            };
            let [d, e, f] = crate::Label::vni(label.parse().ok()?)?.octets();
            [flag, 0, 0, d, e, f]
        }
    };
    Some((0, octets))
}

serde_as_text!(ExtendedCommunity, "an extended community, such as \"target:65000:100\"");

impl fmt::Debug for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_the_ones_operators_write() {
        // (where the octets are from, octets, text)
        let cases: &[(&str, [u8; 8], &str)] = &[
            ("RFC 4360 §4", [0, 2, 0xfd, 0xe8, 0, 0, 0, 100], "target:65000:100"),
            ("RFC 4360 §5", [1, 3, 192, 0, 2, 1, 0, 7], "origin:192.0.2.1:7"),
            ("RFC 5668 §2", [2, 2, 0xfa, 0x56, 0xea, 0, 0, 7], "target:4200000000:7"),
            ("RFC 9012 §4.1", [3, 0x0c, 0, 0, 0, 0, 0, 8], "encapsulation:8"),
            ("RFC 9012 §4.3", [3, 0x0b, 0, 0, 0, 0, 0, 100], "color:100"),
            ("RFC 7432 §7.7", [6, 0, 1, 0, 0, 0, 0, 3], "mac-mobility:sticky:3"),
            ("RFC 7432 §7.7", [6, 0, 0, 0, 0, 0, 1, 0], "mac-mobility:256"),
            ("RFC 7432 §7.5", [6, 1, 1, 0, 0, 0, 0, 100], "esi-label:single-active:100"),
            ("RFC 7432 §7.6", [6, 2, 2, 0, 0, 0, 0, 1], "es-import:02:00:00:00:00:01"),
            ("RFC 9135 §8.1", [6, 3, 2, 0, 0, 0, 0, 1], "router-mac:02:00:00:00:00:01"),
            ("RFC 7432 §7.8", [3, 0x0d, 0, 0, 0, 0, 0, 0], "default-gateway"),
            (
                "draft-ietf-idr-link-bandwidth §2, 125 MB/s",
                [0x40, 4, 0xfd, 0xe8, 0x4c, 0xee, 0x6b, 0x28],
                "link-bandwidth:65000:125000000",
            ),
            ("RFC 8097 §2, invalid", [0x43, 0, 0, 0, 0, 0, 0, 2], "origin-validation:2"),
            ("RFC 8214 §3.1", [6, 4, 0, 2, 5, 0xdc, 0, 0], "l2-attributes:0x000205dc0000"),
            ("Contrail, security group", [0x80, 4, 0xfc, 0, 0, 0, 0, 9], "security-group:64512:9"),
            (
                "a bit that means nothing yet",
                [6, 0, 2, 0, 0, 0, 0, 1],
                "mac-mobility:0x020000000001",
            ),
            ("no such type", [0x99, 1, 2, 3, 4, 5, 6, 7], "0x9901020304050607"),
        ];
        for (source, octets, text) in cases {
            let community = ExtendedCommunity(*octets);
            assert_eq!(community.to_string(), *text, "{source}");
            assert_eq!(text.parse(), Ok(community), "{source}");
        }
        for text in [
            "",
            "65000:100",
            "target:65000",
            "target:0x0002fde800000064",
            "encapsulation:65536",
            "0x00",
            "rt:1:1",
            "default-gateway:1",
            "l2-attributes:0x00",
        ] {
            assert!(text.parse::<ExtendedCommunity>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_they_say_can_be_asked() {
        let mobility = MacMobility { sticky: true, sequence: 7 };
        assert_eq!(ExtendedCommunity::mac_mobility(mobility).as_mac_mobility(), Some(mobility));
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        assert_eq!(ExtendedCommunity::router_mac(mac).as_router_mac(), Some(mac));
        assert_eq!(ExtendedCommunity([6, 2, 2, 0, 0, 0, 0, 1]).as_es_import(), Some(mac));
        let (single, label) = ExtendedCommunity([6, 1, 1, 0, 0, 0, 1, 1]).as_esi_label().unwrap();
        assert_eq!((single, label.mpls_value()), (true, 16));
        assert!(ExtendedCommunity::DEFAULT_GATEWAY.is_default_gateway());
        for kind in [0x00, 0x40] {
            let octets = [kind, 4, 0xfd, 0xe8, 0x4c, 0xee, 0x6b, 0x28];
            let (asn, speed) = ExtendedCommunity(octets).as_link_bandwidth().unwrap();
            assert_eq!((asn, speed.to_bits()), (65_000, 125_000_000_f32.to_bits()));
        }
        assert_eq!(ExtendedCommunity([0, 2, 0, 0, 0, 0, 0, 0]).as_mac_mobility(), None);
    }

    #[test]
    fn names_belong_to_one_sort_of_community() {
        for (kind, sub_type, name, form) in names::all() {
            let (_, found, form_found) = names::named(name).expect(name);
            assert_eq!((found, form_found), (sub_type, form), "{name}, {kind}");
            assert!(!name.contains(':'), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            octets: [u8; 8],
            row in 0..names::all().count(),
            flag in prop_oneof![Just(0u8), Just(1), Just(2)],
            zeros in 0u8..4,
        ) {
            let (kind, sub_type, ..) = names::all().nth(row).unwrap();
            let [a, b, c, d, e, f, g, h] = octets;
            let values = match zeros {
                0 => [0, 0, 0, 0, 0, 0],
                1 => [flag, 0, c, d, e, f],
                2 => [0, 0, 0, 0, g, h],
                _ => [a, b, c, d, e, f],
            };
            for octets in [octets, ExtendedCommunity::of(kind, sub_type, values).0] {
                let community = ExtendedCommunity(octets);
                prop_assert_eq!(community.to_string().parse(), Ok(community));
            }
        }
    }
}
