//! `[neighbor.NAME]`: what each of its keys does to a session and to routes.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::bed::{Bed, HOME, Knob, Seat, Sort};
use crate::cases::{Case, case, run};
use crate::heard::{Told, key};
use crate::octets::{
    self, EVPN, Family, IPV4, IPV6, KEEPALIVE, RTC, VPNV4, attribute, label, prefix, target, vpn,
};
use crate::routes::with_it;
use crate::speaker::{CEILING, Got, Speaker};

/// Of most neighbors here.
const PEER: u32 = 65_010;

const fn outside(name: &'static str, keys: &'static str) -> Knob {
    Knob { name, asn: PEER, keys }
}

const fn inside(name: &'static str, keys: &'static str) -> Knob {
    Knob { name, asn: HOME, keys }
}

const NEIGHBORS: [Knob; 32] = [
    outside("plain", "families = [\"ipv4\", \"ipv6\", \"vpnv4\"]"),
    inside(
        "client",
        "client = true\nfamilies = [\"ipv4\", \"ipv6\", \"vpnv4\", \"evpn\", \"rtc\"]",
    ),
    inside("internal", "families = [\"ipv4\", \"ipv6\", \"vpnv4\"]"),
    outside("local-as", "families = [\"ipv4\"]\nlocal-as = 65099"),
    outside("local-as-replace", "families = [\"ipv4\"]\nlocal-as = 65099\nlocal-as-replace = true"),
    outside(
        "local-as-no-prepend",
        "families = [\"ipv4\"]\nlocal-as = 65099\nlocal-as-no-prepend = true",
    ),
    outside("allowas-in", "families = [\"ipv4\"]\nallowas-in = 2"),
    outside("as-override", "families = [\"ipv4\"]\nas-override = true"),
    outside("remove-all", "families = [\"ipv4\"]\nremove-private-as = \"all\""),
    outside("remove-replace", "families = [\"ipv4\"]\nremove-private-as = \"replace\""),
    outside("any-first-as", "families = [\"ipv4\"]\nfirst-as = false"),
    outside("short-paths", "families = [\"ipv4\"]\nmax-as-path = 3"),
    outside("preferred", "families = [\"ipv4\"]\ndefault-local-pref = 300"),
    outside("next-hop-self", "families = [\"ipv4\", \"ipv6\"]\nnext-hop = \"self\""),
    outside("next-hop-unchanged", "families = [\"ipv4\"]\nnext-hop = \"unchanged\""),
    outside("limited", "families = [\"ipv4\"]\nmax-prefixes = 3"),
    outside("targets-in", "families = [\"vpnv4\"]\nimport-targets = [\"64512:7001\"]"),
    outside("targets-out", "families = [\"vpnv4\"]\nexport-targets = [\"64512:7002\"]"),
    outside("short-hold", "families = [\"ipv4\"]\nhold-time = 3"),
    outside("keepalive", "families = [\"ipv4\"]\nhold-time = 30\nkeepalive = 1"),
    outside("no-restart", "families = [\"ipv4\"]\ngraceful-restart-time = 0"),
    outside("two-octets", "families = [\"ipv4\"]\nfour-octet-as = false"),
    outside("no-refresh", "families = [\"ipv4\"]\nroute-refresh = false"),
    outside("no-long-messages", "families = [\"ipv4\"]\nextended-messages = false"),
    outside("shut", "families = [\"ipv4\"]\nshutdown = true"),
    outside("three", "families = [\"ipv4\"]\nmax-peers = 3"),
    outside("many-asns", "families = [\"ipv4\"]\nasns = [65200, \"65300-65310\"]"),
    outside(
        "rewrite-in",
        "families = [\"vpnv4\"]\nimport-rewrite = { \"64512:7003\" = \"64512:7004\" }",
    ),
    outside(
        "rewrite-out",
        "families = [\"vpnv4\"]\nexport-rewrite = { \"64512:7005\" = \"64512:7006\" }",
    ),
    outside("aigp", "families = [\"ipv4\"]\naigp = true"),
    outside("no-mixed", "families = [\"ipv4\"]\nextended-next-hop = false"),
    outside("metric", "families = [\"ipv4\"]\npreference-as-med = true"),
];

