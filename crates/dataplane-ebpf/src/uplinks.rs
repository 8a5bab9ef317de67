//! The node itself: tunnel address, underlay interfaces, VRFs.

use dataplane::{DataplaneError, NodeConfig, Result, Vrf, VrfId};

use crate::layout::{Node, Uplink};
use crate::names;
use crate::plane::EbpfPlane;
use crate::programs::Hook;
use crate::tables::{Element as _, Entry as _};

impl EbpfPlane {
    pub(crate) async fn put_node(&mut self, config: &NodeConfig) -> Result<()> {
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
        let first = numbers.first().copied().unwrap_or_default();
        let node = Node { tunnel_address: config.tunnel_address.into(), uplink: first };
        self.tables.node.write(0, node, "node")?;
        for interface in &wanted {
            self.programs.attach(Hook::Uplink, &interface.name, interface.ifindex)?;
        }
        for (ifindex, _) in self.tables.uplinks.all()? {
            if !numbers.contains(&ifindex) {
                self.programs.detach(Hook::Uplink, ifindex)?;
                self.tables.uplinks.delete(&ifindex, "uplink")?;
            }
        }
        self.node = config.clone();
        self.refresh_ways().await
    }

    pub(crate) fn put_vrf(&mut self, id: VrfId, vrf: &Vrf) -> Result<()> {
        let label = vrf.label.value();
        self.tables.vrf_names.put(id.0, names::encode_vrf(&vrf.name, label), "VRF")?;
        self.tables.labels.put(label, id.0, "label")?;
        let was = self.vrfs.insert(id, vrf.clone());
        if let Some(was) = was.filter(|was| was.label != vrf.label) {
            self.remove_label(id, was.label.value())?;
        }
        Ok(())
    }

    pub(crate) fn remove_vrf(&mut self, id: VrfId) -> Result<()> {
        let used = self.routes.contains_key(&id)
            || self.slots.values().any(|slot| slot.port.vrf == id)
            || self.translations.keys().any(|(vrf, _)| *vrf == id);
        if used {
            return Err(DataplaneError::new(format!("vrf {id} is in use")));
        }
        if let Some(vrf) = self.vrfs.get(&id) {
            self.remove_label(id, vrf.label.value())?;
        }
        self.tables.vrf_names.delete(&id.0, "VRF")?;
        self.vrfs.remove(&id);
        Ok(())
    }

    /// Unless the label has become another VRF's meanwhile.
    fn remove_label(&mut self, id: VrfId, label: u32) -> Result<()> {
        if self.tables.labels.get(&label, 0).is_ok_and(|holder| holder == id.0) {
            self.tables.labels.delete(&label, "label")?;
        }
        Ok(())
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
