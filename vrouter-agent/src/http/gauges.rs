//! Metrics of an agent. Set when they are read.

use std::sync::atomic::{AtomicU64, Ordering};

use daemon::metrics::prometheus_client;
use dataplane::Counters;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::core::Gauges;
use crate::flow_export::Exported;

/// What is counted, which of them, and the unit with its direction.
type TrafficLabels = [(&'static str, String); 3];
type RuleLabels = [(&'static str, String); 4];

/// One label: its name and value.
type Label = [(&'static str, String); 1];

/// Every gauge of the agent.
#[derive(Debug, Default)]
pub(super) struct AgentGauges {
    ports: Gauge,
    vrfs: Gauge,
    routes: Gauge,
    dirty: Gauge,
    failed: Gauge,
    flows: Gauge,
    flow_records: Gauge,
    flow_losses: Family<Label, Gauge>,
    unusable: Family<Label, Gauge>,
    session_up: Family<Label, Gauge>,
    owed: Family<Label, Gauge>,
    drops: Family<Label, Gauge>,
    traffic: Family<TrafficLabels, Gauge>,
    rules: Family<RuleLabels, Gauge>,
}

impl AgentGauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        let registry = registry.sub_registry_with_prefix("arcus_agent");
        let plain = [
            ("ports", "Ports of this node", &new.ports),
            ("vrfs", "VRFs of this node", &new.vrfs),
            ("routes", "Prefixes in all VRFs", &new.routes),
            ("dirty_routes", "Prefixes that the data plane is still to be told of", &new.dirty),
            ("failed", "Things that the data plane refused and that are tried again", &new.failed),
            ("flows", "Translated connections that are remembered", &new.flows),
            ("flow_records", "Flow records sent to the collector", &new.flow_records),
        ];
        for (name, help, gauge) in plain {
            registry.register(name, help, gauge.clone());
        }
        let by_label = [
            ("unusable_paths", "Paths that no packet can take, by reason", &new.unusable),
            ("session_up", "Whether the session with a control node is up", &new.session_up),
            ("owed_routes", "Routes that a control node is still to be told", &new.owed),
            ("flow_losses", "Records and samples that no collector gets", &new.flow_losses),
            ("dropped_packets", "Packets dropped by the data plane, by reason", &new.drops),
        ];
        for (name, help, family) in by_label {
            registry.register(name, help, family.clone());
        }
        let help = "Packets and octets of ports, tunnels and VRFs, seen from the node";
        registry.register("traffic", help, new.traffic.clone());
        registry.register("rule_packets", "Packets that rules decided on", new.rules.clone());
        new
    }

    pub(super) fn set_core(&self, core: &Gauges) {
        set(&self.ports, core.ports);
        set(&self.vrfs, core.vrfs);
        set(&self.routes, core.routes);
        set(&self.dirty, core.dirty);
        set(&self.failed, core.failed);
        for (reason, count) in &core.unusable {
            set(&self.unusable.get_or_create(&[("reason", (*reason).to_owned())]), *count);
        }
        // A control node that was removed must not go on being shown.
        self.session_up.clear();
        self.owed.clear();
        for (peer, up, owed) in &core.peers {
            let label = [("peer", peer.clone())];
            set(&self.session_up.get_or_create(&label), usize::from(*up));
            set(&self.owed.get_or_create(&label), *owed);
        }
    }

    /// Under the names that people know things by.
    pub(super) fn set_traffic(&self, counters: &arcus_api::v1::Counters) {
        // What was removed must not go on being shown.
        self.traffic.clear();
        self.rules.clear();
        let ports = counters.ports.iter().map(|port| ("port", port.id.to_string(), port.traffic));
        let tunnels = counters.tunnels.iter();
        let tunnels = tunnels.map(|one| ("tunnel", one.remote.to_string(), one.traffic));
        let vrfs = counters.vrfs.iter().map(|vrf| ("vrf", vrf.name.clone(), vrf.traffic));
        for (of, name, traffic) in ports.chain(tunnels).chain(vrfs) {
            let values = [
                ("rx_packets", traffic.rx_packets),
                ("rx_octets", traffic.rx_octets),
                ("tx_packets", traffic.tx_packets),
                ("tx_octets", traffic.tx_octets),
            ];
            for (unit, value) in values {
                let labels =
                    [("of", of.to_owned()), ("name", name.clone()), ("unit", unit.to_owned())];
                let gauge = self.traffic.get_or_create(&labels);
                gauge.set(value.try_into().unwrap_or(i64::MAX));
            }
        }
        for rule in &counters.rules {
            let labels = [
                ("filter", rule.filter.clone()),
                ("rule", rule.rule.clone()),
                ("direction", rule.direction.to_string()),
                ("action", rule.action.to_string()),
            ];
            let gauge = self.rules.get_or_create(&labels);
            gauge.set(rule.packets.try_into().unwrap_or(i64::MAX));
        }
    }

    pub(super) fn set_exported(&self, exported: &Exported) {
        let read = |counter: &AtomicU64| {
            i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
        };
        self.flow_records.set(read(&exported.records));
        for (of, counter) in [("record", &exported.unsent), ("sample", &exported.overrun)] {
            self.flow_losses.get_or_create(&[("of", of.to_owned())]).set(read(counter));
        }
    }

    pub(super) fn set_counters(&self, counters: &Counters) {
        self.flows.set(counters.flows.try_into().unwrap_or(i64::MAX));
        for (reason, packets) in &counters.drops {
            let label = [("reason", reason.name().to_owned())];
            self.drops.get_or_create(&label).set((*packets).try_into().unwrap_or(i64::MAX));
        }
    }
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}
