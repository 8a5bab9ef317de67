//! Options with a form of their own.

use std::{collections::BTreeMap, fmt, path::Path};

use toml::de::DeValue;

use crate::{
    RouteTarget,
    value::{Asn, Value, kind, number, text},
};

/// A whole number with both its bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounded<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Value for Bounded<MIN, MAX> {
    const EXAMPLE: &'static str = "one in its range";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let number: i64 = number(value, Self::EXAMPLE)?;
        u32::try_from(number)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| format!("`{number}` is out of range; write {MIN} to {MAX}"))
    }
}

impl<const MIN: u32, const MAX: u32> From<Bounded<MIN, MAX>> for u32 {
    fn from(number: Bounded<MIN, MAX>) -> Self {
        number.0
    }
}

/// The bounds of a field of this width lie within it.
impl<const MIN: u32, const MAX: u32> From<Bounded<MIN, MAX>> for u16 {
    fn from(number: Bounded<MIN, MAX>) -> Self {
        Self::try_from(number.0).unwrap_or(Self::MAX)
    }
}

/// The bounds of a field of this width lie within it.
impl<const MIN: u32, const MAX: u32> From<Bounded<MIN, MAX>> for u8 {
    fn from(number: Bounded<MIN, MAX>) -> Self {
        Self::try_from(number.0).unwrap_or(Self::MAX)
    }
}

/// The identifier of a key of TCP-AO (RFC 5925 section 3.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyId(pub(crate) u8);

impl Value for KeyId {
    const EXAMPLE: &'static str = "1";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        Bounded::<0, 255>::read(value).map(|id| Self(id.into()))
    }
}

/// A file of the machine that a daemon runs on. Every daemon reads the same topology, wherever that
/// lies, so the path is absolute. The file itself is read by the daemon that needs it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Value for FilePath {
    const EXAMPLE: &'static str = "\"/etc/arcus/mx1.password\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let written = text::<Self>(value)?;
        if !Path::new(written).is_absolute() {
            return Err(format!("`{written}` is no absolute path; write one as {}", Self::EXAMPLE));
        }
        Ok(Self(written.to_owned()))
    }
}

/// The name of a network interface: 1 to 15 octets, without blanks and slashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interface(String);

impl Interface {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Value for Interface {
    const EXAMPLE: &'static str = "\"eth0\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let written = text::<Self>(value)?;
        let is_name = (1..=15).contains(&written.len())
            && !matches!(written, "." | "..")
            && written.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'/');
        if is_name {
            Ok(Self(written.to_owned()))
        } else {
            Err(format!("`{written}` is not the name of an interface; write {}", Self::EXAMPLE))
        }
    }
}

/// AS numbers from one to another, both included; a single one is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsnRange {
    pub first: u32,
    pub last: u32,
}

impl AsnRange {
    pub const fn contains(self, asn: u32) -> bool {
        self.first <= asn && asn <= self.last
    }
}

impl fmt::Display for AsnRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Value for AsnRange {
    const EXAMPLE: &'static str = "64999 or \"65000-65100\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let Some(written) = value.as_str() else {
            return Asn::read(value).map(|Asn(asn)| Self { first: asn, last: asn });
        };
        written
            .split_once('-')
            .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)))
            .filter(|(first, last)| 0 < *first && first <= last && *last < u32::MAX)
            .map(|(first, last)| Self { first, last })
            .ok_or_else(|| {
                format!("`{written}` is not a range of AS numbers; write {}", Self::EXAMPLE)
            })
    }
}

/// `import-rewrite = { "64512:100" = "64513:100" }`: targets that become others at a border.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rewrite(BTreeMap<RouteTarget, RouteTarget>);

impl Rewrite {
    /// What each becomes.
    pub const fn pairs(&self) -> &BTreeMap<RouteTarget, RouteTarget> {
        &self.0
    }
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, to)) in self.0.iter().enumerate() {
            let comma = if index > 0 { " " } else { "" };
            write!(f, "{comma}{from}={to}")?;
        }
        Ok(())
    }
}

impl Value for Rewrite {
    const EXAMPLE: &'static str = "{ \"64512:100\" = \"64513:100\" }";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let DeValue::Table(table) = value else {
            return Err(format!("this is {}; write {}", kind(value), Self::EXAMPLE));
        };
        let mut pairs = BTreeMap::new();
        for (from, to) in table {
            let from: RouteTarget =
                from.get_ref().parse().map_err(|error| format!("{error}; it is a key here"))?;
            pairs.insert(from, RouteTarget::read(to.get_ref())?);
        }
        if pairs.is_empty() {
            return Err(format!("this is empty; write {}", Self::EXAMPLE));
        }
        Ok(Self(pairs))
    }
}
