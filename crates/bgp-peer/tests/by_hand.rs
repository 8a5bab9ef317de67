//! The other side is made of octets by hand, right and wrong ones.

mod support;

use std::net::Ipv4Addr;

use bgp_peer::{Mode, PeerConfig, PeerEvent};
use bgp_session::{DownReason, SessionConfig};
use bgp_wire::capability::LongLived;
use bgp_wire::{AfiSafi, Message, Notification};
use support::{
    ASN, ByHand, HIGH, LOW, Side, config, end_of_rib, keepalive, listen, open, session, soon,
};

const MARKER: [u8; 16] = [0xff; 16];

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).expect("a short body");
    [&MARKER[..], &length.to_be_bytes(), &[kind], body].concat()
}

/// One of ours that waits for connections, and where it listens.
fn passive() -> (Side, u16) {
    let (listener, port) = listen();
    let side = Side::start(config(LOW, 0, Mode::Passive));
    side.serve(listener);
    (side, port)
}

#[tokio::test]
async fn garbage_gets_the_notification_that_names_it() {
    let good = open(&session(HIGH));
    let other_version = {
        let mut octets = good.clone();
        octets[19] = 3;
        octets
    };
    let short_hold = {
        let mut octets = good.clone();
        octets[22..24].copy_from_slice(&[0, 2]);
        octets
    };
    let with = |asn, id| open(&SessionConfig::internal(asn, id));
    let lengths = |length: u16| [&MARKER[..], &length.to_be_bytes(), &[4]].concat();
    // (what is wrong, what is sent at first, code, subcode)
    let cases = [
        ("a marker that is none", [vec![0; 16], vec![0, 19, 4]].concat(), 1, 1),
        ("a length below a header", lengths(18), 1, 2),
        ("a length beyond a message", lengths(4097), 1, 2),
        ("a KEEPALIVE with a body", message(4, &[0]), 1, 2),
        ("an unknown type", message(9, &[]), 1, 3),
        ("another version", other_version, 2, 1),
        ("another AS", with(65000, HIGH), 2, 2),
        ("our identifier", with(ASN, LOW), 2, 3),
        ("no identifier", with(ASN, Ipv4Addr::UNSPECIFIED), 2, 3),
        ("two seconds of hold time", short_hold, 2, 6),
        (
            "no common family",
            open(&SessionConfig { families: vec![AfiSafi::EVPN], ..session(HIGH) }),
            2,
            7,
        ),
        ("a KEEPALIVE first", keepalive(), 5, 1),
        ("an UPDATE first", end_of_rib(AfiSafi::VPNV4), 5, 1),
        (
            "an UPDATE before the KEEPALIVE",
            [good.clone(), end_of_rib(AfiSafi::VPNV4)].concat(),
            5,
            2,
        ),
        ("a second OPEN", [good.clone(), keepalive(), good].concat(), 5, 3),
    ];
    let (side, port) = passive();
    for (what, octets, code, subcode) in cases {
        let mut hand = ByHand::connect(port).await;
        hand.send(&octets).await;
        let told = hand.notification().await;
        assert_eq!((told.code, told.subcode), (code, subcode), "{what}");
    }
    drop(side);
}

#[tokio::test]
async fn messages_in_pieces_are_put_together() {
    let (mut side, port) = passive();
    let mut hand = ByHand::connect(port).await;
    let all =
        [open(&session(HIGH)), keepalive(), end_of_rib(AfiSafi::VPNV4), end_of_rib(AfiSafi::RTC)]
            .concat();
    hand.stream.set_nodelay(true).unwrap();
    for piece in all.chunks(7) {
        hand.send(piece).await;
        tokio::task::yield_now().await;
    }
    side.up().await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let PeerEvent::Updates(updates) = side.event().await else { panic!("not updates") };
        seen.extend(updates.into_iter().filter_map(|update| update.end_of_rib));
    }
    assert_eq!(seen, [AfiSafi::VPNV4, AfiSafi::RTC]);
}

