//! Two control nodes of two clouds, their nodes and a gateway.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::{Federation, PORT, eventually};
use bgp_session::{DownReason, SessionConfig};
use bgp_wire::community::Community;
use bgp_wire::{AfiSafi, Label, NextHop, PathId, Route, RouteTarget, RtMembership, VpnV4};
use socket2::{Domain, Socket, Type};

const DB: &str = "10.1.1.1:1:10.0.100.4/32";
const OTHER_DB: &str = "10.1.1.1:1:10.0.100.5/32";
const DEFAULT: &str = "64999:1:0.0.0.0/0";

#[tokio::test]
async fn a_route_crosses_the_federation_unchanged_and_end_of_rib_follows_it() {
    let federation = Federation::start();
    let (mut vm_node, mut pod_node) = (federation.agent(17, 0), federation.agent(33, 0));
    vm_node.up().await;
    vm_node.wants(&[]).await;
    vm_node.says(DB, 16, &[100]).await;
    vm_node.end_of_rib(AfiSafi::VPNV4).await;
    pod_node.up().await;
    pod_node.wants(&[100]).await;
    pod_node.until("the route is there", |fake| fake.told.contains_key(DB)).await;
    let told = &pod_node.told[DB];
    assert_eq!(told.next_hop, NextHop::V4(vm_node.address), "packets go from node to node");
    assert_eq!(told.label, Label::mpls(16).unwrap());
    assert_eq!(told.attributes.as_path.numbers().collect::<Vec<_>>(), [64_512]);
    // Another shard says so than the one that has the route.
    let default = BTreeSet::from([RtMembership::DEFAULT]);
    pod_node.until("everything is asked of it", |fake| fake.memberships == default).await;
    pod_node.until("End-of-RIB", |fake| fake.ended.contains(&AfiSafi::VPNV4)).await;
    assert!(!pod_node.told[DB].after_end, "the mark stands behind the routes");
}

#[tokio::test]
async fn a_target_that_moves_away_takes_the_route_with_it() {
    let federation = Federation::start();
    let (mut vm_node, mut pod_node) = (federation.agent(17, 0), federation.agent(33, 0));
    vm_node.up().await;
    pod_node.up().await;
    vm_node.wants(&[]).await;
    pod_node.wants(&[100]).await;
    vm_node.says(DB, 16, &[100]).await;
    pod_node.until("the route is there", |fake| fake.told.contains_key(DB)).await;
    vm_node.says(DB, 16, &[700]).await;
    pod_node.until("the route is gone", |fake| fake.told.is_empty()).await;
    pod_node.wants(&[700]).await;
    pod_node.until("it is wanted by its new target", |fake| fake.told.contains_key(DB)).await;
    vm_node.withdraws(DB).await;
    pod_node.until("it is withdrawn", |fake| fake.told.is_empty()).await;
}

#[tokio::test]
async fn a_gateway_hears_its_networks_and_speaks_in_them_only() {
    let federation = Federation::start_with("", &["public", "edge"]);
    let (mut vm_node, mut pod_node) = (federation.agent(17, 0), federation.agent(33, 0));
    let mut gateway = federation.gateway();
    for fake in [&mut vm_node, &mut pod_node, &mut gateway] {
        fake.up().await;
    }
    vm_node.wants(&[100]).await;
    pod_node.wants(&[900]).await;
    vm_node.says(DB, 16, &[100]).await;
    // No node of the gateway's cloud wants `edge`, and the gateway cannot say that it does.
    vm_node.says("10.1.1.1:2:10.0.101.4/32", 17, &[700]).await;
    pod_node.says("10.2.1.1:1:185.22.97.188/32", 18, &[900]).await;
    gateway.until("two networks are there", |fake| fake.told.len() == 2).await;
    assert!(!gateway.told.contains_key(DB));

    gateway.says(DEFAULT, 3000, &[900, 100]).await;
    gateway.says("64999:2:10.0.100.0/24", 3001, &[100]).await;
    pod_node.until("the default route", |fake| fake.told.contains_key(DEFAULT)).await;
    let targets: Vec<_> = pod_node.told[DEFAULT].attributes.route_targets().collect();
    assert_eq!(targets, [RouteTarget::as2(64_512, 900)], "what is not its own is taken off");
    // What is said behind it has arrived, so what was said before would have.
    gateway.says("64999:1:192.0.2.0/24", 3000, &[700]).await;
    vm_node.wants(&[700]).await;
    vm_node.until("a route", |fake| fake.told.contains_key("64999:1:192.0.2.0/24")).await;
    assert!(!vm_node.told.contains_key(DEFAULT), "not into `database`");
    assert!(!vm_node.told.contains_key("64999:2:10.0.100.0/24"));
}

