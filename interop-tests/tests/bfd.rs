//! A gateway whose path is watched by BFD: FRR's bgpd and bfdd against arcus-bgpd.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arcus_api::v1::{BfdState, GracefulRestartState, Neighbor, RoutePage, SessionState};
use interop_tests::{Binaries, get};
use serde::de::DeserializeOwned;
use testbed::{Bed, Fabric, FrrRouter, GiveUp, Namespace, Process, Signal};
use tokio::time::Instant;

const CEILING: Duration = Duration::from_mins(1);
const ASN: u32 = 64512;
const CONTROL_NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
const PREFIX: &str = "203.0.113.0/24";
/// Its path is not watched.
const ANOTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const ITS_PREFIX: &str = "198.51.100.0/24";

/// How far the gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distance {
    Link,
    Hops,
}

/// A control node and a gateway.
struct Lab {
    bed: Bed,
    fabric: Fabric,
    namespace: Namespace,
    binaries: Binaries,
    ours: Process,
    frr: FrrRouter,
    /// What the gateway hears comes from here.
    _another: FrrRouter,
}

impl Lab {
    async fn raise(distance: Distance) -> Result<Self> {
        let bed = Bed::new("arcus-test")?;
        let binaries = Binaries::find()?;
        let fabric = bed.fabric().await?;
        let namespace = fabric.node(&bed, "ctl-1", CONTROL_NODE).await?;
        let gateway = fabric.node(&bed, "mx1", GATEWAY).await?;
        let multihop = distance == Distance::Hops;
        let watched = format!("{{ interval = 300, multiplier = 3, multihop = {multihop} }}");
        fs::write(bed.run_dir().join("topology.toml"), topology(Some(&watched))?)?;
        let ours = start(&bed, &binaries, &namespace)?;
        let configuration = bgpd(65101, GATEWAY, PREFIX, Some(distance));
        let daemons = [("bfdd", "bfd\n"), ("bgpd", configuration.as_str())];
        let frr = FrrRouter::start(&bed, &gateway, "mx1", &daemons).await?;
        let gateway = fabric.node(&bed, "mx2", ANOTHER).await?;
        let configuration = bgpd(65102, ANOTHER, ITS_PREFIX, None);
        let daemons = [("bgpd", configuration.as_str())];
        let another = FrrRouter::start(&bed, &gateway, "mx2", &daemons).await?;
        let mut lab = Self { bed, fabric, namespace, binaries, ours, frr, _another: another };
        lab.up().await?;
        Ok(lab)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        get(&arcus_api::socket::path(self.bed.run_dir(), "ctl-1"), path).await
    }

    async fn gateway(&self) -> Result<Neighbor> {
        self.get(&format!("/v1/neighbors/{GATEWAY}")).await
    }

    /// Whether the control node has the gateway's route.
    async fn has_route(&self) -> Result<bool> {
        let page = self.get::<RoutePage>("/v1/routes?family=ipv4").await?;
        Ok(page.routes.iter().any(|route| route.nlri == PREFIX))
    }

    /// Established, with the route, and the path is watched at the pace that was asked for.
    async fn up(&mut self) -> Result<Neighbor> {
        let ours = &mut self.ours;
        self.bed
            .wait_for("arcus-bgpd runs", CEILING, async || {
                ensure!(ours.is_running(), GiveUp(format!("it ended:\n{}", ours.output())));
                get::<Vec<Neighbor>>(
                    &arcus_api::socket::path(self.bed.run_dir(), "ctl-1"),
                    "/v1/neighbors",
                )
                .await
            })
            .await?;
        self.bed
            .wait_for("session, route and path are up", CEILING, async || {
                let neighbor = self.gateway().await?;
                ensure!(neighbor.state == SessionState::Established, "{neighbor:?}");
                ensure!(self.has_route().await?, "no route");
                let bfd = neighbor.bfd.as_ref().context("the path is not watched")?;
                ensure!(bfd.state == BfdState::Up, "{bfd:?}");
                ensure!(bfd.detection_milliseconds == Some(900), "{bfd:?}");
                Ok(neighbor)
            })
            .await
    }

