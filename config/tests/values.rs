//! Every key with a value and without one, and files that nobody wrote on purpose.

mod support;

use std::net::IpAddr;

use arcus_config::{
    AfiSafi, Bfd, Decision, Direction, Encapsulation, HoldTime, NodeLimits, NodeScale, RulePeer,
    Topology, Verdict,
};
use proptest::{collection::vec, prelude::*};
use support::read_text;

const EVERY_KEY: &str = r#"
[federation]
name = "every-key"
target-range = "192.0.2.1:10-19"

[cloud.six]
asn = 4200000000
encapsulations = ["vxlan", "mpls-over-udp"]
announce-groups = true
hold-time = 0
graceful-restart-time = 4095
client-to-client = false
cluster-id = "192.0.2.13"
allocation-ranges = ["2001:db8:a::/64", "10.0.0.0/24"]

[cloud.six.control-node.ctl-1]
address = "2001:db8::11"
port = 1179
router-id = "192.0.2.11"
cluster-id = "192.0.2.12"

[cloud.six.nodes]
prefixes = ["2001:db8:1::/64"]
families = ["ipv6", "vpnv6"]
max-nodes = 5000
max-prefixes = 0x1000
max-ports = 100
max-routes = 200
masquerade-ports = "50000-50999"
headless-time = 60
flow-export = { collector = "[2001:db8::9]:4739", sample-one-in = 10 }

[cloud.six.decision]
always-compare-med = true
missing-med-is-worst = true
track-next-hops = true
aigp = false

[cloud.six.peer.six]
password-file = "/etc/arcus/six.password"
families = ["vpnv6"]
hold-time = 30

[network.blue]
clouds = ["six"]
subnets = ["2001:db8:a::/48", "10.0.0.0/16"]
service-subnets = ["2001:db8:b::/64"]
import-targets = ["4200000000:2", "65000L:1"]
export-targets = ["192.0.2.1:3"]
vni = 16777215
filter = "strict"
groups = ["web", "front"]
masquerade = true
host-access = true
port-labels = true
aggregates = ["2001:db8:a::/47"]
static-routes = [
    { prefix = "0.0.0.0/0", via = "10.0.0.1" },
    { prefix = "2001:db8:ff::/48", discard = true },
]

[network.red]
clouds = ["six"]
service-subnets = ["10.254.0.0/24"]
route-targets = ["64512:4"]

[connection.blue-uses-red]
from = "blue"
to = "red"
service-target = "64512:5"
return-target = "64512:6"
one-way = true

[group.web]
id = 1

[group.front]
id = 4294967295

[filter.strict]
default-in = "allow"
default-out = "deny"
rules = [
    { name = "all", direction = "out", action = "deny", group = "web", protocol = 89, log = true },
    { network = "red", protocol = "udp", ports = [53, "5000-5009"] },
    { prefix = "::/0", protocol = "sctp", ports = 80 },
]

