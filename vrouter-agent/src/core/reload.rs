//! A topology that has changed while the agent runs.

use std::sync::Arc;
use std::time::Instant;

use arcus_config::Topology;

use super::{Core, Peer, speaker};

impl Core {
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// Takes a new topology, which must have this node's cloud: ports are looked at again, routes are
    /// announced with the targets that they have now, and imported by those.
    pub fn reload(&mut self, now: Instant, topology: Arc<Topology>) {
        self.topology = topology;
        let node_config = super::node_config(&self.node, &self.topology);
        if node_config != self.node_config {
            self.node_config = node_config.clone();
            self.pending.node = Some(node_config);
        }
        let speaker = speaker(&self.node, &self.topology);
        if speaker != self.speaker {
            self.speaker = speaker;
            self.import.mark_all_dirty();
            let routes: Vec<_> = self.announced.routes.keys().copied().collect();
            for peer in self.peers.values_mut() {
                peer.owe(routes.iter().copied(), std::iter::empty());
            }
        }
        self.set_peers(now);
        self.outdated.local = true;
        self.settle();
    }

    /// Makes the peers those of the topology: the control nodes of this cloud.
    pub(super) fn set_peers(&mut self, now: Instant) {
        let cloud = self.topology.clouds.get(&self.node.cloud);
        let nodes = cloud.into_iter().flat_map(|cloud| cloud.control_nodes.values());
        let wanted: Vec<_> = nodes.map(|node| (node.address, node.name.clone())).collect();
        let gone: Vec<_> = self
            .peers
            .keys()
            .filter(|address| !wanted.iter().any(|(wanted, _)| wanted == *address))
            .copied()
            .collect();
        for address in gone {
            self.peers.remove(&address);
            self.import.drop_peer(address);
        }
        let asn = self.speaker.asn;
        for (address, name) in wanted {
            let peer =
                self.peers.entry(address).or_insert_with(|| Peer::new(now, String::new(), asn));
            peer.name = name;
            peer.asn = asn;
        }
    }
}
