//! What BGP says becomes routes of VRFs.

use super::*;

const DB: &str = "10.0.100.4/32";

/// With a leonardo port, so that there is a VRF which imports 64512:100.
fn bed() -> Bed {
    let mut bed = Bed::connected();
    bed.put("leo-1", LEONARDO).unwrap();
    bed
}

fn db() -> Told {
    Told::new("10.1.1.11:1", DB, "10.1.1.11", "64512:100")
}

#[test]
fn a_route_is_imported_by_its_target_and_goes_when_it_is_withdrawn() {
    let mut bed = bed();
    bed.hear(CTL_1, &db().update());
    assert_eq!(bed.route("leonardo", DB), "mpls-over-gre 10.1.1.11 label 40");
    bed.hear(CTL_1, &Told { label: 41, ..db() }.update());
    assert_eq!(bed.route("leonardo", DB), "mpls-over-gre 10.1.1.11 label 41", "replaced");
    bed.hear(CTL_1, &Told { targets: vec!["64512:7"], ..db() }.update());
    assert_eq!(bed.route("leonardo", DB), "", "its target moved away");
    bed.hear(CTL_1, &db().update());
    bed.hear(CTL_1, &db().withdrawal());
    assert_eq!(bed.route("leonardo", DB), "");
}

#[test]
fn the_same_route_through_two_reflectors_is_one_member() {
    let mut bed = bed();
    bed.hear(CTL_1, &db().update());
    bed.hear(CTL_2, &db().update());
    assert_eq!(bed.route("leonardo", DB), "mpls-over-gre 10.1.1.11 label 40");
    bed.hear(CTL_1, &db().withdrawal());
    assert_eq!(
        bed.route("leonardo", DB),
        "mpls-over-gre 10.1.1.11 label 40",
        "the other one stays"
    );
}

#[test]
fn equal_routes_under_several_distinguishers_share_the_flows() {
    let mut bed = bed();
    let service = "10.254.98.15/32";
    for (rd, node) in [("10.2.1.12:1", "10.2.1.12"), ("10.2.1.13:1", "10.2.1.13")] {
        bed.hear(CTL_1, &Told::new(rd, service, node, "64512:100").update());
    }
    assert_eq!(
        bed.route("leonardo", service),
        "translate 10.254.98.15 in vrf 1, mpls-over-gre 10.2.1.12 label 40, \
         mpls-over-gre 10.2.1.13 label 40"
    );
}

#[test]
fn the_best_routes_are_used_and_the_others_are_not() {
    // (what is better about it, the better one)
    let cases = [
        ("preference", Told { local_pref: 200, ..db() }),
        ("shorter AS path", Told { as_path: vec![64512], ..db() }),
        ("lower MED of the same neighbour", Told { as_path: vec![64512, 1], med: Some(3), ..db() }),
    ];
    for (name, better) in cases {
        let mut bed = bed();
        let other = Told {
            rd: "10.1.1.12:1",
            next_hop: "10.1.1.12",
            as_path: vec![64512, 1],
            med: Some(7),
            ..db()
        };
        bed.hear(CTL_1, &other.update());
        bed.hear(CTL_1, &better.update());
        assert_eq!(bed.route("leonardo", DB), "mpls-over-gre 10.1.1.11 label 40", "{name}");
        bed.hear(CTL_1, &better.withdrawal());
        assert_eq!(bed.route("leonardo", DB), "mpls-over-gre 10.1.1.12 label 40", "{name}");
    }
}

#[test]
fn meds_of_different_neighbours_are_not_compared() {
    let mut bed = bed();
    bed.hear(CTL_1, &Told { as_path: vec![1], med: Some(1), ..db() }.update());
    let other = Told { rd: "1:1", next_hop: "10.1.1.12", as_path: vec![2], med: Some(9), ..db() };
    bed.hear(CTL_1, &other.update());
    assert_eq!(bed.route("leonardo", DB).matches("label 40").count(), 2);
}

