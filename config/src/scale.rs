//! How much a node of a cloud may have to hold.

use crate::Topology;

/// What a node makes its tables for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeScale {
    /// Networks that may have ports on it: as many VRFs at most.
    pub networks: usize,
    pub max_ports: u32,
    /// Of all VRFs together.
    pub max_routes: u32,
}

impl NodeScale {
    const DEFAULT_PORTS: u32 = 4096;
    const DEFAULT_ROUTES: u32 = 1 << 20;
}

impl Topology {
    /// What a node of this cloud must have room for. `None`: there is no such cloud.
    pub fn node_scale(&self, cloud: &str) -> Option<NodeScale> {
        let nodes = &self.clouds.get(cloud)?.nodes;
        Some(NodeScale {
            networks: self.networks_of(cloud).count(),
            max_ports: nodes.limits.max_ports.unwrap_or(NodeScale::DEFAULT_PORTS),
            max_routes: nodes.limits.max_routes.unwrap_or(NodeScale::DEFAULT_ROUTES),
        })
    }
}
