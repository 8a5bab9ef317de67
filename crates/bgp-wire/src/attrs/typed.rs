//! Attributes that are kept as octets, asked for and set as what they say.
//!
//! Most routes have none of them, so they cost nothing where they are not: neither room beside the
//! route nor work when it is read.

use bytes::Bytes;

use super::code::{self, flag};
use super::pmsi::PmsiTunnel;
use super::tunnel::{self, Tunnel};
use super::{PathAttributes, RawAttribute, aigp};
use crate::community::{ExtendedCommunity, Ipv6ExtendedCommunity, MacMobility, TunnelType};
use crate::label::Label;
use crate::nlri::MacAddress;

impl PathAttributes {
    /// The value of an attribute among [`Self::others`].
    fn other(&self, code: u8) -> Option<&[u8]> {
        self.others.iter().find(|other| other.code == code).map(|other| &*other.value)
    }

    /// Puts an attribute among [`Self::others`], in its place; `None` takes it away.
    fn set_other(&mut self, code: u8, value: Option<Bytes>) {
        let place = self.others.partition_point(|other| other.code < code);
        let is_there = self.others.get(place).is_some_and(|other| other.code == code);
        match (value, self.others.get_mut(place)) {
            (Some(value), Some(there)) if is_there => there.value = value,
            (Some(value), _) => {
                let flags = code::known_flags(code).unwrap_or(flag::OPTIONAL | flag::TRANSITIVE);
                self.others.insert(place, RawAttribute { flags, code, value });
            }
            (None, _) if is_there => drop(self.others.remove(place)),
            (None, _) => {}
        }
    }

    /// Only to customer: the AS that said so (RFC 9234 §5).
    pub fn otc(&self) -> Option<u32> {
        self.other(code::OTC)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub fn set_otc(&mut self, asn: Option<u32>) {
        self.set_other(code::OTC, asn.map(|asn| Bytes::copy_from_slice(&asn.to_be_bytes())));
    }

    /// The accumulated IGP metric (RFC 7311 §3).
    pub fn aigp(&self) -> Option<u64> {
        aigp::read(self.other(code::AIGP)?)
    }

    /// Sets the metric; other TLVs of the attribute stay, and go only with it.
    pub fn set_aigp(&mut self, metric: Option<u64>) {
        let value = metric.map(|m| aigp::write(self.other(code::AIGP).unwrap_or_default(), m));
        self.set_other(code::AIGP, value);
    }

    /// How packets for many get to the speaker (RFC 6514 §5).
    pub fn pmsi_tunnel(&self) -> Option<PmsiTunnel> {
        PmsiTunnel::read(self.other(code::PMSI_TUNNEL)?)
    }

    pub fn set_pmsi_tunnel(&mut self, tunnel: Option<&PmsiTunnel>) {
        self.set_other(code::PMSI_TUNNEL, tunnel.map(PmsiTunnel::write));
    }

    /// The tunnels of the tunnel encapsulation attribute (RFC 9012 §2), in wire order.
    pub fn tunnels(&self) -> Vec<Tunnel> {
        self.other(code::TUNNEL_ENCAPSULATION).map(tunnel::read).unwrap_or_default()
    }

    /// An empty list takes the attribute away.
    pub fn set_tunnels(&mut self, tunnels: &[Tunnel]) {
        let value = (!tunnels.is_empty()).then(|| tunnel::write(tunnels));
        self.set_other(code::TUNNEL_ENCAPSULATION, value);
    }

    /// The tunnel types offered by encapsulation communities, and by tunnels of the attribute that end
    /// at the next hop (RFC 9012 §4.1), in wire order.
    pub fn tunnel_types(&self) -> impl Iterator<Item = TunnelType> + '_ {
        let at_next_hop = |tunnel: &Tunnel| tunnel.endpoint() == Some(tunnel::Endpoint::NextHop);
        let tunnels = self.tunnels().into_iter().filter(at_next_hop).map(|tunnel| tunnel.kind);
        self.encapsulations().chain(tunnels)
    }

