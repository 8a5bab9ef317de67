//! One synthetic packet through the data plane: from a request to a probe, and from what was done
//! with it to sentences.

mod packet;

use std::net::IpAddr;

use arcus_api::v1::{
    self, Action, Direction, IpProtocol, PortId, TraceAction, TraceFrom, TraceOutcome, TracePacket,
    TraceRequest, TraceStep,
};
use dataplane::trace::{Outcome, Probe, Step, Trace};
use dataplane::{Encapsulation, Verdict};

use crate::core::Core;
use crate::local::plane_id;

/// Reads a request; the error says what to change.
pub fn probe(core: &Core, request: &TraceRequest) -> Result<Probe, String> {
    match &request.from {
        TraceFrom::Port(id) => {
            let packet = inner(core, request, Some(id))?;
            Ok(Probe::FromPort { port: plane_id(id), packet })
        }
        TraceFrom::Uplink(uplink) => {
            let node = core.node();
            let name = uplink.interface.clone().or_else(|| node.uplinks.first().cloned());
            let name = name.ok_or("this node has no uplink")?;
            let inner = inner(core, request, None)?;
            let packet = match &uplink.tunnel {
                None => inner,
                Some(tunnel) => {
                    let encapsulation: Encapsulation =
                        tunnel.encapsulation.parse().map_err(|error| format!("{error}"))?;
                    let local = core.node().tunnel_ends();
                    let local = local.iter().find(|end| end.is_ipv4() == tunnel.remote.is_ipv4());
                    let local = *local.ok_or("this node has no tunnel address of that version")?;
                    let outer = packet::Outer {
                        remote: tunnel.remote,
                        local,
                        encapsulation,
                        id: tunnel.id,
                        router_mac: node.router_mac(),
                    };
                    packet::wrap(&outer, &inner)?
                }
            };
            Ok(Probe::FromUplink { uplink: name, packet })
        }
    }
}

fn inner(core: &Core, request: &TraceRequest, from: Option<&PortId>) -> Result<Vec<u8>, String> {
    let headers = match &request.packet {
        TracePacket::Octets(text) => return packet::from_hex(text),
        TracePacket::Headers(headers) => headers,
    };
    let destination = headers.destination;
    let source = match (headers.source, from) {
        (Some(source), _) => source,
        (None, Some(id)) => {
            let status = core.status_of(id).ok_or_else(|| format!("there is no port `{id}`"))?;
            [Some(status.address), status.ip6.map(IpAddr::V6)]
                .into_iter()
                .flatten()
                .find(|own| own.is_ipv4() == destination.is_ipv4())
                .ok_or_else(|| format!("port `{id}` has no address of that IP version"))?
        }
        (None, None) => return Err("a packet from the underlay needs a source".to_owned()),
    };
    packet::make(headers, source)
}

/// The answer, with the names that people know things by.
pub fn show(core: &Core, trace: &Trace) -> v1::Trace {
    let steps = trace.steps.iter().map(|step| {
        let action = action(core, step);
        TraceStep { text: sentence(&action), action }
    });
    let outcome = outcome(&trace.outcome);
    v1::Trace {
        steps: steps.collect(),
        text: ending(&outcome),
        outcome,
        packet: (!trace.packet.is_empty()).then(|| packet::to_hex(&trace.packet)),
    }
}

fn action(core: &Core, step: &Step) -> TraceAction {
    match step {
        Step::Decapsulated { remote, encapsulation, id, vrf } => TraceAction::Decapsulated {
            remote: *remote,
            encapsulation: encapsulation.to_string(),
            id: *id,
            vrf: core.vrf_name(*vrf),
        },
        Step::Flow { direction } => TraceAction::Flow { direction: direction_of(*direction) },
        Step::Filtered { port, filter, direction, rule, verdict } => TraceAction::Filtered {
            port: port_of(port),
            filter: filter.to_string(),
            direction: direction_of(*direction),
            rule: core.rule_name(filter, *rule),
            action: action_of(*verdict),
        },
        Step::Routed { vrf, address, members } => {
            TraceAction::Routed { vrf: core.vrf_name(*vrf), address: *address, next_hops: *members }
        }
        Step::Chosen { hop } => TraceAction::Chosen { next_hop: core.show_one_hop(hop) },
        Step::Translated { tuple } => TraceAction::Translated {
            source: tuple.source,
            destination: tuple.destination,
            protocol: IpProtocol(tuple.protocol),
            source_port: tuple.source_port,
            destination_port: tuple.destination_port,
        },
        Step::Left { source, vrf } => {
            TraceAction::Left { source: *source, vrf: vrf.map(|vrf| core.vrf_name(vrf)) }
        }
        Step::Encapsulated { remote, encapsulation, id } => TraceAction::Encapsulated {
            remote: *remote,
            encapsulation: encapsulation.to_string(),
            id: *id,
        },
    }
}

