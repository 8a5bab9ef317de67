//! Update groups: peers that get the same octets for the same routes.
//!
//! Route targets are not part of what makes a group: which routes a peer is due is said by sets of
//! peers, and a group only says how they are written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bgp_wire::community::Community;
use bgp_wire::{Afi, AfiSafi, Family, NextHop, PathAttributes, PathId, RouteTarget, update};
use ipnet::IpNet;

use crate::arena::Runs;
use crate::bucket::Bucket;
use crate::outside::Outside;
use crate::peer::{PeerKind, PeerView, UnicastNextHop};
use crate::policy;
use crate::rewriting::Rewriting;

/// What changes between the attributes of a bucket and what a peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Manner {
    /// As the bucket has them.
    Inside,
    /// A client that is told of memberships: we are the originator (RFC 4684 §3.2).
    MembershipsToClient,
    /// Another AS: ours goes in front, what is internal goes away.
    Outside(Outside),
}

/// All that octets depend on beside the route; equal for all peers of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpdateGroup {
    pub(crate) form: update::Form,
    manner: Manner,
    /// Replaces the next hop.
    next_hop: Option<IpAddr>,
    /// Next hops in here stay all the same.
    link: Option<IpNet>,
    /// Takes the place of route targets.
    targets: Arc<BTreeMap<RouteTarget, RouteTarget>>,
    /// Knows what a long-lived stale route is.
    long_lived: bool,
    /// Told several paths of a destination.
    pub(crate) many: bool,
    /// Memberships are told in the targets of the other side.
    pub(crate) rewriting: Option<Arc<Rewriting>>,
    /// With AIGP, which counts the way to the next hop that ours takes the place of.
    measures: bool,
}

/// Whether routes of the family are told the peer with our address as their next hop.
pub(crate) fn puts_ours(view: &PeerView, family: AfiSafi) -> bool {
    let fits = match (family, view.local_address) {
        (AfiSafi::IPV4_UNICAST, IpAddr::V4(_)) | (AfiSafi::IPV6_UNICAST, IpAddr::V6(_)) => true,
        // RFC 8950 §4.
        (AfiSafi::IPV4_UNICAST, IpAddr::V6(_)) => {
            view.negotiated.extended_next_hop.contains(&(family, Afi::IPV6))
        }
        _ => false,
    };
    let to_outside = matches!(view.unicast_next_hop, UnicastNextHop::OurselvesToExternal { .. });
    fits && (view.policy.next_hop_self || view.kind.is_external() && to_outside)
}

/// Of the speaker itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ourselves {
    pub(crate) asn: u32,
    pub(crate) router_id: Ipv4Addr,
    /// The cost of ways to next hops is known.
    pub(crate) tracks_next_hops: bool,
}

impl UpdateGroup {
    /// The group of a peer in one family.
    pub(crate) fn of(view: &PeerView, family: AfiSafi, rewriting: Option<&Arc<Rewriting>>) -> Self {
        let memberships = family == AfiSafi::RTC;
        let ours = memberships || puts_ours(view, family);
        let manner = match view.kind {
            PeerKind::External { asn } => Manner::Outside(Outside::of(view, family, asn)),
            PeerKind::Client if memberships => Manner::MembershipsToClient,
            PeerKind::Client | PeerKind::NonClient => Manner::Inside,
        };
        Self {
            form: update::Form::of(&view.negotiated, family),
            manner,
            next_hop: ours.then_some(view.local_address),
            link: match view.unicast_next_hop {
                UnicastNextHop::OurselvesToExternal { link } if !view.policy.next_hop_self => {
                    link.filter(|_| ours && !memberships)
                }
                _ => None,
            },
            targets: if family.has_targets() {
                Arc::clone(&view.policy.export_rewrite)
            } else {
                Arc::default()
            },
            long_lived: view.policy.long_lived,
            many: view.paths_told(family).is_some(),
            rewriting: rewriting.cloned(),
            measures: ours && !memberships,
        }
    }

