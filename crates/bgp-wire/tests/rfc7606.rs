//! RFC 7606, rule by rule: what a malformed UPDATE does, from an internal and an external peer.
//!
//! All octets are by hand from RFC 4271, RFC 4760 and the RFC of the attribute in question.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use bgp_wire::error::{FaultKind, Part};
use bgp_wire::{AfiSafi, ErrorAction, Message, Negotiated, NextHop, Routes, Update, WireError};

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
const LOCAL_PREF: &[u8] = &[0x40, 5, 4, 0, 0, 0, 100];
/// 192.0.2.0/24 in the classic field.
const NLRI: &[u8] = &[24, 192, 0, 2];
/// 65000:7:10.0.100.0/24 with label 16 through 192.0.2.1.
const MP_REACH: &[u8] = &[
    0x80, 14, 32, 0, 1, 128, 12, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1, 0, 0x70, 0, 1, 1, 0, 0,
    0xfd, 0xe8, 0, 0, 0, 7, 10, 0, 100,
];
const MP_UNREACH: &[u8] =
    &[0x80, 15, 18, 0, 1, 128, 0x70, 0x80, 0, 0, 0, 0, 0xfd, 0xe8, 0, 0, 0, 7, 10, 0, 101];

const INTERNAL: bool = true;
const EXTERNAL: bool = false;

fn negotiated(internal: bool) -> Negotiated {
    Negotiated { internal, ..Negotiated::everything() }
}

fn update(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let length = |octets: &[u8]| u16::try_from(octets.len()).expect("short").to_be_bytes();
    let parts = [&length(withdrawn), withdrawn, &length(&attributes), &attributes, nlri];
    let body = parts.concat();
    let total = u16::try_from(19 + body.len()).expect("short").to_be_bytes();
    [&[0xff; 16][..], &total, &[2], &body].concat()
}

fn decode(octets: &[u8], internal: bool) -> Result<Update, WireError> {
    match Message::decode(octets, &negotiated(internal))? {
        Message::Update(update) => Ok(update),
        other => panic!("not an UPDATE: {other:?}"),
    }
}

/// What became of an UPDATE that announces one route.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    Discarded(Part, FaultKind),
    Withdrawn(Part, FaultKind),
    Reset(Part, FaultKind),
}

fn outcome(octets: &[u8], internal: bool) -> Outcome {
    let update = match decode(octets, internal) {
        Ok(update) => update,
        Err(error) => return Outcome::Reset(error.part, error.kind),
    };
    let actions = update.faults.iter().map(|fault| fault.action(internal));
    let Some(strongest) = actions.max() else {
        assert_eq!((update.announced.len(), update.withdrawn.len()), (1, 0));
        return Outcome::Taken;
    };
    let fault =
        update.faults.iter().find(|fault| fault.action(internal) == strongest).expect("the max");
    match strongest {
        ErrorAction::AttributeDiscard => {
            assert_eq!((update.announced.len(), update.withdrawn.len()), (1, 0), "{fault}");
            Outcome::Discarded(fault.part, fault.kind)
        }
        ErrorAction::TreatAsWithdraw => {
            assert_eq!((update.announced.len(), update.withdrawn.len()), (0, 1), "{fault}");
            Outcome::Withdrawn(fault.part, fault.kind)
        }
        other => panic!("{other:?} without an error"),
    }
}

use FaultKind as K;
use Outcome::{Discarded, Reset, Taken, Withdrawn};

fn attribute(code: u8) -> Part {
    Part::Attribute(code)
}

#[test]
fn the_update_without_faults_is_taken() {
    for internal in [INTERNAL, EXTERNAL] {
        assert_eq!(outcome(&update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], NLRI), internal), Taken);
        assert_eq!(outcome(&update(&[], &[MP_REACH, ORIGIN, AS_PATH], &[]), internal), Taken);
    }
}

