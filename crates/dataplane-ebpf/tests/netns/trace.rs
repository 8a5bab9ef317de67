//! What a synthetic packet meets.

use std::net::Ipv4Addr;

use anyhow::{Result, bail, ensure};
use dataplane::{
    DropReason, Encapsulation, NextHop, Outcome, PortRange, Probe, Step, TranslationKind, VrfId,
};

use crate::world::{Workload, World};

/// A TCP SYN from port 4000.
fn syn(from: Ipv4Addr, to: Ipv4Addr, port: u16, ttl: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, ttl, 6, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    let sum: u32 = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded");
    packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
    packet.extend(4000u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend([0; 8]);
    packet.extend([0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    packet
}

fn from(workload: &Workload, to: [u8; 4], ttl: u8) -> Probe {
    let packet = syn(workload.address, to.into(), 80, ttl);
    Probe::FromPort { port: workload.id.clone(), packet }
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_trace_names_each_table_and_leaves_nothing_behind() -> Result<()> {
    let world = World::new().await?;
    let (mut one, two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    let floating = [10, 254, 0, 9];
    let kind = TranslationKind::Floating { ports: vec![b.id.clone()], exclusive: true };
    let to_two = two.vxlan(202);
    one.vrf(1, 101).port(1, &a).port(1, &b).route(1, "172.16.2.0/24", [to_two]);
    one.translation(1, floating, kind);
    one.reconcile().await?;
    let before = one.counters().await?;

    let trace = one.trace(from(&a, [172, 16, 1, 11], 64)).await?;
    ensure!(trace.outcome == Outcome::Delivered { port: b.id.clone() }, "{trace:?}");
    let routed = |to: [u8; 4]| Step::Routed { vrf: VrfId(1), address: to.into(), members: Some(1) };
    let chosen = Step::Chosen { hop: NextHop::Port(b.id.clone()) };
    ensure!(trace.steps == [routed([172, 16, 1, 11]), chosen], "{trace:?}");
    ensure!(trace.packet[8] == 63, "one hop older: {:?}", trace.packet);

    let trace = one.trace(from(&a, [172, 16, 2, 10], 64)).await?;
    ensure!(trace.outcome == Outcome::Sent { interface: testbed::UPLINK.to_owned() }, "{trace:?}");
    let end = Step::Encapsulated {
        remote: two.address.into(),
        encapsulation: Encapsulation::Vxlan,
        id: 202,
    };
    ensure!(trace.steps.last() == Some(&end), "{trace:?}");
    ensure!(trace.packet.len() == 40 + 50, "the outer headers are on it: {trace:?}");

    let trace = one.trace(from(&a, floating, 64)).await?;
    ensure!(trace.outcome == Outcome::Delivered { port: b.id.clone() }, "{trace:?}");
    let is_translated = |step: &Step| matches!(step, Step::Translated { tuple } if tuple.destination == Ipv4Addr::from([172, 16, 1, 11]));
    ensure!(trace.steps.iter().any(is_translated), "{trace:?}");

    let trace = one.trace(from(&a, [192, 0, 2, 1], 64)).await?;
    ensure!(trace.outcome == Outcome::Answered { dropped: Some(DropReason::NoRoute) }, "{trace:?}");
    let spoofed =
        Probe::FromPort { port: a.id.clone(), packet: syn([1, 2, 3, 4].into(), b.address, 80, 64) };
    let trace = one.trace(spoofed).await?;
    ensure!(trace.outcome == Outcome::Dropped { reason: DropReason::Spoofed }, "{trace:?}");
    let garbage = Probe::FromPort { port: a.id.clone(), packet: vec![0; 20] };
    ensure!(one.trace(garbage).await.is_err());

    let after = one.counters().await?;
    ensure!(after == before, "nothing is counted or remembered: {before:?} {after:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_trace_says_how_a_packet_leaves_its_network() -> Result<()> {
    let world = World::new().await?;
    let (mut one, two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 3, 10]).await?;
    let floating = [10, 254, 0, 9];
    let kind = TranslationKind::Floating { ports: vec![b.id.clone()], exclusive: true };
    one.wanted.node.masquerade_ports = PortRange::new(40_000, 40_999);
    one.vrf(1, 101).port(1, &a).route(1, "0.0.0.0/0", [NextHop::Masquerade]);
    one.vrf(2, 102).vrf(3, 103).port(3, &b).route(2, "0.0.0.0/0", [two.gre(202)]);
    one.translation(2, floating, kind);
    one.reconcile().await?;
    let outside = [192, 0, 2, 1];
    let chosen = |hop| Step::Chosen { hop };
    let routed = |vrf| Step::Routed { vrf: VrfId(vrf), address: outside.into(), members: Some(1) };
    let left = |source: Ipv4Addr, vrf| Step::Left { source: source.into(), vrf };

    let trace = one.trace(from(&a, outside, 64)).await?;
    ensure!(trace.outcome == Outcome::Sent { interface: testbed::UPLINK.to_owned() }, "{trace:?}");
    let way = [routed(1), chosen(NextHop::Masquerade), left(one.address, None)];
    ensure!(trace.steps.starts_with(&way), "{trace:?}");
    let Some(Step::Translated { tuple }) = trace.steps.last() else { bail!("{trace:?}") };
    ensure!(tuple.source == one.address && (40_000..41_000).contains(&tuple.source_port));
    ensure!(trace.packet.len() == 40, "no outer header: {trace:?}");
    ensure!(trace.packet[12..16] == one.address.octets(), "{trace:?}");

    let trace = one.trace(from(&b, outside, 64)).await?;
    let nowhere = Step::Routed { vrf: VrfId(3), address: outside.into(), members: None };
    let public = left(floating.into(), Some(VrfId(2)));
    let way = [nowhere, routed(2), public, chosen(two.gre(202))];
    ensure!(trace.steps.starts_with(&way), "{trace:?}");
    ensure!(matches!(trace.steps.last(), Some(Step::Encapsulated { id: 202, .. })), "{trace:?}");
    ensure!(trace.packet[28 + 12..28 + 16] == floating, "{trace:?}");
    Ok(())
}
