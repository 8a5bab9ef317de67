//! What the programs of a plane cost: their size, and their time as the kernel takes it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use dataplane::{DataplaneError, Result};

use crate::options::Options;
use crate::pins::Pins;
use crate::programs::Hook;

/// One of the two programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// `arcus_port` or `arcus_uplink`.
    pub program: &'static str,
    /// Machine code, in octets.
    pub code: u32,
    /// How many instructions the verifier has followed, over all paths; the kernel's limit is a million.
    pub verified: u32,
    /// How often it has run while programs were timed, and for how long.
    pub runs: u64,
    pub time: Duration,
}

/// The kernel times every eBPF program while one of these lives, which makes each run some 20 ns longer.
#[derive(Debug)]
pub struct Timing {
    /// Held, never used.
    _on: OwnedFd,
}

impl Timing {
    pub fn start() -> Result<Self> {
        let on = enable_stats(Stats::RunTime).map_err(|error| {
            DataplaneError::because("the kernel does not time eBPF programs", error)
        })?;
        Ok(Self { _on: on })
    }
}

/// The programs that the links of a plane hold, which need not be open.
pub fn costs(options: &Options) -> Result<Vec<Cost>> {
    let pins = Pins::new(options)?;
    let mut programs = BTreeMap::new();
    for (path, ifindex) in pins.pinned_links() {
        let unreadable =
            |error| DataplaneError::because(format!("cannot read {}", path.display()), error);
        let link = FdLink::from(PinnedLink::from_pin(&path).map_err(unreadable)?);
        let id = link.info().map_err(unreadable)?.program_id();
        let hook = Hook::ALL.into_iter().find(|hook| pins.link(hook.name(), ifindex) == path);
        programs.extend(hook.map(|hook| (id, hook)));
    }
    let mut costs = Vec::new();
    for info in loaded_programs() {
        let Ok(info) = info else { continue };
        let Some(hook) = programs.get(&info.id()) else { continue };
        costs.push(Cost {
            program: hook.program(),
            code: info.size_jitted(),
            verified: info.verified_instruction_count().unwrap_or_default(),
            runs: info.run_count(),
            time: info.run_time(),
        });
    }
    costs.sort_unstable_by_key(|cost| cost.program);
    Ok(costs)
}
