//! A data plane in memory: the reference that real planes are compared with, and what the agent is
//! tested against.
//!
//! It forwards packets, too ([`Memory::forward`]): octets in, octets out, no I/O and no clock. Written
//! to be read beside the documents, not to be fast; `dataplane-scenes` plays the same scenes on this
//! plane and on the real ones.
//!
//! ```text
//! from a port    source check, answers, filter (out), flows ┐
//! from the wire  probe, tunnel -> VRF or port, masquerade   ├─ route -> member -> deliver (filter in)
//! from the node  its own packets to ports that allow it     ┘                   -> translate
//!                                                                               -> encapsulate, masquerade
//! ```

mod answer;
mod checksum;
mod choose;
mod count;
mod filtering;
mod flows;
mod forward;
mod masquerade;
mod packet;
mod translate;
mod tunnels;

use std::collections::VecDeque;

use crate::desired::Desired;
use crate::diff::Op;
use crate::event::Event;
use crate::filter::FilterId;
use crate::nat::Translation;
use crate::next_hop::NextHop;
use crate::plane::{Counters, Dataplane, DataplaneError, Found, Result};
use crate::port::{PortId, VrfId};

pub use forward::{GATEWAY_MAC, Out, Place};

/// Holds what it was told, and forwards by it. Refuses, as a real plane would, what refers to
/// something absent.
#[derive(Debug, Clone)]
pub struct Memory {
    pub state: Desired,
    /// What `was_found` answers.
    pub found: bool,
    /// What the underlay carries, in octets of IP.
    pub underlay_mtu: u16,
    counters: Counters,
    flows: flows::Flows,
    reports: VecDeque<Event>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            state: Desired::default(),
            found: false,
            underlay_mtu: 1500,
            counters: Counters::default(),
            flows: flows::Flows::default(),
            reports: VecDeque::new(),
        }
    }
}

impl Memory {
    /// A plane that an earlier run left in this state.
    pub fn left_by_an_earlier_run(state: Desired) -> Self {
        Self { state, found: true, ..Self::default() }
    }

    /// Applies one operation.
    pub fn apply_one(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::PutNode(node) => self.state.node = node.clone(),
            Op::PutVrf(id, vrf) => {
                self.state.vrfs.insert(*id, vrf.clone());
            }
            Op::PutFilter(id, filter) => {
                self.state.filters.insert(id.clone(), filter.clone());
            }
            Op::PutPort(id, port) => {
                self.need_vrf(port.vrf)?;
                port.filter.iter().try_for_each(|filter| self.need_filter(filter))?;
                self.state.ports.insert(id.clone(), port.clone());
            }
            Op::PutTranslation(vrf, address, translation) => {
                self.need_vrf(*vrf)?;
                translation.targets().try_for_each(|port| self.need_port(port))?;
                self.state.translations.insert((*vrf, *address), translation.clone());
            }
            Op::PutRoute(vrf, net, route) => {
                self.need_vrf(*vrf)?;
                route.to.hops().try_for_each(|hop| self.need(hop))?;
                self.state.fib.entry(*vrf).or_default().insert(*net, route.clone());
            }
            Op::RemoveRoute(vrf, net) => {
                if let Some(table) = self.state.fib.get_mut(vrf) {
                    table.remove(net);
                    if table.is_empty() {
                        self.state.fib.remove(vrf);
                    }
                }
            }
            Op::RemoveTranslation(vrf, address) => {
                let gone = NextHop::Translate { vrf: *vrf, address: *address };
                self.refuse_if_used(&gone)?;
                self.state.translations.remove(&(*vrf, *address));
            }
            Op::RemovePort(id) => {
                self.refuse_if_used(&NextHop::Port(id.clone()))?;
                let names = |to: &Translation| to.targets().any(|port| port == id);
                if self.state.translations.values().any(names) {
                    return Err(DataplaneError::new(format!("a translation uses port {id}")));
                }
                self.state.ports.remove(id);
            }
            Op::RemoveFilter(id) => {
                if self.state.ports.values().any(|port| port.filter.as_ref() == Some(id)) {
                    return Err(DataplaneError::new(format!("a port uses filter {id}")));
                }
                self.state.filters.remove(id);
            }
            Op::RemoveVrf(id) => {
                let used = self.state.fib.contains_key(id)
                    || self.state.ports.values().any(|port| port.vrf == *id)
                    || self.state.translations.keys().any(|(vrf, _)| vrf == id);
                if used {
                    return Err(DataplaneError::new(format!("vrf {id} is in use")));
                }
                self.state.vrfs.remove(id);
            }
        }
        Ok(())
    }

    fn need(&self, member: &NextHop) -> Result<()> {
        match member {
            NextHop::Discard | NextHop::Tunnel(_) | NextHop::Masquerade => Ok(()),
            NextHop::Port(port) => self.need_port(port),
            NextHop::Translate { vrf, address } => self
                .state
                .translations
                .contains_key(&(*vrf, *address))
                .then_some(())
                .ok_or_else(|| DataplaneError::new(format!("nothing to do: {member}"))),
        }
    }

    fn need_vrf(&self, id: VrfId) -> Result<()> {
        let there = self.state.vrfs.contains_key(&id);
        there.then_some(()).ok_or_else(|| DataplaneError::new(format!("there is no vrf {id}")))
    }

    fn need_port(&self, id: &PortId) -> Result<()> {
        let there = self.state.ports.contains_key(id);
        there.then_some(()).ok_or_else(|| DataplaneError::new(format!("there is no port {id}")))
    }

    fn need_filter(&self, id: &FilterId) -> Result<()> {
        let there = self.state.filters.contains_key(id);
        there.then_some(()).ok_or_else(|| DataplaneError::new(format!("there is no filter {id}")))
    }

    fn refuse_if_used(&self, gone: &NextHop) -> Result<()> {
        let mut routes = self.state.fib.values().flat_map(std::collections::BTreeMap::values);
        if routes.any(|route| route.to.has(gone)) {
            return Err(DataplaneError::new(format!("a route uses {gone}")));
        }
        Ok(())
    }
}

impl Dataplane for Memory {
    async fn list(&mut self) -> Result<Found> {
        Ok(self.state.clone())
    }

    async fn apply(&mut self, ops: &[Op]) -> Vec<(usize, DataplaneError)> {
        let outcomes = ops.iter().map(|op| self.apply_one(op)).enumerate();
        outcomes.filter_map(|(index, outcome)| Some((index, outcome.err()?))).collect()
    }

    async fn counters(&mut self) -> Result<Counters> {
        Ok(self.counted())
    }

    fn was_found(&self) -> bool {
        self.found
    }
}
