//! How much the maps hold, and what is said when one is full.

use aya::maps::MapData;
use dataplane::DataplaneError;
use rustix::io::Errno;

use crate::options::Sizes;

/// What of the topology a map is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grown {
    Routes,
    Ports,
    /// Nothing: it is as large as it is.
    Fixed,
}

/// Maps, what each is made for, and its entries.
fn limits(sizes: &Sizes) -> [(&'static str, Grown, u32); 32] {
    use Grown::{Fixed, Ports, Routes};
    [
        ("ports", Ports, sizes.ports),
        ("port_of", Ports, sizes.ports),
        ("port_traffic", Ports, sizes.ports),
        ("port_names", Ports, sizes.ports),
        ("paces", Ports, sizes.ports),
        ("allowed_sources", Ports, sizes.ports.saturating_mul(16)),
        ("labels", Ports, sizes.vrfs.saturating_add(sizes.ports)),
        ("uplinks", Fixed, 64),
        ("probers", Fixed, 1024),
        ("vnis", Fixed, sizes.vrfs),
        ("vrf_names", Fixed, sizes.vrfs),
        // VRFs are numbered from 1.
        ("vrf_traffic", Fixed, sizes.vrfs.saturating_add(1)),
        ("hosts_v4", Routes, sizes.routes),
        ("hosts_v6", Routes, sizes.routes),
        ("nets_v4", Routes, sizes.routes),
        ("nets_v6", Routes, sizes.routes),
        ("identity_sets", Routes, sizes.groups),
        ("groups", Routes, sizes.groups),
        // One for all members, one for those that stay here: groups are full before they are.
        ("group_shares", Routes, sizes.groups.saturating_mul(2)),
        ("next_hops", Routes, sizes.next_hops),
        ("translations", Ports, sizes.translations),
        ("flows", Fixed, sizes.flows),
        ("new_flows", Fixed, sizes.flows / 8),
        ("affinities", Fixed, sizes.flows / 8),
        ("tunnel_traffic", Fixed, 2048),
        ("filters", Ports, sizes.filters),
        // Filters are numbered from 1.
        ("filter_revisions", Ports, sizes.filters.saturating_add(1)),
        ("filter_names", Ports, sizes.filters.saturating_mul(8)),
        ("rule_counts", Ports, sizes.rules),
        ("connections", Fixed, sizes.connections),
        ("new_connections", Fixed, sizes.connections / 8),
        ("fragments", Fixed, 4096),
    ]
}

/// The maps and how many entries each is made for.
pub(crate) fn entries(sizes: &Sizes) -> impl Iterator<Item = (&'static str, u32)> {
    limits(sizes).into_iter().map(|(name, _, entries)| (name, entries.max(1)))
}

/// There is no room for one more `what`: the map `name` has `entries` already.
pub(crate) fn full(what: &str, name: &str, entries: u32) -> DataplaneError {
    let of = limits(&Sizes::default()).into_iter().find(|(one, ..)| *one == name);
    let remedy = match of.map_or(Grown::Fixed, |(_, of, _)| of) {
        Grown::Routes => "; raise max-routes of [cloud.NAME.nodes] and restart the agent",
        Grown::Ports => "; raise max-ports of [cloud.NAME.nodes] and restart the agent",
        Grown::Fixed => ", and no setting raises that",
    };
    DataplaneError::new(format!(
        "no room for another {what}: the map {name} is full with {entries} entries{remedy}"
    ))
}

/// Whether that is what the kernel says when a map is full; a hash and a trie say it differently.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    let full = [Errno::TOOBIG, Errno::NOSPC].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|error| full.contains(&error))
}

/// The same of a map that has just refused another entry.
pub(crate) fn full_map(what: &str, map: &MapData) -> Option<DataplaneError> {
    let info = map.info().ok()?;
    Some(full(what, info.name_as_str()?, info.max_entries()))
}

/// Whether so many fit into the map.
pub(crate) fn check_room(what: &str, map: &MapData, wanted: usize) -> Result<(), DataplaneError> {
    let entries = map
        .info()
        .map_err(|error| {
            DataplaneError::because(format!("cannot ask about a map ({what})"), error)
        })?
        .max_entries();
    let fits = u32::try_from(wanted).is_ok_and(|wanted| wanted <= entries);
    if fits { Ok(()) } else { Err(full_map(what, map).unwrap_or_else(|| full(what, "?", entries))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_told_that_a_map_is_full_is_told_what_raises_it() {
        let text = full("route", "hosts_v4", 65_536).to_string();
        assert_eq!(
            text,
            "no room for another route: the map hosts_v4 is full with 65536 entries; raise max-routes \
             of [cloud.NAME.nodes] and restart the agent"
        );
        assert!(full("port", "ports", 2).to_string().contains("raise max-ports"));
        assert!(full("VRF", "vrf_names", 2).to_string().contains("no setting"));
    }
}
