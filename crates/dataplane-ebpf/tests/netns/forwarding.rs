//! From port to port: on one node, between nodes, over several.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use dataplane::{DropReason, Encapsulation, NextHop, Op, VrfId};
use testbed::packet::{Packet, Payload};
use testbed::{Capture, UPLINK};

use crate::world::{CEILING, Pair, Workload, World, echo, greeting};

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn ports_of_one_node_reach_each_other_and_only_in_their_vrf() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    let other = world.workload("other", [172, 16, 2, 10]).await?;
    node.vrf(1, 101).vrf(2, 102).port(1, &a).port(1, &b).port(2, &other);
    node.reconcile().await?;

    a.reaches(b.address).await?;
    b.reaches(a.address).await?;
    b.serve(80)?;
    let (who, caller) = a.call(b.address, 80)?;
    ensure!((who.as_str(), caller) == ("b", a.address), "{who} saw {caller}");

    // The gateway answers, the rest of the link is behind it, and nobody is at addresses without a route.
    a.reaches([172, 16, 1, 1].into()).await?;
    let (answered, text) = a.ping([172, 16, 1, 99].into(), &[]).await?;
    ensure!(!answered && text.contains("Net Unreachable"), "{text}");
    ensure!(node.drops(DropReason::NoRoute).await? > 0);
    let neighbours = a.namespace.ip("neigh show dev eth0").await?;
    ensure!(neighbours.contains("00:00:5e:00:01:00"), "{neighbours}");

    // The same address in another VRF is another workload, and unreachable from this one.
    ensure!(other.connect(a.address, 80)?.is_none());
    let counters = node.counters().await?;
    let port = counters.ports.get(&a.id).context("port a is counted")?;
    ensure!(port.rx_packets > 4 && port.tx_packets > 4 && port.rx_bytes > 300, "{port:?}");
    Ok(())
}

