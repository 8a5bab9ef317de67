//! Sessions that hear their own packets, over real sockets on loopback.

mod support;

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use bfd::socket::{Mode, PathConfig};
use bfd::{Diag, State};
use support::{SOON, address, is_up, speaker, timing, until};
use tokio::time::{Instant, timeout};

/// What a node's data plane does: sends back to where it came from what comes to port 3785.
struct Mirror {
    answers: Arc<AtomicBool>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mirror {
    fn at(address: IpAddr) -> Self {
        let socket = UdpSocket::bind((address, Mode::Echo.port())).expect("the echo port");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time limit");
        let (answers, ends) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (does, stops) = (Arc::clone(&answers), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            let mut room = [0; 2048];
            while !stops.load(Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut room) else { continue };
                assert_eq!(from.port(), Mode::Echo.port(), "both ports are the same");
                if does.load(Relaxed) {
                    socket.send_to(&room[..length], from).expect("it goes back");
                }
            }
        });
        Self { answers, ends, thread: Some(thread) }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn path(local: IpAddr, remote: IpAddr, interval: u64) -> PathConfig {
    let timing = timing(interval);
    PathConfig { mode: Mode::Echo, timing, ..PathConfig::new(local, remote) }
}

#[tokio::test]
async fn a_mirror_that_breaks_is_missed_within_the_detection_time_and_found_again() {
    let (one, other, another) = (address(), address(), address());
    let (mirror, steady) = (Mirror::at(other), Mirror::at(another));
    let (speaker, _task) = speaker();
    // Both by one socket.
    let here = speaker.start(path(one, other, 300));
    let beside = speaker.start(path(one, another, 100));
    let status = is_up(&here).await;
    assert_eq!(status.detection_time, Some(Duration::from_millis(900)));
    assert!(status.peer_is_independent, "it needs no control plane");
    is_up(&beside).await;
    mirror.answers.store(false, Relaxed);
    let start = Instant::now();
    let status = until(&here, |status| status.state != State::Up).await;
    let elapsed = start.elapsed();
    assert_eq!((status.diag, status.failures, status.ups), (Diag::ECHO_FAILED, 1, 1));
    // From its last echo, which was up to an interval before; a busy machine may look later.
    assert!(elapsed >= Duration::from_millis(590), "{elapsed:?}");
    assert!(elapsed < Duration::from_millis(1400), "{elapsed:?}");
    mirror.answers.store(true, Relaxed);
    assert_eq!(is_up(&here).await.ups, 2);
    assert_eq!((beside.status().failures, beside.status().state), (0, State::Up));
    drop(steady);
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_asked_on_and_never_lost() {
    let (one, other) = (address(), address());
    let (speaker, _task) = speaker();
    let here = speaker.start(path(one, other, 50));
    let asked = async {
        while here.counters().sent() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, asked).await.expect("once a second");
    assert_eq!((here.status().state, here.status().failures), (State::Down, 0));
    let _mirror = Mirror::at(other);
    is_up(&here).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_send_to_the_port_is_dropped() {
    let (one, other, stranger) = (address(), address(), address());
    let (speaker, _task) = speaker();
    let here = speaker.start(path(one, other, 1000));
    let socket = UdpSocket::bind((other, Mode::Echo.port())).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut room = [0; 64];
    let (length, from) = socket.recv_from(&mut room).unwrap();
    let ours = &room[..length];
    // From somebody else, about another packet, and noise; then the echo, and the echo once more.
    let elsewhere = UdpSocket::bind((stranger, Mode::Echo.port())).unwrap();
    elsewhere.send_to(ours, from).unwrap();
    let mut other_number = ours.to_vec();
    other_number[11] ^= 1;
    socket.send_to(&other_number, from).unwrap();
    socket.send_to(b"noise", from).unwrap();
    socket.send_to(ours, from).unwrap();
    socket.send_to(ours, from).unwrap();
    let counted = async {
        let drops = speaker.drops();
        while (drops.malformed(), drops.unknown()) != (1, 3) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, counted).await.expect("one is noise, three are nobody's");
    assert_eq!(here.counters().received(), 1);
}
