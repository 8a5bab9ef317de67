//! Timers and limits that a neighbor can be given, and what becomes of a peer that breaks something:
//! RFC 4271 §8.1.1 and §10, RFC 7606 §2, RFC 8277 §2, RFC 9687, RFC 9774.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use socket2::SockRef;

use crate::bed::{Bed, HOME, Knob, Sort};
use crate::cases::{Case, case, run};
use crate::heard::key;
use crate::octets::{
    self, Family, IPV4, OPEN, RTC, TRANSITIVE, VPNV4, VPNV6, WELL_KNOWN, attribute, label, prefix,
    reach, target, vpn,
};
use crate::pace;
use crate::speaker::{CEILING, Got, Speaker};

const PEER: u32 = 65_010;
/// The capability.
const BFD_STRICT: u8 = 74;

const fn neighbor(name: &'static str, keys: &'static str) -> Knob {
    Knob { name, asn: PEER, keys }
}

const NEIGHBORS: [Knob; 9] = [
    neighbor("plain", "families = [\"ipv4\", \"vpnv4\", \"vpnv6\"]"),
    neighbor("patient", "families = [\"ipv4\"]\ndelay-open = 3"),
    neighbor(
        "strict",
        "families = [\"ipv4\"]\nbfd = { interval = 300 }\nbfd-strict = true\nbfd-hold-time = 1",
    ),
    neighbor("idle", "families = [\"ipv4\"]\nidle-hold = 8"),
    neighbor("beats", "families = [\"ipv4\"]\nhold-time = 30\nkeepalive = 2"),
    neighbor("hasty", "families = [\"vpnv4\"]\nhold-time = 20\nsend-hold-time = 21"),
    neighbor("splits", "families = [\"ipv4\", \"vpnv4\"]\ndisable-family = true"),
    neighbor("no-sets", "families = [\"ipv4\"]\nas-sets = false"),
    neighbor("no-stacks", "families = [\"vpnv4\"]\nmultiple-labels = false"),
];

fn up(bed: &Bed, name: &str, families: &[Family]) -> Result<Speaker> {
    let seat = bed.neighbor_seat(name)?;
    bed.up_with(seat, &seat.open(families))
}

/// draft-ietf-idr-bgp-bfd-strict-mode.
fn strict<'a>() -> Vec<Case<'a>> {
    vec![
        case("a strict session without BFD ends, and its OPEN is never confirmed", |bed| {
            let (mut speaker, seat) = bed.connect_neighbor("strict")?;
            speaker.send(&seat.open(&[IPV4]).hold(0).and(BFD_STRICT, &[]).octets())?;
            speaker.take_open()?;
            ensure!(speaker.capability(BFD_STRICT) == Some(vec![]), "it does not say so");
            speaker.send(&octets::keepalive())?;
            match speaker.next(CEILING)? {
                Got::Message(octets::NOTIFICATION, body) => {
                    ensure!(body[..2] == [6, 10], "{body:?}");
                }
                other => anyhow::bail!("{other:?}"),
            }
            speaker.closed(CEILING)
        }),
        case("a strict session comes up when BFD lets it", |bed| {
            let (mut speaker, seat) = bed.connect_neighbor("strict")?;
            speaker.send(&seat.open(&[IPV4]).and(BFD_STRICT, &[]).octets())?;
            speaker.take_open()?;
            speaker.send(&octets::keepalive())?;
            bed.wait("it waits", |bed| Ok(bed.neighbor(seat.address)?["state"] == "open-sent"))?;
            ensure!(speaker.next(Duration::from_millis(300))? == Got::Nothing, "it does not wait");
            // AdminDown (RFC 5880 §4.1): its operator has switched BFD off.
            let bfd = UdpSocket::bind((seat.address, 0))?;
            bfd.set_ttl(255)?;
            let head = [0x20, 0, 3, 24, 0, 0, 0, 1, 0, 0, 0, 0];
            let times = [[0, 4, 0x93, 0xe0], [0, 4, 0x93, 0xe0], [0; 4]].concat();
            bfd.send_to(&[&head[..], &times].concat(), (bed.id(), 3784))?;
            speaker.until("it is confirmed", |heard| heard.keepalives > 0)?;
            bed.is_up(seat)
        }),
        case("a peer that is not strict is not waited for", |bed| {
            up(bed, "strict", &[IPV4]).map(|_| ())
        }),
    ]
}

