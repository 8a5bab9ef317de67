//! Values to try laws with. They aim at the lines where forms meet: two and four octets, short and
//! extended lengths, whole and partial octets of a prefix.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp_wire::as_path::{AsPath, Segment};
use bgp_wire::attrs::pmsi::PmsiTunnel;
use bgp_wire::attrs::tunnel::{SubTlv, Tunnel};
use bgp_wire::attrs::{Aggregator, Origin, Partial, PathAttributes, RawAttribute, code};
use bgp_wire::community::{Community, ExtendedCommunity, LargeCommunity, TunnelType};
use bgp_wire::nlri::{Esi, EvpnData, EvpnKey, MacAddress, VpnKey};
use bgp_wire::{
    AfiSafi, Evpn, Family, Ipv4Labeled, Ipv4Unicast, Ipv6Labeled, Ipv6Unicast, Label, Labels,
    NextHop, PathId, Route, RouteDistinguisher, RouteTarget, RtMembership, Rtc, VpnLabels, VpnV4,
    VpnV6,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::vec;
use proptest::prelude::*;

/// A family whose keys and data we can make up.
pub(crate) trait Arbitrary: Family {
    fn route() -> BoxedStrategy<(Self::Key, Self::Data)>;

    fn next_hop() -> BoxedStrategy<NextHop> {
        prop_oneof![v4_host().prop_map(NextHop::V4), v6_next_hop()].boxed()
    }
}

impl Arbitrary for Ipv4Unicast {
    fn route() -> BoxedStrategy<(Ipv4Net, ())> {
        let unicast = ipv4_net().prop_filter("unicast", |net| !net.network().is_multicast());
        unicast.prop_map(|net| (net, ())).boxed()
    }
}

impl Arbitrary for Ipv6Unicast {
    fn route() -> BoxedStrategy<(Ipv6Net, ())> {
        let unicast = ipv6_net().prop_filter("unicast", |net| !net.network().is_multicast());
        unicast.prop_map(|net| (net, ())).boxed()
    }

    fn next_hop() -> BoxedStrategy<NextHop> {
        v6_next_hop().boxed()
    }
}

impl Arbitrary for Ipv4Labeled {
    fn route() -> BoxedStrategy<(Ipv4Net, Labels)> {
        (ipv4_net(), labels()).boxed()
    }
}

impl Arbitrary for Ipv6Labeled {
    fn route() -> BoxedStrategy<(Ipv6Net, Labels)> {
        (ipv6_net(), labels()).boxed()
    }

    fn next_hop() -> BoxedStrategy<NextHop> {
        v6_next_hop().boxed()
    }
}

impl Arbitrary for VpnV4 {
    fn route() -> BoxedStrategy<(VpnKey<Ipv4Net>, VpnLabels)> {
        (rd(), ipv4_net(), vpn_labels())
            .prop_map(|(rd, net, labels)| (VpnKey { rd, net }, labels))
            .boxed()
    }
}

impl Arbitrary for VpnV6 {
    fn route() -> BoxedStrategy<(VpnKey<Ipv6Net>, VpnLabels)> {
        (rd(), ipv6_net(), vpn_labels())
            .prop_map(|(rd, net, labels)| (VpnKey { rd, net }, labels))
            .boxed()
    }

    fn next_hop() -> BoxedStrategy<NextHop> {
        v6_next_hop().boxed()
    }
}

impl Arbitrary for Evpn {
    fn route() -> BoxedStrategy<(EvpnKey, EvpnData)> {
        evpn_route().boxed()
    }
}

impl Arbitrary for Rtc {
    fn route() -> BoxedStrategy<(RtMembership, ())> {
        let length = prop_oneof![Just(0u8), Just(32), Just(33), 32u8..=96, Just(95), Just(96)];
        (length, any::<u32>(), target())
            .prop_map(|(length, origin_as, target)| {
                let membership = RtMembership::new(length, origin_as, target.octets());
                (membership.expect("a possible length"), ())
            })
            .boxed()
    }
}

/// The families with stacks of labels, of any depth.
pub(crate) fn label_families() -> Vec<(AfiSafi, u8)> {
    [AfiSafi::VPNV4, AfiSafi::VPNV6, AfiSafi::IPV4_LABELED, AfiSafi::IPV6_LABELED]
        .map(|family| (family, u8::MAX))
        .to_vec()
}

pub(crate) fn routes<F: Arbitrary>(count: usize) -> impl Strategy<Value = Vec<Route<F>>> {
    vec(F::route(), 1..=count).prop_map(|routes| {
        routes
            .into_iter()
            .map(|(key, data)| Route { path_id: PathId::default(), key, data })
            .collect()
    })
}

fn rd() -> impl Strategy<Value = RouteDistinguisher> {
    let asn = || prop_oneof![any::<u32>(), 65_530u32..65_540, 0u32..3];
    prop_oneof![
        (any::<u16>(), asn()).prop_map(|(asn, n)| RouteDistinguisher::as2(asn, n)),
        (any::<u32>(), any::<u16>()).prop_map(|(ip, n)| RouteDistinguisher::ipv4(ip.into(), n)),
        (asn(), any::<u16>()).prop_map(|(asn, n)| RouteDistinguisher::as4(asn, n)),
        any::<[u8; 8]>().prop_map(RouteDistinguisher::from_octets),
    ]
}

fn target() -> impl Strategy<Value = RouteTarget> {
    prop_oneof![
        (any::<u16>(), any::<u32>()).prop_map(|(asn, n)| RouteTarget::as2(asn, n)),
        (any::<u32>(), any::<u16>()).prop_map(|(asn, n)| RouteTarget::as4(asn, n)),
    ]
}

fn label() -> impl Strategy<Value = Label> {
    any::<[u8; 3]>().prop_map(Label::from_octets)
}

fn vpn_labels() -> impl Strategy<Value = VpnLabels> {
    let one = label().prop_map(|label| VpnLabels::one(label.as_bottom()));
    let two = (0u32..=0x000f_ffff, label()).prop_map(|(outermost, inner)| {
        let [a, b, c] = Label::mpls(outermost).expect("20 bits").octets();
        let stack = [Label::from_octets([a, b, c & 0xfe]), inner.as_bottom()];
        VpnLabels::stack(&stack).expect("two labels")
    });
    prop_oneof![one, two]
}

/// One label, or a stack that ends where it says it does.
fn labels() -> impl Strategy<Value = Labels> {
    vec(0u32..=0x000f_ffff, 1..=4).prop_map(|values| {
        let bottom = values.len() - 1;
        let labels: Vec<Label> = (0..)
            .zip(values)
            .map(|(depth, value)| {
                let [a, b, c] = Label::mpls(value).expect("20 bits").octets();
                Label::from_octets([a, b, if depth == bottom { c } else { c & 0xfe }])
            })
            .collect();
        Labels::stack(&labels).expect("a label")
    })
}

fn ipv4_net() -> impl Strategy<Value = Ipv4Net> {
    (any::<u32>(), 0u8..=32)
        .prop_map(|(ip, bits)| Ipv4Net::new(ip.into(), bits).expect("0..=32").trunc())
}

fn ipv6_net() -> impl Strategy<Value = Ipv6Net> {
    (any::<u128>(), 0u8..=128)
        .prop_map(|(ip, bits)| Ipv6Net::new(ip.into(), bits).expect("0..=128").trunc())
}

fn v4_host() -> impl Strategy<Value = Ipv4Addr> {
    (1u8..224, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d))
}

