//! `[group.NAME]` and `[filter.NAME]`: who is who, and what ports may send and receive.

use std::fmt;

use ipnet::IpNet;

use crate::{PortRange, Protocol, options::choice};

/// `[group.NAME]`: a security group, or a label that workloads have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    pub name: String,
    /// 1 to 4294967295; unlike that of every other group.
    pub id: u32,
}

/// `[filter.NAME]`: rules for ports. The first that matches a connection decides; what no rule
/// matches gets the default of its direction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    pub name: String,
    /// Of connections that others open to the port. Deny.
    pub default_in: Verdict,
    /// Of connections that the port opens. Allow.
    pub default_out: Verdict,
    /// As written; [`Topology::port_filter`](crate::Topology::port_filter) makes each a rule for one
    /// prefix and one range of ports.
    pub rules: Vec<Rule>,
}

/// One of `rules = [ .. ]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Unlike that of every other rule of the filter; `rule-1` and so on where it was left out.
    pub name: String,
    pub direction: Direction,
    pub verdict: Verdict,
    pub peer: RulePeer,
    /// `None`: any.
    pub protocol: Option<Protocol>,
    /// Destination ports; empty: all. Sorted.
    pub ports: Vec<PortRange>,
    /// Whether each connection that it decides is written to the log.
    pub log: bool,
}

choice! {
    /// Who opens the connections that a rule is about.
    Direction, "\"in\" or \"out\"" {
        /// Others, to the port.
        In = "in",
        /// The port, to others.
        Out = "out",
    }
}

choice! {
    /// What becomes of a connection.
    Verdict, "\"allow\" or \"deny\"" {
        Allow = "allow",
        /// Dropped without an answer, and counted.
        Deny = "deny",
    }
}

/// The other side of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RulePeer {
    Anybody,
    /// Ports that belong to this group.
    Group(String),
    /// Whatever has an address in the subnets or service subnets of this network.
    Network(String),
    Prefix(IpNet),
}

impl fmt::Display for RulePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("anybody"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Network(name) => write!(f, "network {name}"),
            Self::Prefix(prefix) => prefix.fmt(f),
        }
    }
}

/// As `web: allow in tcp 80 443 from group front`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.name, self.verdict, self.direction)?;
        if let Some(protocol) = self.protocol {
            write!(f, " {protocol}")?;
        }
        for range in &self.ports {
            write!(f, " {range}")?;
        }
        let side = match self.direction {
            Direction::In => "from",
            Direction::Out => "to",
        };
        write!(f, " {side} {}", self.peer)?;
        f.write_str(if self.log { " logged" } else { "" })
    }
}