/// One attribute more, or another one in the place of its code: what happens, internally and
/// externally.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_attribute_has_its_reaction() {
    let both = |outcome: fn(Part, FaultKind) -> Outcome, code, kind| {
        (outcome(attribute(code), kind), outcome(attribute(code), kind))
    };
    let withdrawn = |code, kind| both(Withdrawn, code, kind);
    let discarded = |code, kind| both(Discarded, code, kind);
    let external_discarded =
        |outcome: Outcome, code| (outcome, Discarded(attribute(code), K::External));
    let cases: &[(&str, &[u8], (Outcome, Outcome))] = &[
        ("§7.1 ORIGIN of 2 octets", &[0x40, 1, 2, 0, 0], withdrawn(1, K::Length(2))),
        ("§7.1 ORIGIN of no octet", &[0x40, 1, 0], withdrawn(1, K::Length(0))),
        ("§7.1 ORIGIN 3", &[0x40, 1, 1, 3], withdrawn(1, K::Origin(3))),
        ("§7.2 segment type 5", &[0x40, 2, 6, 5, 1, 0, 0, 0, 1], withdrawn(2, K::SegmentType(5))),
        ("§7.2 segment overrun", &[0x40, 2, 6, 2, 2, 0, 0, 0, 1], withdrawn(2, K::Truncated)),
        ("§7.2 segment underrun", &[0x40, 2, 7, 2, 1, 0, 0, 0, 1, 2], withdrawn(2, K::Truncated)),
        ("§7.2 empty segment", &[0x40, 2, 2, 2, 0], withdrawn(2, K::EmptySegment)),
        ("RFC 7607 §2 AS 0", &[0x40, 2, 6, 2, 1, 0, 0, 0, 0], withdrawn(2, K::AsZero)),
        (
            "RFC 5065 §5 confederation segment",
            &[0x40, 2, 6, 3, 1, 0, 0, 0, 1],
            (Taken, Withdrawn(attribute(2), K::SegmentType(3))),
        ),
        ("an empty AS_PATH", &[0x40, 2, 0], (Taken, Taken)),
        ("§7.3 NEXT_HOP of 3 octets", &[0x40, 3, 3, 1, 2, 3], withdrawn(3, K::Length(3))),
        ("RFC 4271 §6.3 0.0.0.0", &[0x40, 3, 4, 0, 0, 0, 0], withdrawn(3, K::NextHopAddress)),
        ("RFC 4271 §6.3 multicast", &[0x40, 3, 4, 224, 0, 0, 1], withdrawn(3, K::NextHopAddress)),
        ("§7.4 MED of 3 octets", &[0x80, 4, 3, 0, 0, 0], withdrawn(4, K::Length(3))),
        (
            "§7.5 LOCAL_PREF of 3 octets",
            &[0x40, 5, 3, 0, 0, 0],
            external_discarded(Withdrawn(attribute(5), K::Length(3)), 5),
        ),
        ("§7.5 LOCAL_PREF", LOCAL_PREF, external_discarded(Taken, 5)),
        ("§7.6 ATOMIC_AGGREGATE of 1 octet", &[0x40, 6, 1, 0], discarded(6, K::Length(1))),
        (
            "§7.7 AGGREGATOR of 6 octets from a four-octet speaker",
            &[0xc0, 7, 6, 0xfc, 0, 192, 0, 2, 1],
            discarded(7, K::Length(6)),
        ),
        (
            "RFC 7607 §2 AGGREGATOR of AS 0",
            &[0xc0, 7, 8, 0, 0, 0, 0, 192, 0, 2, 1],
            discarded(7, K::AsZero),
        ),
        ("§7.8 COMMUNITIES of 5 octets", &[0xc0, 8, 5, 0, 0, 0, 0, 0], withdrawn(8, K::Length(5))),
        ("§7.8 no COMMUNITIES", &[0xc0, 8, 0], withdrawn(8, K::Length(0))),
        (
            "§7.9 ORIGINATOR_ID of 5 octets",
            &[0x80, 9, 5, 0, 0, 0, 0, 0],
            external_discarded(Withdrawn(attribute(9), K::Length(5)), 9),
        ),
        ("§7.9 ORIGINATOR_ID", &[0x80, 9, 4, 1, 2, 3, 4], external_discarded(Taken, 9)),
        (
            "§7.10 CLUSTER_LIST of 6 octets",
            &[0x80, 10, 6, 0, 0, 0, 0, 0, 0],
            external_discarded(Withdrawn(attribute(10), K::Length(6)), 10),
        ),
        (
            "§7.10 no CLUSTER_LIST",
            &[0x80, 10, 0],
            external_discarded(Withdrawn(attribute(10), K::Length(0)), 10),
        ),
        ("§7.10 CLUSTER_LIST", &[0x80, 10, 4, 1, 2, 3, 4], external_discarded(Taken, 10)),
        (
            "§7.14 EXTENDED_COMMUNITIES of 7 octets",
            &[0xc0, 16, 7, 0, 2, 0, 0, 0, 0, 0],
            withdrawn(16, K::Length(7)),
        ),
        ("§7.14 no EXTENDED_COMMUNITIES", &[0xc0, 16, 0], withdrawn(16, K::Length(0))),
        (
            "RFC 6793 §4.1 AS4_PATH from a four-octet speaker, malformed or not",
            &[0xc0, 17, 1, 7],
            (Taken, Taken),
        ),
        (
            "§7.15 IPv6 extended of 19",
            &[&[0xc0, 25, 19][..], &[0; 19]].concat(),
            withdrawn(25, K::Length(19)),
        ),
        ("§7.16 ATTR_SET of 3 octets", &[0xc0, 128, 3, 0, 0, 0], withdrawn(128, K::Length(3))),
        (
            "RFC 8092 §6 of 11 octets",
            &[&[0xc0, 32, 11][..], &[0; 11]].concat(),
            withdrawn(32, K::Length(11)),
        ),
        ("RFC 8092 §6 of none", &[0xc0, 32, 0], withdrawn(32, K::Length(0))),
        ("RFC 9234 §5 of 3 octets", &[0xc0, 35, 3, 0, 0, 0], withdrawn(35, K::Length(3))),
        ("RFC 7311 §3.4 AIGP", &[0x80, 26, 11, 1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 1], (Taken, Taken)),
        ("RFC 7311 §3.2 no AIGP TLV", &[0x80, 26, 4, 9, 0, 4, 7], (Taken, Taken)),
        ("§4 no AIGP", &[0x80, 26, 0], discarded(26, K::Length(0))),
        ("RFC 7311 §3.2 as transitive", &[0xc0, 26, 0], discarded(26, K::Flags(0xc0))),
        (
            "RFC 7311 §3.2 a metric of 4 octets",
            &[0x80, 26, 7, 1, 0, 7, 0, 0, 0, 1],
            discarded(26, K::Length(7)),
        ),
        ("RFC 7311 §3.2 a TLV of 2 octets", &[0x80, 26, 3, 1, 0, 2], discarded(26, K::Length(2))),
        ("RFC 7311 §3.2 a TLV overrun", &[0x80, 26, 4, 1, 0, 11, 0], discarded(26, K::Truncated)),
        (
            "RFC 7311 §3.2 the largest metric",
            &[0x80, 26, 11, 1, 0, 11, 255, 255, 255, 255, 255, 255, 255, 255],
            discarded(26, K::Metric),
        ),
        ("RFC 6514 §5 PMSI tunnel", &[0xc0, 22, 9, 0, 6, 0, 1, 0, 192, 0, 2, 1], (Taken, Taken)),
        ("RFC 6514 §5 an unknown type", &[0xc0, 22, 6, 0, 99, 0, 1, 0, 7], (Taken, Taken)),
        ("RFC 6514 §5 of 4 octets", &[0xc0, 22, 4, 0, 6, 0, 1], withdrawn(22, K::Length(4))),
        (
            "RFC 6514 §5 an endpoint of 3 octets",
            &[0xc0, 22, 8, 0, 6, 0, 1, 0, 192, 0, 2],
            withdrawn(22, K::Length(8)),
        ),
        (
            "RFC 9012 §3.1 to the next hop",
            &[0xc0, 23, 12, 0, 8, 0, 8, 6, 6, 0, 0, 0, 0, 0, 0],
            (Taken, Taken),
        ),
        ("RFC 9012 §13 no tunnel", &[0xc0, 23, 0], withdrawn(23, K::Length(0))),
        ("RFC 9012 §13 no endpoint", &[0xc0, 23, 4, 0, 8, 0, 0], withdrawn(23, K::Endpoint)),
        (
            "RFC 9012 §13 two endpoints",
            &[0xc0, 23, 20, 0, 8, 0, 16, 6, 6, 0, 0, 0, 0, 0, 0, 6, 6, 0, 0, 0, 0, 0, 0],
            withdrawn(23, K::Endpoint),
        ),
        (
            "RFC 9012 §13 an endpoint of 3 octets",
            &[0xc0, 23, 15, 0, 8, 0, 11, 6, 9, 0, 0, 0, 0, 0, 1, 192, 0, 2],
            withdrawn(23, K::Endpoint),
        ),
        (
            "RFC 9012 §13 one tunnel of two without an endpoint",
            &[0xc0, 23, 16, 0, 8, 0, 8, 6, 6, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0],
            discarded(23, K::TunnelLeftOut),
        ),
        ("RFC 9012 §13 a tunnel overrun", &[0xc0, 23, 4, 0, 8, 0, 9], withdrawn(23, K::Truncated)),
        (
            "RFC 9012 §13 a sub-TLV overrun",
            &[0xc0, 23, 7, 0, 8, 0, 3, 200, 0, 9],
            withdrawn(23, K::Truncated),
        ),
        (
            "RFC 9012 §13 as non-transitive",
            &[0x80, 23, 12, 0, 8, 0, 8, 6, 6, 0, 0, 0, 0, 0, 0],
            withdrawn(23, K::Flags(0x80)),
        ),
        ("RFC 6368 §5", &[0xc0, 128, 8, 0, 0, 0, 1, 0x40, 1, 1, 0], (Taken, Taken)),
        (
            "RFC 6368 §5 routes inside",
            &[0xc0, 128, 7, 0, 0, 0, 1, 0x80, 15, 0],
            withdrawn(128, K::Routes),
        ),
        (
            "RFC 6368 §5 attributes that run over the end",
            &[0xc0, 128, 8, 0, 0, 0, 1, 0x40, 1, 2, 0],
            withdrawn(128, K::Truncated),
        ),
        ("§3 c ORIGIN as optional", &[0xc0, 1, 1, 0], withdrawn(1, K::Flags(0xc0))),
        ("§3 c ORIGIN as non-transitive", &[0, 1, 1, 0], withdrawn(1, K::Flags(0))),
        ("§3 c MED as transitive", &[0xc0, 4, 4, 0, 0, 0, 1], withdrawn(4, K::Flags(0xc0))),
        (
            "§3 c AGGREGATOR as well-known",
            &[0x40, 7, 8, 0, 0, 0, 1, 1, 1, 1, 1],
            withdrawn(7, K::Flags(0x40)),
        ),
        (
            "§3 c COMMUNITIES as non-transitive",
            &[0x80, 8, 4, 0, 0, 0, 1],
            withdrawn(8, K::Flags(0x80)),
        ),
        ("unused and partial bits are ignored", &[0xef, 8, 4, 0, 0, 0, 1], (Taken, Taken)),
        ("an unknown non-transitive attribute", &[0x80, 99, 1, 7], (Taken, Taken)),
        ("an unknown transitive attribute", &[0xc0, 99, 1, 7], (Taken, Taken)),
        (
            "RFC 4271 §6.3 an unknown well-known attribute",
            &[0x40, 99, 1, 7],
            (Reset(attribute(99), K::UnknownWellKnown), Reset(attribute(99), K::UnknownWellKnown)),
        ),
    ];
    for (case, extra, (internally, externally)) in cases {
        let base = [ORIGIN, AS_PATH, NEXT_HOP];
        let mut attributes: Vec<&[u8]> =
            base.into_iter().filter(|attribute| attribute[1] != extra[1]).collect();
        attributes.push(extra);
        let octets = update(&[], &attributes, NLRI);
        assert_eq!(&outcome(&octets, INTERNAL), internally, "{case}, internal");
        assert_eq!(&outcome(&octets, EXTERNAL), externally, "{case}, external");
    }
}

