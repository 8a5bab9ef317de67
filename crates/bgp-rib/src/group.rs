//! Update groups: peers that get the same octets for the same routes.
//!
//! Route targets are not part of what makes a group: which routes a peer is due is said by sets of
//! peers, and a group only says how they are written.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use bgp_wire::{AfiSafi, Family, NextHop, PathAttributes, PathId, update};

use crate::arena::Runs;
use crate::bucket::Bucket;
use crate::peer::{PeerKind, PeerView, UnicastNextHop};

/// What changes between the attributes of a bucket and what a peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Manner {
    /// As the bucket has them.
    Inside,
    /// A client that is told of memberships: we are the originator (RFC 4684 §3.2).
    MembershipsToClient,
    /// Another AS: ours goes in front, what is internal goes away.
    Outside,
}

/// All that octets depend on beside the route; equal for all peers of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct UpdateGroup {
    pub(crate) form: update::Form,
    manner: Manner,
    /// Replaces the next hop.
    next_hop: Option<IpAddr>,
}

/// Of the speaker itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ourselves {
    pub(crate) asn: u32,
    pub(crate) router_id: Ipv4Addr,
}

impl UpdateGroup {
    /// The group of a peer in one family.
    pub(crate) fn of(view: &PeerView, family: AfiSafi) -> Self {
        let memberships = family == AfiSafi::RTC;
        let manner = match view.kind {
            PeerKind::External { .. } => Manner::Outside,
            PeerKind::Client if memberships => Manner::MembershipsToClient,
            PeerKind::Client | PeerKind::NonClient => Manner::Inside,
        };
        let fits = match family {
            AfiSafi::IPV4_UNICAST => view.local_address.is_ipv4(),
            AfiSafi::IPV6_UNICAST => view.local_address.is_ipv6(),
            _ => false,
        };
        let ours = memberships
            || fits
                && view.kind.is_external()
                && view.unicast_next_hop == UnicastNextHop::OurselvesToExternal;
        Self {
            form: update::Form::of(&view.negotiated, family),
            manner,
            next_hop: ours.then_some(view.local_address),
        }
    }

    /// What a peer of this group is told instead of what `bucket` has.
    pub(crate) fn outgoing<'a>(
        &self,
        bucket: &'a Bucket,
        ourselves: Ourselves,
    ) -> (Cow<'a, PathAttributes>, NextHop) {
        let next_hop = self.next_hop.map_or(bucket.next_hop, NextHop::from);
        let attributes = &*bucket.attributes;
        let attributes = match self.manner {
            Manner::Inside => Cow::Borrowed(attributes),
            Manner::MembershipsToClient => Cow::Owned(PathAttributes {
                originator_id: Some(ourselves.router_id),
                ..attributes.clone()
            }),
            Manner::Outside => Cow::Owned(outside(attributes, ourselves.asn)),
        };
        (attributes, next_hop)
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
        look_up: impl Fn(&T) -> (&'a F::Key, &'a F::Data),
        out: &mut Runs,
    ) {
        let id = self.path_id();
        while !routes.is_empty() {
            let all = routes.iter().map(|route| {
                let (key, data) = look_up(route);
                (id, key, data)
            });
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
        look_up: impl Fn(&T) -> &'a F::Key,
        out: &mut Runs,
    ) {
        let id = self.path_id();
        while !routes.is_empty() {
            let all = routes.iter().map(|route| (id, look_up(route)));
            match update::write_unreach::<F>(self.form, all, &mut out.arena) {
                0 => return,
                took => routes = &routes[took..],
            }
            out.end_message();
        }
    }

    /// One path per destination is sent, so its identifier need only be the same each time
    /// (RFC 7911 §3).
    fn path_id(&self) -> PathId {
        PathId(u32::from(self.form.add_path))
    }
}

/// RFC 4271 §5.1, RFC 4456 §8, RFC 4360 §6: what stays inside an AS is taken out.
fn outside(attributes: &PathAttributes, asn: u32) -> PathAttributes {
    let mut out = attributes.clone();
    out.local_pref = None;
    out.originator_id = None;
    out.cluster_list = Vec::new();
    // Set by us or by a client of ours it may go one AS further; set by another AS it may not.
    if !attributes.as_path.0.is_empty() {
        out.med = None;
    }
    out.extended_communities.retain(|community| community.is_transitive());
    out.as_path.prepend(asn);
    out
}
