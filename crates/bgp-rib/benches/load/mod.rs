//! The load of a reflector that starts: four senders, many clients, one attribute set per ten routes,
//! a label per route, a thousand route targets.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::Arc;

use bgp_rib::{Batch, Full, Input, PeerIx, PeerKind, PeerView, Shard, ShardConfig, ShardMap, Sink};
use bgp_wire::{
    AfiSafi, ExtendedCommunity, Label, Negotiated, NextHop, PathAttributes, PathId, Route,
    RouteDistinguisher, RouteTarget, Update, VpnKey, VpnV4,
};

const SENDERS: u16 = 4;
const ROUTES_PER_SET: u32 = 10;
const TARGETS: u32 = 1_000;
/// UPDATEs that a session hands over at once.
const BATCH: usize = 64;

/// Queues that take everything, and count.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    pub(crate) batches: u64,
    pub(crate) octets: u64,
    /// To the first of the clients only: counting costs something too.
    pub(crate) messages: u64,
}

impl Sink for Counter {
    fn push(&mut self, peer: PeerIx, batch: &Batch) -> Result<(), Full> {
        self.batches += 1;
        self.octets += batch.octets() as u64;
        if peer == PeerIx(SENDERS) {
            self.messages += batch.slices().map(messages).sum::<u64>();
        }
        Ok(())
    }
}

/// Messages that lie back to back (RFC 4271 §4.1).
fn messages(mut octets: &[u8]) -> u64 {
    let mut count = 0;
    while let Some(length) = octets.get(16..18) {
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        octets = octets.get(length..).expect("whole messages");
        count += 1;
    }
    count
}

/// Shards with all sessions up and nothing in their tables. Senders are `senders`.
pub(crate) fn shards(count: u16, senders: PeerKind, clients: u16) -> Vec<Shard> {
    (0..count).map(|number| shard(number, count, senders, clients)).collect()
}

fn shard(shard: u16, shards: u16, senders: PeerKind, clients: u16) -> Shard {
    let mut shard = Shard::new(ShardConfig {
        shard,
        shards,
        local_as: 64_512,
        router_id: Ipv4Addr::new(10, 0, 0, 1),
        cluster_id: Ipv4Addr::new(10, 0, 0, 1),
        decision: bgp_rib::DecisionOptions::default(),
        client_to_client: true,
        hash_seed: 1,
    });
    for peer in 0..SENDERS + clients {
        let view = view(peer, if peer < SENDERS { senders } else { PeerKind::Client });
        shard.handle(Input::PeerUp { peer: PeerIx(peer), view });
    }
    shard.flush(&mut Counter::default());
    shard
}

fn view(peer: u16, kind: PeerKind) -> Arc<PeerView> {
    let address = Ipv4Addr::from(0x0a01_0000 + u32::from(peer));
    let negotiated = Negotiated { families: vec![AfiSafi::VPNV4], ..Negotiated::everything() };
    let local = Ipv4Addr::new(10, 0, 0, 1).into();
    Arc::new(PeerView::new(kind, address, address.into(), local, negotiated))
}

/// One more client.
pub(crate) fn late(clients: u16) -> (Arc<PeerView>, PeerIx) {
    let peer = SENDERS + clients;
    (view(peer, PeerKind::Client), PeerIx(peer))
}

/// What senders say, in turn, in batches as sessions hand them over. Ends after `routes` routes.
pub(crate) fn inputs(routes: u32) -> impl Iterator<Item = Input> {
    batches(routes).enumerate().map(|(nth, sets)| {
        let sender = u16::try_from(nth % usize::from(SENDERS)).expect("a small number");
        said(sender, sender, sets)
    })
}

/// The same routes, said by every sender: each has a path that is better than those before it.
pub(crate) fn contended(routes: u32) -> impl Iterator<Item = Input> {
    let by_each =
        |sets: Range<u32>| (0..SENDERS).rev().map(move |sender| said(sender, 0, sets.clone()));
    batches(routes).flat_map(by_each)
}

