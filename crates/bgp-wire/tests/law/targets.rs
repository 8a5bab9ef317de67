//! What each fuzz target does with octets, so that the same runs over the committed corpora in tests.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use bgp_wire::capability::Role;
use bgp_wire::community::{Community, ExtendedCommunity, Ipv6ExtendedCommunity, LargeCommunity};
use bgp_wire::nlri::{Esi, EvpnKey, MacAddress, VpnKey};
use bgp_wire::{AfiSafi, Negotiated, RouteDistinguisher, RouteTarget, RtMembership};
use ipnet::{Ipv4Net, Ipv6Net};

/// Takes any octets, and panics where they break the law.
type Target = fn(&[u8]);

/// Every target by the name of its file and of its corpus.
pub(crate) const TARGETS: [(&str, Target); 18] = [
    ("message_decode", super::check),
    ("message_bodies", message_bodies),
    ("open_bodies", open_bodies),
    ("update_round_trip", update_round_trip),
    ("update_internal", update_internal),
    ("update_external", update_external),
    ("update_two_octet_as", update_two_octet_as),
    ("update_add_path", update_add_path),
    ("attributes", attributes),
    ("nlri_ipv4", nlri_ipv4),
    ("nlri_ipv6", nlri_ipv6),
    ("nlri_ipv4_labeled", nlri_ipv4_labeled),
    ("nlri_ipv6_labeled", nlri_ipv6_labeled),
    ("nlri_vpnv4", nlri_vpnv4),
    ("nlri_vpnv6", nlri_vpnv6),
    ("nlri_evpn", nlri_evpn),
    ("nlri_rtc", nlri_rtc),
    ("text_parsers", text_parsers),
];

const OPEN: u8 = 1;
const UPDATE: u8 = 2;

/// A message with a right header; `None` where it would be too long.
fn message(kind: u8, body: &[&[u8]]) -> Option<Vec<u8>> {
    let body = body.concat();
    let [high, low] = u16::try_from(19 + body.len()).ok()?.to_be_bytes();
    Some([&[0xff; 16][..], &[high, low, kind], &body].concat())
}

/// The first octet is the type, the others the body of a message.
pub(crate) fn message_bodies(octets: &[u8]) {
    let Some((kind, body)) = octets.split_first() else { return };
    if let Some(message) = message(*kind, &[body]) {
        super::check(&message);
    }
}

pub(crate) fn open_bodies(body: &[u8]) {
    if let Some(message) = message(OPEN, &[body]) {
        super::check(&message);
    }
}

/// The body of an UPDATE, read from every sort of peer.
pub(crate) fn update_round_trip(body: &[u8]) {
    if let Some(message) = message(UPDATE, &[body]) {
        super::check(&message);
    }
}

pub(crate) fn update_internal(body: &[u8]) {
    update(body, &super::internal());
}

pub(crate) fn update_external(body: &[u8]) {
    update(body, &super::external());
}

pub(crate) fn update_two_octet_as(body: &[u8]) {
    update(body, &super::two_octet_as());
}

pub(crate) fn update_add_path(body: &[u8]) {
    update(body, &super::add_path());
}

fn update(body: &[u8], negotiated: &Negotiated) {
    if let Some(message) = message(UPDATE, &[body]) {
        super::check_from(&message, negotiated);
    }
}

/// A list of attributes, with a route behind it.
pub(crate) fn attributes(list: &[u8]) {
    let Ok(length) = u16::try_from(list.len()) else { return };
    if let Some(message) = message(UPDATE, &[&[0, 0], &length.to_be_bytes(), list, &[8, 10]]) {
        super::check(&message);
    }
}

/// ORIGIN, an empty AS_PATH.
const NEEDED: &[u8] = &[0x40, 1, 1, 0, 0x40, 2, 0];

/// A list of routes of a family, announced and withdrawn.
fn nlri(family: AfiSafi, next_hop: &[u8], list: &[u8]) {
    let [high, low] = family.afi.0.to_be_bytes();
    let family = [high, low, family.safi.0];
    let hop_length = u8::try_from(next_hop.len()).expect("a short next hop");
    let reach = [&family[..], &[hop_length], next_hop, &[0], list].concat();
    let unreach = [&family[..], list].concat();
    for (code, value) in [(14, reach), (15, unreach)] {
        let Ok(length) = u16::try_from(value.len()) else { return };
        let attribute = [&[0x90, code][..], &length.to_be_bytes(), &value, NEEDED].concat();
        let Ok(length) = u16::try_from(attribute.len()) else { return };
        if let Some(message) = message(UPDATE, &[&[0, 0], &length.to_be_bytes(), &attribute]) {
            super::check(&message);
        }
    }
}

const V4: &[u8] = &[192, 0, 2, 1];
const V6: &[u8] = &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

pub(crate) fn nlri_ipv4(list: &[u8]) {
    nlri(AfiSafi::IPV4_UNICAST, V4, list);
}

pub(crate) fn nlri_ipv6(list: &[u8]) {
    nlri(AfiSafi::IPV6_UNICAST, V6, list);
}

pub(crate) fn nlri_ipv4_labeled(list: &[u8]) {
    nlri(AfiSafi::IPV4_LABELED, V4, list);
}

pub(crate) fn nlri_ipv6_labeled(list: &[u8]) {
    nlri(AfiSafi::IPV6_LABELED, V6, list);
}

pub(crate) fn nlri_vpnv4(list: &[u8]) {
    nlri(AfiSafi::VPNV4, &[&[0; 8], V4].concat(), list);
}

pub(crate) fn nlri_vpnv6(list: &[u8]) {
    nlri(AfiSafi::VPNV6, &[&[0; 8], V6].concat(), list);
}

pub(crate) fn nlri_evpn(list: &[u8]) {
    nlri(AfiSafi::EVPN, V4, list);
}

pub(crate) fn nlri_rtc(list: &[u8]) {
    nlri(AfiSafi::RTC, V4, list);
}

/// What is read from a text is printed as a text that is read as the same.
pub(crate) fn text_parsers(octets: &[u8]) {
    fn law<T: FromStr + Display + Debug + PartialEq>(text: &str) {
        let Ok(value) = text.parse::<T>() else { return };
        let again = value.to_string().parse().ok();
        assert_eq!(again.as_ref(), Some(&value), "`{text}` is printed as `{value}`");
    }
    let Ok(text) = std::str::from_utf8(octets) else { return };
    law::<AfiSafi>(text);
    law::<RouteDistinguisher>(text);
    law::<RouteTarget>(text);
    law::<RtMembership>(text);
    law::<Community>(text);
    law::<LargeCommunity>(text);
    law::<ExtendedCommunity>(text);
    law::<Ipv6ExtendedCommunity>(text);
    law::<Esi>(text);
    law::<MacAddress>(text);
    law::<EvpnKey>(text);
    law::<VpnKey<Ipv4Net>>(text);
    law::<VpnKey<Ipv6Net>>(text);
    law::<Role>(text);
}
