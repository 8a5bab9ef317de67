//! What a data plane reports of single packets: samples, copies, decisions of filters.

use std::net::IpAddr;
use std::pin::Pin;

use crate::filter::{Direction, FilterId, Verdict};
use crate::port::{PortId, VrfId};

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// One of [`NodeConfig::sample_one_in`](crate::desired::NodeConfig) packets.
    Sample(Sample),
    /// A packet of a port that is mirrored.
    Mirrored(Mirrored),
    /// A rule that logs has decided.
    Decided(Decided),
    /// So many reports were lost, because nobody took them fast enough.
    Lost(u64),
}

/// Who talks to whom, as the workload's side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    /// 0 where the protocol has none.
    pub source_port: u16,
    pub destination_port: u16,
}

/// A packet that stands for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub vrf: VrfId,
    pub port: PortId,
    /// From the workload, or to it.
    pub direction: Direction,
    pub tuple: Tuple,
    /// Octets of IP; of all segments of a large packet.
    pub length: u32,
    pub packets: u32,
    pub tcp_flags: u8,
    pub traffic_class: u8,
    /// The other node, where the packet comes out of a tunnel or goes into one.
    pub remote: Option<IpAddr>,
}

/// A copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    pub port: PortId,
    pub direction: Direction,
    /// Of the IP packet, before it was cut off.
    pub length: u32,
    /// From the IP header on.
    pub octets: Vec<u8>,
}

/// The decision of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub port: PortId,
    pub filter: FilterId,
    /// Index of the rule.
    pub rule: usize,
    pub direction: Direction,
    pub verdict: Verdict,
    pub tuple: Tuple,
}

/// Where reports come from. Bounded: what is not taken in time is counted as lost.
pub trait Events: Send {
    /// Waits for the next one. Dropping the future loses nothing.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Event> + Send + '_>>;
}
