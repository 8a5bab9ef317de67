//! Who there is in the demo, with the addresses of `topology-examples/leonardo.toml`.

use std::net::Ipv4Addr;

/// The topology that is played.
pub const TOPOLOGY: &str = include_str!("../../topology-examples/leonardo.toml");

/// The address in network `public` that all nginx pods are reached under.
pub const FLOATING: Ipv4Addr = Ipv4Addr::new(185, 22, 97, 188);

/// The service address in network `leonardo`.
pub const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 254, 98, 15);

/// The client behind the gateways.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// The connection by which nginx uses leonardo, and the rule that keeps leonardo from using nginx.
pub const ONE_WAY: &str = "nginx-uses-leonardo";

/// What the gateways import and export; the target of network `public`.
pub const PUBLIC_TARGET: &str = "64512:900";

/// The label under which the gateways export the default route.
pub const GATEWAY_LABEL: u32 = 3000;

pub const GATEWAY_ASN: u32 = 64999;
pub const KUBERNETES_ASN: u32 = 64513;

/// A machine on the underlay.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    pub name: &'static str,
    pub cloud: &'static str,
    pub address: Ipv4Addr,
}

const fn machine(name: &'static str, cloud: &'static str, low: [u8; 3]) -> Machine {
    Machine { name, cloud, address: Ipv4Addr::new(10, low[0], low[1], low[2]) }
}

pub const CONTROL_NODES: [Machine; 4] = [
    machine("os-ctl-1", "openstack", [1, 0, 11]),
    machine("os-ctl-2", "openstack", [1, 0, 12]),
    machine("k8s-ctl-1", "kubernetes", [2, 0, 11]),
    machine("k8s-ctl-2", "kubernetes", [2, 0, 12]),
];

pub const NODES: [Machine; 5] = [
    machine("os-node-1", "openstack", [1, 1, 11]),
    machine("os-node-2", "openstack", [1, 1, 12]),
    machine("k8s-node-1", "kubernetes", [2, 1, 11]),
    machine("k8s-node-2", "kubernetes", [2, 1, 12]),
    machine("k8s-node-3", "kubernetes", [2, 1, 13]),
];

/// The gateways serve the cloud whose control nodes they peer with.
pub const GATEWAYS: [Machine; 2] =
    [machine("mx1", "kubernetes", [2, 0, 1]), machine("mx2", "kubernetes", [2, 0, 2])];

/// A VM or a pod: a namespace with a port of its node's agent.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub name: &'static str,
    pub node: &'static str,
    pub network: &'static str,
    pub address: Ipv4Addr,
    /// What its application listens on.
    pub port: u16,
    /// As `arcus port add` takes it.
    pub floating: Option<&'static str>,
    /// As `arcus port add` takes it.
    pub service: Option<&'static str>,
}

const fn database(name: &'static str, node: &'static str, last: u8) -> Workload {
    let address = Ipv4Addr::new(10, 0, 100, last);
    Workload { name, node, network: "database", address, port: 80, floating: None, service: None }
}

const fn nginx(name: &'static str, node: &'static str, last: u8) -> Workload {
    Workload {
        name,
        node,
        network: "nginx",
        address: Ipv4Addr::new(10, 10, 0, last),
        port: 80,
        floating: Some("public/185.22.97.188"),
        service: None,
    }
}

const fn leonardo(name: &'static str, node: &'static str, last: u8) -> Workload {
    Workload {
        name,
        node,
        network: "leonardo",
        address: Ipv4Addr::new(10, 20, 0, last),
        port: 8080,
        floating: None,
        service: Some("leonardo/10.254.98.15:80=8080"),
    }
}

pub const WORKLOADS: [Workload; 9] = [
    database("db-1", "os-node-1", 4),
    database("db-2", "os-node-1", 5),
    database("db-3", "os-node-2", 6),
    nginx("nginx-1", "k8s-node-1", 11),
    nginx("nginx-2", "k8s-node-2", 12),
    nginx("nginx-3", "k8s-node-3", 13),
    leonardo("leonardo-1", "k8s-node-1", 11),
    leonardo("leonardo-2", "k8s-node-2", 12),
    leonardo("leonardo-3", "k8s-node-3", 13),
];

/// The workloads of one network.
pub fn workloads(network: &str) -> impl Iterator<Item = &'static Workload> {
    WORKLOADS.iter().filter(move |workload| workload.network == network)
}

impl Workload {
    /// The names that the application of this workload knows others by, as `NAME=ADDRESS:PORT`.
    pub fn backends(&self) -> Vec<String> {
        match self.network {
            "nginx" => vec![format!("leonardo={SERVICE}:80")],
            "leonardo" => workloads("database")
                .map(|db| format!("{}={}:{}", db.name, db.address, db.port))
                .collect(),
            _ => Vec::new(),
        }
    }
}
