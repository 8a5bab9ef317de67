//! What borders of a cloud let pass: transit, rewritten targets and memberships, limits, slow readers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use socket2::SockRef;

use crate::bed::{Bed, FAR, HOME, Knob, OUTSIDE, Sort, membership};
use crate::cases::{Case, case, run};
use crate::heard::{Key, key};
use crate::octets::{self, IPV4, KEEPALIVE, RTC, VPNV4, attribute, label, prefix, target, vpn};
use crate::pace;
use crate::speaker::{CEILING, Got, Speaker};

/// Of the neighbors here.
const PEER: u32 = 65_010;

const A_WHILE: Duration = Duration::from_millis(200);

const fn outside(name: &'static str, keys: &'static str) -> Knob {
    Knob { name, asn: PEER, keys }
}

const NEIGHBORS: [Knob; 6] = [
    outside("plain", "families = [\"ipv4\"]"),
    outside("transit", "families = [\"ipv4\"]\ntransit = true"),
    outside("ten", "families = [\"vpnv4\"]\nmax-prefixes = 10"),
    outside("eight-in", "families = [\"vpnv4\"]\nmax-prefixes = 10\nmax-prefixes-warning = 80"),
    outside(
        "rewriting",
        "families = [\"vpnv4\", \"rtc\"]\n\
         import-rewrite = { \"65010:1\" = \"64512:8001\" }\n\
         export-rewrite = { \"64512:8001\" = \"65010:1\", \"64512:8002\" = \"65010:2\" }",
    ),
    outside("slow", "families = [\"vpnv4\"]\nhold-time = 3\nsend-hold-time = 4"),
];

fn up(bed: &Bed, name: &str, families: &[octets::Family]) -> Result<Speaker> {
    let seat = bed.neighbor_seat(name)?;
    bed.up_with(seat, &seat.open(families))
}

fn unicast(bed: &Bed, speaker: &mut Speaker, path: &[u32]) -> Result<Key> {
    let [_, a, b, c] = bed.number().to_be_bytes();
    let nlri = prefix(&[0x32 | a, b, c, 0], 32);
    let attributes = [octets::origin(0), octets::as_path(path), octets::next_hop(speaker.local)];
    speaker.send(&octets::update(&[], &attributes, &nlri))?;
    Ok(key(IPV4, &nlri))
}

/// A route under a distinguisher of its own.
fn route(bed: &Bed) -> Vec<u8> {
    vpn(label(3), octets::rd(64_512, bed.number()), &[10, 0, 0, 0], 8)
}

fn tell(speaker: &mut Speaker, path: &[u32], nlri: &[u8], target: [u8; 8]) -> Result<()> {
    let communities = octets::extended_communities(&[target]);
    let reach = octets::reach(VPNV4, &octets::vpn_next_hop(speaker.local), nlri);
    let mut attributes = vec![octets::origin(0), octets::as_path(path), communities, reach];
    if path.is_empty() {
        attributes.push(octets::local_pref(100));
    }
    speaker.send(&octets::update(&[], &attributes, &[]))
}

fn withdraw(speaker: &mut Speaker, nlri: &[u8]) -> Result<()> {
    speaker.send(&octets::update(&[], &[octets::unreach(VPNV4, nlri)], &[]))
}

/// A router at two clouds is no way between them, unless it may.
fn transit<'a>() -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for (name, asn, may) in
        [("a gateway", OUTSIDE, false), ("plain", PEER, false), ("transit", PEER, true)]
    {
        cases.push(case(format!("{name} with a path over another cloud: {may}"), move |bed| {
            let mut client = bed.up_with_all(Sort::Client)?;
            let mut border = if name == "a gateway" {
                let seat = bed.seat(Sort::Gateway)?;
                bed.up_with(seat, &seat.open(&[IPV4]))?
            } else {
                up(bed, name, &[IPV4])?
            };
            let over = unicast(bed, &mut border, &[asn, FAR, 7])?;
            let fence = unicast(bed, &mut border, &[asn, 7])?;
            client.route(&fence)?;
            client.listen(A_WHILE)?;
            ensure!(client.heard.get(&over).is_some() == may, "told: {}", !may);
            let rejected = bed.neighbor(border.local)?["rejected"].clone();
            let transit = serde_json::json!([{ "reason": "transit", "routes": 1 }]);
            let want = if may { serde_json::json!([]) } else { transit };
            ensure!(rejected == want || rejected.is_null() && may, "{rejected}");
            Ok(())
        }));
    }
    cases
}

