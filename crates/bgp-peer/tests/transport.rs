//! Keys, times to live and interfaces, over the loopback interface.

#![allow(clippy::unwrap_used, reason = "this is a part of tests")]

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bgp_peer::{
    AoAlgorithm, AoKey, AoKeys, Listener, Mode, PeerConfig, PeerState, Secret, Security,
};
use bgp_session::DownReason;
use ipnet::IpNet;
use socket2::SockRef;
use support::{ByHand, HIGH, LOW, Side, config, keepalive, open, session, soon};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, MutexGuard};

/// The kernel counts what it drops for the whole namespace: tests that look at its counters take turns.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// A counter of the kernel, `TcpExt` of `/proc/net/netstat`.
fn counter(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let place = names.split(' ').position(|other| other == name).unwrap();
    values.split(' ').nth(place).unwrap().parse().unwrap()
}

/// Waits until the kernel has dropped something more for this reason.
async fn dropped(name: &'static str, before: u64) {
    soon(name, async {
        while counter(name) <= before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = if to.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }.unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// A SYN without a signature is dropped.
async fn is_kept_out(from: IpAddr, to: SocketAddr) {
    let before = counter("TCPMD5NotFound");
    let connecting = tokio::spawn(connect(from, to));
    dropped("TCPMD5NotFound", before).await;
    assert!(!connecting.is_finished(), "connected from {from}");
    connecting.abort();
}

fn signed(key: &[u8]) -> Security {
    Security { md5: Some(Secret::new(key)), ..Security::OPEN }
}

#[tokio::test]
async fn a_key_on_a_prefix_lets_in_who_has_it_and_nobody_else() {
    let _alone = alone().await;
    let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
    let cases: [(IpAddr, &str, IpAddr); 2] = [
        (Ipv4Addr::LOCALHOST.into(), "127.77.0.0/16", Ipv4Addr::new(127, 77, 1, 2).into()),
        (v6, "::1/128", v6),
    ];
    for (here, prefix, from) in cases {
        let listener = Listener::bind((here, 0).into()).unwrap();
        let to = listener.local_addr().unwrap();
        let prefix: IpNet = prefix.parse().unwrap();
        listener.set_md5(prefix, Some(&Secret::new(*b"a key"))).unwrap();
        is_kept_out(from, to).await;

        let listening = PeerConfig {
            remote: from,
            security: signed(b"a key"),
            ..config(LOW, 0, Mode::Passive)
        };
        let connecting = PeerConfig {
            remote: here,
            local: Some(from),
            security: signed(b"a key"),
            ..config(HIGH, to.port(), Mode::Active)
        };
        let mut low = Side::start(listening);
        let (incoming, mut high) =
            (soon("a connection", listener.accept()), Side::start(connecting.clone()));
        low.accept(incoming.await);
        low.up().await;
        high.up().await;

        // Another key is no key.
        let before = counter("TCPMD5Failure");
        let wrong = Side::start(PeerConfig { security: signed(b"akey"), ..connecting });
        dropped("TCPMD5Failure", before).await;
        assert_eq!(wrong.peer.status().sessions, 0);
        drop(wrong);

        listener.set_md5(prefix, None).unwrap();
        listener.set_md5(prefix, None).unwrap();
        let (_plain, _) =
            soon("a plain one", async { tokio::join!(connect(from, to), listener.accept()) }).await;
    }
}

#[tokio::test]
async fn a_key_of_one_prefix_is_not_asked_of_others() {
    let _alone = alone().await;
    let (listener, port) = support::listen();
    let to = (support::LOOPBACK, port).into();
    listener.set_md5("127.78.0.0/16".parse().unwrap(), Some(&Secret::new(*b"wide"))).unwrap();
    listener.set_md5("127.78.9.0/24".parse().unwrap(), Some(&Secret::new(*b"narrow"))).unwrap();
    let (_plain, incoming) = soon("another address", async {
        tokio::join!(connect(Ipv4Addr::new(127, 79, 0, 1).into(), to), listener.accept())
    })
    .await;
    assert_eq!(incoming.remote(), IpAddr::from([127, 79, 0, 1]));
    let active = |last: [u8; 2], key: &[u8]| {
        Side::start(PeerConfig {
            local: Some(Ipv4Addr::new(127, 78, last[0], last[1]).into()),
            security: signed(key),
            ..config(HIGH, port, Mode::Active)
        })
    };
    for (last, key) in [([1, 1], &b"wide"[..]), ([9, 1], b"narrow")] {
        let _side = active(last, key);
        soon("the key of the longest prefix", listener.accept()).await;
    }
    let before = counter("TCPMD5Failure");
    let _side = active([9, 2], b"wide");
    dropped("TCPMD5Failure", before).await;
}

/// The owner of the listener has forgotten to tell it the key.
#[tokio::test]
async fn a_connection_without_a_signature_gets_no_further_than_the_handshake() {
    let _alone = alone().await;
    let (listener, port) = support::listen();
    let side =
        Side::start(PeerConfig { security: signed(b"key"), ..config(LOW, 0, Mode::Passive) });
    side.serve(listener);
    let before = counter("TCPMD5NotFound");
    let mut hand = ByHand::connect(port).await;
    let mut status = side.peer.watch();
    soon("it is taken", status.wait_for(|status| status.state == PeerState::OpenSent))
        .await
        .unwrap();
    hand.send(&open(&session(HIGH))).await;
    dropped("TCPMD5NotFound", before).await;
    assert_eq!(side.peer.counters().received().open, 0);
}

#[tokio::test]
async fn a_key_that_is_too_long_or_empty_is_refused() {
    let (listener, _) = support::listen();
    let prefix = "192.0.2.0/24".parse().unwrap();
    for key in [&[][..], &[b'x'; 81]] {
        let error = listener.set_md5(prefix, Some(&Secret::new(key))).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    listener.set_md5(prefix, Some(&Secret::new(&[b'x'; 80][..]))).unwrap();
}

/// Where the kernel has TCP-AO a session comes up with it; where not, that is what is said.
#[tokio::test]
async fn tcp_ao_works_or_says_that_the_kernel_has_it_not() {
    let key = |send_id, secret: &[u8]| AoKey {
        send_id,
        receive_id: send_id,
        algorithm: AoAlgorithm::HmacSha1,
        secret: Secret::new(secret),
        exclude_options: false,
    };
    let keys = [key(1, b"first"), key(2, b"second")];
    let (listener, port) = support::listen();
    let security = Security { ao: AoKeys::new(keys.to_vec()), ..Security::OPEN };
    let active = PeerConfig { security: security.clone(), ..config(HIGH, port, Mode::Active) };
    match listener.set_ao("127.0.0.0/8".parse().unwrap(), &[], &keys) {
        Ok(()) => {
            let mut low = Side::start(PeerConfig { security, ..config(LOW, 0, Mode::Passive) });
            low.serve(listener);
            Side::start(active).up().await;
            low.up().await;
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported, "{error}");
            assert!(error.to_string().contains("TCP-AO"), "{error}");
            let side = Side::start(active);
            let mut status = side.peer.watch();
            let failed = soon("a failure", status.wait_for(|status| status.failures > 0)).await;
            let down = failed.unwrap().last_down.clone().unwrap().0;
            assert!(down.to_string().contains("this kernel has no TCP-AO"), "{down}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_not_signed_by_tcp_ao_is_closed_at_once() {
    let key = AoKey {
        send_id: 1,
        receive_id: 1,
        algorithm: AoAlgorithm::AesCmac,
        secret: Secret::new(*b"key"),
        exclude_options: true,
    };
    // The owner of the listener has forgotten to tell it the key.
    let (listener, port) = support::listen();
    let security = Security { ao: AoKeys::new([key]), ..Security::OPEN };
    let side = Side::start(PeerConfig { security, ..config(LOW, 0, Mode::Passive) });
    side.serve(listener);
    assert_eq!(ByHand::connect(port).await.message().await, None);
    let down = side.peer.status().last_down.unwrap().0.to_string();
    assert!(down.contains("TCP-AO"), "{down}");
}

/// RFC 5082: what has come too far is not taken.
#[tokio::test]
async fn a_peer_beyond_the_hops_allowed_is_not_heard() {
    let _alone = alone().await;
    let (listener, port) = support::listen();
    let near = Security { ttl_security: Some(2), ..Security::OPEN };
    let mut side = Side::start(PeerConfig { security: near, ..config(LOW, 0, Mode::Passive) });
    side.serve(listener);
    let mut hand = ByHand::over(connect_with_ttl((support::LOOPBACK, port).into(), 254).await);
    let mut status = side.peer.watch();
    soon("it is taken", status.wait_for(|status| status.state == PeerState::OpenSent))
        .await
        .unwrap();
    SockRef::from(&hand.stream).set_ttl_v4(253).unwrap();
    let before = counter("TCPMinTTLDrop");
    hand.send(&[open(&session(HIGH)), keepalive()].concat()).await;
    dropped("TCPMinTTLDrop", before).await;
    assert_eq!(side.peer.counters().received().open, 0);
    // The kernel repeats it with the time to live of a neighbour's neighbour.
    SockRef::from(&hand.stream).set_ttl_v4(254).unwrap();
    side.up().await;
}

/// RFC 5082 §3: nor is its SYN, which the listener has answered before it knew whose it was.
#[tokio::test]
async fn a_connection_that_began_beyond_the_hops_allowed_is_closed_at_once() {
    let _alone = alone().await;
    for here in [support::LOOPBACK, Ipv6Addr::LOCALHOST.into()] {
        let listener = Listener::bind((here, 0).into()).unwrap();
        let to = listener.local_addr().unwrap();
        let near = Security { ttl_security: Some(2), ..Security::OPEN };
        let side = Side::start(PeerConfig {
            remote: here,
            security: near,
            ..config(LOW, 0, Mode::Passive)
        });
        side.serve(listener);
        for (ttl, is_taken) in [(64, false), (253, false), (254, true), (255, true)] {
            let mut hand = ByHand::over(connect_with_ttl(to, ttl).await);
            // From now on it is near enough.
            set_ttl(&SockRef::from(&hand.stream), to, 255);
            assert_eq!(hand.message().await.is_some(), is_taken, "{ttl} to {here}");
            if !is_taken {
                let down = side.peer.status().last_down.unwrap().0.to_string();
                assert!(down.contains("ttl-security"), "{down}");
                assert_eq!(side.peer.status().failures, 0, "it does not make us wait");
            }
        }
    }
}

fn set_ttl(socket: &SockRef<'_>, to: SocketAddr, ttl: u32) {
    if to.is_ipv6() { socket.set_unicast_hops_v6(ttl) } else { socket.set_ttl_v4(ttl) }.unwrap();
}

async fn connect_with_ttl(to: SocketAddr, ttl: u32) -> TcpStream {
    let socket = if to.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }.unwrap();
    set_ttl(&SockRef::from(&socket), to, ttl);
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn an_interface_is_kept_to_and_one_that_is_not_there_is_named() {
    let with = |interface: &str, port| PeerConfig {
        local_interface: Some(interface.to_owned()),
        ..config(HIGH, port, Mode::Active)
    };
    let (listener, port) = support::listen();
    let low = Side::start(PeerConfig {
        local_interface: Some("lo".to_owned()),
        ..config(LOW, 0, Mode::Passive)
    });
    low.serve(listener);
    Side::start(with("lo", port)).up().await;
    let side = Side::start(with("nowhere0", port));
    let mut status = side.peer.watch();
    let failed = soon("a failure", status.wait_for(|status| status.failures > 0)).await.unwrap();
    assert!(matches!(failed.last_down, Some((DownReason::Unreachable(_), _))));
}
