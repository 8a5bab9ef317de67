//! One TOML value to one of ours; a refusal says what to write.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;
use toml::de::DeValue;

use crate::{AfiSafi, Encapsulation, HoldTime, RouteTarget, TargetRange};

/// A value that stands behind a key, or in a list behind one.
pub(crate) trait Value: Sized {
    /// How one is written, for the message that refuses something else.
    const EXAMPLE: &'static str;

    fn read(value: &DeValue<'_>) -> Result<Self, String>;
}

/// What kind of value it is, in words.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

pub(crate) fn text<'a, T: Value>(value: &'a DeValue<'_>) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("this is {}; write {}", kind(value), T::EXAMPLE))
}

impl Value for String {
    const EXAMPLE: &'static str = "it in quotes";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        text::<Self>(value).map(str::to_owned)
    }
}

impl Value for bool {
    const EXAMPLE: &'static str = "true or false, without quotes";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Boolean(yes) => Ok(*yes),
            other => Err(format!("this is {}; write {}", kind(other), Self::EXAMPLE)),
        }
    }
}

/// Values whose own `FromStr` says what to write instead.
macro_rules! read_from_text {
    ($($kind:ty, $example:literal;)*) => {$(
        impl Value for $kind {
            const EXAMPLE: &'static str = $example;

            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                Self::from_str(text::<Self>(value)?).map_err(|error| error.to_string())
            }
        }
    )*};
}

read_from_text! {
    Encapsulation, "\"mpls-over-gre\", \"mpls-over-udp\" or \"vxlan\"";
    RouteTarget, "\"64512:100\"";
    TargetRange, "\"64512:5000-5999\"";
}

/// A family by its name: one of those that we have tables for.
impl Value for AfiSafi {
    const EXAMPLE: &'static str = "\"vpnv4\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let written = text::<Self>(value)?;
        let known = Self::NAMED.iter().find(|(_, name)| *name == written);
        known.map(|(family, _)| *family).ok_or_else(|| {
            let names: Vec<String> =
                Self::NAMED.iter().map(|(_, name)| format!("\"{name}\"")).collect();
            format!("`{written}` is not an address family; write one of {}", names.join(", "))
        })
    }
}

impl Value for IpAddr {
    const EXAMPLE: &'static str = "\"10.1.0.11\" or \"2001:db8::11\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let written = text::<Self>(value)?;
        let address: Self = written
            .parse()
            .map_err(|_| format!("`{written}` is not an address; write {}", Self::EXAMPLE))?;
        let broadcast = address == Self::V4(Ipv4Addr::BROADCAST);
        if address.is_unspecified() || address.is_multicast() || broadcast {
            return Err(format!("`{written}` is not the address of a host"));
        }
        Ok(address)
    }
}

impl Value for SocketAddr {
    const EXAMPLE: &'static str = "\"10.0.0.9:4739\" or \"[2001:db8::9]:4739\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let written = text::<Self>(value)?;
        let parsed = written.parse().ok();
        parsed.filter(|to: &Self| to.port() != 0 && !to.ip().is_unspecified()).ok_or_else(|| {
            format!("`{written}` is not an address with a port; write {}", Self::EXAMPLE)
        })
    }
}

impl Value for Ipv4Addr {
    const EXAMPLE: &'static str = "\"10.1.0.11\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let written = text::<Self>(value)?;
        let id: Self = written.parse().map_err(|_| {
            format!("`{written}` is not four numbers with dots; write {}", Self::EXAMPLE)
        })?;
        // RFC 6286 section 2.1.
        if id.is_unspecified() { Err("an identifier cannot be 0.0.0.0".to_owned()) } else { Ok(id) }
    }
}

impl Value for IpNet {
    const EXAMPLE: &'static str = "\"10.0.100.0/24\" or \"2001:db8::/64\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let AnyNet(net) = AnyNet::read(value)?;
        if net.prefix_len() == 0 {
            return Err(format!("`{net}` holds every address; write a longer prefix"));
        }
        Ok(net)
    }
}

/// A prefix that may hold every address: where packets go to, and not where something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnyNet(pub(crate) IpNet);

impl Value for AnyNet {
    const EXAMPLE: &'static str = IpNet::EXAMPLE;

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let written = text::<Self>(value)?;
        let net: IpNet = match (written.parse(), written.parse::<IpAddr>()) {
            (Ok(net), _) => net,
            (_, Ok(host)) => {
                return Err(format!("`{written}` is an address; write \"{}\"", IpNet::from(host)));
            }
            _ => return Err(format!("`{written}` is not a prefix; write {}", Self::EXAMPLE)),
        };
        if net.trunc() != net {
            return Err(format!("`{written}` has bits past its length; write \"{}\"", net.trunc()));
        }
        Ok(Self(net))
    }
}

/// Reads a whole number that fits in `T`.
pub(crate) fn number<T: TryFrom<i64>>(value: &DeValue<'_>, example: &str) -> Result<T, String> {
    let digits = match value {
        DeValue::Integer(digits) => digits,
        DeValue::String(text) if text.parse::<i64>().is_ok() => {
            return Err(format!("this is a text; write {text} without quotes"));
        }
        other => return Err(format!("this is {}; write a number, as {example}", kind(other))),
    };
    i64::from_str_radix(digits.as_str(), digits.radix())
        .ok()
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("`{digits}` is out of range; write one like {example}"))
}

impl Value for HoldTime {
    const EXAMPLE: &'static str = "90";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        Self::try_from(number::<u16>(value, Self::EXAMPLE)?)
            .map_err(|error| format!("{error}; write {}", Self::EXAMPLE))
    }
}

/// An AS number that someone can have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asn(pub(crate) u32);

impl From<Asn> for u32 {
    fn from(Asn(number): Asn) -> Self {
        number
    }
}

impl Value for Asn {
    const EXAMPLE: &'static str = "64512";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let asn: u32 = number(value, Self::EXAMPLE)?;
        let reserved = match asn {
            0 => "RFC 7607",
            23456 => "RFC 6793",
            0xffff | 0xffff_ffff => "RFC 7300",
            asn => return Ok(Self(asn)),
        };
        Err(format!("AS {asn} is nobody's ({reserved}); write one of your own, as 64512"))
    }
}

/// The number of a TCP port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Port(pub(crate) u16);

impl From<Port> for u16 {
    fn from(Port(number): Port) -> Self {
        number
    }
}

impl Value for Port {
    const EXAMPLE: &'static str = "179";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match number(value, Self::EXAMPLE)? {
            0 => Err("0 is not a port; write 179".to_owned()),
            port => Ok(Self(port)),
        }
    }
}

/// The restart time of a graceful restart capability has 12 bits (RFC 4724 section 3).
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestartTime(pub(crate) u16);

impl From<RestartTime> for u16 {
    fn from(RestartTime(number): RestartTime) -> Self {
        number
    }
}

impl Value for RestartTime {
    const EXAMPLE: &'static str = "120";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match number(value, Self::EXAMPLE)? {
            seconds @ 0..4096 => Ok(Self(seconds)),
            seconds => Err(format!("`{seconds}` is out of range; write 0 to 4095 seconds")),
        }
    }
}

/// How many of something there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(pub(crate) u32);

impl From<Limit> for u32 {
    fn from(Limit(number): Limit) -> Self {
        number
    }
}

impl Value for Limit {
    const EXAMPLE: &'static str = "1000";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match number(value, Self::EXAMPLE)? {
            0 => Err("a limit of 0 takes nothing; leave it out for no limit".to_owned()),
            limit => Ok(Self(limit)),
        }
    }
}
