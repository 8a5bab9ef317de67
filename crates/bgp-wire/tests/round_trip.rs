//! What is written is read back as the very same values, in every family and form of message.

mod strategies;

use std::sync::Arc;

use bgp_wire::capability::{AddPath, Capability, GracefulRestart};
use bgp_wire::frame;
use bgp_wire::{
    AfiSafi, Evpn, Family, Ipv4Labeled, Ipv4Unicast, Ipv6Labeled, Ipv6Unicast, Message, Negotiated,
    Notification, Open, PathId, Route, RouteRefresh, Rtc, Update, VpnV4, VpnV6,
};
use proptest::collection::vec;
use proptest::prelude::*;
use strategies::Arbitrary;

/// Every agreement that octets depend on.
fn negotiated() -> impl Strategy<Value = Negotiated> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(four_octet_as, extended, add_path)| {
        let all = Negotiated::everything();
        let families = if add_path { all.families.clone() } else { Vec::new() };
        Negotiated {
            four_octet_as,
            extended_messages: extended,
            add_path_receive: families.clone(),
            add_path_send: families,
            labels: strategies::label_families(),
            ..all
        }
    })
}

/// The messages that `octets` consist of.
fn split(mut octets: &[u8], negotiated: &Negotiated) -> Vec<Message> {
    let mut messages = Vec::new();
    while !octets.is_empty() {
        let length = frame::length(octets, negotiated.max_message());
        let length = length.expect("our own header").expect("a whole header");
        let (message, rest) = octets.split_at(length);
        messages.push(Message::decode(message, negotiated).expect("our own octets"));
        octets = rest;
    }
    messages
}

/// Writes `routes`, reads the messages and puts the routes together again.
fn announce_and_read_back<F: Family>(
    update: &Update,
    routes: Vec<Route<F>>,
    negotiated: &Negotiated,
) -> Result<(), TestCaseError> {
    let mut octets = Vec::new();
    Message::Update(update.clone()).encode(negotiated, &mut octets);
    let mut got = Vec::new();
    for message in split(&octets, negotiated) {
        let Message::Update(Update { withdrawn, announced, attributes, end_of_rib, faults }) =
            message
        else {
            return Err(TestCaseError::fail("not an UPDATE"));
        };
        prop_assert_eq!((withdrawn, end_of_rib, faults), (vec![], None, vec![]));
        // The path of a two-octet speaker may come back with other borders between segments.
        prop_assert_eq!(attributes.as_path.length(), update.attributes.as_path.length());
        prop_assert!(attributes.as_path.numbers().eq(update.attributes.as_path.numbers()));
        if negotiated.four_octet_as {
            prop_assert_eq!(&attributes, &update.attributes);
        }
        for (next_hop, list) in announced {
            prop_assert_eq!(next_hop, update.announced[0].0);
            got.extend(F::from_routes(list).expect("the same family"));
        }
    }
    prop_assert_eq!(got, routes);
    Ok(())
}

fn withdraw_and_read_back<F: Family>(
    routes: Vec<Route<F>>,
    negotiated: &Negotiated,
) -> Result<(), TestCaseError> {
    let withdrawals = F::into_routes(routes).into_withdrawals();
    let want = F::from_withdrawals(withdrawals.clone()).expect("the same family");
    let update = Update { withdrawn: vec![withdrawals], ..Update::default() };
    let mut octets = Vec::new();
    Message::Update(update).encode(negotiated, &mut octets);
    let mut got = Vec::new();
    for message in split(&octets, negotiated) {
        let Message::Update(update) = message else {
            return Err(TestCaseError::fail("not an UPDATE"));
        };
        prop_assert_eq!(update.faults, vec![]);
        for list in update.withdrawn {
            got.extend(F::from_withdrawals(list).expect("the same family"));
        }
    }
    prop_assert_eq!(got, want);
    Ok(())
}

macro_rules! round_trips {
    ($($name:ident: $family:ty),* $(,)?) => {$(
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(96))]
            #[test]
            fn $name(
                negotiated in negotiated(),
                attributes in strategies::attributes(),
                next_hop in <$family>::next_hop(),
                mut routes in strategies::routes::<$family>(300),
            ) {
                if !negotiated.add_path_send.is_empty() {
                    for (route, path_id) in routes.iter_mut().zip(1..) {
                        route.path_id = PathId(path_id);
                    }
                }
                let update = Update {
                    announced: vec![(next_hop, <$family>::into_routes(routes.clone()))],
                    attributes: Arc::new(attributes),
                    ..Update::default()
                };
                announce_and_read_back::<$family>(&update, routes.clone(), &negotiated)?;
                withdraw_and_read_back::<$family>(routes, &negotiated)?;
            }
        }
    )*};
}

