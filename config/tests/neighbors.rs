//! Neighbors: every option, templates, and what control nodes make of them.

mod support;

use std::net::IpAddr;

use arcus_config::{
    AfiSafi, Bfd, Change, Effect, HoldTime, NextHop, PeerAs, PeerRole, PeerSpec, Remote,
    RemovePrivateAs, Role, Topology, plan,
};
use support::read_text;

const LAB: &str = r#"
[federation]
name = "lab"

[cloud.lab]
asn = 64512
graceful-restart-time = 60

[cloud.lab.control-node.lab-1]
address = "10.1.0.11"

[cloud.lab.control-node.lab-2]
address = "10.1.0.12"

[cloud.other]
asn = 64513

[cloud.other.control-node.other-1]
address = "10.2.0.11"
"#;

/// Every option that one neighbor may have.
const EVERY_OPTION: &str = r#"
[neighbor.r1]
control-nodes = ["lab-1"]
address = "2001:db8::1"
port = 1179
asn = 64999
description = "rack 7"
shutdown = true
passive = true
families = ["vpnv4", "rtc"]
hold-time = 9
keepalive = 2
connect-retry = 5
send-hold-time = 20
delay-open = 4
idle-hold = 30
as-sets = false
disable-family = true
multiple-labels = false
graceful-restart-time = 30
max-restart-time = 300
long-lived-time = 3600
local-as = 64600
local-as-no-prepend = true
local-as-replace = true
allowas-in = 3
as-override = true
remove-private-as = "replace"
preference-as-med = true
default-local-pref = 50
transit = true
first-as = false
max-as-path = 20
aigp = true
next-hop = "unchanged"
password-file = "/etc/arcus/r1.password"
ttl-security = 2
source-address = "2001:db8::11"
source-interface = "eth0"
add-path-send = 4
add-path-receive = true
role = "rs-client"
role-strict = true
four-octet-as = false
route-refresh = false
extended-messages = false
extended-next-hop = false
max-prefixes = 1000
max-prefixes-warning = 80
max-prefixes-restart = 60
bfd = { interval = 100, multihop = true }
import-targets = ["64512:1"]
export-targets = ["64512:2"]
import-rewrite = { "64999:1" = "64512:1" }
export-rewrite = { "64512:2" = "64999:2", "64512:3" = "64999:3" }
"#;

fn topology(text: &str) -> Topology {
    read_text(&[LAB, text].concat()).map_err(|error| error.to_string()).expect("it is right")
}

/// The entry of a neighbor in the peer table of a control node.
fn entry(topology: &Topology, control_node: &str, name: &str) -> Option<PeerSpec> {
    let (_, node) = topology.control_node(control_node).expect("a control node");
    topology.peers_of(node).into_iter().find(|peer| peer.name == name)
}

#[test]
fn every_option_reaches_the_peer() {
    let peer = entry(&topology(EVERY_OPTION), "lab-1", "r1").expect("it is there");
    assert_eq!(peer.remote, Remote::Address("[2001:db8::1]:1179".parse().expect("an address")));
    assert_eq!((peer.local_asn, &peer.peer_asn), (64512, &PeerAs::Is(64999)));
    assert_eq!((peer.hold_time.seconds(), peer.graceful_restart_time), (9, 30));
    assert_eq!(
        (&peer.families[..], peer.max_prefixes),
        (&[AfiSafi::VPNV4, AfiSafi::RTC][..], Some(1000))
    );
    let options = &peer.options;
    assert_eq!(options.remove_private_as, Some(RemovePrivateAs::Replace));
    assert_eq!(options.role, Some(Role::RouteServerClient));
    assert_eq!(options.next_hop, Some(NextHop::Unchanged));
    assert_eq!(options.bfd, Some(Bfd { interval: 100, multihop: true, ..Bfd::default() }));
    let rewrite = options.export_rewrite.as_ref().map(ToString::to_string);
    assert_eq!(rewrite.as_deref(), Some("64512:2=64999:2 64512:3=64999:3"));
    // What has a field of its own is not said twice.
    let fields = ["asn", "port", "families", "hold-time", "graceful-restart-time", "max-prefixes"];
    let written: Vec<&str> = options.written().into_iter().map(|(key, _)| key).collect();
    let keys = EVERY_OPTION.lines().filter_map(|line| line.split_once(" = "));
    for (key, _) in keys.filter(|(key, _)| !["control-nodes", "address"].contains(key)) {
        assert_ne!(written.contains(&key), fields.contains(&key), "{key}");
    }
}

