//! A workload that routes: out of one tunnel, through it, into another.

use anyhow::{Context as _, Result};
use dataplane::{AllowedSource, Encapsulation, NextHop};

use crate::world::{World, echo, greeting};

/// What comes for the router arrives in a VRF of its own, where everything leads to it; what it sends is
/// routed in the one where a and b are.
async fn a_workload_routes_between_tunnels(near: Encapsulation, far: Encapsulation) -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two, mut three) =
        (world.node(1).await?, world.node(2).await?, world.node(3).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let router = world.workload("router", [172, 16, 2, 10]).await?;
    let b = world.workload("b", [172, 16, 3, 10]).await?;
    one.vrf(1, 101).port(1, &a).route(1, "172.16.0.0/16", [two.tunnel(near, 205)]);
    three.vrf(1, 103).port(1, &b).route(1, "172.16.0.0/16", [two.tunnel(far, 205)]);
    two.vrf(1, 201).vrf(5, 205).port(1, &router);
    two.route(1, "172.16.1.0/24", [one.tunnel(near, 101)]);
    two.route(1, "172.16.3.0/24", [three.tunnel(far, 103)]);
    two.route(5, "172.16.0.0/16", [NextHop::Port(router.id.clone())]);
    let port = two.wanted.ports.get_mut(&router.id).context("the router's port")?;
    port.allowed.insert(AllowedSource { net: "172.16.0.0/16".parse()?, mac: None });
    for node in [&one, &two, &three] {
        node.reconcile().await?;
    }
    router.namespace.run(&["sysctl", "-qw", "net.ipv4.ip_forward=1"]).await?;
    router.namespace.run(&["sysctl", "-qw", "net.ipv4.conf.all.send_redirects=0"]).await?;
    router.namespace.run(&["sysctl", "-qw", "net.ipv4.conf.eth0.send_redirects=0"]).await?;

    a.reaches(b.address).await?;
    b.serve(80)?;
    let stream = a.connect(b.address, 80)?.context("b answers")?;
    greeting(&stream)?;
    echo(stream, 4 << 20)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_workload_routes_from_gre_to_gre() -> Result<()> {
    a_workload_routes_between_tunnels(Encapsulation::MplsOverGre, Encapsulation::MplsOverGre).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_workload_routes_from_udp_to_udp() -> Result<()> {
    a_workload_routes_between_tunnels(Encapsulation::MplsOverUdp, Encapsulation::MplsOverUdp).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_workload_routes_from_vxlan_to_vxlan() -> Result<()> {
    a_workload_routes_between_tunnels(Encapsulation::Vxlan, Encapsulation::Vxlan).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_workload_routes_from_gre_to_vxlan_and_back() -> Result<()> {
    a_workload_routes_between_tunnels(Encapsulation::MplsOverGre, Encapsulation::Vxlan).await
}
