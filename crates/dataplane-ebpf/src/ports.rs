//! Ports: an element of the `ports` map, a veth pair, and a program on its host's end.

use dataplane::{Attachment, DataplaneError, NextHop, Port, PortId, Result};

use crate::layout::{self, Be32, Traffic};
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

        self.tables.port_names.put(index, record.encode()?, "port name")?;
        let generation = self.generation(index, was.as_ref(), port)?;
        let slot = Slot { index, ifindex: pair.ifindex, generation, port: port.clone() };
        self.write_port(id, &slot)?;
        self.tables.port_of.put(pair.ifindex, index, "port")?;
        self.slots.insert(id.clone(), slot);
        self.programs.attach(Hook::Port, &name, pair.ifindex)?;
        if let Some(was) = was.filter(|was| was.ifindex != pair.ifindex) {
            self.programs.detach(Hook::Port, was.ifindex)?;
            self.tables.port_of.delete(&was.ifindex, "port")?;
        }
        veth::configure(&self.netlink, &name, id, port, pair.ifindex).await?;
        record.inode = pair.inode;
        self.tables.port_names.put(index, record.encode()?, "port name")
    }

    pub(crate) async fn remove_port(&mut self, id: &PortId) -> Result<()> {
        let Some(slot) = self.slots.get(id).cloned() else { return Ok(()) };
        if self.groups.hop(&NextHop::Port(id.clone())).is_some() {
            return Err(DataplaneError::new(format!("a route uses port {id}")));
        }
        if self.translations.values().any(|to| to.targets().any(|port| port == id)) {
            return Err(DataplaneError::new(format!("a translation uses port {id}")));
        }
        let name = names::host_interface(&self.instance, id);
        if let Some(interface) = self.netlink.interface(&name).await? {
            self.netlink.delete(&interface).await?;
        }
        self.programs.detach(Hook::Port, slot.ifindex)?;
        self.tables.port_of.delete(&slot.ifindex, "port")?;
        let nobody = layout::Port { generation: slot.generation, ..layout::Port::default() };
        self.tables.ports.write(slot.index, nobody, "port")?;
        self.tables.port_names.delete(&slot.index, "port name")?;
        self.slots.remove(id);
        Ok(())
    }

    /// Writes what the programs need, with the floating address that the port may open connections
    /// from.
    pub(crate) fn write_port(&mut self, id: &PortId, slot: &Slot) -> Result<()> {
        let floating = self.outward_address(id);
        let port = &slot.port;
        let value = layout::Port {
            ifindex: slot.ifindex,
            generation: slot.generation,
            vrf: port.vrf.0,
            address: port.address.into(),
            gateway: port.gateway.into(),
            floating: floating.map_or(Be32::default(), |(_, address)| address.into()),
            floating_vrf: floating.map_or(0, |(vrf, _)| vrf.0),
            mtu: port.mtu,
            mac: port.mac.0,
            prefix_len: u32::from(port.prefix_len),
        };
        self.tables.ports.write(slot.index, value, "port")
    }

    fn free_slot(&self) -> Result<u32> {
        let mut used: Vec<u32> = self.slots.values().map(|slot| slot.index).collect();
        used.sort_unstable();
        let free = (0..).zip(&used).find(|(index, used)| index != *used).map(|(index, _)| index);
        let free = free.unwrap_or_else(|| u32::try_from(used.len()).unwrap_or(u32::MAX));
        if free >= self.tables.ports.len() {
            return Err(DataplaneError::new(format!("no room for more than {free} ports")));
        }
        Ok(free)
    }

    /// Flows belong to a generation: another port, or another address, is another one.
    fn generation(&mut self, index: u32, was: Option<&Slot>, port: &Port) -> Result<u32> {
        if let Some(was) = was {
            let same = was.port.vrf == port.vrf && was.port.address == port.address;
            return Ok(if same { was.generation } else { was.generation.wrapping_add(1) });
        }
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

fn check(id: &PortId, port: &Port) -> Result<()> {
    let Attachment::Netns { interface, .. } = &port.attachment;
    let wrong = |what: &str| Err(DataplaneError::new(format!("port {id}: {what}")));
    if interface.is_empty() || interface.len() > 15 || interface.contains(['/', ' ']) {
        return wrong("an interface name has 1 to 15 characters");
    }
    if port.prefix_len > 32 {
        return wrong("a prefix length is at most 32");
    }
    if port.mtu < 68 {
        return wrong("an MTU is at least 68 (RFC 791)");
    }
    if port.mac.0[0] & 1 == 1 {
        return wrong("its MAC address is a multicast one");
    }
    Ok(())
}
