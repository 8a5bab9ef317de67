//! Faults of path attributes.

use bgp_wire::error::{FaultKind as K, Part};
use bgp_wire::{AfiSafi, Message};

use crate::Outcome::{self, Discarded, Reset, Taken, Withdrawn};
use crate::{
    AS_PATH, BOTH, EXTERNAL, INTERNAL, LOCAL_PREF, MP_REACH, NEXT_HOP, NLRI, ORIGIN, attribute,
    decode, outcome, update,
};

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
    let both = |outcome: fn(Part, K) -> Outcome, code, kind| {
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
        ("§7.13 traffic engineering, not known", &[0x80, 24, 1, 7], (Taken, Taken)),
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

/// A right value of each attribute that we know and that holds no routes.
const RIGHT: &[(u8, u8, &[u8])] = &[
    (0x40, 1, &[0]),
    (0x40, 2, &[2, 1, 0, 0, 0xfc, 0]),
    (0x40, 3, &[192, 0, 2, 1]),
    (0x80, 4, &[0, 0, 0, 7]),
    (0x40, 5, &[0, 0, 0, 100]),
    (0x40, 6, &[]),
    (0xc0, 7, &[0, 0, 0xfc, 0, 192, 0, 2, 1]),
    (0xc0, 8, &[0xfc, 0, 0, 1]),
    (0x80, 9, &[192, 0, 2, 1]),
    (0x80, 10, &[192, 0, 2, 1]),
    (0xc0, 16, &[0, 2, 0xfc, 0, 0, 0, 0, 1]),
    (0xc0, 22, &[0, 6, 0, 1, 0, 192, 0, 2, 1]),
    (0xc0, 23, &[0, 8, 0, 8, 6, 6, 0, 0, 0, 0, 0, 0]),
    (0xc0, 25, &[1; 20]),
    (0x80, 26, &[1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 1]),
    (0xc0, 32, &[1; 12]),
    (0xc0, 35, &[0, 0, 0xfc, 0]),
    (0xc0, 128, &[0, 0, 0, 1, 0x40, 1, 1, 0]),
];

/// What becomes of an UPDATE that has this attribute, in the place of its code, and what it needs else.
fn with(flags: u8, code: u8, value: &[u8], internal: bool) -> Outcome {
    let octets = [&[flags, code, u8::try_from(value.len()).expect("short")][..], value].concat();
    let base = [ORIGIN, AS_PATH, NEXT_HOP].into_iter().filter(|other| other[1] != code);
    outcome(&update(&[], &base.chain([&octets[..]]).collect::<Vec<_>>(), NLRI), internal)
}

/// Whether it is one that an external peer may not send, and that is therefore not looked at.
const fn is_refused(code: u8, internal: bool) -> bool {
    !internal && matches!(code, 5 | 9 | 10)
}

/// §3 c, but for AIGP (RFC 7311 §3.2).
#[test]
fn wrong_flags_withdraw() {
    for ((right, code, value), internal) in
        RIGHT.iter().flat_map(|one| BOTH.map(|internal| (one, internal)))
    {
        for flags in [0, 0x40, 0x80, 0xc0] {
            let expected = match *code {
                code if is_refused(code, internal) => Discarded(attribute(code), K::External),
                _ if flags == *right => Taken,
                26 => Discarded(attribute(26), K::Flags(flags)),
                code => Withdrawn(attribute(code), K::Flags(flags)),
            };
            assert_eq!(with(flags, *code, value, internal), expected, "{flags:02x} of {code}");
        }
    }
}

/// §4: only two attributes may be without a value.
#[test]
fn attributes_without_a_value_are_malformed() {
    for ((flags, code, _), internal) in
        RIGHT.iter().flat_map(|one| BOTH.map(|internal| (one, internal)))
    {
        let expected = match *code {
            2 | 6 => Taken,
            code if is_refused(code, internal) => Discarded(attribute(code), K::External),
            7 | 26 => Discarded(attribute(*code), K::Length(0)),
            code => Withdrawn(attribute(code), K::Length(0)),
        };
        assert_eq!(with(*flags, *code, &[], internal), expected, "{code}");
    }
}

/// §3 d.
#[test]
fn missing_well_known_attributes_withdraw() {
    for internal in BOTH {
        for (missing, code) in [(ORIGIN, 1), (AS_PATH, 2), (NEXT_HOP, 3)] {
            let rest: Vec<&[u8]> =
                [ORIGIN, AS_PATH, NEXT_HOP].into_iter().filter(|part| *part != missing).collect();
            let got = outcome(&update(&[], &rest, NLRI), internal);
            assert_eq!(got, Withdrawn(attribute(code), K::Missing));
        }
        for (rest, code) in [(ORIGIN, 2), (AS_PATH, 1)] {
            let got = outcome(&update(&[], &[MP_REACH, rest], &[]), internal);
            assert_eq!(got, Withdrawn(attribute(code), K::Missing));
        }
    }
}

/// §3 g.
#[test]
fn of_attributes_that_are_there_twice_the_first_counts() {
    for internal in BOTH {
        for second in [&[0x40, 1, 1, 2][..], &[0x40, 1, 0], &[0xc0, 1, 1, 0]] {
            let octets = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, second], NLRI);
            assert_eq!(outcome(&octets, internal), Discarded(attribute(1), K::Duplicate));
            let read = decode(&octets, internal).expect("taken");
            assert_eq!(read.attributes.origin, bgp_wire::Origin::Igp);
        }
        // Also where only the second one is right, and where nobody knows them.
        let octets = update(&[], &[&[0x40, 1, 1, 9], ORIGIN, AS_PATH, NEXT_HOP], NLRI);
        assert_eq!(outcome(&octets, internal), Withdrawn(attribute(1), K::Origin(9)));
        let (one, two) = (&[0xc0, 99, 1, 7][..], &[0xc0, 99, 1, 8][..]);
        let octets = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, one, two], NLRI);
        assert_eq!(outcome(&octets, internal), Discarded(attribute(99), K::Duplicate));
        let read = decode(&octets, internal).expect("taken");
        assert_eq!(read.attributes.others[0].value[..], [7]);
    }
}

