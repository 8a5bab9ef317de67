//! How UPDATEs are put together: order, lengths, and where one message ends and the next begins.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use bgp_wire::as_path::{AsPath, Segment};
use bgp_wire::attrs::{Aggregator, PathAttributes, RawAttribute};
use bgp_wire::community::{Community, LargeCommunity};
use bgp_wire::update::{Form, write_attributes, write_end_of_rib, write_reach, write_unreach};
use bgp_wire::{
    AfiSafi, Ipv4Unicast, Label, Message, Negotiated, NextHop, PathId, RouteTarget, Update, VpnKey,
    VpnLabels, VpnV4,
};
use ipnet::Ipv4Net;

const FORM: Form =
    Form { four_octet_as: true, extended_messages: false, add_path: false, labels: 1 };
const HOP: NextHop = NextHop::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn vpn_keys(count: u32) -> Vec<VpnKey<Ipv4Net>> {
    let rd = "65000:7".parse().expect("rd");
    (0..count)
        .map(|n| VpnKey { rd, net: Ipv4Net::new((n << 8).into(), 24).expect("24 bits") })
        .collect()
}

fn decode(octets: &[u8]) -> Update {
    match Message::decode(octets, &Negotiated::everything()) {
        Ok(Message::Update(update)) => update,
        other => panic!("not an UPDATE: {other:?}"),
    }
}

/// The codes of the attributes of an UPDATE, in wire order.
fn codes(octets: &[u8]) -> Vec<u8> {
    let (mut codes, mut at) = (Vec::new(), 23);
    let end = at + usize::from(u16::from_be_bytes([octets[21], octets[22]]));
    while at < end {
        codes.push(octets[at + 1]);
        at += if octets[at] & 0x10 == 0 {
            3 + usize::from(octets[at + 2])
        } else {
            4 + usize::from(u16::from_be_bytes([octets[at + 2], octets[at + 3]]))
        };
    }
    codes
}

fn full_attributes() -> PathAttributes {
    let raw = |flags, code| RawAttribute { flags, code, value: vec![0; 5].into() };
    PathAttributes {
        as_path: AsPath(vec![Segment::Sequence(vec![64512, 100_000])]),
        med: Some(1),
        local_pref: Some(100),
        atomic_aggregate: true,
        aggregator: Some(Aggregator { asn: 100_000, id: [192, 0, 2, 9].into() }),
        communities: vec![Community::NO_EXPORT],
        originator_id: Some([192, 0, 2, 2].into()),
        cluster_list: vec![[192, 0, 2, 3].into()],
        extended_communities: vec![RouteTarget::as2(64512, 100).into()],
        large_communities: vec![LargeCommunity { global: 1, data1: 2, data2: 3 }],
        others: vec![raw(0xc0, 22), raw(0xe0, 99), raw(0xe0, 200)],
        ..PathAttributes::default()
    }
}

#[test]
fn mp_reach_is_first_and_the_others_ascend() {
    let mut attributes = Vec::new();
    write_attributes(&full_attributes(), HOP, AfiSafi::VPNV4, true, &mut attributes);
    let keys = vpn_keys(1);
    let label = VpnLabels::one(Label::mpls(16).expect("20 bits"));
    let routes = keys.iter().map(|key| (PathId::default(), key, &label));
    let mut octets = Vec::new();
    assert_eq!(write_reach::<VpnV4>(FORM, &attributes, HOP, routes, &mut octets), 1);
    assert_eq!(codes(&octets), [14, 1, 2, 4, 5, 6, 7, 8, 9, 10, 16, 22, 32, 99, 200]);
}

#[test]
fn two_octet_speakers_get_as4_attributes_in_order() {
    let mut attributes = Vec::new();
    write_attributes(&full_attributes(), HOP, AfiSafi::IPV4_UNICAST, false, &mut attributes);
    let net = "192.0.2.0/24".parse().expect("a prefix");
    let form = Form { four_octet_as: false, ..FORM };
    let routes = std::iter::once((PathId::default(), &net, &()));
    let mut octets = Vec::new();
    assert_eq!(write_reach::<Ipv4Unicast>(form, &attributes, HOP, routes, &mut octets), 1);
    assert_eq!(codes(&octets), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 17, 18, 22, 32, 99, 200]);
    let two = Negotiated { four_octet_as: false, ..Negotiated::everything() };
    let Ok(Message::Update(read)) = Message::decode(&octets, &two) else { panic!("an UPDATE") };
    assert_eq!(*read.attributes, full_attributes());
}

#[test]
fn two_octet_paths_without_large_numbers_need_no_as4_path() {
    let attributes = PathAttributes {
        as_path: AsPath(vec![Segment::Sequence(vec![64512, 65535])]),
        ..PathAttributes::default()
    };
    let mut octets = Vec::new();
    write_attributes(&attributes, HOP, AfiSafi::VPNV4, false, &mut octets);
    assert_eq!(octets, [0x40, 1, 1, 0, 0x40, 2, 6, 2, 2, 0xfc, 0, 0xff, 0xff]);
}

