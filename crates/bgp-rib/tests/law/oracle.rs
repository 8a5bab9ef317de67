//! A shard without any index, queue or shortcut: lists of what each peer has said, and what follows
//! for each peer, computed from scratch. Written from the RFCs, not from the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bgp_rib::{
    DecisionOptions, InterestMode, MembershipsOut, PeerKind, PeerView, RemovePrivate,
    UnicastNextHop,
};
use bgp_wire::as_path::Segment;
use bgp_wire::attrs::RawAttribute;
use bgp_wire::capability::Role;
use bgp_wire::community::Community;
use bgp_wire::{
    AfiSafi, AsPath, ExtendedCommunity, NextHop, PathAttributes, RouteTarget, RtMembership,
};

pub(crate) const LOCAL_AS: u32 = 64_512;
pub(crate) const ROUTER_ID: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);
pub(crate) const CLUSTER_ID: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 201);

/// Family and text of a key.
pub(crate) type Dest = (AfiSafi, String);

/// What a peer knows of a destination.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) attributes: PathAttributes,
    pub(crate) next_hop: NextHop,
    pub(crate) data: String,
}

#[derive(Debug, Clone)]
struct Heard {
    attributes: PathAttributes,
    next_hop: NextHop,
    data: String,
    stale: bool,
}

#[derive(Debug)]
struct Peer {
    view: PeerView,
    up: bool,
    attached: bool,
    /// How many paths it is told where it is told several. Whether it is, is settled when it comes up.
    several: BTreeMap<AfiSafi, u8>,
    heard: BTreeMap<(Dest, u32), Heard>,
    /// Targets of memberships as they were rewritten when it came up: those we tell, those it tells.
    rewrites: [Targets; 2],
}

type Targets = Arc<BTreeMap<RouteTarget, RouteTarget>>;

/// What is the same for all peers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) decision: DecisionOptions,
    pub(crate) client_to_client: bool,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    rules: Rules,
    /// Of the ways to next hops; what is not here costs 5.
    costs: BTreeMap<IpAddr, Option<u32>>,
    peers: BTreeMap<u16, Peer>,
}

