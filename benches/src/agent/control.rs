//! A control node that says what it is told to.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::load::routes::{ASN, target_octets};
use crate::load::wire::{self, FamilyCode, HEADER, OPTIONAL, TRANSITIVE};

pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 201, 0, 2);

/// Where the routes of the run lead into.
pub(super) const TARGET: u32 = 100;

const FAMILIES: [FamilyCode; 4] = [(1, 128), (2, 128), (25, 70), wire::RTC];

/// Longer than any run; so nothing is to be said in between.
const HOLD: u16 = 600;

/// Routes of one UPDATE: about as many as fit.
const PER_UPDATE: usize = 240;

/// Where routes lead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// All to one node, with the label of its VRF.
    #[default]
    OneTunnel,
    /// To a hundred nodes, each route with a label of its own.
    OwnLabels,
}

impl Way {
    pub(super) const ALL: [Self; 2] = [Self::OneTunnel, Self::OwnLabels];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OneTunnel => "one tunnel",
            Self::OwnLabels => "own labels",
        }
    }
}

/// The host routes of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Routes {
    pub(super) count: u32,
    pub(super) way: Way,
    /// What has been added to every label, and to every node's address.
    pub(super) labels: u32,
    pub(super) nodes: u32,
    pub(super) are_gone: bool,
}

impl Routes {
    pub(super) fn address(number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + number)
    }

    pub(super) fn label(&self, number: u32) -> u32 {
        16 + self.labels
            + match self.way {
                Way::OneTunnel => 0,
                // Told apart from one that is relabelled.
                Way::OwnLabels => number * 2,
            }
    }

    pub(super) fn next_hop(&self, number: u32) -> Ipv4Addr {
        let node = match self.way {
            Way::OneTunnel => 0,
            Way::OwnLabels => number / self.count.div_ceil(100),
        };
        Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 200, 1, 0)) + node + self.nodes * 256)
    }

    /// All that is to be said of them.
    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers: Vec<u32> = (0..self.count).collect();
        let by_node = numbers.chunk_by(|a, b| self.next_hop(*a) == self.next_hop(*b));
        by_node
            .flat_map(|of_node| of_node.chunks(PER_UPDATE))
            .flat_map(|some| self.update(some))
            .collect()
    }

    fn update(&self, numbers: &[u32]) -> Vec<u8> {
        let mut attributes = Vec::new();
        let Some(first) = numbers.first() else { return attributes };
        if self.are_gone {
            let mut value = vec![0, 1, 128];
            for number in numbers {
                self.write(*number, &mut value);
            }
            wire::attribute(OPTIONAL, 15, &value, &mut attributes);
            return wire::update(&[], &attributes, &[]);
        }
        // Family; a next hop with a route distinguisher of zero (RFC 4364 section 4.3.2); reserved.
        let mut reach = vec![0, 1, 128, 12, 0, 0, 0, 0, 0, 0, 0, 0];
        reach.extend(self.next_hop(*first).octets());
        reach.push(0);
        for number in numbers {
            self.write(*number, &mut reach);
        }
        wire::attribute(OPTIONAL, 14, &reach, &mut attributes);
        wire::attribute(TRANSITIVE, 1, &[0], &mut attributes);
        wire::attribute(TRANSITIVE, 2, &[], &mut attributes);
        wire::attribute(TRANSITIVE, 5, &100_u32.to_be_bytes(), &mut attributes);
        wire::attribute(OPTIONAL | TRANSITIVE, 16, &target_octets(TARGET), &mut attributes);
        wire::update(&[], &attributes, &[])
    }

    fn write(&self, number: u32, out: &mut Vec<u8>) {
        let [_, a, b, c] = ((self.label(number) << 4) | 1).to_be_bytes();
        out.extend([120, a, b, c]);
        // Type 1: the other node, and its VRF.
        out.extend([0, 1, 10, 200, 1, 1, 0, 1]);
        out.extend(Self::address(number).octets());
    }
}

/// The listener, and the session when it is up.
pub(super) struct Control {
    listener: TcpListener,
    session: Option<TcpStream>,
}

impl Control {
    pub(super) fn listen() -> Result<Self> {
        Ok(Self { listener: TcpListener::bind(SocketAddrV4::new(ADDRESS, 179))?, session: None })
    }

    /// Waits for the agent, and tells it that there is nothing yet.
    pub(super) fn accept(&mut self) -> Result<()> {
        let (mut stream, _) = self.listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(&wire::open(ASN, HOLD, ADDRESS, &FAMILIES))?;
        stream.write_all(&wire::keepalive())?;
        loop {
            let mut header = [0; HEADER];
            stream.read_exact(&mut header).context("the agent's messages")?;
            let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
            stream.read_exact(&mut vec![0; length.saturating_sub(HEADER)])?;
            ensure!(header[18] != wire::NOTIFICATION, "the agent does not want this session");
            if header[18] == wire::KEEPALIVE {
                break;
            }
        }
        for family in FAMILIES {
            stream.write_all(&wire::end_of_rib(family))?;
        }
        // What the agent says is read, and of no interest.
        let mut input = stream.try_clone()?;
        input.set_read_timeout(None)?;
        std::thread::spawn(move || drop(std::io::copy(&mut input, &mut std::io::sink())));
        self.session = Some(stream);
        Ok(())
    }

    pub(super) fn send(&mut self, octets: &[u8]) -> Result<()> {
        let session = self.session.as_mut().context("no session")?;
        session.write_all(octets).context("sending")
    }
}

#[cfg(test)]
mod tests {
    use bgp_wire::{Message, Negotiated};

    use super::*;

    #[test]
    fn what_is_sent_is_read_without_a_fault() {
        for way in Way::ALL {
            for are_gone in [false, true] {
                let routes = Routes { count: 1000, way, are_gone, ..Routes::default() };
                let octets = routes.encode();
                let (mut rest, mut count) = (&octets[..], 0);
                while !rest.is_empty() {
                    let length = usize::from(u16::from_be_bytes([rest[16], rest[17]]));
                    let (message, next) = rest.split_at(length);
                    rest = next;
                    let decoded = Message::decode(message, &Negotiated::everything());
                    let Ok(Message::Update(update)) = decoded else { panic!("{decoded:?}") };
                    assert_eq!(update.faults, []);
                    count += update.announced.iter().map(|(_, some)| some.len()).sum::<usize>();
                    count += update.withdrawn.iter().map(bgp_wire::Withdrawals::len).sum::<usize>();
                }
                assert_eq!(count, 1000);
            }
        }
    }
}
