//! The routes of one VRF: every path to a prefix, and which of them are used.
//!
//! Knows paths and how to compare them. Knows no session, no port and no data plane operation.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bgp_wire::community::TunnelType;
use bgp_wire::{Origin, RouteDistinguisher, RouteTarget};
use dataplane::{Encapsulation, MplsLabel, NextHop, NextHopGroup, Tunnel};
use ipnet::IpNet;

use crate::encapsulation::Preferences;

/// Where a path was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// This node has the address itself.
    Own,
    /// The control node at this address told it.
    Peer(IpAddr),
}

/// One way to a prefix: what of a BGP route matters for forwarding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub targets: Vec<RouteTarget>,
    /// 100 where the sender gave none (RFC 4271 §9.1.1).
    pub local_pref: u32,
    /// RFC 4271 §9.1.2.2 a.
    pub as_path_len: usize,
    pub origin: Origin,
    /// 0 where there is none (RFC 4271 §9.1.2.2 c).
    pub med: u32,
    /// The neighbouring AS; MEDs are comparable within one.
    pub neighbor_as: Option<u32>,
    pub to: Target,
    /// Kept over the end of its session, and not told again yet (RFC 4724 §4.2).
    pub stale: bool,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Something of this node.
    Own(NextHop),
    /// Another node or a gateway.
    Remote { next_hop: IpAddr, label: u32, offers: Vec<TunnelType> },
}

/// Why a path that was received is not used although nothing is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unusable {
    /// It offers only tunnels that the data plane has not.
    Encapsulation,
    /// Its label is a reserved one (RFC 3032 §2.1).
    Label,
    /// Its next hop is not an IPv4 address.
    NextHop,
}

impl Unusable {
    pub const ALL: [Self; 3] = [Self::Encapsulation, Self::Label, Self::NextHop];

    /// The name in metrics and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encapsulation => "no-common-encapsulation",
            Self::Label => "reserved-label",
            Self::NextHop => "next-hop-not-ipv4",
        }
    }
}

impl Path {
    /// The path as a member of a next-hop group.
    pub fn resolve(&self, preferences: &Preferences) -> Result<NextHop, Unusable> {
        let (next_hop, label, offers) = match &self.to {
            Target::Own(next_hop) => return Ok(next_hop.clone()),
            Target::Remote { next_hop, label, offers } => (*next_hop, *label, offers),
        };
        let remote = usable_address(next_hop).ok_or(Unusable::NextHop)?;
        let label = MplsLabel::new(label).ok_or(Unusable::Label)?;
        let encapsulation: Encapsulation =
            preferences.choose(offers, next_hop).ok_or(Unusable::Encapsulation)?;
        let tunnel = Tunnel::mpls(remote.into(), encapsulation, label);
        tunnel.map(NextHop::Tunnel).ok_or(Unusable::Encapsulation)
    }

    /// Greater is better: the steps that all paths of one prefix can be compared by.
    fn rank(&self) -> (u32, Reverse<usize>, Reverse<Origin>) {
        (self.local_pref, Reverse(self.as_path_len), Reverse(self.origin))
    }
}

/// A tunnel can end there.
fn usable_address(next_hop: IpAddr) -> Option<Ipv4Addr> {
    match next_hop {
        IpAddr::V4(v4)
            if !(v4.is_unspecified()
                || v4.is_loopback()
                || v4.is_multicast()
                || v4.is_broadcast()) =>
        {
            Some(v4)
        }
        _ => None,
    }
}

/// A path in the table, and who told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub source: Source,
    pub rd: RouteDistinguisher,
    pub path: Arc<Path>,
}

/// What is done with packets to one prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `None` when no path is usable.
    pub group: Option<NextHopGroup>,
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
        let entries = self.routes.entry(net).or_default();
        match entries.iter_mut().find(|e| (e.source, e.rd) == (entry.source, entry.rd)) {
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
    pub fn remove(&mut self, net: IpNet, source: Source, rd: RouteDistinguisher) -> bool {
        let Some(entries) = self.routes.get_mut(&net) else { return false };
        let before = entries.len();
        entries.retain(|entry| (entry.source, entry.rd) != (source, rd));
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
        self.entries(net).iter().any(|entry| matches!(entry.path.to, Target::Remote { .. }))
    }

    /// The best paths of a prefix; all that are equally good are used, up to 16.
    ///
    /// RFC 4271 §9.1.2.2 as far as the steps compare routes, not peers: two reflectors tell the same
    /// route, and which of them does makes it no better. The same route twice is one member, and of
    /// a stale and a fresh telling of it only the fresh one counts.
    pub fn select_multipath(&self, net: IpNet, preferences: &Preferences) -> Selection {
        let entries = self.entries(net);
        let mut unusable = Vec::new();
        let usable: Vec<(&Entry, NextHop)> = entries
            .iter()
            .filter(|entry| !is_outdated(entry, entries))
            .filter_map(|entry| match entry.path.resolve(preferences) {
                Ok(next_hop) => Some((entry, next_hop)),
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
        let chosen: Vec<_> = equals
            .iter()
            .filter(|(entry, _)| Some(entry.path.med) == lowest_med(entry.path.neighbor_as))
            .collect();
        let mut from: Vec<Source> = chosen.iter().map(|(entry, _)| entry.source).collect();
        from.sort_unstable();
        from.dedup();
        let group = NextHopGroup::new(chosen.into_iter().map(|(_, next_hop)| next_hop.clone()));
        Selection { group, from, unusable }
    }
}

fn is_outdated(entry: &Entry, entries: &[Entry]) -> bool {
    entry.path.stale && entries.iter().any(|other| other.rd == entry.rd && !other.path.stale)
}
