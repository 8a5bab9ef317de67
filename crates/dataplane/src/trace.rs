//! One synthetic packet through the real tables, and what each of them did with it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::drop_reason::DropReason;
use crate::event::Tuple;
use crate::filter::{Direction, FilterId, Verdict};
use crate::next_hop::NextHop;
use crate::port::{PortId, VrfId};
use crate::tunnel::Encapsulation;

/// The packet, and where it comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A workload sends it.
    FromPort { port: PortId, packet: Vec<u8> },
    /// It comes from the underlay, with its outer headers.
    FromUplink { uplink: String, packet: Vec<u8> },
}

/// What became of it. Nothing was sent, counted or remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub steps: Vec<Step>,
    pub outcome: Outcome,
    /// The packet at the end, from its outermost IP header on; empty where it was dropped.
    pub packet: Vec<u8>,
}

/// What one table did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A tunnel ended: the header said where to look it up.
    Decapsulated {
        remote: IpAddr,
        encapsulation: Encapsulation,
        id: u32,
        vrf: VrfId,
    },
    /// A remembered flow was found.
    Flow {
        direction: Direction,
    },
    /// A filter decided; `None` is its default.
    Filtered {
        port: PortId,
        filter: FilterId,
        direction: Direction,
        rule: Option<usize>,
        verdict: Verdict,
    },
    /// The forwarding table was asked. `None`: there is no route.
    Routed {
        vrf: VrfId,
        address: IpAddr,
        members: Option<u32>,
    },
    /// Of the members of the route this one has the flow.
    Chosen {
        hop: NextHop,
    },
    /// Addresses and ports were changed.
    Translated {
        tuple: Tuple,
    },
    /// It leaves its network with another source: the floating address of its port by the VRF of that
    /// address, or the node's own address by the underlay, without a tunnel (`None`).
    Left {
        source: IpAddr,
        vrf: Option<VrfId>,
    },
    Encapsulated {
        remote: IpAddr,
        encapsulation: Encapsulation,
        id: u32,
    },
}

/// Where it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Into a workload.
    Delivered {
        port: PortId,
    },
    /// Into the underlay, by this interface.
    Sent {
        interface: String,
    },
    /// The sender gets an answer: ARP, neighbour discovery, an ICMP error or echo. With the reason for
    /// which it was dropped.
    Answered {
        dropped: Option<DropReason>,
    },
    Dropped {
        reason: DropReason,
    },
    /// To the node's own kernel: the plane does not handle it.
    Passed,
}
