//! Two of our own over loopback.

mod support;

use std::sync::Arc;

use bgp_peer::{Mode, PeerConfig, PeerEvent, PeerState, Push, PushError, Then};
use bgp_session::cease::Cease;
use bgp_session::{DownReason, HoldTime, SessionConfig};
use bgp_wire::{AfiSafi, RouteRefresh};
use support::{HIGH, LOW, Side, batch, config, end_of_rib, listen, soon};

/// One that listens and one that connects, both up.
fn pair(passive: PeerConfig, active: PeerConfig) -> (Side, Side) {
    let (listener, port) = listen();
    let passive = Side::start(PeerConfig { mode: Mode::Passive, ..passive });
    passive.serve(listener);
    let active = Side::start(PeerConfig { mode: Mode::Active, port, ..active });
    (passive, active)
}

fn both() -> (PeerConfig, PeerConfig) {
    (config(LOW, 0, Mode::Passive), config(HIGH, 0, Mode::Active))
}

#[tokio::test]
async fn both_know_each_other_when_up() {
    let (low, high) = both();
    let (mut low, mut high) = pair(low, high);
    let (seen_by_low, _) = low.up().await;
    let (seen_by_high, _) = high.up().await;
    assert_eq!(seen_by_low.agreement.peer.router_id, HIGH);
    assert_eq!(seen_by_high.agreement.peer.router_id, LOW);
    assert_eq!((seen_by_low.local, seen_by_low.remote), (seen_by_high.remote, seen_by_high.local));
    let families = [AfiSafi::VPNV4, AfiSafi::RTC];
    assert_eq!(seen_by_low.agreement.negotiated.families, families);
    assert_eq!(seen_by_low.agreement.restart.as_ref().unwrap().forwarding, families);
    let status = low.peer.status();
    assert_eq!((status.state, status.sessions), (PeerState::Established, 1));
    assert_eq!(low.peer.counters().received().open, 1);
    assert_eq!(low.peer.counters().sent().open, 1);
}

#[tokio::test]
async fn the_end_of_rib_waits_for_the_mark_of_every_shard() {
    let (low, high) = both();
    let (mut low, mut high) = pair(PeerConfig { shards: 3, ..low }, high);
    let ((_, writer), _) = (low.up().await, high.up().await);
    let mark = |shard| writer.try_push(Push::EndOfRib { family: AfiSafi::VPNV4, shard });
    mark(0).unwrap();
    mark(2).unwrap();
    mark(0).unwrap();
    // Something that can be told apart from the mark, behind the marks of two shards.
    writer.try_push(batch(&end_of_rib(AfiSafi::RTC), 1)).unwrap();
    mark(1).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let PeerEvent::Updates(updates) = high.event().await else { panic!("not updates") };
        seen.extend(updates.into_iter().filter_map(|update| update.end_of_rib));
    }
    assert_eq!(seen, [AfiSafi::RTC, AfiSafi::VPNV4]);
}

#[tokio::test]
async fn a_request_for_routes_arrives() {
    let (low, high) = both();
    let (mut low, mut high) = pair(low, high);
    let _ = (low.up().await, high.up().await);
    // Not negotiated: not sent.
    high.peer.refresh(AfiSafi::EVPN).unwrap();
    high.peer.refresh(AfiSafi::RTC).unwrap();
    let PeerEvent::Refresh(refresh) = low.event().await else { panic!("not a refresh") };
    assert_eq!(refresh, RouteRefresh { family: AfiSafi::RTC, subtype: 0 });
}

#[tokio::test]
async fn whoever_ends_it_says_why_and_may_come_back() {
    let (low, high) = both();
    let (mut low, mut high) = pair(low, high);
    let ((first, writer), _) = (low.up().await, high.up().await);
    let why = Cease::AdministrativeReset;
    low.peer.cease(why, "new policy", Then::Reconnect).unwrap();
    assert_eq!(low.down().await.reason, DownReason::Ceased(why));
    let down = high.down().await;
    assert_eq!(down.reason, DownReason::Received(why.notification("new policy")));
    assert_eq!(down.retained, None, "a NOTIFICATION keeps nothing without the N bit");
    assert_eq!(writer.try_push(batch(&end_of_rib(AfiSafi::RTC), 1)), Err(PushError::Closed));
    let (second, _) = low.up().await;
    assert_eq!((first.epoch, second.epoch), (1, 2));
}

#[tokio::test]
async fn who_stays_down_refuses_until_it_is_started() {
    let (low, high) = both();
    let (mut low, mut high) = pair(low, high);
    let _ = (low.up().await, high.up().await);
    low.peer.cease(Cease::AdministrativeShutdown, "", Then::StayDown).unwrap();
    let _ = (low.down().await, high.down().await);
    let mut status = high.peer.watch();
    soon("a refused attempt", status.wait_for(|status| status.failures > 1)).await.unwrap();
    assert_eq!(low.peer.status().state, PeerState::Idle);
    low.peer.start().unwrap();
    let _ = (low.up().await, high.up().await);
}

#[tokio::test]
async fn a_restart_closes_without_a_word_and_routes_are_kept() {
    let (low, high) = both();
    let (mut low, mut high) = pair(low, high);
    let _ = (low.up().await, high.up().await);
    let (peer, mut events) = high.into_peer();
    soon("the end", peer.restart()).await;
    let Some(PeerEvent::Down(down)) = events.recv().await else { panic!("not down") };
    assert_eq!(down.reason, DownReason::Restarting);
    assert!(events.recv().await.is_none(), "the task has ended");
    let down = low.down().await;
    assert_eq!(down.reason, DownReason::Closed);
    assert_eq!(down.retained.unwrap().families, [AfiSafi::VPNV4, AfiSafi::RTC]);
}

