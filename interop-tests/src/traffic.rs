//! Traffic between two workloads, of which every packet or octet is counted.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::{GiveUp, Namespace, Pings, Process};

use crate::{Federation, scene};

/// Where transfers end; the workloads' web applications listen elsewhere.
const SINK_PORT: u16 = 9000;

const CEILING: Duration = Duration::from_secs(30);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A running TCP transfer between two workloads.
#[derive(Debug)]
pub struct Transfer {
    source: Process,
    _sink: Process,
}

impl Transfer {
    /// Starts to send for some seconds. On return octets are on their way.
    pub async fn start(
        federation: &Federation,
        from: &str,
        to: &str,
        seconds: u64,
    ) -> Result<Self> {
        let (bed, app) = (federation.bed(), federation.app());
        let at = format!("{}:{SINK_PORT}", address(to)?);
        let name = format!("transfer-{}", bed.next_number());
        let listen = app.args(&["sink", "--listen", &at]);
        let namespace = federation.workload(to)?;
        let mut sink = bed.start(namespace, &format!("{name}-sink"), app.program(), listen)?;
        said("the sink listens", federation, &mut sink, "listening").await?;
        let send = app.args(&["source", &at, "--seconds", &seconds.to_string()]);
        let namespace = federation.workload(from)?;
        let mut source = bed.start(namespace, &format!("{name}-source"), app.program(), send)?;
        said("the transfer begins", federation, &mut source, "connected").await?;
        Ok(Self { source, _sink: sink })
    }

    /// Waits for its end; every octet has arrived.
    pub async fn finish(mut self) -> Result<()> {
        self.source.wait_ok(Duration::from_mins(1)).await
    }
}

async fn said(
    what: &str,
    federation: &Federation,
    process: &mut Process,
    word: &str,
) -> Result<()> {
    federation
        .bed()
        .wait_for(what, CEILING, async || {
            let is_running = process.is_running();
            let output = process.output();
            ensure!(is_running, GiveUp(format!("it ended: {output}")));
            ensure!(output.contains(word), "it said: {output}");
            Ok(())
        })
        .await
}

/// Starts a train of pings, one each millisecond, for at most a minute, and waits until it is answered.
pub async fn pings(federation: &Federation, from: &str, to: &str) -> Result<Pings> {
    let bed = federation.bed();
    let namespace = federation.workload(from)?;
    let pings = Pings::start(bed, namespace, address(to)?, u16::MAX, MILLISECOND)?;
    bed.wait_for("pings are answered", CEILING, async || {
        ensure!(pings.answered() > 100, "{} are", pings.answered());
        Ok(())
    })
    .await?;
    Ok(pings)
}

/// Ends a train; every ping was answered.
pub async fn nothing_lost(pings: Pings) -> Result<()> {
    let report = pings.stop().await?;
    let (lost, sent) = (report.lost.len(), report.sent);
    ensure!(lost == 0, "{lost} of {sent} pings were lost: {:?}", report.lost);
    Ok(())
}

/// Whether one workload answers the pings of another.
pub async fn answers(federation: &Federation, from: &str, to: &str) -> Result<bool> {
    reaches(federation.workload(from)?, address(to)?).await
}

/// Whether an address answers pings from a namespace.
pub async fn reaches(from: &Namespace, to: Ipv4Addr) -> Result<bool> {
    let to = to.to_string();
    Ok(from.output(&["ping", "-c2", "-i0.2", "-W1", &to]).await?.status.success())
}

/// The address of a workload of the scene.
pub fn address(workload: &str) -> Result<Ipv4Addr> {
    let found = scene::WORKLOADS.iter().find(|other| other.name == workload);
    Ok(found.with_context(|| format!("no workload `{workload}`"))?.address)
}
