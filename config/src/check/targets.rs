//! Whether networks and connections that share a target mean to.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::addresses::overlap;
use crate::{ConfigError, Network, RouteTarget, read::Draft};

pub(super) fn check(draft: &Draft) -> Result<(), ConfigError> {
    connections_have_targets_of_their_own(draft)?;
    let mut before: Vec<&Network> = Vec::new();
    for network in draft.topology.networks.values() {
        subnets_are_apart(draft, network, network)?;
        for other in &before {
            if let Some(target) = shared_target(network, other) {
                subnets_are_equal_or_apart(draft, network, other, target)?;
            }
        }
        before.push(network);
    }
    Ok(())
}

/// A target that carries routes from one of them to the other.
pub(super) fn shared_target(a: &Network, b: &Network) -> Option<RouteTarget> {
    let flows = |from: &Network, to: &Network| {
        from.export_targets.iter().find(|target| to.import_targets.contains(target)).copied()
    };
    flows(a, b).or_else(|| flows(b, a))
}

/// The subnets of a network with the keys that they stand behind.
fn subnets(network: &Network) -> impl Iterator<Item = (&'static str, IpNet)> {
    let ports = network.subnets.iter().map(|subnet| ("subnets", *subnet));
    ports.chain(network.service_subnets.iter().map(|subnet| ("service-subnets", *subnet)))
}

fn subnets_are_apart(draft: &Draft, network: &Network, same: &Network) -> Result<(), ConfigError> {
    let all: Vec<_> = subnets(network).collect();
    for (index, (key, subnet)) in all.iter().enumerate() {
        let clash = all.iter().take(index).find(|(_, other)| overlap(*subnet, *other));
        if let Some((other_key, other)) = clash {
            let message = format!(
                "{other} and {subnet} of network `{}` overlap; remove one or make them apart",
                network.name
            );
            return Err(error(draft, message, (network, key, *subnet), (same, other_key, *other)));
        }
    }
    Ok(())
}

/// Equal subnets under one target are a network stretched over clouds. Of unequal ones that
/// overlap, the longer would take addresses away from the shorter.
fn subnets_are_equal_or_apart(
    draft: &Draft,
    network: &Network,
    other: &Network,
    target: RouteTarget,
) -> Result<(), ConfigError> {
    for (key, subnet) in subnets(network) {
        let clash =
            subnets(other).find(|(_, theirs)| *theirs != subnet && overlap(*theirs, subnet));
        if let Some((other_key, theirs)) = clash {
            let message = format!(
                "{theirs} of network `{}` and {subnet} of network `{}` overlap, and both networks \
                 share {target}; make them apart or equal",
                other.name, network.name
            );
            return Err(error(draft, message, (network, key, subnet), (other, other_key, theirs)));
        }
    }
    Ok(())
}

fn error(
    draft: &Draft,
    message: String,
    here: (&Network, &str, IpNet),
    there: (&Network, &str, IpNet),
) -> ConfigError {
    let path = |(network, key, subnet): (&Network, &str, IpNet)| {
        draft.places.item(&format!("network.{}.{key}", network.name), &subnet.to_string())
    };
    draft.places.clash(&path(here), message, &path(there))
}

/// A target of a connection that anything else carries would connect more than was asked for.
fn connections_have_targets_of_their_own(draft: &Draft) -> Result<(), ConfigError> {
    let mut users: BTreeMap<RouteTarget, (String, String)> = BTreeMap::new();
    for network in draft.topology.networks.values() {
        for key in ["route-targets", "import-targets", "export-targets"] {
            let list = format!("network.{}.{key}", network.name);
            for target in network.import_targets.iter().chain(&network.export_targets) {
                let path = draft.places.item(&list, &target.to_string());
                if path != list {
                    users.entry(*target).or_insert((format!("network `{}`", network.name), path));
                }
            }
        }
    }
    for (name, connection) in &draft.connections {
        for (key, target) in connection.targets() {
            let Some(target) = target else { continue };
            let path = format!("connection.{name}.{key}");
            if let Some((user, other)) = users.get(&target) {
                let message = format!(
                    "{key} {target} of connection `{name}` is used by {user} already; write one \
                     that nothing else uses, or leave it out and run `arcus allocate`"
                );
                return Err(draft.places.error_beside(
                    &path,
                    message,
                    other,
                    "the other use is here",
                ));
            }
            users.insert(target, (format!("the {key} of connection `{name}`"), path));
        }
    }
    Ok(())
}
