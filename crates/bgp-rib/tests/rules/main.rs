//! Rules that an operator knows by name, each as a short script.

#![allow(clippy::unwrap_used, reason = "a test fails by it, also in its helpers")]

mod policy;
mod several;
mod support;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bgp_rib::policy::Reject;
use bgp_rib::query::{RouteFilter, RoutesQuery};
use bgp_rib::{
    Answer, Input, InterestMode, Limit, Mark, Output, Pace, PeerKind, PeerView, Query, Shard,
    ShardConfig,
};
use bgp_wire::as_path::Segment;
use bgp_wire::{AfiSafi, AsPath, Ipv4Unicast, NextHop, PathAttributes, RtMembership, Rtc, VpnV4};
use support::*;

#[test]
fn an_agent_is_told_what_it_asked_for_once_it_has_said_all_it_wants() {
    let mut shard = shard();
    up(&mut shard, OTHER, view(OTHER, PeerKind::Client));
    announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(1), label(16));
    announce::<VpnV4>(&mut shard, OTHER, with_target(2), vpn(2), label(17));
    up(&mut shard, AGENT, agent(AGENT));
    wants(&mut shard, AGENT, 1);
    let heard = flush(&mut shard);
    assert_eq!(heard.by(AGENT), ["+rtc"], "the default target, and nothing before its End-of-RIB");
    assert!(!heard.has(AGENT, Mark::EndOfRib(AfiSafi::VPNV4)));
    end_of_rib(&mut shard, AGENT, AfiSafi::RTC);
    let heard = flush(&mut shard);
    assert_eq!(heard.by(AGENT), ["+vpnv4"]);
    assert!(heard.has(AGENT, Mark::EndOfRib(AfiSafi::VPNV4)), "the marker, behind the routes");
    let update = heard.last(AGENT);
    assert_eq!(update.attributes.originator_id, Some([10, 1, 0, 1].into()), "RFC 4456");
    assert_eq!(update.attributes.cluster_list, [Ipv4Addr::new(10, 0, 0, 1)]);
    assert_eq!(update.announced[0].0, NextHop::V4([192, 0, 2, 1].into()), "never changed");
}

#[test]
fn a_route_whose_target_moves_away_is_withdrawn() {
    let mut shard = shard();
    up(&mut shard, OTHER, view(OTHER, PeerKind::Client));
    up(&mut shard, AGENT, agent(AGENT));
    wants(&mut shard, AGENT, 1);
    end_of_rib(&mut shard, AGENT, AfiSafi::RTC);
    announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(1), label(16));
    flush(&mut shard);
    announce::<VpnV4>(&mut shard, OTHER, with_target(2), vpn(1), label(16));
    assert_eq!(flush(&mut shard).by(AGENT), ["-vpnv4"]);
    wants(&mut shard, AGENT, 2);
    assert_eq!(flush(&mut shard).by(AGENT), ["+vpnv4"], "announced long ago, wanted now");
    withdraw::<Rtc>(&mut shard, AGENT, RtMembership::exact(64_512, target(2)));
    assert_eq!(flush(&mut shard).by(AGENT), ["-vpnv4"], "not wanted any more");
}

#[test]
fn a_new_label_replaces_the_old_one_and_the_same_one_is_not_said_again() {
    let mut shard = shard();
    up(&mut shard, AGENT, view(AGENT, PeerKind::Client));
    up(&mut shard, OTHER, view(OTHER, PeerKind::Client));
    for (value, said) in [(16, &["+vpnv4"][..]), (17, &["+vpnv4"]), (17, &[])] {
        announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(1), label(value));
        let heard = flush(&mut shard);
        assert_eq!(heard.by(AGENT), said, "label {value}");
        assert_eq!(heard.by(OTHER), [""; 0], "its own");
    }
    withdraw::<VpnV4>(&mut shard, OTHER, vpn(1));
    assert_eq!(flush(&mut shard).by(AGENT), ["-vpnv4"], "one destination, whatever the label");
}