#[test]
fn missing_well_known_attributes_withdraw() {
    for (missing, code) in [(ORIGIN, 1), (AS_PATH, 2), (NEXT_HOP, 3)] {
        let rest: Vec<&[u8]> =
            [ORIGIN, AS_PATH, NEXT_HOP].into_iter().filter(|part| *part != missing).collect();
        let got = outcome(&update(&[], &rest, NLRI), INTERNAL);
        assert_eq!(got, Withdrawn(attribute(code), K::Missing));
    }
    let got = outcome(&update(&[], &[MP_REACH, ORIGIN], &[]), INTERNAL);
    assert_eq!(got, Withdrawn(attribute(2), K::Missing));
}

#[test]
fn of_attributes_that_are_there_twice_the_first_counts() {
    let other_origin = &[0x40, 1, 1, 2][..];
    let octets = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, other_origin], NLRI);
    assert_eq!(outcome(&octets, INTERNAL), Discarded(attribute(1), K::Duplicate));
    let update_read = decode(&octets, INTERNAL).expect("taken");
    assert_eq!(update_read.attributes.origin, bgp_wire::Origin::Igp);
    let malformed = &[0x40, 1, 0][..];
    let octets = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, malformed], NLRI);
    assert_eq!(outcome(&octets, INTERNAL), Discarded(attribute(1), K::Duplicate));
}

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
fn an_attribute_that_runs_over_the_end_withdraws_what_stands_behind() {
    let octets = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &[0x80, 4, 5, 0, 0, 0, 1]], NLRI);
    assert_eq!(outcome(&octets, INTERNAL), Withdrawn(attribute(4), K::Overrun));
    for cut in [&[0x80][..], &[0x80, 4], &[0x90, 4, 0]] {
        let octets = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, cut], NLRI);
        assert_eq!(outcome(&octets, INTERNAL), Withdrawn(Part::Update, K::AttributeHeader));
    }
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

