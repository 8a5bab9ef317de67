//! RFC 2918, RFC 7313: routes are told again when a peer asks; and how large lists are divided.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::bed::{Bed, Sort};
use crate::cases::{Case, case, run};
use crate::heard::{Key, key};
use crate::octets::{
    self, EVPN, Family, OVERLAY, RTC, TRANSITIVE, VPNV4, VPNV6, attribute, evpn, label, target,
    unreach, vpn,
};
use crate::routes::{announce, with_it};
use crate::speaker::{CEILING, Speaker};

const A_WHILE: Duration = Duration::from_millis(300);

/// Routes of one target, and a peer that has been told them.
struct Told {
    source: Speaker,
    peer: Speaker,
    keys: Vec<Key>,
    target: [u8; 8],
    rd: [u8; 8],
}

fn told(bed: &Bed, capabilities: &[(u8, &[u8])]) -> Result<Told> {
    let mut source = bed.up(Sort::Client)?;
    let (target, rd) = (target(64_512, bed.number()), octets::rd(64_512, bed.number()));
    let seat = bed.seat(Sort::Client)?;
    let open =
        capabilities.iter().fold(seat.open(&OVERLAY), |open, (code, value)| open.and(*code, value));
    let mut peer = bed.up_with(seat, &open)?;
    let asked = octets::membership(64_512, target, 96);
    peer.send(&crate::bed::membership(64_512, peer.local, &asked))?;
    peer.end(RTC)?;
    let mut keys = Vec::new();
    for (family, next_hop, nlri) in [
        (VPNV4, octets::vpn_next_hop(source.local), vpn(label(5), rd, &[10, 1, 1, 0], 24)),
        (VPNV4, octets::vpn_next_hop(source.local), vpn(label(6), rd, &[10, 1, 2, 0], 24)),
        (VPNV6, octets::mapped_next_hop(source.local), vpn(label(5), rd, &[0x20; 8], 64)),
        (
            EVPN,
            source.local.octets().to_vec(),
            evpn(3, &[&rd[..], &[0, 0, 0, 1, 32, 10, 3, 3, 3]].concat()),
        ),
    ] {
        source.send(&announce(Sort::Client, family, &next_hop, &nlri, &[target]))?;
        let key = key(family, &nlri);
        peer.route(&key)?;
        keys.push(key);
    }
    Ok(Told { source, peer, keys, target, rd })
}

impl Told {
    /// How often each route was told.
    fn counts(&self) -> Vec<u32> {
        self.keys.iter().map(|key| self.peer.heard.announced[key]).collect()
    }
}

fn asking<'a>() -> Vec<Case<'a>> {
    let again: [(Family, [u32; 4]); 3] =
        [(VPNV4, [2, 2, 1, 1]), (VPNV6, [1, 1, 2, 1]), (EVPN, [1, 1, 1, 2])];
    let mut cases = Vec::new();
    for (family, counts) in again {
        cases.push(case(format!("refresh of {family:?}, and of no other family"), move |bed| {
            let mut told = told(bed, &[])?;
            told.peer.send(&octets::refresh(family, 0))?;
            let wanted = told.keys.iter().zip(counts).filter(|(_, count)| *count == 2);
            let wanted: Vec<_> = wanted.map(|(key, _)| key.clone()).collect();
            told.peer.until("all is told again", |heard| {
                wanted.iter().all(|key| heard.announced[key] == 2)
            })?;
            told.peer.listen(A_WHILE)?;
            ensure!(told.counts() == counts, "{:?}", told.counts());
            ensure!(told.peer.heard.withdrawn.is_empty(), "something is withdrawn");
            Ok(())
        }));
    }
    cases.push(case("refresh of memberships", |bed| {
        let mut told = told(bed, &[])?;
        let default = key(RTC, &octets::DEFAULT_TARGET);
        told.peer.until("it is told first", |heard| heard.announced.contains_key(&default))?;
        told.peer.send(&octets::refresh(RTC, 0))?;
        told.peer.until("it is told again", |heard| heard.announced[&default] == 2)
    }));
    let ignored: [(&str, Vec<u8>); 7] = [
        ("a family that was not negotiated", octets::refresh((1, 4), 0)),
        ("a family that nobody knows", octets::refresh((99, 99), 0)),
        ("subtype 3", octets::refresh(VPNV4, 3)),
        ("subtype 255", octets::refresh(VPNV4, 255)),
        ("the beginning of a refresh that was not agreed on", octets::refresh(VPNV4, 1)),
        ("the end of a refresh that was not agreed on", octets::refresh(VPNV4, 2)),
        (
            "a mark that was not agreed on, longer than one is",
            octets::message(5, &[0, 1, 1, 128, 9]),
        ),
    ];
    for (name, octets) in ignored {
        cases.push(case(format!("refresh of {name} is ignored"), move |bed| {
            let mut told = told(bed, &[])?;
            told.peer.send(&octets)?;
            told.peer.listen(A_WHILE)?;
            ensure!(told.counts() == [1; 4], "{:?}", told.counts());
            bed.lives()
        }));
    }
    cases.push(case("refresh with filters is answered or ignored", |bed| {
        let mut told = told(bed, &[])?;
        // RFC 5291: when to refresh, and an empty list of filters.
        told.peer.send(&octets::message(5, &[0, 1, 0, 128, 1, 64, 0, 0]))?;
        match told.peer.listen(A_WHILE) {
            Ok(()) => Ok(()),
            // Its length is wrong where filters were not agreed on.
            Err(error) if error.to_string().contains("NOTIFICATION") => bed.lives(),
            Err(error) => Err(error),
        }
    }));
    cases.push(case("ten refreshes are no ten answers at least once", |bed| {
        let mut told = told(bed, &[])?;
        for _ in 0..10 {
            told.peer.send(&octets::refresh(VPNV4, 0))?;
        }
        let keys = told.keys.clone();
        told.peer.until("it is told again", |heard| heard.announced[&keys[0]] > 1)?;
        told.peer.listen(A_WHILE)?;
        ensure!(told.peer.heard.announced[&keys[0]] <= 11);
        Ok(())
    }));
    cases
}

