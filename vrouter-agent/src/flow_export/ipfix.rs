//! IPFIX messages of an exporter (RFC 7011): templates, how packets were sampled, flow records.
//!
//! ```text
//! Message: version 10 (2) | length (2) | export time (4) | sequence (4) | observation domain (4) | sets
//! Set:     id (2) | length (2) | records
//! ```
//!
//! Set 2 has templates, set 3 the one of options, all others the records of a template.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::table::{EndReason, Record};
use dataplane::Direction;

/// Octets of a message at most: what every path of IPv6 carries in one packet (RFC 7011 §10.3.3).
const MESSAGE_MAX: usize = 1280 - 40 - 8;

const VERSION: u16 = 10;
const TEMPLATE_SET: u16 = 2;
const OPTIONS_TEMPLATE_SET: u16 = 3;

const SAMPLING: u16 = 256;

/// RFC 5477 §8.2.1: each packet is chosen by chance, independently of all others.
const UNIFORM_PROBABILISTIC: u16 = 4;

/// An information element and its octets (registry "IPFIX Information Elements").
type Field = (u16, u16);

/// The templates of flows: by the version of IP of the packets, and by that of the underlay.
const FLOWS: [Template; 4] = [
    Template { id: 257, is_v4: true, is_v4_below: true },
    Template { id: 258, is_v4: false, is_v4_below: true },
    Template { id: 259, is_v4: true, is_v4_below: false },
    Template { id: 260, is_v4: false, is_v4_below: false },
];

/// All but addresses.
const COMMON: [Field; 12] = [
    (7, 2),   // sourceTransportPort
    (11, 2),  // destinationTransportPort
    (4, 1),   // protocolIdentifier
    (5, 1),   // ipClassOfService
    (6, 1),   // tcpControlBits
    (1, 8),   // octetDeltaCount
    (2, 8),   // packetDeltaCount
    (152, 8), // flowStartMilliseconds
    (153, 8), // flowEndMilliseconds
    (136, 1), // flowEndReason
    (61, 1),  // flowDirection
    (234, 4), // ingressVRFID
];

/// The first is the scope: that of which the others tell.
const SAMPLING_FIELDS: [Field; 5] = [
    (149, 4), // observationDomainId
    (304, 2), // selectorAlgorithm
    (311, 8), // samplingProbability
    // For collectors that know no other way: so many packets taken, and so many not.
    (305, 4), // samplingPacketInterval
    (306, 4), // samplingPacketSpace
];

/// What the fields of a flow record are.
#[derive(Debug, Clone, Copy)]
struct Template {
    id: u16,
    is_v4: bool,
    is_v4_below: bool,
}

impl Template {
    fn fields(self) -> Vec<Field> {
        // sourceIPv4Address, destinationIPv4Address; the same of IPv6
        let addresses = if self.is_v4 { [(8, 4), (12, 4)] } else { [(27, 16), (28, 16)] };
        // ipNextHopIPv4Address; ipNextHopIPv6Address
        let next_hop = if self.is_v4_below { (15, 4) } else { (62, 16) };
        [&addresses[..], &COMMON, &[next_hop]].concat()
    }

    fn fits(self, record: &Record) -> bool {
        let below = record.remote.is_none_or(|remote| remote.is_ipv4());
        (record.tuple.source.is_ipv4(), below) == (self.is_v4, self.is_v4_below)
    }
}

/// One stream of messages to one collector.
#[derive(Debug)]
pub(super) struct Stream {
    /// Unique among those that report to a collector.
    domain: u32,
    /// Data records sent before, modulo 2^32 (RFC 7011 §3.1).
    sequence: u32,
}

impl Stream {
    pub(super) const fn new(domain: u32) -> Self {
        Self { domain, sequence: 0 }
    }

    /// All templates and how packets are chosen: without it a collector understands nothing. Over UDP it
    /// is said again and again (RFC 7011 §8.1).
    pub(super) fn introduction(&mut self, seconds: u32, sample_one_in: u32) -> Vec<u8> {
        let mut message = Message::new(self, seconds);
        message.set(TEMPLATE_SET, |out| {
            for template in FLOWS {
                let fields = template.fields();
                out.extend([template.id, number_of(&fields)].map(u16::to_be_bytes).concat());
                specify(out, &fields);
            }
        });
        message.set(OPTIONS_TEMPLATE_SET, |out| {
            let head = [SAMPLING, number_of(&SAMPLING_FIELDS), 1];
            out.extend(head.map(u16::to_be_bytes).concat());
            specify(out, &SAMPLING_FIELDS);
        });
        message.set(SAMPLING, |out| {
            out.extend(self.domain.to_be_bytes());
            out.extend(UNIFORM_PROBABILISTIC.to_be_bytes());
            out.extend((1.0 / f64::from(sample_one_in)).to_be_bytes());
            out.extend([1, sample_one_in - 1].map(u32::to_be_bytes).concat());
        });
        self.sequence = self.sequence.wrapping_add(1);
        message.end()
    }