#[tokio::test]
async fn a_reload_takes_effect_whole_or_not_at_all() {
    let federation = Federation::start();
    let (mut vm_node, mut gateway) = (federation.agent(17, 0), federation.gateway());
    vm_node.up().await;
    gateway.up().await;
    vm_node.wants(&[]).await;
    vm_node.says("10.1.1.1:2:10.0.101.4/32", 17, &[700]).await;

    std::fs::write(federation.file(), "[federation]\nname = 7\n").unwrap();
    for node in ["os", "k8s"] {
        let (status, answer) = federation.ask(node, "POST /v1/reload").await;
        assert_eq!(status / 100, 4, "{answer}");
        let (_, status) = federation.ask(node, "GET /v1/status").await;
        assert_eq!(status["topology"]["generation"], 1);
        assert!(status["topology"]["last_error"].as_str().unwrap().contains("federation.toml:2"));
    }
    assert_eq!(federation.neighbor("k8s", 65).await["state"], "established");

    federation.write("", &["public", "edge"]);
    for node in ["os", "k8s"] {
        let (status, answer) = federation.ask(node, "POST /v1/reload").await;
        assert_eq!(status, 200, "{answer}");
    }
    // From the other cloud, where it was announced long ago.
    gateway.until("its new network", |fake| fake.told.len() == 1).await;
    federation.write("", &["public"]);
    federation.ask("k8s", "POST /v1/reload").await;
    gateway.until("it has that network no longer", |fake| fake.told.is_empty()).await;
    assert!(gateway.downs.is_empty(), "no session was reset");
    assert!(vm_node.downs.is_empty());
}

#[tokio::test]
async fn a_node_whose_prefix_is_gone_is_sent_away() {
    let federation = Federation::start();
    let mut vm_node = federation.agent(29, 0);
    vm_node.up().await;
    // Half of the prefix goes to a gateway's cloud-mates: nobody of the topology has 29 any more.
    let text = std::fs::read_to_string(federation.file()).unwrap();
    std::fs::write(federation.file(), text.replace(".16/28", ".16/29")).unwrap();
    assert_eq!(federation.ask("os", "POST /v1/reload").await.0, 200);
    vm_node.until("it is told so", |fake| !fake.downs.is_empty()).await;
    let DownReason::Received(why) = &vm_node.downs[0].reason else { panic!("{:?}", vm_node.downs) };
    assert_eq!((why.code, why.subcode), (6, 3), "peer de-configured");
    let known = || federation.neighbor("os", 29);
    eventually("it is forgotten", known, |answer| answer["error"].is_string()).await;
}

#[tokio::test]
async fn routes_outlive_a_connection_for_the_restart_time_and_no_longer() {
    let federation = Federation::start();
    let mut pod_node = federation.agent(33, 0);
    pod_node.up().await;
    pod_node.wants(&[100]).await;
    let mut vm_node = federation.agent(17, 3);
    vm_node.up().await;
    vm_node.wants(&[]).await;
    vm_node.says(DB, 16, &[100]).await;
    vm_node.says(OTHER_DB, 16, &[100]).await;
    vm_node.end_of_rib(AfiSafi::VPNV4).await;
    pod_node.until("both routes", |fake| fake.told.len() == 2).await;

    vm_node.peer.restart().await;
    let helping = |answer: &serde_json::Value| answer["graceful_restart"]["state"] == "helping";
    eventually("its routes are kept", || federation.neighbor("os", 17), helping).await;
    assert_eq!(pod_node.told.len(), 2);

    // It is back, and has one of the two routes only.
    let mut vm_node = federation.agent(17, 3);
    vm_node.up().await;
    vm_node.wants(&[]).await;
    vm_node.says(DB, 16, &[100]).await;
    vm_node.end_of_rib(AfiSafi::VPNV4).await;
    pod_node.until("what it has not said again is gone", |fake| fake.told.len() == 1).await;
    assert!(pod_node.told.contains_key(DB));

    vm_node.peer.restart().await;
    pod_node.until("the time is up", |fake| fake.told.is_empty()).await;
}

