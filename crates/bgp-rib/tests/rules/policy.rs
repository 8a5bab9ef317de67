//! What the policy of a peer does to its routes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bgp_rib::policy::Reject;
use bgp_rib::{Answer, Input, Mark, Output, PeerIx, PeerKind, PeerPolicy, PeerView, Query, Shard};
use bgp_wire::as_path::Segment;
use bgp_wire::capability::Role;
use bgp_wire::community::Community;
use bgp_wire::{AfiSafi, AsPath, Ipv4Unicast, PathAttributes, VpnV4};

use crate::support::*;

const FOREIGN: PeerKind = PeerKind::External { asn: 64_999 };

fn with(peer: PeerIx, kind: PeerKind, policy: PeerPolicy) -> PeerView {
    PeerView { policy: Arc::new(policy), ..view(peer, kind) }
}

fn path(numbers: &[u32]) -> PathAttributes {
    PathAttributes { as_path: AsPath(vec![Segment::Sequence(numbers.to_vec())]), ..with_target(1) }
}

fn rejected(shard: &Shard, peer: PeerIx) -> Vec<(Reject, u64)> {
    match shard.query(&Query::Peer(peer)) {
        Answer::Peer(Some(info)) => info.rejected,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_gateway_cannot_become_the_transit_between_two_clouds() {
    let mut shard = shard();
    let refused_ases = Arc::new(BTreeSet::from([64_700]));
    up(&mut shard, AGENT, view(AGENT, PeerKind::Client));
    up(&mut shard, OTHER, with(OTHER, FOREIGN, PeerPolicy::default()));
    announce::<VpnV4>(&mut shard, OTHER, path(&[64_999, 64_700]), vpn(1), label(16));
    announce::<VpnV4>(&mut shard, OTHER, path(&[64_999, 64_701]), vpn(2), label(16));
    assert_eq!(flush(&mut shard).by(AGENT), ["+vpnv4", "+vpnv4"]);
    let policy = PeerPolicy { refused_ases, ..PeerPolicy::default() };
    let changed = with(OTHER, FOREIGN, policy);
    shard.handle(Input::PeerChanged { peer: OTHER, view: Arc::new(changed) });
    assert_eq!(flush(&mut shard).by(AGENT), ["-vpnv4"], "at once, without another word of it");
    announce::<VpnV4>(&mut shard, OTHER, path(&[64_999, 64_700]), vpn(3), label(16));
    assert_eq!(flush(&mut shard).by(AGENT), [""; 0]);
    assert_eq!(rejected(&shard, OTHER), [(Reject::Transit, 1)]);
    let asked = |output: &Output| matches!(output, Output::RefreshWanted { peer: OTHER, .. });
    assert!(shard.take_outputs().iter().any(asked), "what it has else may be different now");
}

#[test]
fn the_preferred_of_two_sites_stays_preferred_in_the_other_cloud() {
    let cloud = PeerPolicy { preference_as_med: true, ..PeerPolicy::default() };
    let mut here = shard();
    up(&mut here, AGENT, view(AGENT, PeerKind::Client));
    up(&mut here, OTHER, with(OTHER, FOREIGN, cloud.clone()));
    let mut there = shard();
    up(&mut there, AGENT, view(AGENT, PeerKind::Client));
    up(&mut there, OTHER, with(OTHER, PeerKind::External { asn: 64_512 }, cloud));
    for (preference, number) in [(200, 1), (100, 2), (50, 3)] {
        let said = PathAttributes { local_pref: Some(preference), ..with_target(1) };
        announce::<VpnV4>(&mut here, AGENT, said, vpn(number), label(16));
        let mut crossing = flush(&mut here).last(OTHER).clone();
        let attributes = Arc::make_mut(&mut crossing.attributes);
        assert_eq!(attributes.local_pref, None);
        // Our shards have one AS in these tests; the loop is not what is tested.
        attributes.as_path = AsPath(vec![Segment::Sequence(vec![64_513])]);
        let first_as = PeerPolicy {
            preference_as_med: true,
            enforce_first_as: false,
            ..PeerPolicy::default()
        };
        let relaxed = with(OTHER, PeerKind::External { asn: 64_512 }, first_as);
        there.handle(Input::PeerChanged { peer: OTHER, view: Arc::new(relaxed) });
        there.handle(Input::Updates { peer: OTHER, updates: vec![crossing] });
        let arrived = flush(&mut there);
        assert_eq!(arrived.last(AGENT).attributes.local_pref, Some(preference));
    }
}

#[test]
fn a_leaked_route_is_refused_and_one_from_above_goes_down_only() {
    let role = |role| PeerPolicy { role: Some(role), ..PeerPolicy::default() };
    let net: ipnet::Ipv4Net = "198.51.100.0/24".parse().unwrap();
    let mut shard = shard();
    up(&mut shard, AGENT, with(AGENT, PeerKind::External { asn: 64_998 }, role(Role::Provider)));
    up(&mut shard, OTHER, with(OTHER, FOREIGN, role(Role::Customer)));
    up(&mut shard, THIRD, with(THIRD, PeerKind::External { asn: 64_997 }, role(Role::Peer)));
    announce::<Ipv4Unicast>(&mut shard, OTHER, path(&[64_999]), net, ());
    let heard = flush(&mut shard);
    assert_eq!(heard.last(AGENT).attributes.otc(), Some(64_999), "from our provider");
    assert_eq!(heard.by(THIRD), [""; 0], "not to a peer");
    let mut leaked = path(&[64_998]);
    leaked.set_otc(Some(64_990));
    announce::<Ipv4Unicast>(&mut shard, AGENT, leaked, net, ());
    assert_eq!(rejected(&shard, AGENT), [(Reject::Otc, 1)]);
    announce::<VpnV4>(&mut shard, OTHER, path(&[64_999]), vpn(1), label(16));
    let heard = flush(&mut shard);
    assert_eq!(heard.last(AGENT).attributes.otc(), None, "roles are about unicast");
}

#[test]
fn long_lived_stale_routes_are_the_last_choice_and_say_so() {
    let mut shard = shard();
    let knows = PeerPolicy { long_lived: true, ..PeerPolicy::default() };
    up(&mut shard, AGENT, with(AGENT, PeerKind::Client, knows));
    up(&mut shard, THIRD, view(THIRD, PeerKind::Client));
    up(&mut shard, PeerIx(3), with(PeerIx(3), FOREIGN, PeerPolicy::default()));
    up(&mut shard, OTHER, view(OTHER, PeerKind::Client));
    let never = PathAttributes { communities: vec![Community::NO_LLGR], ..with_target(1) };
    announce::<VpnV4>(&mut shard, OTHER, never, vpn(1), label(16));
    announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(2), label(16));
    flush(&mut shard);
    let (peer, family) = (OTHER, AfiSafi::VPNV4);
    shard.handle(Input::PeerDown { peer, retained: vec![family] });
    assert_eq!(flush(&mut shard).by(AGENT), [""; 0], "as a restart begins nothing changes");
    shard.handle(Input::LongLived { peer, family });
    let heard = flush(&mut shard);
    let mut said = heard.by(AGENT);
    said.sort();
    assert_eq!(said, ["+vpnv4", "-vpnv4"], "one may not become so");
    let stale = |peer| {
        let update = heard.updates.iter().rfind(|(to, u)| *to == peer && !u.announced.is_empty());
        let attributes = &update.expect("announced").1.attributes;
        (attributes.local_pref, attributes.communities.clone())
    };
    assert_eq!(stale(AGENT), (Some(100), vec![Community::LLGR_STALE]));
    let both = vec![Community::LLGR_STALE, Community::NO_EXPORT];
    assert_eq!(stale(THIRD), (Some(0), both), "to one that does not know what it is");
    assert_eq!(heard.by(PeerIx(3)), ["-vpnv4", "-vpnv4"], "never to another AS that does not");

    let worse = PathAttributes { local_pref: Some(1), ..with_target(1) };
    announce::<VpnV4>(&mut shard, AGENT, worse, vpn(2), label(99));
    let heard = flush(&mut shard);
    assert_eq!(heard.last(THIRD).attributes.local_pref, Some(1), "any other path is better");
    shard.handle(Input::StaleSweep { peer, family });
    assert_eq!(flush(&mut shard).by(THIRD), [""; 0]);
}

#[test]
fn an_answer_is_between_its_marks_and_what_the_peer_does_not_repeat_goes() {
    let mut shard = shard();
    let marked = PeerView { enhanced_refresh: true, ..view(AGENT, PeerKind::Client) };
    up(&mut shard, AGENT, marked);
    up(&mut shard, OTHER, view(OTHER, PeerKind::Client));
    for number in 0..3 {
        announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(number), label(16));
    }
    flush(&mut shard);
    let family = AfiSafi::VPNV4;
    shard.handle(Input::RouteRefresh { peer: AGENT, family });
    let heard = flush(&mut shard);
    let told = heard.updates.iter().filter(|(to, _)| *to == AGENT).count();
    assert_eq!(
        heard.marks,
        [(AGENT, Mark::RefreshBegin(family), 0), (AGENT, Mark::RefreshEnd(family), told)]
    );
    assert!(told > 0);

    shard.handle(Input::RefreshMark { peer: OTHER, family, begin: true });
    announce::<VpnV4>(&mut shard, OTHER, with_target(1), vpn(1), label(16));
    assert_eq!(flush(&mut shard).by(AGENT), [""; 0], "nothing has changed yet");
    shard.handle(Input::RefreshMark { peer: OTHER, family, begin: false });
    assert_eq!(flush(&mut shard).by(AGENT), ["-vpnv4"], "both others, in one message");
}
