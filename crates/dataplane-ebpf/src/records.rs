//! Events, octet for octet: `struct event` of `bpf/layout.h` and what is behind it.

use std::net::IpAddr;

use dataplane::event::{Decided, Mirrored, Sample, Tuple};
use dataplane::{Direction, Event, VrfId};

use crate::events::Names;
use crate::filters::{direction, verdict};
use crate::layout::{Address, EVENT_DECIDED, EVENT_MIRRORED, EVENT_SAMPLE};

/// Reads fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn number(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    fn address(&mut self) -> Option<IpAddr> {
        self.array().map(|octets: [u8; 16]| Address::from(std::net::Ipv6Addr::from(octets)).into())
    }

    fn port(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }
}

/// `struct event` of `bpf/layout.h`, and what is behind it.
pub(crate) fn decode(octets: &[u8], names: &Names) -> Option<Event> {
    let mut fields = Fields(octets);
    let kind = fields.number()?;
    let length = usize::try_from(fields.number()?).ok()?;
    let body = octets.get(..length)?.get(octets.len() - fields.0.len()..)?;
    match kind {
        EVENT_DECIDED => decided(Fields(body), names).map(Event::Decided),
        EVENT_SAMPLE => sample(Fields(body), names).map(Event::Sample),
        EVENT_MIRRORED => mirrored(Fields(body), names).map(Event::Mirrored),
        _ => None,
    }
}

fn decided(mut fields: Fields<'_>, names: &Names) -> Option<Decided> {
    let (index, generation) = (fields.number()?, fields.number()?);
    let (filter, rule) = (fields.number()?, fields.number()?);
    let (own, peer) = (fields.address()?, fields.address()?);
    let (own_port, peer_port) = (fields.port()?, fields.port()?);
    let [protocol, side, raw_verdict, _] = fields.array()?;
    let direction = direction(side);
    let tuple = match direction {
        Direction::Out => Tuple {
            source: own,
            destination: peer,
            protocol,
            source_port: own_port,
            destination_port: peer_port,
        },
        Direction::In => Tuple {
            source: peer,
            destination: own,
            protocol,
            source_port: peer_port,
            destination_port: own_port,
        },
    };
    Some(Decided {
        port: names.port(index, generation)?,
        filter: names.filters.get(&filter)?.clone(),
        rule: usize::try_from(rule).ok()?,
        direction,
        verdict: verdict(raw_verdict),
        tuple,
    })
}

fn sample(mut fields: Fields<'_>, names: &Names) -> Option<Sample> {
    let (index, generation) = (fields.number()?, fields.number()?);
    let (vrf, length, packets) = (fields.number()?, fields.number()?, fields.number()?);
    let (source, destination) = (fields.address()?, fields.address()?);
    let remote = fields.address()?;
    let (source_port, destination_port) = (fields.port()?, fields.port()?);
    let [protocol, side, tcp_flags, traffic_class] = fields.array()?;
    Some(Sample {
        vrf: VrfId(vrf),
        port: names.port(index, generation)?,
        direction: direction(side),
        tuple: Tuple { source, destination, protocol, source_port, destination_port },
        length,
        packets,
        tcp_flags,
        traffic_class,
        remote: Some(remote).filter(|remote| !remote.is_unspecified()),
    })
}

fn mirrored(mut fields: Fields<'_>, names: &Names) -> Option<Mirrored> {
    let (index, generation) = (fields.number()?, fields.number()?);
    let (length, captured) = (fields.number()?, fields.number()?);
    let [side, ..] = fields.array::<4>()?;
    Some(Mirrored {
        port: names.port(index, generation)?,
        direction: direction(side),
        length,
        octets: fields.0.get(..usize::try_from(captured).ok()?)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::Verdict;

    fn octets(side: u8) -> Vec<u8> {
        let numbers = [EVENT_DECIDED, 64, 3, 7, 2, 5].map(u32::to_ne_bytes).concat();
        let address = |last| std::net::Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().octets();
        let ports = [8080u16, 40_000].map(u16::to_be_bytes).concat();
        [&numbers[..], &address(1), &address(2), &ports, &[6, side, 1, 0]].concat()
    }

    #[test]
    fn a_decision_reads_back_by_name_and_from_who_opened_it() {
        let mut names = Names::default();
        names.ports.insert(3, (7, "db".into()));
        names.filters.insert(2, "web".into());
        let Some(Event::Decided(inwards)) = decode(&octets(0), &names) else { panic!("none") };
        assert_eq!((inwards.port, inwards.filter, inwards.rule), ("db".into(), "web".into(), 5));
        assert_eq!((inwards.direction, inwards.verdict), (Direction::In, Verdict::Deny));
        assert_eq!(inwards.tuple.source, "10.0.0.2".parse::<IpAddr>().unwrap());
        assert_eq!((inwards.tuple.source_port, inwards.tuple.destination_port), (40_000, 8080));
        let Some(Event::Decided(outwards)) = decode(&octets(1), &names) else { panic!("none") };
        assert_eq!(outwards.tuple.source, "10.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!((outwards.tuple.source_port, outwards.tuple.protocol), (8080, 6));
    }

    #[test]
    fn what_is_cut_off_unknown_or_of_another_port_is_nothing() {
        let mut names = Names::default();
        names.filters.insert(2, "web".into());
        assert_eq!(decode(&octets(0), &names), None, "no such port");
        names.ports.insert(3, (8, "other".into()));
        assert_eq!(decode(&octets(0), &names), None, "another generation");
        names.ports.insert(3, (7, "db".into()));
        assert!(decode(&octets(0), &names).is_some());
        assert_eq!(decode(&octets(0)[..63], &names), None);
        let mut unknown = octets(0);
        unknown[0] = 99;
        assert_eq!(decode(&unknown, &names), None);
    }
}