fn sentence(action: &TraceAction) -> String {
    match action {
        TraceAction::Decapsulated { remote, encapsulation, id, vrf } => {
            format!("came in {encapsulation} from {remote} with {id}, which leads to {vrf}")
        }
        TraceAction::Flow { direction } => {
            format!("belongs to a remembered connection, going {direction}")
        }
        TraceAction::Filtered { port, filter, direction, rule, action } => {
            let verb = if *action == Action::Allow { "allows" } else { "denies" };
            format!("rule {rule} of {filter} {verb} it, {direction} at port {port}")
        }
        TraceAction::Routed { vrf, address, next_hops: None } => {
            format!("looked up {address} in {vrf}: no route")
        }
        TraceAction::Routed { vrf, address, next_hops: Some(1) } => {
            format!("looked up {address} in {vrf}: 1 next hop")
        }
        TraceAction::Routed { vrf, address, next_hops: Some(number) } => {
            format!("looked up {address} in {vrf}: {number} next hops")
        }
        TraceAction::Chosen { next_hop } => {
            let by = next_hop.encapsulation.as_deref().unwrap_or("next hop");
            format!("takes {by} {}", next_hop.to).trim_end().to_owned()
        }
        TraceAction::Translated { source, destination, source_port, destination_port, .. } => {
            format!(
                "now goes from {source} port {source_port} to {destination} port \
                 {destination_port}"
            )
        }
        TraceAction::Left { source, vrf: Some(vrf) } => format!("leaves with {source}, by {vrf}"),
        TraceAction::Left { source, vrf: None } => {
            format!("leaves with {source}, by the underlay and in no tunnel")
        }
        TraceAction::Encapsulated { remote, encapsulation, id } => {
            format!("put into {encapsulation} to {remote} with {id}")
        }
    }
}

fn outcome(of: &Outcome) -> TraceOutcome {
    match of {
        Outcome::Delivered { port } => TraceOutcome::Delivered { port: port_of(port) },
        Outcome::Sent { interface } => TraceOutcome::Sent { interface: interface.clone() },
        Outcome::Answered { dropped } => {
            TraceOutcome::Answered { dropped: dropped.map(|why| why.name().to_owned()) }
        }
        Outcome::Dropped { reason } => TraceOutcome::Dropped { reason: reason.name().to_owned() },
        Outcome::Passed => TraceOutcome::Passed,
    }
}

fn ending(outcome: &TraceOutcome) -> String {
    match outcome {
        TraceOutcome::Delivered { port } => format!("delivered to port {port}"),
        TraceOutcome::Sent { interface } => format!("sent into the underlay by {interface}"),
        TraceOutcome::Answered { dropped: None } => "the sender gets an answer".to_owned(),
        TraceOutcome::Answered { dropped: Some(why) } => {
            format!("dropped, {why}; the sender is told")
        }
        TraceOutcome::Dropped { reason } => format!("dropped, {reason}"),
        TraceOutcome::Passed => "left to the kernel of the node".to_owned(),
    }
}

/// Names of ports in the data plane are those of the API.
fn port_of(id: &dataplane::PortId) -> PortId {
    id.0.parse().unwrap_or_else(|_| "unknown".parse().expect("a port id"))
}

pub(crate) const fn direction_of(of: dataplane::Direction) -> Direction {
    match of {
        dataplane::Direction::In => Direction::In,
        dataplane::Direction::Out => Direction::Out,
    }
}

pub(crate) const fn action_of(of: Verdict) -> Action {
    match of {
        Verdict::Allow => Action::Allow,
        Verdict::Deny => Action::Deny,
    }
}