impl Oracle {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, costs: BTreeMap::new(), peers: BTreeMap::new() }
    }

    pub(crate) fn next_hop(&mut self, next_hop: IpAddr, cost: Option<u32>) {
        self.costs.insert(next_hop, cost);
    }

    pub(crate) fn cost(&self, next_hop: IpAddr) -> Option<u32> {
        self.costs.get(&next_hop).copied().unwrap_or(Some(5))
    }

    /// The cost of the way to the next hop, where it counts.
    fn way(&self, family: AfiSafi, heard: &Heard) -> Option<u32> {
        if !self.rules.decision.track_next_hops || family == AfiSafi::RTC {
            return Some(0);
        }
        heard.next_hop.address().and_then(|next_hop| self.cost(next_hop))
    }

    pub(crate) fn is_up(&self, peer: u16) -> bool {
        self.peers.get(&peer).is_some_and(|known| known.up)
    }

    pub(crate) fn is_attached(&self, peer: u16) -> bool {
        self.peers.get(&peer).is_some_and(|known| known.attached)
    }

    /// Paths that a peer has announced.
    pub(crate) fn heard(&self, peer: u16, family: AfiSafi) -> usize {
        let known = &self.peers[&peer];
        known.heard.keys().filter(|((of, _), _)| *of == family).count()
    }

    pub(crate) fn view(&self, peer: u16) -> Option<&PeerView> {
        self.peers.get(&peer).filter(|known| known.up).map(|known| &known.view)
    }

    pub(crate) fn up(&mut self, peer: u16, view: PeerView) {
        if self.is_up(peer) {
            self.down(peer, &view.negotiated.families.clone());
        }
        let mut heard = BTreeMap::new();
        if let Some(before) = self.peers.remove(&peer) {
            let old = before.view;
            let same =
                (old.kind, old.router_id, old.address) == (view.kind, view.router_id, view.address);
            if same {
                heard = before.heard;
                heard.retain(|((family, _), _), _| view.speaks(*family));
            }
        }
        let attached = !waits(&view);
        let several = several(&view);
        let policy = &view.policy;
        let rewrites = [&policy.import_rewrite, &policy.export_rewrite].map(Arc::clone);
        self.peers.insert(peer, Peer { view, up: true, attached, several, heard, rewrites });
        self.import(peer);
    }

    pub(crate) fn changed(&mut self, peer: u16, view: PeerView) {
        if let Some(known) = self.peers.get_mut(&peer).filter(|known| known.up) {
            known.attached |= !waits(&view);
            let several = several(&view);
            for (family, paths) in &mut known.several {
                *paths = several.get(family).copied().unwrap_or(1);
            }
            known.view = view;
            self.import(peer);
        }
    }

    fn import(&mut self, peer: u16) {
        let known = self.peers.get_mut(&peer).unwrap();
        let view = known.view.clone();
        known.heard.retain(|((family, _), _), heard| {
            imports(&view, *family, &heard.attributes) && !transits(&view, &heard.attributes)
        });
        for (((family, _), _), heard) in &mut known.heard {
            take_off_foreign_targets(&view, *family, &mut heard.attributes);
        }
    }

    pub(crate) fn down(&mut self, peer: u16, retained: &[AfiSafi]) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.heard.retain(|((family, _), _), heard| {
            let goes = known.up && heard.stale && !has(heard, Community::LLGR_STALE);
            retained.contains(family) && !goes
        });
        if known.up {
            known.heard.values_mut().for_each(|heard| heard.stale = true);
        }
        known.up = false;
        known.attached = false;
    }

    pub(crate) fn gone(&mut self, peer: u16) {
        self.peers.remove(&peer);
    }

    pub(crate) fn sweep(&mut self, peer: u16, family: AfiSafi) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.heard.retain(|((of, _), _), heard| *of != family || !heard.stale);
        }
    }

    /// RFC 9494 section 4.2.
    pub(crate) fn long_lived(&mut self, peer: u16, family: AfiSafi) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.heard.retain(|((of, _), _), heard| {
            *of != family || !heard.stale || !has(heard, Community::NO_LLGR)
        });
        for (((of, _), _), heard) in &mut known.heard {
            if *of == family && heard.stale && !has(heard, Community::LLGR_STALE) {
                heard.attributes.communities.push(Community::LLGR_STALE);
            }
        }
    }

    /// RFC 7313 section 4.
    pub(crate) fn mark(&mut self, peer: u16, family: AfiSafi, begin: bool) {
        if !self.is_up(peer) {
            return;
        }
        if !begin {
            return self.sweep(peer, family);
        }
        let known = self.peers.get_mut(&peer).unwrap();
        let of_family = known.heard.iter_mut().filter(|(((of, _), _), _)| *of == family);
        of_family.for_each(|(_, heard)| heard.stale = true);
    }

    pub(crate) fn end_of_rib(&mut self, peer: u16, family: AfiSafi) {
        if self.is_up(peer) {
            self.sweep(peer, family);
            if family == AfiSafi::RTC {
                self.attach(peer);
            }
        }
    }

    pub(crate) fn attach(&mut self, peer: u16) {
        if let Some(known) = self.peers.get_mut(&peer).filter(|known| known.up) {
            known.attached = true;
        }
    }

    pub(crate) fn announce(
        &mut self,
        peer: u16,
        dest: Dest,
        path_id: u32,
        mut attributes: PathAttributes,
        next_hop: NextHop,
        data: String,
    ) {
        let Some(known) = self.peers.get_mut(&peer).filter(|known| known.up) else { return };
        if !known.view.speaks(dest.0) {
            return;
        }
        let taken = accepts(&known.view, &attributes) && !leaks(&known.view, dest.0, &attributes);
        if taken {
            come_in(&known.view, dest.0, &mut attributes);
        }
        if taken && imports(&known.view, dest.0, &attributes) {
            take_off_foreign_targets(&known.view, dest.0, &mut attributes);
            let heard = Heard { attributes, next_hop, data, stale: false };
            for dest in on_the_other_side(&known.rewrites[1], dest) {
                known.heard.insert((dest, path_id), heard.clone());
            }
        } else {
            for dest in on_the_other_side(&known.rewrites[1], dest) {
                known.heard.remove(&(dest, path_id));
            }
        }
    }

    pub(crate) fn withdraw(&mut self, peer: u16, dest: Dest, path_id: u32) {
        if let Some(known) = self.peers.get_mut(&peer).filter(|known| known.up) {
            for dest in on_the_other_side(&known.rewrites[1], dest) {
                known.heard.remove(&(dest, path_id));
            }
        }
    }

    /// All that a peer is to know.
    pub(crate) fn adj_rib_out(&self, peer: u16) -> BTreeMap<Dest, Vec<Told>> {
        let to = &self.peers[&peer];
        let mut dests: BTreeSet<Dest> = self
            .peers
            .values()
            .flat_map(|known| known.heard.keys().map(|(dest, _)| dest.clone()))
            .collect();
        for own in &to.view.originate {
            dests.insert((AfiSafi::RTC, own.to_string()));
        }
        dests
            .into_iter()
            .filter(|(family, _)| to.view.speaks(*family))
            .map(|dest| {
                let told = self.tell(peer, to, &dest);
                (dest, told)
            })
            .filter(|(_, told)| !told.is_empty())
            .flat_map(|(dest, told)| {
                let dests = on_the_other_side(&to.rewrites[0], dest);
                dests.into_iter().map(move |dest| (dest, told.clone()))
            })
            .collect()
    }

    fn tell(&self, peer: u16, to: &Peer, dest: &Dest) -> Vec<Told> {
        let family = dest.0;
        let mut paths: Vec<(u16, &Peer, u32, &Heard)> = Vec::new();
        for (from, known) in &self.peers {
            for ((heard_dest, path_id), heard) in &known.heard {
                if heard_dest == dest {
                    paths.push((*from, known, *path_id, heard));
                }
            }
        }
        if family == AfiSafi::RTC {
            let key: RtMembership = dest.1.parse().unwrap();
            if to.view.originate.contains(&key) {
                return vec![own_membership(&to.view)];
            }
            if to.view.memberships == MembershipsOut::OwnOnly {
                return Vec::new();
            }
            paths.retain(|(from, known, _, heard)| {
                *from != peer && may_go(self.rules, family, &known.view, heard, &to.view)
            });
        }
        // RFC 4271 section 9.1.2.1.
        paths.retain(|(_, _, _, heard)| self.way(family, heard).is_some());
        // RFC 7911: the best of all, or the best of those that may go to it.
        let mut told = Vec::new();
        let mut left = if to.several.contains_key(&family) { paths.len() } else { 1 };
        while left > 0 && !paths.is_empty() {
            left -= 1;
            let chosen =
                best(self.rules.decision, |heard| self.way(family, heard), family, paths.clone())
                    .unwrap();
            let (from, known, id, heard) = chosen;
            paths.retain(|(other, _, other_id, _)| (*other, *other_id) != (from, id));
            let due = from != peer
                && may_go(self.rules, family, &known.view, heard, &to.view)
                && (!family.has_targets() || wants(to, &heard.attributes));
            if due {
                let way = self.rules.decision.track_next_hops.then(|| self.way(family, heard));
                told.push(transform(known, heard, &to.view, family, way.flatten()));
            }
        }
        told.truncate(to.several.get(&family).copied().unwrap_or(1).into());
        told
    }
}

