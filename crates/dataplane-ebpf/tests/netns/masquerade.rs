//! Workloads that leave with the address of their node.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dataplane::{DropReason, NextHop, PortRange};
use testbed::{Capture, Namespace, UPLINK};

use crate::hosts::{
    add_v6, answer_tcp, answer_udp, ask, call, dual_stack, ping, reaches, underlay_v6, v6,
    wrong_checksum,
};
use crate::raw;
use crate::world::{CEILING, Node, Workload, World, inside};

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 99);

fn outside() -> [IpAddr; 2] {
    [OUTSIDE.into(), underlay_v6(99).into()]
}

fn range(first: u16, last: u16) -> Option<PortRange> {
    PortRange::new(first, last)
}

/// A node whose VRFs 1 and 2 have one workload each, of the same addresses, that leave by its address; and
/// a host of the underlay.
async fn scene(world: &World) -> Result<(Node, Workload, Workload, Namespace)> {
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 10]).await?;
    let outside = world.fabric.node(&world.bed, "outside", OUTSIDE).await?;
    add_v6(&outside, underlay_v6(99)).await?;
    add_v6(&node.namespace, underlay_v6(1)).await?;
    node.wanted.node.tunnel_v6 = Some(underlay_v6(1));
    node.wanted.node.masquerade_ports = range(40_000, 40_999);
    for (vrf, workload) in [(1, &a), (2, &b)] {
        node.vrf(vrf, 100 + vrf).port(vrf, workload);
        dual_stack(&mut node, vrf, workload, v6(1));
        node.route(vrf, "0.0.0.0/0", [NextHop::Masquerade]).route(
            vrf,
            "::/0",
            [NextHop::Masquerade],
        );
    }
    node.reconcile().await?;
    answer_tcp(&outside, "outside", 80)?;
    answer_udp(&outside, "outside", 53)?;
    answer_udp(&outside, "outside", 54)?;
    Ok((node, a, b, outside))
}

