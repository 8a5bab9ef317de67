//! Maps that are full: what is said, what is left as it was, and what happens when there is room again.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use dataplane::{
    AllowedSource, Filter, FilterId, Identities, Identity, MplsLabel, NextHop, NextHopGroup, Op,
    Peer, Protocol, Route, Rule, Translation, TranslationKind, Tunnel, TunnelHeader, Verdict, Vrf,
    VrfId,
};
use dataplane_ebpf::Sizes;

use crate::memory;
use crate::services::{floating, service};
use crate::world::{Node, Workload, World};

const ROUTES: &str = "raise max-routes";
const PORTS: &str = "raise max-ports";
const FIXED: &str = "no setting raises that";

/// One map, on a node with VRF 1, the ports `a` and `b`, and the routes to them.
struct Case {
    map: &'static str,
    entries: u32,
    remedy: &'static str,
    /// What makes it full.
    fill: Vec<Op>,
    /// What does not fit.
    more: Op,
    /// What makes room for it.
    room: Vec<Op>,
}

fn put(net: &str, to: impl Into<Route>) -> Op {
    Op::PutRoute(VrfId(1), net.parse().expect("a prefix"), to.into())
}

fn remove(net: &str) -> Op {
    Op::RemoveRoute(VrfId(1), net.parse().expect("a prefix"))
}

fn tunnel(last: u8) -> NextHop {
    let header = TunnelHeader::MplsOverUdp { label: MplsLabel::MIN };
    NextHop::Tunnel(Tunnel { remote: Ipv4Addr::new(10, 0, 0, last).into(), header })
}

fn two(first: u8) -> NextHopGroup {
    NextHopGroup::new([tunnel(first), tunnel(first + 1)]).expect("two")
}

fn known(number: u32) -> Route {
    Route { to: NextHop::Discard.into(), identities: Identities::new([Identity(number)]) }
}

fn vrf(id: u32) -> Op {
    let label = MplsLabel::new(1000 + id).expect("a label");
    Op::PutVrf(VrfId(id), Vrf { name: format!("vrf-{id}"), label, vni: None })
}

fn filter(name: &str, rules: usize, name_length: usize) -> Op {
    let rule = Rule {
        name: "n".repeat(name_length),
        direction: dataplane::Direction::In,
        verdict: Verdict::Allow,
        peer: Peer::Any,
        protocol: None,
        ports: None,
        log: false,
    };
    let (default_in, default_out) = (Verdict::Deny, Verdict::Allow);
    Op::PutFilter(
        FilterId(name.to_owned()),
        Filter { rules: vec![rule; rules], default_in, default_out },
    )
}

fn routes(map: &'static str, nets: [&str; 3], fill: usize) -> Case {
    Case {
        map,
        entries: 4,
        remedy: ROUTES,
        fill: nets[..fill].iter().map(|net| put(net, NextHop::Discard)).collect(),
        more: put("fd00::/8", NextHop::Discard),
        room: vec![remove(nets[0])],
    }
}

/// The port of a workload that the node does not have yet.
fn port(node: &Node, like: &Workload, of: &Workload, sources: u8) -> Op {
    let mut port = node.wanted.ports[&like.id].clone();
    if let Some(v4) = &mut port.v4 {
        v4.address = of.address;
    }
    let dataplane::Attachment::Netns { path, .. } = &mut port.attachment;
    *path = of.namespace.path();
    let source =
        |n| AllowedSource { net: IpAddr::V4(Ipv4Addr::new(10, 8, 0, n)).into(), mac: None };
    port.allowed = (0..sources).map(source).collect::<BTreeSet<_>>();
    Op::PutPort(of.id.clone(), port)
}

fn translation(last: u8, kind: TranslationKind) -> Op {
    Op::PutTranslation(VrfId(1), Ipv4Addr::new(10, 254, 0, last).into(), Translation { kind })
}

