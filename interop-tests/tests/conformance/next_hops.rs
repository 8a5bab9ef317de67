//! RFC 8950: routes of IPv4 by next hops of IPv6, from peers that may send them and from those that may not; and
//! RFC 9136 §3.2: routes that name two overlay indexes.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use crate::bed::{Bed, HOME, Knob, Seat, Sort, UNICAST};
use crate::cases::{Case, case, run};
use crate::heard::key;
use crate::octets::{
    self, EVPN, Family, IPV4, VPNV4, evpn, label, prefix, target, vpn, vpn_next_hop,
};
use crate::routes::announce;

const GLOBAL: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ZEROS: [u8; 8] = [0; 8];
const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 33);

/// Family, next hops of IPv6 and one of IPv4.
fn next_hops() -> Vec<(Family, Vec<u8>, Vec<u8>)> {
    let (global, both) = (GLOBAL.to_vec(), [GLOBAL, LINK_LOCAL].concat());
    let with_rd = [&ZEROS[..], &GLOBAL].concat();
    let both_with_rd = [&ZEROS[..], &GLOBAL, &ZEROS, &LINK_LOCAL].concat();
    vec![
        (IPV4, global, HERE.octets().to_vec()),
        (IPV4, both, HERE.octets().to_vec()),
        (VPNV4, with_rd, vpn_next_hop(HERE)),
        (VPNV4, both_with_rd, vpn_next_hop(HERE)),
    ]
}

fn route(bed: &Bed, family: Family) -> Vec<u8> {
    let [_, a, b, c] = bed.number().to_be_bytes();
    match family {
        IPV4 => prefix(&[11, a, b, c], 32),
        _ => vpn(label(16), octets::rd(64_512, bed.number()), &[10, 9, 9, 0], 24),
    }
}

/// A neighbor to which we say that we take them, and one to which we do not.
const KNOBS: [Knob; 2] = [
    Knob { name: "takes", asn: HOME, keys: "client = true\nfamilies = [\"vpnv4\", \"ipv4\"]\n" },
    Knob {
        name: "refuses",
        asn: HOME,
        keys: "client = true\nfamilies = [\"vpnv4\", \"ipv4\"]\nextended-next-hop = false\n",
    },
];

fn of_ipv6<'a>() -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for (family, v6, v4) in next_hops() {
        for Knob { name, .. } in KNOBS {
            let (v6, v4) = (v6.clone(), v4.clone());
            let title = format!("{family:?} by a next hop of {} octets: {name}", v6.len());
            cases.push(case(title, move |bed: &Bed| {
                // What the peer itself takes is not asked: it is who sends them (RFC 8950 §4).
                let seat = bed.neighbor_seat(name)?;
                let mut speaker = bed.up_with(seat, &seat.open(&[VPNV4, IPV4]))?;
                let other = bed.neighbor_seat(name)?;
                let mut plain = bed.up_with(other, &other.open(&[VPNV4, IPV4]))?;
                let (nlri, targets) = (route(bed, family), [target(64_512, bed.number())]);
                let key = key(family, &nlri);
                speaker.send(&announce(Sort::Client, family, &v4, &nlri, &targets))?;
                plain.route(&key)?;
                speaker.send(&announce(Sort::Client, family, &v6, &nlri, &targets))?;
                // Whoever has not said that it takes them is not told, and else nobody is.
                plain.gone(&key)?;
                bed.is_up(seat)?;
                let watcher = bed.watcher(Sort::Client)?;
                if name == "refuses" {
                    return watcher.gone(&key);
                }
                let told = watcher.route_with(&key, |told| told.next_hop == v6)?;
                ensure!(told.nlri == nlri, "{told:?}");
                Ok(())
            }));
        }
    }
    cases
}

/// Type 5, with an Ethernet segment, a gateway or both.
fn overlay_indexes<'a>() -> Vec<Case<'a>> {
    let five = |rd: [u8; 8], esi: [u8; 10], gateway: [u8; 4]| {
        evpn(5, &[&rd[..], &esi, &[0; 4], &[24, 10, 8, 7, 0], &gateway, &label(16)].concat())
    };
    let segment = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let cases = [
        ("neither", [0; 10], [0; 4], true),
        ("a segment", segment, [0; 4], true),
        ("a gateway", [0; 10], [10, 8, 7, 1], true),
        ("both", segment, [10, 8, 7, 1], false),
    ];
    let cases = cases.map(|(name, esi, gateway, is_taken)| {
        case(format!("EVPN 5 with {name}"), move |bed: &Bed| -> Result<()> {
            let mut speaker = bed.up(Sort::Client)?;
            let rd = octets::rd(64_512, bed.number());
            let (hop, targets) = (HERE.octets(), [target(64_512, bed.number())]);
            let mut say =
                |nlri: &[u8]| speaker.send(&announce(Sort::Client, EVPN, &hop, nlri, &targets));
            let right = five(rd, [0; 10], [0; 4]);
            say(&right)?;
            let watcher = bed.watcher(Sort::Client)?;
            watcher.route(&key(EVPN, &right))?;
            let other = five(rd, esi, gateway);
            say(&other)?;
            if is_taken {
                watcher.route_with(&key(EVPN, &other), |told| told.nlri == other)?;
            } else {
                bed.gone(Sort::Client, &key(EVPN, &right))?;
            }
            bed.is_up(Seat { sort: Sort::Client, address: speaker.local })
        })
    });
    cases.into_iter().collect()
}

#[test]
fn next_hops_are_those_that_were_agreed_on() {
    let bed = Bed::with_neighbors("", UNICAST, &KNOBS).expect("a control node");
    let mut cases = of_ipv6();
    cases.extend(overlay_indexes());
    run("next hops", &bed, cases);
}
