//! The task that owns the core: takes events in, and does what the core says is to be done.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcus_api::v1::{Neighbor, PortId, Reloaded, SessionState, Status};
use arcus_config::{FlowExport, Topology};
use bgp_peer::PeerState;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::core::{Core, PortAnswer, RequestId};
use crate::node::Node;
use crate::port::PortSpec;
use crate::reconcile::{Report, Work};
use crate::running::Running;
use crate::sessions::{Event, Sessions};
use crate::state::StateFile;

/// Events of sessions that are taken in before what they lead to is computed.
const BATCH: usize = 64;

/// How long after a failed attempt the state file is written again.
const SAVE_AGAIN: Duration = Duration::from_secs(1);

/// Something that somebody wants of the owner.
pub enum Request {
    Put {
        id: PortId,
        spec: Box<PortSpec>,
        reply: oneshot::Sender<PortAnswer>,
    },
    Remove {
        id: PortId,
        reply: oneshot::Sender<PortAnswer>,
    },
    Ready {
        id: PortId,
        ready: bool,
        reply: oneshot::Sender<PortAnswer>,
    },
    /// The topology file was read again.
    Reload {
        read: Result<Arc<Topology>, String>,
        reply: oneshot::Sender<Result<Reloaded, String>>,
    },
    /// A question, answered by the function itself.
    Look(Box<dyn FnOnce(&Owner) + Send>),
}

/// Where the owner's input comes from, and where its work goes.
pub struct Inboxes {
    pub requests: mpsc::Receiver<Request>,
    pub events: mpsc::Receiver<Event>,
    pub reports: mpsc::Receiver<Report>,
    pub work: mpsc::Sender<Work>,
}

/// See the module.
pub struct Owner {
    pub core: Core,
    sessions: Sessions,
    running: Running,
    node: Node,
    file: StateFile,
    /// Where the exporter of flows looks.
    export: watch::Sender<Option<FlowExport>>,
    started_at: u64,
    replies: BTreeMap<RequestId, oneshot::Sender<PortAnswer>>,
    last_request: u64,
    save_again: Option<Instant>,
}

impl Owner {
    pub fn new(
        core: Core,
        sessions: Sessions,
        running: Running,
        node: Node,
        file: StateFile,
        export: watch::Sender<Option<FlowExport>>,
    ) -> Self {
        Self {
            core,
            sessions,
            running,
            node,
            file,
            export,
            started_at: daemon::metrics::now(),
            replies: BTreeMap::new(),
            last_request: 0,
            save_again: None,
        }
    }

    /// Runs until `shutdown`, then closes the sessions so that packets go on.
    pub async fn run(
        mut self,
        mut inboxes: Inboxes,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        self.follow_topology();
        self.turn(&inboxes.work).await;
        loop {
            let deadline = [self.core.deadline(), self.save_again].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(report) = inboxes.reports.recv() => self.core.applied(report),
                Some(event) = inboxes.events.recv() => {
                    self.sessions.handle(&mut self.core, event);
                    for _ in 1..BATCH {
                        let Ok(event) = inboxes.events.try_recv() else { break };
                        self.sessions.handle(&mut self.core, event);
                    }
                }
                Some(request) = inboxes.requests.recv() => self.request(request),
                () = until(deadline) => self.core.tick(Instant::now()),
            }
            self.turn(&inboxes.work).await;
        }
        self.sessions.close().await;
        Ok(())
    }

    /// As the API shows it.
    pub fn status(&self) -> Status {
        Status {
            daemon: "arcus-vrouter-agent".to_owned(),
            name: self.node.name.clone(),
            version: daemon::version().to_owned(),
            topology: self.running.status(),
            ready: self.core.is_ready(),
            started_at: self.started_at,
        }
    }

    /// As the API shows them: what the core knows, and where sessions stand that are not up.
    pub fn neighbors(&self) -> Vec<Neighbor> {
        let mut neighbors = self.core.show_neighbors(Instant::now());
        for neighbor in &mut neighbors {
            neighbor.queued_octets = self.sessions.queued_octets(neighbor.address) as u64;
            let Some(status) = self.sessions.status(neighbor.address) else { continue };
            if neighbor.state != SessionState::Established {
                neighbor.state = session_state(status.state);
                neighbor.last_down_reason = status.last_down.map(|(reason, _)| reason.to_string());
            }
        }
        neighbors
    }

    /// Does everything that is to be done now, in the order of the core's contract.
    async fn turn(&mut self, work: &mpsc::Sender<Work>) {
        self.core.settle();
        self.save().await;
        if let Some(changes) = self.core.take_work(Instant::now()) {
            // There is room: the core hands out one at a time. A closed queue ends the daemon
            // elsewhere.
            drop(work.try_send(changes));
        }
        self.sessions.send(&mut self.core);
        for (request, answer) in self.core.take_answers() {
            if let Some(reply) = self.replies.remove(&request) {
                // Whoever asked may have gone.
                drop(reply.send(answer));
            }
        }
    }

    async fn save(&mut self) {
        let Some(state) = self.core.take_unsaved() else { return };
        let file = self.file.clone();
        let written = tokio::task::spawn_blocking(move || file.write(&state)).await;
        let problem = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{:#}", anyhow::Error::from(error))),
            Err(panic) => Some(panic.to_string()),
        };
        match problem {
            None => {
                self.save_again = None;
                self.core.saved();
            }
            Some(problem) => {
                error!(problem, "state not written");
                self.save_again = Some(Instant::now() + SAVE_AGAIN);
                self.core.not_saved(&problem);
            }
        }
    }

    fn request(&mut self, request: Request) {
        let now = Instant::now();
        match request {
            Request::Put { id, spec, reply } => {
                let request = self.expect_answer(reply);
                self.core.put_port(request, id, *spec);
            }
            Request::Remove { id, reply } => {
                let request = self.expect_answer(reply);
                self.core.remove_port(now, request, &id);
            }
            Request::Ready { id, ready, reply } => {
                let request = self.expect_answer(reply);
                self.core.set_ready(now, request, &id, ready);
            }
            Request::Reload { read, reply } => {
                let answer = read.map(|topology| self.reload(now, topology));
                if let Err(error) = &answer {
                    warn!(error, "topology refused, nothing has changed");
                    self.running.refuse(error.clone());
                }
                drop(reply.send(answer));
            }
            Request::Look(look) => look(self),
        }
    }

    fn reload(&mut self, now: Instant, topology: Arc<Topology>) -> Reloaded {
        let changes = self.running.accept(Arc::clone(&topology));
        self.core.reload(now, topology);
        self.follow_topology();
        let topology = self.running.status();
        info!(generation = topology.generation, changes = changes.len(), "topology taken");
        Reloaded { topology, changes }
    }

    fn follow_topology(&mut self) {
        if let Some(cloud) = self.core.topology().clouds.get(&self.node.cloud) {
            self.sessions.set(&self.node, cloud);
            let export = cloud.nodes.flow_export;
            self.export.send_if_modified(|wanted| mem::replace(wanted, export) != export);
        }
    }

    fn expect_answer(&mut self, reply: oneshot::Sender<PortAnswer>) -> RequestId {
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.replies.insert(request, reply);
        request
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

const fn session_state(state: PeerState) -> SessionState {
    match state {
        PeerState::Idle => SessionState::Idle,
        PeerState::Connect => SessionState::Connect,
        PeerState::Active => SessionState::Active,
        PeerState::OpenSent => SessionState::OpenSent,
        PeerState::OpenConfirm => SessionState::OpenConfirm,
        PeerState::Established => SessionState::Established,
    }
}
