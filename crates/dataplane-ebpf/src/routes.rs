//! Routes, and the next hops and groups that they point at.

use std::collections::HashMap;
use std::net::IpAddr;

use dataplane::{
    DataplaneError, Identities, NextHop, NextHopGroup, Op, Result, Route, Spread, Tunnel,
    TunnelHeader, VrfId,
};
use ipnet::IpNet;
use tracing::debug;

use crate::groups::{Acquired, Full};
use crate::layout::{self, mix};
use crate::limits;
use crate::names::port_key;
use crate::plane::EbpfPlane;
use crate::route_maps::{Change, Staged};
use crate::shares::{Stake, shares};
use crate::tables::{Element as _, Entry as _};

/// What a route points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// See [`Acquired::target`].
    pub(crate) target: u32,
    /// Number of a set of identities; 0: none.
    pub(crate) identities: u32,
}

/// Routes that are written together: few enough that those behind them need not wait.
pub(crate) const BATCH: u16 = 4096;

/// Which of the operations failed, and why.
type Failures = Vec<(usize, DataplaneError)>;

impl EbpfPlane {
    /// Puts and removes routes; `first` is the index of the first of the operations.
    pub(crate) fn write_routes(&mut self, ops: &[Op], first: usize, failures: &mut Failures) {
        self.move_groups(ops);
        let mut staged = Staged::default();
        let mut last = None;
        for (index, op) in (first..).zip(ops) {
            let (vrf, net, route) = match op {
                Op::PutRoute(vrf, net, route) => (*vrf, net.trunc(), Some(route)),
                Op::RemoveRoute(vrf, net) => (*vrf, net.trunc(), None),
                _ => continue,
            };
            // Whatever says something of a route twice says it out of order, or another thing.
            let goes_on = last
                .is_some_and(|(removes, place)| removes == route.is_none() && place < (vrf, net));
            if staged.len() >= usize::from(BATCH) || !goes_on {
                self.flush(&mut staged, failures);
            }
            last = Some((route.is_none(), (vrf, net)));
            match self.stage(index, vrf, net, route) {
                Ok(Some(change)) => staged.push(change),
                Ok(None) => {}
                Err(error) => failures.push((index, error)),
            }
        }
        self.flush(&mut staged, failures);
    }

    /// What is to be written for one route; `None`: it is there.
    fn stage(
        &mut self,
        index: usize,
        vrf: VrfId,
        net: IpNet,
        route: Option<&Route>,
    ) -> Result<Option<Change>> {
        let was = self.pointer(vrf, net);
        let Some(route) = route else {
            return Ok(Some(Change { index, vrf, net, was, is: None }));
        };
        if !self.vrfs.contains_key(&vrf) {
            return Err(DataplaneError::new(format!("route {net}: there is no vrf {vrf}")));
        }
        if was.is_some_and(|was| self.points_at(was, route)) {
            return Ok(None);
        }
        let identities = self.write_identities(&route.identities)?;
        let target = match self.write_target(&route.to) {
            Ok(target) => target,
            Err(error) => {
                self.release_identities(identities)?;
                return Err(error);
            }
        };
        let is = Some(Pointer { target, identities });
        Ok(Some(Change { index, vrf, net, was, is }))
    }

    fn flush(&mut self, staged: &mut Staged, failures: &mut Failures) {
        let mut outcomes = Vec::with_capacity(staged.len());
        staged.write(&self.tables, &mut outcomes);
        for (change, outcome) in outcomes {
            let Change { index, vrf, net, was, is } = change;
            let over = match outcome {
                Ok(()) => {
                    self.note_pointer(vrf, net, is);
                    was
                }
                Err(error) => {
                    failures.push((index, error));
                    is
                }
            };
            if let Some(over) = over {
                self.groups.release(over.target);
                if let Err(error) = self.release_identities(over.identities) {
                    failures.push((index, error));
                }
            }
        }
    }

