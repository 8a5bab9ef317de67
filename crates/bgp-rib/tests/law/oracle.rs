//! A shard without any index, queue or shortcut: lists of what each peer has said, and what follows
//! for each peer, computed from scratch. Written from the RFCs, not from the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use bgp_rib::{InterestMode, MembershipsOut, PeerKind, PeerView, UnicastNextHop};
use bgp_wire::community::Community;
use bgp_wire::{AfiSafi, NextHop, PathAttributes, RouteTarget, RtMembership};

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
    heard: BTreeMap<(Dest, u32), Heard>,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    peers: BTreeMap<u16, Peer>,
}

impl Oracle {
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
        self.peers.insert(peer, Peer { view, up: true, attached, heard });
        self.import(peer);
    }

    pub(crate) fn changed(&mut self, peer: u16, view: PeerView) {
        if let Some(known) = self.peers.get_mut(&peer).filter(|known| known.up) {
            known.attached |= !waits(&view);
            known.view = view;
            self.import(peer);
        }
    }

    fn import(&mut self, peer: u16) {
        let known = self.peers.get_mut(&peer).unwrap();
        let view = known.view.clone();
        known.heard.retain(|((family, _), _), heard| imports(&view, *family, &heard.attributes));
        for (((family, _), _), heard) in &mut known.heard {
            take_off_foreign_targets(&view, *family, &mut heard.attributes);
        }
    }

    pub(crate) fn down(&mut self, peer: u16, retained: &[AfiSafi]) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.heard.retain(|((family, _), _), heard| {
            retained.contains(family) && !(known.up && heard.stale)
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
        if accepts(&known.view, dest.0, &attributes) {
            take_off_foreign_targets(&known.view, dest.0, &mut attributes);
            known.heard.insert((dest, path_id), Heard { attributes, next_hop, data, stale: false });
        } else {
            known.heard.remove(&(dest, path_id));
        }
    }

    pub(crate) fn withdraw(&mut self, peer: u16, dest: Dest, path_id: u32) {
        if let Some(known) = self.peers.get_mut(&peer).filter(|known| known.up) {
            known.heard.remove(&(dest, path_id));
        }
    }

    /// All that a peer is to know.
    pub(crate) fn adj_rib_out(&self, peer: u16) -> BTreeMap<Dest, Told> {
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
            .filter_map(|dest| {
                let told = self.tell(peer, to, &dest)?;
                Some((dest, told))
            })
            .collect()
    }

    fn tell(&self, peer: u16, to: &Peer, dest: &Dest) -> Option<Told> {
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
                return Some(own_membership(&to.view));
            }
            if to.view.memberships == MembershipsOut::OwnOnly {
                return None;
            }
            paths.retain(|(from, known, _, heard)| {
                *from != peer && may_go(&known.view, heard, &to.view)
            });
        }
        let (from, known, _, heard) = best(paths)?;
        if from == peer || !may_go(&known.view, heard, &to.view) {
            return None;
        }
        if family.has_targets() && !wants(to, &heard.attributes) {
            return None;
        }
        Some(transform(known, heard, &to.view, family))
    }
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

fn accepts(view: &PeerView, family: AfiSafi, attributes: &PathAttributes) -> bool {
    let path: Vec<u32> = attributes.as_path.numbers().collect();
    let loops = path.contains(&LOCAL_AS);
    let ok = match view.kind {
        PeerKind::External { asn } => path.first() == Some(&asn),
        _ => {
            attributes.originator_id != Some(ROUTER_ID)
                && !attributes.cluster_list.contains(&CLUSTER_ID)
        }
    };
    ok && !loops && imports(view, family, attributes)
}

/// RFC 4271 section 9.1.2.2 and RFC 4456 section 9: losers are struck out step by step.
fn best<'a>(
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
    keep_least(&mut paths, |p| u32::MAX - p.3.attributes.local_pref.unwrap_or(100));
    keep_least(&mut paths, |p| p.3.attributes.as_path.length());
    keep_least(&mut paths, |p| p.3.attributes.origin);
    let neighbor = |p: &Entry<'_>| p.3.attributes.as_path.first().unwrap_or(0);
    let med = |p: &Entry<'_>| p.3.attributes.med.unwrap_or(0);
    let all = paths.clone();
    paths.retain(|p| !all.iter().any(|q| neighbor(q) == neighbor(p) && med(q) < med(p)));
    keep_least(&mut paths, |p| !external(p));
    keep_least(&mut paths, |p| p.3.attributes.originator_id.unwrap_or(p.1.view.router_id));
    keep_least(&mut paths, |p| p.3.attributes.cluster_list.len());
    keep_least(&mut paths, |p| p.1.view.address);
    keep_least(&mut paths, |p| p.2);
    assert!(paths.len() <= 1, "addresses of peers differ");
    paths.pop()
}

fn may_go(from: &PeerView, heard: &Heard, to: &PeerView) -> bool {
    let has = |community| heard.attributes.communities.contains(&community);
    if has(Community::NO_ADVERTISE) {
        return false;
    }
    let inside = !matches!(from.kind, PeerKind::External { .. });
    match to.kind {
        PeerKind::External { asn } => {
            !has(Community::NO_EXPORT) && !heard.attributes.as_path.contains(asn)
        }
        kind => {
            let meshed = from.kind == PeerKind::NonClient && kind == PeerKind::NonClient;
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
            attributes.as_path.prepend(LOCAL_AS);
        }
        PeerKind::Client => attributes.originator_id = Some(ROUTER_ID),
        PeerKind::NonClient => {}
    }
    Told { attributes, next_hop: to.local_address.into(), data: "()".to_owned() }
}

fn transform(from: &Peer, heard: &Heard, to: &PeerView, family: AfiSafi) -> Told {
    let mut attributes = heard.attributes.clone();
    let inside = !matches!(from.view.kind, PeerKind::External { .. });
    let mut next_hop = heard.next_hop;
    if matches!(to.kind, PeerKind::External { .. }) {
        if attributes.as_path.length() > 0 {
            attributes.med = None;
        }
        attributes.local_pref = None;
        attributes.originator_id = None;
        attributes.cluster_list.clear();
        attributes.extended_communities.retain(|community| community.0[0] & 0x40 == 0);
        attributes.as_path.prepend(LOCAL_AS);
        if family == AfiSafi::IPV4_UNICAST
            && to.unicast_next_hop == UnicastNextHop::OurselvesToExternal
        {
            next_hop = to.local_address.into();
        }
    } else {
        attributes.local_pref = Some(attributes.local_pref.unwrap_or(100));
        if inside {
            attributes.originator_id = attributes.originator_id.or(Some(from.view.router_id));
            attributes.cluster_list.insert(0, CLUSTER_ID);
        }
        if family == AfiSafi::RTC && to.kind == PeerKind::Client {
            attributes.originator_id = Some(ROUTER_ID);
        }
    }
    if family == AfiSafi::RTC {
        next_hop = to.local_address.into();
    }
    Told { attributes, next_hop, data: heard.data.clone() }
}
