//! What `arcus` prints is true: each table beside what FRR, the kernel, the wire and the other end say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arcus_api::v1::{
    DropCounter, Family, Neighbor, NeighborKind, PortStatus, Route, Status, Target, Tunnel, Vrf,
    VrfNextHopKind, VrfTable,
};
use interop_tests::proofs::{self, Encapsulation};
use interop_tests::traffic::address;
use interop_tests::{Federation, SILENT, scene};
use serde_json::Value;
use testbed::{Bed, Capture, Fabric, UPLINK};

const CEILING: Duration = Duration::from_secs(30);

/// What GRE with one label takes of a packet: IP 20, GRE 4, label 4.
const OVERHEAD: u64 = 28;

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_arcus_prints_is_true() -> Result<()> {
    let bed = Bed::fresh("arcus-test")?;
    let topology = Encapsulation::MplsOverGre.topology()?;
    let federation = Federation::raise(bed, &topology, SILENT).await?;
    federation.wait_for_sessions().await?;
    federation.wait_until_all_is_told().await?;
    proofs::leonardo_reaches_every_database(&federation).await?;
    proofs::nginx_reaches_leonardo_by_its_service(&federation).await?;
    proofs::outside_reaches_all_nginx_pods(&federation).await?;

    let mut untrue = Vec::new();
    let mut note = |what: &str, outcome: Result<()>| {
        untrue.extend(outcome.err().map(|why| format!("{what}: {why:#}")));
    };
    note("status", status_is_true(&federation).await);
    note("neighbors", neighbors_are_true(&federation).await);
    note("neighbors by FRR", frr_agrees_about_sessions(&federation).await);
    note("routes", routes_are_those_of_the_scene(&federation).await);
    note("routes by FRR", frr_agrees_about_routes(&federation).await);
    note("advertised", advertised_is_what_is_received(&federation).await);
    note("targets", targets_are_counted(&federation).await);
    note("vrfs", vrfs_are_those_of_the_ports(&federation).await);
    note("vrf by the wire", labels_are_those_on_the_wire(&federation).await);
    note("ports", ports_are_those_of_the_kernel(&federation).await);
    note("tunnels", tunnels_are_those_of_the_routes(&federation).await);
    note("drops", drops_are_counted(&federation).await);
    ensure!(untrue.is_empty(), "not true:\n{}", untrue.join("\n"));
    Ok(())
}

async fn status_is_true(federation: &Federation) -> Result<()> {
    let mut hashes = BTreeSet::new();
    for machine in scene::CONTROL_NODES.iter().chain(&scene::NODES) {
        let status: Status = federation.ask(machine.name, &["status"]).await?;
        let is_node = scene::NODES.iter().any(|node| node.name == machine.name);
        let kind = if is_node { "arcus-vrouter-agent" } else { "arcus-bgpd" };
        ensure!(status.daemon == kind && status.name == machine.name, "{status:?}");
        ensure!(status.ready, "{} is not ready", machine.name);
        ensure!(status.topology.generation == 1, "{status:?}");
        ensure!(Path::new(&status.topology.file) == federation.topology(), "{status:?}");
        hashes.insert(status.topology.hash);
    }
    ensure!(hashes.len() == 1, "one file has the hashes {hashes:?}");
    Ok(())
}

async fn neighbors(federation: &Federation, name: &str) -> Result<BTreeMap<IpAddr, Neighbor>> {
    let neighbors: Vec<Neighbor> = federation.ask(name, &["neighbors"]).await?;
    Ok(neighbors.into_iter().map(|neighbor| (neighbor.address, neighbor)).collect())
}

