//! A port moves between nodes while both have its address.

use super::*;

const NET: &str = "10.20.0.11/32";

fn other(local_pref: u32) -> Told {
    let told = Told::new("10.2.1.12:1", NET, "10.2.1.12", "64513:200");
    Told { local_pref, ..told }
}

/// The targets that ports of leonardo are imported by here.
fn told(bed: &Bed, local_pref: u32) -> Told {
    let vrf = bed.core.local.vrfs.values().find(|vrf| vrf.network == "leonardo").expect("a VRF");
    let target = vrf.import.iter().next().expect("a target").to_string();
    Told { targets: vec![Box::leak(target.into_boxed_str())], ..other(local_pref) }
}

/// What others are told of the port: its preference.
fn claimed(bed: &Bed) -> Option<u32> {
    let routes = bed.core.announced.routes.iter();
    let mut ours = routes.filter(|(key, _)| key.net.to_string() == NET);
    ours.next().map(|(_, route)| route.said.local_pref)
}

#[test]
fn a_port_that_comes_wins_until_the_other_node_is_gone() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    assert_eq!(claimed(&bed), Some(100));
    // The VRF is new here: the other node is heard of a moment later.
    let old = told(&bed, 100);
    bed.hear(CTL_1, &old.update());
    assert_eq!(claimed(&bed), Some(200));
    assert_eq!(bed.route("leonardo", NET), "port leo-1", "no share for the old place");
    bed.hear(CTL_1, &old.withdrawal());
    assert_eq!(claimed(&bed), Some(100), "settled");
}

#[test]
fn a_port_that_goes_is_withdrawn_and_its_packets_follow_it() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    bed.wait(Duration::from_mins(1));
    bed.hear(CTL_1, &told(&bed, 200).update());
    assert_eq!(claimed(&bed), None);
    assert_eq!(bed.route("leonardo", NET), "mpls-over-gre 10.2.1.12 label 40");
    bed.hear(CTL_1, &told(&bed, 100).update());
    assert_eq!(claimed(&bed), None, "the new place has settled");
    assert_eq!(bed.route("leonardo", NET), "mpls-over-gre 10.2.1.12 label 40");
    bed.hear(CTL_1, &other(100).withdrawal());
    assert_eq!(claimed(&bed), Some(100), "the new place is gone, and the port is still here");
    assert_eq!(bed.route("leonardo", NET), "port leo-1");
}

#[test]
fn an_address_that_two_nodes_have_for_long_is_shared() {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    bed.wait(Duration::from_mins(1));
    bed.hear(CTL_1, &told(&bed, 100).update());
    assert_eq!(claimed(&bed), Some(100));
    assert_eq!(bed.route("leonardo", NET), "port leo-1, mpls-over-gre 10.2.1.12 label 40");
}
