//! The program `arcus-vrouter-agent`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use arcus_vrouter_agent::agent::{self, Settings};
use arcus_vrouter_agent::args::Args;
use arcus_vrouter_agent::http::Api;
use arcus_vrouter_agent::node::Node;
use arcus_vrouter_agent::{running, uplink};
use clap::Parser;
use daemon::signals::{Signal, Signals};
use daemon::{Claim, Notifier, Supervisor, logging};
use dataplane_ebpf::{EbpfPlane, Options};
use tracing::{error, info};

/// How long parts of the daemon may take to end.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = logging::init(logging::Format::Auto) {
        error!(%error, "logging");
    }
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let name = args.node_name();
    // Also before a purge: nobody may take the floor away under an agent that runs.
    let claim = Claim::take(&args.run_dir, &name)?;
    let options = Options::new(args.instance());
    if args.purge {
        dataplane_ebpf::purge(&options).await?;
        info!(instance = options.instance, "data plane removed");
        return Ok(());
    }
    let topology = running::read(&args.topology, &args.cloud)
        .map_err(|error| anyhow!("the topology is refused\n{error}"))?;
    let uplink = uplink::find(args.uplink.as_deref(), args.address).await?;
    let plane = EbpfPlane::open(&options).await.context("the data plane cannot be used")?;
    let node = Node {
        name,
        cloud: args.cloud.clone(),
        address: args.address,
        uplink_mtu: uplink.mtu,
        port_mtu: uplink.port_mtu(),
        uplinks: vec![uplink.name],
    };
    let settings = Settings {
        node,
        topology_file: args.topology.clone(),
        topology,
        state_dir: args.state_dir(),
        socket: claim.socket().to_owned(),
        http: args.http,
    };
    let mut supervisor = Supervisor::new();
    let api = agent::start(settings, plane, &mut supervisor).await?;
    let outcome = serve(&api, &mut supervisor).await;
    supervisor.stop(GRACE).await;
    outcome
}

/// Signals, the watchdog, and the rule that a part which ends unexpectedly ends the daemon.
async fn serve(api: &Api, supervisor: &mut Supervisor) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let notifier = Notifier::from_env();
    let mut watchdog = notifier.watchdog();
    notifier.ready("running");
    let outcome = loop {
        tokio::select! {
            () = watchdog.due() => {
                if api.has_pulse().await {
                    notifier.alive();
                } else {
                    error!("the owner task does not answer");
                }
            }
            signal = signals.next() => match signal {
                Signal::Reload => {
                    notifier.reloading();
                    let status = match api.reload().await {
                        Ok(_) => "reloaded".to_owned(),
                        Err(error) => format!("the topology was refused: {error}"),
                    };
                    notifier.ready(&status);
                }
                Signal::Shutdown => break Ok(()),
            },
            ended = supervisor.unexpected_end() => break Err(ended.into()),
        }
    };
    notifier.stopping();
    outcome
}