/// RFC 7313: marks around what is told again.
fn enhanced<'a>() -> Vec<Case<'a>> {
    vec![
        case("enhanced: we offer it", |bed| {
            let told = told(bed, &[(70, &[])])?;
            told.peer.capability(70).context("no capability 70").map(|_| ())
        }),
        case("enhanced: our answer stands between two marks", |bed| {
            let mut told = told(bed, &[(70, &[])])?;
            // Marks may not stand before it.
            told.peer.until("End-of-RIB", |heard| heard.has_end(VPNV4))?;
            told.peer.send(&octets::refresh(VPNV4, 0))?;
            told.peer.until("the end", |heard| heard.refreshes.iter().any(|mark| mark.1 == 2))?;
            let marks: Vec<_> = told.peer.heard.refreshes.clone();
            ensure!(marks.len() == 2 && marks[0].1 == 1 && marks[1].1 == 2, "{marks:?}");
            ensure!(marks.iter().all(|mark| mark.0 == VPNV4), "{marks:?}");
            for key in &told.keys[..2] {
                let at = told.peer.heard.routes[key].update;
                ensure!(marks[0].2 < at && at <= marks[1].2, "route {at}, marks {marks:?}");
            }
            Ok(())
        }),
        case("enhanced: what the peer does not repeat between its marks is gone", |bed| {
            let mut told = told_by_enhanced(bed)?;
            told.source.send(&octets::refresh(VPNV4, 1))?;
            let next_hop = octets::vpn_next_hop(told.source.local);
            let first = vpn(label(5), told.rd, &[10, 1, 1, 0], 24);
            told.source.send(&announce(Sort::Client, VPNV4, &next_hop, &first, &[told.target]))?;
            told.peer.listen(A_WHILE)?;
            ensure!(told.peer.heard.routes.len() >= 4, "something went before the end");
            told.source.send(&octets::refresh(VPNV4, 2))?;
            told.peer.gone(&told.keys[1])?;
            for at in [0, 2, 3] {
                ensure!(told.peer.heard.get(&told.keys[at]).is_some(), "{at} is gone");
            }
            ensure!(told.counts()[0] == 1, "it is told again though nothing has changed");
            Ok(())
        }),
        case("enhanced: an end without a beginning is nothing", |bed| {
            let mut told = told_by_enhanced(bed)?;
            told.source.send(&octets::refresh(VPNV4, 2))?;
            told.peer.listen(A_WHILE)?;
            ensure!(told.keys.iter().all(|key| told.peer.heard.get(key).is_some()));
            Ok(())
        }),
        case("a mark of the wrong length is nothing to who has not agreed on marks", |bed| {
            // RFC 7313 §5.
            let mut told = told(bed, &[])?;
            told.source.send(&octets::message(5, &[0, 1, 1, 128, 9]))?;
            told.source.listen(A_WHILE)?;
            ensure!(told.keys.iter().all(|key| told.peer.heard.get(key).is_some()));
            Ok(())
        }),
        case("enhanced: a mark of the wrong length is refused whole", |bed| {
            let mut told = told_by_enhanced(bed)?;
            let wrong = octets::message(5, &[0, 1, 1, 128, 9]);
            told.source.send(&wrong)?;
            let refusal = told.source.refusal(CEILING)?;
            ensure!(refusal == (7, 1, wrong), "{refusal:?}");
            Ok(())
        }),
    ]
}

