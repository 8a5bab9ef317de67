//! Counters of the data plane, with the names that people know things by.

use arcus_api::v1;
use arcus_api::v1::VrfNextHop;
use dataplane::{Counters, Filter, FilterId, NextHop, VrfId};

use super::Core;
use crate::local::plane_id;
use crate::node::Node;
use crate::trace::{action_of, direction_of};

/// What no rule matches is counted under this name.
const DEFAULT: &str = "default";

impl Core {
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// What things are called that the data plane knows by numbers.
    pub fn vrf_name(&self, id: VrfId) -> String {
        self.local.vrfs.get(&id).map_or_else(|| id.to_string(), |vrf| vrf.network.clone())
    }

    pub fn rule_name(&self, filter: &FilterId, rule: Option<usize>) -> String {
        let Some(index) = rule else { return DEFAULT.to_owned() };
        let rule = self.local.filters.get(filter).and_then(|filter| filter.rules.get(index));
        rule.map_or_else(|| index.to_string(), |rule| rule.name.clone())
    }

    pub fn show_one_hop(&self, hop: &NextHop) -> VrfNextHop {
        self.show_hop(hop).into_iter().next().unwrap_or_else(|| super::show::nothing(hop))
    }

    pub fn show_counters(&self, counters: &Counters) -> v1::Counters {
        let ports = self.ports.iter().filter_map(|(id, port)| {
            let traffic = traffic(counters.ports.get(&plane_id(id))?);
            Some(v1::PortCounter { id: id.clone(), network: port.spec.network.clone(), traffic })
        });
        let tunnels = counters.tunnels.iter();
        let tunnels = tunnels.map(|(remote, counted)| v1::TunnelCounter {
            remote: *remote,
            traffic: traffic(counted),
        });
        let vrfs = counters.vrfs.iter().map(|(id, counted)| v1::VrfCounter {
            name: self.vrf_name(*id),
            traffic: traffic(counted),
        });
        let rules = counters.rules.iter().filter_map(|(id, packets)| {
            self.local.filters.get(id).map(|filter| rules(id, filter, packets))
        });
        v1::Counters {
            ports: ports.collect(),
            tunnels: tunnels.collect(),
            vrfs: vrfs.collect(),
            rules: rules.flatten().collect(),
            flows: counters.flows,
        }
    }
}

fn traffic(counted: &dataplane::Traffic) -> v1::Traffic {
    v1::Traffic {
        rx_packets: counted.rx_packets,
        rx_octets: counted.rx_bytes,
        tx_packets: counted.tx_packets,
        tx_octets: counted.tx_bytes,
    }
}

/// Rules that one written rule became have one name, and are counted together.
fn rules(id: &FilterId, filter: &Filter, packets: &[u64]) -> Vec<v1::RuleCounter> {
    let rules = filter.rules.iter().map(|rule| (rule.name.as_str(), rule.direction, rule.verdict));
    let defaults = [
        (DEFAULT, dataplane::Direction::In, filter.default_in),
        (DEFAULT, dataplane::Direction::Out, filter.default_out),
    ];
    let mut counters: Vec<v1::RuleCounter> = Vec::new();
    for ((rule, direction, verdict), packets) in rules.chain(defaults).zip(packets) {
        match counters.last_mut().filter(|last| last.rule == rule && rule != DEFAULT) {
            Some(last) => last.packets += packets,
            None => counters.push(v1::RuleCounter {
                filter: id.to_string(),
                rule: rule.to_owned(),
                direction: direction_of(direction),
                action: action_of(verdict),
                packets: *packets,
            }),
        }
    }
    counters
}
