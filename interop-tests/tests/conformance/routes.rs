//! Every form of a route in every family: announced, told to others, withdrawn; and malformed ones.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};

use crate::bed::{Bed, Sort};
use crate::cases::{Case, case, run};
use crate::heard::key;
use crate::octets::{
    self, EVPN, Family, IPV4, IPV6, OVERLAY, VPNV4, VPNV6, evpn, label, prefix, target, unreach,
    vpn,
};
use crate::speaker::{CEILING, Speaker};

const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6);
const MAC: [u8; 6] = [2, 0, 0x5e, 0, 0, 1];
const ESI: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// A route as it is announced, and as others are told it.
pub(crate) struct Form {
    name: String,
    family: Family,
    nlri: Vec<u8>,
    told: Vec<u8>,
    /// Each withdraws it.
    withdrawals: Vec<Vec<u8>>,
    next_hop: Vec<u8>,
}

fn next_hop(family: Family) -> Vec<u8> {
    let here = Ipv4Addr::new(192, 0, 2, 33);
    match family {
        VPNV4 => octets::vpn_next_hop(here),
        VPNV6 => octets::mapped_next_hop(here),
        IPV6 => V6.octets().to_vec(),
        _ => here.octets().to_vec(),
    }
}

/// One that others are told as it was announced, and that is withdrawn so.
fn plain(name: impl Into<String>, family: Family, nlri: Vec<u8>) -> Form {
    Form {
        name: name.into(),
        family,
        told: nlri.clone(),
        withdrawals: vec![nlri.clone()],
        nlri,
        next_hop: next_hop(family),
    }
}

/// Attributes that go with a route from this peer, but for its MP_REACH_NLRI.
pub(crate) fn with_it(sort: Sort, targets: &[[u8; 8]]) -> Vec<Vec<u8>> {
    let mut attributes = vec![octets::origin(0)];
    if sort.is_internal() {
        attributes.extend([octets::as_path(&[]), octets::local_pref(100)]);
    } else {
        attributes.push(octets::as_path(&[sort.asn()]));
    }
    if !targets.is_empty() {
        attributes.push(octets::extended_communities(targets));
    }
    attributes
}

/// An UPDATE that announces routes from this peer.
pub(crate) fn announce(
    sort: Sort,
    family: Family,
    next_hop: &[u8],
    nlri: &[u8],
    targets: &[[u8; 8]],
) -> Vec<u8> {
    let mut attributes = with_it(sort, targets);
    attributes.insert(0, octets::reach(family, next_hop, nlri));
    octets::update(&[], &attributes, &[])
}

/// VPN-IPv4 and VPN-IPv6; the distinguisher is that of the case.
fn vpn_forms(bed: &Bed) -> Vec<Form> {
    let rd = || octets::rd(64_512, bed.number());
    let mut forms = Vec::new();
    let addresses: [(Family, &[u8], &[u8]); 2] = [
        (VPNV4, &[10, 77, 200, 129], &[0, 1, 7, 8, 9, 15, 16, 24, 25, 31, 32]),
        (VPNV6, &V6.octets(), &[0, 1, 8, 32, 63, 64, 65, 127, 128]),
    ];
    for (family, address, lengths) in addresses {
        for bits in lengths {
            let nlri = vpn(label(16), rd(), &cut(address, *bits), *bits);
            forms.push(plain(format!("{family:?} /{bits}"), family, nlri));
        }
        let bits = 21;
        for (name, three) in [
            ("the same label", label(16)),
            ("another label", label(99)),
            ("the label of RFC 8277", [0x80, 0, 0]),
            ("zeros", [0; 3]),
            ("ones", [0xff; 3]),
            ("the label without bottom of stack", [0, 1, 0]),
        ] {
            let rd = rd();
            let form = plain(
                format!("{family:?} withdrawn by {name}"),
                family,
                vpn(label(16), rd, &cut(address, bits), bits),
            );
            let withdrawals = vec![vpn(three, rd, &cut(address, bits), bits)];
            forms.push(Form { withdrawals, ..form });
        }
        for value in [0, 1, 2, 3, 16, 299_776, 1_048_575] {
            let nlri = vpn(label(value), rd(), &cut(address, bits), bits);
            forms.push(plain(format!("{family:?} with label {value}"), family, nlri));
        }
        let number = bed.number().to_be_bytes();
        for kind in [[0, 1], [0, 2], [0, 3], [0xff, 0xff], [0x80, 0]] {
            let rd = [kind[0], kind[1], 192, 0, number[0], number[1], number[2], number[3]];
            let nlri = vpn(label(16), rd, &cut(address, bits), bits);
            forms.push(plain(format!("{family:?} with a RD of type {kind:?}"), family, nlri));
        }
        // Bits past the length are nothing.
        let rd = rd();
        let noisy = vpn(label(16), rd, address, bits);
        let clean = vpn(label(16), rd, &cut(address, bits), bits);
        let form = plain(format!("{family:?} with bits past its length"), family, clean.clone());
        forms.push(Form { nlri: noisy.clone(), withdrawals: vec![noisy], told: clean, ..form });
    }
    let here: [(&str, Family, Vec<u8>); 3] = [
        ("VPN-IPv4 by an IPv6 next hop", VPNV4, [&[0; 8][..], &V6.octets()].concat()),
        ("VPN-IPv6 by an IPv6 next hop", VPNV6, [&[0; 8][..], &V6.octets()].concat()),
        (
            "VPN-IPv6 by two IPv6 next hops",
            VPNV6,
            [&[0; 8][..], &V6.octets(), &[0; 8], &link_local()].concat(),
        ),
    ];
    for (name, family, next_hop) in here {
        let address: &[u8] = if family == VPNV4 { &[10, 9, 8, 0] } else { &V6.octets() };
        let nlri = vpn(label(16), rd(), &cut(address, 24), 24);
        forms.push(Form { next_hop, ..plain(name, family, nlri) });
    }
    forms
}

