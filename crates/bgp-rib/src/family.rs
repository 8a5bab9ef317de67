//! What tables, shards and answers need of a family beyond what the wire does.

use bgp_wire::nlri::EvpnData;
use bgp_wire::{
    Evpn, EvpnKey, Family, Ipv4Labeled, Ipv4Unicast, Ipv6Labeled, Ipv6Unicast, Label,
    RouteDistinguisher, RtMembership, Rtc, VpnV4, VpnV6,
};
use ipnet::IpNet;

/// A family that has a table.
pub(crate) trait TableFamily: Family {
    /// What decides the shard of a key; `None`: every shard gets it.
    fn spread(key: &Self::Key) -> Option<u64>;

    /// The addresses a key is about.
    fn net(key: &Self::Key) -> Option<IpNet>;

    /// The first label field.
    fn label(data: &Self::Data) -> Option<Label>;

    /// What stands beside the key, as text.
    fn text(data: &Self::Data) -> String {
        Self::label(data).map(|label| label.to_string()).unwrap_or_default()
    }

    /// The key as a membership, in the family whose routes are that.
    fn membership(_: &Self::Key) -> Option<RtMembership> {
        None
    }

    /// A membership as a key, likewise.
    fn of_membership(_: RtMembership) -> Option<Self::Key> {
        None
    }
}

fn of_distinguisher(rd: RouteDistinguisher) -> u64 {
    u64::from_be_bytes(rd.octets())
}

impl TableFamily for Ipv4Unicast {
    fn spread(key: &Self::Key) -> Option<u64> {
        Some(u64::from(u32::from(key.addr()) >> 16))
    }

    fn net(key: &Self::Key) -> Option<IpNet> {
        Some((*key).into())
    }

    fn label((): &Self::Data) -> Option<Label> {
        None
    }
}

impl TableFamily for Ipv6Unicast {
    fn spread(key: &Self::Key) -> Option<u64> {
        Some(u64::from(key.addr().segments()[0]))
    }

    fn net(key: &Self::Key) -> Option<IpNet> {
        Some((*key).into())
    }

    fn label((): &Self::Data) -> Option<Label> {
        None
    }
}

/// Labeled unicast, in the shard of the unicast route of its prefix.
macro_rules! labeled {
    ($($family:ident like $unicast:ident),*) => {
        $(impl TableFamily for $family {
            fn spread(key: &Self::Key) -> Option<u64> {
                $unicast::spread(key)
            }

            fn net(key: &Self::Key) -> Option<IpNet> {
                Some((*key).into())
            }

            fn label(data: &Self::Data) -> Option<Label> {
                Some(data.outermost())
            }

            fn text(data: &Self::Data) -> String {
                data.to_string()
            }
        })*
    };
}
labeled!(Ipv4Labeled like Ipv4Unicast, Ipv6Labeled like Ipv6Unicast);

macro_rules! vpn {
    ($($family:ident),*) => {
        $(impl TableFamily for $family {
            fn spread(key: &Self::Key) -> Option<u64> {
                Some(of_distinguisher(key.rd))
            }

            fn net(key: &Self::Key) -> Option<IpNet> {
                Some(key.net.into())
            }

            fn label(data: &Self::Data) -> Option<Label> {
                Some(data.outermost())
            }

            fn text(data: &Self::Data) -> String {
                data.to_string()
            }
        })*
    };
}
vpn!(VpnV4, VpnV6);

impl TableFamily for Evpn {
    /// Types without a distinguisher that we can read stay together.
    fn spread(key: &Self::Key) -> Option<u64> {
        Some(Self::route_distinguisher(key).map_or(0, of_distinguisher))
    }

    fn net(key: &Self::Key) -> Option<IpNet> {
        match key {
            EvpnKey::IpPrefix { net, .. } => Some(*net),
            EvpnKey::MacIp { ip, .. } => ip.map(IpNet::from),
            EvpnKey::InclusiveMulticast { originator, .. }
            | EvpnKey::EthernetSegment { originator, .. } => Some((*originator).into()),
            EvpnKey::EthernetAd { .. } | EvpnKey::Opaque { .. } => None,
        }
    }

    fn label(data: &Self::Data) -> Option<Label> {
        match data {
            EvpnData::Nothing => None,
            EvpnData::Label(label)
            | EvpnData::MacIp { label, .. }
            | EvpnData::IpPrefix { label, .. } => Some(*label),
        }
    }

    fn text(data: &Self::Data) -> String {
        // 24 bits: with VXLAN, the usual encapsulation of EVPN, all of them are the VNI.
        let vni = |label: &Label| label.vni_value();
        match data {
            EvpnData::Nothing => String::new(),
            EvpnData::Label(label) => vni(label).to_string(),
            EvpnData::MacIp { esi, label, label2: None } => format!("{} esi {esi}", vni(label)),
            EvpnData::MacIp { esi, label, label2: Some(second) } => {
                format!("{} {} esi {esi}", vni(label), vni(second))
            }
            EvpnData::IpPrefix { esi, gateway, label } => {
                format!("{} gateway {gateway} esi {esi}", vni(label))
            }
        }
    }
}

impl TableFamily for Rtc {
    fn spread(_: &Self::Key) -> Option<u64> {
        None
    }

    fn net(_: &Self::Key) -> Option<IpNet> {
        None
    }

    fn label((): &Self::Data) -> Option<Label> {
        None
    }

    fn membership(key: &Self::Key) -> Option<RtMembership> {
        Some(*key)
    }

    fn of_membership(membership: RtMembership) -> Option<Self::Key> {
        Some(membership)
    }
}
