//! RFC 4684: who is told which routes, as memberships come and go; and who is told of memberships.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bed::{Bed, FAR, HOME, Sort, membership};
use crate::cases::{Case, case, run};
use crate::heard::{Key, key};
use crate::octets::{
    self, DEFAULT_TARGET, EVPN, Family, OVERLAY, RTC, VPNV4, VPNV6, evpn, label, target, unreach,
    vpn,
};
use crate::routes::announce;
use crate::speaker::Speaker;

/// Long enough for a route that shall not come.
const A_WHILE: Duration = Duration::from_millis(300);

/// A node that announces routes with targets of its case.
struct Source {
    speaker: Speaker,
    targets: [[u8; 8]; 3],
}

impl Source {
    fn new(bed: &Bed) -> Result<Self> {
        let targets = [(); 3].map(|()| target(64_512, bed.number()));
        Ok(Self { speaker: bed.up(Sort::Client)?, targets })
    }

    /// Announces a new VPN-IPv4 route with these of its targets.
    fn says(&mut self, bed: &Bed, targets: &[usize]) -> Result<(Vec<u8>, Key)> {
        let nlri = vpn(label(50), octets::rd(64_512, bed.number()), &[10, 8, 8, 0], 24);
        self.says_again(&nlri, targets)?;
        let key = key(VPNV4, &nlri);
        Ok((nlri, key))
    }

    fn says_again(&mut self, nlri: &[u8], targets: &[usize]) -> Result<()> {
        let targets: Vec<_> = targets.iter().map(|at| self.targets[*at]).collect();
        let next_hop = octets::vpn_next_hop(self.speaker.local);
        self.speaker.send(&announce(Sort::Client, VPNV4, &next_hop, nlri, &targets))
    }
}

fn ask(speaker: &mut Speaker, nlri: &[u8]) -> Result<()> {
    speaker.send(&membership(HOME, speaker.local, nlri))
}

fn ask_no_more(speaker: &mut Speaker, nlri: &[u8]) -> Result<()> {
    speaker.send(&octets::update(&[], &[unreach(RTC, nlri)], &[]))
}

fn exact(target: [u8; 8]) -> Vec<u8> {
    octets::membership(HOME, target, 96)
}

fn absent(speaker: &mut Speaker, key: &Key) -> Result<()> {
    speaker.listen(A_WHILE)?;
    ensure!(speaker.heard.get(key).is_none(), "it is told");
    Ok(())
}

