//! RFC 4456: who is told what, and with which attributes; and what external peers are told.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use crate::bed::{Bed, FAR, HOME, Sort};
use crate::cases::{Case, case, run};
use crate::heard::{Attributes, Key, Told, key};
use crate::octets::{
    self, EVPN, Family, OPTIONAL, PARTIAL, TRANSITIVE, VPNV4, VPNV6, WELL_KNOWN, attribute, evpn,
    label, target, vpn,
};
use crate::routes::with_it;
use crate::speaker::Speaker;

/// Families by name, with a next hop and a route of them.
type Of = fn(&Bed) -> (Family, Vec<u8>, Vec<u8>);

const FAMILIES: [Of; 3] = [
    |bed| {
        let nlri = vpn(label(30), octets::rd(64_512, bed.number()), &[10, 4, 4, 0], 24);
        (VPNV4, octets::vpn_next_hop(Ipv4Addr::new(192, 0, 2, 1)), nlri)
    },
    |bed| {
        let nlri = vpn(label(30), octets::rd(64_512, bed.number()), &[0x20, 1, 0xd, 0xb8], 32);
        (VPNV6, octets::mapped_next_hop(Ipv4Addr::new(192, 0, 2, 1)), nlri)
    },
    |bed| {
        let rd = octets::rd(64_512, bed.number());
        let nlri = evpn(3, &[&rd[..], &[0, 0, 0, 1, 32, 10, 4, 4, 4]].concat());
        (EVPN, vec![192, 0, 2, 1], nlri)
    },
];

/// A route that is on its way: who announced it, and by which key others know it.
struct Sent {
    speaker: Speaker,
    key: Key,
    next_hop: Vec<u8>,
    /// Of the peer that announced it.
    id: Ipv4Addr,
}

/// Announces a route of a family with more attributes than it needs, or instead of them.
fn send(bed: &Bed, sort: Sort, of: Of, more: &[Vec<u8>]) -> Result<Sent> {
    let mut speaker = bed.up(sort)?;
    let (family, next_hop, nlri) = of(bed);
    let mut attributes = with_it(sort, &[target(64_512, bed.number())]);
    attributes.retain(|octets| more.iter().all(|other| other[1] != octets[1]));
    attributes.push(octets::reach(family, &next_hop, &nlri));
    attributes.extend_from_slice(more);
    speaker.send(&octets::update(&[], &attributes, &[]))?;
    let id = speaker.local;
    Ok(Sent { speaker, key: key(family, &nlri), next_hop, id })
}

/// Waits until the tables have dealt with what was sent, by another route behind it.
fn fence(bed: &Bed, sent: &mut Sent, sort: Sort) -> Result<()> {
    // The same distinguisher, so that it goes through the same shard.
    let nlri = vpn(label(1), rd_of(&sent.key), &[10, 255, 255, 255], 32);
    let mut attributes = with_it(sort, &[target(64_512, bed.number())]);
    attributes.push(octets::reach(VPNV4, &octets::vpn_next_hop(sent.id), &nlri));
    sent.speaker.send(&octets::update(&[], &attributes, &[]))?;
    let fence = key(VPNV4, &nlri);
    for watcher in [Sort::Client, Sort::Far] {
        if !(sort == Sort::Far && watcher == Sort::Far) {
            bed.watcher(watcher)?.route(&fence)?;
        }
    }
    Ok(())
}

fn rd_of(key: &Key) -> [u8; 8] {
    let from = match (key.0, key.2[0]) {
        (EVPN, 2 | 5) => 1,
        (EVPN, _) => 2,
        _ => 1,
    };
    key.2[from..from + 8].try_into().expect("a distinguisher")
}

