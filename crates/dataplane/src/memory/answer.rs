//! What the plane itself says to workloads, in the name of their gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::forward::{GATEWAY_MAC, Origin, Out, Outcome, Pass, arp_frame_to, frame_to};
use super::packet::{Fragment, ICMP, ICMP_V6, Packet, array, be16};
use crate::drop_reason::DropReason;
use crate::mac::Mac;
use crate::port::{Port, PortId};

const ANSWER_TTL: u8 = 64;
/// RFC 1812 §4.3.2.3, RFC 4443 §2.4 c: most octets of an error.
const LONGEST_V4: usize = 576;
const LONGEST_V6: usize = 1280;

/// An ICMP error in both versions: type and code.
struct Error {
    v4: (u8, u8),
    v6: (u8, u8),
}

/// RFC 792: net unreachable; RFC 4443 §3.1: no route.
const NO_ROUTE: Error = Error { v4: (3, 0), v6: (1, 0) };
/// RFC 1191 §4; RFC 4443 §3.2.
const TOO_BIG: Error = Error { v4: (3, 4), v6: (2, 0) };
const TTL_EXPIRED: Error = Error { v4: (11, 0), v6: (3, 0) };

impl Pass<'_> {
    pub(super) fn answer_no_route(&mut self) {
        self.answer_error(&NO_ROUTE, 0);
    }

    pub(super) fn answer_ttl_expired(&mut self) {
        self.answer_error(&TTL_EXPIRED, 0);
    }

    pub(super) fn answer_too_big(&mut self, mtu: u16) {
        self.answer_error(&TOO_BIG, mtu);
    }

    /// Only workloads are answered: who sent what came out of a tunnel has a gateway of its own.
    fn answer_error(&mut self, error: &Error, mtu: u16) {
        let Origin::Port { id, port } = &self.origin else { return };
        let about = &self.original;
        // RFC 1812 §4.3.2.7, RFC 4443 §2.4 e.
        if about.is_icmp_error() || about.fragment == Fragment::Later {
            return;
        }
        let Some(gateway) = gateway(port, about.source()) else { return };
        let is_v4 = about.is_v4();
        let ((kind, code), protocol, longest) = if is_v4 {
            (error.v4, ICMP, LONGEST_V4 - 28)
        } else {
            (error.v6, ICMP_V6, LONGEST_V6 - 48)
        };
        let mut body = vec![kind, code, 0, 0];
        body.extend(u32::from(mtu).to_be_bytes());
        body.extend(&about.octets()[..about.length().min(longest)]);
        let answer = Packet::new((gateway, about.source()), protocol, (0, ANSWER_TTL), &body);
        self.out.push(frame_to(id, port, &answer));
    }

    /// A ping of the gateway, which is nobody's interface.
    pub(super) fn answer_echo(&mut self, id: &PortId, port: &Port, packet: &Packet) -> bool {
        if gateway(port, packet.source()) != Some(packet.destination()) {
            return false;
        }
        let Some(answer) = packet.echoed() else { return false };
        self.out.push(frame_to(id, port, &answer));
        true
    }

    /// Neighbour discovery (RFC 4861 §7.2.4): the gateway's link address is behind all others.
    pub(super) fn answer_neighbour(
        &mut self,
        id: &PortId,
        port: &Port,
        packet: &Packet,
    ) -> Result<bool, DropReason> {
        let Some((kind, _)) = packet.icmp().filter(|_| !packet.is_v4()) else {
            return Ok(false);
        };
        if kind != 135 {
            // What hosts say to their link (RFC 2710, 3810, 4861): listeners, routers wanted.
            let is_for_link =
                matches!(kind, 130..=137 | 143) && packet.destination().is_multicast();
            return Ok(is_for_link);
        }
        let body = packet.body();
        // §7.1.1: what came through a router is no neighbour's.
        if packet.ttl() != 255 || body.len() < 24 {
            return Err(DropReason::Malformed);
        }
        let target = Ipv6Addr::from(array::<16>(body, 8));
        let IpAddr::V6(source) = packet.source() else { return Ok(false) };
        // §4.3, RFC 4862 §5.4: who asks without an address wants to hear nothing.
        if source.is_unspecified() || source == target || port.has(target.into()) {
            return Ok(true);
        }
        // §4.4: from a router, asked for, replacing what was known.
        let mut body = vec![136, 0, 0, 0, 0xe0, 0, 0, 0];
        body.extend(target.octets());
        body.extend([2, 1]);
        body.extend(GATEWAY_MAC.0);
        let ends = (target.into(), source.into());
        let answer = Packet::new(ends, ICMP_V6, (0, 255), &body);
        self.out.push(frame_to(id, port, &answer));
        Ok(true)
    }
}

/// ARP (RFC 826) for anything but the port's own address.
pub(super) fn answer_arp(id: &PortId, port: &Port, body: &[u8]) -> (Vec<Out>, Outcome) {
    let ethernet_and_ipv4 = [0, 1, 8, 0, 6, 4];
    if body.len() < 28 {
        return (Vec::new(), Err(DropReason::Malformed));
    }
    if body[..6] != ethernet_and_ipv4 {
        return (Vec::new(), Err(DropReason::Unsupported));
    }
    let (sender, source) = (Mac(array(body, 8)), Ipv4Addr::from(array::<4>(body, 14)));
    let target = Ipv4Addr::from(array::<4>(body, 24));
    let is_request = be16(body, 6) == Some(1);
    // RFC 5227: who hears an answer to a probe or an announcement would give the address up.
    if !is_request || port.has(target.into()) || target == source || source.is_unspecified() {
        return (Vec::new(), Ok(()));
    }
    let mut answer = ethernet_and_ipv4.to_vec();
    answer.extend([0, 2]);
    answer.extend(GATEWAY_MAC.0);
    answer.extend(target.octets());
    answer.extend(sender.0);
    answer.extend(source.octets());
    (vec![arp_frame_to(id, sender, &answer)], Ok(()))
}

fn gateway(port: &Port, sender: IpAddr) -> Option<IpAddr> {
    match sender {
        IpAddr::V4(_) => port.v4.map(|link| link.gateway.into()),
        IpAddr::V6(_) => port.v6.map(|link| link.gateway.into()),
    }
}
