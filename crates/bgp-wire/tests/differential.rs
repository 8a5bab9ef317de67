//! Our codec held against an independent one, that of `NetGauze`: what we write they read as the same values,
//! and what they write of it we read as the same values.
//!
//! In what both know: their distinguishers are of types 0 to 2, their memberships of whole octets, and
//! a label ends the stack only where it says so.

#[allow(dead_code, reason = "the law has parts for other tests")]
mod law;
mod strategies;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bgp_wire::{
    Evpn, EvpnKey, Family, Ipv4Labeled, Ipv4Unicast, Ipv6Labeled, Ipv6Unicast, Message, Negotiated,
    NextHop, PathAttributes, PathId, Route, RouteDistinguisher, Rtc, Update, VpnV4, VpnV6,
    for_each_family,
};
use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::nlri::{L2EvpnIpPrefixRoute, L2EvpnRoute, RouteDistinguisher as TheirRd};
use netgauze_bgp_pkt::path_attribute::{AsPath as TheirAsPath, MpReach, PathAttributeValue};
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;
use proptest::prelude::*;
use strategies::Arbitrary;

/// Four-octet AS numbers, no path identifiers or path identifiers in every family.
fn negotiated(add_path: bool) -> Negotiated {
    let base = Negotiated {
        extended_messages: false,
        labels: strategies::label_families(),
        ..Negotiated::everything()
    };
    let families = if add_path { base.families.clone() } else { Vec::new() };
    Negotiated { add_path_receive: families.clone(), add_path_send: families, ..base }
}

/// Withdrawals have one label field, whatever was agreed on (RFC 8277 §2.4); they want to be told.
fn their_context(add_path: bool, labels: u8) -> BgpParsingContext {
    use netgauze_iana::address_family::AddressType;
    let families = [
        AddressType::Ipv4Unicast,
        AddressType::Ipv6Unicast,
        AddressType::Ipv4NlriMplsLabels,
        AddressType::Ipv6NlriMplsLabels,
        AddressType::Ipv4MplsLabeledVpn,
        AddressType::Ipv6MplsLabeledVpn,
        AddressType::L2VpnBgpEvpn,
        AddressType::RouteTargetConstrains,
    ];
    let of_all = |value| families.into_iter().map(move |family| (family, value));
    let labels = families.into_iter().map(|family| (family, labels)).collect();
    let add_path: HashMap<_, _> = of_all(add_path).collect();
    BgpParsingContext::new(true, labels, add_path, true, true, true, true)
}

/// What they make of octets of ours, and the octets that they make of that.
fn through_them(octets: &[u8], add_path: bool, labels: u8) -> (BgpMessage, Vec<u8>) {
    let mut reader = SliceReader::new(octets);
    let read = <BgpMessage as ParseFromWithOneInput<'_, _>>::parse(
        &mut reader,
        &mut their_context(add_path, labels),
    );
    let message = read.unwrap_or_else(|error| unreachable!("they refuse {octets:02x?}: {error}"));
    assert!(reader.is_empty(), "they leave octets");
    let mut again = Vec::new();
    message.write(&mut again).expect("a vector takes all");
    (message, again)
}

fn each_message(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = bgp_wire::frame::length(octets, 65_535).expect("our own header")?;
        let (message, rest) = octets.split_at(length);
        octets = rest;
        Some(message)
    })
}