    /// What a peer of this group is told instead of what `bucket` has.
    pub(crate) fn outgoing<'a>(
        &self,
        bucket: &'a Bucket,
        ourselves: Ourselves,
    ) -> (Cow<'a, PathAttributes>, NextHop) {
        let ours = self.next_hop.filter(|_| !self.stays(bucket.next_hop));
        let next_hop = ours.map_or(bucket.next_hop, NextHop::from);
        let attributes = &*bucket.attributes;
        let mut attributes = match &self.manner {
            Manner::Inside => Cow::Borrowed(attributes),
            Manner::MembershipsToClient => Cow::Owned(PathAttributes {
                originator_id: Some(ourselves.router_id),
                ..attributes.clone()
            }),
            Manner::Outside(outside) => Cow::Owned(outside.attributes(attributes, ourselves.asn)),
        };
        if bucket.rank.worth.is_long_lived_stale() && !self.long_lived {
            // Only internal peers come here (RFC 9494 §4.6).
            let attributes = attributes.to_mut();
            attributes.local_pref = Some(0);
            if !attributes.communities.contains(&Community::NO_EXPORT) {
                attributes.communities.push(Community::NO_EXPORT);
            }
        }
        if self.measures
            && ours.is_some()
            && let Some(metric) = attributes.aigp()
        {
            // RFC 7311 §3.4.3. Who does not know the way cannot say how far it is.
            let way = ourselves.tracks_next_hops.then(|| bucket.rank.cost());
            let farther = way.map(|way| metric.saturating_add(way.into()));
            attributes.to_mut().set_aigp(farther);
        }
        if policy::has_target_of(&attributes, &self.targets) {
            policy::rewrite_targets(attributes.to_mut(), &self.targets);
        }
        (attributes, next_hop)
    }

    /// Whether peers of this group reach this next hop without us (RFC 4271 §5.1.3, "third party").
    fn stays(&self, next_hop: NextHop) -> bool {
        let Some(link) = self.link else { return false };
        next_hop.address().is_some_and(|address| link.contains(&address))
    }

    /// Writes the attributes of `bucket` for this group, and returns the next hop to go with them.
    pub(crate) fn write_attributes(
        &self,
        bucket: &Bucket,
        ourselves: Ourselves,
        family: AfiSafi,
        out: &mut Vec<u8>,
    ) -> NextHop {
        let (attributes, next_hop) = self.outgoing(bucket, ourselves);
        out.clear();
        update::write_attributes(&attributes, next_hop, family, self.form.four_octet_as, out);
        next_hop
    }

    /// Appends messages that announce all of `routes`, or, where attributes are too long for any
    /// message, withdraw them.
    pub(crate) fn pack_reach<'a, F: Family, T>(
        &self,
        attributes: &[u8],
        next_hop: NextHop,
        mut routes: &[T],
        look_up: impl Fn(&T) -> (PathId, &'a F::Key, &'a F::Data),
        out: &mut Runs,
    ) {
        while !routes.is_empty() {
            let all = routes.iter().map(&look_up);
            match update::write_reach::<F>(self.form, attributes, next_hop, all, &mut out.arena) {
                0 => return,
                took => routes = &routes[took..],
            }
            out.end_message();
        }
    }

    /// Appends messages that withdraw all of `routes`.
    pub(crate) fn pack_unreach<'a, F: Family, T>(
        &self,
        mut routes: &[T],
        look_up: impl Fn(&T) -> (PathId, &'a F::Key),
        out: &mut Runs,
    ) {
        while !routes.is_empty() {
            let all = routes.iter().map(&look_up);
            match update::write_unreach::<F>(self.form, all, &mut out.arena) {
                0 => return,
                took => routes = &routes[took..],
            }
            out.end_message();
        }
    }

    /// The identifier of each route; `None` where several paths of a destination are told. Of one path it
    /// need only be the same each time (RFC 7911 §3).
    pub(crate) fn path_id(&self) -> Option<PathId> {
        (!self.many).then_some(PathId(u32::from(self.form.add_path)))
    }
}

#[cfg(test)]
mod tests {
    use bgp_wire::Negotiated;

    use super::*;
    use crate::peer_policy::PeerPolicy;

    #[test]
    fn our_address_is_put_where_the_peer_takes_its_family() {
        let (v4, v6) = ("192.0.2.1", "2001:db8::1");
        let (ipv4, ipv6) = (AfiSafi::IPV4_UNICAST, AfiSafi::IPV6_UNICAST);
        // (our address, families in which the peer takes next hops of IPv6, the family, whether ours is put)
        let cases: [(&str, &[_], _, _); 6] = [
            (v4, &[], ipv4, true),
            (v4, &[], ipv6, false),
            (v6, &[], ipv6, true),
            (v6, &[], ipv4, false),
            (v6, &[(ipv4, Afi::IPV6)], ipv4, true),
            (v6, &[(AfiSafi::VPNV4, Afi::IPV6)], AfiSafi::VPNV4, false),
        ];
        for (local, taken, family, is_ours) in cases {
            let negotiated =
                Negotiated { extended_next_hop: taken.to_vec(), ..Negotiated::everything() };
            let (id, local) = (Ipv4Addr::LOCALHOST, local.parse().unwrap());
            let kind = PeerKind::External { asn: 64_999 };
            let policy = PeerPolicy { next_hop_self: true, ..PeerPolicy::default() };
            let view = PeerView {
                policy: Arc::new(policy),
                ..PeerView::new(kind, id, id.into(), local, negotiated)
            };
            assert_eq!(puts_ours(&view, family), is_ours, "{local} {family} {taken:?}");
        }
    }
}
