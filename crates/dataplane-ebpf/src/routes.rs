//! Routes, and the groups of next hops that they point at.

use std::collections::HashMap;

use aya::maps::lpm_trie::Key;
use dataplane::{DataplaneError, Encapsulation, NextHop, NextHopGroup, Op, Result, Tunnel, VrfId};
use ipnet::{IpNet, Ipv4Net};
use tracing::debug;

use crate::groups::Acquired;
use crate::layout::{self, HostKey, Member, NetKey, mix};
use crate::names::port_key;
use crate::plane::EbpfPlane;
use crate::tables::{Element as _, Entry as _};

impl EbpfPlane {
    pub(crate) fn put_route(&mut self, vrf: VrfId, net: IpNet, group: &NextHopGroup) -> Result<()> {
        let net = ipv4(net)?;
        if !self.vrfs.contains_key(&vrf) {
            return Err(DataplaneError::new(format!("route {net}: there is no vrf {vrf}")));
        }
        let was = self.group_of(vrf, net);
        if was.is_some_and(|was| self.groups.get(was) == Some(group)) {
            return Ok(());
        }
        let number = self.write_group(group)?;
        if let Err(error) = self.point(vrf, net, number) {
            self.groups.release(number);
            return Err(error);
        }
        self.routes.entry(vrf).or_default().insert(net, number);
        if let Some(was) = was {
            self.groups.release(was);
        }
        Ok(())
    }

    pub(crate) fn remove_route(&mut self, vrf: VrfId, net: IpNet) -> Result<()> {
        let net = ipv4(net)?;
        if net.prefix_len() == 32 {
            self.tables.hosts.delete(&host_key(vrf, net), "route")?;
        } else {
            self.tables.nets.delete(&net_key(vrf, net), "route")?;
        }
        let Some(table) = self.routes.get_mut(&vrf) else { return Ok(()) };
        let was = table.remove(&net);
        if table.is_empty() {
            self.routes.remove(&vrf);
        }
        if let Some(was) = was {
            self.groups.release(was);
        }
        Ok(())
    }

    /// Moves routes that all leave one group for one other, by writing that other in its place: one
    /// write, however many routes. Whatever it cannot do, `put_route` does route by route.
    pub(crate) fn move_groups(&mut self, puts: &[Op]) {
        let mut moves: HashMap<u32, (&NextHopGroup, u32, bool)> = HashMap::new();
        for op in puts {
            let Op::PutRoute(vrf, net, group) = op else { continue };
            let Ok(net) = ipv4(*net) else { continue };
            let Some(from) = self.group_of(*vrf, net) else { continue };
            let entry = moves.entry(from).or_insert((group, 0, true));
            entry.1 += 1;
            entry.2 &= entry.0 == group;
        }
        for (from, (to, users, together)) in moves {
            let few = users < 2 || !together || self.groups.get(from) == Some(to);
            if few || to.members().iter().any(|hop| self.raw_hop(hop).is_err()) {
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

    fn group_of(&self, vrf: VrfId, net: Ipv4Net) -> Option<u32> {
        self.routes.get(&vrf)?.get(&net).copied()
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

    /// Next hops first: nothing points at what is not written.
    fn write_acquired(&mut self, group: &NextHopGroup, acquired: &Acquired) -> Result<()> {
        for (number, hop) in &acquired.new_hops {
            let raw = self.raw_hop(hop)?;
            self.tables.next_hops.write(*number, raw, "next hop")?;
        }
        let Some(numbers) = &acquired.new_group else { return Ok(()) };
        let mut raw = layout::Group::default();
        for (place, (hop, number)) in
            raw.members.iter_mut().zip(group.members().iter().zip(numbers))
        {
            *place = Member { next_hop: *number, key: key(hop) };
            raw.count += 1;
            raw.local += u32::from(!hop.is_remote());
        }
        self.tables.groups.write(acquired.group, raw, "next-hop group")
    }

    pub(crate) fn raw_hop(&self, hop: &NextHop) -> Result<layout::NextHop> {
        let empty = layout::NextHop::default();
        match hop {
            NextHop::Discard => Ok(layout::NextHop { kind: layout::HOP_DISCARD, ..empty }),
            NextHop::Port(id) => {
                let slot = self.slots.get(id);
                let slot =
                    slot.ok_or_else(|| DataplaneError::new(format!("there is no port {id}")))?;
                Ok(layout::NextHop { kind: layout::HOP_PORT, number: slot.index, ..empty })
            }
            NextHop::Translate { vrf, address } => {
                if !self.translations.contains_key(&(*vrf, *address)) {
                    return Err(DataplaneError::new(format!("nothing to do: {hop}")));
                }
                let address = (*address).into();
                Ok(layout::NextHop { kind: layout::HOP_TRANSLATE, number: vrf.0, address, ..empty })
            }
            NextHop::Tunnel(Tunnel { remote, encapsulation, label }) => Ok(layout::NextHop {
                kind: layout::HOP_TUNNEL,
                encapsulation: match encapsulation {
                    Encapsulation::MplsOverGre => layout::MPLS_OVER_GRE,
                    Encapsulation::MplsOverUdp => layout::MPLS_OVER_UDP,
                },
                number: label.value(),
                address: (*remote).into(),
                uplink: self.way_to(*remote),
                ..empty
            }),
        }
    }

    fn point(&mut self, vrf: VrfId, net: Ipv4Net, group: u32) -> Result<()> {
        if net.prefix_len() == 32 {
            self.tables.hosts.put(host_key(vrf, net), group, "route")
        } else {
            self.tables.nets.put(net_key(vrf, net), group, "route")
        }
    }
}

fn ipv4(net: IpNet) -> Result<Ipv4Net> {
    match net {
        IpNet::V4(net) => Ok(net.trunc()),
        IpNet::V6(net) => {
            Err(DataplaneError::new(format!("route {net}: the eBPF plane forwards IPv4 only")))
        }
    }
}

fn host_key(vrf: VrfId, net: Ipv4Net) -> HostKey {
    HostKey { vrf: vrf.0, address: net.addr().into() }
}

pub(crate) fn net_key(vrf: VrfId, net: Ipv4Net) -> Key<NetKey> {
    let key = NetKey { vrf: vrf.0.to_be_bytes(), address: net.addr().octets() };
    Key::new(32 + u32::from(net.prefix_len()), key)
}

/// What a flow's hash is mixed with. Of a tunnel it depends on the other node alone, so that all
/// nodes send a flow the same way.
fn key(hop: &NextHop) -> u32 {
    match hop {
        NextHop::Discard => 0,
        NextHop::Port(id) => port_key(id),
        NextHop::Translate { vrf, address } => mix(u32::from(*address) ^ vrf.0),
        NextHop::Tunnel(Tunnel { remote, label, .. }) => {
            mix(mix(u32::from(*remote)) ^ label.value())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trie_key_counts_the_vrf_in_its_length() {
        let key = net_key(VrfId(0x0102), "10.1.2.0/24".parse().unwrap());
        assert_eq!(key.prefix_len(), 56);
        assert_eq!(key.data().vrf, [0, 0, 1, 2]);
        assert_eq!(key.data().address, [10, 1, 2, 0]);
    }

    #[test]
    fn ipv6_is_refused_and_host_bits_are_not_kept() {
        assert!(ipv4("2001:db8::/32".parse().unwrap()).is_err());
        assert_eq!(ipv4("10.1.2.3/24".parse().unwrap()).unwrap(), "10.1.2.0/24".parse().unwrap());
    }
}