fn check<F: Family>(
    attributes: PathAttributes,
    next_hop: NextHop,
    routes: &[Route<F>],
    add_path: bool,
) -> Result<(), TestCaseError> {
    let negotiated = negotiated(add_path);
    let update = Update {
        announced: vec![(next_hop, F::into_routes(routes.to_vec()))],
        attributes: Arc::new(attributes),
        ..Update::default()
    };
    let withdrawn = Update {
        withdrawn: vec![F::into_routes(routes.to_vec()).into_withdrawals()],
        ..Update::default()
    };
    for (update, labels) in [(update, u8::MAX), (withdrawn, 1)] {
        let mut octets = Vec::new();
        Message::Update(update.clone()).encode(&negotiated, &mut octets);
        let mut back = Vec::new();
        let mut their_facts = Vec::new();
        for message in each_message(&octets) {
            let (theirs, again) = through_them(message, add_path, labels);
            their_facts.extend(facts_of_theirs(&theirs));
            for message in law::split(&again, &negotiated) {
                let Message::Update(read) = message else {
                    return Err(TestCaseError::fail("an UPDATE"));
                };
                prop_assert_eq!(&read.faults, &vec![]);
                back.push(read);
            }
        }
        let ours = law::Said::by([update.clone()]);
        prop_assert_eq!(law::Said::by(back), ours);
        if !update.announced.is_empty() {
            let (routes, attributes): (Vec<_>, Vec<_>) =
                their_facts.into_iter().partition(|fact| fact.starts_with("route "));
            prop_assert_eq!(routes, routes_of_ours(&update));
            for fact in attributes_of_ours(&update.attributes) {
                prop_assert!(attributes.contains(&fact), "{} is not in {:?}", fact, attributes);
            }
        }
    }
    Ok(())
}

// What an announcement says, by value, from each of the two.

fn routes_of_ours(update: &Update) -> Vec<String> {
    let mut facts = Vec::new();
    for (_, list) in &update.announced {
        for_each_family!(Routes, list, list => for route in list {
            facts.push(format!("route {} {}", route.key, route.path_id.0));
        });
    }
    facts
}

fn attributes_of_ours(attributes: &PathAttributes) -> Vec<String> {
    let mut facts = vec![
        format!("origin {:?}", attributes.origin),
        format!("path {:?}", attributes.as_path.numbers().collect::<Vec<_>>()),
    ];
    facts.extend(attributes.med.map(|med| format!("med {med}")));
    facts.extend(attributes.local_pref.map(|pref| format!("pref {pref}")));
    facts.extend(attributes.originator_id.map(|id| format!("originator {id}")));
    facts.extend(attributes.otc().map(|asn| format!("otc {asn}")));
    facts.extend(attributes.aigp().map(|metric| format!("aigp {metric}")));
    if !attributes.communities.is_empty() {
        let communities: Vec<u32> = attributes.communities.iter().map(|c| c.0).collect();
        facts.push(format!("communities {communities:?}"));
    }
    facts
}

fn facts_of_theirs(message: &BgpMessage) -> Vec<String> {
    let BgpMessage::Update(update) = message else { return Vec::new() };
    let mut facts = Vec::new();
    for route in update.nlri() {
        facts.push(format!("route {} {}", route.network().address(), id(route.path_id())));
    }
    for attribute in update.path_attributes() {
        facts.extend(facts_of_attribute(attribute.value()));
    }
    facts
}

fn id(path_id: Option<u32>) -> u32 {
    path_id.unwrap_or_default()
}

fn facts_of_attribute(value: &PathAttributeValue) -> Vec<String> {
    use PathAttributeValue as V;
    match value {
        V::Origin(origin) => {
            let text = format!("{origin:?}");
            vec![format!(
                "origin {}",
                if text == "IGP" {
                    "Igp"
                } else if text == "EGP" {
                    "Egp"
                } else {
                    &text
                }
            )]
        }
        V::AsPath(path) => {
            let numbers: Vec<u32> = match path {
                TheirAsPath::As4PathSegments(segments) => {
                    segments.iter().flat_map(|segment| segment.as_numbers().to_vec()).collect()
                }
                TheirAsPath::As2PathSegments(segments) => segments
                    .iter()
                    .flat_map(|segment| segment.as_numbers().to_vec())
                    .map(u32::from)
                    .collect(),
            };
            vec![format!("path {numbers:?}")]
        }
        V::MultiExitDiscriminator(med) => vec![format!("med {}", med.metric())],
        V::LocalPreference(pref) => vec![format!("pref {}", pref.metric())],
        V::Originator(originator) => vec![format!("originator {}", originator.id())],
        V::OnlyToCustomer(otc) => vec![format!("otc {}", otc.asn())],
        V::Communities(communities) => {
            let all: Vec<u32> = communities
                .communities()
                .iter()
                .map(netgauze_bgp_pkt::community::Community::value)
                .collect();
            vec![format!("communities {all:?}")]
        }
        V::Aigp(aigp) => their_metric(&format!("{aigp:?}")),
        V::MpReach(reach) => routes_of_theirs(reach),
        _ => Vec::new(),
    }
}

