//! Copies of a port's packets on their way to another host: ERSPAN type II (draft-foschiano-erspan).
//!
//! ```text
//! IP       protocol 47; the kernel's
//! GRE      0x1000, a sequence number is there (2) | 0x88be (2) | sequence (4)       RFC 2784, 2890
//! ERSPAN   version 1, no VLAN (2) | truncated (bit 10), session (10 bits)
//!          unused (4)
//! Ethernet destination (6) | source (6) | type (2) | packet
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr};

use dataplane::event::Mirrored;
use dataplane::{Direction, Mac};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const GRE: i32 = 47;
const SEQUENCE_PRESENT: u16 = 0x1000;
const ERSPAN_II: u16 = 0x88be;
const VERSION: u16 = 1 << 12;
const TRUNCATED: u16 = 1 << 10;

/// What workloads take for the MAC address of their gateway.
const GATEWAY: Mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x01, 0x00]);

/// Octets of a packet at most: with the headers it still is an IP packet.
const LONGEST: usize = 65_000;

/// Number of a session at the analyzer, 0 to 1023.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session(u16);

impl Session {
    pub const fn new(number: u16) -> Option<Self> {
        if number < 1024 { Some(Self(number)) } else { None }
    }
}

/// The copies of one port to one host.
#[derive(Debug)]
pub struct Analyzer {
    socket: Socket,
    to: SockAddr,
    session: Session,
    /// Of the workload's interface.
    mac: Mac,
    sequence: u32,
}

impl Analyzer {
    /// Sends from `own`, an address of this node and of the version of `to`.
    ///
    /// # Errors
    /// What the kernel says: no right to do so, `own` is not here.
    pub fn new(own: IpAddr, to: IpAddr, session: Session, mac: Mac) -> io::Result<Self> {
        let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(GRE)))?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(own, 0).into())?;
        // Not connected: a host that only listens may answer that it knows no GRE, which is no fault.
        Ok(Self { socket, to: SocketAddr::new(to, 0).into(), session, mac, sequence: 0 })
    }

    /// Sends a copy, cut at `snaplen` octets. Waits for nothing: an error is a copy that is lost.
    pub fn send(&mut self, copy: &Mirrored, snaplen: usize) -> io::Result<()> {
        let message = encode(copy, snaplen.min(LONGEST), self.session, self.mac, self.sequence);
        // A gap shows what is lost.
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send_to(&message, &self.to).map(drop)
    }
}

fn encode(copy: &Mirrored, snaplen: usize, session: Session, mac: Mac, sequence: u32) -> Vec<u8> {
    let packet = copy.octets.get(..snaplen).unwrap_or(&copy.octets);
    let is_whole = u32::try_from(packet.len()).is_ok_and(|length| length == copy.length);
    let truncated = if is_whole { 0 } else { TRUNCATED };
    let (to, from) = match copy.direction {
        Direction::In => (mac, GATEWAY),
        Direction::Out => (GATEWAY, mac),
    };
    let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let ether_type: u16 = if is_v6 { 0x86dd } else { 0x0800 };
    let mut message = [SEQUENCE_PRESENT, ERSPAN_II].map(u16::to_be_bytes).concat();
    message.extend(sequence.to_be_bytes());
    message.extend([VERSION, truncated | session.0, 0, 0].map(u16::to_be_bytes).concat());
    message.extend([&to.0[..], &from.0, &ether_type.to_be_bytes(), packet].concat());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_by_hand() {
        let copy = |direction, length| Mirrored {
            port: "db-1".into(),
            direction,
            length,
            octets: vec![0x45, 0, 0, 3],
        };
        let (session, mac) = (Session::new(0x155).expect("small"), Mac([2, 0, 0, 0, 0, 9]));
        let whole = encode(&copy(Direction::Out, 4), 100, session, mac, 7);
        let head = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 7, 0x10, 0, 0x01, 0x55, 0, 0, 0, 0];
        let frame = [0, 0, 0x5e, 0, 1, 0, 2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0, 0, 3];
        assert_eq!(whole, [&head[..], &frame].concat());

        let cut = encode(&copy(Direction::In, 4), 2, session, mac, 7);
        assert_eq!((cut[10], &cut[16..22]), (0x05, &mac.0[..]), "the bit, and the other way");
        assert_eq!(cut.len(), 16 + 14 + 2);
        assert_eq!(Session::new(1024), None);
    }
}
