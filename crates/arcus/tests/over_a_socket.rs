//! The command line against a server on a real Unix socket.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use arcus_api::v1::{
    AdvertisedQuery, ApiError, Counters, Family, MirrorQuery, PortId, PortRequest, PortState,
    PortStatus, Reloaded, Route, RoutePage, RouteQuery, Status, TopologyStatus, Trace, TraceAction,
    TraceOutcome, TracePacket, TraceRequest, TraceStep, Traffic, TunnelCounter,
};
use axum::extract::{Path as Segments, Query, State};
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use tokio::net::UnixListener;
use tokio::sync::oneshot;

/// A daemon of which only the answers exist. What it was asked to do is kept.
struct Server {
    dir: tempfile::TempDir,
    asked: Asked,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type Asked = Arc<Mutex<Vec<(PortId, PortRequest)>>>;

impl Server {
    fn start(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let asked = Asked::default();
        let router = router(Arc::clone(&asked));
        let socket = dir.path().join(format!("{name}.sock"));
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, ready) = std::sync::mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = UnixListener::bind(socket).expect("bind");
                bound.send(()).expect("the test waits");
                let serve = axum::serve(listener, router);
                serve.with_graceful_shutdown(async { drop(stopped.await) }).await.expect("serve");
            });
        });
        ready.recv().expect("it listens");
        Self { dir, asked, stop: Some(stop), thread: Some(thread) }
    }

    fn arcus(&self, args: &[&str]) -> Output {
        arcus(self.dir.path()).args(args).output().expect("arcus runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking(), "the server panicked");
    }
}

/// The command line with nothing of the caller's environment that it reads.
fn arcus(run_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arcus"));
    command.env_remove("ARCUS_SOCKET").env("ARCUS_RUN_DIR", run_dir);
    command
}

fn router(asked: Asked) -> Router {
    Router::new()
        .route("/v1/status", get(|| async { Json(status()) }))
        .route("/v1/routes", get(routes))
        .route("/v1/routes/{family}/{*nlri}", get(route))
        .route("/v1/neighbors/{address}/advertised", get(advertised))
        .route("/v1/ports/{id}", put(put_port).delete(|| async { StatusCode::NO_CONTENT }))
        .route("/v1/reload", post(reload))
        .route("/v1/counters", get(counters))
        .route("/v1/trace", post(trace))
        .route("/v1/ports/{id}/mirror", get(mirror))
        .fallback(|uri: Uri| async move {
            let path = uri.path();
            (StatusCode::NOT_FOUND, Json(ApiError::new(format!("there is no `{path}` here"))))
        })
        .with_state(asked)
}

fn topology() -> TopologyStatus {
    TopologyStatus {
        file: "leonardo.toml".to_owned(),
        generation: 2,
        hash: "abcd".to_owned(),
        loaded_at: 1_795_205_748,
        last_error: None,
    }
}

fn status() -> Status {
    Status {
        daemon: "arcus-bgpd".to_owned(),
        name: "ctl-1".to_owned(),
        version: "0.1.0".to_owned(),
        topology: topology(),
        ready: true,
        started_at: 1_795_205_748,
    }
}

/// Routes 0 to 4, in pages of two whatever is asked.
fn page(after: Option<&String>) -> RoutePage {
    let start: usize = after.map_or(0, |after| after.parse().expect("our own cursor"));
    let routes = (start..5).take(2).map(|n| Route {
        family: Family::Vpnv4,
        nlri: format!("10.2.1.{n}:1:10.20.0.5/32"),
        rd: Some(format!("10.2.1.{n}:1")),
        prefix: "10.20.0.5/32".parse().ok(),
        paths: serde_json::from_value(serde_json::json!([{
            "best": true, "neighbor": "10.2.1.11", "as_path": "", "origin": "igp",
            "targets": [], "communities": [], "encapsulations": [], "cluster_list": [],
            "stale": false, "why": "",
        }]))
        .expect("a path"),
    });
    RoutePage { routes: routes.collect(), next: (start + 2 < 5).then(|| (start + 2).to_string()) }
}

