//! What reading and writing UPDATEs costs, by itself.
//!
//! `codec decode|encode [ROUTES]`. `scripts/rib-cost.sh` counts the instructions of [`decoded`] and
//! [`encoded`] under callgrind; run without it, this says only that it did its work.

#![allow(clippy::print_stdout, reason = "that is what a benchmark is for")]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bgp_wire::nlri::Routes;
use bgp_wire::{
    AfiSafi, ExtendedCommunity, Label, Message, Negotiated, NextHop, PathAttributes, PathId, Route,
    RouteDistinguisher, RouteTarget, Update, VpnKey, VpnV4, update,
};

/// As in the scenarios: routes that share an attribute set, and route targets.
const ROUTES_PER_SET: u32 = 10;
const TARGETS: u32 = 1_000;

/// What a session does with each message that it has split off.
#[inline(never)]
fn decoded(messages: &[Vec<u8>], negotiated: &Negotiated) -> Vec<Message> {
    let decode = |message: &Vec<u8>| Message::decode(message, negotiated);
    messages.iter().map(decode).collect::<Result<_, _>>().expect("good messages")
}

/// What packing does with each attribute set: its attributes once, then messages of its routes.
#[inline(never)]
fn encoded(updates: &[Update], negotiated: &Negotiated, out: &mut Vec<u8>) {
    let family = AfiSafi::VPNV4;
    let form = update::Form::of(negotiated, family);
    let mut attributes = Vec::new();
    for said in updates {
        for (next_hop, routes) in &said.announced {
            let Routes::VpnV4(routes) = routes else { continue };
            attributes.clear();
            let width = form.four_octet_as;
            update::write_attributes(&said.attributes, *next_hop, family, width, &mut attributes);
            let mut rest = &routes[..];
            while !rest.is_empty() {
                let all = rest.iter().map(|route| (route.path_id, &route.key, &route.data));
                let took = update::write_reach::<VpnV4>(form, &attributes, *next_hop, all, out);
                rest = &rest[took..];
            }
        }
    }
}

fn main() {
    // `cargo bench` and `cargo test` add arguments of their own.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let routes = arguments.iter().find_map(|text| text.parse().ok()).unwrap_or(50_000);
    let has = |what: &str| arguments.iter().any(|argument| argument == what);
    let negotiated = Negotiated { families: vec![AfiSafi::VPNV4], ..Negotiated::everything() };
    let updates: Vec<Update> = (0..routes / ROUTES_PER_SET).map(said).collect();
    let mut octets = Vec::with_capacity(updates.len() * 400);
    if has("encode") || !has("decode") {
        encoded(&updates, &negotiated, &mut octets);
        println!("encoded {} octets", octets.len());
    }
    if has("decode") || !has("encode") {
        let messages: Vec<Vec<u8>> = updates
            .iter()
            .map(|update| {
                let mut message = Vec::new();
                Message::Update(update.clone()).encode(&negotiated, &mut message);
                message
            })
            .collect();
        let read = decoded(&messages, &negotiated);
        let same = read.iter().zip(&updates).all(|(read, said)| match read {
            Message::Update(update) => update == said,
            _ => false,
        });
        assert!(same && read.len() == updates.len(), "what was written is what is read");
        println!("decoded {} messages", read.len());
        black_box(&read);
    }
}

/// What a reflected attribute set looks like, with its routes.
fn said(set: u32) -> Update {
    let node = Ipv4Addr::from(0x0a02_0000 + set % 5_000);
    let target = RouteTarget::as2(64_512, set % TARGETS);
    let attributes = PathAttributes {
        local_pref: Some(100),
        med: Some(set),
        originator_id: Some(node),
        cluster_list: vec![Ipv4Addr::new(10, 0, 0, 1)],
        extended_communities: vec![
            target.into(),
            ExtendedCommunity::encapsulation(bgp_wire::community::TunnelType::GRE),
        ],
        ..PathAttributes::default()
    };
    let number = u16::try_from(set % 65_000).expect("below 65,000");
    let rd = RouteDistinguisher::ipv4(node, number);
    let list = (0..ROUTES_PER_SET)
        .map(|n| {
            let host = Ipv4Addr::from(0x0a80_0000 + set * ROUTES_PER_SET + n);
            Route::<VpnV4> {
                path_id: PathId(0),
                key: VpnKey { rd, net: ipnet::Ipv4Net::from(host) },
                data: Label::mpls(16 + n + set % 100_000).expect("below 2^20").into(),
            }
        })
        .collect();
    Update {
        withdrawn: Vec::new(),
        announced: vec![(NextHop::V4(node), Routes::VpnV4(list))],
        attributes: Arc::new(attributes),
        end_of_rib: None,
        faults: Vec::new(),
    }
}
