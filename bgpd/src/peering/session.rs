//! What a session is told: how the peer is reached, and what our OPEN says.

use std::net::IpAddr;
use std::time::Duration;

use arcus_config::{PeerAs, PeerRole, PeerSpec, Remote, Role};
use bgp_peer::{Mode, PeerConfig};
use bgp_session::{HoldTime, SessionConfig};
use bgp_wire::capability::{self, AddPath, GracefulRestart, LongLived};
use bgp_wire::{Afi, AfiSafi, VpnLabels};

use super::Identity;

/// How the peer at `remote` is reached and what our OPEN says, in the name of `host`. `restarting`:
/// this daemon has just started, so its first session is one after a restart (RFC 4724 §4.1).
pub(crate) fn session(
    identity: &Identity,
    host: &str,
    spec: &PeerSpec,
    remote: IpAddr,
    restarting: bool,
) -> PeerConfig {
    let options = &spec.options;
    let (mode, port) = match &spec.remote {
        Remote::Address(address) if options.passive != Some(true) => (Mode::Both, address.port()),
        Remote::Address(address) => (Mode::Passive, address.port()),
        Remote::Prefixes(_) => (Mode::Passive, 179),
    };
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    PeerConfig {
        mode,
        port,
        local: Some(options.source_address.unwrap_or(identity.address)),
        local_interface: options.source_interface.as_ref().map(|name| name.as_str().to_owned()),
        ttl: options.ttl.unwrap_or(255),
        connect_retry: options.connect_retry.map(seconds),
        idle_hold: options.idle_hold.map(seconds),
        shards: identity.shards,
        ..PeerConfig::new(open(identity, host, spec, restarting), remote)
    }
}

/// What our OPEN says.
fn open(identity: &Identity, host: &str, spec: &PeerSpec, restarting: bool) -> SessionConfig {
    let options = &spec.options;
    let local_asn = options.local_as.unwrap_or(spec.local_asn);
    let (peer_asn, peer_asns) = match &spec.peer_asn {
        PeerAs::Is(asn) => (*asn, Vec::new()),
        PeerAs::In(ranges) => (0, ranges.iter().map(|range| range.first..=range.last).collect()),
    };
    let families = &spec.families;
    let is_offered = |option: Option<bool>| option.unwrap_or(true);
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let (send, receive) =
        (options.add_path_send.is_some(), options.add_path_receive.unwrap_or_default());
    let add_path = families.iter().filter(|_| send || receive);
    let mixed = families.iter().filter(|_| is_offered(options.extended_next_hop));
    let long_lived = options.long_lived_time.filter(|time| *time > 0);
    SessionConfig {
        peer_asns,
        hold_time: HoldTime::try_from(spec.hold_time.seconds()).unwrap_or_default(),
        keepalive: options.keepalive.map(seconds),
        send_hold: options.send_hold_time.map(seconds),
        delay_open: options.delay_open.map(seconds),
        labels: if is_offered(options.multiple_labels) { labels(families) } else { Vec::new() },
        as_sets: options.as_sets.unwrap_or(true),
        disable_families: options.disable_family.unwrap_or_default(),
        families: families.clone(),
        restart: restart(spec, restarting),
        long_lived: long_lived.map_or_else(Vec::new, |stale_time| {
            let kept =
                |family: &AfiSafi| LongLived { family: *family, forwarding: true, stale_time };
            families.iter().map(kept).collect()
        }),
        add_path: add_path.map(|family| AddPath { family: *family, receive, send }).collect(),
        extended_next_hop: mixed.filter(|f| is_ipv4(**f)).map(|f| (*f, Afi::IPV6)).collect(),
        role: options.role.map(role),
        role_strict: options.role_strict.unwrap_or_default(),
        bfd_strict: (options.bfd_strict == Some(true))
            .then(|| seconds(options.bfd_hold_time.unwrap_or(30))),
        four_octet_as: is_offered(options.four_octet_as),
        route_refresh: is_offered(options.route_refresh),
        enhanced_route_refresh: is_offered(options.route_refresh),
        extended_messages: is_offered(options.extended_messages),
        host_name: Some(host.to_owned()),
        software_version: Some(format!("arcus-bgpd {}", daemon::version())),
        ..SessionConfig::external(local_asn, identity.router_id, peer_asn)
    }
}

fn restart(spec: &PeerSpec, restarting: bool) -> Option<GracefulRestart> {
    (spec.graceful_restart_time > 0).then(|| GracefulRestart {
        restarted: restarting,
        // Silence of a control node says nothing about the nodes behind it, so their routes are kept
        // over it (RFC 8538), and a neighbor says itself whether its routes are to be. A node or gateway
        // that is silent forwards no more: its routes go.
        notification: matches!(
            spec.role,
            PeerRole::Sibling | PeerRole::Federated { .. } | PeerRole::Neighbor { .. }
        ),
        restart_time: spec.graceful_restart_time,
        // A reflector forwards nothing, so it has lost nothing: the forwarding bit is always true.
        families: spec.families.iter().map(|family| (*family, true)).collect(),
    })
}

/// As many labels as our tables have room for (RFC 8277 §2.1).
fn labels(families: &[AfiSafi]) -> Vec<(AfiSafi, u8)> {
    let most = |family: &AfiSafi| match *family {
        AfiSafi::VPNV4 | AfiSafi::VPNV6 => Some((*family, VpnLabels::DEEPEST)),
        AfiSafi::IPV4_LABELED | AfiSafi::IPV6_LABELED => Some((*family, u8::MAX)),
        _ => None,
    };
    families.iter().filter_map(most).collect()
}

/// Families of IPv4 routes, whose next hops may be IPv6 addresses (RFC 8950 §4). Memberships are none:
/// their next hop is never used.
fn is_ipv4(family: AfiSafi) -> bool {
    family.afi == Afi::IPV4 && family != AfiSafi::RTC
}

pub(super) const fn role(role: Role) -> capability::Role {
    match role {
        Role::Provider => capability::Role::Provider,
        Role::RouteServer => capability::Role::RouteServer,
        Role::RouteServerClient => capability::Role::RouteServerClient,
        Role::Customer => capability::Role::Customer,
        Role::Peer => capability::Role::Peer,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::tests::{gateway, spec};
    use super::*;

    #[test]
    fn a_control_node_that_is_silent_keeps_its_routes_and_a_node_does_not() {
        let us = Ipv4Addr::new(192, 0, 2, 9);
        let identity =
            Identity { asn: 64_512, address: us.into(), router_id: us, cluster_id: us, shards: 1 };
        let said = |role, restarting| {
            let config = session(&identity, "ctl-1", &spec(role), us.into(), restarting);
            let restart = config.session.restart.as_ref().unwrap();
            (restart.notification, restart.restarted)
        };
        assert_eq!(said(PeerRole::Sibling, true), (true, true));
        assert_eq!(said(PeerRole::Nodes { max_nodes: None }, true), (false, true));
        assert_eq!(said(gateway(&[]), false), (false, false), "added long after our start");
        let neighbor = PeerRole::Neighbor { client: true, max_peers: None };
        assert_eq!(said(neighbor, false), (true, false), "the peer has the choice");
    }
}
