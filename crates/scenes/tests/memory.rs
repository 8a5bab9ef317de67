//! Every scene on the plane in memory.

use std::collections::BTreeSet;
use std::time::Duration;

use dataplane::event::{Decided, Event};
use dataplane::memory::Place;
use dataplane::{Counters, Desired, DropReason, Memory, Scope, diff};
use dataplane_scenes::{Expected, Result, Stage, directory, load, play_all};

/// The plane in memory, and what it has sent.
#[derive(Default)]
struct MemoryStage {
    plane: Memory,
    now: Duration,
    out: Vec<(Place, Vec<u8>)>,
}

impl Stage for MemoryStage {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn clear(&mut self) -> Result<()> {
        *self = Self::default();
        Ok(())
    }

    fn apply(&mut self, wanted: &Desired) -> Result<()> {
        let ops = diff(wanted, &self.plane.state, Scope::Everything);
        ops.iter().try_for_each(|op| self.plane.apply_one(op))?;
        Ok(())
    }

    fn set_underlay_mtu(&mut self, mtu: u16) -> Result<()> {
        self.plane.underlay_mtu = mtu;
        Ok(())
    }

    fn inject(&mut self, at: &Place, octets: &[u8]) -> Result<()> {
        let out = self.plane.forward(at, octets, self.now);
        self.out.extend(out.into_iter().map(|out| (out.to, out.octets)));
        Ok(())
    }

    fn collect(&mut self, _: usize) -> Result<Vec<(Place, Vec<u8>)>> {
        Ok(std::mem::take(&mut self.out))
    }

    fn counters(&mut self) -> Result<Counters> {
        Ok(self.plane.counted())
    }

    fn decisions(&mut self, _: usize) -> Result<Vec<Decided>> {
        let reports = std::iter::from_fn(|| self.plane.take_report());
        let decided =
            |event| if let Event::Decided(decided) = event { Some(decided) } else { None };
        Ok(reports.filter_map(decided).collect())
    }

    fn wait(&mut self, time: Duration) -> Result<()> {
        self.now += time;
        Ok(())
    }
}

/// Which reasons a plane has to drop a packet, and whether a scene shows it.
#[test]
fn every_reason_to_drop_has_a_scene() {
    let scenes = load(&directory()).expect("scenes");
    let steps = scenes.iter().flat_map(|scene| &scene.steps);
    let dropped = |one: &Expected| match one {
        Expected::Drop(reason, _) => Some(*reason),
        _ => None,
    };
    let shown: BTreeSet<_> =
        steps.flat_map(|step| step.expected.iter().filter_map(dropped)).collect();
    let missing: Vec<_> = DropReason::ALL.iter().filter(|one| !shown.contains(one)).collect();
    // The model has no clock for bandwidth.
    assert_eq!(missing, [&DropReason::RateLimit]);
}

#[test]
fn every_scene_is_played_as_written() {
    let (played, failures) = play_all(&mut MemoryStage::default());
    assert!(failures.is_empty(), "{} of {played} fail\n\n{}", failures.len(), failures.join("\n"));
    eprintln!("{played} scenes");
}