/// As [`told`], but it is the one who tells that speaks RFC 7313.
fn told_by_enhanced(bed: &Bed) -> Result<Told> {
    let mut told = told(bed, &[])?;
    let seat = bed.seat(Sort::Client)?;
    let mut source = bed.up_with(seat, &seat.open(&OVERLAY).and(70, &[]))?;
    // The same routes by another peer; the first one takes its own back.
    let old = std::mem::replace(&mut told.source, bed.up(Sort::Client)?);
    let routes =
        [vpn(label(5), told.rd, &[10, 1, 1, 0], 24), vpn(label(6), told.rd, &[10, 1, 2, 0], 24)];
    let next_hop = octets::vpn_next_hop(source.local);
    let v6 = (octets::mapped_next_hop(source.local), vpn(label(5), told.rd, &[0x20; 8], 64));
    let multicast = evpn(3, &[&told.rd[..], &[0, 0, 0, 1, 32, 10, 3, 3, 3]].concat());
    drop(old);
    for key in &told.keys {
        told.peer.gone(key)?;
    }
    told.peer.heard.announced.clear();
    source.send(&announce(Sort::Client, VPNV4, &next_hop, &routes.concat(), &[told.target]))?;
    source.send(&announce(Sort::Client, VPNV6, &v6.0, &v6.1, &[told.target]))?;
    let here = source.local.octets();
    source.send(&announce(Sort::Client, EVPN, &here, &multicast, &[told.target]))?;
    for key in &told.keys {
        told.peer.route(key)?;
    }
    told.source = source;
    Ok(told)
}