#[test]
fn a_neighbor_has_what_its_template_says_and_it_does_not() {
    let text = r#"
[neighbor.r1]
template = "border"
clouds = ["lab"]
address = "10.1.0.1"
keepalive = 1

[template.border]
asn = 64999
families = ["ipv4"]
hold-time = 3
keepalive = 2
next-hop = "self"
"#;
    let topology = topology(text);
    for control_node in ["lab-1", "lab-2"] {
        let peer = entry(&topology, control_node, "r1").expect("it is there");
        assert_eq!(
            (peer.peer_asn, peer.hold_time),
            (PeerAs::Is(64999), HoldTime::try_from(3).expect("3 s"))
        );
        assert_eq!(
            (peer.options.keepalive, peer.options.next_hop),
            (Some(1), Some(NextHop::Itself))
        );
        assert_eq!((peer.graceful_restart_time, peer.families), (60, vec![AfiSafi::IPV4_UNICAST]));
    }
    assert_eq!(entry(&topology, "other-1", "r1"), None);
}

#[test]
fn a_gateway_and_the_control_nodes_of_a_cloud_have_templates_too() {
    let text = r#"
[template.fast]
bfd = { interval = 100 }
hold-time = 9

[gateway.mx1]
template = "fast"
clouds = ["lab"]
address = "10.1.0.1"
asn = 64999
networks = ["blue"]

[network.blue]
clouds = ["lab"]
subnets = ["10.0.0.0/24"]
route-targets = ["64512:1"]

[cloud.third]
asn = 64514
peer.lab = { template = "fast", max-prefixes = 7 }

[cloud.third.control-node.third-1]
address = "10.3.0.11"
"#;
    let topology = topology(text);
    let bfd = |control_node, name| {
        let peer = entry(&topology, control_node, name).expect("it is there");
        (
            peer.options.bfd.as_ref().map(|bfd| bfd.interval),
            peer.hold_time.seconds(),
            peer.max_prefixes,
        )
    };
    assert_eq!(bfd("lab-1", "mx1"), (Some(100), 9, None));
    assert_eq!(bfd("third-1", "lab-2"), (Some(100), 9, Some(7)));
    assert_eq!(bfd("third-1", "other-1"), (None, 90, None));
    assert_eq!(bfd("lab-2", "third-1"), (None, 90, None), "each side has its own half");
}

#[test]
fn preference_travels_as_med_over_borders_only() {
    let text = r#"
[neighbor.client]
clouds = ["lab"]
address = "10.1.0.1"
asn = 64512
client = true

[neighbor.plain]
clouds = ["lab"]
address = "10.1.0.2"
asn = 64999

[neighbor.contrail]
clouds = ["lab"]
address = "10.1.0.3"
asn = 64998
preference-as-med = true
"#;
    let topology = topology(text);
    let as_med =
        |name| entry(&topology, "lab-1", name).expect("it is there").has_preference_as_med();
    let names = ["lab-2", "other-1", "client", "plain", "contrail"];
    assert_eq!(names.map(as_med), [false, true, false, false, true]);
    let peer = entry(&topology, "lab-1", "client").expect("it is there");
    assert!(peer.is_client() && !peer.is_external());
}

#[test]
fn the_longest_prefix_decides_whose_a_connection_is() {
    let text = r#"
[neighbor.rack]
clouds = ["lab"]
prefixes = ["10.9.0.0/16"]
asns = [64999, "65000-65100"]
max-peers = 10

[neighbor.shelf]
clouds = ["lab"]
prefixes = ["10.9.7.0/24", "10.8.0.0/24"]
asn = 64512
"#;
    let topology = topology(text);
    let matches = |name, from: &str| {
        let from: IpAddr = from.parse().expect("an address");
        entry(&topology, "lab-1", name).expect("it is there").remote.matches(from)
    };
    assert_eq!((matches("rack", "10.9.7.1"), matches("shelf", "10.9.7.1")), (Some(16), Some(24)));
    assert_eq!((matches("rack", "10.8.0.1"), matches("shelf", "10.8.0.1")), (None, Some(24)));
    let rack = entry(&topology, "lab-1", "rack").expect("it is there");
    assert_eq!(rack.role, PeerRole::Neighbor { client: false, max_peers: Some(10) });
    assert_eq!((rack.peer_asn.contains(65050), rack.peer_asn.contains(65101)), (true, false));
    assert_eq!(rack.peer_asn.to_string(), "64999 65000-65100");
}