#[test]
fn a_client_hears_that_somebody_else_wants_what_it_wants_itself() {
    let mut shard = shard();
    let gateway = PeerView { interest: InterestMode::FromRtc, ..view(AGENT, PeerKind::Client) };
    up(&mut shard, AGENT, gateway);
    up(&mut shard, OTHER, agent(OTHER));
    up(&mut shard, THIRD, agent(THIRD));
    flush(&mut shard);
    wants(&mut shard, AGENT, 1);
    assert_eq!(flush(&mut shard).by(AGENT), [""; 0], "nobody else does");
    // Its own membership stays the best path: it has the lowest router id.
    wants(&mut shard, OTHER, 1);
    let heard = flush(&mut shard);
    assert_eq!(heard.by(AGENT), ["+rtc"]);
    let update = heard.last(AGENT);
    assert_eq!(update.attributes.originator_id, Some([10, 0, 0, 1].into()), "ours");
    assert_eq!(update.announced[0].0, NextHop::V4([10, 0, 0, 1].into()), "ours");
    wants(&mut shard, THIRD, 1);
    assert_eq!(flush(&mut shard).by(AGENT), [""; 0], "nothing new to it");
    withdraw::<Rtc>(&mut shard, OTHER, RtMembership::exact(64_512, target(1)));
    assert_eq!(flush(&mut shard).by(AGENT), [""; 0], "the third still does");
    withdraw::<Rtc>(&mut shard, THIRD, RtMembership::exact(64_512, target(1)));
    assert_eq!(flush(&mut shard).by(AGENT), ["-rtc"]);
}

#[test]
fn another_as_sees_our_as_and_nothing_internal_and_the_next_hop_unchanged() {
    let mut shard = shard();
    up(&mut shard, AGENT, view(AGENT, PeerKind::Client));
    up(&mut shard, OTHER, view(OTHER, PeerKind::External { asn: 64_999 }));
    let gateway = PeerView {
        interest: InterestMode::Configured(Arc::new(BTreeSet::from([target(9)]))),
        ..view(THIRD, PeerKind::External { asn: 64_998 })
    };
    up(&mut shard, THIRD, gateway);
    announce::<VpnV4>(&mut shard, AGENT, with_target(1), vpn(1), label(16));
    let heard = flush(&mut shard);
    let update = heard.last(OTHER);
    assert_eq!(update.attributes.as_path, AsPath(vec![Segment::Sequence(vec![64_512])]));
    let internal = (&update.attributes.local_pref, &update.attributes.originator_id);
    assert_eq!((internal, update.attributes.cluster_list.len()), ((&None, &None), 0));
    assert_eq!(update.announced[0].0, NextHop::V4([192, 0, 2, 1].into()));
    assert_eq!(heard.by(THIRD), [""; 0], "not among the targets configured for it");
}

#[test]
fn loops_are_refused_counted_and_count_as_withdrawals() {
    let mut shard = shard();
    let external = PeerKind::External { asn: 64_999 };
    up(&mut shard, AGENT, view(AGENT, PeerKind::Client));
    up(&mut shard, OTHER, view(OTHER, external));
    let path = |numbers: &[u32]| PathAttributes {
        as_path: AsPath(vec![Segment::Sequence(numbers.to_vec())]),
        ..PathAttributes::default()
    };
    let net: ipnet::Ipv4Net = "198.51.100.0/24".parse().unwrap();
    announce::<Ipv4Unicast>(&mut shard, OTHER, path(&[64_999]), net, ());
    assert_eq!(flush(&mut shard).by(AGENT), ["+ipv4"]);
    announce::<Ipv4Unicast>(&mut shard, OTHER, path(&[64_999, 64_512]), net, ());
    assert_eq!(flush(&mut shard).by(AGENT), ["-ipv4"]);
    announce::<Ipv4Unicast>(&mut shard, OTHER, path(&[64_998]), net, ());
    let looped = |attributes| (AGENT, attributes);
    for (peer, attributes) in [
        looped(PathAttributes { originator_id: Some([10, 0, 0, 1].into()), ..path(&[1]) }),
        looped(PathAttributes { cluster_list: vec![[10, 0, 0, 1].into()], ..path(&[1]) }),
    ] {
        announce::<Ipv4Unicast>(&mut shard, peer, attributes, net, ());
    }
    let own = NextHop::from(view(AGENT, PeerKind::Client).local_address);
    announce_by::<Ipv4Unicast>(&mut shard, AGENT, own, path(&[1]), net, ());
    let rejected = |peer| match shard.query(&Query::Peer(peer)) {
        Answer::Peer(Some(info)) => info.rejected,
        other => unreachable!("{other:?}"),
    };
    assert_eq!(rejected(OTHER), [(Reject::AsLoop, 1), (Reject::FirstAs, 1)]);
    let all = [(Reject::Originator, 1), (Reject::ClusterLoop, 1), (Reject::OwnNextHop, 1)];
    assert_eq!(rejected(AGENT), all);
}

