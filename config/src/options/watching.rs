//! How a dead path is noticed: `bfd` and `echo`.

use std::fmt;

use toml::de::DeValue;

use super::choices::BfdAuth;
use super::values::{Bounded, FilePath};
use crate::value::{Value, kind};

/// `bfd = { interval = 300, multiplier = 3 }`: how often both sides say that the path is alive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bfd {
    /// Milliseconds between two packets, 10 to 60,000; 300.
    pub interval: u32,
    /// So many of them lost in a row mean that the path is dead; 3.
    pub multiplier: u8,
    /// Whether routers lie between (RFC 5883), else it is a neighbor on the link (RFC 5881).
    pub multihop: bool,
    /// Whether it is the peer who begins.
    pub passive: bool,
    /// How packets are signed. Not at all.
    pub key: Option<BfdKey>,
}

/// How packets of BFD are signed (RFC 5880 section 6.7).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BfdKey {
    pub auth: BfdAuth,
    /// Holds the secret, as one line.
    pub file: FilePath,
    /// What both sides call it; 1.
    pub id: u8,
}

impl Default for Bfd {
    fn default() -> Self {
        Self { interval: 300, multiplier: 3, multihop: false, passive: false, key: None }
    }
}

impl fmt::Display for Bfd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms x {}", self.interval, self.multiplier)?;
        f.write_str(if self.multihop { " multihop" } else { "" })?;
        f.write_str(if self.passive { " passive" } else { "" })?;
        match &self.key {
            None => Ok(()),
            Some(BfdKey { auth, file, id }) => write!(f, " {auth} key {id} of {file}"),
        }
    }
}

impl Value for Bfd {
    const EXAMPLE: &'static str = "{ interval = 300, multiplier = 3 }";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let DeValue::Table(table) = value else {
            return Err(format!("this is {}; write {}", kind(value), Self::EXAMPLE));
        };
        let mut bfd = Self::default();
        let (mut auth, mut file, mut id) = (None, None, None);
        for (key, value) in table {
            let (key, value) = (key.get_ref().as_ref(), value.get_ref());
            let wrong = |message: String| format!("`{key}` of bfd: {message}");
            match key {
                "interval" => bfd.interval = interval(value).map_err(wrong)?,
                "multiplier" => bfd.multiplier = multiplier(value).map_err(wrong)?,
                "multihop" => bfd.multihop = bool::read(value).map_err(wrong)?,
                "passive" => bfd.passive = bool::read(value).map_err(wrong)?,
                "auth" => auth = Some(BfdAuth::read(value).map_err(wrong)?),
                "key-file" => file = Some(FilePath::read(value).map_err(wrong)?),
                "key-id" => id = Some(Bounded::<0, 255>::read(value).map_err(wrong)?.into()),
                _ => {
                    return Err(format!(
                        "the key `{key}` of bfd is unknown; known here: interval, multiplier, \
                         multihop, passive, auth, key-file, key-id"
                    ));
                }
            }
        }
        bfd.key = match (auth, file, id) {
            (Some(auth), Some(file), id) => Some(BfdKey { auth, file, id: id.unwrap_or(1) }),
            (None, None, None) => None,
            _ => {
                return Err("bfd signs with both or neither of auth = \"meticulous-sha1\" and \
                            key-file = \"/etc/arcus/mx1.bfd\""
                    .to_owned());
            }
        };
        Ok(bfd)
    }
}

/// `echo = { interval = 300, multiplier = 3 }`: how often a node's data plane has to send a packet back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Echo {
    /// `echo = false`: only its BGP session says whether a node lives.
    Off,
    On {
        /// Milliseconds between two packets, 10 to 60,000; 300.
        interval: u32,
        /// So many of them lost in a row mean that the node is dead; 3.
        multiplier: u8,
    },
}

/// Of nodes whose entry says nothing. One that does not answer is none the worse for it.
impl Default for Echo {
    fn default() -> Self {
        Self::On { interval: 300, multiplier: 3 }
    }
}

impl fmt::Display for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On { interval, multiplier } => write!(f, "{interval} ms x {multiplier}"),
        }
    }
}

impl Value for Echo {
    const EXAMPLE: &'static str = "{ interval = 300, multiplier = 3 }";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let table = match value {
            DeValue::Table(table) => table,
            DeValue::Boolean(false) => return Ok(Self::Off),
            DeValue::Boolean(true) => return Ok(Self::default()),
            _ => {
                let example = Self::EXAMPLE;
                return Err(format!("this is {}; write {example} or false", kind(value)));
            }
        };
        let (mut every, mut times) = (300, 3);
        for (key, value) in table {
            let (key, value) = (key.get_ref().as_ref(), value.get_ref());
            let wrong = |message: String| format!("`{key}` of echo: {message}");
            match key {
                "interval" => every = interval(value).map_err(wrong)?,
                "multiplier" => times = multiplier(value).map_err(wrong)?,
                _ => {
                    return Err(format!(
                        "the key `{key}` of echo is unknown; known here: interval, multiplier"
                    ));
                }
            }
        }
        Ok(Self::On { interval: every, multiplier: times })
    }
}

fn interval(value: &DeValue<'_>) -> Result<u32, String> {
    Bounded::<10, 60_000>::read(value).map(Into::into)
}

fn multiplier(value: &DeValue<'_>) -> Result<u8, String> {
    Bounded::<1, 255>::read(value).map(Into::into)
}
