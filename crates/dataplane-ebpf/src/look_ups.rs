//! How long it takes to find a route, and nothing else: for benchmarks.

use std::net::Ipv4Addr;
use std::time::Duration;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{EbpfLoader, include_bytes_aligned};
use dataplane::{DataplaneError, Result, VrfId};

use crate::options::Options;
use crate::pins::Pins;

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/look_ups.bpf.o"));

const PROGRAM: &str = "arcus_look_ups";
/// `LOOK_UPS` of `bpf/look_ups.bpf.c`.
const LOOK_UPS: u32 = 1 << 20;
const RUNS: usize = 7;
/// The kernel wants a packet, of which nothing is read.
const FRAME: [u8; 64] = [0; 64];

/// What one look-up takes among so many host routes of a VRF, `first` and those that follow it, each of which
/// must be there: the least of several runs, over all of them in another order than theirs.
///
/// # Errors
/// Also when a route is missing.
pub fn look_up_time(
    options: &Options,
    vrf: VrfId,
    first: Ipv4Addr,
    among: u32,
) -> Result<Duration> {
    let pins = Pins::new(options)?;
    let (vrf, first) = (vrf.0, first.to_bits());
    let mut loader = EbpfLoader::new();
    loader.override_global("of_vrf", &vrf, true);
    loader.override_global("first_address", &first, true);
    loader.override_global("among", &among, true);
    loader.default_map_pin_directory(pins.maps());
    let cannot = |error| DataplaneError::because(format!("cannot load {PROGRAM}"), error);
    let mut ebpf = loader.load(OBJECT).map_err(cannot)?;
    let program = ebpf.program_mut(PROGRAM);
    let program = program.ok_or_else(|| DataplaneError::new(format!("there is no {PROGRAM}")))?;
    let program: &mut SchedClassifier =
        program.try_into().map_err(|error| DataplaneError::because("not a classifier", error))?;
    let cannot = |error| DataplaneError::because(format!("cannot run {PROGRAM}"), error);
    program.load().map_err(cannot)?;
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let options = TestRunOptions { data_in: Some(&FRAME), ..TestRunOptions::new() };
        let done = program.test_run(options).map_err(cannot)?;
        if done.return_value != 1 {
            return Err(DataplaneError::new("a route to be looked up is not there"));
        }
        least = least.min(done.duration / LOOK_UPS);
    }
    Ok(least)
}
