//! From wanted to found: what the data plane is still to do, in which order, and what failed.
//!
//! Holds both states. Knows a [`Dataplane`] and the time it is given; knows no route, no port request
//! and no task.
//!
//! After a restart the plane is *adopted*: what an earlier run left stays until the core says that
//! it knows everything again ([`Work::sweep`]). Until then a route keeps the tunnels it was found
//! with beside those that are wanted, so that no flow moves while routes come in one by one.

mod items;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use dataplane::{
    Counters, Dataplane, DataplaneError, Desired, Devices, Events, Fib, Filter, FilterId,
    Mirroring, NextHop, NextHopGroup, NodeConfig, Op, Port, PortId, Probe, Route, Scope, Trace,
    Translation, TranslationKind, Vrf, VrfFib, VrfId, diff,
};
use ipnet::IpNet;
use tracing::warn;

use items::{item_of, items_but_routes, note, part, put};

/// The first wait before something that failed is tried again; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// One thing that an operation is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    Node,
    Vrf(VrfId),
    Filter(FilterId),
    Port(PortId),
    Translation(VrfId, IpAddr),
    Route(VrfId, IpNet),
}

/// Changes of what is wanted: the latest state of each thing that changed, `None` to remove it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// Grows by one with each.
    pub seq: u64,
    pub node: Option<NodeConfig>,
    pub vrfs: BTreeMap<VrfId, Option<Vrf>>,
    pub filters: BTreeMap<FilterId, Option<Filter>>,
    pub ports: BTreeMap<PortId, Option<Port>>,
    pub translations: BTreeMap<(VrfId, IpAddr), Option<Translation>>,
    pub routes: BTreeMap<(VrfId, IpNet), Option<Route>>,
    /// VRFs of which `routes` has everything: what it does not name goes.
    pub whole: BTreeSet<VrfId>,
    /// Everything that is wanted is known: what an earlier run left and nobody asked for goes.
    pub sweep: bool,
}

impl Work {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self { seq: self.seq, ..Self::default() }
    }
}

/// What became of the work up to `seq`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub seq: u64,
    /// Failed now, with the reason.
    pub failed: Vec<(Item, String)>,
    /// Failed earlier, and is right now.
    pub recovered: Vec<Item>,
}

#[derive(Debug)]
struct Failure {
    reason: String,
    wait: Duration,
    again: Instant,
}

/// Owns a data plane and makes it what is wanted.
#[derive(Debug)]
pub struct Reconciler<P> {
    plane: P,
    wanted: Desired,
    found: Desired,
    adopting: bool,
    failures: BTreeMap<Item, Failure>,
    seq: u64,
}

impl<P: Dataplane> Reconciler<P> {
    /// Lists what there is.
    pub async fn adopt(mut plane: P) -> Result<Self, DataplaneError> {
        let found = plane.list().await?;
        let adopting = found != Desired::default();
        Ok(Self {
            plane,
            wanted: Desired::default(),
            found,
            adopting,
            failures: BTreeMap::new(),
            seq: 0,
        })
    }

    #[cfg(test)]
    pub(crate) const fn plane(&self) -> &P {
        &self.plane
    }

    #[cfg(test)]
    pub(crate) const fn plane_mut(&mut self) -> &mut P {
        &mut self.plane
    }

    /// The routes that were found, as far as they were not changed since.
    pub const fn found_routes(&self) -> &Fib {
        &self.found.fib
    }

    /// Whether forwarding went on since an earlier run of the agent.
    pub fn was_found(&self) -> bool {
        self.plane.was_found()
    }

    pub async fn counters(&mut self) -> Result<Counters, DataplaneError> {
        self.plane.counters().await
    }

    pub async fn trace(&mut self, probe: &Probe) -> Result<Trace, DataplaneError> {
        self.plane.trace(probe).await
    }

    pub async fn mirror(
        &mut self,
        port: &PortId,
        mirroring: Mirroring,
    ) -> Result<(), DataplaneError> {
        self.plane.mirror(port, mirroring).await
    }

    /// Where reports of packets come from; once only.
    pub fn events(&mut self) -> Option<Box<dyn Events>> {
        self.plane.events()
    }

    /// How many things wait for another attempt.
    pub fn failing(&self) -> usize {
        self.failures.len()
    }

