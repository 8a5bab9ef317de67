//! Whether everything that is named is there.

use std::collections::BTreeMap;

use crate::{ConfigError, read::Draft};

pub(super) fn check(draft: &Draft) -> Result<(), ConfigError> {
    let topology = &draft.topology;
    if topology.clouds.is_empty() {
        let message = "there is no cloud; write [cloud.openstack] and under it asn = 64512";
        return Err(draft.places.error_in_whole(message));
    }
    for network in topology.networks.values() {
        let path = format!("network.{}.clouds", network.name);
        known_clouds(draft, &path, &network.clouds)?;
    }
    for (name, connection) in &draft.connections {
        for (key, network) in [("from", &connection.from), ("to", &connection.to)] {
            known_network(draft, &format!("connection.{name}.{key}"), network)?;
        }
        if connection.from == connection.to {
            let message = format!(
                "connection `{name}` goes from `{0}` to `{0}`; ports of one network reach its \
                 services anyway",
                connection.to
            );
            return Err(draft.places.error(&format!("connection.{name}.to"), message));
        }
    }
    for gateway in topology.gateways.values() {
        let path = format!("gateway.{}", gateway.name);
        known_clouds(draft, &format!("{path}.clouds"), &gateway.clouds)?;
        for network in &gateway.networks {
            known_network(draft, &format!("{path}.networks"), network)?;
        }
    }
    peer_names_differ(draft)
}

pub(super) fn known_clouds(
    draft: &Draft,
    path: &str,
    clouds: &[String],
) -> Result<(), ConfigError> {
    let known = &draft.topology.clouds;
    clouds.iter().try_for_each(|cloud| is_known(draft, path, ("cloud", cloud), known))
}

fn known_network(draft: &Draft, path: &str, network: &str) -> Result<(), ConfigError> {
    is_known(draft, path, ("network", network), &draft.topology.networks)
}

pub(super) fn is_known<T>(
    draft: &Draft,
    path: &str,
    (kind, name): (&str, &str),
    known: &BTreeMap<String, T>,
) -> Result<(), ConfigError> {
    if known.contains_key(name) {
        return Ok(());
    }
    Err(draft.places.unknown(path, (kind, name), known.keys()))
}

/// A daemon is told who it is by one name, and an operator asks for a peer by one.
fn peer_names_differ(draft: &Draft) -> Result<(), ConfigError> {
    let topology = &draft.topology;
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    let control_nodes = topology.control_nodes().map(|(cloud, node)| {
        (&node.name, format!("cloud.{}.control-node.{}", cloud.name, node.name))
    });
    let gateways = topology.gateways.keys().map(|name| (name, format!("gateway.{name}")));
    let neighbors = topology.neighbors.keys().map(|name| (name, format!("neighbor.{name}")));
    for (name, path) in control_nodes.chain(gateways).chain(neighbors) {
        if let Some(other) = seen.get(name.as_str()) {
            let message = format!("another peer is called `{name}`; give each a name of its own");
            return Err(draft.places.clash(&path, message, other));
        }
        seen.insert(name, path);
    }
    Ok(())
}