/// One peer asks, and asks no more.
fn asking<'a>() -> Vec<Case<'a>> {
    vec![
        case("nothing is told to one that asks for nothing", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            peer.end(RTC)?;
            let (_, key) = source.says(bed, &[0])?;
            absent(&mut peer, &key)
        }),
        case("one target of two", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let ((_, a), (_, b)) = (source.says(bed, &[0])?, source.says(bed, &[1])?);
            ask(&mut peer, &exact(source.targets[0]))?;
            peer.end(RTC)?;
            peer.route(&a)?;
            absent(&mut peer, &b)
        }),
        case("another target, then one less", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let ((_, a), (_, b)) = (source.says(bed, &[0])?, source.says(bed, &[1])?);
            ask(&mut peer, &exact(source.targets[0]))?;
            peer.end(RTC)?;
            peer.route(&a)?;
            ask(&mut peer, &exact(source.targets[1]))?;
            peer.route(&b)?;
            ask_no_more(&mut peer, &exact(source.targets[0]))?;
            peer.gone(&a)?;
            ensure!(peer.heard.get(&b).is_some(), "the other went, too");
            Ok(())
        }),
        case("several targets in one UPDATE", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let routes =
                [source.says(bed, &[0])?, source.says(bed, &[1])?, source.says(bed, &[2])?];
            let all: Vec<u8> = source.targets.iter().flat_map(|target| exact(*target)).collect();
            ask(&mut peer, &all)?;
            peer.end(RTC)?;
            routes.iter().try_for_each(|(_, key)| peer.route(key).map(|_| ()))?;
            ask_no_more(&mut peer, &all)?;
            routes.iter().try_for_each(|(_, key)| peer.gone(key))
        }),
        case("a route of two targets stays while one is asked for", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let (_, both) = source.says(bed, &[0, 1])?;
            ask(&mut peer, &exact(source.targets[0]))?;
            ask(&mut peer, &exact(source.targets[1]))?;
            peer.end(RTC)?;
            peer.route(&both)?;
            ask_no_more(&mut peer, &exact(source.targets[0]))?;
            peer.listen(A_WHILE)?;
            ensure!(peer.heard.get(&both).is_some() && peer.heard.announced[&both] == 1);
            ask_no_more(&mut peer, &exact(source.targets[1]))?;
            peer.gone(&both)
        }),
        case("the default target, and none", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let ((_, a), (_, b)) = (source.says(bed, &[0])?, source.says(bed, &[1])?);
            ask(&mut peer, &DEFAULT_TARGET)?;
            peer.end(RTC)?;
            peer.route(&a)?;
            peer.route(&b)?;
            ask(&mut peer, &exact(source.targets[1]))?;
            ask_no_more(&mut peer, &DEFAULT_TARGET)?;
            peer.gone(&a)?;
            ensure!(peer.heard.get(&b).is_some(), "the other went, too");
            Ok(())
        }),
        case("two origin AS for one target count apart", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let (_, route) = source.says(bed, &[0])?;
            let other = octets::membership(65_009, source.targets[0], 96);
            ask(&mut peer, &exact(source.targets[0]))?;
            ask(&mut peer, &other)?;
            peer.end(RTC)?;
            peer.route(&route)?;
            ask_no_more(&mut peer, &exact(source.targets[0]))?;
            peer.listen(A_WHILE)?;
            ensure!(peer.heard.get(&route).is_some(), "it went with the first");
            ask_no_more(&mut peer, &other)?;
            peer.gone(&route)
        }),
        case("a route moves to another target, and back", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let (nlri, route) = source.says(bed, &[0])?;
            ask(&mut peer, &exact(source.targets[0]))?;
            peer.end(RTC)?;
            peer.route(&route)?;
            source.says_again(&nlri, &[1])?;
            peer.gone(&route)?;
            source.says_again(&nlri, &[0])?;
            peer.route(&route)?;
            source.says_again(&nlri, &[])?;
            peer.gone(&route)
        }),
        case("asking twice for one target changes nothing", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let (_, route) = source.says(bed, &[0])?;
            for _ in 0..3 {
                ask(&mut peer, &exact(source.targets[0]))?;
            }
            peer.end(RTC)?;
            peer.route(&route)?;
            peer.listen(A_WHILE)?;
            ensure!(peer.heard.announced[&route] == 1, "{:?}", peer.heard.announced);
            ask_no_more(&mut peer, &exact(source.targets[0]))?;
            peer.gone(&route)
        }),
        case("one that comes again asks anew", |bed| {
            let seat = bed.seat(Sort::Client)?;
            let (mut source, mut peer) =
                (Source::new(bed)?, bed.up_with(seat, &seat.open(&OVERLAY))?);
            let (_, route) = source.says(bed, &[0])?;
            ask(&mut peer, &exact(source.targets[0]))?;
            peer.end(RTC)?;
            peer.route(&route)?;
            peer.send(&octets::notification(6, 4, &[]))?;
            peer.closed(crate::speaker::CEILING)?;
            bed.wait("the session is gone", |bed| {
                Ok(bed.neighbor(seat.address).map_or(true, |n| n["state"] != "established"))
            })?;
            let mut again = bed.up_with(seat, &seat.open(&OVERLAY))?;
            again.end(RTC)?;
            absent(&mut again, &route)?;
            ask(&mut again, &exact(source.targets[0]))?;
            again.route(&route).map(|_| ())
        }),
        case("one that cannot ask is told everything", |bed| {
            let mut source = Source::new(bed)?;
            let (_, route) = source.says(bed, &[0])?;
            let seat = bed.seat(Sort::Client)?;
            let mut peer = bed.up_with(seat, &seat.open(&[VPNV4]))?;
            peer.route(&route).map(|_| ())
        }),
        case("a route without target is told by the default target only", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            ask(&mut peer, &exact(source.targets[0]))?;
            peer.end(RTC)?;
            let (_, route) = source.says(bed, &[])?;
            bed.watcher(Sort::Client)?.route(&route)?;
            absent(&mut peer, &route)
        }),
        case("a site of origin is no target", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let wanted = source.targets[0];
            source.targets[0][1] = 3;
            ask(&mut peer, &exact(wanted))?;
            peer.end(RTC)?;
            let (_, route) = source.says(bed, &[0])?;
            bed.watcher(Sort::Client)?.route(&route)?;
            absent(&mut peer, &route)
        }),
    ]
}