/// All ends of all sessions, each beside its other end.
async fn neighbors_are_true(federation: &Federation) -> Result<()> {
    let ours: Vec<_> = scene::CONTROL_NODES.iter().chain(&scene::NODES).collect();
    let mut all = BTreeMap::new();
    for machine in &ours {
        all.insert(IpAddr::from(machine.address), neighbors(federation, machine.name).await?);
    }
    for machine in &scene::CONTROL_NODES {
        let here = IpAddr::from(machine.address);
        for (there, neighbor) in &all[&here] {
            let context = || format!("{} of {}", there, machine.name);
            let is_node = scene::NODES.iter().any(|n| IpAddr::from(n.address) == *there);
            let kind = match neighbor.name.as_deref() {
                Some(name) if name.starts_with("mx") => NeighborKind::Gateway,
                Some(_) => NeighborKind::ControlNode,
                None => NeighborKind::Node,
            };
            ensure!(neighbor.kind == kind && neighbor.client == is_node, "{}", context());
            ensure!(neighbor.flaps == 0, "{}: {} flaps", context(), neighbor.flaps);
            ensure!(neighbor.owed == 0, "{}: {} owed", context(), neighbor.owed);
            ensure!(neighbor.router_id.map(IpAddr::from) == Some(*there), "{}", context());
            let distinct: BTreeSet<_> = neighbor.memberships.iter().collect();
            ensure!(distinct.len() == neighbor.memberships.len(), "{}: twice", context());
            // A gateway's other end is FRR's.
            let Some(other) = all.get(there).map(|neighbors| &neighbors[&here]) else { continue };
            for family in &neighbor.families {
                let other = other.families.iter().find(|f| f.family == family.family);
                let other = other.with_context(|| format!("{}: {}", context(), family.family))?;
                // A node tells everything in any case, and so keeps no memberships.
                let is_kept = !(is_node && family.family == Family::Rtc);
                let kept = if is_kept { family.advertised } else { 0 };
                ensure!(
                    (family.received, kept) == (other.advertised, other.received),
                    "{}: {} received and {} told, the other end {} told and {} received, of {}",
                    context(),
                    family.received,
                    family.advertised,
                    other.advertised,
                    other.received,
                    family.family,
                );
                ensure!(family.end_of_rib, "{}: no End-of-RIB of {}", context(), family.family);
            }
        }
    }
    Ok(())
}

fn vpnv4(neighbor: &Neighbor) -> Result<(u64, u64)> {
    let family = neighbor.families.iter().find(|family| family.family == Family::Vpnv4);
    family.map(|family| (family.received, family.advertised)).context("no vpnv4")
}

async fn frr_json(federation: &Federation, gateway: &str, command: &str) -> Result<Value> {
    Ok(serde_json::from_str(&federation.gateway(gateway)?.frr().show(command).await?)?)
}

async fn frr_agrees_about_sessions(federation: &Federation) -> Result<()> {
    for gateway in &scene::GATEWAYS {
        let seen = frr_json(federation, gateway.name, "show bgp neighbors json").await?;
        for control in scene::CONTROL_NODES.iter().filter(|node| node.cloud == "kubernetes") {
            let context = || format!("{} and {}", gateway.name, control.name);
            let ours = neighbors(federation, control.name).await?;
            let ours = ours.get(&gateway.address.into()).with_context(context)?;
            let theirs = &seen[control.address.to_string()];
            ensure!(theirs["bgpState"] == "Established", "{}: {}", context(), theirs["bgpState"]);
            ensure!(theirs["remoteAs"] == scene::KUBERNETES_ASN, "{}", context());
            ensure!(ours.asn == scene::GATEWAY_ASN, "{}: {}", context(), ours.asn);
            let accepted = &theirs["addressFamilyInfo"]["ipv4Vpn"]["acceptedPrefixCounter"];
            let (received, advertised) = vpnv4(ours)?;
            ensure!(*accepted == advertised, "{}: {accepted}, we say {advertised}", context());
            ensure!(received == 1, "{}: {received}, it has one default route", context());
        }
    }
    Ok(())
}

/// (distinguisher, prefix) to (next hop, label), of best paths.
type Table = BTreeMap<(String, String), (String, u32)>;

async fn best_routes(federation: &Federation, name: &str) -> Result<Table> {
    let routes: Vec<Route> = routes(federation, name).await?;
    let mut table = Table::new();
    for route in routes {
        let best: Vec<_> = route.paths.iter().filter(|path| path.best).collect();
        let [best] = best[..] else { bail!("{} has {} best paths", route.nlri, best.len()) };
        let key = (route.rd.context("no RD")?, route.prefix.context("no prefix")?.to_string());
        let next_hop = best.next_hop.context("no next hop")?.to_string();
        table.insert(key, (next_hop, best.label.context("no label")?));
    }
    Ok(table)
}

async fn routes(federation: &Federation, name: &str) -> Result<Vec<Route>> {
    federation.ask(name, &["routes", "vpnv4"]).await
}

