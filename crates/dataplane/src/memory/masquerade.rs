//! Connections that leave with the node's own address.

use std::time::Duration;

use super::Memory;
use super::choose;
use super::forward::{Origin, Out, Outcome, Pass, Place};
use super::packet::{End, Fragment, Packet, TCP, UDP, reversed};
use super::translate::rewritten;
use super::tunnels::clamp;
use crate::drop_reason::DropReason;
use crate::event::Tuple;
use crate::port::PortId;

impl Pass<'_> {
    /// Sends a packet of a workload into the underlay as if the node had sent it.
    pub(super) fn masquerade(&mut self, packet: &Packet) -> Outcome {
        let Origin::Port { id, .. } = self.origin.clone() else {
            return Err(DropReason::TunnelToTunnel);
        };
        self.refuse_too_big(packet, self.plane.underlay_mtu)?;
        let node = self.plane.state.node.tunnel_address(packet.destination());
        let node = node.ok_or(DropReason::Refused)?;
        // A workload opens no connection to its node.
        if packet.destination() == node {
            return Err(DropReason::Denied);
        }
        let mut packet = packet.clone();
        clamp(&mut packet, self.plane.underlay_mtu);
        let packet = &packet;
        let tuple = packet.tuple();
        let left = if let Some(quoted) = packet.quoted() {
            // About what the underlay answered: it went to our address and port.
            let heard = reversed(&quoted.tuple());
            let port = self.plane.flows.masqueraded.get(&(id, heard));
            let port = *port.ok_or(DropReason::Unsupported)?;
            let sent = Tuple { source: node, source_port: port, ..heard };
            let mut error = packet.clone();
            error.set(End::Source, node, 0);
            error.quote(&rewritten(&quoted, &reversed(&sent)));
            error
        } else {
            if packet.fragment != Fragment::Whole {
                return Err(DropReason::Fragment);
            }
            if !matches!(tuple.protocol, TCP | UDP) && !packet.is_echo_request() {
                return Err(DropReason::Unsupported);
            }
            let port = self.plane.source_port(&id, &tuple, node)?;
            rewritten(packet, &Tuple { source: node, source_port: port, ..tuple })
        };
        self.out.push(Out { to: Place::Underlay, octets: left.octets().to_vec() });
        Ok(())
    }
}

impl Memory {
    /// The source port of a connection: that which it has, or a free one.
    fn source_port(
        &mut self,
        id: &PortId,
        tuple: &Tuple,
        node: std::net::IpAddr,
    ) -> Result<u16, DropReason> {
        let key = (id.clone(), *tuple);
        if let Some(port) = self.flows.masqueraded.get(&key) {
            return Ok(*port);
        }
        let range = self.state.node.masquerade_ports.ok_or(DropReason::NoSourcePort)?;
        let answer = |port| reversed(&Tuple { source: node, source_port: port, ..*tuple });
        let is_free = |port: &u16| !self.flows.unmasqueraded.contains_key(&answer(*port));
        let free: Vec<u16> = (range.first()..=range.last()).filter(is_free).collect();
        let port = *choose::equal(&free, &key).ok_or(DropReason::NoSourcePort)?;
        self.flows.unmasqueraded.insert(answer(port), (id.clone(), reversed(tuple)));
        self.flows.masqueraded.insert(key, port);
        Ok(port)
    }

    /// An answer to something that left with the node's address; `None`: it is for the node itself.
    pub(super) fn unmasquerade(
        &mut self,
        packet: &Packet,
        now: Duration,
    ) -> Option<(Vec<Out>, Outcome)> {
        let (id, mut back) = if let Some(quoted) = packet.quoted() {
            let answer = reversed(&quoted.tuple());
            let (id, heard) = self.flows.unmasqueraded.get(&answer)?.clone();
            let mut error = packet.clone();
            error.set(End::Destination, heard.destination, 0);
            error.quote(&rewritten(&quoted, &reversed(&heard)));
            (id, error)
        } else {
            let (id, heard) = self.flows.unmasqueraded.get(&packet.tuple())?.clone();
            (id, rewritten(packet, &heard))
        };
        if back.ttl() <= 1 {
            return Some((Vec::new(), Err(DropReason::TtlExpired)));
        }
        back.decrement_ttl();
        clamp(&mut back, self.underlay_mtu);
        let mut pass = Pass::new(self, now, Origin::Underlay, packet.clone());
        let outcome = pass.deliver(&id, &back);
        Some((pass.out, outcome))
    }
}