/// Many small routes, an UPDATE each or as many as fit, and one large attribute.
fn sizes<'a>() -> Vec<Case<'a>> {
    let extended: (u8, &[u8]) = (6, &[]);
    let mut cases = Vec::new();
    for (name, capabilities, most) in
        [("4096 octets", vec![], 4096), ("65535 octets", vec![extended], 65_535)]
    {
        cases.push(case(
            format!("no message is longer than {name}, and none is lost"),
            move |bed| {
                let mut told = told(bed, &capabilities)?;
                let (rd, target) = (told.rd, told.target);
                let nlri = |number: u32| {
                    let [_, a, b, c] = number.to_be_bytes();
                    vpn(label(number), rd, &[11 + a, b, c, 0], 32)
                };
                let next_hop = octets::vpn_next_hop(told.source.local);
                let numbers: Vec<_> = (0..5000_u32).collect();
                for some in numbers.chunks(200) {
                    let list: Vec<u8> = some.iter().flat_map(|number| nlri(*number)).collect();
                    told.source.send(&announce(
                        Sort::Client,
                        VPNV4,
                        &next_hop,
                        &list,
                        &[target],
                    ))?;
                }
                let wanted: BTreeSet<_> =
                    (0..5000).map(|number| key(VPNV4, &nlri(number))).collect();
                told.peer.until("all are there", |heard| heard.count(VPNV4) == 5002)?;
                ensure!(
                    wanted.iter().all(|key| told.peer.heard.get(key).is_some()),
                    "others are there"
                );
                ensure!(told.peer.heard.longest <= most, "{} octets", told.peer.heard.longest);
                // Packed as well as a message holds them.
                told.peer.heard.updates = 0;
                told.peer.send(&octets::refresh(VPNV4, 0))?;
                told.peer.until("all are told again", |heard| {
                    wanted.iter().all(|key| heard.announced[key] == 2)
                })?;
                let updates = told.peer.heard.updates;
                ensure!(updates < 60, "{updates} messages for 5000 routes");
                told.source.close();
                told.peer.until("all are gone", |heard| heard.count(VPNV4) == 0)?;
                ensure!(told.peer.heard.longest <= most, "{} octets", told.peer.heard.longest);
                Ok(())
            },
        ));
    }
    cases.push(case("what is too long for one peer is told to others", |bed| {
        let mut short = told(bed, &[])?;
        let seat = bed.seat(Sort::Client)?;
        let mut long = bed.up_with(seat, &seat.open(&OVERLAY).and(6, &[]))?;
        long.asks_for_all()?;
        let seat = bed.seat(Sort::Client)?;
        let mut source = bed.up_with(seat, &seat.open(&OVERLAY).and(6, &[]))?;
        let nlri = vpn(label(5), short.rd, &[10, 9, 9, 0], 24);
        let key = key(VPNV4, &nlri);
        let next_hop = octets::vpn_next_hop(source.local);
        let mut attributes = with_it(Sort::Client, &[short.target]);
        attributes.push(octets::reach(VPNV4, &next_hop, &nlri));
        source.send(&octets::update(&[], &attributes, &[]))?;
        short.peer.route(&key)?;
        let large = attribute(TRANSITIVE, 233, &[7; 5000]);
        attributes.push(large);
        source.send(&octets::update(&[], &attributes, &[]))?;
        long.until("the large attribute", |heard| {
            heard.get(&key).and_then(|told| told.value(233)).is_some_and(|v| v.len() == 5000)
        })?;
        // RFC 8654 §4: not as it was before.
        short.peer.gone(&key)?;
        attributes.pop();
        source.send(&octets::update(&[], &attributes, &[]))?;
        short.peer.route(&key).map(|_| ())
    }));
    cases.push(case("an UPDATE of 65535 octets", |bed| {
        let seat = bed.seat(Sort::Client)?;
        let mut source = bed.up_with(seat, &seat.open(&OVERLAY).and(6, &[]))?;
        let nlri = vpn(label(5), octets::rd(64_512, bed.number()), &[10, 9, 9, 0], 24);
        let mut attributes = with_it(Sort::Client, &[target(64_512, bed.number())]);
        attributes.push(octets::reach(VPNV4, &octets::vpn_next_hop(source.local), &nlri));
        let room = 65_535 - 19 - 4 - attributes.concat().len() - 4;
        attributes.push(attribute(TRANSITIVE, 233, &vec![7; room]));
        let update = octets::update(&[], &attributes, &[]);
        ensure!(update.len() == 65_535);
        source.send(&update)?;
        let seat = bed.seat(Sort::Client)?;
        let mut peer = bed.up_with(seat, &seat.open(&OVERLAY).and(6, &[]))?;
        peer.asks_for_all()?;
        // With what a reflector adds it is too long for everybody.
        source.send(&octets::update(&[], &[unreach(VPNV4, &nlri)], &[]))?;
        source.send(&octets::refresh(VPNV4, 0))?;
        source.listen(A_WHILE)?;
        bed.is_up(crate::bed::Seat { sort: Sort::Client, address: source.local })
    }));
    for (name, length) in [("an OPEN", 4097), ("a KEEPALIVE", 4097)] {
        cases.push(case(format!("{name} is not longer for extended messages"), move |bed| {
            let seat = bed.seat(Sort::Client)?;
            let mut source = bed.up_with(seat, &seat.open(&OVERLAY).and(6, &[]))?;
            let kind = if name == "an OPEN" { 1 } else { 4 };
            source.send(&octets::with_length(kind, length, &vec![0; length - 19]))?;
            let refusal = source.refusal(CEILING)?;
            ensure!(refusal == (1, 2, octets::be16(length).to_vec()), "{refusal:?}");
            Ok(())
        }));
    }
    cases
}

#[test]
fn routes_are_told_again_to_who_asks() {
    let bed = Bed::start().expect("a control node");
    let mut cases =
        vec![case("End-of-RIB comes in every family, behind the routes", |bed: &Bed| {
            let mut told = told(bed, &[])?;
            told.peer.until("End-of-RIB", |heard| OVERLAY.iter().all(|f| heard.has_end(*f)))?;
            let mut late = bed.receiver(Sort::Client)?;
            late.until("End-of-RIB", |heard| OVERLAY.iter().all(|f| heard.has_end(*f)))?;
            for key in &told.keys {
                let route = late.heard.get(key).context("a route after End-of-RIB")?;
                let end = late.heard.ends.iter().find(|(ended, _)| *ended == key.0);
                ensure!(end.is_some_and(|(_, at)| *at > route.update), "{:?}", key.0);
            }
            Ok(())
        })];
    cases.extend(asking());
    cases.extend(enhanced());
    cases.extend(sizes());
    run("refresh", &bed, cases);
}
