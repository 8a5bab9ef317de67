//! Many routes in and out, a peer that never reads, and octets that nobody meant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use socket2::SockRef;

use crate::bed::{Bed, Sort};
use crate::cases::{Case, case, run};
use crate::heard::{Heard, key};
use crate::octets::{
    self, EVPN, IPV4, OVERLAY, RTC, TRANSITIVE, VPNV4, VPNV6, attribute, evpn, label, restart,
    target, unreach, vpn,
};
use crate::pace;
use crate::routes::{announce, with_it};
use crate::speaker::{Got, Speaker};

/// Of one peer.
const MANY: u32 = 100_000;
/// More than sockets hold for one that does not read.
const SOME: u32 = 50_000;
/// What so many routes take at most, also on a machine that does other things.
const LONG: Duration = Duration::from_mins(4);
/// Distinguishers that they are spread over.
const RDS: u32 = 64;

/// Route number `number`: its label says which one it is.
fn route(base: u32, number: u32) -> Vec<u8> {
    let rd = octets::rd(64_512, base * RDS + number % RDS);
    let [_, a, b, c] = (number / RDS).to_be_bytes();
    vpn(label(number + 16), rd, &[10 + a, b, c, 1], 32)
}

/// Announces numbers in messages of a hundred routes.
fn announce_many(
    speaker: &mut Speaker,
    base: u32,
    numbers: impl Iterator<Item = u32>,
    target: [u8; 8],
) -> Result<()> {
    let next_hop = octets::vpn_next_hop(speaker.local);
    let numbers: Vec<_> = numbers.collect();
    for some in numbers.chunks(100) {
        let list: Vec<u8> = some.iter().flat_map(|number| route(base, *number)).collect();
        speaker.send(&announce(Sort::Client, VPNV4, &next_hop, &list, &[target]))?;
    }
    Ok(())
}

fn asks_for(bed: &Bed, target: [u8; 8], hold: u16) -> Result<Speaker> {
    let seat = bed.seat(Sort::Client)?;
    let mut peer = bed.up_with(seat, &seat.open(&OVERLAY).hold(hold))?;
    let asked = octets::membership(64_512, target, 96);
    peer.send(&crate::bed::membership(64_512, peer.local, &asked))?;
    peer.end(RTC)?;
    Ok(peer)
}

/// Waits until exactly these routes are there.
fn all_there(peer: &mut Speaker, base: u32, many: u32) -> Result<()> {
    let count = |heard: &Heard| heard.routes.len() - heard.count(RTC);
    peer.until_within(LONG, "all routes are there", |heard| count(heard) == many as usize)?;
    for number in 0..many {
        let nlri = route(base, number);
        let told = peer.heard.get(&key(VPNV4, &nlri)).context("one is missing")?;
        ensure!(told.nlri == nlri, "{number}: {:02x?}", told.nlri);
    }
    Ok(())
}

