//! Peers that refuse our OPEN for its capabilities (RFC 5492 §3).

#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a part of tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bgp_peer::{Mode, PeerConfig};
use bgp_session::SessionConfig;
use bgp_wire::{AfiSafi, Message, Notification, Open};
use support::{ByHand, HIGH, LOOPBACK, LOW, Side, config, encode, keepalive, open, session, soon};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Longer than ten waits between attempts.
const A_WHILE: Duration = Duration::from_millis(500);

/// A peer that connects to the listener again and again.
async fn active(families: &[AfiSafi]) -> (Side, TcpListener) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let session = SessionConfig { families: families.to_vec(), ..session(LOW) };
    let connect_retry = Some(Duration::from_millis(10));
    let config =
        PeerConfig { session: Arc::new(session), connect_retry, ..config(LOW, port, Mode::Active) };
    (Side::start(config), listener)
}

/// Its next connection, and its OPEN.
async fn next(listener: &TcpListener) -> (ByHand, Open) {
    let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
    let mut hand = ByHand::over(stream);
    match hand.message().await {
        Some(Message::Open(open)) => (hand, open),
        other => panic!("no OPEN: {other:?}"),
    }
}

async fn refuse(mut hand: ByHand, subcode: u8) {
    let why = Notification::open_error(subcode);
    hand.send(&encode(&Message::Notification(why))).await;
}

#[tokio::test]
async fn who_knows_no_capabilities_is_shown_none() {
    let (mut side, listener) = active(&[AfiSafi::VPNV4, AfiSafi::IPV4_UNICAST]).await;
    for _ in 0..2 {
        let (hand, said) = next(&listener).await;
        assert!(!said.capabilities.is_empty());
        refuse(hand, 4).await;
        let (hand, said) = next(&listener).await;
        assert_eq!(said.capabilities, []);
        refuse(hand, 4).await;
    }
    let (hand, _) = next(&listener).await;
    refuse(hand, 4).await;
    let (mut hand, said) = next(&listener).await;
    assert_eq!(said.capabilities, []);
    let plain = SessionConfig { families: vec![AfiSafi::IPV4_UNICAST], ..session(HIGH) };
    hand.send(&[open(&plain.without_capabilities().unwrap()), keepalive()].concat()).await;
    let (established, _) = side.up().await;
    let agreed = &established.agreement.negotiated;
    assert_eq!((&agreed.families[..], agreed.four_octet_as), (&plain.families[..], false));
    drop(hand);
    side.down().await;
    let (_hand, said) = next(&listener).await;
    assert!(!said.capabilities.is_empty(), "it may have learnt them");
}

#[tokio::test]
async fn without_ipv4_unicast_there_is_nothing_to_say_without_capabilities() {
    let (_side, listener) = active(&[AfiSafi::VPNV4]).await;
    for _ in 0..3 {
        let (hand, said) = next(&listener).await;
        assert!(!said.capabilities.is_empty());
        refuse(hand, 4).await;
    }
}

#[tokio::test]
async fn who_misses_a_capability_is_left_alone_until_something_changes() {
    let (side, listener) = active(&[AfiSafi::VPNV4]).await;
    let (hand, _) = next(&listener).await;
    refuse(hand, 7).await;
    timeout(A_WHILE, listener.accept()).await.expect_err("it is left alone");
    side.peer.start().unwrap();
    let (mut hand, _) = next(&listener).await;
    // It names a family that is not ours.
    let other = SessionConfig { families: vec![AfiSafi::EVPN], ..session(HIGH) };
    hand.send(&open(&other)).await;
    assert_eq!(hand.notification().await.subcode, 7);
    timeout(A_WHILE, listener.accept()).await.expect_err("it is left alone");
    let config = config(LOW, listener.local_addr().unwrap().port(), Mode::Active);
    side.peer.reconfigure(config).unwrap();
    next(&listener).await;
}
