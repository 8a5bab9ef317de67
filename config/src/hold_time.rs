//! The hold time of a BGP session.

use std::fmt;

/// Seconds of silence after which a session is given up: 0 (never) or at least 3; cannot hold
/// anything else (RFC 4271 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldTime(u16);

impl HoldTime {
    /// No timer: a session ends only with its connection.
    pub const OFF: Self = Self(0);
    /// 90 seconds, as RFC 4271 section 10 suggests.
    pub const DEFAULT: Self = Self(90);

    /// In seconds; 0 means that the timer is off.
    pub const fn seconds(self) -> u16 {
        self.0
    }
}

impl Default for HoldTime {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<u16> for HoldTime {
    type Error = HoldTimeError;

    fn try_from(seconds: u16) -> Result<Self, Self::Error> {
        match seconds {
            1 | 2 => Err(HoldTimeError),
            seconds => Ok(Self(seconds)),
        }
    }
}

impl fmt::Display for HoldTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One or two seconds were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hold time is 0 (off) or at least 3 seconds")]
pub struct HoldTimeError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_two_seconds_are_refused() {
        let accepted: Vec<u16> =
            (0..5).filter(|seconds| HoldTime::try_from(*seconds).is_ok()).collect();
        assert_eq!(accepted, [0, 3, 4]);
    }
}
