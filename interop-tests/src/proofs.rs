//! What the demo claims, each shown from outside. A proof gives what it saw.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arcus_api::v1::{Action, Counters, Direction, VrfTable};
use testbed::packet::{Mpls, Packet, Payload};
use testbed::{Capture, Fabric, Namespace};

use crate::Federation;
use crate::scene::{self, Machine, Workload};

/// How long routes may take to get everywhere at the start.
const CONVERGENCE: Duration = Duration::from_secs(20);

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(3);

/// How long a request that must fail is waited for.
const REFUSAL: Duration = Duration::from_millis(1200);

/// How packets go between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Encapsulation {
    MplsOverGre,
    MplsOverUdp,
}

impl Encapsulation {
    /// The topology of the scene with this encapsulation preferred by both clouds.
    pub fn topology(self) -> Result<String> {
        let gre_first = r#"encapsulations = ["mpls-over-gre", "mpls-over-udp"]"#;
        let udp_first = r#"encapsulations = ["mpls-over-udp", "mpls-over-gre"]"#;
        let count = scene::TOPOLOGY.matches(gre_first).count();
        ensure!(count == 2, "the topology has `{gre_first}` {count} times instead of once a cloud");
        Ok(match self {
            Self::MplsOverGre => scene::TOPOLOGY.to_owned(),
            Self::MplsOverUdp => scene::TOPOLOGY.replace(gre_first, udp_first),
        })
    }

    /// The label stack if the packet is encapsulated in this way and in no other.
    fn of(self, packet: &Packet) -> Option<&Mpls> {
        match (self, &packet.payload) {
            (Self::MplsOverGre, Payload::Gre { flags: 0, protocol: 0x8847, mpls }) => mpls.as_ref(),
            (Self::MplsOverUdp, Payload::MplsOverUdp { mpls, .. }) => Some(mpls),
            _ => None,
        }
    }
}

impl std::fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MplsOverGre => "IP protocol 47, GRE protocol 0x8847",
            Self::MplsOverUdp => "IP protocol 17, UDP port 6635",
        })
    }
}

/// Proves everything, one after the other, and tells each outcome as soon as it is there.
pub async fn all(
    federation: &Federation,
    encapsulation: Encapsulation,
    mut tell: impl FnMut(String, Result<String>),
) {
    let (floating, service) = (scene::FLOATING, scene::SERVICE);
    let sessions = federation.wait_for_sessions().await;
    let sessions = sessions.map(|count| format!("{count} ends of sessions"));
    tell("every BGP session is established".to_owned(), sessions);
    for gateway in scene::GATEWAYS {
        let what = format!("FRR on {} has three paths to {floating}", gateway.name);
        tell(what, a_gateway_has_three_paths(federation, gateway.name).await);
    }
    let outcome = outside_reaches_all_nginx_pods(federation).await;
    tell(format!("{floating} answers the outside from all three nginx pods"), outcome);
    let outcome = nginx_reaches_leonardo_by_its_service(federation).await;
    tell(format!("nginx reaches leonardo through {service}"), outcome);
    let outcome = leonardo_reaches_every_database(federation).await;
    tell("leonardo in Kubernetes reaches each database VM in OpenStack".to_owned(), outcome);
    let outcome = the_whole_chain_answers(federation).await;
    tell("a request from outside goes the whole way".to_owned(), outcome);
    let outcome = packets_go_from_node_to_node(federation, encapsulation).await;
    tell(format!("packets go from node to node, no hop between: {encapsulation}"), outcome);
    let outcome = gateways_use_mpls_over_gre(federation).await;
    tell("gateways and nodes speak MPLS over GRE".to_owned(), outcome);
    let outcome = nginx_does_not_reach_the_database(federation).await;
    tell("nginx does not reach the database".to_owned(), outcome);
    let outcome = leonardo_opens_no_connection_to_nginx(federation).await;
    tell("leonardo opens no connection to nginx".to_owned(), outcome);
}

/// Requests from outside to the floating address are answered by every nginx pod.
pub async fn outside_reaches_all_nginx_pods(federation: &Federation) -> Result<String> {
    let want: BTreeSet<&str> = scene::workloads("nginx").map(|pod| pod.name).collect();
    let to = SocketAddr::new(scene::FLOATING.into(), 80);
    spread(federation, federation.outside(), to, "/", 60, &want).await
}

