//! Samples added up to flows.

use std::collections::HashMap;
use std::net::IpAddr;

use dataplane::event::{Sample, Tuple};
use dataplane::{Direction, PortId, VrfId};

/// Flows that are remembered at a time.
const ROOM: usize = 65_536;

/// Milliseconds after which a flow that goes on is reported.
const ACTIVE: u64 = 60_000;
/// Of silence after which it is over.
const IDLE: u64 = 15_000;
/// The same, when TCP has said that it ends.
const CLOSED: u64 = 1_000;

const FIN_OR_RST: u8 = 0x05;

/// Since 1970.
pub(super) type Milliseconds = u64;

/// What packets of one flow have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    vrf: VrfId,
    port: PortId,
    direction: Direction,
    tuple: Tuple,
    traffic_class: u8,
}

#[derive(Debug, Clone, Copy)]
struct Flow {
    octets: u64,
    packets: u64,
    first: Milliseconds,
    last: Milliseconds,
    tcp_flags: u8,
    remote: Option<IpAddr>,
}

/// A flow, or a part of a long one, as it is reported. Of sampled packets only: a collector multiplies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) vrf: VrfId,
    pub(super) direction: Direction,
    pub(super) tuple: Tuple,
    pub(super) traffic_class: u8,
    /// Of IP.
    pub(super) octets: u64,
    pub(super) packets: u64,
    pub(super) first: Milliseconds,
    pub(super) last: Milliseconds,
    pub(super) tcp_flags: u8,
    /// The other node, where the packets cross the underlay.
    pub(super) remote: Option<IpAddr>,
    pub(super) end: EndReason,
}

/// Why a record was made (`flowEndReason`, RFC 5102 §5.11.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndReason {
    Idle,
    /// It goes on.
    Active,
    Closed,
    /// The exporter ends, or its collector changes.
    Stopped,
    NoRoom,
}

/// Flows whose packets were sampled. Bounded: when it is full, all of it is reported.
#[derive(Debug, Default)]
pub(super) struct FlowTable(HashMap<Key, Flow>);

impl FlowTable {
    /// Adds a sample; gives what had to be reported to make room.
    pub(super) fn add(&mut self, now: Milliseconds, sample: Sample) -> Vec<Record> {
        let Sample { vrf, port, direction, tuple, traffic_class, .. } = sample;
        let key = Key { vrf, port, direction, tuple, traffic_class };
        let full = self.0.len() >= ROOM && !self.0.contains_key(&key);
        let reported = if full { self.all(EndReason::NoRoom) } else { Vec::new() };
        let flow = self.0.entry(key).or_insert(Flow {
            octets: 0,
            packets: 0,
            first: now,
            last: now,
            tcp_flags: 0,
            remote: None,
        });
        flow.octets += u64::from(sample.length);
        flow.packets += u64::from(sample.packets);
        flow.last = now;
        flow.tcp_flags |= sample.tcp_flags;
        flow.remote = sample.remote;
        reported
    }

    /// Takes out what is to be reported now. A flow that goes on begins anew with its next packet.
    pub(super) fn due(&mut self, now: Milliseconds) -> Vec<Record> {
        let due = |_: &Key, flow: &mut Flow| flow.end(now).is_some();
        let due = self.0.extract_if(due);
        due.map(|(key, flow)| {
            let end = flow.end(now).unwrap_or(EndReason::Idle);
            flow.record(&key, end)
        })
        .collect()
    }

    /// Takes out everything.
    pub(super) fn all(&mut self, end: EndReason) -> Vec<Record> {
        self.0.drain().map(|(key, flow)| flow.record(&key, end)).collect()
    }
}

impl Flow {
    const fn end(&self, now: Milliseconds) -> Option<EndReason> {
        let silence = now.saturating_sub(self.last);
        if self.tcp_flags & FIN_OR_RST != 0 && silence >= CLOSED {
            Some(EndReason::Closed)
        } else if silence >= IDLE {
            Some(EndReason::Idle)
        } else if now.saturating_sub(self.first) >= ACTIVE {
            Some(EndReason::Active)
        } else {
            None
        }
    }

