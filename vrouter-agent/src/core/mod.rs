//! The one owner of what this node is: ports, VRF tables, labels, and what is wanted of the data
//! plane and said to the control nodes.
//!
//! Takes events and the time, and is asked what is to be done: state to save, work for the data
//! plane, messages for sessions, answers. Knows no socket, no file and no task. The order that it
//! keeps for a port is: saved, programmed, announced, answered.

mod peers;
mod ports;
mod reload;
mod show;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcus_api::v1::PortId;
use arcus_config::Topology;
use dataplane::{Fib, NextHop, NodeConfig, Translation, TranslationKind, Vrf, VrfId};
use ipnet::IpNet;

pub use peers::{Peer, PeerState, SessionDetails, SessionUp};
pub use ports::{Denied, PortAnswer, RequestId};
pub use show::Gauges;

use crate::encapsulation::Preferences;
use crate::import::{Dirty, Import, OwnPath, VpnPrefix};
use crate::labels::Numbers;
use crate::local::{self, Local, Presence};
use crate::node::Node;
use crate::originate::{Announced, Announcement, Speaker};
use crate::reconcile::{Item, Report, Work};
use crate::state::State;
use crate::vrf_table::{Path, Target};
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
    handed: BTreeMap<VpnPrefix, (NextHop, u64)>,
    /// The last work handed out, and the last that was reported done.
    seq: u64,
    done: u64,
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
struct Outdated {
    local: bool,
    announced: bool,
}

