//! A whole agent over loopback: requests in, BGP out, BGP in, data plane out.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says so when it fails")]

mod support;

use std::path::PathBuf;

use bgp_wire::community::ExtendedCommunity;
use bgp_wire::nlri::{PathId, Routes, VpnKey, VpnV4};
use bgp_wire::update::{self, Form};
use bgp_wire::{AfiSafi, Label, NextHop, PathAttributes, Update};
use support::{Agent, Control, Shared, eventually, write_topology};

const FORM: Form =
    Form { four_octet_as: true, extended_messages: true, add_path: false, labels: 1 };

/// A port in this process's own namespace: the memory plane touches nothing.
fn port(more: &str) -> String {
    format!(
        r#"{{"network": "a", "netns": "/proc/self/ns/net", "ip": "10.20.0.11",
            "services": [{{"network": "a", "address": "10.254.98.15", "port": 80,
                          "target_port": 8080}}]{more}}}"#
    )
}

/// A route of another node, as a message.
fn route(net: &str, target: &str) -> Vec<u8> {
    let key = VpnKey { rd: "127.1.0.2:1".parse().unwrap(), net: net.parse().unwrap() };
    let target: bgp_wire::RouteTarget = target.parse().unwrap();
    let attributes = PathAttributes {
        local_pref: Some(100),
        extended_communities: vec![ExtendedCommunity::from(target)],
        ..PathAttributes::default()
    };
    let next_hop = NextHop::V4([192, 0, 2, 1].into());
    let (mut octets, mut out) = (Vec::new(), Vec::new());
    update::write_attributes(&attributes, next_hop, AfiSafi::VPNV4, true, &mut octets);
    let label = Label::mpls(40).unwrap().into();
    let routes = [(PathId::default(), &key, &label)];
    update::write_reach::<VpnV4>(FORM, &octets, next_hop, routes.into_iter(), &mut out);
    out
}

fn end_of_rib() -> Vec<u8> {
    let mut out = Vec::new();
    update::write_end_of_rib(AfiSafi::VPNV4, &mut out);
    out
}

/// `RD:prefix` of all VPN routes that were announced, in order.
fn announced(heard: &[Update]) -> Vec<String> {
    let lists = heard.iter().flat_map(|update| &update.announced);
    lists
        .filter_map(|(_, routes)| if let Routes::VpnV4(list) = routes { Some(list) } else { None })
        .flatten()
        .map(|route| format!("{}:{}", route.key.rd, route.key.net))
        .collect()
}