    fn note_pointer(&mut self, vrf: VrfId, net: IpNet, is: Option<Pointer>) {
        let mut was = None;
        if let Some(is) = is {
            was = self.routes.entry(vrf).or_default().insert(net, is);
            self.checksum.add(vrf, net, is);
        } else if let Some(table) = self.routes.get_mut(&vrf) {
            was = table.remove(&net);
            if table.is_empty() {
                self.routes.remove(&vrf);
            }
        }
        if let Some(was) = was {
            self.checksum.remove(vrf, net, was);
        }
    }

    /// Moves routes that all leave one group for one other, by writing that other in its place: one
    /// write, however many routes. Whatever it cannot do is done route by route.
    fn move_groups(&mut self, ops: &[Op]) {
        let mut moves: HashMap<u32, (&NextHopGroup, u32, bool)> = HashMap::new();
        for op in ops {
            let Op::PutRoute(vrf, net, route) = op else { continue };
            let Some(from) = self.pointer(*vrf, net.trunc()) else { continue };
            // Next hops are not written over.
            if from.target & layout::ONE_HOP != 0 {
                continue;
            }
            let entry = moves.entry(from.target).or_insert((&route.to, 0, true));
            entry.1 += 1;
            entry.2 &= *entry.0 == route.to;
        }
        for (from, (to, users, together)) in moves {
            let few = users < 2 || !together || self.groups.leads_to(from, to);
            if few || to.hops().any(|hop| self.raw_hop(hop).is_err()) {
                continue;
            }
            let was = self.groups.get(from);
            let Some(renamed) = self.groups.rename(from, to, users) else { continue };
            if let Err(error) = self.write_acquired(to, &renamed) {
                debug!(%error, "group not moved");
                // Its next hops may have got other numbers: what the map says is written again.
                let back = was.as_ref().and_then(|was| {
                    self.groups.rename(from, was, users).map(|renamed| (was, renamed))
                });
                if let Some((was, renamed)) = back
                    && let Err(error) = self.write_acquired(was, &renamed)
                {
                    debug!(%error, "group not moved back");
                }
            }
        }
    }

    fn pointer(&self, vrf: VrfId, net: IpNet) -> Option<Pointer> {
        self.routes.get(&vrf)?.get(&net).copied()
    }

    fn points_at(&self, pointer: Pointer, route: &Route) -> bool {
        let none = Identities::default();
        self.groups.leads_to(pointer.target, &route.to)
            && *self.identities.get(pointer.identities).unwrap_or(&none) == route.identities
    }

    fn write_identities(&mut self, identities: &Identities) -> Result<u32> {
        if identities.is_empty() {
            return Ok(0);
        }
        let limit = self.tables.groups.len();
        let full = || limits::full("set of identities", "identity_sets", limit);
        let (number, new) = self.identities.acquire(identities).ok_or_else(full)?;
        if new {
            let mut value = layout::Identities::default();
            for (place, identity) in value.number.iter_mut().zip(identities.as_slice()) {
                *place = identity.0;
                value.count += 1;
            }
            if let Err(error) = self.tables.identity_sets.put(number, value, "identities") {
                drop(self.identities.release(number));
                return Err(error);
            }
        }
        Ok(number)
    }

    fn release_identities(&mut self, number: u32) -> Result<()> {
        if number != 0 && self.identities.release(number).is_some() {
            self.tables.identity_sets.delete(&number, "identities")?;
        }
        Ok(())
    }

    /// Where a route is to lead, with what it needs written.
    fn write_target(&mut self, to: &NextHopGroup) -> Result<u32> {
        let acquired = self.groups.acquire(to).map_err(|full| match full {
            Full::Groups => limits::full("group of next hops", "groups", self.tables.groups.len()),
            Full::NextHops => limits::full("next hop", "next_hops", self.tables.next_hops.len()),
        })?;
        if let Err(error) = self.write_acquired(to, &acquired) {
            self.groups.release(acquired.target);
            return Err(error);
        }
        Ok(acquired.target)
    }

