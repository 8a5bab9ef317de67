//! What may happen, drawn so that it collides: few peers, few keys, few targets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::sync::Arc;

use bgp_rib::{
    InterestMode, LocalAs, MembershipsOut, PeerKind, PeerPolicy, PeerView, RemovePrivate,
    UnicastNextHop,
};
use bgp_wire::as_path::Segment;
use bgp_wire::attrs::RawAttribute;
use bgp_wire::capability::Role;
use bgp_wire::community::Community;
use bgp_wire::nlri::{Esi, EvpnData, MacAddress};
use bgp_wire::{
    AfiSafi, AsPath, EvpnKey, ExtendedCommunity, Label, Negotiated, NextHop, Origin,
    PathAttributes, RouteDistinguisher, RouteTarget, RtMembership, VpnKey,
};
use proptest::prelude::*;

use crate::oracle::{CLUSTER_ID, LOCAL_AS, ROUTER_ID};

pub(crate) const PEERS: u16 = 5;
pub(crate) const FAMILIES: [AfiSafi; 8] = [
    AfiSafi::VPNV4,
    AfiSafi::RTC,
    AfiSafi::IPV4_UNICAST,
    AfiSafi::EVPN,
    AfiSafi::VPNV6,
    AfiSafi::IPV6_UNICAST,
    AfiSafi::IPV4_LABELED,
    AfiSafi::IPV6_LABELED,
];

/// What a peer may be configured as; the rest of its view follows from its number.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) kind: u8,
    pub(crate) families: u8,
    pub(crate) extensions: u8,
    pub(crate) policy: Policy,
}

/// What may change while a session is up.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) interest: u8,
    pub(crate) configured: BTreeSet<u8>,
    pub(crate) import: Option<BTreeSet<u8>>,
    pub(crate) own_only: bool,
    pub(crate) originate: BTreeSet<u8>,
    pub(crate) next_hop_ours: u8,
    pub(crate) knobs: Knobs,
}

/// The [`PeerPolicy`] by choice numbers; mostly all off.
#[derive(Debug, Clone, Default)]
pub(crate) struct Knobs {
    /// Of three: AS, no-prepend, replace.
    pub(crate) local_as: Option<u8>,
    pub(crate) allowas_in: u8,
    pub(crate) remove_private: u8,
    /// As in [`knobs_on`].
    pub(crate) bits: u16,
    pub(crate) default_local_pref: Option<u8>,
    pub(crate) max_as_path: Option<u16>,
    /// A role above the last one is none.
    pub(crate) role: u8,
}

/// Attributes by choice numbers.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) local_pref: Option<u8>,
    pub(crate) med: Option<u8>,
    pub(crate) origin: bool,
    pub(crate) as_path: u8,
    pub(crate) originator: u8,
    pub(crate) cluster: u8,
    pub(crate) community: u8,
    pub(crate) targets: BTreeSet<u8>,
    pub(crate) non_transitive: bool,
    pub(crate) next_hop: u8,
    pub(crate) aigp: Option<u8>,
    pub(crate) otc: u8,
    /// Default gateway, or MAC mobility: sticky or not, number 1 or 2.
    pub(crate) mobility: u8,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Up(u16, Manner),
    Down(u16, u8),
    Gone(u16),
    Changed(u16, Policy),
    Announce(u16, usize, Attributes, Vec<(u8, u8)>, u8),
    Withdraw(u16, usize, Vec<u8>, u8),
    EndOfRib(u16, usize),
    RtcTimeout(u16),
    Refresh(u16, usize),
    Sweep(u16, usize),
    LongLived(u16, usize),
    /// The way to one of the next hops costs so much now; 0: there is none.
    NextHop(u8, u8),
    /// The peer begins (`true`) or ends to repeat itself.
    Mark(u16, usize, bool),
    /// After so many more batches, the queue of the peer is full.
    Block(u16, u8),
    Unblock(u16),
    /// One flush, however much it gets done.
    Flush,
    /// Flushes until there is nothing more to do, and compares.
    Check,
}

