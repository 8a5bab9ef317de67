//! What routers of others say that we have no table for, or no use: each form is let pass, and none is
//! taken for a mistake.
//!
//! All octets are by hand from the document in the first column.

#![expect(clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::type_complexity, reason = "a row of a table is as wide as it is")]

use bgp_wire::afi_safi::{Afi, Safi};
use bgp_wire::capability::Capability;
use bgp_wire::error::FaultKind;
use bgp_wire::nlri::EvpnKey;
use bgp_wire::{AfiSafi, ErrorAction, Message, Negotiated, NextHop, Routes, Update, WireError};

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0];
const LOCAL_PREF: &[u8] = &[0x40, 5, 4, 0, 0, 0, 100];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
/// 192.0.2.0/24 in the classic field.
const NLRI: &[u8] = &[24, 192, 0, 2];
const RD: &[u8] = &[0, 1, 192, 0, 2, 1, 0, 7];
const V4: &[u8] = &[192, 0, 2, 1];
const V6: &[u8] = &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const LINK_LOCAL: &[u8] = &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const MAPPED: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
const ESI: &[u8] = &[0; 10];
const TAG: &[u8] = &[0; 4];

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let total = u16::try_from(19 + body.len()).expect("short").to_be_bytes();
    [&[0xff; 16][..], &total, &[kind], body].concat()
}

fn update(attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let length = u16::try_from(attributes.len()).expect("short").to_be_bytes();
    message(2, &[&[0, 0], &length[..], &attributes, nlri].concat())
}

fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short").to_be_bytes();
    [&[flags | 0x10, code], &length[..], value].concat()
}

fn reach((afi, safi): (u16, u8), next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = u8::try_from(next_hop.len()).expect("short");
    let parts = [&afi.to_be_bytes()[..], &[safi, length], next_hop, &[0], nlri];
    attribute(0x80, 14, &parts.concat())
}

fn unreach((afi, safi): (u16, u8), nlri: &[u8]) -> Vec<u8> {
    attribute(0x80, 15, &[&afi.to_be_bytes()[..], &[safi], nlri].concat())
}

fn decode(octets: &[u8], negotiated: &Negotiated) -> Result<Update, WireError> {
    match Message::decode(octets, negotiated)? {
        Message::Update(update) => Ok(update),
        other => panic!("not an UPDATE: {other:?}"),
    }
}

