//! Mirrored packets on their way from the data plane to whoever watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dataplane::event::Mirrored;
use dataplane::{Mirroring, PortId};
use futures::Stream;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::erspan::Analyzer;
use crate::reconcile_task::Question;

/// Packets that wait for the slowest watcher; it misses the oldest ones then.
const QUEUE: usize = 4096;

/// Link type of packets that begin with their IP header.
const LINKTYPE_RAW: u32 = 101;

/// Who watches which ports.
#[derive(Debug, Clone)]
pub struct Mirrors {
    packets: broadcast::Sender<Arc<Mirrored>>,
    watchers: Arc<Mutex<BTreeMap<PortId, usize>>>,
    questions: mpsc::Sender<Question>,
}

impl Mirrors {
    pub fn new(questions: mpsc::Sender<Question>) -> Self {
        let (packets, _) = broadcast::channel(QUEUE);
        Self { packets, watchers: Arc::default(), questions }
    }

    /// Hands a packet to those who watch its port.
    pub fn send(&self, packet: Mirrored) {
        // Nobody there is no fault.
        drop(self.packets.send(Arc::new(packet)));
    }

    /// Watches a port from now on until the result is dropped.
    ///
    /// # Errors
    /// What the data plane says against it.
    pub async fn watch(&self, port: PortId) -> Result<Watch, String> {
        let packets = self.packets.subscribe();
        let is_first = {
            let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
            let count = watchers.entry(port.clone()).or_default();
            *count += 1;
            *count == 1
        };
        let watch = Watch { mirrors: self.clone(), port: port.clone(), packets };
        if is_first {
            let (reply, answer) = oneshot::channel();
            let question = Question::Mirror(port, Mirroring::On, reply);
            self.questions.send(question).await.map_err(|_| "the agent is stopping")?;
            answer.await.map_err(|_| "the agent is stopping")??;
        }
        Ok(watch)
    }
}

/// One who watches a port.
#[derive(Debug)]
pub struct Watch {
    mirrors: Mirrors,
    port: PortId,
    packets: broadcast::Receiver<Arc<Mirrored>>,
}

impl Watch {
    /// The packets as a pcap file that grows, each cut at `snaplen`, until `time` is over.
    pub fn pcap(
        self,
        snaplen: u32,
        time: Option<Duration>,
    ) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
        let end = time.map(|time| tokio::time::Instant::now() + time);
        let header = Some(file_header(snaplen));
        futures::stream::unfold((self, header), move |(mut watch, header)| async move {
            if let Some(header) = header {
                return Some((Ok(header.into()), (watch, None)));
            }
            let packet = match end {
                Some(end) => tokio::time::timeout_at(end, watch.next()).await.ok()??,
                None => watch.next().await?,
            };
            Some((Ok(record(&packet, snaplen).into()), (watch, None)))
        })
    }

    /// Sends the packets to an analyzer, each cut at `snaplen`, until `time` is over. Gives the number of those
    /// that the kernel did not send.
    pub async fn send_to(
        mut self,
        mut analyzer: Analyzer,
        snaplen: u32,
        time: Option<Duration>,
    ) -> u64 {
        let snaplen = usize::try_from(snaplen).unwrap_or(usize::MAX);
        let mut lost = 0;
        let all = async {
            while let Some(packet) = self.next().await {
                if analyzer.send(&packet, snaplen).is_err() {
                    lost += 1;
                }
            }
        };
        match time {
            // Its end is no fault.
            Some(time) => drop(tokio::time::timeout(time, all).await),
            None => all.await,
        }
        lost
    }

    async fn next(&mut self) -> Option<Arc<Mirrored>> {
        loop {
            match self.packets.recv().await {
                Ok(packet) if packet.port == self.port => return Some(packet),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watchers = self.mirrors.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = watchers.get_mut(&self.port) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        watchers.remove(&self.port);
        let (reply, _) = oneshot::channel();
        let question = Question::Mirror(self.port.clone(), Mirroring::Off, reply);
        let questions = self.mirrors.questions.clone();
        if questions.try_send(question).is_err() {
            tracing::warn!(port = %self.port, "mirroring goes on: the data plane is busy");
        }
    }
}

/// The classic format, with times in microseconds.
fn file_header(snaplen: u32) -> Vec<u8> {
    let mut header = 0xa1b2_c3d4_u32.to_ne_bytes().to_vec();
    header.extend([2u16, 4].map(u16::to_ne_bytes).concat());
    header.extend([0, 0, snaplen, LINKTYPE_RAW].map(u32::to_ne_bytes).concat());
    header
}

fn record(packet: &Mirrored, snaplen: u32) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let snaplen = usize::try_from(snaplen).unwrap_or(usize::MAX);
    let octets = packet.octets.get(..snaplen).unwrap_or(&packet.octets);
    let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
    let kept = u32::try_from(octets.len()).unwrap_or(u32::MAX);
    let fields = [seconds, now.subsec_micros(), kept, packet.length];
    [&fields.map(u32::to_ne_bytes).concat()[..], octets].concat()
}