/// RFC 4684 at a border that rewrites: a membership stands for those targets that become its own.
fn on_the_other_side(rewrite: &Targets, dest: Dest) -> Vec<Dest> {
    let (family, text) = &dest;
    let key: Option<RtMembership> = (*family == AfiSafi::RTC).then(|| text.parse().unwrap());
    let Some((asn, target)) = key.and_then(|k| Some((k.origin_as(), k.exact_target()?))) else {
        return vec![dest];
    };
    let mut all: BTreeSet<RouteTarget> =
        rewrite.iter().filter(|(_, to)| **to == target).map(|(from, _)| *from).collect();
    if !rewrite.contains_key(&target) {
        all.insert(target);
    }
    let text = |target: RouteTarget| RtMembership::exact(asn, target).to_string();
    all.into_iter().map(|target| (AfiSafi::RTC, text(target))).collect()
}

fn several(view: &PeerView) -> BTreeMap<AfiSafi, u8> {
    let agreed = |family: &AfiSafi| view.negotiated.add_path_send.contains(family);
    let all = view.policy.add_path_send.iter().map(|(family, paths)| (*family, paths.get()));
    all.filter(|(family, _)| agreed(family) && *family != AfiSafi::RTC).collect()
}

fn wants(to: &Peer, attributes: &PathAttributes) -> bool {
    if !to.attached {
        return false;
    }
    let targets: Vec<RouteTarget> = attributes.route_targets().collect();
    let asked: Vec<RtMembership> = to
        .heard
        .keys()
        .filter(|((family, _), _)| *family == AfiSafi::RTC)
        .map(|((_, key), _)| key.parse().unwrap())
        .collect();
    let asks = |target: &RouteTarget| asked.iter().any(|asked| asked.matches(*target));
    let all = asked.iter().any(|asked| asked.length() <= 32);
    let speaks = to.view.speaks(AfiSafi::RTC);
    match &to.view.interest {
        InterestMode::Everything => true,
        InterestMode::FromRtc if !speaks => true,
        InterestMode::FromRtc => all || targets.iter().any(asks),
        InterestMode::Both(set) if speaks => {
            targets.iter().any(|target| set.contains(target) && asks(target))
        }
        InterestMode::Configured(set) | InterestMode::Both(set) => {
            targets.iter().any(|target| set.contains(target))
        }
    }
}

