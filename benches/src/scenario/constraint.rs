//! Clients that are told only what they asked for (RFC 4684).

use std::sync::Arc;

use anyhow::Result;

use super::load::per_route;
use super::rig::Rig;
use super::{Metrics, Place};
use crate::load::crowd::Peer;
use crate::load::feed;
use crate::load::routes::{Kind, PER_SET, TARGETS};

/// Routes come in steps of this: each target has as many as every other.
const STEP: u32 = TARGETS * PER_SET * 4;

pub(super) fn clients_100(place: &Place<'_>) -> Result<Metrics> {
    load(place, 40_000, 100)
}

pub(super) fn clients_200(place: &Place<'_>) -> Result<Metrics> {
    load(place, 200_000, 200)
}

fn load(place: &Place<'_>, full: u32, clients: u32) -> Result<Metrics> {
    let routes = place.sized(full, STEP);
    let rig = Rig::new(place, Kind::VpnV4, routes, true)?;
    let clients = constrained(&rig, place.sized(clients, 1))?;
    let feeds = rig.senders(rig.encoded())?;
    rig.up(clients.iter().chain(feeds.iter().map(|(peer, _)| peer)))?;
    let mark = rig.mark()?;
    feed::send_all(&feeds)?;
    rig.have(&clients, routes / TARGETS * 10)?;
    let metrics = rig.since(&mark, &clients)?;
    Ok(per_route(metrics, routes))
}

pub(super) fn clients_1000(place: &Place<'_>) -> Result<Metrics> {
    come_up(place, 1_000)
}

pub(super) fn clients_5000(place: &Place<'_>) -> Result<Metrics> {
    come_up(place, 5_000)
}

fn come_up(place: &Place<'_>, clients: u32) -> Result<Metrics> {
    let routes = place.sized(40_000, STEP);
    let rig = Rig::new(place, Kind::VpnV4, routes, true)?;
    let witness = rig.clients(u16::MAX - 1..u16::MAX)?;
    let feeds = rig.senders(rig.encoded())?;
    rig.up(witness.iter().chain(feeds.iter().map(|(peer, _)| peer)))?;
    feed::send_all(&feeds)?;
    rig.have(&witness, routes)?;
    let mark = rig.mark()?;
    let count = place.sized(clients, 1);
    let clients = constrained(&rig, count)?;
    rig.have(&clients, routes / TARGETS * 10)?;
    let mut metrics = rig.since(&mark, &clients)?;
    if let Some(peak) = metrics.remove("peak_bytes") {
        metrics.insert("peak_bytes_per_client".to_owned(), peak / f64::from(count));
    }
    Ok(metrics)
}

fn constrained(rig: &Rig, count: u32) -> Result<Vec<Arc<Peer>>> {
    (0..u16::try_from(count)?).map(|number| rig.constrained_client(number)).collect()
}
