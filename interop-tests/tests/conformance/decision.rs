//! RFC 4271 §9.1, RFC 4456 §9, RFC 7432 §7.7 and §15: which of two paths is told.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use crate::bed::{Bed, FAR, HOME, Sort};
use crate::cases::{Case, case, run};
use crate::heard::key;
use crate::octets::{self, EVPN, Family, VPNV4, WELL_KNOWN, attribute, evpn, label, target, vpn};
use crate::routes::with_it;
use crate::speaker::Speaker;

/// A path: who tells it, and what it says beside the least.
struct Path {
    sort: Sort,
    attributes: Vec<Vec<u8>>,
    communities: Vec<[u8; 8]>,
}

fn path(sort: Sort, attributes: Vec<Vec<u8>>) -> Path {
    Path { sort, attributes, communities: vec![] }
}

fn client(attributes: Vec<Vec<u8>>) -> Path {
    path(Sort::Client, attributes)
}

/// A sequence, as an internal peer sends it.
fn through(numbers: &[u32]) -> Vec<u8> {
    octets::as_path(numbers)
}

/// The step that decides, the path that wins, the one that loses.
fn steps() -> Vec<(&'static str, Path, Path)> {
    let set = || attribute(WELL_KNOWN, 2, &octets::segments(&[(2, &[1]), (1, &[2, 3, 4])]));
    let id = |last| octets::originator(Ipv4Addr::new(1, 1, 1, last));
    vec![
        (
            "LOCAL_PREF",
            client(vec![octets::local_pref(200), through(&[1, 2, 3])]),
            client(vec![octets::local_pref(199)]),
        ),
        (
            "the highest LOCAL_PREF",
            client(vec![octets::local_pref(u32::MAX)]),
            client(vec![octets::local_pref(u32::MAX - 1)]),
        ),
        (
            "LOCAL_PREF before length",
            client(vec![octets::local_pref(101), through(&[1, 2, 3, 4])]),
            client(vec![through(&[1])]),
        ),
        (
            "length of AS_PATH",
            client(vec![through(&[1]), octets::origin(2)]),
            client(vec![through(&[1, 2])]),
        ),
        ("a set counts as one", client(vec![set()]), client(vec![through(&[1, 2, 3])])),
        ("an empty AS_PATH", client(vec![]), client(vec![through(&[1])])),
        (
            "ORIGIN IGP before EGP",
            client(vec![octets::origin(0), octets::med(9)]),
            client(vec![octets::origin(1), octets::med(1)]),
        ),
        (
            "ORIGIN EGP before incomplete",
            client(vec![octets::origin(1)]),
            client(vec![octets::origin(2)]),
        ),
        (
            "MED of one neighbouring AS",
            client(vec![through(&[7, 8]), octets::med(5)]),
            client(vec![through(&[7, 9]), octets::med(6)]),
        ),
        (
            "no MED is 0",
            client(vec![through(&[7, 8])]),
            client(vec![through(&[7, 9]), octets::med(1)]),
        ),
        ("MED of empty paths", client(vec![octets::med(5)]), client(vec![octets::med(6)])),
        (
            "external before internal",
            path(Sort::Far, vec![]),
            path(Sort::Client, vec![through(&[FAR]), id(1)]),
        ),
        ("the lower originator", client(vec![id(1)]), client(vec![id(2)])),
        (
            "the shorter CLUSTER_LIST",
            client(vec![id(1)]),
            client(vec![id(1), octets::cluster_list(&[Ipv4Addr::new(9, 9, 9, 9)])]),
        ),
        (
            "the shorter of two CLUSTER_LISTs",
            client(vec![id(1), octets::cluster_list(&[Ipv4Addr::new(9, 9, 9, 9)])]),
            client(vec![
                id(1),
                octets::cluster_list(&[Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(2, 2, 2, 2)]),
            ]),
        ),
    ]
}

/// MAC mobility: flags, sequence.
fn mobility(sticky: u8, sequence: u32) -> [u8; 8] {
    let [a, b, c, d] = sequence.to_be_bytes();
    [6, 0, sticky, 0, a, b, c, d]
}

fn moves() -> Vec<(&'static str, Path, Path)> {
    let of = |communities: Vec<[u8; 8]>, attributes| Path {
        sort: Sort::Client,
        attributes,
        communities,
    };
    vec![
        (
            "the higher sequence",
            of(vec![mobility(0, 2)], vec![through(&[1, 2])]),
            of(vec![mobility(0, 1)], vec![]),
        ),
        (
            "a sequence before none",
            of(vec![mobility(0, 1)], vec![through(&[1])]),
            of(vec![], vec![]),
        ),
        (
            "sticky before a higher sequence",
            of(vec![mobility(1, 0)], vec![through(&[1])]),
            of(vec![mobility(0, 9)], vec![]),
        ),
        (
            "the highest sequence",
            of(vec![mobility(0, u32::MAX)], vec![through(&[1])]),
            of(vec![mobility(0, u32::MAX - 1)], vec![]),
        ),
    ]
}

/// Tells one path of a route; its next hop says whose it is.
fn tell(
    speaker: &mut Speaker,
    path: &Path,
    (family, nlri): (Family, &[u8]),
    target: [u8; 8],
) -> Result<Vec<u8>> {
    let next_hop = if family == VPNV4 {
        octets::vpn_next_hop(speaker.local)
    } else {
        speaker.local.octets().to_vec()
    };
    let communities = [&[target][..], &path.communities].concat();
    let mut attributes = with_it(path.sort, &communities);
    attributes.retain(|one| path.attributes.iter().all(|other| other[1] != one[1]));
    attributes.extend_from_slice(&path.attributes);
    attributes.push(octets::reach(family, &next_hop, nlri));
    speaker.send(&octets::update(&[], &attributes, &[]))?;
    Ok(next_hop)
}

