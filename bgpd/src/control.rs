//! The control task: it owns the topology and the peers, and is never on the path of a route.

mod connections;
mod limits;
mod paths;
mod reload;
mod sessions;
mod stale;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arcus_api::v1::{Reloaded, Status};
use arcus_config::{PeerSpec, Remote};
use bgp_peer::{Incoming, PeerConfig};
use bgp_rib::{Input, Output, PeerIx, ShardMap, Totals};
use bgp_session::SessionConfig;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::convergence::{Convergence, Life, Standing};
use crate::deliver::{Refreshing, Room, SessionEvent, ToShards};
use crate::lanes::Lanes;
use crate::listening::Listening;
use crate::neighbor::NeighborState;
use crate::next_hops::{self, NextHops, Way};
use crate::paths::{PathNews, Paths};
use crate::peer_table::{Ending, Entry, PeerTable};
use crate::peering::Terms;
use crate::running::{Running, seconds};
use crate::shard_thread::ShardInput;
use crate::timers::Timers;

/// What the API asks of the control task.
pub(crate) enum Command {
    Neighbors(oneshot::Sender<Vec<NeighborState>>),
    Reload(oneshot::Sender<Result<Reloaded, String>>),
    Status(oneshot::Sender<Status>),
}

/// What the control task listens to.
pub(crate) struct Inboxes {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) connections: mpsc::Receiver<Incoming>,
    pub(crate) sessions: mpsc::Receiver<SessionEvent>,
    pub(crate) shards: mpsc::Receiver<Output>,
    pub(crate) removed: mpsc::Receiver<PeerIx>,
    pub(crate) paths: mpsc::Receiver<PathNews>,
    pub(crate) ways: mpsc::Receiver<Way>,
}

/// What the control task and the sessions it starts send to.
#[derive(Clone)]
pub(crate) struct Outboxes {
    pub(crate) sessions: mpsc::Sender<SessionEvent>,
    pub(crate) shards: Arc<[mpsc::Sender<ShardInput>]>,
    pub(crate) room: Room,
    pub(crate) removed: mpsc::Sender<PeerIx>,
    pub(crate) paths: Paths,
    pub(crate) next_hops: NextHops,
}

/// What our OPENs say. Thousands of nodes are told the same: it is in memory once.
#[derive(Debug, Default)]
struct Opens(Vec<Weak<SessionConfig>>);

impl Opens {
    fn share(&mut self, config: PeerConfig) -> PeerConfig {
        self.0.retain(|known| known.strong_count() > 0);
        let mut known = self.0.iter().filter_map(Weak::upgrade);
        let session = known.find(|known| *known == config.session).unwrap_or_else(|| {
            self.0.push(Arc::downgrade(&config.session));
            Arc::clone(&config.session)
        });
        PeerConfig { session, ..config }
    }
}

pub(crate) struct Control {
    running: Running,
    listening: Listening,
    peers: PeerTable,
    timers: Timers,
    lanes: Lanes,
    outboxes: Outboxes,
    convergence: Convergence,
    started_at: SystemTime,
    opens: Opens,
}

impl Control {
    /// Starts the configured peers.
    pub(crate) fn new(
        running: Running,
        listening: Listening,
        outboxes: Outboxes,
        life: Life,
    ) -> Self {
        let mut control = Self {
            running,
            listening,
            peers: PeerTable::default(),
            timers: Timers::default(),
            lanes: Lanes::new(Arc::clone(&outboxes.shards)),
            outboxes,
            convergence: Convergence::new(life, Instant::now()),
            started_at: SystemTime::now(),
            opens: Opens::default(),
        };
        for spec in &Arc::clone(control.running.others()).peers {
            if let Remote::Address(address) = &spec.remote {
                control.add(Arc::clone(spec), address.ip(), false);
            }
        }
        control
    }

