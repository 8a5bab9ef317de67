use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Action, Direction, IpProtocol, PortId, VrfNextHop};

/// One packet that is looked up as if it were there: nothing is sent, counted or remembered.
///
/// ```json
/// { "from": { "port": "db-1" },
///   "packet": { "headers": { "destination": "10.20.0.5", "protocol": "tcp", "destination_port": 80 } } }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    pub from: TraceFrom,
    pub packet: TracePacket,
}

/// Where the packet comes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TraceFrom {
    /// A workload of this node sends it.
    Port(PortId),
    /// It comes from the underlay.
    Uplink(TraceUplink),
}

/// How the packet comes from the underlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceUplink {
    /// The node's first if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What is put around the packet; nothing if left out, as octets may have it already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<TraceTunnel>,
}

/// A tunnel from another node to this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceTunnel {
    /// The other node's tunnel address.
    pub remote: IpAddr,
    /// Spelt as in the topology file.
    pub encapsulation: String,
    /// The label or VNI.
    pub id: u32,
}

/// What the packet is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TracePacket {
    /// Made from these.
    Headers(TraceHeaders),
    /// In hexadecimal digits, from the IP header on.
    Octets(String),
}

/// The headers of a packet that is made: an ICMP echo request, a TCP SYN, ..
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceHeaders {
    /// The port's own address if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    pub destination: IpAddr,
    /// ICMP of the destination's version if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<IpProtocol>,
    /// Any if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    #[serde(default = "default_ttl")]
    pub ttl: u8,
    /// Octets of IP; no more than the headers if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u16>,
}

const fn default_ttl() -> u8 {
    64
}

/// What became of the packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// In the order in which they were taken.
    pub steps: Vec<TraceStep>,
    pub outcome: TraceOutcome,
    /// The outcome in one sentence.
    pub text: String,
    /// As it would leave, in hexadecimal digits, from its outermost IP header on; `None` where it goes
    /// no further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<String>,
}

/// One table and what it did with the packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceStep {
    /// The step in one sentence.
    pub text: String,
    #[serde(flatten)]
    pub action: TraceAction,
}

/// What is done in a step: `{ "kind": "routed", "vrf": "web", .. }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TraceAction {
    /// A tunnel ended: its label or VNI said in which VRF to look the packet up.
    Decapsulated { remote: IpAddr, encapsulation: String, id: u32, vrf: String },
    /// It belongs to a connection that is remembered.
    Flow { direction: Direction },
    /// A filter decided.
    Filtered {
        port: PortId,
        filter: String,
        direction: Direction,
        /// `default`: no rule matched.
        rule: String,
        action: Action,
    },
    /// The forwarding table was asked.
    Routed {
        vrf: String,
        address: IpAddr,
        /// How many places the route leads to; `None`: there is no route.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_hops: Option<u32>,
    },
    /// Of the next hops of the route this one has the flow.
    Chosen { next_hop: VrfNextHop },
    /// Addresses and ports were changed to these.
    Translated {
        source: IpAddr,
        destination: IpAddr,
        protocol: IpProtocol,
        /// 0 where the protocol has none.
        source_port: u16,
        destination_port: u16,
    },
    /// It leaves its network with this source: a floating address, by that one's VRF, or the node's own.
    Left {
        source: IpAddr,
        /// `None`: by the underlay, without a tunnel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vrf: Option<String>,
    },
    /// It was put into a tunnel.
    Encapsulated { remote: IpAddr, encapsulation: String, id: u32 },
}

/// Where it ended: `{ "kind": "delivered", "port": "leo-1" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TraceOutcome {
    /// Into a workload.
    Delivered { port: PortId },
    /// Into the underlay.
    Sent { interface: String },
    /// The sender gets an answer: ARP, neighbour discovery, an echo or an ICMP error.
    Answered {
        /// Why it was dropped, as in [`DropCounter`](super::DropCounter); `None` for no error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dropped: Option<String>,
    },
    /// For a reason of [`DropCounter`](super::DropCounter).
    Dropped { reason: String },
    /// To the node's own kernel.
    Passed,
}

impl TraceOutcome {
    /// Whether it was not dropped.
    pub const fn is_good(&self) -> bool {
        !matches!(self, Self::Dropped { .. } | Self::Answered { dropped: Some(_) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_where_from_and_what() {
        let json = r#"{ "from": { "port": "db-1" },
            "packet": { "headers": { "destination": "10.20.0.5", "protocol": "tcp" } } }"#;
        let request: TraceRequest = serde_json::from_str(json).expect("a request");
        let TracePacket::Headers(headers) = &request.packet else { panic!("headers") };
        assert_eq!((headers.protocol, headers.ttl), (Some(IpProtocol::TCP), 64));

        let json = r#"{ "from": { "uplink": { "tunnel":
            { "remote": "10.1.1.11", "encapsulation": "vxlan", "id": 7 } } },
            "packet": { "octets": "4500" } }"#;
        let request: TraceRequest = serde_json::from_str(json).expect("a request");
        assert_eq!(request.packet, TracePacket::Octets("4500".to_owned()));
    }

    #[test]
    fn a_step_has_its_text_beside_its_kind() {
        let step = TraceStep {
            text: "looked up 10.20.0.5 in web: no route".to_owned(),
            action: TraceAction::Routed {
                vrf: "web".to_owned(),
                address: [10, 20, 0, 5].into(),
                next_hops: None,
            },
        };
        let json = serde_json::to_value(&step).expect("json");
        assert_eq!(json["kind"], "routed");
        assert_eq!(serde_json::from_value::<TraceStep>(json).expect("a step"), step);
    }

    #[test]
    fn an_error_to_the_sender_is_no_success() {
        assert!(TraceOutcome::Answered { dropped: None }.is_good());
        let dropped = Some("ttl-expired".to_owned());
        assert!(!TraceOutcome::Answered { dropped }.is_good());
    }
}
