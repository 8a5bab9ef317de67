//! Floating and service addresses: entries of the `translations` map.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dataplane::{
    Backend, DataplaneError, NextHop, PortId, Protocol, Result, Translation, TranslationKind, VrfId,
};

use crate::layout::{self, BACKENDS_MAX, TranslationKey, mix};
use crate::names::port_key;
use crate::plane::EbpfPlane;
use crate::tables::Entry as _;

/// Entries of one address, by protocol and port.
type Entries = BTreeMap<(u8, u16), layout::Translation>;

/// The address as a whole has protocol 0 and port 0.
const WHOLE: (u8, u16) = (0, 0);

impl EbpfPlane {
    pub(crate) fn put_translation(
        &mut self,
        vrf: VrfId,
        address: IpAddr,
        to: &Translation,
    ) -> Result<()> {
        if !self.vrfs.contains_key(&vrf) {
            return Err(DataplaneError::new(format!("address {address}: there is no vrf {vrf}")));
        }
        let (entries, left_out) = self.entries(address, to)?;
        let was = self.translations.insert((vrf, address), to.clone());
        // Before the first packet makes a flow.
        self.write_ports_of([was.as_ref(), Some(to)])?;
        if let Err(error) = self.write_entries(vrf, address, &entries, was.as_ref()) {
            match &was {
                Some(was) => self.translations.insert((vrf, address), was.clone()),
                None => self.translations.remove(&(vrf, address)),
            };
            self.write_ports_of([was.as_ref(), Some(to)])?;
            return Err(error);
        }
        let stale = was.iter().flat_map(parts).filter(|part| !entries.contains_key(part));
        for part in stale.collect::<Vec<_>>() {
            self.tables.translations.delete(&key(vrf, address, part), "translation")?;
        }
        if let Some(was) = &was {
            self.forget_flows((vrf, address), was, Some(to))?;
        }
        if left_out > 0 {
            return Err(DataplaneError::new(format!(
                "address {address} has {left_out} more than the {BACKENDS_MAX} local backends that \
                 can share one; the first {BACKENDS_MAX} serve it"
            )));
        }
        Ok(())
    }

    /// First those that need room: when there is none, everything is as it was.
    fn write_entries(
        &mut self,
        vrf: VrfId,
        address: IpAddr,
        entries: &Entries,
        was: Option<&Translation>,
    ) -> Result<()> {
        let before = was.map(parts).unwrap_or_default();
        let (old, new): (Vec<_>, Vec<_>) =
            entries.iter().partition(|(part, _)| before.contains(part));
        let table = &mut self.tables.translations;
        for (count, (part, value)) in new.iter().enumerate() {
            if let Err(error) = table.put(key(vrf, address, **part), **value, "translation") {
                for (part, _) in &new[..count] {
                    table.delete(&key(vrf, address, **part), "translation")?;
                }
                return Err(error);
            }
        }
        old.iter().try_for_each(|(part, value)| {
            table.put(key(vrf, address, **part), **value, "translation")
        })
    }

    pub(crate) fn remove_translation(&mut self, vrf: VrfId, address: IpAddr) -> Result<()> {
        let hop = NextHop::Translate { vrf, address };
        if self.groups.has_hop(&hop) {
            return Err(DataplaneError::new(format!("a route uses {hop}")));
        }
        let Some(was) = self.translations.remove(&(vrf, address)) else { return Ok(()) };
        for part in parts(&was) {
            self.tables.translations.delete(&key(vrf, address, part), "translation")?;
        }
        self.write_ports_of([Some(&was), None])?;
        self.forget_flows((vrf, address), &was, None)
    }

    /// Forgets flows through ports that no longer serve the address.
    ///
    /// Of a service only those that never end by themselves: a TCP connection outlives the readiness
    /// of its backend. A floating address that is another port's takes its connections along.
    fn forget_flows(
        &mut self,
        (vrf, address): (VrfId, IpAddr),
        was: &Translation,
        is: Option<&Translation>,
    ) -> Result<()> {
        let stays = |id: &PortId| is.is_some_and(|is| is.targets().any(|stays| stays == id));
        let gone: BTreeSet<u32> = was
            .targets()
            .filter(|id| !stays(id))
            .filter_map(|id| Some(self.slots.get(id)?.index))
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let floating = matches!(was.kind, TranslationKind::Floating { .. });
        for table in [&mut self.tables.flows, &mut self.tables.new_flows] {
            for (key, flow) in table.all()? {
                let (of_vrf, of_address) = match key.direction {
                    layout::FORWARD => (key.vrf, key.destination),
                    layout::REVERSE => (flow.vrf, flow.source),
                    _ => continue,
                };
                let is_its = of_vrf == vrf.0 && IpAddr::from(of_address) == address;
                let ends = key.protocol == Protocol::Tcp.number();
                if is_its && gone.contains(&flow.port) && (floating || !ends) {
                    table.delete(&key, "flow")?;
                }
            }
        }
        Ok(())
    }