#[tokio::test]
async fn a_dropped_handle_ends_the_peer() {
    let (low, high) = both();
    let (mut low, mut high) = pair(low, high);
    let _ = (low.up().await, high.up().await);
    let (peer, mut events) = high.into_peer();
    drop(peer);
    let ended = async {
        let mut last = None;
        while let Some(event) = events.recv().await {
            last = Some(event);
        }
        last
    };
    let Some(PeerEvent::Down(down)) = soon("the end", ended).await else { panic!("not down") };
    assert_eq!(down.reason, DownReason::Ceased(Cease::Deconfigured));
    let down = low.down().await;
    assert_eq!(down.reason, DownReason::Received(Cease::Deconfigured.notification("")));
}

#[tokio::test]
async fn the_restart_bit_is_said_until_the_first_session_is_up() {
    let (low, mut high) = both();
    Arc::make_mut(&mut high.session).restart.as_mut().unwrap().restarted = true;
    let (mut low, mut high) = pair(low, high);
    let (first, _) = low.up().await;
    assert!(first.agreement.restart.as_ref().unwrap().restarted);
    high.up().await;
    high.peer.cease(Cease::AdministrativeReset, "", Then::Reconnect).unwrap();
    low.down().await;
    let (second, _) = low.up().await;
    assert!(!second.agreement.restart.as_ref().unwrap().restarted);
}

#[tokio::test]
async fn another_configuration_counts_from_the_next_session_on() {
    let (low, high) = both();
    let mut changed = high.clone();
    let said = Arc::make_mut(&mut changed.session);
    said.hold_time = HoldTime::try_from(9).unwrap();
    said.restart.as_mut().unwrap().restarted = true;
    let (mut low, mut high) = pair(low, high);
    let (first, _) = low.up().await;
    let (seen, _) = high.up().await;
    high.peer.reconfigure(PeerConfig { port: seen.remote.port(), ..changed }).unwrap();
    high.peer.cease(Cease::ConfigurationChange, "", Then::Reconnect).unwrap();
    low.down().await;
    let (second, _) = low.up().await;
    assert_eq!((first.agreement.hold_time.secs(), second.agreement.hold_time.secs()), (90, 9));
    assert!(!second.agreement.restart.as_ref().unwrap().restarted, "the process has not restarted");
}

#[tokio::test]
async fn another_as_is_told_so_and_seen_in_the_status() {
    let (low, high) = both();
    let stranger = SessionConfig { local_asn: 65000, ..(*high.session).clone() };
    let (low, high) = pair(low, PeerConfig { session: stranger.into(), ..high });
    let mut status = high.peer.watch();
    let failed = soon("a failure", status.wait_for(|status| status.last_down.is_some())).await;
    let reason = failed.unwrap().last_down.clone().unwrap().0;
    let DownReason::Received(told) = reason else { panic!("not told: {reason}") };
    assert_eq!((told.code, told.subcode), (2, 2));
    drop(low);
}

#[tokio::test]
async fn nobody_at_home_is_tried_again() {
    let (listener, port) = listen();
    drop(listener);
    let mut side = Side::start(config(HIGH, port, Mode::Active));
    let mut status = side.peer.watch();
    let failed = soon("a failure", status.wait_for(|status| status.failures > 0)).await;
    assert!(matches!(failed.unwrap().last_down, Some((DownReason::Unreachable(_), _))));
    let listener = bgp_peer::Listener::bind((support::LOOPBACK, port).into()).unwrap();
    let low = Side::start(config(LOW, 0, Mode::Passive));
    low.serve(listener);
    side.up().await;
}

/// An answer to a request is marked where both sides said that they do (RFC 7313).
#[tokio::test]
async fn an_answer_is_marked_and_requests_are_answered_one_after_another() {
    let (mut low, mut high) = both();
    for config in [&mut low, &mut high] {
        Arc::make_mut(&mut config.session).enhanced_route_refresh = true;
    }
    let (mut low, mut high) = pair(PeerConfig { shards: 2, ..low }, high);
    let ((_, writer), _) = (low.up().await, high.up().await);
    let family = AfiSafi::VPNV4;
    let mark = |subtype, shard| writer.try_push(Push::Refresh { family, subtype, shard }).unwrap();
    for shard in 0..2 {
        writer.try_push(Push::EndOfRib { family, shard }).unwrap();
    }
    assert!(matches!(high.event().await, PeerEvent::Updates(_)));
    // The second and third are one, and are held back until the first is answered.
    for _ in 0..3 {
        high.peer.refresh(family).unwrap();
    }
    for _ in 0..2 {
        let PeerEvent::Refresh(asked) = low.event().await else { panic!("not asked") };
        assert_eq!(asked, RouteRefresh { family, subtype: RouteRefresh::REQUEST });
        mark(RouteRefresh::BEGIN, 1);
        mark(RouteRefresh::BEGIN, 0);
        mark(RouteRefresh::END, 0);
        writer.try_push(batch(&end_of_rib(AfiSafi::RTC), 1)).unwrap();
        mark(RouteRefresh::END, 1);
        for want in [Some(RouteRefresh::BEGIN), None, Some(RouteRefresh::END)] {
            let got = match high.event().await {
                PeerEvent::Refresh(mark) => Some(mark.subtype),
                _ => None,
            };
            assert_eq!(got, want);
        }
    }
}
