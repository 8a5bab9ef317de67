//! Routes, and the groups of next hops that they point at.

use std::collections::HashMap;
use std::net::IpAddr;

use aya::maps::lpm_trie::Key;
use dataplane::{
    DataplaneError, Identities, NextHop, NextHopGroup, Op, Result, Route, Spread, Tunnel,
    TunnelHeader, VrfId,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tracing::debug;

use crate::groups::Acquired;
use crate::layout::{self, HostV4, HostV6, NetV4, NetV6, mix};
use crate::names::port_key;
use crate::plane::EbpfPlane;
use crate::shares::{Stake, shares};
use crate::tables::{Element as _, Entry as _, Tables};

/// What a route points at: numbers of a group and of a set of identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) group: u32,
    /// 0: none.
    pub(crate) identities: u32,
}

impl EbpfPlane {
    pub(crate) fn put_route(&mut self, vrf: VrfId, net: IpNet, route: &Route) -> Result<()> {
        let net = net.trunc();
        if !self.vrfs.contains_key(&vrf) {
            return Err(DataplaneError::new(format!("route {net}: there is no vrf {vrf}")));
        }
        let was = self.pointer(vrf, net);
        if was.is_some_and(|was| self.points_at(was, route)) {
            return Ok(());
        }
        let identities = self.write_identities(&route.identities)?;
        let group = match self.write_group(&route.to) {
            Ok(group) => group,
            Err(error) => {
                self.release_identities(identities)?;
                return Err(error);
            }
        };
        let pointer = Pointer { group, identities };
        if let Err(error) = put_pointer(&mut self.tables, vrf, net, pointer) {
            self.groups.release(group);
            self.release_identities(identities)?;
            return Err(error);
        }
        self.routes.entry(vrf).or_default().insert(net, pointer);
        if let Some(was) = was {
            self.groups.release(was.group);
            self.release_identities(was.identities)?;
        }
        Ok(())
    }

    pub(crate) fn remove_route(&mut self, vrf: VrfId, net: IpNet) -> Result<()> {
        let net = net.trunc();
        delete_pointer(&mut self.tables, vrf, net)?;
        let Some(table) = self.routes.get_mut(&vrf) else { return Ok(()) };
        let was = table.remove(&net);
        if table.is_empty() {
            self.routes.remove(&vrf);
        }
        if let Some(was) = was {
            self.groups.release(was.group);
            self.release_identities(was.identities)?;
        }
        Ok(())
    }

    /// Moves routes that all leave one group for one other, by writing that other in its place: one
    /// write, however many routes. Whatever it cannot do, `put_route` does route by route.
    pub(crate) fn move_groups(&mut self, puts: &[Op]) {
        let mut moves: HashMap<u32, (&NextHopGroup, u32, bool)> = HashMap::new();
        for op in puts {
            let Op::PutRoute(vrf, net, route) = op else { continue };
            let Some(from) = self.pointer(*vrf, net.trunc()) else { continue };
            let entry = moves.entry(from.group).or_insert((&route.to, 0, true));
            entry.1 += 1;
            entry.2 &= *entry.0 == route.to;
        }
        for (from, (to, users, together)) in moves {
            let few = users < 2 || !together || self.groups.get(from) == Some(to);
            if few || to.hops().any(|hop| self.raw_hop(hop).is_err()) {
                continue;
            }
            let was = self.groups.get(from).cloned();
            let Some(renamed) = self.groups.rename(from, to, users) else { continue };
            if let Err(error) = self.write_acquired(to, &renamed) {
                debug!(%error, "group not moved");
                // Back to what the map says; its routes are then put one by one.
                if let Some(was) = was {
                    drop(self.groups.rename(from, &was, users));
                }
            }
        }
    }

    fn pointer(&self, vrf: VrfId, net: IpNet) -> Option<Pointer> {
        self.routes.get(&vrf)?.get(&net).copied()
    }

    fn points_at(&self, pointer: Pointer, route: &Route) -> bool {
        let none = Identities::default();
        self.groups.get(pointer.group) == Some(&route.to)
            && *self.identities.get(pointer.identities).unwrap_or(&none) == route.identities
    }

