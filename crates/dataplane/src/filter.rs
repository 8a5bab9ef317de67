//! What ports may send and receive.
//!
//! A filter is a list of rules; the first that matches a connection decides, and what no rule
//! matches gets the default of its direction. It is asked for the first packet of a connection
//! and again when it has changed; the rest of an allowed connection, its answers included,
//! passes.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::range::PortRange;

/// Name of a filter; unique on the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilterId(pub String);

impl fmt::Display for FilterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for FilterId {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// The rules of one or more ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Filter {
    /// At most [`Filter::MAX_RULES`], in both directions together.
    pub rules: Vec<Rule>,
    /// For connections that others open to the workload and no rule matches.
    pub default_in: Verdict,
    /// For connections that the workload opens and no rule matches.
    pub default_out: Verdict,
}

impl Filter {
    /// Most rules of one filter.
    pub const MAX_RULES: usize = 256;

    /// What the rules say of a connection, and the index of the rule; `None` is the default.
    ///
    /// `has` says whether the other side has an identity.
    pub fn decide(
        &self,
        connection: &Connection,
        has: impl Fn(Identity) -> bool,
    ) -> (Verdict, Option<usize>) {
        let matched = self.rules.iter().position(|rule| rule.matches(connection, &has));
        let default = match connection.direction {
            Direction::In => self.default_in,
            Direction::Out => self.default_out,
        };
        (matched.map_or(default, |index| self.rules[index].verdict), matched)
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// For people: in counters and log lines.
    pub name: String,
    pub direction: Direction,
    pub verdict: Verdict,
    pub peer: Peer,
    /// IP protocol number; `None`: any.
    pub protocol: Option<u8>,
    /// The destination port of who opens a TCP, UDP or SCTP connection; `None`: any. Of ICMP the
    /// type.
    pub ports: Option<PortRange>,
    /// Whether each connection that it decides is reported.
    pub log: bool,
}

/// The first packet of a connection, seen from the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    pub direction: Direction,
    /// The address of the other side.
    pub peer: std::net::IpAddr,
    pub protocol: u8,
    pub port: u16,
}

impl Rule {
    fn matches(&self, connection: &Connection, has: &impl Fn(Identity) -> bool) -> bool {
        self.direction == connection.direction
            && self.protocol.is_none_or(|protocol| protocol == connection.protocol)
            && self.ports.is_none_or(|ports| ports.contains(connection.port))
            && match self.peer {
                Peer::Any => true,
                Peer::Net(net) => net.contains(&connection.peer),
                Peer::Identity(identity) => has(identity),
            }
    }
}

/// Who opens the connections that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Others, to the workload.
    In,
    /// The workload, to others.
    Out,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Allow,
    /// Dropped without an answer, and counted.
    Deny,
}

/// The other side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    Any,
    Net(IpNet),
    /// Whoever the routes of the port's VRF give this identity.
    Identity(Identity),
}

/// A security group or a set of labels, by a number that means the same in the whole federation; 0 is
/// nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(pub u32);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identities of who is behind a route: sorted, without repetition. Shared, since most routes have
/// the same few sets, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Identities(Option<Arc<[Identity]>>);

impl Identities {
    /// Most identities of one route; of more, the first in order are taken.
    pub const MAX: usize = 16;

    pub fn new(identities: impl IntoIterator<Item = Identity>) -> Self {
        let mut all: Vec<_> = identities.into_iter().filter(|one| one.0 != 0).collect();
        all.sort_unstable();
        all.dedup();
        all.truncate(Self::MAX);
        Self((!all.is_empty()).then(|| all.into()))
    }

    pub fn as_slice(&self) -> &[Identity] {
        self.0.as_deref().unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verdict: Verdict, peer: Peer, ports: Option<PortRange>) -> Rule {
        let (name, direction) = (String::new(), Direction::In);
        Rule { name, direction, verdict, peer, protocol: Some(6), ports, log: false }
    }

    fn from(peer: &str, port: u16) -> Connection {
        let peer = peer.parse().expect("an address");
        Connection { direction: Direction::In, peer, protocol: 6, port }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let net = Peer::Net("10.0.0.0/8".parse().unwrap());
        let filter = Filter {
            rules: vec![
                rule(Verdict::Deny, Peer::Identity(Identity(7)), None),
                rule(Verdict::Allow, net, PortRange::new(80, 89)),
            ],
            default_in: Verdict::Deny,
            default_out: Verdict::Allow,
        };
        let nobody = |_| false;
        assert_eq!(filter.decide(&from("10.1.1.1", 80), nobody), (Verdict::Allow, Some(1)));
        assert_eq!(filter.decide(&from("10.1.1.1", 90), nobody), (Verdict::Deny, None));
        assert_eq!(filter.decide(&from("192.0.2.1", 80), nobody), (Verdict::Deny, None));
        let seventh = |identity| identity == Identity(7);
        assert_eq!(filter.decide(&from("10.1.1.1", 80), seventh), (Verdict::Deny, Some(0)));
        let out = Connection { direction: Direction::Out, ..from("10.1.1.1", 80) };
        assert_eq!(filter.decide(&out, seventh), (Verdict::Allow, None), "rules have a direction");
    }

    #[test]
    fn equal_sets_of_identities_are_equal() {
        let set = |numbers: &[u32]| Identities::new(numbers.iter().copied().map(Identity));
        assert_eq!(set(&[2, 1, 2, 0]), set(&[1, 2]));
        assert_eq!(set(&[0]), Identities::default());
        assert!(set(&[]).is_empty());
    }
}