/// RFC 4684 section 6: routes wait for the memberships.
fn waits(view: &PeerView) -> bool {
    view.speaks(AfiSafi::RTC)
        && matches!(view.interest, InterestMode::FromRtc | InterestMode::Both(_))
}

fn imports(view: &PeerView, family: AfiSafi, attributes: &PathAttributes) -> bool {
    match &view.import_targets {
        Some(permitted) if family.has_targets() => {
            attributes.route_targets().any(|target| permitted.contains(&target))
        }
        _ => true,
    }
}

/// What a peer may not use is not on its routes.
fn take_off_foreign_targets(view: &PeerView, family: AfiSafi, attributes: &mut PathAttributes) {
    if let Some(permitted) = view.import_targets.as_ref().filter(|_| family.has_targets()) {
        attributes
            .extended_communities
            .retain(|c| c.as_route_target().is_none_or(|target| permitted.contains(&target)));
    }
}

fn has(heard: &Heard, community: Community) -> bool {
    heard.attributes.communities.contains(&community)
}

fn asn(view: &PeerView) -> Option<u32> {
    match view.kind {
        PeerKind::External { asn } => Some(asn),
        _ => None,
    }
}

fn transits(view: &PeerView, attributes: &PathAttributes) -> bool {
    attributes.as_path.numbers().any(|number| view.policy.refused_ases.contains(&number))
}

fn accepts(view: &PeerView, attributes: &PathAttributes) -> bool {
    let policy = &view.policy;
    let path: Vec<u32> = attributes.as_path.numbers().collect();
    let mut ours = vec![LOCAL_AS];
    if asn(view).is_some() {
        ours.extend(policy.local_as.map(|local| local.asn));
    }
    let loops = path.iter().filter(|number| ours.contains(number)).count();
    let ok = match asn(view) {
        Some(asn) => !policy.enforce_first_as || path.first() == Some(&asn),
        None => {
            attributes.originator_id != Some(ROUTER_ID)
                && !attributes.cluster_list.contains(&CLUSTER_ID)
        }
    };
    ok && loops <= usize::from(policy.allowas_in)
        && policy.max_as_path.is_none_or(|max| path.len() <= usize::from(max))
        && !transits(view, attributes)
}