#[test]
fn ipv4_unicast_is_classic_with_an_ipv4_next_hop_only() {
    let net: Ipv4Net = "192.0.2.0/24".parse().expect("a prefix");
    let write = |next_hop| {
        let (mut attributes, mut octets) = (Vec::new(), Vec::new());
        let family = AfiSafi::IPV4_UNICAST;
        write_attributes(&PathAttributes::default(), next_hop, family, true, &mut attributes);
        let routes = std::iter::once((PathId::default(), &net, &()));
        assert_eq!(write_reach::<Ipv4Unicast>(FORM, &attributes, next_hop, routes, &mut octets), 1);
        octets
    };
    assert_eq!(codes(&write(HOP)), [1, 2, 3]);
    assert_eq!(write(HOP)[23 + 14..], [24, 192, 0, 2]);
    let v6 = NextHop::V6("2001:db8::1".parse().expect("an address"));
    assert_eq!(codes(&write(v6)), [14, 1, 2]);
    assert_eq!(decode(&write(v6)).announced[0].0, v6);
}

#[test]
fn path_identifiers_stand_before_each_route() {
    let form = Form { add_path: true, ..FORM };
    let (a, b): (Ipv4Net, Ipv4Net) =
        ("192.0.2.0/24".parse().expect("a prefix"), "10.0.0.0/8".parse().expect("a prefix"));
    let mut octets = Vec::new();
    let routes = [(PathId(1), &a), (PathId(0x0102_0304), &b)];
    assert_eq!(write_unreach::<Ipv4Unicast>(form, routes.into_iter(), &mut octets), 2);
    assert_eq!(octets[19..], [0, 14, 0, 0, 0, 1, 24, 192, 0, 2, 1, 2, 3, 4, 8, 10, 0, 0]);
}

#[test]
fn a_message_is_filled_to_the_last_route_that_fits() {
    let label = VpnLabels::one(Label::mpls(16).expect("20 bits"));
    let keys = vpn_keys(10_000);
    for extended_messages in [false, true] {
        let form = Form { extended_messages, ..FORM };
        let max = if extended_messages { 65_535 } else { 4_096 };
        let mut attributes = Vec::new();
        write_attributes(&full_attributes(), HOP, AfiSafi::VPNV4, true, &mut attributes);
        let (mut done, mut got) = (0, Vec::new());
        while done < keys.len() {
            let mut octets = Vec::new();
            let routes = keys[done..].iter().map(|key| (PathId::default(), key, &label));
            let taken = write_reach::<VpnV4>(form, &attributes, HOP, routes, &mut octets);
            done += taken;
            assert!(octets.len() <= max, "{} octets", octets.len());
            // One more route of 15 octets would have been too long.
            assert!(done == keys.len() || octets.len() + 15 > max, "{} octets", octets.len());
            let update = decode(&octets);
            assert_eq!(*update.attributes, full_attributes());
            for (_, routes) in update.announced {
                let bgp_wire::Routes::VpnV4(list) = routes else { panic!("VPNv4") };
                got.extend(list.into_iter().map(|route| route.key));
            }
        }
        assert_eq!(got, keys);

        let (mut done, mut messages) = (0, 0);
        while done < keys.len() {
            let mut octets = Vec::new();
            let pairs = keys[done..].iter().map(|key| (PathId::default(), key));
            done += write_unreach::<VpnV4>(form, pairs, &mut octets);
            assert!(octets.len() <= max && (done == keys.len() || octets.len() + 15 > max));
            messages += 1;
        }
        assert_eq!(messages, 10_000_usize.div_ceil((max - 30) / 15));
    }
}

#[test]
fn no_routes_make_no_message() {
    let mut octets = vec![7];
    assert_eq!(write_reach::<VpnV4>(FORM, &[], HOP, std::iter::empty(), &mut octets), 0);
    assert_eq!(write_unreach::<VpnV4>(FORM, std::iter::empty(), &mut octets), 0);
    assert_eq!(write_reach::<Ipv4Unicast>(FORM, &[], HOP, std::iter::empty(), &mut octets), 0);
    assert_eq!(octets, [7]);
}

