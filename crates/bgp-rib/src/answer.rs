//! Answers to [`crate::query`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::Arc;

use bgp_wire::{AfiSafi, PathAttributes, PathId, RouteTarget};

use crate::bucket::{Bucket, Source};
use crate::chunked::NONE;
use crate::decision::{self, Candidate, Step};
use crate::family::TableFamily;
use crate::group::Ourselves;
use crate::peer::PeerIx;
use crate::query::{
    Answer, FamilyInfo, PathInfo, PeerFamilyInfo, PeerInfo, Query, RouteFilter, RouteInfo,
    RoutesAnswer, RoutesQuery, TargetInfo,
};
use crate::registry::World;
use crate::table::Table;
use crate::tables::{FAMILIES, Tables, with_table};

/// Destinations looked at for one page: some milliseconds.
const LOOK_AT: u32 = 50_000;

pub(crate) fn answer(world: &World, tables: &Tables, query: &Query) -> Answer {
    let answer = match query {
        Query::Routes(page) => with_table!(tables, page.family, table => {
            Answer::Routes(table.page(page, |destination| Some(table.route(world, destination))))
        }),
        Query::Advertised { peer, page } => with_table!(tables, page.family, table => {
            Answer::Routes(table.page(page, |destination| {
                table.advertised(world, destination, *peer)
            }))
        }),
        Query::Destination { family, key } => with_table!(tables, *family, table => {
            table.by_text(world, key)
        }),
        Query::Targets => Some(Answer::Targets(targets(world, tables))),
        Query::Peer(peer) => Some(Answer::Peer(peer_info(world, tables, *peer))),
        Query::Rejected => Some(Answer::Rejected(
            world
                .known()
                .flat_map(|(peer, known)| {
                    known.rejected.iter().map(move |(why, n)| (peer, *why, *n))
                })
                .collect(),
        )),
        Query::Summary => Some(Answer::Summary(
            FAMILIES
                .iter()
                .filter_map(|family| with_table!(tables, *family, table => table.size()))
                .collect(),
        )),
    };
    answer.unwrap_or(Answer::NoSuchKey)
}

fn targets(world: &World, tables: &Tables) -> Vec<TargetInfo> {
    let mut found: BTreeMap<RouteTarget, Vec<(AfiSafi, u32)>> =
        world.interest.targets().map(|target| (target, Vec::new())).collect();
    for family in FAMILIES {
        with_table!(tables, *family, table => {
            for target in table.buckets.targets.targets() {
                let buckets = table.buckets.targets.buckets(target);
                let best = buckets.iter().map(|bucket| table.buckets.at(*bucket).best).sum();
                found.entry(target).or_default().push((*family, best));
            }
        });
    }
    found
        .into_iter()
        .map(|(target, best)| TargetInfo {
            target,
            asked_by: world.interest.exactly(target).to_vec(),
            best,
        })
        .collect()
}

fn peer_info(world: &World, tables: &Tables, peer: PeerIx) -> Option<PeerInfo> {
    let known = world.peer(peer)?;
    let families = FAMILIES.iter().filter(|family| known.view.speaks(**family));
    Some(PeerInfo {
        router_id: known.view.router_id,
        up: known.up,
        blocked: known.blocked,
        families: families
            .filter_map(|family| with_table!(tables, *family, table => table.of_peer(world, peer)))
            .collect(),
        rejected: known.rejected.iter().map(|(reason, count)| (*reason, *count)).collect(),
    })
}

impl<F: TableFamily> Table<F> {
    fn size(&self) -> FamilyInfo {
        FamilyInfo {
            family: F::AFI_SAFI,
            destinations: self.destinations.len(),
            paths: self.paths.len(),
            buckets: self.buckets.len(),
            owed: self.owing.len(),
        }
    }

