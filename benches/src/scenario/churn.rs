//! Steady change on a full table: how long each change takes to reach every client.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::rig::{CEILING, Rig};
use super::{Metrics, Place};
use crate::load::feed;
use crate::load::latency::{Event, Sent, quantile};
use crate::load::routes::{Kind, PER_SET, announce, withdraw};

const CLIENTS: u16 = 11;

/// Routes withdrawn in a second.
const RATE: u32 = 5_000;

/// A step of the sender: so many attribute sets each.
const STEP: Duration = Duration::from_millis(2);
const PER_STEP: u32 = RATE / 500;

/// How long a route is gone.
const GONE: Duration = Duration::from_millis(200);

/// How long it goes on, at scale 1 and above a tenth of it.
const LENGTH: Duration = Duration::from_secs(10);

pub(super) fn churn(place: &Place<'_>) -> Result<Metrics> {
    let routes = place.sized(1_000_000, 4 * PER_SET);
    let rig = Rig::new(place, Kind::VpnV4, routes, false)?;
    let clients = rig.clients(0..CLIENTS)?;
    let feeds = rig.senders(rig.encoded())?;
    rig.up(clients.iter().chain(feeds.iter().map(|(peer, _)| peer)))?;
    feed::send_all(&feeds)?;
    rig.have(&clients, routes)?;
    let mark = rig.mark()?;
    let before: Vec<_> = clients.iter().map(counts).collect();
    let sent = Arc::new(Sent::new(rig.crowd.start(), routes));
    rig.crowd.watch(&clients, &sent);

    // The routes of the first sender, each once.
    let (sender, _) = feeds.first().context("a sender")?;
    let limit = u32::try_from(LENGTH.as_millis() / STEP.as_millis())? * PER_STEP;
    let total = limit.min(routes / 4) / PER_STEP * PER_STEP;
    let start = Instant::now();
    let delay = u32::try_from(GONE.as_millis() / STEP.as_millis())?;
    let mut latest = 0;
    for step in 0..total / PER_STEP + delay {
        let due = start + STEP * step;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        latest = latest.max(due.elapsed().as_micros());
        let numbers = |step: u32| (step * PER_STEP..(step + 1) * PER_STEP).collect::<Vec<_>>();
        if step * PER_STEP < total {
            let routes = numbers(step);
            for route in &routes {
                sent.mark(*route, Event::Withdrawn);
            }
            sender.send(&withdraw(Kind::VpnV4, &routes))?;
        }
        if let Some(step) = step.checked_sub(delay) {
            let routes = numbers(step);
            for route in &routes {
                sent.mark(*route, Event::Announced);
            }
            sender.send(&announce(Kind::VpnV4, &routes))?;
        }
    }
    let length = start.elapsed();
    // Each change reaches each client: none may be merged with the one 200 ms later.
    let all = || {
        clients.iter().zip(&before).all(|(client, before)| {
            let (announced, withdrawn) = counts(client);
            announced - before.0 >= u64::from(total) && withdrawn - before.1 >= u64::from(total)
        })
    };
    rig.crowd.wait("every change has reached every client", CEILING, all)?;
    ensure!(
        clients.iter().all(|client| client.present() == routes),
        "a client does not have the whole table behind the churn"
    );
    let mut metrics = rig.since(&mark, &clients)?;
    let took = rig.crowd.latencies();
    metrics.remove("wall_s");
    metrics.insert("p50_us".to_owned(), quantile(&took, 0.5));
    metrics.insert("p99_us".to_owned(), quantile(&took, 0.99));
    metrics.insert("max_us".to_owned(), quantile(&took, 1.0));
    let cpu = metrics.get("cpu_s").copied().unwrap_or_default();
    metrics.insert("core_percent".to_owned(), 100.0 * cpu / length.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "microseconds")]
    metrics.insert("sender_late_max_us".to_owned(), latest as f64);
    Ok(metrics)
}

fn counts(client: &Arc<crate::load::crowd::Peer>) -> (u64, u64) {
    let status = &client.status;
    (status.announced.load(Ordering::Relaxed), status.withdrawn.load(Ordering::Relaxed))
}
