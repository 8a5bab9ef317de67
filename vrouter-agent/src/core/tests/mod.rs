//! The core with a data plane in memory and control nodes that are function calls.

mod families;
mod migration;
mod ports;
mod reload;
mod restart;
mod routes;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcus_api::v1::{PortId, PortRequest, VrfRoute};
use arcus_config::Topology;
use bgp_wire::community::{ExtendedCommunity, TunnelType};
use bgp_wire::nlri::{PathId, Route, Routes, VpnKey, Withdrawal, Withdrawals};
use bgp_wire::update::{Form, Update};
use bgp_wire::{AfiSafi, AsPath, Label, NextHop, PathAttributes, RouteDistinguisher};
use dataplane::{Desired, Memory, VrfFib};

use super::{Core, PortAnswer, RequestId, SessionDetails, SessionUp};
use crate::ipam;
use crate::node::Node;
use crate::reconcile::Reconciler;
use crate::reconcile::faulty::Faulty;
use crate::state::State;

const CTL_1: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 2, 0, 11));
const CTL_2: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 2, 0, 12));
const NODE: Ipv4Addr = Ipv4Addr::new(10, 2, 1, 11);

fn leonardo() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../topology-examples/leonardo.toml");
    std::fs::read_to_string(path).expect("the example is there")
}

fn topology(text: &str) -> Arc<Topology> {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    let path: &FilePath = file.path();
    Arc::new(arcus_config::read(path).unwrap_or_else(|error| panic!("{error}")))
}

/// A node of cloud `kubernetes`: core, memory plane, and what its state file holds.
struct Bed {
    core: Core,
    plane: Reconciler<Faulty>,
    now: Instant,
    saved: State,
    requests: u64,
    answers: Vec<(RequestId, PortAnswer)>,
    runtime: tokio::runtime::Runtime,
}

impl Bed {
    fn new() -> Self {
        Self::restarted(State::default(), Memory::default(), &leonardo())
    }

    fn restarted(saved: State, plane: Memory, topology_text: &str) -> Self {
        let node = Node {
            name: "k8s-node-1".into(),
            cloud: "kubernetes".into(),
            address: NODE.into(),
            address6: None,
            router_id: NODE,
            uplink_mtu: 1500,
            port_mtu: 1450,
            uplinks: vec!["eth0".into()],
        };
        Self::on(node, saved, plane, topology_text)
    }

    fn on(node: Node, saved: State, plane: Memory, topology_text: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let now = Instant::now();
        let mut core = Core::new(now, node, topology(topology_text), saved.clone());
        let plane =
            runtime.block_on(Reconciler::adopt(Faulty::from(plane))).expect("memory is listed");
        core.set_left(plane.found_routes().clone());
        Self { core, plane, now, saved, requests: 0, answers: Vec::new(), runtime }
    }

    /// One that has nothing to do and is connected to both control nodes.
    fn connected() -> Self {
        let mut bed = Self::new();
        bed.turn();
        bed.up(CTL_1);
        bed.up(CTL_2);
        bed
    }

    /// What the owner task does until nothing is left to do.
    fn turn(&mut self) {
        self.core.settle();
        loop {
            if let Some(state) = self.core.take_unsaved() {
                self.saved = state;
                self.core.saved();
            }
            let Some(work) = self.core.take_work(self.now) else { break };
            let report = self.runtime.block_on(self.plane.apply(self.now, work));
            self.core.applied(report);
        }
        self.answers.extend(self.core.take_answers());
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.core.deadline().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.core.tick(self.now);
            self.turn();
        }
        self.now = until;
        self.turn();
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    fn answer(&mut self, request: RequestId) -> Option<PortAnswer> {
        let index = self.answers.iter().position(|(id, _)| *id == request)?;
        Some(self.answers.swap_remove(index).1)
    }

    /// Asks for a port, given as the JSON of a request.
    fn put(&mut self, id: &str, json: &str) -> PortAnswer {
        let request: PortRequest = serde_json::from_str(json).expect("a request");
        let spec = ipam::read_request(&request).expect("a port");
        let request = self.request();
        self.core.put_port(request, port_id(id), spec);
        self.turn();
        self.answer(request).expect("an answer")
    }

    fn remove(&mut self, id: &str) -> PortAnswer {
        let request = self.request();
        self.core.remove_port(self.now, request, &port_id(id));
        self.turn();
        self.wait(Duration::from_secs(1));
        self.answer(request).expect("an answer")
    }

    fn ready(&mut self, id: &str, ready: bool) -> PortAnswer {
        let request = self.request();
        self.core.set_ready(self.now, request, &port_id(id), ready);
        self.turn();
        self.answer(request).expect("an answer")
    }

    fn up(&mut self, peer: IpAddr) {
        let form =
            Form { four_octet_as: true, extended_messages: true, add_path: false, labels: 1 };
        let details = SessionDetails::default();
        let families = [AfiSafi::VPNV4, AfiSafi::VPNV6, AfiSafi::EVPN, AfiSafi::RTC];
        let up = SessionUp { forms: families.map(|family| (family, form)).into(), details };
        self.core.peer_up(self.now, peer, up);
        self.turn();
    }

    fn down(&mut self, peer: IpAddr, keep: Option<u64>) {
        let keep = keep.map(Duration::from_secs);
        self.core.peer_down(self.now, peer, "closed".into(), keep);
        self.turn();
    }

