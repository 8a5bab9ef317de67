//! Peers that do not read, and owners that do not take.

#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a part of tests")]

mod support;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bgp_peer::{Mode, PeerConfig, PeerEvent, PeerState, PushError, Then};
use bgp_session::DownReason;
use bgp_session::cease::Cease;
use bgp_wire::AfiSafi;
use support::{
    ByHand, HIGH, LOOPBACK, LOW, Side, batch, config, end_of_rib, listen, session, soon,
};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};

/// Nobody takes events for four hold times: the socket is not read, and both sides live on KEEPALIVEs.
/// (After the send hold time, eight minutes, the other side would rightly give up.)
#[tokio::test(start_paused = true)]
async fn busy_tables_silence_neither_side() {
    let (listener, port) = listen();
    let mut slow = Side::start_with_room(config(LOW, 0, Mode::Passive), 1);
    slow.serve(listener);
    let mut fast = Side::start(config(HIGH, port, Mode::Active));
    let (_, writer) = fast.up().await;
    slow.up().await;
    let start = Instant::now();
    let mut pushed = 0;
    while start.elapsed() < Duration::from_mins(6) {
        if writer.try_push(batch(&end_of_rib(AfiSafi::VPNV4), 1000)).is_ok() {
            pushed += 1000;
        }
        sleep(Duration::from_secs(10)).await;
    }
    for side in [&slow, &fast] {
        let status = side.peer.status();
        assert_eq!((status.state, status.sessions), (PeerState::Established, 1));
    }
    let keepalives = slow.peer.counters().sent().keepalive;
    // One every 30 s, or up to a quarter sooner (RFC 4271 §10).
    assert!((12..=17).contains(&keepalives), "{keepalives} in six minutes");
    // Nothing was lost meanwhile.
    let mut taken = 0;
    while taken < pushed {
        if let PeerEvent::Updates(updates) = slow.event().await {
            taken += updates.len();
        }
    }
    assert_eq!(taken, pushed);
}

/// Fills a queue until it refuses; what the kernel takes is counted too.
fn fill(writer: &bgp_peer::Writer) -> usize {
    let octets = end_of_rib(AfiSafi::VPNV4);
    (0..1_000_000).take_while(|_| writer.try_push(batch(&octets, 1000)).is_ok()).count() * 1000
}

#[tokio::test]
async fn a_full_queue_says_when_it_has_drained_and_loses_nothing() {
    let (listener, port) = listen();
    let slow = PeerConfig { queue_octets: 100_000, ..config(LOW, 0, Mode::Passive) };
    let mut side = Side::start(slow);
    side.serve(listener);
    let mut hand = ByHand::connect(port).await;
    hand.come_up(&session(HIGH)).await;
    let (_, writer) = side.up().await;
    let mut sent = 0;
    let mut drained = 0;
    let octets = end_of_rib(AfiSafi::VPNV4);
    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    while drained < 5 {
        sent += fill(&writer) * octets.len();
        assert_eq!(writer.try_push(batch(&octets, 1)), Err(PushError::Full));
        assert!(writer.queued_octets() <= 100_000 + 1000 * octets.len());
        // Reads until there is room again.
        loop {
            tokio::select! {
                biased;
                event = side.events.recv() => {
                    assert!(matches!(event, Some(PeerEvent::Drained)));
                    drained += 1;
                    break;
                }
                read = tokio::io::AsyncReadExt::read(&mut hand.stream, &mut buffer) => {
                    received += read.unwrap();
                }
            }
        }
    }
    while received < sent {
        let read = tokio::io::AsyncReadExt::read(&mut hand.stream, &mut buffer);
        received += soon("the rest", read).await.unwrap();
    }
    assert_eq!((received, writer.queued_octets()), (sent, 0));
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_told_goodbye_within_seconds_and_between_messages() {
    let (listener, port) = listen();
    let mut side = Side::start(config(LOW, 0, Mode::Passive));
    side.serve(listener);
    // Small buffers, so that what lies in them is read in far less time than a goodbye may take.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut hand = ByHand::over(socket.connect((LOOPBACK, port).into()).await.unwrap());
    hand.come_up(&session(HIGH)).await;
    let (_, writer) = side.up().await;
    // More than the kernel takes: waits until the writer is blocked.
    while fill(&writer) > 0 {
        tokio::task::yield_now().await;
    }
    side.peer.cease(Cease::AdministrativeReset, "", Then::StayDown).unwrap();
    assert_eq!(side.down().await.reason, DownReason::Ceased(Cease::AdministrativeReset));
    // `message` panics on octets that are no whole message.
    let told = hand.notification().await;
    assert_eq!((told.code, told.subcode), (6, 4));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_is_dropped_after_the_send_hold_time() {
    is_dropped_after(470..=500, config(LOW, 0, Mode::Passive)).await;
    let mut hasty = config(LOW, 0, Mode::Passive);
    Arc::make_mut(&mut hasty.session).send_hold = Some(Duration::from_secs(30));
    is_dropped_after(29..=50, hasty).await;
}

async fn is_dropped_after(seconds: RangeInclusive<u64>, config: PeerConfig) {
    let (listener, port) = listen();
    let mut side = Side::start(config);
    side.serve(listener);
    let mut hand = ByHand::connect(port).await;
    hand.come_up(&session(HIGH)).await;
    let (_, writer) = side.up().await;
    while fill(&writer) > 0 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    // It is alive otherwise. (No real time passes in which TCP could wait for more to send.)
    hand.stream.set_nodelay(true).unwrap();
    let (_unread, mut write) = hand.stream.into_split();
    let alive = tokio::spawn(async move {
        let keepalive = support::keepalive();
        while tokio::io::AsyncWriteExt::write_all(&mut write, &keepalive).await.is_ok() {
            sleep(Duration::from_secs(10)).await;
        }
    });
    let down = loop {
        match side.events.recv().await {
            Some(PeerEvent::Down(down)) => break down,
            Some(PeerEvent::Drained) => {}
            other => panic!("not down: {other:?}"),
        }
    };
    assert_eq!(down.reason, DownReason::SendHoldTimerExpired);
    let waited = start.elapsed().as_secs();
    assert!(seconds.contains(&waited), "dropped after {waited} s");
    alive.abort();
}
