//! Samples and copies of packets.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dataplane::{Direction, Event, Mirroring, TranslationKind};

use crate::world::{CEILING, World};

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn samples_tell_who_talks_to_whom_over_which_node() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    let (to_one, to_two) = (one.gre(101), two.gre(202));
    let floating = [10, 254, 0, 9];
    let kind = TranslationKind::Floating { ports: vec![a.id.clone()], exclusive: true };
    one.vrf(1, 101).port(1, &a).route(1, "172.16.2.0/24", [to_two]).translation(1, floating, kind);
    two.vrf(1, 202).port(1, &b).route(1, "172.16.1.0/24", [to_one.clone()]);
    two.route(1, "10.254.0.9/32", [to_one]);
    one.wanted.node.sample_one_in = 1;
    one.reconcile().await?;
    two.reconcile().await?;
    let mut events = one.events().await?;
    a.reaches(b.address).await?;
    for (direction, source) in [(Direction::Out, a.address), (Direction::In, b.address)] {
        let event = tokio::time::timeout(CEILING, events.next()).await?;
        let Event::Sample(sample) = event else { anyhow::bail!("{event:?}") };
        ensure!((sample.port.clone(), sample.direction) == (a.id.clone(), direction), "{sample:?}");
        ensure!(sample.tuple.source == source && sample.tuple.protocol == 1, "{sample:?}");
        ensure!((sample.length, sample.packets) == (84, 1), "{sample:?}");
        ensure!(sample.remote == Some(IpAddr::V4(two.address)), "{sample:?}");
    }
    // By an address that is translated: seen as the workload sees it.
    b.reaches(floating.into()).await?;
    let event = tokio::time::timeout(CEILING, events.next()).await?;
    let Event::Sample(sample) = event else { anyhow::bail!("{event:?}") };
    ensure!((sample.port.clone(), sample.direction) == (a.id.clone(), Direction::In), "{sample:?}");
    let ends = (sample.tuple.source, sample.tuple.destination);
    ensure!(ends == (b.address.into(), a.address.into()), "{sample:?}");
    let answer = tokio::time::timeout(CEILING, events.next()).await?;
    ensure!(matches!(answer, Event::Sample(_)), "{answer:?}");
    one.wanted.node.sample_one_in = 0;
    one.reconcile().await?;
    a.reaches(b.address).await?;
    let silence = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
    ensure!(silence.is_err(), "{silence:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_mirrored_port_is_copied_in_both_directions_until_it_is_not() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    node.vrf(1, 101).port(1, &a).port(1, &b);
    node.reconcile().await?;
    let mut events = node.events().await?;
    node.mirror(&a.id, Mirroring::On).await?;
    ensure!(node.list().await? == node.wanted, "copying is nothing that is wanted");
    let (answered, text) = a.ping(b.address, &["-s", "1000", "-p", "5a"]).await?;
    ensure!(answered, "{text}");
    for (direction, source) in [(Direction::Out, a.address), (Direction::In, b.address)] {
        let event = tokio::time::timeout(CEILING, events.next()).await?;
        let Event::Mirrored(copy) = event else { anyhow::bail!("{event:?}") };
        ensure!((copy.port.clone(), copy.direction) == (a.id.clone(), direction), "{copy:?}");
        ensure!(copy.length == 1028 && copy.octets.len() == 1028, "{copy:?}");
        ensure!(copy.octets[12..16] == source.octets(), "{copy:?}");
        let last = copy.octets.last().context("octets")?;
        ensure!(*last == 0x5a, "{copy:?}");
    }
    node.mirror(&a.id, Mirroring::Off).await?;
    a.reaches(b.address).await?;
    let silence = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
    ensure!(silence.is_err(), "{silence:?}");
    ensure!(node.mirror(&"nobody".into(), Mirroring::On).await.is_err());
    Ok(())
}