[gateway.mx1]
clouds = ["six"]
address = "2001:db8::1"
port = 2179
asn = 64999
families = ["rtc", "ipv6", "vpnv6"]
networks = ["red", "blue"]
tunnel-addresses = ["2001:db8::2", "2001:db8::3"]
encapsulations = ["mpls-over-udp", "mpls-over-gre"]
hold-time = 3
max-prefixes = 1_000_000
bfd = { interval = 50, multiplier = 5, multihop = true, passive = true }
transit = true
"#;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn every_key_reaches_its_field() {
    let topology = read_text(EVERY_KEY).map_err(|error| error.to_string()).expect("it is right");
    let range = topology.federation.target_range.as_ref().expect("a range");
    assert_eq!(range.to_string(), "192.0.2.1:10-19");

    let cloud = &topology.clouds["six"];
    assert_eq!((cloud.asn, cloud.graceful_restart_time), (4_200_000_000, 4095));
    assert_eq!((cloud.hold_time, HoldTime::OFF.seconds()), (HoldTime::OFF, 0));
    assert_eq!(cloud.encapsulations, [Encapsulation::Vxlan, Encapsulation::MplsOverUdp]);
    assert!(cloud.announce_groups);
    assert!(cloud.may_allocate(address("10.0.0.7")) && !cloud.may_allocate(address("10.0.1.7")));
    assert!(cloud.has_node(address("2001:db8:1::7")) && !cloud.has_node(address("2001:db8::11")));
    let limits = NodeLimits {
        max_nodes: Some(5000),
        max_prefixes: Some(4096),
        max_ports: Some(100),
        max_routes: Some(200),
    };
    assert_eq!(cloud.nodes.limits, limits);
    let scale = NodeScale { networks: 2, max_ports: 100, max_routes: 200 };
    assert_eq!(topology.node_scale("six"), Some(scale));
    let export = cloud.nodes.flow_export.expect("an export");
    assert_eq!(export.to_string(), "one in 10 to [2001:db8::9]:4739");
    assert_eq!(cloud.nodes.masquerade_ports.to_string(), "50000-50999");
    assert_eq!(cloud.nodes.headless_time, Some(60));

    assert_eq!(cloud.nodes.families, [AfiSafi::IPV6_UNICAST, AfiSafi::VPNV6]);

    let node = &cloud.control_nodes["ctl-1"];
    assert_eq!((node.address, node.port), (address("2001:db8::11"), 1179));
    assert_eq!((node.router_id, node.cluster_id), ([192, 0, 2, 11].into(), [192, 0, 2, 12].into()));

    let decision = Decision {
        always_compare_med: true,
        missing_med_is_worst: true,
        aigp: false,
        track_next_hops: true,
    };
    assert_eq!((cloud.decision, cloud.client_to_client), (decision, false));
    let siblings = &cloud.peers["six"];
    let password = siblings.password_file.as_ref().map(ToString::to_string);
    assert_eq!(password.as_deref(), Some("/etc/arcus/six.password"));
    assert_eq!(siblings.families.as_deref(), Some(&[AfiSafi::VPNV6][..]));

    let blue = &topology.networks["blue"];
    let texts = |items: &[arcus_config::RouteTarget]| {
        items.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(texts(&blue.import_targets), ["65000L:1", "4200000000:2"]);
    assert_eq!(texts(&blue.export_targets), ["192.0.2.1:3"]);
    assert_eq!((blue.subnets.len(), blue.service_subnets.len()), (2, 1));

    assert_eq!((blue.vni, blue.filter.as_deref()), (Some(0x00ff_ffff), Some("strict")));
    assert_eq!(blue.groups, ["front", "web"]);
    assert_eq!((blue.masquerade, blue.host_access, blue.port_labels), (true, true, true));
    let routes: Vec<String> = blue.static_routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["0.0.0.0/0=>10.0.0.1", "2001:db8:ff::/48=>discard"]);
    assert_eq!(blue.aggregates.len(), 1);
    assert!(topology.connections["blue-uses-red"].one_way);
    assert_eq!(topology.port_groups(blue, None), [1, u32::MAX]);

    let filter = &topology.filters["strict"];
    assert_eq!((filter.default_in, filter.default_out), (Verdict::Allow, Verdict::Deny));
    let rules: Vec<String> = filter.rules.iter().map(ToString::to_string).collect();
    assert_eq!(
        rules,
        [
            "all: deny out protocol 89 to group web logged",
            "rule-2: allow in udp 53 5000-5009 from network red",
            "rule-3: allow in sctp 80 from ::/0",
        ]
    );
    assert_eq!(filter.rules[0].direction, Direction::Out);
    assert_eq!(filter.rules[1].peer, RulePeer::Network("red".to_owned()));

    let gateway = &topology.gateways["mx1"];
    assert_eq!((gateway.address, gateway.port), (address("2001:db8::1"), 2179));
    assert_eq!((gateway.asn, gateway.hold_time.seconds()), (64999, 3));
    assert_eq!(gateway.families, [AfiSafi::RTC, AfiSafi::IPV6_UNICAST, AfiSafi::VPNV6]);
    assert_eq!(gateway.networks, ["blue", "red"]);
    assert_eq!(gateway.tunnel_addresses, [address("2001:db8::2"), address("2001:db8::3")]);
    let bfd = Bfd { interval: 50, multiplier: 5, multihop: true, passive: true, key: None };
    assert_eq!((gateway.options.bfd.clone(), gateway.options.transit), (Some(bfd), Some(true)));
    assert_eq!(gateway.max_prefixes, Some(1_000_000));
    assert_eq!(
        topology.gateway_encapsulation(address("2001:db8::3")),
        Some(&[Encapsulation::MplsOverUdp, Encapsulation::MplsOverGre][..])
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let text = r#"
[federation]
name = "defaults"

[cloud.lab]
asn = 64512

[cloud.lab.control-node.ctl-1]
address = "10.1.0.11"

[network.blue]
clouds = ["lab"]
subnets = ["10.0.100.0/24"]
route-targets = ["64512:100"]

[gateway.mx1]
clouds = ["lab"]
address = "10.1.0.1"
asn = 64999
networks = ["blue"]
"#;
    let topology = read_text(text).map_err(|error| error.to_string()).expect("it is right");
    let cloud = &topology.clouds["lab"];
    assert_eq!((cloud.hold_time.seconds(), cloud.graceful_restart_time), (90, 120));
    assert_eq!(cloud.encapsulations, [Encapsulation::MplsOverGre, Encapsulation::MplsOverUdp]);
    assert_eq!(cloud.nodes.prefixes, []);
    let overlay = [AfiSafi::VPNV4, AfiSafi::RTC, AfiSafi::VPNV6, AfiSafi::EVPN];
    assert_eq!(cloud.nodes.families, overlay);
    assert!(cloud.may_allocate(address("192.0.2.1")), "without ranges, any address");
    assert!(!cloud.announce_groups);
    assert_eq!(cloud.nodes.masquerade_ports.to_string(), "61000-65535");
    assert_eq!((cloud.nodes.headless_time, cloud.nodes.flow_export), (None, None));
    let scale = NodeScale { networks: 1, max_ports: 4096, max_routes: 1_048_576 };
    assert_eq!(topology.node_scale("lab"), Some(scale));

    let blue = &topology.networks["blue"];
    assert_eq!((blue.masquerade, blue.host_access, blue.port_labels), (false, false, false));
    assert_eq!((blue.vni, topology.port_filter(blue, None)), (None, None));

    let node = &cloud.control_nodes["ctl-1"];
    let id = [10, 1, 0, 11].into();
    assert_eq!((node.port, node.router_id, node.cluster_id), (179, id, id));
    assert_eq!(topology.peers_of(node).len(), 1, "the gateway, and no nodes");

    let gateway = &topology.gateways["mx1"];
    assert_eq!((gateway.port, gateway.hold_time.seconds()), (179, 90));
    assert_eq!(gateway.families, [AfiSafi::VPNV4]);
    assert_eq!(gateway.tunnel_addresses, [address("10.1.0.1")]);
    assert_eq!(gateway.encapsulations, [Encapsulation::MplsOverGre]);
    assert_eq!(gateway.max_prefixes, None);
}

