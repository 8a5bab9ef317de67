use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PortId;

/// A port as a platform wants it. Asking twice for the same is the same as asking once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortRequest {
    /// A network of the topology file.
    pub network: String,
    /// The workload's network namespace, as a path: `/run/netns/db-1`.
    pub netns: PathBuf,
    /// The interface that is made in the namespace.
    #[serde(default = "default_interface")]
    pub interface: String,
    /// Its address in the network, of either version.
    pub ip: IpAddr,
    /// A second address, where `ip` is IPv4 and the port has both versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    /// `02:00:0a:00:64:04`; the agent makes one from the address if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floating: Vec<Floating>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceEndpoint>,
    /// Whether it takes part in its services and floating addresses from the beginning.
    #[serde(default = "default_ready")]
    pub ready: bool,
    /// A filter of the topology file; that of the network if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Groups of the topology file that it belongs to; those of the network if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// What it may send from besides its own addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<AllowedSource>,
    /// Most that it sends, in bits of IP packets a second; no limit if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
}

fn default_interface() -> String {
    "eth0".to_owned()
}

const fn default_ready() -> bool {
    true
}

/// An address of another network under which a port is reached.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Floating {
    pub network: String,
    pub address: IpAddr,
    /// As [`ServiceEndpoint::weight`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub weight: Option<u32>,
}

/// Sources that a port may use besides its own addresses (an "allowed address pair").
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct AllowedSource {
    #[schemars(with = "String")]
    pub prefix: IpNet,
    /// The port's own if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// A port's part in a service: what comes to `address` and `port` is answered by its `target_port`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct ServiceEndpoint {
    pub network: String,
    pub address: IpAddr,
    pub port: u16,
    pub target_port: u16,
    #[serde(default)]
    pub protocol: Protocol,
    /// A client that was quiet for no longer than so many seconds comes back to the endpoint that it
    /// had; each of its connections is spread anew if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub affinity_seconds: Option<u32>,
    /// Its share of the connections, in proportion to the weights of all ports that have the address.
    /// Other nodes are told the sum of a node's weights as the bandwidth of its link. Shares are equal
    /// if one of the nodes tells none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub weight: Option<u32>,
}

/// The transport of a service.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
}

/// A port as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortStatus {
    pub id: PortId,
    pub network: String,
    pub address: IpAddr,
    /// Its second address, where it has both versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    pub mac: String,
    pub netns: PathBuf,
    /// In the namespace.
    pub interface: String,
    /// The label under which other nodes send to it.
    pub label: u32,
    pub state: PortState,
    pub ready: bool,
    pub floating: Vec<Floating>,
    pub services: Vec<ServiceEndpoint>,
    /// Its own, or that of its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Its own, or those of its network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<AllowedSource>,
    /// In bits a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
}

/// How far a port is: `{ "kind": "failed", "reason": ".." }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum PortState {
    /// Wanted; the data plane has not said yes, and nobody has been told of it.
    Pending,
    /// Packets can reach it.
    Programmed,
    /// The data plane said no; it is tried again.
    Failed { reason: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_request_is_a_ready_port_on_eth0() {
        let json = r#"{"network": "database", "netns": "/run/netns/db-1", "ip": "10.0.100.4"}"#;
        let request: PortRequest = serde_json::from_str(json).expect("a request");
        assert_eq!((request.interface.as_str(), request.ready), ("eth0", true));
        assert_eq!(request.ip, IpAddr::from([10, 0, 100, 4]));
    }

    #[test]
    fn a_port_may_have_both_versions_and_belong_to_no_group() {
        let json = r#"{
            "network": "web", "netns": "/run/netns/web-1", "ip": "10.10.0.5", "ip6": "2001:db8::5",
            "filter": "web", "groups": [], "bandwidth": 100000000,
            "allowed": [{ "prefix": "10.10.0.100/32", "mac": "00:00:5e:00:01:07" }]
        }"#;
        let request: PortRequest = serde_json::from_str(json).expect("a request");
        assert_eq!(request.ip6, Some("2001:db8::5".parse().expect("an address")));
        assert_eq!(
            (request.groups.as_deref(), request.filter.as_deref()),
            (Some(&[][..]), Some("web"))
        );
        assert_eq!(request.allowed[0].mac.as_deref(), Some("00:00:5e:00:01:07"));
        let again = serde_json::to_string(&request).expect("json");
        assert_eq!(serde_json::from_str::<PortRequest>(&again).expect("a request"), request);
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let json = r#"{"network": "n", "netns": "/x", "ip": "10.0.0.1", "flaoting": []}"#;
        let error = serde_json::from_str::<PortRequest>(json).expect_err("unknown key");
        assert!(error.to_string().contains("flaoting"), "{error}");
    }

    #[test]
    fn a_failure_carries_its_reason_beside_its_kind() {
        let state = PortState::Failed { reason: "no such namespace".to_owned() };
        let json = serde_json::to_string(&state).expect("json");
        assert_eq!(json, r#"{"kind":"failed","reason":"no such namespace"}"#);
    }
}