fn link_local() -> [u8; 16] {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets()
}

/// An address without the bits past a length.
pub(crate) fn cut(address: &[u8], bits: u8) -> Vec<u8> {
    let mut cut = address.to_vec();
    for (at, octet) in cut.iter_mut().enumerate() {
        let kept = usize::from(bits).saturating_sub(at * 8).min(8);
        *octet &= u8::try_from(0xff00_u16 >> kept & 0x00ff).unwrap_or_default();
    }
    cut
}

fn unicast_forms(bed: &Bed) -> Vec<Form> {
    let mut forms = Vec::new();
    for bits in [0, 1, 8, 20, 31, 32] {
        let [_, a, b, c] = bed.number().to_be_bytes();
        let nlri = prefix(&cut(&[0x64 | a, b, c, 255], bits), bits);
        forms.push(plain(format!("IPv4 /{bits} in MP_REACH_NLRI"), IPV4, nlri));
    }
    for bits in [0, 1, 16, 48, 64, 127, 128] {
        let [_, a, b, c] = bed.number().to_be_bytes();
        let address = [&[0x20, a, b, c][..], &V6.octets()[4..]].concat();
        forms.push(plain(format!("IPv6 /{bits}"), IPV6, prefix(&cut(&address, bits), bits)));
    }
    let both = [&V6.octets()[..], &link_local()].concat();
    let nlri = prefix(&[0x20, 2, 7, 7], 32);
    forms.push(Form { next_hop: both, ..plain("IPv6 by two next hops", IPV6, nlri) });
    forms
}

