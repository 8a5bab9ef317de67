//! From ports and topology to everything that this node has itself: VRFs, attachments, translations
//! and routes.
//!
//! A pure function of its input, computed anew whenever something of it changes; whoever uses the
//! result compares it with the last one.

mod filters;
mod routes;
mod translations;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use arcus_api::v1::PortId;
use arcus_config::{StaticNext, Topology};
use bgp_wire::{RouteDistinguisher, RouteTarget};
use dataplane::{
    AllowedSource, Attachment, Filter, FilterId, MplsLabel, Port, Translation, Vni, VrfId,
};

use crate::ipam;
use crate::labels::Numbers;
use crate::node::Node;
use crate::port::PortSpec;
use crate::route_key::RouteKey;
pub use routes::{OwnRoute, Purpose};

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
    pub vni: Option<Vni>,
    pub rd: RouteDistinguisher,
    pub import: BTreeSet<RouteTarget>,
    pub export: BTreeSet<RouteTarget>,
}

/// All that this node has itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    pub vrfs: BTreeMap<VrfId, LocalVrf>,
    pub filters: BTreeMap<FilterId, Filter>,
    pub ports: BTreeMap<dataplane::PortId, Port>,
    /// Floating ones as if no other node had the address.
    pub translations: BTreeMap<(VrfId, IpAddr), Translation>,
    pub routes: BTreeMap<RouteKey, OwnRoute>,
    /// Ports that cannot be, and why.
    pub refused: BTreeMap<PortId, String>,
}

/// The name of a port in the data plane.
pub fn plane_id(id: &PortId) -> dataplane::PortId {
    dataplane::PortId(id.to_string())
}

/// What everything is derived from.
#[derive(Clone, Copy)]
struct Given<'a> {
    node: &'a Node,
    topology: &'a Topology,
    vrf_of: &'a BTreeMap<&'a str, VrfId>,
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

    let given = Given { node, topology, vrf_of: &vrf_of };
    let mut labelled = BTreeSet::new();
    for (id, presence) in &present {
        local.add_port(given, numbers, id, presence.spec, &mut labelled);
    }
    numbers.keep_ports(&labelled);
    for (id, presence) in present.iter().filter(|(_, presence)| !presence.broken) {
        local.add_addresses(given, id, presence);
    }
    local.share_floating(present.iter().map(|(_, presence)| presence.spec), given);
    local.limit_targets();
    local.add_configured(given, &present);
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
                vni: network.vni.and_then(Vni::new),
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
        given: Given<'_>,
        numbers: &mut Numbers,
        id: &PortId,
        spec: &PortSpec,
        labelled: &mut BTreeSet<String>,
    ) {
        let Given { node, topology, vrf_of } = given;
        let network = topology.networks.get(&spec.network).expect("its VRF was made from it");
        let label = network.port_labels.then(|| {
            labelled.insert(id.to_string());
            numbers.assign_port(&id.to_string())
        });
        let filter = self.add_filter(topology, network, spec.filter.as_deref());
        let port = Port {
            vrf: vrf_of[spec.network.as_str()],
            v4: spec.v4.map(|v4| ipam::link_v4(network, v4).expect("checked with the topology")),
            v6: spec.v6.map(|v6| ipam::link_v6(network, v6).expect("checked with the topology")),
            mac: spec.mac,
            mtu: node.port_mtu,
            allowed: spec.allowed.clone(),
            label,
            filter,
            bandwidth: spec.bandwidth,
            host_access: network.host_access,
            attachment: Attachment::Netns {
                path: spec.netns.clone(),
                interface: spec.interface.clone(),
            },
        };
        let mut port = port;
        // What is routed via it may send from there.
        for route in &network.static_routes {
            if let StaticNext::Via(address) = route.next
                && port.has(address)
            {
                port.allowed.insert(AllowedSource { net: route.prefix, mac: None });
            }
        }
        self.ports.insert(plane_id(id), port);
    }
}
