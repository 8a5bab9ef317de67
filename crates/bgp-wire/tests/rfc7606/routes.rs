//! Faults of the fields and attributes that hold routes.

use bgp_wire::error::{FaultKind as K, Part};
use bgp_wire::{AfiSafi, ErrorAction, Message, Negotiated, Routes, WireError};

use crate::Outcome::{Reset, Taken, Withdrawn};
use crate::{
    AS_PATH, BOTH, INTERNAL, MP_REACH, MP_UNREACH, NEXT_HOP, NLRI, ORIGIN, attribute, decode,
    outcome, update,
};

/// RFC 4760 §3: beside MP_REACH the classic next hop is ignored, if it can be read at all.
#[test]
fn a_next_hop_that_no_route_needs_is_ignored() {
    let zero = &[0x40, 3, 4, 0, 0, 0, 0][..];
    let short = &[0x40, 3, 3, 0, 0, 0][..];
    for internal in BOTH {
        let outcome = |hop| outcome(&update(&[], &[MP_REACH, ORIGIN, AS_PATH, hop], &[]), internal);
        assert_eq!(outcome(zero), Taken);
        assert_eq!(outcome(short), Withdrawn(attribute(3), K::Length(3)));
    }
}

/// RFC 4271 §6.3: a prefix that means nothing here is ignored, and the others are taken.
#[test]
fn prefixes_of_multicast_addresses_are_left_out() {
    let attributes = [ORIGIN, AS_PATH, NEXT_HOP];
    let nlri = [&[8, 224][..], NLRI, &[32, 239, 1, 1, 1]].concat();
    let next_hop = [&[16, 0x20, 0x01, 0x0d, 0xb8][..], &[0; 11], &[1]].concat();
    let v6 = reach((2, 1), &next_hop, &[0, 16, 0xff, 0x02]);
    for internal in BOTH {
        let read = decode(&update(&[], &attributes, &nlri), internal).expect("taken");
        let Some((_, Routes::Ipv4(list))) = read.announced.first() else { panic!("IPv4") };
        let keys: Vec<_> = list.iter().map(|route| route.key.to_string()).collect();
        assert_eq!(keys, ["192.0.2.0/24"]);
        let kinds: Vec<_> = read.faults.iter().map(|fault| (fault.part, fault.kind)).collect();
        assert_eq!(kinds, [(Part::Nlri, K::Multicast), (Part::Nlri, K::Multicast)]);
        let read = decode(&update(&[], &attributes, &[8, 224]), internal).expect("taken");
        assert_eq!((read.announced.len(), read.withdrawn.len()), (0, 0));

        let read = decode(&update(&[], &[&v6, ORIGIN, AS_PATH], &[]), internal).expect("taken");
        let Some((_, Routes::Ipv6(list))) = read.announced.first() else { panic!("IPv6") };
        assert_eq!(list.iter().map(|route| route.key.to_string()).collect::<Vec<_>>(), ["::/0"]);
        assert_eq!(read.faults.len(), 1);
    }
}

/// MP_REACH with the family, the next hop field with its length, and the routes.
fn reach((afi, safi): (u8, u8), next_hop: &[u8], routes: &[u8]) -> Vec<u8> {
    let value = [&[0, afi, safi][..], next_hop, &[0], routes].concat();
    [&[0x80, 14, u8::try_from(value.len()).expect("short")][..], &value].concat()
}

fn unreach((afi, safi): (u8, u8), routes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(3 + routes.len()).expect("short");
    [&[0x80, 15, length, 0, afi, safi][..], routes].concat()
}

/// The error of an UPDATE that ends the session, or the family where that may be.
fn refusal(attributes: &[&[u8]], nlri: &[u8], internal: bool) -> WireError {
    decode(&update(&[], attributes, nlri), internal).expect_err("a reset")
}

