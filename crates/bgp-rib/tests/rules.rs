//! Rules that an operator knows by name, each as a short script.

#![allow(clippy::unwrap_used, reason = "a test fails by it, also in its helpers")]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bgp_rib::policy::Reject;
use bgp_rib::query::{RouteFilter, RoutesQuery};
use bgp_rib::{
    Answer, Batch, Full, Input, InterestMode, Limit, Mark, MembershipsOut, Output, Pace, PeerIx,
    PeerKind, PeerView, Query, Shard, ShardConfig, Sink,
};
use bgp_wire::as_path::Segment;
use bgp_wire::{
    AfiSafi, AsPath, Family, Ipv4Unicast, Label, Message, Negotiated, NextHop, PathAttributes,
    PathId, Route, RouteTarget, RtMembership, Rtc, Update, VpnKey, VpnV4, Withdrawal, frame,
};

const AGENT: PeerIx = PeerIx(0);
const OTHER: PeerIx = PeerIx(1);
const THIRD: PeerIx = PeerIx(2);

/// Every UPDATE and every marker, in order.
#[derive(Debug, Default)]
struct Heard {
    updates: Vec<(PeerIx, Update)>,
    marks: Vec<(PeerIx, Mark)>,
    full: BTreeSet<PeerIx>,
}

impl Sink for Heard {
    fn push(&mut self, peer: PeerIx, batch: &Batch) -> Result<(), Full> {
        if self.full.contains(&peer) {
            return Err(Full);
        }
        for octets in batch.slices() {
            let mut rest = octets;
            while let Some(length) = frame::length(rest, 65_535).unwrap() {
                let (message, others) = rest.split_at(length);
                rest = others;
                if let Message::Update(update) =
                    Message::decode(message, &Negotiated::everything()).unwrap()
                {
                    self.updates.push((peer, update));
                }
            }
        }
        self.marks.extend(batch.marks.iter().map(|mark| (peer, *mark)));
        Ok(())
    }
}

impl Heard {
    /// Families of the routes that `peer` was announced and withdrawn, as `+vpnv4`, `-rtc`.
    fn by(&self, peer: PeerIx) -> Vec<String> {
        let mut said = Vec::new();
        for (_, update) in self.updates.iter().filter(|(to, _)| *to == peer) {
            said.extend(update.withdrawn.iter().map(|list| format!("-{}", list.family())));
            said.extend(update.announced.iter().map(|(_, list)| format!("+{}", list.family())));
        }
        said
    }

    fn last(&self, peer: PeerIx) -> &Update {
        &self.updates.iter().rfind(|(to, _)| *to == peer).expect("something was said").1
    }
}

fn shard() -> Shard {
    Shard::new(ShardConfig {
        shard: 0,
        shards: 1,
        local_as: 64_512,
        router_id: Ipv4Addr::new(10, 0, 0, 1),
        cluster_id: Ipv4Addr::new(10, 0, 0, 1),
        decision: bgp_rib::DecisionOptions::default(),
        client_to_client: true,
        hash_seed: 0,
    })
}

fn view(peer: PeerIx, kind: PeerKind) -> PeerView {
    let address = Ipv4Addr::new(10, 1, 0, u8::try_from(peer.0).unwrap());
    let local = Ipv4Addr::new(10, 0, 0, 1).into();
    PeerView::new(kind, address, address.into(), local, Negotiated::everything())
}

/// An agent that speaks RTC and is told only the default target.
fn agent(peer: PeerIx) -> PeerView {
    PeerView {
        interest: InterestMode::FromRtc,
        memberships: MembershipsOut::OwnOnly,
        originate: BTreeSet::from([RtMembership::DEFAULT]),
        ..view(peer, PeerKind::Client)
    }
}

fn up(shard: &mut Shard, peer: PeerIx, view: PeerView) {
    shard.handle(Input::PeerUp { peer, view: Arc::new(view) });
}

fn flush(shard: &mut Shard) -> Heard {
    let mut heard = Heard::default();
    flush_into(shard, &mut heard);
    heard
}

fn flush_into(shard: &mut Shard, heard: &mut Heard) {
    shard.flush(heard);
    while shard.has_work() {
        shard.flush(heard);
    }
}

fn update() -> Update {
    Update {
        withdrawn: Vec::new(),
        announced: Vec::new(),
        attributes: Arc::default(),
        end_of_rib: None,
        faults: Vec::new(),
    }
}

fn announce<F: Family>(
    shard: &mut Shard,
    peer: PeerIx,
    attributes: PathAttributes,
    key: F::Key,
    data: F::Data,
) {
    let route = Route { path_id: PathId(0), key, data };
    let next_hop = NextHop::V4([192, 0, 2, 1].into());
    let updates = vec![Update {
        announced: vec![(next_hop, F::into_routes(vec![route]))],
        attributes: Arc::new(attributes),
        ..update()
    }];
    shard.handle(Input::Updates { peer, updates });
}

fn withdraw<F: Family>(shard: &mut Shard, peer: PeerIx, key: F::Key) {
    let list = F::into_withdrawals(vec![Withdrawal { path_id: PathId(0), key }]);
    let updates = vec![Update { withdrawn: vec![list], ..update() }];
    shard.handle(Input::Updates { peer, updates });
}

fn vpn(number: u8) -> VpnKey<ipnet::Ipv4Net> {
    VpnKey { rd: "64512:1".parse().unwrap(), net: format!("10.0.{number}.0/24").parse().unwrap() }
}

fn label(value: u32) -> Label {
    Label::mpls(value).unwrap()
}

fn target(number: u32) -> RouteTarget {
    RouteTarget::as2(64_512, number)
}

fn with_target(number: u32) -> PathAttributes {
    PathAttributes {
        extended_communities: vec![target(number).into()],
        ..PathAttributes::default()
    }
}

fn wants(shard: &mut Shard, peer: PeerIx, number: u32) {
    let key = RtMembership::exact(64_512, target(number));
    announce::<Rtc>(shard, peer, PathAttributes::default(), key, ());
}

fn end_of_rib(shard: &mut Shard, peer: PeerIx, family: AfiSafi) {
    shard.handle(Input::EndOfRib { peer, family });
}

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
    assert!(!heard.marks.contains(&(AGENT, Mark::EndOfRib(AfiSafi::VPNV4))));
    end_of_rib(&mut shard, AGENT, AfiSafi::RTC);
    let heard = flush(&mut shard);
    assert_eq!(heard.by(AGENT), ["+vpnv4"]);
    assert!(
        heard.marks.contains(&(AGENT, Mark::EndOfRib(AfiSafi::VPNV4))),
        "the marker, behind the routes"
    );
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
    let rejected = |peer| match shard.query(&Query::Peer(peer)) {
        Answer::Peer(Some(info)) => info.rejected,
        other => unreachable!("{other:?}"),
    };
    assert_eq!(rejected(OTHER), [(Reject::AsLoop, 1), (Reject::FirstAs, 1)]);
    assert_eq!(rejected(AGENT), [(Reject::Originator, 1), (Reject::ClusterLoop, 1)]);
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