/// Memberships of every length (RFC 4684 §4), and targets of every type.
fn prefixes<'a>() -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for bits in [32_u8, 33, 40, 47, 48, 49, 56, 64, 72, 80, 88, 90, 95, 96] {
        cases.push(case(format!("a membership of {bits} bits"), move |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let wanted = source.targets[0];
            // The last bit that counts is another one.
            let mut other = wanted;
            if bits > 32 {
                let at = usize::from(bits - 33);
                other[at / 8] ^= 0x80 >> (at % 8);
            }
            source.targets[1] = other;
            let ((_, a), (_, b)) = (source.says(bed, &[0])?, source.says(bed, &[1])?);
            let asked = octets::membership(HOME, wanted, bits);
            ask(&mut peer, &asked)?;
            peer.end(RTC)?;
            peer.route(&a)?;
            if bits > 32 {
                absent(&mut peer, &b)?;
            } else {
                peer.route(&b)?;
            }
            ask_no_more(&mut peer, &asked)?;
            peer.gone(&a)
        }));
    }
    for bits in [1, 8, 31, 97, 104, 255] {
        for withdrawn in [false, true] {
            cases.push(case(
                format!("a membership of {bits} bits is malformed, {withdrawn}"),
                move |bed| {
                    let mut peer = bed.up(Sort::Client)?;
                    let nlri = [&[bits], &vec![0; usize::from(bits).div_ceil(8)][..]].concat();
                    if withdrawn {
                        ask_no_more(&mut peer, &nlri)?;
                    } else {
                        ask(&mut peer, &nlri)?;
                    }
                    // Left out or refused (RFC 7606 §5.3): in no case it is a membership.
                    peer.listen(A_WHILE).ok();
                    let neighbor = bed.neighbor(peer.local);
                    ensure!(
                        neighbor.map_or(true, |n| n["memberships"]
                            .as_array()
                            .is_none_or(Vec::is_empty))
                    );
                    bed.lives()
                },
            ));
        }
    }
    let number = [0, 9, 0, 9];
    for kind in [[0, 2], [1, 2], [2, 2]] {
        cases.push(case(format!("a target of type {kind:?}"), move |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let [_, _, a, b] = bed.number().to_be_bytes();
            source.targets[0] = [kind[0], kind[1], number[1], number[3], 7, 7, a, b];
            let (_, route) = source.says(bed, &[0])?;
            ask(&mut peer, &exact(source.targets[0]))?;
            peer.end(RTC)?;
            peer.route(&route).map(|_| ())
        }));
    }
    for (family, name) in [(VPNV6, "VPN-IPv6"), (EVPN, "EVPN")] {
        cases.push(case(format!("{name} is told by target, too"), move |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let mut say = |at: usize| -> Result<Key> {
                let (nlri, next_hop) = other_family(bed, family, &source.speaker);
                let targets = [source.targets[at]];
                source.speaker.send(&announce(Sort::Client, family, &next_hop, &nlri, &targets))?;
                Ok(key(family, &nlri))
            };
            let (a, b) = (say(0)?, say(1)?);
            ask(&mut peer, &exact(source.targets[0]))?;
            peer.end(RTC)?;
            peer.route(&a)?;
            absent(&mut peer, &b)
        }));
    }
    cases
}

fn other_family(bed: &Bed, family: Family, speaker: &Speaker) -> (Vec<u8>, Vec<u8>) {
    let rd = octets::rd(64_512, bed.number());
    if family == EVPN {
        let nlri = evpn(3, &[&rd[..], &[0, 0, 0, 1, 32, 10, 8, 8, 8]].concat());
        (nlri, speaker.local.octets().to_vec())
    } else {
        (vpn(label(5), rd, &[0x20; 8], 64), octets::mapped_next_hop(speaker.local))
    }
}

