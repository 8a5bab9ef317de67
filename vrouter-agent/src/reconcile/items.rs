//! Parts of states, by the things that operations are about.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::{Desired, Op};

use super::Item;

pub(super) fn items_but_routes(state: &Desired) -> BTreeSet<Item> {
    let Desired { vrfs, filters, ports, translations, .. } = state;
    std::iter::once(Item::Node)
        .chain(vrfs.keys().map(|id| Item::Vrf(*id)))
        .chain(filters.keys().map(|id| Item::Filter(id.clone())))
        .chain(ports.keys().map(|id| Item::Port(id.clone())))
        .chain(translations.keys().map(|(vrf, address)| Item::Translation(*vrf, *address)))
        .collect()
}

/// The part of a state that `items` are about.
pub(super) fn part(state: &Desired, items: &BTreeSet<Item>) -> Desired {
    let mut part = Desired::default();
    for item in items {
        match item {
            Item::Node => part.node = state.node.clone(),
            Item::Vrf(id) => put(&mut part.vrfs, id, state.vrfs.get(id)),
            Item::Filter(id) => put(&mut part.filters, id, state.filters.get(id)),
            Item::Port(id) => put(&mut part.ports, id, state.ports.get(id)),
            Item::Translation(vrf, address) => {
                let key = (*vrf, *address);
                put(&mut part.translations, &key, state.translations.get(&key));
            }
            Item::Route(vrf, net) => {
                if let Some(group) = state.fib.get(vrf).and_then(|table| table.get(net)) {
                    part.fib.entry(*vrf).or_default().insert(*net, group.clone());
                }
            }
        }
    }
    part
}

pub(super) fn put<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, key: &K, value: Option<&V>) {
    match value {
        Some(value) => {
            map.insert(key.clone(), value.clone());
        }
        None => {
            map.remove(key);
        }
    }
}

pub(super) fn item_of(op: &Op) -> Item {
    match op {
        Op::PutNode(_) => Item::Node,
        Op::PutVrf(id, _) | Op::RemoveVrf(id) => Item::Vrf(*id),
        Op::PutFilter(id, _) | Op::RemoveFilter(id) => Item::Filter(id.clone()),
        Op::PutPort(id, _) | Op::RemovePort(id) => Item::Port(id.clone()),
        Op::PutTranslation(vrf, address, _) | Op::RemoveTranslation(vrf, address) => {
            Item::Translation(*vrf, *address)
        }
        Op::PutRoute(vrf, net, _) | Op::RemoveRoute(vrf, net) => Item::Route(*vrf, *net),
    }
}

/// Brings an operation that was applied into what is known to be there.
pub(super) fn note(found: &mut Desired, op: &Op) {
    match op {
        Op::PutNode(node) => found.node = node.clone(),
        Op::PutVrf(id, vrf) => put(&mut found.vrfs, id, Some(vrf)),
        Op::RemoveVrf(id) => put(&mut found.vrfs, id, None),
        Op::PutFilter(id, filter) => put(&mut found.filters, id, Some(filter)),
        Op::RemoveFilter(id) => put(&mut found.filters, id, None),
        Op::PutPort(id, port) => put(&mut found.ports, id, Some(port)),
        Op::RemovePort(id) => put(&mut found.ports, id, None),
        Op::PutTranslation(vrf, address, to) => {
            put(&mut found.translations, &(*vrf, *address), Some(to));
        }
        Op::RemoveTranslation(vrf, address) => {
            put(&mut found.translations, &(*vrf, *address), None);
        }
        Op::PutRoute(vrf, net, group) => {
            found.fib.entry(*vrf).or_default().insert(*net, group.clone());
        }
        Op::RemoveRoute(vrf, net) => {
            if let Some(table) = found.fib.get_mut(vrf) {
                table.remove(net);
                if table.is_empty() {
                    found.fib.remove(vrf);
                }
            }
        }
    }
}