    /// When [`Reconciler::retry`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.failures.values().map(|failure| failure.again).min()
    }

    /// Takes changes in and applies them.
    pub async fn apply(&mut self, now: Instant, work: Work) -> Report {
        self.seq = work.seq;
        let mut touched = self.merge(&work);
        if work.sweep {
            self.adopting = false;
            let report = self.everything(now).await;
            // What an older version of the plane forwards by is no longer needed.
            if let Err(error) = self.plane.take_over().await {
                warn!(error = with_causes(&error), "an older data plane stays");
            }
            return report;
        }
        let is_only_routes = work.vrfs.is_empty()
            && work.filters.is_empty()
            && work.ports.is_empty()
            && work.translations.is_empty();
        if !is_only_routes {
            // What failed may have waited for just this.
            touched.extend(self.failures.keys().cloned());
        }
        self.pass(now, &touched).await
    }

    /// Tries again what has waited long enough.
    pub async fn retry(&mut self, now: Instant) -> Report {
        let due = self.failures.iter().filter(|(_, failure)| failure.again <= now);
        let due: BTreeSet<Item> = due.map(|(item, _)| item.clone()).collect();
        self.pass(now, &due).await
    }

    /// Looks at what is really there, and repairs it.
    pub async fn audit(&mut self, now: Instant) -> Result<Report, DataplaneError> {
        let (rest, fib) = self.plane.review().await?;
        let as_left = fib.is_none();
        let fib = fib.unwrap_or_else(|| std::mem::take(&mut self.found.fib));
        self.found = Desired { fib, ..rest };
        if self.adopting {
            let all = self.wanted_items();
            return Ok(self.pass(now, &all).await);
        }
        if as_left {
            // All that can differ is what failed; routes are too many to compare for nothing.
            let mut touched = items_but_routes(&self.wanted);
            touched.extend(items_but_routes(&self.found));
            touched.extend(self.failures.keys().cloned());
            return Ok(self.pass(now, &touched).await);
        }
        Ok(self.everything(now).await)
    }

    /// Waits until [`Reconciler::look_at_devices`] finds something. May be given up at any moment.
    pub async fn disturbed(&mut self) {
        self.plane.disturbed().await;
    }

    /// Looks at interfaces alone, and repairs what stands on them. Routes may be many, and are not
    /// looked at.
    pub async fn look_at_devices(&mut self, now: Instant) -> Result<Report, DataplaneError> {
        if self.seq == 0 {
            // Nobody has said yet what is wanted.
            return Ok(Report::default());
        }
        let Devices { node, ports } = self.plane.devices().await?;
        let before = std::mem::replace(&mut self.found.ports, ports);
        self.found.node = node;
        let found = &self.found.ports;
        // What an earlier run left is nobody's until the sweep.
        let mut touched: BTreeSet<Item> = before
            .keys()
            .chain(found.keys())
            .filter(|id| before.get(*id) != found.get(*id))
            .filter(|id| !self.adopting || self.wanted.ports.contains_key(*id))
            .map(|id| Item::Port(id.clone()))
            .collect();
        touched.insert(Item::Node);
        Ok(self.pass(now, &touched).await)
    }

    async fn everything(&mut self, now: Instant) -> Report {
        let ops = diff(&self.wanted, &self.found, Scope::Everything);
        let mut touched: BTreeSet<Item> = ops.iter().map(item_of).collect();
        touched.extend(self.failures.keys().cloned());
        self.run(now, &ops, &touched).await
    }

    async fn pass(&mut self, now: Instant, touched: &BTreeSet<Item>) -> Report {
        let routes: Option<BTreeSet<(VrfId, IpNet)>> = touched
            .iter()
            .map(|item| if let Item::Route(vrf, net) = item { Some((*vrf, *net)) } else { None })
            .collect();
        // By far the most common, and by far the largest.
        if let Some(routes) = routes.filter(|_| !self.adopting) {
            let ops = diff(&self.wanted, &self.found, Scope::Routes(&routes));
            return self.run(now, &ops, touched).await;
        }
        let mut wanted = part(&self.wanted, touched);
        let found = part(&self.found, touched);
        if self.adopting {
            let kept = |vrf: &VrfId| self.wanted.vrfs.contains_key(vrf);
            keep_what_was_left(&mut wanted, &found, kept);
        }
        let ops = diff(&wanted, &found, Scope::Everything);
        self.run(now, &ops, touched).await
    }

    async fn run(&mut self, now: Instant, ops: &[Op], touched: &BTreeSet<Item>) -> Report {
        let errors: BTreeMap<usize, DataplaneError> = if ops.is_empty() {
            BTreeMap::new()
        } else {
            self.plane.apply(ops).await.into_iter().collect()
        };
        let mut report = Report { seq: self.seq, ..Report::default() };
        let mut failed = BTreeSet::new();
        for (index, op) in ops.iter().enumerate() {
            let Some(error) = errors.get(&index) else {
                note(&mut self.found, op);
                continue;
            };
            let item = item_of(op);
            let reason = with_causes(error);
            let wait = self.failures.get(&item).map_or(FIRST_WAIT, |before| before.wait * 2);
            let wait = wait.min(LONGEST_WAIT);
            let failure = Failure { reason: reason.clone(), wait, again: now + wait };
            let before = self.failures.insert(item.clone(), failure);
            if before.is_none_or(|before| before.reason != reason) {
                report.failed.push((item.clone(), reason));
            }
            failed.insert(item);
        }
        if !self.failures.is_empty() {
            for item in touched.difference(&failed) {
                if self.failures.remove(item).is_some() {
                    report.recovered.push(item.clone());
                }
            }
        }
        report
    }

    /// Brings the changes into what is wanted, and returns what they are about.
    fn merge(&mut self, work: &Work) -> BTreeSet<Item> {
        let mut touched = BTreeSet::new();
        if let Some(node) = &work.node {
            self.wanted.node = node.clone();
            touched.insert(Item::Node);
        }
        for (id, vrf) in &work.vrfs {
            put(&mut self.wanted.vrfs, id, vrf.as_ref());
            touched.insert(Item::Vrf(*id));
            if vrf.is_none() {
                // Its routes go with it, also those that an earlier run left.
                let routes = [&mut self.wanted.fib, &mut self.found.fib].map(|fib| {
                    fib.get(id).map(|table| table.keys().copied().collect()).unwrap_or_default()
                });
                self.wanted.fib.remove(id);
                let nets: BTreeSet<IpNet> =
                    routes.into_iter().flat_map(|r: Vec<IpNet>| r).collect();
                touched.extend(nets.into_iter().map(|net| Item::Route(*id, net)));
            }
        }
        for (id, filter) in &work.filters {
            put(&mut self.wanted.filters, id, filter.as_ref());
            touched.insert(Item::Filter(id.clone()));
        }
        for (id, port) in &work.ports {
            put(&mut self.wanted.ports, id, port.as_ref());
            touched.insert(Item::Port(id.clone()));
        }
        for ((vrf, address), translation) in &work.translations {
            put(&mut self.wanted.translations, &(*vrf, *address), translation.as_ref());
            touched.insert(Item::Translation(*vrf, *address));
        }
        for vrf in &work.whole {
            let known = self.wanted.fib.remove(vrf).unwrap_or_default();
            let found = self.found.fib.get(vrf);
            let nets = known.into_keys().chain(found.into_iter().flat_map(VrfFib::keys).copied());
            touched.extend(nets.map(|net| Item::Route(*vrf, net)));
        }
        for ((vrf, net), group) in &work.routes {
            let table = self.wanted.fib.entry(*vrf).or_default();
            put(table, net, group.as_ref());
            if table.is_empty() {
                self.wanted.fib.remove(vrf);
            }
            touched.insert(Item::Route(*vrf, *net));
        }
        touched
    }

    fn wanted_items(&self) -> BTreeSet<Item> {
        let mut items = items_but_routes(&self.wanted);
        let routes = self.wanted.fib.iter();
        items.extend(routes.flat_map(|(vrf, t)| t.keys().map(|net| Item::Route(*vrf, *net))));
        items
    }
}

