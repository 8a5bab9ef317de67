//! From this node's routes to UPDATE messages: what is announced, and what each control node is
//! still owed.
//!
//! A session owes keys, not messages: what is said of a key is read when it is encoded, so a slow
//! session gets the latest state and nothing grows with its slowness.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bgp_wire::community::{ExtendedCommunity, TunnelType};
use bgp_wire::nlri::{Esi, Evpn, EvpnData, Family, MacAddress, PathId, Rtc, VpnKey, VpnV4, VpnV6};
use bgp_wire::update::{self, Form};
use bgp_wire::{AfiSafi, Label, NextHop, Origin, PathAttributes, RouteTarget, RtMembership};
use dataplane::{Identities, Mac, Spread};
use ipnet::IpNet;

use crate::encapsulation::Preferences;
use crate::path::{self, BY_SOURCE};
use crate::route_key::RouteKey;

/// The preference of memberships and of most routes: the usual default, so that equal addresses on
/// several nodes share their flows.
pub const LOCAL_PREF: u32 = 100;

/// Families of routes that lead into VRFs.
pub const ROUTE_FAMILIES: [AfiSafi; 3] = [AfiSafi::VPNV4, AfiSafi::VPNV6, AfiSafi::EVPN];

/// Octets of messages that are made at a time.
const CHUNK: usize = 64 * 1024;

/// One announced route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// An MPLS label; of an EVPN route the VNI.
    pub label: Label,
    pub said: Arc<Said>,
}

/// What is said of a route beside its label; equal for many.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    pub targets: BTreeSet<RouteTarget>,
    pub local_pref: u32,
    /// Empty unless the cloud announces them.
    pub groups: Identities,
    pub weight: Option<u64>,
    pub spread: Spread,
}

/// All that the control nodes shall know of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    pub routes: BTreeMap<RouteKey, Announcement>,
    /// Targets whose routes we want (RFC 4684).
    pub memberships: BTreeSet<RouteTarget>,
}

/// What is the same in all routes of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    pub asn: u32,
    pub address: IpAddr,
    pub router_mac: Mac,
    pub announce_groups: bool,
    pub preferences: Preferences,
}

impl Speaker {
    fn attributes(&self, said: &Said, family: AfiSafi) -> PathAttributes {
        let mut communities: Vec<ExtendedCommunity> =
            said.targets.iter().copied().map(ExtendedCommunity::from).collect();
        if family == AfiSafi::EVPN {
            communities.push(ExtendedCommunity::encapsulation(TunnelType::VXLAN));
            communities.push(ExtendedCommunity::router_mac(MacAddress(self.router_mac.0)));
        } else {
            let tunnels = self.preferences.mpls_types().map(ExtendedCommunity::encapsulation);
            communities.extend(tunnels);
        }
        communities.extend(said.groups.as_slice().iter().map(|g| path::group(self.asn, g.0)));
        communities.extend(said.weight.map(|weight| path::link_bandwidth(self.asn, weight)));
        if said.spread == Spread::Source {
            communities.push(BY_SOURCE);
        }
        PathAttributes {
            origin: Origin::Igp,
            local_pref: Some(said.local_pref),
            extended_communities: communities,
            ..PathAttributes::default()
        }
    }

    fn next_hop(&self) -> NextHop {
        NextHop::from(self.address)
    }
}

/// What one session is still to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    forms: BTreeMap<AfiSafi, Form>,
    routes: BTreeSet<RouteKey>,
    memberships: BTreeSet<RouteTarget>,
    /// By negotiated family.
    ends: BTreeMap<AfiSafi, EndOfRib>,
}

/// The marker behind the first telling of a family (RFC 4724 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndOfRib {
    /// There is more to come before it.
    Held,
    Owed,
    Sent,
}

/// Messages, and what they tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Whole messages, one behind the other.
    pub octets: Vec<u8>,
    routes: BTreeSet<RouteKey>,
    memberships: BTreeSet<RouteTarget>,
    ends: Vec<AfiSafi>,
}