    /// RFC 5701, in wire order.
    pub fn ipv6_extended_communities(&self) -> impl Iterator<Item = Ipv6ExtendedCommunity> + '_ {
        let octets = self.other(code::IPV6_EXTENDED_COMMUNITIES).unwrap_or_default();
        octets.as_chunks().0.iter().copied().map(Ipv6ExtendedCommunity)
    }

    /// An empty list takes the attribute away.
    pub fn set_ipv6_extended_communities(&mut self, communities: &[Ipv6ExtendedCommunity]) {
        let value: Vec<u8> = communities.iter().flat_map(|community| community.0).collect();
        let value = (!value.is_empty()).then(|| value.into());
        self.set_other(code::IPV6_EXTENDED_COMMUNITIES, value);
    }

    /// The first of the extended communities that `read` understands.
    fn community<T>(&self, read: impl Fn(ExtendedCommunity) -> Option<T>) -> Option<T> {
        self.extended_communities.iter().find_map(|community| read(*community))
    }

    /// How often its MAC address has moved (RFC 7432 §7.7).
    pub fn mac_mobility(&self) -> Option<MacMobility> {
        self.community(ExtendedCommunity::as_mac_mobility)
    }

    /// The MAC address of the router behind a route (RFC 9135 §8.1).
    pub fn router_mac(&self) -> Option<MacAddress> {
        self.community(ExtendedCommunity::as_router_mac)
    }

    /// Whether only one speaker of a segment forwards, and the segment's label (RFC 7432 §7.5).
    pub fn esi_label(&self) -> Option<(bool, Label)> {
        self.community(ExtendedCommunity::as_esi_label)
    }

    /// Who has an Ethernet segment (RFC 7432 §7.6).
    pub fn es_import(&self) -> Option<MacAddress> {
        self.community(ExtendedCommunity::as_es_import)
    }

    /// Whether this is the address of a default gateway (RFC 7432 §7.8).
    pub fn is_default_gateway(&self) -> bool {
        self.extended_communities.iter().any(|community| community.is_default_gateway())
    }

    /// The AS that added it, and octets a second (draft-ietf-idr-link-bandwidth).
    pub fn link_bandwidth(&self) -> Option<(u16, f32)> {
        self.community(ExtendedCommunity::as_link_bandwidth)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::tunnel::{Endpoint, SubTlv};
    use super::*;

    fn codes(attributes: &PathAttributes) -> Vec<u8> {
        attributes.others.iter().map(|other| other.code).collect()
    }

    #[test]
    fn what_is_set_is_what_is_there_in_order_of_codes() {
        let mut attributes = PathAttributes::default();
        assert_eq!((attributes.otc(), attributes.aigp()), (None, None));
        attributes.set_otc(Some(64_512));
        attributes.set_aigp(Some(7));
        let pmsi = PmsiTunnel::ingress_replication(
            Ipv4Addr::new(192, 0, 2, 1).into(),
            Label::mpls(16).unwrap(),
        );
        attributes.set_pmsi_tunnel(Some(&pmsi));
        let target: Ipv6ExtendedCommunity = "target:2001:db8::1:100".parse().unwrap();
        attributes.set_ipv6_extended_communities(&[target]);
        assert_eq!(codes(&attributes), [22, 25, 26, 35]);
        assert_eq!((attributes.otc(), attributes.aigp()), (Some(64_512), Some(7)));
        assert_eq!(attributes.pmsi_tunnel(), Some(pmsi.clone()));
        assert_eq!(pmsi.to_string(), "ingress-replication 192.0.2.1 label 16");
        assert!(attributes.ipv6_extended_communities().eq([target]));

        attributes.set_otc(Some(1));
        attributes.set_aigp(None);
        attributes.set_ipv6_extended_communities(&[]);
        attributes.set_pmsi_tunnel(None);
        assert_eq!((codes(&attributes), attributes.otc()), (vec![35], Some(1)));
    }

    #[test]
    fn another_metric_leaves_the_other_tlvs() {
        // RFC 7311 §3: metric 5, a TLV of type 9, and a second metric, which means nothing.
        let value =
            [1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 5, 9, 0, 4, 0xaa, 1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 6];
        let mut attributes = PathAttributes::default();
        attributes.set_other(code::AIGP, Some(Bytes::copy_from_slice(&value)));
        assert_eq!(attributes.aigp(), Some(5));
        attributes.set_aigp(Some(300));
        assert_eq!(attributes.aigp(), Some(300));
        let after = attributes.other(code::AIGP).unwrap();
        assert_eq!(after[..11], [1, 0, 11, 0, 0, 0, 0, 0, 0, 1, 44]);
        assert_eq!(after[11..], value[11..]);
    }

    #[test]
    fn tunnels_are_read_as_they_were_written() {
        let end = IpAddr::from([192, 0, 2, 1]);
        let tunnels = [
            Tunnel {
                kind: TunnelType::VXLAN,
                sub_tlvs: vec![
                    SubTlv::egress_endpoint(None),
                    SubTlv {
                        code: SubTlv::COLOR,
                        value: Bytes::from_static(&[3, 11, 0, 0, 0, 0, 0, 1]),
                    },
                ],
            },
            Tunnel {
                kind: TunnelType::MPLS_IN_UDP,
                sub_tlvs: vec![
                    SubTlv::egress_endpoint(Some(end)),
                    SubTlv { code: 200, value: vec![7; 300].into() },
                ],
            },
        ];
        let mut attributes = PathAttributes::default();
        attributes.set_tunnels(&tunnels);
        assert_eq!(attributes.tunnels(), tunnels);
        let endpoints: Vec<_> = tunnels.iter().map(Tunnel::endpoint).collect();
        assert_eq!(endpoints, [Some(Endpoint::NextHop), Some(Endpoint::Address(end))]);
        attributes.extended_communities.push(ExtendedCommunity::encapsulation(TunnelType::GRE));
        assert!(attributes.tunnel_types().eq([TunnelType::GRE, TunnelType::VXLAN]));
        attributes.set_tunnels(&[]);
        assert_eq!(attributes.tunnels(), []);
    }

    #[test]
    fn communities_say_what_they_say() {
        let mobility = MacMobility { sticky: false, sequence: 9 };
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let attributes = PathAttributes {
            extended_communities: vec![
                ExtendedCommunity::mac_mobility(mobility),
                ExtendedCommunity::router_mac(mac),
                ExtendedCommunity::DEFAULT_GATEWAY,
            ],
            ..PathAttributes::default()
        };
        assert_eq!(attributes.mac_mobility(), Some(mobility));
        assert_eq!((attributes.router_mac(), attributes.es_import()), (Some(mac), None));
        assert!(attributes.is_default_gateway());
        assert!(attributes.esi_label().is_none() && attributes.link_bandwidth().is_none());
    }
}
