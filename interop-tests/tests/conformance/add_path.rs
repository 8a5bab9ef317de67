//! RFC 7911: several paths of one destination, told and heard.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bed::{Bed, HOME, Knob, Sort, UNICAST};
use crate::cases::{Case, case, run};
use crate::heard::{Heard, Key, key};
use crate::octets::{self, Family, IPV4, IPV6, VPNV4, label, prefix, target, vpn};
use crate::routes::with_it;
use crate::speaker::Speaker;

const A_WHILE: Duration = Duration::from_millis(200);

const FAMILIES: &str = "families = [\"ipv4\", \"ipv6\", \"vpnv4\"]\nclient = true\n";

const NEIGHBORS: [Knob; 5] = [
    Knob {
        name: "both",
        asn: HOME,
        keys: "client = true\nfamilies = [\"ipv4\", \"ipv6\", \"vpnv4\"]\nadd-path-send = 4\nadd-path-receive = true",
    },
    Knob {
        name: "two",
        asn: HOME,
        keys: "client = true\nfamilies = [\"ipv4\"]\nadd-path-send = 2",
    },
    Knob {
        name: "receive",
        asn: HOME,
        keys: "client = true\nfamilies = [\"ipv4\"]\nadd-path-receive = true",
    },
    Knob { name: "none", asn: HOME, keys: FAMILIES },
    Knob {
        name: "external",
        asn: 65_010,
        keys: "families = [\"ipv4\"]\nadd-path-send = 8\nadd-path-receive = true",
    },
];

/// The value of the capability: 1 is receive, 2 send, 3 both.
fn offer(families: &[Family], value: u8) -> Vec<u8> {
    let each = |family: &Family| {
        let [high, low] = family.0.to_be_bytes();
        [high, low, family.1, value]
    };
    families.iter().flat_map(each).collect()
}

/// A neighbor that offers this; `hears` are the families in which it is told identifiers.
fn up(bed: &Bed, name: &str, families: &[Family], value: u8, hears: &[Family]) -> Result<Speaker> {
    let seat = bed.neighbor_seat(name)?;
    let open = seat.open(families).and(69, &offer(families, value));
    let mut speaker = bed.up_with(seat, &open)?;
    speaker.heard.add_path = hears.to_vec();
    Ok(speaker)
}

fn nlri(bed: &Bed) -> Vec<u8> {
    let [_, a, b, c] = bed.number().to_be_bytes();
    prefix(&[0x32 | a, b, c, 0], 32)
}

/// Announces with a LOCAL_PREF that says which path it is.
fn tell(speaker: &mut Speaker, nlri: &[u8], local_pref: u32) -> Result<()> {
    let mut attributes = with_it(Sort::Client, &[]);
    attributes.retain(|octets| octets[1] != 5);
    attributes.extend([octets::local_pref(local_pref), octets::next_hop(speaker.local)]);
    speaker.send(&octets::update(&[], &attributes, nlri))
}

fn with_id(id: u32, nlri: &[u8]) -> Vec<u8> {
    [&id.to_be_bytes()[..], nlri].concat()
}

/// The paths of a destination: identifier and LOCAL_PREF.
fn paths(heard: &Heard, nlri: &[u8]) -> Vec<(u32, u32)> {
    let wanted = key(IPV4, nlri);
    let of = |(found, told): (&Key, &crate::heard::Told)| {
        (found.0 == wanted.0 && found.2 == wanted.2).then(|| {
            let value = told.value(5).unwrap_or(&[0; 4]);
            (found.1, u32::from_be_bytes([value[0], value[1], value[2], value[3]]))
        })
    };
    heard.routes.iter().filter_map(of).collect()
}

fn prefs(heard: &Heard, nlri: &[u8]) -> BTreeSet<u32> {
    paths(heard, nlri).into_iter().map(|(_, pref)| pref).collect()
}

