//! From port to port: on one node, between nodes, over several.

use anyhow::{Context as _, Result, ensure};
use dataplane::{DropReason, Encapsulation};
use testbed::Capture;
use testbed::packet::{Packet, Payload};

use crate::world::{World, echo, greeting};

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
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    let (to_one, to_two) = (one.tunnel(encapsulation, 101), two.tunnel(encapsulation, 202));
    // Numbers of VRFs and labels are the nodes' own.
    one.vrf(1, 101).port(1, &a).route(1, "172.16.2.0/24", [to_two]);
    two.vrf(7, 202).port(7, &b).route(7, "172.16.1.10/32", [to_one]);
    one.reconcile().await?;
    two.reconcile().await?;

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
            ensure!(*source_port >= 49152, "source port {source_port}")
        }
        _ => anyhow::bail!("{there:?}"),
    }
    let tunnels = one.counters().await?.tunnels;
    let traffic = tunnels.get(&two.address).context("the tunnel is counted")?;
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