/// RFC 7432 §7, RFC 9136 §3.
fn evpn_forms(bed: &Bed) -> Vec<Form> {
    let rd = || octets::rd(64_512, bed.number());
    let tag = [0, 0, 0, 5];
    let mac = |rd: [u8; 8], address: &[u8], labels: &[u8]| {
        let bits = u8::try_from(address.len() * 8).unwrap_or_default();
        evpn(2, &[&rd[..], &ESI, &tag, &[48], &MAC, &[bits], address, labels].concat())
    };
    let v4 = Ipv4Addr::new(10, 1, 1, 4).octets();
    let five = |rd: [u8; 8], bits: u8, address: &[u8], gateway: &[u8]| {
        // Not both an Ethernet segment and a gateway (RFC 9136 §3.2).
        let esi = if gateway.iter().all(|octet| *octet == 0) { ESI } else { [0; 10] };
        evpn(5, &[&rd[..], &esi, &tag, &[bits], address, gateway, &label(50)].concat())
    };
    let mut forms = vec![
        plain("EVPN 1", EVPN, evpn(1, &[&rd()[..], &ESI, &[0xff; 4], &label(40)].concat())),
        plain("EVPN 2, MAC", EVPN, mac(rd(), &[], &label(41))),
        plain("EVPN 2, MAC and IPv4", EVPN, mac(rd(), &v4, &label(41))),
        plain("EVPN 2, MAC and IPv6", EVPN, mac(rd(), &V6.octets(), &label(41))),
        plain("EVPN 2, two labels", EVPN, mac(rd(), &v4, &[label(41), label(42)].concat())),
        plain(
            "EVPN 2, two labels and IPv6",
            EVPN,
            mac(rd(), &V6.octets(), &[label(41), label(42)].concat()),
        ),
        plain("EVPN 3, IPv4", EVPN, evpn(3, &[&rd()[..], &tag, &[32], &v4].concat())),
        plain("EVPN 3, IPv6", EVPN, evpn(3, &[&rd()[..], &tag, &[128], &V6.octets()].concat())),
        plain("EVPN 4, IPv4", EVPN, evpn(4, &[&rd()[..], &ESI, &[32], &v4].concat())),
        plain("EVPN 4, IPv6", EVPN, evpn(4, &[&rd()[..], &ESI, &[128], &V6.octets()].concat())),
    ];
    for (bits, gateway) in [(0, [0; 4]), (8, [0; 4]), (24, v4), (32, [0; 4])] {
        let nlri = five(rd(), bits, &cut(&v4, bits), &gateway);
        forms.push(plain(format!("EVPN 5, IPv4 /{bits}"), EVPN, nlri));
    }
    for bits in [0, 64, 128] {
        let nlri = five(rd(), bits, &cut(&V6.octets(), bits), &[0; 16]);
        forms.push(plain(format!("EVPN 5, IPv6 /{bits}"), EVPN, nlri));
    }
    // Types that we do not know are carried as they are.
    for kind in [0, 6, 7, 8, 9, 10, 11, 99, 255] {
        let nlri = evpn(kind, &[&rd()[..], &[kind; 11]].concat());
        forms.push(plain(format!("EVPN {kind}"), EVPN, nlri));
    }
    let empty = evpn(200, &[]);
    forms.push(plain("EVPN 200 of no octets", EVPN, empty));
    let v6_next_hop = Form {
        next_hop: V6.octets().to_vec(),
        ..plain(
            "EVPN 3 by an IPv6 next hop",
            EVPN,
            evpn(3, &[&rd()[..], &tag, &[32], &v4].concat()),
        )
    };
    forms.push(v6_next_hop);
    let (a, rd) = (bed.number(), rd());
    let withdrawal = |esi: [u8; 10], labels: &[u8]| {
        evpn(2, &[&rd[..], &esi, &tag, &[48], &MAC, &[32], &v4, labels].concat())
    };
    forms.push(Form {
        withdrawals: vec![withdrawal([0; 10], &[0; 3])],
        ..plain(
            format!("EVPN 2 withdrawn without ESI and label {a}"),
            EVPN,
            withdrawal(ESI, &label(9)),
        )
    });
    forms
}

impl Form {
    fn run(&self, bed: &Bed, sort: Sort) -> Result<()> {
        // Nobody is told what has been in its AS.
        let inside = self.family.1 == 1 || sort == Sort::Far;
        let watchers: &[Sort] = if inside { &[Sort::Client] } else { &[Sort::Client, Sort::Far] };
        let mut speaker = bed.up_with_all(sort)?;
        let targets = [target(64_512, bed.number())];
        let key = key(self.family, &self.told);
        for withdrawal in &self.withdrawals {
            let next_hop = &self.next_hop;
            speaker.send(&announce(sort, self.family, next_hop, &self.nlri, &targets))?;
            for watcher in watchers {
                let told = bed.watcher(*watcher)?.route(&key)?;
                ensure!(told.nlri == self.told, "{watcher:?} is told {:02x?}", told.nlri);
                ensure!(told.next_hop == *next_hop, "{watcher:?} is told {:02x?}", told.next_hop);
            }
            speaker.send(&octets::update(&[], &[unreach(self.family, withdrawal)], &[]))?;
            for watcher in watchers {
                bed.gone(*watcher, &key)?;
            }
        }
        Ok(())
    }
}

/// What becomes of an UPDATE with a route that is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The session, since the routes behind it cannot be found (RFC 7606 §3 j, §5.3).
    Reset,
    /// Only this route; the one in front of it is taken.
    LeftOut,
}