/// Until the sweep: tunnels that a route was found with stay members of it, and a floating address
/// that was found shared is not taken for somebody's own before the others have been heard of.
fn keep_what_was_left(wanted: &mut Desired, found: &Desired, kept: impl Fn(&VrfId) -> bool) {
    for (vrf, table) in found.fib.iter().filter(|(vrf, _)| kept(vrf)) {
        for (net, left) in table {
            let want = wanted.fib.get(vrf).and_then(|table| table.get(net));
            if let Some(to) = both(want.map(|route| &route.to), &left.to) {
                let identities = want.unwrap_or(left).identities.clone();
                wanted.fib.entry(*vrf).or_default().insert(*net, Route { to, identities });
            }
        }
    }
    for (key, translation) in &mut wanted.translations {
        let before = found.translations.get(key).map(|translation| &translation.kind);
        let (
            TranslationKind::Floating { ports, exclusive },
            Some(TranslationKind::Floating { ports: same, exclusive: false }),
        ) = (&mut translation.kind, before)
        else {
            continue;
        };
        if ports == same {
            *exclusive = false;
        }
    }
}

/// What is wanted, and the other nodes of what was left beside it. `None`: neither has any.
pub(crate) fn both(wanted: Option<&NextHopGroup>, left: &NextHopGroup) -> Option<NextHopGroup> {
    let members = wanted.map_or(&[][..], NextHopGroup::members);
    let is_left = |hop: &NextHop| hop.is_remote() && !members.iter().any(|m| m.hop == *hop);
    let left = left.members().iter().filter(|member| is_left(&member.hop));
    let hops = members.iter().chain(left).map(|m| (m.hop.clone(), u64::from(m.weight)));
    NextHopGroup::weighted(hops, wanted.map(NextHopGroup::spread).unwrap_or_default())
}

fn with_causes(error: &DataplaneError) -> String {
    let first: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(first), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
mod tests;