/// Who is told a route of whom.
fn matrix<'a>() -> Vec<Case<'a>> {
    // From; told to another client, another sibling, an external peer.
    let told = [
        (Sort::Client, [true, true, true]),
        (Sort::Sibling, [true, false, true]),
        (Sort::Far, [true, true, false]),
    ];
    let mut cases = Vec::new();
    for (at, of) in FAMILIES.into_iter().enumerate() {
        for (from, told) in told {
            for (to, told) in [Sort::Client, Sort::Sibling, Sort::Far].into_iter().zip(told) {
                let name = format!("family {at}: {from:?} to {to:?}: {told}");
                cases.push(case(name, move |bed| {
                    let mut sent = send(bed, from, of, &[])?;
                    if told {
                        let told = bed.watcher(to)?.route(&sent.key)?;
                        ensure!(told.next_hop == sent.next_hop, "next hop {:?}", told.next_hop);
                        sent.speaker.send(&octets::update(
                            &[],
                            &[octets::unreach(sent.key.0, &told.nlri)],
                            &[],
                        ))?;
                        return bed.gone(to, &sent.key);
                    }
                    fence(bed, &mut sent, from)?;
                    let told =
                        bed.watcher(to)?.now(|heard| heard.announced.get(&sent.key).copied());
                    ensure!(told.is_none(), "it was told");
                    Ok(())
                }));
            }
            cases.push(case(format!("family {at}: {from:?} is not told its own"), move |bed| {
                let mut sent = send(bed, from, of, &[])?;
                sent.speaker.asks_for_all()?;
                let other =
                    send(bed, if from == Sort::Far { Sort::Client } else { Sort::Far }, of, &[])?;
                // What others announced comes, so all that would come has come.
                sent.speaker.route(&other.key)?;
                sent.speaker.listen(std::time::Duration::from_millis(100))?;
                ensure!(sent.speaker.heard.get(&sent.key).is_none(), "it was told");
                Ok(())
            }));
        }
    }
    cases
}

/// A name, ORIGINATOR_ID and CLUSTER_LIST.
type Before = (&'static str, Option<Ipv4Addr>, Vec<Ipv4Addr>);

/// ORIGINATOR_ID and CLUSTER_LIST, from internal peers to internal ones.
fn reflected<'a>() -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    let (someone, other) = (Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::new(8, 8, 8, 8));
    let before: [Before; 4] = [
        ("nothing", None, vec![]),
        ("an originator", Some(someone), vec![]),
        ("a cluster", None, vec![other]),
        ("an originator and clusters", Some(someone), vec![other, someone, other]),
    ];
    for (name, originator, clusters) in before {
        for (from, to) in [
            (Sort::Client, Sort::Client),
            (Sort::Client, Sort::Sibling),
            (Sort::Sibling, Sort::Client),
            (Sort::Client, Sort::Far),
            (Sort::Sibling, Sort::Far),
        ] {
            let clusters = clusters.clone();
            let name = format!("reflected from {from:?} to {to:?} that carried {name}");
            cases.push(case(name, move |bed| {
                let mut more = Vec::new();
                more.extend(originator.map(octets::originator));
                if !clusters.is_empty() {
                    more.push(octets::cluster_list(&clusters));
                }
                let sent = send(bed, from, FAMILIES[0], &more)?;
                let told = bed.watcher(to)?.route(&sent.key)?;
                if to == Sort::Far {
                    ensure!(told.value(9).is_none() && told.value(10).is_none(), "{told:?}");
                    return Ok(());
                }
                let originator = originator.unwrap_or(sent.id);
                ensure!(
                    told.attributes.get(&9) == Some(&(OPTIONAL, originator.octets().to_vec())),
                    "{told:?}"
                );
                let list: Vec<u8> =
                    [bed.id()].iter().chain(&clusters).flat_map(Ipv4Addr::octets).collect();
                ensure!(told.attributes.get(&10) == Some(&(OPTIONAL, list)), "{told:?}");
                Ok(())
            }));
        }
    }
    cases
}

/// The attributes that make a loop.
type Spoil = Box<dyn Fn(&Bed) -> Vec<Vec<u8>> + Send + Sync>;

