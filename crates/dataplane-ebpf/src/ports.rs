//! Ports: an element of the `ports` map, a veth pair, and a program on its host's end.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use aya::maps::lpm_trie::Key;
use dataplane::{
    AllowedSource, Attachment, DataplaneError, Mac, MplsLabel, NextHop, Port, PortId, Result, VrfId,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::layout::{self, Address, Allowed, AllowedKey, Be32, Label, Traffic};
use crate::limits;
use crate::names::{self, PortRecord};
use crate::plane::EbpfPlane;
use crate::programs::Hook;
use crate::tables::{Element as _, Entry as _};
use crate::veth;

/// A port's place in the `ports` map.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) index: u32,
    pub(crate) ifindex: u32,
    pub(crate) generation: u32,
    pub(crate) port: Port,
}

/// Stands in the record of a port that is not yet as it should be.
pub(crate) const INCOMPLETE: u64 = 0;

impl EbpfPlane {
    pub(crate) async fn put_port(&mut self, id: &PortId, port: &Port) -> Result<()> {
        check(id, port)?;
        if !self.vrfs.contains_key(&port.vrf) {
            return Err(DataplaneError::new(format!("port {id}: there is no vrf {}", port.vrf)));
        }
        if let Some(filter) = port.filter.as_ref().filter(|id| !self.filters.contains_key(*id)) {
            return Err(DataplaneError::new(format!("port {id}: there is no filter {filter}")));
        }
        let was = self.slots.get(id).cloned();
        let index = match &was {
            Some(slot) => slot.index,
            None => self.free_slot()?,
        };
        let name = names::host_interface(&self.instance, id);
        let Attachment::Netns { path, interface } = &port.attachment;
        let mut record = PortRecord {
            id: id.clone(),
            path: path.clone(),
            inode: INCOMPLETE,
            interface: interface.clone(),
        };
        record.encode()?;
        let pair = veth::ensure(&self.netlink, &name, id, port).await?;

        let generation = self.generation(index, was.as_ref(), port)?;
        let slot = Slot { index, ifindex: pair.ifindex, generation, port: port.clone() };
        if let Err(error) = self.enter_port(id, &slot, was.as_ref(), &record) {
            if was.is_none() {
                self.unmake_port(id, &slot).await?;
            }
            return Err(error);
        }
        self.directory.put_port(index, generation, id);
        self.slots.insert(id.clone(), slot);
        self.programs.attach(&self.netlink, Hook::Port, &name, pair.ifindex).await?;
        if let Some(was) = was.as_ref().filter(|was| was.ifindex != pair.ifindex) {
            self.programs.detach(Hook::Port, was.ifindex)?;
            self.tables.port_of.delete(&was.ifindex, "port")?;
        }
        veth::configure(&self.netlink, &name, id, port, pair.ifindex).await?;
        self.let_host_in(id, port, was.as_ref().map(|was| &was.port), pair.ifindex).await?;
        record.inode = pair.inode;
        self.tables.port_names.put(index, record.encode()?, "port name")
    }

    pub(crate) async fn remove_port(&mut self, id: &PortId) -> Result<()> {
        let Some(slot) = self.slots.get(id).cloned() else { return Ok(()) };
        if self.groups.has_hop(&NextHop::Port(id.clone())) {
            return Err(DataplaneError::new(format!("a route uses port {id}")));
        }
        if self.translations.values().any(|to| to.targets().any(|port| port == id)) {
            return Err(DataplaneError::new(format!("a translation uses port {id}")));
        }
        self.unmake_port(id, &slot).await?;
        self.slots.remove(id);
        Ok(())
    }

    /// What the maps have of a port. Not all of it, if that does not fit.
    fn enter_port(
        &mut self,
        id: &PortId,
        slot: &Slot,
        was: Option<&Slot>,
        record: &PortRecord,
    ) -> Result<()> {
        let Slot { index, ifindex, port, .. } = slot;
        self.tables.port_names.put(*index, record.encode()?, "port name")?;
        self.write_sources(*index, port, was)?;
        if let Some(was) = was {
            self.forget_sources(was, port)?;
        }
        self.write_port(id, slot)?;
        self.tables.port_of.put(*ifindex, *index, "port")?;
        self.write_label(*index, port, was)
    }

    async fn unmake_port(&mut self, id: &PortId, slot: &Slot) -> Result<()> {
        let name = names::host_interface(&self.instance, id);
        if let Some(interface) = self.netlink.interface(&name).await? {
            self.netlink.delete(&interface).await?;
        }
        self.programs.detach(Hook::Port, slot.ifindex)?;
        self.tables.port_of.delete(&slot.ifindex, "port")?;
        let nobody = layout::Port { generation: slot.generation, ..layout::Port::default() };
        let nothing = Port { allowed: BTreeSet::new(), label: None, ..slot.port.clone() };
        self.forget_sources(slot, &nothing)?;
        self.write_label(slot.index, &nothing, Some(slot))?;
        self.tables.ports.write(slot.index, nobody, "port")?;
        self.tables.port_names.delete(&slot.index, "port name")?;
        self.directory.remove_port(slot.index);
        Ok(())
    }

