//! Filters of ports, and the connections that they have let through.

use super::Memory;
use super::flows::Allowed;
use super::forward::Outcome;
use super::packet::{Fragment, Packet, reversed};
use crate::drop_reason::DropReason;
use crate::event::{Decided, Event, Tuple};
use crate::filter::{Connection, Direction, Filter, FilterId, Identity, Verdict};
use crate::port::PortId;

impl Memory {
    /// Whether the port may send (`Out`) or receive (`In`) this packet, as the workload sees it.
    pub(super) fn ask_filter(
        &mut self,
        port: &PortId,
        direction: Direction,
        packet: &Packet,
    ) -> Outcome {
        let id = self.state.ports.get(port).and_then(|port| port.filter.clone());
        let Some(id) = id else { return Ok(()) };
        let Some(filter) = self.state.filters.get(&id).cloned() else { return Ok(()) };
        if packet.fragment == Fragment::Later {
            return self.ask_for_fragment(port, packet);
        }
        let tuple = packet.tuple();
        // An error belongs to the connection that it is about.
        for of in packet.quoted().map(|quoted| quoted.tuple()).into_iter().chain([tuple]) {
            for key in [of, reversed(&of)] {
                let key = (port.clone(), key);
                let Some(allowed) = self.flows.allowed.get(&key).cloned() else { continue };
                if allowed.filter == filter {
                    self.count_rule(&id, allowed.rule, filter.rules.len() + 2);
                    return Ok(());
                }
                self.flows.allowed.remove(&key);
                return self.decide(key, &id, filter, allowed.connection);
            }
        }
        let (peer, port_number) = match direction {
            Direction::In => (tuple.source, tuple.destination_port),
            Direction::Out => (tuple.destination, tuple.destination_port),
        };
        let number = packet.icmp().map_or(port_number, |(kind, _)| u16::from(kind));
        let connection = Connection { direction, peer, protocol: tuple.protocol, port: number };
        self.decide((port.clone(), tuple), &id, filter, connection)
    }

    /// A later fragment has no ports: it goes where a connection between the two was let through.
    fn ask_for_fragment(&self, port: &PortId, packet: &Packet) -> Outcome {
        let ends = |tuple: &Tuple| (tuple.source, tuple.destination, tuple.protocol);
        let (there, back) = (ends(&packet.tuple()), ends(&reversed(&packet.tuple())));
        let mut of_port = self.flows.allowed.keys().filter(|(of, _)| of == port);
        let belongs = of_port.any(|(_, tuple)| [there, back].contains(&ends(tuple)));
        belongs.then_some(()).ok_or(DropReason::Denied)
    }

    fn decide(
        &mut self,
        key: (PortId, Tuple),
        id: &FilterId,
        filter: Filter,
        connection: Connection,
    ) -> Outcome {
        let vrf = self.state.ports.get(&key.0).map(|port| port.vrf);
        let route = vrf.and_then(|vrf| self.lookup(vrf, connection.peer));
        let identities = route.map(|route| route.identities.clone()).unwrap_or_default();
        let has = |identity: Identity| identities.as_slice().contains(&identity);
        let (verdict, matched) = filter.decide(&connection, has);
        let default = match connection.direction {
            Direction::In => filter.rules.len(),
            Direction::Out => filter.rules.len() + 1,
        };
        let rule = matched.unwrap_or(default);
        self.count_rule(id, rule, filter.rules.len() + 2);
        let logged = matched.filter(|rule| filter.rules[*rule].log);
        let is_new = verdict == Verdict::Allow || self.flows.refused.insert(key.clone());
        if let Some(rule) = logged.filter(|_| is_new) {
            self.report(Event::Decided(Decided {
                port: key.0.clone(),
                filter: id.clone(),
                rule,
                direction: connection.direction,
                verdict,
                tuple: key.1,
            }));
        }
        match verdict {
            Verdict::Allow => {
                self.flows.allowed.insert(key, Allowed { connection, filter, rule });
                Ok(())
            }
            Verdict::Deny => Err(DropReason::Denied),
        }
    }
}