fn ended(heard: &[Update], family: AfiSafi) -> bool {
    heard.iter().any(|update| update.end_of_rib == Some(family))
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_reaches_the_control_node_and_a_route_the_data_plane() {
    let (home, mut control) = (Home::new(), Control::start(2));
    write_topology(&home.path(), &[&control], "64512:100");
    let plane = Shared::default();
    let agent = Agent::start(&home.path(), plane.clone()).await;
    assert_eq!(control.up().await, (false, false), "nothing was forwarded before");
    control
        .hear("both markers", |heard| ended(heard, AfiSafi::RTC) && ended(heard, AfiSafi::VPNV4))
        .await;

    let status = agent.json("PUT /v1/ports/p1", &port("")).await;
    assert_eq!(status["state"]["kind"], "programmed", "{status}");
    assert!(plane.state().ports.contains_key(&"p1".into()), "programmed before the answer");
    control.hear("the routes", |heard| announced(heard).len() == 2).await;
    assert_eq!(
        announced(&control.heard),
        ["127.1.0.1:1:10.20.0.11/32", "127.1.0.1:1:10.254.98.15/32"]
    );
    let again = agent.json("PUT /v1/ports/p1", &port("")).await;
    assert_eq!(again, status, "asking again changes nothing");

    control.say(route("10.20.0.12/32", "64512:100"));
    control.say(end_of_rib());
    let shown = eventually("the route", || async {
        let routes = agent.json("GET /v1/vrfs/a/routes", "").await;
        let found = routes.as_array()?.iter().find(|route| route["prefix"] == "10.20.0.12/32")?;
        (found["programmed"] == true).then(|| found.clone())
    })
    .await;
    assert_eq!(shown["next_hops"][0]["to"], "192.0.2.1");
    assert_eq!(shown["next_hops"][0]["encapsulation"], "mpls-over-gre");
    assert_eq!(shown["from"][0], control.address.to_string());
    assert_eq!(plane.state().fib.values().map(std::collections::BTreeMap::len).sum::<usize>(), 3);

    let neighbor = agent.json(&format!("GET /v1/neighbors/{}", control.address), "").await;
    assert_eq!(neighbor["state"], "established");
    assert_eq!(neighbor["families"][0]["received"], 1);
    assert_eq!(agent.json("GET /v1/status", "").await["ready"], true);
    assert_eq!(agent.json("GET /v1/tunnels", "").await[0]["remote"], "192.0.2.1");
    let (_, metrics) = agent.request("GET /metrics", "").await;
    for line in ["arcus_agent_ports 1", "arcus_agent_routes 3", "session_up{peer=\"ctl-0\"} 1"] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }

    let (status, _) = agent.request("DELETE /v1/ports/p1", "").await;
    assert_eq!(status, 204);
    assert!(plane.state().ports.is_empty());
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_comes_back_says_the_same_before_its_end_of_rib() {
    let (home, mut control) = (Home::new(), Control::start(3));
    write_topology(&home.path(), &[&control], "64512:100");
    let plane = Shared::default();
    let agent = Agent::start(&home.path(), plane.clone()).await;
    control.up().await;
    agent.json("PUT /v1/ports/p1", &port("")).await;
    control.hear("the routes", |heard| announced(heard).len() == 2).await;
    control.say(route("10.20.0.12/32", "64512:100"));
    eventually("the route", || async {
        (plane.state().fib.values().next()?.len() == 3).then_some(())
    })
    .await;
    let before = plane.state();
    let first = announced(&control.heard);

    agent.stop().await;
    assert_eq!(control.down().await, ("closed".to_owned(), true), "no NOTIFICATION");
    assert_eq!(plane.state(), before, "packets go on");

    let plane = plane.left_behind();
    let agent = Agent::start(&home.path(), plane.clone()).await;
    control.heard.clear();
    assert_eq!(control.up().await, (true, true), "restarted, and forwarding all the while");
    control.hear("the marker", |heard| ended(heard, AfiSafi::VPNV4)).await;
    assert_eq!(announced(&control.heard), first, "everything before the marker, as it was");
    assert_eq!(plane.state(), before, "the route was not told again yet");
    control.say(end_of_rib());
    eventually("the sweep", || async {
        (plane.state().fib.values().next()?.len() == 2).then_some(())
    })
    .await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_targets_or_nothing() {
    let (home, mut control) = (Home::new(), Control::start(4));
    write_topology(&home.path(), &[&control], "64512:100");
    let agent = Agent::start(&home.path(), Shared::default()).await;
    control.up().await;
    agent.json("PUT /v1/ports/p1", &port("")).await;
    control.hear("the routes", |heard| announced(heard).len() == 2).await;

    let file = home.path().join("topology.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.replace("subnets = [\"10.20", "subnet = [\"10.20")).unwrap();
    let (status, error) = agent.request("POST /v1/reload", "").await;
    assert!(status == 422 && error.contains("topology.toml:"), "{status} {error}");
    let running = agent.json("GET /v1/status", "").await;
    assert_eq!(running["topology"]["generation"], 1);
    assert!(running["topology"]["last_error"].as_str().unwrap().contains("subnet"), "{running}");

    control.heard.clear();
    write_topology(&home.path(), &[&control], "64512:101");
    let reloaded = agent.json("POST /v1/reload", "").await;
    assert_eq!(reloaded["topology"]["generation"], 2);
    assert!(reloaded["topology"]["last_error"].is_null(), "{reloaded}");
    control.hear("both routes anew", |heard| announced(heard).len() == 2).await;
    let carries = |update: &Update| {
        update.attributes.route_targets().any(|target| target.to_string() == "64512:101")
    };
    assert!(control.heard.iter().any(carries));
    let mut memberships = control.heard.iter().flat_map(|update| &update.announced);
    assert!(
        memberships.any(|(_, routes)| routes.family() == AfiSafi::RTC),
        "the new target is wanted"
    );
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_request_is_said() {
    let (home, control) = (Home::new(), Control::start(5));
    write_topology(&home.path(), &[&control], "64512:100");
    let agent = Agent::start(&home.path(), Shared::default()).await;
    let lost = port("").replace("/proc/self/ns/net", "/run/netns/lost");
    // (request, body, status, what the answer names)
    let cases = [
        (
            "PUT /v1/ports/p1",
            port("").replace("\"a\", \"netns\"", "\"b\", \"netns\""),
            422,
            "network `b`",
        ),
        ("PUT /v1/ports/p1", lost, 422, "/run/netns/lost"),
        ("PUT /v1/ports/p1", port("").replace("10.20.0.11", "2001:db8::1"), 422, "subnets"),
        ("GET /v1/ports/p1/mirror", String::new(), 404, "p1"),
        ("PUT /v1/ports/p1", port(", \"mac\": \"01:00:5e:00:00:01\""), 422, "group address"),
        ("PUT /v1/ports/..", port(""), 400, "port id"),
        ("POST /v1/ports/p1/ready", String::new(), 404, "p1"),
        ("GET /v1/vrfs/b/routes", String::new(), 404, "no VRF `b`"),
    ];
    for (line, body, want, names) in cases {
        let (status, text) = agent.request(line, &body).await;
        assert!(status == want && text.contains(names), "{line} {body}\n{status} {text}");
    }
    let (status, _) = agent.request("DELETE /v1/ports/p1", "").await;
    assert_eq!(status, 204, "what is not there can be removed");
    agent.stop().await;
}
