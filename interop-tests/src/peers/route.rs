//! A route, and what is compared of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ASN, CONTROL_NODE, Member, Role};

/// The route distinguisher of all routes: they differ by prefix.
pub(super) const RD: &str = "64512:1";

/// On all routes.
pub(super) const MED: u32 = 50;
pub(super) const COMMUNITY: &str = "64512:1";
pub(super) const LARGE_COMMUNITY: &str = "64512:1:2";

/// Families, with the types of EVPN apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Ipv4,
    Ipv6,
    Vpnv4,
    Vpnv6,
    EvpnMacIp,
    EvpnMulticast,
    EvpnPrefix,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Ipv4,
        Self::Ipv6,
        Self::Vpnv4,
        Self::Vpnv6,
        Self::EvpnMacIp,
        Self::EvpnMulticast,
        Self::EvpnPrefix,
    ];

    /// What every daemon that knows VPN routes can send.
    pub const UNICAST_AND_VPN: [Self; 4] = [Self::Ipv4, Self::Ipv6, Self::Vpnv4, Self::Vpnv6];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Vpnv4 => "vpnv4",
            Self::Vpnv6 => "vpnv6",
            Self::EvpnMacIp => "evpn 2",
            Self::EvpnMulticast => "evpn 3",
            Self::EvpnPrefix => "evpn 5",
        }
    }

    /// As in the topology file.
    pub const fn family(self) -> &'static str {
        match self {
            Self::EvpnMacIp | Self::EvpnMulticast | Self::EvpnPrefix => "evpn",
            _ => self.name(),
        }
    }

    /// Unicast has neither route targets nor labels.
    pub const fn is_unicast(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Ipv6)
    }

    const fn is_ipv6(self) -> bool {
        matches!(self, Self::Ipv6 | Self::Vpnv6)
    }

    /// Nodes speak of the overlay only.
    pub const fn is_for(self, role: Role) -> bool {
        match role {
            Role::Gateway => true,
            Role::Node => !self.is_unicast(),
        }
    }
}

/// What is announced. Its number makes its prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub kind: Kind,
    pub number: u8,
    pub next_hop: IpAddr,
    /// An MPLS label, or the VNI where EVPN offers VXLAN.
    pub label: u32,
    pub target: &'static str,
}

impl Route {
    /// A prefix or, for the EVPN types that have none, the address.
    pub fn prefix(&self) -> String {
        let number = self.number;
        match self.kind {
            Kind::EvpnMacIp | Kind::EvpnMulticast => format!("10.200.0.{number}"),
            kind if kind.is_ipv6() => format!("2001:db8:{number:x}::/64"),
            _ => format!("10.100.{number}.0/24"),
        }
    }

    /// Of EVPN type 2.
    pub fn mac(&self) -> String {
        format!("02:00:00:00:00:{:02x}", self.number)
    }
}

/// The next hop of what a machine of the lab originates.
pub(super) fn next_hop(kind: Kind, address: Ipv4Addr) -> IpAddr {
    let [_, _, c, d] = address.octets();
    if kind.is_ipv6() {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, c.into(), d.into()).into()
    } else {
        address.into()
    }
}

/// What is compared, by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    NextHop,
    /// Labels and VNIs as numbers.
    Label,
    /// Numbers with spaces between.
    AsPath,
    /// `igp`, `egp`, `incomplete`.
    Origin,
    Med,
    Targets,
    Communities,
    LargeCommunities,
    Originator,
    ClusterList,
}

impl Field {
    pub const fn name(self) -> &'static str {
        match self {
            Self::NextHop => "next hop",
            Self::Label => "label",
            Self::AsPath => "AS path",
            Self::Origin => "origin",
            Self::Med => "MED",
            Self::Targets => "route targets",
            Self::Communities => "communities",
            Self::LargeCommunities => "large communities",
            Self::Originator => "originator",
            Self::ClusterList => "cluster list",
        }
    }
}

/// Values of fields as text; several with spaces between, sorted where order means nothing. A field that
/// is absent from the route is empty; one that the output of a daemon does not show is not in the map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(pub BTreeMap<Field, String>);

impl Attributes {
    pub fn set(&mut self, field: Field, value: impl fmt::Display) {
        self.0.insert(field, value.to_string());
    }

    /// Values whose order means nothing.
    pub fn set_all(&mut self, field: Field, values: impl IntoIterator<Item = String>) {
        let mut values: Vec<String> = values.into_iter().collect();
        values.sort_unstable();
        self.set(field, values.join(" "));
    }

    /// What the control node makes of `route` on its way between two of its peers.
    pub fn expected(route: &Route, from: &Member, to: &Member) -> Self {
        let (outside, reflected) = (to.role == Role::Gateway, from.role == Role::Node);
        let mut path = Vec::new();
        if outside {
            path.push(ASN.to_string());
        }
        if !reflected {
            path.push(from.asn.to_string());
        }
        let is_reflection = reflected && !outside;
        let mut all = Self::default();
        all.set(Field::NextHop, route.next_hop);
        all.set(Field::AsPath, path.join(" "));
        all.set(Field::Origin, "igp");
        let med = match (outside, reflected) {
            // RFC 4271 section 5.1.4: the MED of one AS does not go on to another.
            (true, false) => String::new(),
            // To a gateway, a preference of 100 travels as that.
            (true, true) => "200".to_owned(),
            (false, _) => MED.to_string(),
        };
        all.set(Field::Med, med);
        all.set(Field::Communities, COMMUNITY);
        all.set(Field::LargeCommunities, LARGE_COMMUNITY);
        let (label, target) = if route.kind.is_unicast() {
            (String::new(), "")
        } else {
            (route.label.to_string(), route.target)
        };
        all.set(Field::Label, label);
        all.set(Field::Targets, target);
        let only_reflected = |value: Ipv4Addr| {
            is_reflection.then_some(value).map_or(String::new(), |v| v.to_string())
        };
        all.set(Field::Originator, only_reflected(from.address));
        all.set(Field::ClusterList, only_reflected(CONTROL_NODE));
        all
    }

    /// What differs in the fields that `self` shows; empty when nothing does.
    pub fn differs(&self, expected: &Self) -> String {
        let differs = self.0.iter().filter_map(|(field, value)| {
            let want = expected.0.get(field).map_or("", String::as_str);
            (value != want).then(|| format!("{}: `{value}` instead of `{want}`", field.name()))
        });
        differs.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_not_shown_is_not_compared() {
        let (mut seen, mut want) = (Attributes::default(), Attributes::default());
        want.set(Field::Label, 100);
        want.set(Field::Med, 50);
        seen.set(Field::Label, 100);
        assert_eq!(seen.differs(&want), "");
        seen.set(Field::Med, "");
        assert_eq!(seen.differs(&want), "MED: `` instead of `50`");
    }
}
