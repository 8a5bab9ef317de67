//! RFC 4724, RFC 8538: what is kept of a peer that goes, and for how long.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bed::{Bed, HOME, Knob, Seat, Sort};
use crate::cases::{Case, case, run};
use crate::heard::{Key, key};
use crate::octets::{
    self, EVPN, Family, OVERLAY, Open, RTC, VPNV4, VPNV6, evpn, label, restart, target, vpn,
};
use crate::pace;
use crate::routes::announce;
use crate::speaker::{CEILING, Speaker};

/// Families that have a restart.
const KEPT: [Family; 3] = [VPNV4, VPNV6, EVPN];

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Rst,
    Notification(u8, u8),
    /// Hold time.
    Silence,
}

/// A peer with one route in each family, one of which stands for all that follows.
pub(crate) struct Peer {
    pub(crate) seat: Seat,
    pub(crate) speaker: Speaker,
    routes: Vec<(Family, Vec<u8>)>,
    target: [u8; 8],
}

impl Peer {
    pub(crate) fn new(bed: &Bed, sort: Sort, open: impl Fn(Open) -> Open) -> Result<Self> {
        Self::on(bed, bed.seat(sort)?, open)
    }

    fn on(bed: &Bed, seat: Seat, open: impl Fn(Open) -> Open) -> Result<Self> {
        let speaker = bed.up_with(seat, &open(seat.open(&OVERLAY)))?;
        let target = target(64_512, bed.number());
        let rd = || octets::rd(64_512, bed.number());
        let routes = vec![
            (VPNV4, vpn(label(5), rd(), &[10, 3, 3, 0], 24)),
            (VPNV6, vpn(label(5), rd(), &[0x20; 8], 64)),
            (EVPN, evpn(3, &[&rd()[..], &[0, 0, 0, 1, 32, 10, 3, 3, 3]].concat())),
        ];
        let mut peer = Self { seat, speaker, routes, target };
        peer.announce_all()?;
        for key in peer.keys() {
            bed.watcher(Sort::Client)?.route(&key)?;
        }
        Ok(peer)
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.routes.iter().map(|(family, nlri)| key(*family, nlri)).collect()
    }

    pub(crate) fn announce_all(&mut self) -> Result<()> {
        (0..self.routes.len()).try_for_each(|at| self.announce(at))
    }

    fn announce(&mut self, at: usize) -> Result<()> {
        let (family, nlri) = &self.routes[at];
        let local = self.speaker.local;
        let next_hop = match *family {
            VPNV4 => octets::vpn_next_hop(local),
            VPNV6 => octets::mapped_next_hop(local),
            _ => local.octets().to_vec(),
        };
        let sort = self.seat.sort;
        self.speaker.send(&announce(sort, *family, &next_hop, nlri, &[self.target]))
    }

    /// Ends the session; comes back when the control node has seen it.
    pub(crate) fn end(self, bed: &Bed, end: End) -> Result<Gone> {
        let Self { seat, mut speaker, routes, target } = self;
        match end {
            End::Fin => speaker.close(),
            End::Rst => speaker.abort()?,
            End::Notification(code, subcode) => {
                speaker.send(&octets::notification(code, subcode, &[]))?;
                speaker.closed(CEILING)?;
            }
            End::Silence => {
                speaker.refusal(CEILING)?;
            }
        }
        bed.wait("the session is gone", |bed| {
            Ok(bed.neighbor(seat.address).map_or(true, |n| n["state"] != "established"))
        })?;
        Ok(Gone { seat, routes, target, since: Instant::now() })
    }
}

/// A peer that is away.
pub(crate) struct Gone {
    seat: Seat,
    routes: Vec<(Family, Vec<u8>)>,
    target: [u8; 8],
    since: Instant,
}

