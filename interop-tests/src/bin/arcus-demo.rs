//! `arcus-demo`: the federation of `topology-examples/leonardo.toml` on one machine.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use interop_tests::by_hand::Relay;
use interop_tests::proofs::{self, Encapsulation};
use interop_tests::report::Report;
use interop_tests::{Federation, scene};
use testbed::Bed;
use testbed::app::App;
use tokio::signal::unix::{SignalKind, signal};

/// What run directories in /run start with.
const KIND: &str = "arcus-demo";

/// Two clouds, two gateways and nine workloads in network namespaces of this machine
#[derive(Debug, Parser)]
#[command(name = "arcus-demo")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Raise it, prove every claim, and remove it again
    Run {
        /// What nodes prefer among themselves
        #[arg(long, value_enum, default_value = "mpls-over-gre")]
        encap: Encapsulation,
        /// Leave it running if a proof fails; `arcus-demo down` removes it
        #[arg(long)]
        keep_failed: bool,
    },
    /// Raise it and leave it running
    Up {
        /// What nodes prefer among themselves
        #[arg(long, value_enum, default_value = "mpls-over-gre")]
        encap: Encapsulation,
    },
    /// Remove what `up`, or a run that was killed, has left
    Down {
        /// Only this run directory
        run_dir: Option<PathBuf>,
    },
    /// Programs that run inside the namespaces
    #[command(subcommand, hide = true)]
    App(App),
    /// A BGP session whose messages are in files
    #[command(hide = true)]
    Relay(Relay),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::App(app) => app.run().await,
        Command::Relay(relay) => relay.run().await,
        Command::Down { run_dir } => down(run_dir),
        Command::Run { encap, keep_failed } => interruptible(run(encap, keep_failed)).await,
        Command::Up { encap } => interruptible(up(encap)).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _written = writeln!(io::stderr(), "arcus-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `work` until it ends or the process is told to stop. The work is dropped then, and with it
/// the bed, which undoes itself.
async fn interruptible(work: impl Future<Output = Result<()>>) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => bail!("interrupted; everything is removed"),
        _ = terminate.recv() => bail!("terminated; everything is removed"),
        _ = hang_up.recv() => bail!("the terminal is gone; everything is removed"),
    }
}

async fn run(encap: Encapsulation, keep_failed: bool) -> Result<()> {
    let start = Instant::now();
    let mut report = Report::new();
    let federation = raise(&report, encap).await?;
    report.title("Proofs");
    proofs::all(&federation, encap, |what, outcome| report.proof(&what, outcome)).await;
    tables(&report, &federation).await?;
    report.say("");
    if report.failed().is_empty() {
        report.say(&format!("All proven, in {:.0?}.", start.elapsed()));
        return Ok(());
    }
    let failed = report.failed().join("; ");
    report.title("The ends of the logs");
    report.say(&federation.bed().logs());
    if keep_failed {
        let run_dir = federation.leave_running();
        report.say(&format!("Left running in {}.", run_dir.display()));
    }
    bail!("not proven: {failed}")
}

async fn up(encap: Encapsulation) -> Result<()> {
    let report = Report::new();
    let federation = raise(&report, encap).await?;
    let sessions = federation.wait_for_sessions().await?;
    report.say(&format!("  all daemons agree: {sessions} ends of sessions are established"));
    guide(&report, &federation);
    federation.leave_running();
    Ok(())
}

async fn raise(report: &Report, encap: Encapsulation) -> Result<Federation> {
    let start = Instant::now();
    let bed = Bed::new(KIND)?;
    report.title(&format!("Raising the federation in {}", bed.run_dir().display()));
    let topology = encap.topology()?;
    let federation =
        Federation::raise(bed, &topology, |step| report.say(&format!("  {step}"))).await?;
    report.say(&format!("  up in {:.1?}", start.elapsed()));
    Ok(federation)
}

/// The route tables, as the article shows them.
async fn tables(report: &Report, federation: &Federation) -> Result<()> {
    for vrf in ["nginx", "leonardo"] {
        report.title(&format!("VRF {vrf} on k8s-node-1"));
        report.say(federation.arcus("k8s-node-1", &["vrf", vrf]).await?.trim_end());
    }
    for (name, gateway) in federation.gateways() {
        report.title(&format!("{name}: show bgp ipv4 vpn"));
        report.say(gateway.frr().show("show bgp ipv4 vpn").await?.trim_end());
    }
    Ok(())
}

/// What a person can try while it is up.
fn guide(report: &Report, federation: &Federation) {
    let run_dir = federation.bed().run_dir().display();
    let prefix = federation.bed().prefix();
    let arcus = federation.arcus_program().display();
    report.title("It is up. Try");
    report.say(&format!(
        "\
  export ARCUS_RUN_DIR={run_dir}
  {arcus} --node k8s-ctl-1 neighbors
  {arcus} --node k8s-ctl-1 routes vpnv4
  {arcus} --node k8s-node-1 vrf leonardo
  {arcus} --node os-node-1 port list
  ip netns exec {prefix}-outside curl http://{}/leonardo/db-1
  ip netns exec {prefix}-fabric tcpdump -ni to-os-node-1 not tcp port 179",
        scene::FLOATING
    ));
    for (_, gateway) in federation.gateways() {
        report.say(&format!("  {} -c 'show bgp ipv4 vpn'", gateway.frr().vtysh()));
    }
    report.say(&format!(
        "  edit {run_dir}/topology.toml, then {arcus} --node NAME reload for each daemon\n\
         Remove it with: make demo-down"
    ));
}

fn down(run_dir: Option<PathBuf>) -> Result<()> {
    let report = Report::new();
    let mut left = testbed::abandoned(KIND)?;
    if let Some(only) = run_dir {
        left.retain(|run_dir| *run_dir == only);
    }
    for run_dir in &left {
        testbed::sweep(run_dir).with_context(|| run_dir.display().to_string())?;
        report.say(&format!("removed {}", run_dir.display()));
    }
    if left.is_empty() {
        report.say("nothing to remove");
    }
    Ok(())
}
