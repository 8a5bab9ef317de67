//! What a session is told before it starts.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use bgp_wire::capability::{AddPath, GracefulRestart, LongLived, Role};
use bgp_wire::{Afi, AfiSafi};

use crate::collision::Speaker;

/// Zero (no timer) or at least three seconds: a `HoldTime` cannot hold anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldTime(u16);

impl HoldTime {
    /// No hold timer and no KEEPALIVE.
    pub const OFF: Self = Self(0);
    /// 90 seconds, as RFC 4271 §10 suggests.
    pub const DEFAULT: Self = Self(90);

    /// In seconds; 0 when off.
    pub const fn secs(self) -> u16 {
        self.0
    }

    /// How long the peer may be silent; `None` when it may be for ever.
    pub fn silence(self) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_secs(self.0.into()))
    }

    /// Time between two KEEPALIVEs: a third (RFC 4271 §4.4). `None` when none are sent.
    pub fn keepalive(self) -> Option<Duration> {
        self.silence().map(|hold| hold / 3)
    }

    /// How long the peer may read nothing of what we have for it: twice the hold time, at least 8
    /// minutes (RFC 9687 §4). `None` when the hold timer is off.
    pub fn send_hold(self) -> Option<Duration> {
        self.silence().map(|hold| (hold * 2).max(Duration::from_mins(8)))
    }
}

impl Default for HoldTime {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// RFC 4271 §4.2 forbids one and two seconds.
impl TryFrom<u16> for HoldTime {
    type Error = HoldTimeError;

    fn try_from(secs: u16) -> Result<Self, Self::Error> {
        match secs {
            1 | 2 => Err(HoldTimeError),
            secs => Ok(Self(secs)),
        }
    }
}

/// One or two seconds were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hold time is 0 or at least 3 seconds")]
pub struct HoldTimeError;

/// What the twelve bits of a restart time hold (RFC 4724 §3).
const LONGEST_RESTART: u16 = 4095;

/// What we say in our OPEN, and what we accept in the peer's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a capability that is offered or not")]
pub struct SessionConfig {
    /// Our AS number towards this peer.
    pub local_asn: u32,
    /// Our BGP identifier; not 0.0.0.0.
    pub local_id: Ipv4Addr,
    /// The AS number the peer must have; of no meaning where `peer_asns` has any.
    pub peer_asn: u32,
    /// Of a peer from a prefix: its AS number is in one of these, and is not ours. Empty: see `peer_asn`.
    pub peer_asns: Vec<RangeInclusive<u32>>,
    /// What we offer; the smaller of both offers counts.
    pub hold_time: HoldTime,
    /// Time between two of our KEEPALIVEs, at least 1 s; `None` is a third of the agreed hold time, and
    /// so is what is longer than that.
    pub keepalive: Option<Duration>,
    /// How long the peer may read nothing of what we have for it; `None` follows the hold time
    /// ([`HoldTime::send_hold`], RFC 9687 §4).
    pub send_hold: Option<Duration>,
    /// How long we wait for the peer's OPEN before we send ours (`DelayOpen`, RFC 4271 §8.1.1); `None`
    /// sends it at once.
    pub delay_open: Option<Duration>,
    /// Families we offer. At least one must be offered by the peer too.
    pub families: Vec<AfiSafi>,
    /// Whether our OPEN has capabilities at all, see [`SessionConfig::without_capabilities`].
    pub capabilities: bool,
    /// Families in which we would send or receive path identifiers (RFC 7911).
    pub add_path: Vec<AddPath>,
    /// Families and the address families of next hops that we take in them beside their own (RFC 8950).
    pub extended_next_hop: Vec<(AfiSafi, Afi)>,
    /// Families in which we take stacks of labels, and of how many (RFC 8277 §2.1).
    pub labels: Vec<(AfiSafi, u8)>,
    /// Whether routes are taken that have an `AS_SET` or `AS_CONFED_SET` in their path; else they are treated
    /// as withdrawn (RFC 9774 §3).
    pub as_sets: bool,
    /// Whether a family whose routes cannot be told apart is given up instead of the session (RFC 7606
    /// §2, "AFI/SAFI disable").
    pub disable_families: bool,
    /// Whether AS numbers of four octets are offered (RFC 6793); off for what cannot bear the offer.
    pub four_octet_as: bool,
    /// Whether we say that we answer requests for our routes (RFC 2918).
    pub route_refresh: bool,
    /// Whether we say that we mark the beginning and the end of what we send again (RFC 7313). Whoever
    /// says it must do it; off at first.
    pub enhanced_route_refresh: bool,
    /// Whether messages of up to 65,535 octets are offered (RFC 8654).
    pub extended_messages: bool,
    /// What we are to the peer (RFC 9234 §4.1). Said, and compared with what the peer says, between two
    /// AS only.
    pub role: Option<Role>,
    /// Refuses a peer that says no role (RFC 9234 §4.2).
    pub role_strict: bool,
    /// Whether a session with a peer that says so, too, waits for BFD (draft-ietf-idr-bgp-bfd-strict-mode), and
    /// how long where there is no hold time.
    pub bfd_strict: Option<Duration>,
    /// Seconds for which the routes of a peer that restarts are kept at most, whatever it asks for.
    pub longest_restart: u16,
    /// The long-lived graceful restart capability as we send it (RFC 9494); empty sends none. Counts
    /// only beside `restart`.
    pub long_lived: Vec<LongLived>,
    /// Our host name as the peer's operator is to see it; at most 255 octets are said.
    pub host_name: Option<String>,
    /// Our software and its version, for the same reader; at most 255 octets are said.
    pub software_version: Option<String>,
    /// The graceful restart capability as we send it (RFC 4724, RFC 8538); `None` sends none, and
    /// then nothing of the peer's is kept either. `restarted` is said until the first session is up.
    pub restart: Option<GracefulRestart>,
}

impl SessionConfig {
    /// A session inside one AS, as between a reflector and an agent: `vpnv4` and `rtc`.
    pub fn internal(asn: u32, local_id: Ipv4Addr) -> Self {
        Self::external(asn, local_id, asn)
    }

