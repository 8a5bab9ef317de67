//! Faults of what speakers with AS numbers of two octets send (RFC 6793).

use bgp_wire::error::FaultKind as K;
use bgp_wire::{ErrorAction, Message, Negotiated, NextHop, Routes};

use crate::{BOTH, INTERNAL, NEXT_HOP, NLRI, ORIGIN, attribute, update};

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

/// RFC 6793 §6, RFC 7607 §2: from a two-octet speaker these are discarded where they are malformed; where
/// only their flags are, §3 c has its way.
#[test]
fn malformed_attributes_of_two_octet_speakers_are_discarded() {
    let as_path = &[0x40, 2, 4, 2, 1, 0x5b, 0xa0][..];
    let aggregator = &[0xc0, 7, 6, 0x5b, 0xa0, 192, 0, 2, 1][..];
    let cases: &[(&[u8], K)] = &[
        (&[0xc0, 17, 0], K::Length(0)),
        (&[0xc0, 17, 2, 2, 0], K::EmptySegment),
        (&[0xc0, 17, 6, 5, 1, 0, 0, 0, 1], K::SegmentType(5)),
        (&[0xc0, 17, 5, 2, 1, 0, 0, 1], K::Truncated),
        (&[0xc0, 17, 7, 2, 1, 0, 0, 0, 1, 2], K::Truncated),
        (&[0xc0, 17, 6, 2, 1, 0, 0, 0, 0], K::AsZero),
        (&[0xc0, 18, 0], K::Length(0)),
        (&[0xc0, 18, 6, 0xfc, 0, 192, 0, 2, 1], K::Length(6)),
        (&[0xc0, 18, 9, 0, 0, 0xfc, 0, 192, 0, 2, 1, 0], K::Length(9)),
        (&[0xc0, 18, 8, 0, 0, 0, 0, 192, 0, 2, 1], K::AsZero),
        (&[0x80, 17, 6, 2, 1, 0, 0, 0, 1], K::Flags(0x80)),
        (&[0x40, 18, 8, 0, 0, 0, 1, 192, 0, 2, 1], K::Flags(0x40)),
    ];
    for ((extra, kind), internal) in
        cases.iter().flat_map(|case| BOTH.map(|internal| (case, internal)))
    {
        let octets = update(&[], &[ORIGIN, as_path, NEXT_HOP, aggregator, extra], NLRI);
        let two = Negotiated { internal, four_octet_as: false, ..Negotiated::everything() };
        let Ok(Message::Update(read)) = Message::decode(&octets, &two) else { panic!("{kind}") };
        let [fault] = &read.faults[..] else { panic!("{kind}: {:?}", read.faults) };
        assert_eq!((fault.part, fault.kind), (attribute(extra[1]), *kind));
        let is_withdrawn = matches!(kind, K::Flags(_));
        assert_eq!(
            (read.announced.is_empty(), read.withdrawn.len()),
            (is_withdrawn, usize::from(is_withdrawn))
        );
        if !is_withdrawn {
            assert_eq!(fault.action(internal), ErrorAction::AttributeDiscard);
            assert_eq!(read.attributes.as_path.to_string(), "23456");
            assert_eq!(read.attributes.aggregator.map(|a| a.asn), Some(23_456));
        }
    }
}
