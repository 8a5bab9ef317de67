//! Taking everything away.

use aya::maps::{HashMap, Map, MapData};
use dataplane::{DataplaneError, Result};

use crate::layout::PortName;
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
    pins.remove().map_err(|error| {
        let what = format!("cannot remove what {} pinned", options.instance);
        DataplaneError::because(what, error)
    })
}

/// Ports that can still be read; without their names there is nothing more to find.
fn records(pins: &Pins) -> Vec<PortRecord> {
    let Ok(data) = MapData::from_pin(pins.maps().join("port_names")) else { return Vec::new() };
    let Ok(names) = HashMap::<_, u32, PortName>::try_from(Map::HashMap(data)) else {
        return Vec::new();
    };
    let names: Vec<(u32, PortName)> = names.all().unwrap_or_default();
    names.iter().filter_map(|(_, value)| PortRecord::decode(value)).collect()
}
