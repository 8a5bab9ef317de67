//! The three octets where a label stands.

use std::fmt;

/// Three octets of a label field, as they stood on the wire: a route reflector passes them on unchanged.
///
/// With MPLS the upper 20 bits are the label, then three bits of traffic class, then the bottom of
/// stack (RFC 8277 §2.2). With VXLAN all 24 bits are the VNI (RFC 8365 §5.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label([u8; 3]);

impl Label {
    /// What we send in the label field of a withdrawal (RFC 8277 §2.4).
    pub const WITHDRAWN: Self = Self([0x80, 0, 0]);

    /// An MPLS label with the bottom of stack set; `None` above 1,048,575.
    pub const fn mpls(value: u32) -> Option<Self> {
        if value > 0x000f_ffff {
            return None;
        }
        let [_, a, b, c] = (value << 4 | 1).to_be_bytes();
        Some(Self([a, b, c]))
    }

    /// A VNI; `None` above 16,777,215.
    pub const fn vni(value: u32) -> Option<Self> {
        let [high, a, b, c] = value.to_be_bytes();
        if high == 0 { Some(Self([a, b, c])) } else { None }
    }

    pub const fn from_octets(octets: [u8; 3]) -> Self {
        Self(octets)
    }

    pub const fn octets(self) -> [u8; 3] {
        self.0
    }

    /// The upper 20 bits.
    pub const fn mpls_value(self) -> u32 {
        self.vni_value() >> 4
    }

    /// All 24 bits.
    pub const fn vni_value(self) -> u32 {
        let [a, b, c] = self.0;
        u32::from_be_bytes([0, a, b, c])
    }

    pub const fn is_bottom_of_stack(self) -> bool {
        self.0[2] & 1 == 1
    }

    /// The same label as the last one of its stack.
    #[must_use]
    pub const fn as_bottom(self) -> Self {
        let [a, b, c] = self.0;
        Self([a, b, c | 1])
    }
}

impl fmt::Display for Label {
    /// The MPLS value; a caller that knows of a VNI prints [`Label::vni_value`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mpls_value())
    }
}
