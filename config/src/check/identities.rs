//! Whether two speakers of BGP can be told apart.

use std::{collections::BTreeMap, net::Ipv4Addr};

use crate::{Cloud, ConfigError, ControlNode, read::Draft};

pub(super) fn check(draft: &Draft) -> Result<(), ConfigError> {
    let with_path = || {
        draft.topology.control_nodes().map(|(cloud, node)| {
            (cloud, node, format!("cloud.{}.control-node.{}", cloud.name, node.name))
        })
    };
    let mut router_ids: BTreeMap<(u32, Ipv4Addr), (&ControlNode, String)> = BTreeMap::new();
    let mut cluster_ids: BTreeMap<(u32, Ipv4Addr), (&Cloud, &ControlNode, String)> =
        BTreeMap::new();
    for (cloud, node, path) in with_path() {
        // RFC 6286 section 2.1: unique within an AS.
        if let Some((other, other_path)) = router_ids.get(&(cloud.asn, node.router_id)) {
            let message = format!(
                "`{}` and `{}` have the router id {} in AS {}; give each its own",
                other.name, node.name, node.router_id, cloud.asn
            );
            return Err(clash(draft, "router-id", &path, message, other_path));
        }
        router_ids.insert((cloud.asn, node.router_id), (node, path));
    }
    for (cloud, node, path) in with_path() {
        // RFC 4456 section 8: a route that has our cluster id in its list is a loop, and is dropped.
        if let Some((home, other, other_path)) = cluster_ids.get(&(cloud.asn, node.cluster_id)) {
            if home.name == cloud.name && is_shared(draft, other_path) && is_shared(draft, &path) {
                continue;
            }
            let whose = if home.name == cloud.name {
                format!("`{}` and `{}`", other.name, node.name)
            } else {
                format!("clouds `{}` and `{}`", home.name, cloud.name)
            };
            let message = format!(
                "{whose} have the cluster id {} in AS {}, so they would drop each other's routes; \
                 give each its own cluster-id",
                node.cluster_id, cloud.asn
            );
            return Err(clash(draft, "cluster-id", &path, message, other_path));
        }
        cluster_ids.insert((cloud.asn, node.cluster_id), (cloud, node, path));
    }
    gateways_are_of_another_as(draft)
}

/// Whether the control node at this path has the cluster id of its cloud: it was told that the others
/// have it, too. What one of them reflects the others drop, so clients must peer with all of them.
fn is_shared(draft: &Draft, path: &str) -> bool {
    let cloud = path.split(".control-node.").next().unwrap_or_default();
    draft.places.contains(&format!("{cloud}.cluster-id"))
        && !draft.places.contains(&format!("{path}.cluster-id"))
}

/// The key is optional and falls back to that of the cloud and to the address, so these are shown
/// where it was left out.
fn clash(draft: &Draft, key: &str, path: &str, message: String, other: &str) -> ConfigError {
    let shown = |path: &str| {
        let cloud = path.split(".control-node.").next().unwrap_or_default();
        let own = |key: &str| format!("{path}.{key}");
        [own(key), format!("{cloud}.{key}"), own("router-id"), own("address")]
            .into_iter()
            .find(|path| draft.places.contains(path))
            .unwrap_or_else(|| path.to_owned())
    };
    draft.places.clash(&shown(path), message, &shown(other))
}

/// Inside one AS a gateway would be told only what a reflector tells a client, and it is none.
fn gateways_are_of_another_as(draft: &Draft) -> Result<(), ConfigError> {
    for gateway in draft.topology.gateways.values() {
        let home = gateway
            .clouds
            .iter()
            .filter_map(|cloud| draft.topology.clouds.get(cloud))
            .find(|cloud| cloud.asn == gateway.asn);
        if let Some(cloud) = home {
            let message = format!(
                "gateway `{}` has the AS of cloud `{}`; a gateway is an eBGP peer, give it an AS \
                 of its own, as 64999",
                gateway.name, cloud.name
            );
            let path = format!("gateway.{}.asn", gateway.name);
            let other = format!("cloud.{}.asn", cloud.name);
            return Err(draft.places.error_beside(&path, message, &other, "the AS of the cloud"));
        }
    }
    Ok(())
}
