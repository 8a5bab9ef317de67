//! Sessions that do not last, OPENs that wait, and families that are given up.

#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a part of tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bgp_peer::{Mode, PeerConfig, PeerEvent, PeerState};
use bgp_session::SessionConfig;
use bgp_wire::{AfiSafi, Message, Notification};
use support::{
    ByHand, HIGH, LOW, Side, config, encode, end_of_rib, keepalive, open, session, soon,
};

fn passive(change: impl FnOnce(&mut PeerConfig, &mut SessionConfig)) -> (Side, u16) {
    let (listener, port) = support::listen();
    let (mut config, mut session) = (config(LOW, 0, Mode::Passive), session(LOW));
    change(&mut config, &mut session);
    config.session = Arc::new(session);
    let side = Side::start(config);
    side.serve(listener);
    (side, port)
}

fn everything(id: std::net::Ipv4Addr) -> SessionConfig {
    SessionConfig { families: vec![AfiSafi::VPNV4, AfiSafi::VPNV6, AfiSafi::RTC], ..session(id) }
}

#[tokio::test]
async fn a_peer_whose_session_did_not_last_is_refused_for_the_idle_hold_time() {
    let hold = Duration::from_millis(1500);
    let (mut side, port) = passive(|config, _| config.idle_hold = Some(hold));
    let began = tokio::time::Instant::now();
    let mut hand = ByHand::connect(port).await;
    hand.come_up(&session(HIGH)).await;
    side.up().await;
    drop(hand);
    side.down().await;
    let told = ByHand::connect(port).await.notification().await;
    assert_eq!((told.code, told.subcode), (6, 5), "connection rejected");
    // Until it is taken again.
    let mut refused = 0;
    let mut hand = loop {
        let mut hand = ByHand::connect(port).await;
        match hand.message().await {
            Some(Message::Open(_)) => break hand,
            other => assert!(matches!(other, Some(Message::Notification(_))), "{other:?}"),
        }
        refused += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(refused > 5 && began.elapsed() >= hold * 3 / 4, "{refused}, {:?}", began.elapsed());
    hand.send(&[open(&session(HIGH)), keepalive()].concat()).await;
    side.up().await;
}

#[tokio::test]
async fn a_fault_before_a_session_is_up_makes_idle_and_an_operator_ends_that() {
    let (mut side, port) = passive(|config, _| config.idle_hold = Some(Duration::from_mins(10)));
    let mut hand = ByHand::connect(port).await;
    hand.send(&open(&SessionConfig { local_asn: 1, ..session(HIGH) })).await;
    assert_eq!(hand.notification().await.subcode, 2, "bad peer AS");
    assert_eq!(ByHand::connect(port).await.notification().await.subcode, 5);
    side.peer.start().unwrap();
    let mut hand = ByHand::connect(port).await;
    hand.come_up(&session(HIGH)).await;
    side.up().await;
}

#[tokio::test]
async fn without_an_idle_hold_time_a_peer_is_taken_back_at_once() {
    let (mut side, port) = passive(|_, _| {});
    for _ in 0..5 {
        let mut hand = ByHand::connect(port).await;
        hand.come_up(&session(HIGH)).await;
        side.up().await;
        hand.send(&encode(&Message::Notification(Notification::cease(4)))).await;
        side.down().await;
    }
}

#[tokio::test]
async fn our_open_waits_for_the_peers() {
    let delay = Some(Duration::from_mins(10));
    let (mut side, port) = passive(|_, session| session.delay_open = delay);
    let mut hand = ByHand::connect(port).await;
    let mut status = side.peer.watch();
    soon("it is taken", status.wait_for(|status| status.state == PeerState::Connect))
        .await
        .unwrap();
    hand.come_up(&session(HIGH)).await;
    side.up().await;
}

#[tokio::test]
async fn two_that_both_wait_come_up_when_one_has_waited_enough() {
    let (listener, port) = support::listen();
    let start = |id, port, mode, delay| {
        let session = SessionConfig { delay_open: Some(delay), ..session(id) };
        Side::start(PeerConfig { session: Arc::new(session), ..config(id, port, mode) })
    };
    let mut low = start(LOW, 0, Mode::Passive, Duration::from_mins(10));
    low.serve(listener);
    let mut high = start(HIGH, port, Mode::Active, Duration::from_millis(300));
    high.up().await;
    low.up().await;
}

/// An UPDATE of `MP_REACH_NLRI` with these octets behind the next hop, through 10.0.0.9.
fn reach(safi: [u8; 3], next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = u8::try_from(next_hop.len()).unwrap();
    let value = [&safi[..], &[length], next_hop, &[0], nlri].concat();
    let attributes = [
        &[0x80, 14, u8::try_from(value.len()).unwrap()][..],
        &value,
        &[0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 5, 4, 0, 0, 0, 100],
    ]
    .concat();
    let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
    let body = [&[0, 0][..], &length, &attributes].concat();
    let total = u16::try_from(19 + body.len()).unwrap().to_be_bytes();
    [&[0xff; 16][..], &total, &[2], &body].concat()
}

const V4: [u8; 3] = [0, 1, 128];
const V6: [u8; 3] = [0, 2, 128];
const HOP: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9];
/// 10.0.0.0/8 with label 16 and distinguisher 0:1.
const ROUTE: [u8; 13] = [96, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 10];
/// A length that no route has.
const SPOILT: [u8; 13] = [255, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 10];