#[tokio::test]
async fn what_one_read_held_is_one_batch() {
    let (mut side, port) = passive();
    let mut hand = ByHand::connect(port).await;
    hand.come_up(&session(HIGH)).await;
    side.up().await;
    hand.send(&end_of_rib(AfiSafi::VPNV4).repeat(100)).await;
    let PeerEvent::Updates(updates) = side.event().await else { panic!("not updates") };
    assert_eq!(updates.len(), 100);
    assert_eq!(side.peer.counters().received().update, 100);
}

#[tokio::test]
async fn a_connection_that_breaks_within_a_message_keeps_routes() {
    let (mut side, port) = passive();
    let mut hand = ByHand::connect(port).await;
    hand.come_up(&session(HIGH)).await;
    side.up().await;
    let update = end_of_rib(AfiSafi::VPNV4);
    hand.send(&[&update[..], &update[..10]].concat()).await;
    drop(hand);
    assert!(matches!(side.event().await, PeerEvent::Updates(updates) if updates.len() == 1));
    let down = side.down().await;
    assert_eq!(down.reason, DownReason::Closed);
    assert_eq!(down.retained.unwrap().restart_time.as_secs(), 120);
}

/// RFC 9494: for how long, by the word of the peer, and only where a session ends like this.
#[tokio::test]
async fn long_lived_families_come_with_their_time() {
    let entry = |family, stale_time| LongLived { family, forwarding: true, stale_time };
    let with = |long_lived: Vec<LongLived>, id| SessionConfig { long_lived, ..session(id) };
    let ours = with(vec![entry(AfiSafi::VPNV4, 1), entry(AfiSafi::RTC, 1)], LOW);
    let theirs = with(vec![entry(AfiSafi::VPNV4, 86_400), entry(AfiSafi::RTC, 0)], HIGH);
    let (listener, port) = listen();
    let mut side =
        Side::start(PeerConfig { session: ours.into(), ..config(LOW, 0, Mode::Passive) });
    side.serve(listener);
    for is_kept in [true, false] {
        let mut hand = ByHand::connect(port).await;
        hand.come_up(&theirs).await;
        side.up().await;
        if !is_kept {
            hand.send(&support::encode(&Message::Notification(Notification::cease(4)))).await;
        }
        drop(hand);
        let retained = side.down().await.retained;
        let times = retained.map(|retained| retained.long_lived);
        let want = vec![(AfiSafi::VPNV4, std::time::Duration::from_hours(24))];
        assert_eq!(times, is_kept.then_some(want));
    }
}

/// RFC 7606: a fault costs what the table there says, and each is counted.
#[tokio::test]
async fn what_is_made_of_faults_is_counted() {
    let (mut side, port) = passive();
    let mut hand = ByHand::connect(port).await;
    hand.come_up(&session(HIGH)).await;
    side.up().await;
    let update = |attributes: &[u8]| {
        let length = u16::try_from(attributes.len()).expect("short").to_be_bytes();
        message(2, &[&[0, 0][..], &length, attributes].concat())
    };
    // A route to be withdrawn: 10.0.0.0/8, label 16, distinguisher 0:1.
    let mut route = vec![0x80, 14, 30, 0, 1, 128, 12, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9, 0];
    route.extend([96, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 10]);
    route.extend([0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 5, 4, 0, 0, 0, 100]);
    // ATOMIC_AGGREGATE with an octet, MED of three octets, and an MP_REACH_NLRI without a next hop.
    let reach = [0x80, 14, 5, 0, 1, 128, 0, 0];
    hand.send(
        &[
            update(&[0x40, 6, 1, 0]),
            update(&[&[0x80, 4, 3, 0, 0, 1], &route[..]].concat()),
            update(&reach),
        ]
        .concat(),
    )
    .await;
    let told = hand.notification().await;
    assert_eq!((told.code, told.subcode, &told.data[..]), (3, 9, &reach[..]), "with the attribute");
    side.down().await;
    let counters = side.peer.counters();
    let made = counters.reactions();
    assert_eq!((made.attribute_discard, made.treat_as_withdraw, made.session_reset), (1, 1, 1));
    assert_eq!(counters.faulty_updates(), 2);
}

