//! RFC 7606 and the documents it revises: every attribute, every way to spoil it, from internal and
//! external peers.

use anyhow::{Result, bail, ensure};

use crate::bed::{Bed, HOME, Sort};
use crate::cases::{Case, case, run};
use crate::heard::{Key, key};
use crate::octets::{self, EXTENDED, OPTIONAL, PARTIAL, TRANSITIVE, VPNV4, WELL_KNOWN, attribute};
use crate::speaker::{CEILING, Speaker};

/// What becomes of the route and of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The route is taken.
    Taken,
    /// The route is taken; the attribute is not passed on.
    Discarded,
    /// The route is gone, the session stays.
    Withdrawn,
    /// NOTIFICATION of code 3 with this subcode.
    Reset(u8),
}
use Expect::{Discarded, Reset, Taken, Withdrawn};

/// One way to spoil an UPDATE that is right.
struct Spoilt {
    name: String,
    /// Which attribute it is about.
    code: u8,
    /// Takes the place of the attribute of that code; several, or none, may.
    octets: Vec<Vec<u8>>,
    internal: Expect,
    external: Expect,
}

fn both(name: &str, code: u8, octets: &[Vec<u8>], expect: Expect) -> Spoilt {
    each(name, code, octets, expect, expect)
}

fn each(name: &str, code: u8, octets: &[Vec<u8>], internal: Expect, external: Expect) -> Spoilt {
    Spoilt { name: name.to_owned(), code, octets: octets.to_vec(), internal, external }
}

/// Values of one attribute, right or wrong by their length.
fn lengths(spoilt: &mut Vec<Spoilt>, flags: u8, code: u8, wrong: &[usize], expect: [Expect; 2]) {
    for length in wrong {
        let octets = attribute(flags, code, &vec![1; *length]);
        let name = format!("attribute {code} of {length} octets");
        spoilt.push(each(&name, code, &[octets], expect[0], expect[1]));
    }
}

fn spoilt() -> Vec<Spoilt> {
    let mut all = mandatory();
    all.extend(optional());
    all.extend(flags());
    all.extend(frames());
    all
}

