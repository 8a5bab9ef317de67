//! All tasks of an agent, put together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arcus_config::Topology;
use daemon::{Supervisor, http as http_shell, metrics};
use dataplane::Dataplane;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::core::Core;
use crate::flow_export::FlowExporter;
use crate::http::{Api, TopologyFile};
use crate::mirror::Mirrors;
use crate::node::Node;
use crate::owner::{Inboxes, Owner};
use crate::reconcile::Reconciler;
use crate::reconcile_task;
use crate::running::Running;
use crate::sessions::Sessions;
use crate::state::StateFile;

/// Requests, session events and questions that wait, each.
const INBOX: usize = 256;

/// What an agent is started with.
#[derive(Debug)]
pub struct Settings {
    pub node: Node,
    pub topology_file: PathBuf,
    /// Has the node's cloud.
    pub topology: Arc<Topology>,
    pub state_dir: PathBuf,
    /// Where the API listens; its owner has claimed the name.
    pub socket: PathBuf,
    pub http: Option<SocketAddr>,
}

/// Restores what the state file has into `plane`, and starts all tasks under `supervisor`.
pub async fn start<P: Dataplane + 'static>(
    settings: Settings,
    plane: P,
    supervisor: &mut Supervisor,
) -> anyhow::Result<Api> {
    let Settings { node, topology_file, topology, state_dir, socket, http } = settings;
    let file = StateFile::in_directory(&state_dir)?;
    let state = file.read()?;
    let listeners = http_shell::Listeners::bind(&socket, http).await?;
    let mut reconciler = Reconciler::adopt(plane).await?;
    let packet_events = reconciler.events();
    let was_found = reconciler.was_found();
    let left = reconciler.found_routes().clone();
    info!(
        name = node.name,
        cloud = node.cloud,
        address = %node.address,
        ports = state.ports.len(),
        forwarding = was_found,
        "agent starts"
    );

    let (requests, request_inbox) = mpsc::channel(INBOX);
    let (events, event_inbox) = mpsc::channel(INBOX);
    // The core hands out one piece of work at a time.
    let (work, work_inbox) = mpsc::channel(1);
    let (reports, report_inbox) = mpsc::channel(1);
    let (questions, question_inbox) = mpsc::channel(INBOX);
    let shutdown = supervisor.shutdown();

    let ends = reconcile_task::Ends { work: work_inbox, reports, questions: question_inbox };
    let mirrors = Mirrors::new(questions.clone());
    let export = topology.clouds.get(&node.cloud).and_then(|cloud| cloud.nodes.flow_export);
    let (export, wanted_export) = watch::channel(export);
    let (flow_exporter, flows, exported) = FlowExporter::new(node.clone(), wanted_export);
    if let Some(packet_events) = packet_events {
        let task = crate::events::run(
            packet_events,
            mirrors.clone(),
            flows,
            requests.clone(),
            shutdown.clone(),
        );
        supervisor.spawn("events", task);
    }
    supervisor.spawn("flows", flow_exporter.run(shutdown.clone()));
    supervisor.spawn("reconcile", reconcile_task::run(reconciler, ends, shutdown.clone()));

    let mut core = Core::new(Instant::now(), node.clone(), Arc::clone(&topology), state);
    core.set_left(left);
    let sessions = Sessions::new(events, was_found);
    let running = Running::new(topology_file.clone(), topology);
    let topology = TopologyFile::new(topology_file, node.cloud.clone());
    let owner = Owner::new(core, sessions, running, node, file, export);
    let inboxes =
        Inboxes { requests: request_inbox, events: event_inbox, reports: report_inbox, work };
    supervisor.spawn("owner", owner.run(inboxes, shutdown.clone()));

    let mut registry = metrics::registry("arcus-vrouter-agent");
    let api = Api::new(requests, questions, mirrors, exported, topology, &mut registry);
    supervisor.spawn("http", http_shell::serve(listeners, api.clone().router(registry), shutdown));
    Ok(api)
}