fn own_address(to: IpAddr) -> IpAddr {
    match to {
        IpAddr::V4(_) => Ipv4Addr::new(10, 0, 0, 1).into(),
        IpAddr::V6(_) => underlay_v6(1).into(),
    }
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn workloads_of_equal_addresses_leave_with_their_nodes_and_get_their_answers() -> Result<()> {
    let world = World::new().await?;
    let (node, a, b, outside_) = scene(&world).await?;
    let reserved = ["cat", "/proc/sys/net/ipv4/ip_local_reserved_ports"];
    let reserved = node.namespace.run(&reserved).await?;
    ensure!(reserved.trim() == "40000-40999", "{reserved}");
    for workload in [&a, &b] {
        workload.namespace.offload_off("eth0").await?;
    }
    let captures = [
        Capture::start(&world.bed, &outside_, UPLINK, "ip or ip6").await?,
        Capture::start(&world.bed, &a.namespace, "eth0", "ip or ip6").await?,
    ];
    for to in outside() {
        for workload in [&a, &b] {
            let from = &workload.namespace;
            let open = call(from, (to, 80).into())?;
            let caller = open.answer.caller;
            ensure!(caller.ip() == own_address(to), "{caller}");
            ensure!((40_000..41_000).contains(&caller.port()), "{caller}");
            open.echo(1 << 20)?;
            let caller = ask(from, 5000, (to, 53).into(), 100)?.caller;
            ensure!(caller.ip() == own_address(to));
            ensure!((40_000..41_000).contains(&caller.port()), "{caller}");
            // A socket looks the same from everywhere.
            ensure!(ask(from, 5000, (to, 54).into(), 100)?.caller == caller);
            ensure!(ask(from, 5000, (to, 53).into(), 8000)?.caller == caller, "in fragments, too");
            ensure!(ask(from, 5001, (to, 53).into(), 100)?.caller != caller);
            reaches(from, to).await?;
            let refused = ask(from, 5002, (to, 9).into(), 100).expect_err("nobody listens");
            ensure!(format!("{refused:#}").contains("refused"), "{refused:#}");
            let (_, text) = ping(from, to, &["-t", "1"]).await?;
            ensure!(text.contains("exceeded"), "{text}");
        }
        // The node itself goes on as ever.
        reaches(&node.namespace, to).await?;
        ensure!(call(&node.namespace, (to, 80).into())?.answer.caller.ip() == own_address(to));
        ask(&node.namespace, 0, (to, 53).into(), 100)?;
    }
    for capture in captures {
        let file = capture.file().display().to_string();
        capture.stop().await?;
        let wrong = wrong_checksum(&outside_, &file).await?;
        ensure!(wrong.is_none(), "{wrong:?}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn one_source_port_serves_one_connection_to_a_server_and_others_to_others() -> Result<()> {
    let world = World::new().await?;
    let (mut node, a, b, _outside) = scene(&world).await?;
    node.wanted.node.masquerade_ports = range(40_000, 40_000);
    node.reconcile().await?;
    for to in outside() {
        ensure!(ask(&a.namespace, 5000, (to, 53).into(), 10)?.caller.port() == 40_000);
        let before = node.drops(DropReason::NoSourcePort).await?;
        ensure!(ask(&b.namespace, 5000, (to, 53).into(), 10).is_err(), "a has the port");
        ensure!(node.drops(DropReason::NoSourcePort).await? == before + 1);
        ensure!(ask(&b.namespace, 5000, (to, 54).into(), 10)?.caller.port() == 40_000);
        ensure!(ask(&a.namespace, 5000, (to, 53).into(), 10)?.caller.port() == 40_000);
    }
    // With some more there is room, by other tries than the first.
    node.wanted.node.masquerade_ports = range(40_000, 40_003);
    node.reconcile().await?;
    let mut seen = BTreeSet::new();
    for port in [5000, 5001] {
        for workload in [&a, &b] {
            seen.insert(ask(&workload.namespace, port, (OUTSIDE, 53).into(), 10)?.caller.port());
        }
    }
    ensure!(seen.len() == 4, "{seen:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_is_too_big_on_the_way_is_heard_of_inside() -> Result<()> {
    let world = World::new().await?;
    let (node, a, _b, outside_) = scene(&world).await?;
    // A router, and behind it a narrow link.
    let far = world.bed.namespace("far").await?;
    outside_.ip(&format!("link add narrow type veth peer name eth0 netns {}", far.name())).await?;
    for (namespace, link, last) in [(&outside_, "narrow", 1), (&far, "eth0", 2)] {
        let switch = format!("net.ipv6.conf.{link}.disable_ipv6=0");
        namespace.run(&["sysctl", "-qw", &switch]).await?;
        namespace.ip(&format!("link set dev {link} mtu 1300 up")).await?;
        namespace.ip(&format!("addr add 192.0.2.{last}/24 dev {link}")).await?;
        namespace.ip(&format!("addr add 2001:db8::{last}/64 dev {link} nodad")).await?;
    }
    outside_
        .run(&["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        .await?;
    far.ip("route add default via 192.0.2.1").await?;
    far.ip("route add default via 2001:db8::1").await?;
    node.namespace.ip("route add 192.0.2.0/24 via 10.0.0.99").await?;
    node.namespace.ip(&format!("route add 2001:db8::/64 via {}", underlay_v6(99))).await?;
    answer_tcp(&far, "far", 80)?;
    let there: [IpAddr; 2] = ["192.0.2.2".parse()?, "2001:db8::2".parse()?];
    for to in there {
        let ready = async || reaches(&a.namespace, to).await;
        world.bed.wait_for("the way is there", CEILING, ready).await?;
        let (answered, text) = ping(&a.namespace, to, &["-M", "do", "-s", "1350"]).await?;
        ensure!(!answered && text.contains("1300"), "{text}");
        call(&a.namespace, (to, 80).into())?.echo(1 << 20)?;
    }

    // And by the node itself, when it is its own link.
    node.namespace.ip(&format!("link set dev {UPLINK} mtu 1290")).await?;
    ensure!(node.list().await? == node.wanted);
    for to in outside() {
        let (answered, text) = ping(&a.namespace, to, &["-M", "do", "-s", "1350"]).await?;
        ensure!(!answered && text.contains("1290"), "{text}");
        call(&a.namespace, (to, 80).into())?.echo(1 << 20)?;
    }
    ensure!(node.drops(DropReason::TooBig).await? == 2, "segments were clamped");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn nothing_out_of_a_tunnel_leaves_so_and_nothing_reaches_the_node() -> Result<()> {
    let world = World::new().await?;
    let (mut node, a, _b, _outside) = scene(&world).await?;
    let mut other = world.node(2).await?;
    let far = world.workload("far", [172, 16, 2, 10]).await?;
    other.vrf(1, 201).port(1, &far).route(1, "0.0.0.0/0", [node.gre(101)]);
    node.route(1, "172.16.2.0/24", [other.gre(201)]);
    other.reconcile().await?;
    node.reconcile().await?;
    reaches(&far.namespace, a.address.into()).await?;
    let (answered, _) = ping(&far.namespace, OUTSIDE.into(), &[]).await?;
    ensure!(!answered && node.drops(DropReason::TunnelToTunnel).await? == 1);

    answer_tcp(&node.namespace, "node", 8080)?;
    for own in [IpAddr::V4(node.address), underlay_v6(1).into()] {
        ensure!(call(&a.namespace, (own, 8080).into()).is_err());
    }
    ensure!(node.drops(DropReason::Denied).await? >= 2);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn its_connections_outlive_the_agent_but_not_the_port() -> Result<()> {
    let world = World::new().await?;
    let (mut node, a, _b, outside_) = scene(&world).await?;
    let open = call(&a.namespace, (OUTSIDE, 80).into())?;
    node.close();
    open.echo(100_000)?;
    node.open().await?;
    ensure!(node.reconcile().await? == 0, "there was nothing to repair");
    open.echo(100_000)?;

    let caller = ask(&a.namespace, 5000, (OUTSIDE, 53).into(), 10)?.caller;
    let wanted = node.wanted.clone();
    node.wanted.ports.remove(&a.id);
    node.wanted.fib.retain(|vrf, _| vrf.0 != 1);
    node.reconcile().await?;
    node.wanted = wanted;
    node.reconcile().await?;
    let listener = inside(&a.namespace, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 5000)))??;
    listener.set_read_timeout(Some(Duration::from_millis(500)))?;
    raw::send_udp(&outside_, node.address, raw::datagram(53, caller.port(), b"late"))?;
    ensure!(listener.recv(&mut [0; 16]).is_err(), "the port of that flow is gone");
    // What a new connection of the new port makes is its own.
    drop(listener);
    ensure!(ask(&a.namespace, 5000, (OUTSIDE, 53).into(), 10)?.name == "outside");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_range_that_is_no_longer_reserved_is_reserved_again() -> Result<()> {
    let world = World::new().await?;
    let (node, _a, _b, _outside) = scene(&world).await?;
    let key = "net.ipv4.ip_local_reserved_ports";
    node.namespace.run(&["sysctl", "-qw", &format!("{key}=22")]).await?;
    ensure!(node.reconcile().await? == 1);
    let now = node.namespace.run(&["sysctl", "-n", key]).await?;
    ensure!(now.trim() == "22,40000-40999", "{now}");
    let found = node.list().await?;
    ensure!(found.node.masquerade_ports == range(40_000, 40_999));
    found.node.tunnel_v4.context("an address")?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn of_several_uplinks_the_kernels_route_is_taken() -> Result<()> {
    let world = World::new().await?;
    let (mut node, a, _b, _outside) = scene(&world).await?;
    let side = world.bed.namespace("side").await?;
    node.namespace
        .ip(&format!("link add cable type veth peer name eth0 netns {}", side.name()))
        .await?;
    for (namespace, link, last) in [(&node.namespace, "cable", 1), (&side, "eth0", 2)] {
        let switch = format!("net.ipv6.conf.{link}.disable_ipv6=0");
        namespace.run(&["sysctl", "-qw", &switch]).await?;
        namespace.ip(&format!("link set dev {link} up")).await?;
        namespace.ip(&format!("addr add 192.0.2.{last}/24 dev {link}")).await?;
        namespace.ip(&format!("addr add 2001:db8::{last}/64 dev {link} nodad")).await?;
    }
    side.ip("addr add 198.51.100.1/32 dev lo").await?;
    side.ip("addr add 2001:db8:1::1/128 dev lo").await?;
    side.ip("route add 10.0.0.1/32 via 192.0.2.1").await?;
    side.ip(&format!("route add {}/128 via 2001:db8::1", underlay_v6(1))).await?;
    node.namespace.ip("route add 198.51.100.0/24 via 192.0.2.2").await?;
    node.namespace.ip("route add 2001:db8:1::/64 via 2001:db8::2").await?;
    node.wanted.node.uplinks.push("cable".to_owned());
    node.reconcile().await?;
    answer_tcp(&side, "side", 80)?;
    let there: [IpAddr; 4] = [
        "192.0.2.2".parse()?,
        "2001:db8::2".parse()?,
        "198.51.100.1".parse()?,
        "2001:db8:1::1".parse()?,
    ];
    for to in there.into_iter().chain(outside()) {
        let ready = async || reaches(&a.namespace, to).await;
        world.bed.wait_for("the way is there", CEILING, ready).await?;
        let open = call(&a.namespace, (to, 80).into())?;
        ensure!(open.answer.caller.ip() == own_address(to), "{:?}", open.answer);
        open.echo(1 << 20)?;
    }
    Ok(())
}