round_trips! {
    ipv4_unicast: Ipv4Unicast,
    ipv6_unicast: Ipv6Unicast,
    ipv4_labeled: Ipv4Labeled,
    ipv6_labeled: Ipv6Labeled,
    vpnv4: VpnV4,
    vpnv6: VpnV6,
    evpn: Evpn,
    rtc: Rtc,
}

macro_rules! key_texts {
    ($($name:ident: $family:ty),* $(,)?) => {$(
        proptest! {
            #[test]
            fn $name((key, _) in <$family>::route()) {
                prop_assert_eq!(key.to_string().parse().ok(), Some(key));
            }
        }
    )*};
}

key_texts! {
    text_of_ipv4_unicast: Ipv4Unicast,
    text_of_ipv6_unicast: Ipv6Unicast,
    text_of_vpnv4: VpnV4,
    text_of_vpnv6: VpnV6,
    text_of_evpn: Evpn,
    text_of_rtc: Rtc,
}

fn family() -> impl Strategy<Value = AfiSafi> {
    proptest::sample::select(AfiSafi::NAMED.map(|(family, _)| family).to_vec())
}

fn capability() -> impl Strategy<Value = Capability> {
    let restart = (any::<bool>(), any::<bool>(), 0u16..=4095, vec((family(), any::<bool>()), 0..7));
    let add_path = (family(), 1u8..=3).prop_map(|(family, mode)| AddPath {
        family,
        receive: mode & 1 != 0,
        send: mode & 2 != 0,
    });
    prop_oneof![
        family().prop_map(Capability::Multiprotocol),
        Just(Capability::RouteRefresh),
        Just(Capability::EnhancedRouteRefresh),
        Just(Capability::ExtendedMessage),
        restart.prop_map(|(restarted, notification, restart_time, families)| {
            Capability::GracefulRestart(GracefulRestart {
                restarted,
                notification,
                restart_time,
                families,
            })
        }),
        vec(add_path, 0..7).prop_map(Capability::AddPath),
        (100u8.., vec(any::<u8>(), 0..=255))
            .prop_map(|(code, value)| Capability::Unknown { code, value: value.into() }),
    ]
}

proptest! {
    #[test]
    fn open(
        asn in prop_oneof![1u32..=65_535, 65_536u32..],
        hold_time in prop_oneof![Just(0u16), 3u16..],
        router_id in 1u32..,
        mut capabilities in vec(capability(), 0..12),
    ) {
        capabilities.push(Capability::FourOctetAs(asn));
        let open = Open { asn, hold_time, router_id: router_id.into(), capabilities };
        let mut octets = Vec::new();
        Message::Open(open.clone()).encode(&Negotiated::nothing(), &mut octets);
        prop_assert_eq!(split(&octets, &Negotiated::nothing()), [Message::Open(open)]);
    }

    #[test]
    fn notification(code: u8, subcode: u8, data in vec(any::<u8>(), 0..300)) {
        let message = Message::Notification(Notification { code, subcode, data: data.into() });
        let mut octets = Vec::new();
        message.encode(&Negotiated::nothing(), &mut octets);
        prop_assert_eq!(split(&octets, &Negotiated::nothing()), [message]);
    }

    #[test]
    fn route_refresh(family in family(), subtype: u8) {
        let message = Message::RouteRefresh(RouteRefresh { family, subtype });
        let mut octets = Vec::new();
        message.encode(&Negotiated::nothing(), &mut octets);
        prop_assert_eq!(split(&octets, &Negotiated::nothing()), [message]);
    }
}

#[test]
fn end_of_rib_of_every_family() {
    for (family, _) in AfiSafi::NAMED {
        let update = Update { end_of_rib: Some(family), ..Update::default() };
        let message = Message::Update(update);
        let mut octets = Vec::new();
        message.encode(&Negotiated::everything(), &mut octets);
        assert_eq!(split(&octets, &Negotiated::everything()), [message]);
    }
}
