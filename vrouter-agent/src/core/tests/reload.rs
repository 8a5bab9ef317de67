//! The topology changes under a running agent.

use super::*;

fn busy() -> Bed {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    bed.put("nginx-1", NGINX).unwrap();
    bed
}

fn reload(bed: &mut Bed, text: &str) {
    bed.core.reload(bed.now, topology(text));
    bed.turn();
}

#[test]
fn changed_targets_are_announced_and_imported() {
    let mut bed = busy();
    let old = Told::new("10.1.1.11:1", "10.0.100.4/32", "10.1.1.11", "64512:100");
    let new = Told::new("10.1.1.11:1", "10.0.100.5/32", "10.1.1.11", "64512:101");
    bed.hear(CTL_1, &old.update());
    bed.hear(CTL_1, &new.update());
    let text = leonardo().replace(
        "service-subnets = [\"10.254.98.0/24\"] # an address here is announced by each node with a \
         ready pod\nroute-targets = [\"64512:100\"]",
        "service-subnets = [\"10.254.98.0/24\"]\nroute-targets = [\"64512:101\"]",
    );
    assert_ne!(text, leonardo());
    reload(&mut bed, &text);
    let announced = bed.announced();
    assert!(
        announced.contains(&"10.2.1.11:1:10.20.0.11/32 16 64512:101".to_owned()),
        "{announced:?}"
    );
    assert!(bed.memberships().contains("64512:101") && !bed.memberships().contains("64512:100"));
    assert_eq!(bed.route("leonardo", "10.0.100.4/32"), "");
    assert_ne!(bed.route("leonardo", "10.0.100.5/32"), "", "also what was told long ago");
    let owed = bed.core.peers().map(|(_, peer)| peer.owed()).min();
    assert!(owed > Some(0), "both control nodes are owed the change");
}

#[test]
fn a_connection_that_goes_takes_its_routes_along() {
    let mut bed = busy();
    assert_ne!(bed.route("nginx", "10.254.98.15/32"), "");
    let text = leonardo();
    let (before, rest) = text.split_once("[connection.nginx-uses-leonardo]").unwrap();
    let (_, after) = rest.split_once("[gateway.mx1]").unwrap();
    reload(&mut bed, &format!("{before}[gateway.mx1]{after}"));
    assert_eq!(bed.route("nginx", "10.254.98.15/32"), "");
    assert_eq!(bed.route("leonardo", "10.10.0.11/32"), "");
    assert!(
        bed.announced().iter().all(|route| !route.contains("64512:500")),
        "{:?}",
        bed.announced()
    );
}

#[test]
fn a_network_that_goes_suspends_its_ports_until_it_is_back() {
    let mut bed = busy();
    let text = leonardo().replace("10.20.0.0/16", "10.21.0.0/16");
    reload(&mut bed, &text);
    assert!(bed.announced().iter().all(|route| !route.contains("10.20.0.11")));
    let status = bed.core.status_of(&port_id("leo-1")).unwrap();
    let arcus_api::v1::PortState::Failed { reason } = status.state else { panic!("{status:?}") };
    assert!(reason.contains("outside of the subnets"), "{reason}");
    assert!(!bed.state().ports.contains_key(&"leo-1".into()));

    bed.core.reload(bed.now, topology(&leonardo()));
    let status = bed.core.status_of(&port_id("leo-1")).unwrap();
    assert_eq!(status.state, arcus_api::v1::PortState::Pending, "not before it is there");
    bed.turn();
    let status = bed.core.status_of(&port_id("leo-1")).unwrap();
    assert_eq!(status.state, arcus_api::v1::PortState::Programmed);
    assert!(bed.announced().iter().any(|route| route.contains("10.20.0.11/32 16")));
    assert!(bed.state().ports.contains_key(&"leo-1".into()));
}

#[test]
fn another_preference_moves_the_tunnels() {
    let mut bed = busy();
    let db = Told::new("10.1.1.11:1", "10.0.100.4/32", "10.1.1.11", "64512:100");
    bed.hear(CTL_1, &db.update());
    let udp = leonardo().replace(
        "[\"mpls-over-gre\", \"mpls-over-udp\"]",
        "[\"mpls-over-udp\", \"mpls-over-gre\"]",
    );
    reload(&mut bed, &udp);
    assert_eq!(bed.route("leonardo", "10.0.100.4/32"), "mpls-over-udp 10.1.1.11 label 40");
}

#[test]
fn a_control_node_that_is_removed_takes_its_routes_along() {
    let mut bed = busy();
    let db = Told::new("10.1.1.11:1", "10.0.100.4/32", "10.1.1.11", "64512:100");
    bed.hear(CTL_2, &db.update());
    let text = leonardo()
        .replace("[cloud.kubernetes.control-node.k8s-ctl-2]\naddress = \"10.2.0.12\"\n", "");
    assert_ne!(text, leonardo());
    reload(&mut bed, &text);
    assert_eq!(bed.core.peers().count(), 1);
    assert_eq!(bed.route("leonardo", "10.0.100.4/32"), "");
}