    fn record(self, key: &Key, end: EndReason) -> Record {
        let &Key { vrf, direction, tuple, traffic_class, .. } = key;
        let Self { octets, packets, first, last, tcp_flags, remote } = self;
        Record {
            vrf,
            direction,
            tuple,
            traffic_class,
            octets,
            packets,
            first,
            last,
            tcp_flags,
            remote,
            end,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn sample(source: &str, source_port: u16, tcp_flags: u8) -> Sample {
        let source: IpAddr = source.parse().expect("an address");
        let (destination, remote) = match source {
            IpAddr::V4(_) => ("10.0.0.2", "192.0.2.9"),
            IpAddr::V6(_) => ("2001:db8::2", "2001:db8:9::9"),
        };
        Sample {
            vrf: VrfId(3),
            port: "web".into(),
            direction: Direction::Out,
            tuple: Tuple {
                source,
                destination: destination.parse().expect("an address"),
                protocol: 6,
                source_port,
                destination_port: 443,
            },
            length: 3000,
            packets: 2,
            tcp_flags,
            traffic_class: 0,
            remote: remote.parse().ok(),
        }
    }

    pub(in crate::flow_export) fn record(source: &str) -> Record {
        let mut table = FlowTable::default();
        table.add(1, sample(source, 1000, 2));
        table.all(EndReason::Stopped).remove(0)
    }

    #[test]
    fn packets_of_a_flow_are_one_record() {
        let mut table = FlowTable::default();
        for now in [1_000, 2_000, 4_000] {
            assert_eq!(table.add(now, sample("10.0.0.1", 1000, 0x10)), []);
        }
        table.add(4_000, sample("10.0.0.1", 1001, 2));
        assert_eq!(table.due(4_000 + IDLE - 1), []);
        let mut due = table.due(4_000 + IDLE);
        due.sort_by_key(|record| record.tuple.source_port);
        let [record, other] = &due[..] else { panic!("{due:?}") };
        assert_eq!((record.octets, record.packets), (9000, 6));
        assert_eq!((record.first, record.last, record.tcp_flags), (1_000, 4_000, 0x10));
        assert_eq!((record.end, other.packets), (EndReason::Idle, 2));
        assert_eq!(table.due(100_000), [], "nothing twice");
    }

    #[test]
    fn when_records_are_made() {
        let cases = [
            ("silence", vec![(0, 0)], IDLE, Some(EndReason::Idle)),
            ("FIN", vec![(0, 0x11)], CLOSED, Some(EndReason::Closed)),
            ("RST", vec![(0, 0x04), (500, 0)], 500 + CLOSED, Some(EndReason::Closed)),
            ("FIN, packets still come", vec![(0, 0x11), (900, 0)], CLOSED, None),
            ("goes on", (0..=60).map(|s| (s * 1000, 0)).collect(), ACTIVE, Some(EndReason::Active)),
            ("the clock was set back", vec![(50_000, 0)], 0, None),
        ];
        for (name, packets, at, want) in cases {
            let mut table = FlowTable::default();
            for (now, flags) in packets {
                table.add(now, sample("10.0.0.1", 1, flags));
            }
            let ends: Vec<_> = table.due(at).into_iter().map(|record| record.end).collect();
            assert_eq!(ends, Vec::from_iter(want), "{name}");
        }
    }

    #[test]
    fn a_full_table_is_reported_and_nothing_lost() {
        let mut table = FlowTable::default();
        let mut reported = Vec::new();
        for number in 0..=ROOM {
            let source = format!("10.{}.0.1", number >> 16);
            let port = u16::try_from(number & 0xffff).expect("16 bits");
            reported.extend(table.add(0, sample(&source, port, 0)));
        }
        assert_eq!((reported.len(), table.0.len()), (ROOM, 1));
        assert!(reported.iter().all(|record| record.end == EndReason::NoRoom));
    }
}
