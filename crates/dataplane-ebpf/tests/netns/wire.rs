//! What is on the wire, as tshark sees it: real frames of TCP in both directions, each checksum of them.

use anyhow::{Context as _, Result, ensure};
use dataplane::Encapsulation;
use testbed::{Capture, Fabric, tunnel_frames};

use crate::merging::frames_are_real;
use crate::world::{CEILING, Pair, World, echo, greeting};

/// Each way; few enough for the buffer of who captures.
const OCTETS: u64 = 200_000;

async fn frames_are(protocols: &str, encapsulation: Encapsulation) -> Result<()> {
    let world = World::new().await?;
    let Pair { one, two, a, b } = world.pair_over(encapsulation).await?;
    for node in [&one, &two] {
        frames_are_real(&world, node).await?;
    }
    b.serve(80)?;
    let (fabric, port) = (world.fabric.namespace(), Fabric::port("node2"));
    let capture = Capture::start(&world.bed, fabric, &port, "not arp and not igmp").await?;
    let stream = a.connect(b.address, 80)?.context("b answers")?;
    greeting(&stream)?;
    echo(stream, usize::try_from(OCTETS)?)?;
    let file = capture.file().to_owned();
    let is_written = async || {
        let octets = std::fs::metadata(&file)?.len();
        ensure!(octets > 2 * OCTETS, "{octets} octets");
        Ok(())
    };
    world.bed.wait_for("all frames are captured", CEILING, is_written).await?;
    capture.stop().await?;

    let frames = tunnel_frames(fabric, &file).await?;
    // What it takes the octets of TCP for comes behind.
    let other = frames.iter().find(|frame| !frame.protocols.starts_with(protocols));
    ensure!(other.is_none(), "{other:?} is not {protocols}");
    let octets: u64 = frames.iter().filter_map(|frame| frame.tcp_octets).sum();
    // The last ones may not have been waited for.
    ensure!(octets > OCTETS * 3 / 2, "{octets} octets in {} frames", frames.len());
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn mpls_over_gre_is_what_tshark_takes_for_it() -> Result<()> {
    frames_are("eth:ethertype:ip:gre:mpls:ip:tcp", Encapsulation::MplsOverGre).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn mpls_over_udp_is_what_tshark_takes_for_it() -> Result<()> {
    frames_are("eth:ethertype:ip:udp:mpls:ip:tcp", Encapsulation::MplsOverUdp).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn vxlan_is_what_tshark_takes_for_it() -> Result<()> {
    frames_are("eth:ethertype:ip:udp:vxlan:eth:ethertype:ip:tcp", Encapsulation::Vxlan).await
}