impl Gone {
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.routes.iter().map(|(family, nlri)| key(*family, nlri)).collect()
    }

    pub(crate) fn is_kept(&self, bed: &Bed) -> Result<()> {
        let watcher = bed.watcher(Sort::Client)?;
        std::thread::sleep(Duration::from_millis(200));
        for key in self.keys() {
            ensure!(watcher.now(|heard| heard.get(&key).is_some()), "{:?} is gone", key.0);
        }
        Ok(())
    }

    pub(crate) fn is_gone(&self, bed: &Bed) -> Result<()> {
        self.keys().iter().try_for_each(|key| bed.gone(Sort::Client, key))
    }

    pub(crate) fn back(self, bed: &Bed, open: impl Fn(Open) -> Open) -> Result<Peer> {
        let Self { seat, routes, target, .. } = self;
        let speaker = bed.up_with(seat, &open(seat.open(&OVERLAY)))?;
        Ok(Peer { seat, speaker, routes, target })
    }
}

/// Keeps state in every family for so many seconds.
pub(crate) fn keeps(seconds: u16) -> impl Fn(Open) -> Open + Copy {
    move |open| open.and(64, &restart(0, seconds, &KEPT))
}

/// Likewise, after a restart.
pub(crate) fn restarted(seconds: u16) -> impl Fn(Open) -> Open + Copy {
    move |open| open.and(64, &restart(8, seconds, &KEPT))
}

/// With the N bit of RFC 8538.
fn notifies(seconds: u16) -> impl Fn(Open) -> Open + Copy {
    move |open| open.and(64, &restart(4, seconds, &KEPT))
}

type Say = fn(Open) -> Open;

/// A client by an entry of its own.
const NEIGHBOR: Knob = Knob {
    name: "neighbor",
    asn: HOME,
    keys: "client = true\nfamilies = [\"vpnv4\", \"vpnv6\", \"evpn\", \"rtc\"]",
};

/// Which ends keep routes, by what was agreed on.
fn ends<'a>() -> Vec<Case<'a>> {
    let (fin, rst, silence) = (End::Fin, End::Rst, End::Silence);
    let cease = End::Notification(6, 4);
    let hard = End::Notification(6, 9);
    let error = End::Notification(3, 1);
    let none: Say = |open| open;
    let plain: Say = |open| keeps(60)(open);
    let both: Say = |open| notifies(60)(open);
    let mut cases = Vec::new();
    for (name, say, sort, end, kept) in [
        ("no restart", none, Sort::Client, fin, false),
        ("no restart", none, Sort::Client, rst, false),
        ("no restart", none, Sort::Far, fin, false),
        ("restart", plain, Sort::Client, fin, true),
        ("restart", plain, Sort::Client, rst, true),
        ("restart", plain, Sort::Sibling, fin, true),
        ("restart", plain, Sort::Sibling, rst, true),
        ("restart", plain, Sort::Far, fin, true),
        ("restart", plain, Sort::Far, rst, true),
        ("restart", plain, Sort::Client, cease, false),
        ("restart", plain, Sort::Far, cease, false),
        ("restart", plain, Sort::Client, silence, false),
        ("restart", plain, Sort::Far, silence, false),
        // Nodes are not offered the N bit: a silent one forwards nothing.
        ("N bit", both, Sort::Client, cease, false),
        ("N bit", both, Sort::Client, silence, false),
        ("N bit", both, Sort::Far, cease, true),
        ("N bit", both, Sort::Far, error, true),
        ("N bit", both, Sort::Far, silence, true),
        ("N bit", both, Sort::Sibling, cease, true),
        ("N bit", both, Sort::Sibling, silence, true),
        ("N bit", both, Sort::Far, hard, false),
        ("N bit", both, Sort::Sibling, hard, false),
        ("N bit", both, Sort::Far, fin, true),
    ] {
        let words = if kept { "keeps" } else { "does not keep" };
        cases.push(case(format!("{end:?} of {sort:?} with {name} {words} routes"), move |bed| {
            let hold = move |open: Open| if end == End::Silence { open.hold(3) } else { open };
            let gone = Peer::new(bed, sort, |open| hold(say(open)))?.end(bed, end)?;
            if kept { gone.is_kept(bed) } else { gone.is_gone(bed) }
        }));
    }
    cases
}

