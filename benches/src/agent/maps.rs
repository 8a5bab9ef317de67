//! What the agent has written, read from the pinned maps.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, HashMap, Map, MapData};

use super::control::Routes;

/// Octets of the data plane's `struct host_v4`, `struct route` and `struct next_hop`; another size is
/// another layout.
type Host = [u8; 8];
type Route = [u8; 8];
type NextHop = [u8; 28];

/// Marks the number of a next hop in a route.
const ONE_HOP: u32 = 1 << 31;

/// `BPF_F_NO_PREALLOC`, as the maps of the data plane.
const NO_PREALLOC: u32 = 1;

/// Routes that are looked at while the others come.
const SAMPLE: u32 = 200;

const LOOK: Duration = Duration::from_millis(1);

pub(super) struct Maps {
    hosts: HashMap<MapData, Host, Route>,
    next_hops: Array<MapData, NextHop>,
    /// The only VRF's number.
    vrf: u32,
}

impl Maps {
    pub(super) fn open(instance: &Path) -> Result<Self> {
        let version = fs::read_dir(instance)?.next().context("nothing is pinned")??.path();
        let pinned = |name: &str| MapData::from_pin(version.join("maps").join(name));
        Ok(Self {
            hosts: HashMap::try_from(Map::HashMap(pinned("hosts_v4")?))?,
            next_hops: Array::try_from(Map::Array(pinned("next_hops")?))?,
            vrf: 1,
        })
    }

    /// Waits until all routes are there as they are to be, or gone, and says how long after `began` that
    /// was, to a millisecond.
    pub(super) fn wait(
        &self,
        routes: &Routes,
        began: Instant,
        ceiling: Duration,
    ) -> Result<Duration> {
        let step = routes.count.div_ceil(SAMPLE).max(1);
        loop {
            // The last ones first: they come last.
            let last = routes.count - 1;
            let mut sample = std::iter::once(last).chain((0..routes.count).step_by(step as usize));
            if sample.all(|number| self.is_right(routes, number)) {
                let took = began.elapsed();
                if (0..routes.count).all(|number| self.is_right(routes, number)) {
                    return Ok(took);
                }
            }
            ensure!(began.elapsed() < ceiling, "not within {ceiling:?}");
            std::thread::sleep(LOOK);
        }
    }

    fn is_right(&self, routes: &Routes, number: u32) -> bool {
        let mut key = [0; 8];
        key[..4].copy_from_slice(&self.vrf.to_ne_bytes());
        key[4..].copy_from_slice(&Routes::address(number).octets());
        let Ok(route) = self.hosts.get(&key, 0) else { return routes.are_gone };
        let [a, b, c, d, ..] = route;
        let target = u32::from_ne_bytes([a, b, c, d]);
        let Ok(hop) = self.next_hops.get(&(target & !ONE_HOP), 0) else { return false };
        // Kind, encapsulation, MAC; label; address, of IPv4 in its last word.
        let [.., e, f, g, h] = hop;
        let label = u32::from_ne_bytes([hop[8], hop[9], hop[10], hop[11]]);
        !routes.are_gone
            && label == routes.label(number)
            && Ipv4Addr::new(e, f, g, h) == routes.next_hop(number)
    }
}

/// Time to put so many entries into a map of the same kind, one by one.
pub(super) fn floor(routes: u32) -> Result<Duration> {
    let mut map = HashMap::<MapData, Host, Route>::create(routes, NO_PREALLOC)?;
    let began = Instant::now();
    for number in 0..routes {
        let mut key = [0; 8];
        key[4..].copy_from_slice(&number.to_ne_bytes());
        map.insert(key, [1; 8], 0)?;
    }
    Ok(began.elapsed())
}
