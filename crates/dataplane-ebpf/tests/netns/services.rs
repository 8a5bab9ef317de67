//! Service and floating addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use dataplane::{Backend, DropReason, NextHop, Protocol, Translation, TranslationKind, VrfId};

use testbed::Capture;

use crate::world::{CEILING, Node, Workload, World, echo, greeting};

const SERVICE: [u8; 4] = [10, 254, 98, 15];
const FLOATING: [u8; 4] = [185, 22, 97, 188];

pub(crate) fn service(ports: &[(Protocol, u16, u16)], backends: &[&Workload]) -> TranslationKind {
    let to = |target_port| {
        let backend = |workload: &&Workload| Backend { port: workload.id.clone(), target_port };
        backends.iter().map(backend).collect()
    };
    let ports = ports.iter().map(|(protocol, port, target)| ((*protocol, *port), to(*target)));
    TranslationKind::Service { ports: ports.collect::<BTreeMap<_, _>>(), affinity: None }
}

pub(crate) fn floating(holders: &[&Workload], exclusive: bool) -> TranslationKind {
    let ports = holders.iter().map(|workload| workload.id.clone()).collect();
    TranslationKind::Floating { ports, exclusive }
}

/// An address of either version that is on no interface, and the route to it.
pub(crate) fn put(node: &mut Node, vrf: u32, address: IpAddr, kind: TranslationKind) {
    node.wanted.translations.insert((VrfId(vrf), address), Translation { kind });
    let length = if address.is_ipv4() { 32 } else { 128 };
    node.route(
        vrf,
        &format!("{address}/{length}"),
        [NextHop::Translate { vrf: VrfId(vrf), address }],
    );
}

