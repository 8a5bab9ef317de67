//! Every daemon, every case; the page of results is what came of it.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use interop_tests::peers::{
    Bird, ExaBgp, Frr, GoBgp, Kind, Life, OpenBgpd, Outcomes, ROUTES, Source, Speaker,
    restart_at_scale, try_all,
};

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

/// `ONLY=frr` tries one daemon here, too.
#[tokio::test]
#[ignore = "needs root and other daemons: make test-interop"]
async fn everyone_elses_daemons_keep_all_routes_over_a_restart() -> Result<()> {
    // Two at a time: with more, on two cores, hold times of nine seconds run out.
    let frr = tokio::join!(
        // FRR 8.4 says End-of-RIB behind the first 10,000 of what it has learnt again, and never tells VPN
        // routes that it has learnt while it waits for others: it restarts with routes of its own.
        at_scale::<Frr>(Kind::Ipv4, Life::Graceful, Source::Itself),
        at_scale::<Frr>(Kind::Vpnv4, Life::Plain, Source::NearEnd)
    );
    let others = tokio::join!(
        at_scale::<Bird>(Kind::Vpnv4, Life::Graceful, Source::NearEnd),
        at_scale::<GoBgp>(Kind::Ipv4, Life::Graceful, Source::NearEnd)
    );
    for outcome in [frr.0, frr.1, others.0, others.1] {
        outcome?;
    }
    Ok(())
}

async fn at_scale<S: Speaker>(kind: Kind, life: Life, source: Source) -> Result<()> {
    if is_asked_for::<S>() {
        let restarts =
            Box::pin(restart_at_scale::<S>(kind, life, source)).await.context(S::NAME)?;
        eprintln!("{}, {ROUTES} {} routes each way: {restarts:?}", S::NAME, kind.name());
    }
    Ok(())
}

fn is_asked_for<S: Speaker>() -> bool {
    env::var("ONLY").map_or(true, |only| S::NAME.to_lowercase().starts_with(&only.to_lowercase()))
}

async fn one<S: Speaker>() -> Outcomes {
    if is_asked_for::<S>() { Box::pin(try_all::<S>()).await } else { Outcomes::default() }
}
