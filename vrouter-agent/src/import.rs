//! From BGP routes to VRFs: what each control node told, and which VRFs import it.
//!
//! A route is imported by every VRF that imports one of its targets, this node's own routes
//! included: a reflector never sends a node its own routes back. What has changed is remembered as a
//! set of prefixes, not as a list of events, until somebody takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bgp_wire::nlri::{Routes, VpnKey, Withdrawals};
use bgp_wire::{NextHop, PathAttributes, RouteDistinguisher, RouteTarget, Update, VpnLabels};
use dataplane::VrfId;
use ipnet::{IpNet, Ipv4Net};

use crate::vrf_table::{Entry, Path, Source, Target, VrfTable};

/// One VPN-IPv4 destination.
pub type VpnPrefix = VpnKey<Ipv4Net>;

/// More changed prefixes of one VRF than this, and the whole VRF counts as changed.
const DIRTY_LIMIT: usize = 16_384;

/// What of one VRF has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dirty {
    Prefixes(BTreeSet<IpNet>),
    Whole,
}

/// A route of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPath {
    /// Its VRF, which has it whatever its targets are.
    pub home: VrfId,
    pub path: Arc<Path>,
}

/// A path, and the VRF that has it whatever its targets are.
#[derive(Debug)]
struct Placed {
    home: Option<VrfId>,
    path: Arc<Path>,
}

#[derive(Debug, Default)]
struct Vrf {
    targets: BTreeSet<RouteTarget>,
    table: VrfTable,
}

/// All VRF tables of the node, and what they are made of.
#[derive(Debug, Default)]
pub struct Import {
    vrfs: BTreeMap<VrfId, Vrf>,
    by_target: BTreeMap<RouteTarget, BTreeSet<VrfId>>,
    /// What each control node told, by its address.
    received: BTreeMap<IpAddr, BTreeMap<VpnPrefix, Arc<Path>>>,
    own: BTreeMap<VpnPrefix, OwnPath>,
    dirty: BTreeMap<VrfId, Dirty>,
}

impl Import {
    /// The VRFs that there are, and what each imports. A VRF whose targets have changed is filled
    /// anew from what has been told already.
    pub fn set_vrfs(&mut self, wanted: BTreeMap<VrfId, BTreeSet<RouteTarget>>) {
        self.vrfs.retain(|id, _| wanted.contains_key(id));
        self.dirty.retain(|id, _| wanted.contains_key(id));
        let mut changed = Vec::new();
        for (id, targets) in wanted {
            let vrf = self.vrfs.entry(id).or_default();
            if vrf.targets != targets {
                vrf.targets = targets;
                changed.push(id);
            }
        }
        self.by_target.clear();
        for (id, vrf) in &self.vrfs {
            for target in &vrf.targets {
                self.by_target.entry(*target).or_default().insert(*id);
            }
        }
        for id in changed {
            self.fill(id);
        }
    }

    /// What one UPDATE says of VPN-IPv4 routes. `node` is this node's address: what leads back to
    /// it is no route (RFC 4456 §8).
    pub fn update(&mut self, peer: IpAddr, update: &Update, node: Ipv4Addr) {
        for withdrawn in &update.withdrawn {
            if let Withdrawals::VpnV4(routes) = withdrawn {
                for route in routes {
                    self.forget(peer, route.key);
                }
            }
        }
        for (next_hop, announced) in &update.announced {
            let Routes::VpnV4(routes) = announced else { continue };
            for route in routes {
                match read_path(&update.attributes, *next_hop, label(route.data), node) {
                    Some(path) => self.learn(peer, route.key, path),
                    None => self.forget(peer, route.key),
                }
            }
        }
    }

    /// Replaces this node's own routes.
    pub fn set_own(&mut self, own: BTreeMap<VpnPrefix, OwnPath>) {
        let before = std::mem::replace(&mut self.own, own);
        let keys: BTreeSet<VpnPrefix> = before.keys().chain(self.own.keys()).copied().collect();
        for key in keys {
            let (old, new) = (before.get(&key).cloned(), self.own.get(&key).cloned());
            if old != new {
                let place = |own: OwnPath| Placed { home: Some(own.home), path: own.path };
                let (old, new) = (old.map(place), new.map(place));
                self.place(Source::Own, key, old.as_ref(), new.as_ref());
            }
        }
    }