#[test]
fn multiprotocol_attributes_that_are_there_twice_reset() {
    for internal in BOTH {
        for (attributes, code) in [
            (&[MP_REACH, ORIGIN, AS_PATH, MP_REACH][..], 14),
            (&[MP_UNREACH, MP_UNREACH], 15),
            (&[MP_UNREACH, MP_REACH, ORIGIN, AS_PATH, MP_UNREACH], 15),
        ] {
            let error = refusal(attributes, &[], internal);
            assert_eq!((error.part, error.kind), (attribute(code), K::Duplicate));
            assert_eq!(error.action(internal), ErrorAction::SessionReset);
            assert_eq!((error.notification().code, error.notification().subcode), (3, 1));
        }
    }
}

/// §3 b.
#[test]
fn lengths_that_do_not_divide_the_message_reset() {
    let good = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], NLRI);
    for (at, internal) in [20, 22].into_iter().flat_map(|at| BOTH.map(|sort| (at, sort))) {
        let mut octets = good.clone();
        octets[at] = 200;
        assert_eq!(outcome(&octets, internal), Reset(Part::Update, K::Truncated), "{at}");
        let error = decode(&octets, internal).expect_err("a reset");
        assert_eq!((error.notification().code, error.notification().subcode), (3, 1));
    }
}

/// §3 i: withdrawn routes like announced ones.
#[test]
fn routes_of_the_classic_fields_that_cannot_be_told_apart_reset() {
    let attributes = [ORIGIN, AS_PATH, NEXT_HOP];
    for internal in BOTH {
        for (nlri, kind) in
            [(&[33, 1, 2, 3, 4, 5][..], K::PrefixLength(33)), (&[24, 1, 2], K::Truncated)]
        {
            let octets = update(&[], &attributes, nlri);
            assert_eq!(outcome(&octets, internal), Reset(Part::Nlri, kind));
            let octets = update(nlri, &attributes, NLRI);
            assert_eq!(outcome(&octets, internal), Reset(Part::WithdrawnRoutes, kind));
            let octets = update(nlri, &[], &[]);
            assert_eq!(outcome(&octets, internal), Reset(Part::WithdrawnRoutes, kind));
        }
    }
}