#[test]
fn what_leads_back_to_this_node_is_no_route() {
    let mut bed = bed();
    bed.hear(CTL_1, &Told { next_hop: "10.2.1.11", ..db() }.update());
    assert_eq!(bed.route("leonardo", DB), "");
}

#[test]
fn a_route_takes_our_first_preference_among_what_it_offers() {
    let udp_first = leonardo().replace(
        "[\"mpls-over-gre\", \"mpls-over-udp\"]",
        "[\"mpls-over-udp\", \"mpls-over-gre\"]",
    );
    // (what it offers, when we prefer GRE, when we prefer UDP)
    let cases: [(&[u16], &str, &str); 7] = [
        (&[2, 13], "mpls-over-gre", "mpls-over-udp"),
        (&[13, 2], "mpls-over-gre", "mpls-over-udp"),
        (&[11, 13], "mpls-over-gre", "mpls-over-udp"),
        (&[11], "mpls-over-gre", "mpls-over-gre"),
        (&[13], "mpls-over-udp", "mpls-over-udp"),
        (&[8, 13], "mpls-over-udp", "mpls-over-udp"),
        (&[], "mpls-over-gre", "mpls-over-gre"),
    ];
    for (offers, gre, udp) in cases {
        for (text, want) in [(leonardo(), gre), (udp_first.clone(), udp)] {
            let mut bed = Bed::restarted(State::default(), Memory::default(), &text);
            bed.up(CTL_1);
            bed.put("leo-1", LEONARDO).unwrap();
            bed.hear(CTL_1, &Told { offers: offers.to_vec(), ..db() }.update());
            let route = bed.route("leonardo", DB);
            assert_eq!(route, format!("{want} 10.1.1.11 label 40"), "{offers:?}");
        }
    }
}

#[test]
fn a_gateway_that_offers_nothing_is_reached_as_the_topology_says() {
    let text = leonardo().replacen(
        "encapsulations = [\"mpls-over-gre\"]",
        "encapsulations = [\"mpls-over-udp\"]",
        1,
    );
    let mut bed = Bed::restarted(State::default(), Memory::default(), &text);
    bed.up(CTL_1);
    bed.put("nginx-1", NGINX).unwrap();
    for (rd, mx) in [("64999:1", "10.2.0.1"), ("64999:2", "10.2.0.2")] {
        let default = Told::new(rd, "0.0.0.0/0", mx, "64512:900");
        let default = Told { offers: vec![], label: 3000, as_path: vec![64999], ..default };
        bed.hear(CTL_1, &default.update());
    }
    assert_eq!(
        bed.route("public", "0.0.0.0/0"),
        "mpls-over-udp 10.2.0.1 label 3000, mpls-over-gre 10.2.0.2 label 3000"
    );
}

#[test]
fn what_cannot_be_used_is_counted_and_does_not_hide_what_can() {
    let mut bed = bed();
    bed.hear(CTL_1, &Told { offers: vec![8], local_pref: 300, ..db() }.update());
    assert_eq!(bed.route("leonardo", DB), "");
    assert_eq!(bed.core.gauges().unusable["no-common-encapsulation"], 1);
    let shown = bed.core.show_routes("leonardo").unwrap();
    let shown = shown.iter().find(|route| route.prefix.to_string() == DB).expect("it is shown");
    assert!(shown.next_hops.is_empty() && !shown.programmed);
    assert_eq!(shown.problem.as_deref(), Some("no-common-encapsulation"));

    let usable = Told { rd: "10.1.1.12:1", next_hop: "10.1.1.12", ..db() };
    bed.hear(CTL_1, &usable.update());
    bed.hear(CTL_1, &Told { rd: "1:1", label: 3, ..db() }.update());
    bed.hear(CTL_1, &Told { rd: "1:2", next_hop: "2001:db8::1", ..db() }.update());
    assert_eq!(bed.route("leonardo", DB), "mpls-over-gre 10.1.1.12 label 40");
    let unusable = bed.core.gauges().unusable;
    assert_eq!((unusable["reserved-label"], unusable["no-tunnel-to-next-hop"]), (1, 1));
}

