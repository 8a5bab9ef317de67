use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a request was refused: `{ "error": ".." }`, what is wrong and what to do instead.
///
/// May have several lines: a mistake in a topology file comes with the line it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{error}")]
pub struct ApiError {
    pub error: String,
}

impl ApiError {
    pub fn new(error: impl Into<String>) -> Self {
        Self { error: error.into() }
    }
}