    /// Runs until the sessions are told to end.
    pub(crate) async fn run(
        mut self,
        mut inboxes: Inboxes,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        tokio::pin!(shutdown);
        loop {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(news) = inboxes.paths.recv() => self.path_news(news),
                Some(output) = inboxes.shards.recv() => self.shard_output(&output),
                Some(peer) = inboxes.removed.recv() => {
                    self.lanes.send_all(|| ShardInput::Rib(Input::PeerGone { peer }));
                }
                () = self.lanes.pump(), if !self.lanes.is_empty() => {}
                Some(way) = inboxes.ways.recv(), if self.lanes.is_empty() => {
                    next_hops::log(way);
                    let Way { next_hop, cost } = way;
                    self.lanes.send_all(|| ShardInput::Rib(Input::NextHop { next_hop, cost }));
                }
                Some(event) = inboxes.sessions.recv(), if self.lanes.is_empty() => {
                    self.session_event(event);
                }
                Some(incoming) = inboxes.connections.recv(), if self.lanes.is_empty() => {
                    self.connection(incoming);
                }
                Some(command) = inboxes.commands.recv(), if self.lanes.is_empty() => {
                    self.command(command);
                }
                () = tokio::time::sleep_until(deadline.into()) => self.time(Instant::now()),
            }
        }
        // Without a NOTIFICATION: peers keep our routes while we restart (RFC 4724 §4).
        let mut ending = tokio::task::JoinSet::new();
        let mut paths = Vec::new();
        for entry in self.peers.into_entries() {
            ending.spawn(entry.peer.restart());
            paths.extend(entry.path);
        }
        // Sessions tell of their ends; nobody else listens any more.
        let drain = async { while inboxes.sessions.recv().await.is_some() {} };
        tokio::select! {
            () = async { while ending.join_next().await.is_some() {} } => {}
            () = drain => {}
        }
        // Not before the sessions: some take the end of BFD for a lost path, and would keep nothing.
        drop(paths);
        Ok(())
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let far = now + Duration::from_hours(1);
        let convergence = self.convergence.deadline(now).unwrap_or(far);
        self.timers.deadline().unwrap_or(far).min(convergence)
    }

    fn add(&mut self, spec: Arc<PeerSpec>, address: IpAddr, dynamic: bool) -> Option<PeerIx> {
        // A node may have had the address that the topology now gives to somebody else.
        if let Some(before) = self.peers.number_at(address) {
            self.remove(before);
        }
        let number = self.peers.free_number()?;
        let identity = self.running.identity();
        let config = self.running.session(&spec, address, self.convergence.is_restarting());
        let config = self.opens.share(config);
        let is_shut_down = spec.is_shut_down();
        let (terms, newest) = watch::channel(Terms::new(spec, self.running.others()));
        let refreshing = Refreshing::default();
        let deliver = ToShards {
            peer: number,
            identity,
            terms: newest,
            shards: Arc::clone(&self.outboxes.shards),
            room: self.outboxes.room.clone(),
            control: self.outboxes.sessions.clone(),
            map: ShardMap::new(identity.shards),
            retained: None,
            refreshing: Arc::clone(&refreshing),
            ended: BTreeSet::new(),
            marks_refreshes: false,
            first_refresh: true,
        };
        let entry = Entry {
            address,
            terms,
            peer: bgp_peer::spawn(config, deliver),
            dynamic,
            session: None,
            queue: None,
            totals: Totals::default(),
            told: None,
            epoch: 0,
            stale: Vec::new(),
            long_lived: BTreeMap::new(),
            refreshing,
            ended: BTreeSet::new(),
            disabled: BTreeSet::new(),
            flaps: 0,
            limit_warnings: 0,
            last_seen: Instant::now(),
            away_until: Instant::now(),
            unsaid: None,
            path: None,
            lost_in: None,
        };
        self.peers.insert(number, entry);
        self.watch_path(number);
        if is_shut_down {
            self.end(number, Ending::shutdown());
        }
        Some(number)
    }

    /// Takes a peer out: its session ends, then the shards forget it, then its number is free.
    fn remove(&mut self, number: PeerIx) {
        let Some(mut entry) = self.peers.remove(number, self.running.identity().shards) else {
            return;
        };
        // Before somebody else has the address.
        entry.path = None;
        let removed = self.outboxes.removed.clone();
        tokio::spawn(async move {
            entry.peer.remove().await;
            // Closed only when the daemon ends.
            removed.send(number).await.ok();
        });
    }

    fn command(&mut self, command: Command) {
        // Whoever asked may have gone.
        match command {
            Command::Neighbors(reply) => drop(reply.send(self.neighbors())),
            Command::Status(reply) => drop(reply.send(self.status())),
            Command::Reload(reply) => {
                let outcome = self.running.reload();
                let reloaded = outcome.map(|accepted| {
                    self.apply(&accepted);
                    accepted.reply
                });
                match &reloaded {
                    Ok(reloaded) => info!(
                        generation = reloaded.topology.generation,
                        changes = reloaded.changes.len(),
                        "topology taken"
                    ),
                    Err(error) => warn!(%error, "topology refused, nothing has changed"),
                }
                drop(reply.send(reloaded));
            }
        }
    }

    fn neighbors(&self) -> Vec<NeighborState> {
        self.peers.iter().map(|(number, entry)| NeighborState::of(number, entry)).collect()
    }

    fn status(&self) -> Status {
        Status {
            daemon: "arcus-bgpd".to_owned(),
            name: self.running.node().to_owned(),
            version: daemon::version().to_owned(),
            topology: self.running.status(),
            ready: self.convergence.is_over(),
            started_at: seconds(self.started_at),
        }
    }
}

fn standing(entry: &Entry) -> Standing {
    let Some(session) = &entry.session else {
        return if entry.dynamic || entry.spec().is_shut_down() {
            Standing::Complete
        } else {
            Standing::Missing
        };
    };
    match &session.agreement.restart {
        Some(restart) if !restart.restarted => {
            let told = |family| entry.ended.contains(family) || entry.disabled.contains(family);
            let all = session.agreement.negotiated.families.iter().all(told);
            if all { Standing::Complete } else { Standing::Telling }
        }
        _ => Standing::Complete,
    }
}