    /// A session with another AS.
    pub fn external(local_asn: u32, local_id: Ipv4Addr, peer_asn: u32) -> Self {
        Self {
            local_asn,
            local_id,
            peer_asn,
            peer_asns: Vec::new(),
            hold_time: HoldTime::DEFAULT,
            keepalive: None,
            send_hold: None,
            delay_open: None,
            families: vec![AfiSafi::VPNV4, AfiSafi::RTC],
            capabilities: true,
            add_path: Vec::new(),
            extended_next_hop: Vec::new(),
            labels: Vec::new(),
            as_sets: true,
            disable_families: false,
            four_octet_as: true,
            route_refresh: true,
            enhanced_route_refresh: false,
            extended_messages: true,
            role: None,
            role_strict: false,
            bfd_strict: None,
            restart: None,
            longest_restart: LONGEST_RESTART,
            long_lived: Vec::new(),
            host_name: None,
            software_version: None,
        }
    }

    /// The same for a peer that knows no capabilities (RFC 5492 §3): what is left without them is IPv4
    /// unicast, with AS numbers of two octets. `None` where we have no use for that.
    pub fn without_capabilities(&self) -> Option<Self> {
        self.families.contains(&AfiSafi::IPV4_UNICAST).then(|| Self {
            families: vec![AfiSafi::IPV4_UNICAST],
            capabilities: false,
            add_path: Vec::new(),
            extended_next_hop: Vec::new(),
            labels: Vec::new(),
            four_octet_as: false,
            route_refresh: false,
            enhanced_route_refresh: false,
            extended_messages: false,
            role: self.role.filter(|_| self.role_strict),
            bfd_strict: None,
            restart: None,
            long_lived: Vec::new(),
            ..self.clone()
        })
    }

    /// Us, as [`crate::collision::winner`] sees us.
    pub const fn speaker(&self) -> Speaker {
        Speaker { id: self.local_id, asn: self.local_asn }
    }

    /// Our role towards the peer; between speakers of one AS there is none (RFC 9234 §4.1).
    pub fn role(&self) -> Option<Role> {
        self.role.filter(|_| !self.is_internal())
    }

    /// Whether both sides are of one AS.
    pub const fn is_internal(&self) -> bool {
        self.local_asn == self.peer_asn && self.peer_asns.is_empty()
    }

    /// Whether the peer may have this AS number.
    pub fn expects(&self, asn: u32) -> bool {
        if self.peer_asns.is_empty() {
            return asn == self.peer_asn;
        }
        asn != self.local_asn && self.peer_asns.iter().any(|range| range.contains(&asn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_time_of_one_or_two_seconds_does_not_exist() {
        for (secs, ok) in [(0, true), (1, false), (2, false), (3, true), (u16::MAX, true)] {
            assert_eq!(HoldTime::try_from(secs).is_ok(), ok, "{secs}");
        }
    }

    #[test]
    fn a_peer_of_a_range_has_an_as_of_it_and_not_ours() {
        let id = Ipv4Addr::new(192, 0, 2, 1);
        let peer_asns = vec![64_500..=64_520, 65_000..=65_000];
        let config = SessionConfig { peer_asns, ..SessionConfig::external(64_512, id, 0) };
        assert!(!config.is_internal());
        for (asn, expected) in [(64_500, true), (64_512, false), (64_521, false), (65_000, true)] {
            assert_eq!(config.expects(asn), expected, "{asn}");
        }
    }

    #[test]
    fn timers_follow_the_hold_time() {
        let hold = HoldTime::try_from(3).unwrap();
        assert_eq!(hold.keepalive(), Some(Duration::from_secs(1)));
        assert_eq!(hold.send_hold(), Some(Duration::from_mins(8)));
        assert_eq!(HoldTime::OFF.keepalive(), None);
        assert_eq!(HoldTime::OFF.send_hold(), None);
    }
}
