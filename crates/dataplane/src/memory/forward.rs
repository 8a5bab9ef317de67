//! The way of a packet through the plane.

use std::net::IpAddr;
use std::time::Duration;

use super::Memory;
use super::answer::answer_arp;
use super::choose;
use super::count::Way;
use super::packet::{Packet, array, be16, reversed};
use crate::drop_reason::DropReason;
use crate::event::Tuple;
use crate::filter::Direction;
use crate::mac::Mac;
use crate::next_hop::NextHop;
use crate::port::{Port, PortId, VrfId};

/// The link-layer address of every gateway, on every port.
pub const GATEWAY_MAC: Mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x00]);

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Where packets come from and go to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Ethernet frames of a workload.
    Port(PortId),
    /// IP packets of the underlay, from the outermost header on.
    Underlay,
    /// IP packets of the node itself: what it sends to workloads, and what is passed to it.
    Kernel,
}

/// A packet that left the plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    pub to: Place,
    pub octets: Vec<u8>,
}

/// Where the packet that is under way came from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Port {
        id: PortId,
        port: Box<Port>,
    },
    Tunnel,
    /// An answer to something that left with the node's address.
    Underlay,
    Node,
}

/// One packet under way.
pub(super) struct Pass<'a> {
    pub(super) plane: &'a mut Memory,
    pub(super) now: Duration,
    pub(super) origin: Origin,
    /// As it came: what an ICMP error quotes.
    pub(super) original: Packet,
    pub(super) out: Vec<Out>,
}

/// Why a packet ended without leaving; counted by who started it.
pub(super) type Outcome = Result<(), DropReason>;

impl Memory {
    /// What becomes of one packet. `now` is on any clock that never goes back.
    pub fn forward(&mut self, from: &Place, octets: &[u8], now: Duration) -> Vec<Out> {
        let (out, outcome) = match from {
            Place::Port(id) => self.take_from_port(id, octets, now),
            Place::Underlay => self.take_from_underlay(octets, now),
            Place::Kernel => self.take_from_node(octets, now),
        };
        if let Err(reason) = outcome {
            self.count_drop(reason);
        }
        out
    }

    fn take_from_port(&mut self, id: &PortId, frame: &[u8], now: Duration) -> (Vec<Out>, Outcome) {
        let Some(port) = self.state.ports.get(id).cloned() else {
            return (Vec::new(), Err(DropReason::PortGone));
        };
        let Some(kind) = be16(frame, 12) else {
            return (Vec::new(), Err(DropReason::Malformed));
        };
        let sender = Mac(array(frame, 6));
        let packet = match kind {
            ETHERTYPE_ARP => return answer_arp(id, &port, &frame[14..]),
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => Packet::read(&frame[14..]),
            _ => return (Vec::new(), Err(DropReason::Unsupported)),
        };
        let is_of_kind = |packet: &Packet| packet.is_v4() == (kind == ETHERTYPE_IPV4);
        let Some(packet) = packet.filter(is_of_kind) else {
            return (Vec::new(), Err(DropReason::Malformed));
        };
        let origin = Origin::Port { id: id.clone(), port: Box::new(port.clone()) };
        let mut pass = Pass::new(self, now, origin, packet.clone());
        let outcome = pass.take_from_workload(id, &port, sender, packet);
        (pass.out, outcome)
    }

