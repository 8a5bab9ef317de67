//! Both sides connect at once, as FRR and our control nodes do.

mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;

use bgp_peer::{Mode, PeerEvent};
use bgp_session::SessionConfig;
use bgp_wire::AfiSafi;
use bgp_wire::Message;
use support::{
    ByHand, HIGH, LOW, Side, batch, config, end_of_rib, keepalive, listen, open, session, soon,
};
use tokio::net::TcpListener;

/// One connection is ended for the collision (RFC 4486), and the session goes on over the other.
async fn one_stays(side: &mut Side, stays: &mut ByHand, goes: &mut ByHand) {
    let told = goes.notification().await;
    assert_eq!((told.code, told.subcode), (6, 7));
    stays.send(&keepalive()).await;
    side.up().await;
    stays.send(&end_of_rib(AfiSafi::VPNV4)).await;
    side.event().await;
}

/// Two of ours that both connect and both listen.
fn both(first: Ipv4Addr, second: Ipv4Addr, restart: bool) -> (Side, Side) {
    let ((first_listens, first_port), (second_listens, second_port)) = (listen(), listen());
    let start = |id, port| {
        let mut config = config(id, port, Mode::Both);
        if !restart {
            Arc::make_mut(&mut config.session).restart = None;
        }
        Side::start(config)
    };
    let (first, second) = (start(first, second_port), start(second, first_port));
    first.serve(first_listens);
    second.serve(second_listens);
    (first, second)
}

/// Many times, since each time the messages of both connections come in another order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_connect_at_once_have_one_session_from_the_beginning() {
    for round in 0..40 {
        let restart = round % 2 == 0;
        let (first, second) = if round % 4 < 2 { (LOW, HIGH) } else { (HIGH, LOW) };
        let (mut first, mut second) = both(first, second, restart);
        let (first_up, second_up) = (first.up().await, second.up().await);
        assert_eq!(
            (first_up.0.local, first_up.0.remote),
            (second_up.0.remote, second_up.0.local),
            "the same connection in round {round}"
        );
        // Whatever came second has nothing to say any more: what is told arrives.
        for (from, to) in [(&first_up.1, &mut second), (&second_up.1, &mut first)] {
            from.try_push(batch(&end_of_rib(AfiSafi::VPNV4), 1)).expect("room");
            let event = to.event().await;
            assert!(matches!(event, PeerEvent::Updates(_)), "{event:?} in round {round}");
        }
        let sessions = (first.peer.status().sessions, second.peer.status().sessions);
        assert_eq!(sessions, (1, 1), "sessions in round {round}");
    }
}

/// The peer opens two by itself. Of those that have its OPEN, the identifiers speak for the first or for
/// the second (RFC 4271 §6.8).
#[tokio::test]
async fn of_two_connections_of_the_peer_one_stays_by_the_identifiers() {
    for (id, first_stays) in [(HIGH, false), (Ipv4Addr::new(10, 0, 0, 0), true)] {
        for is_first_heard_first in [true, false] {
            let (listener, port) = listen();
            let mut side = Side::start(config(LOW, 0, Mode::Passive));
            side.serve(listener);
            let mut first = ByHand::connect(port).await;
            assert!(matches!(first.message().await, Some(Message::Open(_))));
            let mut second = ByHand::connect(port).await;
            assert!(matches!(second.message().await, Some(Message::Open(_))));
            if !is_first_heard_first {
                std::mem::swap(&mut first, &mut second);
            }
            let said = open(&SessionConfig { local_id: id, ..session(HIGH) });
            first.send(&said).await;
            assert_eq!(first.message().await, Some(Message::Keepalive));
            second.send(&said).await;
            let (mut stays, mut goes) = if first_stays { (first, second) } else { (second, first) };
            one_stays(&mut side, &mut stays, &mut goes).await;
        }
    }
}

/// What says nothing does not keep a session from coming up, and is closed when it has.
#[tokio::test]
async fn connections_that_the_peer_has_given_up_are_closed() {
    let (listener, port) = listen();
    let mut side = Side::start(config(LOW, 0, Mode::Passive));
    side.serve(listener);
    let mut hands = Vec::new();
    for _ in 0..4 {
        let mut hand = ByHand::connect(port).await;
        assert!(matches!(hand.message().await, Some(Message::Open(_))));
        hands.push(hand);
    }
    let mut last = hands.pop().unwrap();
    last.send(&[open(&session(HIGH)), keepalive()].concat()).await;
    side.up().await;
    // One of those that are left may still take over, as one whose peer has restarted.
    let mut rival = hands.pop().unwrap();
    for mut hand in hands {
        let told = hand.notification().await;
        assert_eq!((told.code, told.subcode), (6, 7));
    }
    rival.send(&[open(&session(HIGH)), keepalive()].concat()).await;
    side.down().await;
    side.up().await;
}

/// Both connections have come to the OPEN before either is answered.
#[tokio::test]
async fn the_connection_of_the_higher_identifier_stays() {
    // (the identifier by hand, whose connection stays)
    for (id, theirs_stays) in [(HIGH, true), (Ipv4Addr::new(10, 0, 0, 0), false)] {
        let socket = TcpListener::bind((support::LOOPBACK, 0)).await.unwrap();
        let (listener, port) = listen();
        let mut side = Side::start(config(LOW, socket.local_addr().unwrap().port(), Mode::Both));
        side.serve(listener);
        let (accepted, _) = soon("a connection", socket.accept()).await.unwrap();
        let mut of_us = ByHand::over(accepted);
        assert!(matches!(of_us.message().await, Some(Message::Open(_))));
        let mut of_hand = ByHand::connect(port).await;
        assert!(matches!(of_hand.message().await, Some(Message::Open(_))));

        let said = open(&SessionConfig { local_id: id, ..session(HIGH) });
        of_us.send(&said).await;
        assert_eq!(of_us.message().await, Some(Message::Keepalive));
        of_hand.send(&said).await;
        let (mut stays, mut goes) = if theirs_stays { (of_hand, of_us) } else { (of_us, of_hand) };
        one_stays(&mut side, &mut stays, &mut goes).await;
    }
}
