//! Into tunnels and out of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use super::Memory;
use super::count::Way;
use super::forward::{Origin, Out, Outcome, Pass, Place};
use super::packet::{Fragment, GRE, Packet, UDP, array, be16};
use crate::drop_reason::DropReason;
use crate::mac::Mac;
use crate::port::{PortId, VrfId};
use crate::tunnel::{Encapsulation, MplsLabel, Tunnel, TunnelHeader, Vni};

const ETHERTYPE_MPLS: u16 = 0x8847;
const MPLS_OVER_UDP: u16 = 6635;
const VXLAN: u16 = 4789;
const ECHO: u16 = 3785;
/// RFC 7348 §5: the VNI is valid.
const VNI_IS_VALID: u32 = 0x0800_0000;
const OUTER_TTL: u8 = 64;

/// Where a packet out of a tunnel goes.
enum Leads {
    Vrf(VrfId),
    Port(PortId, VrfId),
}

impl Pass<'_> {
    pub(super) fn encapsulate(
        &mut self,
        vrf: VrfId,
        tunnel: Tunnel,
        mut packet: Packet,
    ) -> Outcome {
        let fits = self.plane.underlay_mtu.saturating_sub(tunnel.overhead());
        self.refuse_too_big(&packet, fits)?;
        clamp(&mut packet, fits);
        let node = &self.plane.state.node;
        let source = node.tunnel_address(tunnel.remote).ok_or(DropReason::Refused)?;
        let (protocol, body) = match tunnel.header {
            TunnelHeader::MplsOverGre { label } => {
                let gre = u32::from(ETHERTYPE_MPLS).to_be_bytes();
                (GRE, [&gre, &label_entry(label, &packet), packet.octets()].concat())
            }
            TunnelHeader::MplsOverUdp { label } => {
                let inner = [&label_entry(label, &packet), packet.octets()].concat();
                (UDP, udp(&packet, MPLS_OVER_UDP, &inner))
            }
            TunnelHeader::Vxlan { vni, router_mac } => {
                let kind: u16 = if packet.is_v4() { 0x0800 } else { 0x86dd };
                let header = [VNI_IS_VALID.to_be_bytes(), (vni.value() << 8).to_be_bytes()];
                let macs = [router_mac.0, node.router_mac.0].concat();
                let ethernet = [&macs[..], &kind.to_be_bytes(), packet.octets()].concat();
                (UDP, udp(&packet, VXLAN, &[&header.concat()[..], &ethernet].concat()))
            }
        };
        let ends = (source, tunnel.remote);
        let outer = Packet::new(ends, protocol, (packet.traffic_class(), OUTER_TTL), &body);
        self.plane.count_tunnel(tunnel.remote, vrf, Way::Sent, &packet);
        self.out.push(Out { to: Place::Underlay, octets: outer.octets().to_vec() });
        Ok(())
    }
}

/// RFC 3032 §2.1: the label, the bottom of the stack, the TTL of what is inside.
fn label_entry(label: MplsLabel, packet: &Packet) -> [u8; 4] {
    (label.value() << 12 | 0x100 | u32::from(packet.ttl())).to_be_bytes()
}

/// A UDP header without a checksum (RFC 7510 §3, RFC 7348 §5), whose source port follows the flow.
fn udp(packet: &Packet, to: u16, inner: &[u8]) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    packet.tuple().hash(&mut hasher);
    let entropy = u16::try_from(hasher.finish() >> 48).unwrap_or_default() | 0xc000;
    let length = u16::try_from(inner.len() + 8).unwrap_or(u16::MAX);
    let header = [entropy, to, length, 0].map(u16::to_be_bytes).concat();
    [&header[..], inner].concat()
}

/// Lets TCP offer no segments that would not fit.
pub(super) fn clamp(packet: &mut Packet, mtu: u16) {
    let headers = if packet.is_v4() { 40 } else { 60 };
    packet.clamp_segments(usize::from(mtu).saturating_sub(headers));
}

impl Memory {
    pub(super) fn take_from_underlay(
        &mut self,
        octets: &[u8],
        now: Duration,
    ) -> (Vec<Out>, Outcome) {
        let pass = || vec![Out { to: Place::Kernel, octets: octets.to_vec() }];
        let Some(packet) = Packet::read(octets) else { return (pass(), Ok(())) };
        let node = &self.state.node;
        if node.tunnel_address(packet.destination()) != Some(packet.destination()) {
            return (pass(), Ok(()));
        }
        if let Some(back) = self.answer_prober(&packet) {
            return (vec![back], Ok(()));
        }
        let outcome = match tunnel_header(&packet) {
            Some((encapsulation, inner)) => self.decapsulate(&packet, encapsulation, inner, now),
            None => self.unmasquerade(&packet, now),
        };
        outcome.unwrap_or_else(|| (pass(), Ok(())))
    }