    fn of_peer(&self, world: &World, peer: PeerIx) -> PeerFamilyInfo {
        let sender = self.sender(peer);
        let advertised = if Self::CHOSEN_PER_PEER {
            let all = self.all().into_iter();
            let told = all.filter(|destination| self.told(world, *destination, peer).is_some());
            number(told.map(|destination| self.told_as(destination, peer).len()).sum())
        } else if self.many.limit(peer).is_some() && self.destinations.len() <= LOOK_AT {
            let all = self.all().into_iter();
            all.map(|destination| number(self.told_several(world, destination, peer).len())).sum()
        } else if self.many.limit(peer).is_some() {
            (0..self.buckets.end())
                .filter(|bucket| self.is_due(world, *bucket, peer))
                .map(|bucket| self.buckets.at(bucket).len)
                .sum()
        } else {
            (0..self.buckets.end())
                .filter(|bucket| self.buckets.at(*bucket).best > 0)
                .filter(|bucket| self.is_due(world, *bucket, peer))
                .map(|bucket| self.buckets.at(bucket).best)
                .sum()
        };
        PeerFamilyInfo {
            family: F::AFI_SAFI,
            received: sender.paths,
            best: self.buckets_of(peer).map(|bucket| self.buckets.at(bucket).best).sum(),
            stale: sender.stale,
            advertised,
            owed: self.owed_to(peer),
        }
    }

    fn by_text(&self, world: &World, key: &str) -> Answer {
        let Ok(key) = F::Key::from_str(key) else { return Answer::NoSuchKey };
        let found = self.find(&key).filter(|ix| self.destinations.at(*ix).head != NONE);
        Answer::Destination(found.map(|destination| self.route(world, destination)))
    }

    fn page<I: IntoIterator<Item = RouteInfo>>(
        &self,
        page: &RoutesQuery,
        show: impl Fn(u32) -> I,
    ) -> RoutesAnswer {
        let start = page.after.map_or(0, |after| after.saturating_add(1));
        let end = self.destinations.end();
        let stop = start.saturating_add(LOOK_AT).min(end);
        let mut routes = Vec::new();
        for destination in start..stop {
            // A free place has no paths either.
            if self.destinations.at(destination).head == NONE
                || !self.passes(destination, &page.filter)
            {
                continue;
            }
            routes.extend(show(destination));
            if routes.len() >= page.limit {
                let next = (destination + 1 < end).then_some(destination);
                return RoutesAnswer { routes, next };
            }
        }
        RoutesAnswer { routes, next: (stop < end).then(|| stop - 1) }
    }

    fn passes(&self, destination: u32, filter: &RouteFilter) -> bool {
        let key = &self.destinations.at(destination).key;
        let inside =
            filter.prefix.is_none_or(|prefix| F::net(key).is_some_and(|net| prefix.contains(&net)));
        let of_rd = filter.rd.is_none_or(|rd| F::route_distinguisher(key) == Some(rd));
        let mut buckets = self.paths_of(destination).map(|path| self.paths.at(path).bucket);
        inside
            && of_rd
            && filter.target.is_none_or(|target| {
                buckets
                    .next()
                    .is_some_and(|best| self.buckets.targets_of(best).any(|other| other == target))
            })
            && filter.from.is_none_or(|peer| {
                self.paths_of(destination)
                    .any(|path| self.buckets.at(self.paths.at(path).bucket).peer == peer)
            })
    }

    fn info(&self, destination: u32, paths: Vec<PathInfo>) -> RouteInfo {
        let key = self.destinations.at(destination).key.to_string();
        RouteInfo { family: F::AFI_SAFI, key, paths }
    }

    /// What a destination is called where a peer is told of it.
    fn told_as(&self, destination: u32, peer: PeerIx) -> Vec<F::Key> {
        let key = &self.destinations.at(destination).key;
        let group = self.group_ix(peer).map(|group| self.group(group));
        match group.and_then(|group| group.rewriting.as_ref()) {
            Some(both) => both.told.keys::<F>(key),
            None => vec![key.clone()],
        }
    }

