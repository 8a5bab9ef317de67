//! What the kernel has charged for the maps of a plane.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, MapInfo};

use crate::world::Node;

/// Where the maps of a node are pinned.
pub(crate) fn pins(node: &Node) -> Result<PathBuf> {
    let instance = node.options.bpffs.join("arcus").join(&node.options.instance);
    let version = std::fs::read_dir(instance)?.next().context("no version is pinned")??;
    Ok(version.path().join("maps"))
}

fn names(node: &Node) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(pins(node)?)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Octets of each map. Those of a map that grows tell how many entries it has.
pub(crate) fn charged(node: &Node) -> Result<BTreeMap<String, u64>> {
    let pins = pins(node)?;
    let of_map = |name: String| {
        let map = MapData::from_pin(pins.join(&name))?;
        let number = map.fd().as_fd().as_raw_fd();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        let octets = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        Ok((name, octets.context("no memlock")?.trim().parse()?))
    };
    names(node)?.into_iter().map(of_map).collect()
}

/// The most entries of each map.
pub(crate) fn limits(node: &Node) -> Result<BTreeMap<String, u32>> {
    let pins = pins(node)?;
    let of_map = |name: String| {
        let limit = MapInfo::from_pin(pins.join(&name))?.max_entries();
        Ok((name, limit))
    };
    names(node)?.into_iter().map(of_map).collect()
}
