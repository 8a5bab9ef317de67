//! The one owner of what this node is: ports, VRF tables, labels, and what is wanted of the data
//! plane and said to the control nodes.
//!
//! Takes events and the time, and is asked what is to be done: state to save, work for the data
//! plane, messages for sessions, answers. Knows no socket, no file and no task. The order that it
//! keeps for a port is: saved, programmed, announced, answered.

mod claims;
mod peers;
mod ports;
mod reload;
mod show;
mod show_counters;
mod wanted;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcus_api::v1::PortId;
use arcus_config::Topology;
use dataplane::{Fib, NextHop, NodeConfig, PortRange, Translation, VrfId};

pub use peers::{Peer, PeerState, SessionDetails, SessionUp};
pub use ports::{Denied, PortAnswer, RequestId};
pub use show::Gauges;

use crate::encapsulation::Preferences;
use crate::import::Import;
use crate::labels::Numbers;
use crate::local::Local;
use crate::node::Node;
use crate::originate::{Announced, Speaker};
use crate::reconcile::{Item, Report, Work};
use crate::route_key::RouteKey;
use crate::state::State;
use claims::Claim;
use ports::{Port, Removal};

/// How long a port that is removed or no longer ready still receives, so that the others hear of it
/// before it is gone.
const GRACE: Duration = Duration::from_millis(100);

/// How long what an earlier run left may wait for an End-of-RIB of a control node that is there.
const SWEEP_AFTER: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Debug)]
pub struct Core {
    node: Node,
    topology: Arc<Topology>,
    speaker: Speaker,
    numbers: Numbers,
    ports: BTreeMap<PortId, Port>,
    removals: BTreeMap<PortId, Removal>,
    local: Local,
    import: Import,
    outdated: Outdated,
    /// What the state file does not have yet.
    unsaved: bool,
    /// Changes for the data plane apart from routes.
    pending: Work,
    /// As handed to the data plane.
    translations: BTreeMap<(VrfId, IpAddr), Translation>,
    /// Own routes that were handed to the data plane: as what, and with which work.
    handed: BTreeMap<RouteKey, (BTreeSet<NextHop>, u64)>,
    /// Addresses of ports that other nodes have, too.
    claims: BTreeMap<RouteKey, Claim>,
    node_config: NodeConfig,
    /// The last work handed out, and the last that was reported done.
    seq: u64,
    done: u64,
    /// When this is done, there is more to announce.
    announce_at: Option<u64>,
    failing: BTreeMap<Item, String>,
    announced: Announced,
    peers: BTreeMap<IpAddr, Peer>,
    swept: bool,
    sweep_by: Instant,
    /// Routes that an earlier run left in the data plane, until the sweep.
    left: Fib,
    answers: Vec<(RequestId, PortAnswer)>,
}

/// What is older than what it is derived from.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is about another thing")]
struct Outdated {
    local: bool,
    announced: bool,
    /// Apart from those that a changed route leads to.
    translations: bool,
    handed: bool,
}

impl Core {
    /// With the ports and numbers of the earlier run.
    ///
    /// # Panics
    /// The cloud is not in the topology; the caller has looked.
    pub fn new(now: Instant, node: Node, topology: Arc<Topology>, state: State) -> Self {
        let speaker = speaker(&node, &topology);
        let node_config = node_config(&node, &topology);
        let mut core = Self {
            speaker,
            numbers: state.numbers,
            ports: state.ports.into_iter().map(|(id, spec)| (id, Port::restored(spec))).collect(),
            removals: BTreeMap::new(),
            local: Local::default(),
            import: Import::default(),
            outdated: Outdated { local: true, announced: true, translations: true, handed: true },
            unsaved: false,
            pending: Work { node: Some(node_config.clone()), ..Work::default() },
            translations: BTreeMap::new(),
            handed: BTreeMap::new(),
            claims: BTreeMap::new(),
            node_config,
            seq: 0,
            done: 0,
            announce_at: None,
            failing: BTreeMap::new(),
            announced: Announced::default(),
            peers: BTreeMap::new(),
            swept: false,
            sweep_by: now + SWEEP_AFTER,
            left: Fib::new(),
            answers: Vec::new(),
            node,
            topology,
        };
        core.set_peers(now);
        core.settle();
        core
    }

    /// Tells of the routes that an earlier run left in the data plane. They are only shown: what is
    /// done with them is the reconciler's.
    pub fn set_left(&mut self, left: Fib) {
        self.left = left;
    }

