//! What a node tells of packets is what packets do: traces, counters, mirrors and flow records, each beside
//! a capture, the number that was sent, or somebody else's program.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arcus_api::v1::{Counters, Trace, TraceAction, TraceOutcome, Traffic, VrfTable};
use interop_tests::proofs::{self, Encapsulation};
use interop_tests::traffic::{Transfer, address};
use interop_tests::{Federation, SILENT, scene};
use serde_json::Value;
use testbed::{Bed, Capture, Fabric, Namespace, Process};

const CEILING: Duration = Duration::from_mins(1);
const COLLECTOR: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 9);

/// Of so many packets the nodes of one cloud report one; those of the other report all.
const ONE_IN: u64 = 2;

/// What the ports of the databases take, and that all nodes export flows. `None`: they do not.
fn topology(collector: Option<Ipv4Addr>) -> Result<String> {
    let plain = Encapsulation::MplsOverGre.topology()?;
    let filtered = plain.replace(
        "subnets = [\"10.0.100.0/24\"]\n",
        "subnets = [\"10.0.100.0/24\"]\nfilter = \"database\"\n",
    );
    ensure!(filtered != plain, "the topology has no subnet of databases");
    let mut text = filtered
        + "\n[filter.database]\nrules = [\n  { name = \"ping\", protocol = \"icmp\" },\n  \
           { name = \"any-tcp\", protocol = \"tcp\" },\n]\n";
    if let Some(collector) = collector {
        for (prefixes, one_in) in [("10.1.1.0/24", 1), ("10.2.1.0/24", ONE_IN)] {
            let line = format!("prefixes = [\"{prefixes}\"]");
            let export = format!(
                "{line}\nflow-export = {{ collector = \"{collector}:4739\", sample-one-in = {one_in} }}"
            );
            ensure!(text.contains(&line), "no {line} in\n{text}");
            text = text.replace(&line, &export);
        }
    }
    Ok(text)
}

async fn raise() -> Result<Federation> {
    let federation = Federation::raise(Bed::fresh("arcus-test")?, &topology(None)?, SILENT).await?;
    federation.wait_for_sessions().await?;
    proofs::leonardo_reaches_every_database(&federation).await?;
    Ok(federation)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn traces_counters_and_mirrors_tell_what_packets_do() -> Result<()> {
    let federation = raise().await?;
    a_trace_is_the_way_of_the_packet(&federation).await.context("trace")?;
    a_trace_names_the_rule_that_drops(&federation).await.context("trace of what is dropped")?;
    counters_move_by_what_is_sent(&federation).await.context("counters")?;
    a_mirror_has_the_frames_of_the_port(&federation).await.context("mirror")?;
    an_analyzer_gets_the_frames_of_the_port(&federation).await.context("ERSPAN")
}

fn octets(hex: &str) -> Result<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(|at| pair(at).context("two digits")).collect()
}

/// Where the words of a GRE tunnel with one label are: addresses, label, and the addresses inside.
#[derive(Debug, PartialEq, Eq)]
struct Headers {
    outer: (IpAddr, IpAddr),
    label: u32,
    inner: (IpAddr, IpAddr),
}

impl Headers {
    /// Of a packet from its outermost header on: IP 20, GRE 4, label 4, IP.
    fn of(packet: &[u8]) -> Result<Self> {
        let word = |at: usize| -> Result<u32> {
            let octets = packet.get(at..at + 4).context("it ends too early")?;
            Ok(u32::from_be_bytes(octets.try_into()?))
        };
        ensure!(packet.get(9) == Some(&47) && word(20)? == 0x8847, "no GRE with MPLS");
        let address = |at: usize| word(at).map(|word| IpAddr::from(Ipv4Addr::from_bits(word)));
        Ok(Self {
            outer: (address(12)?, address(16)?),
            label: word(24)? >> 12,
            inner: (address(28 + 12)?, address(28 + 16)?),
        })
    }
}

