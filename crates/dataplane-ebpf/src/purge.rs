//! Taking everything away.

use aya::Pod;
use aya::maps::{HashMap, Map, MapData, MapInfo};
use aya::programs::loaded_programs;
use dataplane::{DataplaneError, Result};

use crate::classic;
use crate::layout::{PortName, Uplink};
use crate::merging;
use crate::names::{self, PortRecord};
use crate::netlink::Netlink;
use crate::options::Options;
use crate::pins::Pins;
use crate::plane::need_capabilities;
use crate::tables::Entry as _;

/// Removes all that the instance made: interfaces of ports, programs, maps. Nothing is forwarded
/// afterwards, give or take the moment that the kernel needs to let go. What is not there is no error.
///
/// Must be called in the node's network namespace, on a tokio runtime.
///
/// # Errors
/// Also while a plane of the instance is open.
pub async fn purge(options: &Options) -> Result<()> {
    need_capabilities()?;
    let pins = Pins::new(options)?;
    if !pins.is_mounted() || !pins.exist() {
        return Ok(());
    }
    let _lock = pins.lock()?;
    let netlink = Netlink::open()?;
    for record in records(&pins) {
        let name = names::host_interface(&options.instance, &record.id);
        if let Some(interface) = netlink.interface(&name).await? {
            netlink.delete(&interface).await?;
        }
    }
    merging::remove_devices(&netlink).await?;
    // A link ends with its pin, a filter stays.
    for ifindex in uplinks(&pins) {
        if let Some(program) = netlink.ingress_program(ifindex).await?
            && is_of(&pins, program)
        {
            classic::detach(ifindex)?;
        }
    }
    pins.remove().map_err(|error| {
        let what = format!("cannot remove what {} pinned", options.instance);
        DataplaneError::because(what, error)
    })
}

/// Ports that can still be read; without their names there is nothing more to find.
fn records(pins: &Pins) -> Vec<PortRecord> {
    let names: Vec<(_, PortName)> = pinned(pins, "port_names");
    names.iter().filter_map(|(_, value)| PortRecord::decode(value)).collect()
}

/// The numbers of the interfaces of the underlay.
fn uplinks(pins: &Pins) -> Vec<u32> {
    pinned::<Uplink>(pins, "uplinks").into_iter().map(|(ifindex, _)| ifindex).collect()
}

/// The entries of a map; none, if it cannot be read.
fn pinned<V: Pod>(pins: &Pins, map: &str) -> Vec<(u32, V)> {
    let Ok(data) = MapData::from_pin(pins.maps().join(map)) else { return Vec::new() };
    HashMap::try_from(Map::HashMap(data)).ok().and_then(|map| map.all().ok()).unwrap_or_default()
}

/// Whether a program works with the maps of this plane, and not of another one.
fn is_of(pins: &Pins, program: u32) -> bool {
    let Ok(node) = MapInfo::from_pin(pins.maps().join("node")) else { return false };
    loaded_programs().flatten().any(|info| {
        let maps = || info.map_ids().ok().flatten().unwrap_or_default();
        info.id() == program && maps().contains(&node.id())
    })
}