/// `DelayOpen` and `IdleHoldTimer`.
fn waits<'a>() -> Vec<Case<'a>> {
    vec![
        case("an OPEN that waits comes when its time is over", |bed| {
            let began = Instant::now();
            let (mut speaker, seat) = bed.connect_neighbor("patient")?;
            ensure!(speaker.next(Duration::from_secs(2))? == Got::Nothing, "too early");
            speaker.take_open()?;
            pace::between(began, 2.8, 6.0)?;
            speaker.send(&[seat.open(&[IPV4]).octets(), octets::keepalive()].concat())?;
            speaker.until("it is confirmed", |heard| heard.keepalives > 0)
        }),
        case("an OPEN that waits comes behind that of the peer", |bed| {
            let (mut speaker, seat) = bed.connect_neighbor("patient")?;
            let began = Instant::now();
            speaker.establish(&seat.open(&[IPV4]).octets())?;
            // The time that is waited for else.
            pace::in_time(began, Duration::from_secs(2))?;
            bed.is_up(seat)
        }),
        case("a fault of the peer's OPEN is told before ours was sent", |bed| {
            let (mut speaker, seat) = bed.connect_neighbor("patient")?;
            let mut open = seat.open(&[IPV4]).without(65);
            open.asn = 7;
            speaker.send(&open.octets())?;
            match speaker.next(CEILING)? {
                Got::Message(octets::NOTIFICATION, body) => {
                    ensure!(body[..2] == [2, 2], "{body:?}");
                    speaker.closed(CEILING)
                }
                other => anyhow::bail!("{other:?}"),
            }
        }),
        case("a KEEPALIVE before any OPEN ends the connection", |bed| {
            let (mut speaker, _) = bed.connect_neighbor("patient")?;
            speaker.send(&octets::keepalive())?;
            let refusal = speaker.refusal(CEILING)?;
            ensure!((refusal.0, refusal.1) == (5, 0), "{refusal:?}");
            Ok(())
        }),
        case("a session that did not last keeps the peer out for a while", |bed| {
            let seat = bed.neighbor_seat("idle")?;
            let open = seat.open(&[IPV4]);
            let mut speaker = bed.up_with(seat, &open)?;
            bed.is_up(seat)?;
            let began = Instant::now();
            speaker.send(&octets::notification(6, 4, &[]))?;
            speaker.closed(CEILING)?;
            let refusal = bed.connect(seat)?.refusal(CEILING)?;
            ensure!((refusal.0, refusal.1) == (6, 5), "{refusal:?}");
            bed.wait("it is taken again", |bed| Ok(bed.up_with(seat, &open).is_ok()))?;
            pace::between(began, 5.8, 20.0)
        }),
        case("without an idle hold time the peer is taken back at once", |bed| {
            let seat = bed.neighbor_seat("plain")?;
            let open = seat.open(&[IPV4]);
            for _ in 0..5 {
                let mut speaker = bed.up_with(seat, &open)?;
                bed.is_up(seat)?;
                speaker.send(&octets::notification(6, 4, &[]))?;
                speaker.closed(CEILING)?;
            }
            bed.up_with(seat, &open).map(|_| ())
        }),
        case("KEEPALIVEs come at three quarters to the whole of their time", |bed| {
            let mut speaker = up(bed, "beats", &[IPV4])?;
            let mut times = Vec::new();
            let mut last = Instant::now();
            while times.len() < 8 {
                if let Got::Message(octets::KEEPALIVE, _) = speaker.next(CEILING)? {
                    times.push(last.elapsed().as_secs_f64());
                    last = Instant::now();
                    speaker.send(&octets::keepalive())?;
                }
            }
            // The first one counts from when we began to look.
            let times = &times[1..];
            let late = pace::slack().as_secs_f64();
            let right = 1.4 - late..2.4 + late;
            ensure!(times.iter().all(|time| right.contains(time)), "{times:?}");
            let span = times.iter().fold((9.0_f64, 0.0_f64), |(a, b), t| (a.min(*t), b.max(*t)));
            ensure!(span.1 - span.0 > 0.02, "always the same: {times:?}");
            Ok(())
        }),
        case("a peer that never reads is dropped when its send hold time ends", |bed| {
            let seat = bed.neighbor_seat("hasty")?;
            let mut deaf = bed.connect(seat)?;
            SockRef::from(deaf.stream()).set_recv_buffer_size(65_536)?;
            deaf.establish(&seat.open(&[VPNV4]).octets())?;
            bed.is_up(seat)?;
            let mut source = bed.up(Sort::Client)?;
            // More than the sockets of both sides hold.
            let (rd, hop) = (octets::rd(64_512, bed.number()), octets::vpn_next_hop(source.local));
            for number in 0..4000_u16 {
                let [high, low] = number.to_be_bytes();
                let long = [&[high, low][..], &[7; 3700]].concat();
                let attributes = [
                    reach(VPNV4, &hop, &vpn(label(16), rd, &[10, 7, high, low], 32)),
                    octets::origin(0),
                    octets::as_path(&[]),
                    octets::local_pref(100),
                    octets::extended_communities(&[target(64_512, 1)]),
                    attribute(TRANSITIVE, 200, &long),
                ];
                source.send(&octets::update(&[], &attributes, &[]))?;
                if number % 20 == 0 {
                    // It lives, and says so: only its reading has ended.
                    deaf.try_send(&octets::keepalive());
                }
            }
            let began = Instant::now();
            bed.wait("it is dropped", |bed| {
                deaf.try_send(&octets::keepalive());
                std::thread::sleep(Duration::from_millis(200));
                Ok(bed.neighbor(seat.address)?["state"] != "established")
            })?;
            pace::in_time(began, Duration::from_secs(30))?;
            let neighbor = bed.neighbor(seat.address)?;
            let why = neighbor["last_down_reason"].as_str().unwrap_or_default();
            ensure!(why == "send-hold-timer-expired", "{why}");
            Ok(())
        }),
    ]
}