/// A neighbor is not one of our nodes: it has the choice, by its own N bit (RFC 8538 §2, §4).
fn ends_of_neighbors<'a>() -> Vec<Case<'a>> {
    let plain: Say = |open| keeps(60)(open);
    let both: Say = |open| notifies(60)(open);
    let rows = [
        ("restart", plain, End::Fin, true),
        ("restart", plain, End::Notification(6, 4), false),
        ("restart", plain, End::Silence, false),
        ("N bit", both, End::Notification(6, 4), true),
        ("N bit", both, End::Notification(3, 1), true),
        ("N bit", both, End::Silence, true),
        ("N bit", both, End::Notification(6, 9), false),
    ];
    let rows = rows.into_iter().map(|(name, say, end, kept)| {
        let words = if kept { "keeps" } else { "does not keep" };
        case(format!("{end:?} of a neighbor with {name} {words} routes"), move |bed| {
            let hold = |open: Open| if end == End::Silence { open.hold(3) } else { open };
            let seat = bed.neighbor_seat(NEIGHBOR.name)?;
            let gone = Peer::on(bed, seat, |open| hold(say(open)))?.end(bed, end)?;
            if kept { gone.is_kept(bed) } else { gone.is_gone(bed) }
        })
    });
    rows.collect()
}

/// What becomes of routes that were kept.
fn afterwards<'a>() -> Vec<Case<'a>> {
    vec![
        case("the restart time ends", |bed| {
            let gone = Peer::new(bed, Sort::Client, keeps(4))?.end(bed, End::Fin)?;
            gone.is_kept(bed)?;
            gone.is_gone(bed)?;
            pace::between(gone.since, 3.5, 6.0)
        }),
        case("all is told again: nobody hears of it", |bed| {
            let gone = Peer::new(bed, Sort::Client, keeps(60))?.end(bed, End::Fin)?;
            let keys = gone.keys();
            let mut peer = gone.back(bed, restarted(60))?;
            peer.announce_all()?;
            KEPT.iter().try_for_each(|family| peer.speaker.end(*family))?;
            std::thread::sleep(Duration::from_millis(300));
            let watcher = bed.watcher(Sort::Client)?;
            for key in keys {
                let heard = watcher.now(|heard| {
                    (heard.announced.get(&key).copied(), heard.withdrawn.get(&key).copied())
                });
                ensure!(heard == (Some(1), None), "{:?}: {heard:?}", key.0);
            }
            Ok(())
        }),
        case("what is not told again goes at End-of-RIB", |bed| {
            let gone = Peer::new(bed, Sort::Client, keeps(60))?.end(bed, End::Fin)?;
            let keys = gone.keys();
            let mut peer = gone.back(bed, restarted(60))?;
            peer.announce(0)?;
            peer.speaker.end(VPNV4)?;
            peer.speaker.end(VPNV6)?;
            bed.gone(Sort::Client, &keys[1])?;
            let watcher = bed.watcher(Sort::Client)?;
            for at in [0, 2] {
                ensure!(watcher.now(|heard| heard.get(&keys[at]).is_some()), "{at} is gone");
            }
            peer.speaker.end(EVPN)?;
            bed.gone(Sort::Client, &keys[2])?;
            bed.watcher(Sort::Client)?.route(&keys[0]).map(|_| ())
        }),
        case("stale routes are shown as stale, and others not", |bed| {
            let peer = Peer::new(bed, Sort::Client, keeps(60))?;
            let target = format!(
                "{}:{}",
                64_512,
                u32::from_be_bytes([
                    peer.target[4],
                    peer.target[5],
                    peer.target[6],
                    peer.target[7],
                ])
            );
            let stale = |bed: &Bed| -> Result<Option<bool>> {
                let page = bed.ask(&format!("/v1/routes?family=vpnv4&target={target}"))?;
                Ok(page["routes"][0]["paths"][0]["stale"].as_bool())
            };
            ensure!(stale(bed)? != Some(true), "it is stale too early");
            let gone = peer.end(bed, End::Fin)?;
            bed.wait("it is stale", |bed| Ok(stale(bed)? == Some(true)))?;
            let mut peer = gone.back(bed, restarted(60))?;
            peer.announce(0)?;
            bed.wait("it is stale no more", |bed| Ok(stale(bed)? != Some(true)))
        }),
        case("who comes back without restart has lost its routes", |bed| {
            let gone = Peer::new(bed, Sort::Client, keeps(60))?.end(bed, End::Fin)?;
            let keys = gone.keys();
            let _peer = gone.back(bed, |open| open)?;
            keys.iter().try_for_each(|key| bed.gone(Sort::Client, key))
        }),
        case("who comes back without a family has lost that one", |bed| {
            let gone = Peer::new(bed, Sort::Client, keeps(60))?.end(bed, End::Fin)?;
            let keys = gone.keys();
            let _peer = gone.back(bed, |open| open.and(64, &restart(8, 60, &[VPNV4, EVPN])))?;
            bed.gone(Sort::Client, &keys[1])?;
            let watcher = bed.watcher(Sort::Client)?;
            ensure!(watcher.now(|heard| heard.get(&keys[0]).is_some()), "VPN-IPv4 is gone");
            Ok(())
        }),
        case("who comes back without forwarding state has lost it", |bed| {
            let gone = Peer::new(bed, Sort::Client, keeps(60))?.end(bed, End::Fin)?;
            let keys = gone.keys();
            let _peer = gone.back(bed, |open| {
                let mut value = restart(8, 60, &KEPT);
                // The F bits of all but the first family.
                for octet in value.iter_mut().skip(2 + 4 + 3).step_by(4) {
                    *octet = 0;
                }
                open.and(64, &value)
            })?;
            bed.gone(Sort::Client, &keys[1])?;
            bed.gone(Sort::Client, &keys[2])?;
            let watcher = bed.watcher(Sort::Client)?;
            ensure!(watcher.now(|heard| heard.get(&keys[0]).is_some()), "VPN-IPv4 is gone");
            Ok(())
        }),
        case("a family without restart goes at once", |bed| {
            let only = |open: Open| open.and(64, &restart(0, 60, &[VPNV4]));
            let gone = Peer::new(bed, Sort::Client, only)?.end(bed, End::Fin)?;
            let keys = gone.keys();
            bed.gone(Sort::Client, &keys[1])?;
            bed.gone(Sort::Client, &keys[2])?;
            let watcher = bed.watcher(Sort::Client)?;
            ensure!(watcher.now(|heard| heard.get(&keys[0]).is_some()), "VPN-IPv4 is gone");
            Ok(())
        }),
        case("what was stale does not outlive a second restart", |bed| {
            let gone = Peer::new(bed, Sort::Client, keeps(60))?.end(bed, End::Fin)?;
            let keys = gone.keys();
            let mut peer = gone.back(bed, restarted(60))?;
            peer.announce(0)?;
            let watcher = bed.watcher(Sort::Client)?;
            std::thread::sleep(Duration::from_millis(100));
            peer.end(bed, End::Fin)?;
            bed.gone(Sort::Client, &keys[1])?;
            bed.gone(Sort::Client, &keys[2])?;
            ensure!(watcher.now(|heard| heard.get(&keys[0]).is_some()), "what was fresh is gone");
            Ok(())
        }),
        case("one that returns in time changes what it told", |bed| {
            let gone = Peer::new(bed, Sort::Client, keeps(60))?.end(bed, End::Fin)?;
            let mut peer = gone.back(bed, restarted(60))?;
            peer.routes[0].1[2] ^= 0x70;
            let (key, nlri) = (key(VPNV4, &peer.routes[0].1), peer.routes[0].1.clone());
            peer.announce(0)?;
            bed.watcher(Sort::Client)?.route_with(&key, |told| told.nlri == nlri).map(|_| ())
        }),
        case("memberships of one that restarts are kept", |bed| {
            let seat = bed.seat(Sort::Client)?;
            let say = |open: Open| open.and(64, &restart(0, 60, &OVERLAY));
            let mut peer = bed.up_with(seat, &say(seat.open(&OVERLAY)))?;
            let nlri = octets::membership(64_512, target(64_512, bed.number()), 96);
            peer.send(&crate::bed::membership(64_512, peer.local, &nlri))?;
            peer.end(RTC)?;
            let key = key(RTC, &nlri);
            bed.watcher(Sort::Sibling)?.route(&key)?;
            peer.close();
            std::thread::sleep(Duration::from_millis(500));
            let kept = bed.watcher(Sort::Sibling)?.now(|heard| heard.get(&key).is_some());
            ensure!(kept, "it is gone");
            Ok(())
        }),
    ]
}

