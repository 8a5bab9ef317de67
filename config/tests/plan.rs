//! What an operator reads before an edit is applied.

mod support;

use arcus_config::{Change, Effect, Topology, plan};
use support::read_text;

const LEONARDO: &str = include_str!("../../topology-examples/leonardo.toml");
const DATACENTER: &str = include_str!("../../topology-examples/datacenter.toml");

fn topology(text: &str) -> Topology {
    read_text(text).map_err(|error| error.to_string()).expect("it is right")
}

/// The plan from leonardo.toml to what edits make of it, as (text, what stands there instead).
fn planned(edits: &[(&str, &str)]) -> Vec<Change> {
    planned_from(LEONARDO, edits)
}

fn planned_from(before: &str, edits: &[(&str, &str)]) -> Vec<Change> {
    let edited = edits.iter().fold(before.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "`{old}` is not in the example");
        text.replace(old, new)
    });
    plan(&topology(before), &topology(&edited))
}

fn lines(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_comment_or_another_order_changes_nothing() {
    let edits =
        [("# The pods of leonardo.", "# Pods."), ("\"vpnv4\", \"vpnv6\"", "\"vpnv6\", \"vpnv4\"")];
    assert_eq!(planned(&edits), []);
    let edited = LEONARDO.replace(edits[0].0, edits[0].1).replace(edits[1].0, edits[1].1);
    assert_eq!(topology(&edited).fingerprint(), topology(LEONARDO).fingerprint());
}

#[test]
fn a_target_that_moves_is_shown_at_its_network() {
    let database = "subnets = [\"10.0.100.0/24\"]\nroute-targets = [\"64512:100\"]";
    let moved = "subnets = [\"10.0.100.0/24\"]\nroute-targets = [\"64512:101\"]";
    assert_eq!(
        lines(&planned(&[(database, moved)])),
        ["~ network database: import-targets -64512:100 +64512:101, export-targets -64512:100 \
          +64512:101"]
    );
}

#[test]
fn a_gateway_that_gets_another_network_is_asked_again_and_kept() {
    let changes = planned(&[("[\"public\"] # it is told", "[\"public\", \"nginx\"] # it is told")]);
    assert_eq!(
        lines(&changes),
        [
            "~ gateway mx1: networks +nginx",
            "~ peer mx1 of k8s-ctl-1: takes +64512:200, tells +64512:200; the session stays, its \
             routes are asked for again",
            "~ peer mx1 of k8s-ctl-2: takes +64512:200, tells +64512:200; the session stays, its \
             routes are asked for again",
        ]
    );
}

#[test]
fn a_gateway_that_is_told_something_else_is_not_asked() {
    let changes = planned(&[(
        "route-targets = [\"64512:900\"]",
        "import-targets = [\"64512:900\"]\nexport-targets = [\"64512:901\"]",
    )]);
    assert_eq!(
        lines(&changes)[..2],
        [
            "~ network public: export-targets -64512:900 +64512:901",
            "~ peer mx1 of k8s-ctl-1: tells -64512:900 +64512:901; the session stays",
        ]
    );
}

#[test]
fn what_an_open_message_says_resets_the_session() {
    let changes = planned(&[("asn = 64513", "asn = 64514\nhold-time = 30")]);
    let of_one: Vec<Change> = changes
        .iter()
        .filter(|change| change.control_node() == Some("os-ctl-1"))
        .cloned()
        .collect();
    assert_eq!(
        lines(&of_one),
        [
            "~ peer k8s-ctl-1 of os-ctl-1: asn 64513 -> 64514; the session is reset",
            "~ peer k8s-ctl-2 of os-ctl-1: asn 64513 -> 64514; the session is reset",
        ]
    );
    assert_eq!(lines(&changes)[0], "~ cloud kubernetes: asn 64513 -> 64514, hold-time 90 -> 30");
}

#[test]
fn a_peer_at_another_address_is_another_peer() {
    let changes = planned(&[("address = \"10.2.0.2\"", "address = \"10.2.0.3\"")]);
    assert_eq!(
        lines(&changes),
        [
            "~ gateway mx2: address 10.2.0.2 -> 10.2.0.3",
            "- peer mx2 of k8s-ctl-1: its routes go",
            "+ peer mx2 of k8s-ctl-1: AS 64999",
            "- peer mx2 of k8s-ctl-2: its routes go",
            "+ peer mx2 of k8s-ctl-2: AS 64999",
        ]
    );
}

#[test]
fn more_nodes_keep_those_that_are_there() {
    let changes = planned(&[(
        "prefixes = [\"10.1.1.0/24\"]",
        "prefixes = [\"10.1.1.0/24\", \"10.1.2.0/24\"]\nmax-nodes = 200",
    )]);
    let effects: Vec<Effect> = changes
        .iter()
        .filter_map(|change| match change {
            Change::PeerChanged { effect, .. } => Some(*effect),
            _ => None,
        })
        .collect();
    assert_eq!(effects, [Effect::Keep, Effect::Keep]);
    assert_eq!(
        lines(&changes)[..2],
        [
            "~ cloud openstack: nodes.prefixes +10.1.2.0/24, nodes.max-nodes none -> 200",
            "~ peer openstack-nodes of os-ctl-1: max-nodes none -> 200, prefixes +10.1.2.0/24; \
             the session stays",
        ]
    );
}

#[test]
fn a_control_node_with_another_cluster_id_meets_all_its_peers_anew() {
    let changes = planned(&[(
        "address = \"10.1.0.12\"",
        "address = \"10.1.0.12\"\ncluster-id = \"1.1.1.1\"",
    )]);
    let resets = changes
        .iter()
        .filter(|change| matches!(change, Change::PeerChanged { effect: Effect::Reset, .. }))
        .count();
    assert_eq!(lines(&changes)[0], "~ control node os-ctl-2: cluster-id 10.1.0.12 -> 1.1.1.1");
    assert_eq!((resets, changes.len()), (4, 5));
}

#[test]
fn what_nodes_do_for_their_ports_is_shown_and_resets_nothing() {
    let changes = planned_from(
        DATACENTER,
        &[
            ("announce-groups = true", "announce-groups = true # yes"),
            (
                "encapsulations = [\"vxlan\", \"mpls-over-udp\", \"mpls-over-gre\"]",
                "encapsulations = [\"mpls-over-udp\"]",
            ),
            ("max-ports = 500\n", "max-ports = 600\n"),
            ("headless-time = 86400", "headless-time = 3600"),
            ("sample-one-in = 1000", "sample-one-in = 100"),
            ("vni = 5010\nfilter = \"web\"", "vni = 5011"),
            ("masquerade = true", "masquerade = false"),
            ("    { prefix = \"192.0.2.0/24\", discard = true },\n", ""),
            ("id = 10\n", "id = 12\n"),
            ("one-way = true", "one-way = false"),
            ("ports = 22,", "ports = 2222,"),
        ],
    );
    assert_eq!(
        lines(&changes),
        [
            "~ cloud dc: encapsulations vxlan mpls-over-udp mpls-over-gre -> mpls-over-udp, \
             nodes.max-ports 500 -> 600, nodes.headless-time 86400 -> 3600, nodes.flow-export one \
             in 1000 to 10.0.0.9:4739 -> one in 100 to 10.0.0.9:4739",
            "~ network database: static-routes -192.0.2.0/24=>discard",
            "~ network web: vni 5010 -> 5011, filter web -> none, masquerade true -> false",
            "~ connection web-uses-database: one-way true -> false",
            "~ group web: id 10 -> 12",
            "~ filter web: rules -(ssh: allow in tcp 22 from 10.0.0.0/24 logged) +(ssh: allow in \
             tcp 2222 from 10.0.0.0/24 logged)",
        ]
    );
}

#[test]
fn rules_in_another_order_are_a_change() {
    let (ping, ping6) = (
        "    { name = \"ping\", protocol = \"icmp\" },\n",
        "    { name = \"ping6\", protocol = \"icmpv6\" },\n",
    );
    let (before, after) = ([ping, ping6].concat(), [ping6, ping].concat());
    assert_eq!(
        lines(&planned_from(DATACENTER, &[(&before, &after)])),
        ["~ filter web: order of rules http ping ping6 ssh -> http ping6 ping ssh"]
    );
}

#[test]
fn what_comes_and_what_goes_has_one_line_each() {
    let connection = LEONARDO.find("[connection.").expect("a connection");
    let gateways = LEONARDO.find("# --- Gateways").expect("gateways");
    let without = [&LEONARDO[..connection], &LEONARDO[gateways..]].concat();
    let (with, without) = (topology(LEONARDO), topology(&without));
    assert_eq!(lines(&plan(&with, &without)), ["- connection nginx-uses-leonardo"]);
    assert_eq!(lines(&plan(&without, &with)), ["+ connection nginx-uses-leonardo"]);
}