/// The families of other people's captures: AFI and SAFI, next hop, routes.
#[test]
fn a_family_without_a_table_is_ignored_whatever_its_form() {
    let both = [V6, LINK_LOCAL].concat();
    let vpn_next_hop = [&[0; 8][..], V4].concat();
    let cases: &[(&str, (u16, u8), &[u8], &[u8])] = &[
        ("RFC 4760 multicast", (1, 2), V4, &[24, 192, 0, 2]),
        ("RFC 4760 IPv6 multicast", (2, 2), V6, &[32, 0x20, 1, 0xd, 0xb8]),
        ("RFC 6514 §4 MVPN", (1, 5), V4, &[1, 12, 0, 1, 192, 0, 2, 1, 0, 7, 192, 0, 2, 1]),
        ("RFC 6514 §4 MVPN of IPv6", (2, 5), V4, &[1, 2, 0, 1]),
        ("RFC 6074 multi-segment pseudowires", (25, 6), V4, &[0]),
        ("RFC 5512 §5 encapsulation", (1, 7), V4, &[32, 192, 0, 2, 1]),
        ("RFC 7267 MCAST-VPLS", (25, 8), V4, &[1, 2, 0, 0]),
        ("RFC 9015 SFC", (31, 9), V4, &[0, 1, 0]),
        (
            "RFC 4761 §3.2.2 VPLS",
            (25, 65),
            V4,
            &[0, 17, 0, 1, 192, 0, 2, 1, 0, 7, 0, 1, 0, 1, 0, 8, 0xc, 0x35, 1],
        ),
        (
            "RFC 6037 §2 MDT",
            (1, 66),
            V4,
            &[128, 0, 1, 192, 0, 2, 1, 0, 7, 192, 0, 2, 1, 232, 0, 0, 1],
        ),
        ("RFC 9552 §5 BGP-LS", (16_388, 71), V4, &[0, 1, 0, 4, 2, 0, 0, 0]),
        ("RFC 9552 §5 BGP-LS of VPNs", (16_388, 72), &vpn_next_hop, &[0, 1, 0, 0]),
        ("RFC 9830 §2.1 SR policy", (1, 73), V4, &[96, 0, 0, 0, 1, 0, 0, 0, 100, 192, 0, 2, 1]),
        ("RFC 9830 §2.1 SR policy of IPv6", (2, 73), V6, &[192, 0, 0, 0, 1]),
        ("draft-ietf-bess-mup-safi", (1, 85), V4, &[1, 0, 1, 1, 0]),
        ("RFC 4684 of IPv6", (2, 132), V6, &[0]),
        ("RFC 8955 §4 flow specification", (1, 133), &[], &[5, 1, 24, 192, 0, 2]),
        ("RFC 8955 with a long length", (1, 133), &[], &[0xf0, 3, 1, 0, 0]),
        ("RFC 8956 flow specification of IPv6", (2, 133), &[], &[4, 1, 0, 0, 0]),
        (
            "RFC 8955 §8 flow specification of VPNs",
            (1, 134),
            &[],
            &[11, 0, 0, 0, 1, 0, 0, 0, 1, 1, 8, 10],
        ),
        ("RFC 9117 with a next hop", (1, 134), V4, &[0]),
        ("RFC 6514 §4 with SAFI 129", (1, 129), V4, &[112, 0, 1, 0, 1]),
        ("Contrail, ERM-VPN", (1, 243), V4, &[1, 3, 0, 1, 2]),
        ("CLNS of old routers", (3, 1), &[0x49, 0, 1], &[8, 0x49]),
        ("SAFI 140 of Cisco", (1, 140), V4, &[0]),
        ("labeled IPv6 unicast not agreed on", (2, 4), V4, &[255, 1]),
        ("a next hop that runs over the end", (1, 133), &both, &[]),
    ];
    let only = vec![AfiSafi::VPNV4, AfiSafi::IPV4_UNICAST];
    let negotiated = Negotiated { families: only, ..Negotiated::everything() };
    for (source, family, next_hop, nlri) in cases {
        let mut announced = reach(*family, next_hop, nlri);
        if source.contains("runs over") {
            announced[7] = 200;
        }
        let withdrawn = unreach(*family, nlri);
        let end_of_rib = unreach(*family, &[]);
        for (attributes, count) in [
            (vec![&announced[..], ORIGIN, AS_PATH, LOCAL_PREF], 1),
            (vec![&announced[..], &withdrawn, ORIGIN, AS_PATH, LOCAL_PREF], 2),
            (vec![&withdrawn[..]], 1),
            (vec![&end_of_rib[..]], 1),
        ] {
            let read = decode(&update(&attributes, &[]), &negotiated).expect(source);
            assert_eq!((read.announced.len(), read.withdrawn.len()), (0, 0), "{source}");
            assert_eq!(read.end_of_rib, None, "{source}");
            assert_eq!(read.faults.len(), count, "{source}: {:?}", read.faults);
            for fault in &read.faults {
                assert_eq!(fault.kind, FaultKind::NotNegotiated, "{source}");
                assert_eq!(fault.action(true), ErrorAction::AttributeDiscard, "{source}");
            }
        }
        // What stands beside it is taken.
        let beside = [&announced[..], ORIGIN, AS_PATH, NEXT_HOP, LOCAL_PREF];
        let read = decode(&update(&beside, NLRI), &negotiated).expect(source);
        assert_eq!((read.announced.len(), read.faults.len()), (1, 1), "{source}");
    }
}

