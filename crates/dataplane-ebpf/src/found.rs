//! Reading back what is really there.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use dataplane::{
    Attachment, Desired, Encapsulation, Found, Mac, MplsLabel, NextHop, NextHopGroup, NodeConfig,
    Port, PortId, Result, Translation, Tunnel, Vrf, VrfId,
};
use ipnet::Ipv4Net;

use crate::groups::Groups;
use crate::layout;
use crate::names::{self, PortRecord};
use crate::netlink::Interface;
use crate::plane::EbpfPlane;
use crate::ports::{INCOMPLETE, Slot};
use crate::programs::Hook;
use crate::tables::{Element as _, Entry as _};
use crate::translations::read_entry;
use crate::uplinks::name_text;
use crate::veth;

impl EbpfPlane {
    /// Reads maps and interfaces, and makes what the plane remembers the same.
    pub(crate) async fn read_back(&mut self) -> Result<Found> {
        let interfaces = self.netlink.interfaces().await?;
        let by_number: BTreeMap<u32, &Interface> =
            interfaces.iter().map(|interface| (interface.ifindex, interface)).collect();
        let node = self.read_node(&by_number)?;
        let vrfs = self.read_vrfs()?;
        let ports = self.read_ports(&by_number)?;
        let numbers: Vec<u32> = by_number.keys().copied().collect();
        self.programs.keep_only(&numbers)?;
        self.read_translations()?;
        let fib = self.read_routes()?;
        self.node = node.clone();
        self.vrfs.clone_from(&vrfs);
        self.refresh_ways().await?;
        let translations: BTreeMap<_, Translation> = self.translations.clone();
        Ok(Desired { node, vrfs, ports, fib, translations })
    }

    /// An interface that was replaced by another of its name is not found.
    fn read_node(&mut self, interfaces: &BTreeMap<u32, &Interface>) -> Result<NodeConfig> {
        let raw = self.tables.node.read(0, "node")?;
        let mut uplinks = Vec::new();
        for (ifindex, mut uplink) in self.tables.uplinks.all()? {
            let name = name_text(&uplink.name);
            let found = interfaces.get(&ifindex).filter(|interface| interface.name == name);
            let Some(interface) = found else { continue };
            if uplink.mtu != interface.mtu {
                uplink.mtu = interface.mtu;
                self.tables.uplinks.put(ifindex, uplink, "uplink")?;
            }
            if self.programs.is_attached(Hook::Uplink, &name, ifindex)? {
                uplinks.push((uplink.order, name));
            }
        }
        uplinks.sort_unstable();
        let uplinks = uplinks.into_iter().map(|(_, name)| name).collect();
        Ok(NodeConfig { tunnel_address: raw.tunnel_address.into(), uplinks })
    }

    /// A VRF whose label leads elsewhere is found without a name, which nobody wants.
    fn read_vrfs(&self) -> Result<BTreeMap<VrfId, Vrf>> {
        let mut vrfs = BTreeMap::new();
        for (number, value) in self.tables.vrf_names.all()? {
            let Some((name, label)) = names::decode_vrf(&value) else { continue };
            let Some(label) = MplsLabel::new(label) else { continue };
            let leads_here = self.tables.labels.get(&label.value(), 0).is_ok_and(|to| to == number);
            let name = if leads_here { name } else { String::new() };
            vrfs.insert(VrfId(number), Vrf { name, label });
        }
        Ok(vrfs)
    }

    /// A port that is not as it should be is found attached to nothing, which nobody wants.
    fn read_ports(
        &mut self,
        interfaces: &BTreeMap<u32, &Interface>,
    ) -> Result<BTreeMap<PortId, Port>> {
        let mut ports = BTreeMap::new();
        self.slots.clear();
        for (index, value) in self.tables.port_names.all()? {
            let Some(record) = PortRecord::decode(&value) else { continue };
            let raw = self.tables.ports.read(index, "port")?;
            let whole = self.is_whole(index, &record, &raw, interfaces)?;
            let attachment = Attachment::Netns {
                path: if whole { record.path.clone() } else { "".into() },
                interface: record.interface.clone(),
            };
            let port = Port {
                vrf: VrfId(raw.vrf),
                address: raw.address.into(),
                prefix_len: u8::try_from(raw.prefix_len).unwrap_or(u8::MAX),
                gateway: raw.gateway.into(),
                mac: Mac(raw.mac),
                mtu: raw.mtu,
                attachment,
            };
            let (ifindex, generation) = (raw.ifindex, raw.generation);
            let slot = Slot { index, ifindex, generation, port: port.clone() };
            self.slots.insert(record.id.clone(), slot);
            ports.insert(record.id, port);
        }
        Ok(ports)
    }