#[test]
fn equal_subnets_under_one_target_are_a_stretched_network() {
    let stretched = EVERY_KEY
        .replace("service-subnets = [\"10.254.0.0/24\"]", "subnets = [\"10.0.0.0/16\"]")
        .replace("one-way = true", "")
        .replace("[\"64512:4\"]", "[\"192.0.2.1:3\"]")
        .replace("[\"4200000000:2\", \"65000L:1\"]", "[\"192.0.2.1:3\"]");
    assert!(read_text(&stretched).is_ok());
    let owners = |topology: &Topology| {
        topology.owners_of(address("10.0.7.7")).map(|(n, _)| n.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        read_text(&stretched).map(|topology| owners(&topology)),
        Ok(vec!["blue".to_owned(), "red".to_owned()])
    );
}

#[test]
fn networks_that_share_no_target_may_use_the_same_addresses() {
    let same = EVERY_KEY.replace("10.254.0.0/24", "10.0.0.0/8").replace("one-way = true", "");
    assert!(read_text(&same).is_ok());
}

/// Characters that mean something to TOML, or to what stands in it.
fn spoiler() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\\[\\]\"'=#.,{}:/0-9-]{0,3}",
        Just("\n[network.blue]\n".to_owned()),
        Just("\u{0}".to_owned()),
        Just("\r\n\té".to_owned()),
        any::<char>().prop_map(String::from),
    ]
}

proptest! {
    /// A spoilt file is read or refused; a refusal shows a line that is there.
    #[test]
    fn a_spoilt_file_is_refused_at_a_line_of_it(
        spoils in vec((any::<prop::sample::Index>(), 0usize..4, spoiler()), 1..4)
    ) {
        let mut text: Vec<char> = EVERY_KEY.chars().collect();
        for (at, removed, added) in spoils {
            let at = at.index(text.len());
            let end = (at + removed).min(text.len());
            text.splice(at..end, added.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = read_text(&text)
            && error.line > 0
        {
            prop_assert!(error.line <= text.split('\n').count(), "{}", error);
            // A line ends with a line feed and one carriage return; another one belongs to the line.
            let line = text.lines().nth(error.line - 1).unwrap_or_default();
            prop_assert_eq!(line, &error.excerpt);
            prop_assert!(error.column <= error.excerpt.chars().count() + 2, "{}", error);
        }
    }
}
