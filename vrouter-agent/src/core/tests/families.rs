//! Both versions of IP, EVPN, shares, and what networks are configured with.

use std::net::Ipv6Addr;

use bgp_wire::nlri::{Esi, EvpnData, EvpnKey, MacAddress};
use bgp_wire::{Message, Negotiated};
use dataplane::{AllowedSource, Spread, Verdict};

use super::*;
use crate::route_key::RouteKey;

const DC_CTL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 11));
const WEB: &str = r#"{"network": "web", "netns": "/run/netns/w", "ip": "10.10.0.5",
    "ip6": "2001:db8:10::5"}"#;

fn node(address: &str, address6: Option<&str>) -> Node {
    let address: IpAddr = address.parse().expect("an address");
    Node {
        name: "n1".into(),
        cloud: "dc".into(),
        address,
        address6: address6.map(|v6| v6.parse().expect("an address")),
        router_id: crate::node::default_router_id(address),
        uplink_mtu: 1500,
        port_mtu: 1430,
        uplinks: vec!["eth0".into()],
    }
}

fn datacenter() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../topology-examples/datacenter.toml");
    std::fs::read_to_string(path).expect("the example is there")
}

fn bed_with(text: &str) -> Bed {
    let node = node("10.1.1.11", Some("2001:db8:1::11"));
    let mut bed = Bed::on(node, State::default(), Memory::default(), text);
    bed.turn();
    bed.up(DC_CTL);
    bed
}

fn bed() -> Bed {
    bed_with(&datacenter())
}

/// A type 5 route of another node.
#[derive(Clone)]
struct Prefix {
    net: &'static str,
    next_hop: &'static str,
    label: Label,
    offers: Vec<u16>,
    router_mac: Option<[u8; 6]>,
    gateway: &'static str,
}

impl Prefix {
    fn vxlan() -> Self {
        Self {
            net: "10.10.7.0/24",
            next_hop: "10.1.1.12",
            label: Label::vni(5010).expect("24 bits"),
            offers: vec![8],
            router_mac: Some([2, 0, 0, 0, 0, 9]),
            gateway: "0.0.0.0",
        }
    }

    fn update(&self) -> Update {
        let rd: RouteDistinguisher = "10.1.1.12:1".parse().expect("an rd");
        let key = EvpnKey::IpPrefix { rd, tag: 0, net: self.net.parse().expect("a prefix") };
        let gateway = self.gateway.parse().expect("an address");
        let data = EvpnData::IpPrefix { esi: Esi::default(), gateway, label: self.label };
        let target: bgp_wire::RouteTarget = "64512:10".parse().expect("a target");
        let offers = self.offers.iter().map(|t| ExtendedCommunity::encapsulation(TunnelType(*t)));
        let mac = self.router_mac.map(|mac| ExtendedCommunity::router_mac(MacAddress(mac)));
        let attributes = PathAttributes {
            local_pref: Some(100),
            extended_communities: std::iter::once(ExtendedCommunity::from(target))
                .chain(offers)
                .chain(mac)
                .collect(),
            ..PathAttributes::default()
        };
        let next_hop: IpAddr = self.next_hop.parse().expect("an address");
        let route = Route { path_id: PathId::default(), key, data };
        Update {
            announced: vec![(NextHop::from(next_hop), Routes::Evpn(vec![route]))],
            attributes: Arc::new(attributes),
            ..nothing()
        }
    }
}

fn with(update: &Update, more: &[ExtendedCommunity]) -> Update {
    let mut attributes = (*update.attributes).clone();
    attributes.extended_communities.extend(more);
    Update { attributes: Arc::new(attributes), ..update.clone() }
}

#[test]
fn a_port_of_both_versions_is_attached_and_announced_with_both() {
    let mut bed = bed();
    bed.put("w", WEB).unwrap();
    let port = &bed.state().ports[&"w".into()];
    let v6 = port.v6.expect("it has IPv6");
    assert_eq!((v6.prefix_len, v6.gateway), (64, "2001:db8:10::1".parse::<Ipv6Addr>().unwrap()));
    assert_eq!(port.v4.expect("it has IPv4").gateway, Ipv4Addr::new(10, 10, 0, 1));
    assert!(port.host_access);
    assert_eq!(bed.route("web", "2001:db8:10::5/128"), "port w");
    let keys: Vec<_> = bed.core.announced.routes.keys().map(RouteKey::to_string).collect();
    let want = [
        "10.1.1.11:1:10.10.0.5/32",
        "10.1.1.11:1:2001:db8:10::5/128",
        "[5]:[10.1.1.11:1]:[0]:[10.10.0.5/32]",
        "[5]:[10.1.1.11:1]:[0]:[2001:db8:10::5/128]",
    ];
    assert_eq!(keys, want);
}

