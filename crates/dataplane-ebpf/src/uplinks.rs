//! The node itself: tunnel address, underlay interfaces, VRFs.

use aya::maps::IterableMap;
use dataplane::{DataplaneError, NodeConfig, Result, Vni, Vrf, VrfId};
use tracing::debug;

use crate::kernel::{let_loopback_forward, reserve_ports};
use crate::layout::{Address, Be32, Label, Node, Uplink};
use crate::limits;
use crate::names;
use crate::netlink::Interface;
use crate::plane::EbpfPlane;
use crate::programs::Hook;
use crate::tables::{Element as _, Entry as _};

impl EbpfPlane {
    pub(crate) async fn put_node(&mut self, config: &NodeConfig) -> Result<()> {
        let probers = IterableMap::map(&self.tables.probers);
        limits::check_room("prober", probers, config.probers.len())?;
        let uplinks = IterableMap::map(&self.tables.uplinks);
        limits::check_room("uplink", uplinks, config.uplinks.len())?;
        let mut wanted = Vec::new();
        for name in &config.uplinks {
            let found = self.netlink.interface(name).await?;
            let found = found
                .ok_or_else(|| DataplaneError::new(format!("there is no interface {name}")))?;
            if !found.is_ethernet {
                return Err(DataplaneError::new(format!("interface {name} is not Ethernet")));
            }
            wanted.push(found);
        }
        let numbers: Vec<u32> = wanted.iter().map(|uplink| uplink.ifindex).collect();
        for (order, interface) in (0..).zip(&wanted) {
            let uplink = Uplink { mtu: interface.mtu, order, name: name_octets(&interface.name) };
            self.tables.uplinks.put(interface.ifindex, uplink, "uplink")?;
        }
        // Of several uplinks the kernel's routes choose, for each packet.
        let only = if let [only] = &wanted[..] { Some(only) } else { None };
        match let_programs_ask(config) {
            // Without answers, the kernel looks the router up once each packet leaves.
            Err(error) if only.is_some() => debug!(%error, "the programs cannot ask for routes"),
            done => done?,
        }
        if let Some(range) = config.masquerade_ports {
            reserve_ports(range)?;
        }
        self.tables.node.write(0, raw_node(config, only), "node")?;
        self.write_probers(config)?;
        for interface in &wanted {
            let programs = &mut self.programs;
            programs
                .attach(&self.netlink, Hook::Uplink, &interface.name, interface.ifindex)
                .await?;
        }
        for (ifindex, _) in self.tables.uplinks.all()? {
            if !numbers.contains(&ifindex) {
                self.programs.detach(Hook::Uplink, ifindex)?;
                self.tables.uplinks.delete(&ifindex, "uplink")?;
            }
        }
        let resample = self.node.sample_one_in != config.sample_one_in;
        self.node = config.clone();
        if resample { self.write_ports() } else { Ok(()) }
    }

    fn write_probers(&mut self, config: &NodeConfig) -> Result<()> {
        for address in &config.probers {
            self.tables.probers.put((*address).into(), 1, "prober")?;
        }
        for (address, _) in self.tables.probers.all()? {
            if !config.probers.contains(&address.into()) {
                self.tables.probers.delete(&address, "prober")?;
            }
        }
        Ok(())
    }

    pub(crate) fn put_vrf(&mut self, id: VrfId, vrf: &Vrf) -> Result<()> {
        let was = self.vrfs.get(&id).cloned();
        let old = was.as_ref();
        let (label, vni) = (old.map(|was| was.label), old.map(|was| was.vni));
        if let Err(error) = self.write_vrf(id, vrf) {
            if label != Some(vrf.label) {
                self.remove_label(id, vrf.label.value())?;
            }
            if vni != Some(vrf.vni) {
                self.remove_vni(id, vrf.vni)?;
            }
            match old {
                Some(was) => self.tables.vrf_names.put(id.0, names::encode_vrf(was), "VRF")?,
                None => self.tables.vrf_names.delete(&id.0, "VRF")?,
            }
            return Err(error);
        }
        if let Some(label) = label.filter(|label| *label != vrf.label) {
            self.remove_label(id, label.value())?;
        }
        if let Some(vni) = vni.filter(|vni| *vni != vrf.vni) {
            self.remove_vni(id, vni)?;
        }
        self.vrfs.insert(id, vrf.clone());
        Ok(())
    }

