//! Flow records of sampled packets, to a collector by IPFIX over UDP (RFC 7011).
//!
//! Samples come from the data plane over a bounded queue, are added up to flows, and go out when a flow
//! ends or has gone on for a minute. What was lost on the way is counted.

mod ipfix;
mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arcus_config::FlowExport;
use dataplane::event::Sample;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::node::Node;
use ipfix::Stream;
use table::{EndReason, FlowTable, Milliseconds, Record};

/// Samples that wait to be added up.
const QUEUE: usize = 4096;

/// How often flows are looked through.
const LOOK: Duration = Duration::from_secs(1);

/// How often templates are sent again: whoever lost them or begins anew waits no longer for the meaning
/// of records (RFC 7011 §10.3.6).
const INTRODUCTION: Duration = Duration::from_mins(1);

/// What became of samples and records, since the agent has started.
#[derive(Debug, Default)]
pub struct Exported {
    /// Records handed to the kernel.
    pub records: AtomicU64,
    /// Records that the kernel did not send.
    pub unsent: AtomicU64,
    /// Samples that nobody took out of the queue in time.
    pub overrun: AtomicU64,
}

/// Where samples go.
#[derive(Debug, Clone)]
pub struct FlowSink {
    samples: mpsc::Sender<Sample>,
    exported: Arc<Exported>,
}

impl FlowSink {
    /// Hands over a sample. Never waits: a lost one is counted.
    pub fn send(&self, sample: Sample) {
        if self.samples.try_send(sample).is_err() {
            self.exported.overrun.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The exporter of a node.
#[derive(Debug)]
pub struct FlowExporter {
    node: Node,
    samples: mpsc::Receiver<Sample>,
    wanted: watch::Receiver<Option<FlowExport>>,
    exported: Arc<Exported>,
    table: FlowTable,
    to: Option<Collector>,
}

/// A collector, as long as the topology names it.
#[derive(Debug)]
struct Collector {
    config: FlowExport,
    /// `None` until it could be made.
    socket: Option<UdpSocket>,
    stream: Stream,
    introduced: Option<Instant>,
    /// Whether it was said that records are lost.
    is_complained_of: bool,
}

impl FlowExporter {
    /// With what it is handed, and where its outcome can be read.
    pub fn new(
        node: Node,
        wanted: watch::Receiver<Option<FlowExport>>,
    ) -> (Self, FlowSink, Arc<Exported>) {
        let (sender, samples) = mpsc::channel(QUEUE);
        let exported = Arc::new(Exported::default());
        let sink = FlowSink { samples: sender, exported: Arc::clone(&exported) };
        let shown = Arc::clone(&exported);
        let table = FlowTable::default();
        (Self { node, samples, wanted, exported, table, to: None }, sink, shown)
    }

    /// Runs until `shutdown`, and then reports what it still has.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.follow();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Ok(()) = self.wanted.changed() => {
                    // What was sampled at one rate must not be taken for another's.
                    let rest = self.table.all(EndReason::Stopped);
                    self.report(&rest).await;
                    self.follow();
                }
                _ = look.tick() => {
                    let due = self.table.due(now());
                    self.report(&due).await;
                }
                Some(sample) = self.samples.recv() => {
                    let evicted = self.table.add(now(), sample);
                    self.report(&evicted).await;
                }
            }
        }
        while let Ok(sample) = self.samples.try_recv() {
            let evicted = self.table.add(now(), sample);
            self.report(&evicted).await;
        }
        let rest = self.table.all(EndReason::Stopped);
        self.report(&rest).await;
        Ok(())
    }

    /// Takes the collector that is wanted now.
    fn follow(&mut self) {
        let wanted = *self.wanted.borrow_and_update();
        self.to = wanted.map(|config| {
            info!(collector = %config.collector, one_in = config.sample_one_in, "flows are exported");
            // Every router id is unlike all others of the federation.
            Collector {
                config,
                socket: None,
                stream: Stream::new(self.node.router_id.to_bits()),
                introduced: None,
                is_complained_of: false,
            }
        });
    }

    async fn report(&mut self, records: &[Record]) {
        let Some(collector) = &mut self.to else { return };
        let lost = collector.report(&self.node, records).await;
        let all = records.len() as u64;
        self.exported.records.fetch_add(all - lost, Ordering::Relaxed);
        self.exported.unsent.fetch_add(lost, Ordering::Relaxed);
    }
}

impl Collector {
    /// Sends records, and before them what they mean when it is time to say it again. Gives the number of
    /// those that were not sent.
    async fn report(&mut self, node: &Node, records: &[Record]) -> u64 {
        let is_time = self.introduced.is_none_or(|last| last.elapsed() >= INTRODUCTION);
        if records.is_empty() && !is_time {
            return 0;
        }
        let seconds = u32::try_from(now() / 1000).unwrap_or(u32::MAX);
        if is_time {
            let message = self.stream.introduction(seconds, self.config.sample_one_in);
            if self.send(node, &message).await {
                self.introduced = Some(Instant::now());
            }
        }
        let mut lost = 0;
        for (message, number) in self.stream.flows(seconds, records) {
            if !self.send(node, &message).await {
                lost += u64::from(number);
            }
        }
        lost
    }

    /// Whether the kernel took it.
    async fn send(&mut self, node: &Node, message: &[u8]) -> bool {
        let outcome = async {
            let socket = match &mut self.socket {
                Some(socket) => socket,
                unset => unset.insert(connect(node, self.config.collector).await?),
            };
            socket.send(message).await
        };
        match outcome.await {
            Ok(_) => {
                self.is_complained_of = false;
                true
            }
            Err(error) => {
                if !self.is_complained_of {
                    let collector = self.config.collector;
                    warn!(%collector, %error, "flow records are not sent");
                }
                self.is_complained_of = true;
                false
            }
        }
    }
}

/// From the node's address, if it has one of that version: it is what collectors know the node by.
async fn connect(node: &Node, collector: SocketAddr) -> std::io::Result<UdpSocket> {
    let own = node.tunnel_ends().into_iter().find(|end| end.is_ipv4() == collector.is_ipv4());
    let own = own.unwrap_or(match collector {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    });
    let socket = UdpSocket::bind((own, 0)).await?;
    socket.connect(collector).await?;
    Ok(socket)
}

fn now() -> Milliseconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(Milliseconds::MAX)
}
