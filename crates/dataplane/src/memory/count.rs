//! Counters and reports.

use std::net::IpAddr;

use super::Memory;
use super::packet::Packet;
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::plane::{Counters, Traffic};
use crate::port::{PortId, VrfId};

/// Reports that nobody takes; the oldest goes first.
const REPORTS: usize = 1024;

/// Seen from the node, as in [`Traffic`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    Received,
    Sent,
}

impl Memory {
    /// What was counted until now.
    pub fn counted(&self) -> Counters {
        let flows = u64::try_from(self.flows.count()).unwrap_or(u64::MAX);
        Counters { flows, ..self.counters.clone() }
    }

    /// The oldest report that was not taken yet.
    pub fn take_report(&mut self) -> Option<Event> {
        self.reports.pop_front()
    }

    pub(super) fn report(&mut self, event: Event) {
        if self.reports.len() == REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back(event);
    }

    pub(super) fn count_drop(&mut self, reason: DropReason) {
        *self.counters.drops.entry(reason).or_default() += 1;
    }

    pub(super) fn count_port(&mut self, port: &PortId, way: Way, packet: &Packet) {
        add(self.counters.ports.entry(port.clone()).or_default(), way, packet);
    }

    pub(super) fn count_tunnel(&mut self, remote: IpAddr, vrf: VrfId, way: Way, packet: &Packet) {
        add(self.counters.tunnels.entry(remote).or_default(), way, packet);
        add(self.counters.vrfs.entry(vrf).or_default(), way, packet);
    }

    /// `rules` counts the rules of the filter and its two defaults.
    pub(super) fn count_rule(&mut self, filter: &crate::FilterId, rule: usize, rules: usize) {
        let counts = self.counters.rules.entry(filter.clone()).or_default();
        counts.resize(counts.len().max(rules), 0);
        counts[rule] += 1;
    }
}

fn add(traffic: &mut Traffic, way: Way, packet: &Packet) {
    let octets = u64::try_from(packet.length()).unwrap_or_default();
    let (packets, bytes) = match way {
        Way::Received => (&mut traffic.rx_packets, &mut traffic.rx_bytes),
        Way::Sent => (&mut traffic.tx_packets, &mut traffic.tx_bytes),
    };
    *packets += 1;
    *bytes += octets;
}
