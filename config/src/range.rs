//! Ranges of TCP and UDP ports, and protocols that have them.

use std::fmt;

use toml::de::DeValue;

use crate::value::{Port, Value, kind, number};

/// Ports from one to another, both included; a single one is a range of one. 0 is in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// `None`: it ends before it begins, or begins at 0.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if 0 < first && first <= last { Some(Self { first, last }) } else { None }
    }

    pub const fn first(self) -> u16 {
        self.first
    }

    pub const fn last(self) -> u16 {
        self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Value for PortRange {
    const EXAMPLE: &'static str = "\"80\" or \"8000-8999\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let Some(written) = value.as_str() else {
            return Port::read(value).map(|Port(port)| Self { first: port, last: port });
        };
        let (first, last) = written.split_once('-').unwrap_or((written, written));
        first
            .parse()
            .ok()
            .zip(last.parse().ok())
            .and_then(|(first, last)| Self::new(first, last))
            .ok_or_else(|| format!("`{written}` is not a range of ports; write {}", Self::EXAMPLE))
    }
}

/// A protocol above IP, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(u8);

impl Protocol {
    const NAMED: [(Self, &str); 5] = [
        (Self(6), "tcp"),
        (Self(17), "udp"),
        (Self(132), "sctp"),
        (Self(1), "icmp"),
        (Self(58), "icmpv6"),
    ];

    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether its packets have ports: TCP, UDP and SCTP do.
    pub const fn has_ports(self) -> bool {
        matches!(self.0, 6 | 17 | 132)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(known, _)| known == self) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "protocol {}", self.0),
        }
    }
}

impl Value for Protocol {
    const EXAMPLE: &'static str = "\"tcp\", \"udp\", \"sctp\", \"icmp\", \"icmpv6\" or a number";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Integer(_) => number(value, "89").map(Self),
            DeValue::String(text) => Self::NAMED
                .iter()
                .find(|(_, name)| *name == text.as_ref())
                .map(|(known, _)| *known)
                .ok_or_else(|| format!("`{text}` is not a protocol; write {}", Self::EXAMPLE)),
            other => Err(format!("this is {}; write {}", kind(other), Self::EXAMPLE)),
        }
    }
}
