//! The routes of a run. Each has a number, and everything about it follows from that number, so that a
//! receiver can tell which route it has and whether it is right.

use std::net::Ipv4Addr;

use super::wire::{self, FamilyCode, OPTIONAL, TRANSITIVE};
use crate::plan;

/// The AS of everyone in a run: all sessions are iBGP.
pub(crate) const ASN: u16 = 64_512;

/// Routes that share an attribute set.
pub(crate) const PER_SET: u32 = 10;

/// Route targets of a run; attribute set `n` carries target `n % TARGETS`.
pub(crate) const TARGETS: u32 = 1_000;

/// What kind of routes a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ipv4Unicast,
    VpnV4,
    /// MAC/IP advertisements (RFC 7432 section 7.2).
    Evpn,
}

impl Kind {
    pub(crate) const fn family(self) -> FamilyCode {
        match self {
            Self::Ipv4Unicast => (1, 1),
            Self::VpnV4 => (1, 128),
            Self::Evpn => (25, 70),
        }
    }

    /// How many share the routes of a run, each an equal part in turn.
    pub(crate) const fn senders(self) -> u16 {
        match self {
            Self::Ipv4Unicast => 10,
            Self::VpnV4 | Self::Evpn => 4,
        }
    }

    /// Who sends route `n` of a run of so many.
    pub(crate) fn sender_of(self, n: u32, routes: u32) -> Ipv4Addr {
        let each = (routes / u32::from(self.senders())).max(1);
        plan::sender(u16::try_from(n / each).unwrap_or(u16::MAX - 1))
    }

    /// Where the label stands in a route.
    pub(crate) const fn label_at(self) -> Option<usize> {
        match self {
            Self::Ipv4Unicast => None,
            Self::VpnV4 => Some(1),
            Self::Evpn => Some(36),
        }
    }

    /// What stands before the routes in `MP_REACH_NLRI`: family, next hop, reserved octet.
    pub(crate) fn reach_head(self, hop: [u8; 4]) -> Vec<u8> {
        let (afi, safi) = self.family();
        let mut head = afi.to_be_bytes().to_vec();
        head.push(safi);
        if self == Self::VpnV4 {
            // A VPN next hop has a route distinguisher of zero (RFC 4364 section 4.3.2).
            head.push(12);
            head.extend([0; 8]);
        } else {
            head.push(4);
        }
        head.extend(hop);
        head.push(0);
        head
    }

    /// The number of the route at the start of `routes`, and the octets behind it. `None` if none of
    /// ours can stand there.
    #[inline]
    pub(crate) fn step(self, routes: &[u8]) -> Option<(u32, &[u8])> {
        match self {
            Self::Ipv4Unicast => {
                let (&[24, a, b, c], rest) = routes.split_first_chunk::<4>()? else { return None };
                Some((u32::from_be_bytes([0, a, b, c]).wrapping_sub(UNICAST_BASE), rest))
            }
            Self::VpnV4 => {
                let (route, rest) = routes.split_first_chunk::<16>()?;
                let [120, .., 10, a, b, c] = route else { return None };
                Some((u32::from_be_bytes([0, *a, *b, *c]), rest))
            }
            Self::Evpn => {
                let (route, rest) = routes.split_first_chunk::<39>()?;
                let [2, 37, body @ ..] = route else { return None };
                let [.., 10, a, b, c, _, _, _] = body else { return None };
                Some((u32::from_be_bytes([0, *a, *b, *c]), rest))
            }
        }
    }