fn many<'a>() -> Vec<Case<'a>> {
    vec![
        case("100000 routes in and out, exactly", |bed| {
            let (base, target) = (bed.number(), target(64_512, bed.number()));
            let mut source = bed.up(Sort::Client)?;
            let mut peers = [asks_for(bed, target, 0)?];
            announce_many(&mut source, base, 0..MANY, target)?;
            for peer in &mut peers {
                all_there(peer, base, MANY)?;
            }
            // One that comes late is told the same, and End-of-RIB behind it.
            let mut late = asks_for(bed, target, 0)?;
            late.until_within(LONG, "End-of-RIB", |heard| heard.has_end(VPNV4))?;
            all_there(&mut late, base, MANY)?;
            source.send(&octets::notification(6, 2, &[]))?;
            for peer in peers.iter_mut().chain([&mut late]) {
                peer.until_within(LONG, "all are gone", |heard| heard.count(VPNV4) == 0)?;
            }
            Ok(())
        }),
        case("100000 routes over a restart: none is lost", |bed| {
            let (base, target) = (bed.number(), target(64_512, bed.number()));
            let seat = bed.seat(Sort::Client)?;
            let open = |flags| seat.open(&OVERLAY).and(64, &restart(flags, 60, &[VPNV4]));
            let mut source = bed.up_with(seat, &open(0))?;
            let mut peer = asks_for(bed, target, 0)?;
            announce_many(&mut source, base, 0..MANY, target)?;
            source.end(VPNV4)?;
            all_there(&mut peer, base, MANY)?;
            source.close();
            let again = || bed.up_with(seat, &open(8)).ok();
            let mut source = None;
            bed.wait("it is back", |_| {
                source = again();
                Ok(source.is_some())
            })?;
            let mut source = source.context("back")?;
            announce_many(&mut source, base, 0..MANY, target)?;
            source.end(VPNV4)?;
            // Behind all of it in each shard: by its own distinguishers.
            announce_many(&mut source, base, MANY..MANY + RDS, target)?;
            let all = (MANY + RDS) as usize;
            peer.until_within(LONG, "what is behind", |heard| heard.count(VPNV4) == all)?;
            ensure!(!peer.heard.withdrawn.keys().any(|key| key.0 == VPNV4), "some were withdrawn");
            Ok(())
        }),
        case("a peer that never reads holds nobody up", |bed| {
            let (base, target) = (bed.number(), target(64_512, bed.number()));
            let mut deaf = asks_for(bed, target, 90)?;
            SockRef::from(deaf.stream()).set_recv_buffer_size(65_536)?;
            let mut source = bed.up(Sort::Client)?;
            let mut peer = asks_for(bed, target, 0)?;
            let began = Instant::now();
            announce_many(&mut source, base, 0..SOME, target)?;
            all_there(&mut peer, base, SOME)?;
            // While the sockets of the deaf one still took something.
            let at_first = began.elapsed();
            ensure!(bed.neighbor(deaf.local)?["state"] == "established");
            let before = bed.memory()?;
            // What is owed to it is state, however often it changes.
            for round in 1..4 {
                let numbers = if round % 2 == 1 { 0..SOME / 2 } else { SOME / 2..SOME };
                let began = Instant::now();
                announce_many_with(&mut source, base, numbers, target, round)?;
                let last =
                    key(VPNV4, &route(base, if round % 2 == 1 { SOME / 2 - 1 } else { SOME - 1 }));
                peer.until_within(LONG, "the last change", |heard| {
                    heard.get(&last).is_some_and(|told| told.value(4) == Some(&round.to_be_bytes()))
                })?;
                pace::in_time(began, Duration::from_secs(2) + 4 * at_first)?;
            }
            let grown = bed.memory()?.saturating_sub(before);
            ensure!(grown < 64 << 20, "{} MiB more for a peer that reads nothing", grown >> 20);
            // It is told the state of now, when it reads at last.
            deaf.until_within(LONG, "it has caught up", |heard| {
                let last = |number: u32| heard.get(&key(VPNV4, &route(base, number)));
                let is = |number, round: u32| {
                    last(number).is_some_and(|told| told.value(4) == Some(&round.to_be_bytes()))
                };
                is(SOME / 2 - 1, 3) && is(SOME - 1, 2)
            })
            .with_context(|| {
                let neighbor = bed.neighbor(deaf.local).unwrap_or_default();
                let mut rounds = [0_u32; 4];
                for told in deaf.heard.routes.values() {
                    let round = told.value(4).map_or(0, |value| usize::from(value[3]));
                    rounds[round] += 1;
                }
                let waits = (&neighbor["owed"], &neighbor["queued_octets"]);
                format!("told {rounds:?} by round, owed and queued {waits:?}")
            })?;
            Ok(())
        }),
    ]
}

/// As [`announce_many`], with a MED that says which round it is.
fn announce_many_with(
    speaker: &mut Speaker,
    base: u32,
    numbers: std::ops::Range<u32>,
    target: [u8; 8],
    round: u32,
) -> Result<()> {
    let next_hop = octets::vpn_next_hop(speaker.local);
    let numbers: Vec<_> = numbers.collect();
    for some in numbers.chunks(100) {
        let list: Vec<u8> = some.iter().flat_map(|number| route(base, *number)).collect();
        let mut attributes = with_it(Sort::Client, &[target]);
        attributes.extend([octets::reach(VPNV4, &next_hop, &list), octets::med(round)]);
        speaker.send(&octets::update(&[], &attributes, &[]))?;
    }
    Ok(())
}

#[test]
fn many_routes_pass_and_a_deaf_peer_stops_nobody() {
    let bed = Bed::start().expect("a control node");
    run("load", &bed, many());
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // Of the generator of Knuth's MMIX.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % sides
    }
}

