//! Reading back what is really there.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::{
    AllowedSource, Attachment, Desired, Found, Identities, Identity, Link, Mac, MplsLabel, NextHop,
    NextHopGroup, NodeConfig, Port, PortId, PortRange, Result, Route, Spread, Translation, Tunnel,
    TunnelHeader, Vni, Vrf, VrfId,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::checksum::Checksum;
use crate::groups::{Groups, Numbered};
use crate::kernel::are_reserved;
use crate::layout::{self, NetV4, NetV6};
use crate::names::{self, PortRecord};
use crate::netlink::Interface;
use crate::plane::EbpfPlane;
use crate::ports::{INCOMPLETE, Slot, source_of};
use crate::programs::Hook;
use crate::routes::Pointer;
use crate::tables::{Element as _, Entry as _};
use crate::translations::read_entry;
use crate::uplinks::{name_text, short_mtu};
use crate::veth;

impl EbpfPlane {
    /// Reads maps and interfaces, and makes what the plane remembers the same.
    pub(crate) async fn read_back(&mut self) -> Result<Found> {
        let found = self.read_all_but_routes().await?;
        Ok(Desired { fib: self.read_routes()?, ..found })
    }

    pub(crate) async fn read_all_but_routes(&mut self) -> Result<Found> {
        let interfaces = self.netlink.interfaces().await?;
        let by_number: BTreeMap<u32, &Interface> =
            interfaces.iter().map(|interface| (interface.ifindex, interface)).collect();
        let node = self.read_node(&by_number).await?;
        let vrfs = self.read_vrfs()?;
        let filters = self.read_filters()?;
        let ports = self.read_ports(&by_number).await?;
        let numbers: Vec<u32> = by_number.keys().copied().collect();
        self.programs.keep_only(&numbers)?;
        self.read_translations()?;
        self.node = node.clone();
        self.vrfs.clone_from(&vrfs);
        let translations: BTreeMap<_, Translation> = self.translations.clone();
        Ok(Desired { node, vrfs, filters, ports, translations, ..Desired::default() })
    }

    /// An interface that was replaced by another of its name is not found.
    pub(crate) async fn read_node(
        &mut self,
        interfaces: &BTreeMap<u32, &Interface>,
    ) -> Result<NodeConfig> {
        let mut raw = self.tables.node.read(0, "node")?;
        let mut uplinks = Vec::new();
        for (ifindex, mut uplink) in self.tables.uplinks.all()? {
            let name = name_text(&uplink.name);
            let found = interfaces.get(&ifindex).filter(|interface| interface.name == name);
            let Some(interface) = found else { continue };
            if uplink.mtu != interface.mtu {
                uplink.mtu = interface.mtu;
                self.tables.uplinks.put(ifindex, uplink, "uplink")?;
                if raw.uplink == ifindex {
                    raw.uplink_mtu = short_mtu(uplink.mtu);
                    self.tables.node.write(0, raw, "node")?;
                }
            }
            if self.programs.is_attached(&self.netlink, Hook::Uplink, &name, ifindex).await? {
                uplinks.push((uplink.order, name));
            }
        }
        uplinks.sort_unstable();
        let uplinks = uplinks.into_iter().map(|(_, name)| name).collect();
        let last = raw.masquerade_first.saturating_add(raw.masquerade_count.saturating_sub(1));
        let masquerade = PortRange::new(raw.masquerade_first, last);
        let v4 = Some(Ipv4Addr::from(raw.tunnel_v4)).filter(|v4| !v4.is_unspecified());
        let v6 = Some(Ipv6Addr::from(raw.tunnel_v6)).filter(|v6| !v6.is_unspecified());
        Ok(NodeConfig {
            tunnel_v4: v4,
            tunnel_v6: v6,
            router_mac: Mac(raw.router_mac),
            uplinks,
            masquerade_ports: masquerade
                .filter(|range| raw.masquerade_count > 0 && are_reserved(*range)),
            probers: self.tables.probers.all()?.into_iter().map(|(one, _)| one.into()).collect(),
            sample_one_in: raw.sample_one_in,
        })
    }

    /// A VRF whose label or VNI leads elsewhere is found without a name, which nobody wants.
    fn read_vrfs(&self) -> Result<BTreeMap<VrfId, Vrf>> {
        let mut vrfs = BTreeMap::new();
        for (number, value) in self.tables.vrf_names.all()? {
            let Some(mut vrf) = names::decode_vrf(&value) else { continue };
            let here = layout::Label { vrf: number, port: 0 };
            let by_label = self.tables.labels.get(&vrf.label.value(), 0);
            let by_vni = vrf.vni.map(|vni| self.tables.vnis.get(&vni.value(), 0));
            let leads_here = by_label.is_ok_and(|to| to == here)
                && by_vni.is_none_or(|to| to.is_ok_and(|to| to == number));
            if !leads_here {
                vrf.name.clear();
            }
            vrfs.insert(VrfId(number), vrf);
        }
        Ok(vrfs)
    }