fn role(view: &PeerView, family: AfiSafi) -> Option<Role> {
    let unicast = [AfiSafi::IPV4_UNICAST, AfiSafi::IPV6_UNICAST].contains(&family);
    view.policy.role.filter(|_| unicast && asn(view).is_some())
}

fn otc(attributes: &PathAttributes) -> Option<u32> {
    let found = attributes.others.iter().find(|other| other.code == 35)?;
    Some(u32::from_be_bytes((*found.value).try_into().unwrap()))
}

fn add_otc(attributes: &mut PathAttributes, asn: u32) {
    let value = asn.to_be_bytes().to_vec().into();
    attributes.others.push(RawAttribute { flags: 0xc0, code: 35, value });
}

/// RFC 9234 section 5, the first two rules.
fn leaks(view: &PeerView, family: AfiSafi, attributes: &PathAttributes) -> bool {
    match (role(view, family), otc(attributes)) {
        (Some(Role::Provider | Role::RouteServer), Some(_)) => true,
        (Some(Role::Peer), Some(otc)) => asn(view) != Some(otc),
        _ => false,
    }
}

/// What policy makes of what is taken.
fn come_in(view: &PeerView, family: AfiSafi, attributes: &mut PathAttributes) {
    let policy = &view.policy;
    let outside = asn(view).is_some();
    if attributes.local_pref.is_none() {
        attributes.local_pref = match attributes.med {
            Some(med) if outside && policy.preference_as_med => Some(other_preference(med)),
            _ => policy.default_local_pref,
        };
    }
    if family.has_targets() {
        rewrite(attributes, &policy.import_rewrite);
    }
    if outside {
        let above = [Role::Customer, Role::Peer, Role::RouteServerClient];
        if role(view, family).is_some_and(|role| above.contains(&role)) && otc(attributes).is_none()
        {
            add_otc(attributes, asn(view).unwrap());
        }
        if let Some(local) = policy.local_as.filter(|local| !local.no_prepend) {
            attributes.as_path.prepend(local.asn);
        }
        if !policy.aigp {
            attributes.others.retain(|other| other.code != 26);
        }
    }
}

fn other_preference(value: u32) -> u32 {
    match value {
        100 => 200,
        200 => 100,
        _ => u32::MAX - value,
    }
}

fn rewrite(attributes: &mut PathAttributes, targets: &BTreeMap<RouteTarget, RouteTarget>) {
    let mut out: Vec<ExtendedCommunity> = Vec::new();
    for community in &attributes.extended_communities {
        let target = community.as_route_target();
        let other = target.and_then(|target| targets.get(&target)).copied();
        let community = other.map_or(*community, ExtendedCommunity::from);
        if target.is_none() || !out.contains(&community) {
            out.push(community);
        }
    }
    attributes.extended_communities = out;
}

