//! Ports: what platforms ask for, from the request to the answer.

use std::time::Instant;

use arcus_api::v1::{PortId, PortState, PortStatus};

use super::{Core, GRACE};
use crate::ipam::{self, Refused};
use crate::local::{Presence, plane_id};
use crate::port::PortSpec;
use crate::reconcile::Item;

/// Tells requests apart; whoever asks chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What a request is answered; `Ok(None)` when the port is gone.
pub type PortAnswer = Result<Option<PortStatus>, Denied>;

/// Why a request was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It cannot be as it was asked for.
    #[error("{0}")]
    Refused(String),
    /// There is no such port.
    #[error("there is no port `{0}`; `arcus port list` shows those that are")]
    Unknown(PortId),
    /// Another request wanted something else meanwhile.
    #[error("{0}")]
    Overtaken(String),
    /// The agent could not store it.
    #[error("{0}")]
    NotSaved(String),
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.0)
    }
}

/// A port that is there, or is about to be or to go.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) spec: PortSpec,
    stored: Stored,
    /// The work with which the data plane got it as it is now.
    pub(super) handed: Option<u64>,
    /// It is being removed, and goes at that time.
    pub(super) leaving: Option<Instant>,
    /// It is no longer ready, and serves until then.
    pub(super) draining: Option<Instant>,
    pub(super) fresh: Fresh,
    waiting: Vec<RequestId>,
    removal_waiting: Vec<RequestId>,
}

/// Whether a port has just come to this node, perhaps from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fresh {
    /// It was here before the agent.
    No,
    /// The data plane is still to get it.
    Coming,
    Until(Instant),
}

/// What the state file has of a port, and so what to go back to when it cannot be written.
#[derive(Debug)]
enum Stored {
    /// The port as it is.
    Same,
    /// The port as it was.
    Before(Box<PortSpec>),
    Nothing,
}

/// A port that is no longer wanted, and whose removal is not reported yet.
#[derive(Debug, Default)]
pub(super) struct Removal {
    pub(super) handed: Option<u64>,
    saved: bool,
    waiting: Vec<RequestId>,
}

impl Port {
    /// One that the state file had.
    pub(super) const fn restored(spec: PortSpec) -> Self {
        Self {
            spec,
            stored: Stored::Same,
            handed: None,
            leaving: None,
            draining: None,
            fresh: Fresh::No,
            waiting: Vec::new(),
            removal_waiting: Vec::new(),
        }
    }

    /// Changes what is wanted, and remembers what the state file has.
    fn replace(&mut self, spec: PortSpec) {
        let before = std::mem::replace(&mut self.spec, spec);
        if matches!(self.stored, Stored::Same) {
            self.stored = Stored::Before(Box::new(before));
        }
    }

    pub(super) const fn presence(&self, broken: bool) -> Presence<'_> {
        Presence {
            spec: &self.spec,
            announced: self.leaving.is_none(),
            serving: self.spec.ready || self.draining.is_some(),
            broken,
        }
    }
}

impl Core {
    /// A platform wants this port. Answered when it is programmed and announced, or known to fail.
    pub fn put_port(&mut self, request: RequestId, id: PortId, spec: PortSpec) {
        if let Err(denied) = self.check(&id, &spec) {
            self.answers.push((request, Err(denied)));
            return;
        }
        let done = self.done;
        let Some(port) = self.ports.get_mut(&id) else {
            let restored = Port::restored(spec);
            let new = Port {
                stored: Stored::Nothing,
                fresh: Fresh::Coming,
                waiting: vec![request],
                ..restored
            };
            self.ports.insert(id, new);
            self.changed();
            return;
        };
        let stays = std::mem::take(&mut port.removal_waiting);
        let was_leaving = port.leaving.take().is_some();
        if port.spec == spec && !was_leaving {
            if port.handed.is_some_and(|handed| handed <= done) {
                let status = self.status_of(&id);
                self.answers.push((request, Ok(status)));
            } else {
                port.waiting.push(request);
            }
            return;
        }
        port.replace(spec);
        port.handed = None;
        port.draining = None;
        port.waiting.push(request);
        for removal in stays {
            let why = format!("port `{id}` was asked for again before it was removed");
            self.answers.push((removal, Err(Denied::Overtaken(why))));
        }
        self.changed();
    }

    /// A platform no longer wants this port. Answered when it is gone; at once if there is none.
    pub fn remove_port(&mut self, now: Instant, request: RequestId, id: &PortId) {
        if let Some(port) = self.ports.get_mut(id) {
            port.removal_waiting.push(request);
            for overtaken in std::mem::take(&mut port.waiting) {
                let why = format!("port `{id}` was removed before it was programmed");
                self.answers.push((overtaken, Err(Denied::Overtaken(why))));
            }
            if port.leaving.is_none() {
                port.leaving = Some(now + GRACE);
                self.outdated.local = true;
            }
        } else if let Some(removal) = self.removals.get_mut(id) {
            removal.waiting.push(request);
        } else {
            self.answers.push((request, Ok(None)));
        }
    }

    /// A platform says whether the workload behind a port can answer.
    pub fn set_ready(&mut self, now: Instant, request: RequestId, id: &PortId, ready: bool) {
        let Some(port) = self.ports.get_mut(id).filter(|port| port.leaving.is_none()) else {
            self.answers.push((request, Err(Denied::Unknown(id.clone()))));
            return;
        };
        if port.spec.ready == ready {
            if port.handed.is_some_and(|handed| handed <= self.done) {
                let status = self.status_of(id);
                self.answers.push((request, Ok(status)));
            } else {
                port.waiting.push(request);
            }
            return;
        }
        port.replace(PortSpec { ready, ..port.spec.clone() });
        port.draining = (!ready).then(|| now + GRACE);
        port.handed = None;
        port.waiting.push(request);
        self.changed();
    }