/// Family, octets of a malformed route.
fn malformed(bed: &Bed) -> Vec<(String, Family, Vec<u8>, Fate)> {
    let rd = octets::rd(64_512, bed.number());
    let bits = |bits: u8, octets: usize| [&[bits], &vec![1; octets][..]].concat();
    let evpn_of = |kind: u8, length: usize| evpn(kind, &vec![1; length]);
    let mut all: Vec<(String, Family, Vec<u8>, Fate)> = vec![
        ("VPN-IPv4 of 0 bits".into(), VPNV4, bits(0, 0), Fate::Reset),
        ("VPN-IPv4 of 24 bits".into(), VPNV4, bits(24, 3), Fate::Reset),
        ("VPN-IPv4 of 87 bits".into(), VPNV4, bits(87, 11), Fate::Reset),
        ("VPN-IPv4 of 121 bits".into(), VPNV4, bits(121, 16), Fate::Reset),
        ("VPN-IPv4 of 255 bits".into(), VPNV4, bits(255, 32), Fate::Reset),
        ("VPN-IPv4 that ends early".into(), VPNV4, bits(112, 13), Fate::Reset),
        ("VPN-IPv4 that ends in its RD".into(), VPNV4, bits(112, 5), Fate::Reset),
        ("VPN-IPv4 that is a length".into(), VPNV4, bits(112, 0), Fate::Reset),
        ("VPN-IPv6 of 87 bits".into(), VPNV6, bits(87, 11), Fate::Reset),
        ("VPN-IPv6 of 217 bits".into(), VPNV6, bits(217, 28), Fate::Reset),
        ("VPN-IPv6 that ends early".into(), VPNV6, bits(216, 26), Fate::Reset),
        ("IPv4 of 33 bits".into(), IPV4, bits(33, 5), Fate::Reset),
        ("IPv4 that ends early".into(), IPV4, bits(24, 2), Fate::Reset),
        ("IPv6 of 129 bits".into(), IPV6, bits(129, 17), Fate::Reset),
        ("IPv6 that ends early".into(), IPV6, bits(64, 7), Fate::Reset),
        ("EVPN that is a type".into(), EVPN, vec![2], Fate::Reset),
        ("EVPN that ends early".into(), EVPN, vec![2, 33, 0, 0], Fate::Reset),
    ];
    for (kind, length) in [
        (1, 24),
        (1, 26),
        (1, 0),
        (2, 32),
        (2, 34),
        (2, 0),
        (3, 16),
        (3, 18),
        (3, 12),
        (4, 22),
        (4, 24),
        (5, 33),
        (5, 35),
        (5, 57),
        (5, 0),
    ] {
        let name = format!("EVPN {kind} of {length} octets");
        all.push((name, EVPN, evpn_of(kind, length), Fate::LeftOut));
    }
    let tag = [0; 4];
    let inside = [
        (
            "EVPN 2 with a MAC of 47 bits",
            evpn(2, &[&rd[..], &ESI, &tag, &[47], &MAC, &[0], &label(1)].concat()),
        ),
        (
            "EVPN 2 with an address of 31 bits",
            evpn(2, &[&rd[..], &ESI, &tag, &[48], &MAC, &[31, 1, 1, 1, 1], &label(1)].concat()),
        ),
        (
            "EVPN 2 with an address of 255 bits",
            evpn(2, &[&rd[..], &ESI, &tag, &[48], &MAC, &[255], &label(1)].concat()),
        ),
        (
            "EVPN 3 with an address of 33 bits",
            evpn(3, &[&rd[..], &tag, &[33, 1, 1, 1, 1]].concat()),
        ),
        ("EVPN 4 with an address of 0 bits", evpn(4, &[&rd[..], &ESI, &[0, 1, 1, 1, 1]].concat())),
        (
            "EVPN 5 with a prefix of 33 bits",
            evpn(5, &[&rd[..], &ESI, &tag, &[33], &[1; 8], &label(1)].concat()),
        ),
        (
            "EVPN 5 with a prefix of 129 bits",
            evpn(5, &[&rd[..], &ESI, &tag, &[129], &[1; 32], &label(1)].concat()),
        ),
    ];
    all.extend(inside.map(|(name, nlri)| (name.into(), EVPN, nlri, Fate::LeftOut)));
    all
}

fn good(bed: &Bed, family: Family) -> Vec<u8> {
    let rd = octets::rd(64_512, bed.number());
    let [_, a, b, c] = bed.number().to_be_bytes();
    match family {
        VPNV4 => vpn(label(20), rd, &[10, a, b, c], 32),
        VPNV6 => vpn(label(20), rd, &V6.octets(), 128),
        EVPN => evpn(3, &[&rd[..], &[0, 0, 0, 1, 32, 10, a, b, c]].concat()),
        IPV6 => prefix(&[0x20, 0xff, a, b, c, 0], 48),
        _ => prefix(&[0x0b | a, b, c, 1], 32),
    }
}

