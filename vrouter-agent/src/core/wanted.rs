//! What follows from ports and routes: state of the data plane, and what is announced.
//!
//! Each function does as much as has changed: a batch of routes must not cost a look at everything
//! that the node has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arcus_api::v1::PortId;
use bgp_wire::Label;
use dataplane::{Identities, NextHop, Route, Translation, TranslationKind, Vrf, VrfId};
use ipnet::IpNet;

use super::{Core, Peer};
use crate::import::Dirty;
use crate::local::{self, OwnRoute, Presence};
use crate::originate::{Announced, Announcement, Said};
use crate::path::Path;
use crate::reconcile::{Item, Work};
use crate::route_key::RouteKey;
use crate::vrf_table::Entry;

impl Core {
    pub(super) fn derive(&mut self) {
        let broken = |id: &PortId| self.failing.contains_key(&Item::Port(local::plane_id(id)));
        let presences: BTreeMap<PortId, Presence<'_>> =
            self.ports.iter().map(|(id, port)| (id.clone(), port.presence(broken(id)))).collect();
        let numbers = self.numbers.clone();
        let new = local::derive(&self.node, &self.topology, &mut self.numbers, &presences);
        self.unsaved |= numbers != self.numbers;
        let before = std::mem::replace(&mut self.local, new);
        self.outdated.translations = true;
        self.outdated.handed = true;

        for (id, vrf) in changes(&before.vrfs, &self.local.vrfs) {
            let vrf =
                vrf.map(|vrf| Vrf { name: vrf.network.clone(), label: vrf.label, vni: vrf.vni });
            self.pending.vrfs.insert(id, vrf);
        }
        for (id, filter) in changes(&before.filters, &self.local.filters) {
            self.pending.filters.insert(id, filter.cloned());
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
        let routes = &self.local.routes;
        self.claims.retain(|key, _| routes.contains_key(key));
        self.handed.retain(|key, (to, _)| routes.get(key).is_some_and(|route| route.to == *to));
        let own = routes.iter().map(|(key, route)| (*key, self.own_path(key, route))).collect();
        self.import.set_own(own);
        self.answer_refused();
    }

    /// What leads where, for all that has changed.
    pub(super) fn select(&self, dirty: BTreeMap<VrfId, Dirty>, work: &mut Work) {
        for (id, dirty) in dirty {
            let Some(table) = self.import.table(id) else { continue };
            let prefixes: BTreeSet<IpNet> = match dirty {
                Dirty::Prefixes(prefixes) => prefixes,
                Dirty::Whole => {
                    work.whole.insert(id);
                    table.prefixes().collect()
                }
            };
            // Prefixes in order are often told together: what was chosen for one is right for the next.
            let mut last: Option<(&[Entry], Option<Route>)> = None;
            for net in prefixes {
                let entries = table.entries(net);
                let route = match &last {
                    Some((before, route)) if have_the_same_paths(before, entries) => route.clone(),
                    _ => table.select_multipath(net, &self.speaker.preferences).route,
                };
                last = Some((entries, route.clone()));
                work.routes.insert((id, net), route);
            }
        }
    }

    /// Holds floating addresses against what other nodes announce, and finds what has changed.
    pub(super) fn finish_translations(&mut self, dirty: &BTreeMap<VrfId, Dirty>, work: &mut Work) {
        let wanted = &self.local.translations;
        let keys: BTreeSet<_> = if std::mem::take(&mut self.outdated.translations) {
            wanted.keys().chain(self.translations.keys()).copied().collect()
        } else {
            let touched = dirty.iter().flat_map(|(vrf, dirty)| match dirty {
                Dirty::Prefixes(nets) => {
                    nets.iter().map(|net| (*vrf, net.addr())).collect::<Vec<_>>()
                }
                Dirty::Whole => wanted.keys().filter(|(of, _)| of == vrf).copied().collect(),
            });
            touched.filter(|key| wanted.contains_key(key)).collect()
        };
        for key in keys {
            let finished =
                wanted.get(&key).map(|translation| self.finished(key.0, key.1, translation));
            if self.translations.get(&key) != finished.as_ref() {
                match &finished {
                    Some(translation) => self.translations.insert(key, translation.clone()),
                    None => self.translations.remove(&key),
                };
                work.translations.insert(key, finished);
            }
        }
    }

    fn finished(&self, vrf: VrfId, address: std::net::IpAddr, wanted: &Translation) -> Translation {
        let mut translation = wanted.clone();
        if let TranslationKind::Floating { exclusive, .. } = &mut translation.kind {
            let table = self.import.table(vrf);
            *exclusive &= !table.is_some_and(|table| table.is_also_remote(IpNet::from(address)));
        }
        translation
    }

    /// Compares what may be announced with what is, and owes every session the difference.
    pub(super) fn announce(&mut self) {
        let mut routes: BTreeMap<RouteKey, Announcement> = BTreeMap::new();
        for (key, route) in &self.local.routes {
            if !route.announced || !self.is_programmed(key, route) {
                continue;
            }
            let Some(local_pref) = self.announced_preference(key) else { continue };
            let said = Arc::new(self.said(route, local_pref));
            let label = Label::mpls(route.label.value()).expect("an MplsLabel has 20 bits");
            routes.insert(*key, Announcement { label, said: Arc::clone(&said) });
            let vni = self.local.vrfs.get(&route.vrf).and_then(|vrf| vrf.vni);
            if let Some(vni) = vni.filter(|_| self.speaker.preferences.offers_vxlan()) {
                let label = Label::vni(vni.value()).expect("a Vni has 24 bits");
                routes.insert(key.as_type_5(), Announcement { label, said });
            }
        }
        let new = Announced { routes, memberships: self.import.targets() };
        if new != self.announced {
            let before = std::mem::replace(&mut self.announced, new);
            let routes: Vec<RouteKey> =
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

    fn said(&self, route: &OwnRoute, local_pref: u32) -> Said {
        let groups = if self.speaker.announce_groups {
            route.identities.clone()
        } else {
            Identities::default()
        };
        Said {
            targets: route.targets.clone(),
            local_pref,
            groups,
            weight: route.weight,
            spread: route.spread,
        }
    }

    fn is_programmed(&self, key: &RouteKey, route: &OwnRoute) -> bool {
        let handed = self.handed.get(key).is_some_and(|(_, seq)| *seq <= self.done);
        let failing = |item| self.failing.contains_key(&item);
        let translation = route.to.iter().any(|to| match to {
            NextHop::Translate { vrf, address } => failing(Item::Translation(*vrf, *address)),
            _ => false,
        });
        handed
            && !translation
            && !failing(Item::Vrf(route.vrf))
            && !failing(Item::Route(route.vrf, key.net))
    }
}

/// Whether the choice among them is the same.
fn have_the_same_paths(before: &[Entry], after: &[Entry]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(a, b)| {
            Arc::ptr_eq(&a.path, &b.path) && (a.source, a.kind, a.rd) == (b.source, b.kind, b.rd)
        })
}

pub(super) fn own_path(route: &OwnRoute, local_pref: u32) -> Path {
    let targets = route.targets.iter().copied().collect();
    Path {
        bandwidth: route.weight,
        spread: route.spread,
        identities: route.identities.clone(),
        ..Path::own(route.to.iter().cloned().collect(), targets, local_pref)
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