fn v6_host() -> impl Strategy<Value = Ipv6Addr> {
    any::<u64>().prop_map(|low| Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(low)))
}

fn v6_next_hop() -> impl Strategy<Value = NextHop> {
    prop_oneof![
        v6_host().prop_map(NextHop::V6),
        v4_host().prop_map(|v4| NextHop::V6(v4.to_ipv6_mapped())),
        (v6_host(), any::<u64>()).prop_map(|(global, low)| {
            let link_local = Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(low));
            NextHop::V6WithLinkLocal(global, link_local)
        }),
    ]
}

fn evpn_route() -> impl Strategy<Value = (EvpnKey, EvpnData)> {
    let esi = || any::<[u8; 10]>().prop_map(Esi);
    let ip = || {
        prop_oneof![
            any::<u32>().prop_map(|ip| Ipv4Addr::from(ip).into()),
            any::<u128>().prop_map(|ip| Ipv6Addr::from(ip).into()),
        ]
    };
    let tag = any::<u32>;
    prop_oneof![
        (rd(), esi(), tag(), label()).prop_map(|(rd, esi, tag, label)| {
            (EvpnKey::EthernetAd { rd, esi, tag }, EvpnData::Label(label))
        }),
        (
            (rd(), tag(), any::<[u8; 6]>(), proptest::option::of(ip())),
            (esi(), label(), proptest::option::of(label())),
        )
            .prop_map(|((rd, tag, mac, ip), (esi, label, label2))| {
                let key = EvpnKey::MacIp { rd, tag, mac: MacAddress(mac), ip };
                (key, EvpnData::MacIp { esi, label, label2 })
            }),
        (rd(), tag(), ip()).prop_map(|(rd, tag, originator)| {
            (EvpnKey::InclusiveMulticast { rd, tag, originator }, EvpnData::Nothing)
        }),
        (rd(), esi(), ip()).prop_map(|(rd, esi, originator)| {
            (EvpnKey::EthernetSegment { rd, esi, originator }, EvpnData::Nothing)
        }),
        (rd(), tag(), ipv4_net(), esi(), any::<Option<u32>>(), label()).prop_map(
            |(rd, tag, net, esi, gateway, label)| {
                // One overlay index at the most (RFC 9136 §3.2).
                let esi = if gateway.is_some() { Esi::default() } else { esi };
                let gateway = Ipv4Addr::from(gateway.unwrap_or(0)).into();
                let key = EvpnKey::IpPrefix { rd, tag, net: IpNet::V4(net) };
                (key, EvpnData::IpPrefix { esi, gateway, label })
            }
        ),
        (rd(), tag(), ipv6_net(), esi(), any::<Option<u128>>(), label()).prop_map(
            |(rd, tag, net, esi, gateway, label)| {
                // One overlay index at the most (RFC 9136 §3.2).
                let esi = if gateway.is_some() { Esi::default() } else { esi };
                let gateway = Ipv6Addr::from(gateway.unwrap_or(0)).into();
                let key = EvpnKey::IpPrefix { rd, tag, net: IpNet::V6(net) };
                (key, EvpnData::IpPrefix { esi, gateway, label })
            }
        ),
        (6u8.., vec(any::<u8>(), 0..40)).prop_map(|(kind, octets)| {
            (EvpnKey::Opaque { kind, octets: octets.into() }, EvpnData::Nothing)
        }),
    ]
}