    /// Appends route `n` as it stands in an announcement, or with the label of a withdrawal.
    fn write(self, n: u32, is_withdrawal: bool, out: &mut Vec<u8>) {
        let [_, a, b, c] = n.to_be_bytes();
        let label = if is_withdrawal { [0x80, 0, 0] } else { label(n) };
        match self {
            Self::Ipv4Unicast => {
                let [_, a, b, c] = (n + UNICAST_BASE).to_be_bytes();
                out.extend([24, a, b, c]);
            }
            Self::VpnV4 => {
                out.push(120);
                out.extend(label);
                out.extend(distinguisher(set_of(n)));
                out.extend([10, a, b, c]);
            }
            Self::Evpn => {
                // Type, length; RD; ESI 0; tag 0; MAC; IPv4 address; one label.
                out.extend([2, 37]);
                out.extend(distinguisher(set_of(n)));
                out.extend([0; 10]);
                out.extend([0; 4]);
                out.extend([48, 2, 0, 0, a, b, c]);
                out.extend([32, 10, a, b, c]);
                out.extend(label);
            }
        }
    }
}

/// The first /24, 16.0.0.0: a million of them end before 32.0.0.0.
const UNICAST_BASE: u32 = 16 << 16;

/// The attribute set of route `n`.
pub(crate) const fn set_of(n: u32) -> u32 {
    n / PER_SET
}

/// A node of its own for each thousand attribute sets, as one node has a VRF for each target. Not a
/// loopback address: some daemons refuse those as next hops.
pub(crate) fn next_hop(set: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 200, 0, 1)) + set / TARGETS)
}

/// The number of the route target of an attribute set: 64512:N.
pub(crate) const fn target_of(set: u32) -> u32 {
    set % TARGETS
}

/// A label of its own for each route, or nearly: the twenty bits repeat, as those of many nodes do.
/// The bottom-of-stack bit is set.
pub(crate) fn label(n: u32) -> [u8; 3] {
    let [_, a, b, c] = (((16 + n % 1_000_000) << 4) | 1).to_be_bytes();
    [a, b, c]
}

/// The route target community of this number (RFC 4360, two-octet AS).
pub(crate) fn target_octets(target: u32) -> [u8; 8] {
    let ([a, b], [c, d, e, f]) = (ASN.to_be_bytes(), target.to_be_bytes());
    [0, 2, a, b, c, d, e, f]
}

/// Type 1: the node and the number of the VRF in it.
fn distinguisher(set: u32) -> [u8; 8] {
    let ([a, b, c, d], [_, _, e, f]) = (next_hop(set).octets(), (1 + target_of(set)).to_be_bytes());
    [0, 1, a, b, c, d, e, f]
}

/// Route `n` as it stands in an announcement.
pub(crate) fn announced(kind: Kind, n: u32) -> Vec<u8> {
    let mut out = Vec::new();
    kind.write(n, false, &mut out);
    out
}

/// An UPDATE that announces these routes, which must be of one attribute set.
pub(crate) fn announce(kind: Kind, routes: &[u32]) -> Vec<u8> {
    let Some(&first) = routes.first() else { return Vec::new() };
    let set = set_of(first);
    let mut list = Vec::new();
    for &n in routes {
        kind.write(n, false, &mut list);
    }
    let hop = next_hop(set).octets();
    let mut attributes = Vec::new();
    let mut nlri = Vec::new();
    if kind == Kind::Ipv4Unicast {
        nlri = list;
    } else {
        let mut reach = kind.reach_head(hop);
        reach.extend(list);
        wire::attribute(OPTIONAL, 14, &reach, &mut attributes);
    }
    // ORIGIN IGP, an empty AS_PATH, LOCAL_PREF 100.
    wire::attribute(TRANSITIVE, 1, &[0], &mut attributes);
    wire::attribute(TRANSITIVE, 2, &[], &mut attributes);
    if kind == Kind::Ipv4Unicast {
        wire::attribute(TRANSITIVE, 3, &hop, &mut attributes);
        wire::attribute(OPTIONAL, 4, &target_of(set).to_be_bytes(), &mut attributes);
    }
    wire::attribute(TRANSITIVE, 5, &100_u32.to_be_bytes(), &mut attributes);
    if kind != Kind::Ipv4Unicast {
        let target = target_octets(target_of(set));
        wire::attribute(OPTIONAL | TRANSITIVE, 16, &target, &mut attributes);
    }
    wire::update(&[], &attributes, &nlri)
}

