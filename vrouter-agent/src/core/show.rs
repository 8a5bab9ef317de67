//! The core as others see it: answers to questions, in the shapes of the API.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use arcus_api::v1;
use arcus_api::v1::{PortId, PortStatus, Tunnel, VrfNextHop, VrfNextHopKind, VrfRoute};
use bgp_wire::AfiSafi;
use dataplane::{
    Encapsulation, Mac, Member, NextHop, NextHopGroup, Route, TranslationKind, TunnelHeader,
    VrfFib, VrfId,
};
use ipnet::IpNet;

use super::ports::Port;
use super::{Core, Peer, PeerState};
use crate::local::LocalVrf;
use crate::path::Unusable;
use crate::reconcile::{Item, both};
use crate::vrf_table::{Source, VrfTable};

/// Numbers for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    pub ports: usize,
    pub vrfs: usize,
    pub routes: usize,
    /// Prefixes that the data plane is still to be told of; a VRF that changed as a whole counts with
    /// all its prefixes.
    pub dirty: usize,
    /// Things that the data plane refused and that are tried again.
    pub failed: usize,
    /// Paths that are not used, by reason.
    pub unusable: BTreeMap<&'static str, usize>,
    /// Whether each control node's session is up, and what it is still to be told.
    pub peers: Vec<(String, bool, usize)>,
}

impl Core {
    pub fn show_ports(&self) -> Vec<PortStatus> {
        self.ports.iter().map(|(id, port)| self.show_port(id, port)).collect()
    }

    pub fn status_of(&self, id: &PortId) -> Option<PortStatus> {
        self.ports.get(id).map(|port| self.show_port(id, port))
    }

    fn show_port(&self, id: &PortId, port: &Port) -> PortStatus {
        let spec = &port.spec;
        let network = self.topology.networks.get(&spec.network);
        PortStatus {
            id: id.clone(),
            network: spec.network.clone(),
            address: spec.own_addresses().next().unwrap_or(IpAddr::from([0; 4])),
            mac: spec.mac.to_string(),
            netns: spec.netns.clone(),
            interface: spec.interface.clone(),
            // 0 is no label that could be given out: the network has no VRF yet.
            label: self
                .numbers
                .of_port(&id.to_string())
                .or_else(|| self.numbers.of(&spec.network).map(|numbers| numbers.label))
                .map_or(0, dataplane::MplsLabel::value),
            ip6: spec.v4.and(spec.v6),
            state: self.state_of(id, port),
            ready: spec.ready,
            floating: spec
                .floating
                .iter()
                .map(|f| v1::Floating {
                    network: f.network.clone(),
                    address: f.address,
                    weight: f.weight,
                })
                .collect(),
            services: spec
                .services
                .iter()
                .map(|service| v1::ServiceEndpoint {
                    network: service.network.clone(),
                    address: service.address,
                    port: service.port,
                    target_port: service.target_port,
                    protocol: match service.protocol {
                        dataplane::Protocol::Tcp => v1::Protocol::Tcp,
                        dataplane::Protocol::Udp => v1::Protocol::Udp,
                    },
                    affinity_seconds: service.affinity,
                    weight: service.weight,
                })
                .collect(),
            filter: spec.filter.clone().or_else(|| network?.filter.clone()),
            groups: spec
                .groups
                .clone()
                .or_else(|| Some(network?.groups.clone()))
                .unwrap_or_default(),
            allowed: spec
                .allowed
                .iter()
                .map(|allowed| v1::AllowedSource {
                    prefix: allowed.net,
                    mac: allowed.mac.map(|mac| mac.to_string()),
                })
                .collect(),
            bandwidth: spec.bandwidth,
        }
    }

    pub fn show_vrfs(&self) -> Vec<v1::Vrf> {
        let vrfs = self.local.vrfs.iter();
        vrfs.map(|(id, vrf)| self.show_vrf(*id, vrf)).collect()
    }

    fn show_vrf(&self, id: VrfId, vrf: &LocalVrf) -> v1::Vrf {
        let table = self.import.table(id);
        let routes = table.map_or(0, VrfTable::len);
        let prefixes = table.into_iter().flat_map(VrfTable::prefixes);
        let ipv6_routes = prefixes.filter(|net| matches!(net, IpNet::V6(_))).count();
        v1::Vrf {
            id: id.0,
            name: vrf.network.clone(),
            rd: vrf.rd.to_string(),
            label: vrf.label.value(),
            import_targets: vrf.import.iter().map(ToString::to_string).collect(),
            export_targets: vrf.export.iter().map(ToString::to_string).collect(),
            routes: routes as u64,
            vni: vrf.vni.map(dataplane::Vni::value),
            ipv6_routes: ipv6_routes as u64,
        }
    }

    /// The routes of the VRF of a network; `None` if this node has no such VRF.
    pub fn show_routes(&self, network: &str) -> Option<Vec<VrfRoute>> {
        let (id, _) = self.local.vrfs.iter().find(|(_, vrf)| vrf.network == network)?;
        let table = self.import.table(*id)?;
        let left = self.left.get(id).into_iter().flat_map(VrfFib::keys).copied();
        let prefixes: BTreeSet<IpNet> = table.prefixes().chain(left).collect();
        Some(prefixes.into_iter().map(|net| self.show_route(*id, net)).collect())
    }