/// The first number in the text of their AIGP.
fn their_metric(text: &str) -> Vec<String> {
    let digits: String =
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    vec![format!("aigp {digits}")]
}

fn rd(theirs: TheirRd) -> RouteDistinguisher {
    match theirs {
        TheirRd::As2Administrator { asn2, number } => RouteDistinguisher::as2(asn2, number),
        TheirRd::Ipv4Administrator { ip, number } => RouteDistinguisher::ipv4(ip, number),
        TheirRd::As4Administrator { asn4, number } => RouteDistinguisher::as4(asn4, number),
        TheirRd::LeafAdRoutes => RouteDistinguisher::from_octets([0xff; 8]),
    }
}

fn routes_of_theirs(reach: &MpReach) -> Vec<String> {
    let mut facts = Vec::new();
    match reach {
        MpReach::Ipv4Unicast { nlri, .. } => {
            for route in nlri {
                facts.push(format!("route {} {}", route.network().address(), id(route.path_id())));
            }
        }
        MpReach::Ipv6Unicast { nlri, .. } => {
            for route in nlri {
                facts.push(format!("route {} {}", route.network().address(), id(route.path_id())));
            }
        }
        MpReach::Ipv4NlriMplsLabels { nlri, .. } => {
            for route in nlri {
                facts.push(format!("route {} {}", route.prefix(), id(route.path_id())));
            }
        }
        MpReach::Ipv6NlriMplsLabels { nlri, .. } => {
            for route in nlri {
                facts.push(format!("route {} {}", route.prefix(), id(route.path_id())));
            }
        }
        MpReach::Ipv4MplsVpnUnicast { nlri, .. } => {
            for route in nlri {
                let (rd, net) = (rd(route.rd()), route.network().address());
                facts.push(format!("route {rd}:{net} {}", id(route.path_id())));
            }
        }
        MpReach::Ipv6MplsVpnUnicast { nlri, .. } => {
            for route in nlri {
                let (rd, net) = (rd(route.rd()), route.network().address());
                facts.push(format!("route {rd}:{net} {}", id(route.path_id())));
            }
        }
        MpReach::L2Evpn { nlri, .. } => {
            for route in nlri {
                facts.push(format!("route {} {}", evpn_key(route.route()), id(route.path_id())));
            }
        }
        MpReach::RouteTargetMembership { nlri, .. } => {
            for route in nlri {
                let key = route.membership().map_or(bgp_wire::RtMembership::DEFAULT, |m| {
                    let mut target = [0; 8];
                    target.iter_mut().zip(m.route_target()).for_each(|(to, from)| *to = *from);
                    let bits = u8::try_from(32 + 8 * m.route_target().len()).expect("at most 96");
                    bgp_wire::RtMembership::new(bits, m.origin_as(), target).expect("0, 32 to 96")
                });
                facts.push(format!("route {key} {}", id(route.path_id())));
            }
        }
        _ => facts.push("of a family that they do not know".to_owned()),
    }
    facts
}