    fn write_vrf(&mut self, id: VrfId, vrf: &Vrf) -> Result<()> {
        self.tables.vrf_names.put(id.0, names::encode_vrf(vrf), "VRF")?;
        let here = Label { vrf: id.0, port: 0 };
        self.tables.labels.put(vrf.label.value(), here, "label")?;
        match vrf.vni {
            Some(vni) => self.tables.vnis.put(vni.value(), id.0, "VNI"),
            None => Ok(()),
        }
    }

    pub(crate) fn remove_vrf(&mut self, id: VrfId) -> Result<()> {
        let used = self.routes.contains_key(&id)
            || self.slots.values().any(|slot| slot.port.vrf == id)
            || self.translations.keys().any(|(vrf, _)| *vrf == id);
        if used {
            return Err(DataplaneError::new(format!("vrf {id} is in use")));
        }
        if let Some(vrf) = self.vrfs.get(&id) {
            let (label, vni) = (vrf.label.value(), vrf.vni);
            self.remove_label(id, label)?;
            self.remove_vni(id, vni)?;
        }
        self.tables.vrf_names.delete(&id.0, "VRF")?;
        self.vrfs.remove(&id);
        Ok(())
    }

    /// Unless the label has become another one's meanwhile.
    fn remove_label(&mut self, id: VrfId, label: u32) -> Result<()> {
        let its = Label { vrf: id.0, port: 0 };
        if self.tables.labels.get(&label, 0).is_ok_and(|holder| holder == its) {
            self.tables.labels.delete(&label, "label")?;
        }
        Ok(())
    }

    /// Unless the VNI has become another one's meanwhile.
    fn remove_vni(&mut self, id: VrfId, vni: Option<Vni>) -> Result<()> {
        let Some(vni) = vni else { return Ok(()) };
        if self.tables.vnis.get(&vni.value(), 0).is_ok_and(|holder| holder == id.0) {
            self.tables.vnis.delete(&vni.value(), "VNI")?;
        }
        Ok(())
    }
}

fn let_programs_ask(config: &NodeConfig) -> Result<()> {
    let_loopback_forward("ipv4")?;
    if config.tunnel_v6.is_some() { let_loopback_forward("ipv6") } else { Ok(()) }
}

/// What the programs do not find in the node's entry they look up among the uplinks.
pub(crate) fn short_mtu(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or_default()
}

fn raw_node(config: &NodeConfig, uplink: Option<&Interface>) -> Node {
    let (first, count) = config
        .masquerade_ports
        .map_or((0, 0), |range| (range.first(), (range.last() - range.first()).saturating_add(1)));
    Node {
        tunnel_v4: config.tunnel_v4.map_or(Be32::default(), Be32::from),
        uplink: uplink.map_or(0, |uplink| uplink.ifindex),
        tunnel_v6: config.tunnel_v6.map_or(Address::NONE, Address::from),
        router_mac: config.router_mac.0,
        masquerade_first: first,
        masquerade_count: count,
        uplink_mtu: uplink.map_or(0, |uplink| short_mtu(uplink.mtu)),
        sample_one_in: config.sample_one_in,
    }
}

fn name_octets(name: &str) -> [u8; 16] {
    let mut octets = [0; 16];
    // The kernel allows 15.
    for (to, from) in octets.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    octets
}

pub(crate) fn name_text(octets: &[u8; 16]) -> String {
    let end = octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len());
    String::from_utf8_lossy(&octets[..end]).into_owned()
}
