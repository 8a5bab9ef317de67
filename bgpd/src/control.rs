//! The control task: it owns the topology and the peers, and is never on the path of a route.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arcus_api::v1::{Reloaded, Status};
use arcus_config::{Change, Effect, PeerRole, PeerSpec, Remote};
use bgp_peer::{Down, Established, Incoming, Then};
use bgp_rib::{Input, Output, PeerIx, ShardMap};
use bgp_session::DownReason;
use bgp_session::cease::Cease;
use bgp_wire::AfiSafi;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::convergence::{Convergence, Standing};
use crate::deliver::{SessionEvent, SessionEventKind, ToShards};
use crate::lanes::Lanes;
use crate::neighbor::NeighborState;
use crate::peer_table::{Entry, PeerTable};
use crate::peering::{Terms, session, view};
use crate::running::{Running, seconds};
use crate::shard_thread::ShardInput;
use crate::timers::{Timer, Timers};

/// How long a peer is waited for to tell its memberships (RFC 4684 §5 leaves it open).
const MEMBERSHIPS_WAIT: Duration = Duration::from_secs(30);

/// How long a peer that is up again may take to tell its routes anew (RFC 4724 §4.2).
const END_OF_RIB_WAIT: Duration = Duration::from_mins(5);

/// How long a peer from a prefix is remembered when it is away and nothing of it is kept.
const FORGET: Duration = Duration::from_mins(2);

/// How long a peer stays down that has announced more than it may.
const LIMIT_IDLE: Duration = Duration::from_mins(5);

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
}

/// What the control task and the sessions it starts send to.
#[derive(Clone)]
pub(crate) struct Outboxes {
    pub(crate) sessions: mpsc::Sender<SessionEvent>,
    pub(crate) shards: Arc<[mpsc::Sender<ShardInput>]>,
    pub(crate) removed: mpsc::Sender<PeerIx>,
}

pub(crate) struct Control {
    running: Running,
    peers: PeerTable,
    timers: Timers,
    lanes: Lanes,
    outboxes: Outboxes,
    convergence: Convergence,
    started_at: SystemTime,
}