    /// What [`Core::take_unsaved`] gave is on the disk.
    pub fn saved(&mut self) {
        self.ports.values_mut().for_each(|port| port.stored = Stored::Same);
        self.removals.values_mut().for_each(|removal| removal.saved = true);
        self.answer_done();
    }

    /// It could not be written: what was asked since the last time is refused and undone. Removals
    /// wait for a later attempt.
    pub fn not_saved(&mut self, why: &str) {
        let ids: Vec<PortId> = self.ports.keys().cloned().collect();
        for id in ids {
            let Some(port) = self.ports.get_mut(&id) else { continue };
            let stored = std::mem::replace(&mut port.stored, Stored::Same);
            let waiting = std::mem::take(&mut port.waiting);
            match stored {
                // Whoever waits does so for the data plane.
                Stored::Same => {
                    port.waiting = waiting;
                    continue;
                }
                Stored::Before(spec) => {
                    port.spec = *spec;
                    port.handed = None;
                }
                Stored::Nothing => {
                    // There is nothing to remove any more either.
                    let removals = std::mem::take(&mut port.removal_waiting);
                    self.answers.extend(removals.into_iter().map(|request| (request, Ok(None))));
                    self.ports.remove(&id);
                }
            }
            let denied = Denied::NotSaved(format!("port `{id}` cannot be stored: {why}"));
            self.answers.extend(waiting.into_iter().map(|request| (request, Err(denied.clone()))));
        }
        self.outdated.local = true;
        self.settle();
        self.unsaved = true;
    }

    pub(super) fn tick_ports(&mut self, now: Instant) {
        let leaving: Vec<PortId> = self
            .ports
            .iter()
            .filter(|(_, port)| port.leaving.is_some_and(|at| at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in leaving {
            let Some(port) = self.ports.remove(&id) else { continue };
            let removal = self.removals.entry(id).or_default();
            // One that is not done yet has become this one.
            let waiting = std::mem::take(&mut removal.waiting).into_iter();
            let waiting = waiting.chain(port.removal_waiting).collect();
            *removal = Removal { waiting, ..Removal::default() };
            self.changed();
        }
        for port in self.ports.values_mut() {
            if port.draining.is_some_and(|at| at <= now) {
                port.draining = None;
                self.outdated.local = true;
            }
        }
    }

    /// Answers those whose port or removal the data plane has dealt with.
    pub(super) fn answer_done(&mut self) {
        let done = |handed: Option<u64>, done: u64| handed.is_some_and(|handed| handed <= done);
        let mut answered = Vec::new();
        for (id, port) in &mut self.ports {
            if matches!(port.stored, Stored::Same) && done(port.handed, self.done) {
                let waiting = std::mem::take(&mut port.waiting);
                answered.extend(waiting.into_iter().map(|request| (request, id.clone())));
            }
        }
        for (request, id) in answered {
            let status = self.status_of(&id);
            self.answers.push((request, Ok(status)));
        }
        let gone: Vec<PortId> = self
            .removals
            .iter()
            .filter(|(_, removal)| removal.saved && done(removal.handed, self.done))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            let removal = self.removals.remove(&id).unwrap_or_default();
            let answer = match self.failing.get(&Item::Port(plane_id(&id))) {
                Some(why) if !self.ports.contains_key(&id) => {
                    Err(Denied::Refused(format!("port `{id}` cannot be removed yet: {why}")))
                }
                _ => Ok(None),
            };
            self.answers
                .extend(removal.waiting.into_iter().map(|request| (request, answer.clone())));
        }
    }

    /// Answers those whose port the topology no longer has a place for.
    pub(super) fn answer_refused(&mut self) {
        for (id, why) in &self.local.refused {
            let waiting = self.ports.get_mut(id).map(|port| std::mem::take(&mut port.waiting));
            let denied = Denied::Refused(why.clone());
            let requests = waiting.into_iter().flatten();
            self.answers.extend(requests.map(|request| (request, Err(denied.clone()))));
        }
    }

    /// How far a port is.
    pub(super) fn state_of(&self, id: &PortId, port: &Port) -> PortState {
        if let Some(why) = self.local.refused.get(id) {
            return PortState::Failed { reason: why.clone() };
        }
        if let Some(reason) = self.failure_of(id, port) {
            return PortState::Failed { reason: reason.to_owned() };
        }
        match port.handed {
            Some(handed) if handed <= self.done => PortState::Programmed,
            _ => PortState::Pending,
        }
    }

    /// What is wrong with a port, its addresses or its VRFs in the data plane.
    fn failure_of(&self, id: &PortId, port: &Port) -> Option<&str> {
        let whole = std::iter::once(Item::Port(plane_id(id)));
        let addresses = port.spec.addresses().filter_map(|(network, address, _)| {
            let vrf = self.numbers.of(network)?.id;
            let net = address.into();
            Some([Item::Vrf(vrf), Item::Translation(vrf, address), Item::Route(vrf, net)])
        });
        whole
            .chain(addresses.flatten())
            .find_map(|item| self.failing.get(&item))
            .map(String::as_str)
    }

    fn check(&self, id: &PortId, spec: &PortSpec) -> Result<(), Denied> {
        ipam::check_topology(spec, &self.topology, &self.node.cloud)?;
        let others = self.ports.iter().map(|(id, port)| (id.clone(), port.spec.clone())).collect();
        ipam::check_others(id, spec, &others)?;
        Ok(())
    }

    fn changed(&mut self) {
        self.outdated.local = true;
        self.unsaved = true;
    }
}