    /// A port that is not as it should be is found attached to nothing, which nobody wants.
    pub(crate) async fn read_ports(
        &mut self,
        interfaces: &BTreeMap<u32, &Interface>,
    ) -> Result<BTreeMap<PortId, Port>> {
        let mut ports = BTreeMap::new();
        let mut sources: BTreeMap<u32, BTreeSet<AllowedSource>> = BTreeMap::new();
        for (key, value) in self.tables.allowed_sources.all()? {
            if let Some((index, source)) = source_of(&key, value) {
                sources.entry(index).or_default().insert(source);
            }
        }
        self.slots.clear();
        for (index, value) in self.tables.port_names.all()? {
            let Some(record) = PortRecord::decode(&value) else { continue };
            let raw = self.tables.ports.read(index, "port")?;
            let whole = self.is_whole(index, &record, &raw, interfaces).await?;
            let attachment = Attachment::Netns {
                path: if whole { record.path.clone() } else { "".into() },
                interface: record.interface.clone(),
            };
            let v4 = (raw.flags & layout::PORT_V4 != 0).then(|| Link {
                address: Ipv4Addr::from(raw.v4),
                prefix_len: raw.prefix_len_v4,
                gateway: raw.gateway_v4.into(),
            });
            let v6 = (raw.flags & layout::PORT_V6 != 0).then(|| Link {
                address: Ipv6Addr::from(raw.v6),
                prefix_len: raw.prefix_len_v6,
                gateway: raw.gateway_v6.into(),
            });
            let port = Port {
                vrf: VrfId(raw.vrf),
                v4,
                v6,
                mac: Mac(raw.mac),
                mtu: raw.mtu,
                allowed: sources.remove(&index).unwrap_or_default(),
                label: MplsLabel::new(raw.label),
                filter: self.filter_of_number(raw.filter),
                bandwidth: (raw.bandwidth != 0).then_some(raw.bandwidth),
                host_access: raw.flags & layout::PORT_HOST_ACCESS != 0,
                attachment,
            };
            let (ifindex, generation) = (raw.ifindex, raw.generation);
            let slot = Slot { index, ifindex, generation, port: port.clone() };
            self.slots.insert(record.id.clone(), slot);
            ports.insert(record.id, port);
        }
        let slots = self.slots.iter();
        let named = slots.map(|(id, slot)| (slot.index, (slot.generation, id.clone())));
        self.directory.replace_ports(named);
        Ok(ports)
    }

    async fn is_whole(
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
        let own = layout::Label { vrf: raw.vrf, port: index + 1 };
        let is_labeled =
            raw.label == 0 || self.tables.labels.get(&raw.label, 0).is_ok_and(|to| to == own);
        Ok(record.inode != INCOMPLETE
            && veth::inode(&record.path) == Some(record.inode)
            && interface.up
            && is_mapped
            && is_labeled
            && self.programs.is_attached(&self.netlink, Hook::Port, &name, raw.ifindex).await?)
    }

    fn read_translations(&mut self) -> Result<()> {
        let names = self.names();
        self.translations.clear();
        for (key, value) in self.tables.translations.all()? {
            read_entry(&mut self.translations, &key, &value, |index| name_of(&names, index));
        }
        Ok(())
    }

