//! OPEN, rule by rule: RFC 4271 §6.2, RFC 5492, RFC 6286, RFC 9072.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use bgp_wire::capability::{AddPath, Capability, GracefulRestart};
use bgp_wire::error::{FaultKind, Part};
use bgp_wire::{AfiSafi, Message, Negotiated, Open, WireError};

fn message(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).expect("short").to_be_bytes();
    [&[0xff; 16][..], &length, &[1], body].concat()
}

/// Version 4, AS 64512, 90 s, 192.0.2.1, and what follows.
fn body(parameters: &[u8]) -> Vec<u8> {
    [&[4, 0xfc, 0, 0, 90, 192, 0, 2, 1][..], parameters].concat()
}

fn decode(body: &[u8]) -> Result<Open, WireError> {
    match Message::decode(&message(body), &Negotiated::nothing())? {
        Message::Open(open) => Ok(open),
        other => panic!("not an OPEN: {other:?}"),
    }
}

fn open(capabilities: Vec<Capability>) -> Open {
    Open { asn: 64512, hold_time: 90, router_id: [192, 0, 2, 1].into(), capabilities }
}

#[test]
fn reads_every_form_of_parameters() {
    let refresh = || Capability::RouteRefresh;
    let vpnv4 = || Capability::Multiprotocol(AfiSafi::VPNV4);
    // (where it is said, the parameters, the capabilities)
    let cases: &[(&str, &[u8], Vec<Capability>)] = &[
        ("RFC 4271 §4.2, none", &[0], vec![]),
        (
            "RFC 5492 §4, one each",
            &[12, 2, 2, 2, 0, 2, 6, 1, 4, 0, 1, 0, 128],
            vec![refresh(), vpnv4()],
        ),
        (
            "RFC 5492 §4, both in one",
            &[10, 2, 8, 2, 0, 1, 4, 0, 1, 0, 128],
            vec![refresh(), vpnv4()],
        ),
        ("RFC 5492 §5, twice the same", &[6, 2, 4, 2, 0, 2, 0], vec![refresh(), refresh()]),
        ("an empty parameter", &[2, 2, 0], vec![]),
        ("RFC 9072 §2, extended", &[255, 255, 0, 5, 2, 0, 2, 2, 0], vec![refresh()]),
        (
            "RFC 9072 §2, another length before the extended one",
            &[1, 255, 0, 5, 2, 0, 2, 2, 0],
            vec![refresh()],
        ),
        ("RFC 9072 §2, extended and empty", &[255, 255, 0, 0], vec![]),
    ];
    for (source, parameters, capabilities) in cases {
        assert_eq!(decode(&body(parameters)), Ok(open(capabilities.clone())), "{source}");
    }
}

#[test]
fn reads_every_capability() {
    // (where it is said, code and value, the meaning)
    let unknown = |code, value: &'static [u8]| Capability::Unknown { code, value: value.into() };
    let cases: &[(&str, &[u8], Capability)] = &[
        ("RFC 4760 §8", &[1, 4, 0, 25, 0, 70], Capability::Multiprotocol(AfiSafi::EVPN)),
        ("RFC 2918 §2", &[2, 0], Capability::RouteRefresh),
        ("RFC 7313 §3.1", &[70, 0], Capability::EnhancedRouteRefresh),
        ("RFC 8654 §3", &[6, 0], Capability::ExtendedMessage),
        ("RFC 6793 §3", &[65, 4, 0, 1, 0x86, 0xa0], Capability::FourOctetAs(100_000)),
        (
            "RFC 4724 §3, RFC 8538 §2",
            &[64, 10, 0xc0, 120, 0, 1, 128, 0x80, 0, 25, 70, 0],
            Capability::GracefulRestart(GracefulRestart {
                restarted: true,
                notification: true,
                restart_time: 120,
                families: vec![(AfiSafi::VPNV4, true), (AfiSafi::EVPN, false)],
            }),
        ),
        (
            "RFC 4724 §3, no families: End-of-RIB only",
            &[64, 2, 0, 0],
            Capability::GracefulRestart(GracefulRestart::default()),
        ),
        (
            "RFC 7911 §4",
            &[69, 12, 0, 1, 1, 1, 0, 2, 1, 2, 0, 1, 128, 3],
            Capability::AddPath(vec![
                AddPath { family: AfiSafi::IPV4_UNICAST, receive: true, send: false },
                AddPath { family: AfiSafi::IPV6_UNICAST, receive: false, send: true },
                AddPath { family: AfiSafi::VPNV4, receive: true, send: true },
            ]),
        ),
        (
            "RFC 7911 §4, a mode of 0 is not understood",
            &[69, 4, 0, 1, 1, 0],
            unknown(69, &[0, 1, 1, 0]),
        ),
        (
            "RFC 7911 §4, a mode of 4 is not understood",
            &[69, 4, 0, 1, 1, 4],
            unknown(69, &[0, 1, 1, 4]),
        ),
        ("RFC 5492 §3, unknown", &[200, 3, 1, b'a', 0], unknown(200, &[1, b'a', 0])),
        (
            "a restart of a family and a half",
            &[64, 5, 0, 0, 0, 1, 1],
            unknown(64, &[0, 0, 0, 1, 1]),
        ),
        ("a route refresh with a value", &[2, 1, 0], unknown(2, &[0])),
    ];
    for (source, octets, capability) in cases {
        let length = u8::try_from(octets.len()).expect("short");
        let parameters = [&[length + 2, 2, length][..], octets].concat();
        let got = decode(&body(&parameters)).expect(source).capabilities;
        assert_eq!(got, std::slice::from_ref(capability), "{source}");
    }
}

