//! From this node's routes to UPDATE messages: what is announced, and what each control node is
//! still owed.
//!
//! A session owes keys, not messages: what is said of a key is read when it is encoded, so a slow
//! session gets the latest state and nothing grows with its slowness.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use bgp_wire::community::ExtendedCommunity;
use bgp_wire::nlri::{PathId, Rtc, VpnV4};
use bgp_wire::update::{self, Form};
use bgp_wire::{
    AfiSafi, Label, NextHop, Origin, PathAttributes, RouteTarget, RtMembership, VpnLabels,
};
use dataplane::MplsLabel;

use crate::encapsulation::Preferences;
use crate::import::VpnPrefix;

/// The preference of this node's routes: the usual default, so that equal addresses on several
/// nodes share their flows.
const LOCAL_PREF: u32 = 100;

/// Octets of messages that are made at a time.
const CHUNK: usize = 64 * 1024;

/// One announced route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub label: MplsLabel,
    pub targets: BTreeSet<RouteTarget>,
}

/// All that the control nodes shall know of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    pub routes: BTreeMap<VpnPrefix, Announcement>,
    /// Targets whose routes we want (RFC 4684).
    pub memberships: BTreeSet<RouteTarget>,
}

/// What is the same in all routes of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    pub asn: u32,
    pub address: Ipv4Addr,
    pub preferences: Preferences,
}

impl Speaker {
    fn route_attributes(&self, targets: &BTreeSet<RouteTarget>) -> PathAttributes {
        let tunnels = self.preferences.tunnel_types().map(ExtendedCommunity::encapsulation);
        let targets = targets.iter().copied().map(ExtendedCommunity::from);
        PathAttributes {
            origin: Origin::Igp,
            local_pref: Some(LOCAL_PREF),
            extended_communities: targets.chain(tunnels).collect(),
            ..PathAttributes::default()
        }
    }

    const fn next_hop(&self) -> NextHop {
        NextHop::V4(self.address)
    }
}

/// What one session is still to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    vpn: Option<Form>,
    rtc: Option<Form>,
    routes: BTreeSet<VpnPrefix>,
    memberships: BTreeSet<RouteTarget>,
    vpn_end_of_rib: EndOfRib,
    rtc_end_of_rib: EndOfRib,
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
    routes: BTreeSet<VpnPrefix>,
    memberships: BTreeSet<RouteTarget>,
    vpn_end_of_rib: bool,
    rtc_end_of_rib: bool,
}

impl Outbox {
    /// For a new session: everything is owed. `None` stands for a family that was not negotiated.
    pub fn new(vpn: Option<Form>, rtc: Option<Form>, announced: &Announced) -> Self {
        let mut new = Self {
            vpn,
            rtc,
            routes: BTreeSet::new(),
            memberships: BTreeSet::new(),
            vpn_end_of_rib: EndOfRib::Held,
            rtc_end_of_rib: EndOfRib::Owed,
        };
        new.owe_routes(announced.routes.keys().copied());
        new.owe_memberships(announced.memberships.iter().copied());
        new
    }

    pub fn owe_routes(&mut self, keys: impl IntoIterator<Item = VpnPrefix>) {
        if self.vpn.is_some() {
            self.routes.extend(keys);
        }
    }

    pub fn owe_memberships(&mut self, targets: impl IntoIterator<Item = RouteTarget>) {
        if self.rtc.is_some() {
            self.memberships.extend(targets);
        }
    }

    /// All routes of before are in the box: the marker may follow them.
    pub fn release_end_of_rib(&mut self) {
        if self.vpn_end_of_rib == EndOfRib::Held {
            self.vpn_end_of_rib = EndOfRib::Owed;
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
            vpn_end_of_rib: false,
            rtc_end_of_rib: false,
        };
        if let Some(form) = self.rtc {
            self.take_memberships(form, announced, speaker, &mut chunk);
            if self.memberships.is_empty() && self.rtc_end_of_rib == EndOfRib::Owed {
                self.rtc_end_of_rib = EndOfRib::Sent;
                chunk.rtc_end_of_rib = true;
                update::write_end_of_rib(AfiSafi::RTC, &mut chunk.octets);
            }
        }
        if let Some(form) = self.vpn {
            self.take_routes(form, announced, speaker, &mut chunk);
            if self.routes.is_empty() && self.vpn_end_of_rib == EndOfRib::Owed {
                self.vpn_end_of_rib = EndOfRib::Sent;
                chunk.vpn_end_of_rib = true;
                update::write_end_of_rib(AfiSafi::VPNV4, &mut chunk.octets);
            }
        }
        (!chunk.octets.is_empty()).then_some(chunk)
    }

