//! Filters of ports, as the data plane takes them.

use arcus_config::{FlatFilter, FlatPeer, FlatRule, Network, Topology};
use dataplane::{Direction, Filter, FilterId, Identity, Peer, PortRange, Rule, Verdict};

use super::Local;

impl Local {
    /// The filter of a port of `network`; `None`: everything is allowed.
    ///
    /// It is called as in the topology file; where one-way connections of the network add rules to
    /// it, `FILTER@NETWORK`, and `@NETWORK` where there are only those.
    pub(super) fn add_filter(
        &mut self,
        topology: &Topology,
        network: &Network,
        own: Option<&str>,
    ) -> Option<FilterId> {
        let flat = topology.port_filter(network, own)?;
        let name = own.or(network.filter.as_deref()).unwrap_or_default();
        let is_shared = !name.is_empty()
            && !topology.connections.values().any(|c| c.one_way && c.from == network.name);
        let id = if is_shared { name.to_owned() } else { format!("{name}@{}", network.name) };
        let id = FilterId(id);
        self.filters.entry(id.clone()).or_insert_with(|| filter(&flat));
        Some(id)
    }
}

fn filter(flat: &FlatFilter) -> Filter {
    Filter {
        rules: flat.rules.iter().map(rule).collect(),
        default_in: verdict(flat.default_in),
        default_out: verdict(flat.default_out),
    }
}

fn rule(flat: &FlatRule) -> Rule {
    Rule {
        name: flat.name.clone(),
        direction: match flat.direction {
            arcus_config::Direction::In => Direction::In,
            arcus_config::Direction::Out => Direction::Out,
        },
        verdict: verdict(flat.verdict),
        peer: match flat.peer {
            FlatPeer::Anybody => Peer::Any,
            FlatPeer::Prefix(prefix) => Peer::Net(prefix),
            FlatPeer::Group(id) => Peer::Identity(Identity(id)),
        },
        protocol: flat.protocol.map(arcus_config::Protocol::number),
        ports: flat.ports.and_then(|ports| PortRange::new(ports.first(), ports.last())),
        log: flat.log,
    }
}

const fn verdict(of: arcus_config::Verdict) -> Verdict {
    match of {
        arcus_config::Verdict::Allow => Verdict::Allow,
        arcus_config::Verdict::Deny => Verdict::Deny,
    }
}
