//! Metrics of a control node.

use std::collections::BTreeMap;
use std::sync::Arc;

use bgp_rib::policy::Reject;
use bgp_rib::{Answer, PeerIx, Query, Shard};
use bgp_wire::AfiSafi;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::neighbor::NeighborState;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabel {
    shard: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabel {
    shard: u32,
    family: String,
}

/// Gauges of all shards, by family.
#[derive(Debug, Default)]
pub(crate) struct TableGauges {
    inbox: Family<ShardLabel, Gauge>,
    destinations: Family<TableLabel, Gauge>,
    paths: Family<TableLabel, Gauge>,
    attribute_sets: Family<TableLabel, Gauge>,
    owed: Family<TableLabel, Gauge>,
}

/// The gauges of one shard, which writes them after each flush.
pub(crate) struct ShardGauges {
    inbox: Gauge,
    /// In the order of [`AfiSafi::NAMED`], which is that of the answer.
    tables: Vec<(AfiSafi, [Gauge; 4])>,
}

impl TableGauges {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        let registry = registry.sub_registry_with_prefix("arcus_bgpd");
        registry.register(
            "shard_inbox",
            "Inputs that wait for a shard; sessions stop reading at 1024",
            gauges.inbox.clone(),
        );
        let tables = [
            ("destinations", "Destinations in a table", &gauges.destinations),
            ("paths", "Paths in a table", &gauges.paths),
            ("attribute_sets", "Distinct attribute sets of a table", &gauges.attribute_sets),
            ("owed_routes", "Destinations that some peer is still to be told of", &gauges.owed),
        ];
        for (name, help, gauge) in tables {
            registry.register(name, help, gauge.clone());
        }
        gauges
    }

    /// The gauges of one shard, looked up once.
    pub(crate) fn of(&self, shard: u16) -> ShardGauges {
        let shard = u32::from(shard);
        let tables = AfiSafi::NAMED.iter().map(|(family, name)| {
            let label = TableLabel { shard, family: (*name).to_owned() };
            let gauges = [&self.destinations, &self.paths, &self.attribute_sets, &self.owed]
                .map(|gauge| gauge.get_or_create_owned(&label));
            (*family, gauges)
        });
        ShardGauges {
            inbox: self.inbox.get_or_create_owned(&ShardLabel { shard }),
            tables: tables.collect(),
        }
    }
}

