//! A plane that is opened with other sizes than before.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dataplane::{NextHop, Op, Protocol, VrfId};
use dataplane_ebpf::Sizes;
use ipnet::IpNet;
use testbed::Pings;

use crate::memory;
use crate::services::{put, service};
use crate::world::{CEILING, Node, World, echo, greeting};

/// Where the 100 routes of these tests go, and the one too many.
fn net(number: u32) -> IpNet {
    format!("10.9.{}.{}/32", number / 256, number % 256).parse().expect("a prefix")
}

async fn open_with(node: &mut Node, sizes: Sizes) -> Result<()> {
    node.close();
    node.options.sizes = sizes;
    node.open().await?;
    ensure!(node.was_found(), "it forwards");
    ensure!(node.list().await? == node.wanted, "what was there is there");
    Ok(())
}

fn limit(node: &Node, map: &str) -> Result<u32> {
    memory::limits(node)?.get(map).copied().context("no such map")
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn tables_follow_their_sizes_at_the_next_start_and_nothing_is_lost() -> Result<()> {
    let world = World { sizes: Sizes::of(100, 10), ..World::new().await? };
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    node.vrf(1, 101).port(1, &a).port(1, &b);
    let service_address = [10, 254, 98, 15].into();
    put(&mut node, 1, service_address, service(&[(Protocol::Tcp, 80, 8080)], &[&b]));
    for number in 0..97 {
        node.route(1, &net(number).to_string(), [NextHop::Discard]);
    }
    node.reconcile().await?;
    b.serve(8080)?;
    let stream = a.connect([10, 254, 98, 15].into(), 80)?.context("b answers")?;
    greeting(&stream)?;
    let pings =
        Pings::start(&world.bed, &a.namespace, b.address, 60_000, Duration::from_millis(2))?;
    let started = async || (pings.answered() > 10).then_some(()).context("no pings yet");
    world.bed.wait_for("pings are answered", CEILING, started).await?;
    let one_more = || Op::PutRoute(VrfId(1), net(200), NextHop::Discard.into());
    ensure!(node.apply(vec![one_more()]).await?.len() == 1, "there is no room");
    ensure!((limit(&node, "hosts_v4")?, limit(&node, "port_names")?) == (100, 10));
    let before = node.counters().await?.ports[&a.id].rx_packets;

    open_with(&mut node, Sizes::of(200_000, 5000)).await?;
    let grown = [
        ("hosts_v4", 200_000),
        ("nets_v6", 200_000),
        // And a batch that has two next hops while labels change.
        ("next_hops", 204_097),
        ("ports", 5000),
        ("port_names", 5000),
        ("port_traffic", 5000),
        ("allowed_sources", 80_000),
        ("translations", 20_000),
        ("filter_revisions", 5001),
    ];
    for (map, entries) in grown {
        ensure!(limit(&node, map)? == entries, "{map}: {}", limit(&node, map)?);
    }
    ensure!(node.apply(vec![one_more()]).await?.is_empty(), "there is room now");
    node.route(1, &net(200).to_string(), [NextHop::Discard]);
    ensure!(node.counters().await?.ports[&a.id].rx_packets >= before, "it goes on counting");
    a.reaches(b.address).await?;
    echo(stream.try_clone()?, 100_000).context("the connection goes on")?;

    // Of what is smaller all that fits, but no array.
    open_with(&mut node, Sizes::of(150, 20)).await?;
    ensure!((limit(&node, "hosts_v4")?, limit(&node, "port_names")?) == (150, 20));
    ensure!(limit(&node, "ports")? == 5000);
    open_with(&mut node, Sizes::of(50, 20)).await?;
    ensure!(limit(&node, "hosts_v4")? == 150, "100 routes do not fit into 50");
    ensure!(node.reconcile().await? == 0, "there was nothing to repair");
    echo(stream, 100_000).context("the connection goes on")?;
    let report = pings.stop().await?;
    ensure!(report.lost.is_empty(), "{report:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_change_of_size_that_was_cut_short_is_begun_anew() -> Result<()> {
    let world = World { sizes: Sizes::of(100, 10), ..World::new().await? };
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    node.vrf(1, 101).port(1, &a).port(1, &b);
    node.reconcile().await?;
    node.close();
    // Put aside, and not made anew; put aside, and made anew by somebody who had no time to fill it.
    let maps = memory::pins(&node)?;
    let old = maps.with_file_name("old");
    std::fs::create_dir(&old)?;
    std::fs::rename(maps.join("hosts_v4"), old.join("hosts_v4"))?;
    std::fs::rename(maps.join("port_of"), old.join("port_of"))?;
    let empty = aya::maps::HashMap::<aya::maps::MapData, u32, u32>::create(10, 1)?;
    empty.pin(maps.join("port_of"))?;

    open_with(&mut node, Sizes::of(300, 10)).await?;
    ensure!(!old.exists(), "nothing is aside any more");
    ensure!(limit(&node, "hosts_v4")? == 300);
    ensure!(node.reconcile().await? == 0, "there was nothing to repair");
    a.reaches(b.address).await?;
    Ok(())
}
