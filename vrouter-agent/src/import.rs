//! From BGP routes to VRFs: what each control node told, and which VRFs import it.
//!
//! A route is imported by every VRF that imports one of its targets, this node's own routes
//! included: a reflector never sends a node its own routes back. What has changed is remembered as a
//! set of prefixes, not as a list of events, until somebody takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bgp_wire::nlri::{Routes, Withdrawals};
use bgp_wire::{AfiSafi, Label, NextHop, RouteTarget, Update, VpnLabels};
use dataplane::VrfId;
use ipnet::IpNet;

use crate::node::Node;
use crate::path::{self, Path, ToldBy};
use crate::route_key::RouteKey;
use crate::vrf_table::{Entry, Source, VrfTable};

/// More changed prefixes of one VRF than this, and the whole VRF counts as changed.
const DIRTY_LIMIT: usize = 262_144;

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

/// Numbers of routes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    pub all: usize,
    pub stale: usize,
    pub imported: usize,
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
    received: BTreeMap<IpAddr, BTreeMap<RouteKey, Arc<Path>>>,
    own: BTreeMap<RouteKey, OwnPath>,
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

    /// What one UPDATE says of routes that lead into VRFs. What leads back to this node is no route
    /// (RFC 4456 §8).
    pub fn update(&mut self, peer: IpAddr, update: &Update, node: &Node) {
        for withdrawn in &update.withdrawn {
            match withdrawn {
                Withdrawals::VpnV4(routes) => {
                    for route in routes {
                        self.forget(peer, route.key.into());
                    }
                }
                Withdrawals::VpnV6(routes) => {
                    for route in routes {
                        self.forget(peer, route.key.into());
                    }
                }
                Withdrawals::Evpn(routes) => {
                    let keys = routes.iter().filter_map(|route| RouteKey::of_evpn(&route.key));
                    keys.for_each(|key| self.forget(peer, key));
                }
                _ => {}
            }
        }
        for (next_hop, announced) in &update.announced {
            let mut shared = Shared { update, next_hop: *next_hop, node, last: None };
            match announced {
                Routes::VpnV4(routes) => {
                    for route in routes {
                        let path =
                            label(route.data).and_then(|label| shared.path(label, ToldBy::Vpn));
                        self.told(peer, route.key.into(), path);
                    }
                }
                Routes::VpnV6(routes) => {
                    for route in routes {
                        let path =
                            label(route.data).and_then(|label| shared.path(label, ToldBy::Vpn));
                        self.told(peer, route.key.into(), path);
                    }
                }
                Routes::Evpn(routes) => {
                    for route in routes {
                        let Some(key) = RouteKey::of_evpn(&route.key) else { continue };
                        let said = path::read_evpn(&update.attributes, &route.data);
                        let path = said.and_then(|(label, by)| shared.path(label, by));
                        self.told(peer, key, path);
                    }
                }
                _ => {}
            }
        }
    }

    fn told(&mut self, peer: IpAddr, key: RouteKey, path: Option<Arc<Path>>) {
        match path {
            Some(path) => self.learn(peer, key, path),
            None => self.forget(peer, key),
        }
    }

    /// Replaces this node's own routes.
    pub fn set_own(&mut self, own: BTreeMap<RouteKey, OwnPath>) {
        let before = std::mem::replace(&mut self.own, own);
        let keys: BTreeSet<RouteKey> = before.keys().chain(self.own.keys()).copied().collect();
        for key in keys {
            let (old, new) = (before.get(&key).cloned(), self.own.get(&key).cloned());
            if old != new {
                let place = |own: OwnPath| Placed { home: Some(own.home), path: own.path };
                let (old, new) = (old.map(place), new.map(place));
                self.place(Source::Own, key, old.as_ref(), new.as_ref());
            }
        }
    }

    /// Replaces one of this node's own routes.
    pub fn put_own(&mut self, key: RouteKey, own: OwnPath) {
        let old = self.own.insert(key, own.clone());
        if old.as_ref() != Some(&own) {
            let place = |own: OwnPath| Placed { home: Some(own.home), path: own.path };
            self.place(Source::Own, key, old.map(place).as_ref(), Some(&place(own)));
        }
    }

    /// Marks what a peer told as kept from an earlier session.
    pub fn mark_stale(&mut self, peer: IpAddr) {
        self.rewrite(peer, |path| (!path.stale).then(|| Path { stale: true, ..path.clone() }));
    }

    /// Drops what of one family, or of all, is still marked as kept, and returns how many routes that
    /// were.
    pub fn drop_stale(&mut self, peer: IpAddr, of: Option<AfiSafi>) -> usize {
        let Some(routes) = self.received.get(&peer) else { return 0 };
        let stale: Vec<_> = routes
            .iter()
            .filter(|(key, path)| path.stale && of.is_none_or(|of| of == key.family()))
            .map(|(key, _)| *key)
            .collect();
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

    /// How many routes a peer has told of each family: all, stale ones, and those that some VRF
    /// imports.
    pub fn received(&self, peer: IpAddr) -> BTreeMap<AfiSafi, Received> {
        let mut counts: BTreeMap<AfiSafi, Received> = BTreeMap::new();
        for (key, path) in self.received.get(&peer).into_iter().flatten() {
            let of = counts.entry(key.family()).or_default();
            of.all += 1;
            of.stale += usize::from(path.stale);
            of.imported += usize::from(self.importers(&path.targets).next().is_some());
        }
        counts
    }

    fn learn(&mut self, peer: IpAddr, key: RouteKey, path: Arc<Path>) {
        let old = self.received.entry(peer).or_default().insert(key, Arc::clone(&path));
        let place = |path| Placed { home: None, path };
        self.place(Source::Peer(peer), key, old.map(place).as_ref(), Some(&place(path)));
    }

    fn forget(&mut self, peer: IpAddr, key: RouteKey) {
        let old = self.received.get_mut(&peer).and_then(|routes| routes.remove(&key));
        if let Some(path) = old {
            self.place(Source::Peer(peer), key, Some(&Placed { home: None, path }), None);
        }
    }

    /// Paths that were shared are shared afterwards.
    fn rewrite(&mut self, peer: IpAddr, change: impl Fn(&Path) -> Option<Path>) {
        let Some(routes) = self.received.get(&peer) else { return };
        let mut last: Option<(&Arc<Path>, Arc<Path>)> = None;
        let mut changed = Vec::new();
        for (key, path) in routes {
            let new = match &last {
                Some((before, after)) if Arc::ptr_eq(before, path) => Some(Arc::clone(after)),
                _ => change(path).map(Arc::new),
            };
            if let Some(new) = new {
                last = Some((path, Arc::clone(&new)));
                changed.push((*key, new));
            }
        }
        for (key, path) in changed {
            self.learn(peer, key, path);
        }
    }

    /// Puts a path into the tables that want it, and takes the old one out of the others.
    fn place(&mut self, source: Source, key: RouteKey, old: Option<&Placed>, new: Option<&Placed>) {
        let out_of = self.places(old);
        let into = self.places(new);
        let net = key.net;
        for id in out_of.iter().filter(|id| !into.contains(id)) {
            let vrf = self.vrfs.get_mut(id);
            if vrf.is_some_and(|vrf| vrf.table.remove(net, source, key.kind, key.rd)) {
                mark(&mut self.dirty, *id, net);
            }
        }
        let Some(Placed { path, .. }) = new else { return };
        for id in into {
            let entry = Entry { source, kind: key.kind, rd: key.rd, path: Arc::clone(path) };
            let vrf = self.vrfs.get_mut(&id);
            if vrf.is_some_and(|vrf| vrf.table.insert(net, entry)) {
                mark(&mut self.dirty, id, net);
            }
        }
    }

    /// Few: a list is faster than a set.
    fn places(&self, placed: Option<&Placed>) -> Vec<VrfId> {
        let Some(placed) = placed else { return Vec::new() };
        let mut vrfs: Vec<_> = self.importers(&placed.path.targets).chain(placed.home).collect();
        vrfs.sort_unstable();
        vrfs.dedup();
        vrfs
    }

    fn importers(&self, targets: &[RouteTarget]) -> impl Iterator<Item = VrfId> {
        targets.iter().filter_map(|target| self.by_target.get(target)).flatten().copied()
    }

    /// Makes the table of a VRF from all that is known.
    fn fill(&mut self, id: VrfId) {
        let Some(vrf) = self.vrfs.get(&id) else { return };
        let wanted = |path: &Path| path.targets.iter().any(|target| vrf.targets.contains(target));
        let mut table = VrfTable::default();
        let mut put = |source, key: &RouteKey, path: &Arc<Path>| {
            let entry = Entry { source, kind: key.kind, rd: key.rd, path: Arc::clone(path) };
            table.insert(key.net, entry);
        };
        for (key, own) in self.own.iter().filter(|(_, own)| own.home == id || wanted(&own.path)) {
            put(Source::Own, key, &own.path);
        }
        for (peer, routes) in &self.received {
            for (key, path) in routes.iter().filter(|(_, path)| wanted(path)) {
                put(Source::Peer(*peer), key, path);
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

/// The label to send with. The data plane pushes one, so a stack of them is no way to go.
fn label(labels: VpnLabels) -> Option<Label> {
    (labels.depth() == 1).then(|| labels.outermost())
}

/// The paths of one list of routes: the same one as long as labels do not change.
struct Shared<'a> {
    update: &'a Update,
    next_hop: NextHop,
    node: &'a Node,
    last: Option<(Label, ToldBy, Option<Arc<Path>>)>,
}

impl Shared<'_> {
    /// `None`: it leads back to this node.
    fn path(&mut self, label: Label, by: ToldBy) -> Option<Arc<Path>> {
        if let Some((of_label, of_kind, path)) = &self.last
            && (*of_label, *of_kind) == (label, by)
        {
            return path.clone();
        }
        let attributes = &self.update.attributes;
        let is_ours = self.next_hop.address().is_some_and(|address| self.node.has(address))
            || attributes.originator_id == Some(self.node.router_id);
        let path = (!is_ours).then(|| path::read(attributes, self.next_hop, label, by)).flatten();
        let path = path.map(Arc::new);
        self.last = Some((label, by, path.clone()));
        path
    }
}