/// Attributes that we have no use for: kept with the partial bit, kept without, or dropped.
#[test]
fn attributes_without_a_use_are_carried_or_dropped() {
    // (source, flags, code, value, the flags it is kept with)
    let label_index = [1, 0, 7, 0, 0, 0, 0, 0, 0, 7, 3, 0, 8, 0, 0, 0, 0x3e, 0x80, 0, 0x1f, 0x40];
    let srv6 = [
        5, 0, 34, 0, 1, 0, 30, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 19,
        0, 1, 0, 6, 40, 24, 16, 0, 16, 64,
    ];
    let cases: &[(&str, u8, u8, &[u8], Option<u8>)] = &[
        ("DPA of old routers", 0xc0, 11, &[0, 1, 0, 0, 0, 1], Some(0xe0)),
        ("RFC 6037 connector", 0xc0, 20, &[0, 1, 192, 0, 2, 1, 192, 0, 2, 1], Some(0xe0)),
        ("AS_PATHLIMIT, deprecated", 0xc0, 21, &[5, 0, 0, 0xfc, 0], Some(0xe0)),
        ("RFC 5543 traffic engineering", 0x80, 24, &[0; 36], None),
        ("RFC 6514 §8 PE distinguishers", 0xc0, 27, &[192, 0, 2, 1, 0, 1, 1], Some(0xe0)),
        ("RFC 6790 entropy labels, deprecated", 0xc0, 28, &[], Some(0xe0)),
        ("RFC 9552 §5.3 BGP-LS", 0x80, 29, &[4, 2, 0, 2, b'r', b'1'], None),
        ("RFC 8205 BGPsec path", 0x80, 33, &[0; 8], None),
        (
            "draft-ietf-bess-evpn-ipvpn-interworking D-PATH",
            0xc0,
            36,
            &[1, 0, 0, 0, 1, 0, 1, 70],
            Some(0xe0),
        ),
        ("RFC 9026 BFD discriminator", 0xc0, 38, &[1, 0, 0, 0, 1], Some(0xe0)),
        ("RFC 8669 §3 prefix SID with a label index", 0xc0, 40, &label_index, Some(0xe0)),
        ("RFC 9252 §3 prefix SID with an SRv6 service", 0xc0, 40, &srv6, Some(0xe0)),
        ("prefix SID that has passed others", 0xe0, 40, &label_index, Some(0xe0)),
        ("draft of Huawei, 241", 0xc0, 241, &[1, 2, 3], Some(0xe0)),
        ("reserved for development", 0xc0, 255, &[], Some(0xe0)),
        (
            "RFC 6368 §5 ATTR_SET",
            0xc0,
            128,
            &[0, 0, 0xfc, 0, 0x40, 1, 1, 0, 0x40, 2, 0],
            Some(0xc0),
        ),
        ("RFC 6368 §5 ATTR_SET that is empty", 0xc0, 128, &[0, 0, 0xfc, 0], Some(0xc0)),
        ("RFC 6514 §5 no tunnel", 0xc0, 22, &[0, 0, 0, 0, 0], Some(0xc0)),
        (
            "RFC 6514 §5 RSVP-TE",
            0xc0,
            22,
            &[0, 1, 0, 0, 0, 192, 0, 2, 1, 0, 0, 0, 1, 192, 0, 2, 1],
            Some(0xc0),
        ),
        (
            "RFC 6514 §5 mLDP",
            0xc0,
            22,
            &[1, 2, 0, 0, 0, 6, 0, 1, 4, 192, 0, 2, 1, 0, 7, 1, 0, 4, 0, 0, 0, 1],
            Some(0xc0),
        ),
        ("RFC 6514 §5 PIM-SSM", 0xc0, 22, &[0, 3, 0, 0, 0, 192, 0, 2, 1, 232, 0, 0, 1], Some(0xc0)),
        (
            "RFC 8365 §9 ingress replication with a VNI",
            0xc0,
            22,
            &[0, 6, 0, 0x27, 0x11, 192, 0, 2, 1],
            Some(0xc0),
        ),
        (
            "RFC 7582 ingress replication to IPv6",
            0xc0,
            22,
            &[&[0, 6, 0, 1, 1][..], V6].concat(),
            Some(0xc0),
        ),
        ("RFC 9574 assisted replication", 0xc0, 22, &[8, 10, 0, 1, 1, 192, 0, 2, 1], Some(0xc0)),
        ("a tunnel of experiments", 0xc0, 22, &[0, 0x7c, 0, 0, 0, 9], Some(0xc0)),
    ];
    for (source, flags, code, value, kept) in cases {
        let odd = attribute(*flags, *code, value);
        let octets = update(&[ORIGIN, AS_PATH, NEXT_HOP, LOCAL_PREF, &odd], NLRI);
        let read = decode(&octets, &Negotiated::everything()).expect(source);
        assert_eq!((read.announced.len(), read.faults.len()), (1, 0), "{source}: {read:?}");
        let others = &read.attributes.others;
        let found = others.iter().find(|other| other.code == *code);
        assert_eq!(found.map(|found| found.flags), *kept, "{source}");
        if let Some(found) = found {
            assert_eq!(&found.value[..], *value, "{source}");
        }
    }
}