#[test]
fn an_attribute_that_runs_over_the_end_withdraws_what_stands_behind() {
    for internal in BOTH {
        // Also of those that would be discarded: what stands behind is unknown.
        for (code, flags) in [(4, 0x80), (5, 0x40), (7, 0xc0), (99, 0xc0), (99, 0x40)] {
            let overrun = &[flags, code, 5, 0, 0, 0, 1];
            let octets = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, overrun], NLRI);
            assert_eq!(outcome(&octets, internal), Withdrawn(attribute(code), K::Overrun));
        }
        for cut in [&[0x80][..], &[0x80, 4], &[0x90, 4, 0]] {
            let octets = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, cut], NLRI);
            assert_eq!(outcome(&octets, internal), Withdrawn(Part::Update, K::AttributeHeader));
        }
    }
}

/// §3 h: the strongest of several faults counts, and all of them are reported where they stand.
#[test]
fn of_several_faults_the_strongest_counts() {
    let attributes = [&[0x40, 6, 1, 0], ORIGIN, &[0x40, 2, 2, 2, 0], NEXT_HOP, &[0x80, 4, 1, 0]];
    let octets = update(&[], &attributes, NLRI);
    for internal in BOTH {
        assert_eq!(outcome(&octets, internal), Withdrawn(attribute(2), K::EmptySegment));
        let read = decode(&octets, internal).expect("taken");
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
fn unknown_attributes_are_passed_on_if_transitive_and_marked_partial() {
    let attributes = [
        ORIGIN,
        AS_PATH,
        NEXT_HOP,
        &[0x80, 100, 1, 7],
        // §7.13.
        &[0x80, 24, 1, 7],
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