async fn routes(Query(query): Query<RouteQuery>) -> Json<RoutePage> {
    assert_eq!(query.family, Some(Family::Vpnv4));
    Json(page(query.after.as_ref()))
}

async fn advertised(Query(query): Query<AdvertisedQuery>) -> Json<RoutePage> {
    if query.family == Some(Family::Rtc) {
        return Json(RoutePage { routes: vec![], next: Some("0:".to_owned()) });
    }
    assert_eq!(query.family, Some(Family::Vpnv4));
    Json(page(query.after.as_ref()))
}

async fn route(
    Segments((family, nlri)): Segments<(Family, String)>,
) -> Result<Json<Route>, (StatusCode, Json<ApiError>)> {
    page(None).routes.into_iter().find(|route| route.nlri == nlri).map(Json).ok_or_else(|| {
        (StatusCode::NOT_FOUND, Json(ApiError::new(format!("no {family} route {nlri}"))))
    })
}

async fn put_port(
    State(asked): State<Asked>,
    Segments(id): Segments<PortId>,
    Json(request): Json<PortRequest>,
) -> Json<PortStatus> {
    asked.lock().expect("no panic").push((id.clone(), request.clone()));
    let failed = request.network == "broken";
    Json(PortStatus {
        id,
        network: request.network,
        address: request.ip,
        ip6: request.ip6,
        mac: "02:00:0a:00:64:04".to_owned(),
        netns: request.netns,
        interface: request.interface,
        label: 16,
        state: if failed {
            PortState::Failed { reason: "no such device".to_owned() }
        } else {
            PortState::Programmed
        },
        ready: request.ready,
        floating: request.floating,
        services: request.services,
        filter: request.filter,
        groups: request.groups.unwrap_or_default(),
        allowed: request.allowed,
        bandwidth: request.bandwidth,
    })
}

async fn counters() -> Json<Counters> {
    let traffic = Traffic { rx_packets: 3, rx_octets: 252, ..Traffic::default() };
    let remote = [10, 1, 1, 11].into();
    Json(Counters { tunnels: vec![TunnelCounter { remote, traffic }], ..Counters::default() })
}

/// Packets to 10.0.0.1 arrive, others do not.
async fn trace(Json(request): Json<TraceRequest>) -> Json<Trace> {
    let address = match &request.packet {
        TracePacket::Headers(headers) => headers.destination,
        TracePacket::Octets(_) => IpAddr::from([0, 0, 0, 0]),
    };
    let good = address == IpAddr::from([10, 0, 0, 1]);
    let action =
        TraceAction::Routed { vrf: "web".to_owned(), address, next_hops: good.then_some(1) };
    let text = format!("looked up {address} in web");
    let (outcome, end) = if good {
        (TraceOutcome::Sent { interface: "eth0".to_owned() }, "sent by eth0")
    } else {
        (TraceOutcome::Dropped { reason: "no-route".to_owned() }, "dropped: no-route")
    };
    let steps = vec![TraceStep { text, action }];
    Json(Trace { steps, outcome, text: end.to_owned(), packet: None })
}

async fn mirror(
    Segments(id): Segments<PortId>,
    Query(query): Query<MirrorQuery>,
) -> Result<Vec<u8>, (StatusCode, Json<ApiError>)> {
    match (id.as_str(), query.seconds) {
        ("db-1", Some(1)) => Ok(PCAP.to_vec()),
        _ => Err((StatusCode::NOT_FOUND, Json(ApiError::new("no such port")))),
    }
}

/// The header of an empty pcap file.
const PCAP: [u8; 24] =
    [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0];

