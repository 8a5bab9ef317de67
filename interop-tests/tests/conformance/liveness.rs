//! RFC 9747: nodes whose data plane sends back packets, and what becomes of their routes when it does not.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bed::{Bed, Sort};
use crate::cases::{Case, case, run};
use crate::pace;
use crate::restart::{End, Peer, keeps, restarted};
use crate::speaker::CEILING;

/// Where packets are to be sent back.
const PORT: u16 = 3785;

/// 300 ms three times, and what a busy machine takes to see it.
const IN_TIME: Duration = Duration::from_millis(1500);

/// The data plane of a node: it needs no agent.
struct Plane {
    lives: Arc<AtomicBool>,
}

impl Plane {
    fn at(address: Ipv4Addr) -> Result<Self> {
        let socket = UdpSocket::bind((address, PORT)).context("the echo port")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let lives = Arc::new(AtomicBool::new(true));
        let still = Arc::downgrade(&lives);
        std::thread::spawn(move || {
            let mut room = [0; 256];
            while let Some(lives) = still.upgrade() {
                let got = socket.recv_from(&mut room);
                if let (Ok((length, from)), true) = (got, lives.load(Relaxed)) {
                    socket.send_to(&room[..length], from).ok();
                }
            }
        });
        Ok(Self { lives })
    }

    fn dies(&self) -> Instant {
        self.lives.store(false, Relaxed);
        Instant::now()
    }

    fn lives_again(&self) {
        self.lives.store(true, Relaxed);
    }
}

/// Waits until the control node has seen the node's data plane.
fn is_seen(bed: &Bed, address: Ipv4Addr) -> Result<()> {
    bed.wait("the data plane is seen", |bed| {
        let echo = &bed.neighbor(address)?["bfd"];
        Ok(echo["echo"] == true && echo["state"] == "up")
    })
}

/// A node with routes and a data plane.
fn node(bed: &Bed) -> Result<(Peer, Plane)> {
    let peer = Peer::new(bed, Sort::Client, keeps(60))?;
    let plane = Plane::at(peer.seat.address)?;
    is_seen(bed, peer.seat.address)?;
    Ok((peer, plane))
}

fn in_time(since: Instant) -> Result<()> {
    pace::in_time(since, IN_TIME)
}

fn dead_nodes<'a>() -> Vec<Case<'a>> {
    let mut cases = vec![
        case("a node that is dead loses its session and its routes", |bed| {
            let (mut peer, plane) = node(bed)?;
            let since = plane.dies();
            // RFC 9384: one direction may still work.
            let refusal = peer.speaker.refusal(CEILING)?;
            ensure!((refusal.0, refusal.1) == (6, 10), "{refusal:?}");
            in_time(since)?;
            peer.keys().iter().try_for_each(|key| bed.gone(Sort::Client, key))?;
            in_time(since)?;
            let echo = &bed.neighbor(peer.seat.address)?["bfd"];
            ensure!(echo["failures"] == 1 && echo["diagnostic"] == "echo failed", "{echo}");
            Ok(())
        }),
        case("a node that is alive again is as before", |bed| {
            let (mut peer, plane) = node(bed)?;
            plane.dies();
            peer.speaker.refusal(CEILING)?;
            let seat = peer.seat;
            let gone = peer.end(bed, End::Fin)?;
            gone.is_gone(bed)?;
            plane.lives_again();
            let mut peer = gone.back(bed, keeps(60))?;
            peer.announce_all()?;
            for key in peer.keys() {
                bed.watcher(Sort::Client)?.route(&key)?;
            }
            is_seen(bed, seat.address)
        }),
        case("silence for the hold time keeps nothing, whatever the data plane says", |bed| {
            let peer = Peer::new(bed, Sort::Client, |open| keeps(60)(open).hold(3))?;
            let _plane = Plane::at(peer.seat.address)?;
            peer.end(bed, End::Silence)?.is_gone(bed)
        }),
    ];
    for end in [End::Fin, End::Rst] {
        cases.push(case(
            format!("routes are kept after {end:?} while the node lives"),
            move |bed| {
                let (peer, plane) = node(bed)?;
                let address = peer.seat.address;
                let gone = peer.end(bed, end)?;
                // The data plane is asked on, longer than it may be silent.
                std::thread::sleep(2 * IN_TIME);
                gone.is_kept(bed)?;
                is_seen(bed, address)?;
                let since = plane.dies();
                gone.is_gone(bed)?;
                in_time(since)
            },
        ));
        cases.push(case(
            format!("a node that never sent back is kept after {end:?}"),
            move |bed| {
                let peer = Peer::new(bed, Sort::Client, keeps(60))?;
                let address = peer.seat.address;
                bed.wait("it was asked", |bed| {
                    let echo = &bed.neighbor(address)?["bfd"];
                    Ok(echo["packets_sent"].as_u64() >= Some(4) && echo["ups"] == 0)
                })?;
                ensure!(bed.neighbor(address)?["state"] == "established");
                let gone = peer.end(bed, end)?;
                std::thread::sleep(2 * IN_TIME);
                gone.is_kept(bed)
            },
        ));
        cases.push(case(
            format!("an agent that comes back after {end:?} is as before"),
            move |bed| {
                let (peer, _plane) = node(bed)?;
                let gone = peer.end(bed, end)?;
                let mut peer = gone.back(bed, restarted(60))?;
                peer.announce_all()?;
                is_seen(bed, peer.seat.address)?;
                ensure!(bed.neighbor(peer.seat.address)?["bfd"]["failures"] == 0);
                Ok(())
            },
        ));
    }
    cases
}

#[test]
fn a_dead_node_attracts_no_packets_for_long() {
    let bed = Bed::start().expect("a control node");
    run("liveness", &bed, dead_nodes());
}

#[test]
fn nodes_are_not_asked_where_the_topology_says_so() {
    let bed = Bed::with("", "echo = false", "").expect("a control node");
    let asked = case("no packet, and routes are kept", |bed| {
        let peer = Peer::new(bed, Sort::Client, keeps(60))?;
        ensure!(bed.neighbor(peer.seat.address)?["bfd"].is_null());
        let gone = peer.end(bed, End::Fin)?;
        gone.is_kept(bed)
    });
    run("liveness", &bed, vec![asked]);
}
