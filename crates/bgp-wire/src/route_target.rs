//! Route targets (RFC 4360 §4) and memberships in them (RFC 4684).

/// Which VPNs a route belongs to. Held as the eight octets of the extended community.
///
/// Text forms: `65000:100` (two-octet AS), `4200000000:7` or `65000L:7` (four-octet AS),
/// `192.0.2.1:7`, and `0x0123456789abcdef` for anything else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteTarget([u8; 8]);

impl RouteTarget {
    pub const fn from_octets(octets: [u8; 8]) -> Self {
        Self(octets)
    }

    pub const fn octets(self) -> [u8; 8] {
        self.0
    }
}

/// A membership: who wants the routes of which targets. Key of the RTC family (RFC 4684 §4).
///
/// `length` is in bits: 0 is the default target (everything), 32 to 96 is the origin AS and then
/// the first `length - 32` bits of a route target. Bits past the length are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RtMembership {
    length: u8,
    origin_as: u32,
    target: [u8; 8],
}

impl RtMembership {
    /// The default target: all routes are wanted.
    pub const DEFAULT: Self = Self { length: 0, origin_as: 0, target: [0; 8] };

    /// One whole route target, wanted by a speaker of `origin_as`.
    pub const fn exact(origin_as: u32, target: RouteTarget) -> Self {
        Self { length: 96, origin_as, target: target.octets() }
    }

    pub const fn length(self) -> u8 {
        self.length
    }

    pub const fn origin_as(self) -> u32 {
        self.origin_as
    }

    /// Whether a route with `target` is wanted: the first `length - 32` bits agree.
    pub fn matches(self, target: RouteTarget) -> bool {
        let bits = u32::from(self.length.saturating_sub(32));
        let differ = u64::from_be_bytes(self.target) ^ u64::from_be_bytes(target.octets());
        bits == 0 || differ.leading_zeros() >= bits
    }

    /// The target, if the membership is for exactly one.
    pub fn exact_target(self) -> Option<RouteTarget> {
        (self.length == 96).then(|| RouteTarget::from_octets(self.target))
    }
}
