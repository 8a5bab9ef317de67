//! `[group.NAME]` and `[filter.NAME]`.

use std::collections::BTreeSet;

use crate::{
    ConfigError, Direction, Filter, Group, Rule, RulePeer, Verdict,
    options::{Bounded, sorted},
    table::Table,
    value::AnyNet,
};

/// What counters and lists call the default; no rule may have this name.
const DEFAULT: &str = "default";

pub(super) fn group(name: String, mut table: Table<'_>) -> Result<Group, ConfigError> {
    table.only(&["id"])?;
    let id = table.required::<Bounded<1, { u32::MAX }>>("id", "7")?;
    Ok(Group { name, id: id.into() })
}

pub(super) fn filter(name: String, mut table: Table<'_>) -> Result<Filter, ConfigError> {
    table.only(&["default-in", "default-out", "rules"])?;
    let default_in = table.optional("default-in")?.unwrap_or(Verdict::Deny);
    let default_out = table.optional("default-out")?;
    let mut rules = Vec::new();
    let mut names = BTreeSet::new();
    for (index, inner) in
        table.tables("rules", "[{ protocol = \"tcp\", ports = 80 }]")?.into_iter().enumerate()
    {
        let (rule, inner) = rule(index, inner)?;
        if rule.name == DEFAULT {
            let message = "`default` stands for what no rule matches; write another name";
            return Err(inner.error("name", message));
        }
        if !names.insert(rule.name.clone()) {
            let message =
                format!("filter `{name}` has two rules `{}`; give each its own name", rule.name);
            return Err(inner.error("name", message));
        }
        // Who writes what may go out rarely means that everything else may, too.
        if default_out.is_none() && rule.direction == Direction::Out {
            let message = format!(
                "filter `{name}` has rules for connections out and does not say what becomes of \
                 all others; write default-out = \"deny\" or default-out = \"allow\""
            );
            return Err(inner.error("direction", message));
        }
        rules.push(rule);
    }
    Ok(Filter { name, default_in, default_out: default_out.unwrap_or(Verdict::Allow), rules })
}

fn rule(index: usize, mut table: Table<'_>) -> Result<(Rule, Table<'_>), ConfigError> {
    table.only(&[
        "name",
        "direction",
        "action",
        "group",
        "network",
        "prefix",
        "protocol",
        "ports",
        "log",
    ])?;
    let name: Option<String> = table.optional("name")?;
    if let Some(Err(message)) = name.as_deref().map(crate::name::check) {
        return Err(table.error("name", message));
    }
    let direction = table.optional("direction")?.unwrap_or(Direction::In);
    let verdict = table.optional("action")?.unwrap_or(Verdict::Allow);
    let group = table.optional("group")?.map(RulePeer::Group);
    let network = table.optional("network")?.map(RulePeer::Network);
    let prefix = table.optional("prefix")?.map(|AnyNet(prefix)| RulePeer::Prefix(prefix));
    let mut peers = [("group", group), ("network", network), ("prefix", prefix)]
        .into_iter()
        .filter_map(|(key, peer)| peer.map(|peer| (key, peer)));
    let peer = match (peers.next(), peers.next()) {
        (Some((key, _)), Some((other, _))) => {
            let message = format!(
                "a rule is about one other side, and this has `{key}` and `{other}`; write a rule \
                 for each"
            );
            return Err(table.error(other, message));
        }
        (Some((_, peer)), None) => peer,
        (None, _) => RulePeer::Anybody,
    };
    let protocol: Option<crate::Protocol> = table.optional("protocol")?;
    let ports = table.one_or_more("ports", "[80, \"8000-8999\"]")?.unwrap_or_default();
    if !ports.is_empty() && !protocol.is_some_and(crate::Protocol::has_ports) {
        let message = match protocol {
            Some(protocol) => format!("{protocol} has no ports; remove ports"),
            None => "not every protocol has ports; write protocol = \"tcp\", \"udp\" or \"sctp\""
                .to_owned(),
        };
        return Err(table.error("ports", message));
    }
    let log = table.optional("log")?.unwrap_or(false);
    let name = name.unwrap_or_else(|| format!("rule-{}", index + 1));
    Ok((Rule { name, direction, verdict, peer, protocol, ports: sorted(ports), log }, table))
}