fn spoilt_route(
    bed: &Bed,
    sort: Sort,
    (family, nlri, fate): (Family, &[u8], Fate),
    withdrawn: bool,
) -> Result<()> {
    let mut speaker = bed.up_with_all(sort)?;
    let right = good(bed, family);
    let key = key(family, &right);
    let targets = [target(64_512, bed.number())];
    let say = |nlri: &[u8]| announce(sort, family, &next_hop(family), nlri, &targets);
    if withdrawn {
        speaker.send(&say(&right))?;
        bed.watcher(Sort::Client)?.route(&key)?;
        let both = [&right[..], nlri].concat();
        speaker.send(&octets::update(&[], &[unreach(family, &both)], &[]))?;
    } else {
        speaker.send(&say(&[&right[..], nlri].concat()))?;
    }
    match fate {
        Fate::Reset => {
            let refusal = speaker.refusal(CEILING)?;
            ensure!(matches!(refusal, (3, 9 | 10 | 1, _)), "{refusal:?}");
            bed.gone(Sort::Client, &key)?;
        }
        Fate::LeftOut => {
            if withdrawn {
                bed.gone(Sort::Client, &key)?;
            } else {
                bed.watcher(Sort::Client)?.route(&key)?;
            }
            bed.is_up(crate::bed::Seat { sort, address: speaker.local })?;
        }
    }
    Ok(())
}