async fn reload() -> Result<Json<Reloaded>, (StatusCode, Json<ApiError>)> {
    let refusal = "leonardo.toml:3:1: unknown key `asm`\n3 | asm = 1";
    Err((StatusCode::UNPROCESSABLE_ENTITY, Json(ApiError::new(refusal))))
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_page_is_asked_for_and_the_limit_is_kept() {
    let server = Server::start("ctl-1");
    let all = stdout(&server.arcus(&["routes"]));
    assert_eq!(all.lines().count(), 1 + 5, "{all}");
    assert!(!all.contains('\x1b'), "no colours without a terminal: {all}");

    let some = server.arcus(&["advertised", "10.2.1.11", "--limit", "3", "-o", "json"]);
    let routes: Vec<Route> = serde_json::from_slice(&some.stdout).expect("json");
    // The server's pages do not end at the limit; what it sent is shown.
    assert_eq!(routes.len(), 4);
    assert!(String::from_utf8_lossy(&some.stderr).contains("--limit 0"), "{some:?}");
}

#[test]
fn a_daemon_that_never_comes_to_the_end_is_not_asked_for_ever() {
    let server = Server::start("ctl-1");
    let refusal = failure(&server.arcus(&["advertised", "10.2.1.11", "rtc"]));
    assert!(refusal.contains("the same page again"), "{refusal}");
}

#[test]
fn a_route_is_found_by_its_key_and_by_its_prefix() {
    let server = Server::start("ctl-1");
    let one = stdout(&server.arcus(&["route", "vpnv4", "10.2.1.1:1:10.20.0.5/32"]));
    assert!(one.starts_with("vpnv4 10.2.1.1:1:10.20.0.5/32, 1 path\n"), "{one}");
    let every_rd = stdout(&server.arcus(&["route", "vpnv4", "10.20.0.5/32"]));
    assert_eq!(every_rd.matches("1 path\n").count(), 5, "{every_rd}");
    let none = failure(&server.arcus(&["route", "vpnv4", "10.2.1.9:1:10.20.0.5/32"]));
    assert_eq!(none, "error: no vpnv4 route 10.2.1.9:1:10.20.0.5/32\n");
}

#[test]
fn a_port_is_asked_for_as_the_line_says() {
    let server = Server::start("openstack-10.1.1.11");
    let netns = server.dir.path().join("db-1");
    fs::write(&netns, "").expect("a file in place of a namespace");
    let netns = netns.to_str().expect("text");
    let line = ["port", "add", "--netns", netns, "--ip", "10.0.100.4", "--unready", "--network"];
    let text = stdout(&server.arcus(&[&line[..], &["database"]].concat()));
    assert!(text.starts_with("db-1\n  network    database\n"), "{text}");
    {
        let asked = server.asked.lock().expect("no panic");
        let (id, request) = asked.first().expect("a request");
        assert_eq!((id.as_str(), request.ready), ("db-1", false));
        assert_eq!(request.netns.to_str(), Some(netns));
    }

    let broken = server.arcus(&[&line[..], &["broken"]].concat());
    assert_eq!(broken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&broken.stdout).contains("failed: no such device"));
    assert!(stdout(&server.arcus(&["port", "remove", "db-1"])).is_empty());

    let missing = failure(&server.arcus(&[
        "port",
        "add",
        "--network",
        "n",
        "--netns",
        "no-such-ns",
        "--ip",
        "10.0.0.1",
    ]));
    assert!(missing.contains("ip netns add no-such-ns"), "{missing}");
}

#[test]
fn what_a_port_may_do_is_asked_for_too() {
    let server = Server::start("openstack-10.1.1.11");
    let line = "port add --netns /run/netns/web-1 --network web --ip 10.10.0.5 --ip 2001:db8::5 \
                --service web/10.254.10.5:80 --affinity 300 --weight 2 --filter web --no-groups \
                --allowed 10.99.0.0/16 --bandwidth 100M";
    let text = stdout(&server.arcus(&line.split_whitespace().collect::<Vec<_>>()));
    assert!(text.contains("  address    10.10.0.5, 2001:db8::5\n"), "{text}");
    let asked = server.asked.lock().expect("no panic");
    let (_, request) = asked.first().expect("a request");
    assert_eq!(request.groups.as_deref(), Some(&[][..]));
    assert_eq!((request.bandwidth, request.filter.as_deref()), (Some(100_000_000), Some("web")));
    let service = &request.services[0];
    assert_eq!((service.affinity_seconds, service.weight), (Some(300), Some(2)));
}