#[test]
fn type_5_is_not_announced_where_the_cloud_does_not_list_vxlan() {
    let mut bed = bed_with(
        &datacenter()
            .replace(r#"["vxlan", "mpls-over-udp", "mpls-over-gre"]"#, r#"["mpls-over-udp"]"#),
    );
    bed.put("w", WEB).unwrap();
    assert!(bed.core.announced.routes.keys().all(|key| !key.kind.is_evpn()));
    bed.hear(DC_CTL, &Prefix::vxlan().update());
    assert_eq!(bed.route("web", "10.10.7.0/24"), "vxlan 10.1.1.12 vni 5010", "taken all the same");
}

#[test]
fn each_family_says_its_own_encapsulations() {
    let mut bed = bed();
    bed.put("w", WEB).unwrap();
    let mut communities = std::collections::BTreeMap::new();
    let mut next_hops = BTreeSet::new();
    while let Some(chunk) = bed.core.next_chunk(DC_CTL) {
        let mut rest = &*chunk.octets;
        let negotiated = Negotiated::everything();
        while let Some(length) =
            bgp_wire::frame::length(rest, negotiated.max_message()).expect("a header")
        {
            let (octets, more) = rest.split_at(length);
            rest = more;
            let Ok(Message::Update(update)) = Message::decode(octets, &negotiated) else {
                panic!("an UPDATE")
            };
            assert!(update.faults.is_empty(), "{:?}", update.faults);
            for (next_hop, routes) in &update.announced {
                let said = update.attributes.extended_communities.iter().map(ToString::to_string);
                let said: Vec<_> = said.filter(|c| !c.starts_with("target")).collect();
                communities.insert(routes.family().to_string(), said.join(" "));
                next_hops.insert(next_hop.to_string());
            }
        }
    }
    assert_eq!(communities["vpnv4"], "encapsulation:13 encapsulation:2 security-group:64512:10");
    assert_eq!(communities["vpnv6"], communities["vpnv4"]);
    assert_eq!(
        communities["evpn"],
        "encapsulation:8 router-mac:02:5e:0a:01:01:0b security-group:64512:10"
    );
    assert!(next_hops.contains("10.1.1.11"));
}

#[test]
fn a_type_5_route_is_either_vxlan_or_mpls() {
    // (what is different, what it leads to, why it is not used)
    let mpls = Label::mpls(77).expect("20 bits");
    let cases = [
        (Prefix::vxlan(), "vxlan 10.1.1.12 vni 5010", None),
        (Prefix { router_mac: None, ..Prefix::vxlan() }, "", Some("no-router-mac")),
        (Prefix { gateway: "10.10.0.9", ..Prefix::vxlan() }, "", Some("overlay-index")),
        (
            Prefix { label: Label::from_octets([0; 3]), ..Prefix::vxlan() },
            "",
            Some("reserved-label"),
        ),
        (
            Prefix { label: mpls, offers: vec![2, 13], ..Prefix::vxlan() },
            "mpls-over-udp 10.1.1.12 label 77",
            None,
        ),
        (Prefix { offers: vec![7], ..Prefix::vxlan() }, "", Some("no-common-encapsulation")),
        (
            Prefix { next_hop: "2001:db8:1::12", ..Prefix::vxlan() },
            "vxlan 2001:db8:1::12 vni 5010",
            None,
        ),
    ];
    for (prefix, want, problem) in cases {
        let mut bed = bed();
        bed.put("w", WEB).unwrap();
        bed.hear(DC_CTL, &prefix.update());
        assert_eq!(bed.route("web", prefix.net), want, "{problem:?}");
        let routes = bed.core.show_routes("web").unwrap();
        let shown = routes.iter().find(|route| route.prefix.to_string() == prefix.net).unwrap();
        assert_eq!(shown.problem.as_deref(), problem, "{want}");
    }
}

#[test]
fn what_a_node_tells_by_vpn_and_by_evpn_is_one_next_hop() {
    let net = "10.10.7.0/24";
    let vpn = Told::new("10.1.1.12:1", net, "10.1.1.12", "64512:10");
    let other = Told::new("10.1.1.13:1", net, "10.1.1.13", "64512:10");
    let mut bed = bed();
    bed.put("w", WEB).unwrap();
    bed.hear(DC_CTL, &vpn.update());
    bed.hear(DC_CTL, &other.update());
    bed.hear(DC_CTL, &Prefix::vxlan().update());
    assert_eq!(bed.route("web", net), "vxlan 10.1.1.12 vni 5010, mpls-over-udp 10.1.1.13 label 40");
    // An offer of VXLAN on a VPN route is none.
    bed.hear(DC_CTL, &Told { offers: vec![8, 2], ..other }.update());
    assert!(bed.route("web", net).contains("mpls-over-gre 10.1.1.13"));
}

#[test]
fn shares_follow_link_bandwidth_when_all_tell_it() {
    let net = "10.254.10.7/32";
    let told = |rd, node, speed: u64| {
        let told = Told::new(rd, net, node, "64512:10");
        let speed = (speed > 0).then(|| crate::path::link_bandwidth(64512, speed));
        with(&told.update(), speed.as_slice())
    };
    let mut bed = bed();
    bed.put("w", WEB).unwrap();
    bed.hear(DC_CTL, &told("10.1.1.12:1", "10.1.1.12", 1000));
    bed.hear(DC_CTL, &told("10.1.1.13:1", "10.1.1.13", 3000));
    assert_eq!(
        bed.route("web", net),
        "mpls-over-udp 10.1.1.12 label 40, mpls-over-udp 10.1.1.13 label 40 weight 3"
    );
    bed.hear(DC_CTL, &told("10.1.1.14:1", "10.1.1.14", 0));
    assert!(!bed.route("web", net).contains("weight"), "one tells none");
}

#[test]
fn a_service_with_affinity_is_spread_by_source_everywhere() {
    let mut bed = bed();
    let service = r#"{"network": "web", "netns": "/run/netns/w", "ip": "10.10.0.5", "services":
        [{"network": "web", "address": "2001:db8:254:10::7", "port": 80, "target_port": 8080,
          "affinity_seconds": 600, "weight": 5}]}"#;
    bed.put("w", service).unwrap();
    let net = "2001:db8:254:10::7/128";
    let own = &bed.fib("web")[&net.parse().unwrap()];
    assert_eq!(own.to.spread(), Spread::Source);
    let announced = bed.core.announced.routes.iter().find(|(key, _)| key.net.to_string() == net);
    let said = &announced.expect("it is announced").1.said;
    assert_eq!((said.spread, said.weight), (Spread::Source, Some(5)));

    let remote = Told::new("10.1.1.12:1", "10.254.10.8/32", "10.1.1.12", "64512:10").update();
    bed.hear(DC_CTL, &with(&remote, &[crate::path::BY_SOURCE]));
    let route = &bed.fib("web")[&"10.254.10.8/32".parse().unwrap()];
    assert_eq!(route.to.spread(), Spread::Source, "as another node asks");
}

