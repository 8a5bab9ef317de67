use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What a platform calls a port: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
///
/// So narrow because it is a path segment of the API and a key in the agent's state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortId(String);

impl PortId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The text cannot be a port's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a port id; write 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter \
     or digit"
)]
pub struct BadPortId(String);

impl FromStr for PortId {
    type Err = BadPortId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for PortId {
    type Error = BadPortId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if fits { Ok(Self(text)) } else { Err(BadPortId(text)) }
    }
}

impl From<PortId> for String {
    fn from(id: PortId) -> Self {
        id.0
    }
}

impl JsonSchema for PortId {
    fn schema_name() -> Cow<'static, str> {
        "PortId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_leave_a_directory_is_no_id() {
        for text in ["", "..", "a/b", ".hidden", "-x", "a b", "é", &"x".repeat(65)] {
            assert!(text.parse::<PortId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ids_of_containers_and_names_fit() {
        for text in ["db-1", "web.eth0", "A", &"0af3".repeat(16)] {
            assert_eq!(text.parse::<PortId>().map(String::from).as_deref(), Ok(text));
        }
    }
}
