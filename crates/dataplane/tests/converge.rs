//! The property that every plane must have, here against the plane in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::task::{Context, Poll, Waker};

use dataplane::{
    Attachment, Backend, Dataplane, Desired, Fib, Filter, FilterId, Link, Mac, Memory, MplsLabel,
    NextHop, NextHopGroup, NodeConfig, Op, Port, PortId, Protocol, Scope, Translation,
    TranslationKind, Tunnel, TunnelHeader, Verdict, Vrf, VrfId, diff,
};
use ipnet::{IpNet, Ipv4Net};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

type Translations = BTreeMap<(VrfId, IpAddr), Translation>;

/// A consistent state. Numbers are small, so that two states drawn apart have VRFs, ports, prefixes
/// and next hops in common.
fn state() -> impl Strategy<Value = Desired> {
    let vrfs = btree_map((1u32..4).prop_map(VrfId), 16u32..19, 0..4);
    let filters = btree_map(0u8..3, any::<bool>(), 0..3);
    let ports = btree_map(0u8..4, (any::<Index>(), 0u8..2, any::<Index>()), 0..4);
    let one = (any::<Index>(), 0u8..3, vec(any::<Index>(), 0..3), 0u8..3);
    let translations = vec(one, 0..4);
    let routes = vec((any::<Index>(), 0u8..4, vec(any::<Index>(), 1..4)), 0..8);
    (0u8..2, vrfs, filters, ports, translations, routes).prop_map(
        |(node, vrfs, filters, ports, translations, routes)| {
            let vrfs: BTreeMap<_, _> = vrfs.into_iter().map(vrf).collect();
            let ids: Vec<VrfId> = vrfs.keys().copied().collect();
            let node = NodeConfig {
                tunnel_v4: Some(Ipv4Addr::new(192, 0, 2, node)),
                uplinks: vec![format!("eth{node}")],
                ..NodeConfig::default()
            };
            let filters: BTreeMap<_, _> = filters.into_iter().map(filter).collect();
            let filter_ids: Vec<FilterId> = filters.keys().cloned().collect();
            if ids.is_empty() {
                return Desired { node, filters, ..Desired::default() };
            }
            let ports: BTreeMap<_, _> = ports
                .into_iter()
                .map(|(n, (vrf, last, filter))| {
                    let filter = (!filter_ids.is_empty()).then(|| filter.get(&filter_ids).clone());
                    port(n, *vrf.get(&ids), last, filter)
                })
                .collect();
            let names: Vec<PortId> = ports.keys().cloned().collect();
            let translations: Translations = translations
                .into_iter()
                .map(|(vrf, last, to, kind)| {
                    let to = to.iter().filter(|_| !names.is_empty()).map(|to| to.get(&names));
                    let address = IpAddr::from([10, 254, 0, last]);
                    ((*vrf.get(&ids), address), translation(to.cloned(), kind))
                })
                .collect();
            let hops = next_hops(&names, &translations);
            let mut fib = Fib::new();
            for (vrf, last, members) in routes {
                let members = members.iter().map(|member| member.get(&hops).clone());
                let group = NextHopGroup::new(members).expect("one at least");
                fib.entry(*vrf.get(&ids)).or_default().insert(net(last), group.into());
            }
            Desired { node, vrfs, filters, ports, fib, translations }
        },
    )
}

fn label(value: u32) -> MplsLabel {
    MplsLabel::new(value).expect("16 and more")
}

fn vrf((id, value): (VrfId, u32)) -> (VrfId, Vrf) {
    (id, Vrf { name: format!("n{id}"), label: label(value), vni: None })
}

fn filter((number, open): (u8, bool)) -> (FilterId, Filter) {
    let default_in = if open { Verdict::Allow } else { Verdict::Deny };
    let filter = Filter { rules: Vec::new(), default_in, default_out: Verdict::Allow };
    (FilterId(format!("f{number}")), filter)
}

fn port(number: u8, vrf: VrfId, last: u8, filter: Option<FilterId>) -> (PortId, Port) {
    let port = Port {
        vrf,
        v4: Some(Link {
            address: Ipv4Addr::new(10, 0, number, last),
            prefix_len: 24,
            gateway: Ipv4Addr::new(10, 0, number, 254),
        }),
        v6: None,
        mac: Mac([2, 0, 0, 0, 0, number]),
        mtu: 1450,
        allowed: BTreeSet::new(),
        label: None,
        filter,
        bandwidth: None,
        host_access: false,
        attachment: Attachment::Netns { path: "/run/netns/a".into(), interface: "eth0".into() },
    };
    (PortId(format!("p{number}")), port)
}