    fn take_from_node(&mut self, octets: &[u8], now: Duration) -> (Vec<Out>, Outcome) {
        let Some(packet) = Packet::read(octets) else {
            return (Vec::new(), Err(DropReason::Malformed));
        };
        let to = packet.destination();
        let reachable = self.state.ports.iter().find(|(_, port)| port.host_access && port.has(to));
        let Some(id) = reachable.map(|(id, _)| id.clone()) else {
            return (Vec::new(), Err(DropReason::NoRoute));
        };
        let mut pass = Pass::new(self, now, Origin::Node, packet.clone());
        let outcome = pass.deliver(&id, &packet);
        let out = pass.out;
        self.flows.own.insert((id, packet.tuple()));
        (out, outcome)
    }
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        plane: &'a mut Memory,
        now: Duration,
        origin: Origin,
        original: Packet,
    ) -> Self {
        Self { plane, now, origin, original, out: Vec::new() }
    }

    fn take_from_workload(
        &mut self,
        id: &PortId,
        port: &Port,
        sender: Mac,
        packet: Packet,
    ) -> Outcome {
        if self.answer_neighbour(id, port, &packet)? {
            return Ok(());
        }
        self.plane.count_port(id, Way::Received, &packet);
        let to = packet.destination();
        if !is_unicast(to) {
            return Err(DropReason::Unsupported);
        }
        if !may_send(port, sender, packet.source()) {
            return Err(DropReason::Spoofed);
        }
        if self.answer_echo(id, port, &packet) {
            return Ok(());
        }
        // A gateway may have such an address, but nothing is routed to one.
        if matches!(to, IpAddr::V6(to) if to.is_unicast_link_local()) {
            return Err(DropReason::Unsupported);
        }
        if port.host_access && self.plane.state.node.tunnel_address(to) == Some(to) {
            return self.answer_node(id, &packet);
        }
        self.plane.ask_filter(id, Direction::Out, &packet)?;
        if let Some((vrf, packet)) = self.untranslate(id, &packet) {
            return self.route(vrf, packet);
        }
        if self.plane.leads_out(port.vrf, to)
            && let Some((vrf, packet)) = self.leave_with_own_address(id, &packet)
            && self.plane.lookup(vrf, to).is_some()
        {
            return self.route(vrf, packet);
        }
        self.route(port.vrf, packet)
    }

    /// Looks a packet up and sends it on.
    pub(super) fn route(&mut self, vrf: VrfId, mut packet: Packet) -> Outcome {
        if matches!(self.origin, Origin::Port { .. }) {
            if packet.ttl() <= 1 {
                self.answer_ttl_expired();
                return Err(DropReason::TtlExpired);
            }
            packet.decrement_ttl();
        }
        let hop = self.hop(vrf, &packet.tuple())?;
        match hop {
            NextHop::Discard => Err(DropReason::Discard),
            NextHop::Port(port) => self.deliver(&port, &packet),
            NextHop::Translate { vrf, address } => self.translate(vrf, address, &packet),
            NextHop::Tunnel(tunnel) => self.encapsulate(vrf, tunnel, packet),
            NextHop::Masquerade => self.masquerade(&packet),
        }
    }

    fn hop(&mut self, vrf: VrfId, tuple: &Tuple) -> Result<NextHop, DropReason> {
        let Some(route) = self.plane.lookup(vrf, tuple.destination) else {
            self.answer_no_route();
            return Err(DropReason::NoRoute);
        };
        // What came out of a tunnel never enters one again.
        let may_leave = matches!(self.origin, Origin::Port { .. });
        let members =
            route.to.members().iter().filter(|member| may_leave || !member.hop.is_remote());
        choose::member(members, route.to.spread(), tuple).cloned().ok_or(DropReason::TunnelToTunnel)
    }

    /// Gives a packet to a workload of this node.
    pub(super) fn deliver(&mut self, id: &PortId, packet: &Packet) -> Outcome {
        let Some(port) = self.plane.state.ports.get(id).cloned() else {
            return Err(DropReason::PortGone);
        };
        if !matches!(self.origin, Origin::Node) {
            self.plane.ask_filter(id, Direction::In, packet)?;
        }
        // What came from elsewhere is delivered whatever its size: its sender would not hear of it here,
        // and an interface may receive more than it sends.
        if matches!(self.origin, Origin::Port { .. }) {
            self.refuse_too_big(packet, port.mtu)?;
        }
        self.plane.count_port(id, Way::Sent, packet);
        self.out.push(frame_to(id, &port, packet));
        Ok(())
    }

    /// Of a packet that exceeds what carries it, tells the sender how much that is.
    pub(super) fn refuse_too_big(&mut self, packet: &Packet, mtu: u16) -> Outcome {
        if packet.length() <= usize::from(mtu) {
            return Ok(());
        }
        if packet.must_not_be_cut() {
            self.answer_too_big(mtu);
        }
        Err(DropReason::TooBig)
    }

    /// What the node has asked for is passed to it; it is no place to open connections to.
    fn answer_node(&mut self, id: &PortId, packet: &Packet) -> Outcome {
        let about = packet.quoted().map_or_else(|| reversed(&packet.tuple()), |sent| sent.tuple());
        if !self.plane.flows.own.contains(&(id.clone(), about)) {
            return Err(DropReason::Denied);
        }
        self.out.push(Out { to: Place::Kernel, octets: packet.octets().to_vec() });
        Ok(())
    }
}

impl Memory {
    /// Whether a VRF has no way of its own: none, or the one with the node's address. A floating
    /// address is then what its workloads have instead.
    pub(super) fn leads_out(&self, vrf: VrfId, address: IpAddr) -> bool {
        self.lookup(vrf, address).is_none_or(|route| route.to.has(&NextHop::Masquerade))
    }

    pub(super) fn lookup(&self, vrf: VrfId, address: IpAddr) -> Option<&crate::Route> {
        choose::longest_match(self.state.fib.get(&vrf)?, address)
    }
}

/// A packet as the workload's interface gets it: from its gateway.
pub(super) fn frame_to(id: &PortId, port: &Port, packet: &Packet) -> Out {
    let kind = if packet.is_v4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
    frame(id, port.mac, kind, packet.octets())
}

/// An answer of ARP.
pub(super) fn arp_frame_to(id: &PortId, to: Mac, body: &[u8]) -> Out {
    frame(id, to, ETHERTYPE_ARP, body)
}

fn frame(id: &PortId, to: Mac, kind: u16, body: &[u8]) -> Out {
    let octets = [&to.0[..], &GATEWAY_MAC.0, &kind.to_be_bytes(), body].concat();
    Out { to: Place::Port(id.clone()), octets }
}

/// Own addresses with the own MAC address, and what is allowed besides.
fn may_send(port: &Port, sender: Mac, source: IpAddr) -> bool {
    let allowed = port
        .allowed
        .iter()
        .any(|allowed| allowed.net.contains(&source) && sender == allowed.mac.unwrap_or(port.mac));
    allowed || (port.has(source) && sender == port.mac)
}

/// Neither to many nor to nobody or the sender itself.
fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !matches!(v4.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified() && !v6.is_loopback(),
    }
}