/// What each control node must have: the ports, services and floating addresses of the scene with the
/// numbers of the nodes, the default routes of the gateways where they are known, and nothing else.
async fn routes_are_those_of_the_scene(federation: &Federation) -> Result<()> {
    let mut want = BTreeMap::from([("openstack", Table::new()), ("kubernetes", Table::new())]);
    let mut add =
        |clouds: &[&'static str], rd: &str, prefix: String, next_hop: IpAddr, label: u32| {
            for cloud in clouds {
                let value = (next_hop.to_string(), label);
                want.entry(cloud).or_default().insert((rd.to_owned(), prefix.clone()), value);
            }
        };
    for node in &scene::NODES {
        let vrfs: Vec<Vrf> = federation.ask(node.name, &["vrfs"]).await?;
        let find = |name: &str| {
            vrfs.iter().find(|vrf| vrf.name == name).with_context(|| format!("no VRF {name}"))
        };
        for workload in scene::WORKLOADS.iter().filter(|workload| workload.node == node.name) {
            // Only what carries the target of `database` and `leonardo` is asked for by both clouds.
            let both: &[&'static str] = match workload.network {
                "database" | "leonardo" => &["openstack", "kubernetes"],
                _ => &["kubernetes"],
            };
            let vrf = find(workload.network)?;
            add(both, &vrf.rd, format!("{}/32", workload.address), node.address.into(), vrf.label);
            if workload.service.is_some() {
                let service = format!("{}/32", scene::SERVICE);
                add(both, &vrf.rd, service, node.address.into(), vrf.label);
            }
            if workload.floating.is_some() {
                let (vrf, floating) = (find("public")?, format!("{}/32", scene::FLOATING));
                add(&["kubernetes"], &vrf.rd, floating, node.address.into(), vrf.label);
            }
        }
    }
    for gateway in &scene::GATEWAYS {
        let rd = format!("{}:900", gateway.address);
        let default = "0.0.0.0/0".to_owned();
        add(&["kubernetes"], &rd, default, gateway.address.into(), scene::GATEWAY_LABEL);
    }
    for control in &scene::CONTROL_NODES {
        let seen = best_routes(federation, control.name).await?;
        let want = &want[control.cloud];
        ensure!(seen == *want, "{} has\n{seen:?}\ninstead of\n{want:?}", control.name);
    }
    Ok(())
}

/// FRR's table has the floating routes of ours with the same next hops and labels, and no other of ours.
async fn frr_agrees_about_routes(federation: &Federation) -> Result<()> {
    let floating = format!("{}/32", scene::FLOATING);
    let ours = best_routes(federation, "k8s-ctl-1").await?;
    let ours: Table = ours.into_iter().filter(|((_, prefix), _)| *prefix == floating).collect();
    for gateway in &scene::GATEWAYS {
        let all = frr_json(federation, gateway.name, "show bgp ipv4 vpn json").await?;
        let own = format!("{}:900", gateway.address);
        let mut theirs = Table::new();
        let tables = all["routes"]["routeDistinguishers"].as_object().context("no table")?;
        for (rd, prefixes) in tables.iter().filter(|(rd, _)| **rd != own) {
            for prefix in prefixes.as_object().into_iter().flat_map(|map| map.keys()) {
                let command = format!("show bgp ipv4 vpn {prefix} json");
                let detail = frr_json(federation, gateway.name, &command).await?;
                let path = &detail[rd]["paths"][0];
                let next_hop = path["nexthops"][0]["ip"].as_str().context("no next hop")?;
                let label = path["remoteLabel"].as_u64().context("no label")?;
                let value = (next_hop.to_owned(), u32::try_from(label)?);
                theirs.insert((rd.clone(), prefix.clone()), value);
            }
        }
        ensure!(theirs == ours, "{}: FRR has\n{theirs:?}\nwe\n{ours:?}", gateway.name);
    }
    Ok(())
}

/// What a control node says that it told a node is what the node's VRFs are made of.
async fn advertised_is_what_is_received(federation: &Federation) -> Result<()> {
    for node in &scene::NODES {
        let control = scene::CONTROL_NODES.iter().find(|control| control.cloud == node.cloud);
        let control = control.context("a control node")?;
        let words = ["advertised", &node.address.to_string(), "vpnv4"];
        let told: Vec<Route> = federation.ask(control.name, &words).await?;
        let told: BTreeSet<String> =
            told.iter().filter_map(|route| route.prefix).map(|prefix| prefix.to_string()).collect();
        let mut held = BTreeSet::new();
        for vrf in federation.ask::<Vec<Vrf>>(node.name, &["vrfs"]).await? {
            let table: VrfTable = federation.ask(node.name, &["vrf", &vrf.name]).await?;
            ensure!(
                vrf.routes == u64::try_from(table.table.len())?,
                "{}: {}",
                vrf.name,
                vrf.routes
            );
            let from = |route: &&arcus_api::v1::VrfRoute| {
                route.from.contains(&IpAddr::from(control.address))
            };
            held.extend(table.table.iter().filter(from).map(|route| route.prefix.to_string()));
            ensure!(table.table.iter().all(|route| route.programmed), "{table:?}");
        }
        ensure!(told == held, "{} was told {told:?} and holds {held:?}", node.name);
    }
    Ok(())
}