fn translation(to: impl Iterator<Item = PortId>, kind: u8) -> Translation {
    let kind = if kind == 0 {
        let backends = to.map(|port| Backend { port, target_port: 8080 }).collect();
        TranslationKind::Service { ports: [((Protocol::Tcp, 80), backends)].into(), affinity: None }
    } else {
        TranslationKind::Floating { ports: to.collect(), exclusive: kind == 1 }
    };
    Translation { kind }
}

fn next_hops(ports: &[PortId], translations: &Translations) -> Vec<NextHop> {
    let tunnel = |last: u8| {
        NextHop::Tunnel(Tunnel {
            remote: IpAddr::from([192, 0, 2, 10 + last]),
            header: TunnelHeader::MplsOverUdp { label: label(100) },
        })
    };
    let translate =
        |(vrf, address): &(VrfId, IpAddr)| NextHop::Translate { vrf: *vrf, address: *address };
    [NextHop::Discard]
        .into_iter()
        .chain((0..2).map(tunnel))
        .chain(ports.iter().cloned().map(NextHop::Port))
        .chain(translations.keys().map(translate))
        .collect()
}

fn net(last: u8) -> IpNet {
    Ipv4Net::new(Ipv4Addr::new(10, 1, last, 0), 24).expect("a prefix").into()
}

/// The plane in memory never waits, so one poll is enough.
fn apply(plane: &mut Memory, ops: &[Op]) -> Vec<(usize, dataplane::DataplaneError)> {
    let mut applied = std::pin::pin!(plane.apply(ops));
    match applied.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(failures) => failures,
        Poll::Pending => unreachable!("the plane in memory waited"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever was there before, one pass ends at what is wanted, nothing is referred to before it
    /// is there or removed while it is in use, and the next pass has nothing to do.
    #[test]
    fn converges_and_then_rests(wanted in state(), found in state()) {
        let ops = diff(&wanted, &found, Scope::Everything);
        let mut plane = Memory::left_by_an_earlier_run(found);
        let failures = apply(&mut plane, &ops);
        prop_assert!(failures.is_empty(), "{failures:?} of {ops:?}");
        prop_assert_eq!(&plane.state, &wanted);
        prop_assert_eq!(diff(&wanted, &plane.state, Scope::Everything), vec![]);
    }

    #[test]
    fn routes_are_put_before_any_is_removed(wanted in state(), found in state()) {
        let ops = diff(&wanted, &found, Scope::Everything);
        let last_put = ops.iter().rposition(|op| matches!(op, Op::PutRoute(..)));
        let first_remove = ops.iter().position(|op| matches!(op, Op::RemoveRoute(..)));
        if let (Some(put), Some(remove)) = (last_put, first_remove) {
            prop_assert!(put < remove);
        }
    }

    #[test]
    fn dirty_routes_get_what_the_whole_difference_gives_them(
        wanted in state(),
        found in state(),
        dirty in vec((1u32..4, 0u8..4), 0..6),
    ) {
        let dirty: BTreeSet<_> =
            dirty.into_iter().map(|(vrf, last)| (VrfId(vrf), net(last))).collect();
        let about_dirty = |op: &Op| match op {
            Op::PutRoute(vrf, net, _) | Op::RemoveRoute(vrf, net) => dirty.contains(&(*vrf, *net)),
            _ => false,
        };
        let whole: Vec<Op> =
            diff(&wanted, &found, Scope::Everything).into_iter().filter(about_dirty).collect();
        prop_assert_eq!(diff(&wanted, &found, Scope::Routes(&dirty)), whole);
    }

    /// What is not dirty is not even looked at.
    #[test]
    fn without_dirty_routes_nothing_is_done(wanted in state(), found in state()) {
        prop_assert_eq!(diff(&wanted, &found, Scope::Routes(&BTreeSet::new())), vec![]);
    }
}

#[test]
fn the_generator_reaches_every_operation() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..500 {
        let mut draw = || state().new_tree(&mut runner).expect("a state").current();
        let (wanted, found) = (draw(), draw());
        for op in diff(&wanted, &found, Scope::Everything) {
            let text = format!("{op:?}");
            seen.insert(text.split('(').next().unwrap_or_default().to_owned());
        }
    }
    assert_eq!(seen.len(), 11, "{seen:?}");
}