/// From leonardo-1 to db-1, seen by both nodes, and the same packet on the wire between them.
async fn a_trace_is_the_way_of_the_packet(federation: &Federation) -> Result<()> {
    let (from, to) = (address("leonardo-1")?, address("db-1")?);
    let target = format!("{to}:80");
    let words = ["trace", "--from-port", "leonardo-1", "--to", &target];
    let there: Trace = federation.ask("k8s-node-1", &words).await?;
    let outer = Headers::of(&octets(there.packet.as_deref().context("a packet")?)?)?;
    let table: VrfTable = federation.ask("k8s-node-1", &["vrf", "leonardo"]).await?;
    let route = table.table.iter().find(|route| route.prefix.addr() == IpAddr::from(to));
    let [hop] = &route.context("a route")?.next_hops[..] else { bail!("{route:?}") };
    let (remote, label) = (hop.to.parse::<IpAddr>()?, hop.label.context("a label")?);
    let encapsulation = "mpls-over-gre".to_owned();
    let want = [
        TraceAction::Routed { vrf: "leonardo".to_owned(), address: to.into(), next_hops: Some(1) },
        TraceAction::Chosen { next_hop: hop.clone() },
        TraceAction::Encapsulated { remote, encapsulation: encapsulation.clone(), id: label },
    ];
    let steps: Vec<_> = there.steps.into_iter().map(|step| step.action).collect();
    ensure!(steps == want, "{steps:?}");
    ensure!(there.outcome == TraceOutcome::Sent { interface: testbed::UPLINK.to_owned() });

    let fabric = federation.fabric().namespace();
    let capture =
        Capture::start(federation.bed(), fabric, &Fabric::port("os-node-1"), "ip proto 47").await?;
    federation.fetch(federation.workload("leonardo-1")?, target.parse()?, "/", 1, CEILING).await?;
    let packets = capture.stop().await?;
    let mut ours = packets.iter().filter_map(|packet| {
        let mpls = packet.mpls()?;
        let inner = mpls.inner.as_ref()?;
        Some(Headers {
            outer: (packet.source.into(), packet.destination.into()),
            label: mpls.labels.first()?.label,
            inner: (inner.source.into(), inner.destination.into()),
        })
    });
    let real = ours.find(|seen| seen.inner == (from.into(), to.into())).context("no packet")?;
    ensure!(real == outer, "the trace has {outer:?}, the wire {real:?}");

    let tunnel = format!("mpls-over-gre/{}/{label}", outer.outer.0);
    let source = format!("{from}:40000");
    let words =
        ["trace", "--from-uplink", "--tunnel", &tunnel, "--source", &source, "--to", &target];
    let here: Trace = federation.ask("os-node-1", &words).await?;
    let port = "db-1".parse()?;
    ensure!(here.outcome == TraceOutcome::Delivered { port }, "{here:?}");
    let filtered = here.steps.iter().find_map(|step| match &step.action {
        TraceAction::Filtered { rule, filter, .. } => Some((filter.as_str(), rule.as_str())),
        _ => None,
    });
    ensure!(filtered == Some(("database", "any-tcp")), "{here:?}");
    Ok(())
}

/// From leonardo-1 to nginx-1 on the same node, by the rule of the one-way connection.
async fn a_trace_names_the_rule_that_drops(federation: &Federation) -> Result<()> {
    let target = format!("{}:80", address("nginx-1")?);
    let words = ["trace", "--from-port", "leonardo-1", "--to", &target, "-o", "json"];
    let socket = arcus_api::socket::path(federation.bed().run_dir(), "k8s-node-1");
    let output = tokio::process::Command::new(federation.arcus_program())
        .arg("--socket")
        .arg(socket)
        .args(words)
        .output()
        .await?;
    ensure!(output.status.code() == Some(1), "a script must be able to ask: {output:?}");
    let trace: Trace = serde_json::from_slice(&output.stdout)?;
    ensure!(trace.outcome == TraceOutcome::Dropped { reason: "denied".to_owned() }, "{trace:?}");
    let last = trace.steps.last().context("a step")?;
    ensure!(
        matches!(&last.action, TraceAction::Filtered { rule, .. } if rule == scene::ONE_WAY),
        "{trace:?}"
    );
    Ok(())
}

