//! What is done to the routes of one peer, in and out.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU8;
use std::sync::Arc;

use bgp_wire::capability::Role;
use bgp_wire::{AfiSafi, RouteTarget};

/// Our AS as one external peer knows it (RFC 7705 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalAs {
    /// The AS of the session, in place of [`crate::ShardConfig::local_as`].
    pub asn: u32,
    /// Do not put `asn` in front of the AS_PATH of what the peer announces (RFC 7705 §3.1).
    pub no_prepend: bool,
    /// Tell the peer of `asn` alone, and not of our own AS behind it (RFC 7705 §3.2).
    pub replace: bool,
}

/// What becomes of private AS numbers (RFC 6996 §5) in the AS_PATH told to an external peer. The
/// peer's own number stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RemovePrivate {
    #[default]
    No,
    /// Those in front of the first other number are taken out.
    Leading,
    /// All are taken out.
    All,
    /// Our AS stands in the place of each.
    Replace,
}

/// The policy of one peer. [`PeerPolicy::default`] changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "knobs of a configuration, each by itself")]
pub struct PeerPolicy {
    /// Of an external peer.
    pub local_as: Option<LocalAs>,
    /// How often our AS may stand in an AS_PATH before it is a loop.
    pub allowas_in: u8,
    /// Put our AS in place of the AS of an external peer in what it is told; a route that has passed
    /// its AS is then told to it.
    pub as_override: bool,
    pub remove_private_as: RemovePrivate,
    /// Towards another AS preference travels as MED: LOCAL_PREF 200 as MED 100, 100 as 200, any other
    /// as 2^32 - 1 minus it; only of routes that originate in our AS. The MED of what the peer
    /// announces becomes LOCAL_PREF in the same way.
    pub preference_as_med: bool,
    /// A route with one of these in its AS_PATH is refused: [`crate::policy::Reject::Transit`].
    pub refused_ases: Arc<BTreeSet<u32>>,
    /// Route targets as the peer writes them, and what they are here. Before
    /// [`crate::PeerView::import_targets`].
    pub import_rewrite: Arc<BTreeMap<RouteTarget, RouteTarget>>,
    /// Route targets as they are here, and what the peer is told. Interest is judged by those here.
    pub export_rewrite: Arc<BTreeMap<RouteTarget, RouteTarget>>,
    /// Our role towards this external peer, in IPv4 and IPv6 unicast (RFC 9234 §5).
    pub role: Option<Role>,
    /// Exchange AIGP (RFC 7311 §3.2) with this external peer; with internal ones it always is.
    pub aigp: bool,
    /// Be the next hop of unicast routes told to this peer, whatever its kind and wherever the next hop is, else
    /// than [`crate::UnicastNextHop::OurselvesToExternal`] for external ones. Of labelled, VPN and EVPN
    /// routes the label belongs to the next hop, so theirs never changes.
    pub next_hop_self: bool,
    /// In these families the peer is told up to so many of the best paths of a destination, each with
    /// an identifier of its own (RFC 7911), if that was negotiated. Whether it is so is settled when
    /// the session comes up; how many may change.
    pub add_path_send: Vec<(AfiSafi, NonZeroU8)>,
    /// The peer has the capability of RFC 9494. Another one, if external, is not told of long-lived
    /// stale routes; if internal, it is told them with NO_EXPORT and LOCAL_PREF 0 (§4.6).
    pub long_lived: bool,
    /// Refuse what an external peer announces with another AS in front (RFC 4271 §6.3).
    pub enforce_first_as: bool,
    /// LOCAL_PREF of what comes without one, in place of 100.
    pub default_local_pref: Option<u32>,
    /// Longest AS_PATH that is taken, counted as by the decision.
    pub max_as_path: Option<u16>,
}

impl PeerPolicy {
    /// Whether it makes the same of what the peer announces.
    pub(crate) fn takes_in_as(&self, other: &Self) -> bool {
        let of = |policy: &Self| {
            (
                (policy.local_as, policy.allowas_in, policy.preference_as_med, policy.aigp),
                (
                    policy.enforce_first_as,
                    policy.default_local_pref,
                    policy.max_as_path,
                    policy.role,
                ),
            )
        };
        of(self) == of(other)
            && self.refused_ases == other.refused_ases
            && self.import_rewrite == other.import_rewrite
    }
}

impl Default for PeerPolicy {
    fn default() -> Self {
        Self {
            local_as: None,
            allowas_in: 0,
            as_override: false,
            remove_private_as: RemovePrivate::No,
            preference_as_med: false,
            refused_ases: Arc::default(),
            import_rewrite: Arc::default(),
            export_rewrite: Arc::default(),
            role: None,
            aigp: false,
            next_hop_self: false,
            add_path_send: Vec::new(),
            long_lived: false,
            enforce_first_as: true,
            default_local_pref: None,
            max_as_path: None,
        }
    }
}