/// A page that nginx gets from leonardo, and leonardo from a database, is served to the outside.
pub async fn the_whole_chain_answers(federation: &Federation) -> Result<String> {
    let to = SocketAddr::new(scene::FLOATING.into(), 80);
    let mut seen = Vec::new();
    for db in scene::workloads("database") {
        let path = format!("/leonardo/{}", db.name);
        let body = answered(federation, federation.outside(), to, &path).await?;
        let hops: Vec<&str> = body.trim().split(" > ").collect();
        ensure!(
            matches!(hops[..], [nginx, leonardo, last]
                if nginx.starts_with("nginx-") && leonardo.starts_with("leonardo-") && last == db.name),
            "{path} was answered with `{}`",
            body.trim()
        );
        seen.push(body.trim().to_owned());
    }
    Ok(seen.join("\n"))
}

/// From each nginx pod the service address leads to every leonardo pod.
pub async fn nginx_reaches_leonardo_by_its_service(federation: &Federation) -> Result<String> {
    let want: BTreeSet<&str> = scene::workloads("leonardo").map(|pod| pod.name).collect();
    let to = SocketAddr::new(scene::SERVICE.into(), 80);
    let mut seen = Vec::new();
    for pod in scene::workloads("nginx") {
        let from = federation.workload(pod.name)?;
        let counts = spread(federation, from, to, "/", 40, &want).await?;
        seen.push(format!("from {}: {counts}", pod.name));
    }
    Ok(seen.join("\n"))
}

/// From each leonardo pod every database VM answers.
pub async fn leonardo_reaches_every_database(federation: &Federation) -> Result<String> {
    let mut seen = Vec::new();
    for pod in scene::workloads("leonardo") {
        let from = federation.workload(pod.name)?;
        for db in scene::workloads("database") {
            let body = answered(federation, from, socket(db), "/").await?;
            ensure!(body.trim() == db.name, "{} answered `{}`", socket(db), body.trim());
        }
        let names: Vec<&str> = scene::workloads("database").map(|db| db.name).collect();
        seen.push(format!("{} <- {}", pod.name, names.join(", ")));
    }
    Ok(seen.join("\n"))
}

/// No nginx pod reaches a database VM, nor has a route to one.
pub async fn nginx_does_not_reach_the_database(federation: &Federation) -> Result<String> {
    let mut attempts = 0;
    for pod in scene::workloads("nginx") {
        let from = federation.workload(pod.name)?;
        let [one, two, three] = [0, 1, 2].map(|index| async move {
            let db = scene::workloads("database").nth(index).context("three databases")?;
            match federation.fetch(from, socket(db), "/", 1, REFUSAL).await {
                Ok(body) => bail!("{} got `{}` from {}", pod.name, body.trim(), db.name),
                Err(_) => Ok(()),
            }
        });
        tokio::try_join!(one, two, three)?;
        attempts += 3;
        let routes = federation.ask::<VrfTable>(pod.node, &["vrf", "nginx"]).await?.table;
        for db in scene::workloads("database") {
            let address = IpAddr::from(db.address);
            if let Some(route) = routes.iter().find(|route| route.prefix.contains(&address)) {
                bail!("VRF nginx on {} has {} for {}", pod.node, route.prefix, db.name);
            }
        }
    }
    Ok(format!("{attempts} attempts from 3 pods, none answered; VRF nginx has no route there"))
}

/// The rule of the one-way connection on one node, by the name that it has in the topology: packets dropped.
async fn refused_by_nginx(federation: &Federation, node: &str) -> Result<u64> {
    let counters: Counters = federation.ask(node, &["counters"]).await?;
    let rules = counters.rules.into_iter().filter(|rule| {
        (rule.direction, rule.action) == (Direction::In, Action::Deny)
            && rule.rule == scene::ONE_WAY
    });
    Ok(rules.map(|rule| rule.packets).sum())
}

