//! Whether groups and filters can be told apart, are there, and fit.

use std::collections::BTreeMap;

use super::{addresses::overlap, references};
use crate::{ConfigError, FlatFilter, RulePeer, read::Draft};

pub(super) fn check(draft: &Draft) -> Result<(), ConfigError> {
    group_ids_differ(draft)?;
    names_are_known(draft)?;
    groups_are_announced(draft)?;
    one_way_networks_are_apart(draft)?;
    rules_fit(draft)
}

fn group_ids_differ(draft: &Draft) -> Result<(), ConfigError> {
    let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
    for group in draft.topology.groups.values() {
        if let Some(other) = seen.insert(group.id, &group.name) {
            let message = format!(
                "groups `{other}` and `{}` have the same id; give each its own",
                group.name
            );
            let path = |name: &str| format!("group.{name}.id");
            return Err(draft.places.clash(&path(&group.name), message, &path(other)));
        }
    }
    Ok(())
}

fn names_are_known(draft: &Draft) -> Result<(), ConfigError> {
    let topology = &draft.topology;
    for network in topology.networks.values() {
        let path = format!("network.{}", network.name);
        if let Some(filter) = &network.filter {
            let known = &topology.filters;
            references::is_known(draft, &format!("{path}.filter"), ("filter", filter), known)?;
        }
        for group in &network.groups {
            let known = &topology.groups;
            references::is_known(draft, &format!("{path}.groups"), ("group", group), known)?;
        }
    }
    for filter in topology.filters.values() {
        for (index, rule) in filter.rules.iter().enumerate() {
            let path = |key| format!("filter.{}.rules.{index}.{key}", filter.name);
            match &rule.peer {
                RulePeer::Group(group) => {
                    let known = &topology.groups;
                    references::is_known(draft, &path("group"), ("group", group), known)?;
                }
                RulePeer::Network(network) => {
                    let known = &topology.networks;
                    references::is_known(draft, &path("network"), ("network", network), known)?;
                }
                RulePeer::Anybody | RulePeer::Prefix(_) => {}
            }
        }
    }
    Ok(())
}

/// A group that no node is told of would be nobody's: what is denied to it would pass.
fn groups_are_announced(draft: &Draft) -> Result<(), ConfigError> {
    if draft.topology.clouds.values().any(|cloud| cloud.announce_groups) {
        return Ok(());
    }
    for filter in draft.topology.filters.values() {
        let by_group = |rule: &crate::Rule| matches!(rule.peer, RulePeer::Group(_));
        if let Some(index) = filter.rules.iter().position(by_group) {
            let cloud = draft.topology.clouds.keys().next().map_or("openstack", String::as_str);
            let message = format!(
                "no cloud tells which groups its ports belong to, so no other node knows them; \
                 write announce-groups = true under [cloud.{cloud}]"
            );
            let path = format!("filter.{}.rules.{index}.group", filter.name);
            return Err(draft.places.error(&path, message));
        }
    }
    Ok(())
}

/// The rule of such a connection knows the other network by its addresses.
fn one_way_networks_are_apart(draft: &Draft) -> Result<(), ConfigError> {
    let networks = &draft.topology.networks;
    for (name, connection) in draft.connections.iter().filter(|(_, one)| one.one_way) {
        let both = networks.get(&connection.from).zip(networks.get(&connection.to));
        let Some((from, to)) = both else { continue };
        let clash = from.prefixes().find(|own| to.prefixes().any(|theirs| overlap(*own, theirs)));
        if let Some(prefix) = clash {
            let message = format!(
                "networks `{}` and `{}` share addresses of {prefix}, so a one-way connection \
                 cannot tell them apart; make them apart or remove one-way",
                from.name, to.name
            );
            return Err(draft.places.error(&format!("connection.{name}.one-way"), message));
        }
    }
    Ok(())
}

/// Every filter, on ports of every network: a platform may give any port any filter.
fn rules_fit(draft: &Draft) -> Result<(), ConfigError> {
    let topology = &draft.topology;
    let one_way = |network: &str| {
        let from_it =
            draft.connections.iter().filter(|(_, one)| one.one_way && one.from == network);
        topology.one_way_rules(from_it.map(|(name, one)| (name.as_str(), one.to.as_str()))).len()
    };
    let most = topology.networks.keys().map(|name| one_way(name)).max().unwrap_or_default();
    if most > FlatFilter::MAX_RULES {
        let message = format!(
            "one-way connections make {most} rules for the ports of one network, and there is \
             room for {}; write longer subnets, or a filter by group",
            FlatFilter::MAX_RULES
        );
        return Err(draft.places.error("connection", message));
    }
    for filter in topology.filters.values() {
        let own = topology.flat_rules(filter).len();
        if own + most > FlatFilter::MAX_RULES {
            let beside = if most > 0 {
                format!(" beside {most} of one-way connections")
            } else {
                String::new()
            };
            let message = format!(
                "filter `{}` has {own} rules{beside}, each prefix and range of ports counted, and \
                 there is room for {}; write fewer or use groups",
                filter.name,
                FlatFilter::MAX_RULES
            );
            return Err(draft.places.error(&format!("filter.{}.rules", filter.name), message));
        }
    }
    Ok(())
}
