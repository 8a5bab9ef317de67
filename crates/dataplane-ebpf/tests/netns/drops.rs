//! What is not forwarded, and the reason that is counted for it.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dataplane::{DropReason, NextHop, Protocol};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

use crate::raw;
use crate::services::service;
use crate::world::{CEILING, Node, Workload, World, greeting, inside};

const SERVICE: [u8; 4] = [10, 254, 98, 15];

/// Sends an IP packet of protocol TCP with these octets in the place of a header.
fn send_as_tcp(from: &Workload, to: &Workload, octets: &[u8]) -> Result<()> {
    inside(&from.namespace, || {
        let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::TCP))?;
        sendto(&raw, octets, SendFlags::empty(), &SocketAddrV4::new(to.address, 0))?;
        Ok(())
    })?
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_workload_sends_from_its_own_address_only() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    let far = world.workload("far", [172, 16, 2, 10]).await?;
    one.vrf(1, 101).port(1, &a).port(1, &b).route(1, "172.16.2.0/24", [two.gre(202)]);
    two.vrf(1, 202).port(1, &far).route(1, "172.16.1.0/24", [one.gre(101)]);
    one.reconcile().await?;
    two.reconcile().await?;
    a.reaches(far.address).await?;
    a.namespace.ip("addr add 172.16.9.9/32 dev lo").await?;
    for (sent, to) in (1..).zip([far.address, b.address]) {
        let (answered, text) = a.ping(to, &["-I", "172.16.9.9"]).await?;
        ensure!(!answered, "{text}");
        ensure!(one.drops(DropReason::Spoofed).await? == sent);
    }
    a.namespace.ip("addr add 172.16.1.11/32 dev lo").await?;
    let (answered, text) = a.ping(far.address, &["-I", "172.16.1.11"]).await?;
    ensure!(!answered && one.drops(DropReason::Spoofed).await? == 3, "another port's: {text}");
    let seen = two.counters().await?.ports[&far.id].tx_packets;
    ensure!(seen == 1, "of all that only the ping from its own address has arrived: {seen}");
    Ok(())
}

async fn dropped(node: &Node, reason: DropReason) -> Result<()> {
    let counted = async || {
        ensure!(node.drops(reason).await? > 0, "nothing was dropped");
        Ok(())
    };
    testbed::wait_for(reason.name(), CEILING, counted).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_cannot_be_forwarded_is_counted_by_reason() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let p1 = world.workload("p1", [172, 16, 1, 11]).await?;
    let p2 = world.workload("p2", [172, 16, 1, 12]).await?;
    let web = [(Protocol::Tcp, 80, 80)];
    node.vrf(1, 101).port(1, &a).port(1, &p1).port(1, &p2);
    node.translation(1, SERVICE, service(&web, &[&p1, &p2]));
    node.reconcile().await?;

    send_as_tcp(&a, &p1, b"short")?;
    ensure!(node.drops(DropReason::Malformed).await? == 1);

    let (answered, _) = a.ping([224, 0, 0, 9].into(), &[]).await?;
    ensure!(!answered, "nothing is sent to many");
    dropped(&node, DropReason::Unsupported).await?;

    let fragment = raw::fragment((a.address, SERVICE.into()), 7, 185, &[0; 100]);
    raw::send_packets(&a.namespace, SERVICE.into(), &[fragment])?;
    ensure!(node.drops(DropReason::Fragment).await? == 1, "it came without its first");

    // The backend of a connection goes, and another one keeps the address alive.
    [&p1, &p2].into_iter().try_for_each(|pod| pod.serve(80))?;
    let stream = a.connect(SERVICE.into(), 80)?.context("the service answers")?;
    let (gone, stays) = if greeting(&stream)?.0 == "p1" { (&p1, &p2) } else { (&p2, &p1) };
    node.translation(1, SERVICE, service(&web, &[stays]));
    node.wanted.ports.remove(&gone.id);
    let table = node.wanted.fib.values_mut().next().context("a table")?;
    table.remove(&format!("{}/32", gone.address).parse()?);
    node.reconcile().await?;
    std::io::Write::write_all(&mut &stream, b"is there still somebody?")?;
    dropped(&node, DropReason::PortGone).await?;

    // Without an uplink there is no way into a tunnel.
    node.wanted.node.uplinks.clear();
    let tunnel = node.gre(999);
    node.route(1, "172.16.7.0/24", [tunnel]);
    node.reconcile().await?;
    let (answered, _) = a.ping([172, 16, 7, 1].into(), &[]).await?;
    ensure!(!answered && node.drops(DropReason::Refused).await? == 1);
    Ok(())
}

/// RFC 4443 §2.4 f: a workload that sends nothing but what cannot be forwarded hears of some of it.
#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn icmp_errors_are_few() -> Result<()> {
    const FLOOD: u32 = 5000;
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    node.vrf(1, 101).port(1, &a).route(1, "172.16.2.0/24", [NextHop::Discard]);
    node.reconcile().await?;
    let began = Instant::now();
    inside(&a.namespace, || {
        let socket = UdpSocket::bind((a.address, 5000))?;
        socket.set_ttl(1)?;
        for _ in 0..FLOOD {
            // An error is told by the next call.
            let _told = socket.send_to(b"far", "172.16.2.1:9");
        }
        Ok::<_, std::io::Error>(())
    })??;
    let periods = u32::try_from(began.elapsed().as_millis() / 32)? + 2;
    let cpus = u32::try_from(std::thread::available_parallelism()?.get())?;
    ensure!(node.drops(DropReason::TtlExpired).await? == u64::from(FLOOD));
    let text = a.namespace.run(&["nstat", "-asz", "IcmpInTimeExcds"]).await?;
    let heard = text.split_whitespace().skip_while(|word| *word != "IcmpInTimeExcds").nth(1);
    let heard: u32 = heard.context("nstat says nothing")?.parse()?;
    // 64 from each CPU in a period of 32 ticks, of which there are at most a thousand a second.
    let most = 64 * periods * cpus;
    ensure!((1..=most).contains(&heard), "{heard} errors, at most {most}");
    // Longer than a period, also of a clock with 100 ticks a second.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (_, text) = a.ping([172, 16, 2, 1].into(), &["-t", "1"]).await?;
    ensure!(text.contains("Time to live exceeded"), "{text}");
    Ok(())
}
