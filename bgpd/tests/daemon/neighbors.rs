//! Neighbors with options, and what crosses borders.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::{Fake, Federation, PORT, eventually};
use bgp_peer::{Secret, Security};
use bgp_session::{DownReason, SessionConfig};
use bgp_wire::capability::{AddPath, GracefulRestart, LongLived};
use bgp_wire::community::Community;
use bgp_wire::{AfiSafi, RouteTarget};
use socket2::{Domain, Socket, Type};

const ROUTE: &str = "10.1.1.1:1:10.0.100.4/32";

/// A router of another AS at `last`, which believes that the control node `os` has the AS `theirs`.
fn router(federation: &Federation, last: u8, ours: u32, theirs: u32) -> Fake {
    let session = SessionConfig {
        families: vec![AfiSafi::VPNV4],
        ..SessionConfig::external(ours, federation.address(last), theirs)
    };
    federation.fake(session, last, 1, 1024)
}

/// Waits until the control node `os` knows the AS of a neighbor, which it does once the OPEN is accepted.
async fn is_of(federation: &Federation, last: u8, asn: u32) {
    let neighbor = || federation.neighbor("os", last);
    eventually("its AS is known", neighbor, |answer| answer["asn"] == asn).await;
}

/// The NOTIFICATION that it got last, as code and subcode.
fn told(fake: &Fake) -> Option<(u8, u8)> {
    match &fake.downs.last()?.reason {
        DownReason::Received(why) => Some((why.code, why.subcode)),
        _ => None,
    }
}

/// Waits until the control node has answered an attempt of this fake with that code and subcode.
async fn is_refused(what: &str, fake: &Fake, by: (u8, u8)) {
    let last = || async { fake.peer.status().last_down };
    let is_by = |last: &Option<(DownReason, _)>| {
        last.as_ref().is_some_and(
            |(why, _)| matches!(why, DownReason::Received(why) if (why.code, why.subcode) == by),
        )
    };
    eventually(what, last, is_by).await;
}