    async fn is(&self, what: &str, seen: impl Fn(&Neighbor) -> bool) -> Result<Neighbor> {
        self.bed
            .wait_for(what, CEILING, async || {
                let neighbor = self.gateway().await?;
                ensure!(seen(&neighbor), "{neighbor:?}");
                Ok(neighbor)
            })
            .await
    }

    /// Replaces the topology.
    async fn reload(&self, watched: Option<&str>) -> Result<()> {
        fs::write(self.bed.run_dir().join("topology.toml"), topology(watched)?)?;
        let arcus = self.binaries.arcus.display().to_string();
        let socket = arcus_api::socket::path(self.bed.run_dir(), "ctl-1").display().to_string();
        self.namespace.run(&[&arcus, "--socket", &socket, "reload"]).await.map(drop)
    }
}

fn start(bed: &Bed, binaries: &Binaries, namespace: &Namespace) -> Result<Process> {
    let run_dir = bed.run_dir().display().to_string();
    let topology = bed.run_dir().join("topology.toml").display().to_string();
    let args = ["--topology", &topology, "--node", "ctl-1", "--run-dir", &run_dir];
    bed.start(namespace, "ctl-1", &binaries.bgpd, args)
}

/// The entry of the gateway whose path is watched is the last.
fn topology(watched: Option<&str>) -> Result<String> {
    let mut text = format!(
        "[federation]\nname = \"test\"\n\n[cloud.lab]\nasn = {ASN}\n\n\
         [cloud.lab.control-node.ctl-1]\naddress = \"{CONTROL_NODE}\"\n\n\
         [network.blue]\nclouds = [\"lab\"]\nsubnets = [\"10.100.0.0/16\"]\n\
         route-targets = [\"64512:100\"]\n\n\
         [gateway.mx2]\nclouds = [\"lab\"]\naddress = \"{ANOTHER}\"\nasn = 65102\n\
         networks = [\"blue\"]\nfamilies = [\"ipv4\"]\n\n\
         [gateway.mx1]\nclouds = [\"lab\"]\naddress = \"{GATEWAY}\"\nasn = 65101\n\
         networks = [\"blue\"]\nfamilies = [\"ipv4\"]\n"
    );
    if let Some(watched) = watched {
        writeln!(text, "bfd = {watched}")?;
    }
    Ok(text)
}