    /// `None`: nobody here knows it; the kernel may.
    fn decapsulate(
        &mut self,
        outer: &Packet,
        encapsulation: Encapsulation,
        inner: &[u8],
        now: Duration,
    ) -> Option<(Vec<Out>, Outcome)> {
        let dropped = |reason| Some((Vec::new(), Err(reason)));
        let (way, kind, octets) = if encapsulation == Encapsulation::Vxlan {
            let vni = Vni::new(u32::from_be_bytes(array(inner, 4)) >> 8)?;
            let mut vrfs = self.state.vrfs.iter();
            let (vrf, _) = vrfs.find(|(_, vrf)| vrf.vni == Some(vni))?;
            let Some(frame) = inner.get(8..).filter(|frame| frame.len() >= 14) else {
                return dropped(DropReason::Malformed);
            };
            if Mac(array(frame, 0)) != self.state.node.router_mac {
                return dropped(DropReason::WrongMac);
            }
            let kind = be16(frame, 12);
            if !matches!(kind, Some(0x0800 | 0x86dd)) {
                return dropped(DropReason::Unsupported);
            }
            (Leads::Vrf(*vrf), kind, &frame[14..])
        } else {
            let entry = u32::from_be_bytes(array(inner, 0));
            if entry & 0x100 == 0 {
                return dropped(DropReason::Unsupported);
            }
            // MPLS does not say what is inside; the version of IP does (RFC 3032 §2.2).
            let version = inner.get(4).map_or(4, |first| first >> 4);
            match MplsLabel::new(entry >> 12).and_then(|label| self.labelled(label)) {
                Some(_) if !matches!(version, 4 | 6) => return dropped(DropReason::Unsupported),
                Some(way) => (way, None, &inner[4..]),
                None => return dropped(DropReason::UnknownLabel),
            }
        };
        let is_of_kind =
            |packet: &Packet| kind.is_none_or(|kind| packet.is_v4() == (kind == 0x0800));
        let Some(mut packet) = Packet::read(octets).filter(is_of_kind) else {
            return dropped(DropReason::Malformed);
        };
        let remote = outer.source();
        let (Leads::Vrf(vrf) | Leads::Port(_, vrf)) = way;
        self.count_tunnel(remote, vrf, Way::Received, &packet);
        let overhead = overhead(remote, encapsulation);
        if outer.is_congested() && !packet.mark_congested() {
            return dropped(DropReason::Congested);
        }
        clamp(&mut packet, self.underlay_mtu.saturating_sub(overhead));
        let mut pass = Pass::new(self, now, Origin::Tunnel, packet.clone());
        let outcome = match way {
            Leads::Vrf(vrf) => pass.route(vrf, packet),
            Leads::Port(port, _) => pass.deliver(&port, &packet),
        };
        Some((pass.out, outcome))
    }

    fn labelled(&self, label: MplsLabel) -> Option<Leads> {
        let mut ports = self.state.ports.iter();
        if let Some((id, port)) = ports.find(|(_, port)| port.label == Some(label)) {
            return Some(Leads::Port(id.clone(), port.vrf));
        }
        let mut vrfs = self.state.vrfs.iter();
        vrfs.find(|(_, vrf)| vrf.label == label).map(|(id, _)| Leads::Vrf(*id))
    }

    /// RFC 5880 §6.4, RFC 5881 §4: the echo of who watches this node goes back as it came.
    fn answer_prober(&self, packet: &Packet) -> Option<Out> {
        let tuple = packet.tuple();
        let is_echo = packet.protocol == UDP
            && packet.fragment == Fragment::Whole
            && tuple.destination_port == ECHO
            && self.state.node.probers.contains(&tuple.source);
        is_echo.then(|| {
            let back = super::translate::rewritten(packet, &super::packet::reversed(&tuple));
            Out { to: Place::Underlay, octets: back.octets().to_vec() }
        })
    }
}

/// What the packet of a workload is in, and what follows the outermost header of that.
fn tunnel_header(packet: &Packet) -> Option<(Encapsulation, &[u8])> {
    let body = packet.body();
    if packet.fragment != Fragment::Whole {
        return None;
    }
    match packet.protocol {
        // No checksum, key or sequence number (RFC 4023 §4): others are the kernel's.
        GRE if body.get(..4)? == u32::from(ETHERTYPE_MPLS).to_be_bytes() => {
            Some((Encapsulation::MplsOverGre, at_least(4, &body[4..])?))
        }
        UDP if be16(body, 2)? == MPLS_OVER_UDP => {
            Some((Encapsulation::MplsOverUdp, at_least(4, &body[8..])?))
        }
        UDP if be16(body, 2)? == VXLAN => {
            let inner = at_least(8, &body[8..])?;
            let flags = u32::from_be_bytes(array(inner, 0));
            (flags & VNI_IS_VALID != 0).then_some((Encapsulation::Vxlan, inner))
        }
        _ => None,
    }
}

fn at_least(length: usize, octets: &[u8]) -> Option<&[u8]> {
    (octets.len() >= length).then_some(octets)
}

fn overhead(remote: IpAddr, encapsulation: Encapsulation) -> u16 {
    let (label, router_mac) = (MplsLabel::MIN, Mac::default());
    let header = match encapsulation {
        Encapsulation::MplsOverGre => TunnelHeader::MplsOverGre { label },
        Encapsulation::MplsOverUdp => TunnelHeader::MplsOverUdp { label },
        Encapsulation::Vxlan => TunnelHeader::Vxlan { vni: Vni::MAX, router_mac },
    };
    Tunnel { remote, header }.overhead()
}