/// RFC 1122 §3.2.1.3: it means something on the machine of the sender alone.
#[test]
fn a_next_hop_on_the_loopback_is_no_next_hop_but_for_who_is_there_too() {
    let mut shard = shard();
    up(&mut shard, AGENT, view(AGENT, PeerKind::Client));
    let local = PeerView { address: [127, 0, 0, 2].into(), ..view(OTHER, PeerKind::Client) };
    up(&mut shard, OTHER, local);
    let net: ipnet::Ipv4Net = "198.51.100.0/24".parse().unwrap();
    for (peer, told) in [(AGENT, vec![]), (OTHER, vec!["+ipv4"])] {
        let loopback = NextHop::V4([127, 0, 0, 1].into());
        announce_by::<Ipv4Unicast>(&mut shard, peer, loopback, PathAttributes::default(), net, ());
        let heard = flush(&mut shard);
        assert_eq!([heard.by(AGENT), heard.by(OTHER)].concat(), told, "{peer}");
    }
}

#[test]
fn a_slow_peer_is_left_behind_alone_and_catches_up_with_the_latest_state() {
    let mut shard = shard();
    for peer in [AGENT, OTHER, THIRD] {
        up(&mut shard, peer, view(peer, PeerKind::Client));
    }
    flush(&mut shard);
    let mut heard = Heard { full: BTreeSet::from([THIRD]), ..Heard::default() };
    for value in 16..36 {
        announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(1), label(value));
        flush_into(&mut shard, &mut heard);
    }
    assert_eq!((heard.by(AGENT).len(), heard.by(THIRD).len()), (20, 0));
    heard.full.clear();
    shard.handle(Input::Drained { peer: THIRD });
    flush_into(&mut shard, &mut heard);
    assert_eq!((heard.by(AGENT).len(), heard.by(THIRD).len()), (20, 1), "the last label only");
}

#[test]
fn a_walk_outlives_the_routes_it_was_to_show() {
    let mut shard = shard();
    shard.set_pace(Pace { round: 1, arena: 1, rounds: 1, walk: 1 });
    let targets = Arc::new(BTreeSet::from([target(1)]));
    let configured = InterestMode::Configured(targets);
    up(&mut shard, OTHER, view(OTHER, PeerKind::Client));
    for number in 0..3 {
        let attributes = PathAttributes { med: Some(number.into()), ..with_target(1) };
        announce::<VpnV4>(&mut shard, OTHER, attributes, vpn(number), label(16));
    }
    let view = PeerView { interest: configured, ..view(AGENT, PeerKind::Client) };
    up(&mut shard, AGENT, view);
    let mut heard = Heard::default();
    shard.flush(&mut heard);
    shard.handle(Input::PeerDown { peer: OTHER, retained: Vec::new() });
    flush_into(&mut shard, &mut heard);
    let announced = heard.by(AGENT).iter().filter(|said| *said == "+vpnv4").count();
    assert!(announced < 3, "the walk was interrupted");
    assert!(heard.by(AGENT).iter().filter(|said| *said == "-vpnv4").count() >= announced);
}

#[test]
fn routes_of_a_restarting_peer_stay_until_it_has_said_all_again() {
    let mut shard = shard();
    up(&mut shard, AGENT, view(AGENT, PeerKind::Client));
    up(&mut shard, OTHER, view(OTHER, PeerKind::Client));
    announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(1), label(16));
    announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(2), label(16));
    flush(&mut shard);
    shard.handle(Input::PeerDown { peer: OTHER, retained: vec![AfiSafi::VPNV4] });
    assert_eq!(flush(&mut shard).by(AGENT), [""; 0]);
    up(&mut shard, OTHER, view(OTHER, PeerKind::Client));
    announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(1), label(16));
    assert_eq!(flush(&mut shard).by(AGENT), [""; 0], "the same again is nothing new");
    end_of_rib(&mut shard, OTHER, AfiSafi::VPNV4);
    assert_eq!(flush(&mut shard).by(AGENT), ["-vpnv4"], "the one that was not said again");
}