/// What is not taken, since it has been here before.
fn loops<'a>() -> Vec<Case<'a>> {
    let path = |numbers: &'static [u32]| vec![octets::as_path(numbers)];
    let cases: Vec<(&str, Sort, Spoil)> = vec![
        ("our ORIGINATOR_ID", Sort::Client, Box::new(|bed| vec![octets::originator(bed.id())])),
        ("our ORIGINATOR_ID", Sort::Sibling, Box::new(|bed| vec![octets::originator(bed.id())])),
        ("our cluster id", Sort::Client, Box::new(|bed| vec![octets::cluster_list(&[bed.id()])])),
        ("our cluster id", Sort::Sibling, Box::new(|bed| vec![octets::cluster_list(&[bed.id()])])),
        (
            "our cluster id behind others",
            Sort::Sibling,
            Box::new(|bed| {
                vec![octets::cluster_list(&[
                    Ipv4Addr::new(1, 1, 1, 1),
                    bed.id(),
                    Ipv4Addr::new(2, 2, 2, 2),
                ])]
            }),
        ),
        ("our AS", Sort::Far, Box::new(move |_| path(&[FAR, HOME]))),
        ("our AS last", Sort::Far, Box::new(move |_| path(&[FAR, 65_001, 65_002, HOME]))),
        (
            "our AS in a set",
            Sort::Far,
            Box::new(|_| {
                let value = octets::segments(&[(2, &[FAR]), (1, &[65_001, HOME])]);
                vec![attribute(WELL_KNOWN, 2, &value)]
            }),
        ),
        ("our AS", Sort::Client, Box::new(move |_| path(&[65_001, HOME]))),
    ];
    cases
        .into_iter()
        .map(|(name, sort, spoil)| {
            case(format!("a route of {sort:?} with {name} is not taken"), move |bed: &Bed| {
                let mut sent = send(bed, sort, FAMILIES[0], &spoil(bed))?;
                fence(bed, &mut sent, sort)?;
                let told = bed.watcher(Sort::Client)?.now(|heard| heard.get(&sent.key).cloned());
                ensure!(told.is_none(), "{told:?}");
                bed.is_up(crate::bed::Seat { sort, address: sent.id })
            })
        })
        .collect()
}

/// RFC 4271 §6.3: a next hop that is the receiver itself is none.
fn own_next_hops<'a>() -> Vec<Case<'a>> {
    [Sort::Client, Sort::Sibling, Sort::Far]
        .into_iter()
        .map(|sort| {
            case(
                format!("a route of {sort:?} with our address as next hop is not taken"),
                move |bed| {
                    let mut sent = send(bed, sort, FAMILIES[0], &[])?;
                    bed.watcher(Sort::Client)?.route(&sent.key)?;
                    let nlri = vpn(label(30), rd_of(&sent.key), &[10, 4, 4, 0], 24);
                    let mut attributes = with_it(sort, &[target(64_512, bed.number())]);
                    attributes.push(octets::reach(VPNV4, &octets::vpn_next_hop(bed.id()), &nlri));
                    sent.speaker.send(&octets::update(&[], &attributes, &[]))?;
                    bed.gone(Sort::Client, &sent.key)?;
                    bed.is_up(crate::bed::Seat { sort, address: sent.id })
                },
            )
        })
        .collect()
}

