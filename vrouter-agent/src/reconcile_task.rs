//! The task that owns the data plane.

use std::time::{Duration, Instant};

use dataplane::{Counters, Dataplane, DataplaneError, Mirroring, PortId, Probe, Trace};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::reconcile::{Item, Reconciler, Report, Work};

/// How often what is really there is compared with what is wanted.
const AUDIT: Duration = Duration::from_mins(5);

/// Where an answer of the data plane goes.
pub type Reply<T> = oneshot::Sender<Result<T, String>>;

/// A question to the owner of the data plane.
#[derive(Debug)]
pub enum Question {
    Counters(Reply<Counters>),
    Trace(Probe, Reply<Trace>),
    Mirror(PortId, Mirroring, Reply<()>),
}

/// What goes in and out of the task.
pub struct Ends {
    /// One at a time: the core hands out more when a report has come.
    pub work: mpsc::Receiver<Work>,
    pub reports: mpsc::Sender<Report>,
    pub questions: mpsc::Receiver<Question>,
}

/// Runs until `shutdown`. What was applied stays applied.
pub async fn run<P: Dataplane>(
    mut reconciler: Reconciler<P>,
    mut ends: Ends,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut next_audit = Instant::now() + AUDIT;
    loop {
        let deadline = reconciler.deadline().map_or(next_audit, |retry| retry.min(next_audit));
        let report = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            Some(work) = ends.work.recv() => reconciler.apply(Instant::now(), work).await,
            Some(question) = ends.questions.recv() => {
                answer(&mut reconciler, question).await;
                continue;
            }
            () = tokio::time::sleep_until(deadline.into()) => {
                let now = Instant::now();
                if now >= next_audit {
                    next_audit = now + AUDIT;
                    let Some(report) = seen(reconciler.audit(now).await) else { continue };
                    report
                } else {
                    reconciler.retry(now).await
                }
            }
            () = reconciler.disturbed() => {
                let repaired = reconciler.look_at_devices(Instant::now()).await;
                let Some(report) = seen(repaired) else { continue };
                report
            }
        };
        let (routes, others): (Vec<_>, Vec<_>) =
            report.failed.iter().partition(|(item, _)| matches!(item, Item::Route(..)));
        for (item, reason) in others {
            warn!(?item, reason, "data plane refused");
        }
        // They may be many, and then they have one reason.
        if let Some((_, reason)) = routes.first() {
            warn!(count = routes.len(), reason, "routes refused");
        }
        if ends.reports.send(report).await.is_err() {
            return Ok(());
        }
    }
}

/// What came of a look at the data plane, if it could be looked at.
fn seen(report: Result<Report, DataplaneError>) -> Option<Report> {
    report.inspect_err(|error| error!(%error, "data plane cannot be listed")).ok()
}

async fn answer<P: Dataplane>(reconciler: &mut Reconciler<P>, question: Question) {
    let text = |error: dataplane::DataplaneError| error.to_string();
    // Whoever asked may have gone.
    match question {
        Question::Counters(reply) => {
            drop(reply.send(reconciler.counters().await.map_err(text)));
        }
        Question::Trace(probe, reply) => {
            drop(reply.send(reconciler.trace(&probe).await.map_err(text)));
        }
        Question::Mirror(port, mirroring, reply) => {
            drop(reply.send(reconciler.mirror(&port, mirroring).await.map_err(text)));
        }
    }
}
