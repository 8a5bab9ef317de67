//! Why a session changed its state.

use std::fmt;

/// A code of the IANA registry "BFD Diagnostic Codes" (RFC 5880 §4.1): five bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Diag(u8);

impl Diag {
    /// RFC 5880 §4.1, as all that follow.
    pub const NONE: Self = Self(0);
    /// The peer was not heard for the detection time.
    pub const DETECTION_TIME_EXPIRED: Self = Self(1);
    pub const ECHO_FAILED: Self = Self(2);
    /// The peer said that the session is down.
    pub const NEIGHBOR_SIGNALED_DOWN: Self = Self(3);
    pub const FORWARDING_PLANE_RESET: Self = Self(4);
    pub const PATH_DOWN: Self = Self(5);
    pub const CONCATENATED_PATH_DOWN: Self = Self(6);
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);
    pub const REVERSE_CONCATENATED_PATH_DOWN: Self = Self(8);

    /// From the low five bits; higher bits are ignored.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x1f)
    }

    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Diag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NONE => "no diagnostic",
            Self::DETECTION_TIME_EXPIRED => "detection time expired",
            Self::ECHO_FAILED => "echo failed",
            Self::NEIGHBOR_SIGNALED_DOWN => "neighbor signaled down",
            Self::FORWARDING_PLANE_RESET => "forwarding plane reset",
            Self::PATH_DOWN => "path down",
            Self::CONCATENATED_PATH_DOWN => "concatenated path down",
            Self::ADMINISTRATIVELY_DOWN => "administratively down",
            Self::REVERSE_CONCATENATED_PATH_DOWN => "reverse concatenated path down",
            Self(code) => return write!(f, "diagnostic {code}"),
        })
    }
}