/// RFC 4271 section 9.1.2.2 and RFC 4456 section 9: losers are struck out step by step.
fn best<'a>(
    options: DecisionOptions,
    cost: impl Fn(&Heard) -> Option<u32>,
    family: AfiSafi,
    mut paths: Vec<(u16, &'a Peer, u32, &'a Heard)>,
) -> Option<(u16, &'a Peer, u32, &'a Heard)> {
    type Entry<'a> = (u16, &'a Peer, u32, &'a Heard);
    fn keep_least<K: Ord>(paths: &mut Vec<Entry<'_>>, key: impl Fn(&Entry<'_>) -> K) {
        if let Some(least) = paths.iter().map(&key).min() {
            paths.retain(|path| key(path) == least);
        }
    }
    fn external(entry: &Entry<'_>) -> bool {
        matches!(entry.1.view.kind, PeerKind::External { .. })
    }
    // RFC 9494 section 4.3.
    keep_least(&mut paths, |p| has(p.3, Community::LLGR_STALE));
    if family == AfiSafi::EVPN {
        // RFC 7432 sections 10.1 and 15.
        let octets = |p: &Entry<'_>| -> Vec<[u8; 8]> {
            p.3.attributes.extended_communities.iter().map(|community| community.0).collect()
        };
        let moved = |p: &Entry<'_>| octets(p).into_iter().find(|o| o[..2] == [6, 0]);
        keep_least(&mut paths, |p| !octets(p).iter().any(|o| o[..2] == [3, 13]));
        keep_least(&mut paths, |p| moved(p).is_none_or(|o| o[2] & 1 == 0));
        keep_least(&mut paths, |p| 255 - moved(p).map_or(0, |o| o[7]));
    }
    keep_least(&mut paths, |p| u32::MAX - p.3.attributes.local_pref.unwrap_or(100));
    if options.aigp {
        // RFC 7311 section 4.1. The metric of the script is the last octet.
        let metric = |p: &Entry<'_>| {
            let all = &p.3.attributes.others;
            let told = all.iter().find(|other| other.code == 26).map(|other| other.value[14]);
            told.map(|told| u64::from(told) + u64::from(cost(p.3).unwrap_or_default()))
        };
        if paths.iter().any(|p| metric(p).is_some()) {
            paths.retain(|p| metric(p).is_some());
        }
        keep_least(&mut paths, metric);
    }
    keep_least(&mut paths, |p| p.3.attributes.as_path.length());
    keep_least(&mut paths, |p| p.3.attributes.origin);
    let neighbor = |p: &Entry<'_>| p.3.attributes.as_path.first().unwrap_or(0);
    let missing = if options.missing_med_is_worst { u32::MAX } else { 0 };
    let med = |p: &Entry<'_>| p.3.attributes.med.unwrap_or(missing);
    let all = paths.clone();
    paths.retain(|p| {
        let comparable = |q: &Entry<'_>| options.always_compare_med || neighbor(q) == neighbor(p);
        !all.iter().any(|q| comparable(q) && med(q) < med(p))
    });
    keep_least(&mut paths, |p| !external(p));
    keep_least(&mut paths, |p| cost(p.3));
    keep_least(&mut paths, |p| p.3.attributes.originator_id.unwrap_or(p.1.view.router_id));
    keep_least(&mut paths, |p| p.3.attributes.cluster_list.len());
    keep_least(&mut paths, |p| p.1.view.address);
    keep_least(&mut paths, |p| p.2);
    assert!(paths.len() <= 1, "addresses of peers differ");
    paths.pop()
}

fn may_go(rules: Rules, family: AfiSafi, from: &PeerView, heard: &Heard, to: &PeerView) -> bool {
    if has(heard, Community::NO_ADVERTISE) {
        return false;
    }
    let inside = !matches!(from.kind, PeerKind::External { .. });
    match to.kind {
        PeerKind::External { asn } => {
            let stale = has(heard, Community::LLGR_STALE) && !to.policy.long_lived;
            let loops = heard.attributes.as_path.contains(asn) && !to.policy.as_override;
            let up = [Role::Customer, Role::Peer, Role::RouteServerClient];
            let leaks = otc(&heard.attributes).is_some()
                && role(to, family).is_some_and(|role| up.contains(&role));
            !has(heard, Community::NO_EXPORT) && !loops && !stale && !leaks
        }
        kind => {
            let pair = (from.kind, kind);
            let meshed = pair == (PeerKind::NonClient, PeerKind::NonClient)
                || pair == (PeerKind::Client, PeerKind::Client) && !rules.client_to_client;
            let originator = if inside {
                Some(heard.attributes.originator_id.unwrap_or(from.router_id))
            } else {
                None
            };
            !meshed && originator != Some(to.router_id)
        }
    }
}

fn own_membership(to: &PeerView) -> Told {
    let mut attributes = PathAttributes { local_pref: Some(100), ..PathAttributes::default() };
    match to.kind {
        PeerKind::External { .. } => {
            attributes.local_pref = None;
            attributes.med = to.policy.preference_as_med.then_some(200);
            pass_border(to, &mut attributes.as_path);
        }
        PeerKind::Client => attributes.originator_id = Some(ROUTER_ID),
        PeerKind::NonClient => {}
    }
    Told { attributes, next_hop: to.local_address.into(), data: "()".to_owned() }
}

