//! Packets that arrive in VXLAN are merged by the kernel before the programs see them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, ensure};
use dataplane::{Direction, DropReason, NextHop, Protocol, Tunnel};
use testbed::{Fabric, UPLINK};

use crate::filters::{TCP, allow, guard, net, only};
use crate::raw::{datagram, send_udp};
use crate::services::{put, service};
use crate::world::{Node, World, echo, greeting};

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_is_merged_is_translated_and_filtered_like_the_rest() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    let (to_one, to_two) = (one.vxlan(101), two.vxlan(101));
    one.vrf(1, 101).port(1, &a).route(1, "10.254.98.15/32", [to_two]);
    two.vrf(1, 101).port(1, &b).route(1, "172.16.1.0/24", [to_one]);
    let address = Ipv4Addr::new(10, 254, 98, 15);
    put(&mut two, 1, address.into(), service(&[(Protocol::Tcp, 80, 8080)], &[&b]));
    let rule = allow(Direction::In, net("172.16.1.0/24"), TCP, &[8080]);
    guard(&mut two, &b, only(&[rule]));
    for node in [&one, &two] {
        node.reconcile().await?;
        frames_are_real(&world, node).await?;
    }
    b.serve(8080)?;
    let stream = a.connect(address, 80)?.context("b answers")?;
    ensure!(greeting(&stream)?.1 == a.address);
    echo(stream, 8 << 20)?;
    ensure!(a.connect(address, 81)?.is_none());
    packets_were_long(&two, one.address.into()).await
}

/// As on a wire: cut and with checksums before they leave, and merged where they arrive.
pub(crate) async fn frames_are_real(world: &World, node: &Node) -> Result<()> {
    let port = Fabric::port(&node.name);
    for (namespace, name) in [(&node.namespace, UPLINK), (world.fabric.namespace(), &port)] {
        let words = ["ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "on"];
        namespace.run(&words).await?;
    }
    Ok(())
}

fn underlay_v6(node: &Node) -> Ipv6Addr {
    let [.., last] = node.address.octets();
    Ipv6Addr::new(0xfd00, 0xff, 0, 0, 0, 0, 0, last.into())
}

async fn tcp_is_merged(is_v6: bool) -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    let remote = |node: &Node| -> IpAddr {
        if is_v6 { underlay_v6(node).into() } else { node.address.into() }
    };
    let way = |node: &Node| match node.vxlan(101) {
        NextHop::Tunnel(tunnel) => NextHop::Tunnel(Tunnel { remote: remote(node), ..tunnel }),
        other => other,
    };
    let (to_one, to_two) = (way(&one), way(&two));
    one.vrf(1, 101).port(1, &a).route(1, "172.16.2.0/24", [to_two]);
    two.vrf(1, 101).port(1, &b).route(1, "172.16.1.0/24", [to_one]);
    for node in [&mut one, &mut two] {
        if is_v6 {
            let address = underlay_v6(node);
            let allow = format!("net.ipv6.conf.{UPLINK}.disable_ipv6=0");
            node.namespace.run(&["sysctl", "-qw", &allow]).await?;
            node.namespace.ip(&format!("addr add {address}/64 dev {UPLINK} nodad")).await?;
            node.wanted.node.tunnel_v6 = Some(address);
        }
        node.reconcile().await?;
        frames_are_real(&world, node).await?;
    }
    b.serve(80)?;
    let stream = a.connect(b.address, 80)?.context("b answers")?;
    greeting(&stream)?;
    echo(stream, 8 << 20)?;
    packets_were_long(&two, remote(&one)).await
}

async fn packets_were_long(node: &Node, from: IpAddr) -> Result<()> {
    let tunnels = node.counters().await?.tunnels;
    let traffic = tunnels.get(&from).context("the tunnel is counted")?;
    // Acknowledgements are among them.
    let length = traffic.rx_bytes / traffic.rx_packets;
    ensure!(traffic.rx_bytes > 8 << 20 && length > 3000, "{length} octets each: {traffic:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn tcp_in_vxlan_is_merged_as_it_arrives() -> Result<()> {
    tcp_is_merged(false).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn tcp_in_vxlan_over_ipv6_is_merged_as_it_arrives() -> Result<()> {
    tcp_is_merged(true).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn nothing_comes_in_by_what_merges_and_it_goes_with_the_last_vni() -> Result<()> {
    let world = World::new().await?;
    let (one, mut two) = (world.node(1).await?, world.node(2).await?);
    two.vrf(1, 101);
    two.reconcile().await?;
    two.namespace.ip("link show up dev arcus-vxlan").await?;
    // To all of the link, in the device's own VNI.
    let mut frame = vec![8, 0, 0, 0, 0, 0, 0, 0];
    frame.extend([0xff; 6].into_iter().chain([2, 0, 0, 0, 0, 9, 8, 0]).chain([0x45; 46]));
    send_udp(&one.namespace, two.address, datagram(50_000, 4789, &frame))?;
    let dropped = async || {
        ensure!(two.drops(DropReason::PortGone).await? == 1);
        Ok(())
    };
    world.bed.wait_for("it is dropped", crate::world::CEILING, dropped).await?;

    // Somebody has deleted it: it is there again with the next VRF.
    two.namespace.ip("link del dev arcus-vxlan").await?;
    two.vrf(2, 102);
    two.reconcile().await?;
    two.namespace.ip("link show up dev arcus-vxlan").await?;
    two.wanted.vrfs.values_mut().for_each(|vrf| vrf.vni = None);
    two.reconcile().await?;
    ensure!(two.namespace.ip("link show dev arcus-vxlan").await.is_err(), "nobody needs it");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn where_another_has_the_port_packets_are_forwarded_all_the_same() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    two.namespace.ip("link add theirs type vxlan external dstport 4789").await?;
    two.namespace.ip("link set dev theirs up").await?;
    let (to_one, to_two) = (one.vxlan(101), two.vxlan(101));
    one.vrf(1, 101).port(1, &a).route(1, "172.16.2.0/24", [to_two]);
    two.vrf(1, 101).port(1, &b).route(1, "172.16.1.0/24", [to_one]);
    one.reconcile().await?;
    two.reconcile().await?;
    a.reaches(b.address).await?;
    two.namespace.ip("link show up dev theirs").await?;
    ensure!(two.namespace.ip("link show dev arcus-vxlan").await.is_err(), "it stays away");
    Ok(())
}
