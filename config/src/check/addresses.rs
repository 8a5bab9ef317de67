//! Whether each address belongs to one thing, and whether those who must meet can.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use crate::{ConfigError, read::Draft};

pub(super) fn check(draft: &Draft) -> Result<(), ConfigError> {
    each_address_has_one_owner(draft)?;
    speakers_are_no_nodes(draft)?;
    prefixes_have_one_cloud(draft, "nodes.prefixes", |cloud| &cloud.nodes.prefixes, "nodes")?;
    prefixes_have_one_cloud(
        draft,
        "allocation-ranges",
        |cloud| &cloud.allocation_ranges,
        "allocation ranges",
    )?;
    families_meet(draft)
}

/// A BGP speaker: what it is in words, its address, and the path of that.
struct Speaker<'a> {
    what: String,
    clouds: Vec<&'a str>,
    address: IpAddr,
    path: String,
}

fn speakers(draft: &Draft) -> impl Iterator<Item = Speaker<'_>> {
    let control_nodes = draft.topology.control_nodes().map(|(cloud, node)| Speaker {
        what: format!("control node `{}`", node.name),
        clouds: vec![cloud.name.as_str()],
        address: node.address,
        path: format!("cloud.{}.control-node.{}.address", cloud.name, node.name),
    });
    let gateways = draft.topology.gateways.values().map(|gateway| Speaker {
        what: format!("gateway `{}`", gateway.name),
        clouds: gateway.clouds.iter().map(String::as_str).collect(),
        address: gateway.address,
        path: format!("gateway.{}.address", gateway.name),
    });
    control_nodes.chain(gateways)
}

fn each_address_has_one_owner(draft: &Draft) -> Result<(), ConfigError> {
    let mut seen: BTreeMap<IpAddr, Speaker<'_>> = BTreeMap::new();
    for speaker in speakers(draft) {
        if let Some(other) = seen.get(&speaker.address) {
            let message = format!(
                "{} and {} have the same address; give each its own",
                other.what, speaker.what
            );
            return Err(draft.places.clash(&speaker.path, message, &other.path));
        }
        seen.insert(speaker.address, speaker);
    }

    let mut tunnels: BTreeMap<IpAddr, (&str, String)> = BTreeMap::new();
    for gateway in draft.topology.gateways.values() {
        for address in &gateway.tunnel_addresses {
            let list = format!("gateway.{}.tunnel-addresses", gateway.name);
            let path = draft.places.item(&list, &address.to_string());
            if let Some((other, other_path)) = tunnels.get(address) {
                let message = format!(
                    "gateways `{other}` and `{}` both end tunnels at {address}; give each its own \
                     tunnel-addresses",
                    gateway.name
                );
                return Err(draft.places.clash(&path, message, other_path));
            }
            tunnels.insert(*address, (&gateway.name, path));
        }
    }
    Ok(())
}

/// A node is a client of the reflector; a speaker from the same prefix would be taken for one.
fn speakers_are_no_nodes(draft: &Draft) -> Result<(), ConfigError> {
    for speaker in speakers(draft) {
        for cloud in draft.topology.clouds.values() {
            let inside = cloud.nodes.prefixes.iter().find(|p| p.contains(&speaker.address));
            if let Some(prefix) = inside {
                let message = format!(
                    "{} stands inside {prefix}, where nodes of cloud `{}` connect from; move one \
                     of them",
                    speaker.what, cloud.name
                );
                let list = format!("cloud.{}.nodes.prefixes", cloud.name);
                let other = draft.places.item(&list, &prefix.to_string());
                return Err(draft.places.error_beside(&speaker.path, message, &other, "the nodes"));
            }
        }
    }
    Ok(())
}

fn prefixes_have_one_cloud(
    draft: &Draft,
    key: &str,
    prefixes: impl Fn(&crate::Cloud) -> &[IpNet],
    what: &str,
) -> Result<(), ConfigError> {
    let mut seen: Vec<(IpNet, &str)> = Vec::new();
    let path = |cloud: &str, prefix: IpNet| {
        draft.places.item(&format!("cloud.{cloud}.{key}"), &prefix.to_string())
    };
    for cloud in draft.topology.clouds.values() {
        for prefix in prefixes(cloud) {
            if let Some((other, owner)) = seen.iter().find(|(other, _)| overlap(*other, *prefix)) {
                let message = format!(
                    "{what} {other} of cloud `{owner}` and {prefix} of cloud `{}` overlap; make \
                     them apart",
                    cloud.name
                );
                let other = path(owner, *other);
                return Err(draft.places.clash(&path(&cloud.name, *prefix), message, &other));
            }
            seen.push((*prefix, &cloud.name));
        }
    }
    Ok(())
}

/// Prefixes overlap only when one holds the other.
pub(super) fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// Every control node peers with every other, with its gateways and with its nodes.
fn families_meet(draft: &Draft) -> Result<(), ConfigError> {
    let mut all = speakers(draft);
    let Some(first) = all.next() else { return Ok(()) };
    let version = |is_ipv4: bool| if is_ipv4 { "IPv4" } else { "IPv6" };
    if let Some(odd) = all.find(|speaker| speaker.address.is_ipv4() != first.address.is_ipv4()) {
        let message = format!(
            "{} has an {} address and {} an {} one, so they cannot peer; use one of both for all",
            odd.what,
            version(odd.address.is_ipv4()),
            first.what,
            version(first.address.is_ipv4()),
        );
        return Err(draft.places.clash(&odd.path, message, &first.path));
    }
    for speaker in speakers(draft) {
        let is_ipv4 = speaker.address.is_ipv4();
        let clouds = speaker.clouds.iter().filter_map(|cloud| draft.topology.clouds.get(*cloud));
        for cloud in clouds {
            let prefixes = &cloud.nodes.prefixes;
            let Some(prefix) = prefixes.iter().find(|prefix| prefix.addr().is_ipv4() != is_ipv4)
            else {
                continue;
            };
            let list = format!("cloud.{}.nodes.prefixes", cloud.name);
            let message = format!(
                "nodes of {prefix} cannot connect to {}, which has an {} address; write an {1} \
                 prefix",
                speaker.what,
                version(is_ipv4)
            );
            let path = draft.places.item(&list, &prefix.to_string());
            return Err(draft.places.error_beside(
                &path,
                message,
                &speaker.path,
                "the control node",
            ));
        }
    }
    Ok(())
}
