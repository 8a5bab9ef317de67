//! Floating addresses of one port each, which need no flows.

use std::net::{IpAddr, UdpSocket};

use anyhow::{Result, ensure};
use dataplane::{NextHop, PortRange, VrfId};
use testbed::Capture;

use crate::hosts::{answer_tcp, answer_udp, ask, call, dual_stack, reaches, v6, wrong_checksum};
use crate::raw;
use crate::services::{floating, put};
use crate::world::{CEILING, Node, Workload, World, inside};

const OWN: [&str; 2] = ["185.22.97.188", "2001:db8:97::188"];
const SECOND: [&str; 2] = ["185.22.97.189", "2001:db8:97::189"];

fn parse(addresses: [&str; 2]) -> [IpAddr; 2] {
    addresses.map(|address| address.parse().expect("an address"))
}

struct Scene {
    _gateway: Node,
    node: Node,
    outside: Workload,
    outside_addresses: [IpAddr; 2],
    p1: Workload,
    p2: Workload,
}

/// Two ports in a VRF of theirs, a public VRF with the way out, and somebody outside.
async fn scene(world: &World) -> Result<Scene> {
    let (mut gateway, mut node) = (world.node(1).await?, world.node(2).await?);
    let outside = world.workload("outside", [203, 0, 113, 10]).await?;
    let p1 = world.workload("p1", [172, 16, 2, 11]).await?;
    let p2 = world.workload("p2", [172, 16, 2, 12]).await?;
    gateway.vrf(9, 109).port(9, &outside);
    let public: std::net::Ipv6Addr = "2001:db8:113::10".parse()?;
    dual_stack(&mut gateway, 9, &outside, public);
    for net in ["185.22.97.0/24", "2001:db8:97::/64"] {
        gateway.route(9, net, [node.gre(209)]);
    }
    node.vrf(1, 201).vrf(9, 209).port(1, &p1).port(1, &p2);
    for (workload, last) in [(&p1, 11), (&p2, 12)] {
        dual_stack(&mut node, 1, workload, v6(last));
    }
    for net in ["0.0.0.0/0", "::/0"] {
        node.route(9, net, [gateway.gre(109)]);
    }
    gateway.reconcile().await?;
    for workload in [&outside, &p1, &p2] {
        answer_tcp(&workload.namespace, &workload.id.0, 80)?;
        answer_udp(&workload.namespace, &workload.id.0, 53)?;
    }
    let outside_addresses = [outside.address.into(), public.into()];
    Ok(Scene { _gateway: gateway, node, outside, outside_addresses, p1, p2 })
}