fn up(bed: &Bed, name: &str) -> Result<Speaker> {
    if name == "client" {
        // Any node is one, and there are more of them.
        return bed.up_with_all(Sort::Client);
    }
    let seat = bed.neighbor_seat(name)?;
    bed.up_with(seat, &seat.open(&families(name)))
}

fn families(name: &str) -> Vec<Family> {
    let keys = NEIGHBORS.iter().find(|knob| knob.name == name).map_or("", |knob| knob.keys);
    [("ipv4\"", IPV4), ("ipv6\"", IPV6), ("\"vpnv4\"", VPNV4), ("evpn", EVPN), ("\"rtc", RTC)]
        .into_iter()
        .filter(|(text, family)| {
            let text = if *family == IPV4 { "\"ipv4\"" } else { text };
            keys.contains(text)
        })
        .map(|(_, family)| family)
        .collect()
}

fn nlri(bed: &Bed) -> Vec<u8> {
    let [_, a, b, c] = bed.number().to_be_bytes();
    prefix(&[0x32 | a, b, c, 0], 32)
}

/// Tells a route of IPv4 with a path, and with more or other attributes.
fn tell(speaker: &mut Speaker, path: &[u32], nlri: &[u8], more: &[Vec<u8>]) -> Result<()> {
    let mut attributes =
        vec![octets::origin(0), octets::as_path(path), octets::next_hop(speaker.local)];
    if path.first() != Some(&PEER) && more.iter().all(|octets| octets[1] != 5) {
        attributes.push(octets::local_pref(100));
    }
    attributes.retain(|one| more.iter().all(|other| other[1] != one[1]));
    attributes.extend_from_slice(more);
    speaker.send(&octets::update(&[], &attributes, nlri))
}

fn path_of(told: &Told) -> Vec<u32> {
    let value = told.value(2).unwrap_or_default();
    value
        .get(2..)
        .unwrap_or_default()
        .chunks(4)
        .map(|n| u32::from_be_bytes([n[0], n[1], n[2], n[3]]))
        .collect()
}

/// A path that a client tells, and the one this neighbor is told.
fn paths_out<'a>() -> Vec<Case<'a>> {
    let all: [(&str, &[u32], &[u32]); 12] = [
        ("plain", &[1, 2], &[HOME, 1, 2]),
        ("plain", &[], &[HOME]),
        ("local-as", &[1], &[65_099, HOME, 1]),
        ("local-as-no-prepend", &[1], &[65_099, HOME, 1]),
        ("local-as-replace", &[1], &[65_099, 1]),
        ("as-override", &[1, PEER, 2], &[HOME, 1, HOME, 2]),
        ("as-override", &[PEER, PEER], &[HOME, HOME, HOME]),
        ("remove-all", &[65_001, 7, 4_200_000_001, 8], &[HOME, 7, 8]),
        ("remove-all", &[65_001], &[HOME]),
        ("remove-all", &[7, 8], &[HOME, 7, 8]),
        ("remove-replace", &[65_001, 7, 4_200_000_001], &[HOME, HOME, 7, HOME]),
        ("remove-replace", &[64_511, 65_535], &[HOME, 64_511, 65_535]),
    ];
    let mut cases = Vec::new();
    for (name, path, wanted) in all {
        cases.push(case(format!("{name} is told {path:?} as {wanted:?}"), move |bed| {
            let (mut peer, mut source) = (up(bed, name)?, up(bed, "client")?);
            let nlri = nlri(bed);
            tell(&mut source, path, &nlri, &[])?;
            let told = peer.route(&key(IPV4, &nlri))?;
            ensure!(path_of(&told) == wanted, "{:?}", path_of(&told));
            Ok(())
        }));
    }
    cases
}