    fn hear(&mut self, peer: IpAddr, update: &Update) {
        self.core.update(peer, update);
        self.turn();
    }

    fn end_of_rib(&mut self, peer: IpAddr) {
        for family in [AfiSafi::VPNV4, AfiSafi::VPNV6, AfiSafi::EVPN] {
            self.hear(peer, &Update { end_of_rib: Some(family), ..nothing() });
        }
    }

    /// What the data plane holds.
    fn state(&self) -> &Desired {
        &self.plane.plane().memory.state
    }

    /// The data plane refuses whatever touches this port, from now on or no longer.
    fn set_broken(&mut self, port: Option<&str>) {
        self.plane.plane_mut().broken = port.map(Into::into);
    }

    /// Lets the data plane try again what failed.
    fn retry(&mut self) {
        self.now += Duration::from_mins(2);
        let report = self.runtime.block_on(self.plane.retry(self.now));
        self.core.applied(report);
        self.turn();
    }

    fn fib(&self, network: &str) -> &VrfFib {
        static EMPTY: VrfFib = VrfFib::new();
        let id = self.saved.numbers.of(network).expect("the network has numbers").id;
        self.state().fib.get(&id).unwrap_or(&EMPTY)
    }

    /// The group of a prefix as text; empty if there is no route.
    fn route(&self, network: &str, prefix: &str) -> String {
        let net = prefix.parse().expect("a prefix");
        self.fib(network).get(&net).map(|route| route.to.to_string()).unwrap_or_default()
    }

    /// The prefixes that are shown in this state.
    fn shown(&self, network: &str, state: impl Fn(&VrfRoute) -> bool) -> Vec<String> {
        let routes = self.core.show_routes(network).expect("a VRF");
        routes.iter().filter(|r| state(r)).map(|r| r.prefix.to_string()).collect()
    }

    /// What is announced, as `RD:prefix label targets`.
    fn announced(&self) -> Vec<String> {
        let routes = self.core.announced.routes.iter();
        routes
            .map(|(key, route)| {
                let targets: Vec<_> = route.said.targets.iter().map(ToString::to_string).collect();
                format!("{key} {} {}", route.label, targets.join(","))
            })
            .collect()
    }

    fn memberships(&self) -> BTreeSet<String> {
        self.core.announced.memberships.iter().map(ToString::to_string).collect()
    }
}

fn port_id(id: &str) -> PortId {
    id.parse().expect("a port id")
}

fn nothing() -> Update {
    Update {
        withdrawn: Vec::new(),
        announced: Vec::new(),
        attributes: Arc::default(),
        end_of_rib: None,
        faults: Vec::new(),
    }
}

/// A route of another node.
#[derive(Clone)]
struct Told {
    rd: &'static str,
    net: &'static str,
    next_hop: &'static str,
    label: u32,
    targets: Vec<&'static str>,
    offers: Vec<u16>,
    local_pref: u32,
    as_path: Vec<u32>,
    med: Option<u32>,
}

impl Told {
    fn new(
        rd: &'static str,
        net: &'static str,
        next_hop: &'static str,
        target: &'static str,
    ) -> Self {
        Self {
            rd,
            net,
            next_hop,
            label: 40,
            targets: vec![target],
            offers: vec![2, 13],
            local_pref: 100,
            as_path: Vec::new(),
            med: None,
        }
    }

    fn key(&self) -> VpnKey<ipnet::Ipv4Net> {
        let rd: RouteDistinguisher = self.rd.parse().expect("an rd");
        VpnKey { rd, net: self.net.parse().expect("a prefix") }
    }

    fn update(&self) -> Update {
        let targets = self.targets.iter().map(|target| {
            let target: bgp_wire::RouteTarget = target.parse().expect("a target");
            ExtendedCommunity::from(target)
        });
        let offers = self.offers.iter().map(|t| ExtendedCommunity::encapsulation(TunnelType(*t)));
        let mut as_path = AsPath::default();
        self.as_path.iter().rev().for_each(|asn| as_path.prepend(*asn));
        let attributes = PathAttributes {
            as_path,
            med: self.med,
            local_pref: Some(self.local_pref),
            extended_communities: targets.chain(offers).collect(),
            ..PathAttributes::default()
        };
        let route = Route {
            path_id: PathId::default(),
            key: self.key(),
            data: Label::mpls(self.label).expect("a label").into(),
        };
        let next_hop: IpAddr = self.next_hop.parse().expect("an address");
        Update {
            announced: vec![(NextHop::from(next_hop), Routes::VpnV4(vec![route]))],
            attributes: Arc::new(attributes),
            ..nothing()
        }
    }

    fn withdrawal(&self) -> Update {
        let gone = Withdrawal { path_id: PathId::default(), key: self.key() };
        Update { withdrawn: vec![Withdrawals::VpnV4(vec![gone])], ..nothing() }
    }
}

const NGINX: &str = r#"{"network": "nginx", "netns": "/run/netns/nginx-1", "ip": "10.10.0.11",
    "floating": [{"network": "public", "address": "185.22.97.188"}]}"#;
const LEONARDO: &str = r#"{"network": "leonardo", "netns": "/run/netns/leo-1", "ip": "10.20.0.11",
    "services": [{"network": "leonardo", "address": "10.254.98.15", "port": 80,
                  "target_port": 8080}]}"#;