/// Next hops as they are found in captures.
#[test]
fn next_hops_of_every_form_are_read() {
    let (rd, v4) = ([0; 8], NextHop::V4([192, 0, 2, 1].into()));
    let octets = |octets: &[u8]| <[u8; 16]>::try_from(octets).expect("16 octets").into();
    let (v6, mapped) = (NextHop::V6(octets(V6)), NextHop::V6(octets(MAPPED)));
    let with_local = NextHop::V6WithLinkLocal(octets(V6), octets(LINK_LOCAL));
    let vpn = [&[88, 0, 1, 1][..], RD].concat();
    let cases: &[(&str, (u16, u8), Vec<u8>, &[u8], NextHop)] = &[
        ("RFC 4364 §4.3.2", (1, 128), [&rd[..], V4].concat(), &vpn, v4),
        ("RFC 8950 §3", (1, 128), [&rd[..], V6].concat(), &vpn, v6),
        ("RFC 8950 §3", (1, 128), [&rd[..], V6, &rd, LINK_LOCAL].concat(), &vpn, with_local),
        ("RFC 4659 §3.2.1.1", (2, 128), [&rd[..], V6].concat(), &vpn, v6),
        ("RFC 4659 §3.2.1.2", (2, 128), [&rd[..], MAPPED].concat(), &vpn, mapped),
        ("RFC 4659 §3.2.1.1", (2, 128), [&rd[..], V6, &rd, LINK_LOCAL].concat(), &vpn, with_local),
        ("Contrail, VPNv6 over IPv4", (2, 128), [&rd[..], V4].concat(), &vpn, mapped),
        ("RFC 2545 §3", (2, 1), [V6, LINK_LOCAL].concat(), &[0], with_local),
        ("RFC 4798 §2", (2, 4), MAPPED.to_vec(), &[24, 0, 1, 1], mapped),
        ("RFC 8950 §3", (1, 1), V6.to_vec(), &[0], v6),
        ("RFC 7432 §9.2.1", (25, 70), V6.to_vec(), &[9, 0], v6),
    ];
    for (source, family, next_hop, nlri, want) in cases {
        let reach = reach(*family, next_hop, nlri);
        let octets = update(&[&reach, ORIGIN, AS_PATH, LOCAL_PREF], &[]);
        let read = decode(&octets, &Negotiated::everything()).expect(source);
        assert_eq!(read.faults, [], "{source}");
        assert_eq!(read.announced.first().map(|(hop, _)| *hop), Some(*want), "{source}");
    }
}

