//! Faults of the fields and attributes that hold routes.

use bgp_wire::error::{FaultKind as K, Part};
use bgp_wire::{AfiSafi, ErrorAction, Message, Negotiated, Routes};

use crate::Outcome::{Reset, Taken, Withdrawn};
use crate::{
    AS_PATH, EXTERNAL, INTERNAL, MP_REACH, MP_UNREACH, NEXT_HOP, NLRI, ORIGIN, attribute, decode,
    outcome, update,
};

/// RFC 4760 §3: beside MP_REACH the classic next hop is ignored, if it can be read at all.
#[test]
fn a_next_hop_that_no_route_needs_is_ignored() {
    let zero = &[0x40, 3, 4, 0, 0, 0, 0][..];
    assert_eq!(outcome(&update(&[], &[MP_REACH, ORIGIN, AS_PATH, zero], &[]), INTERNAL), Taken);
    let short = &[0x40, 3, 3, 0, 0, 0][..];
    assert_eq!(
        outcome(&update(&[], &[MP_REACH, ORIGIN, AS_PATH, short], &[]), INTERNAL),
        Withdrawn(attribute(3), K::Length(3))
    );
}

/// RFC 4271 §6.3: a prefix that means nothing here is ignored, and the others are taken.
#[test]
fn prefixes_of_multicast_addresses_are_left_out() {
    let attributes = [ORIGIN, AS_PATH, NEXT_HOP];
    let nlri = [&[8, 224][..], NLRI, &[32, 239, 1, 1, 1]].concat();
    let read = decode(&update(&[], &attributes, &nlri), EXTERNAL).expect("taken");
    let Some((_, Routes::Ipv4(list))) = read.announced.first() else { panic!("IPv4") };
    assert_eq!(
        list.iter().map(|route| route.key.to_string()).collect::<Vec<_>>(),
        ["192.0.2.0/24"]
    );
    let kinds: Vec<_> = read.faults.iter().map(|fault| (fault.part, fault.kind)).collect();
    assert_eq!(kinds, [(Part::Nlri, K::Multicast), (Part::Nlri, K::Multicast)]);
    let read = decode(&update(&[], &attributes, &[8, 224]), EXTERNAL).expect("taken");
    assert_eq!((read.announced.len(), read.withdrawn.len()), (0, 0));

    let reach = [
        &[0x80, 14, 25, 0, 2, 1, 16, 0x20, 0x01, 0x0d, 0xb8][..],
        &[0; 11],
        &[1, 0, 0, 16, 0xff, 0x02],
    ];
    let read = decode(&update(&[], &[&reach.concat(), ORIGIN, AS_PATH], &[]), INTERNAL);
    let read = read.expect("taken");
    let Some((_, Routes::Ipv6(list))) = read.announced.first() else { panic!("IPv6") };
    assert_eq!(list.iter().map(|route| route.key.to_string()).collect::<Vec<_>>(), ["::/0"]);
    assert_eq!(read.faults.len(), 1);
}

#[test]
fn multiprotocol_attributes_that_are_there_twice_reset() {
    let octets = update(&[], &[MP_REACH, ORIGIN, AS_PATH, MP_REACH], &[]);
    assert_eq!(outcome(&octets, INTERNAL), Reset(attribute(14), K::Duplicate));
    let error = decode(&octets, INTERNAL).expect_err("a reset");
    assert_eq!(error.action(INTERNAL), ErrorAction::SessionReset);
    assert_eq!((error.notification().code, error.notification().subcode), (3, 1));
    let octets = update(&[], &[MP_UNREACH, MP_UNREACH], &[]);
    assert_eq!(outcome(&octets, INTERNAL), Reset(attribute(15), K::Duplicate));
}

#[test]
fn lengths_that_do_not_divide_the_message_reset() {
    let good = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], NLRI);
    for at in [20, 22] {
        let mut octets = good.clone();
        octets[at] = 200;
        assert_eq!(outcome(&octets, INTERNAL), Reset(Part::Update, K::Truncated), "{at}");
    }
}