/// RFC 4486, over all shards of the daemon.
fn limits<'a>() -> Vec<Case<'a>> {
    vec![
        case("a limit counts routes of all distinguishers together, and exactly", |bed| {
            let mut peer = up(bed, "ten", &[VPNV4])?;
            let any = target(64_512, bed.number());
            let mut all: Vec<Vec<u8>> = (0..10).map(|_| route(bed)).collect();
            for nlri in &all {
                tell(&mut peer, &[PEER], nlri, any)?;
            }
            // As many as before, other ones.
            for _ in 0..20 {
                withdraw(&mut peer, &all.remove(0))?;
                all.push(route(bed));
                tell(&mut peer, &[PEER], &all[9], any)?;
            }
            peer.listen(2 * A_WHILE)?;
            tell(&mut peer, &[PEER], &route(bed), any)?;
            let refusal = peer.refusal(CEILING)?;
            ensure!(refusal == (6, 1, vec![0, 1, 128, 0, 0, 0, 10]), "{refusal:?}");
            Ok(())
        }),
        case("one message with a route too many, in parts for all shards", |bed| {
            let mut peer = up(bed, "ten", &[VPNV4])?;
            let any = target(64_512, bed.number());
            let list: Vec<u8> = (0..11).flat_map(|_| route(bed)).collect();
            tell(&mut peer, &[PEER], &list, any)?;
            let refusal = peer.refusal(CEILING)?;
            ensure!((refusal.0, refusal.1) == (6, 1), "{refusal:?}");
            Ok(())
        }),
    ]
}

/// A warning is one, however many shards there are.
fn warnings<'a>() -> Vec<Case<'a>> {
    vec![case("a warning before the limit counts so, too, and comes once", |bed| {
        let mut peer = up(bed, "eight-in", &[VPNV4])?;
        let any = target(64_512, bed.number());
        for _ in 0..7 {
            tell(&mut peer, &[PEER], &route(bed), any)?;
        }
        bed.wait("seven are there", |bed| {
            let families = &bed.neighbor(peer.local)?["families"];
            Ok(families[0]["received"] == 7)
        })?;
        let warnings = |bed: &Bed| bed.metric("limit_warnings", peer.local);
        ensure!(warnings(bed)? == 0);
        let mut peer = peer;
        for _ in 0..3 {
            tell(&mut peer, &[PEER], &route(bed), any)?;
        }
        bed.wait("it was warned of", |bed| Ok(bed.metric("limit_warnings", peer.local)? == 1))
    })]
}