/// §3 h: the strongest of several faults counts, and all of them are reported where they stand.
#[test]
fn of_several_faults_the_strongest_counts() {
    let attributes = [&[0x40, 6, 1, 0], ORIGIN, &[0x40, 2, 2, 2, 0], NEXT_HOP, &[0x80, 4, 1, 0]];
    let octets = update(&[], &attributes, NLRI);
    assert_eq!(outcome(&octets, INTERNAL), Withdrawn(attribute(2), K::EmptySegment));
    let read = decode(&octets, INTERNAL).expect("taken");
    let got: Vec<_> = read.faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        got,
        [
            "ATOMIC_AGGREGATE at octet 26: a length of 1 octets is impossible here",
            "AS_PATH at octet 34: a segment has no AS number",
            "MULTI_EXIT_DISC at octet 46: a length of 1 octets is impossible here",
        ]
    );
    assert_eq!(*read.attributes, bgp_wire::PathAttributes::default());
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

/// RFC 4271 §5: the bit stays set, whatever we know of the attribute.
#[test]
fn a_partial_attribute_stays_partial() {
    let attributes: [&[u8]; 4] = [
        &[0xe0, 7, 8, 0, 0, 0xfc, 0, 192, 0, 2, 1],
        &[0xe0, 8, 4, 0xfc, 0, 0, 1],
        &[0xe0, 16, 8, 0, 2, 0xfc, 0, 0, 0, 0, 1],
        &[0xe0, 32, 12, 0, 0, 0xfc, 0, 0, 0, 0, 1, 0, 0, 0, 2],
    ];
    let list = [&[ORIGIN, AS_PATH, NEXT_HOP][..], &attributes].concat();
    let octets = update(&[], &list, NLRI);
    let Ok(Message::Update(read)) = decode(&octets, INTERNAL).map(Message::Update) else {
        panic!("taken")
    };
    let mut written = Vec::new();
    bgp_wire::update::write_attributes(
        &read.attributes,
        read.announced[0].0,
        AfiSafi::IPV4_UNICAST,
        true,
        &mut written,
    );
    assert_eq!(written, list.concat());
}

