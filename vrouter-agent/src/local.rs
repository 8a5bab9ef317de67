//! From ports and topology to everything that this node has itself: VRFs, attachments, translations
//! and routes.
//!
//! A pure function of its input, computed anew whenever something of it changes; whoever uses the
//! result compares it with the last one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use arcus_api::v1::PortId;
use arcus_config::{Network, Topology};
use bgp_wire::{RouteDistinguisher, RouteTarget};
use dataplane::{
    Attachment, Backend, Link, MplsLabel, NextHop, Port, Protocol, Translation, TranslationKind,
    VrfId,
};
use ipnet::Ipv4Net;

use crate::import::VpnPrefix;
use crate::ipam;
use crate::labels::Numbers;
use crate::node::Node;
use crate::port::{AddressUse, PortSpec};

/// A port, as far as it is to be seen from outside.
#[derive(Debug, Clone, Copy)]
pub struct Presence<'a> {
    pub spec: &'a PortSpec,
    /// Others may be told of it: it is not about to be removed.
    pub announced: bool,
    /// It answers connections to its service and floating addresses, perhaps only a moment longer.
    pub serving: bool,
    /// The data plane could not attach it, so nothing may lead to it.
    pub broken: bool,
}

/// The VRF of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalVrf {
    pub network: String,
    pub label: MplsLabel,
    pub rd: RouteDistinguisher,
    pub import: BTreeSet<RouteTarget>,
    pub export: BTreeSet<RouteTarget>,
}

/// A route that this node has itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRoute {
    pub vrf: VrfId,
    pub to: NextHop,
    pub label: MplsLabel,
    pub targets: BTreeSet<RouteTarget>,
    /// Whether others are to be told of it.
    pub announced: bool,
}

/// All that this node has itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    pub vrfs: BTreeMap<VrfId, LocalVrf>,
    pub ports: BTreeMap<dataplane::PortId, Port>,
    /// Floating ones as if no other node had the address.
    pub translations: BTreeMap<(VrfId, IpAddr), Translation>,
    pub routes: BTreeMap<VpnPrefix, OwnRoute>,
    /// Ports that cannot be, and why.
    pub refused: BTreeMap<PortId, String>,
}

/// The name of a port in the data plane.
pub fn plane_id(id: &PortId) -> dataplane::PortId {
    dataplane::PortId(id.to_string())
}