/// §7.1 to §7.5.
fn mandatory() -> Vec<Spoilt> {
    let path = |value: &[u8]| vec![attribute(WELL_KNOWN, 2, value)];
    let one = |kind: u8| [&[kind, 1][..], &octets_of(64_600)].concat();
    let mut all = vec![
        both("ORIGIN is missing", 1, &[], Withdrawn),
        both("AS_PATH is missing", 2, &[], Withdrawn),
        both("ORIGIN EGP", 1, &[octets::origin(1)], Taken),
        both("ORIGIN incomplete", 1, &[octets::origin(2)], Taken),
        both("ORIGIN 3", 1, &[octets::origin(3)], Withdrawn),
        both("ORIGIN 255", 1, &[octets::origin(255)], Withdrawn),
        both("a segment of type 0", 2, &path(&one(0)), Withdrawn),
        both("a segment of type 5", 2, &path(&one(5)), Withdrawn),
        both("a segment of type 255", 2, &path(&one(255)), Withdrawn),
        both("a segment without AS numbers", 2, &path(&[2, 0]), Withdrawn),
        both(
            "an empty segment behind a right one",
            2,
            &path(&[&one(2)[..], &[2, 0]].concat()),
            Withdrawn,
        ),
        both(
            "a segment that is too long",
            2,
            &path(&[&[2, 2][..], &octets_of(64_600)].concat()),
            Withdrawn,
        ),
        both(
            "a segment of 255 that has one",
            2,
            &path(&[&[2, 255][..], &octets_of(64_600)].concat()),
            Withdrawn,
        ),
        both("one octet behind the segments", 2, &path(&[&one(2)[..], &[2]].concat()), Withdrawn),
        both("half an AS number", 2, &path(&[2, 1, 0, 0]), Withdrawn),
        // RFC 7607 §2.
        both(
            "AS 0 in the path",
            2,
            &path(&[&[2, 2][..], &octets_of(64_600), &octets_of(0)].concat()),
            Withdrawn,
        ),
        // RFC 5065 §5: not from outside of a confederation.
        each(
            "a confederation sequence",
            2,
            &path(&[&one(3)[..], &one(2)].concat()),
            Taken,
            Withdrawn,
        ),
        each("a confederation set", 2, &path(&[&one(4)[..], &one(2)].concat()), Taken, Withdrawn),
        both(
            "a set behind a sequence",
            2,
            &path(&[&one(2)[..], &[1, 2], &octets_of(65_001), &octets_of(65_002)].concat()),
            Taken,
        ),
        both(
            "our own AS in the path",
            2,
            &path(&[&[2, 2][..], &octets_of(64_600), &octets_of(HOME)].concat()),
            Withdrawn,
        ),
        both(
            "AS_TRANS in the path",
            2,
            &path(&[&[2, 2][..], &octets_of(64_600), &octets_of(23_456)].concat()),
            Taken,
        ),
        each("an empty path", 2, &path(&[]), Taken, Withdrawn),
        // RFC 4271 §6.3: the first AS is not that of the peer.
        each(
            "a path that begins with another AS",
            2,
            &path(&[&[2, 1][..], &octets_of(65_009)].concat()),
            Taken,
            Withdrawn,
        ),
        // NEXT_HOP says nothing where MP_REACH_NLRI does (RFC 4760 §3).
        both(
            "NEXT_HOP beside MP_REACH_NLRI",
            3,
            &[attribute(WELL_KNOWN, 3, &[192, 0, 2, 7])],
            Taken,
        ),
        each("LOCAL_PREF from outside", 5, &[octets::local_pref(7000)], Taken, Discarded),
        each("LOCAL_PREF is missing", 5, &[], Taken, Taken),
    ];
    lengths(&mut all, WELL_KNOWN, 1, &[0, 2, 300], [Withdrawn; 2]);
    lengths(&mut all, OPTIONAL, 4, &[0, 3, 5, 8], [Withdrawn; 2]);
    lengths(&mut all, WELL_KNOWN, 5, &[0, 3, 5], [Withdrawn, Discarded]);
    all
}

