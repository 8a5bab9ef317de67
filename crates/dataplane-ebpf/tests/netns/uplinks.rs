//! Underlays of more than a plain interface.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use dataplane::Encapsulation;
use testbed::UPLINK;

use crate::world::{Node, World, echo, greeting, router_mac};

const VLAN: &str = "bond.100";

/// Puts the node's tunnel address on its loopback, behind a VLAN of a bond of its uplink. `false`: this kernel
/// has no such devices.
async fn stack(node: &mut Node) -> Result<bool> {
    let namespace = &node.namespace;
    let made =
        namespace.output(&["ip", "link", "add", "bond", "type", "bond", "mode", "1"]).await?;
    if !made.status.success() {
        return Ok(false);
    }
    let [.., last] = node.address.octets();
    namespace.ip(&format!("link set dev {UPLINK} down")).await?;
    namespace.ip(&format!("link set dev {UPLINK} master bond")).await?;
    namespace.ip("link set dev bond up").await?;
    namespace.ip(&format!("link add link bond name {VLAN} type vlan id 100")).await?;
    namespace.ip(&format!("link set dev {VLAN} up")).await?;
    namespace.ip(&format!("addr flush dev {UPLINK}")).await?;
    namespace.ip(&format!("addr add 10.1.0.{last}/24 dev {VLAN}")).await?;
    node.address = Ipv4Addr::new(10, 255, 0, last);
    namespace.ip(&format!("addr add {}/32 dev lo", node.address)).await?;
    let other = 3 - last;
    namespace.ip(&format!("route add 10.255.0.{other}/32 via 10.1.0.{other}")).await?;
    node.wanted.node.tunnel_v4 = Some(node.address);
    node.wanted.node.router_mac = router_mac(node.address);
    node.wanted.node.uplinks = vec![VLAN.to_owned()];
    Ok(true)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn the_tunnel_address_is_a_loopback_behind_a_vlan_of_a_bond() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    if !(stack(&mut one).await? && stack(&mut two).await?) {
        ensure!(std::env::var_os("OLD_KERNEL").is_none(), "Debian's kernel has bonds");
        eprintln!("this kernel has no bonds: see `make test-old-kernel`");
        return Ok(());
    }
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    for (number, encapsulation) in (1_u16..).zip([
        Encapsulation::MplsOverGre,
        Encapsulation::MplsOverUdp,
        Encapsulation::Vxlan,
    ]) {
        let label = 100 * u32::from(number) + 1;
        let (to_one, to_two) = (one.tunnel(encapsulation, label), two.tunnel(encapsulation, label));
        one.vrf(1, label).port(1, &a).route(1, "172.16.2.0/24", [to_two]);
        two.vrf(1, label).port(1, &b).route(1, "172.16.1.0/24", [to_one]);
        one.reconcile().await?;
        two.reconcile().await?;
        a.reaches(b.address).await?;
        let port = 8080 + number;
        b.serve(port)?;
        let stream = a.connect(b.address, port)?.context("b answers")?;
        greeting(&stream)?;
        echo(stream, 1 << 20)?;
    }
    Ok(())
}