/// Both sides open connections, as the other's translated address, and hear of errors.
fn both_ways(pod: &Workload, as_: IpAddr, outside: &Workload, at: IpAddr) -> Result<()> {
    let called = call(&outside.namespace, (as_, 80).into())?;
    ensure!(called.answer.name == pod.id.0 && called.answer.caller.ip() == at);
    called.echo(1 << 20)?;
    ensure!(ask(&outside.namespace, 5000, (as_, 53).into(), 100)?.caller == (at, 5000).into());
    let called = call(&pod.namespace, (at, 80).into())?;
    ensure!(called.answer.caller.ip() == as_, "{:?}", called.answer);
    called.echo(1 << 20)?;
    ensure!(ask(&pod.namespace, 5000, (at, 53).into(), 100)?.caller == (as_, 5000).into());
    for (from, to) in [(outside, as_), (pod, at)] {
        let refused = ask(&from.namespace, 5002, (to, 9).into(), 100).expect_err("nobody listens");
        ensure!(format!("{refused:#}").contains("refused"), "{}: {refused:#}", from.id);
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn an_address_of_one_port_needs_no_flows() -> Result<()> {
    let world = World::new().await?;
    let Scene { mut node, outside, outside_addresses, p1, .. } = scene(&world).await?;
    for own in parse(OWN) {
        put(&mut node, 9, own, floating(&[&p1], true));
    }
    node.reconcile().await?;
    // Without offloads, so that what is captured has whole checksums.
    for workload in [&outside, &p1] {
        workload.namespace.offload_off("eth0").await?;
    }
    let capture = Capture::start(&world.bed, &outside.namespace, "eth0", "ip or ip6").await?;
    let inner = Capture::start(&world.bed, &p1.namespace, "eth0", "ip or ip6").await?;
    for (own, at) in parse(OWN).into_iter().zip(outside_addresses) {
        both_ways(&p1, own, &outside, at)?;
        reaches(&outside.namespace, own).await?;
        reaches(&p1.namespace, at).await?;
    }
    // UDP over IPv4 may have no checksum, and still has none then.
    let client = inside(&outside.namespace, || UdpSocket::bind((outside.address, 7000)))??;
    client.set_read_timeout(Some(CEILING))?;
    raw::send_udp(&outside.namespace, "185.22.97.188".parse()?, raw::datagram(7000, 53, b"none"))?;
    ensure!(client.recv(&mut [0; 128])? > 4);
    ensure!(node.counters().await?.flows == 0, "none");

    // Where all others would leave with the node's address, it is still what the port leaves with.
    node.wanted.node.masquerade_ports = PortRange::new(40_000, 40_999);
    for net in ["0.0.0.0/0", "::/0"] {
        node.route(1, net, [NextHop::Masquerade]);
    }
    node.reconcile().await?;
    for (own, at) in parse(OWN).into_iter().zip(outside_addresses) {
        both_ways(&p1, own, &outside, at)?;
    }
    ensure!(node.counters().await?.flows == 0, "none");
    for capture in [capture, inner] {
        let file = capture.file().display().to_string();
        capture.stop().await?;
        let wrong = wrong_checksum(&outside.namespace, &file).await?;
        ensure!(wrong.is_none(), "{wrong:?}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn of_two_addresses_of_one_port_each_answers_as_itself() -> Result<()> {
    let world = World::new().await?;
    let Scene { mut node, outside, outside_addresses, p1, .. } = scene(&world).await?;
    for own in parse(OWN).into_iter().chain(parse(SECOND)) {
        put(&mut node, 9, own, floating(&[&p1], true));
    }
    node.reconcile().await?;
    for ((own, second), at) in parse(OWN).into_iter().zip(parse(SECOND)).zip(outside_addresses) {
        both_ways(&p1, own, &outside, at)?;
        let called = call(&outside.namespace, (second, 80).into())?;
        called.echo(1 << 20)?;
        ask(&outside.namespace, 5003, (second, 53).into(), 100)?;
        reaches(&outside.namespace, second).await?;
        let refused = ask(&outside.namespace, 5004, (second, 9).into(), 10).expect_err("nobody");
        ensure!(format!("{refused:#}").contains("refused"), "{refused:#}");
    }
    ensure!(node.counters().await?.flows > 0, "the second one has flows");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn clients_that_the_ports_own_vrf_reaches_get_translated_answers_too() -> Result<()> {
    let world = World::new().await?;
    let Scene { mut node, p1, p2, .. } = scene(&world).await?;
    let client = world.workload("client", [172, 16, 3, 13]).await?;
    node.vrf(3, 203).port(3, &client);
    dual_stack(&mut node, 3, &client, v6(13));
    for (own, length) in parse(OWN).into_iter().zip([32, 128]) {
        put(&mut node, 9, own, floating(&[&p1], true));
        // The client's VRF has the address, and the port's has the client.
        let there = NextHop::Translate { vrf: VrfId(9), address: own };
        node.route(3, &format!("{own}/{length}"), [there]);
    }
    let back = || [NextHop::Port(client.id.clone())];
    for vrf in [1, 9] {
        node.route(vrf, "172.16.3.13/32", back()).route(vrf, &format!("{}/128", v6(13)), back());
    }
    node.reconcile().await?;
    for own in parse(OWN) {
        let called = call(&client.namespace, (own, 80).into())?;
        ensure!(called.answer.name == "p1");
        called.echo(1 << 20)?;
        ask(&client.namespace, 5000, (own, 53).into(), 100)?;
        reaches(&client.namespace, own).await?;
    }

    // From address to address on one node, and to its own.
    for (own, second) in parse(OWN).into_iter().zip(parse(SECOND)) {
        put(&mut node, 9, second, floating(&[&p2], true));
        node.reconcile().await?;
        for (from, to, as_) in [(&p1, second, own), (&p2, own, second)] {
            let called = call(&from.namespace, (to, 80).into())?;
            ensure!(called.answer.caller.ip() == as_, "{:?}", called.answer);
            called.echo(1 << 20)?;
            reaches(&from.namespace, to).await?;
        }
        ensure!(call(&p1.namespace, (own, 80).into())?.answer.name == "p1");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn connections_stay_when_an_address_becomes_one_ports_alone() -> Result<()> {
    let world = World::new().await?;
    let Scene { mut node, outside, outside_addresses, p1, p2, .. } = scene(&world).await?;
    for (own, at) in parse(OWN).into_iter().zip(outside_addresses) {
        put(&mut node, 9, own, floating(&[&p1, &p2], false));
        node.reconcile().await?;
        let calls = (0..20).map(|_| call(&outside.namespace, (own, 80).into()));
        let calls = calls.collect::<Result<Vec<_>>>()?;
        let of_p1: Vec<_> = calls.iter().filter(|call| call.answer.name == "p1").collect();
        ensure!(!of_p1.is_empty(), "one of twenty");
        put(&mut node, 9, own, floating(&[&p1], true));
        node.reconcile().await?;
        for call in &of_p1 {
            call.echo(100_000)?;
        }
        both_ways(&p1, own, &outside, at)?;
        // Somebody else announces it for a moment: what the port opened goes on when that is over.
        let called = call(&outside.namespace, (own, 80).into())?;
        put(&mut node, 9, own, floating(&[&p1], false));
        node.reconcile().await?;
        called.echo(100_000)?;
        put(&mut node, 9, own, floating(&[&p1], true));
        node.reconcile().await?;
        called.echo(100_000)?;
    }
    Ok(())
}