/// The classic fields of IPv4 unicast, and how MP_REACH_NLRI is framed.
fn fields<'a>() -> Vec<Case<'a>> {
    let reset = |name: &str,
                 families: &'static [Family],
                 update: fn(&Bed) -> Vec<u8>,
                 subcodes: &'static [u8]| {
        case(name, move |bed: &Bed| {
            let seat = bed.seat(Sort::Client)?;
            let mut speaker = bed.up_with(seat, &seat.open(families))?;
            speaker.send(&update(bed))?;
            let (code, subcode, _) = speaker.refusal(CEILING)?;
            ensure!(code == 3 && subcodes.contains(&subcode), "{code}/{subcode}");
            Ok(())
        })
    };
    let all: &[Family] = &[IPV4, IPV6, VPNV4, EVPN];
    vec![
        case("classic IPv4: announced, told, withdrawn", |bed| {
            classic(bed, |nlri| octets::update(nlri, &[], &[]))
        }),
        case("classic IPv4: withdrawn by MP_UNREACH_NLRI", |bed| {
            classic(bed, |nlri| octets::update(&[], &[unreach(IPV4, nlri)], &[]))
        }),
        case("classic IPv4: one UPDATE withdraws and announces", |bed| {
            let mut speaker = bed.up_with_all(Sort::Client)?;
            let (a, b) = (good(bed, IPV4), good(bed, IPV4));
            let attributes = classic_attributes(&speaker);
            speaker.send(&octets::update(&[], &attributes, &a))?;
            bed.watcher(Sort::Client)?.route(&key(IPV4, &a))?;
            speaker.send(&octets::update(&a, &attributes, &b))?;
            bed.watcher(Sort::Client)?.route(&key(IPV4, &b))?;
            bed.gone(Sort::Client, &key(IPV4, &a))
        }),
        case("classic IPv4: in both lists, the announcement counts", |bed| {
            let mut speaker = bed.up_with_all(Sort::Client)?;
            let a = good(bed, IPV4);
            speaker.send(&octets::update(&a, &classic_attributes(&speaker), &a))?;
            bed.watcher(Sort::Client)?.route(&key(IPV4, &a))?;
            Ok(())
        }),
        case("classic IPv4 and three MP families in one UPDATE", |bed| {
            let mut speaker = bed.up_with_all(Sort::Client)?;
            let (old, v4, v6) = (good(bed, IPV6), good(bed, IPV4), good(bed, IPV6));
            let reach = |nlri: &[u8]| octets::reach(IPV6, &next_hop(IPV6), nlri);
            let attributes = classic_attributes(&speaker);
            speaker.send(&octets::update(
                &[],
                &[vec![reach(&old)], attributes.clone()].concat(),
                &[],
            ))?;
            bed.watcher(Sort::Client)?.route(&key(IPV6, &old))?;
            let all = [vec![unreach(IPV6, &old), reach(&v6)], attributes].concat();
            speaker.send(&octets::update(&[], &all, &v4))?;
            bed.watcher(Sort::Client)?.route(&key(IPV4, &v4))?;
            bed.watcher(Sort::Client)?.route(&key(IPV6, &v6))?;
            bed.gone(Sort::Client, &key(IPV6, &old))
        }),
        case("classic IPv4 without NEXT_HOP is withdrawn", |bed| {
            spoilt_classic(bed, |attributes, _| attributes.retain(|octets| octets[1] != 3))
        }),
        case("classic IPv4 with a NEXT_HOP of 3 octets is withdrawn", |bed| {
            spoilt_classic(bed, |attributes, _| {
                attributes.retain(|octets| octets[1] != 3);
                attributes.push(octets::attribute(octets::WELL_KNOWN, 3, &[192, 0, 2]));
            })
        }),
        case("classic IPv4 with a NEXT_HOP of 16 octets is withdrawn", |bed| {
            spoilt_classic(bed, |attributes, _| {
                attributes.retain(|octets| octets[1] != 3);
                attributes.push(octets::attribute(octets::WELL_KNOWN, 3, &[1; 16]));
            })
        }),
        case("classic IPv4 with a NEXT_HOP of no host is not taken", |bed| {
            spoilt_classic(bed, |attributes, _| {
                attributes.retain(|octets| octets[1] != 3);
                attributes.push(octets::attribute(octets::WELL_KNOWN, 3, &[0; 4]));
            })
        }),
        case("classic IPv4 without attributes is withdrawn", |bed| {
            spoilt_classic(bed, |attributes, _| attributes.clear())
        }),
        reset(
            "classic IPv4 of 33 bits",
            all,
            |_| octets::update(&[], &with_it(Sort::Client, &[]), &[33, 1, 1, 1, 1, 1]),
            &[10],
        ),
        reset(
            "classic IPv4 that ends early",
            all,
            |_| octets::update(&[], &with_it(Sort::Client, &[]), &[24, 1, 1]),
            &[10],
        ),
        reset(
            "classic IPv4 withdrawn, of 33 bits",
            all,
            |_| octets::update(&[33, 1, 1, 1, 1, 1], &[], &[]),
            &[10],
        ),
        reset(
            "classic IPv4 withdrawn, that ends early",
            all,
            |_| octets::update(&[24, 1, 1], &[], &[]),
            &[10],
        ),
        reset(
            "withdrawn routes longer than the message",
            all,
            |_| octets::message(2, &[0, 9, 0, 0]),
            &[1],
        ),
        reset(
            "attributes longer than the message",
            all,
            |_| octets::message(2, &[0, 0, 0, 9]),
            &[1],
        ),
        reset(
            "no room for the length of attributes",
            all,
            |_| octets::message(2, &[0, 1, 0, 0]),
            &[1],
        ),
        reset(
            "MP_REACH_NLRI twice",
            all,
            |bed| {
                let reach = octets::reach(EVPN, &[1, 1, 1, 1], &good(bed, EVPN));
                octets::update(
                    &[],
                    &[vec![reach.clone(), reach], with_it(Sort::Client, &[])].concat(),
                    &[],
                )
            },
            &[1],
        ),
        reset(
            "MP_UNREACH_NLRI twice",
            all,
            |bed| {
                let gone = unreach(EVPN, &good(bed, EVPN));
                octets::update(&[], &[gone.clone(), gone], &[])
            },
            &[1],
        ),
        reset(
            "MP_REACH_NLRI of 4 octets",
            all,
            |_| {
                let reach = octets::attribute(octets::OPTIONAL, 14, &[0, 25, 70, 0]);
                octets::update(&[], &[vec![reach], with_it(Sort::Client, &[])].concat(), &[])
            },
            &[1, 5, 9],
        ),
        reset(
            "MP_REACH_NLRI of no octets",
            all,
            |_| {
                let reach = octets::attribute(octets::OPTIONAL, 14, &[]);
                octets::update(&[], &[vec![reach], with_it(Sort::Client, &[])].concat(), &[])
            },
            &[1, 5, 9],
        ),
        reset(
            "MP_UNREACH_NLRI of 2 octets",
            all,
            |_| octets::update(&[], &[octets::attribute(octets::OPTIONAL, 15, &[0, 25])], &[]),
            &[1, 5, 9],
        ),
        // RFC 7606 §5.3: RFC 4760 has other flags, so the attribute is incorrect as a whole.
        reset(
            "MP_REACH_NLRI as transitive",
            all,
            |bed| {
                let mut reach = octets::reach(EVPN, &[1, 1, 1, 1], &good(bed, EVPN));
                reach[0] |= octets::WELL_KNOWN;
                octets::update(&[], &[vec![reach], with_it(Sort::Client, &[])].concat(), &[])
            },
            &[4],
        ),
        reset(
            "MP_UNREACH_NLRI as transitive",
            all,
            |bed| {
                let mut gone = unreach(EVPN, &good(bed, EVPN));
                gone[0] |= octets::WELL_KNOWN;
                octets::update(&[], &[gone], &[])
            },
            &[4],
        ),
        // §3 j: its routes cannot be withdrawn, although those of the classic field can.
        reset(
            "MP_REACH_NLRI that runs over the end, behind it classic IPv4",
            all,
            |bed| {
                let mut reach = octets::reach(EVPN, &[1, 1, 1, 1], &good(bed, EVPN));
                reach.pop();
                let next_hop = octets::attribute(octets::WELL_KNOWN, 3, &[192, 0, 2, 7]);
                let attributes = [with_it(Sort::Client, &[]), vec![next_hop, reach]].concat();
                octets::update(&[], &attributes, &good(bed, IPV4))
            },
            &[5],
        ),
        case("a family that was not negotiated costs nothing", |bed| {
            let seat = bed.seat(Sort::Client)?;
            let mut speaker = bed.up_with(seat, &seat.open(&[VPNV4, octets::RTC]))?;
            let nlri = good(bed, EVPN);
            speaker.send(&announce(Sort::Client, EVPN, &[1, 1, 1, 1], &nlri, &[]))?;
            speaker.send(&octets::update(&[], &[unreach((16_388, 71), &[1, 2, 3])], &[]))?;
            let right = good(bed, VPNV4);
            let targets = [target(64_512, bed.number())];
            speaker.send(&announce(Sort::Client, VPNV4, &next_hop(VPNV4), &right, &targets))?;
            bed.watcher(Sort::Client)?.route(&key(VPNV4, &right))?;
            let told =
                bed.watcher(Sort::Client)?.now(|heard| heard.get(&key(EVPN, &nlri)).is_some());
            ensure!(!told, "it is told");
            Ok(())
        }),
        case("an UPDATE without routes costs nothing", |bed| {
            let mut speaker = bed.up_with_all(Sort::Client)?;
            speaker.send(&octets::update(&[], &with_it(Sort::Client, &[]), &[]))?;
            speaker.send(&octets::update(
                &[],
                &[octets::reach(VPNV4, &next_hop(VPNV4), &[])],
                &[],
            ))?;
            let right = good(bed, VPNV4);
            speaker.send(&announce(
                Sort::Client,
                VPNV4,
                &next_hop(VPNV4),
                &right,
                &[target(1, 1)],
            ))?;
            bed.watcher(Sort::Client)?.route(&key(VPNV4, &right)).map(|_| ())
        }),
        case("a withdrawal of what was never announced costs nothing", |bed| {
            let mut speaker = bed.up_with_all(Sort::Client)?;
            for family in [VPNV4, VPNV6, EVPN, IPV4, IPV6] {
                speaker.send(&octets::update(&[], &[unreach(family, &good(bed, family))], &[]))?;
            }
            let right = good(bed, VPNV4);
            speaker.send(&announce(
                Sort::Client,
                VPNV4,
                &next_hop(VPNV4),
                &right,
                &[target(1, 1)],
            ))?;
            bed.watcher(Sort::Client)?.route(&key(VPNV4, &right)).map(|_| ())
        }),
        case("300 routes in one UPDATE, and 300 withdrawals", |bed| {
            let mut speaker = bed.up_with_all(Sort::Client)?;
            let rd = octets::rd(64_512, bed.number());
            let routes: Vec<_> = (0..230_u8)
                .map(|host| vpn(label(u32::from(host)), rd, &[10, 5, 5, host], 32))
                .collect();
            let list = routes.concat();
            speaker.send(&announce(
                Sort::Client,
                VPNV4,
                &next_hop(VPNV4),
                &list,
                &[target(1, 1)],
            ))?;
            for nlri in &routes {
                let told = bed.watcher(Sort::Client)?.route(&key(VPNV4, nlri))?;
                ensure!(told.nlri == *nlri, "{:02x?}", told.nlri);
            }
            speaker.send(&octets::update(&[], &[unreach(VPNV4, &list)], &[]))?;
            routes.iter().try_for_each(|nlri| bed.gone(Sort::Client, &key(VPNV4, nlri)))
        }),
        case("another label replaces the first", |bed| {
            let mut speaker = bed.up_with_all(Sort::Client)?;
            let rd = octets::rd(64_512, bed.number());
            for value in [100, 200, 100] {
                let nlri = vpn(label(value), rd, &[10, 6, 6, 0], 24);
                speaker.send(&announce(
                    Sort::Client,
                    VPNV4,
                    &next_hop(VPNV4),
                    &nlri,
                    &[target(1, 1)],
                ))?;
                bed.watcher(Sort::Client)?
                    .route_with(&key(VPNV4, &nlri), |told| told.nlri == nlri)?;
            }
            Ok(())
        }),
    ]
}

