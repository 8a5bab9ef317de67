//! Loads of a whole table, who comes late, and who goes.

use std::thread;

use anyhow::Result;

use super::rig::Rig;
use super::{Metrics, Place};
use crate::load::feed;
use crate::load::routes::{Kind, PER_SET};

const CLIENTS: u16 = 10;

pub(super) fn vpnv4(place: &Place<'_>) -> Result<Metrics> {
    load(place, Kind::VpnV4, 1_000_000)
}

pub(super) fn unicast(place: &Place<'_>) -> Result<Metrics> {
    load(place, Kind::Ipv4Unicast, 1_000_000)
}

pub(super) fn evpn(place: &Place<'_>) -> Result<Metrics> {
    load(place, Kind::Evpn, 400_000)
}

fn load(place: &Place<'_>, kind: Kind, full: u32) -> Result<Metrics> {
    let routes = place.sized(full, u32::from(kind.senders()) * PER_SET);
    let rig = Rig::new(place, kind, routes, false)?;
    let clients = rig.clients(0..CLIENTS)?;
    let feeds = rig.senders(rig.encoded())?;
    rig.up(clients.iter().chain(feeds.iter().map(|(peer, _)| peer)))?;
    let mark = rig.mark()?;
    feed::send_all(&feeds)?;
    rig.have(&clients, routes)?;
    let metrics = rig.since(&mark, &clients)?;
    Ok(per_route(metrics, routes))
}

/// Adds what each route took of memory.
pub(super) fn per_route(mut metrics: Metrics, routes: u32) -> Metrics {
    if let Some(peak) = metrics.remove("peak_bytes") {
        metrics.insert("peak_bytes_per_route".to_owned(), peak / f64::from(routes));
    }
    metrics
}

/// Four senders and the clients: the table of `vpnv4-1m`, wholly loaded.
fn loaded(place: &Place<'_>) -> Result<(Rig, Vec<Feed>, Vec<Client>)> {
    let routes = place.sized(1_000_000, 4 * PER_SET);
    let rig = Rig::new(place, Kind::VpnV4, routes, false)?;
    let clients = rig.clients(0..CLIENTS)?;
    let feeds = rig.senders(rig.encoded())?;
    rig.up(clients.iter().chain(feeds.iter().map(|(peer, _)| peer)))?;
    feed::send_all(&feeds)?;
    rig.have(&clients, routes)?;
    Ok((rig, feeds, clients))
}

type Client = std::sync::Arc<crate::load::crowd::Peer>;
type Feed = (Client, Vec<u8>);

pub(super) fn all_at_once(place: &Place<'_>) -> Result<Metrics> {
    let routes = place.sized(1_000_000, 4 * PER_SET);
    let rig = Rig::new(place, Kind::VpnV4, routes, false)?;
    let encoded = rig.encoded();
    let mark = rig.mark()?;
    let feeds = rig.senders(encoded)?;
    let clients = thread::scope(|scope| -> Result<_> {
        let sending = scope.spawn(|| {
            rig.up(feeds.iter().map(|(peer, _)| peer))?;
            feed::send_all(&feeds)
        });
        let clients = rig.clients(0..CLIENTS)?;
        sending.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
        Ok(clients)
    })?;
    rig.have(&clients, routes)?;
    let metrics = rig.since(&mark, &clients)?;
    Ok(per_route(metrics, routes))
}

pub(super) fn late_joiner(place: &Place<'_>) -> Result<Metrics> {
    let (rig, _feeds, _clients) = loaded(place)?;
    let mark = rig.mark()?;
    let late = rig.clients(CLIENTS..CLIENTS + 1)?;
    rig.have(&late, rig.routes)?;
    rig.since(&mark, &late)
}

pub(super) fn sender_loss(place: &Place<'_>) -> Result<Metrics> {
    let (rig, feeds, clients) = loaded(place)?;
    let mark = rig.mark()?;
    if let Some((lost, _)) = feeds.first() {
        rig.crowd.leave(lost)?;
    }
    rig.have(&clients, rig.routes / 4 * 3)?;
    rig.since(&mark, &clients)
}