    fn is_whole(
        &self,
        index: u32,
        record: &PortRecord,
        raw: &layout::Port,
        interfaces: &BTreeMap<u32, &Interface>,
    ) -> Result<bool> {
        let name = names::host_interface(&self.instance, &record.id);
        let found = interfaces.get(&raw.ifindex).filter(|interface| interface.name == name);
        let Some(interface) = found else { return Ok(false) };
        let is_mapped = self.tables.port_of.get(&raw.ifindex, 0).is_ok_and(|to| to == index);
        Ok(record.inode != INCOMPLETE
            && veth::inode(&record.path) == Some(record.inode)
            && interface.up
            && is_mapped
            && self.programs.is_attached(Hook::Port, &name, raw.ifindex)?)
    }

    fn read_translations(&mut self) -> Result<()> {
        let names = self.names();
        self.translations.clear();
        for (key, value) in self.tables.translations.all()? {
            read_entry(&mut self.translations, &key, &value, |index| name_of(&names, index));
        }
        Ok(())
    }

    fn read_routes(&mut self) -> Result<dataplane::Fib> {
        let names = self.names();
        let mut pointers = Vec::new();
        for (key, group) in self.tables.hosts.all()? {
            let net = Ipv4Net::new_assert(key.address.into(), 32);
            pointers.push((VrfId(key.vrf), net, group));
        }
        for (key, group) in self.tables.nets.all()? {
            let (length, data) = (key.prefix_len(), key.data());
            let length = length.checked_sub(32).and_then(|length| u8::try_from(length).ok());
            let net = length.and_then(|length| Ipv4Net::new(data.address.into(), length).ok());
            let Some(net) = net else { continue };
            pointers.push((VrfId(u32::from_be_bytes(data.vrf)), net, group));
        }
        self.groups = Groups::new(self.tables.groups.len(), self.tables.next_hops.len());
        self.routes.clear();
        let mut known: BTreeMap<u32, Vec<(u32, NextHop)>> = BTreeMap::new();
        let mut fib = dataplane::Fib::new();
        for (vrf, net, group) in pointers {
            let members: &[_] = match known.entry(group) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.read_group(group, &names)?),
            };
            // An empty group forwards nothing; nobody wants one, so it will be put anew.
            let discard = [(0, NextHop::Discard)];
            let found = if members.is_empty() { &discard } else { members };
            let Some(value) = NextHopGroup::new(found.iter().map(|(_, hop)| hop.clone())) else {
                continue;
            };
            if !members.is_empty() {
                self.groups.adopt(group, members);
                self.routes.entry(vrf).or_default().insert(net, group);
            }
            fib.entry(vrf).or_default().insert(net.into(), value);
        }
        self.groups.adopted();
        Ok(fib)
    }

    fn read_group(&self, group: u32, names: &BTreeMap<u32, PortId>) -> Result<Vec<(u32, NextHop)>> {
        let raw = self.tables.groups.read(group, "next-hop group")?;
        let mut members = Vec::new();
        for member in raw.members.iter().take(raw.count as usize) {
            let hop = self.tables.next_hops.read(member.next_hop, "next hop")?;
            members.extend(semantic(&hop, names).map(|hop| (member.next_hop, hop)));
        }
        Ok(members)
    }

    fn names(&self) -> BTreeMap<u32, PortId> {
        self.slots.iter().map(|(id, slot)| (slot.index, id.clone())).collect()
    }
}

/// A port that has no name any more gets one that no platform gives.
fn name_of(names: &BTreeMap<u32, PortId>, index: u32) -> PortId {
    names.get(&index).cloned().unwrap_or_else(|| PortId(format!("?{index}")))
}

fn semantic(hop: &layout::NextHop, names: &BTreeMap<u32, PortId>) -> Option<NextHop> {
    match hop.kind {
        layout::HOP_DISCARD => Some(NextHop::Discard),
        layout::HOP_PORT => Some(NextHop::Port(name_of(names, hop.number))),
        layout::HOP_TRANSLATE => {
            Some(NextHop::Translate { vrf: VrfId(hop.number), address: hop.address.into() })
        }
        layout::HOP_TUNNEL => Some(NextHop::Tunnel(Tunnel {
            remote: hop.address.into(),
            encapsulation: match hop.encapsulation {
                layout::MPLS_OVER_UDP => Encapsulation::MplsOverUdp,
                _ => Encapsulation::MplsOverGre,
            },
            label: MplsLabel::new(hop.number)?,
        })),
        _ => None,
    }
}
