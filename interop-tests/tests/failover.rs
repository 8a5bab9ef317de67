//! Control nodes and gateways that go and come back: packets between the clouds go on.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arcus_api::v1::{Neighbor, VrfTable};
use interop_tests::proofs::{self, Encapsulation};
use interop_tests::traffic::{nothing_lost, pings};
use interop_tests::{Federation, SILENT, scene};
use testbed::gateway::Gateway;
use testbed::{Bed, Signal};

const CEILING: Duration = Duration::from_secs(30);

/// The control nodes that are left when the second one of each cloud is dead.
const LEFT: [&str; 2] = ["os-ctl-1", "k8s-ctl-1"];
const DEAD: [&str; 2] = ["os-ctl-2", "k8s-ctl-2"];

async fn raise() -> Result<Federation> {
    raise_with(&Encapsulation::MplsOverGre.topology()?).await
}

async fn raise_with(topology: &str) -> Result<Federation> {
    let bed = Bed::fresh("arcus-test")?;
    let federation = Federation::raise(bed, topology, SILENT).await?;
    federation.wait_for_sessions().await?;
    proofs::leonardo_reaches_every_database(&federation).await?;
    proofs::outside_reaches_all_nginx_pods(&federation).await?;
    Ok(federation)
}

/// As [`raise`], and then the second control node of each cloud is dead.
async fn raise_with_one_control_node_each() -> Result<Federation> {
    let mut federation = raise().await?;
    for name in DEAD {
        federation.daemon(name)?.kill().await?;
    }
    Ok(federation)
}

fn nodes_of(cloud: &str) -> Vec<&'static str> {
    scene::NODES.iter().filter(|node| node.cloud == cloud).map(|node| node.name).collect()
}

/// Waits until the two control nodes that are left have heard everything, and the nodes have heard them.
async fn wait_until_told(federation: &Federation) -> Result<()> {
    for (name, other, cloud) in
        [("os-ctl-1", "k8s-ctl-1", "openstack"), ("k8s-ctl-1", "os-ctl-1", "kubernetes")]
    {
        let mut peers = nodes_of(cloud);
        peers.push(other);
        federation.wait_for_peers(name, &peers).await?;
        for node in nodes_of(cloud) {
            federation.wait_for_peers(node, &[name]).await?;
        }
    }
    Ok(())
}

async fn end(federation: &mut Federation, name: &str, signal: Signal) -> Result<()> {
    let daemon = federation.daemon(name)?;
    daemon.signal(signal)?;
    daemon.wait(CEILING).await.map(drop)
}

/// One after the other, each with all its routes to learn again.
async fn the_last_one_restarts(signal: Signal) -> Result<()> {
    let mut federation = raise_with_one_control_node_each().await?;
    let there = pings(&federation, "leonardo-1", "db-1").await?;
    let back = pings(&federation, "db-3", "leonardo-3").await?;
    for name in LEFT {
        end(&mut federation, name, signal).await?;
        federation.start_daemon(name)?;
        wait_until_told(&federation).await?;
    }
    proofs::leonardo_reaches_every_database(&federation).await?;
    nothing_lost(there).await?;
    nothing_lost(back).await?;
    nothing_is_left_over(&federation).await
}