/// Where in the bits of [`Knobs`] it stands how many paths are told: 4 for one, 5 for two.
const SEVERAL: u16 = 9;

fn knobs() -> impl Strategy<Value = Knobs> {
    let drawn = (
        proptest::option::of(0u8..8),
        0u8..3,
        0u8..4,
        any::<u16>(),
        proptest::option::of(0u8..3),
        (proptest::option::of(1u16..3), 0u8..7),
    )
        .prop_map(|(local_as, allowas_in, remove_private, bits, default_local_pref, rest)| {
            let (max_as_path, role) = rest;
            Knobs {
                local_as,
                allowas_in,
                remove_private,
                bits,
                default_local_pref,
                max_as_path,
                role,
            }
        });
    let none = Knobs { role: u8::MAX, ..Knobs::default() };
    let several = (0u16..3).prop_map(|n| Knobs {
        role: u8::MAX,
        bits: (n + 4) << SEVERAL,
        ..Knobs::default()
    });
    prop_oneof![3 => Just(none), 2 => drawn, 2 => several]
}

fn peer_policy(knobs: &Knobs) -> PeerPolicy {
    let bit = |n: u16| knobs.bits >> n & 1 == 1;
    let rewrite = |on: bool, from: u8, to: u8| {
        Arc::new(if on { [(target(from), target(to))].into() } else { BTreeMap::new() })
    };
    PeerPolicy {
        local_as: knobs.local_as.map(|n| LocalAs {
            asn: if n & 1 == 0 { 64_520 } else { 3_000 },
            no_prepend: n & 2 != 0,
            replace: n & 4 != 0,
        }),
        allowas_in: knobs.allowas_in,
        as_override: bit(0),
        remove_private_as: match knobs.remove_private {
            0 => RemovePrivate::No,
            1 => RemovePrivate::Leading,
            2 => RemovePrivate::All,
            _ => RemovePrivate::Replace,
        },
        preference_as_med: bit(1),
        refused_ases: Arc::new(if bit(2) { BTreeSet::from([64_514]) } else { BTreeSet::new() }),
        import_rewrite: rewrite(bit(3), 0, 1),
        export_rewrite: rewrite(bit(4), 1, 2),
        role: Role::from_u8(knobs.role),
        aigp: bit(5),
        next_hop_self: bit(6),
        add_path_send: match knobs.bits >> SEVERAL & 7 {
            0..=3 => Vec::new(),
            n => {
                let paths = NonZeroU8::new(u8::try_from(n - 3).unwrap()).unwrap();
                FAMILIES.into_iter().map(|family| (family, paths)).collect()
            }
        },
        long_lived: bit(7),
        enforce_first_as: !bit(8),
        default_local_pref: knobs.default_local_pref.map(|n| 99 + u32::from(n)),
        max_as_path: knobs.max_as_path,
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    (
        0u8..4,
        proptest::collection::btree_set(0u8..4, 0..3),
        proptest::option::weighted(0.2, proptest::collection::btree_set(0u8..4, 1..3)),
        any::<bool>(),
        proptest::collection::btree_set(0u8..MEMBERSHIPS, 0..2),
        (0u8..3, knobs()),
    )
        .prop_map(
            |(interest, configured, import, own_only, originate, (next_hop_ours, knobs))| Policy {
                interest,
                configured,
                import,
                own_only,
                originate,
                next_hop_ours,
                knobs,
            },
        )
}

pub(crate) fn manner() -> impl Strategy<Value = Manner> {
    let families = prop_oneof![3 => Just(0xffu8), 1 => any::<u8>()];
    (0u8..5, families, any::<u8>(), policy()).prop_map(|(kind, families, extensions, policy)| {
        Manner { kind, families, extensions, policy }
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    (
        proptest::option::of(0u8..2),
        proptest::option::of(0u8..2),
        any::<bool>(),
        0u8..8,
        0u8..12,
        0u8..6,
        0u8..10,
        proptest::collection::btree_set(0u8..4, 0..3),
        (any::<bool>(), 0u8..2, proptest::option::of(0u8..2), 0u8..10, 0u8..6),
    )
        .prop_map(
            |(local_pref, med, origin, as_path, originator, cluster, community, targets, rest)| {
                Attributes {
                    local_pref,
                    med,
                    origin,
                    as_path,
                    originator,
                    cluster,
                    community,
                    targets,
                    non_transitive: rest.0,
                    next_hop: rest.1,
                    aigp: rest.2,
                    mobility: rest.3,
                    otc: rest.4,
                }
            },
        )
}

/// Mostly the families whose rules are most involved.
fn family() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0usize), 4 => Just(1usize), 2 => Just(2usize), 1 => 3usize..8]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let peer = || 0..PEERS;
    let keys = || proptest::collection::vec(0u8..5, 1..4);
    let routes = || proptest::collection::vec((0u8..5, 0u8..3), 1..4);
    prop_oneof![
        6 => (peer(), manner()).prop_map(|(peer, manner)| Op::Up(peer, manner)),
        2 => (peer(), any::<u8>()).prop_map(|(peer, kept)| Op::Down(peer, kept)),
        1 => peer().prop_map(Op::Gone),
        2 => (peer(), policy()).prop_map(|(peer, policy)| Op::Changed(peer, policy)),
        24 => (peer(), family(), attributes(), routes(), 0u8..2)
            .prop_map(|(p, f, a, r, id)| Op::Announce(p, f, a, r, id)),
        8 => (peer(), family(), keys(), 0u8..2)
            .prop_map(|(peer, family, keys, id)| Op::Withdraw(peer, family, keys, id)),
        5 => (peer(), prop_oneof![2 => Just(1usize), 1 => 0usize..8])
            .prop_map(|(peer, family)| Op::EndOfRib(peer, family)),
        2 => peer().prop_map(Op::RtcTimeout),
        1 => (peer(), 0usize..8).prop_map(|(peer, family)| Op::Refresh(peer, family)),
        1 => (peer(), 0usize..8).prop_map(|(peer, family)| Op::Sweep(peer, family)),
        2 => (peer(), family()).prop_map(|(peer, family)| Op::LongLived(peer, family)),
        2 => (0u8..3, 0u8..3).prop_map(|(number, cost)| Op::NextHop(number, cost)),
        2 => (peer(), family(), any::<bool>())
            .prop_map(|(peer, family, begin)| Op::Mark(peer, family, begin)),
        3 => (peer(), 0u8..3).prop_map(|(peer, credit)| Op::Block(peer, credit)),
        3 => peer().prop_map(Op::Unblock),
        6 => Just(Op::Flush),
        4 => Just(Op::Check),
    ]
}