/// What a node has counted of one port, one tunnel, one VRF; and of the rule for pings.
type Counted = (BTreeMap<&'static str, Traffic>, u64);

async fn counted(federation: &Federation, node: &str, names: [&str; 3]) -> Result<Counted> {
    let all: Counters = federation.ask(node, &["counters"]).await?;
    let [port, tunnel, vrf] = names;
    let tunnel: IpAddr = tunnel.parse()?;
    let port = all.ports.iter().find(|one| one.id.as_str() == port).map(|one| one.traffic);
    let tunnel = all.tunnels.iter().find(|one| one.remote == tunnel).map(|one| one.traffic);
    let vrf = all.vrfs.iter().find(|one| one.name == vrf).map(|one| one.traffic);
    let traffic = [("port", port), ("tunnel", tunnel), ("vrf", vrf)];
    let traffic = traffic.map(|(what, counted)| (what, counted.unwrap_or_default()));
    let rules = all.rules.iter().filter(|rule| rule.rule == "ping").map(|rule| rule.packets);
    Ok((BTreeMap::from(traffic), rules.sum()))
}

/// Seven pings of 128 octets from leonardo-1 to db-1, and their answers.
async fn counters_move_by_what_is_sent(federation: &Federation) -> Result<()> {
    let ends = [
        ("k8s-node-1", ["leonardo-1", "10.1.1.11", "leonardo"], 0),
        ("os-node-1", ["db-1", "10.2.1.11", "database"], 14),
    ];
    let mut before = Vec::new();
    for (node, names, _) in ends {
        before.push(counted(federation, node, names).await?);
    }
    let to = address("db-1")?.to_string();
    federation.workload("leonardo-1")?.run(&["ping", "-c7", "-i0.05", "-s100", &to]).await?;
    for ((node, names, by_rule), (traffic_before, rule_before)) in ends.into_iter().zip(before) {
        let (traffic, rule) = counted(federation, node, names).await?;
        for (what, after) in traffic {
            let before = traffic_before[what];
            let more = [
                after.rx_packets - before.rx_packets,
                after.rx_octets - before.rx_octets,
                after.tx_packets - before.tx_packets,
                after.tx_octets - before.tx_octets,
            ];
            ensure!(more == [7, 7 * 128, 7, 7 * 128], "{node}, {what}: {more:?} more");
        }
        ensure!(rule - rule_before == by_rule, "{node}: {} more by the rule", rule - rule_before);
    }
    Ok(())
}

/// Five pings of leonardo-2 and their answers, read by tshark out of the file that `arcus mirror` writes.
async fn a_mirror_has_the_frames_of_the_port(federation: &Federation) -> Result<()> {
    let bed = federation.bed();
    let file = bed.run_dir().join("mirror.pcap");
    let path = file.display().to_string();
    let socket = arcus_api::socket::path(bed.run_dir(), "k8s-node-2").display().to_string();
    let words = ["--socket", &socket, "mirror", "leonardo-2", "-w", &path];
    let node = federation.node("k8s-node-2")?;
    let mut mirror = bed.start(&node, "mirror", federation.arcus_program(), words)?;
    bed.wait_for("the port is watched", CEILING, async || {
        ensure!(mirror.is_running(), "it ended: {}", mirror.output());
        ensure!(fs::metadata(&file)?.len() >= 24, "no header yet");
        Ok(())
    })
    .await?;
    let (from, to) = (address("leonardo-2")?.to_string(), address("db-3")?.to_string());
    // Of another port of the same node: not in the file.
    let other = federation.workload("nginx-2")?;
    let service = (scene::SERVICE, 80).into();
    federation.fetch(other, service, "/", 1, CEILING).await?;
    federation.workload("leonardo-2")?.run(&["ping", "-c5", "-i0.05", &to]).await?;
    let want: Vec<String> = (1..=5)
        .flat_map(|n| [format!("{from}\t{to}\t8\t{n}"), format!("{to}\t{from}\t0\t{n}")])
        .collect();
    bed.wait_for("tshark reads the frames", CEILING, async || {
        let fields = ["ip.src", "ip.dst", "icmp.type", "icmp.seq"].map(|field| ["-e", field]);
        let mut words = vec!["tshark", "-nr", &path, "-Y", "icmp", "-T", "fields"];
        words.extend(fields.as_flattened());
        let text = node.run(&words).await?;
        let seen: Vec<&str> = text.lines().collect();
        ensure!(seen == want, "it has:\n{text}");
        Ok(())
    })
    .await?;
    let words = ["tshark", "-nr", &path, "-Y", &format!("ip and not ip.addr == {from}")];
    let others = node.run(&words).await?;
    ensure!(others.trim().is_empty(), "of other ports:\n{others}");
    drop(mirror);
    Ok(())
}

/// The same over GRE to a host of the underlay, read there by tshark.
async fn an_analyzer_gets_the_frames_of_the_port(federation: &Federation) -> Result<()> {
    let bed = federation.bed();
    let host = federation.fabric().node(bed, "analyzer", COLLECTOR).await?;
    let capture = Capture::start(bed, &host, testbed::UPLINK, "ip proto 47").await?;
    let socket = arcus_api::socket::path(bed.run_dir(), "k8s-node-3").display().to_string();
    let to = COLLECTOR.to_string();
    let words = ["--socket", &socket, "mirror", "leonardo-3", "--erspan", &to, "--session", "77"];
    let node = federation.node("k8s-node-3")?;
    let mut mirror = bed.start(&node, "erspan", federation.arcus_program(), words)?;
    let (from, db) = (address("leonardo-3")?.to_string(), address("db-3")?.to_string());
    let ping = ["ping", "-c1", "-W1", &db];
    let path = capture.file().display().to_string();
    let fields = ["ip.src", "ip.dst", "erspan.spanid", "icmp.type"].map(|field| ["-e", field]);
    let mut read = vec!["tshark", "-nr", &path, "-Y", "erspan", "-T", "fields"];
    read.extend(fields.as_flattened());
    let outer = node_address("k8s-node-3")?;
    let there = format!("{outer},{from}\t{to},{db}\t77\t8");
    let back = format!("{outer},{db}\t{to},{from}\t77\t0");
    bed.wait_for("the analyzer has a ping and its answer", CEILING, async || {
        ensure!(mirror.is_running(), "it ended: {}", mirror.output());
        federation.workload("leonardo-3")?.run(&ping).await?;
        let text = host.run(&read).await?;
        let has = |line: &str| text.lines().any(|seen| seen == line);
        ensure!(has(&there) && has(&back), "it has:\n{text}");
        Ok(())
    })
    .await?;
    capture.stop().await.map(drop)
}

fn node_address(name: &str) -> Result<Ipv4Addr> {
    let found = scene::NODES.iter().find(|machine| machine.name == name);
    Ok(found.context("a node")?.address)
}

/// `nfcapd` on a host of the underlay.
struct Collector {
    host: Namespace,
    _process: Process,
    flows: PathBuf,
}

impl Collector {
    async fn start(federation: &Federation) -> Result<Self> {
        let bed = federation.bed();
        let host = federation.fabric().node(bed, "collector", COLLECTOR).await?;
        let flows = bed.run_dir().join("flows");
        fs::create_dir_all(&flows)?;
        let path = flows.display().to_string();
        let words = ["-p", "4739", "-t", "2", "-w", &path];
        let process = bed.start(&host, "nfcapd", "nfcapd", words)?;
        bed.wait_for("nfcapd listens", CEILING, async || {
            let listening = host.run(&["ss", "-lunH", "sport", "=", ":4739"]).await?;
            ensure!(!listening.is_empty(), "it does not");
            Ok(())
        })
        .await?;
        Ok(Self { host, _process: process, flows })
    }

    /// The sum of all records so far that match a filter of nfdump's, as (packets, octets).
    async fn sum(&self, filter: &str) -> Result<(u64, u64)> {
        let output = tokio::process::Command::new("nfdump")
            .args(["-R", &self.flows.display().to_string(), "-o", "json", filter])
            .output()
            .await?;
        let flows: Vec<Value> = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stdout).into_owned())?;
        let sum = |key: &str| flows.iter().filter_map(|flow| flow[key].as_u64()).sum();
        Ok((sum("in_packets"), sum("in_bytes")))
    }
}