    /// Marks what a peer told as kept from an earlier session.
    pub fn mark_stale(&mut self, peer: IpAddr) {
        self.rewrite(peer, |path| (!path.stale).then(|| Path { stale: true, ..path.clone() }));
    }

    /// Drops what is still marked as kept, and returns how many routes that were.
    pub fn drop_stale(&mut self, peer: IpAddr) -> usize {
        let Some(routes) = self.received.get(&peer) else { return 0 };
        let stale: Vec<_> =
            routes.iter().filter(|(_, path)| path.stale).map(|(key, _)| *key).collect();
        for key in &stale {
            self.forget(peer, *key);
        }
        stale.len()
    }

    /// Drops everything that a peer told.
    pub fn drop_peer(&mut self, peer: IpAddr) {
        for (key, path) in self.received.remove(&peer).unwrap_or_default() {
            self.place(Source::Peer(peer), key, Some(&Placed { home: None, path }), None);
        }
    }

    /// Every prefix of every VRF is to be looked at again: what is preferred has changed.
    pub fn mark_all_dirty(&mut self) {
        self.dirty = self.vrfs.keys().map(|id| (*id, Dirty::Whole)).collect();
    }

    /// Every prefix of one VRF is to be looked at again.
    pub fn mark_dirty(&mut self, vrf: VrfId) {
        self.dirty.insert(vrf, Dirty::Whole);
    }

    /// Hands out what has changed since this was called last.
    pub fn take_dirty(&mut self) -> BTreeMap<VrfId, Dirty> {
        std::mem::take(&mut self.dirty)
    }

    pub fn is_dirty(&self, vrf: VrfId, net: IpNet) -> bool {
        self.dirty.get(&vrf).is_some_and(|dirty| match dirty {
            Dirty::Prefixes(prefixes) => prefixes.contains(&net),
            Dirty::Whole => true,
        })
    }

    /// How many prefixes wait to be taken.
    pub fn dirty_count(&self) -> usize {
        let counts = self.dirty.iter().map(|(vrf, dirty)| match dirty {
            Dirty::Prefixes(prefixes) => prefixes.len(),
            Dirty::Whole => self.table(*vrf).map_or(0, VrfTable::len),
        });
        counts.sum()
    }

    pub fn table(&self, vrf: VrfId) -> Option<&VrfTable> {
        self.vrfs.get(&vrf).map(|vrf| &vrf.table)
    }

    pub fn tables(&self) -> impl Iterator<Item = (VrfId, &VrfTable)> {
        self.vrfs.iter().map(|(id, vrf)| (*id, &vrf.table))
    }

    /// All targets that some VRF imports.
    pub fn targets(&self) -> BTreeSet<RouteTarget> {
        self.by_target.keys().copied().collect()
    }

    /// How many routes a peer has told, and how many of them are stale.
    pub fn received(&self, peer: IpAddr) -> (usize, usize) {
        let routes = self.received.get(&peer);
        let stale = routes.map_or(0, |routes| routes.values().filter(|path| path.stale).count());
        (routes.map_or(0, BTreeMap::len), stale)
    }

    /// How many of a peer's routes some VRF imports.
    pub fn imported(&self, peer: IpAddr) -> usize {
        let routes = self.received.get(&peer).into_iter().flatten();
        routes.filter(|(_, path)| self.importers(&path.targets).next().is_some()).count()
    }

    fn learn(&mut self, peer: IpAddr, key: VpnPrefix, path: Path) {
        let path = Arc::new(path);
        let old = self.received.entry(peer).or_default().insert(key, Arc::clone(&path));
        let place = |path| Placed { home: None, path };
        self.place(Source::Peer(peer), key, old.map(place).as_ref(), Some(&place(path)));
    }

    fn forget(&mut self, peer: IpAddr, key: VpnPrefix) {
        let old = self.received.get_mut(&peer).and_then(|routes| routes.remove(&key));
        if let Some(path) = old {
            self.place(Source::Peer(peer), key, Some(&Placed { home: None, path }), None);
        }
    }

    fn rewrite(&mut self, peer: IpAddr, change: impl Fn(&Path) -> Option<Path>) {
        let Some(routes) = self.received.get(&peer) else { return };
        let changed: Vec<_> =
            routes.iter().filter_map(|(key, path)| Some((*key, change(path)?))).collect();
        for (key, path) in changed {
            self.learn(peer, key, path);
        }
    }

