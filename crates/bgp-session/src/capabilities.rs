//! What each capability of two OPENs means for both.

use bgp_wire::capability::{AddPath, Capability, GracefulRestart, LongLived, Role};
use bgp_wire::notification::open_error;
use bgp_wire::{Afi, AfiSafi, Notification};

use crate::config::SessionConfig;
use crate::restart::RestartAgreement;

/// The families of an OPEN. A speaker that names none at all means IPv4 unicast (RFC 4760 §8).
pub(crate) fn families(capabilities: &[Capability]) -> Vec<AfiSafi> {
    let named: Vec<_> = capabilities
        .iter()
        .filter_map(|capability| match capability {
            Capability::Multiprotocol(family) => Some(*family),
            _ => None,
        })
        .collect();
    if named.is_empty() { vec![AfiSafi::IPV4_UNICAST] } else { named }
}

/// Of several instances only the last counts (RFC 4724 §3).
pub(crate) fn restart(capabilities: &[Capability]) -> Option<&GracefulRestart> {
    capabilities.iter().rev().find_map(|capability| match capability {
        Capability::GracefulRestart(restart) => Some(restart),
        _ => None,
    })
}

/// Compares the roles (RFC 9234 §4.2). `None` where one side has none.
pub(crate) fn role(
    config: &SessionConfig,
    capabilities: &[Capability],
) -> Result<Option<Role>, Notification> {
    let Some(ours) = config.role() else { return Ok(None) };
    let mut said = capabilities.iter().filter_map(|capability| match capability {
        Capability::Role(role) => Some(Some(*role)),
        // One that the registry does not name is a role all the same, and pairs with none.
        Capability::Unknown { code: Capability::ROLE, value } if value.len() == 1 => Some(None),
        _ => None,
    });
    let pairs = match said.next() {
        Some(first) => {
            first.is_some_and(|role| ours.pairs_with(role)) && said.all(|role| role == first)
        }
        None if config.role_strict => false,
        None => return Ok(None),
    };
    if pairs { Ok(Some(ours)) } else { Err(Notification::open_error(open_error::ROLE_MISMATCH)) }
}

/// What the peer says of the families that we, too, would keep for long. It counts only beside graceful
/// restart (RFC 9494 §4.1), and of several capabilities the last.
pub(crate) fn long_lived(
    config: &SessionConfig,
    capabilities: &[Capability],
    restart: Option<&RestartAgreement>,
    common: &[AfiSafi],
) -> Vec<LongLived> {
    let said = capabilities.iter().rev().find_map(|capability| match capability {
        Capability::LongLivedGracefulRestart(entries) => Some(entries),
        _ => None,
    });
    let (Some(said), Some(_)) = (said, restart) else { return Vec::new() };
    let is_ours = |family| config.long_lived.iter().any(|ours| ours.family == family);
    said.iter()
        .filter(|entry| is_ours(entry.family) && common.contains(&entry.family))
        .copied()
        .collect()
}

/// Next hops of another address family that both sides take (RFC 8950 §4).
pub(crate) fn extended_next_hop(
    config: &SessionConfig,
    capabilities: &[Capability],
    common: &[AfiSafi],
) -> Vec<(AfiSafi, Afi)> {
    let is_peers = |entry: &(AfiSafi, Afi)| {
        capabilities.iter().any(|capability| match capability {
            Capability::ExtendedNextHop(entries) => entries.contains(entry),
            _ => false,
        })
    };
    let ours = config.extended_next_hop.iter().filter(|(family, _)| common.contains(family));
    ours.filter(|entry| is_peers(entry)).copied().collect()
}

/// Families in which both sides take stacks of labels, and how many the peer takes (RFC 8277 §2.1). Of a
/// family that is said twice the first counts; of one label or none nothing is said.
pub(crate) fn labels(
    config: &SessionConfig,
    capabilities: &[Capability],
    common: &[AfiSafi],
) -> Vec<(AfiSafi, u8)> {
    let said = capabilities.iter().find_map(|capability| match capability {
        Capability::MultipleLabels(entries) => Some(entries),
        _ => None,
    });
    let peers = |family| {
        let mut entries = said?.iter().filter(|(_, most)| *most > 1);
        entries.find(|(of, _)| *of == family).copied()
    };
    let ours = config.labels.iter().filter(|(family, _)| common.contains(family));
    ours.filter_map(|(family, _)| peers(*family)).collect()
}

