//! Whether a node lives: control nodes ask its data plane (RFC 9747), which is not its agent.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arcus_api::v1::{BfdState, Neighbor, SessionState, VrfRoute};
use interop_tests::proofs::{self, Encapsulation};
use interop_tests::traffic::{nothing_lost, pings};
use interop_tests::{Federation, SILENT, scene};
use testbed::{Bed, Fabric};
use tokio::time::Instant;

const CEILING: Duration = Duration::from_secs(30);
const CONTROL_NODES: [&str; 2] = ["k8s-ctl-1", "k8s-ctl-2"];
const VICTIM: &str = "k8s-node-2";

async fn raise() -> Result<Federation> {
    let bed = Bed::fresh("arcus-test")?;
    let topology = Encapsulation::MplsOverGre.topology()?;
    let federation = Federation::raise(bed, &topology, SILENT).await?;
    federation.wait_for_sessions().await?;
    proofs::nginx_reaches_leonardo_by_its_service(&federation).await?;
    for name in CONTROL_NODES {
        seen_by(&federation, name, "answers", is_alive).await?;
    }
    Ok(federation)
}

fn victim() -> Result<IpAddr> {
    let found = scene::NODES.iter().find(|node| node.name == VICTIM);
    Ok(found.context("a node")?.address.into())
}

/// What a control node knows of the victim, once it is as told.
async fn seen_by(
    federation: &Federation,
    name: &str,
    what: &str,
    is_so: impl Fn(&Neighbor) -> bool,
) -> Result<Neighbor> {
    let path = format!("/v1/neighbors/{}", victim()?);
    federation
        .bed()
        .wait_for(&format!("{VICTIM} {what}, says {name}"), CEILING, async || {
            let neighbor: Neighbor = federation.get(name, &path).await?;
            ensure!(is_so(&neighbor), "{neighbor:?}");
            Ok(neighbor)
        })
        .await
}

fn is_alive(neighbor: &Neighbor) -> bool {
    neighbor.bfd.as_ref().is_some_and(|echo| echo.echo && echo.state == BfdState::Up)
}

/// The nodes that the first node spreads leonardo's service over, from where nginx is.
async fn spread_over(federation: &Federation) -> Result<BTreeSet<String>> {
    let routes: Vec<VrfRoute> = federation.get("k8s-node-1", "/v1/vrfs/nginx/routes").await?;
    let service =
        routes.into_iter().find(|route| route.prefix.addr() == IpAddr::from(scene::SERVICE));
    Ok(service.context("no route")?.next_hops.into_iter().map(|hop| hop.to).collect())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_node_without_power_attracts_nothing_after_a_second() -> Result<()> {
    let federation = raise().await?;
    let (port, address) = (Fabric::port(VICTIM), victim()?.to_string());
    ensure!(spread_over(&federation).await?.contains(&address));
    let start = Instant::now();
    federation.fabric().namespace().ip(&format!("link set dev {port} nomaster")).await?;
    while spread_over(&federation).await?.contains(&address) {
        ensure!(start.elapsed() < CEILING, "its share stays\n{}", federation.bed().logs());
    }
    let elapsed = start.elapsed();
    ensure!(elapsed < Duration::from_secs(1), "its share stays for {elapsed:?}");
    for name in CONTROL_NODES {
        let dead = seen_by(&federation, name, "is dead", |victim| {
            victim.state != SessionState::Established
        })
        .await?;
        // Neither TCP nor the hold timer of a minute and a half said it, and nothing is kept.
        let reason = dead.last_down_reason.as_deref().context("a reason")?;
        ensure!(reason.contains("path") && dead.graceful_restart.stale == 0, "{dead:?}");
        ensure!(dead.bfd.as_ref().is_some_and(|echo| echo.failures == 1), "{dead:?}");
    }
    let to = SocketAddr::new(scene::SERVICE.into(), 80);
    let from = federation.workload("nginx-1")?;
    let answers = federation.fetch(from, to, "/", 30, Duration::from_secs(1)).await?;
    ensure!(!answers.contains("leonardo-2"), "{answers}");

    federation.fabric().namespace().ip(&format!("link set dev {port} master br0")).await?;
    federation.wait_for_sessions().await?;
    proofs::nginx_reaches_leonardo_by_its_service(&federation).await.map(drop)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_node_whose_agent_is_killed_lives_and_loses_no_ping() -> Result<()> {
    let mut federation = raise().await?;
    let pings = pings(&federation, "db-1", "leonardo-2").await?;
    federation.daemon(VICTIM)?.kill().await?;
    for name in CONTROL_NODES {
        let away = seen_by(&federation, name, "has no agent", |victim| {
            victim.state != SessionState::Established
        })
        .await?;
        let answered =
            |neighbor: &Neighbor| neighbor.bfd.as_ref().map_or(0, |e| e.packets_received);
        // Longer than a dead node would be taken for alive.
        let enough = answered(&away) + 6;
        let later =
            seen_by(&federation, name, "still answers", |victim| answered(victim) >= enough)
                .await?;
        ensure!(is_alive(&later) && later.graceful_restart.stale > 0, "{later:?}");
    }
    ensure!(spread_over(&federation).await?.contains(&victim()?.to_string()));
    federation.start_daemon(VICTIM)?;
    federation.wait_for_sessions().await?;
    nothing_lost(pings).await
}
