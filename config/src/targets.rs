//! Which route targets a network's routes carry, and which it imports.

use std::collections::BTreeSet;

use crate::RouteTarget;

use crate::{Network, Topology};

impl Topology {
    /// What the VRFs of this network import: its own targets, the services of networks it is
    /// connected to, and the ports of networks that are connected to it.
    pub fn import_targets(&self, network: &Network) -> BTreeSet<RouteTarget> {
        let services = self.connections_from(network).map(|c| c.service_target);
        let returns = self.connections_to(network).map(|c| c.return_target);
        network.import_targets.iter().copied().chain(services).chain(returns).collect()
    }

    /// What every route of this network carries, without those of connections: floating addresses
    /// and whatever else is neither a port nor a service.
    pub fn export_targets(&self, network: &Network) -> BTreeSet<RouteTarget> {
        network.export_targets.iter().copied().collect()
    }

    /// What the routes to its service addresses carry.
    pub fn service_targets(&self, network: &Network) -> BTreeSet<RouteTarget> {
        let services = self.connections_to(network).map(|c| c.service_target);
        network.export_targets.iter().copied().chain(services).collect()
    }

    /// What the routes to its ports carry.
    pub fn port_targets(&self, network: &Network) -> BTreeSet<RouteTarget> {
        let returns = self.connections_from(network).map(|c| c.return_target);
        network.export_targets.iter().copied().chain(returns).collect()
    }

    fn connections_from(&self, network: &Network) -> impl Iterator<Item = &crate::Connection> {
        self.connections.values().filter(|connection| connection.from == network.name)
    }

    fn connections_to(&self, network: &Network) -> impl Iterator<Item = &crate::Connection> {
        self.connections.values().filter(|connection| connection.to == network.name)
    }
}
