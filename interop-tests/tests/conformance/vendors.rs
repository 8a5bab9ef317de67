//! OPENs as routers of several makers send them, and capabilities that say nothing we can use: each is
//! taken, and a route comes through.

use anyhow::{Result, ensure};

use crate::bed::{Bed, HOME, Sort};
use crate::cases::{Case, case, run};
use crate::heard::key;
use crate::octets::{self, EVPN, RTC, VPNV4, VPNV6, capability, multiprotocol, target, vpn};
use crate::routes::announce;

/// Whether all capabilities stand in one parameter, or each in one of its own.
#[derive(Clone, Copy)]
enum Parameters {
    One,
    Each,
}

type Sent = (&'static str, Parameters, Vec<Vec<u8>>);

fn four_octets() -> Vec<u8> {
    capability(65, &HOME.to_be_bytes())
}

/// By hand, after what these routers document and send.
fn makers() -> Vec<Sent> {
    use Parameters::{Each, One};
    let (old_refresh, refresh) = (capability(128, &[]), capability(2, &[]));
    let enhanced = capability(70, &[]);
    let vpn = || multiprotocol(VPNV4);
    vec![
        (
            "Cisco IOS XR",
            Each,
            vec![
                vpn(),
                multiprotocol(VPNV6),
                old_refresh.clone(),
                refresh.clone(),
                four_octets(),
                capability(64, &[0, 0x78]),
                capability(5, &[0, 1, 0, 1, 0, 2, 0, 1, 0, 128, 0, 2]),
            ],
        ),
        (
            "Cisco IOS XE",
            Each,
            vec![
                vpn(),
                old_refresh.clone(),
                refresh.clone(),
                enhanced.clone(),
                four_octets(),
                // Multisession.
                capability(131, &[0]),
            ],
        ),
        (
            "Cisco NX-OS",
            Each,
            vec![
                old_refresh.clone(),
                refresh.clone(),
                vpn(),
                multiprotocol(EVPN),
                four_octets(),
                // Dynamic capability, and graceful restart of a family that is not spoken.
                capability(67, &[]),
                capability(64, &[0x40, 0x78, 0, 25, 70, 0x80]),
            ],
        ),
        (
            "Huawei VRP",
            Each,
            vec![vpn(), multiprotocol((1, 4)), refresh.clone(), four_octets(), old_refresh.clone()],
        ),
        (
            "Juniper Junos",
            One,
            vec![
                vpn(),
                multiprotocol(EVPN),
                multiprotocol(RTC),
                old_refresh.clone(),
                refresh.clone(),
                capability(64, &[0, 0x78]),
                four_octets(),
                capability(71, &[]),
            ],
        ),
        (
            "Nokia SR OS",
            One,
            vec![
                vpn(),
                multiprotocol(VPNV6),
                multiprotocol(EVPN),
                refresh.clone(),
                four_octets(),
                capability(69, &[0, 1, 128, 1]),
            ],
        ),
        (
            "Arista EOS",
            One,
            vec![
                vpn(),
                multiprotocol(EVPN),
                refresh.clone(),
                enhanced.clone(),
                four_octets(),
                capability(64, &[0x81, 0x2c]),
                capability(73, &[3, b'l', b'e', b'f', 0]),
            ],
        ),
        (
            "6WIND and FRR",
            Each,
            vec![
                vpn(),
                old_refresh,
                refresh,
                enhanced,
                four_octets(),
                capability(69, &[0, 1, 128, 1]),
                capability(73, &[0, 0]),
                capability(64, &[0xc0, 0x78]),
                capability(71, &[0, 1, 128, 0x80, 0, 0, 0]),
            ],
        ),
    ]
}

/// Beside a family and four-octet AS numbers.
fn odd() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("names of no octets at all", capability(73, &[])),
        ("a name without a domain", capability(73, &[3, b'a', b'b', b'c'])),
        ("a name that is longer than it is", capability(73, &[255, b'a'])),
        ("a software version of no octets at all", capability(75, &[])),
        ("graceful restart of one octet", capability(64, &[0])),
        ("graceful restart of half a family", capability(64, &[0, 120, 0, 1, 128])),
        ("ADD-PATH in mode 4", capability(69, &[0, 1, 128, 4])),
        ("ADD-PATH in mode 0", capability(69, &[0, 1, 128, 0])),
        ("ADD-PATH of half a family", capability(69, &[0, 1, 128])),
        ("route refresh with a value", capability(2, &[0])),
        ("extended messages with a value", capability(6, &[1])),
        ("extended next hop of half an entry", capability(5, &[0, 1, 0])),
        ("labels of half an entry", capability(8, &[0, 1, 128])),
        ("filters of half an entry", capability(3, &[0, 1])),
        ("a family whose reserved octet is set", capability(1, &[0, 1, 0xff, 128])),
        ("capability 0", capability(0, &[])),
        ("BGPsec, both ways", [capability(7, &[0, 0, 1]), capability(7, &[8, 0, 1])].concat()),
    ]
}

fn comes_through(bed: &Bed, parameters: Parameters, capabilities: &[Vec<u8>]) -> Result<()> {
    let seat = bed.seat(Sort::Client)?;
    let open = octets::Open { capabilities: capabilities.to_vec(), ..seat.open(&[]) };
    let octets = match parameters {
        Parameters::One => open.octets(),
        Parameters::Each => {
            let length = |one: &Vec<u8>| u8::try_from(one.len()).expect("a short capability");
            let each = capabilities.iter().map(|one| [&[2, length(one)], &one[..]].concat());
            open.with_parameters(&each.collect::<Vec<_>>().concat())
        }
    };
    let mut speaker = bed.connect(seat)?;
    speaker.establish(&octets)?;
    bed.is_up(seat)?;
    let nlri = vpn(octets::label(16), octets::rd(64_512, bed.number()), &[10, 3, 3, 0], 24);
    let (hop, targets) = (octets::vpn_next_hop(seat.address), [target(64_512, bed.number())]);
    speaker.send(&announce(Sort::Client, VPNV4, &hop, &nlri, &targets))?;
    let told = bed.watcher(Sort::Client)?.route(&key(VPNV4, &nlri))?;
    ensure!(told.nlri == nlri, "{told:?}");
    Ok(())
}

#[test]
fn an_open_of_any_maker_is_taken() {
    let bed = Bed::start().expect("a control node");
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (maker, parameters, capabilities) in makers() {
        cases.push(case(maker, move |bed: &Bed| comes_through(bed, parameters, &capabilities)));
    }
    for (name, capabilities) in odd() {
        cases.push(case(name, move |bed: &Bed| {
            let all = [multiprotocol(VPNV4), four_octets(), capabilities.clone()];
            comes_through(bed, Parameters::One, &all)
        }));
    }
    run("vendors", &bed, cases);
}