/// IANA "EVPN Route Types" from 6 on, and long forms of those before.
#[test]
fn evpn_routes_of_every_type_are_carried() {
    let group = [&[32][..], &[0; 4], &[32, 239, 0, 0, 1]].concat();
    let mac_and_v6 = [RD, ESI, TAG, &[48, 2, 0, 0, 0, 0, 1, 128], V6, &[0, 1, 1, 0, 2, 1]].concat();
    let cases: &[(&str, u8, Vec<u8>, bool)] = &[
        ("RFC 7432 §7.2 IPv6, two labels", 2, mac_and_v6, true),
        (
            "RFC 7432 §7.2 no label in the second field",
            2,
            [RD, ESI, TAG, &[48, 2, 0, 0, 0, 0, 1, 0, 0, 1, 1]].concat(),
            true,
        ),
        ("RFC 9251 §9.1 SMET", 6, [RD, TAG, &group, &[32, 192, 0, 2, 1, 2]].concat(), false),
        (
            "RFC 9251 §9.2 join synch",
            7,
            [RD, ESI, TAG, &group, &[32, 192, 0, 2, 1, 2]].concat(),
            false,
        ),
        (
            "RFC 9251 §9.3 leave synch",
            8,
            [RD, ESI, TAG, &group, &[32, 192, 0, 2, 1], &[0; 4], &[2, 1]].concat(),
            false,
        ),
        (
            "RFC 9572 §3.1 per-region I-PMSI",
            9,
            [RD, TAG, &[0, 9, 0, 0, 0xfc, 0, 0, 0]].concat(),
            false,
        ),
        ("RFC 9572 §3.2 S-PMSI", 10, [RD, TAG, &group, &[32, 192, 0, 2, 1]].concat(), false),
        (
            "RFC 9572 §3.3 leaf",
            11,
            [&[3, 17][..], RD, TAG, &[32, 192, 0, 2, 1, 32, 192, 0, 2, 1]].concat(),
            false,
        ),
        ("of experiments", 255, vec![], false),
    ];
    for (source, kind, value, known) in cases {
        let length = u8::try_from(value.len()).expect("short");
        let nlri = [&[*kind, length][..], value].concat();
        let octets = update(&[&reach((25, 70), V4, &nlri), ORIGIN, AS_PATH, LOCAL_PREF], &[]);
        let read = decode(&octets, &Negotiated::everything()).expect(source);
        assert_eq!(read.faults, [], "{source}");
        let [(_, Routes::Evpn(routes))] = &read.announced[..] else { panic!("{source}") };
        let is_opaque = matches!(routes[0].key, EvpnKey::Opaque { .. });
        assert_eq!((routes.len(), is_opaque), (1, !known), "{source}");
        let mut again = Vec::new();
        Message::Update(read).encode(&Negotiated::everything(), &mut again);
        assert!(again.windows(nlri.len()).any(|part| part == nlri), "{source}: passed on whole");
    }
}

#[test]
fn withdrawals_with_the_labels_of_every_router_are_read() {
    let labels: [(&str, [u8; 3]); 5] = [
        ("RFC 8277 §2.4", [0x80, 0, 0]),
        ("old FRR, Juniper", [0, 0, 0]),
        ("an echoed label", [0, 1, 0x41]),
        ("without a bottom of stack", [0, 1, 0x40]),
        ("all ones", [0xff; 3]),
    ];
    for (source, label) in labels {
        let vpn4 = [&[112][..], &label, RD, &[10, 0, 1]].concat();
        let vpn6 = [&[120][..], &label, RD, &[0x20, 1, 0xd, 0xb8]].concat();
        let labeled = [&[48][..], &label, &[10, 0, 1]].concat();
        for (family, nlri) in [((1, 128), vpn4), ((2, 128), vpn6), ((1, 4), labeled)] {
            let octets = update(&[&unreach(family, &nlri)], &[]);
            let read = decode(&octets, &Negotiated::everything()).expect(source);
            assert_eq!((read.withdrawn[0].len(), read.faults.len()), (1, 0), "{source} {family:?}");
        }
    }
}