/// All nodes export, nfcapd collects: every ping of the first cloud's nodes, and a part of a transfer, which the rate
/// that the exporter tells makes whole. (`nfcapd` 1.7.1 does not read that rate; tshark does.)
#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_collector_reads_the_flows_of_all_nodes() -> Result<()> {
    let federation = raise().await?;
    let collector = Collector::start(&federation).await?;
    let capture =
        Capture::start(federation.bed(), &collector.host, testbed::UPLINK, "udp port 4739").await?;
    fs::write(federation.topology(), topology(Some(COLLECTOR))?)?;
    federation.reload().await?;
    both_ends_export(&federation, &collector).await?;

    let (from, to) = (address("leonardo-1")?, address("db-1")?);
    let ping = ["ping", "-c20", "-i0.05", &to.to_string()];
    federation.workload("leonardo-1")?.run(&ping).await?;
    let before = federation.ask::<Counters>("k8s-node-1", &["counters"]).await?;
    Transfer::start(&federation, "leonardo-1", "db-2", 3).await?.finish().await?;
    let after = federation.ask::<Counters>("k8s-node-1", &["counters"]).await?;
    let sent = |counters: &Counters| {
        let port = counters.ports.iter().find(|port| port.id.as_str() == "leonardo-1");
        port.map(|port| port.traffic.rx_octets).context("leonardo-1")
    };
    let sent = sent(&after)? - sent(&before)?;

    // 20 pings of 84 octets each way, seen where they come in and where they go out.
    for (source, destination) in [(from, to), (to, from)] {
        let filter = format!("proto icmp and src ip {source} and dst ip {destination}");
        federation
            .bed()
            .wait_for("the collector has every ping", CEILING, async || {
                let seen =
                    collector.sum(&format!("{filter} and {}", exported_by("os-node-1")?)).await?;
                ensure!(seen == (20, 20 * 84), "{filter}: it has {seen:?}");
                Ok(())
            })
            .await?;
    }
    let taken = told_rate(&collector.host, &capture, "k8s-node-1").await?;
    ensure!(taken == ONE_IN, "of {taken}");
    let filter =
        format!("proto tcp and src ip {from} and dst ip {} and dst port 9000", address("db-2")?);
    federation
        .bed()
        .wait_for("the collector has the transfer", CEILING, async || {
            let seen =
                collector.sum(&format!("{filter} and {}", exported_by("k8s-node-1")?)).await?;
            let scaled = seen.1 * taken;
            let near = sent / 10 * 6..sent / 10 * 14;
            ensure!(near.contains(&scaled), "{} times {taken} of {sent} octets", seen.1);
            Ok(())
        })
        .await?;
    capture.stop().await.map(drop)
}

