//! What a port may send and receive in the end: rules of connections and of a filter, each for one
//! prefix and one range of ports.

use ipnet::IpNet;

use crate::{Direction, Filter, Network, PortRange, Protocol, Rule, RulePeer, Topology, Verdict};

/// A filter as a data plane takes it. The first rule that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlatFilter {
    /// Never more than [`FlatFilter::MAX_RULES`].
    pub rules: Vec<FlatRule>,
    pub default_in: Verdict,
    pub default_out: Verdict,
}

impl FlatFilter {
    /// As many as a data plane takes for one port.
    pub const MAX_RULES: usize = 256;
}

/// One rule for one set of peers. Those that one written rule became have its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlatRule {
    pub name: String,
    pub direction: Direction,
    pub verdict: Verdict,
    pub peer: FlatPeer,
    /// `None`: any.
    pub protocol: Option<Protocol>,
    /// Of the destination; `None`: any.
    pub ports: Option<PortRange>,
    pub log: bool,
}

/// The other side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlatPeer {
    Anybody,
    Prefix(IpNet),
    /// Whoever has a route with this group.
    Group(u32),
}

impl Topology {
    /// What a port of `network` may send and receive that has the filter `filter`; `None` of a port
    /// without a filter is that of its network. The rules of one-way connections come first: no filter
    /// takes them back.
    ///
    /// The result is `None` when there is nothing to say: everything is allowed, and nothing needs to
    /// be remembered.
    pub fn port_filter(&self, network: &Network, filter: Option<&str>) -> Option<FlatFilter> {
        let filter = filter.or(network.filter.as_deref()).and_then(|name| self.filters.get(name));
        let one_way =
            self.connections.values().filter(|one| one.one_way && one.from == network.name);
        let mut rules = self.one_way_rules(one_way.map(|one| (one.name.as_str(), one.to.as_str())));
        rules.extend(filter.into_iter().flat_map(|filter| self.flat_rules(filter)));
        if filter.is_none() && rules.is_empty() {
            return None;
        }
        Some(FlatFilter {
            rules,
            default_in: filter.map_or(Verdict::Allow, |filter| filter.default_in),
            default_out: filter.map_or(Verdict::Allow, |filter| filter.default_out),
        })
    }

    /// The ids of the groups of a port of `network`, sorted; `None` of a port without groups are those
    /// of its network. A name that no group has is left out.
    pub fn port_groups(&self, network: &Network, groups: Option<&[String]>) -> Vec<u32> {
        let names = groups.unwrap_or(&network.groups);
        let ids = names.iter().filter_map(|name| self.groups.get(name));
        let mut ids: Vec<u32> = ids.map(|group| group.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What ports of a network refuse that is the `from` of these one-way connections, each with its
    /// name and the network that answers: whatever that network opens.
    pub(crate) fn one_way_rules<'a>(
        &self,
        connections: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Vec<FlatRule> {
        let mut rules = Vec::new();
        for (name, to) in connections {
            let prefixes = self.networks.get(to).into_iter().flat_map(Network::prefixes);
            rules.extend(prefixes.map(|prefix| FlatRule {
                name: name.to_owned(),
                direction: Direction::In,
                verdict: Verdict::Deny,
                peer: FlatPeer::Prefix(prefix),
                protocol: None,
                ports: None,
                log: false,
            }));
        }
        rules
    }

    /// The rules of a filter, each as often as it has prefixes and ranges of ports.
    pub(crate) fn flat_rules(&self, filter: &Filter) -> Vec<FlatRule> {
        filter.rules.iter().flat_map(|rule| self.flat(rule)).collect()
    }

    fn flat(&self, rule: &Rule) -> Vec<FlatRule> {
        let peers: Vec<FlatPeer> = match &rule.peer {
            RulePeer::Anybody => vec![FlatPeer::Anybody],
            RulePeer::Prefix(prefix) => vec![FlatPeer::Prefix(*prefix)],
            RulePeer::Group(name) => {
                self.groups.get(name).map(|group| FlatPeer::Group(group.id)).into_iter().collect()
            }
            RulePeer::Network(name) => {
                let network = self.networks.get(name).into_iter();
                network.flat_map(Network::prefixes).map(FlatPeer::Prefix).collect()
            }
        };
        let ranges: Vec<Option<PortRange>> = if rule.ports.is_empty() {
            vec![None]
        } else {
            rule.ports.iter().copied().map(Some).collect()
        };
        let each = |peer| ranges.iter().map(move |ports| (peer, *ports));
        peers
            .into_iter()
            .flat_map(each)
            .map(|(peer, ports)| FlatRule {
                name: rule.name.clone(),
                direction: rule.direction,
                verdict: rule.verdict,
                peer,
                protocol: rule.protocol,
                ports,
                log: rule.log,
            })
            .collect()
    }
}