#[test]
fn more_routes_than_allowed_are_reported_once() {
    let mut shard = shard();
    let limits = vec![Limit { family: AfiSafi::VPNV4, routes: 2, warning: None }];
    up(&mut shard, OTHER, PeerView { limits, ..view(OTHER, PeerKind::Client) });
    for number in 0..4 {
        announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(number), label(16));
    }
    let family = AfiSafi::VPNV4;
    assert_eq!(
        shard.take_outputs(),
        [Output::LimitExceeded { peer: OTHER, family, limit: 2 }],
        "the third exceeds it, the fourth is no news"
    );
}

#[test]
fn a_peer_that_comes_near_its_limit_is_reported_each_time_it_does() {
    let mut shard = shard();
    let family = AfiSafi::VPNV4;
    let limits = vec![Limit { family, routes: 10, warning: Some(3) }];
    up(&mut shard, OTHER, PeerView { limits, ..view(OTHER, PeerKind::Client) });
    let near = |routes| [Output::LimitNear { peer: OTHER, family, routes, limit: 10 }];
    for number in 0..5 {
        announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(number), label(16));
    }
    assert_eq!(shard.take_outputs(), near(3), "the third, and the others are no news");
    for number in 1..5 {
        withdraw::<VpnV4>(&mut shard, OTHER, vpn(number));
    }
    for number in 1..4 {
        announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(number), label(16));
    }
    assert_eq!(shard.take_outputs(), near(3), "again, after there were fewer");
}

#[test]
fn a_limit_counts_the_routes_of_all_shards_together() {
    let numbered = |number| {
        let config = ShardConfig { shard: number, shards: 2, ..shard().config().clone() };
        Shard::new(config)
    };
    let mut shards = [numbered(0), numbered(1)];
    let family = AfiSafi::VPNV4;
    let limits = vec![Limit { family, routes: 4, warning: Some(3) }];
    // Both have the same totals.
    let peer = PeerView { limits, ..view(OTHER, PeerKind::Client) };
    for shard in &mut shards {
        up(shard, OTHER, peer.clone());
    }
    let outputs = |shards: &mut [Shard; 2]| -> Vec<Output> {
        shards.iter_mut().flat_map(Shard::take_outputs).collect()
    };
    for number in 0..2 {
        announce::<VpnV4>(&mut shards[0], OTHER, with_target(1), vpn(number), label(16));
    }
    announce::<VpnV4>(&mut shards[1], OTHER, with_target(1), vpn(2), label(16));
    let near = Output::LimitNear { peer: OTHER, family, routes: 3, limit: 4 };
    assert_eq!(outputs(&mut shards), std::slice::from_ref(&near), "once, by the one that saw it");
    // What is told again is not one more, and what is gone is one less.
    announce::<VpnV4>(&mut shards[0], OTHER, with_target(1), vpn(0), label(17));
    withdraw::<VpnV4>(&mut shards[0], OTHER, vpn(1));
    for number in 3..5 {
        announce::<VpnV4>(&mut shards[1], OTHER, with_target(1), vpn(number), label(16));
    }
    assert_eq!(outputs(&mut shards), [near], "there were fewer meanwhile, and never five");
    announce::<VpnV4>(&mut shards[0], OTHER, with_target(1), vpn(1), label(16));
    let suspected = [Output::LimitSuspected { peer: OTHER, family }];
    assert_eq!(outputs(&mut shards), suspected);
    // Withdrawn before the other one was announced, and seen after it.
    withdraw::<VpnV4>(&mut shards[1], OTHER, vpn(3));
    let check = Input::CheckLimit { peer: OTHER, family };
    for shard in &mut shards {
        shard.handle(check.clone());
    }
    assert_eq!(outputs(&mut shards), [], "they were never too many");
    announce::<VpnV4>(&mut shards[1], OTHER, with_target(1), vpn(5), label(16));
    assert_eq!(outputs(&mut shards), suspected);
    for shard in &mut shards {
        shard.handle(check.clone());
    }
    let exceeded = Output::LimitExceeded { peer: OTHER, family, limit: 4 };
    assert_eq!(outputs(&mut shards), [exceeded]);
    announce::<VpnV4>(&mut shards[0], OTHER, with_target(1), vpn(6), label(16));
    assert_eq!(outputs(&mut shards), [], "and once in all shards");
}