    fn show_route(&self, vrf: VrfId, net: IpNet) -> VrfRoute {
        let selection = self
            .import
            .table(vrf)
            .map(|table| table.select_multipath(net, &self.speaker.preferences))
            .unwrap_or_default();
        // As the reconciler has it: tunnels that were left stay beside what is wanted.
        let left = self.left.get(&vrf).and_then(|table| table.get(&net));
        let group = selection.route.as_ref().map(|route| &route.to);
        let members = left.and_then(|left| both(group, &left.to)).or_else(|| group.cloned());
        let weights = members.iter().flat_map(NextHopGroup::members).map(|member| member.weight);
        let is_weighted = weights.clone().min() != weights.max();
        let kept = members.is_some() && members.as_ref() != group;
        let waiting = self.done < self.seq || self.import.is_dirty(vrf, net);
        let failure = self.failing.get(&Item::Route(vrf, net)).cloned();
        let unusable = selection.unusable.first().filter(|_| members.is_none());
        let problem = failure.or_else(|| unusable.map(|why| why.name().to_owned()));
        VrfRoute {
            prefix: net,
            next_hops: members
                .iter()
                .flat_map(NextHopGroup::members)
                .flat_map(|member| self.show_next_hop(member, is_weighted))
                .collect(),
            from: selection
                .from
                .iter()
                .filter_map(|source| match source {
                    Source::Own => None,
                    Source::Peer(peer) => Some(*peer),
                })
                .collect(),
            groups: selection
                .route
                .as_ref()
                .map(|route| self.group_names(route))
                .unwrap_or_default(),
            programmed: members.is_some() && !waiting && problem.is_none(),
            kept,
            problem,
        }
    }

    /// Names of the groups behind a route; numbers of those that the topology does not have.
    fn group_names(&self, route: &Route) -> Vec<String> {
        let groups = &self.topology.groups;
        let name = |id: u32| groups.values().find(|group| group.id == id).map(|g| g.name.clone());
        let ids = route.identities.as_slice().iter();
        ids.map(|identity| name(identity.0).unwrap_or_else(|| identity.to_string())).collect()
    }

    /// A translation is shown as the ports behind it.
    fn show_next_hop(&self, member: &Member, is_weighted: bool) -> Vec<VrfNextHop> {
        let mut shown = self.show_hop(&member.hop);
        if is_weighted {
            for hop in &mut shown {
                hop.weight = Some(u32::from(member.weight));
            }
        }
        shown
    }

    pub(super) fn show_hop(&self, hop: &NextHop) -> Vec<VrfNextHop> {
        match hop {
            NextHop::Discard => vec![plain(VrfNextHopKind::Discard, String::new())],
            NextHop::Masquerade => vec![plain(VrfNextHopKind::Masquerade, String::new())],
            NextHop::Port(port) => vec![plain(VrfNextHopKind::Local, port.to_string())],
            NextHop::Tunnel(tunnel) => {
                let encapsulation = tunnel.header.encapsulation();
                let is_vxlan = encapsulation == Encapsulation::Vxlan;
                let id = tunnel.header.id();
                vec![VrfNextHop {
                    label: (!is_vxlan).then_some(id),
                    vni: is_vxlan.then_some(id),
                    encapsulation: Some(encapsulation.to_string()),
                    ..plain(VrfNextHopKind::Tunnel, tunnel.remote.to_string())
                }]
            }
            NextHop::Translate { vrf, address } => self.show_translation(*vrf, *address),
        }
    }

    fn show_translation(&self, vrf: VrfId, address: IpAddr) -> Vec<VrfNextHop> {
        let Some(translation) = self.local.translations.get(&(vrf, address)) else {
            return Vec::new();
        };
        match &translation.kind {
            TranslationKind::Floating { ports, .. } => {
                let holders = ports.iter().map(ToString::to_string);
                holders.map(|port| plain(VrfNextHopKind::Floating, port)).collect()
            }
            TranslationKind::Service { ports, .. } => {
                let mut backends: Vec<String> = ports
                    .values()
                    .flatten()
                    .map(|backend| format!("{}:{}", backend.port, backend.target_port))
                    .collect();
                backends.sort();
                backends.dedup();
                backends.into_iter().map(|to| plain(VrfNextHopKind::Service, to)).collect()
            }
        }
    }

