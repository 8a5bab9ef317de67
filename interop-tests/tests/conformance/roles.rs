//! RFC 9234: roles that fit or do not, and the only-to-customer attribute.

use anyhow::{Context as _, Result, ensure};

use crate::bed::{Bed, HOME, Knob, Sort};
use crate::cases::{Case, case, run};
use crate::heard::key;
use crate::octets::{self, IPV4, IPV6, KEEPALIVE, TRANSITIVE, attribute, prefix};
use crate::routes::with_it;
use crate::speaker::{CEILING, Got, Speaker};

/// Of every neighbor here.
const PEER: u32 = 65_020;

/// By their numbers in the capability.
const NAMES: [&str; 5] = ["provider", "rs", "rs-client", "customer", "peer"];
const PROVIDER: u8 = 0;
const RS: u8 = 1;
const RS_CLIENT: u8 = 2;
const CUSTOMER: u8 = 3;
const PEERING: u8 = 4;

/// What the other side is where we are this.
fn pair(role: u8) -> u8 {
    [CUSTOMER, RS_CLIENT, RS, PROVIDER, PEERING][usize::from(role)]
}

const fn knob(name: &'static str, keys: &'static str) -> Knob {
    Knob { name, asn: PEER, keys }
}

const NEIGHBORS: [Knob; 8] = [
    knob("provider", "families = [\"ipv4\", \"ipv6\"]\nrole = \"provider\""),
    knob("rs", "families = [\"ipv4\", \"ipv6\"]\nrole = \"rs\""),
    knob("rs-client", "families = [\"ipv4\", \"ipv6\"]\nrole = \"rs-client\""),
    knob("customer", "families = [\"ipv4\", \"ipv6\"]\nrole = \"customer\""),
    knob("peer", "families = [\"ipv4\", \"ipv6\"]\nrole = \"peer\""),
    knob("strict", "families = [\"ipv4\", \"ipv6\"]\nrole = \"peer\"\nrole-strict = true"),
    knob("none", "families = [\"ipv4\", \"ipv6\"]"),
    Knob { name: "listener", asn: HOME, keys: "client = true\nfamilies = [\"ipv4\", \"ipv6\"]" },
];

fn opens<'a>() -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for ours in 0..5_u8 {
        let name = NAMES[usize::from(ours)];
        for theirs in (0..5_u8).map(Some).chain([None]) {
            let said = theirs.map_or("nothing", |role| NAMES[usize::from(role)]);
            cases.push(case(format!("we are {name}, the peer says {said}"), move |bed| {
                let mut speaker = bed.connect_neighbor(name)?;
                let mut open = speaker.1.open(&[IPV4, IPV6]);
                if let Some(role) = theirs {
                    open = open.and(9, &[role]);
                }
                speaker.0.take_open()?;
                ensure!(
                    speaker.0.capability(9) == Some(vec![ours]),
                    "{:?}",
                    speaker.0.capability(9)
                );
                speaker.0.send(&open.octets())?;
                if theirs.is_none_or(|role| role == pair(ours)) {
                    let got = speaker.0.next(CEILING)?;
                    ensure!(got == Got::Message(KEEPALIVE, vec![]), "{got:02x?}");
                    return Ok(());
                }
                let refusal = speaker.0.refusal(CEILING)?;
                ensure!((refusal.0, refusal.1) == (2, 11), "{refusal:?}");
                Ok(())
            }));
        }
    }
    let peer =
        |name: &'static str, value: &'static [&'static [u8]], refused: bool, to: &'static str| {
            case(name, move |bed: &Bed| {
                let (mut speaker, seat) = bed.connect_neighbor(to)?;
                let open =
                    value.iter().fold(seat.open(&[IPV4, IPV6]), |open, value| open.and(9, value));
                speaker.confirm(&open.octets())?;
                if refused {
                    let refusal = speaker.refusal(CEILING)?;
                    ensure!((refusal.0, refusal.1) == (2, 11), "{refusal:?}");
                } else {
                    let got = speaker.next(CEILING)?;
                    ensure!(got == Got::Message(KEEPALIVE, vec![]), "{got:02x?}");
                }
                Ok(())
            })
        };
    cases.extend([
        peer("strict, and the peer says nothing", &[], true, "strict"),
        peer("strict, and the roles fit", &[&[PEERING]], false, "strict"),
        peer("strict, and they do not", &[&[CUSTOMER]], true, "strict"),
        peer("the same role twice", &[&[PEERING], &[PEERING]], false, "peer"),
        peer("two roles", &[&[PEERING], &[CUSTOMER]], true, "peer"),
        peer("a role that nobody knows", &[&[9]], true, "peer"),
        peer("a role though we say none", &[&[CUSTOMER]], false, "none"),
    ]);
    cases
}

fn otc(asn: u32) -> Vec<u8> {
    attribute(TRANSITIVE, 35, &asn.to_be_bytes())
}

/// A session with a neighbor where we have this role.
fn up(bed: &Bed, ours: u8) -> Result<Speaker> {
    let name = NAMES[usize::from(ours)];
    let seat = bed.neighbor_seat(name)?;
    let open = seat.open(&[IPV4, IPV6]).and(9, &[pair(ours)]);
    bed.up_with(seat, &open)
}

