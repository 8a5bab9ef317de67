//! Events: what the programs tell of single packets, read from a ring that they write.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, RingBuf};
use dataplane::event::{Decided, Tuple};
use dataplane::{Direction, Event, Events, FilterId, PortId, Result};
use tokio::io::unix::AsyncFd;
use tracing::{debug, warn};

use crate::filters::{direction, verdict};
use crate::layout::{Address, EVENT_DECIDED};
use crate::plane::EbpfPlane;
use crate::tables::take;

/// So many events at most between two looks at what was lost.
const LOOK: u32 = 1024;

/// The maps that events come through.
pub(crate) struct Ring {
    events: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
}

impl Ring {
    pub(crate) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self { events: take(ebpf, "events")?, lost: take(ebpf, "lost_events")? })
    }
}

fn sum(lost: &PerCpuArray<MapData, u64>) -> Option<u64> {
    Some(lost.get(&0, 0).ok()?.iter().sum())
}

/// What numbers in events stand for; the plane writes it, the stream reads it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directory(Arc<Mutex<Names>>);

#[derive(Debug, Default)]
struct Names {
    /// By element of `ports`, with its generation.
    ports: BTreeMap<u32, (u32, PortId)>,
    filters: BTreeMap<u32, FilterId>,
}

impl Directory {
    fn with<T>(&self, work: impl FnOnce(&mut Names) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn put_port(&self, index: u32, generation: u32, id: &PortId) {
        self.with(|names| names.ports.insert(index, (generation, id.clone())));
    }

    pub(crate) fn remove_port(&self, index: u32) {
        self.with(|names| names.ports.remove(&index));
    }

    pub(crate) fn replace_ports(&self, ports: impl Iterator<Item = (u32, (u32, PortId))>) {
        self.with(|names| names.ports = ports.collect());
    }

    pub(crate) fn put_filter(&self, number: u32, id: &FilterId) {
        self.with(|names| names.filters.insert(number, id.clone()));
    }

    pub(crate) fn remove_filter(&self, number: u32) {
        self.with(|names| names.filters.remove(&number));
    }

    pub(crate) fn replace_filters(&self, filters: impl Iterator<Item = (u32, FilterId)>) {
        self.with(|names| names.filters = filters.collect());
    }
}

impl Names {
    /// Nobody any more, where another port has the element now.
    fn port(&self, index: u32, generation: u32) -> Option<PortId> {
        let (now, id) = self.ports.get(&index)?;
        (*now == generation).then(|| id.clone())
    }
}

impl EbpfPlane {
    pub(crate) fn take_events(&mut self) -> Option<Box<dyn Events>> {
        let ring = self.ring.take()?;
        // An unreadable counter has lost nothing. Of what an earlier agent lost nobody is told.
        let lost = sum(&ring.lost).unwrap_or_default();
        #[expect(unsafe_code, reason = "tokio cannot see that a ring keeps its descriptor")]
        // SAFETY: the ring owns the map's descriptor, always gives that one, and lives as long.
        let events = unsafe { AsyncFd::register(ring.events) };
        match events {
            Ok(events) => {
                let directory = self.directory.clone();
                Some(Box::new(Stream { events, lost_map: ring.lost, lost, unseen: 0, directory }))
            }
            Err(error) => {
                warn!(%error, "events of the data plane cannot be read");
                None
            }
        }
    }
}

struct Stream {
    events: AsyncFd<RingBuf<MapData>>,
    lost_map: PerCpuArray<MapData, u64>,
    /// As many were told of.
    lost: u64,
    /// Events since the last look at what was lost.
    unseen: u32,
    directory: Directory,
}

impl Stream {
    /// What is there now. `None`: nothing.
    fn take(&mut self) -> Option<Event> {
        loop {
            if self.unseen >= LOOK
                && let Some(lost) = self.newly_lost()
            {
                return Some(lost);
            }
            let Some(octets) = self.events.get_mut().next() else { return self.newly_lost() };
            self.unseen += 1;
            let event = self.directory.with(|names| decode(&octets, names));
            if event.is_some() {
                return event;
            }
            debug!(length = octets.len(), "event of nobody who is still here");
        }
    }