/// Their EVPN route in the form of our keys.
fn evpn_key(route: &L2EvpnRoute) -> String {
    let colons = |octets: &[u8]| {
        let mut text = String::new();
        for (i, octet) in octets.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(text, "{colon}{octet:02x}").expect("a string takes all");
        }
        text
    };
    match route {
        L2EvpnRoute::EthernetAutoDiscovery(r) => {
            let esi = colons(r.segment_id().value());
            format!("[1]:[{}]:[{esi}]:[{}]", rd(r.rd()), r.tag().value())
        }
        L2EvpnRoute::MacIpAdvertisement(r) => {
            let ip = r.ip().map(|ip| format!(":[{ip}]")).unwrap_or_default();
            let mac = colons(r.mac().value());
            format!("[2]:[{}]:[{}]:[{mac}]{ip}", rd(r.rd()), r.tag().value())
        }
        L2EvpnRoute::InclusiveMulticastEthernetTagRoute(r) => {
            format!("[3]:[{}]:[{}]:[{}]", rd(r.rd()), r.tag().value(), r.ip())
        }
        L2EvpnRoute::EthernetSegmentRoute(r) => {
            let esi = colons(r.segment_id().value());
            format!("[4]:[{}]:[{esi}]:[{}]", rd(r.rd()), r.ip())
        }
        L2EvpnRoute::IpPrefixRoute(L2EvpnIpPrefixRoute::V4(r)) => {
            format!("[5]:[{}]:[{}]:[{}]", rd(r.rd()), r.tag().value(), r.prefix())
        }
        L2EvpnRoute::IpPrefixRoute(L2EvpnIpPrefixRoute::V6(r)) => {
            format!("[5]:[{}]:[{}]:[{}]", rd(r.rd()), r.tag().value(), r.prefix())
        }
        L2EvpnRoute::Unknown { code, value } => {
            let digits =
                value.iter().fold(String::new(), |text, octet| text + &format!("{octet:02x}"));
            format!("[{code}]:[0x{digits}]")
        }
    }
}

// What both know.

trait Known: Arbitrary {
    /// In labeled unicast they read path identifiers, but do not write them.
    const PATH_IDS: bool = true;

    fn is_known(key: &Self::Key, data: &Self::Data) -> bool;
}

fn has_type(rd: RouteDistinguisher) -> bool {
    matches!(rd.octets(), [0, 0..=2, ..])
}

/// They refuse networks that are no unicast.
fn unicast4(net: ipnet::Ipv4Net) -> bool {
    !net.network().is_multicast()
        && !net.broadcast().is_multicast()
        && !net.network().is_broadcast()
}

fn unicast6(net: ipnet::Ipv6Net) -> bool {
    !net.network().is_multicast() && !net.broadcast().is_multicast()
}

impl Known for Ipv4Unicast {
    fn is_known(key: &Self::Key, (): &Self::Data) -> bool {
        unicast4(*key)
    }
}

impl Known for Ipv6Unicast {
    fn is_known(key: &Self::Key, (): &Self::Data) -> bool {
        unicast6(*key)
    }
}

impl Known for Ipv4Labeled {
    const PATH_IDS: bool = false;

    fn is_known(_: &Self::Key, _: &Self::Data) -> bool {
        true
    }
}

impl Known for Ipv6Labeled {
    const PATH_IDS: bool = false;

    fn is_known(_: &Self::Key, _: &Self::Data) -> bool {
        true
    }
}

impl Known for VpnV4 {
    fn is_known(key: &Self::Key, label: &Self::Data) -> bool {
        has_type(key.rd) && unicast4(key.net) && label.depth() == 1
    }
}

impl Known for VpnV6 {
    fn is_known(key: &Self::Key, label: &Self::Data) -> bool {
        has_type(key.rd) && unicast6(key.net) && label.depth() == 1
    }
}

impl Known for Evpn {
    fn is_known(key: &Self::Key, _: &Self::Data) -> bool {
        match key {
            EvpnKey::Opaque { .. } => true,
            key => Self::route_distinguisher(key).is_some_and(has_type),
        }
    }
}

impl Known for Rtc {
    fn is_known(key: &Self::Key, (): &Self::Data) -> bool {
        key.length() % 8 == 0
    }
}