const BOTH: [(Protocol, u16, u16); 2] = [(Protocol::Tcp, 80, 8080), (Protocol::Udp, 53, 5353)];

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_service_is_spread_over_its_backends_with_its_ports_mapped() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let client = world.workload("client", [172, 16, 1, 10]).await?;
    let p1 = world.workload("p1", [172, 16, 2, 11]).await?;
    let p2 = world.workload("p2", [172, 16, 2, 12]).await?;
    let to_two = two.gre(202);
    one.vrf(1, 101).port(1, &client).route(1, "10.254.98.15/32", [to_two.clone()]);
    one.route(1, "172.16.2.0/24", [to_two]);
    two.vrf(2, 202).port(2, &p1).port(2, &p2).route(2, "172.16.1.0/24", [one.gre(101)]);
    two.translation(2, SERVICE, service(&BOTH, &[&p1, &p2]));
    one.reconcile().await?;
    two.reconcile().await?;
    for pod in [&p1, &p2] {
        pod.serve(8080)?;
        pod.serve_udp(5353)?;
    }

    let mut seen = BTreeSet::new();
    for n in 0..20 {
        let stream = client.connect(SERVICE.into(), 80)?.context("the service answers")?;
        let (who, caller) = greeting(&stream)?;
        ensure!(caller == client.address, "it saw {caller}");
        echo(stream, 100_000)?;
        seen.insert(who);
        let (who, caller) = client.ask_udp(20_000 + n, SERVICE.into(), 53)?;
        ensure!(caller == client.address);
        seen.insert(format!("{who} udp"));
    }
    ensure!(seen.len() == 4, "{seen:?}");
    // Its port is another than the one that was called; so must be what the error quotes.
    two.translation(2, [10, 254, 98, 16], service(&[(Protocol::Udp, 9, 99)], &[&p1]));
    one.route(1, "10.254.98.16/32", [two.gre(202)]);
    one.reconcile().await?;
    two.reconcile().await?;
    let refused = client.ask_udp(26_000, [10, 254, 98, 16].into(), 9).expect_err("nobody listens");
    ensure!(format!("{refused:#}").contains("refused"), "{refused:#}");
    // The backends' own addresses are untouched by it.
    ensure!(client.call(p1.address, 8080)?.0 == "p1");
    ensure!(client.ask_udp(30_000, p2.address, 5353)?.0 == "p2");

    ensure!(client.connect(SERVICE.into(), 81)?.is_none());
    ensure!(two.drops(DropReason::NoBackend).await? > 0);
    ensure!(two.counters().await?.flows > 0);

    // A connection outlives the readiness of its backend; new ones go to the other.
    let stream = client.connect(SERVICE.into(), 80)?.context("the service answers")?;
    let (who, _) = greeting(&stream)?;
    let other = if who == "p1" { &p2 } else { &p1 };
    let source_port = (20_000..20_020)
        .find(|port| client.ask_udp(*port, SERVICE.into(), 53).is_ok_and(|(udp, _)| udp == who))
        .context("a UDP flow to the same backend")?;
    two.translation(2, SERVICE, service(&BOTH, &[other]));
    two.reconcile().await?;
    echo(stream, 100_000)?;
    ensure!(client.ask_udp(source_port, SERVICE.into(), 53)?.0 == other.id.0, "UDP never ends");
    for _ in 0..5 {
        ensure!(client.call(SERVICE.into(), 80)?.0 == other.id.0);
    }
    two.translation(2, SERVICE, service(&BOTH, &[]));
    two.reconcile().await?;
    ensure!(client.connect(SERVICE.into(), 80)?.is_none());
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn clients_on_the_backends_node_reach_the_service_even_the_backend_itself() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let pod = world.workload("pod", [172, 16, 2, 11]).await?;
    let neighbour = world.workload("neighbour", [172, 16, 2, 12]).await?;
    let foreign = world.workload("foreign", [172, 16, 3, 13]).await?;
    node.vrf(2, 202).vrf(3, 203).port(2, &pod).port(2, &neighbour).port(3, &foreign);
    node.translation(2, SERVICE, service(&BOTH, &[&pod]));
    // The service's network is imported by the client's, and the client's address by the service's.
    let there = NextHop::Translate { vrf: VrfId(2), address: SERVICE.into() };
    node.route(3, "10.254.98.15/32", [there]);
    node.route(2, "172.16.3.13/32", [NextHop::Port(foreign.id.clone())]);
    node.reconcile().await?;
    pod.serve(8080)?;
    pod.serve_udp(5353)?;

    for client in [&neighbour, &foreign] {
        let stream = client.connect(SERVICE.into(), 80)?.context("the service answers")?;
        ensure!(greeting(&stream)? == ("pod".to_owned(), client.address));
        echo(stream, 1 << 20)?;
        ensure!(client.ask_udp(20_000, SERVICE.into(), 53)?.1 == client.address);
    }
    // Its own address from outside would be dropped, so it sees the service call.
    let stream = pod.connect(SERVICE.into(), 80)?.context("the service answers itself")?;
    ensure!(greeting(&stream)? == ("pod".to_owned(), Ipv4Addr::from(SERVICE)));
    echo(stream, 1 << 20)?;
    ensure!(pod.ask_udp(20_000, SERVICE.into(), 53)?.0 == "pod");
    // What the client's own VRF imports is the service, not the backends.
    ensure!(foreign.connect(pod.address, 8080)?.is_none());
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_floating_address_of_several_serves_inbound_and_one_of_its_own_also_outbound()
-> Result<()> {
    let world = World::new().await?;
    let (mut gateway, mut node) = (world.node(1).await?, world.node(2).await?);
    let outside = world.workload("outside", [203, 0, 113, 10]).await?;
    let p1 = world.workload("p1", [172, 16, 2, 11]).await?;
    let p2 = world.workload("p2", [172, 16, 2, 12]).await?;
    gateway.vrf(9, 109).port(9, &outside).route(9, "185.22.97.0/24", [node.gre(209)]);
    // Only the public VRF knows the way out; the pods' own does not.
    node.vrf(1, 201).vrf(9, 209).port(1, &p1).port(1, &p2);
    node.route(9, "0.0.0.0/0", [gateway.gre(109)]);
    node.translation(9, FLOATING, floating(&[&p1, &p2], false));
    gateway.reconcile().await?;
    node.reconcile().await?;
    for pod in [&p1, &p2] {
        pod.serve(80)?;
        pod.serve_udp(53)?;
    }
    outside.serve(80)?;
    outside.serve_udp(53)?;

    let mut seen = BTreeSet::new();
    for n in 0..20 {
        let stream = outside.connect(FLOATING.into(), 80)?.context("somebody answers")?;
        let (who, caller) = greeting(&stream)?;
        ensure!(caller == outside.address);
        echo(stream, 100_000)?;
        seen.insert(who);
        ensure!(outside.ask_udp(20_000 + n, FLOATING.into(), 53)?.1 == outside.address);
    }
    ensure!(seen.len() == 2, "{seen:?}");
    outside.reaches(FLOATING.into()).await?;
    // Which of the two would get the answer? So their own connections are not translated.
    let (answered, text) = p1.ping(outside.address, &[]).await?;
    ensure!(!answered && text.contains("Net Unreachable"), "{text}");

    let own = [185, 22, 97, 200];
    node.translation(9, own, floating(&[&p1], true));
    node.reconcile().await?;
    ensure!(p1.call(outside.address, 80)? == ("outside".to_owned(), Ipv4Addr::from(own)));
    ensure!(p1.ask_udp(20_000, outside.address, 53)?.1 == Ipv4Addr::from(own));
    p1.reaches(outside.address).await?;
    let stream = p1.connect(outside.address, 80)?.context("outside answers")?;
    greeting(&stream)?;
    echo(stream, 1 << 20)?;
    ensure!(p2.connect(outside.address, 80)?.is_none());
    // Both addresses of p1 answer as themselves.
    ensure!(outside.call(own.into(), 80)?.0 == "p1");
    outside.reaches(FLOATING.into()).await?;
    // ICMP errors come with the addresses that their receiver knows.
    let capture = Capture::start(&world.bed, &outside.namespace, "eth0", "icmp").await?;
    for (caller, to) in [(&outside, own.into()), (&p1, outside.address)] {
        let refused = caller.ask_udp(26_000, to, 9).expect_err("nobody listens");
        ensure!(format!("{refused:#}").contains("refused"), "{}: {refused:#}", caller.id);
    }
    let both = async || {
        let seen = capture.packets()?.len();
        ensure!(seen == 2, "{seen} errors");
        Ok(())
    };
    world.bed.wait_for("both errors are seen", CEILING, both).await?;
    let errors = capture.stop().await?;
    ensure!(errors.len() == 2 && errors.iter().any(|error| error.source == Ipv4Addr::from(own)));
    // From the floating address of one to that of the other, on one node.
    let second = [185, 22, 97, 201];
    node.translation(9, second, floating(&[&p2], true));
    node.reconcile().await?;
    ensure!(p1.call(second.into(), 80)? == ("p2".to_owned(), Ipv4Addr::from(own)));

    // An address that becomes another port's does so at once.
    ensure!(outside.ask_udp(25_000, own.into(), 53)?.0 == "p1");
    node.translation(9, own, floating(&[&p2], true));
    node.reconcile().await?;
    ensure!(outside.ask_udp(25_000, own.into(), 53)?.0 == "p2");

    node.wanted.translations.remove(&(VrfId(9), own.into()));
    node.wanted.fib.get_mut(&VrfId(9)).map(|table| table.remove(&"185.22.97.200/32".parse().ok()?));
    node.reconcile().await?;
    let (answered, _) = p1.ping(outside.address, &[]).await?;
    ensure!(!answered);
    ensure!(p2.call(outside.address, 80)?.1 == Ipv4Addr::from(second));
    Ok(())
}
