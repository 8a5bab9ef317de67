//! Both sides connect at once, as FRR and our control nodes do.

mod support;

use std::net::Ipv4Addr;

use bgp_peer::{Mode, PeerState};
use bgp_session::SessionConfig;
use bgp_wire::AfiSafi;
use bgp_wire::Message;
use support::{
    ByHand, HIGH, LOW, Side, config, end_of_rib, keepalive, listen, open, session, soon,
};
use tokio::net::TcpListener;

/// Two of ours that both connect and both listen.
fn both(first: Ipv4Addr, second: Ipv4Addr, restart: bool) -> (Side, Side) {
    let ((first_listens, first_port), (second_listens, second_port)) = (listen(), listen());
    let start = |id, port| {
        let mut config = config(id, port, Mode::Both);
        if !restart {
            config.session.restart = None;
        }
        Side::start(config)
    };
    let (first, second) = (start(first, second_port), start(second, first_port));
    first.serve(first_listens);
    second.serve(second_listens);
    (first, second)
}

async fn established(side: &Side) {
    let mut status = side.peer.watch();
    let up = status.wait_for(|status| status.state == PeerState::Established);
    soon("a session", up).await.expect("a running peer");
}

/// Many times, since each time the messages of both connections come in another order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_connect_at_once_end_up_with_one_session() {
    for round in 0..40 {
        let restart = round % 2 == 0;
        let (first, second) = if round % 4 < 2 { (LOW, HIGH) } else { (HIGH, LOW) };
        let (first, second) = both(first, second, restart);
        // Until both mean the same connection; a session that came up and was given up counts too.
        soon("the same connection on both sides", async {
            loop {
                established(&first).await;
                established(&second).await;
                let ends =
                    |side: &Side| side.peer.status().established.map(|up| (up.local, up.remote));
                if let (Some((local, remote)), Some(theirs)) = (ends(&first), ends(&second))
                    && theirs == (remote, local)
                {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        let sessions = (first.peer.status().sessions, second.peer.status().sessions);
        assert!(sessions.0 < 10 && sessions.1 < 10, "{sessions:?} sessions in round {round}");
    }
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
        let told = goes.notification().await;
        assert_eq!((told.code, told.subcode), (6, 7), "{id}");
        stays.send(&keepalive()).await;
        side.up().await;
        stays.send(&end_of_rib(AfiSafi::VPNV4)).await;
        side.event().await;
    }
}
