//! Our OPEN, and what two OPENs agree on (RFC 4271 §4.2, §6.2; RFC 5492; RFC 6286).

use std::net::Ipv4Addr;

use bgp_wire::capability::{AddPath, Capability, GracefulRestart, LongLived, Role};
use bgp_wire::notification::open_error;
use bgp_wire::{Afi, AfiSafi, Negotiated, Notification, Open};

use crate::cease;
use crate::collision::Speaker;
use crate::config::{HoldTime, SessionConfig};
use crate::restart::RestartAgreement;

/// Who the peer is, by its own OPEN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    pub asn: u32,
    pub router_id: Ipv4Addr,
    /// What it offered, before the smaller of both was taken.
    pub hold_time: HoldTime,
    /// As sent, unknown ones included.
    pub capabilities: Vec<Capability>,
}

impl PeerInfo {
    /// The peer as [`crate::collision::winner`] sees it.
    pub const fn speaker(&self) -> Speaker {
        Speaker { id: self.router_id, asn: self.asn }
    }

    /// What it calls itself, as `host.domain` or `host`; `None` where it does not say.
    pub fn host_name(&self) -> Option<String> {
        self.capabilities.iter().rev().find_map(|capability| match capability {
            Capability::Fqdn { host, domain } if domain.is_empty() => Some(host.clone()),
            Capability::Fqdn { host, domain } => Some(format!("{host}.{domain}")),
            _ => None,
        })
    }

    /// Its software and version, in its own words; `None` where it does not say.
    pub fn software_version(&self) -> Option<&str> {
        self.capabilities.iter().rev().find_map(|capability| match capability {
            Capability::SoftwareVersion(version) => Some(version.as_str()),
            _ => None,
        })
    }
}

/// What both OPENs together mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    pub peer: PeerInfo,
    /// What reading and writing depend on.
    pub negotiated: Negotiated,
    /// The smaller of both offers.
    pub hold_time: HoldTime,
    /// The peer answers a request for its routes (RFC 2918).
    pub route_refresh: bool,
    /// Both mark the beginning and the end of such an answer (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// Our role, where the peer said the one that belongs to it (RFC 9234).
    pub role: Option<Role>,
    /// What outlives the session; `None` where nothing does.
    pub restart: Option<RestartAgreement>,
    /// Families that may outlive it for longer still, with the time by the peer's own word (RFC 9494).
    /// Empty unless both sides restart gracefully.
    pub long_lived: Vec<LongLived>,
}

/// The OPEN that we send.
pub fn open(config: &SessionConfig) -> Open {
    let mut capabilities: Vec<_> =
        config.families.iter().copied().map(Capability::Multiprotocol).collect();
    let mut offer = |offered: bool, capability: Capability| {
        if offered {
            capabilities.push(capability);
        }
    };
    offer(config.route_refresh, Capability::RouteRefresh);
    offer(config.extended_messages, Capability::ExtendedMessage);
    offer(config.four_octet_as, Capability::FourOctetAs(config.local_asn));
    offer(config.enhanced_route_refresh, Capability::EnhancedRouteRefresh);
    let next_hops = &config.extended_next_hop;
    offer(!next_hops.is_empty(), Capability::ExtendedNextHop(next_hops.clone()));
    offer(!config.add_path.is_empty(), Capability::AddPath(config.add_path.clone()));
    capabilities.extend(config.role().map(Capability::Role));
    if let Some(restart) = &config.restart {
        capabilities.push(Capability::GracefulRestart(restart.clone()));
        if !config.long_lived.is_empty() {
            capabilities.push(Capability::LongLivedGracefulRestart(config.long_lived.clone()));
        }
    }
    capabilities.extend(config.host_name.as_ref().map(|name| {
        let (host, domain) = name.split_once('.').unwrap_or((name, ""));
        Capability::Fqdn { host: host.to_owned(), domain: domain.to_owned() }
    }));
    capabilities.extend(config.software_version.clone().map(Capability::SoftwareVersion));
    Open {
        asn: config.local_asn,
        hold_time: config.hold_time.secs(),
        router_id: config.local_id,
        capabilities,
    }
}

/// Judges the peer's OPEN.
///
/// # Errors
/// The NOTIFICATION to send, in the order of the checks of RFC 4271 §6.2.
pub fn accept(config: &SessionConfig, open: Open) -> Result<Agreement, Notification> {
    if !config.expects(open.asn) {
        return Err(Notification::open_error(open_error::BAD_PEER_AS));
    }
    let hold_time = HoldTime::try_from(open.hold_time)
        .map_err(|_| Notification::open_error(open_error::UNACCEPTABLE_HOLD_TIME))?;
    // RFC 6286 §2.2: outside our AS somebody else may have our number.
    let is_ours = config.is_internal() && open.router_id == config.local_id;
    if open.router_id.is_unspecified() || is_ours {
        return Err(Notification::open_error(open_error::BAD_BGP_IDENTIFIER));
    }
    let offered = families(&open.capabilities);
    let common: Vec<_> =
        config.families.iter().copied().filter(|family| offered.contains(family)).collect();
    if common.is_empty() {
        return Err(cease::unsupported_capability(&config.families));
    }
    let role = role(config, &open.capabilities)?;
    let said = |wanted: &Capability| open.capabilities.contains(wanted);
    let restart = RestartAgreement::of(config.restart.as_ref(), restart(&open), &common);
    let (add_path_receive, add_path_send) = add_path(config, &open.capabilities, &common);
    Ok(Agreement {
        role,
        long_lived: long_lived(config, &open.capabilities, restart.as_ref()),
        restart,
        route_refresh: said(&Capability::RouteRefresh) || said(&Capability::EnhancedRouteRefresh),
        enhanced_route_refresh: config.enhanced_route_refresh
            && said(&Capability::EnhancedRouteRefresh),
        hold_time: hold_time.min(config.hold_time),
        negotiated: Negotiated {
            internal: config.is_internal(),
            four_octet_as: config.four_octet_as
                && open
                    .capabilities
                    .iter()
                    .any(|capability| matches!(capability, Capability::FourOctetAs(_))),
            extended_messages: config.extended_messages && said(&Capability::ExtendedMessage),
            extended_next_hop: extended_next_hop(config, &open.capabilities, &common),
            families: common,
            add_path_receive,
            add_path_send,
        },
        peer: PeerInfo {
            asn: open.asn,
            router_id: open.router_id,
            hold_time,
            capabilities: open.capabilities,
        },
    })
}

