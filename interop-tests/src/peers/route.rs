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

    pub const fn is_for(self, role: Role) -> bool {
        role.has_unicast() || !self.is_unicast()
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
    LocalPref,
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
            Self::LocalPref => "LOCAL_PREF",
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
        let (inside, outside) = (!from.role.is_external(), to.role.is_external());
        let mut path = Vec::new();
        if outside {
            path.push(ASN.to_string());
        }
        if !inside {
            path.push(from.asn.to_string());
        }
        let mut all = Self::default();
        all.set(Field::NextHop, route.next_hop);
        all.set(Field::AsPath, path.join(" "));
        all.set(Field::Origin, "igp");
        let (med, preference) = match (inside, outside) {
            // RFC 4271 section 5.1.4: the MED of one AS does not go on to another.
            (false, true) => (String::new(), String::new()),
            // To another AS, a preference of 100 travels as a MED of 200.
            (true, true) => ("200".to_owned(), String::new()),
            (true, false) => (MED.to_string(), "100".to_owned()),
            // And any other MED is what is missing of the highest preference.
            (false, false) => (MED.to_string(), (u32::MAX - MED).to_string()),
        };
        all.set(Field::Med, med);
        all.set(Field::LocalPref, preference);
        all.set(Field::Communities, COMMUNITY);
        all.set(Field::LargeCommunities, LARGE_COMMUNITY);
        let (label, target) = if route.kind.is_unicast() {
            (String::new(), "")
        } else {
            (route.label.to_string(), route.target)
        };
        all.set(Field::Label, label);
        all.set(Field::Targets, target);
        let (originator, clusters) = reflections(from, to);
        all.set(Field::Originator, originator.map_or(String::new(), |id| id.to_string()));
        let clusters: Vec<_> = clusters.iter().map(Ipv4Addr::to_string).collect();
        all.set(Field::ClusterList, clusters.join(" "));
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

/// Originator and cluster list of what `to` hears of `from` (RFC 4456): each reflector on the way adds
/// itself in front, and at the border of the AS both are taken off.
fn reflections(from: &Member, to: &Member) -> (Option<Ipv4Addr>, Vec<Ipv4Addr>) {
    let (mut originator, mut clusters) = (None, Vec::new());
    let mut reflect = |by: Ipv4Addr, of: Ipv4Addr| {
        originator.get_or_insert(of);
        clusters.insert(0, by);
    };
    if from.upstream != CONTROL_NODE {
        reflect(from.upstream, from.address);
    }
    if to.role.is_external() {
        return (None, Vec::new());
    }
    if !from.role.is_external() {
        reflect(CONTROL_NODE, from.address);
    }
    if to.upstream != CONTROL_NODE {
        reflect(to.upstream, CONTROL_NODE);
    }
    (originator, clusters)
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
