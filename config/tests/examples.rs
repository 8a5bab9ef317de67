//! The topologies that others learn from, and what daemons are told of them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use arcus_config::{
    AfiSafi, Encapsulation, NodeScale, PeerRole, Remote, SubnetKind, Topology, read,
};

fn example(name: &str) -> Topology {
    let path = Path::new("../topology-examples").join(name);
    read(&path).map_err(|error| error.to_string()).expect(name)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The texts of what a set or list holds.
fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

#[test]
fn every_example_is_right() {
    let names = [
        "minimal.toml",
        "leonardo.toml",
        "split/federation.toml",
        "routers.toml",
        "datacenter.toml",
    ];
    for name in names {
        assert!(!example(name).networks.is_empty(), "{name}");
    }
}

#[test]
fn a_control_node_is_found_with_its_cloud() {
    let topology = example("leonardo.toml");
    let (cloud, node) = topology.control_node("k8s-ctl-2").expect("it is there");
    assert_eq!((cloud.name.as_str(), cloud.asn), ("kubernetes", 64513));
    assert_eq!(node.address, address("10.2.0.12"));
    assert_eq!((node.router_id, node.cluster_id), ([10, 2, 0, 12].into(), [10, 2, 0, 12].into()));
    assert_eq!(topology.control_node("mx1"), None);
}

#[test]
fn a_control_node_peers_with_siblings_other_clouds_gateways_and_nodes() {
    let topology = example("leonardo.toml");
    let (_, me) = topology.control_node("k8s-ctl-1").expect("it is there");
    let peers = topology.peers_of(me);
    let table: Vec<_> = peers
        .iter()
        .map(|peer| {
            (peer.name.as_str(), peer.is_external(), peer.is_client(), peer.peer_asn.only())
        })
        .collect();
    assert_eq!(
        table,
        [
            ("k8s-ctl-2", false, false, Some(64513)),
            ("os-ctl-1", true, false, Some(64512)),
            ("os-ctl-2", true, false, Some(64512)),
            ("mx1", true, false, Some(64999)),
            ("mx2", true, false, Some(64999)),
            ("kubernetes-nodes", false, true, Some(64513)),
        ]
    );
    assert_eq!(peers[0].role, PeerRole::Sibling);
    assert_eq!(peers[1].role, PeerRole::Federated { cloud: "openstack".to_owned() });
    assert_eq!(peers[0].families, [AfiSafi::VPNV4, AfiSafi::RTC, AfiSafi::VPNV6, AfiSafi::EVPN]);
    assert_eq!(peers[3].remote, Remote::Address(SocketAddr::new(address("10.2.0.1"), 179)));
    assert_eq!(peers[3].families, [AfiSafi::VPNV4, AfiSafi::VPNV6]);
    assert!(peers[5].accepts(address("10.2.1.77")) && !peers[5].accepts(address("10.2.0.77")));

    let PeerRole::Gateway(targets) = &peers[3].role else { panic!("mx1 is a gateway") };
    assert_eq!(
        (texts(&targets.import), texts(&targets.export)),
        (vec!["64512:900".to_owned()], vec!["64512:900".to_owned()])
    );
}

#[test]
fn a_cloud_without_gateways_does_not_peer_with_those_of_others() {
    let topology = example("leonardo.toml");
    let (_, me) = topology.control_node("os-ctl-1").expect("it is there");
    let names: Vec<String> = topology.peers_of(me).into_iter().map(|peer| peer.name).collect();
    assert_eq!(names, ["k8s-ctl-1", "k8s-ctl-2", "os-ctl-2", "openstack-nodes"]);
}

#[test]
fn a_connection_gives_targets_to_services_and_ports_only() {
    let topology = example("leonardo.toml");
    // (network, imports, every route, service addresses, ports)
    let cases: [(&str, [&[&str]; 4]); 4] = [
        (
            "nginx",
            [
                &["64512:200", "64512:5001"],
                &["64512:200"],
                &["64512:200"],
                &["64512:200", "64512:5002"],
            ],
        ),
        (
            "leonardo",
            [
                &["64512:100", "64512:5002"],
                &["64512:100"],
                &["64512:100", "64512:5001"],
                &["64512:100"],
            ],
        ),
        ("database", [&["64512:100"], &["64512:100"], &["64512:100"], &["64512:100"]]),
        ("public", [&["64512:900"], &["64512:900"], &["64512:900"], &["64512:900"]]),
    ];
    for (name, [import, export, service, port]) in cases {
        let network = &topology.networks[name];
        assert_eq!(texts(topology.import_targets(network)), import, "{name} imports");
        assert_eq!(texts(topology.export_targets(network)), export, "{name} exports");
        assert_eq!(texts(topology.service_targets(network)), service, "{name} services");
        assert_eq!(texts(topology.port_targets(network)), port, "{name} ports");
    }
}

#[test]
fn a_cloud_has_the_networks_that_name_it() {
    let topology = example("leonardo.toml");
    let names = |cloud| topology.networks_of(cloud).map(|n| n.name.as_str()).collect::<Vec<_>>();
    assert_eq!(names("openstack"), ["database"]);
    assert_eq!(names("kubernetes"), ["leonardo", "nginx", "public"]);
    assert_eq!(names("nowhere"), [""; 0]);
}

#[test]
fn an_address_belongs_to_the_network_whose_subnet_holds_it() {
    let topology = example("leonardo.toml");
    let cases = [
        ("10.0.100.4", Some(("database", SubnetKind::Port))),
        ("10.254.98.15", Some(("leonardo", SubnetKind::Service))),
        ("185.22.97.188", Some(("public", SubnetKind::Port))),
        ("192.0.2.1", None),
    ];
    for (text, want) in cases {
        let owners: Vec<_> =
            topology.owners_of(address(text)).map(|(n, kind)| (n.name.as_str(), kind)).collect();
        assert_eq!(owners, want.into_iter().collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn a_route_that_names_no_encapsulation_takes_that_of_the_gateway_behind_it() {
    let topology = example("leonardo.toml");
    let of = |text| topology.gateway_encapsulation(address(text));
    assert_eq!(of("10.2.0.2"), Some(&[Encapsulation::MplsOverGre][..]));
    assert_eq!(of("10.2.1.11"), None);
}

#[test]
fn halves_make_a_whole_and_take_recorded_targets() {
    let topology = example("split/federation.toml");
    assert_eq!(topology.clouds.keys().collect::<Vec<_>>(), ["kubernetes", "openstack"]);
    let connection = &topology.connections["web-uses-database"];
    assert_eq!(connection.service_target.to_string(), "64512:5000");
    assert_eq!(connection.return_target.to_string(), "64512:5001");
}

#[test]
fn a_data_center_has_room_for_what_it_says() {
    let topology = example("datacenter.toml");
    let scale = NodeScale { networks: 3, max_ports: 500, max_routes: 200_000 };
    assert_eq!(topology.node_scale("dc"), Some(scale));
    assert_eq!(topology.node_scale("nowhere"), None);
    let cloud = &topology.clouds["dc"];
    assert_eq!(cloud.encapsulations[0], Encapsulation::Vxlan);
    let routes = &topology.networks["database"].static_routes;
    assert_eq!(
        texts(routes),
        [
            "10.99.0.0/16=>10.20.0.9",
            "10.99.0.0/16=>10.20.0.10",
            "192.0.2.0/24=>discard",
            "2001:db8:99::/48=>2001:db8:20::9",
        ]
    );
    let owners: Vec<_> = topology.owners_of(address("2001:db8:254:10::5")).collect();
    assert_eq!(owners, [(&topology.networks["web"], SubnetKind::Service)]);
}

#[test]
fn equal_topologies_have_one_fingerprint_and_others_another() {
    let names = ["minimal.toml", "leonardo.toml", "split/federation.toml"];
    let fingerprints: BTreeSet<u64> = names.iter().map(|n| example(n).fingerprint()).collect();
    assert_eq!(fingerprints.len(), 3);
    assert_eq!(example("leonardo.toml").fingerprint(), example("leonardo.toml").fingerprint());
}
