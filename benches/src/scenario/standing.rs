//! What a session costs while it stands: idle, one more, and one that does not read.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::load::per_route;
use super::rig::Rig;
use super::{Metrics, Place};
use crate::load::feed;
use crate::load::routes::{Kind, PER_SET};

/// How long idle sessions are watched: two rounds of our keepalives and more.
const WATCH: Duration = Duration::from_secs(35);

pub(super) fn idle(place: &Place<'_>) -> Result<Metrics> {
    let rig = Rig::new(place, Kind::VpnV4, 64, false)?;
    rig.rest(Duration::from_secs(2))?;
    let before = rig.usage()?;
    let count = u16::try_from(place.sized(1_000, 1))?;
    let clients = rig.clients(0..count)?;
    rig.up(clients.iter())?;
    rig.rest(Duration::from_secs(5))?;
    let up = rig.usage()?;
    let start = Instant::now();
    thread::sleep(WATCH);
    let cpu = rig.usage()?.cpu().saturating_sub(up.cpu());
    rig.crowd.check()?;
    #[expect(clippy::cast_precision_loss, reason = "octets of one process")]
    let grown = up.resident.saturating_sub(before.resident) as f64;
    let metrics = [
        ("bytes_per_session", grown / f64::from(count)),
        ("core_percent", 100.0 * cpu.as_secs_f64() / start.elapsed().as_secs_f64()),
        ("cpu_s", cpu.as_secs_f64()),
    ];
    Ok(metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

pub(super) fn slope(place: &Place<'_>) -> Result<Metrics> {
    let (few, many) =
        least_of_both(|| with_clients(place, 10, false), || with_clients(place, 40, false))?;
    let difference = |name: &str| (of(&many, name) - of(&few, name)) / 30.0;
    Ok(Metrics::from([
        ("cpu_s".to_owned(), difference("cpu_s")),
        ("wall_s".to_owned(), difference("wall_s")),
        ("peak_bytes_per_route".to_owned(), difference("peak_bytes_per_route")),
    ]))
}

pub(super) fn never_reads(place: &Place<'_>) -> Result<Metrics> {
    let (without, with) =
        least_of_both(|| with_clients(place, 10, false), || with_clients(place, 10, true))?;
    let routes = f64::from(place.sized(1_000_000, 4 * PER_SET));
    let more = of(&with, "peak_bytes_per_route") - of(&without, "peak_bytes_per_route");
    Ok(Metrics::from([
        ("cpu_s".to_owned(), of(&with, "cpu_s")),
        ("wall_s".to_owned(), of(&with, "wall_s")),
        ("cpu_ratio".to_owned(), of(&with, "cpu_s") / of(&without, "cpu_s").max(0.01)),
        ("more_peak_bytes".to_owned(), more * routes),
    ]))
}

/// Two runs to be compared, in turn and thrice each: of each number the least, since what others do on
/// the machine only adds to it, and a small difference is looked for.
fn least_of_both(
    one: impl Fn() -> Result<Metrics>,
    other: impl Fn() -> Result<Metrics>,
) -> Result<(Metrics, Metrics)> {
    let (mut first, mut second) = (one()?, other()?);
    for _ in 0..2 {
        first = least(&first, &one()?);
        second = least(&second, &other()?);
    }
    Ok((first, second))
}

fn least(a: &Metrics, b: &Metrics) -> Metrics {
    a.iter().map(|(name, value)| (name.clone(), value.min(of(b, name)))).collect()
}

fn of(metrics: &Metrics, name: &str) -> f64 {
    metrics.get(name).copied().unwrap_or_default()
}

/// `vpnv4-1m` with so many clients, and perhaps one more that is deaf.
fn with_clients(place: &Place<'_>, clients: u16, has_deaf: bool) -> Result<Metrics> {
    let routes = place.sized(1_000_000, 4 * PER_SET);
    let rig = Rig::new(place, Kind::VpnV4, routes, false)?;
    let deaf = has_deaf.then(|| rig.deaf_client(clients)).transpose()?;
    let clients = rig.clients(0..clients)?;
    let feeds = rig.senders(rig.encoded())?;
    rig.up(clients.iter().chain(feeds.iter().map(|(peer, _)| peer)).chain(&deaf))?;
    let mark = rig.mark()?;
    feed::send_all(&feeds)?;
    rig.have(&clients, routes)?;
    let metrics = rig.since(&mark, &clients)?;
    Ok(per_route(metrics, routes))
}
