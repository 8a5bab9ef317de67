//! What a data plane is told of the filters of a topology.

mod support;

use std::path::Path;

use arcus_config::{FlatFilter, FlatPeer, FlatRule, Topology, Verdict, read};
use support::read_text;

fn datacenter() -> Topology {
    read(Path::new("../topology-examples/datacenter.toml"))
        .map_err(|error| error.to_string())
        .expect("the example")
}

/// `http allow in 6 80-80 any`
fn text(rule: &FlatRule) -> String {
    let number = |protocol: arcus_config::Protocol| protocol.number().to_string();
    let protocol = rule.protocol.map_or("-".to_owned(), number);
    let ports = rule.ports.map_or("-".to_owned(), |p| format!("{}-{}", p.first(), p.last()));
    let peer = match rule.peer {
        FlatPeer::Anybody => "any".to_owned(),
        FlatPeer::Group(id) => format!("group {id}"),
        FlatPeer::Prefix(prefix) => prefix.to_string(),
    };
    let log = if rule.log { " log" } else { "" };
    format!("{} {} {} {protocol} {ports} {peer}{log}", rule.name, rule.verdict, rule.direction)
}

fn texts(filter: &FlatFilter) -> Vec<String> {
    filter.rules.iter().map(text).collect()
}

#[test]
fn a_rule_becomes_one_for_each_prefix_and_range() {
    let topology = datacenter();
    let filter = topology.port_filter(&topology.networks["database"], None).expect("a filter");
    assert_eq!((filter.default_in, filter.default_out), (Verdict::Deny, Verdict::Deny));
    assert_eq!(
        texts(&filter),
        [
            "sql allow in 6 5432-5432 group 10",
            "replicas allow in 6 5432-5432 group 11",
            "replicate allow out 6 5432-5432 group 11",
            "no-mail deny out 6 25-25 any log",
            "to-web allow out - - 10.10.0.0/16",
            "to-web allow out - - 2001:db8:10::/64",
            "to-web allow out - - 10.254.10.0/24",
            "to-web allow out - - 2001:db8:254:10::/112",
        ]
    );
}

#[test]
fn the_rule_of_a_one_way_connection_comes_before_every_filter() {
    let topology = datacenter();
    let web = &topology.networks["web"];
    let refused = [
        "web-uses-database deny in - - 10.20.0.0/16",
        "web-uses-database deny in - - 2001:db8:20::/64",
        "web-uses-database deny in - - 10.254.20.0/24",
    ];
    let own = topology.port_filter(web, None).expect("a filter");
    assert_eq!(
        texts(&own),
        [
            &refused[..],
            &[
                "http allow in 6 80-80 any",
                "http allow in 6 443-443 any",
                "http allow in 6 8000-8999 any",
                "ping allow in 1 - any",
                "ping6 allow in 58 - any",
                "ssh allow in 6 22-22 10.0.0.0/24 log",
            ],
        ]
        .concat()
    );
    let other = topology.port_filter(web, Some("database")).expect("a filter");
    assert_eq!(texts(&other)[..3], refused);
    assert_eq!((other.default_in, other.rules.len()), (Verdict::Deny, 3 + 8));
}

#[test]
fn a_one_way_connection_alone_allows_the_rest() {
    let leonardo = include_str!("../../topology-examples/leonardo.toml");
    let topology = read_text(leonardo).map_err(|error| error.to_string()).expect("it is right");
    let nginx = topology.port_filter(&topology.networks["nginx"], None).expect("a filter");
    assert_eq!((nginx.default_in, nginx.default_out), (Verdict::Allow, Verdict::Allow));
    assert_eq!(
        texts(&nginx),
        [
            "nginx-uses-leonardo deny in - - 10.20.0.0/16",
            "nginx-uses-leonardo deny in - - 10.254.98.0/24",
        ]
    );
    assert_eq!(topology.port_filter(&topology.networks["leonardo"], None), None);
}

#[test]
fn a_network_without_filter_asks_for_nothing() {
    let topology = datacenter();
    let public = &topology.networks["public"];
    assert_eq!(topology.port_filter(public, None), None);
    assert!(topology.port_filter(public, Some("web")).is_some());
}

#[test]
fn a_port_has_its_own_groups_or_those_of_its_network() {
    let topology = datacenter();
    let web = &topology.networks["web"];
    assert_eq!(topology.port_groups(web, None), [10]);
    assert_eq!(topology.port_groups(web, Some(&[])), [0; 0]);
    let both = ["database".to_owned(), "web".to_owned()];
    assert_eq!(topology.port_groups(web, Some(&both)), [10, 11]);
}

#[test]
fn halves_of_one_network_may_have_one_vni() {
    let leonardo = include_str!("../../topology-examples/leonardo.toml");
    let halves = leonardo
        .replace("subnets = [\"10.0.100.0/24\"]", "subnets = [\"10.0.100.0/24\"]\nvni = 100")
        .replace("subnets = [\"10.20.0.0/16\"]", "subnets = [\"10.20.0.0/16\"]\nvni = 100");
    assert_eq!(read_text(&halves).map(|topology| topology.networks["leonardo"].vni), Ok(Some(100)));
    let strangers =
        halves.replace("subnets = [\"10.10.0.0/16\"]", "subnets = [\"10.10.0.0/16\"]\nvni = 100");
    assert!(read_text(&strangers).is_err(), "leonardo and nginx are two networks");
}