fn transform(from: &Peer, heard: &Heard, to: &PeerView, family: AfiSafi, way: Option<u32>) -> Told {
    let mut attributes = heard.attributes.clone();
    let inside = !matches!(from.view.kind, PeerKind::External { .. });
    let mut next_hop = heard.next_hop;
    if matches!(to.kind, PeerKind::External { .. }) {
        if attributes.as_path.length() > 0 {
            attributes.med = None;
        } else if to.policy.preference_as_med {
            attributes.med = Some(other_preference(attributes.local_pref.unwrap_or(100)));
        }
        if !to.policy.aigp {
            attributes.others.retain(|other| other.code != 26);
        }
        attributes.local_pref = None;
        attributes.originator_id = None;
        attributes.cluster_list.clear();
        attributes.extended_communities.retain(|community| community.0[0] & 0x40 == 0);
        let down = [Role::Provider, Role::Peer, Role::RouteServer];
        if role(to, family).is_some_and(|role| down.contains(&role)) && otc(&attributes).is_none() {
            let shown = to.policy.local_as.map_or(LOCAL_AS, |local| local.asn);
            add_otc(&mut attributes, shown);
        }
        pass_border(to, &mut attributes.as_path);
    } else {
        attributes.local_pref = Some(attributes.local_pref.unwrap_or(100));
        if inside {
            attributes.originator_id = attributes.originator_id.or(Some(from.view.router_id));
            attributes.cluster_list.insert(0, CLUSTER_ID);
        }
        if family == AfiSafi::RTC && to.kind == PeerKind::Client {
            attributes.originator_id = Some(ROUTER_ID);
        }
        if has(heard, Community::LLGR_STALE) && !to.policy.long_lived {
            // RFC 9494 section 4.6.
            attributes.local_pref = Some(0);
            if !has(heard, Community::NO_EXPORT) {
                attributes.communities.push(Community::NO_EXPORT);
            }
        }
    }
    let ours = to.policy.next_hop_self
        || asn(to).is_some()
            && match to.unicast_next_hop {
                UnicastNextHop::Unchanged => false,
                UnicastNextHop::OurselvesToExternal { link: None } => true,
                UnicastNextHop::OurselvesToExternal { link: Some(link) } => {
                    !link.contains(&next_hop.address().unwrap())
                }
            };
    if family == AfiSafi::RTC || family == AfiSafi::IPV4_UNICAST && ours {
        next_hop = to.local_address.into();
    }
    if family == AfiSafi::IPV4_UNICAST && ours {
        // RFC 7311 section 3.4.3.
        let metric = attributes.aigp();
        attributes.set_aigp(metric.and_then(|metric| Some(metric + u64::from(way?))));
    }
    if family.has_targets() {
        rewrite(&mut attributes, &to.policy.export_rewrite);
    }
    Told { attributes, next_hop, data: heard.data.clone() }
}

/// The path as it is told to another AS.
fn pass_border(to: &PeerView, path: &mut AsPath) {
    let policy = &to.policy;
    let peer = asn(to).unwrap();
    let shown = policy.local_as.map_or(LOCAL_AS, |local| local.asn);
    let mut numbers: Vec<u32> = path.numbers().collect();
    if policy.as_override {
        numbers.iter_mut().filter(|n| **n == peer).for_each(|n| *n = shown);
    }
    // RFC 6996.
    let private = |n: &u32| (64_512..=65_534).contains(n) && *n != peer;
    match policy.remove_private_as {
        RemovePrivate::No => {}
        RemovePrivate::Leading => {
            let leading = numbers.iter().take_while(|n| private(n)).count();
            numbers.drain(..leading);
        }
        RemovePrivate::All => numbers.retain(|n| !private(n)),
        RemovePrivate::Replace => {
            numbers.iter_mut().filter(|n| private(n)).for_each(|n| *n = shown);
        }
    }
    match policy.local_as {
        Some(local) if local.replace => numbers.insert(0, local.asn),
        Some(local) => drop(numbers.splice(0..0, [local.asn, LOCAL_AS])),
        None => numbers.insert(0, LOCAL_AS),
    }
    *path = AsPath(vec![Segment::Sequence(numbers)]);
}