#[test]
fn routes_that_cannot_be_told_apart_reset() {
    let attributes = [ORIGIN, AS_PATH, NEXT_HOP];
    for (nlri, kind) in
        [(&[33, 1, 2, 3, 4, 5][..], K::PrefixLength(33)), (&[24, 1, 2], K::Truncated)]
    {
        let octets = update(&[], &attributes, nlri);
        assert_eq!(outcome(&octets, INTERNAL), Reset(Part::Nlri, kind));
        let octets = update(nlri, &attributes, NLRI);
        assert_eq!(outcome(&octets, INTERNAL), Reset(Part::WithdrawnRoutes, kind));
    }
    let reach = Part::MpReach(AfiSafi::VPNV4);
    // The length of the prefix, of the attribute, of the next hop.
    for (at, value, kind) in [
        (20, 0x79, K::PrefixLength(121)),
        (20, 0x57, K::PrefixLength(87)),
        (20, 0x78, K::Truncated),
        (6, 11, K::NextHopLength(11)),
        (6, 200, K::Truncated),
    ] {
        let mut attribute = MP_REACH.to_vec();
        attribute[at] = value;
        let octets = update(&[], &[&attribute, ORIGIN, AS_PATH], &[]);
        let got = outcome(&octets, INTERNAL);
        let Reset(part, got_kind) = got else { panic!("{at}: {got:?}") };
        assert_eq!(part, reach, "{at}");
        if let K::PrefixLength(_) = kind {
            assert!(matches!(got_kind, K::PrefixLength(_)), "{at}: {got_kind}");
        } else {
            assert_eq!(got_kind, kind, "{at}");
        }
    }
    let octets = update(&[], &[&[0x80, 14, 2, 0, 1], ORIGIN, AS_PATH], &[]);
    assert_eq!(outcome(&octets, INTERNAL), Reset(attribute(14), K::Truncated));
    let octets = update(&[], &[&[0x80, 15, 2, 0, 1]], &[]);
    assert_eq!(outcome(&octets, INTERNAL), Reset(attribute(15), K::Truncated));
}

#[test]
fn flags_of_multiprotocol_attributes_withdraw_their_routes() {
    let mut reach = MP_REACH.to_vec();
    reach[0] = 0xc0;
    let octets = update(&[], &[&reach, ORIGIN, AS_PATH], &[]);
    let part = Part::MpReach(AfiSafi::VPNV4);
    assert_eq!(outcome(&octets, INTERNAL), Withdrawn(part, K::Flags(0xc0)));
}

#[test]
fn a_next_hop_of_zero_withdraws() {
    let mut reach = MP_REACH.to_vec();
    reach[15..19].fill(0);
    let octets = update(&[], &[&reach, ORIGIN, AS_PATH], &[]);
    let part = Part::MpReach(AfiSafi::VPNV4);
    assert_eq!(outcome(&octets, INTERNAL), Withdrawn(part, K::NextHopAddress));
}

#[test]
fn a_family_that_was_not_negotiated_is_ignored_and_reported() {
    let mut reach = MP_REACH.to_vec();
    // What Contrail calls ERM-VPN.
    reach[5] = 243;
    let mut unreach = MP_UNREACH.to_vec();
    unreach[3..6].copy_from_slice(&[0x40, 0x04, 71]);
    let octets = update(&[], &[&reach, &unreach, ORIGIN, AS_PATH, NEXT_HOP], NLRI);
    let update_read = decode(&octets, EXTERNAL).expect("taken");
    assert_eq!(update_read.announced.len(), 1);
    assert!(update_read.withdrawn.is_empty());
    let got: Vec<_> = update_read.faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        got,
        [
            "MP_REACH_NLRI at octet 26: this family was not negotiated",
            "MP_UNREACH_NLRI at octet 61: this family was not negotiated",
        ]
    );

    let only_vpn = Negotiated { families: vec![AfiSafi::VPNV4], ..Negotiated::everything() };
    let octets = update(NLRI, &[MP_REACH, ORIGIN, AS_PATH, NEXT_HOP], NLRI);
    let Ok(Message::Update(read)) = Message::decode(&octets, &only_vpn) else { panic!("taken") };
    assert_eq!((read.announced.len(), read.withdrawn.len()), (1, 0));
    let parts: Vec<_> = read.faults.iter().map(|fault| (fault.part, fault.kind)).collect();
    assert_eq!(parts, [(Part::WithdrawnRoutes, K::NotNegotiated), (Part::Nlri, K::NotNegotiated)]);
}

/// §5.2: where there is no route to withdraw, perhaps it was not found.
#[test]
fn faults_without_a_route_reset_unless_they_are_discarded() {
    let bad_origin = &[0x40, 1, 1, 9][..];
    let octets = update(&[], &[bad_origin], &[]);
    assert_eq!(outcome(&octets, INTERNAL), Reset(attribute(1), K::Origin(9)));
    let octets = update(&[], &[MP_UNREACH, bad_origin], &[]);
    assert_eq!(outcome(&octets, INTERNAL), Reset(attribute(1), K::Origin(9)));
    let octets = update(&[], &[MP_UNREACH, &[0x40, 6, 1, 0]], &[]);
    let read = decode(&octets, INTERNAL).expect("taken");
    assert_eq!((read.withdrawn.len(), read.faults.len()), (1, 1));
    // A withdrawal needs none of the well-known attributes.
    let read = decode(&update(NLRI, &[MP_UNREACH], &[]), INTERNAL).expect("taken");
    assert_eq!((read.withdrawn.len(), read.faults.len()), (2, 0));
}