#[tokio::test]
async fn a_stranger_is_told_to_go() {
    let federation = Federation::start();
    let mut vm_node = federation.agent(17, 0);
    vm_node.up().await;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((federation.address(99), 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((federation.address(1), PORT)).into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut octets = Vec::new();
    socket.read_to_end(&mut octets).unwrap();
    assert_eq!(octets[18..21], [3, 6, 5], "NOTIFICATION: cease, connection rejected");
}

#[tokio::test]
async fn a_node_that_says_more_than_it_may_is_stopped_and_its_routes_go() {
    let federation = Federation::start_with("max-prefixes = 3", &["public"]);
    let (mut vm_node, mut pod_node) = (federation.agent(17, 120), federation.agent(33, 0));
    vm_node.up().await;
    pod_node.up().await;
    pod_node.wants(&[100]).await;
    vm_node.wants(&[]).await;
    // All under one route distinguisher, so in one of the two shards.
    for host in 1..=3 {
        vm_node.says(&format!("10.1.1.1:1:10.0.100.{host}/32"), 16, &[100]).await;
    }
    pod_node.until("what it may say", |fake| fake.told.len() == 3).await;
    let third = "10.1.1.1:1:10.0.100.3/32";
    vm_node.says(third, 17, &[100]).await;
    let new = Label::mpls(17).unwrap();
    let is_new =
        |fake: &crate::support::Fake| fake.told.get(third).is_some_and(|told| told.label == new);
    pod_node.until("it may go on talking", is_new).await;
    vm_node.says("10.1.1.1:1:10.0.100.4/32", 16, &[100]).await;
    vm_node.until("it is told why", |fake| !fake.downs.is_empty()).await;
    let DownReason::Received(why) = &vm_node.downs[0].reason else { panic!("{:?}", vm_node.downs) };
    assert_eq!((why.code, why.subcode), (6, 1), "maximum number of prefixes");
    pod_node.until("its routes are gone", |fake| fake.told.is_empty()).await;
}

#[tokio::test]
async fn a_node_that_reads_nothing_holds_nobody_up() {
    // More than sockets and queue hold.
    const ROUTES: u32 = 2_000;
    let federation = Federation::start();
    let mut vm_node = federation.agent(17, 0);
    let (asn, id) = (64_513, federation.address(33));
    // Nobody takes its events, so that it stops reading when there is room for no more of them.
    let mut stuck = federation.fake(SessionConfig::internal(asn, id), 33, 2, 1);
    let mut pod_node = federation.agent(34, 0);
    for fake in [&mut vm_node, &mut stuck, &mut pod_node] {
        fake.up().await;
    }
    stuck.wants(&[100]).await;
    pod_node.wants(&[100]).await;
    vm_node.wants(&[]).await;
    for number in 0..ROUTES {
        let key = format!("10.1.1.1:{number}:10.0.100.4/32").parse().unwrap();
        let route =
            Route::<VpnV4> { path_id: PathId(0), key, data: Label::mpls(16).unwrap().into() };
        let communities = (0..3_000).map(|low| Community(number << 16 | low)).collect();
        vm_node.announce_with(vec![route], &[100], communities).await;
    }
    pod_node.until("all routes", |fake| fake.told.len() == ROUTES as usize).await;
    let known = federation.neighbor("k8s", 33).await;
    assert!(known["owed"].as_u64() > Some(0), "it is behind: {known}");
    stuck.until("it has caught up", |fake| fake.told.len() == ROUTES as usize).await;
    assert!(stuck.downs.is_empty() && pod_node.downs.is_empty());
}

#[tokio::test]
async fn an_address_that_a_reload_gives_to_a_gateway_is_the_gateways() {
    let federation = Federation::start();
    let mut pod_node = federation.agent(45, 0);
    pod_node.up().await;
    let text = std::fs::read_to_string(federation.file()).unwrap();
    let gateway = |last: u8| format!("\"{}\"", federation.address(last));
    let text = text.replace(".32/28", ".32/29").replace(&gateway(65), &gateway(45));
    std::fs::write(federation.file(), text).unwrap();
    let (status, answer) = federation.ask("k8s", "POST /v1/reload").await;
    assert_eq!(status, 200, "{answer}");
    pod_node.until("it is sent away", |fake| !fake.downs.is_empty()).await;
    pod_node.peer.remove().await;
    federation.gateway_at(45).up().await;
    assert_eq!(federation.neighbor("k8s", 45).await["name"], "mx");
}