/// What was kept over the restarts has been told again, or is gone.
async fn nothing_is_left_over(federation: &Federation) -> Result<()> {
    for name in LEFT.into_iter().chain(scene::NODES.map(|node| node.name)) {
        federation
            .bed()
            .wait_for(
                &format!("{name} keeps nothing stale of a living peer"),
                CEILING,
                async || {
                    for neighbor in federation.ask::<Vec<Neighbor>>(name, &["neighbors"]).await? {
                        let is_dead = scene::CONTROL_NODES.iter().any(|n| {
                            DEAD.contains(&n.name) && IpAddr::from(n.address) == neighbor.address
                        });
                        let stale = neighbor.graceful_restart.stale;
                        ensure!(is_dead || stale == 0, "{stale} of {}", neighbor.address);
                    }
                    Ok(())
                },
            )
            .await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn the_last_control_node_of_each_cloud_is_stopped_and_started_and_no_ping_is_lost()
-> Result<()> {
    the_last_one_restarts(Signal::TERM).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn the_last_control_node_of_each_cloud_is_killed_and_started_and_no_ping_is_lost()
-> Result<()> {
    the_last_one_restarts(Signal::KILL).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn all_control_nodes_are_dead_and_come_back_at_once_and_no_ping_is_lost() -> Result<()> {
    let mut federation = raise_with_one_control_node_each().await?;
    let there = pings(&federation, "leonardo-1", "db-1").await?;
    let back = pings(&federation, "db-3", "leonardo-3").await?;
    for name in LEFT {
        federation.daemon(name)?.kill().await?;
    }
    // Nobody is left to tell anything, and everything goes on.
    proofs::leonardo_reaches_every_database(&federation).await?;
    proofs::outside_reaches_all_nginx_pods(&federation).await?;
    for name in LEFT {
        federation.start_daemon(name)?;
    }
    wait_until_told(&federation).await?;
    proofs::leonardo_reaches_every_database(&federation).await?;
    nothing_lost(there).await?;
    nothing_lost(back).await?;
    nothing_is_left_over(&federation).await
}

/// Longer than routes of a control node that restarts are kept, which says that it is not this that keeps
/// them.
#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn all_control_nodes_are_away_for_a_minute_and_no_ping_is_lost() -> Result<()> {
    let topology = Encapsulation::MplsOverGre.topology()?;
    let short = topology.replace("asn = 64512\n", "asn = 64512\ngraceful-restart-time = 5\n");
    let short = short.replace("asn = 64513\n", "asn = 64513\ngraceful-restart-time = 5\n");
    ensure!(short.matches("graceful-restart-time").count() == 2, "two clouds:\n{short}");
    let mut federation = raise_with(&short).await?;
    let there = pings(&federation, "leonardo-1", "db-1").await?;
    let back = pings(&federation, "db-3", "leonardo-3").await?;
    for machine in scene::CONTROL_NODES {
        federation.daemon(machine.name)?.kill().await?;
    }
    // Nothing can be waited for: it is time that must pass.
    tokio::time::sleep(Duration::from_mins(1)).await;
    nothing_lost(there).await?;
    nothing_lost(back).await?;
    // Gateways are as patient as their own timers.
    proofs::leonardo_reaches_every_database(&federation).await.map(drop)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_gateway_dies_and_returns() -> Result<()> {
    let mut federation = raise().await?;
    federation.kill_gateway("mx1").await?;
    default_routes_lead_to(&federation, &["mx2"]).await?;
    route_from_outside(&federation, &["mx2"]).await?;
    proofs::outside_reaches_all_nginx_pods(&federation).await?;

    federation.start_gateway_again("mx1").await?;
    default_routes_lead_to(&federation, &["mx1", "mx2"]).await?;
    proofs::a_gateway_has_three_paths(&federation, "mx1").await?;
    route_from_outside(&federation, &["mx1"]).await?;
    proofs::outside_reaches_all_nginx_pods(&federation).await.map(drop)
}

async fn route_from_outside(federation: &Federation, gateways: &[&str]) -> Result<()> {
    let outside = federation.outside();
    Gateway::route_from_outside(outside, "185.22.97.0/24", scene::CLIENT, gateways).await
}

/// Waits until the default route of network `public` leads to these gateways on each node with a pod.
async fn default_routes_lead_to(federation: &Federation, gateways: &[&str]) -> Result<()> {
    let mut want: Vec<String> = scene::GATEWAYS
        .iter()
        .filter(|gateway| gateways.contains(&gateway.name))
        .map(|gateway| gateway.address.to_string())
        .collect();
    want.sort();
    for pod in scene::workloads("nginx") {
        let what = format!("the default route of {} leads to {gateways:?}", pod.node);
        federation
            .bed()
            .wait_for(&what, CEILING, async || {
                let public: VrfTable = federation.ask(pod.node, &["vrf", "public"]).await?;
                let default = public.table.iter().find(|route| route.prefix.prefix_len() == 0);
                let default = default.context("there is none")?;
                let mut to: Vec<_> = default.next_hops.iter().map(|hop| hop.to.clone()).collect();
                to.sort();
                ensure!(to == want && default.programmed, "it leads to {to:?}");
                Ok(())
            })
            .await?;
    }
    Ok(())
}