/// What the control node says of itself.
fn ours<'a>() -> Vec<Case<'a>> {
    let flags = |bed: &Bed, sort: Sort| -> Result<u8> {
        let seat = bed.seat(sort)?;
        let speaker = bed.up_with(seat, &seat.open(&OVERLAY).and(64, &restart(0, 60, &OVERLAY)))?;
        let value = speaker.capability(64).context("graceful restart")?;
        Ok(value[0] >> 4)
    };
    vec![case("the N bit for control nodes, not for nodes", move |bed| {
        let found = [
            flags(bed, Sort::Client)? & 4,
            flags(bed, Sort::Far)? & 4,
            flags(bed, Sort::Sibling)? & 4,
        ];
        ensure!(found == [0, 4, 4], "flags {found:?}");
        Ok(())
    })]
}

/// A peer that keeps state over our restart, and whether our OPEN has the R bit.
fn keeping(bed: &Bed) -> Result<(Speaker, bool)> {
    let seat = bed.seat(Sort::Client)?;
    let speaker = bed.up_with(seat, &seat.open(&OVERLAY).and(64, &restart(0, 60, &OVERLAY)))?;
    let flags = speaker.capability(64).context("graceful restart")?[0];
    Ok((speaker, flags & 0x80 != 0))
}

/// RFC 4724 §3, §4.1: the first daemon of a machine has not restarted, and nobody has kept its routes; the
/// next one says that it has, and its End-of-RIB waits for what peers have to tell.
#[test]
fn only_a_daemon_that_has_run_before_says_so_and_waits() {
    let mut bed = Bed::start().expect("a control node");
    let (mut silent, has_restarted) = keeping(&bed).expect("a session");
    assert!(!has_restarted, "in its first life");
    silent.until("End-of-RIB", |heard| heard.has_end(VPNV4)).expect("the silent is not waited for");

    bed.restart().expect("another life");
    let (mut silent, has_restarted) = keeping(&bed).expect("a session");
    assert!(has_restarted, "in its second life");
    // Longer than nodes are waited for in any case.
    silent.listen(Duration::from_secs(10)).expect("the session stays");
    assert!(!silent.heard.has_end(VPNV4), "before the silent one has told its routes");
    for family in OVERLAY {
        silent.end(family).expect("the session stays");
    }
    silent.until("End-of-RIB", |heard| heard.has_end(VPNV4)).expect("it has told them");
}

#[test]
fn routes_are_kept_over_a_restart_and_not_longer() {
    let bed = Bed::with_neighbors("", "", &[NEIGHBOR]).expect("a control node");
    let mut cases = ours();
    cases.extend(ends());
    cases.extend(ends_of_neighbors());
    cases.extend(afterwards());
    run("restart", &bed, cases);
}