#[test]
fn a_cloud_may_have_one_cluster_id() {
    let shared = LAB.replace("graceful-restart-time = 60", "cluster-id = \"10.1.0.10\"");
    let topology = read_text(&shared).map_err(|error| error.to_string()).expect("it is right");
    let ids = ["lab-1", "lab-2", "other-1"]
        .map(|name| topology.control_node(name).expect("it is there").1.cluster_id.to_string());
    assert_eq!(ids, ["10.1.0.10", "10.1.0.10", "10.2.0.11"]);
}

/// What a change of this neighbor costs.
fn cost(old: &str, new: &str) -> (Effect, Vec<String>) {
    let head = "\n[neighbor.r1]\nclouds = [\"lab\"]\naddress = \"10.1.0.1\"\nasn = 64999\n";
    let of = |options: &str| topology(&[head, options].concat());
    let changes = plan(&of(old), &of(new)).into_iter().find_map(|change| match change {
        Change::PeerChanged { effect, details, .. } => Some((effect, details)),
        _ => None,
    });
    changes.expect("a peer has changed")
}

#[test]
fn a_change_costs_what_the_dearest_of_its_keys_does() {
    let cases = [
        ("", "description = \"x\"", Effect::Keep, &["description none -> x"][..]),
        ("max-prefixes = 5", "max-prefixes = 6", Effect::Keep, &["max-prefixes 5 -> 6"]),
        ("", "as-override = true", Effect::Keep, &["as-override none -> true"]),
        ("", "transit = true", Effect::Refresh, &["transit none -> true"]),
        (
            "import-rewrite = { \"64512:1\" = \"64512:2\" }",
            "",
            Effect::Refresh,
            &["import-rewrite 64512:1=64512:2 -> none"],
        ),
        (
            "description = \"x\"",
            "role = \"peer\"\ntransit = false",
            Effect::Reset,
            &["role none -> peer", "transit none -> false", "description x -> none"],
        ),
    ];
    for (old, new, effect, details) in cases {
        let details = details.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(cost(old, new), (effect, details), "{old} -> {new}");
    }
}

#[test]
fn nodes_are_asked_for_echoes_as_the_topology_says() {
    use arcus_config::Echo;
    let echo = |line: &str| {
        let text = format!(
            "[cloud.fourth]\nasn = 64600\n[cloud.fourth.control-node.fourth-1]\n\
                            address = \"10.4.0.1\"\n[cloud.fourth.nodes]\n\
                            prefixes = [\"10.4.1.0/24\"]\n{line}\n"
        );
        topology(&text).clouds["fourth"].nodes.options.echo
    };
    assert_eq!(echo(""), None);
    assert_eq!(Echo::default(), Echo::On { interval: 300, multiplier: 3 });
    assert_eq!(echo("echo = {}"), Some(Echo::default()));
    assert_eq!(echo("echo = false"), Some(Echo::Off));
    let fast = Echo::On { interval: 50, multiplier: 5 };
    assert_eq!(echo("echo = { interval = 50, multiplier = 5 }"), Some(fast));
}

#[test]
fn another_rewriting_resets_who_exchanges_memberships() {
    let text = |families: &str, rewrite: &str| {
        topology(&format!(
            "[neighbor.r1]\ncontrol-nodes = [\"lab-1\"]\naddress = \"10.1.0.1\"\nasn = 64999\n\
             families = [{families}]\nexport-rewrite = {{ \"64512:1\" = \"{rewrite}\" }}\n"
        ))
    };
    for (families, want) in [("\"vpnv4\"", Effect::Keep), ("\"vpnv4\", \"rtc\"", Effect::Reset)] {
        let changes = plan(&text(families, "64999:1"), &text(families, "64999:2"));
        let effect = changes.iter().find_map(|change| match change {
            Change::PeerChanged { effect, .. } => Some(*effect),
            _ => None,
        });
        assert_eq!(effect, Some(want), "{families}");
    }
}