#[test]
fn routes_kept_over_a_restart_count_in_the_next_session() {
    let mut shard = shard();
    let family = AfiSafi::VPNV4;
    let limits = vec![Limit { family, routes: 2, warning: None }];
    let peer = || PeerView { limits: limits.clone(), ..view(OTHER, PeerKind::Client) };
    up(&mut shard, OTHER, peer());
    for number in 0..2 {
        announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(number), label(16));
    }
    shard.handle(Input::PeerDown { peer: OTHER, retained: vec![family] });
    up(&mut shard, OTHER, peer());
    announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(0), label(16));
    assert_eq!(shard.take_outputs(), []);
    announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(7), label(16));
    let exceeded = Output::LimitExceeded { peer: OTHER, family, limit: 2 };
    assert_eq!(shard.take_outputs(), [exceeded]);
}

#[test]
fn the_answer_about_a_route_says_why_it_won() {
    let mut shard = shard();
    up(&mut shard, AGENT, view(AGENT, PeerKind::Client));
    up(&mut shard, OTHER, view(OTHER, PeerKind::Client));
    let better = PathAttributes { local_pref: Some(200), ..with_target(1) };
    announce::<VpnV4>(&mut shard, AGENT, with_target(1), vpn(1), label(16));
    announce::<VpnV4>(&mut shard, OTHER, better, vpn(1), label(17));
    let key = vpn(1).to_string();
    let Answer::Destination(Some(route)) =
        shard.query(&Query::Destination { family: AfiSafi::VPNV4, key })
    else {
        unreachable!("it is there");
    };
    let said: Vec<_> =
        route.paths.iter().map(|path| (path.from, path.best, path.step.unwrap().name())).collect();
    assert_eq!(said, [(OTHER, true, "local-preference"), (AGENT, false, "local-preference")]);
    assert_eq!(route.paths[0].attributes.cluster_list.len(), 0, "as received");
    let filter = RouteFilter { from: Some(AGENT), ..RouteFilter::default() };
    for (prefix, found) in [("10.0.0.0/8", 1), ("10.0.1.0/25", 0)] {
        let filter = RouteFilter { prefix: Some(prefix.parse().unwrap()), ..filter.clone() };
        let page = RoutesQuery { family: AfiSafi::VPNV4, filter, after: None, limit: 10 };
        let Answer::Routes(answer) = shard.query(&Query::Routes(page)) else {
            unreachable!("a page");
        };
        assert_eq!((answer.routes.len(), answer.next), (found, None), "{prefix}");
    }
}

#[test]
fn a_gateway_cannot_put_its_routes_into_networks_of_others() {
    let mut shard = shard();
    let gateway = |permitted: &[u32]| PeerView {
        import_targets: Some(Arc::new(permitted.iter().copied().map(target).collect())),
        ..view(OTHER, PeerKind::External { asn: 64_999 })
    };
    let both = || PathAttributes {
        as_path: AsPath(vec![Segment::Sequence(vec![64_999])]),
        extended_communities: vec![target(9).into(), target(1).into()],
        ..PathAttributes::default()
    };
    up(&mut shard, AGENT, agent(AGENT));
    up(&mut shard, THIRD, agent(THIRD));
    wants(&mut shard, AGENT, 1);
    wants(&mut shard, THIRD, 9);
    end_of_rib(&mut shard, AGENT, AfiSafi::RTC);
    end_of_rib(&mut shard, THIRD, AfiSafi::RTC);
    up(&mut shard, OTHER, gateway(&[9]));
    flush(&mut shard);
    announce::<VpnV4>(&mut shard, OTHER, both(), vpn(1), label(16));
    let heard = flush(&mut shard);
    assert_eq!(heard.by(AGENT), [""; 0], "one permitted target does not open the others");
    assert_eq!(heard.last(THIRD).attributes.extended_communities, [target(9).into()]);

    let changed = |view| Input::PeerChanged { peer: OTHER, view: Arc::new(view) };
    shard.handle(changed(gateway(&[1, 9])));
    assert_eq!(shard.take_outputs().len(), 3, "asked for its routes again, in three families");
    announce::<VpnV4>(&mut shard, OTHER, both(), vpn(1), label(16));
    assert_eq!(flush(&mut shard).by(AGENT), ["+vpnv4"], "its entry has that network now");
    shard.handle(changed(gateway(&[9])));
    let heard = flush(&mut shard);
    assert_eq!(heard.by(AGENT), ["-vpnv4"], "and has it no longer");
    assert_eq!(heard.last(THIRD).attributes.extended_communities, [target(9).into()]);
}