#[test]
fn who_is_behind_a_route_comes_from_groups() {
    let mut bed = bed();
    bed.put("w", WEB).unwrap();
    let own = &bed.fib("web")[&"10.10.0.5/32".parse().unwrap()];
    assert_eq!(own.identities.as_slice().iter().map(|i| i.0).collect::<Vec<_>>(), [10]);
    let told = Told::new("10.1.1.12:1", "10.10.0.9/32", "10.1.1.12", "64512:10").update();
    let groups = [crate::path::group(64512, 11), ExtendedCommunity([0x82, 4, 0, 0, 0, 7, 0, 9])];
    bed.hear(DC_CTL, &with(&told, &groups));
    let shown = bed.core.show_routes("web").unwrap();
    let shown = shown.iter().find(|route| route.prefix.to_string() == "10.10.0.9/32").unwrap();
    assert_eq!(shown.groups, ["database", "458761"], "a name, and a number without one");
}

#[test]
fn a_network_has_what_it_is_configured_with() {
    let mut bed = bed();
    bed.put("w", WEB).unwrap();
    assert_eq!(bed.route("web", "0.0.0.0/0"), "masquerade");
    assert_eq!(bed.route("web", "::/0"), "masquerade");
    let gateway = Told::new("64999:1", "0.0.0.0/0", "10.1.0.1", "64512:10");
    bed.hear(DC_CTL, &Told { as_path: vec![64999], ..gateway }.update());
    assert!(bed.route("web", "0.0.0.0/0").contains("10.1.0.1"), "any other way out is better");

    for (id, last) in [("f1", 9), ("f2", 10)] {
        let firewall = format!(
            r#"{{"network": "database", "netns": "/run/netns/{id}", "ip": "10.20.0.{last}"}}"#
        );
        bed.put(id, &firewall).unwrap();
    }
    assert_eq!(bed.route("database", "10.99.0.0/16"), "port f1, port f2");
    assert_eq!(bed.route("database", "192.0.2.0/24"), "discard");
    assert_eq!(bed.route("database", "10.20.0.0/16"), "discard", "the aggregate");
    let announced = |bed: &Bed, net: &str| {
        bed.core.announced.routes.keys().any(|key| key.net.to_string() == net)
    };
    assert!(announced(&bed, "10.99.0.0/16") && announced(&bed, "10.20.0.0/16"));
    assert!(!announced(&bed, "192.0.2.0/24") && !announced(&bed, "0.0.0.0/0"));

    let ports = &bed.state().ports;
    let via = AllowedSource { net: "10.99.0.0/16".parse().unwrap(), mac: None };
    assert!(ports[&"f1".into()].allowed.contains(&via));
    let labels: BTreeSet<_> = ports.values().map(|port| port.label).collect();
    assert_eq!(labels.len(), 3, "none for web, one each in database");
    let label_of = |id: &str| ports[&id.into()].label.expect("a label").value();
    let key =
        bed.core.announced.routes.iter().find(|(key, _)| key.net.to_string() == "10.20.0.9/32");
    assert_eq!(key.expect("announced").1.label.mpls_value(), label_of("f1"));
    assert_eq!(bed.core.status_of(&port_id("f1")).unwrap().label, label_of("f1"));

    let filters = &bed.state().filters;
    let web = &filters[&"web@web".into()];
    assert_eq!(web.rules[0].name, "web-uses-database", "one-way rules come first");
    assert_eq!(web.default_in, Verdict::Deny);
    assert!(filters.contains_key(&"database".into()));
    assert_eq!(bed.state().node.sample_one_in, 1000);
}