fn offers<'a>() -> Vec<Case<'a>> {
    let all: [(&str, Option<u8>); 5] = [
        ("both", Some(3)),
        ("two", Some(2)),
        ("receive", Some(1)),
        ("none", None),
        ("external", Some(3)),
    ];
    let mut cases = Vec::new();
    for (name, wanted) in all {
        cases.push(case(format!("{name} is offered {wanted:?}"), move |bed| {
            let (mut speaker, _) = bed.connect_neighbor(name)?;
            speaker.take_open()?;
            let value = speaker.capability(69);
            let found =
                value.as_ref().map(|value| value.chunks(4).map(|one| one[3]).collect::<Vec<_>>());
            let is_right = match (&found, wanted) {
                (None, None) => true,
                (Some(found), Some(wanted)) => found.iter().all(|one| *one == wanted),
                _ => false,
            };
            ensure!(is_right, "{value:?}");
            Ok(())
        }));
    }
    cases
}

fn told<'a>() -> Vec<Case<'a>> {
    vec![
        case("all paths by different identifiers, then one less", |bed| {
            let mut peer = up(bed, "both", &[IPV4], 3, &[IPV4])?;
            let (mut a, mut b) = (bed.up_with_all(Sort::Client)?, bed.up_with_all(Sort::Client)?);
            let nlri = nlri(bed);
            tell(&mut a, &nlri, 100)?;
            tell(&mut b, &nlri, 200)?;
            peer.until("two paths", |heard| prefs(heard, &nlri) == BTreeSet::from([100, 200]))?;
            let before = paths(&peer.heard, &nlri);
            ensure!(before[0].0 != before[1].0, "{before:?}");
            a.send(&octets::update(&nlri, &[], &[]))?;
            peer.until("one path", |heard| prefs(heard, &nlri) == BTreeSet::from([200]))?;
            let after = paths(&peer.heard, &nlri);
            ensure!(before.contains(&after[0]), "the identifier changed: {before:?}, {after:?}");
            b.send(&octets::update(&nlri, &[], &[]))?;
            peer.until("none", |heard| paths(heard, &nlri).is_empty())
        }),
        case("a path that changes keeps its identifier", |bed| {
            let mut peer = up(bed, "both", &[IPV4], 3, &[IPV4])?;
            let (mut a, mut b) = (bed.up_with_all(Sort::Client)?, bed.up_with_all(Sort::Client)?);
            let nlri = nlri(bed);
            tell(&mut a, &nlri, 100)?;
            tell(&mut b, &nlri, 200)?;
            peer.until("two paths", |heard| prefs(heard, &nlri) == BTreeSet::from([100, 200]))?;
            let of = |heard: &Heard, pref| {
                paths(heard, &nlri).into_iter().find(|path| path.1 == pref).map(|path| path.0)
            };
            let id = of(&peer.heard, 100);
            // Now it is the best one.
            tell(&mut a, &nlri, 300)?;
            peer.until("it changes", |heard| prefs(heard, &nlri) == BTreeSet::from([200, 300]))?;
            ensure!(of(&peer.heard, 300) == id, "{:?}", paths(&peer.heard, &nlri));
            Ok(())
        }),
        case("no more paths than it is told at most, and the best", |bed| {
            let mut peer = up(bed, "two", &[IPV4], 1, &[IPV4])?;
            let nlri = nlri(bed);
            let mut sources = Vec::new();
            for pref in [100, 400, 200, 300] {
                let mut source = bed.up_with_all(Sort::Client)?;
                tell(&mut source, &nlri, pref)?;
                sources.push(source);
            }
            peer.until("the best two", |heard| prefs(heard, &nlri) == BTreeSet::from([300, 400]))?;
            sources[1].send(&octets::update(&nlri, &[], &[]))?;
            peer.until("the next two", |heard| prefs(heard, &nlri) == BTreeSet::from([200, 300]))?;
            peer.listen(A_WHILE)?;
            ensure!(paths(&peer.heard, &nlri).len() == 2, "{:?}", paths(&peer.heard, &nlri));
            Ok(())
        }),
        case("one that only sends is told one path without identifier", |bed| {
            let mut peer = up(bed, "both", &[IPV4], 2, &[])?;
            let (mut a, mut b) = (bed.up_with_all(Sort::Client)?, bed.up_with_all(Sort::Client)?);
            let nlri = nlri(bed);
            tell(&mut a, &nlri, 100)?;
            tell(&mut b, &nlri, 200)?;
            peer.until("the best path", |heard| prefs(heard, &nlri) == BTreeSet::from([200]))?;
            ensure!(paths(&peer.heard, &nlri) == [(0, 200)], "{:?}", paths(&peer.heard, &nlri));
            Ok(())
        }),
        case("one that offers nothing is told one path without identifier", |bed| {
            let seat = bed.neighbor_seat("both")?;
            let mut peer = bed.up_with(seat, &seat.open(&[IPV4]))?;
            let (mut a, mut b) = (bed.up_with_all(Sort::Client)?, bed.up_with_all(Sort::Client)?);
            let nlri = nlri(bed);
            tell(&mut a, &nlri, 100)?;
            tell(&mut b, &nlri, 200)?;
            peer.until("the best path", |heard| prefs(heard, &nlri) == BTreeSet::from([200]))
        }),
        case("it is agreed on for each family apart", |bed| {
            let seat = bed.neighbor_seat("both")?;
            let open = seat.open(&[IPV4, IPV6, VPNV4]).and(69, &offer(&[IPV4], 3));
            let mut peer = bed.up_with(seat, &open)?;
            peer.heard.add_path = vec![IPV4];
            let mut source = bed.up_with_all(Sort::Client)?;
            let (v4, v6) = (nlri(bed), prefix(&[0x20, 1, 2, 3, 4, 5], 48));
            tell(&mut source, &v4, 100)?;
            let mut attributes = with_it(Sort::Client, &[]);
            attributes.push(octets::reach(IPV6, &[9; 16], &v6));
            source.send(&octets::update(&[], &attributes, &[]))?;
            peer.until("the path of IPv4", |heard| paths(heard, &v4).len() == 1)?;
            peer.route(&key(IPV6, &v6)).map(|_| ())
        }),
        case("values that mean nothing agree on nothing", |bed| {
            let seat = bed.neighbor_seat("both")?;
            let open =
                seat.open(&[IPV4, IPV6]).and(69, &[offer(&[IPV4], 0), offer(&[IPV6], 7)].concat());
            let mut peer = bed.up_with(seat, &open)?;
            let mut source = bed.up_with_all(Sort::Client)?;
            let nlri = nlri(bed);
            tell(&mut source, &nlri, 100)?;
            peer.route(&key(IPV4, &nlri)).map(|_| ())
        }),
        case("End-of-RIB and refresh as without", |bed| {
            let mut peer = up(bed, "both", &[IPV4], 3, &[IPV4])?;
            let mut source = bed.up_with_all(Sort::Client)?;
            let nlri = nlri(bed);
            tell(&mut source, &nlri, 100)?;
            peer.until("it is told", |heard| paths(heard, &nlri).len() == 1)?;
            let path = (IPV4, paths(&peer.heard, &nlri)[0].0, nlri.clone());
            peer.send(&octets::refresh(IPV4, 0))?;
            peer.until("it is told again", |heard| heard.announced[&path] == 2)?;
            ensure!(paths(&peer.heard, &nlri).len() == 1, "under another identifier");
            Ok(())
        }),
        case("VPN routes by their targets, several paths each", |bed| {
            let seat = bed.neighbor_seat("both")?;
            let mut peer = bed.up_with(seat, &seat.open(&[VPNV4]).and(69, &offer(&[VPNV4], 1)))?;
            peer.heard.add_path = vec![VPNV4];
            let nlri = vpn(label(3), octets::rd(64_512, bed.number()), &[10, 0, 0, 0], 8);
            let target = target(64_512, bed.number());
            let mut sources = Vec::new();
            for _ in 0..3 {
                let mut source = bed.up_with_all(Sort::Client)?;
                let hop = octets::vpn_next_hop(source.local);
                source.send(&crate::routes::announce(
                    Sort::Client,
                    VPNV4,
                    &hop,
                    &nlri,
                    &[target],
                ))?;
                sources.push(source);
            }
            let wanted = key(VPNV4, &nlri).2;
            peer.until("three paths", |heard| {
                heard.routes.keys().filter(|key| key.0 == VPNV4 && key.2 == wanted).count() == 3
            })
        }),
    ]
}