/// A session that says a little of everything.
fn script(bed: &Bed, seat: crate::bed::Seat) -> Vec<u8> {
    let rd = octets::rd(64_512, bed.number());
    let targets = [target(64_512, bed.number())];
    let client = Sort::Client;
    let v4 = vpn(label(5), rd, &[10, 1, 1, 0], 24);
    let v6 = vpn(label(5), rd, &[0x20; 8], 64);
    let kinds = [
        evpn(1, &[&rd[..], &[0; 14], &label(5)].concat()),
        evpn(2, &[&rd[..], &[0; 14], &[48, 2, 0, 0, 0, 0, 1, 32, 10, 1, 1, 1], &label(5)].concat()),
        evpn(3, &[&rd[..], &[0, 0, 0, 1, 32, 10, 3, 3, 3]].concat()),
        evpn(4, &[&rd[..], &[0; 10], &[32, 10, 3, 3, 3]].concat()),
        evpn(5, &[&rd[..], &[0; 14], &[24, 10, 3, 3, 0, 0, 0, 0, 0], &label(5)].concat()),
    ]
    .concat();
    let hop = octets::vpn_next_hop(seat.address);
    let mut rich = with_it(client, &targets);
    rich.extend([
        octets::med(7),
        octets::communities(&[1, 2, 3]),
        octets::originator(std::net::Ipv4Addr::new(9, 9, 9, 9)),
        octets::cluster_list(&[std::net::Ipv4Addr::new(8, 8, 8, 8)]),
        attribute(octets::WELL_KNOWN, 6, &[]),
        attribute(TRANSITIVE, 7, &[0, 0, 0xfc, 1, 1, 1, 1, 1]),
        attribute(TRANSITIVE, 32, &[1; 24]),
        attribute(TRANSITIVE, 22, &[0, 6, 0, 0, 0x50, 192, 0, 2, 1]),
        attribute(TRANSITIVE, 23, &[0, 8, 0, 6, 1, 4, 1, 2, 3, 4, 0, 2, 0, 0]),
        attribute(octets::OPTIONAL, 26, &[1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 9]),
        attribute(TRANSITIVE, 233, &[7; 300]),
        octets::reach(EVPN, &seat.address.octets(), &kinds),
    ]);
    let open = seat.open(&OVERLAY).and(64, &restart(0, 1, &OVERLAY)).and(6, &[]).and(70, &[]);
    [
        open.octets(),
        octets::keepalive(),
        crate::bed::membership(64_512, seat.address, &octets::DEFAULT_TARGET),
        octets::end_of_rib(RTC),
        announce(client, VPNV4, &hop, &v4, &targets),
        announce(client, VPNV6, &octets::mapped_next_hop(seat.address), &v6, &targets),
        octets::update(&[], &rich, &[]),
        octets::refresh(VPNV4, 0),
        octets::update(&[], &[unreach(VPNV4, &v4), unreach(EVPN, &kinds)], &[]),
        octets::end_of_rib(VPNV4),
        octets::end_of_rib(IPV4),
        octets::notification(6, 2, b"\x03bye"),
    ]
    .concat()
}

/// Spoils octets of a session in one of several ways. Where messages begin is left alone most of the
/// time, so that what follows is read.
fn spoil(octets: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.roll(6) {
        let at = dice.roll(octets.len());
        let is_marker = octets[at] == 0xff && dice.roll(20) > 0;
        match dice.roll(8) {
            _ if is_marker => {}
            0 => octets[at] = 0xff,
            1 => octets[at] = 0,
            2 => octets[at] = u8::try_from(dice.roll(256)).unwrap_or_default(),
            3 => octets[at] = octets[at].wrapping_add(1),
            4 => octets[at] = octets[at].wrapping_sub(1),
            5 if dice.roll(8) == 0 => octets.truncate(at.max(1)),
            6 if dice.roll(8) == 0 => octets.insert(at, 0),
            _ => octets[at] ^= 1 << dice.roll(8),
        }
    }
}

fn fuzz(bed: &Bed, seed: u64, sessions: u64, counted: &AtomicU64) -> Result<()> {
    let mut dice = Dice(seed);
    let seat = bed.seat(Sort::Client)?;
    for _ in 0..sessions {
        let mut octets = script(bed, seat);
        spoil(&mut octets, &mut dice);
        let Ok(mut speaker) = bed.connect(seat) else { continue };
        speaker.try_send(&octets);
        // Whatever it answers: that it was read is what counts.
        let deadline = Instant::now() + Duration::from_millis(20);
        while let Ok(Got::Message(..)) =
            speaker.next(deadline.saturating_duration_since(Instant::now()))
        {}
        counted.fetch_add(1, Ordering::Relaxed);
        if dice.roll(2) == 0 {
            speaker.abort()?;
        }
    }
    Ok(())
}

#[test]
fn spoilt_sessions_end_themselves_and_nothing_else() {
    let bed = Bed::start().expect("a control node");
    let counted = AtomicU64::new(0);
    let mut cases: Vec<Case<'_>> = Vec::new();
    cases.push(case("others speak meanwhile", |bed| {
        let mut source = bed.up(Sort::Client)?;
        let watcher = bed.watcher(Sort::Far)?;
        while counted.load(Ordering::Relaxed) < WORKERS * SESSIONS {
            let began = Instant::now();
            let nlri = vpn(label(5), octets::rd(64_512, bed.number()), &[10, 1, 1, 0], 24);
            let next_hop = octets::vpn_next_hop(source.local);
            source.send(&announce(Sort::Client, VPNV4, &next_hop, &nlri, &[target(1, 1)]))?;
            watcher.route(&key(VPNV4, &nlri))?;
            source.send(&octets::update(&[], &[unreach(VPNV4, &nlri)], &[]))?;
            watcher.gone(&key(VPNV4, &nlri))?;
            pace::in_time(began, Duration::from_secs(5))?;
        }
        source.listen(Duration::from_millis(100))
    }));
    for seed in 0..WORKERS {
        let counted = &counted;
        cases.push(case(format!("seed {seed}"), move |bed| {
            // A seed of the day finds what these do not: ARCUS_SEED=$RANDOM.
            let day = std::env::var("ARCUS_SEED").ok().and_then(|text| text.parse().ok());
            fuzz(bed, seed + day.unwrap_or(0_u64) * 1000, SESSIONS, counted)
        }));
    }
    run("fuzz", &bed, cases);
}

/// Peers at a time, and sessions of each.
const WORKERS: u64 = 20;
const SESSIONS: u64 = 150;
