//! Packets in several pieces.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dataplane::{DropReason, Encapsulation, Protocol};

use crate::hosts::{answer_udp, ask, dual_stack, v6};
use crate::raw::{self, MORE};
use crate::services::{floating, put, service};
use crate::world::{Node, Workload, World, inside};

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 254, 98, 15);

fn service_v6() -> IpAddr {
    "fd00:5::15".parse().expect("an address")
}

/// Two workloads of both versions, one behind each node.
async fn pair(world: &World, over: Encapsulation) -> Result<(Node, Node, Workload, Workload)> {
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    one.vrf(1, 101).port(1, &a);
    two.vrf(1, 202).port(1, &b);
    dual_stack(&mut one, 1, &a, v6(1));
    dual_stack(&mut two, 1, &b, v6(2));
    let (to_one, to_two) = (one.tunnel(over, 101), two.tunnel(over, 202));
    one.route(1, "0.0.0.0/0", [to_two.clone()]).route(1, "::/0", [to_two]);
    two.route(1, "0.0.0.0/0", [to_one.clone()]).route(1, "::/0", [to_one]);
    answer_udp(&b.namespace, "b", 5353)?;
    Ok((one, two, a, b))
}

async fn large_datagrams_pass(over: Encapsulation) -> Result<()> {
    let world = World::new().await?;
    let (one, mut two, a, b) = pair(&world, over).await?;
    let dns = [(Protocol::Udp, 53, 5353)];
    for address in [SERVICE.into(), service_v6()] {
        put(&mut two, 1, address, service(&dns, &[&b]));
    }
    one.reconcile().await?;
    two.reconcile().await?;
    let own = [a.address.into(), IpAddr::V6(v6(1))];
    for octets in [8000, 60_000] {
        for (to, own) in [b.address.into(), IpAddr::V6(v6(2))].into_iter().zip(own) {
            let caller = ask(&a.namespace, 5000, (to, 5353).into(), octets)?.caller;
            ensure!(caller == (own, 5000).into(), "{caller}");
        }
        for (to, own) in [SERVICE.into(), service_v6()].into_iter().zip(own) {
            let caller = ask(&a.namespace, 5001, (to, 53).into(), octets)?.caller;
            ensure!(caller == (own, 5001).into(), "{caller}");
        }
    }
    for node in [&one, &two] {
        let drops = node.counters().await?.drops;
        ensure!(drops.is_empty(), "{}: {drops:?}", node.name);
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn large_datagrams_pass_gre_and_a_service() -> Result<()> {
    large_datagrams_pass(Encapsulation::MplsOverGre).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn large_datagrams_pass_udp_and_a_service() -> Result<()> {
    large_datagrams_pass(Encapsulation::MplsOverUdp).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn large_datagrams_pass_vxlan_and_a_service() -> Result<()> {
    large_datagrams_pass(Encapsulation::Vxlan).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn fragments_of_many_flows_go_where_their_first_went() -> Result<()> {
    let world = World::new().await?;
    let (one, mut two, a, b) = pair(&world, Encapsulation::MplsOverGre).await?;
    let c = world.workload("c", [172, 16, 2, 11]).await?;
    two.port(1, &c);
    dual_stack(&mut two, 1, &c, v6(3));
    answer_udp(&c.namespace, "c", 5353)?;
    let dns = [(Protocol::Udp, 53, 5353)];
    let shared: IpAddr = "185.22.97.188".parse()?;
    put(&mut two, 1, SERVICE.into(), service(&dns, &[&b, &c]));
    put(&mut two, 1, service_v6(), service(&dns, &[&b, &c]));
    put(&mut two, 1, shared, floating(&[&b, &c], false));
    one.reconcile().await?;
    two.reconcile().await?;
    for (to, port) in [(SERVICE.into(), 53), (service_v6(), 53), (shared, 5353)] {
        for n in 0..10 {
            // The first packet decides, in pieces or not; the others follow it.
            let sizes = if n % 2 == 0 { [100, 8000, 100] } else { [8000, 100, 8000] };
            let name = ask(&a.namespace, 5000 + n, (to, port).into(), sizes[0])?.name;
            for octets in &sizes[1..] {
                let again = ask(&a.namespace, 5000 + n, (to, port).into(), *octets)?.name;
                ensure!(again == name, "{to} {n}: {name}, then {again}");
            }
        }
    }
    ensure!(two.counters().await?.drops.is_empty());
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_later_fragment_alone_is_dropped_only_where_its_ports_are_needed() -> Result<()> {
    let world = World::new().await?;
    let (one, mut two, a, b) = pair(&world, Encapsulation::MplsOverGre).await?;
    let own: Ipv4Addr = [185, 22, 97, 188].into();
    put(&mut two, 1, SERVICE.into(), service(&[(Protocol::Udp, 53, 5353)], &[&b]));
    put(&mut two, 1, own.into(), floating(&[&b], false));
    one.reconcile().await?;
    two.reconcile().await?;
    let seen = async || -> Result<u64> {
        Ok(two.counters().await?.ports.get(&b.id).context("the port")?.tx_packets)
    };
    for (to, passes) in [(b.address, true), (own, true), (SERVICE, false)] {
        let before = seen().await?;
        let alone = raw::fragment((a.address, to), 99, 1, &[0; 64]);
        raw::send_packets(&a.namespace, to, &[alone])?;
        ensure!(seen().await? == before + u64::from(passes), "{to}");
    }
    ensure!(two.drops(DropReason::Fragment).await? == 1);

    // Pieces in the wrong order: what came too early is lost, so is the datagram, and nothing else.
    let (mut first, last) = (raw::datagram(5000, 53, &[0; 24]), vec![0; 16]);
    first[4..6].copy_from_slice(&48u16.to_be_bytes());
    let first = raw::fragment((a.address, SERVICE), 100, MORE, &first);
    let last = raw::fragment((a.address, SERVICE), 100, 4, &last);
    let client = inside(&a.namespace, || UdpSocket::bind((a.address, 5000)))??;
    client.set_read_timeout(Some(Duration::from_millis(500)))?;
    raw::send_packets(&a.namespace, SERVICE, &[last.clone(), first.clone()])?;
    ensure!(client.recv(&mut [0; 128]).is_err());
    ensure!(two.drops(DropReason::Fragment).await? == 2);
    raw::send_packets(&a.namespace, SERVICE, &[last])?;
    ensure!(client.recv(&mut [0; 128]).is_ok(), "the last one again makes it whole");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn fragments_reach_an_address_that_is_one_ports_alone_and_leave_with_it() -> Result<()> {
    let world = World::new().await?;
    let (mut gateway, mut node) = (world.node(1).await?, world.node(2).await?);
    let outside = world.workload("outside", [203, 0, 113, 10]).await?;
    let pod = world.workload("pod", [172, 16, 2, 11]).await?;
    let own: IpAddr = "185.22.97.188".parse()?;
    gateway.vrf(9, 109).port(9, &outside).route(9, "185.22.97.0/24", [node.gre(209)]);
    node.vrf(1, 201).vrf(9, 209).port(1, &pod).route(9, "0.0.0.0/0", [gateway.gre(109)]);
    put(&mut node, 9, own, floating(&[&pod], true));
    gateway.reconcile().await?;
    node.reconcile().await?;
    answer_udp(&pod.namespace, "pod", 53)?;
    answer_udp(&outside.namespace, "outside", 53)?;
    ensure!(ask(&outside.namespace, 5000, (own, 53).into(), 8000)?.name == "pod");
    let answer = ask(&pod.namespace, 5000, (outside.address, 53).into(), 8000)?;
    ensure!(answer.caller == (own, 5000).into());
    ensure!(node.counters().await?.flows == 0, "no flow was needed");
    Ok(())
}