    /// Pairs of tunnel ends that some route uses.
    pub fn show_tunnels(&self) -> Vec<Tunnel> {
        let mut used: BTreeMap<(IpAddr, Encapsulation, Option<Mac>), (u64, u16)> = BTreeMap::new();
        for (_, table) in self.import.tables() {
            for net in table.prefixes() {
                let selection = table.select_multipath(net, &self.speaker.preferences);
                for hop in selection.route.iter().flat_map(|route| route.to.hops()) {
                    if let NextHop::Tunnel(tunnel) = hop {
                        let mac = match tunnel.header {
                            TunnelHeader::Vxlan { router_mac, .. } => Some(router_mac),
                            _ => None,
                        };
                        let key = (tunnel.remote, tunnel.header.encapsulation(), mac);
                        used.entry(key).or_insert((0, tunnel.overhead())).0 += 1;
                    }
                }
            }
        }
        used.into_iter()
            .map(|((remote, encapsulation, router_mac), (routes, overhead))| Tunnel {
                local: match remote {
                    IpAddr::V4(_) => self.node.tunnel_v4().map(IpAddr::V4),
                    IpAddr::V6(_) => self.node.tunnel_v6().map(IpAddr::V6),
                }
                .unwrap_or(self.node.address),
                remote,
                encapsulation: encapsulation.to_string(),
                router_mac: router_mac.map(|mac| mac.to_string()),
                routes,
                mtu: self.node.uplink_mtu.checked_sub(overhead).map(u32::from),
            })
            .collect()
    }

    pub fn show_neighbors(&self, now: Instant) -> Vec<v1::Neighbor> {
        self.peers().map(|(address, peer)| self.show_neighbor(now, address, peer)).collect()
    }

    fn show_neighbor(&self, now: Instant, address: IpAddr, peer: &Peer) -> v1::Neighbor {
        let up = peer.state() == PeerState::Up;
        let details = peer.details();
        let received = self.import.received(address);
        let stale: usize = received.values().map(|counts| counts.stale).sum();
        let negotiated = |of: AfiSafi| details.is_none_or(|d| d.families.contains(&of));
        let families = [
            (v1::Family::Vpnv4, AfiSafi::VPNV4),
            (v1::Family::Vpnv6, AfiSafi::VPNV6),
            (v1::Family::Evpn, AfiSafi::EVPN),
            (v1::Family::Rtc, AfiSafi::RTC),
        ]
        .into_iter()
        .filter(|(_, of)| negotiated(*of))
        .map(|(family, of)| {
            let counts = received.get(&of).copied().unwrap_or_default();
            let advertised = if of == AfiSafi::RTC {
                self.announced.memberships.len()
            } else {
                self.announced.routes.keys().filter(|key| key.family() == of).count()
            };
            v1::NeighborFamily {
                family,
                received: counts.all as u64,
                accepted: counts.imported as u64,
                advertised: if up { advertised as u64 } else { 0 },
                disabled: false,
                end_of_rib: peer.has_finished(of),
                prefix_limit: 0,
            }
        })
        .collect();
        let restart_time = details.and_then(|details| details.restart_time);
        v1::Neighbor {
            name: Some(peer.name.clone()),
            address,
            asn: peer.asn,
            router_id: details.and_then(|details| details.router_id),
            kind: v1::NeighborKind::ControlNode,
            client: false,
            state: if up { v1::SessionState::Established } else { v1::SessionState::Idle },
            uptime_seconds: Some(now.saturating_duration_since(peer.since).as_secs()),
            hold_time: details.and_then(|details| details.hold_time),
            families,
            capabilities: details.map(|details| details.capabilities.clone()).unwrap_or_default(),
            memberships: Vec::new(),
            graceful_restart: v1::GracefulRestart {
                state: if stale > 0 {
                    v1::GracefulRestartState::Helping
                } else if restart_time.is_some() {
                    v1::GracefulRestartState::Ready
                } else {
                    v1::GracefulRestartState::Off
                },
                restart_time: restart_time.unwrap_or(0),
                stale: stale as u64,
            },
            owed: peer.owed() as u64,
            queued_octets: 0,
            flaps: peer.flaps,
            last_down_reason: peer.last_down_reason.clone(),
            bfd: None,
            host_name: None,
            software_version: None,
            options: BTreeMap::new(),
            rejected: Vec::new(),
            faults: v1::Faults::default(),
        }
    }

    pub fn gauges(&self) -> Gauges {
        let mut unusable: BTreeMap<&'static str, usize> =
            Unusable::ALL.iter().map(|why| (why.name(), 0)).collect();
        let mut routes = 0;
        for (_, table) in self.import.tables() {
            routes += table.len();
            for entry in table.prefixes().flat_map(|net| table.entries(net)) {
                if let Err(why) = entry.path.resolve(&self.speaker.preferences) {
                    *unusable.entry(why.name()).or_default() += 1;
                }
            }
        }
        Gauges {
            ports: self.ports.len(),
            vrfs: self.local.vrfs.len(),
            routes,
            dirty: self.import.dirty_count(),
            failed: self.failing.len(),
            unusable,
            peers: self
                .peers
                .values()
                .map(|peer| (peer.name.clone(), peer.state() == PeerState::Up, peer.owed()))
                .collect(),
        }
    }

    /// Whether the ports of the earlier run are restored and somebody was told.
    pub fn is_ready(&self) -> bool {
        self.is_restored() && self.has_session()
    }
}

fn plain(kind: VrfNextHopKind, to: String) -> VrfNextHop {
    VrfNextHop { kind, to, label: None, vni: None, encapsulation: None, weight: None }
}

/// A next hop that is nothing any more.
pub(super) fn nothing(hop: &NextHop) -> VrfNextHop {
    plain(VrfNextHopKind::Discard, hop.to_string())
}
