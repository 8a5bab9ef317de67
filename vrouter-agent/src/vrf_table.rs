//! The routes of one VRF: every path to a prefix, and which of them are used.
//!
//! Knows paths and how to choose among them. Knows no session, no port and no data plane operation.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bgp_wire::RouteDistinguisher;
use dataplane::{Identities, NextHopGroup, Route, Spread};
use ipnet::IpNet;

use crate::encapsulation::Preferences;
use crate::path::{Path, Resolved, Unusable};
use crate::route_key::RouteKind;

/// Where a path was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// This node has the address itself.
    Own,
    /// The control node at this address told it.
    Peer(IpAddr),
}

/// A path in the table, and who told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub source: Source,
    pub kind: RouteKind,
    pub rd: RouteDistinguisher,
    pub path: Arc<Path>,
}

impl Entry {
    const fn id(&self) -> (Source, RouteKind, RouteDistinguisher) {
        (self.source, self.kind, self.rd)
    }
}

/// What is done with packets to one prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `None` when no path is usable.
    pub route: Option<Route>,
    /// Who told the paths of the group.
    pub from: Vec<Source>,
    /// Why paths were passed over.
    pub unusable: Vec<Unusable>,
}

/// The paths of one VRF.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VrfTable {
    routes: BTreeMap<IpNet, Vec<Entry>>,
}

impl VrfTable {
    /// Adds a path, or replaces the one from the same source under the same distinguisher. Returns
    /// whether that changed anything.
    pub fn insert(&mut self, net: IpNet, entry: Entry) -> bool {
        // Most prefixes have one path, and a vector that grows takes room for four at once.
        let entries = self.routes.entry(net).or_insert_with(|| Vec::with_capacity(1));
        match entries.iter_mut().find(|e| e.id() == entry.id()) {
            Some(before) if *before == entry => false,
            Some(before) => {
                *before = entry;
                true
            }
            None => {
                entries.push(entry);
                true
            }
        }
    }

    /// Returns whether there was such a path.
    pub fn remove(
        &mut self,
        net: IpNet,
        source: Source,
        kind: RouteKind,
        rd: RouteDistinguisher,
    ) -> bool {
        let Some(entries) = self.routes.get_mut(&net) else { return false };
        let before = entries.len();
        entries.retain(|entry| entry.id() != (source, kind, rd));
        let removed = entries.len() < before;
        if entries.is_empty() {
            self.routes.remove(&net);
        }
        removed
    }

    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.routes.keys().copied()
    }

    pub fn len(&self) -> usize {
        self.routes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    pub fn entries(&self, net: IpNet) -> &[Entry] {
        self.routes.get(&net).map_or(&[], Vec::as_slice)
    }

    /// Whether another node has the address too.
    pub fn is_also_remote(&self, net: IpNet) -> bool {
        self.entries(net).iter().any(|entry| entry.path.is_remote())
    }

    /// The best that another node says of a prefix, to be compared with the rank of our own.
    pub fn best_remote_preference(&self, net: IpNet) -> Option<u32> {
        let remote = self.entries(net).iter().filter(|entry| entry.path.is_remote());
        remote.map(|entry| entry.path.local_pref).max()
    }

    /// The best paths of a prefix; all that are equally good are used, up to
    /// [`NextHopGroup::MAX`].
    ///
    /// RFC 4271 §9.1.2.2 as far as the steps compare routes, not peers: two reflectors tell the same
    /// route, and which of them does makes it no better. The same route twice is one member, and of
    /// a stale and a fresh telling of it only the fresh one counts. What one node tells by VPN and by
    /// EVPN is one way to it: the one whose encapsulation we prefer.
    pub fn select_multipath(&self, net: IpNet, preferences: &Preferences) -> Selection {
        let entries = self.entries(net);
        let mut unusable = Vec::new();
        let usable: Vec<(&Entry, Resolved)> = entries
            .iter()
            .filter(|entry| !is_outdated(entry, entries))
            .filter_map(|entry| match entry.path.resolve(preferences) {
                Ok(resolved) => Some((entry, resolved)),
                Err(why) => {
                    unusable.push(why);
                    None
                }
            })
            .collect();
        let best = usable.iter().map(|(entry, _)| entry.path.rank()).max();
        let equals: Vec<_> =
            usable.into_iter().filter(|(entry, _)| Some(entry.path.rank()) == best).collect();
        let lowest_med = |neighbor: Option<u32>| {
            let paths = equals.iter().map(|(entry, _)| &entry.path);
            paths.filter(|path| path.neighbor_as == neighbor).map(|path| path.med).min()
        };
        let is_liked_best = |one: &Resolved| {
            let same = equals.iter().filter(|(_, other)| other.remote == one.remote);
            same.map(|(_, other)| other.order).min() == Some(one.order)
        };
        let chosen: Vec<_> = equals
            .iter()
            .filter(|(entry, _)| Some(entry.path.med) == lowest_med(entry.path.neighbor_as))
            .filter(|(_, resolved)| is_liked_best(resolved))
            .collect();
        let mut from: Vec<Source> = chosen.iter().map(|(entry, _)| entry.source).collect();
        from.sort_unstable();
        from.dedup();
        Selection { route: route(&chosen), from, unusable }
    }
}

/// Shares are those that all of them tell, else equal (draft-ietf-idr-link-bandwidth §5).
fn route(chosen: &[&(&Entry, Resolved)]) -> Option<Route> {
    let paths = || chosen.iter().map(|(entry, _)| &entry.path);
    let all_weighted = paths().all(|path| path.bandwidth.is_some());
    let by_source = paths().any(|path| path.spread == Spread::Source);
    let spread = if by_source { Spread::Source } else { Spread::Flow };
    let hops = chosen.iter().flat_map(|(entry, resolved)| {
        let weight = entry.path.bandwidth.filter(|_| all_weighted).unwrap_or(1);
        resolved.hops.iter().map(move |hop| (hop.clone(), weight))
    });
    let to = NextHopGroup::weighted(hops, spread)?;
    let mut sets = paths().map(|path| &path.identities);
    let first = sets.next()?;
    let identities = if sets.all(|set| set == first) {
        first.clone()
    } else {
        Identities::new(paths().flat_map(|path| path.identities.as_slice()).copied())
    };
    Some(Route { to, identities })
}

fn is_outdated(entry: &Entry, entries: &[Entry]) -> bool {
    entry.path.stale
        && entries
            .iter()
            .any(|other| (other.kind, other.rd) == (entry.kind, entry.rd) && !other.path.stale)
}