/// Attributes that a route may carry through us without a change.
fn carried() -> Vec<(String, Vec<u8>)> {
    let mut all = vec![
        ("ORIGIN EGP".to_owned(), octets::origin(1)),
        ("ORIGIN incomplete".to_owned(), octets::origin(2)),
        ("MED".to_owned(), octets::med(0)),
        ("the highest MED".to_owned(), octets::med(u32::MAX)),
        ("LOCAL_PREF 0".to_owned(), octets::local_pref(0)),
        ("the highest LOCAL_PREF".to_owned(), octets::local_pref(u32::MAX)),
        ("ATOMIC_AGGREGATE".to_owned(), attribute(WELL_KNOWN, 6, &[])),
        ("AGGREGATOR".to_owned(), attribute(TRANSITIVE, 7, &[0, 1, 0xfc, 0, 192, 0, 2, 1])),
        ("communities".to_owned(), octets::communities(&[0xfc00_0001, 0xfc00_0002, 1])),
        ("communities out of order".to_owned(), octets::communities(&[9, 1, 5])),
        ("100 communities".to_owned(), octets::communities(&(1000..1100).collect::<Vec<_>>())),
        ("large communities".to_owned(), attribute(TRANSITIVE, 32, &(0..48).collect::<Vec<u8>>())),
        (
            "IPv6 extended communities".to_owned(),
            attribute(TRANSITIVE, 25, &(0..40).collect::<Vec<u8>>()),
        ),
        ("PMSI tunnel".to_owned(), attribute(TRANSITIVE, 22, &[0, 6, 0, 0, 0x50, 192, 0, 2, 1])),
        ("tunnel encapsulation".to_owned(), attribute(TRANSITIVE, 23, &octets::TUNNEL)),
        ("AIGP".to_owned(), attribute(OPTIONAL, 26, &[1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 9])),
        (
            "an AS set".to_owned(),
            attribute(
                WELL_KNOWN,
                2,
                &octets::segments(&[(2, &[65_001, 4_200_000_000]), (1, &[7, 8])]),
            ),
        ),
        ("a path of 300 AS".to_owned(), attribute(WELL_KNOWN, 2, &long_path())),
        (
            "ATTR_SET".to_owned(),
            attribute(TRANSITIVE, 128, &[0, 0, 0xfc, 1, 0x40, 1, 1, 0, 0x40, 5, 4, 0, 0, 0, 100]),
        ),
        ("the only-to-customer AS".to_owned(), attribute(TRANSITIVE, 35, &[0, 0, 0xfc, 1])),
    ];
    for (code, value) in [
        (40, vec![1, 0, 7, 0, 0, 0, 0, 0, 0, 5]),
        (240, vec![]),
        (243, vec![0; 20]),
        (254, vec![7; 400]),
    ] {
        let octets = attribute(TRANSITIVE, code, &value);
        all.push((format!("transitive attribute {code} of {} octets", value.len()), octets));
    }
    // RFC 4271 §5: the partial bit is not taken off, also where we know the attribute.
    let partial = TRANSITIVE | PARTIAL;
    for (code, value) in [
        (7, vec![0, 1, 0xfc, 0, 192, 0, 2, 1]),
        (8, vec![0xfc, 0, 0, 1]),
        (16, vec![0, 2, 0xfc, 0, 0, 0, 0, 9]),
        (25, vec![1; 20]),
        (32, vec![1; 12]),
    ] {
        all.push((format!("partial attribute {code}"), attribute(partial, code, &value)));
    }
    // Extended communities of every kind, in their order: RFC 4360, 7153, Contrail's own.
    let kinds: [[u8; 8]; 16] = [
        [0, 2, 0xfc, 0, 0, 0, 0, 9],
        [1, 2, 192, 0, 2, 1, 0, 9],
        [2, 2, 0xfa, 0x56, 0xea, 0, 0, 9],
        [0, 3, 0xfc, 0, 0, 0, 0, 9],
        [3, 0x0c, 0, 0, 0, 0, 0, 2],
        [3, 0x0c, 0, 0, 0, 0, 0, 13],
        [3, 0x0d, 0, 0, 0, 0, 0, 0],
        [6, 0, 1, 0, 0, 0, 0, 7],
        [6, 1, 0, 0, 0, 0, 0x12, 0x30],
        [6, 2, 0, 1, 2, 3, 4, 5],
        [6, 3, 2, 0, 0x5e, 0, 0, 1],
        [0x80, 4, 0xfc, 0, 0, 0, 0, 8],
        [0x80, 0x71, 0xfc, 0, 0, 0, 0, 8],
        [0x80, 0x84, 0xfc, 0, 0, 0, 0, 8],
        [3, 0xaa, 1, 2, 3, 4, 5, 6],
        [0x4f, 0xff, 1, 2, 3, 4, 5, 6],
    ];
    all.push((
        "extended communities of all kinds".to_owned(),
        octets::extended_communities(&kinds),
    ));
    all
}

fn long_path() -> Vec<u8> {
    let numbers: Vec<u32> = (100_000..100_300).collect();
    octets::segments(&[(2, &numbers[..255]), (2, &numbers[255..])])
}