/// A gateway; without a distance its path is not watched.
fn bgpd(asn: u32, address: Ipv4Addr, prefix: &str, watched: Option<Distance>) -> String {
    // FRR takes several hops for granted where BGP may go over several.
    let hops = match watched {
        Some(Distance::Hops) => format!(" neighbor {CONTROL_NODE} ebgp-multihop 255\n"),
        Some(Distance::Link) | None => String::new(),
    };
    let bfd = watched.map(|_| format!(" neighbor {CONTROL_NODE} bfd 3 300 300\n"));
    format!(
        "router bgp {asn}\n bgp router-id {address}\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n no bgp network import-check\n bgp graceful-restart\n \
         bgp graceful-restart preserve-fw-state\n neighbor {CONTROL_NODE} remote-as {ASN}\n{hops}{} \
         neighbor {CONTROL_NODE} timers connect 1\n \
         address-family ipv4 unicast\n  neighbor {CONTROL_NODE} activate\n  network {prefix}\n \
         exit-address-family\n",
        bfd.unwrap_or_default()
    )
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn routes_of_a_dead_gateway_are_gone_within_a_second() -> Result<()> {
    for distance in [Distance::Link, Distance::Hops] {
        let mut lab = Lab::raise(distance).await?;
        let before = lab.up().await?;
        ensure!(before.graceful_restart.state == GracefulRestartState::Ready, "{before:?}");
        let port = Fabric::port("mx1");
        let start = Instant::now();
        lab.fabric.namespace().ip(&format!("link set dev {port} nomaster")).await?;
        while lab.has_route().await? {
            ensure!(start.elapsed() < CEILING, "the route stays\n{}", lab.bed.logs());
        }
        let elapsed = start.elapsed();
        ensure!(elapsed < Duration::from_secs(1), "{distance:?}: {elapsed:?}");
        let after = lab.is("down", |neighbor| neighbor.state != SessionState::Established).await?;
        ensure!(after.graceful_restart.stale == 0, "{after:?}");
        ensure!(after.flaps == before.flaps + 1, "{after:?}");
        ensure!(after.bfd.as_ref().is_some_and(|bfd| bfd.failures == 1), "{after:?}");
        let reason = after.last_down_reason.context("a reason")?;
        ensure!(reason.contains("path"), "{reason}");

        lab.fabric.namespace().ip(&format!("link set dev {port} master br0")).await?;
        lab.up().await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_is_no_lost_path_does_not_end_a_session() -> Result<()> {
    let mut lab = Lab::raise(Distance::Link).await?;
    let before = lab.up().await?;
    lab.reload(Some("{ interval = 400, multiplier = 4 }")).await?;
    lab.is("slower", |neighbor| {
        let bfd = neighbor.bfd.as_ref();
        bfd.is_some_and(|bfd| bfd.detection_milliseconds == Some(1200) && bfd.state == BfdState::Up)
    })
    .await?;
    lab.reload(Some("{}")).await?;

    // FRR's operator ends the watching.
    let peer = format!("peer {CONTROL_NODE} local-address {GATEWAY}");
    lab.frr.vtysh(&["configure terminal", "bfd", &peer, "shutdown"]).await?;
    lab.is("ended at FRR", |neighbor| {
        neighbor.bfd.as_ref().is_some_and(|bfd| bfd.remote_state == Some(BfdState::AdminDown))
    })
    .await?;
    lab.frr.vtysh(&["configure terminal", "bfd", &peer, "no shutdown"]).await?;
    let after = lab.up().await?;
    ensure!(after.flaps == before.flaps, "{after:?}");
    ensure!(after.bfd.is_some_and(|bfd| bfd.failures == 0));

    // FRR's BGP dies and its BFD does not: what it forwarded by is kept.
    lab.frr.daemon("bgpd")?.signal(Signal::KILL)?;
    let away = lab.is("away", |neighbor| neighbor.state != SessionState::Established).await?;
    ensure!(away.graceful_restart.stale == 1, "{away:?}");
    ensure!(lab.has_route().await?);
    Ok(())
}

/// FRR 8.4 takes the end of our watching for a lost path, and ends the BGP session once.
#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn watching_ends_and_begins_with_the_topology() -> Result<()> {
    let mut lab = Lab::raise(Distance::Link).await?;
    lab.reload(None).await?;
    lab.is("not watched", |neighbor| neighbor.bfd.is_none()).await?;
    lab.reload(Some("{ passive = true }")).await?;
    let after = lab.up().await?;
    ensure!(after.bfd.is_some_and(|bfd| bfd.failures == 0));
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_gateway_keeps_its_routes_while_the_control_node_restarts() -> Result<()> {
    let mut lab = Lab::raise(Distance::Link).await?;
    lab.up().await?;
    let heard = format!("show bgp ipv4 unicast {ITS_PREFIX} json");
    let bed = &lab.bed;
    bed.wait_for("the gateway has heard of the other one", CEILING, async || {
        let route = lab.frr.json(&heard).await?;
        ensure!(route["paths"][0]["valid"] == true, "{route}");
        Ok(())
    })
    .await?;
    lab.ours.signal(Signal::TERM)?;
    lab.ours.wait(CEILING).await?;
    lab.bed
        .wait_for("the gateway knows that it was a person", CEILING, async || {
            let session = lab.frr.json("show bfd peers json").await?[0].clone();
            ensure!(session["status"] == "down", "{session}");
            ensure!(session["remote-diagnostic"] == "administratively down", "{session}");
            Ok(())
        })
        .await?;
    // Neither withdrawn by us at the end, nor forgotten because the end of BFD came before that of BGP.
    let route = lab.frr.json(&heard).await?;
    ensure!(route["paths"][0]["stale"] == true, "{route}\n{}", lab.bed.logs());
    lab.ours = start(&lab.bed, &lab.binaries, &lab.namespace)?;
    lab.up().await.map(drop)
}