#[test]
fn a_trace_ends_with_what_became_of_the_packet() {
    let server = Server::start("openstack-10.1.1.11");
    let sent = server.arcus(&["trace", "--from-port", "db-1", "--to", "10.0.0.1:80"]);
    assert_eq!(stdout(&sent), "1  looked up 10.0.0.1 in web\nsent by eth0\n");
    let dropped = server.arcus(&["trace", "--from-port", "db-1", "--to", "10.0.0.2"]);
    assert_eq!(failure(&dropped), "", "a dropped packet is an answer and no error");
    let said = String::from_utf8_lossy(&dropped.stdout);
    assert_eq!(said, "1  looked up 10.0.0.2 in web\ndropped: no-route\n");
}

#[test]
fn counters_of_one_kind_are_one_table() {
    let server = Server::start("openstack-10.1.1.11");
    let all = stdout(&server.arcus(&["counters"]));
    assert!(all.starts_with("no ports\n") && all.contains("\n10.1.1.11 "), "{all}");
    let tunnels = stdout(&server.arcus(&["counters", "tunnels"]));
    assert_eq!(tunnels.lines().count(), 2, "{tunnels}");
}

#[test]
fn a_mirrored_port_is_a_pcap_file() {
    let server = Server::start("openstack-10.1.1.11");
    let file = server.dir.path().join("db-1.pcap");
    let path = file.to_str().expect("text");
    stdout(&server.arcus(&["mirror", "db-1", "-w", path, "--seconds", "1"]));
    assert_eq!(fs::read(&file).expect("the file"), PCAP);
    let piped = server.arcus(&["mirror", "db-1", "--seconds", "1"]);
    assert_eq!(piped.stdout, PCAP);
    let nobody = failure(&server.arcus(&["mirror", "db-2"]));
    assert!(nobody.contains("no port `db-2` on this node"), "{nobody}");
}

#[test]
fn a_refusal_is_printed_as_it_came() {
    let server = Server::start("ctl-1");
    let refusal = failure(&server.arcus(&["reload"]));
    assert_eq!(refusal, "error: leonardo.toml:3:1: unknown key `asm`\n3 | asm = 1\n");
}

#[test]
fn a_question_for_the_other_daemon_is_told_so() {
    let server = Server::start("ctl-1");
    let refusal = failure(&server.arcus(&["vrfs"]));
    assert!(refusal.contains("`ctl-1` is an arcus-bgpd"), "{refusal}");
}

#[test]
fn what_is_missing_comes_with_a_cure() {
    let server = Server::start("ctl-1");
    let refusal = failure(&server.arcus(&["status", "--node", "ctl-9"]));
    assert!(refusal.contains("these run here:\n  ctl-1"), "{refusal}");

    let dead = server.dir.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("bind"));
    let refusal = failure(&server.arcus(&["status", "--node", "dead"]));
    assert!(refusal.contains("nobody listens on"), "{refusal}");

    let empty = tempfile::tempdir().expect("a directory");
    let refusal = failure(&arcus(empty.path()).arg("status").output().expect("arcus runs"));
    assert!(refusal.contains("systemctl start arcus-bgpd@NAME"), "{refusal}");
}

#[test]
fn the_environment_may_name_the_socket() {
    let server = Server::start("ctl-1");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let output = arcus(elsewhere.path())
        .env("ARCUS_SOCKET", server.dir.path().join("ctl-1.sock"))
        .arg("status")
        .output()
        .expect("arcus runs");
    assert!(stdout(&output).starts_with("ctl-1 (arcus-bgpd 0.1.0)\n"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let server = Server::start("ctl-1");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = arcus(server.dir.path())
        .arg("status")
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("arcus runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_topology_is_checked_without_a_daemon() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("t.toml");
    fs::write(&file, "[federation]\nname = \"lab\"\n\n[cloud.lab]\nasm = 64512\n").expect("a file");
    let output = arcus(dir.path()).arg("check").arg(&file).output().expect("arcus runs");
    let refusal = failure(&output);
    assert!(refusal.contains("t.toml:5:1: ") && refusal.contains("5 | asm = 64512"), "{refusal}");
}

#[test]
fn completions_are_printed_without_a_daemon() {
    let nowhere = tempfile::tempdir().expect("a directory");
    let output = arcus(nowhere.path()).args(["completions", "bash"]).output().expect("arcus runs");
    assert!(stdout(&output).contains("_arcus()"));
}