    /// Next hops first, then the shares: nothing points at what is not written.
    fn write_acquired(&mut self, group: &NextHopGroup, acquired: &Acquired) -> Result<()> {
        for (number, hop) in &acquired.new_hops {
            let raw = self.raw_hop(hop)?;
            self.tables.next_hops.write(*number, raw, "next hop")?;
        }
        let Some((own, numbers)) = &acquired.new_group else { return Ok(()) };
        let mut raw = layout::Group {
            by_source: u32::from(group.spread() == Spread::Source),
            ..layout::Group::default()
        };
        let mut stakes = Vec::with_capacity(numbers.len());
        for (place, (member, number)) in
            raw.hops.iter_mut().zip(group.members().iter().zip(numbers))
        {
            *place = *number;
            raw.count += 1;
            raw.local += u32::from(!member.hop.is_remote());
            stakes.push(Stake { key: key(&member.hop), weight: member.weight });
        }
        let local = usize::try_from(raw.local).unwrap_or_default();
        for (which, among) in [(0, &stakes[..]), (1, &stakes[..local])] {
            let key = own * 2 + which;
            if among.len() > 1 {
                self.tables.group_shares.put(key, *shares(among), "shares of a group")?;
            } else {
                self.tables.group_shares.delete(&key, "shares of a group")?;
            }
        }
        self.tables.groups.write(*own, raw, "next-hop group")
    }

    pub(crate) fn raw_hop(&self, hop: &NextHop) -> Result<layout::NextHop> {
        let kind = |kind| layout::NextHop { kind, ..layout::NextHop::default() };
        match hop {
            NextHop::Discard => Ok(kind(layout::HOP_DISCARD)),
            NextHop::Masquerade => Ok(kind(layout::HOP_MASQUERADE)),
            NextHop::Port(id) => {
                let slot = self.slots.get(id);
                let slot =
                    slot.ok_or_else(|| DataplaneError::new(format!("there is no port {id}")))?;
                Ok(layout::NextHop { number: slot.index, ..kind(layout::HOP_PORT) })
            }
            NextHop::Translate { vrf, address } => {
                if !self.translations.contains_key(&(*vrf, *address)) {
                    return Err(DataplaneError::new(format!("nothing to do: {hop}")));
                }
                let address = (*address).into();
                Ok(layout::NextHop { number: vrf.0, address, ..kind(layout::HOP_TRANSLATE) })
            }
            NextHop::Tunnel(Tunnel { remote, header }) => {
                let (encapsulation, mac) = match header {
                    TunnelHeader::MplsOverGre { .. } => (layout::MPLS_OVER_GRE, [0; 6]),
                    TunnelHeader::MplsOverUdp { .. } => (layout::MPLS_OVER_UDP, [0; 6]),
                    TunnelHeader::Vxlan { router_mac, .. } => (layout::VXLAN, router_mac.0),
                };
                Ok(layout::NextHop {
                    encapsulation,
                    mac,
                    number: header.id(),
                    address: (*remote).into(),
                    ..kind(layout::HOP_TUNNEL)
                })
            }
        }
    }
}

/// What a member draws its flows with. Of a tunnel it depends on the other node alone, so that all nodes
/// send a flow the same way.
fn key(hop: &NextHop) -> u32 {
    match hop {
        NextHop::Discard => 0,
        NextHop::Masquerade => 1,
        NextHop::Port(id) => port_key(id),
        NextHop::Translate { vrf, address } => mix(address_key(*address) ^ vrf.0),
        NextHop::Tunnel(Tunnel { remote, header }) => mix(address_key(*remote) ^ header.id()),
    }
}

pub(crate) fn address_key(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => mix(u32::from(v4)),
        IpAddr::V6(v6) => v6
            .octets()
            .as_chunks::<4>()
            .0
            .iter()
            .fold(0, |key, word| mix(key ^ u32::from_be_bytes(*word))),
    }
}