    /// Writes what the programs need, with the floating addresses that the port may open connections
    /// from.
    pub(crate) fn write_port(&mut self, id: &PortId, slot: &Slot) -> Result<()> {
        let floating_v4 = self.outward_address(id, IpAddr::is_ipv4);
        let floating_v6 = self.outward_address(id, IpAddr::is_ipv6);
        let port = &slot.port;
        let flag = |is: bool, flag: u32| if is { flag } else { 0 };
        // Connections may outlive what they were opened to.
        let was = self.tables.ports.read(slot.index, "port")?;
        let served = was.generation == slot.generation && was.flags & layout::PORT_SERVES != 0;
        let is_target = || self.translations.values().any(|to| to.targets().any(|port| port == id));
        let value = layout::Port {
            ifindex: slot.ifindex,
            generation: slot.generation,
            vrf: port.vrf.0,
            flags: flag(port.v4.is_some(), layout::PORT_V4)
                | flag(port.v6.is_some(), layout::PORT_V6)
                | flag(!port.allowed.is_empty(), layout::PORT_ALLOWED)
                | flag(port.host_access, layout::PORT_HOST_ACCESS)
                | flag(self.mirrored.contains(id), layout::PORT_MIRROR)
                | flag(self.node.sample_one_in > 0, layout::PORT_SAMPLE)
                | flag(served || is_target(), layout::PORT_SERVES),
            v4: port.v4.map_or(Be32::default(), |v4| v4.address.into()),
            gateway_v4: port.v4.map_or(Be32::default(), |v4| v4.gateway.into()),
            v6: port.v6.map_or(Address::NONE, |v6| v6.address.into()),
            gateway_v6: port.v6.map_or(Address::NONE, |v6| v6.gateway.into()),
            floating_v6: floating_v6.map_or(Address::NONE, |(_, address)| address.into()),
            floating_v6_vrf: floating_v6.map_or(0, |(vrf, _)| vrf.0),
            floating_v4: match floating_v4 {
                Some((_, IpAddr::V4(address))) => address.into(),
                _ => Be32::default(),
            },
            floating_v4_vrf: floating_v4.map_or(0, |(vrf, _)| vrf.0),
            filter: self.filter_number(port.filter.as_ref()),
            label: port.label.map_or(0, MplsLabel::value),
            mtu: port.mtu,
            mac: port.mac.0,
            prefix_len_v4: port.v4.map_or(0, |v4| v4.prefix_len),
            prefix_len_v6: port.v6.map_or(0, |v6| v6.prefix_len),
            unused: 0,
            bandwidth: port.bandwidth.unwrap_or_default(),
        };
        self.tables.ports.write(slot.index, value, "port")
    }

    /// Routes of the node itself lead to the port, or do no more.
    async fn let_host_in(
        &mut self,
        id: &PortId,
        port: &Port,
        was: Option<&Port>,
        ifindex: u32,
    ) -> Result<()> {
        if !port.host_access && !was.is_some_and(|was| was.host_access) {
            return Ok(());
        }
        let wanted: Vec<IpAddr> =
            if port.host_access { port.addresses().collect() } else { Vec::new() };
        for address in &wanted {
            let Some(own) = self.node.tunnel_address(*address) else {
                return Err(DataplaneError::new(format!(
                    "port {id}: the node has no address to reach {address} from"
                )));
            };
            self.netlink.set_host_route(ifindex, *address, own, port.mac).await?;
        }
        let gone = was.into_iter().filter(|was| was.host_access).flat_map(Port::addresses);
        for address in gone.filter(|address| !wanted.contains(address)) {
            self.netlink.remove_host_route(ifindex, address).await?;
        }
        Ok(())
    }