#[test]
fn the_notification_holds_the_attribute() {
    let bad = &[0x40, 99, 1, 7][..];
    let octets = update(&[], &[ORIGIN, bad, AS_PATH, NEXT_HOP], NLRI);
    let error = decode(&octets, INTERNAL).expect_err("a reset");
    assert_eq!(&error.notification_for(&octets).data[..], bad);
    let mut reach = MP_REACH.to_vec();
    reach[20] = 0xff;
    // What is missing would stand where the next attribute begins.
    let short = &[0x80, 15, 2, 0, 1][..];
    for bad in [&reach[..], &[0x80, 14, 3, 0, 1, 128], &[0x80, 14, 6, 0, 1, 1, 0, 0, 24], short] {
        let octets = update(&[], &[ORIGIN, bad, AS_PATH], &[]);
        let error = decode(&octets, INTERNAL).expect_err("a reset");
        assert_eq!(&error.notification_for(&octets).data[..], bad);
    }
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

#[test]
fn unknown_attributes_are_passed_on_if_transitive_and_marked_partial() {
    let attributes = [
        ORIGIN,
        AS_PATH,
        NEXT_HOP,
        &[0x80, 100, 1, 7],
        &[0xc0, 99, 1, 7],
        // PMSI tunnel: known, so it is not partial.
        &[0xc0, 22, 5, 0, 0, 0, 1, 0x41],
    ];
    let read = decode(&update(&[], &attributes, NLRI), INTERNAL).expect("taken");
    let got: Vec<_> =
        read.attributes.others.iter().map(|a| (a.flags, a.code, a.value.len())).collect();
    assert_eq!(got, [(0xc0, 22, 5), (0xe0, 99, 1)]);
}

/// RFC 8092 §3.
#[test]
fn large_communities_that_are_there_twice_are_taken_off() {
    let one = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    let two = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2];
    let attribute = [&[0xc0, 32, 36][..], &one, &two, &one].concat();
    let octets = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &attribute], NLRI);
    let read = decode(&octets, INTERNAL).expect("taken");
    let texts = read.attributes.large_communities.iter().map(ToString::to_string);
    assert_eq!(texts.collect::<Vec<_>>(), ["1:2:3", "1:2:2"]);
    assert_eq!(read.faults, []);
}

