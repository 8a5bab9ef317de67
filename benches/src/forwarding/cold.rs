//! What it takes to find a route among many: one that was used lately, and one of which the caches have nothing
//! any more.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use dataplane::VrfId;
use dataplane_ebpf::{Timing, look_up_time};
use serde::{Deserialize, Serialize};

use super::traffic::Traffic;
use super::way::Way;
use super::yard::Yard;

/// The first of the host routes.
const FIRST: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
const DATAGRAMS: u32 = 100_000;
/// From one destination to the next: a prime, so that none comes twice.
const STRIDE: u32 = 7_919;
/// Routes that are used again and again.
const FEW: u32 = 1_000;

/// Nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cold {
    pub(crate) routes: u32,
    /// Of a look-up among the first thousand, and among all.
    pub(crate) few: f64,
    pub(crate) all: f64,
    /// Of `arcus_port` for a datagram: to one destination again and again, and to another one each time.
    pub(crate) again: f64,
    pub(crate) anew: f64,
}

/// Gives the caller's node so many host routes more, and sends along them. There, nobody has the addresses.
pub(crate) fn measure(yard: &mut Yard, way: Way, traffic: &Traffic, routes: u32) -> Result<Cold> {
    let [near, _] = &mut yard.ours;
    let vrf = VrfId(way.number.into());
    let table = near.wanted.fib.entry(vrf).or_default();
    let Some(there) = table.get(&IpAddr::from(way.target()).into()).cloned() else {
        anyhow::bail!("{} has no route", way.name);
    };
    let address = |number: u32| Ipv4Addr::from(FIRST.to_bits() + number % routes);
    for number in 0..routes {
        table.insert(IpAddr::from(address(number)).into(), there.clone());
    }
    near.apply()?;
    let look_up = |among: u32| -> Result<f64> {
        let taken = near.namespace.inside(|| look_up_time(&near.options, vrf, FIRST, among))??;
        Ok(taken.as_secs_f64() * 1e9)
    };
    let (few, all) = (look_up(FEW.min(routes))?, look_up(routes)?);
    let timing = Timing::start()?;
    let run = |stride: u32| -> Result<f64> {
        let before = yard.near_port()?;
        traffic.scatter((0..DATAGRAMS).map(|number| address(number.wrapping_mul(stride))))?;
        let after = yard.near_port()?;
        let (runs, time) = (after.0 - before.0, after.1.saturating_sub(before.1));
        Ok(time.as_secs_f64() * 1e9 / f64::from(u32::try_from(runs)?))
    };
    let (again, anew) = (run(0)?, run(STRIDE)?);
    drop(timing);
    Ok(Cold { routes, few, all, again, anew })
}