async fn two_nodes_reach_each_other_over(encapsulation: Encapsulation) -> Result<()> {
    let world = World::new().await?;
    let Pair { one, two, a, b } = world.pair_over(encapsulation).await?;

    let wire = testbed::Fabric::port("node2");
    let capture = Capture::start(&world.bed, world.fabric.namespace(), &wire, "ip").await?;
    a.reaches(b.address).await?;
    b.reaches(a.address).await?;
    b.serve(80)?;
    let stream = a.connect(b.address, 80)?.context("b answers")?;
    ensure!(greeting(&stream)?.1 == a.address);
    echo(stream, 4 << 20)?;

    let packets = capture.stop().await?;
    let inner = |packet: &Packet| packet.mpls().and_then(|mpls| mpls.inner.clone());
    let there = packets.iter().find(|packet| inner(packet).is_some_and(|i| i.source == a.address));
    let there = there.context("a packet of a on the wire")?;
    ensure!((there.source, there.destination) == (one.address, two.address), "{there}");
    let mpls = there.mpls().context("a label")?;
    ensure!(mpls.labels.len() == 1, "{there}");
    let label = mpls.labels[0];
    ensure!((label.label, label.is_bottom, label.ttl) == (202, true, 63), "{label:?}");
    match (&there.payload, encapsulation) {
        (Payload::Gre { flags: 0, protocol: 0x8847, .. }, Encapsulation::MplsOverGre) => {
            ensure!(there.protocol == 47);
        }
        (Payload::MplsOverUdp { source_port, checksum: 0, .. }, Encapsulation::MplsOverUdp) => {
            ensure!(*source_port >= 49152, "source port {source_port}");
        }
        _ => anyhow::bail!("{there:?}"),
    }
    let tunnels = one.counters().await?.tunnels;
    let traffic = tunnels.get(&IpAddr::V4(two.address)).context("the tunnel is counted")?;
    ensure!(traffic.tx_bytes > 4 << 20 && traffic.rx_bytes > 4 << 20, "{traffic:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn nodes_reach_each_other_over_gre() -> Result<()> {
    two_nodes_reach_each_other_over(Encapsulation::MplsOverGre).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn nodes_reach_each_other_over_udp() -> Result<()> {
    two_nodes_reach_each_other_over(Encapsulation::MplsOverUdp).await
}

/// Who answers each of 120 flows to that address.
fn survey(client: &Workload, to: Ipv4Addr) -> Result<Vec<String>> {
    (0..120).map(|n| Ok(client.ask_udp(20_000 + n, to, 53)?.0)).collect()
}

fn tally(answers: &[String]) -> BTreeMap<&str, usize> {
    let mut tally = BTreeMap::new();
    for answer in answers {
        *tally.entry(answer.as_str()).or_default() += 1;
    }
    tally
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn flows_spread_over_three_nodes_and_each_stays_where_it_is() -> Result<()> {
    let world = World::new().await?;
    let mut front = world.node(1).await?;
    let client = world.workload("client", [172, 16, 1, 10]).await?;
    let anycast = Ipv4Addr::new(172, 16, 9, 9);
    let mut ways = Vec::new();
    let mut nodes = Vec::new();
    for number in 2..=4u8 {
        let mut node = world.node(number).await?;
        let pod = world.workload(&format!("pod{number}"), anycast.octets()).await?;
        let label = 100 + u32::from(number);
        node.vrf(1, label).port(1, &pod).route(1, "172.16.1.0/24", [front.gre(101)]);
        node.reconcile().await?;
        pod.serve(80)?;
        pod.serve_udp(53)?;
        // Both encapsulations in one group.
        ways.push(if number == 3 { node.udp(label) } else { node.gre(label) });
        nodes.push((node, pod));
    }
    front.vrf(1, 101).port(1, &client).route(1, "172.16.9.9/32", ways.clone());
    front.reconcile().await?;

    let before = survey(&client, anycast)?;
    let spread = tally(&before);
    ensure!(spread.len() == 3 && spread.values().all(|count| *count >= 20), "{spread:?}");
    ensure!(survey(&client, anycast)? == before, "flows changed their nodes");
    // A connection has many packets; one that came to another node would be reset there.
    for _ in 0..20 {
        let stream = client.connect(anycast, 80)?.context("somebody answers")?;
        greeting(&stream)?;
        echo(stream, 100_000)?;
    }

    // Without one of the nodes only its own flows move.
    front.route(1, "172.16.9.9/32", ways[..2].to_vec());
    front.reconcile().await?;
    let after = survey(&client, anycast)?;
    for (was, is) in before.iter().zip(&after) {
        ensure!(was == is || was == "pod4", "a flow moved from {was} to {is}");
    }
    ensure!(tally(&after).len() == 2);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_came_out_of_a_tunnel_never_enters_one_again() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two, mut three) =
        (world.node(1).await?, world.node(2).await?, world.node(3).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let here = world.workload("here", [172, 16, 9, 9]).await?;
    let there = world.workload("there", [172, 16, 9, 9]).await?;
    let far = world.workload("far", [172, 16, 3, 10]).await?;
    let back = one.gre(101);
    one.vrf(1, 101).port(1, &a).route(1, "172.16.0.0/16", [two.gre(102)]);
    two.vrf(1, 102).port(1, &here).route(1, "172.16.1.0/24", [back.clone()]);
    two.route(1, "172.16.3.0/24", [three.gre(103)]);
    // Both this node and another one have the address.
    two.route(1, "172.16.9.9/32", [NextHop::Port(here.id.clone()), three.gre(103)]);
    three.vrf(1, 103).port(1, &there).port(1, &far).route(1, "172.16.1.0/24", [back]);
    for node in [&one, &two, &three] {
        node.reconcile().await?;
    }
    here.serve_udp(53)?;
    there.serve_udp(53)?;

    let (answered, _) = a.ping(far.address, &[]).await?;
    ensure!(!answered);
    ensure!(two.drops(DropReason::TunnelToTunnel).await? == 1);
    let answers = survey(&a, here.address)?;
    ensure!(tally(&answers).keys().eq(["here"].iter()), "{answers:?}");
    // From a port of the node itself both are as good.
    let local = world.workload("local", [172, 16, 1, 20]).await?;
    two.port(1, &local);
    three.route(1, "172.16.1.20/32", [two.gre(102)]);
    two.reconcile().await?;
    three.reconcile().await?;
    ensure!(tally(&survey(&local, here.address)?).len() == 2);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn labels_that_nobody_has_are_counted_and_other_traffic_is_left_alone() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    one.vrf(1, 101).port(1, &a).route(1, "172.16.2.0/24", [two.gre(999)]);
    one.route(1, "172.16.4.0/24", [NextHop::Discard]);
    two.vrf(1, 102);
    one.reconcile().await?;
    two.reconcile().await?;
    let (answered, _) = a.ping([172, 16, 2, 10].into(), &[]).await?;
    ensure!(!answered && two.drops(DropReason::UnknownLabel).await? == 1);
    let (answered, _) = a.ping([172, 16, 4, 10].into(), &[]).await?;
    ensure!(!answered && one.drops(DropReason::Discard).await? == 1);
    let (_, text) = a.ping([172, 16, 2, 10].into(), &["-t", "1"]).await?;
    ensure!(text.contains("From 172.16.1.1") && text.contains("Time to live"), "{text}");
    ensure!(one.drops(DropReason::TtlExpired).await? == 1);
    // The nodes themselves talk to each other past the programs.
    one.namespace.run(&["ping", "-n", "-c", "1", "-W", "1", "10.0.0.2"]).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_node_with_two_uplinks_takes_the_one_that_leads_there() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let mut three = world.node(3).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    let c = world.workload("c", [172, 16, 3, 10]).await?;
    // Node 2 is also at the end of a cable of its own.
    let peer = two.namespace.name().to_owned();
    one.namespace.ip(&format!("link add cable type veth peer name cable netns {peer}")).await?;
    for (node, other) in [(&one, &two), (&two, &one)] {
        node.namespace.ip("link set dev cable up").await?;
        let near = node.address;
        node.namespace.ip(&format!("route add {}/32 dev cable src {near}", other.address)).await?;
    }
    for node in [&mut one, &mut two] {
        node.wanted.node.uplinks.push("cable".to_owned());
    }
    one.vrf(1, 101).port(1, &a);
    one.route(1, "172.16.2.0/24", [two.gre(102)]).route(1, "172.16.3.0/24", [three.udp(103)]);
    two.vrf(1, 102).port(1, &b).route(1, "172.16.1.0/24", [one.gre(101)]);
    three.vrf(1, 103).port(1, &c).route(1, "172.16.1.0/24", [one.gre(101)]);
    for node in [&one, &two, &three] {
        node.reconcile().await?;
    }
    let capture = Capture::start(&world.bed, &one.namespace, "cable", "ip proto 47").await?;
    a.reaches(b.address).await?;
    a.reaches(c.address).await?;
    let both = async || {
        ensure!(capture.packets()?.len() == 2, "there and back, to b alone");
        Ok(())
    };
    world.bed.wait_for("both packets are on the cable", CEILING, both).await?;
    capture.stop().await?;

    // The way changes below the plane; it sees so at its next look.
    for (node, other) in [(&one, &two), (&two, &one)] {
        node.namespace.ip(&format!("route del {}/32 dev cable", other.address)).await?;
        node.list().await?;
    }
    let capture = Capture::start(&world.bed, &one.namespace, UPLINK, "ip proto 47").await?;
    a.reaches(b.address).await?;
    let both = async || {
        ensure!(capture.packets()?.len() == 2);
        Ok(())
    };
    world.bed.wait_for("both packets are on the uplink", CEILING, both).await?;
    capture.stop().await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn an_operation_that_fails_does_not_stop_the_others() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    node.vrf(1, 101).port(1, &a);
    let nobody = NextHop::Port("nobody".into());
    let mut ops = vec![Op::PutRoute(VrfId(1), "10.9.0.0/16".parse()?, nobody.into())];
    ops.extend(dataplane::diff(
        &node.wanted,
        &dataplane::Desired::default(),
        dataplane::Scope::Everything,
    ));
    let failures = node.apply(ops).await?;
    ensure!(failures.len() == 1 && failures[0].0 == 0, "{failures:?}");
    ensure!(node.list().await? == node.wanted);
    Ok(())
}