    fn write_identities(&mut self, identities: &Identities) -> Result<u32> {
        if identities.is_empty() {
            return Ok(0);
        }
        let full = || DataplaneError::new("there are too many different sets of identities");
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

    fn write_group(&mut self, group: &NextHopGroup) -> Result<u32> {
        let full = || DataplaneError::new("there are too many different groups of next hops");
        let acquired = self.groups.acquire(group).ok_or_else(full)?;
        if let Err(error) = self.write_acquired(group, &acquired) {
            self.groups.release(acquired.group);
            return Err(error);
        }
        Ok(acquired.group)
    }

    /// Next hops first, then the shares: nothing points at what is not written.
    fn write_acquired(&mut self, group: &NextHopGroup, acquired: &Acquired) -> Result<()> {
        for (number, hop) in &acquired.new_hops {
            let raw = self.raw_hop(hop)?;
            self.tables.next_hops.write(*number, raw, "next hop")?;
        }
        let Some(numbers) = &acquired.new_group else { return Ok(()) };
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
            let key = acquired.group * 2 + which;
            if among.len() > 1 {
                self.tables.group_shares.put(key, *shares(among), "shares of a group")?;
            } else {
                self.tables.group_shares.delete(&key, "shares of a group")?;
            }
        }
        self.tables.groups.write(acquired.group, raw, "next-hop group")
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

fn put_pointer(tables: &mut Tables, vrf: VrfId, net: IpNet, to: Pointer) -> Result<()> {
    let to = layout::Route { group: to.group, identities: to.identities };
    match net {
        IpNet::V4(net) if net.prefix_len() == 32 => {
            tables.hosts_v4.put(host_v4(vrf, net), to, "route")
        }
        IpNet::V4(net) => tables.nets_v4.put(net_v4(vrf, net), to, "route"),
        IpNet::V6(net) if net.prefix_len() == 128 => {
            tables.hosts_v6.put(host_v6(vrf, net), to, "route")
        }
        IpNet::V6(net) => tables.nets_v6.put(net_v6(vrf, net), to, "route"),
    }
}

fn delete_pointer(tables: &mut Tables, vrf: VrfId, net: IpNet) -> Result<()> {
    match net {
        IpNet::V4(net) if net.prefix_len() == 32 => {
            tables.hosts_v4.delete(&host_v4(vrf, net), "route")
        }
        IpNet::V4(net) => tables.nets_v4.delete(&net_v4(vrf, net), "route"),
        IpNet::V6(net) if net.prefix_len() == 128 => {
            tables.hosts_v6.delete(&host_v6(vrf, net), "route")
        }
        IpNet::V6(net) => tables.nets_v6.delete(&net_v6(vrf, net), "route"),
    }
}

fn host_v4(vrf: VrfId, net: Ipv4Net) -> HostV4 {
    HostV4 { vrf: vrf.0, address: net.addr().into() }
}

fn host_v6(vrf: VrfId, net: Ipv6Net) -> HostV6 {
    HostV6 { vrf: vrf.0, address: net.addr().into() }
}

fn net_v4(vrf: VrfId, net: Ipv4Net) -> Key<NetV4> {
    let key = NetV4 { vrf: vrf.0.to_be_bytes(), address: net.addr().octets() };
    Key::new(32 + u32::from(net.prefix_len()), key)
}

fn net_v6(vrf: VrfId, net: Ipv6Net) -> Key<NetV6> {
    let key = NetV6 { vrf: vrf.0.to_be_bytes(), address: net.addr().octets() };
    Key::new(32 + u32::from(net.prefix_len()), key)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trie_key_counts_the_vrf_in_its_length() {
        let key = net_v4(VrfId(0x0102), "10.1.2.0/24".parse().unwrap());
        assert_eq!(key.prefix_len(), 56);
        assert_eq!(key.data().vrf, [0, 0, 1, 2]);
        assert_eq!(key.data().address, [10, 1, 2, 0]);
        let key = net_v6(VrfId(0x0102), "2001:db8::/32".parse().unwrap());
        assert_eq!(key.prefix_len(), 64);
        assert_eq!(key.data().address[..4], [0x20, 0x01, 0x0d, 0xb8]);
    }
}