/// Without confederation segments, which two-octet speakers cannot be told in full, and short enough
/// for one message beside all other attributes.
pub(crate) fn as_path() -> impl Strategy<Value = AsPath> {
    let asn = || prop_oneof![1u32..100_000, 65_530u32..65_540, 1u32..=u32::MAX];
    let segment = prop_oneof![
        vec(asn(), 1..5).prop_map(Segment::Sequence),
        vec(asn(), 1..5).prop_map(Segment::Set),
    ];
    let long = vec(asn(), 250..=255).prop_map(Segment::Sequence);
    (vec(segment, 0..3), proptest::option::weighted(0.2, long)).prop_map(|(mut segments, long)| {
        segments.extend(long);
        AsPath(segments)
    })
}

fn raw_attributes() -> impl Strategy<Value = Vec<RawAttribute>> {
    // (flags, code, length of the value): what `PathAttributes` keeps.
    let known = prop_oneof![
        Just((0xe0, code::IPV6_EXTENDED_COMMUNITIES, 20..21)),
        Just((0xc0, code::OTC, 4..5)),
        Just((0xc0, code::ATTR_SET, 4..5)),
        Just((0xe0, 99, 254..258)),
        Just((0xe0, 255, 0..3)),
    ];
    let octets = known.prop_flat_map(|(flags, code, length)| {
        vec(any::<u8>(), length).prop_map(move |value| RawAttribute {
            flags,
            code,
            value: value.into(),
        })
    });
    (vec(octets, 0..4), typed()).prop_map(|(mut attributes, typed)| {
        attributes.extend(typed);
        attributes.sort_by_key(|attribute| attribute.code);
        attributes.dedup_by_key(|attribute| attribute.code);
        attributes
    })
}

