//! The task that takes reports of single packets from the data plane: copies go to those who watch a
//! port, samples to the exporter of flows, decisions of rules that log go to the log.

use dataplane::event::{Decided, Event};
use dataplane::{Direction, Events, Verdict};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::flow_export::FlowSink;
use crate::mirror::Mirrors;
use crate::owner::{Owner, Request};

/// Runs until `shutdown`.
pub async fn run(
    mut events: Box<dyn Events>,
    mirrors: Mirrors,
    flows: FlowSink,
    owner: mpsc::Sender<Request>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            event = events.next() => event,
        };
        match event {
            Event::Mirrored(packet) => mirrors.send(packet),
            Event::Decided(decided) => tell(decided, &owner),
            Event::Lost(reports) => warn!(reports, "reports of packets were lost"),
            Event::Sample(sample) => flows.send(sample),
        }
    }
}

/// Logs a decision by the names that its owner knows; while the owner is busy, by the rule's place.
fn tell(decided: Decided, owner: &mpsc::Sender<Request>) {
    match owner.try_reserve() {
        Ok(room) => room.send(Request::Look(Box::new(move |owner: &Owner| {
            let rule = owner.core.rule_name(&decided.filter, Some(decided.rule));
            log(&decided, &rule);
        }))),
        Err(_) => log(&decided, &decided.rule.to_string()),
    }
}

fn log(decided: &Decided, rule: &str) {
    let Decided { port, filter, direction, verdict, tuple, .. } = decided;
    let direction = match direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let action = match verdict {
        Verdict::Allow => "allowed",
        Verdict::Deny => "denied",
    };
    info!(
        port = %port,
        filter = %filter,
        rule,
        direction,
        source = %tuple.source,
        source_port = tuple.source_port,
        destination = %tuple.destination,
        destination_port = tuple.destination_port,
        protocol = tuple.protocol,
        "connection {action}"
    );
}