pub(crate) fn router_id(peer: u16) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 10 + u8::try_from(peer).unwrap())
}

pub(crate) fn target(number: u8) -> RouteTarget {
    RouteTarget::as2(64_512, 100 + u32::from(number))
}

const MEMBERSHIPS: u8 = 8;

/// Whole targets of two origins, the default, an origin alone, half a target.
pub(crate) fn membership(number: u8) -> RtMembership {
    match number % MEMBERSHIPS {
        0 => RtMembership::DEFAULT,
        1 => RtMembership::new(32, 64_512, [0; 8]).unwrap(),
        2 => RtMembership::new(95, 64_512, target(0).octets()).unwrap(),
        3 => RtMembership::exact(64_513, target(0)),
        n => RtMembership::exact(64_512, target(n - 4)),
    }
}

fn kind(number: u8) -> PeerKind {
    match number {
        0 | 1 => PeerKind::Client,
        2 => PeerKind::NonClient,
        3 => PeerKind::External { asn: 64_513 },
        _ => PeerKind::External { asn: 64_514 },
    }
}

pub(crate) fn view(peer: u16, manner: &Manner) -> PeerView {
    let chosen = |bits: u8| -> Vec<AfiSafi> {
        FAMILIES.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, f)| *f).collect()
    };
    let bit = |n: u8| manner.extensions >> n & 1 == 1;
    let kind = kind(manner.kind);
    let families = chosen(manner.families);
    let negotiated = Negotiated {
        internal: !kind.is_external(),
        four_octet_as: bit(0),
        extended_messages: bit(1),
        add_path_receive: if bit(2) { families.clone() } else { Vec::new() },
        add_path_send: if bit(3) { families.clone() } else { Vec::new() },
        extended_next_hop: Vec::new(),
        next_hops_taken: Vec::new(),
        labels: Vec::new(),
        refuse_as_sets: false,
        families,
    };
    let local = IpAddr::V4(Ipv4Addr::new(10, 0, 1, if bit(4) { 1 } else { 2 }));
    let view = PeerView::new(kind, router_id(peer), router_id(peer).into(), local, negotiated);
    let view = PeerView { enhanced_refresh: bit(5), ..view };
    with_policy(view, &manner.policy)
}