fn of_routes() -> Vec<Case> {
    vec![
        Case {
            more: put("10.9.0.3/32", NextHop::Discard),
            ..routes("hosts_v4", ["10.9.0.1/32", "10.9.0.2/32", ""], 2)
        },
        Case {
            fill: (0..4).map(|n| put(&format!("10.{n}.0.0/16"), NextHop::Discard)).collect(),
            more: put("10.9.0.0/16", NextHop::Discard),
            ..routes("nets_v4", ["10.0.0.0/16", "", ""], 0)
        },
        Case {
            fill: (0..4).map(|n| put(&format!("fd00::{n}/128"), NextHop::Discard)).collect(),
            more: put("fd00::9/128", NextHop::Discard),
            ..routes("hosts_v6", ["fd00::0/128", "", ""], 0)
        },
        Case {
            fill: (0..4).map(|n| put(&format!("fd00:{n}::/32"), NextHop::Discard)).collect(),
            more: put("fd00:9::/32", NextHop::Discard),
            ..routes("nets_v6", ["fd00:0::/32", "", ""], 0)
        },
        Case {
            map: "next_hops",
            entries: 6,
            remedy: ROUTES,
            fill: (1..4).map(|n| put(&format!("10.{n}.0.0/16"), tunnel(n))).collect(),
            // Of its two one is there, and one is not.
            more: put("10.2.0.0/16", two(3)),
            room: vec![remove("10.1.0.0/16")],
        },
        Case {
            map: "groups",
            entries: 3,
            remedy: ROUTES,
            fill: vec![put("10.1.0.0/16", two(1)), put("10.2.0.0/16", two(2))],
            more: put("10.3.0.0/16", NextHopGroup::new([tunnel(1), tunnel(3)]).expect("two")),
            room: vec![remove("10.1.0.0/16")],
        },
        Case {
            map: "identity_sets",
            entries: 3,
            remedy: ROUTES,
            fill: vec![put("10.1.0.0/16", known(1)), put("10.2.0.0/16", known(2))],
            more: put("10.3.0.0/16", known(3)),
            room: vec![remove("10.1.0.0/16")],
        },
    ]
}

fn cases(node: &Node, a: &Workload, b: &Workload, others: [&Workload; 2]) -> Vec<Case> {
    let [c, d] = others;
    let web = [(Protocol::Tcp, 80, 80), (Protocol::Udp, 53, 53)];
    let mut probed = node.wanted.node.clone();
    probed.probers = (0..1025).map(|n| IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + n))).collect();
    let mut cases = of_routes();
    cases.extend([
        Case {
            map: "vrf_names",
            entries: 2,
            remedy: FIXED,
            fill: vec![vrf(2)],
            more: vrf(3),
            room: vec![Op::RemoveVrf(VrfId(2))],
        },
        Case {
            map: "ports",
            entries: 3,
            remedy: PORTS,
            fill: vec![port(node, a, c, 0)],
            more: port(node, a, d, 0),
            room: vec![Op::RemovePort(c.id.clone())],
        },
        Case {
            map: "allowed_sources",
            entries: 48,
            remedy: PORTS,
            fill: vec![port(node, a, a, 40)],
            more: port(node, a, c, 20),
            room: vec![port(node, a, a, 0)],
        },
        Case {
            map: "translations",
            entries: 3,
            remedy: PORTS,
            fill: vec![translation(1, floating(&[a], true))],
            more: translation(2, service(&web, &[b])),
            room: vec![Op::RemoveTranslation(VrfId(1), Ipv4Addr::new(10, 254, 0, 1).into())],
        },
        Case {
            map: "filters",
            entries: 1,
            remedy: PORTS,
            fill: vec![filter("one", 1, 1)],
            more: filter("two", 1, 1),
            room: vec![Op::RemoveFilter(FilterId("one".to_owned()))],
        },
        Case {
            map: "filter_names",
            entries: 8,
            remedy: PORTS,
            fill: vec![filter("one", 3, 100)],
            more: filter("one", 5, 1000),
            // There is never room for these; shorter ones still fit.
            room: vec![],
        },
        Case {
            map: "rule_counts",
            entries: 8,
            remedy: PORTS,
            fill: vec![filter("one", 1, 1)],
            more: filter("two", 4, 1),
            room: vec![Op::RemoveFilter(FilterId("one".to_owned()))],
        },
        Case {
            map: "probers",
            entries: 1024,
            remedy: FIXED,
            fill: vec![],
            more: Op::PutNode(probed),
            room: vec![],
        },
    ]);
    cases
}

