//! Metrics of a control node.

use std::sync::Arc;

use bgp_rib::{Answer, Query, Shard};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabel {
    shard: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabel {
    shard: u32,
    family: String,
}

/// Gauges of all shards. Each shard writes its own after a flush.
#[derive(Debug, Default)]
pub(crate) struct ShardGauges {
    inbox: Family<ShardLabel, Gauge>,
    destinations: Family<TableLabel, Gauge>,
    paths: Family<TableLabel, Gauge>,
    attribute_sets: Family<TableLabel, Gauge>,
    owed: Family<TableLabel, Gauge>,
}

impl ShardGauges {
    pub(crate) fn register(registry: &mut Registry) -> Arc<Self> {
        let gauges = Self::default();
        let registry = registry.sub_registry_with_prefix("arcus_bgpd");
        registry.register(
            "shard_inbox",
            "Inputs that wait for a shard; sessions stop reading at 1024",
            gauges.inbox.clone(),
        );
        registry.register("destinations", "Destinations in a table", gauges.destinations.clone());
        registry.register("paths", "Paths in a table", gauges.paths.clone());
        registry.register(
            "attribute_sets",
            "Distinct attribute sets of a table",
            gauges.attribute_sets.clone(),
        );
        registry.register(
            "owed_routes",
            "Destinations with something that some peer is still to be told",
            gauges.owed.clone(),
        );
        Arc::new(gauges)
    }

    pub(crate) fn publish(&self, shard: &Shard, inbox: usize) {
        let number = u32::from(shard.config().shard);
        let set = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.inbox.get_or_create(&ShardLabel { shard: number }), inbox);
        let Answer::Summary(tables) = shard.query(&Query::Summary) else { return };
        for table in tables {
            let label = TableLabel { shard: number, family: table.family.to_string() };
            set(&self.destinations.get_or_create(&label), table.destinations as usize);
            set(&self.paths.get_or_create(&label), table.paths as usize);
            set(&self.attribute_sets.get_or_create(&label), table.buckets as usize);
            set(&self.owed.get_or_create(&label), table.owed as usize);
        }
    }
}