/// Flags and value of the octets of an attribute.
fn parts(octets: &[u8]) -> (u8, (u8, Vec<u8>)) {
    let header = if octets[0] & 0x10 == 0 { 3 } else { 4 };
    (octets[1], (octets[0] & !0x10, octets[header..].to_vec()))
}

fn all_parts(attributes: &[Vec<u8>]) -> Attributes {
    attributes.iter().map(|octets| parts(octets)).collect()
}

fn unchanged<'a>() -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for (name, octets) in carried() {
        for (from, to) in [
            (Sort::Client, Sort::Client),
            (Sort::Sibling, Sort::Client),
            (Sort::Client, Sort::Sibling),
        ] {
            let octets = octets.clone();
            cases.push(case(format!("unchanged from {from:?} to {to:?}: {name}"), move |bed| {
                let number = bed.number();
                let sent = send_with_target(bed, from, number, &octets)?;
                let told = bed.watcher(to)?.route(&sent.key)?;
                let mut wanted = all_parts(&with_it(from, &[target(64_512, number)]));
                let (code, value) = parts(&octets);
                // One that we do not know has gone through us (RFC 4271 §5).
                let unknown = matches!(code, 40 | 240 | 243 | 254);
                let (flags, value) = value;
                wanted.insert(code, (if unknown { flags | PARTIAL } else { flags }, value));
                let mut found = told.attributes.clone();
                found.remove(&9);
                found.remove(&10);
                ensure!(found == wanted, "told {found:02x?}, not {wanted:02x?}");
                Ok(())
            }));
        }
    }
    cases
}

fn send_with_target(bed: &Bed, from: Sort, number: u32, octets: &[u8]) -> Result<Sent> {
    let mut speaker = bed.up(from)?;
    let (family, next_hop, nlri) = FAMILIES[0](bed);
    let mut attributes = with_it(from, &[target(64_512, number)]);
    attributes.retain(|other| other[1] != octets[1]);
    attributes.push(octets::reach(family, &next_hop, &nlri));
    attributes.push(octets.to_vec());
    speaker.send(&octets::update(&[], &attributes, &[]))?;
    let id = speaker.local;
    Ok(Sent { speaker, key: key(family, &nlri), next_hop, id })
}