/// Each leonardo pod has the way to each nginx pod that its answers take, and opens no connection on it:
/// the rule of the connection drops each attempt, on the node of the nginx pod, and counts it.
pub async fn leonardo_opens_no_connection_to_nginx(federation: &Federation) -> Result<String> {
    let mut seen = Vec::new();
    for nginx in scene::workloads("nginx") {
        let before = refused_by_nginx(federation, nginx.node).await?;
        for pod in scene::workloads("leonardo") {
            let table: VrfTable = federation.ask(pod.node, &["vrf", "leonardo"]).await?;
            let to = IpAddr::from(nginx.address);
            let has_way = table.table.iter().any(|route| route.prefix.addr() == to);
            ensure!(has_way, "{} has no way for answers to {}", pod.name, nginx.name);
            let from = federation.workload(pod.name)?;
            if let Ok(body) = federation.fetch(from, socket(nginx), "/", 1, REFUSAL).await {
                bail!("{} got `{}` from {}", pod.name, body.trim(), nginx.name);
            }
        }
        let counted = refused_by_nginx(federation, nginx.node).await? - before;
        let pods = scene::workloads("leonardo").count() as u64;
        ensure!(counted >= pods, "{} has counted {counted} of {pods} attempts", nginx.node);
        seen.push(format!("{}: {counted} packets dropped by rule {}", nginx.name, scene::ONE_WAY));
    }
    Ok(seen.join("\n"))
}

/// A gateway's own table has the floating address three times, by three distinguishers and next hops.
pub async fn a_gateway_has_three_paths(federation: &Federation, gateway: &str) -> Result<String> {
    let frr = federation.gateway(gateway)?.frr();
    let nodes: BTreeSet<String> = scene::workloads("nginx")
        .filter_map(|pod| scene::NODES.iter().find(|node| node.name == pod.node))
        .map(|node| node.address.to_string())
        .collect();
    let command = format!("show bgp ipv4 vpn {}/32 json", scene::FLOATING);
    let what = format!("{gateway} has three paths to {}", scene::FLOATING);
    federation
        .bed()
        .wait_for(&what, CONVERGENCE, async || {
            let table: serde_json::Value = serde_json::from_str(&frr.show(&command).await?)?;
            let distinguishers = table.as_object().context("a table by distinguisher")?;
            let mut next_hops = BTreeSet::new();
            let mut seen = Vec::new();
            for (rd, route) in distinguishers {
                let path = route["paths"].as_array().into_iter().flatten();
                let best = path.into_iter().find(|p| p["bestpath"]["overall"] == true);
                let best = best.with_context(|| format!("no best path under {rd}"))?;
                let next_hop = best["nexthops"][0]["ip"].as_str().context("a next hop")?;
                let label = best["remoteLabel"].as_u64().context("a label")?;
                next_hops.insert(next_hop.to_owned());
                seen.push(format!("RD {rd}, next hop {next_hop}, label {label}"));
            }
            ensure!(next_hops == nodes && seen.len() == 3, "it has:\n{}", seen.join("\n"));
            Ok(seen.join("\n"))
        })
        .await
}

/// The packets of one leonardo pod and one database VM on the wire: from node to node, one label.
pub async fn packets_go_from_node_to_node(
    federation: &Federation,
    encapsulation: Encapsulation,
) -> Result<String> {
    let pod = scene::workloads("leonardo").next().context("a pod")?;
    let db = scene::workloads("database").next().context("a VM")?;
    let (pod_node, db_node) = (node(pod)?, node(db)?);
    let bed = federation.bed();
    let fabric = federation.fabric().namespace();
    let port = Fabric::port(db_node.name);
    // Everything but BGP is captured, so that a packet that goes another way is seen as well.
    let capture = Capture::start(bed, fabric, &port, "ip and not tcp port 179").await?;
    federation.fetch(federation.workload(pod.name)?, socket(db), "/", 3, REQUEST).await?;
    let packets = bed
        .wait_for("both directions are captured", REQUEST, async || {
            let packets = between(capture.packets()?, pod, db);
            let (there, back) = directions(&packets, db_node);
            ensure!(there > 0 && back > 0, "{there} packets there, {back} back");
            Ok(packets)
        })
        .await?;
    capture.stop().await?;
    for packet in &packets {
        let mpls = encapsulation.of(packet);
        let mpls = mpls.with_context(|| format!("not {encapsulation}: {packet}"))?;
        ensure!(
            mpls.labels.len() == 1 && mpls.labels[0].is_bottom,
            "not one label with the bottom bit: {packet}"
        );
        let outer = BTreeSet::from([packet.source, packet.destination]);
        let nodes = BTreeSet::from([pod_node.address, db_node.address]);
        ensure!(outer == nodes, "not from node to node: {packet}");
    }
    let (there, back) = directions(&packets, db_node);
    let example = packets.first().context("a packet")?;
    Ok(format!("{there} packets there, {back} back; the first:\n{example}"))
}