    fn newly_lost(&mut self) -> Option<Event> {
        self.unseen = 0;
        let all = sum(&self.lost_map)?;
        let new = all.saturating_sub(self.lost);
        self.lost = all;
        (new > 0).then_some(Event::Lost(new))
    }

    async fn wait(&mut self) -> Event {
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            match self.events.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime ends, and with it the plane.
                Err(_) => std::future::pending().await,
            }
        }
    }
}

impl Events for Stream {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Event> + Send + '_>> {
        Box::pin(self.wait())
    }
}

/// Reads fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    fn address(&mut self) -> Option<IpAddr> {
        self.array().map(|octets: [u8; 16]| Address::from(std::net::Ipv6Addr::from(octets)).into())
    }

    fn port(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }
}

/// `struct event` of `bpf/layout.h`, and what is behind it.
fn decode(octets: &[u8], names: &Names) -> Option<Event> {
    let mut fields = Fields(octets);
    let kind = fields.number()?;
    let length = usize::try_from(fields.number()?).ok()?;
    let body = octets.get(..length)?.get(octets.len() - fields.0.len()..)?;
    match kind {
        EVENT_DECIDED => decided(Fields(body), names).map(Event::Decided),
        _ => None,
    }
}

fn decided(mut fields: Fields<'_>, names: &Names) -> Option<Decided> {
    let (index, generation) = (fields.number()?, fields.number()?);
    let (filter, rule) = (fields.number()?, fields.number()?);
    let (own, peer) = (fields.address()?, fields.address()?);
    let (own_port, peer_port) = (fields.port()?, fields.port()?);
    let [protocol, side, raw_verdict, _] = fields.array()?;
    let direction = direction(side);
    let tuple = match direction {
        Direction::Out => Tuple {
            source: own,
            destination: peer,
            protocol,
            source_port: own_port,
            destination_port: peer_port,
        },
        Direction::In => Tuple {
            source: peer,
            destination: own,
            protocol,
            source_port: peer_port,
            destination_port: own_port,
        },
    };
    Some(Decided {
        port: names.port(index, generation)?,
        filter: names.filters.get(&filter)?.clone(),
        rule: usize::try_from(rule).ok()?,
        direction,
        verdict: verdict(raw_verdict),
        tuple,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::Verdict;

    fn octets(side: u8) -> Vec<u8> {
        let numbers = [EVENT_DECIDED, 64, 3, 7, 2, 5].map(u32::to_ne_bytes).concat();
        let address = |last| std::net::Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().octets();
        let ports = [8080u16, 40_000].map(u16::to_be_bytes).concat();
        [&numbers[..], &address(1), &address(2), &ports, &[6, side, 1, 0]].concat()
    }

    #[test]
    fn a_decision_reads_back_by_name_and_from_who_opened_it() {
        let mut names = Names::default();
        names.ports.insert(3, (7, "db".into()));
        names.filters.insert(2, "web".into());
        let Some(Event::Decided(inwards)) = decode(&octets(0), &names) else { panic!("none") };
        assert_eq!((inwards.port, inwards.filter, inwards.rule), ("db".into(), "web".into(), 5));
        assert_eq!((inwards.direction, inwards.verdict), (Direction::In, Verdict::Deny));
        assert_eq!(inwards.tuple.source, "10.0.0.2".parse::<IpAddr>().unwrap());
        assert_eq!((inwards.tuple.source_port, inwards.tuple.destination_port), (40_000, 8080));
        let Some(Event::Decided(outwards)) = decode(&octets(1), &names) else { panic!("none") };
        assert_eq!(outwards.tuple.source, "10.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!((outwards.tuple.source_port, outwards.tuple.protocol), (8080, 6));
    }

    #[test]
    fn what_is_cut_off_unknown_or_of_another_port_is_nothing() {
        let mut names = Names::default();
        names.filters.insert(2, "web".into());
        assert_eq!(decode(&octets(0), &names), None, "no such port");
        names.ports.insert(3, (8, "other".into()));
        assert_eq!(decode(&octets(0), &names), None, "another generation");
        names.ports.insert(3, (7, "db".into()));
        assert!(decode(&octets(0), &names).is_some());
        assert_eq!(decode(&octets(0)[..63], &names), None);
        let mut unknown = octets(0);
        unknown[0] = 99;
        assert_eq!(decode(&unknown, &names), None);
    }
}
