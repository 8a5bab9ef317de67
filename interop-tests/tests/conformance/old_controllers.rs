//! A peer that behaves as a control node of Contrail or OpenSDN: no route refresh, two-octet AS numbers,
//! families, communities and attributes of its own.

use anyhow::{Result, ensure};

use crate::bed::{Bed, FAR, HOME, Seat, Sort};
use crate::cases::{case, run};
use crate::heard::{Key, Told, key};
use crate::octets::{
    self, EVPN, Family, OPTIONAL, Open, PARTIAL, RTC, TRANSITIVE, VPNV4, VPNV6, WELL_KNOWN,
    attribute, capability, evpn, label, multiprotocol, restart, target, unreach, vpn,
};
use crate::speaker::Speaker;

/// As its OPEN names them: MVPN is 1/5, and 1/243 is its own.
const FAMILIES: [Family; 9] = [(1, 1), (1, 4), VPNV4, VPNV6, EVPN, RTC, (1, 5), (1, 243), (2, 1)];
/// Those that its restart keeps.
const KEPT: [Family; 4] = [VPNV4, VPNV6, EVPN, RTC];

/// Neither route refresh nor four-octet AS numbers; graceful and long-lived restart, as an operator has
/// switched them on.
fn open(seat: Seat) -> Open {
    restarting(seat, 300)
}

fn restarting(seat: Seat, seconds: u16) -> Open {
    let mut capabilities: Vec<_> = FAMILIES.iter().map(|family| multiprotocol(*family)).collect();
    capabilities.push(capability(64, &restart(0, seconds, &KEPT)));
    let [_, a, b, c] = 300_u32.to_be_bytes();
    let long = KEPT.map(|(afi, safi)| [0, u8::try_from(afi).expect("small"), safi, 0x80, a, b, c]);
    capabilities.push(capability(71, &long.concat()));
    let asn = u16::try_from(seat.sort.asn()).expect("two octets");
    Open { version: 4, asn, hold: 90, id: seat.address, capabilities }
}

fn up(bed: &Bed, sort: Sort) -> Result<Speaker> {
    let seat = bed.seat(sort)?;
    bed.up_with(seat, &open(seat))
}

/// A path of two-octet AS numbers.
fn short_path(numbers: &[u16]) -> Vec<u8> {
    let mut value = vec![];
    if !numbers.is_empty() {
        value.extend([2, u8::try_from(numbers.len()).expect("few")]);
        value.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    }
    attribute(WELL_KNOWN, 2, &value)
}

/// What a Contrail control node puts on a route: encapsulations (the last one is its first code for MPLS in
/// UDP), site of origin, default gateway, security groups, origin networks, tags, sub-clusters, each with
/// AS numbers of both widths, load balancing, MAC mobility on a route of IP, E-tree, multicast flags, and
/// the two of multicast VPNs.
const COMMUNITIES: [[u8; 8]; 20] = [
    [0, 3, 0xfc, 0x58, 0, 0, 0, 5],
    [0, 9, 0xfc, 0x58, 0, 0, 0, 0],
    [1, 0x0b, 10, 0, 0, 9, 0, 5],
    [3, 0x0c, 0, 0, 0, 0, 0, 2],
    [3, 0x0c, 0, 0, 0, 0, 0, 8],
    [3, 0x0c, 0, 0, 0, 0, 0, 13],
    [3, 0x0c, 0, 0, 0, 0, 0x90, 0x89],
    [3, 0x0d, 0, 0, 0, 0, 0, 0],
    [3, 0xaa, 0, 0, 0, 0x80, 0, 0],
    [6, 0, 0, 0, 0, 0, 0, 1],
    [6, 5, 0, 0, 0, 0, 0, 0],
    [6, 9, 0, 3, 0, 0, 0, 0],
    [0x80, 0x04, 0xfc, 0x58, 0, 0x7a, 0x12, 0x01],
    [0x80, 0x71, 0xfc, 0x58, 0, 0, 0, 5],
    [0x80, 0x84, 0xfc, 0x58, 0, 1, 0, 9],
    [0x80, 0x85, 0xfc, 0x58, 0, 0, 0, 1],
    [0x82, 0x04, 0, 1, 0, 0, 0x12, 0x01],
    [0x82, 0x71, 0, 1, 0, 0, 0, 5],
    [0x82, 0x84, 0, 1, 0, 0, 0, 9],
    [0x82, 0x85, 0, 1, 0, 0, 0, 1],
];