fn listener(bed: &Bed) -> Result<Speaker> {
    let seat = bed.neighbor_seat("listener")?;
    bed.up_with(seat, &seat.open(&[IPV4, IPV6]))
}

fn nlri(bed: &Bed) -> Vec<u8> {
    let [_, a, b, c] = bed.number().to_be_bytes();
    prefix(&[0x32 | a, b, c, 0], 32)
}

fn tell(speaker: &mut Speaker, sort: Sort, nlri: &[u8], more: &[Vec<u8>]) -> Result<()> {
    let mut attributes = with_it(sort, &[]);
    attributes.insert(2, octets::next_hop(speaker.local));
    attributes.extend_from_slice(more);
    speaker.send(&octets::update(&[], &attributes, nlri))
}

/// What comes in: from whom we are what, with which attribute; with which one others are told, if at
/// all (§5).
fn incoming<'a>() -> Vec<Case<'a>> {
    let other = 65_077;
    let all: [(u8, Option<u32>, Option<Option<u32>>); 12] = [
        // From a customer or a client of the route server it must not have one.
        (PROVIDER, None, Some(None)),
        (PROVIDER, Some(other), None),
        (RS, None, Some(None)),
        (RS, Some(other), None),
        // From a peer it is the peer's own.
        (PEERING, Some(PEER), Some(Some(PEER))),
        (PEERING, Some(other), None),
        (PEERING, None, Some(Some(PEER))),
        // From above it gets one.
        (CUSTOMER, None, Some(Some(PEER))),
        (CUSTOMER, Some(other), Some(Some(other))),
        (RS_CLIENT, None, Some(Some(PEER))),
        (RS_CLIENT, Some(other), Some(Some(other))),
        (CUSTOMER, Some(PEER), Some(Some(PEER))),
    ];
    let mut cases = Vec::new();
    for (ours, has, told) in all {
        let name = format!("in, as {}, with {has:?}: {told:?}", NAMES[usize::from(ours)]);
        cases.push(case(name, move |bed| {
            let (mut speaker, mut listener) = (up(bed, ours)?, listener(bed)?);
            let (route, fence) = (nlri(bed), nlri(bed));
            let sort = Sort::Neighbor(PEER);
            tell(&mut speaker, sort, &route, has.map(otc).as_slice())?;
            // Behind it, one that everybody may send.
            let may = match ours {
                PEERING => vec![otc(PEER)],
                _ => vec![],
            };
            tell(&mut speaker, sort, &fence, &may)?;
            listener.route(&key(IPV4, &fence))?;
            let found = listener.heard.get(&key(IPV4, &route)).cloned();
            match told {
                None => {
                    listener.listen(std::time::Duration::from_millis(200))?;
                    let found = listener.heard.get(&key(IPV4, &route));
                    ensure!(found.is_none(), "a leak is told: {found:?}");
                }
                Some(asn) => {
                    let found = match found {
                        Some(found) => found,
                        None => listener.route(&key(IPV4, &route))?,
                    };
                    let wanted = asn.map(|asn| (TRANSITIVE, asn.to_be_bytes().to_vec()));
                    ensure!(found.attributes.get(&35) == wanted.as_ref(), "{found:?}");
                }
            }
            Ok(())
        }));
    }
    cases
}

/// What goes out: to whom we are what; with which attribute, if at all.
fn outgoing<'a>() -> Vec<Case<'a>> {
    let other = 65_077;
    let all: [(u8, Option<u32>, Option<Option<u32>>); 10] = [
        (PROVIDER, None, Some(Some(HOME))),
        (PROVIDER, Some(other), Some(Some(other))),
        (RS, None, Some(Some(HOME))),
        (RS, Some(other), Some(Some(other))),
        (PEERING, None, Some(Some(HOME))),
        (PEERING, Some(other), None),
        (CUSTOMER, None, Some(None)),
        (CUSTOMER, Some(other), None),
        (RS_CLIENT, None, Some(None)),
        (RS_CLIENT, Some(other), None),
    ];
    let mut cases = Vec::new();
    for (ours, has, told) in all {
        let name = format!("out, as {}, with {has:?}: {told:?}", NAMES[usize::from(ours)]);
        cases.push(case(name, move |bed| {
            let (mut peer, mut source) = (up(bed, ours)?, listener(bed)?);
            let (route, fence) = (nlri(bed), nlri(bed));
            tell(&mut source, Sort::Client, &route, has.map(otc).as_slice())?;
            tell(&mut source, Sort::Client, &fence, &[])?;
            peer.route(&key(IPV4, &fence))?;
            peer.listen(std::time::Duration::from_millis(200))?;
            let found = peer.heard.get(&key(IPV4, &route));
            match told {
                None => ensure!(found.is_none(), "a leak is told: {found:?}"),
                Some(asn) => {
                    let found = found.context("it is not told")?;
                    let wanted = asn.map(|asn| (TRANSITIVE, asn.to_be_bytes().to_vec()));
                    ensure!(found.attributes.get(&35) == wanted.as_ref(), "{found:?}");
                }
            }
            Ok(())
        }));
    }
    cases
}

#[test]
fn roles_keep_routes_from_leaking() {
    let bed = Bed::with_neighbors("", "", &NEIGHBORS).expect("a control node");
    let mut cases = opens();
    cases.extend(incoming());
    cases.extend(outgoing());
    run("roles", &bed, cases);
}
