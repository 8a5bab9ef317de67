//! The whole federation: what must hold while parts of it die, restart or are told something new.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use arcus_api::v1::{PortStatus, Status, Vrf, VrfTable};
use interop_tests::left::{ensure_nothing_left, left_of};
use interop_tests::proofs::{self, Encapsulation};
use interop_tests::traffic::{Transfer, answers, nothing_lost, pings};
use interop_tests::{Federation, SILENT, scene};
use testbed::{Bed, Signal};

const CEILING: Duration = Duration::from_secs(30);

async fn raise(encapsulation: Encapsulation) -> Result<Federation> {
    let bed = Bed::fresh("arcus-test")?;
    let federation = Federation::raise(bed, &encapsulation.topology()?, SILENT).await?;
    federation.wait_for_sessions().await?;
    Ok(federation)
}

async fn prove(encapsulation: Encapsulation) -> Result<()> {
    let federation = raise(encapsulation).await?;
    let mut failed = Vec::new();
    proofs::all(&federation, encapsulation, |what, outcome| {
        failed.extend(outcome.err().map(|why| format!("{what}: {why:#}")));
    })
    .await;
    ensure!(failed.is_empty(), "{}\n{}", failed.join("\n"), federation.bed().logs());
    let run_dir = federation.bed().run_dir().to_owned();
    ensure!(!left_of(&run_dir)?.is_empty(), "it runs, so something must be there");
    drop(federation);
    ensure_nothing_left(&run_dir)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn everything_is_proven_over_gre() -> Result<()> {
    prove(Encapsulation::MplsOverGre).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn everything_is_proven_over_udp() -> Result<()> {
    prove(Encapsulation::MplsOverUdp).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn one_control_node_of_each_cloud_dies_and_comes_back_and_nothing_is_lost() -> Result<()> {
    let mut federation = raise(Encapsulation::MplsOverGre).await?;
    proofs::leonardo_reaches_every_database(&federation).await?;

    let transfer = Transfer::start(&federation, "leonardo-1", "db-1", 12).await?;
    let pings = pings(&federation, "leonardo-2", "db-3").await?;
    for name in ["os-ctl-1", "k8s-ctl-1"] {
        federation.daemon(name)?.kill().await?;
    }
    // What is left does the whole work, also for what is new.
    proofs::leonardo_reaches_every_database(&federation).await?;
    proofs::outside_reaches_all_nginx_pods(&federation).await?;
    for name in ["os-ctl-1", "k8s-ctl-1"] {
        federation.start_daemon(name)?;
    }
    federation.wait_for_sessions().await?;
    proofs::leonardo_reaches_every_database(&federation).await?;
    transfer.finish().await?;
    nothing_lost(pings).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn an_agent_is_killed_and_comes_back_as_it_was_and_no_ping_is_lost() -> Result<()> {
    let mut federation = raise(Encapsulation::MplsOverGre).await?;
    proofs::leonardo_reaches_every_database(&federation).await?;
    proofs::outside_reaches_all_nginx_pods(&federation).await?;

    for (node, from, to) in
        [("k8s-node-1", "leonardo-1", "db-3"), ("os-node-1", "leonardo-2", "db-1")]
    {
        let before = Identity::of(&federation, node).await?;
        let pings = pings(&federation, from, to).await?;
        let transfer = Transfer::start(&federation, from, to, 6).await?;
        federation.daemon(node)?.kill().await?;
        federation.start_daemon(node)?;
        federation.wait_for_sessions().await?;
        transfer.finish().await?;
        nothing_lost(pings).await.context(node)?;
        let what = format!("{node} is as before");
        federation
            .bed()
            .wait_for(&what, CEILING, async || {
                let after = Identity::of(&federation, node).await?;
                ensure!(after == before, "{after:?} instead of {before:?}");
                Ok(())
            })
            .await?;
    }
    proofs::outside_reaches_all_nginx_pods(&federation).await.map(drop)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn reachability_follows_the_route_targets_of_a_network() -> Result<()> {
    let federation = raise(Encapsulation::MplsOverGre).await?;
    proofs::leonardo_reaches_every_database(&federation).await?;

    let joined = fs::read_to_string(federation.topology())?;
    let apart = retarget(&joined, "network.database", "64512:100", "64512:101")?;
    for round in 1..=2 {
        fs::write(federation.topology(), &apart)?;
        let start = Instant::now();
        federation.reload().await?;
        wait_for_routes(&federation, Routes::Apart).await?;
        eprintln!("round {round}: apart after {:?}", start.elapsed());
        ensure!(!answers(&federation, "leonardo-1", "db-1").await?, "db-1 still answers");
        ensure!(!answers(&federation, "db-3", "leonardo-3").await?, "leonardo-3 still answers");
        // Inside each network all goes on, also between the nodes of one cloud.
        ensure!(answers(&federation, "db-3", "db-1").await?, "db-1 is lost to its own network");

        fs::write(federation.topology(), &joined)?;
        let start = Instant::now();
        federation.reload().await?;
        wait_for_routes(&federation, Routes::Joined).await?;
        eprintln!("round {round}: joined after {:?}", start.elapsed());
        proofs::leonardo_reaches_every_database(&federation).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_topology_with_a_mistake_changes_nothing() -> Result<()> {
    let mut federation = raise(Encapsulation::MplsOverGre).await?;
    proofs::leonardo_reaches_every_database(&federation).await?;
    let good = fs::read_to_string(federation.topology())?;
    let pings = pings(&federation, "leonardo-1", "db-1").await?;
    fs::write(federation.topology(), good.replace("[network.database]", "[netwrok.database]"))?;

    for name in ["os-ctl-1", "k8s-ctl-2", "os-node-1", "k8s-node-1"] {
        let before: Status = federation.ask(name, &["status"]).await?;
        federation.daemon(name)?.signal(Signal::HUP)?;
        federation
            .bed()
            .wait_for(&format!("{name} refuses"), CEILING, async || {
                let status: Status = federation.ask(name, &["status"]).await?;
                let refusal = status.topology.last_error.context("nothing was refused yet")?;
                ensure!(refusal.contains("netwrok"), "it says {refusal}");
                ensure!(status.topology.generation == before.topology.generation, "it changed");
                Ok(())
            })
            .await?;
    }
    nothing_lost(pings).await
}

/// What must be the same after an agent was killed: ports with their labels, and VRFs.
#[derive(Debug, PartialEq)]
struct Identity {
    ports: Vec<PortStatus>,
    vrfs: Vec<(u32, String, String, u32)>,
}

impl Identity {
    async fn of(federation: &Federation, node: &str) -> Result<Self> {
        let vrfs: Vec<Vrf> = federation.ask(node, &["vrfs"]).await?;
        let vrfs = vrfs.into_iter().map(|vrf| (vrf.id, vrf.name, vrf.rd, vrf.label));
        Ok(Self { ports: federation.ask(node, &["port", "list"]).await?, vrfs: vrfs.collect() })
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Routes {
    Joined,
    Apart,
}

/// Waits until the tables of every node of both clouds say that the networks are joined, or apart.
async fn wait_for_routes(federation: &Federation, want: Routes) -> Result<()> {
    for node in scene::NODES {
        let (vrf, others) = match node.cloud {
            "openstack" => ("database", "leonardo"),
            _ => ("leonardo", "database"),
        };
        let what = format!("{others} in VRF {vrf} on {}: {want:?}", node.name);
        federation
            .bed()
            .wait_for(&what, CEILING, async || {
                let routes = federation.ask::<VrfTable>(node.name, &["vrf", vrf]).await?.table;
                for other in scene::workloads(others) {
                    let host = format!("{}/32", other.address);
                    let is_there =
                        routes.iter().any(|r| r.prefix.to_string() == host && r.programmed);
                    match (want, is_there) {
                        (Routes::Joined, true) | (Routes::Apart, false) => {}
                        _ => bail!("{host} is there: {is_there}"),
                    }
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// The topology with another route target in one section.
fn retarget(topology: &str, section: &str, from: &str, to: &str) -> Result<String> {
    let header = format!("[{section}]");
    let start = topology.find(&header).with_context(|| format!("no {header}"))?;
    let at = start + topology[start..].find(from).with_context(|| format!("no {from} there"))?;
    Ok(format!("{}{to}{}", &topology[..at], &topology[at + from.len()..]))
}
