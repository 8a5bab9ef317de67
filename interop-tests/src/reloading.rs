//! Daemons that read the topology anew.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use arcus_api::v1::Status;
use testbed::{Bed, Process, Signal};

const CEILING: Duration = Duration::from_secs(30);

/// Sends all of them SIGHUP. On return each has taken the file; one that refuses it is an error.
pub(crate) async fn reload(
    bed: &Bed,
    daemons: &BTreeMap<&'static str, Process>,
    status: impl AsyncFn(&str) -> Result<Status>,
) -> Result<()> {
    let mut before = BTreeMap::new();
    for name in daemons.keys() {
        before.insert(*name, status(name).await?.topology.generation);
    }
    for process in daemons.values() {
        process.signal(Signal::HUP)?;
    }
    for (name, before) in before {
        bed.wait_for(&format!("{name} has reloaded"), CEILING, async || {
            let topology = status(name).await?.topology;
            ensure!(topology.last_error.is_none(), "refused: {:?}", topology.last_error);
            ensure!(topology.generation > before, "generation {}", topology.generation);
            Ok(())
        })
        .await?;
    }
    Ok(())
}