/// Attributes that have a form of their own.
fn typed() -> impl Strategy<Value = Vec<RawAttribute>> {
    let ip = || prop_oneof![v4_host().prop_map(IpAddr::from), v6_host().prop_map(IpAddr::from),];
    let sub_tlv = (any::<u8>(), vec(any::<u8>(), 0..20))
        .prop_filter("an endpoint of its own", |(code, _)| *code != SubTlv::EGRESS_ENDPOINT)
        .prop_map(|(code, value)| SubTlv { code, value: value.into() });
    let tunnel = (any::<u16>(), proptest::option::of(ip()), vec(sub_tlv, 0..4)).prop_map(
        |(kind, endpoint, mut sub_tlvs)| {
            sub_tlvs.push(SubTlv::egress_endpoint(endpoint));
            Tunnel { kind: TunnelType(kind), sub_tlvs }
        },
    );
    let pmsi = (ip(), label()).prop_map(|(ip, label)| PmsiTunnel::ingress_replication(ip, label));
    let metric = proptest::option::of(0..u64::MAX);
    (proptest::option::of(pmsi), vec(tunnel, 0..3), metric).prop_map(|(pmsi, tunnels, metric)| {
        let mut attributes = PathAttributes::default();
        attributes.set_pmsi_tunnel(pmsi.as_ref());
        attributes.set_tunnels(&tunnels);
        attributes.set_aigp(metric);
        assert_eq!(attributes.pmsi_tunnel(), pmsi);
        assert_eq!(attributes.tunnels(), tunnels);
        assert_eq!(attributes.aigp(), metric);
        attributes.others
    })
}

pub(crate) fn attributes() -> impl Strategy<Value = PathAttributes> {
    let option = proptest::option::of::<proptest::num::u32::Any>;
    let id = || any::<u32>().prop_map(Ipv4Addr::from);
    let origin = prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)];
    let aggregator = (prop_oneof![65_530u32..65_540, 1u32..], id())
        // AS_TRANS means that another number stands elsewhere.
        .prop_filter("AS_TRANS", |(asn, _)| *asn != 23_456)
        .prop_map(|(asn, id)| Aggregator { asn, id });
    let community = any::<u32>().prop_map(Community);
    let extended = prop_oneof![
        any::<[u8; 8]>().prop_map(ExtendedCommunity),
        target().prop_map(ExtendedCommunity::from),
    ];
    let large = any::<[u32; 3]>().prop_map(|[global, data1, data2]| LargeCommunity {
        global,
        data1,
        data2,
    });
    (
        (origin, as_path(), option(proptest::num::u32::ANY), option(proptest::num::u32::ANY)),
        (any::<bool>(), proptest::option::of(aggregator), vec(community, 0..70)),
        (proptest::option::of(id()), vec(id(), 0..4)),
        (vec(extended, 0..40), vec(large, 0..25), raw_attributes()),
    )
        .prop_map(|(first, second, third, fourth)| {
            let (origin, as_path, med, local_pref) = first;
            let (atomic_aggregate, aggregator, communities) = second;
            let (originator_id, cluster_list) = third;
            let (extended_communities, large_communities, others) = fourth;
            let mut partial = Partial::default();
            for (code, is_there) in [
                (code::AGGREGATOR, aggregator.is_some()),
                (code::COMMUNITIES, !communities.is_empty()),
                (code::LARGE_COMMUNITIES, !large_communities.is_empty()),
            ] {
                if is_there && atomic_aggregate {
                    partial.insert(code);
                }
            }
            PathAttributes {
                origin,
                as_path,
                med,
                local_pref,
                atomic_aggregate,
                aggregator,
                communities,
                originator_id,
                cluster_list,
                extended_communities,
                large_communities,
                partial,
                others,
            }
        })
}