/// RFC 4684 §6: routes wait until memberships are complete.
fn waiting<'a>() -> Vec<Case<'a>> {
    vec![
        case("routes wait for the End-of-RIB of memberships", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let (_, route) = source.says(bed, &[0])?;
            ask(&mut peer, &exact(source.targets[0]))?;
            peer.listen(Duration::from_secs(1))?;
            ensure!(peer.heard.get(&route).is_none(), "it did not wait");
            peer.end(RTC)?;
            peer.route(&route).map(|_| ())
        }),
        case("and no longer than half a minute", |bed| {
            let (mut source, mut peer) = (Source::new(bed)?, bed.up(Sort::Client)?);
            let (_, route) = source.says(bed, &[0])?;
            ask(&mut peer, &exact(source.targets[0]))?;
            peer.listen(Duration::from_secs(28))?;
            ensure!(peer.heard.get(&route).is_none(), "it did not wait");
            peer.route(&route).map(|_| ())
        }),
    ]
}

/// Who is told that somebody wants a target.
fn told<'a>() -> Vec<Case<'a>> {
    let mut cases = vec![
        case("a node is told the default target", |bed| {
            let mut peer = bed.up(Sort::Client)?;
            peer.route(&key(RTC, &DEFAULT_TARGET)).map(|_| ())
        }),
        case("a target stays wanted while one of two wants it", |bed| {
            let nlri = exact(target(64_512, bed.number()));
            let (mut a, mut b) = (bed.up(Sort::Client)?, bed.up(Sort::Client)?);
            ask(&mut a, &nlri)?;
            ask(&mut b, &nlri)?;
            let watcher = bed.watcher(Sort::Sibling)?;
            watcher.route(&key(RTC, &nlri))?;
            ask_no_more(&mut a, &nlri)?;
            a.listen(A_WHILE)?;
            ensure!(watcher.now(|heard| heard.get(&key(RTC, &nlri)).is_some()), "it is gone");
            b.close();
            bed.gone(Sort::Sibling, &key(RTC, &nlri))
        }),
        case("the origin AS of a membership is kept", |bed| {
            let nlri = octets::membership(65_009, target(64_512, bed.number()), 96);
            let mut peer = bed.up(Sort::Client)?;
            ask(&mut peer, &nlri)?;
            for watcher in [Sort::Sibling, Sort::Far] {
                bed.watcher(watcher)?.route(&key(RTC, &nlri))?;
            }
            Ok(())
        }),
    ];
    for (from, to, told) in [
        (Sort::Client, Sort::Sibling, true),
        (Sort::Client, Sort::Far, true),
        (Sort::Sibling, Sort::Far, true),
        (Sort::Sibling, Sort::Sibling, false),
        (Sort::Far, Sort::Sibling, true),
        (Sort::Far, Sort::Far, false),
    ] {
        cases.push(case(
            format!("a membership of {from:?} is told to {to:?}: {told}"),
            move |bed| {
                let mut peer = bed.up(from)?;
                let (a, b) = (target(64_512, bed.number()), target(64_512, bed.number()));
                let origin = if from == Sort::Far { FAR } else { HOME };
                let [first, second] = [a, b].map(|target| octets::membership(origin, target, 96));
                peer.send(&membership(origin, peer.local, &first))?;
                let watcher = bed.watcher(to)?;
                if !told {
                    // A client's comes behind it.
                    let mut client = bed.up(Sort::Client)?;
                    bed.wait("it is known", |bed| {
                        let neighbor = bed.neighbor(peer.local)?;
                        Ok(neighbor["memberships"].as_array().is_some_and(|all| !all.is_empty()))
                    })?;
                    ask(&mut client, &octets::membership(HOME, b, 96))?;
                    watcher.route(&key(RTC, &octets::membership(HOME, b, 96)))?;
                    ensure!(
                        watcher.now(|heard| heard.get(&key(RTC, &first)).is_none()),
                        "it is told"
                    );
                    return Ok(());
                }
                let told = watcher.route(&key(RTC, &first))?;
                let hop = if to == Sort::Far { bed.id() } else { peer.local };
                let next_hop = told.next_hop == hop.octets() || told.next_hop == bed.id().octets();
                ensure!(next_hop, "next hop {:?}", told.next_hop);
                peer.send(&membership(origin, peer.local, &second))?;
                watcher.route(&key(RTC, &second))?;
                peer.send(&octets::update(&[], &[unreach(RTC, &first)], &[]))?;
                bed.gone(to, &key(RTC, &first))
            },
        ));
    }
    cases
}

#[test]
fn routes_go_to_those_who_ask_for_them() {
    let bed = Bed::start().expect("a control node");
    let mut cases = waiting();
    cases.extend(asking());
    cases.extend(prefixes());
    cases.extend(told());
    run("memberships", &bed, cases);
}