impl Outbox {
    /// For a new session with these families: everything is owed.
    pub fn new(forms: BTreeMap<AfiSafi, Form>, announced: &Announced) -> Self {
        let end = |family| if family == AfiSafi::RTC { EndOfRib::Owed } else { EndOfRib::Held };
        let ends = forms.keys().map(|family| (*family, end(*family))).collect();
        let mut new = Self { forms, routes: BTreeSet::new(), memberships: BTreeSet::new(), ends };
        new.owe_routes(announced.routes.keys().copied());
        new.owe_memberships(announced.memberships.iter().copied());
        new
    }

    /// Families that the session has.
    pub fn families(&self) -> impl Iterator<Item = AfiSafi> {
        self.forms.keys().copied()
    }

    pub fn owe_routes(&mut self, keys: impl IntoIterator<Item = RouteKey>) {
        let forms = &self.forms;
        self.routes.extend(keys.into_iter().filter(|key| forms.contains_key(&key.family())));
    }

    pub fn owe_memberships(&mut self, targets: impl IntoIterator<Item = RouteTarget>) {
        if self.forms.contains_key(&AfiSafi::RTC) {
            self.memberships.extend(targets);
        }
    }

    /// All routes of before are in the box: the markers may follow them.
    pub fn release_end_of_rib(&mut self) {
        for end in self.ends.values_mut().filter(|end| **end == EndOfRib::Held) {
            *end = EndOfRib::Owed;
        }
    }

    /// Routes and memberships that are still owed.
    pub fn owed(&self) -> usize {
        self.routes.len() + self.memberships.len()
    }

    /// Takes the next messages out: memberships first, since the routes we want follow from them.
    /// `None` when nothing is owed.
    pub fn take(&mut self, announced: &Announced, speaker: &Speaker) -> Option<Chunk> {
        let mut chunk = Chunk {
            octets: Vec::new(),
            routes: BTreeSet::new(),
            memberships: BTreeSet::new(),
            ends: Vec::new(),
        };
        if let Some(form) = self.forms.get(&AfiSafi::RTC).copied() {
            self.take_memberships(form, announced, speaker, &mut chunk);
            self.take_end(AfiSafi::RTC, self.memberships.is_empty(), &mut chunk);
        }
        self.take_routes(announced, speaker, &mut chunk);
        for family in ROUTE_FAMILIES {
            let told = !self.routes.iter().any(|key| key.family() == family);
            self.take_end(family, told, &mut chunk);
        }
        (!chunk.octets.is_empty()).then_some(chunk)
    }

    fn take_end(&mut self, family: AfiSafi, told: bool, chunk: &mut Chunk) {
        if let Some(end) = self.ends.get_mut(&family).filter(|end| **end == EndOfRib::Owed)
            && told
        {
            *end = EndOfRib::Sent;
            chunk.ends.push(family);
            update::write_end_of_rib(family, &mut chunk.octets);
        }
    }

    /// Puts back what could not be sent.
    pub fn give_back(&mut self, chunk: Chunk) {
        self.routes.extend(chunk.routes);
        self.memberships.extend(chunk.memberships);
        self.ends.extend(chunk.ends.into_iter().map(|family| (family, EndOfRib::Owed)));
    }

    fn take_memberships(
        &mut self,
        form: Form,
        announced: &Announced,
        speaker: &Speaker,
        chunk: &mut Chunk,
    ) {
        let owed = std::mem::take(&mut self.memberships);
        let key = |target: &RouteTarget| RtMembership::exact(speaker.asn, *target);
        let (wanted, unwanted): (Vec<_>, Vec<_>) =
            owed.iter().copied().partition(|target| announced.memberships.contains(target));
        let attributes = PathAttributes {
            origin: Origin::Igp,
            local_pref: Some(LOCAL_PREF),
            ..PathAttributes::default()
        };
        let mut octets = Vec::new();
        let next_hop = speaker.next_hop();
        update::write_attributes(
            &attributes,
            next_hop,
            AfiSafi::RTC,
            form.four_octet_as,
            &mut octets,
        );
        let keys: Vec<_> = wanted.iter().map(key).collect();
        let mut rest = keys.as_slice();
        while !rest.is_empty() {
            let routes = rest.iter().map(|key| (PathId::default(), key, &()));
            let taken =
                update::write_reach::<Rtc>(form, &octets, next_hop, routes, &mut chunk.octets);
            rest = rest.get(taken.max(1)..).unwrap_or_default();
        }
        let keys: Vec<_> = unwanted.iter().map(key).collect();
        let mut rest = keys.as_slice();
        while !rest.is_empty() {
            let routes = rest.iter().map(|key| (PathId::default(), key));
            let taken = update::write_unreach::<Rtc>(form, routes, &mut chunk.octets);
            rest = rest.get(taken.max(1)..).unwrap_or_default();
        }
        chunk.memberships = owed;
    }

