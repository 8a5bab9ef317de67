//! One way to a prefix: what of a BGP route matters for forwarding, and what tunnel it means here.

use std::cmp::Reverse;
use std::net::IpAddr;

use bgp_wire::community::{ExtendedCommunity, TunnelType};
use bgp_wire::nlri::{Esi, EvpnData, MacAddress};
use bgp_wire::{Label, NextHop as BgpNextHop, Origin, PathAttributes, RouteTarget};
use dataplane::{
    Encapsulation, Identities, Identity, Mac, MplsLabel, NextHop, Spread, Tunnel, TunnelHeader, Vni,
};

use crate::encapsulation::Preferences;

/// See the module. Routes of one UPDATE that differ in nothing but their prefix share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub targets: Vec<RouteTarget>,
    /// 100 where the sender gave none (RFC 4271 §9.1.1).
    pub local_pref: u32,
    /// RFC 4271 §9.1.2.2 a.
    pub as_path_len: usize,
    pub origin: Origin,
    /// 0 where there is none (RFC 4271 §9.1.2.2 c).
    pub med: u32,
    /// The neighbouring AS; MEDs are comparable within one.
    pub neighbor_as: Option<u32>,
    pub to: Target,
    /// Octets a second of its link, if it says so: its share of the flows.
    pub bandwidth: Option<u64>,
    /// By what flows are to be spread.
    pub spread: Spread,
    /// Who is behind it.
    pub identities: Identities,
    /// Kept over the end of its session, and not told again yet (RFC 4724 §4.2).
    pub stale: bool,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Something of this node; never empty.
    Own(Vec<NextHop>),
    /// Another node or a gateway.
    Remote(Remote),
}

/// How another node is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub next_hop: IpAddr,
    /// With MPLS the upper 20 bits count, with VXLAN all 24.
    pub label: Label,
    pub offers: Vec<TunnelType>,
    pub by: ToldBy,
}

/// What kind of route told of a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldBy {
    /// Never offers VXLAN, which has no label.
    Vpn,
    /// Offers either VXLAN or MPLS, never both. RFC 9136 §3.2: `overlay_index` is an ESI or gateway
    /// that would have to be looked up.
    Evpn { router_mac: Option<Mac>, overlay_index: OverlayIndex },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayIndex {
    Zero,
    Set,
}

/// Why a path that was received is not used although nothing is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unusable {
    /// It offers only tunnels that the data plane has not.
    Encapsulation,
    /// Its label is a reserved one (RFC 3032 §2.1), or its VNI is 0.
    Label,
    /// No tunnel of ours can end at its next hop, which is no address of a host, or of the other version
    /// of IP.
    NextHop,
    /// It is for VXLAN and names no router's MAC (RFC 9136 §3.2).
    RouterMac,
    /// It leads to a gateway or Ethernet segment that would have to be looked up first.
    OverlayIndex,
}

impl Unusable {
    pub const ALL: [Self; 5] =
        [Self::Encapsulation, Self::Label, Self::NextHop, Self::RouterMac, Self::OverlayIndex];

    /// The name in metrics and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encapsulation => "no-common-encapsulation",
            Self::Label => "reserved-label",
            Self::NextHop => "no-tunnel-to-next-hop",
            Self::RouterMac => "no-router-mac",
            Self::OverlayIndex => "overlay-index",
        }
    }
}

/// The path of an announced route; `None` if its next hop is none.
pub(crate) fn read(
    attributes: &PathAttributes,
    next_hop: BgpNextHop,
    label: Label,
    by: ToldBy,
) -> Option<Path> {
    let communities = &attributes.extended_communities;
    let bandwidth = communities.iter().find_map(|c| c.as_link_bandwidth());
    let spread = communities.iter().find_map(|c| spread_of(*c)).unwrap_or_default();
    let offers = attributes.encapsulations().collect();
    Some(Path {
        targets: attributes.route_targets().collect(),
        local_pref: attributes.local_pref.unwrap_or(100),
        as_path_len: attributes.as_path.length(),
        origin: attributes.origin,
        med: attributes.med.unwrap_or(0),
        neighbor_as: attributes.as_path.first(),
        to: Target::Remote(Remote { next_hop: next_hop.address()?, label, offers, by }),
        bandwidth: bandwidth.and_then(|(_, octets)| whole(octets)),
        spread,
        identities: Identities::new(communities.iter().filter_map(|c| group_of(*c))),
        stale: false,
    })
}

