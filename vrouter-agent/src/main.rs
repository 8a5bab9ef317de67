//! The program `arcus-vrouter-agent`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use arcus_vrouter_agent::agent::{self, Settings};
use arcus_vrouter_agent::args::Args;
use arcus_vrouter_agent::node::{Node, default_router_id};
use arcus_vrouter_agent::uplink::Underlay;
use arcus_vrouter_agent::{running, uplink};
use clap::Parser;
use daemon::{Claim, Supervisor, live, logging};
use dataplane_ebpf::{EbpfPlane, Options, Sizes};
use tracing::{error, info};

/// How long parts of the daemon may take to end.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = logging::init(logging::Format::Auto) {
        error!(%error, "logging");
    }
    match Box::pin(run(args)).await {
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
    let mut options = Options::new(args.instance());
    if args.purge {
        dataplane_ebpf::purge(&options).await?;
        info!(instance = options.instance, "data plane removed");
        return Ok(());
    }
    let topology = running::read(&args.topology, &args.cloud)
        .map_err(|error| anyhow!("the topology is refused\n{error}"))?;
    if let Some(scale) = topology.node_scale(&args.cloud) {
        options.sizes = Sizes::of(scale.max_routes, scale.max_ports);
    }
    let uplink = uplink::find(args.uplink.as_deref(), args.address).await?;
    let has_v6 = args.address.is_ipv6() || args.address6.is_some();
    let underlay = if has_v6 { Underlay::V6 } else { Underlay::V4 };
    let plane = EbpfPlane::open(&options).await.context("the data plane cannot be used")?;
    let node = Node {
        name,
        cloud: args.cloud.clone(),
        address: args.address,
        address6: args.address6,
        router_id: args.router_id.unwrap_or_else(|| default_router_id(args.address)),
        uplink_mtu: uplink.mtu,
        port_mtu: uplink.port_mtu(underlay),
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
    let api = Box::pin(agent::start(settings, plane, &mut supervisor)).await?;
    let outcome = live(&api, &mut supervisor).await;
    supervisor.stop(GRACE).await;
    outcome
}
