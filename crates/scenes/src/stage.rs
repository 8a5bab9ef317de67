//! What a plane must offer to play scenes on it.

use std::error::Error;
use std::time::Duration;

use dataplane::event::Decided;
use dataplane::memory::Place;
use dataplane::{Counters, Desired};

pub type StageError = Box<dyn Error + Send + Sync>;
pub type Result<T, E = StageError> = std::result::Result<T, E>;

/// A plane, and all that is around it.
pub trait Stage {
    /// The name that `planes` of a scene has it by.
    fn name(&self) -> &'static str;

    /// Forgets every connection of the scene before.
    fn clear(&mut self) -> Result<()>;

    /// Makes the state of the node what is wanted. Where a workload is attached is the stage's own.
    fn apply(&mut self, wanted: &Desired) -> Result<()>;

    /// What the underlay carries, in octets of IP.
    fn set_underlay_mtu(&mut self, mtu: u16) -> Result<()>;

    /// Puts a packet where it comes in: a frame of a workload, an IP packet from the underlay, an
    /// IP packet of the node itself.
    fn inject(&mut self, at: &Place, octets: &[u8]) -> Result<()>;

    /// All that has come out since. Waits for `expected` packets, but not for ever.
    fn collect(&mut self, expected: usize) -> Result<Vec<(Place, Vec<u8>)>>;

    fn counters(&mut self) -> Result<Counters>;

    /// Decisions of rules that log, since the last call. Waits for `expected`, but not for ever.
    fn decisions(&mut self, expected: usize) -> Result<Vec<Decided>>;

    fn wait(&mut self, time: Duration) -> Result<()>;
}