impl Control {
    /// Starts the configured peers.
    pub(crate) fn new(running: Running, outboxes: Outboxes) -> Self {
        let mut control = Self {
            running,
            peers: PeerTable::default(),
            timers: Timers::default(),
            lanes: Lanes::new(Arc::clone(&outboxes.shards)),
            outboxes,
            convergence: Convergence::new(Instant::now()),
            started_at: SystemTime::now(),
        };
        for spec in control.running.peers() {
            if let Remote::Address(address) = &spec.remote {
                let address = address.ip();
                control.add(Arc::new(spec), address, false);
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
                Some(output) = inboxes.shards.recv() => self.shard_output(&output),
                Some(peer) = inboxes.removed.recv() => {
                    self.lanes.send_all(|| ShardInput::Rib(Input::PeerGone { peer }));
                }
                () = self.lanes.pump(), if !self.lanes.is_empty() => {}
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
        for peer in self.peers.into_peers() {
            ending.spawn(peer.restart());
        }
        // Sessions tell of their ends; nobody else listens any more.
        let drain = async { while inboxes.sessions.recv().await.is_some() {} };
        tokio::select! {
            () = async { while ending.join_next().await.is_some() {} } => {}
            () = drain => {}
        }
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
        let config = session(&identity, &spec, address, !self.convergence.is_over());
        let (terms, newest) = watch::channel(Terms::new(spec, &self.running.peers()));
        let deliver = ToShards {
            peer: number,
            identity,
            terms: newest,
            shards: Arc::clone(&self.outboxes.shards),
            control: self.outboxes.sessions.clone(),
            map: ShardMap::new(identity.shards),
            retained: Vec::new(),
            ended: std::collections::BTreeSet::new(),
        };
        let entry = Entry {
            address,
            terms,
            peer: bgp_peer::spawn(config, deliver),
            dynamic,
            session: None,
            queue: None,
            told: None,
            epoch: 0,
            stale: Vec::new(),
            ended: std::collections::BTreeSet::new(),
            flaps: 0,
            last_seen: Instant::now(),
        };
        self.peers.insert(number, entry);
        Some(number)
    }

    /// Takes a peer out: its session ends, then the shards forget it, then its number is free.
    fn remove(&mut self, number: PeerIx) {
        let Some(entry) = self.peers.remove(number, self.running.identity().shards) else { return };
        let removed = self.outboxes.removed.clone();
        tokio::spawn(async move {
            entry.peer.remove().await;
            // Closed only when the daemon ends.
            removed.send(number).await.ok();
        });
    }

    fn connection(&mut self, incoming: Incoming) {
        let remote = incoming.remote();
        if self.peers.at(remote).is_none() && !self.accept_node(remote) {
            return incoming.refuse();
        }
        if let Some(entry) = self.peers.at(remote)
            && entry.peer.accept(incoming).is_err()
        {
            warn!(peer = %remote, "connection dropped, the session is busy");
        }
    }

    /// Makes a peer for a node that connects from a configured prefix.
    fn accept_node(&mut self, remote: IpAddr) -> bool {
        let spec = self
            .running
            .peers()
            .into_iter()
            .find(|spec| matches!(spec.remote, Remote::Prefixes(_)) && spec.accepts(remote));
        let Some(spec) = spec else {
            info!(peer = %remote, "connection refused, nobody of the topology has this address");
            return false;
        };
        if let PeerRole::Nodes { max_nodes: Some(limit) } = spec.role
            && self.peers.dynamic_count() >= usize::try_from(limit).unwrap_or(usize::MAX)
        {
            warn!(peer = %remote, limit, "connection refused, the cloud has its most nodes");
            return false;
        }
        let Some(number) = self.add(Arc::new(spec), remote, true) else { return false };
        self.timers.set(Instant::now() + FORGET, number, 0, Timer::Forget);
        true
    }

    fn session_event(&mut self, SessionEvent { peer, kind }: SessionEvent) {
        let now = Instant::now();
        // An End-of-RIB says nothing of who else is coming. If it counted, control nodes that start
        // together would wait for each other in turn.
        if !matches!(kind, SessionEventKind::EndOfRib(_)) {
            self.convergence.event(now);
        }
        let Some(entry) = self.peers.get_mut(peer) else { return };
        entry.last_seen = now;
        match kind {
            SessionEventKind::Up { session, told, queue } => {
                entry.queue = Some(queue);
                self.up(peer, session, told, now);
            }
            SessionEventKind::EndOfRib(family) => {
                entry.ended.insert(family);
                entry.stale.retain(|stale| *stale != family);
            }
            SessionEventKind::Down(down) => self.down(peer, &down, now),
        }
    }

    fn up(&mut self, peer: PeerIx, session: Arc<Established>, told: Terms, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        info!(
            peer = %entry.address,
            name = %told.spec.name,
            families = ?session.agreement.negotiated.families,
            hold_time = session.agreement.hold_time.secs(),
            "session up"
        );
        let forwarding = session.agreement.restart.as_ref().map_or(&[][..], |r| &r.forwarding);
        entry.stale.retain(|family| forwarding.contains(family));
        entry.ended.clear();
        entry.epoch += 1;
        entry.session = Some(session);
        entry.told = Some(told);
        let epoch = entry.epoch;
        let stale = !entry.stale.is_empty();
        self.timers.set(now + MEMBERSHIPS_WAIT, peer, epoch, Timer::Memberships);
        if stale {
            self.timers.set(now + END_OF_RIB_WAIT, peer, epoch, Timer::Stale);
        }
        // The topology may have changed while the session told the shards.
        self.retell(peer);
    }

    fn down(&mut self, peer: PeerIx, down: &Down, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        entry.epoch += 1;
        entry.flaps += 1;
        entry.session = None;
        entry.queue = None;
        entry.told = None;
        entry.ended.clear();
        entry.stale = down.retained.as_ref().map(|r| r.families.clone()).unwrap_or_default();
        let kept = down.retained.as_ref().map(|retained| retained.restart_time);
        info!(
            peer = %entry.address,
            reason = %down.reason,
            kept_seconds = kept.map(|time| time.as_secs()),
            "session down"
        );
        let (epoch, dynamic) = (entry.epoch, entry.dynamic);
        if let Some(restart_time) = kept {
            self.timers.set(now + restart_time, peer, epoch, Timer::Stale);
        }
        if dynamic {
            // Whoever was sent away for a while is not forgotten before, or it could come back at once.
            let away = FORGET + kept.unwrap_or_default() + sent_away(&down.reason);
            self.timers.set(now + away, peer, epoch, Timer::Forget);
        }
    }

    /// Tells the shards of other terms for a session that is up.
    fn retell(&mut self, peer: PeerIx) {
        let identity = self.running.identity();
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let (Some(session), Some(told)) = (&entry.session, &entry.told) else { return };
        let newest = entry.terms.borrow().clone();
        if *told == newest {
            return;
        }
        let (view, session) = (Arc::new(view(&identity, &newest, session)), session.epoch);
        entry.told = Some(newest);
        self.lanes.send_all(|| ShardInput::Changed { peer, session, view: Arc::clone(&view) });
    }

    fn shard_output(&mut self, output: &Output) {
        match *output {
            Output::Gone { peer } => self.peers.gone(peer),
            Output::LimitExceeded { peer, family, limit } => {
                let Some(entry) = self.peers.get_mut(peer) else { return };
                warn!(peer = %entry.address, %family, limit, "prefix limit exceeded, session ends");
                let why = Cease::PrefixLimit { family, limit };
                if entry.peer.cease(why, "", Then::Wait(LIMIT_IDLE)).is_err() {
                    warn!(peer = %entry.address, "the session is busy and goes on");
                }
            }
            Output::RefreshWanted { peer, family } => {
                if let Some(entry) = self.peers.get_mut(peer)
                    && entry.peer.refresh(family).is_err()
                {
                    warn!(peer = %entry.address, %family, "the session is busy and was not asked");
                }
            }
        }
    }

    fn time(&mut self, now: Instant) {
        while let Some((peer, epoch, timer)) = self.timers.take(now) {
            let Some(entry) = self.peers.get_mut(peer) else { continue };
            if entry.epoch != epoch {
                continue;
            }
            match timer {
                Timer::Memberships => {
                    if !entry.ended.contains(&AfiSafi::RTC) {
                        self.lanes.send_all(|| ShardInput::Rib(Input::RtcTimeout { peer }));
                    }
                }
                Timer::Stale => {
                    for family in std::mem::take(&mut entry.stale) {
                        info!(peer = %entry.address, %family, "routes kept over a restart go");
                        let sweep = || ShardInput::Rib(Input::StaleSweep { peer, family });
                        self.lanes.send_all(sweep);
                    }
                }
                Timer::Forget if entry.session.is_none() => self.remove(peer),
                Timer::Forget => {}
            }
        }
        let standings: Vec<_> = self.peers.iter().map(|(_, entry)| standing(entry)).collect();
        let nodes = self.running.has_nodes();
        if self.convergence.check(now, nodes, standings.into_iter()) {
            info!("initial convergence is over");
            self.lanes.send_all(|| ShardInput::Converged);
        }
    }

    fn command(&mut self, command: Command) {
        // Whoever asked may have gone.
        match command {
            Command::Neighbors(reply) => drop(reply.send(self.neighbors())),
            Command::Status(reply) => drop(reply.send(self.status())),
            Command::Reload(reply) => {
                let outcome = self.running.reload();
                let reloaded = outcome.map(|accepted| {
                    self.apply(&accepted.changes);
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

    /// Makes the peers follow the running topology.
    fn apply(&mut self, changes: &[Change]) {
        let me = self.running.node().to_owned();
        for change in changes {
            match change {
                Change::PeerAdded { control_node, peer } if *control_node == me => {
                    if let Remote::Address(address) = &peer.remote {
                        self.add(Arc::new(peer.clone()), address.ip(), false);
                    }
                }
                Change::PeerRemoved { control_node, peer } if *control_node == me => {
                    for number in self.running_by(peer) {
                        self.remove(number);
                    }
                }
                Change::PeerChanged { control_node, new, effect, .. } if *control_node == me => {
                    self.change(new, *effect);
                }
                _ => {}
            }
        }
        self.renew_terms();
    }

    /// What is asked of other control nodes on behalf of gateways follows the gateways.
    fn renew_terms(&mut self) {
        let all = self.running.peers();
        let numbers: Vec<_> = self.peers.iter().map(|(number, _)| number).collect();
        for number in numbers {
            let Some(entry) = self.peers.get_mut(number) else { continue };
            let terms = Terms::new(entry.spec(), &all);
            if *entry.terms.borrow() != terms {
                entry.terms.send_replace(terms);
                self.retell(number);
            }
        }
    }

    fn change(&mut self, new: &PeerSpec, effect: Effect) {
        let (identity, new) = (self.running.identity(), Arc::new(new.clone()));
        let terms = Terms::new(Arc::clone(&new), &self.running.peers());
        let restarting = !self.convergence.is_over();
        for number in self.running_by(&new) {
            let Some(entry) = self.peers.get_mut(number) else { continue };
            let moved = !new.accepts(entry.address);
            entry.terms.send_replace(terms.clone());
            if moved {
                self.remove(number);
                if let Remote::Address(address) = &new.remote {
                    self.add(Arc::clone(&new), address.ip(), false);
                }
                continue;
            }
            if effect == Effect::Reset {
                let config = session(&identity, &new, entry.address, restarting);
                let text = "the topology has changed";
                let told = entry.peer.reconfigure(config).is_ok()
                    && entry.peer.cease(Cease::ConfigurationChange, text, Then::Reconnect).is_ok();
                if !told {
                    warn!(peer = %entry.address, "the session is busy and goes on as it was");
                }
            }
            self.retell(number);
        }
    }

    /// The peers that run by this entry of the topology.
    fn running_by(&self, spec: &PeerSpec) -> Vec<PeerIx> {
        // A control node may be called as the nodes of a cloud are.
        let dynamic = matches!(spec.remote, Remote::Prefixes(_));
        let all = self.peers.iter();
        all.filter(|(_, entry)| entry.dynamic == dynamic && entry.spec().name == spec.name)
            .map(|(number, _)| number)
            .collect()
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

/// How long a peer may not come back after a session that ended like this.
const fn sent_away(reason: &DownReason) -> Duration {
    match reason {
        DownReason::Ceased(Cease::PrefixLimit { .. }) => LIMIT_IDLE,
        _ => Duration::ZERO,
    }
}

fn standing(entry: &Entry) -> Standing {
    let Some(session) = &entry.session else {
        return if entry.dynamic { Standing::Complete } else { Standing::Missing };
    };
    match &session.agreement.restart {
        Some(restart) if !restart.restarted => {
            let told = |family| entry.ended.contains(family);
            let all = session.agreement.negotiated.families.iter().all(told);
            if all { Standing::Complete } else { Standing::Telling }
        }
        _ => Standing::Complete,
    }
}