/// Tells both in one order or the other, and looks who is told; then the best one goes.
fn decide(
    bed: &Bed,
    family: Family,
    (best, other): (&Path, &Path),
    best_first: bool,
) -> Result<()> {
    let rd = octets::rd(64_512, bed.number());
    let nlri = if family == VPNV4 {
        vpn(label(5), rd, &[10, 2, 2, 0], 24)
    } else {
        evpn(2, &[&rd[..], &[0; 14], &[48, 2, 0, 0, 0, 0, 1, 0], &label(5)].concat())
    };
    let (key, target) = (key(family, &nlri), target(64_512, bed.number()));
    let (mut a, mut b) = (bed.up(best.sort)?, bed.up(other.sort)?);
    let watcher = bed.watcher(Sort::Sibling)?;
    let (hop_a, hop_b);
    if best_first {
        hop_a = tell(&mut a, best, (family, &nlri), target)?;
        watcher.route_with(&key, |told| told.next_hop == hop_a)?;
        hop_b = tell(&mut b, other, (family, &nlri), target)?;
        std::thread::sleep(std::time::Duration::from_millis(100));
    } else {
        hop_b = tell(&mut b, other, (family, &nlri), target)?;
        watcher.route_with(&key, |told| told.next_hop == hop_b)?;
        hop_a = tell(&mut a, best, (family, &nlri), target)?;
    }
    watcher.route_with(&key, |told| told.next_hop == hop_a)?;
    a.send(&octets::update(&[], &[octets::unreach(family, &nlri)], &[]))?;
    watcher.route_with(&key, |told| told.next_hop == hop_b)?;
    b.send(&octets::update(&[], &[octets::unreach(family, &nlri)], &[]))?;
    bed.gone(Sort::Sibling, &key)
}

#[test]
fn the_best_path_is_told_whatever_came_first() {
    let bed = Bed::start().expect("a control node");
    let (steps, moves) = (steps(), moves());
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (family, list) in [(VPNV4, &steps), (EVPN, &steps), (EVPN, &moves)] {
        for (name, best, other) in list {
            for best_first in [true, false] {
                let order = if best_first { "first" } else { "last" };
                cases.push(case(format!("{family:?}, {name}, {order}"), move |bed| {
                    decide(bed, family, (best, other), best_first)
                }));
            }
        }
    }
    cases.push(case("MED of two neighbouring AS decides nothing", |bed| {
        // The lower originator wins though its MED is higher.
        let id = |last| octets::originator(Ipv4Addr::new(1, 1, 1, last));
        let best = client(vec![through(&[7]), octets::med(9), id(1)]);
        let other = client(vec![through(&[8]), octets::med(1), id(2)]);
        decide(bed, VPNV4, (&best, &other), true)?;
        decide(bed, VPNV4, (&best, &other), false)
    }));
    cases.push(case("MED is compared within each neighbouring AS, in every order", three_paths));
    cases.push(case("the step that decided is shown", |bed| {
        let (mut a, mut b) = (bed.up(Sort::Client)?, bed.up(Sort::Client)?);
        let (number, asn) = (bed.number(), 64_512);
        let nlri = vpn(label(5), octets::rd(asn, bed.number()), &[10, 2, 2, 0], 24);
        let target = target(asn, number);
        tell(&mut a, &client(vec![octets::local_pref(7)]), (VPNV4, &nlri), target)?;
        tell(&mut b, &client(vec![octets::local_pref(8)]), (VPNV4, &nlri), target)?;
        bed.wait("two paths are shown", |bed| {
            let page = bed.ask(&format!("/v1/routes?family=vpnv4&target={asn}:{number}"))?;
            let paths = page["routes"][0]["paths"].as_array().cloned().unwrap_or_default();
            Ok(paths.len() == 2
                && paths.iter().any(|path| path["why"].as_str().is_some_and(|why| !why.is_empty())))
        })
    }));
    run("decision", &bed, cases);
}

/// RFC 4271 §9.1.2.2 c: of A (AS 7, MED 1), B (AS 7, MED 2) and C (AS 8), B is out before identifiers
/// are compared; of the others that of C is lower. Whoever compares in pairs may end with another one.
fn three_paths(bed: &Bed) -> Result<()> {
    let id = |last| octets::originator(Ipv4Addr::new(1, 1, 1, last));
    let paths = [
        client(vec![through(&[7]), octets::med(1), id(3)]),
        client(vec![through(&[7]), octets::med(2), id(1)]),
        client(vec![through(&[8]), octets::med(5), id(2)]),
    ];
    let watcher = bed.watcher(Sort::Sibling)?;
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let nlri = vpn(label(5), octets::rd(64_512, bed.number()), &[10, 2, 2, 0], 24);
        let target = target(64_512, bed.number());
        let mut speakers = Vec::new();
        let mut hops = [vec![], vec![], vec![]];
        for at in order {
            let mut speaker = bed.up(Sort::Client)?;
            hops[at] = tell(&mut speaker, &paths[at], (VPNV4, &nlri), target)?;
            speakers.push(speaker);
            bed.wait("it is taken", |bed| {
                let target = u32::from_be_bytes([target[4], target[5], target[6], target[7]]);
                let page = bed.ask(&format!("/v1/routes?family=vpnv4&target={HOME}:{target}"))?;
                let paths = page["routes"][0]["paths"].as_array().map_or(0, Vec::len);
                Ok(paths == speakers.len())
            })?;
        }
        let told = watcher.route_with(&key(VPNV4, &nlri), |told| told.next_hop == hops[2]);
        ensure!(told.is_ok(), "in the order {order:?}: {told:?}");
    }
    Ok(())
}
