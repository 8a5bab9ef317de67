//! The peer, as its last packet showed it.

use std::time::{Duration, Instant};

use crate::{ControlPacket, Diag, State};

/// What the peer said last (RFC 5880 §6.8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    pub heard: Instant,
    /// The peer's number of the session.
    pub discriminator: u32,
    pub state: State,
    pub diag: Diag,
    /// It wants us to be silent while both are up.
    pub demand: bool,
    /// Its session outlives its control plane: that it ended says something about the path.
    pub independent: bool,
    pub multiplier: u8,
    pub desired_min_tx: Duration,
    /// Zero: we are to send nothing but answers.
    pub required_min_rx: Duration,
}

impl Remote {
    pub(super) fn new(heard: Instant, packet: &ControlPacket) -> Self {
        Self {
            heard,
            discriminator: packet.my_discriminator,
            state: packet.state,
            diag: packet.diag,
            demand: packet.demand,
            independent: packet.independent,
            multiplier: packet.multiplier,
            desired_min_tx: Duration::from_micros(packet.desired_min_tx.into()),
            required_min_rx: Duration::from_micros(packet.required_min_rx.into()),
        }
    }

    /// RFC 5880 §6.8.4: its multiplier times the slower of both wishes.
    pub(super) fn detection_time(&self, our_min_rx: Duration) -> Duration {
        our_min_rx.max(self.desired_min_tx) * u32::from(self.multiplier)
    }
}
