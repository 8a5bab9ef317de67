//! Labeled unicast (RFC 8277): every form of a label and of a withdrawal, next hops, and lengths that no
//! route has. Stacks of labels are tried with those who have agreed on them, in `steady.rs`.

use anyhow::{Context as _, Result, ensure};

use crate::bed::{Bed, HOME, Knob, Sort};
use crate::cases::{Case, case, run};
use crate::heard::key;
use crate::octets::{self, Family, label, prefix};
use crate::routes::{announce, cut};
use crate::speaker::{CEILING, Speaker};

const V4: Family = (1, 4);
const V6: Family = (2, 4);
const GLOBAL: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 33];

/// Of no meaning in these families.
const TARGET: [[u8; 8]; 1] = [[0, 2, 0xfc, 0, 0, 0, 0, 9]];

const KEYS: &str = "client = true\nfamilies = [\"ipv4-labeled\", \"ipv6-labeled\"]\n";
const KNOBS: [Knob; 3] = [
    Knob { name: "tells", asn: HOME, keys: KEYS },
    Knob { name: "hears", asn: HOME, keys: KEYS },
    Knob { name: "errs", asn: HOME, keys: KEYS },
];

fn up(bed: &Bed, name: &str) -> Result<Speaker> {
    let seat = bed.neighbor_seat(name)?;
    bed.up_with(seat, &seat.open(&[V4, V6]))
}

/// A route of labeled unicast.
fn labeled(label: [u8; 3], address: &[u8], bits: u8) -> Vec<u8> {
    let prefix = prefix(&cut(address, bits), bits);
    [&[bits + 24], &label[..], prefix.get(1..).unwrap_or_default()].concat()
}

/// Family, next hop, address, and lengths of prefixes of it.
type Prefixes = (Family, Vec<u8>, Vec<u8>, &'static [u8]);

/// The odd octets of the addresses would be bottoms of stack, if one were looked for there.
fn addresses() -> [Prefixes; 2] {
    let v6 = [0x20, 1, 0xd, 0xbf, 0, 1, 0, 1, 0, 3, 0, 5, 0, 7, 0, 9];
    [
        (V4, vec![192, 0, 2, 33], vec![10, 21, 33, 129], &[0, 1, 8, 16, 24, 25, 31, 32]),
        (V6, GLOBAL.to_vec(), v6.to_vec(), &[0, 1, 32, 33, 48, 64, 127, 128]),
    ]
}

/// RFC 8277 §2.2: the bottom of stack is ignored where stacks were not agreed on; §2.4: so is all of the
/// label in a withdrawal.
fn labels<'a>() -> Vec<Case<'a>> {
    let without = |value| {
        let [a, b, c] = label(value);
        [a, b, c & 0xfe]
    };
    let labels = [
        ("label 16", label(16)),
        ("label 3", label(3)),
        ("label 299776", label(299_776)),
        ("label 1048575", label(1_048_575)),
        ("label 16 without bottom of stack", without(16)),
        ("label 299776 without bottom of stack", without(299_776)),
    ];
    let rows = addresses().into_iter().map(|(family, next_hop, address, lengths)| {
        // All in one case: there is but one prefix without bits.
        case(format!("{family:?}: each label, told and withdrawn"), move |bed| {
            let (mut tells, mut hears) = (up(bed, "tells")?, up(bed, "hears")?);
            for (name, label) in labels {
                for bits in lengths {
                    let nlri = labeled(label, &address, *bits);
                    let key = key(family, &nlri);
                    let routes = announce(Sort::Client, family, &next_hop, &nlri, &TARGET);
                    for by in [[0x80, 0, 0], [0; 3], label, [0xff; 3], [0xff, 0xff, 0xfe]] {
                        let what = || format!("/{bits} with {name}, withdrawn by {by:02x?}");
                        tells.send(&routes)?;
                        let told = hears.route(&key).with_context(what)?;
                        let is_same = told.nlri == nlri && told.next_hop == next_hop;
                        ensure!(is_same, "{}: {told:?}", what());
                        let gone = octets::unreach(family, &labeled(by, &address, *bits));
                        tells.send(&octets::update(&[], &[gone], &[]))?;
                        hears.gone(&key).with_context(what)?;
                    }
                }
            }
            Ok(())
        })
    });
    rows.collect()
}

fn next_hops<'a>() -> Vec<Case<'a>> {
    let both = [GLOBAL, LINK_LOCAL].concat();
    let rows =
        [(V4, vec![192, 0, 2, 33]), (V6, GLOBAL.to_vec()), (V6, MAPPED.to_vec()), (V6, both)];
    let rows = rows.into_iter().map(|(family, next_hop)| {
        case(format!("{family:?} by a next hop of {next_hop:02x?}"), move |bed| {
            let (mut tells, mut hears) = (up(bed, "tells")?, up(bed, "hears")?);
            let [_, a, b, c] = bed.number().to_be_bytes();
            let nlri = labeled(label(24), &[0x2a, a, b, c], 32);
            tells.send(&announce(Sort::Client, family, &next_hop, &nlri, &TARGET))?;
            let told = hears.route(&key(family, &nlri))?;
            ensure!(told.next_hop == next_hop, "{told:?}");
            Ok(())
        })
    });
    rows.collect()
}

/// RFC 7606 §5.3, §7.11: routes that cannot be told apart.
fn lengths<'a>() -> Vec<Case<'a>> {
    let v4 = vec![192, 0, 2, 33];
    let rows = [
        ("a length without room for a label", V4, v4.clone(), [&[23][..], &[0, 1, 1]].concat()),
        ("an address of 33 bits", V4, v4.clone(), [&[57, 0, 1, 1][..], &[10; 5]].concat()),
        ("a prefix that is cut off", V4, v4, vec![56, 0, 1, 1, 10, 9, 9]),
        ("an address of 129 bits", V6, GLOBAL.to_vec(), [&[153, 0, 1, 1][..], &[9; 17]].concat()),
        ("a next hop of IPv4", V6, vec![192, 0, 2, 33], labeled(label(9), &GLOBAL, 48)),
    ];
    let rows = rows.into_iter().map(|(name, family, next_hop, nlri)| {
        case(format!("{family:?} with {name}"), move |bed| {
            let mut errs = up(bed, "errs")?;
            errs.send(&announce(Sort::Client, family, &next_hop, &nlri, &TARGET))?;
            let (code, subcode, _) = errs.refusal(CEILING)?;
            ensure!((code, subcode) == (3, 9), "{code}/{subcode}");
            Ok(())
        })
    });
    rows.collect()
}

#[test]
fn labeled_routes_are_told_on_and_withdrawn() {
    let bed = Bed::with_neighbors("", "", &KNOBS).expect("a control node");
    let mut cases = labels();
    cases.extend(next_hops());
    cases.extend(lengths());
    run("labeled", &bed, cases);
}
