//! Devices that disappear and come back.

use anyhow::{Result, ensure};
use aya::maps::{Array, HashMap, Map, MapData};
use dataplane::{Op, Scope, diff};
use testbed::{Fabric, UPLINK};

use crate::memory;
use crate::world::{Node, World};

/// What the plane says of what it cannot repair now.
async fn complaint(node: &Node) -> Result<String> {
    let found = node.list().await?;
    let failures = node.apply(diff(&node.wanted, &found, Scope::Everything)).await?;
    Ok(failures.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("; "))
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn an_uplink_that_is_gone_is_named_and_taken_again_when_it_is_back() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    let local = world.workload("local", [172, 16, 1, 11]).await?;
    let (to_one, to_two) = (one.gre(101), two.udp(102));
    one.vrf(1, 101).port(1, &a).port(1, &local).route(1, "172.16.2.0/24", [to_two]);
    two.vrf(1, 102).port(1, &b).route(1, "172.16.1.0/24", [to_one]);
    one.reconcile().await?;
    two.reconcile().await?;
    a.reaches(b.address).await?;

    one.namespace.ip(&format!("link del dev {UPLINK}")).await?;
    one.disturbed().await?;
    ensure!(!one.has_its_devices().await?);
    let text = complaint(&one).await?;
    ensure!(text == format!("there is no interface {UPLINK}"), "{text}");
    a.reaches(local.address).await?;

    let port = Fabric::port("node1");
    let fabric = world.fabric.namespace();
    fabric
        .ip(&format!("link add {port} type veth peer name {UPLINK} netns {}", one.namespace.name()))
        .await?;
    fabric.ip(&format!("link set dev {port} master br0 up")).await?;
    one.namespace.ip(&format!("link set dev {UPLINK} up")).await?;
    one.namespace.offload_off(UPLINK).await?;
    one.namespace.ip(&format!("addr add {}/8 dev {UPLINK}", one.address)).await?;
    one.disturbed().await?;
    ensure!(!one.has_its_devices().await?, "it is another one");
    one.reconcile().await?;
    ensure!(one.has_its_devices().await?);
    a.reaches(b.address).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_port_whose_interface_is_gone_gets_a_new_one_or_says_why_not() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    let c = world.workload("c", [172, 16, 1, 12]).await?;
    node.vrf(1, 101).port(1, &a).port(1, &b).port(1, &c);
    node.reconcile().await?;
    a.reaches(b.address).await?;

    b.namespace.ip("link del dev eth0").await?;
    node.disturbed().await?;
    ensure!(!node.has_its_devices().await?);
    a.reaches(c.address).await?;
    node.reconcile().await?;
    ensure!(node.has_its_devices().await?);
    a.reaches(b.address).await?;

    // The workload itself is gone: nothing to attach to.
    let path = b.namespace.path();
    b.namespace.ip("link del dev eth0").await?;
    let id = b.id.clone();
    let mut port = node.wanted.ports[&id].clone();
    let dataplane::Attachment::Netns { path: at, .. } = &mut port.attachment;
    at.set_file_name("arcus-nobody");
    node.wanted.ports.insert(id.clone(), port);
    let text = complaint(&node).await?;
    ensure!(text.contains("arcus-nobody") && text.contains(&id.0), "{text}");
    a.reaches(c.address).await?;

    let dataplane::Attachment::Netns { path: at, .. } =
        &mut node.wanted.ports.get_mut(&id).expect("the port").attachment;
    *at = path;
    node.reconcile().await?;
    a.reaches(b.address).await?;
    let gone =
        node.apply(vec![Op::RemoveRoute(dataplane::VrfId(1), "172.16.1.11/32".parse()?)]).await?;
    ensure!(gone.is_empty());
    ensure!(node.apply(vec![Op::RemovePort(id)]).await?.is_empty());
    Ok(())
}

/// Octets of a key and a value of host routes, and of a next hop.
type Host = [u8; 8];
type Route = [u8; 8];
type Hop = [u8; 28];

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_somebody_else_did_to_the_maps_of_routes_is_seen_and_repaired() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    let (far, farther) = (node.udp(300), node.udp(301));
    node.vrf(1, 101).port(1, &a).port(1, &b).route(1, "10.9.0.0/16", [far.clone()]);
    node.route(1, "fd00:9::/32", [far.clone(), farther]).route(1, "fd00:9::1/128", [far]);
    node.reconcile().await?;
    ensure!(node.sees_its_routes().await?);
    let maps = memory::pins(&node)?;
    let open = |name: &str| MapData::from_pin(maps.join(name));
    let mut hosts = HashMap::<_, Host, Route>::try_from(Map::HashMap(open("hosts_v4")?))?;
    let mut hops = Array::<_, Hop>::try_from(Map::Array(open("next_hops")?))?;
    let keys: Vec<Host> = hosts.keys().collect::<Result<_, _>>()?;
    let ensure_repaired = async |what: &str| {
        ensure!(!node.sees_its_routes().await?, "{what}: nobody has seen it");
        ensure!(node.reconcile().await? > 0, "{what}");
        ensure!(node.sees_its_routes().await?, "{what}");
        a.reaches(b.address).await
    };
    hosts.remove(&keys[0])?;
    ensure_repaired("a route that is gone").await?;
    let other = hosts.get(&keys[1], 0)?;
    hosts.insert(keys[0], other, 0)?;
    ensure_repaired("a route that leads elsewhere").await?;
    hosts.insert([9; 8], other, 0)?;
    ensure_repaired("a route that nobody wants").await?;
    let target = hosts.get(&keys[0], 0)?;
    let number = u32::from_ne_bytes([target[0], target[1], target[2], target[3]]) & !(1 << 31);
    hops.set(number, [0; 28], 0)?;
    ensure_repaired("a next hop that leads nowhere").await?;
    Ok(())
}