    pub(crate) fn read_routes(&mut self) -> Result<dataplane::Fib> {
        let names = self.names();
        let pointers = self.read_pointers()?;
        let limit = self.tables.groups.len();
        self.groups = Groups::new(limit, self.tables.next_hops.len());
        self.identities = Numbered::new(limit);
        self.routes.clear();
        self.checksum = Checksum::default();
        let sets: BTreeMap<u32, Identities> = self
            .tables
            .identity_sets
            .all()?
            .iter()
            .map(|(key, raw)| (*key, identities(raw)))
            .collect();
        let mut known: BTreeMap<u32, Option<FoundGroup>> = BTreeMap::new();
        let mut fib = dataplane::Fib::new();
        for (vrf, net, raw) in pointers {
            let group = match known.entry(raw.target) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.read_target(raw.target, &names)?),
            };
            let identities = sets.get(&raw.identities).cloned().unwrap_or_default();
            // An empty group forwards nothing; nobody wants one, so it will be put anew.
            let Some(FoundGroup { value, hops }) = group else {
                let route = Route { to: NextHop::Discard.into(), identities };
                fib.entry(vrf).or_default().insert(net, route);
                continue;
            };
            self.groups.adopt(raw.target, value, hops);
            if !identities.is_empty() {
                self.identities.adopt(raw.identities, identities.clone());
            }
            let number = if identities.is_empty() { 0 } else { raw.identities };
            let pointer = Pointer { target: raw.target, identities: number };
            self.routes.entry(vrf).or_default().insert(net, pointer);
            self.checksum.add(vrf, net, pointer);
            fib.entry(vrf).or_default().insert(net, Route { to: value.clone(), identities });
        }
        self.groups.adopted();
        self.identities.adopted();
        Ok(fib)
    }

    pub(crate) fn read_pointers(&self) -> Result<Vec<(VrfId, IpNet, layout::Route)>> {
        let mut pointers = Vec::new();
        for (key, route) in self.tables.hosts_v4.all()? {
            let address: Ipv4Addr = key.address.into();
            pointers.push((VrfId(key.vrf), IpAddr::V4(address).into(), route));
        }
        for (key, route) in self.tables.hosts_v6.all()? {
            let address: Ipv6Addr = key.address.into();
            pointers.push((VrfId(key.vrf), IpAddr::V6(address).into(), route));
        }
        let length = |bits: u32| bits.checked_sub(32).and_then(|length| u8::try_from(length).ok());
        for (key, route) in self.tables.nets_v4.all()? {
            let (bits, NetV4 { vrf, address }) = (key.prefix_len(), key.data());
            let net = length(bits).and_then(|length| Ipv4Net::new(address.into(), length).ok());
            pointers.extend(net.map(|net| (VrfId(u32::from_be_bytes(vrf)), net.into(), route)));
        }
        for (key, route) in self.tables.nets_v6.all()? {
            let (bits, NetV6 { vrf, address }) = (key.prefix_len(), key.data());
            let net = length(bits).and_then(|length| Ipv6Net::new(address.into(), length).ok());
            pointers.extend(net.map(|net| (VrfId(u32::from_be_bytes(vrf)), net.into(), route)));
        }
        Ok(pointers)
    }

    /// `None`: there is nothing in it.
    fn read_target(
        &self,
        target: u32,
        names: &BTreeMap<u32, PortId>,
    ) -> Result<Option<FoundGroup>> {
        if target & layout::ONE_HOP == 0 {
            return self.read_group(target, names);
        }
        let number = target & !layout::ONE_HOP;
        let hop = self.tables.next_hops.read(number, "next hop")?;
        let found = semantic(&hop, names);
        Ok(found.map(|hop| FoundGroup { value: hop.into(), hops: vec![number] }))
    }

    pub(crate) fn read_group(
        &self,
        group: u32,
        names: &BTreeMap<u32, PortId>,
    ) -> Result<Option<FoundGroup>> {
        let raw = self.tables.groups.read(group, "next-hop group")?;
        let shares = self.tables.group_shares.get(&(group * 2), 0).ok();
        let weight = |index: usize| {
            shares.as_ref().and_then(|shares| shares.weight.get(index)).map_or(1, |w| u64::from(*w))
        };
        let mut members = Vec::new();
        for (index, number) in raw.hops.iter().take(raw.count as usize).enumerate() {
            let hop = self.tables.next_hops.read(*number, "next hop")?;
            members.extend(semantic(&hop, names).map(|hop| (*number, hop, weight(index))));
        }
        let spread = if raw.by_source == 0 { Spread::Flow } else { Spread::Source };
        let value = members.iter().map(|(_, hop, weight)| (hop.clone(), *weight));
        let Some(value) = NextHopGroup::weighted(value, spread) else { return Ok(None) };
        let number =
            |hop: &NextHop| members.iter().find(|(_, one, _)| one == hop).map(|(n, ..)| *n);
        let hops = value.hops().filter_map(number).collect();
        Ok(Some(FoundGroup { value, hops }))
    }

    pub(crate) fn names(&self) -> BTreeMap<u32, PortId> {
        self.slots.iter().map(|(id, slot)| (slot.index, id.clone())).collect()
    }
}

/// A port that has no name any more gets one that no platform gives.
fn name_of(names: &BTreeMap<u32, PortId>, index: u32) -> PortId {
    names.get(&index).cloned().unwrap_or_else(|| PortId(format!("?{index}")))
}

/// A group, and the numbers of its members' next hops.
pub(crate) struct FoundGroup {
    pub(crate) value: NextHopGroup,
    hops: Vec<u32>,
}

fn identities(raw: &layout::Identities) -> Identities {
    Identities::new(raw.number.iter().take(raw.count as usize).copied().map(Identity))
}

pub(crate) fn semantic(hop: &layout::NextHop, names: &BTreeMap<u32, PortId>) -> Option<NextHop> {
    match hop.kind {
        layout::HOP_DISCARD => Some(NextHop::Discard),
        layout::HOP_MASQUERADE => Some(NextHop::Masquerade),
        layout::HOP_PORT => Some(NextHop::Port(name_of(names, hop.number))),
        layout::HOP_TRANSLATE => {
            Some(NextHop::Translate { vrf: VrfId(hop.number), address: hop.address.into() })
        }
        layout::HOP_TUNNEL => {
            let label = MplsLabel::new(hop.number);
            let header = match hop.encapsulation {
                layout::VXLAN => {
                    TunnelHeader::Vxlan { vni: Vni::new(hop.number)?, router_mac: Mac(hop.mac) }
                }
                layout::MPLS_OVER_UDP => TunnelHeader::MplsOverUdp { label: label? },
                _ => TunnelHeader::MplsOverGre { label: label? },
            };
            Some(NextHop::Tunnel(Tunnel { remote: hop.address.into(), header }))
        }
        _ => None,
    }
}
