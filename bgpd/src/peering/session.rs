//! What a session is told: how the peer is reached, and what our OPEN says.

use std::net::IpAddr;

use arcus_config::{PeerRole, PeerSpec, Remote};
use bgp_peer::{Mode, PeerConfig};
use bgp_session::{HoldTime, SessionConfig};
use bgp_wire::capability::{AddPath, GracefulRestart};

use super::Identity;

/// How the peer at `remote` is reached and what our OPEN says. `restarting`: this daemon has just
/// started, so its first session is one after a restart (RFC 4724 §4.1).
pub(crate) fn session(
    identity: &Identity,
    spec: &PeerSpec,
    remote: IpAddr,
    restarting: bool,
) -> PeerConfig {
    let options = &spec.options;
    let families = spec.families.clone();
    let restart = (spec.graceful_restart_time > 0).then(|| GracefulRestart {
        restarted: restarting,
        // Silence of a control node says nothing about the nodes behind it, so their routes are kept
        // over it (RFC 8538). A node or gateway that is silent forwards no more: its routes go.
        notification: matches!(spec.role, PeerRole::Sibling | PeerRole::Federated { .. }),
        restart_time: spec.graceful_restart_time,
        // A reflector forwards nothing, so it has lost nothing: the forwarding bit is always true.
        families: families.iter().map(|family| (*family, true)).collect(),
    });
    let (send, receive) =
        (options.add_path_send.is_some(), options.add_path_receive.unwrap_or_default());
    let add_path = families.iter().filter(|_| send || receive);
    let add_path = add_path.map(|family| AddPath { family: *family, receive, send }).collect();
    let local_asn = options.local_as.unwrap_or(spec.local_asn);
    let peer_asn = spec.peer_asn.only().unwrap_or_default();
    let session = SessionConfig {
        hold_time: HoldTime::try_from(spec.hold_time.seconds()).unwrap_or_default(),
        families,
        restart,
        add_path,
        ..SessionConfig::external(local_asn, identity.router_id, peer_asn)
    };
    let (mode, port) = match &spec.remote {
        Remote::Address(address) if options.passive != Some(true) => (Mode::Both, address.port()),
        Remote::Address(address) => (Mode::Passive, address.port()),
        Remote::Prefixes(_) => (Mode::Passive, 179),
    };
    PeerConfig {
        mode,
        port,
        local: Some(options.source_address.unwrap_or(identity.address)),
        ttl: options.ttl.unwrap_or(255),
        shards: identity.shards,
        ..PeerConfig::new(session, remote)
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
            let config = session(&identity, &spec(role), us.into(), restarting);
            let restart = config.session.restart.as_ref().unwrap();
            (restart.notification, restart.restarted)
        };
        assert_eq!(said(PeerRole::Sibling, true), (true, true));
        assert_eq!(said(PeerRole::Nodes { max_nodes: None }, true), (false, true));
        assert_eq!(said(gateway(&[]), false), (false, false), "added long after our start");
    }
}