fn classic_attributes(speaker: &Speaker) -> Vec<Vec<u8>> {
    let mut attributes = with_it(Sort::Client, &[]);
    attributes.insert(2, octets::next_hop(speaker.local));
    attributes
}

fn classic(bed: &Bed, withdraw: impl Fn(&[u8]) -> Vec<u8>) -> Result<()> {
    let mut speaker = bed.up_with_all(Sort::Client)?;
    let nlri = good(bed, IPV4);
    speaker.send(&octets::update(&[], &classic_attributes(&speaker), &nlri))?;
    let told = bed.watcher(Sort::Client)?.route(&key(IPV4, &nlri))?;
    ensure!(told.next_hop == speaker.local.octets(), "{:?}", told.next_hop);
    speaker.send(&withdraw(&nlri))?;
    bed.gone(Sort::Client, &key(IPV4, &nlri))
}

/// Announces a classic route, then once more with attributes that are spoilt; it is gone then.
fn spoilt_classic(bed: &Bed, spoil: impl Fn(&mut Vec<Vec<u8>>, &Speaker)) -> Result<()> {
    let mut speaker = bed.up_with_all(Sort::Client)?;
    let nlri = good(bed, IPV4);
    let mut attributes = classic_attributes(&speaker);
    speaker.send(&octets::update(&[], &attributes, &nlri))?;
    bed.watcher(Sort::Client)?.route(&key(IPV4, &nlri))?;
    spoil(&mut attributes, &speaker);
    speaker.send(&octets::update(&[], &attributes, &nlri))?;
    bed.gone(Sort::Client, &key(IPV4, &nlri))?;
    bed.is_up(crate::bed::Seat { sort: Sort::Client, address: speaker.local })
}