/// The families of an OPEN. A speaker that names none at all means IPv4 unicast (RFC 4760 §8).
fn families(capabilities: &[Capability]) -> Vec<AfiSafi> {
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
fn restart(open: &Open) -> Option<&GracefulRestart> {
    open.capabilities.iter().rev().find_map(|capability| match capability {
        Capability::GracefulRestart(restart) => Some(restart),
        _ => None,
    })
}

/// Compares the roles (RFC 9234 §4.2). `None` where one side has none.
fn role(config: &SessionConfig, capabilities: &[Capability]) -> Result<Option<Role>, Notification> {
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
fn long_lived(
    config: &SessionConfig,
    capabilities: &[Capability],
    restart: Option<&RestartAgreement>,
) -> Vec<LongLived> {
    let said = capabilities.iter().rev().find_map(|capability| match capability {
        Capability::LongLivedGracefulRestart(entries) => Some(entries),
        _ => None,
    });
    let (Some(said), Some(restart)) = (said, restart) else { return Vec::new() };
    let is_ours = |family| config.long_lived.iter().any(|ours| ours.family == family);
    said.iter()
        .filter(|entry| is_ours(entry.family) && restart.families.contains(&entry.family))
        .copied()
        .collect()
}

/// Next hops of another address family that both sides take (RFC 8950 §4).
fn extended_next_hop(
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

/// Families in which path identifiers are (received, sent): one side sends, the other receives (RFC
/// 7911 §4).
fn add_path(
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
    use super::*;

    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn ours() -> SessionConfig {
        SessionConfig::internal(64512, US)
    }

    fn theirs() -> SessionConfig {
        SessionConfig::internal(64512, PEER)
    }

    type Case = (&'static str, fn(&mut Open), Result<(), (u8, u8, Vec<u8>)>);

    #[test]
    fn what_is_wrong_with_an_open() {
        let with = |change: fn(&mut Open)| {
            let mut changed = open(&theirs());
            change(&mut changed);
            accept(&ours(), changed).map(|_| ()).map_err(|n| (n.code, n.subcode, n.data.to_vec()))
        };
        let missing = vec![1, 4, 0, 1, 0, 128, 1, 4, 0, 1, 0, 132];
        // (what, how the peer's OPEN differs, the answer)
        let cases: [Case; 8] = [
            ("nothing", |_| {}, Ok(())),
            ("another AS", |o| o.asn = 64513, Err((2, 2, vec![]))),
            ("one second", |o| o.hold_time = 1, Err((2, 6, vec![]))),
            ("no identifier", |o| o.router_id = Ipv4Addr::UNSPECIFIED, Err((2, 3, vec![]))),
            ("our identifier", |o| o.router_id = US, Err((2, 3, vec![]))),
            ("no capability, so IPv4 unicast", |o| o.capabilities.clear(), Err((2, 7, missing))),
            (
                "one family in common",
                |o| {
                    o.capabilities.retain(|c| *c != Capability::Multiprotocol(AfiSafi::RTC));
                },
                Ok(()),
            ),
            (
                "an unknown capability",
                |o| {
                    let value = bytes::Bytes::from_static(b"arcus");
                    o.capabilities.push(Capability::Unknown { code: 73, value });
                },
                Ok(()),
            ),
        ];
        for (what, change, want) in cases {
            assert_eq!(with(change), want, "{what}");
        }
    }

    #[test]
    fn our_identifier_in_another_as_is_somebody_elses() {
        let config = SessionConfig::external(64512, US, 64999);
        let peer = SessionConfig::external(64999, US, 64512);
        assert!(accept(&config, open(&peer)).is_ok());
    }

    #[test]
    fn the_smaller_hold_time_counts_and_zero_is_the_smallest() {
        for (we, they, want) in [(90, 30, 30), (9, 180, 9), (0, 90, 0), (90, 0, 0)] {
            let hold = |secs: u16| HoldTime::try_from(secs).unwrap();
            let config = SessionConfig { hold_time: hold(we), ..ours() };
            let peer = SessionConfig { hold_time: hold(they), ..theirs() };
            let agreed = accept(&config, open(&peer)).unwrap();
            assert_eq!(agreed.hold_time.secs(), want, "{we} and {they}");
        }
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

    #[test]
    fn an_old_speaker_gets_two_octet_as_numbers_and_short_messages() {
        let mut peer = open(&theirs());
        peer.capabilities.retain(|c| matches!(c, Capability::Multiprotocol(_)));
        let agreed = accept(&ours(), peer).unwrap();
        assert!(!agreed.negotiated.four_octet_as);
        assert_eq!(agreed.negotiated.max_message(), 4096);
        assert!(!agreed.route_refresh);
        assert_eq!(agreed.restart, None);
    }
}