/// What changes at the border of the AS.
fn across<'a>() -> Vec<Case<'a>> {
    let out = |name: &str, more: Vec<Vec<u8>>, check: fn(&Told) -> bool| {
        case(format!("to another AS: {name}"), move |bed: &Bed| {
            let sent = send(bed, Sort::Client, FAMILIES[0], &more)?;
            let told = bed.watcher(Sort::Far)?.route(&sent.key)?;
            ensure!(told.next_hop == sent.next_hop, "next hop {:?}", told.next_hop);
            ensure!(check(&told), "{told:02x?}");
            Ok(())
        })
    };
    let inside = |name: &str, more: Vec<Vec<u8>>, check: fn(&Told) -> bool| {
        case(format!("from another AS: {name}"), move |bed: &Bed| {
            let sent = send(bed, Sort::Far, FAMILIES[0], &more)?;
            for watcher in [Sort::Client, Sort::Sibling] {
                let told = bed.watcher(watcher)?.route(&sent.key)?;
                ensure!(told.next_hop == sent.next_hop, "next hop {:?}", told.next_hop);
                ensure!(check(&told), "{watcher:?}: {told:02x?}");
            }
            Ok(())
        })
    };
    vec![
        out("our AS in front of an empty path", vec![], |told| {
            told.value(2) == Some(&octets::segments(&[(2, &[HOME])]))
        }),
        out("our AS in front of a path", vec![octets::as_path(&[65_001, 65_002])], |told| {
            told.value(2) == Some(&octets::segments(&[(2, &[HOME, 65_001, 65_002])]))
        }),
        out(
            "our AS in front of a set",
            vec![attribute(WELL_KNOWN, 2, &octets::segments(&[(1, &[7, 8])]))],
            |told| told.value(2) == Some(&octets::segments(&[(2, &[HOME]), (1, &[7, 8])])),
        ),
        out(
            "our AS in front of 255",
            vec![attribute(WELL_KNOWN, 2, &octets::segments(&[(2, &[7; 255])]))],
            |told| told.value(2) == Some(&octets::segments(&[(2, &[HOME]), (2, &[7; 255])])),
        ),
        out(
            "no segments of a confederation",
            vec![attribute(
                WELL_KNOWN,
                2,
                &octets::segments(&[(3, &[65_500, 65_501]), (2, &[7]), (4, &[65_502])]),
            )],
            |told| told.value(2) == Some(&octets::segments(&[(2, &[HOME, 7])])),
        ),
        out("no LOCAL_PREF", vec![octets::local_pref(300)], |told| told.value(5).is_none()),
        out("communities and targets", vec![octets::communities(&[5, 6])], |told| {
            told.value(8) == Some(&[0, 0, 0, 5, 0, 0, 0, 6]) && told.value(16).is_some()
        }),
        out(
            "no non-transitive extended community",
            vec![octets::extended_communities(&[
                [0, 2, 0xfc, 0, 0, 0, 0, 77],
                [0x40, 4, 0xfc, 0, 0x47, 0, 0, 0],
                [0x43, 9, 0, 0, 0, 0, 0, 1],
            ])],
            |told| told.value(16) == Some(&[0, 2, 0xfc, 0, 0, 0, 0, 77]),
        ),
        out(
            "an unknown transitive attribute with the partial bit",
            vec![attribute(TRANSITIVE, 222, &[1])],
            |told| told.attributes.get(&222) == Some(&(TRANSITIVE | PARTIAL, vec![1])),
        ),
        out(
            "no AIGP",
            vec![attribute(OPTIONAL, 26, &[1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 9])],
            |told| told.value(26).is_none(),
        ),
        inside("LOCAL_PREF 100, no originator", vec![], |told| {
            told.value(5) == Some(&[0, 0, 0, 100])
                && told.value(9).is_none()
                && told.value(10).is_none()
        }),
        inside("the path as it is", vec![octets::as_path(&[FAR, 65_001])], |told| {
            told.value(2) == Some(&octets::segments(&[(2, &[FAR, 65_001])]))
        }),
        inside(
            "no non-transitive attribute that is unknown",
            vec![attribute(OPTIONAL, 222, &[1])],
            |told| told.value(222).is_none(),
        ),
        inside(
            "an unknown transitive attribute with the partial bit",
            vec![attribute(TRANSITIVE, 222, &[1])],
            |told| told.attributes.get(&222) == Some(&(TRANSITIVE | PARTIAL, vec![1])),
        ),
    ]
}

/// RFC 1997: communities that say how far a route may go.
fn well_known<'a>() -> Vec<Case<'a>> {
    let limits: [(&str, u32, [bool; 3]); 4] = [
        ("NO_EXPORT", 0xffff_ff01, [true, true, false]),
        ("NO_ADVERTISE", 0xffff_ff02, [false, false, false]),
        ("NO_EXPORT_SUBCONFED", 0xffff_ff03, [true, true, false]),
        ("another one", 0xffff_0001, [true, true, true]),
    ];
    let mut cases = Vec::new();
    for (name, community, told) in limits {
        for (to, told) in [Sort::Client, Sort::Sibling, Sort::Far].into_iter().zip(told) {
            cases.push(case(format!("{name} to {to:?}: {told}"), move |bed| {
                let more = [octets::communities(&[community])];
                let mut sent = send(bed, Sort::Client, FAMILIES[0], &more)?;
                if told {
                    return bed.watcher(to)?.route(&sent.key).map(|_| ());
                }
                fence(bed, &mut sent, Sort::Client)?;
                let found = bed.watcher(to)?.now(|heard| heard.get(&sent.key).is_some());
                ensure!(!found, "it is told");
                Ok(())
            }));
        }
    }
    cases
}

#[test]
fn routes_are_reflected_by_the_rules_and_otherwise_unchanged() {
    let bed = Bed::start().expect("a control node");
    let mut cases = matrix();
    cases.extend(reflected());
    cases.extend(loops());
    cases.extend(own_next_hops());
    cases.extend(unchanged());
    cases.extend(across());
    cases.extend(well_known());
    run("reflection", &bed, cases);
}
