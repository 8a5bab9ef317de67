//! The state of a session.

use std::fmt;

/// RFC 5880 §4.1, `Sta`. The numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum State {
    /// Held down by an operator. It says nothing about the path (RFC 5880 §3.2).
    AdminDown = 0,
    #[default]
    Down = 1,
    /// The peer is heard and may not hear us yet.
    Init = 2,
    Up = 3,
}

impl State {
    /// From the two bits of a packet; higher bits are ignored.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    /// The two bits of a packet.
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// As it is named in the API and in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AdminDown => "admin-down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
