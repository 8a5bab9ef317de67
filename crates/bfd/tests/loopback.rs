//! Sessions over real sockets, on loopback.

mod support;

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bfd::socket::{Mode, PathConfig, Speaker};
use bfd::{AuthKey, AuthType, ControlPacket, Diag, Role, State};
use support::{SOON, address, is_up, speaker, timing, until};
use tokio::time::{Instant, timeout};

fn path(local: IpAddr, remote: IpAddr) -> PathConfig {
    PathConfig { timing: timing(50), ..PathConfig::new(local, remote) }
}

#[tokio::test]
async fn two_come_up_and_agree_on_the_slower_interval() {
    let (one, other) = (address(), address());
    let ((speaker, _task), (beyond, _beyond_task)) = (speaker(), speaker());
    for mode in [Mode::SingleHop, Mode::MultiHop] {
        let here = speaker.start(PathConfig { mode, ..path(one, other) });
        let there =
            PathConfig { mode, timing: timing(70), role: Role::Passive, ..path(other, one) };
        let there = beyond.start(there);
        let slower = Duration::from_millis(70);
        until(&here, |status| status.detection_time == Some(slower * 3)).await;
        let status = until(&here, |status| status.transmit_interval == slower).await;
        assert_eq!((status.state, status.ups, status.failures), (State::Up, 1, 0));
        is_up(&there).await;
        there.set_timing(timing(90));
        until(&here, |status| status.detection_time == Some(Duration::from_millis(270))).await;
        assert_eq!((here.status().ups, here.status().failures), (1, 0));
        assert!(here.counters().sent() > 0 && here.counters().received() > 0);
    }
}

#[tokio::test]
async fn a_peer_that_dies_is_missed_after_the_detection_time() {
    for interval in [50, 300] {
        let (one, other) = (address(), address());
        let ((speaker, _task), (beyond, task)) = (speaker(), speaker());
        let config = |local, remote| PathConfig { timing: timing(interval), ..path(local, remote) };
        let (here, there) = (speaker.start(config(one, other)), beyond.start(config(other, one)));
        is_up(&there).await;
        let detection_time = Duration::from_millis(interval * 3);
        until(&here, |status| status.detection_time == Some(detection_time)).await;
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        let dead = Instant::now();
        let status = until(&here, |status| status.state != State::Up).await;
        let elapsed = dead.elapsed();
        assert_eq!((status.diag, status.failures), (Diag::DETECTION_TIME_EXPIRED, 1));
        // From its last packet, which was up to an interval before; a busy machine may look later.
        let most = detection_time + Duration::from_millis(500);
        assert!(elapsed <= most, "{elapsed:?}");
        assert!(elapsed + Duration::from_millis(interval) >= detection_time, "{elapsed:?}");
    }
}

#[tokio::test]
async fn a_session_that_is_ended_on_purpose_is_no_failure_for_its_peer() {
    let (one, other) = (address(), address());
    let ((speaker, _task), (beyond, _beyond_task)) = (speaker(), speaker());
    let (here, there) = (speaker.start(path(one, other)), beyond.start(path(other, one)));
    is_up(&there).await;
    is_up(&here).await;
    there.hold_down();
    let status = until(&here, |status| status.state == State::Down).await;
    assert_eq!(status.remote.unwrap().state, State::AdminDown);
    there.release();
    is_up(&here).await;
    is_up(&there).await;
    drop(there);
    let status = until(&here, |status| status.state == State::Down).await;
    assert_eq!(status.remote.unwrap().diag, Diag::ADMINISTRATIVELY_DOWN);
    // Whoever takes its place is another session, at once.
    let again = beyond.start(path(other, one));
    is_up(&again).await;
    let status = is_up(&here).await;
    assert_eq!((status.ups, status.failures), (3, 0));
}

#[tokio::test]
async fn the_end_of_a_driver_is_told_to_its_peers() {
    let (one, other) = (address(), address());
    let (speaker, _task) = speaker();
    let (beyond, driver) = Speaker::new();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(driver.run(async { drop(ended.await) }));
    let (here, there) = (speaker.start(path(one, other)), beyond.start(path(other, one)));
    is_up(&here).await;
    is_up(&there).await;
    end.send(()).unwrap();
    task.await.unwrap();
    let status = until(&here, |status| status.state == State::Down).await;
    assert_eq!((status.remote.unwrap().state, status.failures), (State::AdminDown, 0));
}

#[tokio::test]
async fn packets_of_strangers_and_from_beyond_the_link_change_nothing() {
    let (one, other, stranger) = (address(), address(), address());
    let (speaker, _task) = speaker();
    let here = speaker.start(path(one, other));
    let packet = ControlPacket {
        state: State::Init,
        multiplier: 3,
        my_discriminator: 1,
        your_discriminator: 1,
        ..ControlPacket::default()
    };
    let down = ControlPacket { state: State::Down, your_discriminator: 0, ..packet };
    let send = |from: IpAddr, ttl, octets: &[u8]| {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.set_ttl(ttl).unwrap();
        socket.send_to(octets, (one, Mode::SingleHop.port())).unwrap();
    };
    // The socket is there once the session has sent.
    let has_sent = async {
        while here.counters().sent() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, has_sent).await.unwrap();
    send(other, 254, &down.encode());
    send(other, 255, &[0x20]);
    send(other, 255, &packet.encode());
    send(stranger, 255, &down.encode());
    let counted = async {
        let drops = speaker.drops();
        while (drops.far(), drops.malformed(), drops.unknown()) != (1, 1, 2) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, counted).await.expect("one from afar, one cut off, two of nobody");
    assert_eq!((here.status().state, here.counters().received()), (State::Down, 0));
    send(other, 255, &down.encode());
    until(&here, |status| status.state == State::Init).await;
}

#[tokio::test]
async fn what_keeps_a_session_from_running_is_told() {
    let (speaker, _task) = speaker();
    let elsewhere = speaker.start(path("192.0.2.1".parse().unwrap(), address()));
    let status = until(&elsewhere, |status| status.fault.is_some()).await;
    assert!(status.fault.unwrap().contains("Cannot assign requested address"));

    let (one, other) = (address(), address());
    let first = speaker.start(path(one, other));
    let second = speaker.start(path(one, other));
    until(&second, |status| status.fault.is_some()).await;
    let (beyond, _beyond_task) = support::speaker();
    let there = beyond.start(path(other, one));
    is_up(&first).await;
    is_up(&there).await;
    drop(first);
    assert_eq!(is_up(&second).await.fault, None);
}

#[tokio::test]
async fn signed_sessions_come_up_with_who_has_the_key_and_with_nobody_else() {
    let (one, other) = (address(), address());
    let ((speaker, _task), (beyond, _beyond_task)) = (speaker(), speaker());
    let key = |secret: &str| {
        Some(Arc::new(AuthKey::new(AuthType::MeticulousSha1, 1, secret.as_bytes()).unwrap()))
    };
    let here = speaker.start(PathConfig { auth: key("a secret"), ..path(one, other) });
    for wrong in [None, key("another")] {
        let before = here.counters().refused();
        let _there = beyond.start(PathConfig { auth: wrong, ..path(other, one) });
        let refused = async {
            while here.counters().refused() < before + 2 {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, refused).await.expect("what is not signed with our key is counted");
        assert_eq!((here.status().state, here.status().remote), (State::Down, None));
    }
    let there = beyond.start(PathConfig { auth: key("a secret"), ..path(other, one) });
    is_up(&there).await;
    is_up(&here).await;
}
