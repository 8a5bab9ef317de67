//! What a shard is told about a peer.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU8;
use std::sync::Arc;

use bgp_wire::{AfiSafi, Negotiated, RouteTarget, RtMembership};
use ipnet::IpNet;

use crate::peer_policy::PeerPolicy;
use crate::totals::Totals;

/// The number of a peer, the same in every shard. Given by the control task, small and dense;
/// used again only after every shard has said [`crate::Output::Gone`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIx(pub u16);

impl PeerIx {
    /// Where routes come from that this speaker originates itself. Never a peer.
    pub const LOCAL: Self = Self(u16::MAX);

    pub(crate) fn at(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for PeerIx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How a peer stands to us; decides reflection (RFC 4456 §6) and what is added or stripped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// Same AS, and we reflect for it.
    Client,
    /// Same AS, meshed with us.
    NonClient,
    /// Another AS.
    External { asn: u32 },
}

impl PeerKind {
    pub const fn is_external(self) -> bool {
        matches!(self, Self::External { .. })
    }
}

/// Where the targets come from whose routes a peer is told, in families that have targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterestMode {
    /// All routes: a peer without RTC about which nothing is configured.
    Everything,
    /// What its memberships say (RFC 4684). Nothing is told before its RTC End-of-RIB, or before
    /// [`crate::Input::RtcTimeout`]. Of a peer that has not negotiated RTC, the same as
    /// [`InterestMode::Everything`].
    FromRtc,
    /// Configured targets, for peers that do not speak RTC.
    Configured(Arc<BTreeSet<RouteTarget>>),
    /// Configured targets that its memberships ask for. Waits like [`InterestMode::FromRtc`]. Of a
    /// peer that has not negotiated RTC, the same as [`InterestMode::Configured`].
    Both(Arc<BTreeSet<RouteTarget>>),
}

impl InterestMode {
    /// Whether memberships of the peer count, and are waited for.
    pub const fn uses_rtc(&self) -> bool {
        matches!(self, Self::FromRtc | Self::Both(_))
    }
}

/// Which memberships of others a peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembershipsOut {
    /// All that the rules of RFC 4684 §3.2 let pass.
    Reflected,
    /// Only those in [`PeerView::originate`]: agents get just the default target.
    OwnOnly,
}

/// The next hop of unicast routes told to an external peer. VPN and EVPN next hops never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnicastNextHop {
    Unchanged,
    /// [`PeerView::local_address`], where it is of the family of the route (RFC 4271 §5.1.3).
    OurselvesToExternal {
        /// The network that we share with the peer: next hops there it reaches without us, and they stay.
        link: Option<IpNet>,
    },
}

/// How many routes of a family a peer may have, in all shards together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub family: AfiSafi,
    pub routes: u32,
    /// So many yield [`crate::Output::LimitNear`], before more than `routes` are too many.
    pub warning: Option<u32>,
}

/// All that a shard needs to know of an established peer. A changed peer is a new value
/// ([`crate::Input::PeerChanged`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    pub kind: PeerKind,
    /// The BGP identifier of its OPEN.
    pub router_id: Ipv4Addr,
    pub address: IpAddr,
    /// Our end of the session: next hop of memberships.
    pub local_address: IpAddr,
    pub negotiated: Negotiated,
    pub interest: InterestMode,
    /// Route targets of which a route from this peer must have one, in families that have targets;
    /// others are taken off it. `None` lets all pass.
    pub import_targets: Option<Arc<BTreeSet<RouteTarget>>>,
    /// Per family; exceeding one yields [`crate::Output::LimitExceeded`].
    pub limits: Vec<Limit>,
    /// What the limits count, shared by all shards: one for each session.
    pub totals: Totals,
    pub memberships: MembershipsOut,
    /// Memberships that we announce to this peer on our own behalf: the default target for agents,
    /// the targets of its networks for a gateway that speaks RTC.
    pub originate: BTreeSet<RtMembership>,
    pub unicast_next_hop: UnicastNextHop,
    /// Answers to its requests for routes are put between marks (RFC 7313), see [`crate::Mark`].
    pub enhanced_refresh: bool,
    pub policy: Arc<PeerPolicy>,
}

impl PeerView {
    /// A peer that is told everything and may announce anything.
    pub fn new(
        kind: PeerKind,
        router_id: Ipv4Addr,
        address: IpAddr,
        local_address: IpAddr,
        negotiated: Negotiated,
    ) -> Self {
        Self {
            kind,
            router_id,
            address,
            local_address,
            negotiated,
            interest: InterestMode::Everything,
            import_targets: None,
            limits: Vec::new(),
            totals: Totals::default(),
            memberships: MembershipsOut::Reflected,
            originate: BTreeSet::new(),
            unicast_next_hop: UnicastNextHop::Unchanged,
            enhanced_refresh: false,
            policy: Arc::default(),
        }
    }

    /// How many paths of a destination it is told at most; `None` where it is told the best one.
    pub(crate) fn paths_told(&self, family: AfiSafi) -> Option<NonZeroU8> {
        let agreed = family != AfiSafi::RTC && self.negotiated.add_path_send.contains(&family);
        let entry = self.policy.add_path_send.iter().find(|(of, _)| *of == family);
        entry.filter(|_| agreed).map(|(_, paths)| *paths)
    }

    /// Whether routes of `family` are exchanged with it.
    pub fn speaks(&self, family: AfiSafi) -> bool {
        self.negotiated.families.contains(&family)
    }
}