    /// The records, in as many messages as they need; each with the number of its records.
    pub(super) fn flows(&mut self, seconds: u32, records: &[Record]) -> Vec<(Vec<u8>, u32)> {
        let mut messages = Vec::new();
        for template in FLOWS {
            let size = octets_of(&template.fields());
            let fitting = (MESSAGE_MAX - Message::HEADER - Message::SET_HEADER) / size;
            let these: Vec<&Record> =
                records.iter().filter(|record| template.fits(record)).collect();
            for some in these.chunks(fitting) {
                let mut message = Message::new(self, seconds);
                message.set(template.id, |out| some.iter().for_each(|record| write(out, record)));
                let number = u32::try_from(some.len()).unwrap_or(u32::MAX);
                self.sequence = self.sequence.wrapping_add(number);
                messages.push((message.end(), number));
            }
        }
        messages
    }
}

/// A message that grows.
struct Message(Vec<u8>);

impl Message {
    const HEADER: usize = 16;
    const SET_HEADER: usize = 4;

    fn new(stream: &Stream, seconds: u32) -> Self {
        let mut octets = [VERSION, 0].map(u16::to_be_bytes).concat();
        octets.extend([seconds, stream.sequence, stream.domain].map(u32::to_be_bytes).concat());
        Self(octets)
    }

    fn set(&mut self, id: u16, records: impl FnOnce(&mut Vec<u8>)) {
        let start = self.0.len();
        self.0.extend([id, 0].map(u16::to_be_bytes).concat());
        records(&mut self.0);
        self.fill_length(start);
    }

    fn end(mut self) -> Vec<u8> {
        self.fill_length(0);
        self.0
    }

    /// The length of a message and that of a set stand at the same place.
    fn fill_length(&mut self, start: usize) {
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0.splice(start + 2..start + 4, length.to_be_bytes());
    }
}

fn specify(out: &mut Vec<u8>, fields: &[Field]) {
    out.extend(fields.iter().flat_map(|(id, length)| [*id, *length]).flat_map(u16::to_be_bytes));
}

fn number_of(fields: &[Field]) -> u16 {
    u16::try_from(fields.len()).unwrap_or(u16::MAX)
}

fn octets_of(fields: &[Field]) -> usize {
    fields.iter().map(|(_, length)| usize::from(*length)).sum()
}

/// In the order of the template.
fn write(out: &mut Vec<u8>, record: &Record) {
    let tuple = &record.tuple;
    put(out, tuple.source);
    put(out, tuple.destination);
    out.extend([tuple.source_port, tuple.destination_port].map(u16::to_be_bytes).concat());
    out.extend([tuple.protocol, record.traffic_class, record.tcp_flags]);
    let counts = [record.octets, record.packets, record.first, record.last];
    out.extend(counts.map(u64::to_be_bytes).concat());
    out.push(match record.end {
        EndReason::Idle => 1,
        EndReason::Active => 2,
        EndReason::Closed => 3,
        EndReason::Stopped => 4,
        EndReason::NoRoom => 5,
    });
    out.push(match record.direction {
        Direction::Out => 0,
        Direction::In => 1,
    });
    out.extend(record.vrf.0.to_be_bytes());
    // Where it goes; the next hop of a packet that came is its port.
    match record.remote {
        Some(to) if record.direction == Direction::Out => put(out, to),
        Some(IpAddr::V6(_)) => put(out, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        _ => put(out, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    }
}

fn put(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => out.extend(v4.octets()),
        IpAddr::V6(v6) => out.extend(v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_export::table::tests::record;

    fn number(octets: &[u8], at: usize) -> u32 {
        u32::from_be_bytes(octets[at..at + 4].try_into().expect("four octets"))
    }

    #[test]
    fn a_record_is_as_long_as_its_template_says() {
        for (source, template) in [("10.0.0.1", FLOWS[0]), ("2001:db8::1", FLOWS[3])] {
            for direction in [Direction::In, Direction::Out] {
                let record = Record { direction, ..record(source) };
                let mut octets = Vec::new();
                write(&mut octets, &record);
                assert!(template.fits(&record), "{record:?}");
                assert_eq!(octets.len(), octets_of(&template.fields()), "{record:?}");
            }
        }
    }

    #[test]
    fn the_sampling_record_by_hand() {
        let message = Stream::new(7).introduction(0x6000_0000, 1000);
        // RFC 7011 §3.1: version and length, time, sequence, domain.
        let length = u32::try_from(message.len()).expect("short");
        let head = [0, 4, 8, 12].map(|at| number(&message, at));
        assert_eq!(head, [10 << 16 | length, 0x6000_0000, 0, 7]);
        let probability = 0.001f64.to_be_bytes();
        let want = [
            &[0x01, 0x00, 0, 26, 0, 0, 0, 7, 0, 4][..],
            &probability,
            &[0, 0, 0, 1, 0, 0, 0x03, 0xe7],
        ];
        assert_eq!(message[message.len() - 26..], want.concat());
    }

    #[test]
    fn no_message_is_too_long_and_the_sequence_counts_records() {
        let mut stream = Stream::new(1);
        stream.introduction(0, 1);
        let records: Vec<Record> =
            (0..100).map(|n| record(if n % 2 == 0 { "10.0.0.1" } else { "2001:db8::1" })).collect();
        let mut sent = 1;
        for (message, number_of_records) in stream.flows(0, &records) {
            assert!(message.len() <= MESSAGE_MAX, "{}", message.len());
            assert_eq!(number(&message, 8), sent);
            sent += number_of_records;
        }
        assert_eq!(sent, 101);
    }
}