impl ShardGauges {
    pub(crate) fn publish(&self, shard: &Shard, inbox: usize) {
        self.inbox.set(i64::try_from(inbox).unwrap_or(i64::MAX));
        let Answer::Summary(tables) = shard.query(&Query::Summary) else { return };
        for table in tables {
            let values = [table.destinations, table.paths, table.buckets, table.owed];
            let found = self.tables.iter().find(|(family, _)| *family == table.family);
            for (gauge, value) in found.iter().flat_map(|(_, gauges)| gauges).zip(values) {
                gauge.set(i64::from(value));
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NeighborLabel {
    neighbor: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    neighbor: String,
    reason: String,
}

/// Gauges of the neighbors, set anew each time somebody reads them.
#[derive(Debug, Default)]
pub(crate) struct NeighborGauges {
    established: Family<NeighborLabel, Gauge>,
    flaps: Family<NeighborLabel, Gauge>,
    queued_octets: Family<NeighborLabel, Gauge>,
    updates_received: Family<NeighborLabel, Gauge>,
    updates_sent: Family<NeighborLabel, Gauge>,
    faulty_updates: Family<NeighborLabel, Gauge>,
    /// Of those with a watched path only, as the next.
    path_up: Family<NeighborLabel, Gauge>,
    path_failures: Family<NeighborLabel, Gauge>,
    /// Of nodes, as the next.
    echo_up: Family<NeighborLabel, Gauge>,
    echo_failures: Family<NeighborLabel, Gauge>,
    limit_warnings: Family<NeighborLabel, Gauge>,
    faults: Family<ReasonLabel, Gauge>,
    rejected_routes: Family<ReasonLabel, Gauge>,
}

impl NeighborGauges {
    pub(crate) fn register(registry: &mut Registry) -> Arc<Self> {
        let gauges = Self::default();
        let registry = registry.sub_registry_with_prefix("arcus_bgpd_neighbor");
        let all = [
            ("established", "1 while the session is up", &gauges.established),
            ("flaps", "Sessions lost since the start", &gauges.flaps),
            ("queued_octets", "Octets that wait for the TCP connection", &gauges.queued_octets),
            ("updates_received", "UPDATE messages received", &gauges.updates_received),
            ("updates_sent", "UPDATE messages sent", &gauges.updates_sent),
            (
                "faulty_updates",
                "UPDATEs with faults that RFC 7606 lets pass",
                &gauges.faulty_updates,
            ),
            (
                "limit_warnings",
                "How often it came near a prefix limit since the start",
                &gauges.limit_warnings,
            ),
            ("bfd_up", "1 while BFD says that the path carries packets", &gauges.path_up),
            ("bfd_failures", "Paths lost since the start, as BFD saw it", &gauges.path_failures),
            ("echo_up", "1 while the node sends back packets", &gauges.echo_up),
            (
                "echo_failures",
                "How often the node has ceased to send back packets since the start",
                &gauges.echo_failures,
            ),
        ];
        for (name, help, gauge) in all {
            registry.register(name, help, gauge.clone());
        }
        let faults = "Malformed UPDATEs by the reaction to them (RFC 7606)";
        registry.register("faults", faults, gauges.faults.clone());
        let rejected = "Routes that were not taken, by reason";
        registry.register("rejected_routes", rejected, gauges.rejected_routes.clone());
        Arc::new(gauges)
    }

    /// `rejected` is what shards have not taken, by peer.
    pub(crate) fn publish(
        &self,
        neighbors: &[NeighborState],
        rejected: &BTreeMap<PeerIx, BTreeMap<Reject, u64>>,
    ) {
        let Self {
            established,
            flaps,
            queued_octets,
            updates_received,
            updates_sent,
            faulty_updates,
            path_up,
            path_failures,
            echo_up,
            echo_failures,
            limit_warnings,
            faults,
            rejected_routes,
        } = self;
        let all = [
            established,
            flaps,
            queued_octets,
            updates_received,
            updates_sent,
            faulty_updates,
            limit_warnings,
        ];
        for gauge in all.into_iter().chain([path_up, path_failures, echo_up, echo_failures]) {
            gauge.clear();
        }
        for gauge in [faults, rejected_routes] {
            gauge.clear();
        }
        for neighbor in neighbors {
            let (received, sent) = (neighbor.counters.received(), neighbor.counters.sent());
            let values = [
                u64::from(neighbor.is_established()),
                neighbor.flaps,
                neighbor.queued_octets,
                received.update,
                sent.update,
                neighbor.counters.faulty_updates(),
                neighbor.limit_warnings,
            ];
            let address = neighbor.address.to_string();
            for (gauge, value) in all.into_iter().zip(values) {
                let label = NeighborLabel { neighbor: address.clone() };
                gauge.get_or_create(&label).set(i64::try_from(value).unwrap_or(i64::MAX));
            }
            if let Some(path) = &neighbor.path {
                let label = NeighborLabel { neighbor: address.clone() };
                let (path_up, path_failures) = if path.is_echo() {
                    (echo_up, echo_failures)
                } else {
                    (path_up, path_failures)
                };
                path_up.get_or_create(&label).set(i64::from(path.is_up()));
                let failures = i64::try_from(path.failures()).unwrap_or(i64::MAX);
                path_failures.get_or_create(&label).set(failures);
            }
            let publish = |gauge: &Family<ReasonLabel, Gauge>, reason: &str, value: u64| {
                let (neighbor, reason) = (address.clone(), reason.to_owned());
                let gauge = gauge.get_or_create_owned(&ReasonLabel { neighbor, reason });
                gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            let counted = neighbor.faults();
            publish(faults, "attribute-discard", counted.attribute_discard);
            publish(faults, "treat-as-withdraw", counted.treat_as_withdraw);
            publish(faults, "afi-safi-disable", counted.afi_safi_disable);
            publish(faults, "session-reset", counted.session_reset);
            for (reason, routes) in rejected.get(&neighbor.number).into_iter().flatten() {
                publish(rejected_routes, reason.name(), *routes);
            }
        }
    }
}
