//! What a session asks for.

use std::time::Duration;

/// How often packets go, and how many may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    interval: Duration,
    multiplier: u8,
}

/// No session can run like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    #[error("a BFD interval is 10 ms to 60 s")]
    Interval,
    #[error("a BFD multiplier is 1 to 255")]
    Multiplier,
}

impl Timing {
    /// 300 ms, three times: a dead path is seen within 0.9 s.
    pub const DEFAULT: Self = Self { interval: Duration::from_millis(300), multiplier: 3 };

    /// `interval` is both how often we would send and how often we can be sent to; the slower side
    /// counts. Whole microseconds, 10 ms to 60 s. After `multiplier` silent intervals the peer takes
    /// the path for dead, so it is not 0.
    pub fn new(interval: Duration, multiplier: u8) -> Result<Self, TimingError> {
        if interval < Duration::from_millis(10) || interval > Duration::from_mins(1) {
            return Err(TimingError::Interval);
        }
        if multiplier == 0 {
            return Err(TimingError::Multiplier);
        }
        Ok(Self { interval, multiplier })
    }

    pub const fn interval(self) -> Duration {
        self.interval
    }

    pub const fn multiplier(self) -> u8 {
        self.multiplier
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// As the wire has it: microseconds.
pub(crate) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timing_that_exists_can_be_run() {
        let cases = [
            (10, 1, Ok(())),
            (300, 3, Ok(())),
            (60_000, 255, Ok(())),
            (9, 3, Err(TimingError::Interval)),
            (60_001, 3, Err(TimingError::Interval)),
            (300, 0, Err(TimingError::Multiplier)),
        ];
        for (millis, multiplier, want) in cases {
            let got = Timing::new(Duration::from_millis(millis), multiplier).map(drop);
            assert_eq!(got, want, "{millis} ms x {multiplier}");
        }
    }
}