#[tokio::test]
async fn what_was_said_before_a_notification_is_handed_over_first() {
    let (mut side, port) = passive();
    let mut hand = ByHand::connect(port).await;
    let why = Notification::cease(4);
    hand.send(
        &[
            open(&session(HIGH)),
            keepalive(),
            end_of_rib(AfiSafi::VPNV4),
            support::encode(&Message::Notification(why.clone())),
        ]
        .concat(),
    )
    .await;
    side.up().await;
    assert!(matches!(side.event().await, PeerEvent::Updates(_)));
    assert_eq!(side.down().await.reason, DownReason::Received(why));
}

#[tokio::test]
async fn a_peer_that_has_restarted_replaces_its_old_session() {
    let (mut side, port) = passive();
    let mut old = ByHand::connect(port).await;
    old.come_up(&session(HIGH)).await;
    let (first, _) = side.up().await;
    let mut new = ByHand::connect(port).await;
    new.come_up(&session(HIGH)).await;
    let down = side.down().await;
    assert_eq!(down.reason, DownReason::Replaced);
    assert_eq!(down.retained.unwrap().families, [AfiSafi::VPNV4, AfiSafi::RTC]);
    let (second, _) = side.up().await;
    assert_ne!(first.remote, second.remote);
    assert_eq!(old.message().await, None, "the old connection is closed without a word");
}

#[tokio::test]
async fn a_second_connection_without_graceful_restart_is_a_collision() {
    let (mut side, port) = passive();
    let config = SessionConfig { restart: None, ..session(HIGH) };
    let mut first = ByHand::connect(port).await;
    first.come_up(&config).await;
    side.up().await;
    for said in [open(&config), [open(&config), keepalive()].concat()] {
        let mut second = ByHand::connect(port).await;
        second.send(&said).await;
        let told = second.notification().await;
        assert_eq!((told.code, told.subcode), (6, 7));
    }
    first.send(&end_of_rib(AfiSafi::VPNV4)).await;
    assert!(matches!(side.event().await, PeerEvent::Updates(_)), "the first goes on");
}

#[tokio::test]
async fn who_only_connects_refuses_connections() {
    let (listener, port) = listen();
    let side = Side::start(PeerConfig { mode: Mode::Active, ..config(LOW, 1, Mode::Active) });
    side.serve(listener);
    let told = ByHand::connect(port).await.notification().await;
    assert_eq!((told.code, told.subcode), (6, 5));
}

#[tokio::test]
async fn who_is_not_known_is_told_so() {
    let (listener, port) = listen();
    let (incoming, hand) = tokio::join!(listener.accept(), ByHand::connect(port));
    assert_eq!(incoming.remote(), support::LOOPBACK);
    incoming.refuse();
    let mut hand = hand;
    assert!(matches!(hand.message().await, Some(Message::Notification(n)) if n.subcode == 5));
}

#[tokio::test]
async fn a_last_word_reaches_even_a_peer_that_goes_on_talking() {
    let (mut side, port) = passive();
    let mut hand = ByHand::connect(port).await;
    hand.come_up(&session(HIGH)).await;
    side.up().await;
    // Far more than one read takes. What nobody reads when the connection is closed resets it.
    let flood = [message(9, &[]), keepalive().repeat(100_000)].concat();
    let told = hand.notification_while_saying(&flood).await;
    assert_eq!((told.code, told.subcode), (1, 3));
    let down = soon("down", side.down()).await;
    assert_eq!(down.retained, None);
}
