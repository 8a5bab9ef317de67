use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An IP protocol: `"tcp"`, `"udp"`, `"sctp"`, `"icmp"`, `"icmpv6"`, or its number as text, `"89"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpProtocol(pub u8);

impl IpProtocol {
    pub const ICMP: Self = Self(1);
    pub const TCP: Self = Self(6);
    pub const UDP: Self = Self(17);
    pub const ICMPV6: Self = Self(58);
    pub const SCTP: Self = Self(132);

    const NAMED: [(Self, &str); 5] = [
        (Self::TCP, "tcp"),
        (Self::UDP, "udp"),
        (Self::SCTP, "sctp"),
        (Self::ICMP, "icmp"),
        (Self::ICMPV6, "icmpv6"),
    ];

    /// Whether its packets have ports.
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(known, _)| known == self) {
            Some((_, name)) => f.pad(name),
            None => self.0.fmt(f),
        }
    }
}

/// The text names no IP protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an IP protocol; write tcp, udp, sctp, icmp, icmpv6 or a number, 0 to 255")]
pub struct UnknownIpProtocol(String);

impl FromStr for IpProtocol {
    type Err = UnknownIpProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::NAMED.iter().find(|(_, name)| *name == text).map(|(known, _)| *known);
        let numbered = || text.parse().ok().map(Self);
        named.or_else(numbered).ok_or_else(|| UnknownIpProtocol(text.to_owned()))
    }
}

impl TryFrom<String> for IpProtocol {
    type Error = UnknownIpProtocol;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IpProtocol> for String {
    fn from(protocol: IpProtocol) -> Self {
        protocol.to_string()
    }
}

impl JsonSchema for IpProtocol {
    fn schema_name() -> Cow<'static, str> {
        "IpProtocol".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(tcp|udp|sctp|icmp|icmpv6|[0-9]{1,3})$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_reads_back_as_it_is_printed() {
        for number in 0..=u8::MAX {
            let protocol = IpProtocol(number);
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!("6".parse(), Ok(IpProtocol::TCP));
        for text in ["", "TCP", "256", "-1"] {
            assert!(text.parse::<IpProtocol>().is_err(), "{text:?}");
        }
    }
}
