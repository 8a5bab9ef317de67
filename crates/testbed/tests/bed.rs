//! What a bed promises: runs do not meet, and nothing is left behind.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::packet::Payload;
use testbed::{Bed, Capture, Fabric, Pings, Process, sweep};

const ONE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn two_runs_with_the_same_names_and_addresses_do_not_meet() -> Result<()> {
    let (left, right) = (Bed::new("arcus-test")?, Bed::new("arcus-test")?);
    let fabric = right.fabric().await?;
    let silent = fabric.node(&right, "one", ONE).await?;
    let capture = Capture::start(&right, fabric.namespace(), &Fabric::port("one"), "icmp").await?;

    let fabric = left.fabric().await?;
    let one = fabric.node(&left, "one", ONE).await?;
    fabric.node(&left, "other", OTHER).await?;
    let report = Pings::start(&left, &one, OTHER, 200, MILLISECOND)?.finish().await?;

    assert_eq!((report.sent, report.lost), (200, vec![]));
    assert_eq!(capture.stop().await?, []);
    assert!(silent.run(&["ping", "-c1", "-W1", "10.0.0.2"]).await.is_err());
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_cable_that_is_cut_for_a_moment_loses_exactly_the_pings_of_that_moment() -> Result<()> {
    let bed = Bed::new("arcus-test")?;
    let fabric = bed.fabric().await?;
    let one = fabric.node(&bed, "one", ONE).await?;
    fabric.node(&bed, "other", OTHER).await?;
    let capture = Capture::start(&bed, fabric.namespace(), &Fabric::port("other"), "icmp").await?;
    let pings = Pings::start(&bed, &one, OTHER, 1000, MILLISECOND)?;
    answered(&bed, &pings, 100).await?;
    let port = Fabric::port("other");
    fabric.namespace().ip(&format!("link set dev {port} down")).await?;
    fabric.namespace().ip(&format!("link set dev {port} up")).await?;
    let report = pings.finish().await?;
    ensure!(!report.lost.is_empty() && report.lost.len() < 900, "lost {:?}", report.lost);
    ensure!(report.lost.iter().all(|number| *number > 100), "lost {:?}", report.lost);
    let packets = capture.packets()?;
    ensure!(packets.iter().any(|p| p.source == OTHER && p.payload == plain()), "{packets:?}");
    Ok(())
}

fn plain() -> Payload {
    Payload::Plain { source_port: 0, destination_port: 0 }
}

async fn answered(bed: &Bed, pings: &Pings, count: usize) -> Result<()> {
    bed.wait_for("the first pings are answered", Duration::from_secs(10), async || {
        ensure!(pings.answered() >= count, "{} are", pings.answered());
        Ok(())
    })
    .await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_run_that_was_left_is_swept_with_all_that_runs_in_it() -> Result<()> {
    let bed = Bed::new("arcus-test")?;
    let namespace = bed.namespace("workload").await?;
    // One that does not listen to SIGTERM, in a group with a child.
    let script = "trap '' TERM; sleep 1000 & wait; sleep 1000";
    let stubborn = bed.start(&namespace, "stubborn", "sh", ["-c", script])?;
    let pid = stubborn.pid();
    let pins = Path::new("/run").join(format!("{}-pins", bed.prefix()));
    std::fs::create_dir_all(pins.join("v1"))?;
    bed.remove_at_end(&pins)?;
    let run_dir = bed.leave_running();
    drop::<Process>(stubborn);
    ensure!(namespace.path().exists() && is_running(pid), "it was left running");

    sweep(&run_dir)?;

    ensure!(!is_running(pid), "{pid} still runs");
    ensure!(!namespace.path().exists() && !pins.exists() && !run_dir.exists(), "paths are left");
    Ok(())
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, fields)| !fields.starts_with(" Z"))
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_failure_shows_the_end_of_every_log() -> Result<()> {
    let bed = Bed::new("arcus-test")?;
    let namespace = bed.namespace("workload").await?;
    let mut talker = bed.start(&namespace, "talker", "echo", ["the reason"])?;
    talker.wait_ok(Duration::from_secs(5)).await?;
    let late: Result<()> =
        bed.wait_for("a miracle", MILLISECOND, async || anyhow::bail!("no miracle yet")).await;
    let text = format!("{:#}", late.expect_err("it does not come"));
    assert!(text.contains("--- talker\nthe reason") && text.contains("no miracle yet"), "{text}");
    Ok(())
}