/// Derives everything. Gives numbers to networks that have none yet and puts unused ones to rest.
pub fn derive(
    node: &Node,
    topology: &Topology,
    numbers: &mut Numbers,
    ports: &BTreeMap<PortId, Presence<'_>>,
) -> Local {
    let mut local = Local::default();
    let mut vrf_of: BTreeMap<&str, VrfId> = BTreeMap::new();
    let mut present: Vec<(&PortId, &Presence<'_>)> = Vec::new();
    for (id, presence) in ports {
        match local.add_vrfs(node, topology, numbers, presence.spec, &mut vrf_of) {
            Ok(()) => present.push((id, presence)),
            Err(why) => {
                local.refused.insert(id.clone(), why);
            }
        }
    }
    numbers.retire_all_but(&vrf_of.keys().copied().collect());

    for (id, presence) in &present {
        local.add_port(node, topology, id, presence.spec, vrf_of[presence.spec.network.as_str()]);
    }
    for (id, presence) in &present {
        if !presence.broken {
            local.add_addresses(topology, id, presence, &vrf_of);
        }
    }
    local.share_floating(present.iter().map(|(_, presence)| presence.spec), &vrf_of);
    local.limit_targets();
    local
}

impl Local {
    /// Makes sure of the VRFs that a port needs.
    fn add_vrfs<'a>(
        &mut self,
        node: &Node,
        topology: &Topology,
        numbers: &mut Numbers,
        spec: &'a PortSpec,
        vrf_of: &mut BTreeMap<&'a str, VrfId>,
    ) -> Result<(), String> {
        ipam::check_topology(spec, topology, &node.cloud).map_err(|refused| refused.to_string())?;
        for name in spec.networks() {
            if vrf_of.contains_key(name) {
                continue;
            }
            let network = topology.networks.get(name).expect("checked above");
            let assigned = numbers.assign(name).map_err(|exhausted| exhausted.to_string())?;
            vrf_of.insert(name, assigned.id);
            let vrf = LocalVrf {
                network: name.to_owned(),
                label: assigned.label,
                rd: node.route_distinguisher(assigned.id),
                import: topology.import_targets(network),
                export: topology.export_targets(network),
            };
            self.vrfs.insert(assigned.id, vrf);
        }
        Ok(())
    }

    fn add_port(
        &mut self,
        node: &Node,
        topology: &Topology,
        id: &PortId,
        spec: &PortSpec,
        vrf: VrfId,
    ) {
        let network = topology.networks.get(&spec.network).expect("its VRF was made from it");
        let link = ipam::link(network, spec.address).expect("checked with the topology");
        let port = Port {
            vrf,
            v4: Some(Link {
                address: spec.address,
                prefix_len: link.prefix_len,
                gateway: link.gateway,
            }),
            v6: None,
            mac: spec.mac,
            mtu: node.port_mtu,
            allowed: BTreeSet::new(),
            label: None,
            filter: None,
            bandwidth: None,
            host_access: false,
            attachment: Attachment::Netns {
                path: spec.netns.clone(),
                interface: spec.interface.clone(),
            },
        };
        self.ports.insert(plane_id(id), port);
    }

    fn add_addresses(
        &mut self,
        topology: &Topology,
        id: &PortId,
        presence: &Presence<'_>,
        vrf_of: &BTreeMap<&str, VrfId>,
    ) {
        let spec = presence.spec;
        for (network, address, used_for) in spec.addresses() {
            let vrf = vrf_of[network];
            let network = topology.networks.get(network).expect("its VRF was made from it");
            if used_for != AddressUse::Port && !presence.serving {
                continue;
            }
            let to = match used_for {
                AddressUse::Port => NextHop::Port(plane_id(id)),
                AddressUse::Floating | AddressUse::Service => {
                    NextHop::Translate { vrf, address: address.into() }
                }
            };
            let announced =
                presence.announced && (used_for == AddressUse::Port || presence.spec.ready);
            self.add_route(topology, network, vrf, address, to, used_for, announced);
        }
        if !presence.serving {
            return;
        }
        for floating in &spec.floating {
            self.add_holder(vrf_of[floating.network.as_str()], floating.address, id);
        }
        for service in &spec.services {
            let vrf = vrf_of[service.network.as_str()];
            let backend = Backend { port: plane_id(id), target_port: service.target_port };
            self.add_backend(vrf, service.address, (service.protocol, service.port), backend);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one address in all its aspects, used once")]
    fn add_route(
        &mut self,
        topology: &Topology,
        network: &Network,
        vrf: VrfId,
        address: Ipv4Addr,
        to: NextHop,
        used_for: AddressUse,
        announced: bool,
    ) {
        let LocalVrf { rd, label, export, .. } = &self.vrfs[&vrf];
        let targets = match used_for {
            AddressUse::Port => topology.port_targets(network),
            AddressUse::Floating => export.clone(),
            AddressUse::Service => topology.service_targets(network),
        };
        let key = VpnPrefix { rd: *rd, net: Ipv4Net::from(address) };
        let new = OwnRoute { vrf, to, label: *label, targets, announced };
        // Of several ports behind one address, one that may be announced is enough.
        let route = self.routes.entry(key).or_insert(new);
        route.announced |= announced;
    }

    fn add_holder(&mut self, vrf: VrfId, address: Ipv4Addr, id: &PortId) {
        let none = || Translation {
            kind: TranslationKind::Floating { ports: Vec::new(), exclusive: true },
        };
        let translation = self.translations.entry((vrf, address.into())).or_insert_with(none);
        if let TranslationKind::Floating { ports, .. } = &mut translation.kind {
            ports.push(plane_id(id));
        }
    }

    /// A floating address with several holders belongs to none of them alone, ready or not.
    fn share_floating<'a>(
        &mut self,
        specs: impl Iterator<Item = &'a PortSpec>,
        vrf_of: &BTreeMap<&str, VrfId>,
    ) {
        let mut holders: BTreeMap<(VrfId, IpAddr), usize> = BTreeMap::new();
        for floating in specs.flat_map(|spec| &spec.floating) {
            *holders
                .entry((vrf_of[floating.network.as_str()], floating.address.into()))
                .or_default() += 1;
        }
        for (key, translation) in &mut self.translations {
            if let TranslationKind::Floating { exclusive, .. } = &mut translation.kind {
                *exclusive = holders.get(key) == Some(&1);
            }
        }
    }

    /// Of more targets than a data plane can take, the first in order serve: the address must not be
    /// lost because one too many wants to.
    fn limit_targets(&mut self) {
        for translation in self.translations.values_mut() {
            match &mut translation.kind {
                TranslationKind::Floating { ports, .. } => {
                    ports.truncate(Translation::MAX_TARGETS);
                }
                TranslationKind::Service { ports, .. } => {
                    for backends in ports.values_mut() {
                        backends.truncate(Translation::MAX_TARGETS);
                    }
                }
            }
        }
    }

    fn add_backend(
        &mut self,
        vrf: VrfId,
        address: Ipv4Addr,
        called: (Protocol, u16),
        backend: Backend,
    ) {
        let none = || Translation {
            kind: TranslationKind::Service { ports: BTreeMap::new(), affinity: None },
        };
        let translation = self.translations.entry((vrf, address.into())).or_insert_with(none);
        if let TranslationKind::Service { ports, .. } = &mut translation.kind {
            let backends = ports.entry(called).or_default();
            backends.push(backend);
            backends.sort();
            backends.dedup();
        }
    }
}