/// Lengths of a next hop that are no next hop of the family.
fn next_hops<'a>() -> Vec<Case<'a>> {
    let wrong: [(Family, &[usize]); 5] = [
        (VPNV4, &[0, 4, 11, 13, 16, 25]),
        (VPNV6, &[0, 4, 16, 23, 25, 49]),
        (EVPN, &[0, 3, 5, 12, 15, 17]),
        (IPV4, &[0, 3, 5, 12]),
        (IPV6, &[0, 4, 15, 17, 24, 33]),
    ];
    let mut cases = Vec::new();
    for (family, lengths) in wrong {
        for length in lengths {
            cases.push(case(format!("{family:?} by a next hop of {length} octets"), move |bed| {
                let mut speaker = bed.up_with_all(Sort::Client)?;
                let next_hop = vec![1; *length];
                let nlri = good(bed, family);
                speaker.send(&announce(Sort::Client, family, &next_hop, &nlri, &[target(1, 1)]))?;
                let refusal = speaker.refusal(CEILING)?;
                ensure!(refusal.0 == 3, "{refusal:?}");
                Ok(())
            }));
        }
    }
    cases
}

#[test]
fn every_form_of_a_route_is_carried_as_it_came() {
    let bed = Bed::with("", crate::bed::UNICAST, "").expect("a control node");
    let mut forms = vpn_forms(&bed);
    forms.extend(unicast_forms(&bed));
    forms.extend(evpn_forms(&bed));
    let malformed = malformed(&bed);
    let mut cases: Vec<Case<'_>> = forms
        .iter()
        .map(|form| case(form.name.clone(), move |bed| form.run(bed, Sort::Client)))
        .collect();
    for form in forms.iter().filter(|form| OVERLAY.contains(&form.family)).step_by(3) {
        let name = format!("{} from another AS", form.name);
        cases.push(case(name, move |bed| form.run(bed, Sort::Far)));
    }
    for (name, family, nlri, fate) in &malformed {
        for withdrawn in [false, true] {
            // A withdrawal may repeat a stack of labels, so one that is too long may be right.
            let labeled = matches!(*family, VPNV4 | VPNV6);
            if withdrawn && labeled && name.ends_with("bits") && nlri[0] > 120 {
                continue;
            }
            let name = format!("{name}{}", if withdrawn { " withdrawn" } else { "" });
            cases.push(case(name, move |bed| {
                spoilt_route(bed, Sort::Client, (*family, nlri, *fate), withdrawn)
            }));
        }
    }
    cases.extend(fields());
    cases.extend(next_hops());
    run("routes", &bed, cases);
}