/// Families in which path identifiers are (received, sent): one side sends, the other receives (RFC
/// 7911 §4).
pub(crate) fn add_path(
    config: &SessionConfig,
    capabilities: &[Capability],
    common: &[AfiSafi],
) -> (Vec<AfiSafi>, Vec<AfiSafi>) {
    let peers: Vec<AddPath> = capabilities
        .iter()
        .filter_map(|capability| match capability {
            Capability::AddPath(entries) => Some(entries),
            _ => None,
        })
        .flatten()
        .copied()
        .collect();
    let both = |agrees: fn(&AddPath, &AddPath) -> bool| {
        config
            .add_path
            .iter()
            .filter(|ours| common.contains(&ours.family))
            .filter(|ours| peers.iter().any(|p| p.family == ours.family && agrees(ours, p)))
            .map(|ours| ours.family)
            .collect()
    };
    (both(|ours, peer| ours.receive && peer.send), both(|ours, peer| ours.send && peer.receive))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bgp_wire::Open;

    use super::*;
    use crate::negotiate::{accept, open};

    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn ours() -> SessionConfig {
        SessionConfig::internal(64512, US)
    }

    fn theirs() -> SessionConfig {
        SessionConfig::internal(64512, PEER)
    }

    #[test]
    fn path_identifiers_go_where_one_sends_and_the_other_receives() {
        let entry = |receive, send| vec![AddPath { family: AfiSafi::VPNV4, receive, send }];
        let config = SessionConfig { add_path: entry(true, true), ..ours() };
        let peer = SessionConfig { add_path: entry(true, false), ..theirs() };
        let agreed = accept(&config, open(&peer)).unwrap().negotiated;
        assert_eq!(agreed.add_path_send, [AfiSafi::VPNV4]);
        assert!(agreed.add_path_receive.is_empty());
        let agreed = accept(&peer, open(&config)).unwrap().negotiated;
        assert_eq!(agreed.add_path_receive, [AfiSafi::VPNV4]);
        assert!(agreed.add_path_send.is_empty());
    }

    /// RFC 9234 §4.2: ours, what the peer says, and whether it may come up.
    #[test]
    fn roles_must_belong_together_between_two_as() {
        use Role::{Customer, Peer, Provider, RouteServer, RouteServerClient};
        let said = |roles: &[Role]| roles.iter().copied().map(Capability::Role).collect::<Vec<_>>();
        let nameless =
            vec![Capability::Unknown { code: 9, value: bytes::Bytes::from_static(&[7]) }];
        let cases = [
            (Some(Provider), said(&[Customer]), true, true),
            (Some(Customer), said(&[Provider]), true, true),
            (Some(RouteServer), said(&[RouteServerClient]), true, true),
            (Some(Peer), said(&[Peer]), true, true),
            (Some(Peer), said(&[Peer, Peer]), true, true),
            (Some(Peer), said(&[Peer, Customer]), false, true),
            (Some(Provider), said(&[Provider]), false, true),
            (Some(Provider), said(&[Peer]), false, true),
            (Some(RouteServer), said(&[Customer]), false, true),
            (Some(Provider), nameless, false, true),
            (Some(Provider), vec![], true, false),
            (None, said(&[Provider]), true, true),
            // Inside an AS there are no roles.
            (Some(Provider), said(&[Provider]), true, true),
        ];
        for (index, (role, said, lenient, strict)) in cases.into_iter().enumerate() {
            for (role_strict, want) in [(false, lenient), (true, lenient && strict)] {
                let peer_asn = if index == 12 { 64512 } else { 64999 };
                let config = SessionConfig {
                    role,
                    role_strict,
                    ..SessionConfig::external(64512, US, peer_asn)
                };
                let mut peer = open(&SessionConfig::external(peer_asn, PEER, 64512));
                peer.capabilities.extend(said.clone());
                let got = accept(&config, peer);
                assert_eq!(got.is_ok(), want, "case {index}, strict {role_strict}: {got:?}");
                if let Err(told) = got {
                    assert_eq!((told.code, told.subcode, told.data.len()), (2, 11, 0));
                }
            }
        }
        let config =
            SessionConfig { role: Some(Provider), ..SessionConfig::external(64512, US, 64999) };
        assert!(open(&config).capabilities.contains(&Capability::Role(Provider)));
        let inside = SessionConfig { peer_asn: 64512, ..config };
        assert!(!open(&inside).capabilities.contains(&Capability::Role(Provider)));
    }

    #[test]
    fn long_lived_families_are_those_of_both_that_restart_gracefully() {
        let entry = |family, stale_time| LongLived { family, forwarding: false, stale_time };
        let restart = || GracefulRestart {
            restart_time: 120,
            families: vec![(AfiSafi::VPNV4, true)],
            ..GracefulRestart::default()
        };
        let config = SessionConfig {
            restart: Some(restart()),
            long_lived: vec![entry(AfiSafi::VPNV4, 10), entry(AfiSafi::RTC, 10)],
            ..ours()
        };
        let peer = SessionConfig {
            restart: Some(restart()),
            long_lived: vec![entry(AfiSafi::VPNV4, 3600), entry(AfiSafi::RTC, 60)],
            ..theirs()
        };
        let agreed = accept(&config, open(&peer)).unwrap();
        let by_its_own_word = [entry(AfiSafi::VPNV4, 3600), entry(AfiSafi::RTC, 60)];
        assert_eq!(agreed.long_lived, by_its_own_word);
        // The second is not among those that restart gracefully, and is kept all the same.
        assert_eq!(agreed.restart.unwrap().families, [AfiSafi::VPNV4, AfiSafi::RTC]);
        let hasty = SessionConfig { restart: None, ..peer.clone() };
        assert_eq!(accept(&config, open(&hasty)).unwrap().long_lived, []);
        let of_hand = Open {
            capabilities: vec![
                Capability::Multiprotocol(AfiSafi::VPNV4),
                Capability::LongLivedGracefulRestart(peer.long_lived),
            ],
            ..open(&hasty)
        };
        assert_eq!(
            accept(&config, of_hand).unwrap().long_lived,
            [],
            "without the other capability"
        );
    }

    #[test]
    fn stacks_of_labels_are_sent_where_both_take_them() {
        let with = |entries: &[(AfiSafi, u8)], config| SessionConfig {
            labels: entries.to_vec(),
            families: vec![AfiSafi::VPNV4, AfiSafi::VPNV6],
            ..config
        };
        let config = with(&[(AfiSafi::VPNV4, 2), (AfiSafi::VPNV6, 2)], ours());
        let (v4, v6) = (AfiSafi::VPNV4, AfiSafi::VPNV6);
        // (what the peer says, what it is sent)
        let cases: [(&[_], &[_]); 6] = [
            (&[(v4, 3)], &[(v4, 3)]),
            (&[(v4, 255), (v6, 2)], &[(v4, 255), (v6, 2)]),
            (&[(v4, 1), (v6, 0)], &[]),
            (&[(v4, 2), (v4, 9)], &[(v4, 2)]),
            (&[(AfiSafi::IPV4_LABELED, 2)], &[]),
            (&[], &[]),
        ];
        for (said, want) in cases {
            let agreed = accept(&config, open(&with(said, theirs()))).unwrap();
            assert_eq!(agreed.negotiated.labels, want, "{said:?}");
            let agreed = accept(&with(&[], ours()), open(&with(said, theirs()))).unwrap();
            assert_eq!(agreed.negotiated.labels, [], "we do not take any");
        }
    }

    #[test]
    fn next_hops_of_another_family_are_those_that_both_take() {
        let with = |entries: &[(AfiSafi, Afi)], config| SessionConfig {
            extended_next_hop: entries.to_vec(),
            ..config
        };
        let vpn = (AfiSafi::VPNV4, Afi::IPV6);
        let unicast = (AfiSafi::IPV4_UNICAST, Afi::IPV6);
        let peer = open(&with(&[unicast, vpn], theirs()));
        for (entries, want) in [(vec![], vec![]), (vec![vpn, unicast], vec![vpn])] {
            let agreed = accept(&with(&entries, ours()), peer.clone()).unwrap();
            assert_eq!(agreed.negotiated.extended_next_hop, want);
        }
    }
}