/// What an EVPN route says beside its attributes; `None`: of no use for IP.
pub(crate) fn read_evpn(attributes: &PathAttributes, data: &EvpnData) -> Option<(Label, ToldBy)> {
    let mac = attributes.extended_communities.iter().find_map(|c| c.as_router_mac());
    let router_mac = mac.map(|MacAddress(octets)| Mac(octets));
    match data {
        EvpnData::IpPrefix { esi, gateway, label } => {
            let zero = *esi == Esi::default() && gateway.is_unspecified();
            let overlay_index = if zero { OverlayIndex::Zero } else { OverlayIndex::Set };
            Some((*label, ToldBy::Evpn { router_mac, overlay_index }))
        }
        // The second label is that of the VRF (RFC 9135 §4); without one it is a route of layer 2.
        EvpnData::MacIp { label2: Some(label), .. } => {
            let overlay_index = OverlayIndex::Zero;
            Some((*label, ToldBy::Evpn { router_mac, overlay_index }))
        }
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in the range")]
fn whole(octets: f32) -> Option<u64> {
    // Beyond 2^63 octets a second nobody needs shares.
    (octets.is_finite() && (1.0..9e18).contains(&octets)).then_some(octets as u64)
}

/// Contrail's load-balance community, private type 0x03aa: five bits say which of source,
/// destination, protocol and the two ports flows are told apart by.
fn spread_of(community: ExtendedCommunity) -> Option<Spread> {
    match community.0 {
        [0x03, 0xaa, fields, ..] => {
            Some(if fields & 0xf8 == 0x80 { Spread::Source } else { Spread::Flow })
        }
        _ => None,
    }
}

/// The community that asks others to spread by the source address alone.
pub(crate) const BY_SOURCE: ExtendedCommunity =
    ExtendedCommunity([0x03, 0xaa, 0x80, 0, 0, 0, 0, 0]);

/// Contrail's security group: private types 0x8004 and 0x8204, the AS, the number.
fn group_of(community: ExtendedCommunity) -> Option<Identity> {
    match community.0 {
        [0x80 | 0x82, 0x04, _, _, a, b, c, d] => Some(Identity(u32::from_be_bytes([a, b, c, d]))),
        _ => None,
    }
}

/// The community for a group. The AS has two octets there; one of four is `AS_TRANS` (RFC 6793 §9).
pub(crate) fn group(asn: u32, id: u32) -> ExtendedCommunity {
    let ([a, b], [c, d, e, f]) = (two_octets(asn).to_be_bytes(), id.to_be_bytes());
    ExtendedCommunity([0x80, 0x04, a, b, c, d, e, f])
}

/// The link bandwidth community (draft-ietf-idr-link-bandwidth §2).
#[expect(clippy::cast_precision_loss, reason = "it is a ratio")]
pub(crate) fn link_bandwidth(asn: u32, octets: u64) -> ExtendedCommunity {
    let [a, b] = two_octets(asn).to_be_bytes();
    let [c, d, e, f] = (octets as f32).to_be_bytes();
    ExtendedCommunity([0x40, 0x04, a, b, c, d, e, f])
}

fn two_octets(asn: u32) -> u16 {
    const AS_TRANS: u16 = 23456;
    u16::try_from(asn).unwrap_or(AS_TRANS)
}

/// A tunnel that a path means here, and how much it is liked: less is better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) hops: Vec<NextHop>,
    /// The other node; `None`: this one.
    pub(crate) remote: Option<IpAddr>,
    /// Our preference of its encapsulation; of equal ones VPN routes come first.
    pub(crate) order: (usize, bool),
}

impl Path {
    /// What the path means for a next-hop group.
    pub(crate) fn resolve(&self, preferences: &Preferences) -> Result<Resolved, Unusable> {
        let to = match &self.to {
            Target::Own(hops) => {
                return Ok(Resolved { hops: hops.clone(), remote: None, order: (0, false) });
            }
            Target::Remote(to) => to,
        };
        if !is_usable(to.next_hop) || !preferences.reaches(to.next_hop) {
            return Err(Unusable::NextHop);
        }
        let (encapsulation, router_mac) = match to.by {
            ToldBy::Vpn => (preferences.choose_mpls(&to.offers, to.next_hop), None),
            ToldBy::Evpn { overlay_index: OverlayIndex::Set, .. } => {
                return Err(Unusable::OverlayIndex);
            }
            ToldBy::Evpn { router_mac, .. } => {
                (preferences.choose_evpn(&to.offers, to.next_hop), router_mac)
            }
        };
        let encapsulation = encapsulation.ok_or(Unusable::Encapsulation)?;
        let label = || MplsLabel::new(to.label.mpls_value()).ok_or(Unusable::Label);
        let header = match encapsulation {
            Encapsulation::MplsOverGre => TunnelHeader::MplsOverGre { label: label()? },
            Encapsulation::MplsOverUdp => TunnelHeader::MplsOverUdp { label: label()? },
            Encapsulation::Vxlan => TunnelHeader::Vxlan {
                vni: Vni::new(to.label.vni_value()).ok_or(Unusable::Label)?,
                router_mac: router_mac.ok_or(Unusable::RouterMac)?,
            },
        };
        Ok(Resolved {
            hops: vec![NextHop::Tunnel(Tunnel { remote: to.next_hop, header })],
            remote: Some(to.next_hop),
            order: (preferences.position(encapsulation), to.by != ToldBy::Vpn),
        })
    }

    /// Greater is better: the steps that all paths of one prefix can be compared by.
    pub(crate) const fn rank(&self) -> (u32, Reverse<usize>, Reverse<Origin>) {
        (self.local_pref, Reverse(self.as_path_len), Reverse(self.origin))
    }

    pub(crate) const fn is_remote(&self) -> bool {
        matches!(self.to, Target::Remote(_))
    }

    /// A path of this node.
    pub(crate) fn own(hops: Vec<NextHop>, targets: Vec<RouteTarget>, local_pref: u32) -> Self {
        Self {
            targets,
            local_pref,
            as_path_len: 0,
            origin: Origin::Igp,
            med: 0,
            neighbor_as: None,
            to: Target::Own(hops),
            bandwidth: None,
            spread: Spread::Flow,
            identities: Identities::default(),
            stale: false,
        }
    }
}

/// A tunnel can end there.
fn is_usable(next_hop: IpAddr) -> bool {
    let broadcast = matches!(next_hop, IpAddr::V4(v4) if v4.is_broadcast());
    !(next_hop.is_unspecified() || next_hop.is_loopback() || next_hop.is_multicast() || broadcast)
}