/// Next hops that both know in the family, and not two addresses.
fn one_address(next_hop: NextHop) -> NextHop {
    match next_hop {
        NextHop::V6WithLinkLocal(global, _) => NextHop::V6(global),
        other => other,
    }
}

/// Without numbers that they read as what those stand for, and bits that they do not keep.
fn known_attributes(mut attributes: PathAttributes) -> PathAttributes {
    attributes.extended_communities.retain(|community| community.as_route_target().is_some());
    attributes.partial = bgp_wire::attrs::Partial::default();
    attributes
}

macro_rules! both_agree {
    ($($name:ident: $family:ty),* $(,)?) => {$(
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            #[test]
            fn $name(
                add_path: bool,
                attributes in strategies::attributes().prop_map(known_attributes),
                next_hop in <$family>::next_hop().prop_map(one_address),
                mut routes in strategies::routes::<$family>(40),
            ) {
                routes.retain(|route| <$family>::is_known(&route.key, &route.data));
                let add_path = add_path && <$family>::PATH_IDS;
                if add_path {
                    for (route, path_id) in routes.iter_mut().zip(1..) {
                        route.path_id = PathId(path_id);
                    }
                }
                if !routes.is_empty() {
                    check::<$family>(attributes, next_hop, &routes, add_path)?;
                }
            }
        }
    )*};
}

both_agree! {
    ipv4_unicast: Ipv4Unicast,
    ipv6_unicast: Ipv6Unicast,
    ipv4_labeled: Ipv4Labeled,
    ipv6_labeled: Ipv6Labeled,
    vpnv4: VpnV4,
    vpnv6: VpnV6,
    evpn: Evpn,
    rtc: Rtc,
}

#[test]
fn messages_without_routes() {
    use bgp_wire::capability::{AddPath, Capability, GracefulRestart, Role};
    use bgp_wire::{Afi, AfiSafi, Notification, Open, RouteRefresh, notification::cease};

    let families = [AfiSafi::VPNV4, AfiSafi::EVPN, AfiSafi::RTC];
    let mut capabilities: Vec<_> = families.map(Capability::Multiprotocol).into();
    capabilities.extend([
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedMessage,
        Capability::FourOctetAs(4_200_000_001),
        Capability::GracefulRestart(GracefulRestart {
            restarted: true,
            notification: true,
            restart_time: 120,
            families: vec![(AfiSafi::VPNV4, true), (AfiSafi::EVPN, false)],
        }),
        Capability::AddPath(vec![AddPath { family: AfiSafi::VPNV4, receive: true, send: false }]),
        Capability::ExtendedNextHop(vec![(AfiSafi::VPNV4, Afi(2))]),
        Capability::Role(Role::Customer),
    ]);
    let open =
        Open { asn: 4_200_000_001, hold_time: 90, router_id: [192, 0, 2, 1].into(), capabilities };
    let messages = [
        Message::Open(open),
        Message::Keepalive,
        Message::RouteRefresh(RouteRefresh { family: AfiSafi::VPNV6, subtype: 0 }),
        Message::RouteRefresh(RouteRefresh { family: AfiSafi::EVPN, subtype: 2 }),
        Message::Notification(Notification::hold_timer_expired()),
        Message::Notification(Notification::cease(cease::CONNECTION_COLLISION)),
        Message::Notification(Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, "bye")),
    ];
    let negotiated = negotiated(false);
    for message in messages {
        let mut octets = Vec::new();
        message.encode(&negotiated, &mut octets);
        let (_, mut again) = through_them(&octets, false, 1);
        if let Message::Open(want) = &message {
            // They write a parameter for each capability: the same ones, in the same order.
            let Some(Message::Open(got)) = law::split(&again, &negotiated).pop() else {
                unreachable!("an OPEN")
            };
            assert_eq!(&got, want);
            again.clear();
            Message::Open(got).encode(&negotiated, &mut again);
        }
        assert_eq!(again, octets, "{message:?}");
    }
}
