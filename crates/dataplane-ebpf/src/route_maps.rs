//! Writing routes: each into the map of its kind, many with one system call.

use std::io;

use aya::Pod;
use aya::maps::lpm_trie::Key;
use aya::maps::{IterableMap, MapData};
use dataplane::{DataplaneError, Result, VrfId};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::batch;
use crate::layout::{self, HostV4, HostV6, NetV4, NetV6};
use crate::limits;
use crate::routes::Pointer;
use crate::tables::Tables;

/// A route that changes; `index` is that of the operation. To nothing: it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) index: usize,
    pub(crate) vrf: VrfId,
    pub(crate) net: IpNet,
    pub(crate) was: Option<Pointer>,
    pub(crate) is: Option<Pointer>,
}

/// What became of a change.
type Outcomes = Vec<(Change, Result<()>)>;

/// Changes that are to be written together: either all put, or all remove.
#[derive(Debug, Default)]
pub(crate) struct Staged(Vec<Change>);

impl Staged {
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.0.push(change);
    }

    /// Writes and forgets everything.
    pub(crate) fn write(&mut self, tables: &Tables, outcomes: &mut Outcomes) {
        let mut by_kind: [Vec<Change>; 4] = Default::default();
        for change in self.0.drain(..) {
            let kind = match change.net {
                IpNet::V4(net) if net.prefix_len() == 32 => 0,
                IpNet::V4(_) => 1,
                IpNet::V6(net) if net.prefix_len() == 128 => 2,
                IpNet::V6(_) => 3,
            };
            by_kind[kind].push(change);
        }
        let [hosts_v4, nets_v4, hosts_v6, nets_v6] = by_kind;
        write(IterableMap::map(&tables.hosts_v4), &hosts_v4, host_v4, outcomes);
        write(IterableMap::map(&tables.nets_v4), &nets_v4, net_v4, outcomes);
        write(IterableMap::map(&tables.hosts_v6), &hosts_v6, host_v6, outcomes);
        write(IterableMap::map(&tables.nets_v6), &nets_v6, net_v6, outcomes);
    }
}

/// Changes of one map.
fn write<K: Pod>(
    map: &MapData,
    changes: &[Change],
    key: impl Fn(VrfId, IpNet) -> K,
    outcomes: &mut Outcomes,
) {
    let keys: Vec<K> = changes.iter().map(|change| key(change.vrf, change.net)).collect();
    let values: Vec<layout::Route> = changes
        .iter()
        .filter_map(|change| change.is)
        .map(|is| layout::Route { target: is.target, identities: is.identities })
        .collect();
    if values.is_empty() {
        settle("remove", map, changes, outcomes, |from| batch::remove(map, &keys[from..]));
    } else {
        settle("put", map, changes, outcomes, |from| {
            batch::put(map, &keys[from..], &values[from..])
        });
    }
}

/// Goes on behind each that is refused, until all are through.
fn settle(
    what: &str,
    map: &MapData,
    changes: &[Change],
    outcomes: &mut Outcomes,
    go_on: impl Fn(usize) -> (usize, Option<io::Error>),
) {
    let mut from = 0;
    while from < changes.len() {
        let (done, error) = go_on(from);
        outcomes.extend(changes[from..from + done].iter().map(|change| (*change, Ok(()))));
        from += done;
        let Some(error) = error else { return };
        let full = if limits::is_full(&error) { limits::full_map("route", map) } else { None };
        let error = full.unwrap_or_else(|| {
            let net = changes[from].net;
            DataplaneError::because(format!("cannot {what} route {net}"), error)
        });
        outcomes.push((changes[from], Err(error)));
        from += 1;
    }
}

/// The keys want a prefix of their own version, which [`Staged::write`] has looked at.
fn host_v4(vrf: VrfId, net: IpNet) -> HostV4 {
    HostV4 { vrf: vrf.0, address: v4(net).addr().into() }
}

fn host_v6(vrf: VrfId, net: IpNet) -> HostV6 {
    HostV6 { vrf: vrf.0, address: v6(net).addr().into() }
}

fn net_v4(vrf: VrfId, net: IpNet) -> Key<NetV4> {
    let net = v4(net);
    let key = NetV4 { vrf: vrf.0.to_be_bytes(), address: net.addr().octets() };
    Key::new(32 + u32::from(net.prefix_len()), key)
}

fn net_v6(vrf: VrfId, net: IpNet) -> Key<NetV6> {
    let net = v6(net);
    let key = NetV6 { vrf: vrf.0.to_be_bytes(), address: net.addr().octets() };
    Key::new(32 + u32::from(net.prefix_len()), key)
}

fn v4(net: IpNet) -> Ipv4Net {
    if let IpNet::V4(net) = net { net } else { Ipv4Net::default() }
}

fn v6(net: IpNet) -> Ipv6Net {
    if let IpNet::V6(net) = net { net } else { Ipv6Net::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trie_key_counts_the_vrf_in_its_length() {
        let key = net_v4(VrfId(0x0102), "10.1.2.0/24".parse().unwrap());
        assert_eq!(key.prefix_len(), 56);
        assert_eq!(key.data().vrf, [0, 0, 1, 2]);
        assert_eq!(key.data().address, [10, 1, 2, 0]);
        let key = net_v6(VrfId(0x0102), "2001:db8::/32".parse().unwrap());
        assert_eq!(key.prefix_len(), 64);
        assert_eq!(key.data().address[..4], [0x20, 0x01, 0x0d, 0xb8]);
    }
}