#[test]
fn what_is_treated_as_withdrawn_keeps_its_key() {
    let octets = update(&[], &[MP_REACH, AS_PATH], &[]);
    let read = decode(&octets, INTERNAL).expect("taken");
    let [bgp_wire::Withdrawals::VpnV4(list)] = &read.withdrawn[..] else { panic!("{read:?}") };
    assert_eq!(list[0].key.to_string(), "65000:7:10.0.100.0/24");
}

#[test]
fn one_malformed_evpn_route_does_not_take_the_others_along() {
    let good = [3, 17, 0, 1, 192, 0, 2, 1, 0, 7, 0, 0, 0, 0, 32, 192, 0, 2, 1];
    let bad = [3, 17, 0, 1, 192, 0, 2, 1, 0, 7, 0, 0, 0, 0, 33, 192, 0, 2, 1];
    let reach =
        [&[0x80, 14, 9 + 3 * 19, 0, 25, 70, 4, 192, 0, 2, 1, 0][..], &good, &bad, &good].concat();
    let octets = update(&[], &[&reach, ORIGIN, AS_PATH], &[]);
    let read = decode(&octets, INTERNAL).expect("taken");
    assert_eq!(read.announced[0].1.len(), 2);
    let got: Vec<_> = read.faults.iter().map(ToString::to_string).collect();
    assert_eq!(got, ["MP_REACH_NLRI at octet 54: a route of type 3 is malformed and was left out"]);
}

#[test]
fn with_path_identifiers_a_route_is_left_out_all_the_same() {
    let bad = [0, 0, 0, 9, 3, 17, 0, 1, 192, 0, 2, 1, 0, 7, 0, 0, 0, 0, 33, 192, 0, 2, 1];
    let mut good = bad;
    good[18] = 32;
    let length = u8::try_from(9 + bad.len() + good.len()).expect("short");
    let header = [0x80, 14, length, 0, 25, 70, 4, 192, 0, 2, 1, 0];
    let reach = [&header[..], &bad, &good].concat();
    let octets = update(&[], &[&reach, ORIGIN, AS_PATH], &[]);
    let negotiated =
        Negotiated { add_path_receive: vec![AfiSafi::EVPN], ..Negotiated::everything() };
    let Ok(Message::Update(read)) = Message::decode(&octets, &negotiated) else { panic!("taken") };
    let Routes::Evpn(list) = &read.announced[0].1 else { panic!("EVPN") };
    assert_eq!((list.len(), list[0].path_id.0), (1, 9));
    assert_eq!(read.faults.iter().map(|f| f.kind).collect::<Vec<_>>(), [K::RouteLeftOut(3)]);
}

#[test]
fn a_membership_needs_no_next_hop() {
    let reach = [0x80, 14, 10, 0, 1, 132, 4, 0, 0, 0, 0, 0, 0];
    let octets = update(&[], &[&reach, ORIGIN, AS_PATH], &[]);
    assert_eq!(outcome(&octets, INTERNAL), Taken);
}

#[test]
fn end_of_rib_is_told_from_an_empty_announcement() {
    let read = decode(&update(&[], &[], &[]), INTERNAL).expect("taken");
    assert_eq!(read.end_of_rib, Some(AfiSafi::IPV4_UNICAST));
    let read = decode(&update(&[], &[&[0x80, 15, 3, 0, 1, 132]], &[]), INTERNAL).expect("taken");
    assert_eq!(read.end_of_rib, Some(AfiSafi::RTC));
    // FRR writes an extended length here.
    let read = decode(&update(&[], &[&[0x90, 15, 0, 3, 0, 25, 70]], &[]), INTERNAL).expect("taken");
    assert_eq!(read.end_of_rib, Some(AfiSafi::EVPN));
    let empty_unreach = &[0x80, 15, 3, 0, 1, 128][..];
    let octets = update(NLRI, &[empty_unreach], &[]);
    assert_eq!(decode(&octets, INTERNAL).expect("taken").end_of_rib, None);
    let octets = update(&[], &[MP_REACH, empty_unreach, ORIGIN, AS_PATH], &[]);
    assert_eq!(decode(&octets, INTERNAL).expect("taken").end_of_rib, None);
    let read = decode(&update(NLRI, &[], &[]), INTERNAL).expect("taken");
    assert_eq!(read.end_of_rib, None);
}
