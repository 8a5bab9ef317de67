//! Counters: each CPU has its own, here they are added up.

use aya::maps::MapError;
use dataplane::{Counters, DataplaneError, DropReason, Result};

use crate::layout::Traffic;
use crate::plane::EbpfPlane;
use crate::tables::entries;

impl EbpfPlane {
    pub(crate) fn read_counters(&self) -> Result<Counters> {
        let unreadable =
            |error: MapError| DataplaneError::because("cannot read the counters", error);
        let mut counters = Counters::default();
        // The enum of bpf/layout.h has the same order.
        for (index, reason) in (0..).zip(DropReason::ALL) {
            let of_cpus = self.tables.drops.get(&index, 0).map_err(unreadable)?;
            let packets: u64 = of_cpus.iter().sum();
            if packets > 0 {
                counters.drops.insert(reason, packets);
            }
        }
        for (id, slot) in &self.slots {
            let of_cpus = self.tables.port_traffic.get(&slot.index, 0).map_err(unreadable)?;
            counters.ports.insert(id.clone(), sum(&of_cpus));
        }
        for id in self.vrfs.keys() {
            let of_cpus = self.tables.vrf_traffic.get(&id.0, 0).map_err(unreadable)?;
            counters.vrfs.insert(*id, sum(&of_cpus));
        }
        let tunnels = &self.tables.tunnel_traffic;
        for (remote, of_cpus) in entries(tunnels, tunnels.keys(), |map, key| map.get(key, 0))? {
            counters.tunnels.insert(remote.into(), sum(&of_cpus));
        }
        counters.rules = self.read_rule_counts().map_err(unreadable)?;
        let flows = self.tables.flows.keys().flatten().count()
            + self.tables.new_flows.keys().flatten().count()
            + self.tables.connections.keys().flatten().count()
            + self.tables.new_connections.keys().flatten().count();
        counters.flows = u64::try_from(flows).unwrap_or(u64::MAX);
        Ok(counters)
    }
}

fn sum(of_cpus: &[Traffic]) -> dataplane::Traffic {
    of_cpus.iter().fold(dataplane::Traffic::default(), |sum, one| dataplane::Traffic {
        rx_packets: sum.rx_packets + one.rx_packets,
        rx_bytes: sum.rx_bytes + one.rx_bytes,
        tx_packets: sum.tx_packets + one.tx_packets,
        tx_bytes: sum.tx_bytes + one.tx_bytes,
    })
}
