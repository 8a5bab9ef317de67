//! From what is found to what is wanted.
//!
//! A pure function. The order of what it returns is its contract: what an operation refers to is
//! there before it, and additions come before removals, so that traffic that has a covering route
//! keeps one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::desired::{Desired, NodeConfig, Vrf};
use crate::fib::{Fib, Route};
use crate::filter::{Filter, FilterId};
use crate::nat::Translation;
use crate::port::{Port, PortId, VrfId};

/// One change. Each is idempotent: putting what is there and removing what is not does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    PutNode(NodeConfig),
    PutVrf(VrfId, Vrf),
    PutFilter(FilterId, Filter),
    PutPort(PortId, Port),
    PutTranslation(VrfId, IpAddr, Translation),
    PutRoute(VrfId, IpNet, Route),
    RemoveRoute(VrfId, IpNet),
    RemoveTranslation(VrfId, IpAddr),
    RemovePort(PortId),
    RemoveFilter(FilterId),
    RemoveVrf(VrfId),
}

/// What to compare.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    Everything,
    /// Only these routes; costs in proportion to them, not to the tables.
    Routes(&'a BTreeSet<(VrfId, IpNet)>),
}

/// The operations that turn `found` into `wanted`.
pub fn diff(wanted: &Desired, found: &Desired, scope: Scope<'_>) -> Vec<Op> {
    match scope {
        Scope::Everything => everything(wanted, found),
        Scope::Routes(dirty) => routes(&wanted.fib, &found.fib, dirty),
    }
}

fn everything(wanted: &Desired, found: &Desired) -> Vec<Op> {
    let mut ops = Vec::new();
    if wanted.node != found.node {
        ops.push(Op::PutNode(wanted.node.clone()));
    }
    ops.extend(puts(&wanted.vrfs, &found.vrfs).map(|(id, vrf)| Op::PutVrf(*id, vrf.clone())));
    ops.extend(
        puts(&wanted.filters, &found.filters)
            .map(|(id, filter)| Op::PutFilter(id.clone(), filter.clone())),
    );
    ops.extend(
        puts(&wanted.ports, &found.ports).map(|(id, port)| Op::PutPort(id.clone(), port.clone())),
    );
    ops.extend(
        puts(&wanted.translations, &found.translations)
            .map(|((vrf, address), to)| Op::PutTranslation(*vrf, *address, to.clone())),
    );
    let nothing = BTreeMap::new();
    for (vrf, table) in &wanted.fib {
        let there = found.fib.get(vrf).unwrap_or(&nothing);
        ops.extend(puts(table, there).map(|(net, to)| Op::PutRoute(*vrf, *net, to.clone())));
    }
    for (vrf, table) in &found.fib {
        let keep = wanted.fib.get(vrf).unwrap_or(&nothing);
        ops.extend(leftovers(keep, table).map(|net| Op::RemoveRoute(*vrf, *net)));
    }
    ops.extend(
        leftovers(&wanted.translations, &found.translations)
            .map(|(vrf, address)| Op::RemoveTranslation(*vrf, *address)),
    );
    ops.extend(leftovers(&wanted.ports, &found.ports).map(|id| Op::RemovePort(id.clone())));
    ops.extend(leftovers(&wanted.filters, &found.filters).map(|id| Op::RemoveFilter(id.clone())));
    ops.extend(leftovers(&wanted.vrfs, &found.vrfs).map(|id| Op::RemoveVrf(*id)));
    ops
}

fn routes(wanted: &Fib, found: &Fib, dirty: &BTreeSet<(VrfId, IpNet)>) -> Vec<Op> {
    let (mut puts, mut removes) = (Vec::new(), Vec::new());
    for (vrf, net) in dirty {
        let want = wanted.get(vrf).and_then(|table| table.get(net));
        let have = found.get(vrf).and_then(|table| table.get(net));
        match (want, have) {
            (Some(want), have) if have != Some(want) => {
                puts.push(Op::PutRoute(*vrf, *net, want.clone()));
            }
            (None, Some(_)) => removes.push(Op::RemoveRoute(*vrf, *net)),
            _ => {}
        }
    }
    puts.append(&mut removes);
    puts
}

/// What is wanted and not found, or found different.
fn puts<'a, K: Ord, V: PartialEq>(
    wanted: &'a BTreeMap<K, V>,
    found: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    wanted.iter().filter(|(key, value)| found.get(*key) != Some(*value))
}

/// What is found and not wanted.
fn leftovers<'a, K: Ord, V>(
    wanted: &'a BTreeMap<K, V>,
    found: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    found.keys().filter(|key| !wanted.contains_key(*key))
}
