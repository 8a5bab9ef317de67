//! What a node does with packets: counters, one that is followed, those of a port that are copied.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use arcus_api::v1::{Counters, MirrorQuery, PortId, Trace};
use reqwest::StatusCode;

use crate::cli::{CounterKind, TraceArgs};
use crate::client::{Client, ClientError};
use crate::output::Printer;
use crate::view;

pub(crate) async fn counters(
    client: &Client,
    kind: Option<CounterKind>,
    printer: &mut Printer,
) -> Result<()> {
    let counters: Counters = client.get("/v1/counters").await?;
    match kind {
        None => printer.show(&counters, view::counters),
        Some(CounterKind::Ports) => printer.show(&counters.ports[..], view::port_counters),
        Some(CounterKind::Tunnels) => printer.show(&counters.tunnels[..], view::tunnel_counters),
        Some(CounterKind::Vrfs) => printer.show(&counters.vrfs[..], view::vrf_counters),
        Some(CounterKind::Rules) => printer.show(&counters.rules[..], view::rule_counters),
    }
}

/// Exit status 1 for a packet that goes nowhere, so that a script can ask.
pub(crate) async fn trace(
    client: &Client,
    args: TraceArgs,
    printer: &mut Printer,
) -> Result<ExitCode> {
    let Some(request) = args.request() else {
        bail!("write --from-port or --from-uplink, and --to")
    };
    let trace: Trace = client.post_with("/v1/trace", &request).await?;
    printer.show(&trace, view::trace)?;
    Ok(if trace.outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes what comes at once, so that whoever reads along sees it.
pub(crate) async fn mirror(
    client: &Client,
    port: &PortId,
    file: &Path,
    query: MirrorQuery,
) -> Result<()> {
    let to_stdout = file == Path::new("-");
    let is_written = query.erspan.is_none();
    if is_written && to_stdout && io::stdout().is_terminal() {
        bail!("packets are no text; write `-w FILE`, or `| tcpdump -nr -` behind it");
    }
    let mut stream = match client.stream(&format!("/v1/ports/{port}/mirror"), &query).await {
        Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => {
            bail!("no port `{port}` on this node; `arcus port list` shows them")
        }
        stream => stream?,
    };
    let mut out: Box<dyn Write> = if !is_written {
        Box::new(io::sink())
    } else if to_stdout {
        Box::new(io::stdout())
    } else {
        let file = File::create(file).with_context(|| format!("writing {}", file.display()))?;
        Box::new(file)
    };
    while let Some(octets) = stream.next().await.context("the daemon went away")? {
        out.write_all(octets.as_ref())?;
        out.flush()?;
    }
    Ok(())
}
