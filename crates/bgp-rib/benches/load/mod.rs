//! The load of a reflector that starts: four senders, many clients, one attribute set per ten routes,
//! a label per route, a thousand route targets.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bgp_rib::{Batch, Full, Input, PeerIx, PeerKind, PeerView, Shard, ShardConfig, Sink};
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
}

impl Sink for Counter {
    fn push(&mut self, _: PeerIx, batch: Batch) -> Result<(), Full> {
        self.batches += 1;
        self.octets += batch.len() as u64;
        Ok(())
    }
}

/// A shard with all sessions up and nothing in its tables.
pub(crate) fn shard(clients: u16) -> Shard {
    let mut shard = Shard::new(ShardConfig {
        shard: 0,
        shards: 1,
        local_as: 64_512,
        router_id: Ipv4Addr::new(10, 0, 0, 1),
        cluster_id: Ipv4Addr::new(10, 0, 0, 1),
        hash_seed: 1,
    });
    for peer in 0..SENDERS + clients {
        let view = view(peer);
        shard.handle(Input::PeerUp { peer: PeerIx(peer), view });
    }
    shard.flush(&mut Counter::default());
    shard
}

fn view(peer: u16) -> Arc<PeerView> {
    let address = Ipv4Addr::from(0x0a01_0000 + u32::from(peer));
    let negotiated = Negotiated { families: vec![AfiSafi::VPNV4], ..Negotiated::everything() };
    let local = Ipv4Addr::new(10, 0, 0, 1).into();
    Arc::new(PeerView::new(PeerKind::Client, address, address.into(), local, negotiated))
}

/// One more client.
pub(crate) fn late(clients: u16) -> (Arc<PeerView>, PeerIx) {
    let peer = SENDERS + clients;
    (view(peer), PeerIx(peer))
}

/// What senders say, in turn, in batches as sessions hand them over. Ends after `routes` routes.
pub(crate) fn inputs(routes: u32) -> impl Iterator<Item = Input> {
    let sets = routes / ROUTES_PER_SET;
    let batch = u32::try_from(BATCH).expect("a small number");
    (0..sets.div_ceil(batch)).map(move |nth| {
        let sender = u16::try_from(nth % u32::from(SENDERS)).expect("a small number");
        let numbers = nth * batch..((nth + 1) * batch).min(sets);
        let updates = numbers.map(|set| update(sender, set)).collect();
        Input::Updates { peer: PeerIx(sender), updates }
    })
}

fn update(sender: u16, set: u32) -> Update {
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
    let rd = RouteDistinguisher::ipv4(Ipv4Addr::from(0x0a01_0000 + u32::from(sender)), number);
    let list = (0..ROUTES_PER_SET)
        .map(|n| {
            let host = Ipv4Addr::from(0x0a80_0000 + set * ROUTES_PER_SET + n);
            Route::<VpnV4> {
                path_id: PathId(0),
                key: VpnKey { rd, net: ipnet::Ipv4Net::from(host) },
                data: Label::mpls(16 + n + set % 100_000).expect("below 2^20"),
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

/// Handles and flushes all of `inputs`, as a shard thread does.
pub(crate) fn run(shard: &mut Shard, inputs: impl Iterator<Item = Input>, counter: &mut Counter) {
    for input in inputs {
        shard.handle(input);
        shard.flush(counter);
        while shard.has_work() {
            shard.flush(counter);
        }
    }
}

/// The most memory that this process has had resident, in octets.
pub(crate) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kibibytes = line.split_whitespace().nth(1).expect("a number");
    kibibytes.parse::<u64>().expect("a number") * 1_024
}