    /// The address that the port's own connections of IPv4 or IPv6 leave with: one that is its alone. Of
    /// several, the first in order.
    pub(crate) fn outward_address(
        &self,
        id: &PortId,
        is_its_version: impl Fn(&IpAddr) -> bool,
    ) -> Option<(VrfId, IpAddr)> {
        let alone = |to: &Translation| match &to.kind {
            TranslationKind::Floating { ports, exclusive: true } => {
                ports.as_slice() == [id.clone()]
            }
            _ => false,
        };
        let mut all = self.translations.iter();
        all.find(|((_, address), to)| is_its_version(address) && alone(to)).map(|(key, _)| *key)
    }

    fn write_ports_of(&mut self, changed: [Option<&Translation>; 2]) -> Result<()> {
        let ids: BTreeSet<PortId> =
            changed.into_iter().flatten().flat_map(Translation::targets).cloned().collect();
        for id in ids {
            if let Some(slot) = self.slots.get(&id).cloned() {
                self.write_port(&id, &slot)?;
            }
        }
        Ok(())
    }

    /// What is to be in the map, and how many backends did not fit.
    fn entries(&self, address: IpAddr, to: &Translation) -> Result<(Entries, usize)> {
        let mut entries = BTreeMap::new();
        let mut left_out = 0;
        let affinity = match to.kind {
            TranslationKind::Service { affinity, .. } => affinity.unwrap_or_default(),
            TranslationKind::Floating { .. } => 0,
        };
        let mut add = |part, kind, exclusive, backends: Vec<(&PortId, u16)>| {
            let mut value = layout::Translation {
                count: 0,
                kind,
                exclusive: u8::from(exclusive),
                unused: 0,
                affinity,
                backends: [layout::Backend::default(); BACKENDS_MAX],
            };
            for (place, (id, target)) in value.backends.iter_mut().zip(&backends) {
                let slot = self.slots.get(*id).ok_or_else(|| {
                    DataplaneError::new(format!("address {address}: there is no port {id}"))
                })?;
                let key = mix(port_key(id) ^ u32::from(*target));
                *place =
                    layout::Backend { port: slot.index, key, target: (*target).into(), unused: 0 };
                value.count += 1;
            }
            left_out += backends.len().saturating_sub(BACKENDS_MAX);
            entries.insert(part, value);
            Ok::<_, DataplaneError>(())
        };
        match &to.kind {
            TranslationKind::Floating { ports, exclusive } => {
                let holders = ports.iter().map(|id| (id, 0)).collect();
                add(WHOLE, layout::FLOATING, *exclusive, holders)?;
            }
            TranslationKind::Service { ports, .. } => {
                add(WHOLE, layout::SERVICE, false, Vec::new())?;
                for ((protocol, port), backends) in ports {
                    let backends =
                        backends.iter().map(|Backend { port, target_port }| (port, *target_port));
                    let part = (protocol.number(), *port);
                    add(part, layout::SERVICE, false, backends.collect())?;
                }
            }
        }
        Ok((entries, left_out))
    }
}

fn parts(to: &Translation) -> Vec<(u8, u16)> {
    let mut parts = vec![WHOLE];
    if let TranslationKind::Service { ports, .. } = &to.kind {
        parts.extend(ports.keys().map(|(protocol, port)| (protocol.number(), *port)));
    }
    parts
}

fn key(vrf: VrfId, address: IpAddr, (protocol, port): (u8, u16)) -> TranslationKey {
    TranslationKey { vrf: vrf.0, address: address.into(), port: port.into(), protocol, unused: 0 }
}

/// Adds one entry of the map to what the entries before it said.
pub(crate) fn read_entry(
    translations: &mut BTreeMap<(VrfId, IpAddr), Translation>,
    key: &TranslationKey,
    value: &layout::Translation,
    name: impl Fn(u32) -> PortId,
) {
    let place = (VrfId(key.vrf), IpAddr::from(key.address));
    let backends = value.backends.iter().take(value.count as usize);
    if value.kind == layout::FLOATING {
        let ports = backends.map(|backend| name(backend.port)).collect();
        let kind = TranslationKind::Floating { ports, exclusive: value.exclusive != 0 };
        translations.insert(place, Translation { kind });
        return;
    }
    let affinity = (value.affinity != 0).then_some(value.affinity);
    let empty =
        || Translation { kind: TranslationKind::Service { ports: BTreeMap::new(), affinity } };
    let protocol = match key.protocol {
        6 => Some(Protocol::Tcp),
        17 => Some(Protocol::Udp),
        _ => None,
    };
    let entry = translations.entry(place).or_insert_with(empty);
    if let (TranslationKind::Service { ports, .. }, Some(protocol)) = (&mut entry.kind, protocol) {
        let backends = backends.map(|backend| Backend {
            port: name(backend.port),
            target_port: backend.target.into(),
        });
        ports.insert((protocol, key.port.into()), backends.collect());
    }
}
