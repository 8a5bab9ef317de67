//! The agent, or the control nodes, go and come back.

use super::*;

const DB: &str = "10.0.100.4/32";

fn db() -> Told {
    Told::new("10.1.1.11:1", DB, "10.1.1.11", "64512:100")
}

/// A node with both kinds of addresses and a route, all as it is when nothing happens.
fn busy() -> Bed {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    bed.put("nginx-1", NGINX).unwrap();
    bed.hear(CTL_1, &db().update());
    bed.hear(CTL_2, &db().update());
    bed.end_of_rib(CTL_1);
    bed.end_of_rib(CTL_2);
    bed
}

/// The agent after it died: only its file and the data plane are left.
fn after_a_crash(bed: &Bed) -> Bed {
    let plane = Memory::left_by_an_earlier_run(bed.state().clone());
    Bed::restarted(bed.saved.clone(), plane, &leonardo())
}

#[test]
fn a_restart_gives_the_same_labels_and_distinguishers() {
    let mut before = busy();
    before.put("spare", &NGINX.replace("nginx-1", "x").replace("0.11", "0.12")).unwrap();
    before.remove("spare").unwrap();
    let mut after = after_a_crash(&before);
    after.turn();
    assert_eq!(after.announced(), before.announced());
    assert_eq!(after.saved, before.saved);
    assert_eq!(after.core.show_vrfs().len(), 3, "nginx, leonardo, public");
}

#[test]
fn a_restart_changes_nothing_in_the_data_plane() {
    let before = busy();
    let mut after = after_a_crash(&before);
    after.turn();
    assert_eq!(after.state(), before.state(), "restored, no route told yet");
    after.up(CTL_1);
    after.hear(CTL_1, &db().update());
    assert_eq!(after.state(), before.state());
    after.end_of_rib(CTL_1);
    assert_eq!(after.state(), before.state());
}

#[test]
fn what_nobody_tells_again_goes_with_end_of_rib() {
    let mut before = busy();
    let gone = Told::new("10.1.1.12:1", "10.0.100.6/32", "10.1.1.12", "64512:100");
    before.hear(CTL_1, &gone.update());
    let mut after = after_a_crash(&before);
    after.up(CTL_1);
    after.hear(CTL_1, &db().update());
    assert_ne!(after.route("leonardo", "10.0.100.6/32"), "");
    after.end_of_rib(CTL_1);
    assert_eq!(after.route("leonardo", "10.0.100.6/32"), "");
    assert_ne!(after.route("leonardo", DB), "");
}

#[test]
fn flows_of_a_shared_address_do_not_move_while_routes_come_in() {
    let mut before = busy();
    let service = "10.254.98.15/32";
    for (rd, node) in [("10.2.1.12:1", "10.2.1.12"), ("10.2.1.13:1", "10.2.1.13")] {
        before.hear(CTL_1, &Told::new(rd, service, node, "64512:100").update());
    }
    let all = before.route("leonardo", service);
    let mut after = after_a_crash(&before);
    after.turn();
    assert_eq!(after.route("leonardo", service), all);
    after.up(CTL_1);
    after.hear(CTL_1, &Told::new("10.2.1.12:1", service, "10.2.1.12", "64512:100").update());
    assert_eq!(after.route("leonardo", service), all);
    after.end_of_rib(CTL_1);
    assert!(!after.route("leonardo", service).contains("10.2.1.13"));
}

#[test]
fn what_was_left_stays_until_a_control_node_is_there() {
    let before = busy();
    let mut after = after_a_crash(&before);
    after.wait(Duration::from_hours(1));
    assert_eq!(after.state(), before.state(), "headless");
    assert_eq!(after.shown("leonardo", |route| route.kept && route.programmed), [DB]);
    after.up(CTL_1);
    after.wait(Duration::from_secs(1));
    assert_eq!(after.route("leonardo", DB), "", "it is there and said nothing for too long");
    assert_eq!(after.shown("leonardo", |route| route.kept), [""; 0]);
}

#[test]
fn a_control_node_that_has_not_finished_holds_the_sweep_for_a_while() {
    let before = busy();
    let mut after = after_a_crash(&before);
    after.up(CTL_1);
    after.up(CTL_2);
    after.end_of_rib(CTL_1);
    assert_ne!(after.route("leonardo", DB), "");
    after.hear(CTL_2, &db().update());
    after.end_of_rib(CTL_2);
    assert_ne!(after.route("leonardo", DB), "");
}

#[test]
fn losing_one_control_node_takes_nothing_that_the_other_told() {
    let mut bed = busy();
    let only_1 = Told::new("10.1.1.12:1", "10.0.100.6/32", "10.1.1.12", "64512:100");
    bed.hear(CTL_1, &only_1.update());
    bed.down(CTL_1, Some(120));
    assert_ne!(bed.route("leonardo", DB), "");
    assert_ne!(bed.route("leonardo", "10.0.100.6/32"), "", "kept for its restart time");
    bed.wait(Duration::from_secs(121));
    assert_ne!(bed.route("leonardo", DB), "");
    assert_eq!(bed.route("leonardo", "10.0.100.6/32"), "", "it did not come back");
}

#[test]
fn a_control_node_that_goes_for_good_is_forgotten_at_once_while_the_other_is_there() {
    let mut bed = busy();
    let only_1 = Told::new("10.1.1.12:1", "10.0.100.6/32", "10.1.1.12", "64512:100");
    bed.hear(CTL_1, &only_1.update());
    bed.down(CTL_1, None);
    assert_eq!(bed.route("leonardo", "10.0.100.6/32"), "");
}

#[test]
fn losing_both_control_nodes_changes_nothing_for_packets() {
    for keep in [Some(120), None] {
        let mut bed = busy();
        let before = bed.state().clone();
        bed.down(CTL_1, keep);
        bed.down(CTL_2, keep);
        bed.wait(Duration::from_hours(24));
        assert_eq!(*bed.state(), before, "{keep:?}");

        bed.up(CTL_2);
        assert_eq!(*bed.state(), before, "{keep:?}: it is back and has said nothing yet");
        bed.end_of_rib(CTL_2);
        assert_eq!(bed.route("leonardo", DB), "", "{keep:?}: it knows nothing of the route");
    }
}

#[test]
fn a_control_node_that_comes_back_replaces_what_it_told() {
    let mut bed = busy();
    bed.down(CTL_1, Some(120));
    bed.down(CTL_2, Some(120));
    bed.up(CTL_1);
    bed.hear(CTL_1, &Told { label: 77, ..db() }.update());
    assert_eq!(
        bed.route("leonardo", DB),
        "mpls-over-gre 10.1.1.11 label 77",
        "fresh before stale, also the stale one of the other"
    );
}

#[test]
fn a_port_that_cannot_be_restored_holds_nobody_up() {
    let before = busy();
    let mut saved = before.saved.clone();
    // A port whose network has gone from the topology is one that cannot be.
    let lost = saved.ports[&port_id("leo-1")].clone();
    let lost = crate::port::PortSpec { network: "lost".into(), netns: "/run/x".into(), ..lost };
    saved.ports.insert(port_id("lost"), lost);
    let mut after = Bed::restarted(saved, Memory::default(), &leonardo());
    after.turn();
    assert!(after.core.is_restored());
    assert_eq!(after.announced(), before.announced());
    assert!(after.saved.ports.contains_key(&port_id("lost")), "it may come back");
}