#[test]
fn routes_of_this_node_are_imported_by_its_other_vrfs() {
    let mut bed = bed();
    bed.put("nginx-1", NGINX).unwrap();
    assert_eq!(bed.route("nginx", "10.254.98.15/32"), "translate 10.254.98.15 in vrf 1");
    assert_eq!(bed.route("nginx", "10.20.0.11/32"), "", "nginx may use the service, not the ports");
    assert_eq!(bed.route("leonardo", "10.10.0.11/32"), "port nginx-1", "the way back");
}

#[test]
fn a_new_vrf_is_filled_from_what_was_told_before() {
    let mut bed = bed();
    let both = Told { targets: vec!["64512:100", "64512:200"], ..db() };
    bed.hear(CTL_1, &both.update());
    bed.put("nginx-1", NGINX).unwrap();
    assert_eq!(bed.route("nginx", DB), "mpls-over-gre 10.1.1.11 label 40");
}

#[test]
fn a_vrf_that_is_gone_takes_its_routes_along() {
    let mut bed = bed();
    bed.hear(CTL_1, &db().update());
    bed.remove("leo-1").unwrap();
    assert!(bed.state().fib.is_empty() && bed.state().vrfs.is_empty());
    bed.hear(CTL_1, &db().withdrawal());
    bed.put("leo-1", LEONARDO).unwrap();
    assert_eq!(bed.route("leonardo", DB), "", "what was withdrawn meanwhile is not back");
    assert_eq!(bed.plane.failing(), 0);
}

#[test]
fn a_vrf_that_goes_and_comes_back_at_once_has_only_what_is_still_told() {
    let mut bed = bed();
    bed.hear(CTL_1, &db().update());
    let request = bed.request();
    bed.core.remove_port(bed.now, request, &port_id("leo-1"));
    bed.now += Duration::from_secs(1);
    bed.core.tick(bed.now);
    bed.core.update(CTL_1, &db().withdrawal());
    // The data plane has heard of nothing of this yet.
    bed.put("leo-1", LEONARDO).unwrap();
    assert_eq!(bed.route("leonardo", DB), "");
    assert_eq!(bed.route("leonardo", "10.20.0.11/32"), "port leo-1");
}

#[test]
fn more_changes_than_can_be_listed_make_the_whole_vrf_dirty() {
    let mut bed = bed();
    let rd: RouteDistinguisher = "10.1.1.11:1".parse().unwrap();
    let template = db().update();
    let mut many = template.clone();
    let count = 20_000_u32;
    let route = |n: u32| Route {
        path_id: PathId::default(),
        key: VpnKey { rd, net: ipnet::Ipv4Net::from(Ipv4Addr::from(0x0b00_0000 + n)) },
        data: Label::mpls(40).unwrap().into(),
    };
    many.announced[0].1 = Routes::VpnV4((0..count).map(route).collect());
    bed.hear(CTL_1, &many);
    assert_eq!(bed.fib("leonardo").len(), count as usize + 2);
    bed.down(CTL_1, None);
    bed.end_of_rib(CTL_2);
    assert_eq!(bed.fib("leonardo").len(), 2);
}

/// Not a benchmark: what costs in proportion to a table for each batch takes minutes here.
#[test]
fn many_routes_in_small_batches_cost_in_proportion_to_themselves() {
    let mut bed = bed();
    let told = db();
    let start = Instant::now();
    for batch in 0..400u32 {
        let mut update = told.update();
        let mut routes = Vec::new();
        for n in 0..50u32 {
            let net = ipnet::Ipv4Net::from(Ipv4Addr::from(0x0b00_0000 + batch * 50 + n));
            let key = VpnKey { net, ..told.key() };
            let data = Label::mpls(40).expect("a label");
            routes.push(Route { path_id: PathId::default(), key, data: data.into() });
        }
        update.announced[0].1 = Routes::VpnV4(routes);
        bed.hear(CTL_1, &update);
    }
    assert_eq!(bed.fib("leonardo").len(), 20_002);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
