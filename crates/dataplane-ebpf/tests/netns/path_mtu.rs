//! Packets that do not fit, and segments that do.

use anyhow::{Context as _, Result, ensure};
use dataplane::{DropReason, Encapsulation};
use testbed::{Capture, Fabric, UPLINK};

use crate::world::{Node, Pair, Workload, World, echo, greeting};

/// The MTU of an underlay that changes below running planes; they see it at their next look.
async fn set_underlay_mtu<const N: usize>(nodes: [&Node; N], mtu: u32) -> Result<()> {
    for node in nodes {
        node.namespace.ip(&format!("link set dev {UPLINK} mtu {mtu}")).await?;
        ensure!(node.list().await? == node.wanted);
    }
    Ok(())
}

/// The segment size that the kernel inside uses towards its peer on port 80.
async fn segment_size(workload: &Workload) -> Result<u32> {
    let text = workload.namespace.run(&["ss", "-Htin"]).await?;
    let word = text.split_whitespace().find_map(|word| word.strip_prefix("mss:"));
    Ok(word.with_context(|| text.clone())?.parse()?)
}

async fn too_big_packets_are_answered(over: Encapsulation, overhead: u32) -> Result<()> {
    let world = World::new().await?;
    let Pair { one, two, a, b } = world.pair_over(over).await?;
    b.serve(80)?;
    let stream = a.connect(b.address, 80)?.context("b answers")?;
    greeting(&stream)?;

    set_underlay_mtu([&one, &two], 1400).await?;
    let fits = 1400 - overhead;
    let payload = |length: u32| (length - 28).to_string();
    let (_, text) = a.ping(b.address, &["-M", "do", "-s", &payload(fits + 1)]).await?;
    ensure!(text.contains("From 172.16.1.1"), "{text}");
    ensure!(text.contains(&format!("mtu = {fits}")), "{text}");
    ensure!(one.drops(DropReason::TooBig).await? == 1);
    let (answered, text) = a.ping(b.address, &["-M", "do", "-s", &payload(fits)]).await?;
    ensure!(answered, "{text}");

    // A connection that was opened before shrinks its segments.
    a.namespace.ip("route flush cache").await?;
    echo(stream, 1 << 20)?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_packet_too_big_for_gre_is_answered_with_the_mtu() -> Result<()> {
    too_big_packets_are_answered(Encapsulation::MplsOverGre, 28).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_packet_too_big_for_udp_is_answered_with_the_mtu() -> Result<()> {
    too_big_packets_are_answered(Encapsulation::MplsOverUdp, 32).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn segments_are_clamped_to_what_fits_in_both_directions() -> Result<()> {
    let world = World::new().await?;
    let Pair { one, two: _two, a, b } = world.pair_over(Encapsulation::MplsOverGre).await?;
    b.serve(80)?;
    // Timestamps take 12 octets of each segment.
    let before = a.connect(b.address, 80)?.context("b answers")?;
    greeting(&before)?;
    ensure!(segment_size(&a).await? == 1450 - 40 - 12);
    drop(before);

    // Only one of the nodes knows, so it must clamp what goes and what comes.
    set_underlay_mtu([&one], 1300).await?;
    let stream = a.connect(b.address, 80)?.context("b answers")?;
    greeting(&stream)?;
    for workload in [&a, &b] {
        let size = segment_size(workload).await?;
        ensure!(size == 1300 - 28 - 40 - 12, "{}: {size}", workload.id);
    }
    echo(stream, 1 << 20)?;
    ensure!(one.drops(DropReason::TooBig).await? == 0, "nothing was ever too big");
    Ok(())
}

/// A real underlay, and Open vSwitch in user space, see frames of their real size, with whole checksums.
async fn without_offloads_frames_are_right(over: Encapsulation) -> Result<()> {
    let world = World::new().await?;
    let Pair { one, two, a, b } = world.pair_over(over).await?;
    b.serve(80)?;
    for node in [&one, &two] {
        node.namespace.offload_off(UPLINK).await?;
        world.fabric.namespace().offload_off(&Fabric::port(&node.name)).await?;
    }
    let wire = Fabric::port("node2");
    let capture = Capture::start(&world.bed, world.fabric.namespace(), &wire, "ip").await?;
    let stream = a.connect(b.address, 80)?.context("b answers")?;
    greeting(&stream)?;
    echo(stream, 1 << 20)?;
    let file = capture.file().display().to_string();
    let packets = capture.stop().await?;
    ensure!(packets.iter().all(|packet| packet.length <= 1500));
    ensure!(packets.iter().any(|packet| packet.length > 1450), "full frames");
    let text = a.namespace.run(&["tcpdump", "-nvvr", &file]).await?;
    ensure!(text.contains("(correct)") && !text.contains("incorrect"), "see {file}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn without_offloads_gre_frames_are_cut_and_summed_right() -> Result<()> {
    without_offloads_frames_are_right(Encapsulation::MplsOverGre).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn without_offloads_udp_frames_are_cut_and_summed_right() -> Result<()> {
    without_offloads_frames_are_right(Encapsulation::MplsOverUdp).await
}
