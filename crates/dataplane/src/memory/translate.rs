//! Addresses that are on no interface: floating addresses and services.

use std::net::IpAddr;

use super::choose;
use super::flows::{Answer, Target};
use super::forward::{Outcome, Pass};
use super::packet::{End, Fragment, Packet, TCP, UDP, reversed};
use crate::drop_reason::DropReason;
use crate::event::Tuple;
use crate::nat::{Backend, Protocol, Translation, TranslationKind};
use crate::port::{PortId, VrfId};

impl Pass<'_> {
    /// Gives a packet to a holder or backend of the address that it was sent to.
    pub(super) fn translate(&mut self, vrf: VrfId, address: IpAddr, packet: &Packet) -> Outcome {
        let Some(translation) = self.plane.state.translations.get(&(vrf, address)).cloned() else {
            return Err(DropReason::NoBackend);
        };
        if packet.is_icmp_error()
            && let Some((port, packet)) = self.translate_error(vrf, packet)
        {
            return self.deliver(&port, &packet);
        }
        let tuple = packet.tuple();
        let target = self.target(vrf, &translation, packet)?;
        let packet = rewritten(packet, &target.tuple);
        self.deliver(&target.port, &packet)?;
        if !self.is_stateless(&translation, &target.port, tuple.source) {
            let answer = Answer { vrf, tuple: reversed(&tuple) };
            let heard = reversed(&target.tuple);
            self.plane.flows.reverse.insert((target.port.clone(), heard), answer);
            self.plane.flows.forward.insert((vrf, tuple), target);
        }
        Ok(())
    }

    /// Who gets the packet, and what of it: as the flow before it, or chosen now.
    fn target(
        &mut self,
        vrf: VrfId,
        translation: &Translation,
        packet: &Packet,
    ) -> Result<Target, DropReason> {
        let tuple = packet.tuple();
        if packet.fragment != Fragment::Whole && !is_only_one(translation) {
            return Err(DropReason::Fragment);
        }
        let known = self.plane.flows.forward.get(&(vrf, tuple)).cloned();
        // A connection outlives the readiness of its backend. UDP, which never ends, does not, and
        // a floating address takes its connections along.
        let outlives =
            tuple.protocol == TCP && matches!(translation.kind, TranslationKind::Service { .. });
        let is_target = |port: &PortId| translation.targets().any(|target| target == port);
        if let Some(known) = known.filter(|known| outlives || is_target(&known.port)) {
            return Ok(known);
        }
        let (port, number) = match &translation.kind {
            TranslationKind::Floating { ports, .. } => {
                let port = choose::equal(ports, &tuple).ok_or(DropReason::NoBackend)?;
                (port.clone(), tuple.destination_port)
            }
            TranslationKind::Service { ports, affinity } => {
                let protocol = match tuple.protocol {
                    TCP => Protocol::Tcp,
                    UDP => Protocol::Udp,
                    _ => return Err(DropReason::NoBackend),
                };
                let backends = ports.get(&(protocol, tuple.destination_port));
                let backends = backends.ok_or(DropReason::NoBackend)?;
                let backend = self.backend(vrf, &tuple, backends, *affinity)?;
                (backend.port, backend.target_port)
            }
        };
        let holder = self.plane.state.ports.get(&port).ok_or(DropReason::PortGone)?;
        let own = holder.addresses().find(|own| own.is_ipv4() == tuple.source.is_ipv4());
        let own = own.ok_or(DropReason::NoBackend)?;
        // A workload that calls its own service sees the service call: its kernel would drop its own
        // address from outside.
        let source = if tuple.source == own { tuple.destination } else { tuple.source };
        let mut heard = Tuple { source, destination: own, destination_port: number, ..tuple };
        // One client may call two addresses of one server from one port.
        while matches!(tuple.protocol, TCP | UDP) && self.is_ambiguous(vrf, &port, &tuple, &heard) {
            heard.source_port = heard.source_port.wrapping_add(1);
        }
        Ok(Target { port, tuple: heard })
    }

    /// Whether what a server answers to `heard` is already another connection's than of `called`.
    fn is_ambiguous(&self, vrf: VrfId, port: &PortId, called: &Tuple, heard: &Tuple) -> bool {
        let ours = Answer { vrf, tuple: reversed(called) };
        let there = self.plane.flows.reverse.get(&(port.clone(), reversed(heard)));
        there.is_some_and(|there| *there != ours)
    }

    fn backend(
        &mut self,
        vrf: VrfId,
        tuple: &Tuple,
        backends: &[Backend],
        affinity: Option<u32>,
    ) -> Result<Backend, DropReason> {
        let Some(seconds) = affinity else {
            return choose::equal(backends, tuple).cloned().ok_or(DropReason::NoBackend);
        };
        let key = (vrf, tuple.destination, tuple.source);
        let had = self.plane.flows.affinity.get(&key).filter(|(backend, last)| {
            let quiet = self.now.saturating_sub(*last);
            quiet.as_secs() <= u64::from(seconds) && backends.contains(backend)
        });
        let backend = match had {
            Some((backend, _)) => backend.clone(),
            None => choose::equal(backends, tuple).cloned().ok_or(DropReason::NoBackend)?,
        };
        self.plane.flows.affinity.insert(key, (backend.clone(), self.now));
        Ok(backend)
    }

    /// Nothing is remembered where the holder is the only one that ever has the address and its own
    /// VRF has no other way to the client.
    fn is_stateless(&self, translation: &Translation, holder: &PortId, client: IpAddr) -> bool {
        let TranslationKind::Floating { exclusive: true, ports } = &translation.kind else {
            return false;
        };
        let own = self.plane.state.ports.get(holder).map(|port| port.vrf);
        ports.len() == 1 && own.is_some_and(|own| self.plane.leads_out(own, client))
    }

    /// What a workload answers to a translated connection, as its client shall see it, and where it
    /// is routed.
    pub(super) fn untranslate(&self, id: &PortId, packet: &Packet) -> Option<(VrfId, Packet)> {
        let answer = |tuple: Tuple| self.plane.flows.reverse.get(&(id.clone(), tuple)).cloned();
        let Some(quoted) = packet.quoted() else {
            let answer = answer(packet.tuple())?;
            return Some((answer.vrf, rewritten(packet, &answer.tuple)));
        };
        // The error is about what the client sent, which was rewritten on its way in.
        let heard = quoted.tuple();
        let answer = answer(reversed(&heard))?;
        let said = reversed(&answer.tuple);
        let mut error = packet.clone();
        if error.source() == heard.destination {
            error.set(End::Source, said.destination, 0);
        }
        error.set(End::Destination, said.source, 0);
        error.quote(&rewritten(&quoted, &said));
        Some((answer.vrf, error))
    }

    /// An error about an answer that left translated: for who has the connection.
    fn translate_error(&self, vrf: VrfId, error: &Packet) -> Option<(PortId, Packet)> {
        let quoted = error.quoted()?;
        let sent = reversed(&quoted.tuple());
        if let Some(target) = self.plane.flows.forward.get(&(vrf, sent)) {
            let mut packet = error.clone();
            packet.set(End::Destination, target.tuple.destination, 0);
            packet.quote(&rewritten(&quoted, &reversed(&target.tuple)));
            return Some((target.port.clone(), packet));
        }
        // Nothing is remembered of the only holder's.
        let translation = self.plane.state.translations.get(&(vrf, error.destination()))?;
        let TranslationKind::Floating { ports, exclusive: true } = &translation.kind else {
            return None;
        };
        let holder = ports.first().filter(|_| ports.len() == 1)?;
        let port = self.plane.state.ports.get(holder)?;
        let own = port.addresses().find(|own| own.is_ipv4() == error.is_v4())?;
        let mut packet = error.clone();
        packet.set(End::Destination, own, 0);
        let tuple = quoted.tuple();
        packet.quote(&rewritten(&quoted, &Tuple { source: own, ..tuple }));
        Some((holder.clone(), packet))
    }

    /// What a workload sends to where its own VRF has no route leaves with the floating address
    /// that is its alone.
    pub(super) fn leave_with_own_address(
        &self,
        id: &PortId,
        packet: &Packet,
    ) -> Option<(VrfId, Packet)> {
        let port = self.plane.state.ports.get(id)?;
        let source = packet.source();
        if !port.has(source) {
            return None;
        }
        let mut translations = self.plane.state.translations.iter();
        let ((vrf, address), _) = translations.find(|((_, address), translation)| {
            address.is_ipv4() == source.is_ipv4()
                && matches!(&translation.kind, TranslationKind::Floating { ports, exclusive: true }
                    if ports.as_slice() == [id.clone()])
        })?;
        let tuple = packet.tuple();
        let mut left = rewritten(packet, &Tuple { source: *address, ..tuple });
        if let Some(quoted) = packet.quoted().filter(|quoted| quoted.destination() == source) {
            let tuple = quoted.tuple();
            left.quote(&rewritten(&quoted, &Tuple { destination: *address, ..tuple }));
        }
        Some((*vrf, left))
    }
}

/// A floating address with one holder needs no ports to be translated.
fn is_only_one(translation: &Translation) -> bool {
    matches!(&translation.kind, TranslationKind::Floating { ports, .. } if ports.len() == 1)
}

pub(super) fn rewritten(packet: &Packet, to: &Tuple) -> Packet {
    let mut packet = packet.clone();
    let is = packet.tuple();
    if (is.source, is.source_port) != (to.source, to.source_port) {
        packet.set(End::Source, to.source, to.source_port);
    }
    if (is.destination, is.destination_port) != (to.destination, to.destination_port) {
        packet.set(End::Destination, to.destination, to.destination_port);
    }
    packet
}
