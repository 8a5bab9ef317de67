//! Whether what a receiver was told is right, octet for octet. By hand, like all that is sent: a codec
//! that is measured shall not be its own witness.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::routes::{Kind, announced, label, next_hop, set_of, target_octets, target_of};
use super::wire::{self, Parts};

/// What a receiver is to look at.
#[derive(Debug, Clone)]
pub(crate) struct Expect {
    pub(crate) kind: Kind,
    /// Routes of the run are numbered from 0 to this.
    pub(crate) routes: u32,
    /// Whether `ORIGINATOR_ID` and `CLUSTER_LIST` must be there (RFC 4456).
    pub(crate) is_reflected: bool,
    /// Whether a MED of 0 may have been added.
    pub(crate) may_have_med: bool,
    /// The only targets that may come; `None` is all.
    pub(crate) targets: Option<Arc<[u32]>>,
}

/// Code of a path attribute, and its flags but for the one that says how long its length is.
type What = (u8, u8);

const ORIGIN: What = (1, wire::TRANSITIVE);
const AS_PATH: What = (2, wire::TRANSITIVE);
const NEXT_HOP: What = (3, wire::TRANSITIVE);
const MED: What = (4, wire::OPTIONAL);
const LOCAL_PREF: What = (5, wire::TRANSITIVE);
const ORIGINATOR_ID: What = (9, wire::OPTIONAL);
const CLUSTER_LIST: What = (10, wire::OPTIONAL);
const MP_REACH: What = (14, wire::OPTIONAL);
const COMMUNITIES: What = (16, wire::OPTIONAL | wire::TRANSITIVE);

/// Compares an UPDATE that announces with what its routes' numbers say. Returns how many routes it has.
///
/// # Errors
/// The first difference, in words.
pub(super) fn look(expect: &Expect, parts: &Parts<'_>) -> Result<u32, String> {
    let [classic, routes] = parts.announced;
    let is_classic = expect.kind.family() == (1, 1);
    let list = if is_classic { classic } else { routes };
    let (first, _) = expect.kind.step(list).ok_or("no route that was sent")?;
    let mut count = 0;
    let mut rest = list;
    while let Some((n, next)) = expect.kind.step(rest) {
        let octets = rest.get(..rest.len() - next.len()).unwrap_or_default();
        route(expect.kind, n, octets)?;
        if set_of(n) != set_of(first) && attributes_of(expect, n) != attributes_of(expect, first) {
            return Err(format!("routes {first} and {n} in one message"));
        }
        (count, rest) = (count + 1, next);
    }
    attributes(expect, first, parts).map_err(|what| format!("route {first}: {what}"))?;
    match &expect.targets {
        Some(asked) if !asked.contains(&target_of(set_of(first))) => {
            Err(format!("target {} was not asked for", target_of(set_of(first))))
        }
        _ => Ok(count),
    }
}

/// All that the attributes of a route say.
fn attributes_of(expect: &Expect, n: u32) -> (Ipv4Addr, u32, Ipv4Addr) {
    let set = set_of(n);
    (next_hop(set), target_of(set), expect.kind.sender_of(n, expect.routes))
}

/// The route as it was sent, but for the four bits behind the label, which are the next hop's affair and
/// which some set.
fn route(kind: Kind, n: u32, got: &[u8]) -> Result<(), String> {
    let mut want = announced(kind, n);
    if got == want {
        return Ok(());
    }
    let mut got = got.to_vec();
    if let Some(at) = kind.label_at() {
        for octets in [&mut got, &mut want] {
            if let Some(last) = octets.get_mut(at + 2) {
                *last &= 0xf0;
            }
        }
        let part = |octets: &[u8]| octets.get(at..at + 3).unwrap_or_default().to_vec();
        if part(&got) != part(&want) {
            return Err(format!("route {n}: label {:02x?}, not {:02x?}", part(&got), label(n)));
        }
    }
    (got == want).then_some(()).ok_or(format!("route {n}: {got:02x?}, not {want:02x?}"))
}