/// Paths with identifiers from a peer.
fn heard<'a>() -> Vec<Case<'a>> {
    let say = |speaker: &mut Speaker, id: u32, nlri: &[u8], pref: u32| -> Result<()> {
        let nlri = with_id(id, nlri);
        tell(speaker, &nlri, pref)
    };
    let best = |bed: &Bed, nlri: &[u8], pref: u32| -> Result<()> {
        let wanted = pref.to_be_bytes();
        let watcher = bed.watcher(Sort::Client)?;
        watcher.route_with(&key(IPV4, nlri), |told| told.value(5) == Some(&wanted)).map(|_| ())
    };
    vec![
        case("three paths of one peer: the best is told, then the next", move |bed| {
            let mut source = up(bed, "receive", &[IPV4], 2, &[])?;
            let nlri = nlri(bed);
            for (id, pref) in [(1, 100), (7, 300), (u32::MAX, 200)] {
                say(&mut source, id, &nlri, pref)?;
            }
            best(bed, &nlri, 300)?;
            source.send(&octets::update(&with_id(7, &nlri), &[], &[]))?;
            best(bed, &nlri, 200)?;
            source.send(&octets::update(&with_id(u32::MAX, &nlri), &[], &[]))?;
            best(bed, &nlri, 100)?;
            source.send(&octets::update(&with_id(1, &nlri), &[], &[]))?;
            bed.gone(Sort::Client, &key(IPV4, &nlri))
        }),
        case("the same identifier replaces", move |bed| {
            let mut source = up(bed, "receive", &[IPV4], 2, &[])?;
            let nlri = nlri(bed);
            say(&mut source, 5, &nlri, 300)?;
            best(bed, &nlri, 300)?;
            say(&mut source, 5, &nlri, 200)?;
            best(bed, &nlri, 200)?;
            source.send(&octets::update(&with_id(5, &nlri), &[], &[]))?;
            bed.gone(Sort::Client, &key(IPV4, &nlri))
        }),
        case("a withdrawal by another identifier takes nothing", move |bed| {
            let mut source = up(bed, "receive", &[IPV4], 2, &[])?;
            let (nlri, fence) = (nlri(bed), nlri(bed));
            say(&mut source, 5, &nlri, 300)?;
            best(bed, &nlri, 300)?;
            source.send(&octets::update(&with_id(6, &nlri), &[], &[]))?;
            say(&mut source, 1, &fence, 100)?;
            best(bed, &fence, 100)?;
            best(bed, &nlri, 300)
        }),
        case("identifier 0 is one as well", move |bed| {
            let mut source = up(bed, "receive", &[IPV4], 2, &[])?;
            let nlri = nlri(bed);
            say(&mut source, 0, &nlri, 300)?;
            say(&mut source, 1, &nlri, 200)?;
            best(bed, &nlri, 300)?;
            source.send(&octets::update(&with_id(0, &nlri), &[], &[]))?;
            best(bed, &nlri, 200)
        }),
        case("paths of one peer go to another one by new identifiers", move |bed| {
            let mut source = up(bed, "both", &[IPV4], 3, &[IPV4])?;
            let mut peer = up(bed, "both", &[IPV4], 3, &[IPV4])?;
            let nlri = nlri(bed);
            for (id, pref) in [(1, 100), (2, 200), (3, 300)] {
                say(&mut source, id, &nlri, pref)?;
            }
            let all = BTreeSet::from([100, 200, 300]);
            peer.until("all paths", |heard| prefs(heard, &nlri) == all)?;
            let ids: BTreeSet<_> =
                paths(&peer.heard, &nlri).into_iter().map(|path| path.0).collect();
            ensure!(ids.len() == 3, "{ids:?}");
            source.close();
            peer.until("none", |heard| paths(heard, &nlri).is_empty())
        }),
        case("an identifier that ends early is refused", |bed| {
            let mut source = up(bed, "receive", &[IPV4], 2, &[])?;
            let mut attributes = with_it(Sort::Client, &[]);
            attributes.push(octets::next_hop(source.local));
            source.send(&octets::update(&[], &attributes, &[0, 0, 1]))?;
            let refusal = source.refusal(crate::speaker::CEILING)?;
            ensure!((refusal.0, refusal.1) == (3, 10), "{refusal:?}");
            Ok(())
        }),
    ]
}

#[test]
fn several_paths_are_told_and_heard_where_it_was_agreed_on() {
    let bed = Bed::with_neighbors("", UNICAST, &NEIGHBORS).expect("a control node");
    let mut cases = offers();
    cases.extend(told());
    cases.extend(heard());
    run("paths", &bed, cases);
}