pub(crate) fn with_policy(view: PeerView, policy: &Policy) -> PeerView {
    let set = |numbers: &BTreeSet<u8>| Arc::new(numbers.iter().map(|n| target(*n)).collect());
    PeerView {
        interest: match policy.interest {
            0 => InterestMode::Everything,
            1 => InterestMode::FromRtc,
            2 => InterestMode::Configured(set(&policy.configured)),
            _ => InterestMode::Both(set(&policy.configured)),
        },
        import_targets: policy.import.as_ref().map(set),
        memberships: if policy.own_only {
            MembershipsOut::OwnOnly
        } else {
            MembershipsOut::Reflected
        },
        originate: policy.originate.iter().map(|n| membership(*n)).collect(),
        unicast_next_hop: match policy.next_hop_ours {
            0 => UnicastNextHop::Unchanged,
            1 => UnicastNextHop::OurselvesToExternal { link: None },
            // The lowest of `next_hops_by` are in it.
            _ => {
                UnicastNextHop::OurselvesToExternal { link: Some("192.0.2.0/30".parse().unwrap()) }
            }
        },
        policy: Arc::new(peer_policy(&policy.knobs)),
        ..view
    }
}

/// Attributes as `view` may have sent them.
pub(crate) fn path_attributes(view: &PeerView, chosen: &Attributes) -> PathAttributes {
    let external = match view.kind {
        PeerKind::External { asn } => Some(asn),
        _ => None,
    };
    let numbers = match (external, chosen.as_path) {
        (Some(asn), 0..=4) => vec![asn],
        (Some(asn), 5) => vec![asn, if asn == 64_513 { 64_514 } else { 64_513 }],
        (Some(asn), 6) => vec![asn, LOCAL_AS],
        (Some(_), _) => vec![65_000],
        (None, 0..=3) => vec![],
        (None, 4) => vec![64_513],
        (None, 5) => vec![64_514],
        (None, 6) => vec![65_000, 64_513],
        (None, _) => vec![64_513, LOCAL_AS],
    };
    let inside = external.is_none();
    let mut extended_communities: Vec<ExtendedCommunity> =
        chosen.targets.iter().map(|n| target(*n).into()).collect();
    if chosen.non_transitive {
        extended_communities.push(ExtendedCommunity([0x43, 0x09, 0, 0, 0, 0, 0, 1]));
    }
    match chosen.mobility {
        0 => extended_communities.push(ExtendedCommunity([0x03, 0x0d, 0, 0, 0, 0, 0, 0])),
        n @ 1..=4 => {
            let community = [0x06, 0x00, n & 1, 0, 0, 0, 0, 1 + (n - 1) / 2];
            extended_communities.push(ExtendedCommunity(community));
        }
        _ => {}
    }
    PathAttributes {
        origin: if chosen.origin { Origin::Igp } else { Origin::Incomplete },
        as_path: AsPath(if numbers.is_empty() {
            Vec::new()
        } else {
            vec![Segment::Sequence(numbers)]
        }),
        med: chosen.med.map(u32::from),
        local_pref: chosen.local_pref.filter(|_| inside).map(|n| 100 + u32::from(n)),
        originator_id: match chosen.originator {
            0..=4 if inside => Some(router_id(u16::from(chosen.originator))),
            5 if inside => Some(ROUTER_ID),
            _ => None,
        },
        cluster_list: match chosen.cluster {
            0 if inside => vec![Ipv4Addr::new(10, 0, 0, 99)],
            1 if inside => vec![Ipv4Addr::new(10, 0, 0, 99), CLUSTER_ID],
            _ => Vec::new(),
        },
        communities: match chosen.community {
            0 => vec![Community::NO_EXPORT],
            1 => vec![Community::NO_ADVERTISE],
            2 => vec![Community::LLGR_STALE],
            3 => vec![Community::NO_LLGR],
            _ => Vec::new(),
        },
        extended_communities,
        others: chosen.aigp.map(aigp).into_iter().chain(otc(chosen.otc)).collect(),
        ..PathAttributes::default()
    }
}

