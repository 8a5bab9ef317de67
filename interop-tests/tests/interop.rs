//! Every daemon, every case; the page of results is what came of it.

use std::path::Path;
use std::{env, fs};

use anyhow::{Result, ensure};
use interop_tests::peers::{Bird, ExaBgp, Frr, GoBgp, OpenBgpd, Outcomes, Speaker, try_all};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/interop.md");

/// `ONLY=frr` tries one daemon, and leaves the page alone. `UPDATE=1` writes it.
#[tokio::test]
#[ignore = "needs root and other daemons: make test-interop"]
async fn everyone_elses_daemons_agree_with_ours() -> Result<()> {
    let (frr, bird, gobgp, openbgpd, exabgp) = tokio::join!(
        one::<Frr>(),
        one::<Bird>(),
        one::<GoBgp>(),
        one::<OpenBgpd>(),
        one::<ExaBgp>()
    );
    let mut outcomes = Outcomes::default();
    for some in [frr, bird, gobgp, openbgpd, exabgp] {
        outcomes.extend(some);
    }
    let failures = outcomes.failures();
    ensure!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    if env::var_os("ONLY").is_some() {
        return Ok(());
    }
    let (page, path) = (outcomes.page(), Path::new(PAGE));
    if env::var_os("UPDATE").is_some() {
        fs::write(path, page)?;
    } else {
        ensure!(fs::read_to_string(path)? == page, "docs/interop.md is not what came of this run");
    }
    Ok(())
}

async fn one<S: Speaker>() -> Outcomes {
    match env::var("ONLY") {
        Ok(only) if !S::NAME.to_lowercase().starts_with(&only.to_lowercase()) => {
            Outcomes::default()
        }
        _ => Box::pin(try_all::<S>()).await,
    }
}