async fn targets_are_counted(federation: &Federation) -> Result<()> {
    for control in &scene::CONTROL_NODES {
        let mut carried = BTreeMap::<String, u64>::new();
        for route in routes(federation, control.name).await? {
            for path in route.paths.into_iter().filter(|path| path.best) {
                for target in path.targets {
                    *carried.entry(target).or_default() += 1;
                }
            }
        }
        let targets: Vec<Target> = federation.ask(control.name, &["targets"]).await?;
        let said: BTreeMap<String, u64> = targets
            .into_iter()
            .filter(|target| target.routes > 0)
            .map(|target| (target.target, target.routes))
            .collect();
        ensure!(said == carried, "{} says {said:?}, its routes {carried:?}", control.name);
    }
    Ok(())
}

async fn vrfs_are_those_of_the_ports(federation: &Federation) -> Result<()> {
    for node in &scene::NODES {
        let vrfs: Vec<Vrf> = federation.ask(node.name, &["vrfs"]).await?;
        let ports: Vec<PortStatus> = federation.ask(node.name, &["port", "list"]).await?;
        let mut want: BTreeSet<String> = ports.iter().map(|port| port.network.clone()).collect();
        want.extend(ports.iter().flat_map(|port| &port.floating).map(|f| f.network.clone()));
        let seen: BTreeSet<String> = vrfs.iter().map(|vrf| vrf.name.clone()).collect();
        ensure!(seen == want, "{} has {seen:?}, its ports want {want:?}", node.name);
        for port in &ports {
            let vrf = vrfs.iter().find(|vrf| vrf.name == port.network).context("a VRF")?;
            ensure!(vrf.label == port.label, "{}: label {} of {vrf:?}", port.id, port.label);
        }
        let labels: BTreeSet<u32> = vrfs.iter().map(|vrf| vrf.label).collect();
        ensure!(labels.len() == vrfs.len(), "{}: a label twice: {vrfs:?}", node.name);
    }
    Ok(())
}

/// A ping from leonardo-1 to db-1 carries the label that both nodes show, in each direction.
async fn labels_are_those_on_the_wire(federation: &Federation) -> Result<()> {
    let bed = federation.bed();
    let fabric = federation.fabric().namespace();
    let capture = Capture::start(bed, fabric, &Fabric::port("os-node-1"), "ip proto 47").await?;
    let db = address("db-1")?.to_string();
    federation.workload("leonardo-1")?.run(&["ping", "-c3", "-i0.2", &db]).await?;
    for (node, vrf, to) in
        [("k8s-node-1", "leonardo", "db-1"), ("os-node-1", "database", "leonardo-1")]
    {
        let table: VrfTable = federation.ask(node, &["vrf", vrf]).await?;
        let to = address(to)?;
        let route = table.table.iter().find(|r| r.prefix.addr() == IpAddr::from(to));
        let hop = route.and_then(|route| route.next_hops.first()).context("a next hop")?;
        ensure!(hop.kind == VrfNextHopKind::Tunnel, "{hop:?}");
        let label = hop.label.context("a label")?;
        bed.wait_for("the packets are captured", CEILING, async || {
            let packets = capture.packets()?;
            let theirs = packets.iter().filter(|packet| {
                packet.mpls().and_then(|m| m.inner.as_ref()).is_some_and(|i| i.destination == to)
            });
            let seen: BTreeSet<(String, u32)> = theirs
                .filter_map(|packet| {
                    let label = packet.mpls()?.labels.first()?.label;
                    Some((packet.destination.to_string(), label))
                })
                .collect();
            let want = BTreeSet::from([(hop.to.clone(), label)]);
            ensure!(seen == want, "{node} sends {seen:?} and shows {want:?}");
            Ok(())
        })
        .await?;
    }
    capture.stop().await.map(drop)
}

