//! What a collector of somebody else's, `nfcapd`, reads in our flow records.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arcus_config::FlowExport;
use arcus_vrouter_agent::flow_export::FlowExporter;
use arcus_vrouter_agent::node::Node;
use dataplane::event::{Sample, Tuple};
use dataplane::{Direction, VrfId};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const CEILING: Duration = Duration::from_mins(1);
const ONE_IN: u32 = 100;

/// A running `nfcapd`.
struct Collector {
    child: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Collector {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let log = fs::File::create(directory.path().join("log")).expect("a log");
        let flows = directory.path().join("flows");
        fs::create_dir(&flows).expect("a directory");
        let child = Command::new("nfcapd")
            // Version 1.7.1 does not read the rate in the options, and is told.
            .args(["-s", &ONE_IN.to_string()])
            .args(["-b", "127.0.0.1", "-p", &port.to_string(), "-t", "2", "-w"])
            .arg(&flows)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("nfcapd (package nfdump)");
        let collector = Self { child, directory, port };
        // What listens has the port.
        wait("nfcapd listens", || {
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_err().then_some(())
        });
        collector
    }

    /// All flows of the files that are finished, once there are so many.
    fn flows(&self, count: usize) -> Vec<Value> {
        wait("nfcapd has the flows", || {
            let flows = read(&self.directory.path().join("flows"));
            (flows.len() >= count).then_some(flows)
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn read(flows: &Path) -> Vec<Value> {
    let output = Command::new("nfdump").arg("-R").arg(flows).args(["-o", "json"]).output();
    let output = output.expect("nfdump");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < CEILING, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sample(source: &str, destination: &str, direction: Direction) -> Sample {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    Sample {
        vrf: VrfId(7),
        port: "web".into(),
        direction,
        tuple: Tuple {
            source: address(source),
            destination: address(destination),
            protocol: 6,
            source_port: 40_000,
            destination_port: 443,
        },
        length: 1500,
        packets: 1,
        tcp_flags: 0x10,
        traffic_class: 0xb8,
        remote: Some(address("192.0.2.9")),
    }
}

fn node() -> Node {
    Node {
        name: "node".into(),
        cloud: "test".into(),
        address: Ipv4Addr::LOCALHOST.into(),
        address6: None,
        router_id: Ipv4Addr::new(192, 0, 2, 1),
        uplink_mtu: 1500,
        port_mtu: 1450,
        uplinks: vec!["lo".into()],
    }
}

/// Exports `samples`, ends, and says what became of them.
async fn export(config: FlowExport, samples: Vec<Sample>) -> [u64; 3] {
    let (_wanted, wanted) = watch::channel(Some(config));
    let (flow_exporter, sink, exported) = FlowExporter::new(node(), wanted);
    let shutdown = CancellationToken::new();
    for sample in samples {
        sink.send(sample);
    }
    let task = tokio::spawn(flow_exporter.run(shutdown.clone()));
    shutdown.cancel();
    task.await.expect("no panic").expect("it ends");
    [&exported.records, &exported.unsent, &exported.overrun].map(|n| n.load(Ordering::Relaxed))
}

#[tokio::test]
async fn nfcapd_reads_both_versions_of_ip_and_scales_by_the_rate() {
    let collector = Collector::start();
    let config = FlowExport {
        collector: (Ipv4Addr::LOCALHOST, collector.port).into(),
        sample_one_in: ONE_IN,
    };
    let v4 = || sample("10.0.0.1", "10.0.0.2", Direction::Out);
    let v6 = || sample("2001:db8::1", "2001:db8::2", Direction::In);
    let outcome = export(config, vec![v4(), v6(), v4(), v4()]).await;
    assert_eq!(outcome, [2, 0, 0]);
    let flows = collector.flows(2);
    let find = |key: &str| flows.iter().find(|flow| flow.get(key).is_some()).expect(key);
    let (v4, v6) = (find("src4_addr"), find("src6_addr"));
    assert_eq!((&v4["src4_addr"], &v4["dst4_addr"]), (&"10.0.0.1".into(), &"10.0.0.2".into()));
    assert_eq!(
        (&v6["src6_addr"], &v6["dst6_addr"]),
        (&"2001:db8::1".into(), &"2001:db8::2".into())
    );
    assert_eq!((&v4["direction"], &v6["direction"]), (&0.into(), &1.into()));
    assert_eq!(v4["ip4_next_hop"], "192.0.2.9", "{v4}");
    for (flow, packets) in [(v4, 3), (v6, 1)] {
        assert_eq!((&flow["proto"], &flow["src_port"]), (&6.into(), &40_000.into()), "{flow}");
        assert_eq!(flow["dst_port"], 443, "{flow}");
        assert_eq!(flow["in_packets"], packets * ONE_IN, "{flow}");
        assert_eq!(flow["in_bytes"], packets * 1500 * ONE_IN, "{flow}");
        assert_eq!(flow["src_tos"], 0xb8, "{flow}");
        assert_eq!((&flow["ingress_vrf"], &flow["tcp_flags"]), (&"7".into(), &"...A....".into()));
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_counted() {
    // The kernel refuses a broadcast that nobody asked for.
    let config = FlowExport { collector: (Ipv4Addr::BROADCAST, 4739).into(), sample_one_in: 1 };
    let samples = vec![sample("10.0.0.1", "10.0.0.2", Direction::Out)];
    let outcome = export(config, samples).await;
    assert_eq!(outcome, [0, 1, 0]);
}

#[tokio::test]
async fn samples_that_nobody_takes_are_counted() {
    let (_wanted, wanted) = watch::channel(None);
    let (flow_exporter, sink, exported) = FlowExporter::new(node(), wanted);
    for _ in 0..5000 {
        sink.send(sample("10.0.0.1", "10.0.0.2", Direction::Out));
    }
    assert_eq!(exported.overrun.load(Ordering::Relaxed), 5000 - 4096);
    drop(flow_exporter);
}