    /// Puts a path into the tables that want it, and takes the old one out of the others.
    fn place(
        &mut self,
        source: Source,
        key: VpnPrefix,
        old: Option<&Placed>,
        new: Option<&Placed>,
    ) {
        let out_of: BTreeSet<VrfId> =
            old.into_iter().flat_map(|placed| self.places(placed)).collect();
        let into: BTreeSet<VrfId> =
            new.into_iter().flat_map(|placed| self.places(placed)).collect();
        let net = IpNet::V4(key.net);
        for id in out_of.difference(&into) {
            let vrf = self.vrfs.get_mut(id);
            if vrf.is_some_and(|vrf| vrf.table.remove(net, source, key.rd)) {
                mark(&mut self.dirty, *id, net);
            }
        }
        let Some(Placed { path, .. }) = new else { return };
        for id in into {
            let entry = Entry { source, rd: key.rd, path: Arc::clone(path) };
            let vrf = self.vrfs.get_mut(&id);
            if vrf.is_some_and(|vrf| vrf.table.insert(net, entry)) {
                mark(&mut self.dirty, id, net);
            }
        }
    }

    fn places(&self, placed: &Placed) -> impl Iterator<Item = VrfId> {
        self.importers(&placed.path.targets).chain(placed.home)
    }

    fn importers(&self, targets: &[RouteTarget]) -> impl Iterator<Item = VrfId> {
        targets.iter().filter_map(|target| self.by_target.get(target)).flatten().copied()
    }

    /// Makes the table of a VRF from all that is known.
    fn fill(&mut self, id: VrfId) {
        let Some(vrf) = self.vrfs.get(&id) else { return };
        let wanted = |path: &Path| path.targets.iter().any(|target| vrf.targets.contains(target));
        let mut table = VrfTable::default();
        let mut put = |source, rd: RouteDistinguisher, net: Ipv4Net, path: &Arc<Path>| {
            table.insert(IpNet::V4(net), Entry { source, rd, path: Arc::clone(path) });
        };
        for (key, own) in self.own.iter().filter(|(_, own)| own.home == id || wanted(&own.path)) {
            put(Source::Own, key.rd, key.net, &own.path);
        }
        for (peer, routes) in &self.received {
            for (key, path) in routes.iter().filter(|(_, path)| wanted(path)) {
                put(Source::Peer(*peer), key.rd, key.net, path);
            }
        }
        let before = &vrf.table;
        let changed: Vec<IpNet> = before
            .prefixes()
            .chain(table.prefixes())
            .filter(|net| before.entries(*net) != table.entries(*net))
            .collect();
        if let Some(vrf) = self.vrfs.get_mut(&id) {
            vrf.table = table;
        }
        for net in changed {
            mark(&mut self.dirty, id, net);
        }
    }
}

fn mark(dirty: &mut BTreeMap<VrfId, Dirty>, vrf: VrfId, net: IpNet) {
    let entry = dirty.entry(vrf).or_insert_with(|| Dirty::Prefixes(BTreeSet::new()));
    if let Dirty::Prefixes(prefixes) = entry {
        prefixes.insert(net);
        if prefixes.len() > DIRTY_LIMIT {
            *entry = Dirty::Whole;
        }
    }
}

/// The label to send with. The data plane pushes one, so a stack of them is no label that there is.
fn label(labels: VpnLabels) -> u32 {
    if labels.depth() == 1 { labels.outermost().mpls_value() } else { u32::MAX }
}

/// The path of an announced route; `None` if it leads back to this node.
fn read_path(
    attributes: &PathAttributes,
    next_hop: NextHop,
    label: u32,
    node: Ipv4Addr,
) -> Option<Path> {
    let next_hop = next_hop.address()?;
    if next_hop == IpAddr::V4(node) || attributes.originator_id == Some(node) {
        return None;
    }
    Some(Path {
        targets: attributes.route_targets().collect(),
        local_pref: attributes.local_pref.unwrap_or(100),
        as_path_len: attributes.as_path.length(),
        origin: attributes.origin,
        med: attributes.med.unwrap_or(0),
        neighbor_as: attributes.as_path.first(),
        to: Target::Remote { next_hop, label, offers: attributes.encapsulations().collect() },
        stale: false,
    })
}