async fn ports_are_those_of_the_kernel(federation: &Federation) -> Result<()> {
    for node in &scene::NODES {
        let ports: Vec<PortStatus> = federation.ask(node.name, &["port", "list"]).await?;
        let ids: BTreeSet<String> = ports.iter().map(|port| port.id.to_string()).collect();
        let here = scene::WORKLOADS.iter().filter(|workload| workload.node == node.name);
        let want: BTreeSet<String> = here.map(|workload| workload.name.to_owned()).collect();
        ensure!(ids == want, "{} has {ids:?}", node.name);
        for port in &ports {
            let workload = federation.workload(port.id.as_str())?;
            ensure!(workload.path() == port.netns, "{}: {}", port.id, port.netns.display());
            let text = workload.run(&["ip", "-j", "addr", "show", "dev", &port.interface]).await?;
            let link: Value = serde_json::from_str(&text)?;
            ensure!(link[0]["address"] == port.mac, "{}: {}", port.id, port.mac);
            let ip = link[0]["addr_info"].as_array().into_iter().flatten();
            let mut ip = ip.filter_map(|info| info["local"].as_str());
            ensure!(ip.any(|ip| ip == port.address.to_string()), "{}: {text}", port.id);
        }
        // One interface on the node for each port, and one pinned program.
        let text = federation.node(node.name)?.run(&["ip", "-j", "link"]).await?;
        let links: Vec<Value> = serde_json::from_str(&text)?;
        let veths = links.iter().filter_map(|link| link["ifname"].as_str());
        let veths = veths.filter(|name| name.starts_with("arc")).count();
        let pins = Path::new("/sys/fs/bpf/arcus")
            .join(format!("{}-{}", federation.bed().prefix(), node.name))
            .join("v3/links");
        let pins = fs::read_dir(&pins).with_context(|| pins.display().to_string())?;
        let names = pins.flatten().map(|pin| pin.file_name().to_string_lossy().into_owned());
        let pins = names.filter(|name| name.starts_with("port-")).count();
        ensure!((veths, pins) == (ports.len(), ports.len()), "{veths} veths, {pins} pins: {ids:?}");
    }
    Ok(())
}

async fn tunnels_are_those_of_the_routes(federation: &Federation) -> Result<()> {
    for node in &scene::NODES {
        let mut want = BTreeMap::<(String, String), u64>::new();
        for vrf in federation.ask::<Vec<Vrf>>(node.name, &["vrfs"]).await? {
            let table: VrfTable = federation.ask(node.name, &["vrf", &vrf.name]).await?;
            for hop in table.table.into_iter().flat_map(|route| route.next_hops) {
                if hop.kind == VrfNextHopKind::Tunnel {
                    let encapsulation = hop.encapsulation.context("no encapsulation")?;
                    *want.entry((hop.to, encapsulation)).or_default() += 1;
                }
            }
        }
        let tunnels: Vec<Tunnel> = federation.ask(node.name, &["tunnels"]).await?;
        let text =
            federation.node(node.name)?.run(&["ip", "-j", "link", "show", "dev", UPLINK]).await?;
        let uplink: Value = serde_json::from_str(&text)?;
        let mtu = uplink[0]["mtu"].as_u64().context("no MTU")? - OVERHEAD;
        for tunnel in &tunnels {
            ensure!(tunnel.local == IpAddr::from(node.address), "{tunnel:?}");
            ensure!(tunnel.mtu.map(u64::from) == Some(mtu), "{tunnel:?} on an uplink for {mtu}");
        }
        let seen: BTreeMap<_, _> = tunnels
            .into_iter()
            .map(|tunnel| ((tunnel.remote.to_string(), tunnel.encapsulation), tunnel.routes))
            .collect();
        ensure!(seen == want, "{} shows {seen:?}, its VRFs use {want:?}", node.name);
    }
    Ok(())
}

async fn dropped(federation: &Federation, node: &str, reason: &str) -> Result<u64> {
    let drops: Vec<DropCounter> = federation.ask(node, &["drops", "--all"]).await?;
    let found = drops.iter().find(|counter| counter.reason == reason);
    found.map(|counter| counter.packets).with_context(|| format!("no {reason} in {drops:?}"))
}

/// Packets for which there is no route are counted one by one, on their node and on no other.
async fn drops_are_counted(federation: &Federation) -> Result<()> {
    let db = address("db-1")?.to_string();
    let mut before = BTreeMap::new();
    for node in &scene::NODES {
        before.insert(node.name, dropped(federation, node.name, "no-route").await?);
    }
    let ping = ["ping", "-c7", "-i0.05", "-W1", &db];
    let output = federation.workload("nginx-2")?.output(&ping).await?;
    ensure!(!output.status.success(), "nginx-2 reaches db-1");
    for node in &scene::NODES {
        let want = before[node.name] + if node.name == "k8s-node-2" { 7 } else { 0 };
        let seen = dropped(federation, node.name, "no-route").await?;
        ensure!(seen == want, "{} counts {seen} instead of {want}", node.name);
    }
    Ok(())
}
