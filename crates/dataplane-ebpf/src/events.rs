//! Events: what the programs tell of single packets, read from a ring that they write.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, RingBuf};
use dataplane::{Event, Events, FilterId, PortId, Result};
use tokio::io::unix::AsyncFd;
use tracing::{debug, warn};

use crate::plane::EbpfPlane;
use crate::records::decode;
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
pub(crate) struct Names {
    /// By element of `ports`, with its generation.
    pub(crate) ports: BTreeMap<u32, (u32, PortId)>,
    pub(crate) filters: BTreeMap<u32, FilterId>,
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
    pub(crate) fn port(&self, index: u32, generation: u32) -> Option<PortId> {
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