fn octets_of(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// §7.6 to §7.16, and attributes of later documents.
fn optional() -> Vec<Spoilt> {
    let mut all = vec![
        both("ATOMIC_AGGREGATE", 6, &[attribute(WELL_KNOWN, 6, &[])], Taken),
        both("AGGREGATOR", 7, &[attribute(TRANSITIVE, 7, &[0, 0, 0xfc, 0, 192, 0, 2, 1])], Taken),
        // RFC 7607 §2.
        both(
            "AGGREGATOR of AS 0",
            7,
            &[attribute(TRANSITIVE, 7, &[0, 0, 0, 0, 192, 0, 2, 1])],
            Discarded,
        ),
        // RFC 6793 §6: not from one that has four octets.
        both(
            "AS4_PATH",
            17,
            &[attribute(TRANSITIVE, 17, &octets::segments(&[(2, &[65_001])]))],
            Discarded,
        ),
        both(
            "AS4_AGGREGATOR",
            18,
            &[attribute(TRANSITIVE, 18, &[0, 0, 0xfc, 0, 192, 0, 2, 1])],
            Discarded,
        ),
        both(
            "AS4_PATH with wrong flags",
            17,
            &[attribute(WELL_KNOWN, 17, &octets::segments(&[(2, &[65_001])]))],
            Discarded,
        ),
        both("AS4_PATH that is malformed", 17, &[attribute(TRANSITIVE, 17, &[2, 9, 0])], Discarded),
        both("communities", 8, &[octets::communities(&[0xfc00_0001, 0xfc00_0002])], Taken),
        both("large communities", 32, &[attribute(TRANSITIVE, 32, &[1; 24])], Taken),
        both("IPv6 extended communities", 25, &[attribute(TRANSITIVE, 25, &[1; 40])], Taken),
        both("tunnel encapsulation", 23, &[attribute(TRANSITIVE, 23, &octets::TUNNEL)], Taken),
        both(
            "PMSI tunnel",
            22,
            &[attribute(TRANSITIVE, 22, &[0, 6, 0, 0, 0x10, 192, 0, 2, 1])],
            Taken,
        ),
        both(
            "ATTR_SET",
            128,
            &[attribute(TRANSITIVE, 128, &[0, 0, 0xfc, 1, 0x40, 1, 1, 0])],
            Taken,
        ),
        both(
            "an unknown transitive attribute",
            200,
            &[attribute(TRANSITIVE, 200, &[1, 2, 3])],
            Taken,
        ),
        both(
            "an unknown transitive attribute without value",
            200,
            &[attribute(TRANSITIVE, 200, &[])],
            Taken,
        ),
        both(
            "an unknown optional attribute",
            201,
            &[attribute(OPTIONAL, 201, &[1, 2, 3])],
            Discarded,
        ),
        // RFC 4271 §6.3, which RFC 7606 leaves as it is.
        both("an unknown well-known attribute", 202, &[attribute(WELL_KNOWN, 202, &[1])], Reset(2)),
        each("ORIGINATOR_ID", 9, &[attribute(OPTIONAL, 9, &[9, 9, 9, 9])], Taken, Discarded),
        each(
            "CLUSTER_LIST",
            10,
            &[attribute(OPTIONAL, 10, &[9, 9, 9, 9, 8, 8, 8, 8])],
            Taken,
            Discarded,
        ),
    ];
    lengths(&mut all, WELL_KNOWN, 6, &[1, 4], [Discarded; 2]);
    lengths(&mut all, TRANSITIVE, 7, &[0, 6, 7, 9], [Discarded; 2]);
    lengths(&mut all, TRANSITIVE, 8, &[0, 3, 5, 6], [Withdrawn; 2]);
    lengths(&mut all, OPTIONAL, 9, &[0, 3, 5, 8], [Withdrawn, Discarded]);
    lengths(&mut all, OPTIONAL, 10, &[0, 3, 6], [Withdrawn, Discarded]);
    lengths(&mut all, TRANSITIVE, 16, &[0, 4, 7, 12], [Withdrawn; 2]);
    lengths(&mut all, TRANSITIVE, 25, &[0, 8, 19, 21], [Withdrawn; 2]);
    lengths(&mut all, TRANSITIVE, 32, &[0, 4, 11, 13], [Withdrawn; 2]);
    // RFC 7311 §3.2.
    lengths(&mut all, OPTIONAL, 26, &[1, 2, 5], [Discarded; 2]);
    // RFC 6514 §5.
    lengths(&mut all, TRANSITIVE, 22, &[0, 4], [Withdrawn; 2]);
    // RFC 9012 §13: a TLV that runs over the end.
    all.push(both(
        "tunnel encapsulation that is too short",
        23,
        &[attribute(TRANSITIVE, 23, &[0, 8, 0, 9, 1])],
        Withdrawn,
    ));
    // RFC 9234 §5.
    lengths(&mut all, TRANSITIVE, 35, &[0, 3, 5], [Withdrawn; 2]);
    all
}

/// §3 c: optional and transitive bits that do not belong to an attribute.
fn flags() -> Vec<Spoilt> {
    let right: [(u8, u8, Vec<u8>); 12] = [
        (WELL_KNOWN, 1, vec![0]),
        (WELL_KNOWN, 2, octets::segments(&[(2, &[64_600])])),
        (OPTIONAL, 4, vec![0, 0, 0, 7]),
        (WELL_KNOWN, 5, vec![0, 0, 0, 100]),
        (WELL_KNOWN, 6, vec![]),
        (TRANSITIVE, 7, vec![0, 0, 0xfc, 0, 192, 0, 2, 1]),
        (TRANSITIVE, 8, vec![0xfc, 0, 0, 1]),
        (OPTIONAL, 9, vec![9, 9, 9, 9]),
        (OPTIONAL, 10, vec![9, 9, 9, 9]),
        (TRANSITIVE, 16, vec![0, 2, 0xfc, 0, 0, 0, 0, 1]),
        (TRANSITIVE, 25, vec![1; 20]),
        (TRANSITIVE, 32, vec![1; 12]),
    ];
    let mut all = Vec::new();
    for (flags, code, value) in right {
        for wrong in [OPTIONAL, WELL_KNOWN, OPTIONAL | WELL_KNOWN] {
            let spoilt = attribute(flags ^ wrong, code, &value);
            let name = format!("flags 0x{:02x} of attribute {code}", flags ^ wrong);
            // What an external peer may not send is dropped, whatever is wrong with it.
            let external = if matches!(code, 5 | 9 | 10) { Discarded } else { Withdrawn };
            all.push(each(&name, code, &[spoilt], Withdrawn, external));
        }
        // The partial bit and those that are not defined are not looked at; the length may be long.
        for right in [PARTIAL, 0x0f, EXTENDED] {
            let octets = attribute(flags | right, code, &value);
            let name = format!("flags 0x{:02x} of attribute {code}", flags | right);
            let external = if matches!(code, 5 | 9 | 10) { Discarded } else { Taken };
            all.push(each(&name, code, &[octets], Taken, external));
        }
    }
    all
}

/// §3 g and §4: twice, and lengths that do not fit.
fn frames() -> Vec<Spoilt> {
    let twice = |octets: Vec<u8>| vec![octets.clone(), octets];
    vec![
        both("ORIGIN twice, the first counts", 1, &[octets::origin(0), octets::origin(3)], Taken),
        both(
            "communities twice, the first counts",
            8,
            &[octets::communities(&[1]), octets::communities(&[2])],
            Taken,
        ),
        both("an unknown attribute twice", 200, &twice(attribute(TRANSITIVE, 200, &[1])), Taken),
        // What would be left of the attributes is one flag octet.
        both("one octet behind the attributes", 250, &[vec![TRANSITIVE]], Withdrawn),
        both("two octets behind the attributes", 250, &[vec![TRANSITIVE, 250]], Withdrawn),
        both("half a long length", 250, &[vec![TRANSITIVE | EXTENDED, 250, 0]], Withdrawn),
        both(
            "an attribute that runs over the end",
            250,
            &[vec![TRANSITIVE, 250, 9, 1, 2]],
            Withdrawn,
        ),
        both(
            "a long one that runs over the end",
            250,
            &[vec![TRANSITIVE | EXTENDED, 250, 255, 255, 1, 2]],
            Withdrawn,
        ),
        both("MED that runs over the end", 4, &[vec![OPTIONAL, 4, 4, 0]], Withdrawn),
    ]
}

/// The route of one case.
struct Route {
    key: Key,
    /// One behind it, in the same table: when it is there, the other has been dealt with.
    fence: Key,
    nlri: Vec<u8>,
    fence_nlri: Vec<u8>,
    target: [u8; 8],
}

impl Route {
    fn new(bed: &Bed) -> Self {
        let number = bed.number();
        let rd = octets::rd(64_512, number);
        let nlri = octets::vpn(octets::label(16), rd, &[10, 1, 2, 0], 24);
        let fence_nlri = octets::vpn(octets::label(17), rd, &[10, 1, 3, 0], 24);
        let (key, fence) = (key(VPNV4, &nlri), key(VPNV4, &fence_nlri));
        Self { key, fence, nlri, fence_nlri, target: octets::target(64_512, number) }
    }

    /// Attributes of an UPDATE that is right, by code; `MP_REACH_NLRI` first (RFC 7606 §5.1).
    fn right(&self, speaker: &Speaker, sort: Sort, nlri: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let next_hop = octets::vpn_next_hop(speaker.local);
        let mut attributes =
            vec![(14, octets::reach(VPNV4, &next_hop, nlri)), (1, octets::origin(0))];
        if sort.is_internal() {
            attributes.push((2, octets::as_path(&[])));
            attributes.push((5, octets::local_pref(100)));
        } else {
            attributes.push((2, octets::as_path(&[sort.asn()])));
        }
        attributes.push((16, octets::extended_communities(&[self.target])));
        attributes
    }
}

pub(crate) fn octets_only(attributes: &[(u8, Vec<u8>)]) -> Vec<Vec<u8>> {
    attributes.iter().map(|(_, octets)| octets.clone()).collect()
}

/// Marks the UPDATE that is spoilt: communities nobody else sends.
const MARK: u32 = 0xfc00_beef;

impl Spoilt {
    fn run(&self, bed: &Bed, sort: Sort) -> Result<()> {
        let expect = if sort.is_internal() { self.internal } else { self.external };
        let watcher = bed.watcher(Sort::Client)?;
        let (route, mut speaker) = (Route::new(bed), bed.up(sort)?);
        let right = route.right(&speaker, sort, &route.nlri);
        speaker.send(&octets::update(&[], &octets_only(&right), &[]))?;
        let before = watcher.route(&route.key)?;

        let mut spoilt = right;
        spoilt.retain(|(code, _)| *code != self.code);
        let marked = self.code == 32;
        if marked {
            spoilt.push((8, octets::communities(&[MARK])));
        } else {
            spoilt.push((32, attribute(TRANSITIVE, 32, &[0xbe; 12])));
        }
        spoilt.extend(self.octets.iter().map(|octets| (self.code, octets.clone())));
        speaker.send(&octets::update(&[], &octets_only(&spoilt), &[]))?;
        if let Reset(subcode) = expect {
            let (code, found, _) = speaker.refusal(CEILING)?;
            ensure!((code, found) == (3, subcode), "{code}/{found}, not 3/{subcode}");
            return bed.gone(Sort::Client, &route.key);
        }
        let fence = octets_only(&route.right(&speaker, sort, &route.fence_nlri));
        speaker.send(&octets::update(&[], &fence, &[]))?;
        watcher.route(&route.fence)?;
        let is_marked = |told: &crate::heard::Told| {
            if marked { told.value(8).is_some() } else { told.value(32).is_some() }
        };
        match expect {
            Withdrawn => {
                bed.gone(Sort::Client, &route.key)?;
                let marked = watcher.now(|heard| heard.announced[&route.key]);
                ensure!(marked == 1, "told {marked} times");
            }
            Taken => {
                let told = watcher.route_with(&route.key, is_marked)?;
                ensure!(told.attributes != before.attributes);
            }
            Discarded => {
                let told = watcher.route_with(&route.key, is_marked)?;
                // LOCAL_PREF of an external route is ours.
                match (self.code, told.value(self.code)) {
                    (_, None) | (5, Some([0, 0, 0, 100])) => {}
                    (code, found) => bail!("attribute {code} is {found:02x?}"),
                }
            }
            Reset(_) => {}
        }
        bed.is_up(crate::bed::Seat { sort, address: speaker.local })
    }
}

#[test]
fn a_malformed_attribute_costs_no_more_than_it_must() {
    let bed = Bed::start().expect("a control node");
    let spoilt = spoilt();
    let mut cases: Vec<Case<'_>> = Vec::new();
    for sort in [Sort::Client, Sort::Far] {
        for one in &spoilt {
            cases.push(case(format!("{} from {sort:?}", one.name), move |bed| one.run(bed, sort)));
        }
    }
    run("attributes", &bed, cases);
}