#[test]
fn a_node_of_ipv6_alone_announces_itself_by_ipv6() {
    let text = datacenter()
        .replace("10.1.0.11\"", "2001:db8:0::11\"\nrouter-id = \"10.1.0.11\"")
        .replace("10.1.0.12\"", "2001:db8:0::12\"\nrouter-id = \"10.1.0.12\"")
        .replace("10.1.1.0/24", "2001:db8:1::/64")
        .replace("address = \"10.1.0.1\"", "address = \"2001:db8::1\"");
    let mut bed = Bed::on(node("2001:db8:1::11", None), State::default(), Memory::default(), &text);
    bed.turn();
    bed.put("w", WEB).unwrap();
    let node = &bed.state().node;
    assert_eq!((node.tunnel_v4, node.tunnel_v6), (None, "2001:db8:1::11".parse().ok()));
    assert_eq!(bed.route("web", "0.0.0.0/0"), "", "there is no IPv4 to leave with");
    let ctl: IpAddr = "2001:db8::11".parse().unwrap();
    bed.up(ctl);
    let told = Told::new("10.1.1.12:1", "10.10.0.9/32", "2001:db8:1::12", "64512:10");
    bed.hear(ctl, &told.update());
    assert_eq!(bed.route("web", "10.10.0.9/32"), "mpls-over-udp 2001:db8:1::12 label 40");
}

#[test]
fn what_was_told_is_forgotten_when_the_headless_time_is_over() {
    let mut bed = bed();
    bed.put("w", WEB).unwrap();
    let net = "10.10.0.9/32";
    bed.hear(DC_CTL, &Told::new("10.1.1.12:1", net, "10.1.1.12", "64512:10").update());
    bed.end_of_rib(DC_CTL);
    bed.down(DC_CTL, None);
    bed.wait(Duration::from_secs(86_000));
    assert_ne!(bed.route("web", net), "", "a day");
    bed.wait(Duration::from_secs(1000));
    assert_eq!(bed.route("web", net), "");
    assert_eq!(bed.route("web", "10.10.0.5/32"), "port w", "its own stay");
}