/// RFC 7606 §2: the family, not the session.
#[tokio::test]
async fn a_family_that_cannot_be_read_is_given_up_and_the_others_go_on() {
    let (mut side, port) = passive(|_, session| {
        session.families = everything(LOW).families;
        session.disable_families = true;
    });
    let mut hand = ByHand::connect(port).await;
    hand.come_up(&everything(HIGH)).await;
    side.up().await;
    // (what comes, routes that are handed over)
    hand.send(&reach(V4, &HOP, &SPOILT)).await;
    assert!(matches!(side.event().await, PeerEvent::Disabled(AfiSafi::VPNV4)));
    hand.send(&[reach(V4, &HOP, &ROUTE), reach(V6, &HOP, &ROUTE)].concat()).await;
    let (mut routes, mut faults) = (Vec::new(), 0);
    while routes.is_empty() {
        let PeerEvent::Updates(updates) = side.event().await else { panic!("no routes") };
        for update in updates {
            routes.extend(update.announced.iter().map(|(_, routes)| routes.family()));
            faults += update.faults.len();
        }
    }
    assert_eq!((routes, faults), (vec![AfiSafi::VPNV6], 0));
    assert_eq!(side.peer.counters().reactions().afi_safi_disable, 1);
    // The last family with routes is not given up: nothing would come any more.
    hand.send(&reach(V6, &HOP, &SPOILT)).await;
    let told = hand.notification().await;
    assert_eq!((told.code, told.subcode), (3, 9));
    side.down().await;
    assert_eq!(side.peer.counters().reactions().session_reset, 1);
    // The next session knows nothing of that.
    let mut hand = ByHand::connect(port).await;
    hand.come_up(&everything(HIGH)).await;
    side.up().await;
    hand.send(&reach(V4, &HOP, &ROUTE)).await;
    assert!(matches!(side.event().await, PeerEvent::Updates(_)));
}

/// Without its memberships a peer would be told nothing, and nobody would know why.
#[tokio::test]
async fn memberships_that_cannot_be_read_end_the_session() {
    for disable_families in [true, false] {
        let (mut side, port) = passive(|_, session| {
            session.families = everything(LOW).families;
            session.disable_families = disable_families;
        });
        let spoilt = if disable_families { ([0, 1, 132], [31]) } else { (V4, [1]) };
        let mut hand = ByHand::connect(port).await;
        hand.come_up(&everything(HIGH)).await;
        side.up().await;
        hand.send(&end_of_rib(AfiSafi::VPNV6)).await;
        hand.send(&reach(spoilt.0, &HOP[8..], &spoilt.1)).await;
        let told = hand.notification().await;
        assert_eq!((told.code, told.subcode), (3, 9));
        side.down().await;
    }
}