/// Between the gateways and a node it is MPLS over GRE, whatever the nodes prefer among themselves.
pub async fn gateways_use_mpls_over_gre(federation: &Federation) -> Result<String> {
    let pod = scene::workloads("nginx").next().context("a pod")?;
    let (bed, node) = (federation.bed(), node(pod)?);
    let fabric = federation.fabric().namespace();
    let filter = scene::GATEWAYS.map(|gateway| format!("host {}", gateway.address)).join(" or ");
    let filter = format!("ip and ({filter}) and not tcp port 179");
    let capture = Capture::start(bed, fabric, &Fabric::port(node.name), &filter).await?;
    let to = SocketAddr::new(scene::FLOATING.into(), 80);
    let packets = bed
        .wait_for("both directions are captured", CONVERGENCE, async || {
            federation.fetch(federation.outside(), to, "/", 12, REQUEST).await?;
            let packets = capture.packets()?;
            let (there, back) = directions(&packets, node);
            ensure!(there > 0 && back > 0, "{there} packets in, {back} out");
            Ok(packets)
        })
        .await?;
    capture.stop().await?;
    // Pings are how a gateway finds the hardware address of a tunnel end.
    let packets: Vec<Packet> = packets.into_iter().filter(|packet| packet.protocol != 1).collect();
    for packet in &packets {
        let mpls = Encapsulation::MplsOverGre.of(packet);
        let mpls = mpls.with_context(|| format!("not MPLS over GRE: {packet}"))?;
        ensure!(mpls.labels.len() == 1 && mpls.labels[0].is_bottom, "not one label: {packet}");
    }
    let (into, out) = directions(&packets, node);
    let example = packets.first().context("a packet")?;
    Ok(format!("{into} packets to {}, {out} back; the first:\n{example}", node.name))
}

/// `count` requests, all answered, and among the answers exactly the names of `want`.
async fn spread(
    federation: &Federation,
    from: &Namespace,
    to: SocketAddr,
    path: &str,
    count: u32,
    want: &BTreeSet<&str>,
) -> Result<String> {
    let what = format!("{count} requests to {to} are answered by {want:?}");
    federation
        .bed()
        .wait_for(&what, CONVERGENCE, async || {
            let answers = federation.fetch(from, to, path, count, REQUEST).await?;
            let names: BTreeSet<&str> = answers.lines().collect();
            ensure!(names == *want, "answers came from {names:?}");
            let of = |name: &&str| answers.lines().filter(|line| line == name).count();
            let counts = want.iter().map(|name| format!("{name} {}", of(name)));
            Ok(counts.collect::<Vec<_>>().join(", "))
        })
        .await
}

/// One page, as soon as there is one.
async fn answered(
    federation: &Federation,
    from: &Namespace,
    to: SocketAddr,
    path: &str,
) -> Result<String> {
    federation
        .bed()
        .wait_for(&format!("{to}{path} answers"), CONVERGENCE, async || {
            federation.fetch(from, to, path, 1, REQUEST).await
        })
        .await
}

/// The packets that hold a packet between two workloads, in either direction and however encapsulated.
fn between(packets: Vec<Packet>, one: &Workload, other: &Workload) -> Vec<Packet> {
    let ends = BTreeSet::from([one.address, other.address]);
    let is_theirs = |packet: &Packet| {
        let inner = packet.mpls().and_then(|mpls| mpls.inner.as_deref()).unwrap_or(packet);
        BTreeSet::from([inner.source, inner.destination]) == ends
    };
    packets.into_iter().filter(is_theirs).collect()
}

/// How many packets go to a node and how many come from it.
fn directions(packets: &[Packet], node: Machine) -> (usize, usize) {
    let to = packets.iter().filter(|packet| packet.destination == node.address).count();
    let from = packets.iter().filter(|packet| packet.source == node.address).count();
    (to, from)
}

fn node(workload: &Workload) -> Result<Machine> {
    let found = scene::NODES.iter().copied().find(|node| node.name == workload.node);
    found.with_context(|| format!("no node `{}`", workload.node))
}

fn socket(workload: &Workload) -> SocketAddr {
    SocketAddr::new(workload.address.into(), workload.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferring_udp_changes_both_clouds_and_no_gateway() {
        let topology = Encapsulation::MplsOverUdp.topology().expect("the example");
        assert_eq!(topology.matches(r#"["mpls-over-udp", "mpls-over-gre"]"#).count(), 2);
        assert_eq!(topology.matches(r#"["mpls-over-gre"]"#).count(), 2);
    }
}