/// Its local sequence, which is not transitive.
const SEQUENCE: [u8; 8] = [0xc0, 0, 0, 0, 0, 0, 0, 7];

/// RFC 9494 §5.
const LLGR_STALE: u32 = 0xffff_0006;
/// RFC 1997.
const NO_EXPORT: u32 = 0xffff_ff01;

/// Between preference inside and MED at the border, as it does it.
const PREFERENCES: [(u32, u32); 4] =
    [(200, 100), (100, 200), (50, u32::MAX - 50), (4_000_000_000, u32::MAX - 4_000_000_000)];

fn announced(
    bed: &Bed,
    speaker: &mut Speaker,
    more: &[Vec<u8>],
) -> Result<(Vec<u8>, Key, [u8; 8])> {
    let target = target(64_512, bed.number());
    let nlri = vpn(label(25), octets::rd(64_512, bed.number()), &[10, 7, 7, 7], 32);
    let far = u16::try_from(FAR).expect("two octets");
    let mut communities = vec![target];
    communities.extend(COMMUNITIES);
    let mut attributes = vec![
        octets::origin(0),
        short_path(&[far]),
        octets::med(100),
        octets::extended_communities(&communities),
        octets::reach(VPNV4, &octets::vpn_next_hop(speaker.local), &nlri),
    ];
    attributes.retain(|one| more.iter().all(|other| other[1] != one[1]));
    attributes.extend_from_slice(more);
    speaker.send(&octets::update(&[], &attributes, &[]))?;
    let key = key(VPNV4, &nlri);
    Ok((nlri, key, target))
}

/// A node's route, and what the old controller is told of it.
fn told_old(bed: &Bed, path: &[u8], more: &[Vec<u8>]) -> Result<(Speaker, Told)> {
    let mut old = up(bed, Sort::Far)?;
    old.asks_for_all_in_short()?;
    let mut node = bed.up(Sort::Client)?;
    let nlri = vpn(label(25), octets::rd(64_512, bed.number()), &[10, 7, 7, 8], 32);
    let mut attributes = vec![
        octets::origin(0),
        attribute(WELL_KNOWN, 2, path),
        octets::local_pref(100),
        octets::extended_communities(&[target(64_512, bed.number())]),
        octets::reach(VPNV4, &octets::vpn_next_hop(node.local), &nlri),
    ];
    attributes.retain(|one| more.iter().all(|other| other[1] != one[1]));
    attributes.extend_from_slice(more);
    node.send(&octets::update(&[], &attributes, &[]))?;
    let told = old.route(&key(VPNV4, &nlri))?;
    Ok((old, told))
}