#[test]
fn the_four_octet_number_counts() {
    let parameters = [8, 2, 6, 65, 4, 0, 1, 0x86, 0xa0];
    let mut octets = body(&parameters);
    octets[1..3].copy_from_slice(&[0x5b, 0xa0]);
    assert_eq!(decode(&octets).map(|open| open.asn), Ok(100_000));
    // A large number is written as AS_TRANS and a capability.
    let mut written = Vec::new();
    let capabilities = vec![Capability::FourOctetAs(100_000)];
    let message = Message::Open(Open { asn: 100_000, ..open(capabilities) });
    message.encode(&Negotiated::nothing(), &mut written);
    assert_eq!(&written[19..], octets);
}

#[test]
fn faults_are_told_with_the_subcode_of_rfc_4271() {
    let with = |at: usize, value: &[u8]| {
        let mut octets = body(&[0]);
        octets[at..at + value.len()].copy_from_slice(value);
        octets
    };
    // (case, body, octet, kind, subcode)
    let cases: &[(&str, Vec<u8>, usize, FaultKind, u8)] = &[
        ("version 3", with(0, &[3]), 19, FaultKind::Version(3), 1),
        ("AS 0", with(1, &[0, 0]), 20, FaultKind::AsZero, 2),
        (
            "RFC 7607 §2, AS 0 before a right one of four octets",
            [&[4, 0, 0, 0, 90, 192, 0, 2, 1][..], &[8, 2, 6, 65, 4, 0, 0, 0xfc, 0]].concat(),
            20,
            FaultKind::AsZero,
            2,
        ),
        ("four-octet AS 0", body(&[8, 2, 6, 65, 4, 0, 0, 0, 0]), 20, FaultKind::AsZero, 2),
        ("RFC 6286 §2.2 identifier 0", with(5, &[0; 4]), 24, FaultKind::RouterId, 3),
        ("authentication", body(&[3, 1, 1, 0]), 29, FaultKind::OptionalParameter(1), 4),
        ("1 s", with(3, &[0, 1]), 22, FaultKind::HoldTime(1), 6),
        ("2 s", with(3, &[0, 2]), 22, FaultKind::HoldTime(2), 6),
        ("parameters that are too short", body(&[4, 2, 2, 2]), 29, FaultKind::Truncated, 0),
        ("parameters that are too long", body(&[0, 1]), 29, FaultKind::Trailing, 0),
        (
            "RFC 9072 §2, never extended after a 0",
            body(&[0, 255, 0, 0]),
            29,
            FaultKind::Trailing,
            0,
        ),
        ("a parameter over the end", body(&[2, 2, 1]), 31, FaultKind::Truncated, 0),
        ("a capability over the end", body(&[4, 2, 2, 2, 1]), 33, FaultKind::Truncated, 0),
        (
            "RFC 4271 §6.2, a family of three octets",
            body(&[7, 2, 5, 1, 3, 0, 1, 1]),
            31,
            FaultKind::Length(3),
            0,
        ),
        (
            "RFC 4271 §6.2, an AS number of two octets",
            body(&[6, 2, 4, 65, 2, 0xfc, 0]),
            31,
            FaultKind::Length(2),
            0,
        ),
        ("half an extended length", body(&[255, 255, 0]), 30, FaultKind::Truncated, 0),
    ];
    for (case, body, offset, kind, subcode) in cases {
        let error = decode(body).expect_err(case);
        assert_eq!(error, WireError { part: Part::Open, offset: *offset, kind: *kind }, "{case}");
        let notification = error.notification();
        assert_eq!((notification.code, notification.subcode), (2, *subcode), "{case}");
    }
}

#[test]
fn a_hold_time_of_zero_or_three_is_taken() {
    for seconds in [0, 3, u16::MAX] {
        let mut octets = body(&[0]);
        octets[3..5].copy_from_slice(&seconds.to_be_bytes());
        assert_eq!(decode(&octets).map(|open| open.hold_time), Ok(seconds));
    }
}

#[test]
fn many_capabilities_take_the_extended_form() {
    let unknown = |length: usize| Capability::Unknown { code: 200, value: vec![7; length].into() };
    // 253 octets of capabilities are the most that the short form has room for.
    for (capabilities, extended) in
        [(vec![unknown(251)], false), (vec![unknown(252)], true), (vec![unknown(255); 15], true)]
    {
        let message = Message::Open(open(capabilities));
        let mut octets = Vec::new();
        message.encode(&Negotiated::nothing(), &mut octets);
        assert_eq!(octets[29] == 255, extended);
        assert_eq!(Message::decode(&octets, &Negotiated::nothing()), Ok(message));
    }
}

#[test]
fn an_open_never_gets_too_long() {
    let unknown = Capability::Unknown { code: 200, value: vec![7; 255].into() };
    let message = Message::Open(open(vec![unknown; 40]));
    let mut octets = Vec::new();
    message.encode(&Negotiated::nothing(), &mut octets);
    assert!(octets.len() <= 4_096);
    let Ok(Message::Open(read)) = Message::decode(&octets, &Negotiated::nothing()) else {
        panic!("not an OPEN");
    };
    assert_eq!(read.capabilities.len(), 15);
}
