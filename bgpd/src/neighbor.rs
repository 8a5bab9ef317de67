//! A neighbor as the API shows it: the control task's half, and the shards' half.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use arcus_api::v1::{
    Family, Faults, GracefulRestart, GracefulRestartState, Neighbor, NeighborFamily, NeighborKind,
    Rejected, SessionState,
};
use arcus_config::{PeerRole, PeerSpec};
use bgp_peer::{Counters, PeerState, Status};
use bgp_rib::PeerIx;
use bgp_rib::policy::Reject;
use bgp_rib::query::PeerInfo;
use bgp_wire::AfiSafi;

use crate::paths::{PathState, WatchedPath};
use crate::peer_table::Entry;

/// What the control task knows of a neighbor.
pub(crate) struct NeighborState {
    pub(crate) number: PeerIx,
    pub(crate) address: IpAddr,
    spec: Arc<PeerSpec>,
    status: Status,
    pub(crate) flaps: u64,
    ended: Vec<AfiSafi>,
    disabled: Vec<AfiSafi>,
    stale: bool,
    long_lived: bool,
    pub(crate) limit_warnings: u64,
    pub(crate) queued_octets: u64,
    pub(crate) counters: Arc<Counters>,
    pub(crate) path: Option<PathState>,
}

impl NeighborState {
    pub(crate) fn of(number: PeerIx, entry: &Entry) -> Self {
        Self {
            number,
            address: entry.address,
            spec: entry.spec(),
            status: entry.peer.status(),
            flaps: entry.flaps,
            ended: entry.ended.iter().copied().collect(),
            disabled: entry.disabled.iter().copied().collect(),
            stale: !entry.stale.is_empty(),
            long_lived: entry.is_long_lived(),
            limit_warnings: entry.limit_warnings,
            queued_octets: entry.queue.as_ref().map_or(0, |queue| queue.queued_octets() as u64),
            counters: Arc::clone(entry.peer.counters()),
            path: entry.path.as_ref().map(WatchedPath::state),
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        self.status.state == PeerState::Established
    }

    /// Puts it together with what each shard counts.
    pub(crate) fn with(self, shards: &[PeerInfo], memberships: Vec<String>) -> Neighbor {
        let session = self.status.established.clone();
        let agreement = session.as_ref().map(|session| &session.agreement);
        let restart = agreement.and_then(|agreement| agreement.restart.as_ref());
        let stale =
            shards.iter().flat_map(|shard| &shard.families).map(|f| u64::from(f.stale)).sum();
        let owed = shards.iter().flat_map(|shard| &shard.families).map(|f| u64::from(f.owed)).sum();
        let families = match agreement {
            Some(agreement) if self.is_established() => agreement.negotiated.families.clone(),
            _ => self.spec.families.clone(),
        };
        let since = SystemTime::now().duration_since(self.status.since).ok();
        Neighbor {
            name: (!matches!(self.spec.role, PeerRole::Nodes { .. }))
                .then(|| self.spec.name.clone()),
            address: self.address,
            asn: agreement
                .map(|agreement| agreement.peer.asn)
                .or(self.spec.peer_asn.only())
                .unwrap_or_default(),
            router_id: agreement.map(|agreement| agreement.peer.router_id),
            kind: match self.spec.role {
                PeerRole::Nodes { .. } => NeighborKind::Node,
                PeerRole::Sibling | PeerRole::Federated { .. } => NeighborKind::ControlNode,
                PeerRole::Gateway(_) => NeighborKind::Gateway,
                PeerRole::Neighbor { .. } => NeighborKind::Neighbor,
            },
            client: self.spec.is_client(),
            state: state(self.status.state),
            uptime_seconds: since.map(|since| since.as_secs()),
            hold_time: agreement.map(|agreement| agreement.hold_time.secs()),
            families: families
                .into_iter()
                .filter_map(|family| self.family(family, shards))
                .collect(),
            capabilities: agreement.map(|a| capabilities(a)).unwrap_or_default(),
            memberships,
            graceful_restart: GracefulRestart {
                state: match (restart, self.stale || stale > 0) {
                    _ if self.long_lived => GracefulRestartState::LongLived,
                    (_, true) => GracefulRestartState::Helping,
                    (Some(_), false) => GracefulRestartState::Ready,
                    (None, false) => GracefulRestartState::Off,
                },
                restart_time: restart
                    .and_then(|r| u16::try_from(r.restart_time.as_secs()).ok())
                    .unwrap_or_default(),
                stale,
            },
            owed,
            queued_octets: self.queued_octets,
            flaps: self.flaps,
            last_down_reason: self.status.last_down.as_ref().map(|(reason, _)| reason.to_string()),
            bfd: self.path.as_ref().map(PathState::shown),
            host_name: agreement.and_then(|agreement| agreement.peer.host_name()),
            software_version: agreement
                .and_then(|agreement| agreement.peer.software_version())
                .map(str::to_owned),
            options: options(&self.spec),
            rejected: rejected(shards),
            faults: self.faults(),
        }
    }

    /// What malformed UPDATEs of it led to.
    pub(crate) fn faults(&self) -> Faults {
        let reactions = self.counters.reactions();
        Faults {
            attribute_discard: reactions.attribute_discard,
            treat_as_withdraw: reactions.treat_as_withdraw,
            afi_safi_disable: reactions.afi_safi_disable,
            session_reset: reactions.session_reset,
        }
    }

    fn family(&self, family: AfiSafi, shards: &[PeerInfo]) -> Option<NeighborFamily> {
        let counts: Vec<_> = shards
            .iter()
            .flat_map(|shard| &shard.families)
            .filter(|counts| counts.family == family)
            .collect();
        let sum = |field: fn(&bgp_rib::query::PeerFamilyInfo) -> u32| -> u64 {
            counts.iter().map(|counts| u64::from(field(counts))).sum()
        };
        Some(NeighborFamily {
            family: family_name(family)?,
            received: sum(|counts| counts.received),
            accepted: sum(|counts| counts.best),
            advertised: sum(|counts| counts.advertised),
            end_of_rib: self.ended.contains(&family),
            disabled: self.disabled.contains(&family),
            prefix_limit: u64::from(self.spec.max_prefixes.unwrap_or_default()),
        })
    }
}

/// What the topology says of a peer, by key.
fn options(spec: &PeerSpec) -> BTreeMap<String, String> {
    let text = |(key, value): (&str, String)| (key.to_owned(), value);
    spec.options.written().into_iter().map(text).collect()
}

/// Routes that were not taken, by reason, in all shards.
pub(crate) fn rejected(shards: &[PeerInfo]) -> Vec<Rejected> {
    let mut sums: BTreeMap<Reject, u64> = BTreeMap::new();
    for (reason, routes) in shards.iter().flat_map(|shard| &shard.rejected) {
        *sums.entry(*reason).or_default() += routes;
    }
    let all = sums.into_iter().filter(|(_, routes)| *routes > 0);
    all.map(|(reason, routes)| Rejected { reason: reason.to_string(), routes }).collect()
}

/// The name of a family in the API; `None` for one that has no table.
pub(crate) fn family_name(family: AfiSafi) -> Option<Family> {
    family.to_string().parse().ok()
}

const fn state(state: PeerState) -> SessionState {
    match state {
        PeerState::Idle => SessionState::Idle,
        PeerState::Connect => SessionState::Connect,
        PeerState::Active => SessionState::Active,
        PeerState::OpenSent => SessionState::OpenSent,
        PeerState::OpenConfirm => SessionState::OpenConfirm,
        PeerState::Established => SessionState::Established,
    }
}

fn capabilities(agreement: &bgp_session::Agreement) -> Vec<String> {
    let negotiated = &agreement.negotiated;
    [
        (negotiated.four_octet_as, "4-octet-as"),
        (agreement.route_refresh, "route-refresh"),
        (agreement.enhanced_route_refresh, "enhanced-route-refresh"),
        (negotiated.extended_messages, "extended-messages"),
        (!negotiated.extended_next_hop.is_empty(), "extended-next-hop"),
        (!negotiated.labels.is_empty(), "multiple-labels"),
        (agreement.restart.is_some(), "graceful-restart"),
        (!agreement.long_lived.is_empty(), "long-lived-graceful-restart"),
        (agreement.role.is_some(), "role"),
        (agreement.bfd_strict, "bfd-strict"),
        (!negotiated.add_path_receive.is_empty(), "add-path-receive"),
        (!negotiated.add_path_send.is_empty(), "add-path-send"),
    ]
    .into_iter()
    .filter(|(agreed, _)| *agreed)
    .map(|(_, name)| name.to_owned())
    .collect()
}
