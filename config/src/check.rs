//! Mistakes that only the whole topology shows: names that nothing has, and values that clash.
//!
//! Each check returns the first clash it finds, with both places where there are two.

mod addresses;
mod filters;
mod identities;
mod networks;
mod peers;
mod references;
mod targets;

use crate::{ConfigError, read::Draft};

/// Refuses the first mistake.
pub(crate) fn check(draft: &Draft) -> Result<(), ConfigError> {
    references::check(draft)?;
    addresses::check(draft)?;
    identities::check(draft)?;
    peers::check(draft)?;
    targets::check(draft)?;
    networks::check(draft)?;
    filters::check(draft)
}