fn vpn_update(speaker: &Speaker, family: Family, nlri: &[u8]) -> Vec<u8> {
    let hop = if family == VPNV6 {
        octets::mapped_next_hop(speaker.local)
    } else {
        octets::vpn_next_hop(speaker.local)
    };
    let targets = octets::extended_communities(&[target(64_512, 1)]);
    let attributes =
        [reach(family, &hop, nlri), octets::origin(0), octets::as_path(&[PEER]), targets];
    octets::update(&[], &attributes, &[])
}

fn vpn_route(bed: &Bed) -> Vec<u8> {
    vpn(label(3), octets::rd(64_512, bed.number()), &[10, 0, 0, 0], 8)
}

fn ipv4_route(bed: &Bed) -> Vec<u8> {
    let [_, a, b, c] = bed.number().to_be_bytes();
    prefix(&[0x34 | a, b, c, 0], 32)
}

fn ipv4_update(speaker: &Speaker, path: &[(u8, &[u32])], nlri: &[u8]) -> Vec<u8> {
    let path = attribute(WELL_KNOWN, 2, &octets::segments(path));
    octets::update(&[], &[octets::origin(0), path, octets::next_hop(speaker.local)], nlri)
}

/// RFC 7606 §2, "AFI/SAFI disable"; RFC 9774 §3.
fn faults<'a>() -> Vec<Case<'a>> {
    vec![
        case("a family that cannot be read is given up, and the others go on", |bed| {
            let seat = bed.neighbor_seat("splits")?;
            let open = seat.open(&[IPV4, VPNV4]);
            let mut peer = bed.up_with(seat, &open)?;
            let watcher = bed.watcher(Sort::Client)?;
            let (first, plain) = (vpn_route(bed), ipv4_route(bed));
            peer.send(&vpn_update(&peer, VPNV4, &first))?;
            peer.send(&ipv4_update(&peer, &[(2, &[PEER])], &plain))?;
            watcher.route(&key(VPNV4, &first))?;
            watcher.route(&key(IPV4, &plain))?;
            peer.send(&vpn_update(&peer, VPNV4, &[255, 0, 1, 1, 0, 0, 0, 0]))?;
            watcher.gone(&key(VPNV4, &first))?;
            // What comes now of that family is nothing, and of the other one something.
            let (ignored, taken) = (vpn_route(bed), ipv4_route(bed));
            peer.send(&vpn_update(&peer, VPNV4, &ignored))?;
            peer.send(&ipv4_update(&peer, &[(2, &[PEER])], &taken))?;
            watcher.route(&key(IPV4, &taken))?;
            ensure!(watcher.now(|heard| heard.get(&key(IPV4, &plain)).is_some()), "it stays");
            bed.wait("/v1 shows it", |bed| {
                let neighbor = bed.neighbor(seat.address)?;
                let families = neighbor["families"].as_array().context("families")?;
                let disabled: Vec<_> = families.iter().filter(|f| f["disabled"] == true).collect();
                Ok(neighbor["state"] == "established"
                    && neighbor["faults"]["afi_safi_disable"] == 1
                    && neighbor["faults"]["session_reset"] == 0
                    && disabled.len() == 1
                    && disabled[0]["family"] == "vpnv4"
                    && disabled[0]["received"] == 0)
            })?;
            let is_told = |nlri: &[u8]| watcher.now(|heard| heard.get(&key(VPNV4, nlri)).is_some());
            ensure!(!is_told(&ignored), "it is told");
            // The last one ends the session, and the next session reads both.
            let spoilt = reach(IPV4, &[1, 1, 1, 1], &[33, 10, 0, 0, 0, 0]);
            let path = octets::as_path(&[PEER]);
            peer.send(&octets::update(&[], &[spoilt, octets::origin(0), path], &[]))?;
            let refusal = peer.refusal(CEILING)?;
            ensure!(refusal.0 == 3, "{refusal:?}");
            let mut peer = bed.up_with(seat, &open)?;
            peer.send(&vpn_update(&peer, VPNV4, &ignored))?;
            watcher.route(&key(VPNV4, &ignored)).map(|_| ())
        }),
        case("where that is not asked for the session ends", |bed| {
            let mut peer = up(bed, "plain", &[IPV4, VPNV4])?;
            peer.send(&vpn_update(&peer, VPNV4, &[255, 0, 1, 1, 0, 0, 0, 0]))?;
            let refusal = peer.refusal(CEILING)?;
            ensure!(refusal.0 == 3, "{refusal:?}");
            Ok(())
        }),
        case("an AS_SET withdraws where sets are refused, and is told on where not", |bed| {
            let watcher = bed.watcher(Sort::Client)?;
            let sets: &[(u8, &[u32])] = &[(2, &[PEER]), (1, &[7, 8])];
            let mut peer = up(bed, "no-sets", &[IPV4])?;
            let nlri = ipv4_route(bed);
            peer.send(&ipv4_update(&peer, &[(2, &[PEER])], &nlri))?;
            watcher.route(&key(IPV4, &nlri))?;
            peer.send(&ipv4_update(&peer, sets, &nlri))?;
            watcher.gone(&key(IPV4, &nlri))?;
            let faults = bed.neighbor(peer.local)?["faults"].clone();
            ensure!(faults["treat_as_withdraw"] == 1, "{faults}");
            let mut peer = up(bed, "plain", &[IPV4])?;
            peer.send(&ipv4_update(&peer, sets, &nlri))?;
            let told = watcher.route(&key(IPV4, &nlri))?;
            ensure!(told.value(2) == Some(&octets::segments(sets)), "{told:?}");
            Ok(())
        }),
    ]
}