    fn take_routes(&mut self, announced: &Announced, speaker: &Speaker, chunk: &mut Chunk) {
        for family in ROUTE_FAMILIES {
            let Some(form) = self.forms.get(&family).copied() else { continue };
            let routes = self.routes.iter().filter(|key| key.family() == family);
            let batch = Batch { form, announced, speaker, routes: routes.copied().collect() };
            match family {
                AfiSafi::VPNV4 => batch.write::<VpnV4>(family, vpn_v4, |l, _| l.into(), chunk),
                AfiSafi::VPNV6 => batch.write::<VpnV6>(family, vpn_v6, |l, _| l.into(), chunk),
                _ => batch.write::<Evpn>(family, |key| Some(key.to_evpn()), evpn_data, chunk),
            }
        }
        for key in &chunk.routes {
            self.routes.remove(key);
        }
    }
}

/// A route to be told, as this node and as the family knows it.
type Told<F> = (RouteKey, <F as Family>::Key, <F as Family>::Data);

/// What is owed of one family.
struct Batch<'a> {
    form: Form,
    announced: &'a Announced,
    speaker: &'a Speaker,
    routes: Vec<RouteKey>,
}

impl Batch<'_> {
    /// Writes as much as a chunk takes. Routes of which the same is said share messages.
    fn write<F: Family>(
        &self,
        family: AfiSafi,
        key_of: impl Fn(RouteKey) -> Option<F::Key>,
        data_of: impl Fn(Label, IpNet) -> F::Data,
        chunk: &mut Chunk,
    ) {
        let mut withdrawn = Vec::new();
        let mut told: BTreeMap<&Said, Vec<Told<F>>> = BTreeMap::new();
        for key in &self.routes {
            let Some(wire) = key_of(*key) else { continue };
            match self.announced.routes.get(key) {
                Some(route) => {
                    let data = data_of(route.label, key.net);
                    told.entry(&*route.said).or_default().push((*key, wire, data));
                }
                None => withdrawn.push((*key, wire)),
            }
        }
        let mut rest = withdrawn.as_slice();
        while !rest.is_empty() && chunk.octets.len() < CHUNK {
            let routes = rest.iter().map(|(_, key)| (PathId::default(), key));
            let taken = update::write_unreach::<F>(self.form, routes, &mut chunk.octets);
            let (done, after) = rest.split_at(taken.clamp(1, rest.len()));
            chunk.routes.extend(done.iter().map(|(key, _)| *key));
            rest = after;
        }
        let next_hop = self.speaker.next_hop();
        for (said, routes) in told {
            let attributes = self.speaker.attributes(said, family);
            let mut octets = Vec::new();
            let wide = self.form.four_octet_as;
            update::write_attributes(&attributes, next_hop, family, wide, &mut octets);
            let mut rest = routes.as_slice();
            while !rest.is_empty() && chunk.octets.len() < CHUNK {
                let list = rest.iter().map(|(_, key, data)| (PathId::default(), key, data));
                let out = &mut chunk.octets;
                let taken = update::write_reach::<F>(self.form, &octets, next_hop, list, out);
                let (done, after) = rest.split_at(taken.clamp(1, rest.len()));
                chunk.routes.extend(done.iter().map(|(key, ..)| *key));
                rest = after;
            }
        }
    }
}

const fn vpn_v4(key: RouteKey) -> Option<VpnKey<ipnet::Ipv4Net>> {
    match key.net {
        IpNet::V4(net) => Some(VpnKey { rd: key.rd, net }),
        IpNet::V6(_) => None,
    }
}