/// Of how many packets a node says that it takes one, as tshark reads its options.
async fn told_rate(host: &Namespace, capture: &Capture, node: &str) -> Result<u64> {
    let file = capture.file().display().to_string();
    let filter = format!("cflow.sampling_packet_space and ip.src == {}", node_address(node)?);
    let words = ["tshark", "-nr", &file, "-d", "udp.port==4739,cflow", "-Y", &filter];
    let fields = ["-T", "fields", "-e", "cflow.sampling_packet_space"];
    let text = host.run(&[&words[..], &fields].concat()).await?;
    let space: u64 = text.lines().next().context("no options")?.trim().parse()?;
    Ok(space + 1)
}

/// Of the records of one node only.
fn exported_by(node: &str) -> Result<String> {
    Ok(format!("router ip {}", node_address(node)?))
}

/// The data planes of both ends of what follows report samples: a connection of each is in a record.
async fn both_ends_export(federation: &Federation, collector: &Collector) -> Result<()> {
    let to = (address("db-1")?, 80).into();
    federation
        .bed()
        .wait_for("both ends export", CEILING, async || {
            federation.fetch(federation.workload("leonardo-1")?, to, "/", 5, CEILING).await?;
            for node in ["k8s-node-1", "os-node-1"] {
                let seen = collector.sum(&exported_by(node)?).await?;
                ensure!(seen != (0, 0), "nothing of {node}");
            }
            Ok(())
        })
        .await
}