    /// Brings everything that is derived up to date. Called after a batch of events, before anything
    /// is asked for.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.outdated.local) {
            self.derive();
            self.outdated.announced = true;
        }
        if std::mem::take(&mut self.outdated.announced) {
            self.announce();
        }
    }

    /// What must be on the disk before anything else happens; `None` if it is there already.
    pub fn take_unsaved(&mut self) -> Option<State> {
        if !std::mem::take(&mut self.unsaved) {
            return None;
        }
        let ports = self.ports.iter().map(|(id, port)| (id.clone(), port.spec.clone())).collect();
        Some(State { numbers: self.numbers.clone(), ports })
    }

    /// Changes for the data plane, if there are any and it has done the last ones.
    pub fn take_work(&mut self, now: Instant) -> Option<Work> {
        if self.done < self.seq {
            return None;
        }
        let mut work = std::mem::take(&mut self.pending);
        let dirty = self.import.take_dirty();
        self.review_claims(now, &dirty);
        self.finish_translations(&dirty, &mut work);
        self.select(dirty, &mut work);
        work.sweep = self.take_sweep(now);
        let waits = self.ports.values().any(|port| port.handed.is_none())
            || self.removals.values().any(|removal| removal.handed.is_none());
        if work.is_empty() && !waits {
            return None;
        }
        self.seq += 1;
        work.seq = self.seq;
        let handed = self.ports.values_mut().map(|port| &mut port.handed);
        for handed in handed.chain(self.removals.values_mut().map(|removal| &mut removal.handed)) {
            handed.get_or_insert(self.seq);
        }
        if std::mem::take(&mut self.outdated.handed) {
            for (key, route) in &self.local.routes {
                self.handed.entry(*key).or_insert_with(|| (route.to.clone(), self.seq));
            }
            self.announce_at = Some(self.seq);
        }
        self.settle();
        Some(work)
    }

    /// What the data plane says of the work it got.
    pub fn applied(&mut self, report: Report) {
        self.done = self.done.max(report.seq);
        let news = !(report.failed.is_empty() && report.recovered.is_empty());
        if news || self.announce_at.is_some_and(|seq| seq <= self.done) {
            self.announce_at = None;
            self.outdated.announced = true;
        }
        for (item, reason) in report.failed {
            self.outdated.local |= matches!(item, Item::Port(_));
            self.failing.insert(item, reason);
        }
        for item in report.recovered {
            self.outdated.local |= matches!(item, Item::Port(_));
            self.failing.remove(&item);
        }
        self.settle();
        self.answer_done();
    }

    /// When [`Core::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let ports = self.ports.values().flat_map(|port| [port.leaving, port.draining]).flatten();
        let peers = self.peers.values().filter_map(Peer::deadline);
        let can_sweep = self.is_restored() && self.done == self.seq && self.has_session();
        let sweep = (!self.swept && can_sweep).then_some(self.sweep_by);
        ports.chain(peers).chain(sweep).min()
    }

    /// The time of [`Core::deadline`] has come.
    pub fn tick(&mut self, now: Instant) {
        self.tick_ports(now);
        self.tick_peers(now);
        self.settle();
    }

    /// Answers that are due. They go out after [`Core::next_chunk`] has been asked: others hear of a
    /// port before the platform goes on.
    pub fn take_answers(&mut self) -> Vec<(RequestId, PortAnswer)> {
        std::mem::take(&mut self.answers)
    }

    /// Whether the ports of the earlier run are where they were, or known to be broken.
    pub fn is_restored(&self) -> bool {
        self.done > 0
    }

    /// Whether everything that is wanted is known, so that the rest may go.
    fn take_sweep(&mut self, now: Instant) -> bool {
        if self.swept || !self.is_restored() || !self.has_session() {
            return false;
        }
        // One that is there and has not finished may know more. One that is not there may have
        // nothing to say: then the others speak for it. With nobody there, what was left stays.
        let due = self.all_have_finished() || now >= self.sweep_by;
        if due {
            self.swept = true;
            self.left.clear();
        }
        due
    }
}

fn speaker(node: &Node, topology: &Topology) -> Speaker {
    let cloud = topology.clouds.get(&node.cloud).expect("the caller has looked for the cloud");
    Speaker {
        asn: cloud.asn,
        address: node.address,
        router_mac: node.router_mac(),
        announce_groups: cloud.announce_groups,
        preferences: Preferences::of(topology, &node.cloud, node.tunnel_ends()),
    }
}

fn node_config(node: &Node, topology: &Topology) -> NodeConfig {
    let cloud = topology.clouds.get(&node.cloud);
    let ports = cloud.map(|cloud| cloud.nodes.masquerade_ports);
    let export = cloud.and_then(|cloud| cloud.nodes.flow_export);
    NodeConfig {
        tunnel_v4: node.tunnel_v4(),
        tunnel_v6: node.tunnel_v6(),
        router_mac: node.router_mac(),
        uplinks: node.uplinks.clone(),
        masquerade_ports: ports.and_then(|ports| PortRange::new(ports.first(), ports.last())),
        probers: cloud
            .into_iter()
            .flat_map(|cloud| cloud.control_nodes.values())
            .map(|control| control.address)
            .collect(),
        sample_one_in: export.map_or(0, |export| export.sample_one_in),
    }
}