/// An UPDATE that withdraws these routes.
pub(crate) fn withdraw(kind: Kind, routes: &[u32]) -> Vec<u8> {
    let mut list = Vec::new();
    for &n in routes {
        kind.write(n, true, &mut list);
    }
    if kind == Kind::Ipv4Unicast {
        return wire::update(&list, &[], &[]);
    }
    let (afi, safi) = kind.family();
    let [high, low] = afi.to_be_bytes();
    let mut value = vec![high, low, safi];
    value.extend(list);
    let mut attributes = Vec::new();
    wire::attribute(OPTIONAL, 15, &value, &mut attributes);
    wire::update(&[], &attributes, &[])
}

/// Memberships in these targets (RFC 4684 section 4), and their End-of-RIB.
pub(crate) fn memberships(targets: &[u32], from: Ipv4Addr) -> Vec<u8> {
    let mut out = Vec::new();
    if !targets.is_empty() {
        let mut reach = vec![0, 1, 132, 4];
        reach.extend(from.octets());
        reach.push(0);
        for &target in targets {
            reach.push(96);
            reach.extend(u32::from(ASN).to_be_bytes());
            reach.extend(target_octets(target));
        }
        let mut attributes = Vec::new();
        wire::attribute(OPTIONAL, 14, &reach, &mut attributes);
        wire::attribute(TRANSITIVE, 1, &[0], &mut attributes);
        wire::attribute(TRANSITIVE, 2, &[], &mut attributes);
        wire::attribute(TRANSITIVE, 5, &100_u32.to_be_bytes(), &mut attributes);
        out = wire::update(&[], &attributes, &[]);
    }
    out.extend(wire::end_of_rib(wire::RTC));
    out
}

#[cfg(test)]
mod tests {
    use bgp_wire::{Message, Negotiated};

    use super::*;

    const KINDS: [Kind; 3] = [Kind::Ipv4Unicast, Kind::VpnV4, Kind::Evpn];

    fn decode(message: &[u8]) -> bgp_wire::Update {
        match Message::decode(message, &Negotiated::everything()).expect("a good message") {
            Message::Update(update) => update,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_sent_is_read_without_a_fault() {
        for kind in KINDS {
            let update = decode(&announce(kind, &[20, 21, 29]));
            assert_eq!(update.faults, [], "{kind:?}");
            assert_eq!(update.announced[0].1.len(), 3, "{kind:?}");
            assert_eq!(update.announced[0].0.address(), Some(next_hop(2).into()), "{kind:?}");
            let update = decode(&withdraw(kind, &[7, 999_999]));
            assert_eq!(update.faults, [], "{kind:?}");
            assert_eq!(update.withdrawn[0].len(), 2, "{kind:?}");
        }
    }

    #[test]
    fn the_number_of_a_route_is_read_from_its_octets() {
        for kind in KINDS {
            let numbers = [0, 9, 70_001, 999_999];
            for message in [announce(kind, &numbers), withdraw(kind, &numbers)] {
                let parts = wire::parts(&message).expect("a good message");
                let lists = parts.withdrawn.into_iter().chain(parts.announced);
                let mut rest = lists.into_iter().find(|list| !list.is_empty()).expect("routes");
                let mut got = Vec::new();
                while let Some((n, next)) = kind.step(rest) {
                    got.push(n);
                    rest = next;
                }
                assert_eq!(got, numbers, "{kind:?}");
                assert!(rest.is_empty(), "{kind:?}");
            }
        }
    }

    #[test]
    fn memberships_are_read_without_a_fault() {
        let octets = memberships(&[1, 999], Ipv4Addr::LOCALHOST);
        let end = octets.len() - wire::end_of_rib(wire::RTC).len();
        let update = decode(&octets[..end]);
        assert_eq!((update.faults.len(), update.announced[0].1.len()), (0, 2));
        assert_eq!(decode(&octets[end..]).end_of_rib, Some(bgp_wire::AfiSafi::RTC));
    }
}