#[test]
fn an_old_controller_federates_as_it_is() {
    let bed = Bed::start().expect("a control node");
    let home = u16::try_from(HOME).expect("two octets");
    let mut cases = vec![
        case("its OPEN is taken", |bed| {
            let seat = bed.seat(Sort::Far)?;
            let _speaker = bed.up_with(seat, &open(seat))?;
            bed.is_up(seat)
        }),
        case("its route is told to nodes, with all it says", |bed| {
            let mut old = up(bed, Sort::Far)?;
            let (_, key, target) = announced(bed, &mut old, &[])?;
            let told = bed.watcher(Sort::Client)?.route(&key)?;
            let mut wanted = target.to_vec();
            wanted.extend(COMMUNITIES.concat());
            ensure!(told.value(16) == Some(&wanted), "{:02x?}", told.value(16));
            ensure!(
                told.value(2) == Some(&octets::segments(&[(2, &[FAR])])),
                "{:02x?}",
                told.value(2)
            );
            ensure!(told.next_hop == octets::vpn_next_hop(old.local), "{:?}", told.next_hop);
            Ok(())
        }),
        case("it is told nothing of its own families, and asked for nothing", |bed| {
            let (old, _) = told_old(bed, &[], &[])?;
            let families = old.heard.routes.keys().map(|key| key.0);
            let families: Vec<_> = families.chain(old.heard.ends.iter().map(|end| end.0)).collect();
            ensure!(families.iter().all(|family| KEPT.contains(family)), "{families:?}");
            ensure!(old.heard.refreshes.is_empty(), "{:?}", old.heard.refreshes);
            Ok(())
        }),
        case("its local sequence stays inside the AS", |bed| {
            let mut old = up(bed, Sort::Sibling)?;
            let nlri = vpn(label(25), octets::rd(64_512, bed.number()), &[10, 7, 7, 4], 32);
            let target = target(64_512, bed.number());
            let attributes = [
                octets::origin(0),
                octets::as_path(&[]),
                octets::local_pref(200),
                octets::extended_communities(&[target, SEQUENCE]),
                octets::reach(VPNV4, &octets::vpn_next_hop(old.local), &nlri),
            ];
            old.send(&octets::update(&[], &attributes, &[]))?;
            let key = key(VPNV4, &nlri);
            let told = bed.watcher(Sort::Client)?.route(&key)?;
            let both = [target, SEQUENCE].concat();
            ensure!(told.value(16) == Some(&both), "inside: {:02x?}", told.value(16));
            let told = bed.watcher(Sort::Far)?.route(&key)?;
            ensure!(told.value(16) == Some(&target), "outside: {:02x?}", told.value(16));
            Ok(())
        }),
        case("EVPN type 3 with a tunnel for broadcast, and type 5", |bed| {
            let mut old = up(bed, Sort::Far)?;
            let far = u16::try_from(FAR)?;
            let rd = octets::rd(64_512, bed.number());
            let target = target(64_512, bed.number());
            // RFC 6514 §5: no flags, ingress replication, label, endpoint.
            let tunnel = [&[0, 6, 0, 0, 0x51][..], &old.local.octets()].concat();
            let broadcast = evpn(3, &[&rd[..], &[0, 0, 0, 0, 32, 10, 7, 7, 3]].concat());
            let prefix =
                evpn(5, &[&rd[..], &[0; 14], &[24, 10, 7, 6, 0, 0, 0, 0, 0], &[0, 0, 5]].concat());
            for (nlri, tunnel) in [(broadcast, Some(tunnel)), (prefix, None)] {
                let mut attributes = vec![
                    octets::origin(0),
                    short_path(&[far]),
                    octets::extended_communities(&[target, [3, 0x0c, 0, 0, 0, 0, 0, 8]]),
                    octets::reach(EVPN, &old.local.octets(), &nlri),
                ];
                attributes.extend(tunnel.iter().map(|value| attribute(TRANSITIVE, 22, value)));
                old.send(&octets::update(&[], &attributes, &[]))?;
                let told = bed.watcher(Sort::Client)?.route(&key(EVPN, &nlri))?;
                ensure!(told.nlri == nlri, "{told:02x?}");
                ensure!(told.value(22) == tunnel.as_deref(), "{:02x?}", told.value(22));
            }
            Ok(())
        }),
        case("its withdrawal, by the label of the route", |bed| {
            let mut old = up(bed, Sort::Far)?;
            let (nlri, key, _) = announced(bed, &mut old, &[])?;
            bed.watcher(Sort::Client)?.route(&key)?;
            old.send(&octets::update(&[], &[unreach(VPNV4, &nlri)], &[]))?;
            bed.gone(Sort::Client, &key)
        }),
        case("its own path attributes are carried", |bed| {
            let mut old = up(bed, Sort::Far)?;
            let own = [
                attribute(TRANSITIVE, 243, &[0x80, 0x71, 0xfc, 0x58, 0, 0, 0, 5]),
                attribute(TRANSITIVE, 241, &[1, 2, 3, 4, 5, 6, 7, 8]),
                attribute(TRANSITIVE, 242, &[1; 8]),
            ];
            let (_, key, _) = announced(bed, &mut old, &own)?;
            let told = bed.watcher(Sort::Client)?.route(&key)?;
            for (code, length) in [(241, 8), (242, 8), (243, 8)] {
                let found = told.attributes.get(&code);
                let is_right = found.is_some_and(|(flags, value)| {
                    *flags == TRANSITIVE | PARTIAL && value.len() == length
                });
                ensure!(is_right, "attribute {code}: {found:02x?}");
            }
            Ok(())
        }),
        case("its non-transitive ones are not", |bed| {
            let mut old = up(bed, Sort::Far)?;
            let own = [attribute(OPTIONAL, 243, &[1; 8])];
            let (_, key, _) = announced(bed, &mut old, &own)?;
            let told = bed.watcher(Sort::Client)?.route(&key)?;
            ensure!(told.value(243).is_none(), "{told:?}");
            Ok(())
        }),
        case("routes of its own families cost nothing", |bed| {
            let mut old = up(bed, Sort::Far)?;
            for (family, nlri) in [((1, 243), vec![2, 22, 0, 0]), ((1, 5), vec![1, 12, 0, 0])] {
                let far = u16::try_from(FAR)?;
                let attributes = [
                    octets::origin(0),
                    short_path(&[far]),
                    octets::reach(family, &old.local.octets(), &nlri),
                ];
                old.send(&octets::update(&[], &attributes, &[]))?;
                old.send(&octets::update(&[], &[unreach(family, &nlri)], &[]))?;
                old.send(&octets::end_of_rib(family))?;
            }
            let (_, key, _) = announced(bed, &mut old, &[])?;
            bed.watcher(Sort::Client)?.route(&key).map(|_| ())
        }),
        case("it is told two-octet AS numbers", move |bed| {
            let (_, told) = told_old(bed, &[], &[])?;
            let wanted = [&[2, 1][..], &home.to_be_bytes()].concat();
            ensure!(told.value(2) == Some(&wanted), "{:02x?}", told.value(2));
            ensure!(told.value(17).is_none(), "AS4_PATH without need");
            Ok(())
        }),
        case("it is told AS_TRANS and AS4_PATH where they do not fit", move |bed| {
            let path = octets::segments(&[(2, &[4_200_000_001, 65_001])]);
            let (_, told) = told_old(bed, &path, &[])?;
            let short = [
                &[2, 3][..],
                &home.to_be_bytes(),
                &23_456_u16.to_be_bytes(),
                &65_001_u16.to_be_bytes(),
            ]
            .concat();
            ensure!(told.value(2) == Some(&short), "{:02x?}", told.value(2));
            let long = octets::segments(&[(2, &[HOME, 4_200_000_001, 65_001])]);
            ensure!(
                told.attributes.get(&17) == Some(&(TRANSITIVE, long.clone())),
                "{:02x?}",
                told.value(17)
            );
            Ok(())
        }),
        case("it is told AGGREGATOR of six octets", |bed| {
            let eight = attribute(TRANSITIVE, 7, &[0, 1, 0xfc, 0, 192, 0, 2, 1]);
            let (_, told) = told_old(bed, &[], &[eight])?;
            ensure!(told.value(7) == Some(&[0x5b, 0xa0, 192, 0, 2, 1]), "{:02x?}", told.value(7));
            ensure!(
                told.value(18) == Some(&[0, 1, 0xfc, 0, 192, 0, 2, 1]),
                "{:02x?}",
                told.value(18)
            );
            Ok(())
        }),
        case("AS4_PATH from it is merged", |bed| {
            let mut old = up(bed, Sort::Far)?;
            let far = u16::try_from(FAR)?;
            let more = [
                short_path(&[far, 23_456, 65_001]),
                attribute(TRANSITIVE, 17, &octets::segments(&[(2, &[4_200_000_001, 65_001])])),
            ];
            let (_, key, _) = announced(bed, &mut old, &more)?;
            let told = bed.watcher(Sort::Client)?.route(&key)?;
            let wanted = octets::segments(&[(2, &[FAR, 4_200_000_001, 65_001])]);
            ensure!(told.value(2) == Some(&wanted), "{:02x?}", told.value(2));
            ensure!(told.value(17).is_none(), "AS4_PATH is passed on");
            Ok(())
        }),
        case("AS4_PATH that is longer than AS_PATH is not taken", |bed| {
            let mut old = up(bed, Sort::Far)?;
            let far = u16::try_from(FAR)?;
            let more = [
                short_path(&[far]),
                attribute(TRANSITIVE, 17, &octets::segments(&[(2, &[1, 2, 3])])),
            ];
            let (_, key, _) = announced(bed, &mut old, &more)?;
            let told = bed.watcher(Sort::Client)?.route(&key)?;
            ensure!(
                told.value(2) == Some(&octets::segments(&[(2, &[FAR])])),
                "{:02x?}",
                told.value(2)
            );
            Ok(())
        }),
        case("AS4_PATH that is malformed is dropped", |bed| {
            let mut old = up(bed, Sort::Far)?;
            let more = [attribute(TRANSITIVE, 17, &[2, 9, 1])];
            let (_, key, _) = announced(bed, &mut old, &more)?;
            bed.watcher(Sort::Client)?.route(&key).map(|_| ())
        }),
        case("its memberships decide what it is told", |bed| {
            let mut old = up(bed, Sort::Far)?;
            let mut node = bed.up(Sort::Client)?;
            let (wanted, other) = (target(64_512, bed.number()), target(64_512, bed.number()));
            let mut say = |target: [u8; 8]| -> Result<Key> {
                let nlri = vpn(label(25), octets::rd(64_512, bed.number()), &[10, 7, 7, 9], 32);
                let next_hop = octets::vpn_next_hop(node.local);
                node.send(&crate::routes::announce(
                    Sort::Client,
                    VPNV4,
                    &next_hop,
                    &nlri,
                    &[target],
                ))?;
                Ok(key(VPNV4, &nlri))
            };
            let (a, b) = (say(wanted)?, say(other)?);
            let far = u16::try_from(FAR)?;
            let nlri = octets::membership(FAR, wanted, 96);
            let reach = octets::reach(RTC, &old.local.octets(), &nlri);
            old.send(&octets::update(&[], &[octets::origin(0), short_path(&[far]), reach], &[]))?;
            old.end(RTC)?;
            old.route(&a)?;
            old.listen(std::time::Duration::from_millis(300))?;
            ensure!(old.heard.get(&b).is_none(), "it is told what it did not ask for");
            Ok(())
        }),
        case("EVPN type 2 with an encapsulation and its own communities", |bed| {
            let mut old = up(bed, Sort::Far)?;
            let far = u16::try_from(FAR)?;
            let rd = octets::rd(64_512, bed.number());
            let nlri = evpn(
                2,
                &[&rd[..], &[0; 14], &[48, 2, 0, 0, 0, 0, 1, 32, 10, 1, 1, 1], &[0, 0, 5]].concat(),
            );
            let mut communities = vec![target(64_512, bed.number())];
            communities.extend(COMMUNITIES);
            let attributes = [
                octets::origin(0),
                short_path(&[far]),
                octets::extended_communities(&communities),
                octets::reach(EVPN, &old.local.octets(), &nlri),
            ];
            old.send(&octets::update(&[], &attributes, &[]))?;
            let told = bed.watcher(Sort::Client)?.route(&key(EVPN, &nlri))?;
            ensure!(
                told.nlri == nlri && told.value(16) == Some(&communities.concat()),
                "{told:02x?}"
            );
            Ok(())
        }),
        case("in our AS it federates as well", |bed| {
            let mut old = up(bed, Sort::Sibling)?;
            let nlri = vpn(label(25), octets::rd(64_512, bed.number()), &[10, 7, 7, 5], 32);
            let next_hop = octets::vpn_next_hop(old.local);
            let targets = [target(64_512, bed.number())];
            old.send(&crate::routes::announce(Sort::Sibling, VPNV4, &next_hop, &nlri, &targets))?;
            bed.watcher(Sort::Client)?.route(&key(VPNV4, &nlri)).map(|_| ())
        }),
        case("its routes are kept over its restart", |bed| {
            let seat = bed.seat(Sort::Far)?;
            let mut old = bed.up_with(seat, &open(seat))?;
            let (_, key, _) = announced(bed, &mut old, &[])?;
            bed.watcher(Sort::Client)?.route(&key)?;
            old.close();
            std::thread::sleep(std::time::Duration::from_millis(500));
            let kept = bed.watcher(Sort::Client)?.now(|heard| heard.get(&key).is_some());
            ensure!(kept, "it is gone");
            Ok(())
        }),
    ];
    for (preference, med) in PREFERENCES {
        cases.push(case(format!("its MED of {med} is a preference of {preference}"), move |bed| {
            let mut old = up(bed, Sort::Far)?;
            let (_, key, _) = announced(bed, &mut old, &[octets::med(med)])?;
            let told = bed.watcher(Sort::Client)?.route(&key)?;
            let wanted = preference.to_be_bytes();
            ensure!(told.value(5) == Some(&wanted), "{:02x?}", told.value(5));
            Ok(())
        }));
        cases.push(case(format!("it is told a preference of {preference} as {med}"), move |bed| {
            let (_, told) = told_old(bed, &[], &[octets::local_pref(preference)])?;
            ensure!(told.value(4) == Some(&med.to_be_bytes()), "{:02x?}", told.value(4));
            ensure!(told.value(5).is_none(), "LOCAL_PREF leaves the AS");
            Ok(())
        }));
    }
    run("old controllers", &bed, cases);
}