/// The attribute sets of `routes`, as many at a time as a session hands over.
fn batches(routes: u32) -> impl Iterator<Item = Range<u32>> {
    let sets = routes / ROUTES_PER_SET;
    let batch = u32::try_from(BATCH).expect("a small number");
    (0..sets.div_ceil(batch)).map(move |nth| nth * batch..((nth + 1) * batch).min(sets))
}

fn said(sender: u16, owner: u16, sets: Range<u32>) -> Input {
    let updates = sets.map(|set| update(owner, set)).collect();
    Input::Updates { peer: PeerIx(sender), updates }
}

/// The routes of an attribute set, in the distinguishers of `owner`.
fn update(owner: u16, set: u32) -> Update {
    let node = Ipv4Addr::from(0x0a02_0000 + set % 5_000);
    let target = RouteTarget::as2(64_512, set % TARGETS);
    let attributes = PathAttributes {
        local_pref: Some(100),
        med: Some(set),
        extended_communities: vec![
            target.into(),
            ExtendedCommunity::encapsulation(bgp_wire::community::TunnelType::GRE),
        ],
        ..PathAttributes::default()
    };
    let number = u16::try_from(set % 65_000).expect("below 65,000");
    let rd = RouteDistinguisher::ipv4(Ipv4Addr::from(0x0a01_0000 + u32::from(owner)), number);
    let list = (0..ROUTES_PER_SET)
        .map(|n| {
            let host = Ipv4Addr::from(0x0a80_0000 + set * ROUTES_PER_SET + n);
            Route::<VpnV4> {
                path_id: PathId(0),
                key: VpnKey { rd, net: ipnet::Ipv4Net::from(host) },
                data: Label::mpls(16 + n + set % 100_000).expect("below 2^20").into(),
            }
        })
        .collect();
    Update {
        withdrawn: Vec::new(),
        announced: vec![(NextHop::V4(node), bgp_wire::nlri::Routes::VpnV4(list))],
        attributes: Arc::new(attributes),
        end_of_rib: None,
        faults: Vec::new(),
    }
}

/// Divides all of `inputs` among the shards, which handle and flush them, as their threads do.
pub(crate) fn run(
    shards: &mut [Shard],
    inputs: impl Iterator<Item = Input>,
    counter: &mut Counter,
) {
    let map = ShardMap::new(u16::try_from(shards.len()).expect("few shards"));
    for input in inputs {
        let parts = divide(map, input);
        for (shard, input) in shards.iter_mut().zip(parts) {
            let Some(input) = input else { continue };
            handled(shard, input);
            packed(shard, counter);
        }
    }
}

/// What comes in: interning, looking up, deciding, noting who is owed what.
#[inline(never)]
fn handled(shard: &mut Shard, input: Input) {
    shard.handle(input);
}

/// What goes out: choosing what goes into which message, writing it, handing it out.
#[inline(never)]
fn packed(shard: &mut Shard, counter: &mut Counter) {
    shard.flush(counter);
    while shard.has_work() {
        shard.flush(counter);
    }
}

/// What each shard gets of an input: of UPDATEs its part, of all else everything.
fn divide(map: ShardMap, input: Input) -> Vec<Option<Input>> {
    let shards = usize::from(map.shards());
    let Input::Updates { peer, updates } = input else { return vec![Some(input); shards] };
    let mut parts = vec![Vec::new(); shards];
    for update in updates {
        map.split(update, |shard, part| parts[usize::from(shard)].push(part));
    }
    let some = |updates: Vec<_>| (!updates.is_empty()).then_some(Input::Updates { peer, updates });
    parts.into_iter().map(some).collect()
}

/// The most memory that this process has had resident, in octets.
pub(crate) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kibibytes = line.split_whitespace().nth(1).expect("a number");
    kibibytes.parse::<u64>().expect("a number") * 1_024
}