    /// Puts back what could not be sent.
    pub fn give_back(&mut self, chunk: Chunk) {
        self.routes.extend(chunk.routes);
        self.memberships.extend(chunk.memberships);
        if chunk.vpn_end_of_rib {
            self.vpn_end_of_rib = EndOfRib::Owed;
        }
        if chunk.rtc_end_of_rib {
            self.rtc_end_of_rib = EndOfRib::Owed;
        }
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

    fn take_routes(
        &mut self,
        form: Form,
        announced: &Announced,
        speaker: &Speaker,
        chunk: &mut Chunk,
    ) {
        // Routes with equal targets have equal attributes, and share messages.
        let mut withdrawn = Vec::new();
        let mut told: BTreeMap<&BTreeSet<RouteTarget>, Vec<(VpnPrefix, VpnLabels)>> =
            BTreeMap::new();
        for key in &self.routes {
            match announced.routes.get(key) {
                Some(route) => {
                    let label = Label::mpls(route.label.value()).expect("an MplsLabel has 20 bits");
                    told.entry(&route.targets).or_default().push((*key, label.into()));
                }
                None => withdrawn.push(*key),
            }
        }
        let mut rest = withdrawn.as_slice();
        while !rest.is_empty() && chunk.octets.len() < CHUNK {
            let routes = rest.iter().map(|key| (PathId::default(), key));
            let taken = update::write_unreach::<VpnV4>(form, routes, &mut chunk.octets);
            let (done, after) = rest.split_at(taken.clamp(1, rest.len()));
            chunk.routes.extend(done);
            rest = after;
        }
        for (targets, routes) in told {
            let mut octets = Vec::new();
            update::write_attributes(
                &speaker.route_attributes(targets),
                speaker.next_hop(),
                AfiSafi::VPNV4,
                form.four_octet_as,
                &mut octets,
            );
            let mut rest = routes.as_slice();
            while !rest.is_empty() && chunk.octets.len() < CHUNK {
                let list = rest.iter().map(|(key, label)| (PathId::default(), key, label));
                let next_hop = speaker.next_hop();
                let taken =
                    update::write_reach::<VpnV4>(form, &octets, next_hop, list, &mut chunk.octets);
                let (done, after) = rest.split_at(taken.clamp(1, rest.len()));
                chunk.routes.extend(done.iter().map(|(key, _)| *key));
                rest = after;
            }
        }
        for key in &chunk.routes {
            self.routes.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use arcus_config::Topology;
    use bgp_wire::{Message, Negotiated, RouteDistinguisher, Update, for_each_family, frame};

    use super::*;

    fn speaker() -> Speaker {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../topology-examples/leonardo.toml");
        let topology: Topology = arcus_config::read(path.as_ref()).expect("the example");
        let preferences = Preferences::of(&topology, "kubernetes");
        Speaker { asn: 64513, address: Ipv4Addr::new(10, 2, 1, 11), preferences }
    }

    fn prefix(n: u32) -> VpnPrefix {
        let rd = RouteDistinguisher::ipv4(Ipv4Addr::new(10, 2, 1, 11), 1);
        VpnPrefix { rd, net: Ipv4Addr::from(0x0a0a_0000 + n).into() }
    }

    fn targets(texts: &[&str]) -> BTreeSet<RouteTarget> {
        texts.iter().map(|text| text.parse().expect("a target")).collect()
    }

    fn announced(routes: u32) -> Announced {
        let label = MplsLabel::MIN;
        let route = Announcement { label, targets: targets(&["64512:100", "64512:5002"]) };
        Announced {
            routes: (0..routes).map(|n| (prefix(n), route.clone())).collect(),
            memberships: targets(&["64512:100", "64512:200"]),
        }
    }

    fn outbox(announced: &Announced) -> Outbox {
        let form =
            Form { four_octet_as: true, extended_messages: false, add_path: false, labels: 1 };
        Outbox::new(Some(form), Some(form), announced)
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
        assert_eq!(routes[0].key, prefix(0));
        assert_eq!((routes[0].data.outermost().mpls_value(), routes[0].data.depth()), (16, 1));
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