impl Core {
    /// With the ports and numbers of the earlier run.
    ///
    /// # Panics
    /// The cloud is not in the topology; the caller has looked.
    pub fn new(now: Instant, node: Node, topology: Arc<Topology>, state: State) -> Self {
        let speaker = speaker(&node, &topology);
        let node_config = NodeConfig {
            tunnel_v4: Some(node.address),
            uplinks: node.uplinks.clone(),
            ..NodeConfig::default()
        };
        let mut core = Self {
            speaker,
            numbers: state.numbers,
            ports: state.ports.into_iter().map(|(id, spec)| (id, Port::restored(spec))).collect(),
            removals: BTreeMap::new(),
            local: Local::default(),
            import: Import::default(),
            outdated: Outdated { local: true, announced: true },
            unsaved: false,
            pending: Work { node: Some(node_config), ..Work::default() },
            translations: BTreeMap::new(),
            handed: BTreeMap::new(),
            seq: 0,
            done: 0,
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
        self.select(dirty, &mut work);
        self.finish_translations(&mut work);
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
        for (key, route) in &self.local.routes {
            self.handed.entry(*key).or_insert_with(|| (route.to.clone(), self.seq));
        }
        Some(work)
    }

    /// What the data plane says of the work it got.
    pub fn applied(&mut self, report: Report) {
        self.done = self.done.max(report.seq);
        self.outdated.announced = true;
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

    fn derive(&mut self) {
        let broken = |id: &PortId| self.failing.contains_key(&Item::Port(local::plane_id(id)));
        let presences: BTreeMap<PortId, Presence<'_>> =
            self.ports.iter().map(|(id, port)| (id.clone(), port.presence(broken(id)))).collect();
        let numbers = self.numbers.clone();
        let new = local::derive(&self.node, &self.topology, &mut self.numbers, &presences);
        self.unsaved |= numbers != self.numbers;
        let before = std::mem::replace(&mut self.local, new);

        for (id, vrf) in changes(&before.vrfs, &self.local.vrfs) {
            let vrf = vrf.map(|vrf| Vrf { name: vrf.network.clone(), label: vrf.label, vni: None });
            self.pending.vrfs.insert(id, vrf);
        }
        for (id, port) in changes(&before.ports, &self.local.ports) {
            self.pending.ports.insert(id, port.cloned());
        }
        for (id, port) in &mut self.ports {
            let plane_id = local::plane_id(id);
            if before.ports.get(&plane_id) != self.local.ports.get(&plane_id) {
                port.handed = None;
            }
        }
        let imports = self.local.vrfs.iter().map(|(id, vrf)| (*id, vrf.import.clone())).collect();
        self.import.set_vrfs(imports);
        for id in self.local.vrfs.keys().filter(|id| !before.vrfs.contains_key(id)) {
            self.import.mark_dirty(*id);
        }
        let own = self.local.routes.iter().map(|(key, route)| {
            let path = Path {
                targets: route.targets.iter().copied().collect(),
                local_pref: 100,
                as_path_len: 0,
                origin: bgp_wire::Origin::Igp,
                med: 0,
                neighbor_as: None,
                to: Target::Own(route.to.clone()),
                stale: false,
            };
            (*key, OwnPath { home: route.vrf, path: Arc::new(path) })
        });
        self.import.set_own(own.collect());
        let routes = &self.local.routes;
        self.handed.retain(|key, (to, _)| routes.get(key).is_some_and(|route| route.to == *to));
        self.answer_refused();
    }

    /// What leads where, for all that has changed.
    fn select(&self, dirty: BTreeMap<VrfId, Dirty>, work: &mut Work) {
        for (id, dirty) in dirty {
            let Some(table) = self.import.table(id) else { continue };
            let prefixes: BTreeSet<IpNet> = match dirty {
                Dirty::Prefixes(prefixes) => prefixes,
                Dirty::Whole => {
                    work.whole.insert(id);
                    table.prefixes().collect()
                }
            };
            for net in prefixes {
                let selection = table.select_multipath(net, &self.speaker.preferences);
                work.routes.insert((id, net), selection.group.map(Into::into));
            }
        }
    }

    /// Holds floating addresses against what other nodes announce, and finds what has changed.
    fn finish_translations(&mut self, work: &mut Work) {
        let finished: BTreeMap<_, _> = self
            .local
            .translations
            .iter()
            .map(|((vrf, address), translation)| {
                let mut translation = translation.clone();
                if let TranslationKind::Floating { exclusive, .. } = &mut translation.kind {
                    let net = IpNet::from(*address);
                    let table = self.import.table(*vrf);
                    *exclusive &= !table.is_some_and(|table| table.is_also_remote(net));
                }
                ((*vrf, *address), translation)
            })
            .collect();
        let changed = changes(&self.translations, &finished);
        work.translations = changed.map(|(key, to)| (key, to.cloned())).collect();
        self.translations = finished;
    }

    /// Compares what may be announced with what is, and owes every session the difference.
    fn announce(&mut self) {
        let routes: BTreeMap<VpnPrefix, Announcement> = self
            .local
            .routes
            .iter()
            .filter(|(key, route)| route.announced && self.is_programmed(key, route))
            .map(|(key, route)| {
                let announcement =
                    Announcement { label: route.label, targets: route.targets.clone() };
                (*key, announcement)
            })
            .collect();
        let new = Announced { routes, memberships: self.import.targets() };
        if new != self.announced {
            let before = std::mem::replace(&mut self.announced, new);
            let routes: Vec<VpnPrefix> =
                changes(&before.routes, &self.announced.routes).map(|(key, _)| key).collect();
            let memberships: Vec<_> =
                before.memberships.symmetric_difference(&self.announced.memberships).collect();
            for peer in self.peers.values_mut() {
                peer.owe(routes.iter().copied(), memberships.iter().copied().copied());
            }
        }
        if self.is_restored() {
            self.peers.values_mut().for_each(Peer::release_end_of_rib);
        }
    }

    fn is_programmed(&self, key: &VpnPrefix, route: &local::OwnRoute) -> bool {
        let handed = self.handed.get(key).is_some_and(|(_, seq)| *seq <= self.done);
        let failing = |item| self.failing.contains_key(&item);
        let translation = match &route.to {
            NextHop::Translate { vrf, address } => failing(Item::Translation(*vrf, *address)),
            _ => false,
        };
        handed
            && !translation
            && !failing(Item::Vrf(route.vrf))
            && !failing(Item::Route(route.vrf, IpNet::V4(key.net)))
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
        preferences: Preferences::of(topology, &node.cloud),
    }
}

/// What differs between two maps: the new values, `None` for what is gone.
fn changes<'a, K: Ord + Clone, V: PartialEq>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (K, Option<&'a V>)> {
    let put = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), Some(value)));
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), None));
    put.chain(gone)
}