/// A neighbor, a path that it tells, and the one that a client is told, if any.
type Heard = (&'static str, &'static [u32], Option<&'static [u32]>);

fn paths_in<'a>() -> Vec<Case<'a>> {
    let all: [Heard; 12] = [
        ("plain", &[PEER, 1], Some(&[PEER, 1])),
        ("plain", &[PEER, HOME], None),
        ("plain", &[1], None),
        ("local-as", &[PEER, 1], Some(&[65_099, PEER, 1])),
        ("local-as-no-prepend", &[PEER, 1], Some(&[PEER, 1])),
        ("allowas-in", &[PEER, HOME], Some(&[PEER, HOME])),
        ("allowas-in", &[PEER, HOME, 1, HOME], Some(&[PEER, HOME, 1, HOME])),
        ("allowas-in", &[PEER, HOME, HOME, HOME], None),
        ("any-first-as", &[1, PEER], Some(&[1, PEER])),
        ("short-paths", &[PEER, 1, 2], Some(&[PEER, 1, 2])),
        ("short-paths", &[PEER, 1, 2, 3], None),
        ("short-paths", &[PEER, PEER, PEER, PEER, PEER], None),
    ];
    let mut cases = Vec::new();
    for (name, path, wanted) in all {
        cases.push(case(format!("{name} tells {path:?}, others hear {wanted:?}"), move |bed| {
            let (mut peer, mut client) = (up(bed, name)?, up(bed, "client")?);
            let (nlri, fence) = (nlri(bed), nlri(bed));
            tell(&mut peer, path, &nlri, &[])?;
            tell(&mut peer, &[PEER], &fence, &[])?;
            client.route(&key(IPV4, &fence))?;
            client.listen(Duration::from_millis(100))?;
            let told = client.heard.get(&key(IPV4, &nlri)).map(path_of);
            ensure!(told.as_deref() == wanted, "{told:?}");
            Ok(())
        }));
    }
    cases
}

/// Capabilities that a key takes away or adds.
fn capabilities<'a>() -> Vec<Case<'a>> {
    let all: [(&str, u8, bool); 13] = [
        ("plain", 2, true),
        ("plain", 5, true),
        ("plain", 6, true),
        ("plain", 64, true),
        ("plain", 65, true),
        ("plain", 70, true),
        ("plain", 73, true),
        ("plain", 75, true),
        ("no-restart", 64, false),
        ("two-octets", 65, false),
        ("no-refresh", 2, false),
        ("no-long-messages", 6, false),
        ("no-mixed", 5, false),
    ];
    let mut cases = Vec::new();
    for (name, code, there) in all {
        cases.push(case(format!("{name}: capability {code}: {there}"), move |bed| {
            let (mut speaker, _) = bed.connect_neighbor(name)?;
            speaker.take_open()?;
            let found = speaker.capability(code);
            ensure!(found.is_some() == there, "{found:?}");
            Ok(())
        }));
    }
    cases
}

fn sessions<'a>() -> Vec<Case<'a>> {
    vec![
        case("local-as is who we are", |bed| {
            let (mut speaker, _) = bed.connect_neighbor("local-as")?;
            speaker.take_open()?;
            ensure!(speaker.open[1..3] == 65_099_u16.to_be_bytes(), "{:02x?}", speaker.open);
            ensure!(speaker.capability(65) == Some(65_099_u32.to_be_bytes().to_vec()));
            Ok(())
        }),
        case("the hold time is its own", |bed| {
            let mut speaker = up(bed, "short-hold")?;
            let refusal = speaker.refusal(Duration::from_secs(6))?;
            ensure!((refusal.0, refusal.1) == (4, 0), "{refusal:?}");
            Ok(())
        }),
        case("KEEPALIVEs come as often as told", |bed| {
            let mut speaker = up(bed, "keepalive")?;
            speaker.listen(Duration::from_millis(3500))?;
            ensure!((2..=5).contains(&speaker.heard.keepalives), "{}", speaker.heard.keepalives);
            Ok(())
        }),
        case("one that is shut down gets no session", |bed| {
            let (mut speaker, seat) = bed.connect_neighbor("shut")?;
            speaker.try_send(&seat.open(&[IPV4]).octets());
            let refusal = speaker.refusal(CEILING)?;
            ensure!(refusal.0 == 6 && matches!(refusal.1, 2 | 3 | 5), "{refusal:?}");
            Ok(())
        }),
        case("no more than so many from a prefix", |bed| {
            let mut speakers = Vec::new();
            for _ in 0..3 {
                let seat = bed.neighbor_seat("three")?;
                speakers.push(bed.up_with(seat, &seat.open(&[IPV4]))?);
                bed.is_up(seat)?;
            }
            let (mut fourth, _) = bed.connect_neighbor("three")?;
            let refusal = fourth.refusal(CEILING)?;
            ensure!(refusal.0 == 6 && matches!(refusal.1, 5 | 8), "{refusal:?}");
            // Room again when one has gone.
            speakers.pop().context("one")?.send(&octets::notification(6, 2, &[]))?;
            let seat = bed.neighbor_seat("three")?;
            bed.wait("there is room", |bed| Ok(bed.up_with(seat, &seat.open(&[IPV4])).is_ok()))
        }),
        case("every AS of a list", |bed| {
            for (asn, up) in
                [(65_200, true), (65_300, true), (65_310, true), (65_201, false), (HOME, false)]
            {
                let (mut speaker, seat) = bed.connect_neighbor("many-asns")?;
                let open = Seat { sort: Sort::Neighbor(asn), ..seat }.open(&[IPV4]);
                speaker.confirm(&open.octets())?;
                match (speaker.next(CEILING)?, up) {
                    (Got::Message(KEEPALIVE, _), true) => {}
                    (Got::Message(3, body), false) => ensure!(body[..2] == [2, 2], "{body:?}"),
                    (other, _) => bail!("{asn}: {other:02x?}"),
                }
            }
            Ok(())
        }),
        case("one route too many ends the session", |bed| {
            let mut speaker = up(bed, "limited")?;
            for _ in 0..3 {
                tell(&mut speaker, &[PEER], &nlri(bed), &[])?;
            }
            speaker.listen(Duration::from_millis(300))?;
            tell(&mut speaker, &[PEER], &nlri(bed), &[])?;
            let refusal = speaker.refusal(CEILING)?;
            // RFC 4486 §4: the family and the limit.
            ensure!(refusal == (6, 1, vec![0, 1, 1, 0, 0, 0, 3]), "{refusal:?}");
            Ok(())
        }),
        case("and the peer stays away for a while", |bed| {
            let seat = bed.neighbor_seat("limited")?;
            let mut speaker = bed.up_with(seat, &seat.open(&[IPV4]))?;
            let list: Vec<u8> = (0..5).flat_map(|_| nlri(bed)).collect();
            tell(&mut speaker, &[PEER], &list, &[])?;
            speaker.refusal(CEILING)?;
            let until = Instant::now() + Duration::from_secs(1);
            while Instant::now() < until {
                if let Ok(mut again) = bed.connect(seat) {
                    again.try_send(&seat.open(&[IPV4]).octets());
                    let got = again.next(Duration::from_millis(300))?;
                    let is_up = matches!(got, Got::Message(octets::OPEN, _))
                        && again.next(Duration::from_millis(300))?
                            == Got::Message(KEEPALIVE, vec![]);
                    ensure!(!is_up, "it is back at once");
                }
            }
            Ok(())
        }),
    ]
}

/// What is done to routes beside their paths.
fn routes<'a>() -> Vec<Case<'a>> {
    vec![
        case("LOCAL_PREF of its routes", |bed| {
            let (mut peer, mut client) = (up(bed, "preferred")?, up(bed, "client")?);
            let nlri = nlri(bed);
            tell(&mut peer, &[PEER], &nlri, &[])?;
            let told = client.route(&key(IPV4, &nlri))?;
            ensure!(told.value(5) == Some(&300_u32.to_be_bytes()), "{told:?}");
            Ok(())
        }),
        case("the next hop is ours where it was asked for", |bed| {
            let (mut peer, mut source) = (up(bed, "next-hop-self")?, up(bed, "client")?);
            let nlri = nlri(bed);
            tell(&mut source, &[], &nlri, &[])?;
            let told = peer.route(&key(IPV4, &nlri))?;
            ensure!(told.next_hop == bed.id().octets(), "{:?}", told.next_hop);
            Ok(())
        }),
        // RFC 4271 §5.1.3.
        case("else it is ours in another AS, but of a network that both share", |bed| {
            for (name, is_ours) in
                [("plain", true), ("next-hop-unchanged", false), ("internal", false)]
            {
                let (mut peer, mut source) = (up(bed, name)?, up(bed, "client")?);
                let elsewhere = Ipv4Addr::new(203, 0, 113, 77);
                let shared = source.local;
                for (next_hop, want) in
                    [(elsewhere, if is_ours { bed.id() } else { elsewhere }), (shared, shared)]
                {
                    let nlri = nlri(bed);
                    tell(&mut source, &[], &nlri, &[octets::next_hop(next_hop)])?;
                    let told = peer.route(&key(IPV4, &nlri))?;
                    ensure!(told.next_hop == want.octets(), "{name}: {:?}", told.next_hop);
                }
            }
            Ok(())
        }),
        case("AIGP goes to an external peer that was asked for it", |bed| {
            let (mut peer, mut source) = (up(bed, "aigp")?, up(bed, "client")?);
            let nlri = nlri(bed);
            let aigp = attribute(octets::OPTIONAL, 26, &[1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 9]);
            tell(&mut source, &[], &nlri, &[aigp])?;
            let told = peer.route(&key(IPV4, &nlri))?;
            ensure!(told.value(26).is_some(), "{told:?}");
            Ok(())
        }),
        case("AIGP of an external peer that was not asked is dropped", |bed| {
            let (mut peer, mut client) = (up(bed, "plain")?, up(bed, "client")?);
            let nlri = nlri(bed);
            let aigp = attribute(octets::OPTIONAL, 26, &[1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 9]);
            tell(&mut peer, &[PEER], &nlri, &[aigp])?;
            let told = client.route(&key(IPV4, &nlri))?;
            ensure!(told.value(26).is_none(), "{told:?}");
            Ok(())
        }),
        case("only routes with its targets come in", |bed| {
            targets_in(bed, "targets-in", 7001, 7001)
        }),
        case("a target is rewritten on the way in", |bed| {
            targets_in(bed, "rewrite-in", 7003, 7004)
        }),
        case("only routes with its targets go out", |bed| {
            targets_out(bed, "targets-out", 7002, 7002)
        }),
        case("a target is rewritten on the way out", |bed| {
            targets_out(bed, "rewrite-out", 7005, 7006)
        }),
        case("LOCAL_PREF travels as MED", |bed| {
            let (mut peer, mut source) = (up(bed, "metric")?, up(bed, "client")?);
            for (local_pref, med) in
                [(100, 200), (200, 100), (50, u32::MAX - 50), (300, u32::MAX - 300)]
            {
                let nlri = nlri(bed);
                tell(&mut source, &[], &nlri, &[octets::local_pref(local_pref)])?;
                let told = peer.route(&key(IPV4, &nlri))?;
                let wanted: u32 = med;
                ensure!(told.value(4) == Some(&wanted.to_be_bytes()), "{local_pref}: {told:?}");
                ensure!(told.value(5).is_none(), "{told:?}");
            }
            Ok(())
        }),
        case("MED comes in as LOCAL_PREF", |bed| {
            let (mut peer, mut client) = (up(bed, "metric")?, up(bed, "client")?);
            for (med, local_pref) in [(200, 100), (100, 200), (u32::MAX - 50, 50_u32)] {
                let nlri = nlri(bed);
                tell(&mut peer, &[PEER], &nlri, &[octets::med(med)])?;
                let told = client.route(&key(IPV4, &nlri))?;
                ensure!(told.value(5) == Some(&local_pref.to_be_bytes()), "{med}: {told:?}");
            }
            Ok(())
        }),
        case("a neighbor that is no client is not told what another one told", |bed| {
            let (mut a, mut b) = (up(bed, "internal")?, up(bed, "internal")?);
            let (mut client, nlri) = (up(bed, "client")?, nlri(bed));
            tell(&mut a, &[], &nlri, &[])?;
            client.route(&key(IPV4, &nlri))?;
            b.listen(Duration::from_millis(200))?;
            ensure!(b.heard.get(&key(IPV4, &nlri)).is_none(), "it is told");
            Ok(())
        }),
        case("an IPv4 route by an IPv6 next hop, where both sides can", |bed| {
            // RFC 8950 §4.
            let seat = bed.neighbor_seat("client")?;
            let mixed = seat.open(&families("client")).and(5, &[0, 1, 0, 1, 0, 2]);
            let (mut a, mut plain) = (bed.up_with(seat, &mixed)?, up(bed, "client")?);
            let seat = bed.neighbor_seat("client")?;
            let mut b =
                bed.up_with(seat, &seat.open(&families("client")).and(5, &[0, 1, 0, 1, 0, 2]))?;
            let nlri = nlri(bed);
            let hop = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
            let mut attributes = with_it(Sort::Client, &[]);
            attributes.push(octets::reach(IPV4, &hop, &nlri));
            a.send(&octets::update(&[], &attributes, &[]))?;
            let told = b.route(&key(IPV4, &nlri))?;
            ensure!(told.next_hop == hop, "{:02x?}", told.next_hop);
            plain.listen(Duration::from_millis(200))?;
            ensure!(plain.heard.get(&key(IPV4, &nlri)).is_none(), "one that cannot is told");
            Ok(())
        }),
    ]
}

fn vpn_route(bed: &Bed) -> Vec<u8> {
    vpn(label(3), octets::rd(64_512, bed.number()), &[10, 0, 0, 0], 8)
}

fn tell_vpn(speaker: &mut Speaker, path: &[u32], nlri: &[u8], number: u32) -> Result<()> {
    let communities = octets::extended_communities(&[target(64_512, number)]);
    let reach = octets::reach(VPNV4, &octets::vpn_next_hop(speaker.local), nlri);
    let mut attributes = vec![octets::origin(0), octets::as_path(path), communities, reach];
    if path.is_empty() {
        attributes.push(octets::local_pref(100));
    }
    speaker.send(&octets::update(&[], &attributes, &[]))
}

/// A route with `comes` is told to clients with `goes`; one with another target is not, unless it may.
fn targets_in(bed: &Bed, name: &str, comes: u32, goes: u32) -> Result<()> {
    let (mut peer, mut client) = (up(bed, name)?, up(bed, "client")?);
    ask_for_all(&mut client)?;
    let (right, other) = (vpn_route(bed), vpn_route(bed));
    tell_vpn(&mut peer, &[PEER], &other, 6999)?;
    tell_vpn(&mut peer, &[PEER], &right, comes)?;
    let told = client.route(&key(VPNV4, &right))?;
    ensure!(told.value(16) == Some(&target(64_512, goes)), "{told:?}");
    client.listen(Duration::from_millis(200))?;
    let others = client.heard.get(&key(VPNV4, &other)).is_some();
    ensure!(others != name.starts_with("targets"), "the other one: {others}");
    Ok(())
}

fn targets_out(bed: &Bed, name: &str, comes: u32, goes: u32) -> Result<()> {
    let (mut peer, mut source) = (up(bed, name)?, up(bed, "client")?);
    let (right, other) = (vpn_route(bed), vpn_route(bed));
    tell_vpn(&mut source, &[], &other, 6999)?;
    tell_vpn(&mut source, &[], &right, comes)?;
    let told = peer.route(&key(VPNV4, &right))?;
    ensure!(told.value(16) == Some(&target(64_512, goes)), "{told:?}");
    peer.listen(Duration::from_millis(200))?;
    let others = peer.heard.get(&key(VPNV4, &other)).is_some();
    ensure!(others != name.starts_with("targets"), "the other one: {others}");
    Ok(())
}

fn ask_for_all(speaker: &mut Speaker) -> Result<()> {
    speaker.send(&crate::bed::membership(HOME, speaker.local, &octets::DEFAULT_TARGET))?;
    speaker.end(RTC)
}

#[test]
fn a_neighbor_does_what_its_keys_say() {
    let bed = Bed::with_neighbors("", crate::bed::UNICAST, &NEIGHBORS).expect("a control node");
    let mut cases = capabilities();
    cases.extend(sessions());
    cases.extend(paths_out());
    cases.extend(paths_in());
    cases.extend(routes());
    run("neighbors", &bed, cases);
}