/// An AIGP attribute (RFC 7311 §3): a TLV to be passed over, and the metric.
fn aigp(metric: u8) -> RawAttribute {
    let value = [&[9, 0, 4, 7, 1, 0, 11, 0, 0, 0, 0, 0, 0, 0][..], &[metric]].concat();
    RawAttribute { flags: 0x80, code: 26, value: value.into() }
}

/// OTC of the one or the other neighbouring AS, mostly none.
fn otc(choice: u8) -> Option<RawAttribute> {
    let asn: u32 = [64_513, 64_514].into_iter().nth(choice.into())?;
    Some(RawAttribute { flags: 0xc0, code: 35, value: asn.to_be_bytes().to_vec().into() })
}

pub(crate) fn next_hops(chosen: &Attributes) -> (NextHop, NextHop) {
    next_hops_by(chosen.next_hop)
}

pub(crate) fn next_hops_by(number: u8) -> (NextHop, NextHop) {
    let last = 1 + number;
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into());
    (NextHop::V4(Ipv4Addr::new(192, 0, 2, last)), NextHop::V6(v6))
}

pub(crate) fn ipv4_net(number: u8) -> ipnet::Ipv4Net {
    ipnet::Ipv4Net::new(Ipv4Addr::new(10 + number, 0, 0, 0), 8 + number).unwrap()
}

pub(crate) fn ipv6_net(number: u8) -> ipnet::Ipv6Net {
    let first = 0x2001 + u16::from(number);
    ipnet::Ipv6Net::new(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), 32 + number).unwrap()
}

fn rd(number: u8) -> RouteDistinguisher {
    RouteDistinguisher::as2(64_512, u32::from(number) % 3)
}

pub(crate) fn vpn4(number: u8) -> VpnKey<ipnet::Ipv4Net> {
    VpnKey { rd: rd(number), net: ipv4_net(number) }
}

pub(crate) fn vpn6(number: u8) -> VpnKey<ipnet::Ipv6Net> {
    VpnKey { rd: rd(number), net: ipv6_net(number) }
}

pub(crate) fn label(number: u8) -> Label {
    Label::mpls(16 + u32::from(number)).unwrap()
}

pub(crate) fn evpn(number: u8) -> EvpnKey {
    match number {
        0 => {
            EvpnKey::InclusiveMulticast { rd: rd(number), tag: 0, originator: router_id(0).into() }
        }
        n => EvpnKey::MacIp { rd: rd(n), tag: 0, mac: MacAddress([2, 0, 0, 0, 0, n]), ip: None },
    }
}

pub(crate) fn evpn_data(key: &EvpnKey, number: u8) -> EvpnData {
    match key {
        EvpnKey::MacIp { .. } => {
            EvpnData::MacIp { esi: Esi::default(), label: label(number), label2: None }
        }
        _ => EvpnData::Nothing,
    }
}
