//! Many VRFs, many routes, ports that come and go.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dataplane::{MplsLabel, NextHop, Op, Tunnel, TunnelHeader, Vrf, VrfId};
use dataplane_ebpf::Sizes;
use ipnet::IpNet;
use testbed::Pings;

use crate::memory;
use crate::world::{CEILING, Node, World};

/// As many as there are.
const VRFS: u32 = 4096;

fn way(number: u32) -> NextHop {
    NextHop::Tunnel(Tunnel {
        remote: Ipv4Addr::from(0x0a00_0100 + number / 1000).into(),
        header: TunnelHeader::MplsOverUdp {
            label: MplsLabel::new(16 + number % 1_000_000).expect("a label"),
        },
    })
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn four_thousand_vrfs_have_the_same_addresses_and_are_kept_apart() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    one.reconcile().await?;
    let empty = memory::charged(&one)?;
    let first = world.workload("first", [172, 16, 1, 10]).await?;
    let last = world.workload("last", [172, 16, 1, 10]).await?;
    let far_first = world.workload("far-first", [172, 16, 2, 10]).await?;
    let far_last = world.workload("far-last", [172, 16, 2, 10]).await?;
    for id in 1..=VRFS {
        let (to_one, to_two) = (one.gre(10_000 + id), two.udp(20_000 + id));
        one.vrf(id, 10_000 + id).route(id, "172.16.2.10/32", [to_two]);
        two.vrf(id, 20_000 + id).route(id, "172.16.1.10/32", [to_one]);
    }
    one.port(1, &first).port(VRFS, &last);
    two.port(1, &far_first).port(VRFS, &far_last);
    one.reconcile().await?;
    two.reconcile().await?;
    for workload in [&far_first, &far_last] {
        workload.serve(80)?;
    }
    ensure!(first.call(far_first.address, 80)?.0 == "far-first");
    ensure!(last.call(far_last.address, 80)?.0 == "far-last");
    ensure!(one.counters().await?.vrfs.len() == VRFS as usize);

    one.close();
    one.open().await?;
    ensure!(one.list().await? == one.wanted, "what was left is what was wanted");
    ensure!(last.call(far_last.address, 80)?.0 == "far-last");

    let failures = one
        .apply(vec![Op::PutVrf(
            VrfId(VRFS + 1),
            Vrf { name: "one-more".to_owned(), label: MplsLabel::MIN, vni: None },
        )])
        .await?;
    let [(_, text)] = &failures[..] else { anyhow::bail!("{failures:?}") };
    ensure!(text.contains("vrf_names is full with 4096 entries"), "{text}");

    let node = one.wanted.node.clone();
    one.wanted = dataplane::Desired { node, ..dataplane::Desired::default() };
    one.reconcile().await?;
    ensure!(memory::charged(&one)? == empty, "nothing is left of them");
    Ok(())
}

/// By the kernel's own account of the maps; each route to a label of its own, as where a workload has
/// its own.
const OCTETS_PER_ROUTE: u64 = 200;

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_million_host_routes_in_one_vrf_take_less_than_200_octets_each() -> Result<()> {
    const ROUTES: u32 = 1_000_000;
    let world = World { sizes: Sizes::of(1 << 20, 4096), ..World::new().await? };
    let mut node = world.node(1).await?;
    node.vrf(1, 101);
    node.reconcile().await?;
    let wanted = (0..ROUTES).map(|number| {
        let net = IpNet::from(std::net::IpAddr::from(Ipv4Addr::from(0x1000_0000 + number)));
        (net, way(number).into())
    });
    node.wanted.fib.insert(VrfId(1), wanted.collect());
    let began = Instant::now();
    let table = &node.wanted.fib[&VrfId(1)];
    let ops = table.iter().map(|(net, route)| Op::PutRoute(VrfId(1), *net, route.clone()));
    let failures = node.apply(ops.collect()).await?;
    ensure!(failures.is_empty(), "{:?}", failures[0]);
    eprintln!("{ROUTES} routes put in {:?}", began.elapsed());
    let charged = memory::charged(&node)?;
    let of_routes = ["hosts_v4", "hosts_v6", "nets_v4", "nets_v6", "groups", "group_shares"]
        .into_iter()
        .chain(["next_hops", "identity_sets"]);
    let octets: u64 = of_routes.filter_map(|name| charged.get(name)).sum();
    let each = octets / u64::from(ROUTES);
    eprintln!("{each} octets a route: {octets} in all maps of routes, {charged:?}");
    ensure!((50..OCTETS_PER_ROUTE).contains(&each), "{each} octets a route");

    let began = Instant::now();
    let found = node.list().await?;
    eprintln!("read back in {:?}", began.elapsed());
    ensure!(found == node.wanted, "what is read back is what was put");
    let began = Instant::now();
    let ops = table.keys().map(|net| Op::RemoveRoute(VrfId(1), *net)).collect();
    ensure!(node.apply(ops).await?.is_empty());
    eprintln!("removed in {:?}", began.elapsed());
    let left = memory::charged(&node)?["hosts_v4"];
    ensure!(left < 20 << 20, "{left} octets are left");
    Ok(())
}

/// What could grow without anybody noticing.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    maps: std::collections::BTreeMap<String, u64>,
    descriptors: usize,
    links: usize,
    interfaces: usize,
    flows: u64,
}

async fn held(node: &Node) -> Result<Held> {
    let links = memory::pins(node)?.with_file_name("links");
    Ok(Held {
        maps: memory::charged(node)?,
        descriptors: std::fs::read_dir("/proc/self/fd")?.count(),
        links: std::fs::read_dir(links)?.count(),
        interfaces: node.namespace.ip("-o link show").await?.lines().count(),
        flows: node.counters().await?.flows,
    })
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_port_that_comes_and_goes_a_thousand_times_harms_no_other_and_leaves_nothing()
-> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    let c = world.workload("c", [172, 16, 1, 12]).await?;
    node.vrf(1, 101).port(1, &a).port(1, &b).port(1, &c);
    node.reconcile().await?;
    let net: IpNet = "172.16.1.12/32".parse()?;
    let (port, route) =
        (node.wanted.ports[&c.id].clone(), node.wanted.fib[&VrfId(1)][&net].clone());
    let cycle = || {
        vec![
            Op::RemoveRoute(VrfId(1), net),
            Op::RemovePort(c.id.clone()),
            Op::PutPort(c.id.clone(), port.clone()),
            Op::PutRoute(VrfId(1), net, route.clone()),
        ]
    };
    let run = async || {
        let failures = node.apply(cycle()).await?;
        ensure!(failures.is_empty(), "{failures:?}");
        anyhow::Ok(())
    };
    run().await?;
    let pings =
        Pings::start(&world.bed, &a.namespace, b.address, 60_000, Duration::from_millis(10))?;
    let started = async || (pings.answered() > 10).then_some(()).context("no pings yet");
    world.bed.wait_for("pings are answered", CEILING, started).await?;
    let before = held(&node).await?;
    let began = Instant::now();
    for _ in 0..1000 {
        run().await?;
    }
    eprintln!("a port removed and added: {:?}", began.elapsed() / 1000);
    // The thread that was in a workload's namespace lets go of it a moment after its answer.
    let is_as_before = async || {
        let after = held(&node).await?;
        ensure!(after == before, "{after:?}, before {before:?}");
        Ok(())
    };
    world.bed.wait_for("all is as before", CEILING, is_as_before).await?;
    let report = pings.stop().await?;
    ensure!(report.lost.is_empty(), "{report:?}");
    a.reaches(c.address).await?;
    ensure!(node.list().await? == node.wanted);
    Ok(())
}
