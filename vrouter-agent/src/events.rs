//! The task that takes reports of single packets from the data plane: copies go to those who watch a
//! port, decisions of rules that log go to the log.

use dataplane::event::{Decided, Event};
use dataplane::{Direction, Events, Verdict};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::mirror::Mirrors;

/// Runs until `shutdown`.
pub async fn run(
    mut events: Box<dyn Events>,
    mirrors: Mirrors,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            event = events.next() => event,
        };
        match event {
            Event::Mirrored(packet) => mirrors.send(packet),
            Event::Decided(decided) => log(&decided),
            Event::Lost(reports) => warn!(reports, "reports of packets were lost"),
            Event::Sample(_) => {}
        }
    }
}

fn log(decided: &Decided) {
    let Decided { port, filter, rule, direction, verdict, tuple } = decided;
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