/// RFC 4684 where targets are rewritten.
fn memberships<'a>() -> Vec<Case<'a>> {
    let (ours, theirs) = (target(64_512, 8001), target(65_010, 1));
    vec![
        case("who asks for our target is told what was theirs", move |bed| {
            let mut peer = up(bed, "rewriting", &[VPNV4, RTC])?;
            let mut client = bed.up(Sort::Client)?;
            let asked = octets::membership(HOME, ours, 96);
            client.send(&membership(HOME, client.local, &asked))?;
            client.end(RTC)?;
            // It is asked by its own name for it.
            let by_them = octets::membership(HOME, theirs, 96);
            peer.route(&key(RTC, &by_them))?;
            let nlri = route(bed);
            tell(&mut peer, &[PEER], &nlri, theirs)?;
            let told = client.route(&key(VPNV4, &nlri))?;
            ensure!(told.value(16) == Some(&ours), "{told:02x?}");
            client.send(&octets::update(&[], &[octets::unreach(RTC, &asked)], &[]))?;
            client.close();
            peer.gone(&key(RTC, &by_them))
        }),
        case("what they ask for is what ours becomes", move |bed| {
            let (wanted, theirs) = (target(64_512, 8002), target(65_010, 2));
            let mut peer = up(bed, "rewriting", &[VPNV4, RTC])?;
            let asked = octets::membership(PEER, theirs, 96);
            peer.send(&membership_of(PEER, &peer, &asked))?;
            peer.end(RTC)?;
            // Others are asked by our name for it.
            let by_us = octets::membership(PEER, wanted, 96);
            bed.watcher(Sort::Sibling)?.route(&key(RTC, &by_us))?;
            let mut client = bed.up(Sort::Client)?;
            let (right, other) = (route(bed), route(bed));
            tell(&mut client, &[], &other, target(64_512, 8003))?;
            tell(&mut client, &[], &right, wanted)?;
            let told = peer.route(&key(VPNV4, &right))?;
            ensure!(told.value(16) == Some(&theirs), "{told:02x?}");
            peer.listen(A_WHILE)?;
            ensure!(peer.heard.get(&key(VPNV4, &other)).is_none(), "another one is told, too");
            peer.send(&octets::update(&[], &[octets::unreach(RTC, &asked)], &[]))?;
            peer.gone(&key(VPNV4, &right))?;
            bed.gone(Sort::Sibling, &key(RTC, &by_us))
        }),
    ]
}

fn membership_of(asn: u32, peer: &Speaker, nlri: &[u8]) -> Vec<u8> {
    let attributes = [
        octets::origin(0),
        octets::as_path(&[asn]),
        octets::reach(RTC, &peer.local.octets(), nlri),
    ];
    octets::update(&[], &attributes, &[])
}

/// RFC 9687.
fn slow<'a>() -> Vec<Case<'a>> {
    vec![case("a peer that never reads is dropped when its send hold time ends", |bed| {
        let mut source = bed.up(Sort::Client)?;
        let mut hears = bed.up(Sort::Client)?;
        hears.asks_for_all()?;
        // More than the sockets of both sides hold: long attributes, each for one route.
        let any = target(64_512, bed.number());
        let mut last = Vec::new();
        for number in 0..4_000_u32 {
            let junk = attribute(
                octets::TRANSITIVE,
                240,
                &[&number.to_be_bytes()[..], &[7; 3000]].concat(),
            );
            let communities = octets::extended_communities(&[any]);
            last = route(bed);
            let reach = octets::reach(VPNV4, &octets::vpn_next_hop(source.local), &last);
            let attributes = [
                octets::origin(0),
                octets::as_path(&[]),
                octets::local_pref(100),
                communities,
                junk,
                reach,
            ];
            source.send(&octets::update(&[], &attributes, &[]))?;
        }
        hears.route(&key(VPNV4, &last))?;
        // It says that it lives all the time, and reads nothing.
        let mut deaf = up(bed, "slow", &[VPNV4])?;
        SockRef::from(deaf.stream()).set_recv_buffer_size(4096)?;
        let began = Instant::now();
        bed.wait("it is dropped", |bed| {
            deaf.try_send(&octets::keepalive());
            let neighbor = bed.neighbor(deaf.local)?;
            let reason = neighbor["last_down_reason"].as_str().unwrap_or_default().to_owned();
            Ok(reason == "send-hold-timer-expired")
        })?;
        pace::in_time(began, Duration::from_secs(12))?;
        // Others are served as before.
        withdraw(&mut source, &last)?;
        hears.gone(&key(VPNV4, &last))?;
        hears.send(&octets::keepalive())?;
        let up = hears.next(A_WHILE)?;
        ensure!(matches!(up, Got::Nothing | Got::Message(KEEPALIVE | 2, _)), "{up:02x?}");
        Ok(())
    })]
}

#[test]
fn borders_let_pass_what_they_may() {
    let bed = Bed::with_neighbors("", crate::bed::UNICAST, &NEIGHBORS).expect("a control node");
    let mut cases = slow();
    cases.extend(transit());
    cases.extend(limits());
    cases.extend(warnings());
    cases.extend(memberships());
    run("borders", &bed, cases);
}
