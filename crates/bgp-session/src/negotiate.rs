//! Our OPEN, and what two OPENs agree on (RFC 4271 §4.2, §6.2; RFC 5492; RFC 6286).

use std::net::Ipv4Addr;
use std::time::Duration;

use bgp_wire::capability::{Capability, LongLived, Role};
use bgp_wire::notification::open_error;
use bgp_wire::{Negotiated, Notification, Open};

use crate::capabilities;
use crate::cease;
use crate::collision::Speaker;
use crate::config::{HoldTime, SessionConfig};
use crate::restart::RestartAgreement;

/// RFC 4271 §4.4: not more than one a second.
pub(crate) const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(1);

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
    /// Time between two of our KEEPALIVEs; `None` when none are sent.
    pub keepalive: Option<Duration>,
    /// How long the peer may read nothing (RFC 9687); `None` when it may for ever.
    pub send_hold: Option<Duration>,
    /// The peer answers a request for its routes (RFC 2918).
    pub route_refresh: bool,
    /// Both mark the beginning and the end of such an answer (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// Our role, where the peer said the one that belongs to it (RFC 9234).
    pub role: Option<Role>,
    /// Both wait for BFD before the session comes up.
    pub bfd_strict: bool,
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
    offer(!config.labels.is_empty(), Capability::MultipleLabels(config.labels.clone()));
    offer(!config.add_path.is_empty(), Capability::AddPath(config.add_path.clone()));
    capabilities.extend(config.role().map(Capability::Role));
    capabilities.extend(config.bfd_strict.map(|_| Capability::BfdStrict));
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
    if !config.capabilities {
        capabilities.clear();
    }
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
    let offered = capabilities::families(&open.capabilities);
    let common: Vec<_> =
        config.families.iter().copied().filter(|family| offered.contains(family)).collect();
    if common.is_empty() {
        return Err(cease::unsupported_capability(&config.families));
    }
    let role = capabilities::role(config, &open.capabilities)?;
    let agreed_hold_time = hold_time.min(config.hold_time);
    let said = |wanted: &Capability| open.capabilities.contains(wanted);
    let said_of_restart = capabilities::restart(&open.capabilities);
    let mut restart = RestartAgreement::of(config, said_of_restart, &common);
    let long_lived =
        capabilities::long_lived(config, &open.capabilities, restart.as_ref(), &common);
    if let Some(restart) = &mut restart {
        restart.keep_too(&long_lived);
    }
    let (add_path_receive, add_path_send) =
        capabilities::add_path(config, &open.capabilities, &common);
    Ok(Agreement {
        role,
        long_lived,
        restart,
        bfd_strict: config.bfd_strict.is_some() && said(&Capability::BfdStrict),
        route_refresh: said(&Capability::RouteRefresh) || said(&Capability::EnhancedRouteRefresh),
        enhanced_route_refresh: config.enhanced_route_refresh
            && said(&Capability::EnhancedRouteRefresh),
        hold_time: agreed_hold_time,
        keepalive: agreed_hold_time.keepalive().map(|third| {
            config.keepalive.map_or(third, |ours| ours.max(SHORTEST_KEEPALIVE).min(third))
        }),
        send_hold: config.send_hold.or_else(|| agreed_hold_time.send_hold()),
        negotiated: Negotiated {
            internal: config.is_internal(),
            four_octet_as: config.four_octet_as
                && open
                    .capabilities
                    .iter()
                    .any(|capability| matches!(capability, Capability::FourOctetAs(_))),
            extended_messages: config.extended_messages && said(&Capability::ExtendedMessage),
            extended_next_hop: capabilities::extended_next_hop(config, &open.capabilities, &common),
            next_hops_taken: config.extended_next_hop.clone(),
            labels: capabilities::labels(config, &open.capabilities, &common),
            refuse_as_sets: !config.as_sets,
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

#[cfg(test)]
mod tests {
    use bgp_wire::AfiSafi;

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
    fn what_a_speaker_cannot_bear_is_not_said_and_not_used() {
        let config = SessionConfig {
            four_octet_as: false,
            route_refresh: false,
            extended_messages: false,
            ..ours()
        };
        let said = open(&config).capabilities;
        assert!(said.iter().all(|c| matches!(c, Capability::Multiprotocol(_))), "{said:?}");
        let agreed = accept(&config, open(&theirs())).unwrap();
        assert!(!agreed.negotiated.four_octet_as);
        assert_eq!(agreed.negotiated.max_message(), 4096);
    }

    #[test]
    fn each_side_is_known_by_its_name_and_version() {
        let peer = SessionConfig {
            host_name: Some("mx1.lab.example".into()),
            software_version: Some("arcus-bgpd 0.1".into()),
            ..theirs()
        };
        let agreed = accept(&ours(), open(&peer)).unwrap();
        assert_eq!(agreed.peer.host_name().as_deref(), Some("mx1.lab.example"));
        assert_eq!(agreed.peer.software_version(), Some("arcus-bgpd 0.1"));
        let agreed = accept(&peer, open(&ours())).unwrap();
        assert_eq!((agreed.peer.host_name(), agreed.peer.software_version()), (None, None));
    }

    /// (hold time, keepalive asked for, keepalive and send hold that follow), in seconds
    #[test]
    fn timers_follow_the_hold_time_and_what_is_asked_for() {
        for (hold, asked, keepalive, send_hold) in [
            (90, None, Some(30), Some(480)),
            (90, Some(10), Some(10), Some(480)),
            (90, Some(60), Some(30), Some(480)),
            (3, Some(0), Some(1), Some(480)),
            (600, None, Some(200), Some(1200)),
            (0, Some(10), None, None),
        ] {
            let config = SessionConfig {
                hold_time: HoldTime::try_from(hold).unwrap(),
                keepalive: asked.map(Duration::from_secs),
                ..ours()
            };
            let peer = SessionConfig { hold_time: HoldTime::try_from(1000).unwrap(), ..theirs() };
            let agreed = accept(&config, open(&peer)).unwrap();
            assert_eq!(agreed.keepalive.map(|time| time.as_secs()), keepalive, "{hold} {asked:?}");
            assert_eq!(agreed.send_hold.map(|time| time.as_secs()), send_hold, "{hold} {asked:?}");
            let hasty = SessionConfig { send_hold: Some(Duration::from_secs(7)), ..config };
            let agreed = accept(&hasty, open(&peer)).unwrap();
            assert_eq!(agreed.send_hold, Some(Duration::from_secs(7)));
        }
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