/// RFC 5492 §3: a capability that is not known is as if it had not been said.
#[test]
fn opens_of_other_routers_are_read() {
    let capabilities: &[(&str, &[u8])] = &[
        ("RFC 4760", &[1, 4, 0, 1, 0, 1]),
        ("RFC 9552, BGP-LS", &[1, 4, 0x40, 4, 0, 71]),
        ("RFC 2918", &[2, 0]),
        ("RFC 5291, ORF", &[3, 7, 0, 1, 0, 1, 1, 64, 3]),
        ("RFC 3107, several routes", &[4, 0]),
        ("RFC 8950", &[5, 6, 0, 1, 0, 1, 0, 2]),
        ("RFC 8205, BGPsec", &[7, 3, 0, 0, 1]),
        ("RFC 8277", &[8, 4, 0, 1, 128, 3]),
        ("RFC 8277, half a family", &[8, 2, 0, 1]),
        ("RFC 4724", &[64, 2, 0, 120]),
        ("RFC 4724, too short", &[64, 1, 0]),
        ("dynamic capabilities", &[67, 1, 1]),
        ("multi-session", &[68, 1, 0]),
        ("RFC 7911", &[69, 4, 0, 1, 1, 3]),
        ("RFC 7911, of a value that there is not", &[69, 4, 0, 1, 1, 4]),
        ("RFC 7313", &[70, 0]),
        ("RFC 9494", &[71, 0]),
        ("FQDN", &[73, 4, 2, b'r', b'1', 0]),
        ("FQDN, longer than it is", &[73, 2, 9, b'r']),
        ("software version", &[75, 3, 2, b'v', b'1']),
        ("paths limit", &[76, 5, 0, 1, 1, 0, 8]),
        ("Cisco, route refresh before RFC 2918", &[128, 0]),
        ("Cisco, ORF before RFC 5291", &[130, 7, 0, 1, 0, 1, 1, 128, 3]),
        ("Cisco, multi-session", &[131, 1, 0]),
        ("Huawei", &[184, 4, 1, 2, 3, 4]),
        ("reserved", &[0, 0]),
        ("RFC 6793", &[65, 4, 0, 0, 0xfc, 0]),
    ];
    let open = |parameters: &[u8]| {
        let length = u8::try_from(parameters.len()).expect("short");
        message(1, &[&[4, 0xfc, 0, 0, 90, 192, 0, 2, 1, length][..], parameters].concat())
    };
    let parameter =
        |value: &[u8]| [&[2, u8::try_from(value.len()).expect("short")][..], value].concat();
    let one: Vec<u8> = capabilities.iter().flat_map(|(_, octets)| octets.to_vec()).collect();
    let each: Vec<u8> = capabilities.iter().flat_map(|(_, octets)| parameter(octets)).collect();
    for parameters in [parameter(&one), each] {
        let read = Message::decode(&open(&parameters), &Negotiated::nothing()).expect("an OPEN");
        let Message::Open(read) = read else { panic!("no OPEN") };
        assert_eq!(read.capabilities.len(), capabilities.len());
        assert_eq!(read.asn, 0xfc00);
        let unknown = |capability: &&Capability| matches!(capability, Capability::Unknown { .. });
        assert_eq!(read.capabilities.iter().filter(unknown).count(), 15);
    }
    // RFC 4271 §6.2: authentication is no parameter any more.
    let error = Message::decode(&open(&[1, 2, 0, 0]), &Negotiated::nothing()).expect_err("refused");
    assert_eq!(error.kind, FaultKind::OptionalParameter(1));
}

/// RFC 5291 §5: filters that were never asked for are not looked at; the routes are sent.
#[test]
fn a_refresh_with_filters_is_a_refresh() {
    let bodies: &[(&str, &[u8])] = &[
        ("RFC 2918 §3", &[0, 1, 0, 128]),
        ("RFC 5291 §4, remove all", &[0, 1, 0, 128, 1, 64, 0, 1, 0x80]),
        ("of Cisco", &[0, 1, 0, 128, 2, 128, 0, 8, 0, 0, 0, 0, 1, 0, 32, 8, 10]),
    ];
    for (source, body) in bodies {
        let read = Message::decode(&message(5, body), &Negotiated::everything()).expect(source);
        let Message::RouteRefresh(refresh) = read else { panic!("{source}") };
        assert_eq!((refresh.family, refresh.subtype), (AfiSafi::VPNV4, 0), "{source}");
    }
    let other = Message::decode(&message(5, &[0x40, 4, 0, 71]), &Negotiated::everything());
    let Ok(Message::RouteRefresh(refresh)) = other else { panic!("{other:?}") };
    assert_eq!(refresh.family, AfiSafi { afi: Afi(16_388), safi: Safi(71) });
}