/// Each attribute that must be there is there once, and no other.
fn attributes(expect: &Expect, n: u32, parts: &Parts<'_>) -> Result<(), String> {
    let (hop, target, sender) = attributes_of(expect, n);
    let hop = hop.octets();
    // What may be anything has no value here.
    let mut want: Vec<(What, Option<Vec<u8>>)> = vec![
        (ORIGIN, Some(vec![0])),
        (AS_PATH, Some(Vec::new())),
        (LOCAL_PREF, Some(100_u32.to_be_bytes().to_vec())),
    ];
    if expect.kind == Kind::Ipv4Unicast {
        want.push((NEXT_HOP, Some(hop.to_vec())));
        want.push((MED, Some(target.to_be_bytes().to_vec())));
    } else {
        if parts.reach_head != expect.kind.reach_head(hop) {
            return Err(format!("next hop {:02x?}, not {hop:?}", parts.reach_head));
        }
        want.push((MP_REACH, None));
        want.push((COMMUNITIES, Some(target_octets(target).to_vec())));
    }
    if expect.is_reflected {
        want.push((ORIGINATOR_ID, Some(sender.octets().to_vec())));
        want.push((CLUSTER_LIST, None));
    }
    let mut may = expect.may_have_med.then_some((MED, [0; 4]));
    for (flags, code, value) in wire::attributes(parts.attributes) {
        let flags = flags & !wire::EXTENDED_LENGTH;
        if may.take_if(|(what, zero)| *what == (code, flags) && *zero == value).is_some() {
            continue;
        }
        let Some(at) = want.iter().position(|(kind, _)| *kind == (code, flags)) else {
            return Err(format!("attribute {code} with flags {flags:#04x}, or twice"));
        };
        match want.swap_remove(at) {
            (_, Some(want)) if want != value => {
                return Err(format!("attribute {code} is {value:02x?}, not {want:02x?}"));
            }
            (CLUSTER_LIST, None) if value.len() != 4 => {
                return Err(format!("CLUSTER_LIST {value:02x?}, which is not one cluster"));
            }
            _ => {}
        }
    }
    match want.first() {
        Some(((code, _), _)) => Err(format!("without attribute {code}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::routes::announce;
    use super::*;

    fn expect(kind: Kind) -> Expect {
        Expect { kind, routes: 1_000, is_reflected: false, may_have_med: false, targets: None }
    }

    fn looked(expect: &Expect, message: &[u8]) -> Result<u32, String> {
        look(expect, &wire::parts(message).expect("an UPDATE"))
    }

    #[test]
    fn what_was_sent_is_right() {
        for kind in [Kind::Ipv4Unicast, Kind::VpnV4, Kind::Evpn] {
            assert_eq!(looked(&expect(kind), &announce(kind, &[30, 31, 39])), Ok(3), "{kind:?}");
        }
    }

    #[test]
    fn any_octet_that_is_wrong_is_seen() {
        for kind in [Kind::Ipv4Unicast, Kind::VpnV4, Kind::Evpn] {
            let message = announce(kind, &[30]);
            // What stands before the attributes are lengths.
            for at in wire::HEADER + 4..message.len() {
                let mut message = message.clone();
                message[at] ^= 0x80;
                let parts = wire::parts(&message);
                let seen = parts.is_none_or(|parts| look(&expect(kind), &parts).is_err());
                assert!(seen, "{kind:?}, octet {at} of {message:02x?}");
            }
        }
    }

    #[test]
    fn reflection_adds_its_two_attributes_and_no_other() {
        let is_reflected = Expect { is_reflected: true, ..expect(Kind::VpnV4) };
        let message = announce(Kind::VpnV4, &[260]);
        let parts = wire::parts(&message).expect("an UPDATE");
        let mut attributes = parts.attributes.to_vec();
        assert!(looked(&is_reflected, &message).is_err_and(|what| what.contains("without")));
        wire::attribute(wire::OPTIONAL, 9, &[127, 2, 0, 2], &mut attributes);
        wire::attribute(wire::OPTIONAL, 10, &[127, 1, 0, 1], &mut attributes);
        assert_eq!(looked(&is_reflected, &wire::update(&[], &attributes, &[])), Ok(1));
        wire::attribute(wire::OPTIONAL, 10, &[127, 1, 0, 1], &mut attributes);
        let twice = looked(&is_reflected, &wire::update(&[], &attributes, &[]));
        assert!(twice.is_err_and(|what| what.contains("twice")));
    }

    #[test]
    fn a_med_of_zero_may_be_added_once_by_those_who_do() {
        let frr = Expect { may_have_med: true, ..expect(Kind::VpnV4) };
        let message = announce(Kind::VpnV4, &[260]);
        let mut attributes = wire::parts(&message).expect("an UPDATE").attributes.to_vec();
        wire::attribute(wire::OPTIONAL, 4, &[0; 4], &mut attributes);
        let message = wire::update(&[], &attributes, &[]);
        assert_eq!(looked(&frr, &message), Ok(1));
        assert!(looked(&expect(Kind::VpnV4), &message).is_err());
        wire::attribute(wire::OPTIONAL, 4, &[0; 4], &mut attributes);
        assert!(looked(&frr, &wire::update(&[], &attributes, &[])).is_err());
    }

    #[test]
    fn a_target_that_was_not_asked_for_is_seen() {
        let asked = Expect { targets: Some([7].into()), ..expect(Kind::VpnV4) };
        assert_eq!(looked(&asked, &announce(Kind::VpnV4, &[70])), Ok(1));
        let other = looked(&asked, &announce(Kind::VpnV4, &[80]));
        assert_eq!(other, Err("target 8 was not asked for".to_owned()));
    }
}
