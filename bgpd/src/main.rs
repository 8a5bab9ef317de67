//! The control node daemon: a shell around `bgp-peer` and `bgp-rib`.
//!
//! A session task per peer reads and decodes ([`deliver`] divides what it heard among shards), a
//! thread per shard owns its part of the tables ([`shard_thread`]), and the control task owns the
//! topology and the peers ([`control`]). It knows route targets, not networks: no VRF, pod or tunnel.

mod args;
mod control;
mod convergence;
mod deliver;
mod gauges;
mod http;
mod journal;
mod lanes;
mod listening;
mod neighbor;
mod next_hops;
mod paths;
mod peer_table;
mod peering;
mod running;
mod secrets;
mod shard_thread;
mod timers;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bfd::socket::Driver;
use bgp_rib::{Output, Shard, ShardConfig};
use clap::Parser;
use daemon::{Alive, Claim, Supervisor, live, logging, metrics};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use crate::args::Args;
use crate::control::{Command, Control, Inboxes, Outboxes};
use crate::convergence::Life;
use crate::deliver::Room;
use crate::gauges::{NeighborGauges, TableGauges};
use crate::journal::Journal;
use crate::listening::Listening;
use crate::next_hops::NextHops;
use crate::paths::Paths;
use crate::running::Running;
use crate::shard_thread::{INBOX, ShardThread};

/// How long parts of the daemon may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Requests of the API, connections and events that wait for the control task.
const CONTROL_INBOX: usize = 256;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = logging::init(logging::Format::Auto) {
        // Without a log the error has to be said here.
        writeln!(std::io::stderr(), "arcus-bgpd: {error}").ok();
        return ExitCode::FAILURE;
    }
    let outcome = match &args.replay {
        Some(journal) => replay(journal),
        None => run(args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints where a journal ends, without a daemon.
fn replay(journal: &Path) -> anyhow::Result<()> {
    let text = journal::replay(journal)?;
    std::io::stdout().write_all(text.as_bytes()).context("cannot write")
}

async fn run(args: Args) -> anyhow::Result<()> {
    let (topology, node) =
        args.topology.clone().zip(args.node.clone()).context("clap asks for both")?;
    let running = Running::read(topology, &node, args.shard_count())
        .map_err(|error| anyhow!("the topology is refused\n{error}"))?;
    let identity = running.identity();
    let claim = Claim::take(&args.run_dir, &node)?;
    let listen = args.listen.unwrap_or(SocketAddr::new(identity.address, running.port()));
    let (connections, connection_inbox) = mpsc::channel(CONTROL_INBOX);
    let mut listening = Listening::bind(listen, connections).with_context(|| {
        format!(
            "cannot listen on {listen}: is the address on this machine, and may we use the port?"
        )
    })?;
    if !listening.follow(&running.others().peers, running.secrets()) {
        bail!("not all peers of the topology could connect; the reason is in the log");
    }
    let api_listeners = daemon::http::Listeners::bind(claim.socket(), args.http).await?;

    let mut registry = metrics::registry("arcus-bgpd");
    let gauges = TableGauges::register(&mut registry);
    let neighbor_gauges = NeighborGauges::register(&mut registry);
    let mut supervisor = Supervisor::new();
    let shutdown = supervisor.shutdown();

    let (shard_events, shard_inbox) = mpsc::channel(CONTROL_INBOX);
    let shards = spawn_shards(&args, &running, &gauges, &shard_events, &mut supervisor)?;
    let (sessions, session_inbox) = mpsc::channel(CONTROL_INBOX);
    let (removed, removed_inbox) = mpsc::channel(CONTROL_INBOX);
    let (commands, command_inbox) = mpsc::channel(CONTROL_INBOX);
    let (news, paths_inbox) = mpsc::channel(CONTROL_INBOX);
    let (paths, driver) = Paths::new(news);
    supervisor.spawn_thread("bfd", move || watch_paths(driver))?;
    let (ways, way_inbox) = mpsc::channel(CONTROL_INBOX);
    let next_hops = NextHops::default();
    if running.decision().track_next_hops {
        supervisor.spawn("next-hops", next_hops::watch(next_hops.clone(), ways));
    }
    let room = Room::new(shards.len());
    let outboxes =
        Outboxes { sessions, shards: Arc::clone(&shards), room, removed, paths, next_hops };
    let life = if claim.may_follow_another(running.longest_memory()) {
        Life::Restarted
    } else {
        Life::First
    };
    let control = Control::new(running, listening, outboxes, life);
    let inboxes = Inboxes {
        commands: command_inbox,
        connections: connection_inbox,
        sessions: session_inbox,
        shards: shard_inbox,
        removed: removed_inbox,
        paths: paths_inbox,
        ways: way_inbox,
    };
    let ending = shutdown.clone();
    supervisor.spawn("control", control.run(inboxes, async move { ending.cancelled().await }));
    let api = http::Api { commands: commands.clone(), shards, gauges: neighbor_gauges };
    let router = http::router(api, metrics::router(registry));
    supervisor.spawn("http", daemon::http::serve(api_listeners, router, shutdown));
    info!(%node, %listen, asn = identity.asn, shards = identity.shards, "running");

    let outcome = live(&ControlTask(commands), &mut supervisor).await;
    supervisor.stop(GRACE).await;
    outcome
}

/// The control task, as far as signals reach it.
struct ControlTask(mpsc::Sender<Command>);

impl Alive for ControlTask {
    async fn reload(&self) -> anyhow::Result<Result<(), String>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Command::Reload(reply)).await?;
        Ok(answer.await?.map(drop))
    }
}

/// On a thread of its own: whatever else the daemon does, packets go out in time. Ends after the control
/// task, when nobody wants a path watched any more.
fn watch_paths(driver: Driver) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(driver.run(std::future::pending()));
    Ok(())
}

fn spawn_shards(
    args: &Args,
    running: &Running,
    gauges: &TableGauges,
    events: &mpsc::Sender<Output>,
    supervisor: &mut Supervisor,
) -> anyhow::Result<Arc<[mpsc::Sender<shard_thread::ShardInput>]>> {
    let (mut inboxes, identity) = (Vec::new(), running.identity());
    let hash_seed =
        std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), identity.address);
    for number in 0..identity.shards {
        let config = ShardConfig {
            shard: number,
            shards: identity.shards,
            local_as: identity.asn,
            router_id: identity.router_id,
            cluster_id: identity.cluster_id,
            decision: running.decision(),
            client_to_client: running.client_to_client(),
            hash_seed,
        };
        let journal =
            args.journal.as_deref().map(|dir| Journal::create(dir, &config)).transpose()?;
        let (inbox, inputs) = mpsc::channel(INBOX);
        inboxes.push(inbox);
        let thread = ShardThread {
            shard: Shard::new(config),
            inbox: inputs,
            events: events.clone(),
            gauges: gauges.of(number),
            journal,
            runtime: Handle::current(),
        };
        supervisor.spawn_thread(&format!("shard-{number}"), move || thread.run())?;
    }
    Ok(inboxes.into())
}