#[test]
fn routes_of_an_old_controller_that_stays_away_are_the_last_choice() {
    let long = "[cloud.home.peer.far]\nlong-lived-time = 300";
    let bed = Bed::with("", "", long).expect("a control node");
    let ends = case("it is told the end of each family behind its routes", |bed| {
        let mut old = up(bed, Sort::Far)?;
        KEPT.iter().try_for_each(|family| old.end(*family))?;
        for family in KEPT {
            old.until("the end of each family", |heard| heard.has_end(family))?;
        }
        Ok(())
    });
    let long = case("its routes are kept for long, and say so", |bed| {
        let seat = bed.seat(Sort::Far)?;
        let mut old = bed.up_with(seat, &restarting(seat, 1))?;
        let (_, key, _) = announced(bed, &mut old, &[])?;
        bed.watcher(Sort::Client)?.route(&key)?;
        old.close();
        // Nodes do not say that they know of it: NO_EXPORT and the least preference (RFC 9494 §4.6).
        let wanted = [LLGR_STALE.to_be_bytes(), NO_EXPORT.to_be_bytes()].concat();
        let is_stale = |told: &Told| told.value(8) == Some(&wanted);
        let told = bed.watcher(Sort::Client)?.route_with(&key, is_stale)?;
        ensure!(told.value(5) == Some(&[0; 4]), "{:02x?}", told.value(5));
        let mut old = bed.up_with(seat, &restarting(seat, 1))?;
        old.end(VPNV4)?;
        bed.gone(Sort::Client, &key)
    });
    run("old controllers", &bed, vec![ends, long]);
}