fn sizes(map: &str) -> Sizes {
    let default = Sizes::default();
    match map {
        "hosts_v4" | "nets_v4" | "hosts_v6" | "nets_v6" => Sizes { routes: 4, ..default },
        "next_hops" => Sizes { next_hops: 6, ..default },
        "groups" | "identity_sets" => Sizes { groups: 3, ..default },
        "vrf_names" => Sizes { vrfs: 2, ..default },
        "ports" | "allowed_sources" => Sizes { ports: 3, ..default },
        "translations" => Sizes { translations: 3, ..default },
        "filters" | "filter_names" => Sizes { filters: 1, ..default },
        "rule_counts" => Sizes { rules: 8, ..default },
        _ => default,
    }
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_full_map_is_named_and_nothing_is_half_done_until_there_is_room() -> Result<()> {
    let mut world = World::new().await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    let c = world.workload("c", [172, 16, 1, 12]).await?;
    let d = world.workload("d", [172, 16, 1, 13]).await?;
    let count = u8::try_from(sizes_of_all().len())?;
    for index in 0..count {
        let name = sizes_of_all()[usize::from(index)];
        world.sizes = sizes(name);
        let mut node = world.node(index + 1).await?;
        node.vrf(1, 101).port(1, &a).port(1, &b);
        let case = cases(&node, &a, &b, [&c, &d]).swap_remove(index.into());
        ensure!(case.map == name);
        check(&mut node, case, &a, &b).await?;
        // The workloads are the next node's.
        let own = node.wanted.node.clone();
        node.wanted = dataplane::Desired { node: own, ..dataplane::Desired::default() };
        node.reconcile().await?;
        node.close();
    }
    Ok(())
}

/// The maps in the order of [`cases`].
fn sizes_of_all() -> [&'static str; 15] {
    [
        "hosts_v4",
        "nets_v4",
        "hosts_v6",
        "nets_v6",
        "next_hops",
        "groups",
        "identity_sets",
        "vrf_names",
        "ports",
        "allowed_sources",
        "translations",
        "filters",
        "filter_names",
        "rule_counts",
        "probers",
    ]
}

async fn check(node: &mut Node, case: Case, a: &Workload, b: &Workload) -> Result<()> {
    let Case { map, entries, remedy, fill, more, room } = case;
    node.reconcile().await?;
    let failures = node.apply(fill).await?;
    ensure!(failures.is_empty(), "{map}: {failures:?}");
    let (before, charged) = (node.list().await?, memory::charged(node)?);
    let failures = node.apply(vec![more.clone()]).await?;
    let [(0, text)] = &failures[..] else { anyhow::bail!("{map}: {failures:?}") };
    let full = format!("the map {map} is full with {entries} entries");
    ensure!(text.contains(&full) && text.contains(remedy), "{map}: {text}");
    ensure!(node.list().await? == before, "{map}: something is half done");
    ensure!(memory::charged(node)? == charged, "{map}: something was left");
    a.reaches(b.address).await?;
    if !room.is_empty() {
        let failures = node.apply([room, vec![more]].concat()).await?;
        ensure!(failures.is_empty(), "{map}: there is room: {failures:?}");
        a.reaches(b.address).await?;
    }
    Ok(())
}