/// RFC 8654 §4: the peer must not keep an older route.
#[test]
fn attributes_that_leave_no_room_withdraw_the_routes() {
    let large = PathAttributes {
        others: vec![RawAttribute { flags: 0xe0, code: 99, value: vec![0; 4_060].into() }],
        ..PathAttributes::default()
    };
    for family in [AfiSafi::VPNV4, AfiSafi::IPV4_UNICAST] {
        let mut attributes = Vec::new();
        write_attributes(&large, HOP, family, true, &mut attributes);
        let mut octets = Vec::new();
        let taken = if family == AfiSafi::VPNV4 {
            let (keys, label) = (vpn_keys(3), VpnLabels::one(Label::WITHDRAWN));
            let routes = keys.iter().map(|key| (PathId::default(), key, &label));
            write_reach::<VpnV4>(FORM, &attributes, HOP, routes, &mut octets)
        } else {
            let nets: Vec<Ipv4Net> = vpn_keys(3).iter().map(|key| key.net).collect();
            let routes = nets.iter().map(|net| (PathId::default(), net, &()));
            write_reach::<Ipv4Unicast>(FORM, &attributes, HOP, routes, &mut octets)
        };
        let update = decode(&octets);
        assert_eq!((taken, update.announced.len(), update.withdrawn[0].len()), (3, 0, 3));
    }
}

#[test]
fn messages_are_appended_behind_what_is_there() {
    let mut octets = Vec::new();
    write_end_of_rib(AfiSafi::IPV4_UNICAST, &mut octets);
    write_end_of_rib(AfiSafi::RTC, &mut octets);
    assert_eq!(octets.len(), 23 + 30);
    assert_eq!(decode(&octets[..23]).end_of_rib, Some(AfiSafi::IPV4_UNICAST));
    assert_eq!(decode(&octets[23..]).end_of_rib, Some(AfiSafi::RTC));
}

#[test]
fn an_update_of_several_lists_becomes_several_messages() {
    let read = Update {
        withdrawn: vec![bgp_wire::Withdrawals::Ipv4(vec![bgp_wire::Withdrawal {
            path_id: PathId::default(),
            key: "10.0.0.0/8".parse().expect("a prefix"),
        }])],
        announced: vec![(
            HOP,
            bgp_wire::Routes::VpnV4(
                vpn_keys(1_000)
                    .into_iter()
                    .map(|key| bgp_wire::Route {
                        path_id: PathId::default(),
                        key,
                        data: Label::mpls(7).expect("20 bits").into(),
                    })
                    .collect(),
            ),
        )],
        attributes: Arc::new(full_attributes()),
        ..Update::default()
    };
    let negotiated = Negotiated { extended_messages: false, ..Negotiated::everything() };
    let mut octets = Vec::new();
    Message::Update(read).encode(&negotiated, &mut octets);
    let (mut rest, mut messages, mut routes) = (&octets[..], 0, 0);
    while let Some(length) = bgp_wire::frame::length(rest, 4_096).expect("our own header") {
        let update = decode(&rest[..length]);
        routes += update.announced.iter().map(|(_, list)| list.len()).sum::<usize>();
        rest = &rest[length..];
        messages += 1;
    }
    assert_eq!((messages, routes), (5, 1_000));
}

/// RFC 8277 §2.1: a peer is told no more labels than it takes; what has more is withdrawn there.
#[test]
fn routes_with_more_labels_than_the_peer_takes_are_withdrawn() {
    let label = |value| Label::mpls(value).expect("20 bits");
    let one = VpnLabels::one(label(16));
    let stack = [Label::from_octets([0, 1, 0]), label(17)];
    let two = VpnLabels::stack(&stack).expect("two labels");
    let keys = vpn_keys(5);
    let data = [one, two, two, one, two];
    let mut attributes = Vec::new();
    write_attributes(&full_attributes(), HOP, AfiSafi::VPNV4, true, &mut attributes);
    for (labels, steps) in [(1, &[1, 2, 1, 1][..]), (2, &[5])] {
        let form = Form { labels, ..FORM };
        let (mut octets, mut taken, mut done) = (Vec::new(), Vec::new(), 0);
        while done < keys.len() {
            let routes = keys.iter().zip(&data).map(|(key, data)| (PathId::default(), key, data));
            let took = write_reach::<VpnV4>(form, &attributes, HOP, routes.skip(done), &mut octets);
            taken.push(took);
            done += took;
        }
        assert_eq!(taken, steps, "{labels}");
        let negotiated =
            Negotiated { labels: vec![(AfiSafi::VPNV4, labels)], ..Negotiated::everything() };
        let (mut announced, mut withdrawn) = (0, 0);
        let mut rest = &octets[..];
        while let Some(length) = bgp_wire::frame::length(rest, 4096).expect("our own header") {
            let (message, more) = rest.split_at(length);
            let Ok(Message::Update(read)) = Message::decode(message, &negotiated) else {
                panic!("our own octets")
            };
            announced += read.announced.iter().map(|(_, routes)| routes.len()).sum::<usize>();
            withdrawn += read.withdrawn.iter().map(bgp_wire::Withdrawals::len).sum::<usize>();
            rest = more;
        }
        assert_eq!((announced, withdrawn), if labels == 1 { (2, 3) } else { (5, 0) });
    }
}