const fn vpn_v6(key: RouteKey) -> Option<VpnKey<ipnet::Ipv6Net>> {
    match key.net {
        IpNet::V6(net) => Some(VpnKey { rd: key.rd, net }),
        IpNet::V4(_) => None,
    }
}

/// Without segment and gateway: the next hop and its router's MAC are all there is to know
/// (RFC 9136 §4.4.1).
fn evpn_data(label: Label, net: IpNet) -> EvpnData {
    let gateway = match net {
        IpNet::V4(_) => IpAddr::from([0; 4]),
        IpNet::V6(_) => IpAddr::from([0; 16]),
    };
    EvpnData::IpPrefix { esi: Esi::default(), gateway, label }
}

#[cfg(test)]
mod tests {
    use arcus_config::Topology;
    use bgp_wire::{Message, Negotiated, RouteDistinguisher, Update, for_each_family, frame};

    use std::net::Ipv4Addr;

    use super::*;

    fn speaker() -> Speaker {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../topology-examples/leonardo.toml");
        let topology: Topology = arcus_config::read(path.as_ref()).expect("the example");
        let preferences = Preferences::of(&topology, "kubernetes", vec![[10, 2, 1, 11].into()]);
        Speaker {
            asn: 64513,
            address: IpAddr::from([10, 2, 1, 11]),
            router_mac: Mac([2, 0x5e, 10, 2, 1, 11]),
            announce_groups: false,
            preferences,
        }
    }

    fn prefix(n: u32) -> RouteKey {
        let rd = RouteDistinguisher::ipv4(Ipv4Addr::new(10, 2, 1, 11), 1);
        RouteKey::vpn(rd, IpNet::from(IpAddr::V4(Ipv4Addr::from(0x0a0a_0000 + n))))
    }

    fn targets(texts: &[&str]) -> BTreeSet<RouteTarget> {
        texts.iter().map(|text| text.parse().expect("a target")).collect()
    }

    fn announced(routes: u32) -> Announced {
        let label = Label::mpls(16).expect("20 bits");
        let said = Said {
            targets: targets(&["64512:100", "64512:5002"]),
            local_pref: 100,
            groups: Identities::default(),
            weight: None,
            spread: Spread::Flow,
        };
        let route = Announcement { label, said: Arc::new(said) };
        Announced {
            routes: (0..routes).map(|n| (prefix(n), route.clone())).collect(),
            memberships: targets(&["64512:100", "64512:200"]),
        }
    }

    fn outbox(announced: &Announced) -> Outbox {
        let form =
            Form { four_octet_as: true, extended_messages: false, add_path: false, labels: 1 };
        Outbox::new([(AfiSafi::VPNV4, form), (AfiSafi::RTC, form)].into(), announced)
    }

    /// What the chunk says, read back as a peer would.
    fn read(chunk: &Chunk) -> Vec<Update> {
        let negotiated = Negotiated { extended_messages: false, ..Negotiated::everything() };
        let mut rest = &*chunk.octets;
        let mut updates = Vec::new();
        while let Some(length) = frame::length(rest, negotiated.max_message()).expect("a header") {
            let (octets, more) = rest.split_at(length);
            rest = more;
            match Message::decode(octets, &negotiated) {
                Ok(Message::Update(update)) if update.faults.is_empty() => updates.push(update),
                other => panic!("{other:?}"),
            }
        }
        assert!(rest.is_empty(), "nothing but messages");
        updates
    }

    /// Each message in a word.
    fn words(updates: &[Update]) -> Vec<String> {
        let word = |update: &Update| {
            if let Some(family) = update.end_of_rib {
                format!("end of {family}")
            } else {
                let told = update.announced.iter().map(|(_, routes)| {
                    format!(
                        "{} {}",
                        for_each_family!(Routes, routes, r => r.len()),
                        routes.family()
                    )
                });
                let gone = update.withdrawn.iter().map(|w| format!("-{} {}", w.len(), w.family()));
                told.chain(gone).collect::<Vec<_>>().join(" ")
            }
        };
        updates.iter().map(word).collect()
    }