/// RFC 9774 §3: in AS_PATH and in AS4_PATH, and only where sets are not taken.
#[test]
fn routes_with_sets_of_as_numbers_are_withdrawn_where_those_are_refused() {
    let two_octets = |refuse| Negotiated {
        four_octet_as: false,
        refuse_as_sets: refuse,
        ..Negotiated::everything()
    };
    let four_octets = |refuse| Negotiated { refuse_as_sets: refuse, ..Negotiated::everything() };
    let (plain, sequence) = (&[0x40, 2, 4, 2, 1, 0x5b, 0xa0][..], &[][..]);
    let cases: &[(&str, fn(bool) -> Negotiated, &[u8], &[u8])] = &[
        ("AS_SET", four_octets, &[0x40, 2, 12, 2, 1, 0, 0, 0xfc, 0, 1, 1, 0, 0, 0, 7], sequence),
        ("AS_CONFED_SET", four_octets, &[0x40, 2, 6, 4, 1, 0, 0, 0, 7], sequence),
        ("AS_SET of two octets", two_octets, &[0x40, 2, 4, 1, 1, 0, 7], sequence),
        ("AS_SET in AS4_PATH", two_octets, plain, &[0xc0, 17, 6, 1, 1, 0, 1, 0, 7]),
    ];
    for (source, negotiated, as_path, as4_path) in cases {
        let octets = update(&[ORIGIN, as_path, NEXT_HOP, as4_path], NLRI);
        let read = decode(&octets, &negotiated(false)).expect(source);
        assert_eq!((read.announced.len(), read.faults.len()), (1, 0), "{source}");
        for internal in [true, false] {
            let refusing = Negotiated { internal, ..negotiated(true) };
            let read = decode(&octets, &refusing).expect(source);
            assert_eq!((read.announced.len(), read.withdrawn.len()), (0, 1), "{source}");
            // From outside segments of a confederation are refused as such.
            if internal || *source != "AS_CONFED_SET" {
                assert_eq!(read.faults[0].kind, FaultKind::AsSet, "{source}");
            }
            assert_eq!(read.faults[0].action(internal), ErrorAction::TreatAsWithdraw, "{source}");
        }
    }
}

/// RFC 8277 §2.1: what is deeper than we say is treated as withdrawn, and the session goes on.
#[test]
fn a_stack_that_is_too_deep_withdraws() {
    let labels = [5, 0xdc, 0x50, 5, 0xdc, 0x60, 5, 0xdc, 0x71];
    let deep = [&[72 + 64 + 24][..], &labels, RD, &[10, 0, 1]].concat();
    let two = [&[48 + 64 + 24][..], &labels[..3], &labels[6..], RD, &[10, 0, 2]].concat();
    let next_hop = [&[0; 8][..], V4].concat();
    let all = Negotiated { labels: vec![(AfiSafi::VPNV4, 2)], ..Negotiated::everything() };
    for (nlri, announced, withdrawn) in [(two.clone(), 1, 0), ([two, deep].concat(), 0, 2)] {
        let octets = update(&[&reach((1, 128), &next_hop, &nlri), ORIGIN, AS_PATH], &[]);
        for internal in [true, false] {
            let read = decode(&octets, &Negotiated { internal, ..all.clone() }).expect("taken");
            let count = |lists: usize| if lists == 0 { 0 } else { read.withdrawn[0].len() };
            assert_eq!((read.announced.len(), count(read.withdrawn.len())), (announced, withdrawn));
        }
    }
}