/// RFC 6793 §4.2.3, and §6 for what is malformed.
#[test]
fn two_octet_speakers_are_read_with_as4_path() {
    let two = |attributes: &[&[u8]]| {
        let negotiated = Negotiated { four_octet_as: false, ..Negotiated::everything() };
        let octets = update(&[], attributes, NLRI);
        match Message::decode(&octets, &negotiated) {
            Ok(Message::Update(read)) => read,
            other => panic!("{other:?}"),
        }
    };
    // 65001 AS_TRANS 64512, of which 100000 and 64512 had four octets.
    let as_path = &[0x40, 2, 8, 2, 3, 0xfd, 0xe9, 0x5b, 0xa0, 0xfc, 0][..];
    let as4_path = &[0xc0, 17, 10, 2, 2, 0, 1, 0x86, 0xa0, 0, 0, 0xfc, 0][..];
    let read = two(&[ORIGIN, as_path, NEXT_HOP, as4_path]);
    assert_eq!(read.attributes.as_path.to_string(), "65001 100000 64512");
    // Longer than the AS_PATH: it does not belong to it.
    let short = &[0x40, 2, 4, 2, 1, 0x5b, 0xa0][..];
    let read = two(&[ORIGIN, short, NEXT_HOP, as4_path]);
    assert_eq!(read.attributes.as_path.to_string(), "23456");
    // Malformed: discarded.
    let read = two(&[ORIGIN, as_path, NEXT_HOP, &[0xc0, 17, 2, 2, 0]]);
    assert_eq!(read.attributes.as_path.to_string(), "65001 23456 64512");
    assert_eq!(read.faults.len(), 1);
    assert_eq!(read.faults[0].action(INTERNAL), ErrorAction::AttributeDiscard);
    // Aggregated on the way by a speaker of two octets: both AS4 attributes are out of date.
    let aggregator = &[0xc0, 7, 6, 0xfd, 0xea, 192, 0, 2, 1][..];
    let as4_aggregator = &[0xc0, 18, 8, 0, 1, 0x86, 0xa0, 192, 0, 2, 9][..];
    let read = two(&[ORIGIN, as_path, NEXT_HOP, aggregator, as4_path, as4_aggregator]);
    assert_eq!(read.attributes.as_path.to_string(), "65001 23456 64512");
    assert_eq!(read.attributes.aggregator.map(|a| a.asn), Some(65002));
    let aggregator = &[0xc0, 7, 6, 0x5b, 0xa0, 192, 0, 2, 1][..];
    let read = two(&[ORIGIN, as_path, NEXT_HOP, aggregator, as4_path, as4_aggregator]);
    assert_eq!(read.attributes.as_path.to_string(), "65001 100000 64512");
    assert_eq!(read.attributes.aggregator.map(|a| a.asn), Some(100_000));
    assert_eq!(read.announced[0].0, NextHop::V4([192, 0, 2, 1].into()));
    assert!(matches!(read.announced[0].1, Routes::Ipv4(_)));
}