    #[test]
    fn memberships_come_first_and_each_family_ends_with_its_marker() {
        let announced = announced(3);
        let mut outbox = outbox(&announced);
        let chunk = outbox.take(&announced, &speaker()).expect("a chunk");
        assert_eq!(words(&read(&chunk)), ["2 rtc", "end of rtc", "3 vpnv4"]);
        assert_eq!(outbox.take(&announced, &speaker()), None, "more ports may be restored");
        outbox.release_end_of_rib();
        let chunk = outbox.take(&announced, &speaker()).expect("a chunk");
        assert_eq!(words(&read(&chunk)), ["end of vpnv4"]);
        assert_eq!(outbox.take(&announced, &speaker()), None);
    }

    #[test]
    fn a_route_says_all_that_others_need() {
        let announced = announced(1);
        let chunk = outbox(&announced).take(&announced, &speaker()).expect("a chunk");
        let updates = read(&chunk);
        let update = updates.last().expect("the route");
        let (next_hop, routes) = &update.announced[0];
        assert_eq!(next_hop.to_string(), "10.2.1.11");
        let bgp_wire::Routes::VpnV4(routes) = routes else { panic!("{routes:?}") };
        assert_eq!(RouteKey::from(routes[0].key), prefix(0));
        assert_eq!((routes[0].data.depth(), routes[0].data.outermost().mpls_value()), (1, 16));
        let attributes = &update.attributes;
        assert_eq!(attributes.local_pref, Some(100));
        assert_eq!(attributes.as_path.length(), 0);
        let communities: Vec<_> =
            attributes.extended_communities.iter().map(ToString::to_string).collect();
        let want = ["target:64512:100", "target:64512:5002", "encapsulation:2", "encapsulation:13"];
        assert_eq!(communities, want, "both encapsulations, preferred first");
    }

    #[test]
    fn what_is_no_longer_announced_is_withdrawn_and_what_changed_is_told_once() {
        let before = announced(2);
        let mut outbox = outbox(&before);
        outbox.take(&before, &speaker());
        let mut after = before.clone();
        after.routes.remove(&prefix(0));
        after.memberships = targets(&["64512:100"]);
        outbox.owe_routes([prefix(0), prefix(1), prefix(1)]);
        outbox.owe_memberships(targets(&["64512:200"]));
        let chunk = outbox.take(&after, &speaker()).expect("a chunk");
        assert_eq!(words(&read(&chunk)), ["-1 rtc", "-1 vpnv4", "1 vpnv4"]);
    }

    #[test]
    fn a_chunk_that_could_not_be_sent_is_sent_later_with_the_latest_state() {
        let before = announced(2);
        let mut outbox = outbox(&before);
        outbox.release_end_of_rib();
        let chunk = outbox.take(&before, &speaker()).expect("a chunk");
        outbox.give_back(chunk);
        assert_eq!(outbox.owed(), 4);
        let mut after = before.clone();
        after.routes.remove(&prefix(0));
        let chunk = outbox.take(&after, &speaker()).expect("a chunk");
        let want = ["2 rtc", "end of rtc", "-1 vpnv4", "1 vpnv4", "end of vpnv4"];
        assert_eq!(words(&read(&chunk)), want);
    }

    #[test]
    fn many_routes_go_in_chunks_of_full_messages() {
        let announced = announced(10_000);
        let mut outbox = outbox(&announced);
        outbox.release_end_of_rib();
        let (mut chunks, mut told) = (0, 0);
        let mut last = String::new();
        while let Some(chunk) = outbox.take(&announced, &speaker()) {
            assert!(chunk.octets.len() < CHUNK + 2 * 4096);
            let updates = read(&chunk);
            told += updates
                .iter()
                .flat_map(|update| &update.announced)
                .filter(|(_, routes)| routes.family() == AfiSafi::VPNV4)
                .map(|(_, routes)| routes.len())
                .sum::<usize>();
            last = words(&updates).pop().expect("a message");
            chunks += 1;
        }
        assert_eq!((told, last.as_str()), (10_000, "end of vpnv4"));
        assert!((2..=4).contains(&chunks), "{chunks}");
    }
}