    fn route(&self, world: &World, destination: u32) -> RouteInfo {
        let mut left: Vec<(u32, Candidate)> =
            self.paths_of(destination).map(|path| (path, self.candidate(world, path))).collect();
        let mut paths: Vec<PathInfo> = Vec::with_capacity(left.len());
        let candidates: Vec<Candidate> = left.iter().map(|(_, candidate)| *candidate).collect();
        let level: Vec<u32> =
            decision::multipath(&candidates).into_iter().map(|nth| left[nth].0).collect();
        let mut winner: Option<Candidate> = None;
        while let Some(at) = next_best(&left) {
            let (path, candidate) = left.swap_remove(at);
            let step = winner.as_ref().map(|winner| decision::step_between(winner, &candidate));
            if let [first] = &mut paths[..] {
                first.step = step;
            }
            let bucket = self.buckets.at(self.paths.at(path).bucket);
            let attributes = as_received(world, bucket);
            let info = self.path(world, path, winner.is_none(), step, attributes);
            paths.push(PathInfo { multipath: level.contains(&path), ..info });
            winner.get_or_insert(candidate);
        }
        self.info(destination, paths)
    }

    fn advertised(&self, world: &World, destination: u32, peer: PeerIx) -> Vec<RouteInfo> {
        let told: Vec<u32> = if self.many.limit(peer).is_some() {
            let told = self.told_several(world, destination, peer);
            told.into_iter().map(|(path, _)| path).collect()
        } else {
            self.told(world, destination, peer).into_iter().collect()
        };
        let Some(group) = self.group_ix(peer).filter(|_| !told.is_empty()) else {
            return Vec::new();
        };
        let group = self.group(group);
        let config = &world.config;
        let ourselves = Ourselves {
            asn: config.local_as,
            router_id: config.router_id,
            tracks_next_hops: config.decision.track_next_hops,
        };
        let paths: Vec<PathInfo> = told
            .iter()
            .map(|path| {
                let bucket = self.buckets.at(self.paths.at(*path).bucket);
                let (attributes, next_hop) = group.outgoing(bucket, ourselves);
                let attributes = Arc::new(attributes.into_owned());
                let number = || self.many.number(destination, *path).unwrap_or(PathId(0));
                let path_id = group.path_id().unwrap_or_else(number);
                let best = *path == self.destinations.at(destination).head;
                PathInfo { path_id, next_hop, ..self.path(world, *path, best, None, attributes) }
            })
            .collect();
        let keys = self.told_as(destination, peer).into_iter();
        keys.map(|key| RouteInfo {
            family: F::AFI_SAFI,
            key: key.to_string(),
            paths: paths.clone(),
        })
        .collect()
    }

    fn path(
        &self,
        world: &World,
        path: u32,
        best: bool,
        step: Option<Step>,
        attributes: Arc<PathAttributes>,
    ) -> PathInfo {
        let path = self.paths.at(path);
        let bucket = self.buckets.at(path.bucket);
        PathInfo {
            from: bucket.peer,
            from_address: address_of(world, bucket.peer),
            path_id: path.id,
            next_hop: bucket.next_hop,
            attributes,
            label: F::label(&path.data),
            data: F::text(&path.data),
            best,
            multipath: false,
            step,
            stale: path.stale,
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn next_best(left: &[(u32, Candidate)]) -> Option<usize> {
    let candidates: Vec<Candidate> = left.iter().map(|(_, candidate)| *candidate).collect();
    decision::best(&candidates)
}

fn address_of(world: &World, peer: PeerIx) -> IpAddr {
    world.peer(peer).map_or(IpAddr::V4(world.config.router_id), |known| known.view.address)
}

/// Takes away again what was added when the bucket was made.
fn as_received(world: &World, bucket: &Bucket) -> Arc<PathAttributes> {
    if !matches!(bucket.source, Source::Client | Source::NonClient) {
        return Arc::clone(&bucket.attributes);
    }
    let mut attributes = PathAttributes::clone(&bucket.attributes);
    attributes.cluster_list.remove(0);
    let sender = world.peer(bucket.peer).map(|known| known.view.router_id);
    if attributes.originator_id == sender {
        attributes.originator_id = None;
    }
    Arc::new(attributes)
}