/// §5.3: lengths that the family does not have, and routes that run over the end.
#[test]
fn routes_that_cannot_be_told_apart_give_the_family_up() {
    type Case = (&'static str, (u8, u8), &'static [u8], &'static [u8], K);
    const V4: &[u8] = &[4, 192, 0, 2, 1];
    const V6: &[u8] = &[16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    const VPN: &[u8] = &[12, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1];
    let cases: &[Case] = &[
        ("IPv4 of 33 bits", (1, 1), V4, &[33, 10, 0, 0, 0, 0], K::PrefixLength(33)),
        ("IPv4 that ends early", (1, 1), V4, &[24, 10, 0], K::Truncated),
        ("IPv6 of 129 bits", (2, 1), V6, &[129], K::PrefixLength(129)),
        ("IPv6 that ends early", (2, 1), V6, &[64, 0x20, 1], K::Truncated),
        ("less than a label", (1, 4), V4, &[23, 0, 1, 1], K::PrefixLength(23)),
        (
            "a VPN route of 87 bits",
            (1, 128),
            VPN,
            &[87, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            K::PrefixLength(87),
        ),
        ("a membership of 1 bit", (1, 132), V4, &[1, 0], K::PrefixLength(1)),
        ("a membership of 31 bits", (1, 132), V4, &[31, 0, 0, 0, 0], K::PrefixLength(31)),
        ("a membership of 97 bits", (1, 132), V4, &[97], K::PrefixLength(97)),
        ("a membership that ends early", (1, 132), V4, &[96, 0, 0, 0xfc], K::Truncated),
        ("an EVPN route that is a type", (25, 70), V4, &[3], K::Truncated),
        ("an EVPN route that ends early", (25, 70), V4, &[3, 17, 0, 1], K::Truncated),
    ];
    for ((case, family, next_hop, routes, kind), internal) in
        cases.iter().flat_map(|case| BOTH.map(|internal| (case, internal)))
    {
        let check = |error: &WireError| {
            let prefix = |kind: K| matches!(kind, K::PrefixLength(_));
            let is_that = error.kind == *kind || prefix(error.kind) && prefix(*kind);
            assert!(is_that, "{case}: {error}");
            assert!(matches!(error.part, Part::MpReach(_) | Part::MpUnreach(_)), "{case}: {error}");
            assert_eq!(error.action(internal), ErrorAction::AfiSafiDisable, "{case}");
        };
        check(&refusal(&[&reach(*family, next_hop, routes), ORIGIN, AS_PATH], &[], internal));
        check(&refusal(&[&unreach(*family, routes)], &[], internal));
    }
}

/// §7.11: behind a next hop of another length nobody knows where the routes begin.
#[test]
fn next_hops_of_lengths_that_the_family_does_not_have_give_it_up() {
    for internal in BOTH {
        for (family, length) in [
            ((1, 128), 4),
            ((1, 128), 11),
            ((1, 128), 0),
            ((2, 128), 16),
            ((1, 1), 5),
            ((2, 1), 4),
            ((2, 1), 0),
            ((25, 70), 12),
        ] {
            let next_hop = [&[length][..], &vec![1; usize::from(length)]].concat();
            let error = refusal(&[&reach(family, &next_hop, &[0]), ORIGIN, AS_PATH], &[], internal);
            assert_eq!(error.kind, K::NextHopLength(length), "{family:?}");
            assert_eq!(error.action(internal), ErrorAction::AfiSafiDisable);
        }
        // It runs over the end of the attribute.
        let error = refusal(&[&reach((1, 128), &[200, 1, 2], &[]), ORIGIN], &[], internal);
        assert_eq!((error.part, error.kind), (Part::MpReach(AfiSafi::VPNV4), K::Truncated));
    }
}

/// §5.3: fewer than 5 octets, or 3 in MP_UNREACH. Without a family there is none to give up.
#[test]
fn multiprotocol_attributes_that_are_too_short_reset() {
    const REACH: [u8; 4] = [0, 1, 128, 0];
    for internal in BOTH {
        for (code, length, action) in [
            (14, 0, ErrorAction::SessionReset),
            (14, 2, ErrorAction::SessionReset),
            (14, 3, ErrorAction::AfiSafiDisable),
            (14, 4, ErrorAction::AfiSafiDisable),
            (15, 0, ErrorAction::SessionReset),
            (15, 2, ErrorAction::SessionReset),
        ] {
            let value = &REACH[..length];
            let octets = [&[0x80, code, u8::try_from(length).expect("short")][..], value].concat();
            let error = refusal(&[&octets, ORIGIN, AS_PATH, NEXT_HOP], NLRI, internal);
            assert_eq!((error.kind, error.action(internal)), (K::Truncated, action), "{error}");
        }
    }
}

/// §5.3: with other flags than RFC 4760's the attribute is incorrect as a whole, whatever stands beside it.
#[test]
fn flags_of_multiprotocol_attributes_give_the_family_up() {
    type Case<'a> = (&'a [&'a [u8]], &'a [u8], Part);
    let (reach_part, unreach_part) =
        (Part::MpReach(AfiSafi::VPNV4), Part::MpUnreach(AfiSafi::VPNV4));
    for (wrong, internal) in [0xc0, 0x40, 0].into_iter().flat_map(|f| BOTH.map(|sort| (f, sort))) {
        let with_flags = |attribute: &[u8]| [&[wrong], &attribute[1..]].concat();
        let (reach, unreach) = (with_flags(MP_REACH), with_flags(MP_UNREACH));
        let cases: [Case<'_>; 5] = [
            (&[&reach, ORIGIN, AS_PATH], &[], reach_part),
            (&[&reach, ORIGIN, AS_PATH, NEXT_HOP], NLRI, reach_part),
            (&[&unreach], &[], unreach_part),
            (&[&unreach, &[0x40, 1, 1, 9]], &[], unreach_part),
            (&[&unreach, ORIGIN, AS_PATH, NEXT_HOP], NLRI, unreach_part),
        ];
        for (attributes, nlri, part) in cases {
            let octets = update(&[], attributes, nlri);
            assert_eq!(outcome(&octets, internal), Reset(part, K::Flags(wrong)));
            let error = decode(&octets, internal).expect_err("a reset");
            assert_eq!(error.action(internal), ErrorAction::AfiSafiDisable);
            let notification = error.notification_for(&octets);
            assert_eq!((notification.code, notification.subcode), (3, 4));
            assert_eq!(notification.data, attributes[0]);
            // Where the family was given up it is looked at no more; a malformed ORIGIN still is (§5.2).
            let given_up = Negotiated {
                internal,
                families: vec![AfiSafi::IPV4_UNICAST],
                ..Negotiated::everything()
            };
            if attributes.len() != 2 {
                let Ok(Message::Update(read)) = Message::decode(&octets, &given_up) else {
                    panic!("taken")
                };
                assert_eq!(read.announced.len(), usize::from(!nlri.is_empty()));
                assert_eq!(read.faults[0].kind, K::NotNegotiated);
            }
        }
        // Bits that say nothing are not looked at.
        let partial = [&[0x80 | 0x2f], &MP_REACH[1..]].concat();
        assert_eq!(outcome(&update(&[], &[&partial, ORIGIN, AS_PATH], &[]), internal), Taken);
    }
}

/// §3 j: its routes cannot be withdrawn, although those of the classic field could be.
#[test]
fn multiprotocol_attributes_that_run_over_the_end_reset() {
    for (whole, internal) in [MP_REACH, MP_UNREACH].into_iter().flat_map(|a| BOTH.map(|b| (a, b))) {
        let cut = &whole[..whole.len() - 1];
        let octets = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, cut], NLRI);
        assert_eq!(outcome(&octets, internal), Reset(attribute(whole[1]), K::Overrun));
        let error = decode(&octets, internal).expect_err("a reset");
        assert_eq!(error.action(internal), ErrorAction::SessionReset);
        assert_eq!(error.notification_for(&octets).data, cut);
    }
}

/// §5.1: we write MP_REACH first and one field of routes in an UPDATE; others need not.
#[test]
fn fields_of_routes_are_read_in_any_order_and_together() {
    for internal in BOTH {
        let octets = update(&[], &[ORIGIN, AS_PATH, MP_REACH], &[]);
        assert_eq!(outcome(&octets, internal), Taken);
        let octets =
            update(&[24, 192, 0, 3], &[ORIGIN, MP_UNREACH, AS_PATH, NEXT_HOP, MP_REACH], NLRI);
        let read = decode(&octets, internal).expect("taken");
        assert_eq!((read.announced.len(), read.withdrawn.len(), read.faults.len()), (2, 2, 0));
    }
}

/// RFC 8950 §4: only where we have said so.
#[test]
fn next_hops_of_ipv6_that_nobody_asked_for_withdraw() {
    let next_hop = [&[16, 0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1]].concat();
    let octets = update(&[], &[&reach((1, 1), &next_hop, NLRI), ORIGIN, AS_PATH], &[]);
    for internal in BOTH {
        assert_eq!(outcome(&octets, internal), Taken);
        let plain =
            Negotiated { internal, next_hops_taken: Vec::new(), ..Negotiated::everything() };
        let Ok(Message::Update(read)) = Message::decode(&octets, &plain) else { panic!("taken") };
        assert_eq!((read.announced.len(), read.withdrawn.len()), (0, 1));
        assert_eq!(read.faults[0].kind, K::NextHopFamily);
        assert_eq!(read.faults[0].action(internal), ErrorAction::TreatAsWithdraw);
    }
}

/// RFC 9136 §3.2.
#[test]
fn a_prefix_route_with_two_overlay_indexes_withdraws() {
    let route = |esi: u8, gateway: u8| {
        let esi = [&[0][..], &[esi; 9]].concat();
        let rd = [0, 1, 192, 0, 2, 1, 0, 7];
        let tail = [24, 10, 1, 0, 0, 10, 1, 0, gateway, 0, 0, 0x11];
        [&[5, 34][..], &rd, &esi, &[0; 4], &tail].concat()
    };
    let mut zero = route(9, 0);
    let gateway = zero.len() - 7..zero.len() - 3;
    zero[gateway].fill(0);
    let part = Part::MpReach(AfiSafi::EVPN);
    for internal in BOTH {
        for (route, expected) in [
            (route(9, 1), Withdrawn(part, K::OverlayIndex)),
            (route(0, 1), Taken),
            (zero.clone(), Taken),
        ] {
            let reach = reach((25, 70), &[4, 192, 0, 2, 1], &route);
            assert_eq!(outcome(&update(&[], &[&reach, ORIGIN, AS_PATH], &[]), internal), expected);
        }
    }
}

/// §5.4 would have us drop them, but what stands behind a reflector may know them.
#[test]
fn evpn_routes_of_unknown_types_are_carried() {
    let reach = reach((25, 70), &[4, 192, 0, 2, 1], &[200, 3, 1, 2, 3]);
    for internal in BOTH {
        assert_eq!(outcome(&update(&[], &[&reach, ORIGIN, AS_PATH], &[]), internal), Taken);
    }
}

#[test]
fn a_next_hop_of_zero_withdraws() {
    let mut reach = MP_REACH.to_vec();
    reach[15..19].fill(0);
    let octets = update(&[], &[&reach, ORIGIN, AS_PATH], &[]);
    let part = Part::MpReach(AfiSafi::VPNV4);
    for internal in BOTH {
        assert_eq!(outcome(&octets, internal), Withdrawn(part, K::NextHopAddress));
    }
}

#[test]
fn a_family_that_was_not_negotiated_is_ignored_and_reported() {
    let mut reach = MP_REACH.to_vec();
    // What Contrail calls ERM-VPN.
    reach[5] = 243;
    let mut unreach = MP_UNREACH.to_vec();
    unreach[3..6].copy_from_slice(&[0x40, 0x04, 71]);
    let octets = update(&[], &[&reach, &unreach, ORIGIN, AS_PATH, NEXT_HOP], NLRI);
    for internal in BOTH {
        let read = decode(&octets, internal).expect("taken");
        assert_eq!((read.announced.len(), read.withdrawn.len()), (1, 0));
        let got: Vec<_> = read.faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            got,
            [
                "MP_REACH_NLRI at octet 26: this family was not negotiated",
                "MP_UNREACH_NLRI at octet 61: this family was not negotiated",
            ]
        );
    }

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
    type Case<'a> = (&'a [u8], &'a [&'a [u8]], Part, K);
    let bad_origin = &[0x40, 1, 1, 9][..];
    let no_routes = reach((1, 1), &[4, 192, 0, 2, 1], &[]);
    let (overrun, cut) = (&[0x80, 4, 5, 0][..], &[0x80][..]);
    for internal in BOTH {
        let cases: &[Case<'_>] = &[
            (&[], &[bad_origin], attribute(1), K::Origin(9)),
            (&[], &[MP_UNREACH, bad_origin], attribute(1), K::Origin(9)),
            (NLRI, &[bad_origin], attribute(1), K::Origin(9)),
            (&[], &[&no_routes, bad_origin, AS_PATH], attribute(1), K::Origin(9)),
            (&[], &[&[0x80, 8, 4, 0, 0, 0, 1]], attribute(8), K::Flags(0x80)),
            (&[], &[MP_UNREACH, overrun], attribute(4), K::Overrun),
            (&[], &[MP_UNREACH, cut], Part::Update, K::AttributeHeader),
        ];
        for (withdrawn, attributes, part, kind) in cases {
            let octets = update(withdrawn, attributes, &[]);
            assert_eq!(outcome(&octets, internal), Reset(*part, *kind));
        }
        let octets = update(&[], &[MP_UNREACH, &[0x40, 6, 1, 0]], &[]);
        let read = decode(&octets, internal).expect("taken");
        assert_eq!((read.withdrawn.len(), read.faults.len()), (1, 1));
        // A withdrawal needs none of the well-known attributes.
        let read = decode(&update(NLRI, &[MP_UNREACH], &[]), internal).expect("taken");
        assert_eq!((read.withdrawn.len(), read.faults.len()), (2, 0));
    }
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
    for internal in BOTH {
        let read = decode(&octets, internal).expect("taken");
        assert_eq!(read.announced[0].1.len(), 2);
        let got: Vec<_> = read.faults.iter().map(ToString::to_string).collect();
        let text = "MP_REACH_NLRI at octet 54: a route of type 3 is malformed and was left out";
        assert_eq!(got, [text]);
    }
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