#[tokio::test]
async fn who_comes_from_a_prefix_with_a_password_must_sign() {
    let more = r#"
[neighbor.rack]
template = "signed"
clouds = ["openstack"]
prefixes = ["NET.128/28"]
asn = 64512

[template.signed]
client = true
families = ["vpnv4"]
password-file = "DIR/rack.password"
"#;
    let federation = Federation::start_also(more, &[("rack.password", "pass1234\n")]);
    let session = || SessionConfig {
        families: vec![AfiSafi::VPNV4],
        ..SessionConfig::internal(64_512, federation.address(129))
    };
    let security = Security { md5: Some(Secret::new(*b"pass1234")), ..Security::OPEN };
    let mut signed = federation.secured(session(), 129, 1, 1024, security);
    signed.up().await;
    let neighbor = federation.neighbor("os", 129).await;
    assert_eq!((&neighbor["name"], &neighbor["kind"]), (&"rack".into(), &"neighbor".into()));
    assert_eq!(neighbor["client"], true);
    let options = &neighbor["options"]["password-file"];
    assert!(options.as_str().unwrap().ends_with("rack.password"), "{neighbor}");

    // The kernel drops what is not signed, so the connection does not even come about.
    let unsigned = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    unsigned.bind(&SocketAddr::from((federation.address(130), 0)).into()).unwrap();
    let to = SocketAddr::from((federation.address(1), PORT));
    let refused = unsigned.connect_timeout(&to.into(), Duration::from_millis(500));
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_neighbor_may_be_of_any_as_of_its_ranges_and_there_is_room_for_so_many() {
    let more = r#"
[neighbor.rack]
clouds = ["openstack"]
prefixes = ["NET.128/28"]
asns = [64800, "64900-64999"]
max-peers = 2
"#;
    let federation = Federation::start_also(more, &[]);
    let mut one = router(&federation, 129, 64_800, 64_512);
    one.up().await;
    is_of(&federation, 129, 64_800).await;
    let stranger = router(&federation, 131, 64_700, 64_512);
    is_refused("it is told that its AS is wrong", &stranger, (2, 2)).await;
    stranger.peer.remove().await;
    let mut another = router(&federation, 130, 64_950, 64_512);
    another.up().await;
    is_of(&federation, 130, 64_950).await;

    let mut late = router(&federation, 132, 64_900, 64_512);
    is_refused("there is no room", &late, (6, 5)).await;
    // One that has gone is remembered, and takes nobody's place.
    another.peer.remove().await;
    late.up().await;
    assert!(one.downs.is_empty());
    let back = router(&federation, 130, 64_950, 64_512);
    is_refused("its place is taken when it comes back", &back, (6, 5)).await;
}

#[tokio::test]
async fn a_neighbor_that_says_too_much_is_warned_of_stopped_and_taken_back() {
    let more = r#"
[neighbor.border]
control-nodes = ["os"]
address = "NET.81"
port = 41790
passive = true
asn = 64999
max-prefixes = 3
max-prefixes-warning = 60
max-prefixes-restart = 2
"#;
    let federation = Federation::start_also(more, &[]);
    let mut border = router(&federation, 81, 64_999, 64_512);
    border.up().await;
    for host in 1..=2 {
        border.says(&format!("10.1.1.1:1:10.0.100.{host}/32"), 16, &[100]).await;
    }
    let log = || async { federation.log("os") };
    eventually("a warning", log, |log| log.contains("prefix limit is near")).await;
    for host in 3..=4 {
        border.says(&format!("10.1.1.1:1:10.0.100.{host}/32"), 16, &[100]).await;
    }
    border.until("it is told why", |fake| !fake.downs.is_empty()).await;
    let stopped = Instant::now();
    assert_eq!(told(&border), Some((6, 1)), "maximum number of prefixes");
    border.up().await;
    assert!(stopped.elapsed() >= Duration::from_millis(1_900), "{:?}", stopped.elapsed());
    assert_eq!(federation.log("os").matches("prefix limit is near").count(), 1);
}

#[tokio::test]
async fn a_neighbor_sees_the_as_that_it_was_promised() {
    let more = r#"
[neighbor.border]
control-nodes = ["os"]
address = "NET.81"
passive = true
asn = 64999
local-as = 64600
description = "moved from another operator"
"#;
    let federation = Federation::start_also(more, &[]);
    let mut border = router(&federation, 81, 64_999, 64_600);
    let mut node = federation.agent(17, 0);
    node.up().await;
    border.up().await;
    node.wants(&[100]).await;
    node.says(ROUTE, 16, &[100]).await;
    border.until("a route", |fake| fake.told.contains_key(ROUTE)).await;
    let path: Vec<u32> = border.told[ROUTE].attributes.as_path.numbers().collect();
    assert_eq!(path, [64_600, 64_512]);
    border.says("64999:1:192.0.2.0/24", 17, &[100]).await;
    node.until("a route", |fake| fake.told.contains_key("64999:1:192.0.2.0/24")).await;
    let told = &node.told["64999:1:192.0.2.0/24"];
    let path: Vec<u32> = told.attributes.as_path.numbers().collect();
    assert_eq!(path, [64_600, 64_999], "what it was promised is in the path, too");
}

#[tokio::test]
async fn a_gateway_is_no_way_from_one_cloud_to_another() {
    let federation = Federation::start();
    let (mut pod_node, mut gateway) = (federation.agent(33, 0), federation.gateway());
    pod_node.up().await;
    gateway.up().await;
    pod_node.wants(&[900]).await;
    gateway.as_path = vec![64_999, 64_512];
    gateway.says("64999:1:10.9.0.0/16", 3000, &[900]).await;
    gateway.as_path = vec![64_999, 65_000];
    gateway.says("64999:1:10.8.0.0/16", 3000, &[900]).await;
    let other = "64999:1:10.8.0.0/16";
    pod_node.until("the other route", |fake| fake.told.contains_key(other)).await;
    assert!(!pod_node.told.contains_key("64999:1:10.9.0.0/16"));
    let neighbor = federation.neighbor("k8s", 65).await;
    let rejected = serde_json::json!([{ "reason": "transit", "routes": 1 }]);
    assert_eq!(neighbor["rejected"], rejected, "{neighbor}");
}

#[tokio::test]
async fn preference_crosses_the_federation_and_a_gateway_sees_it_as_med() {
    let federation = Federation::start();
    let (mut vm_node, mut pod_node) = (federation.agent(17, 0), federation.agent(33, 0));
    let mut gateway = federation.gateway();
    for fake in [&mut vm_node, &mut pod_node, &mut gateway] {
        fake.up().await;
    }
    vm_node.wants(&[]).await;
    pod_node.wants(&[100]).await;
    // As a virtual machine that is active, and as one that stands by.
    for (local_pref, med) in [(200, 100), (100, 200), (7, u32::MAX - 7)] {
        vm_node.local_pref = Some(local_pref);
        vm_node.says(ROUTE, 16, &[100]).await;
        pod_node
            .until("its preference", |fake| {
                let told = fake.told.get(ROUTE);
                told.is_some_and(|told| told.attributes.local_pref == Some(local_pref))
            })
            .await;
        pod_node.local_pref = Some(local_pref);
        pod_node.says("10.2.1.1:1:185.22.97.188/32", 18, &[900]).await;
        gateway
            .until("its metric", |fake| {
                let told = fake.told.get("10.2.1.1:1:185.22.97.188/32");
                told.is_some_and(|told| told.attributes.med == Some(med))
            })
            .await;
    }
    let neighbor = federation.neighbor("k8s", 1).await;
    assert_eq!(neighbor["host_name"], "os", "{neighbor}");
    let software = neighbor["software_version"].as_str().unwrap();
    assert!(software.starts_with("arcus-bgpd "), "{software}");
}

#[tokio::test]
async fn routes_of_a_neighbor_that_is_long_away_are_the_last_choice_and_then_go() {
    let more = r#"
[neighbor.border]
control-nodes = ["os"]
address = "NET.81"
passive = true
asn = 64999
long-lived-time = 3
"#;
    let federation = Federation::start_also(more, &[]);
    let families = vec![AfiSafi::VPNV4];
    let session = SessionConfig {
        restart: Some(GracefulRestart {
            restart_time: 1,
            families: vec![(AfiSafi::VPNV4, true)],
            ..GracefulRestart::default()
        }),
        // Longer than the topology permits.
        long_lived: vec![LongLived { family: AfiSafi::VPNV4, forwarding: true, stale_time: 900 }],
        families,
        ..SessionConfig::external(64_999, federation.address(81), 64_512)
    };
    let mut border = federation.fake(session, 81, 1, 1024);
    let mut node = federation.agent(17, 0);
    node.up().await;
    border.up().await;
    node.wants(&[100]).await;
    border.says(ROUTE, 16, &[100]).await;
    border.end_of_rib(AfiSafi::VPNV4).await;
    node.until("the route", |fake| fake.told.contains_key(ROUTE)).await;

    border.peer.restart().await;
    node.until("it is the last choice", |fake| {
        let told = fake.told.get(ROUTE);
        told.is_some_and(|told| told.attributes.communities.contains(&Community::LLGR_STALE))
    })
    .await;
    let state = federation.neighbor("os", 81).await["graceful_restart"]["state"].clone();
    assert_eq!(state, "long-lived");
    node.until("its time is over", |fake| fake.told.is_empty()).await;
}

#[tokio::test]
async fn what_a_neighbor_is_told_follows_an_edited_topology() {
    let more = r#"
[neighbor.border]
control-nodes = ["os"]
address = "NET.81"
passive = true
asn = 64999
export-targets = ["64512:100"]
export-rewrite = { "64512:100" = "64512:1" }
"#;
    let federation = Federation::start_also(more, &[]);
    let (mut node, mut border) = (federation.agent(17, 0), router(&federation, 81, 64_999, 64_512));
    node.up().await;
    border.up().await;
    node.wants(&[]).await;
    node.says(ROUTE, 16, &[100]).await;
    let has = |fake: &Fake, number| {
        let told = fake.told.get(ROUTE).map(|told| &told.attributes);
        told.is_some_and(|told| told.route_targets().eq([RouteTarget::as2(64_512, number)]))
    };
    border.until("it is rewritten", |fake| has(fake, 1)).await;
    let edit = |old: &str, new: &str| {
        let text = std::fs::read_to_string(federation.file()).unwrap();
        std::fs::write(federation.file(), text.replace(old, new)).unwrap();
    };
    let reload = || federation.ask("os", "POST /v1/reload");
    edit("= \"64512:1\" }", "= \"64512:2\" }");
    assert_eq!(reload().await.0, 200);
    border.until("it is rewritten in another way", |fake| has(fake, 2)).await;
    edit("export-targets = [\"64512:100\"]", "export-targets = [\"64512:700\"]");
    assert_eq!(reload().await.0, 200);
    border.until("it is not its any longer", |fake| fake.told.is_empty()).await;
    assert!(border.downs.is_empty(), "no session was reset");
}

#[tokio::test]
async fn a_collector_is_told_every_path() {
    let more = r#"
[neighbor.collector]
control-nodes = ["os"]
address = "NET.81"
passive = true
asn = 64512
client = true
add-path-send = 4
"#;
    let federation = Federation::start_also(more, &[]);
    let session = SessionConfig {
        families: vec![AfiSafi::VPNV4],
        add_path: vec![AddPath { family: AfiSafi::VPNV4, receive: true, send: false }],
        ..SessionConfig::internal(64_512, federation.address(81))
    };
    let mut collector = federation.fake(session, 81, 1, 1024);
    collector.up().await;
    let mut nodes = [federation.agent(17, 0), federation.agent(18, 0)];
    for (count, node) in nodes.iter_mut().enumerate() {
        node.up().await;
        node.wants(&[]).await;
        node.says(ROUTE, 16, &[100]).await;
        let known = |fake: &Fake| fake.next_hops.len() == count + 1;
        collector.until("a path more", known).await;
    }
}

#[tokio::test]
async fn a_neighbor_that_is_shut_down_is_told_so_and_comes_back_when_it_may() {
    let entry = r#"
[neighbor.border]
control-nodes = ["os"]
address = "NET.81"
passive = true
asn = 64999
"#;
    let federation = Federation::start_also("", &[]);
    federation.append(entry);
    let reload = || federation.ask("os", "POST /v1/reload");
    assert_eq!(reload().await.0, 200);
    let mut border = router(&federation, 81, 64_999, 64_512);
    border.up().await;
    federation.append("shutdown = true\n");
    let (status, answer) = reload().await;
    assert_eq!(status, 200, "{answer}");
    border.until("it is told so", |fake| !fake.downs.is_empty()).await;
    assert_eq!(told(&border), Some((6, 2)), "administrative shutdown");
    let text = std::fs::read_to_string(federation.file()).unwrap();
    std::fs::write(federation.file(), text.replace("shutdown = true\n", "")).unwrap();
    assert_eq!(reload().await.0, 200);
    border.up().await;
}

#[tokio::test]
async fn a_password_that_others_may_read_is_refused_at_a_reload() {
    let federation = Federation::start_also("", &[("open.password", "pass1234")]);
    // It has read the file as it was.
    federation.ask("os", "GET /v1/status").await;
    let path = federation.file().with_file_name("open.password");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(path, mode).unwrap();
    federation.append(
        "\n[neighbor.border]\nclouds = [\"openstack\"]\naddress = \"NET.81\"\nasn = \
         64999\npassword-file = \"DIR/open.password\"\n",
    );
    let (status, answer) = federation.ask("os", "POST /v1/reload").await;
    assert_eq!(status / 100, 4, "{answer}");
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("peer `border`") && error.contains("chmod 0600"), "{error}");
    let (_, status) = federation.ask("os", "GET /v1/status").await;
    assert_eq!(status["topology"]["generation"], 1);
}
