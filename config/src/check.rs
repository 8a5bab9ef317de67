//! Mistakes that only the whole topology shows.

use crate::{ConfigError, read::Draft};

/// Refuses the first one.
pub(crate) fn check(_draft: &Draft) -> Result<(), ConfigError> {
    Ok(())
}