/// Outermost first; only the last one has the bottom of stack.
fn stack(labels: &[u32]) -> Vec<u8> {
    let mut octets: Vec<u8> = labels.iter().flat_map(|value| label(*value)).collect();
    let last = octets.len() - 1;
    for (at, octet) in octets.iter_mut().enumerate() {
        if at % 3 == 2 && at != last {
            *octet &= 0xfe;
        }
    }
    octets
}

fn stacked(labels: &[u32], rd: [u8; 8], address: &[u8], bits: u8) -> Vec<u8> {
    let stack = stack(labels);
    let length = u8::try_from(stack.len() * 8).unwrap_or_default() + 64 + bits;
    [&[length], &stack[..], &rd, &address[..usize::from(bits).div_ceil(8)]].concat()
}

/// The capability: families and how many labels.
const TWO: [u8; 8] = [0, 1, 128, 2, 0, 2, 128, 2];

/// RFC 8277 §2.1 to §2.4.
fn labels<'a>() -> Vec<Case<'a>> {
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 2];
    let families: [(Family, Vec<u8>, u8); 2] =
        [(VPNV4, vec![10, 9, 9, 0], 24), (VPNV6, v6.to_vec(), 64)];
    let mut cases = vec![
        case("our OPEN says how many labels we take", |bed| {
            let (mut speaker, _) = bed.connect_neighbor("plain")?;
            speaker.take_open()?;
            let said = speaker.capability(8);
            ensure!(said.as_deref() == Some(&TWO[..]), "{said:?}");
            let (mut speaker, _) = bed.connect_neighbor("no-stacks")?;
            ensure!(matches!(speaker.next(CEILING)?, Got::Message(OPEN, _)));
            ensure!(speaker.capability(8).is_none(), "it is said");
            Ok(())
        }),
        case("a stack deeper than we say is treated as withdrawn", |bed| {
            let seat = bed.neighbor_seat("plain")?;
            let mut peer = bed.up_with(seat, &seat.open(&[VPNV4]).and(8, &TWO))?;
            let watcher = bed.watcher(Sort::Client)?;
            let rd = octets::rd(64_512, bed.number());
            let one = stacked(&[24_001], rd, &[10, 9, 9, 0], 24);
            peer.send(&vpn_update(&peer, VPNV4, &one))?;
            watcher.route(&key(VPNV4, &one))?;
            let three = stacked(&[24_001, 24_002, 24_003], rd, &[10, 9, 9, 0], 24);
            peer.send(&vpn_update(&peer, VPNV4, &three))?;
            watcher.gone(&key(VPNV4, &one))?;
            bed.is_up(seat)
        }),
    ];
    for (family, address, bits) in families {
        // Who says a stack without having agreed on that is understood where nothing else can be meant.
        for agreed in [true, false] {
            let address = address.clone();
            let name = format!("a stack of {family:?} from a peer that has agreed: {agreed}");
            cases.push(case(name, move |bed| {
                let rd = octets::rd(64_512, bed.number());
                let two = stacked(&[24_005, 24_006], rd, &address, bits);
                let one = stacked(&[24_005], rd, &address, bits);
                let receiver = |said: Option<u8>| -> Result<Speaker> {
                    let seat = bed.seat(Sort::Client)?;
                    let open = seat.open(&[VPNV4, VPNV6, RTC]);
                    let value = [0, 1, 128, said.unwrap_or_default(), 0, 2, 128, said.unwrap_or(1)];
                    let open = if said.is_some() { open.and(8, &value) } else { open };
                    let mut peer = bed.up_with(seat, &open)?;
                    peer.send(&crate::bed::membership(HOME, peer.local, &octets::DEFAULT_TARGET))?;
                    peer.end(RTC)?;
                    Ok(peer)
                };
                let mut takes = receiver(Some(9))?;
                let mut takes_one = [receiver(None)?, receiver(Some(1))?, receiver(Some(0))?];
                let seat = bed.neighbor_seat("plain")?;
                let open = seat.open(&[VPNV4, VPNV6]);
                let open = if agreed { open.and(8, &TWO) } else { open };
                let mut peer = bed.up_with(seat, &open)?;
                // One label is told to all of them, and taken from those that take no second one.
                peer.send(&vpn_update(&peer, family, &one))?;
                takes.route(&key(family, &one))?;
                for receiver in &mut takes_one {
                    receiver.route(&key(family, &one))?;
                }
                peer.send(&vpn_update(&peer, family, &two))?;
                let told = takes.route(&key(family, &two))?;
                ensure!(told.nlri == two, "{:02x?}", told.nlri);
                for receiver in &mut takes_one {
                    receiver.gone(&key(family, &one))?;
                    ensure!(receiver.heard.get(&key(family, &two)).is_none(), "it is told");
                }
                // One field withdraws it, whatever its depth (RFC 8277 §2.4).
                let gone = vpn([0x80, 0, 0], rd, &address, bits);
                peer.send(&octets::update(&[], &[octets::unreach(family, &gone)], &[]))?;
                takes.until("it is withdrawn", |heard| {
                    heard.withdrawn.contains_key(&key(family, &one))
                })?;
                ensure!(bed.neighbor(peer.local)?["faults"]["session_reset"] == 0);
                Ok(())
            }));
        }
    }
    cases
}

#[test]
fn peers_are_waited_for_given_up_and_taken_back() {
    let bed = Bed::with_neighbors("", crate::bed::UNICAST, &NEIGHBORS).expect("a control node");
    let mut cases = waits();
    cases.extend(strict());
    cases.extend(faults());
    cases.extend(labels());
    run("steady", &bed, cases);
}