    /// All of them, or none that was not there.
    fn write_sources(&mut self, index: u32, port: &Port, was: Option<&Slot>) -> Result<()> {
        for source in &port.allowed {
            let mac = source.mac.map_or([0; 6], |mac| mac.0);
            let value = Allowed { mac, unused: [0; 2] };
            let put = self.tables.allowed_sources.put(source_key(index, source), value, "source");
            if let Err(error) = put {
                let before = was.map(|was| &was.port.allowed);
                let is_new = |one: &AllowedSource| {
                    before.is_none_or(|before| before.iter().all(|was| was.net != one.net))
                };
                for new in port.allowed.iter().take_while(|one| *one != source) {
                    if is_new(new) {
                        self.tables.allowed_sources.delete(&source_key(index, new), "source")?;
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn forget_sources(&mut self, was: &Slot, port: &Port) -> Result<()> {
        let kept = |source: &AllowedSource| port.allowed.iter().any(|kept| kept.net == source.net);
        for source in was.port.allowed.iter().filter(|source| !kept(source)) {
            self.tables.allowed_sources.delete(&source_key(was.index, source), "source")?;
        }
        Ok(())
    }

    /// The label of the port's own leads to it; the one that it had no longer does.
    fn write_label(&mut self, index: u32, port: &Port, was: Option<&Slot>) -> Result<()> {
        let target = |vrf: VrfId| Label { vrf: vrf.0, port: index + 1 };
        if let Some(label) = port.label {
            self.tables.labels.put(label.value(), target(port.vrf), "label")?;
        }
        let old = was.and_then(|was| Some((was.port.label?, was.port.vrf)));
        if let Some((label, vrf)) = old.filter(|(label, _)| Some(*label) != port.label)
            && self.tables.labels.get(&label.value(), 0).is_ok_and(|to| to == target(vrf))
        {
            self.tables.labels.delete(&label.value(), "label")?;
        }
        Ok(())
    }

    fn free_slot(&self) -> Result<u32> {
        let mut used: Vec<u32> = self.slots.values().map(|slot| slot.index).collect();
        used.sort_unstable();
        let free = (0..).zip(&used).find(|(index, used)| index != *used).map(|(index, _)| index);
        let free = free.unwrap_or_else(|| u32::try_from(used.len()).unwrap_or(u32::MAX));
        if free >= self.tables.ports.len() {
            return Err(limits::full("port", "ports", free));
        }
        Ok(free)
    }

    /// Flows belong to a generation: another port, or another address, is another one.
    fn generation(&mut self, index: u32, was: Option<&Slot>, port: &Port) -> Result<u32> {
        if let Some(was) = was {
            let same = was.port.vrf == port.vrf && was.port.addresses().eq(port.addresses());
            return Ok(if same { was.generation } else { was.generation.wrapping_add(1) });
        }
        self.tables.paces.write(index, 0, "pace")?;
        let cpus = aya::util::nr_cpus().map_err(|(what, error)| {
            DataplaneError::because(format!("cannot read {what}"), error)
        })?;
        let nothing = vec![Traffic::default(); cpus];
        aya::maps::PerCpuValues::try_from(nothing)
            .map_err(aya::maps::MapError::from)
            .and_then(|nothing| self.tables.port_traffic.set(index, nothing, 0))
            .map_err(|error| DataplaneError::because("cannot reset a port's counters", error))?;
        Ok(self.tables.ports.read(index, "port")?.generation.wrapping_add(1))
    }
}

fn source_key(index: u32, source: &AllowedSource) -> Key<AllowedKey> {
    let (address, length) = match source.net.trunc() {
        IpNet::V4(net) => (net.addr().to_ipv6_mapped(), 96 + net.prefix_len()),
        IpNet::V6(net) => (net.addr(), net.prefix_len()),
    };
    let key = AllowedKey { port: index.to_be_bytes(), address: address.octets() };
    Key::new(32 + u32::from(length), key)
}

/// What [`source_key`] was made from.
pub(crate) fn source_of(key: &Key<AllowedKey>, value: Allowed) -> Option<(u32, AllowedSource)> {
    let AllowedKey { port, address } = key.data();
    let length = u8::try_from(key.prefix_len().checked_sub(32)?).ok()?;
    let address = Ipv6Addr::from(address);
    let net = match (address.to_ipv4_mapped(), length.checked_sub(96)) {
        (Some(v4), Some(length)) => Ipv4Net::new(v4, length).ok()?.into(),
        _ => Ipv6Net::new(address, length).ok()?.into(),
    };
    let mac = (value.mac != [0; 6]).then_some(Mac(value.mac));
    Some((u32::from_be_bytes(port), AllowedSource { net, mac }))
}

fn check(id: &PortId, port: &Port) -> Result<()> {
    let Attachment::Netns { interface, .. } = &port.attachment;
    let wrong = |what: &str| Err(DataplaneError::new(format!("port {id}: {what}")));
    if interface.is_empty() || interface.len() > 15 || interface.contains(['/', ' ']) {
        return wrong("an interface name has 1 to 15 characters");
    }
    if port.v4.is_none() && port.v6.is_none() {
        return wrong("it has no address");
    }
    if port.v4.is_some_and(|v4| v4.prefix_len > 32) || port.v6.is_some_and(|v6| v6.prefix_len > 128)
    {
        return wrong("a prefix length is at most 32, of IPv6 128");
    }
    if port.mtu < 68 {
        return wrong("an MTU is at least 68 (RFC 791)");
    }
    if port.v6.is_some() && port.mtu < 1280 {
        return wrong("an MTU is at least 1280 with IPv6 (RFC 8200)");
    }
    if port.mac.0[0] & 1 == 1 {
        return wrong("its MAC address is a multicast one");
    }
    Ok(())
}
