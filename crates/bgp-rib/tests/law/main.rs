//! The law: for any sequence of inputs, what a peer was told, applied in order, equals what follows
//! from the state at the end, whatever was blocked, walked, retained, changed or reused on the way.

mod oracle;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use bgp_rib::{
    Batch, Full, Input, Output, Pace, PeerIx, PeerView, Shard, ShardConfig, ShardMap, Sink,
};
use bgp_wire::{
    AfiSafi, Evpn, Family, Ipv4Unicast, Ipv6Unicast, Message, Negotiated, NextHop, PathAttributes,
    PathId, Route, Rtc, Update, VpnV4, VpnV6, Withdrawal, for_each_family, frame,
};
use oracle::{Dest, Oracle, Told};
use proptest::prelude::*;
use script::{Op, PEERS};

/// What one peer has been told so far.
#[derive(Debug)]
struct Receiver {
    /// How it reads what we send.
    negotiated: Negotiated,
    knows: BTreeMap<Dest, Told>,
    /// Markers by family and shard.
    ends: BTreeMap<(AfiSafi, u16), u32>,
}

/// The queues of all peers, of which some refuse.
#[derive(Debug, Default)]
struct Queues {
    shard: u16,
    receivers: BTreeMap<PeerIx, Receiver>,
    /// Batches that a peer still takes; absent: any number.
    credit: BTreeMap<PeerIx, u8>,
    /// (Shard, peer) that were refused and are owed a `Drained`.
    refused: BTreeSet<(u16, PeerIx)>,
}

impl Sink for Queues {
    fn push(&mut self, peer: PeerIx, batch: Batch) -> Result<(), Full> {
        if let Some(credit) = self.credit.get_mut(&peer) {
            if *credit == 0 {
                self.refused.insert((self.shard, peer));
                return Err(Full);
            }
            *credit -= 1;
        }
        let receiver = self.receivers.get_mut(&peer).expect("only peers that are up are told");
        assert!(!batch.is_empty(), "an empty batch");
        for octets in batch.slices() {
            receiver.read(&octets);
        }
        for family in batch.end_of_rib {
            *receiver.ends.entry((family, self.shard)).or_default() += 1;
        }
        Ok(())
    }
}

impl Receiver {
    fn new(view: &PeerView) -> Self {
        let sent = &view.negotiated;
        let negotiated = Negotiated {
            add_path_receive: sent.add_path_send.clone(),
            add_path_send: Vec::new(),
            ..sent.clone()
        };
        Self { negotiated, knows: BTreeMap::new(), ends: BTreeMap::new() }
    }

    fn read(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            let length = frame::length(octets, self.negotiated.max_message())
                .expect("a valid header")
                .expect("a whole header");
            let (message, rest) = octets.split_at(length);
            octets = rest;
            let Message::Update(update) =
                Message::decode(message, &self.negotiated).expect("a message")
            else {
                panic!("not an UPDATE");
            };
            assert_eq!(update.faults, []);
            for list in update.withdrawn {
                for_each_family!(Withdrawals, list, list => self.forget(list));
            }
            for (next_hop, list) in update.announced {
                for_each_family!(Routes, list, list => self.learn(list, &update.attributes, next_hop));
            }
        }
    }

    fn learn<F: Family>(
        &mut self,
        list: Vec<Route<F>>,
        attributes: &PathAttributes,
        next_hop: NextHop,
    ) {
        for Route { path_id, key, data } in list {
            self.check_id(F::AFI_SAFI, path_id);
            let told = Told { attributes: attributes.clone(), next_hop, data: format!("{data:?}") };
            self.knows.insert((F::AFI_SAFI, key.to_string()), told);
        }
    }

    fn forget<F: Family>(&mut self, list: Vec<Withdrawal<F>>) {
        for Withdrawal { path_id, key } in list {
            self.check_id(F::AFI_SAFI, path_id);
            self.knows.remove(&(F::AFI_SAFI, key.to_string()));
        }
    }

    fn check_id(&self, family: AfiSafi, path_id: PathId) {
        let expected = u32::from(self.negotiated.add_path_receive.contains(&family));
        assert_eq!(path_id.0, expected, "the same identifier in each message");
    }
}

/// Shards, queues and oracle side by side.
struct Bench {
    map: ShardMap,
    shards: Vec<Shard>,
    queues: Queues,
    oracle: Oracle,
    /// Whether the peer has ever been up under this number: then `Gone` must be answered.
    pace: Pace,
}

impl Bench {
    fn new(shards: u16, pace: Pace) -> Self {
        let config = |shard| ShardConfig {
            shard,
            shards,
            local_as: oracle::LOCAL_AS,
            router_id: oracle::ROUTER_ID,
            cluster_id: oracle::CLUSTER_ID,
            hash_seed: 7,
        };
        let shard = |number| {
            let mut shard = Shard::new(config(number));
            shard.set_pace(pace);
            shard
        };
        Self {
            map: ShardMap::new(shards),
            shards: (0..shards).map(shard).collect(),
            queues: Queues::default(),
            oracle: Oracle::default(),
            pace,
        }
    }

    fn all(&mut self, input: &Input) {
        self.shards.iter_mut().for_each(|shard| shard.handle(input.clone()));
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Up(peer, manner) => {
                let view = script::view(*peer, manner);
                let ix = PeerIx(*peer);
                self.queues.receivers.insert(ix, Receiver::new(&view));
                self.queues.credit.remove(&ix);
                self.queues.refused.retain(|(_, refused)| *refused != ix);
                self.all(&Input::PeerUp { peer: ix, view: Arc::new(view.clone()) });
                self.oracle.up(*peer, view);
            }
            Op::Down(peer, kept) => {
                let retained: Vec<AfiSafi> = script::FAMILIES
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| kept >> n & 1 == 1)
                    .map(|(_, family)| *family)
                    .collect();
                self.queues.receivers.remove(&PeerIx(*peer));
                self.all(&Input::PeerDown { peer: PeerIx(*peer), retained: retained.clone() });
                self.oracle.down(*peer, &retained);
            }
            Op::Gone(peer) => {
                self.queues.receivers.remove(&PeerIx(*peer));
                self.all(&Input::PeerGone { peer: PeerIx(*peer) });
                self.oracle.gone(*peer);
                for shard in &mut self.shards {
                    let gone = Output::Gone { peer: PeerIx(*peer) };
                    assert!(shard.take_outputs().contains(&gone));
                }
            }
            Op::Changed(peer, policy) => {
                let Some(view) = self.oracle.view(*peer) else { return };
                let view = script::with_policy(view.clone(), policy);
                let input =
                    Input::PeerChanged { peer: PeerIx(*peer), view: Arc::new(view.clone()) };
                self.all(&input);
                self.oracle.changed(*peer, view);
            }
            Op::Announce(peer, family, attributes, routes, id) => {
                let Some(view) = self.oracle.view(*peer).cloned() else { return };
                let attributes = script::path_attributes(&view, attributes);
                let next = if routes[0].0 % 2 == 0 { 1 } else { 2 };
                let v4 = NextHop::V4([192, 0, 2, next].into());
                let v6 = NextHop::V6([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(next)].into());
                let from = (*peer, u32::from(*id));
                match script::FAMILIES[*family] {
                    AfiSafi::IPV4_UNICAST => {
                        self.announce::<Ipv4Unicast>(from, attributes, v4, routes, |n, _| {
                            (script::ipv4_net(n), ())
                        })
                    }
                    AfiSafi::IPV6_UNICAST => {
                        self.announce::<Ipv6Unicast>(from, attributes, v6, routes, |n, _| {
                            (script::ipv6_net(n), ())
                        })
                    }
                    AfiSafi::VPNV4 => {
                        self.announce::<VpnV4>(from, attributes, v4, routes, |n, l| {
                            (script::vpn4(n), script::label(l))
                        })
                    }
                    AfiSafi::VPNV6 => {
                        self.announce::<VpnV6>(from, attributes, v6, routes, |n, l| {
                            (script::vpn6(n), script::label(l))
                        })
                    }
                    AfiSafi::EVPN => self.announce::<Evpn>(from, attributes, v4, routes, |n, l| {
                        let key = script::evpn(n);
                        let data = script::evpn_data(&key, l);
                        (key, data)
                    }),
                    _ => self.announce::<Rtc>(from, attributes, v4, routes, |n, l| {
                        (script::membership(n + l), ())
                    }),
                }
            }
            Op::Withdraw(peer, family, keys, id) => {
                let from = (*peer, u32::from(*id));
                match script::FAMILIES[*family] {
                    AfiSafi::IPV4_UNICAST => {
                        self.withdraw::<Ipv4Unicast>(from, keys, script::ipv4_net)
                    }
                    AfiSafi::IPV6_UNICAST => {
                        self.withdraw::<Ipv6Unicast>(from, keys, script::ipv6_net)
                    }
                    AfiSafi::VPNV4 => self.withdraw::<VpnV4>(from, keys, script::vpn4),
                    AfiSafi::VPNV6 => self.withdraw::<VpnV6>(from, keys, script::vpn6),
                    AfiSafi::EVPN => self.withdraw::<Evpn>(from, keys, script::evpn),
                    _ => self.withdraw::<Rtc>(from, keys, script::membership),
                }
            }
            Op::EndOfRib(peer, family) => {
                let family = script::FAMILIES[*family];
                let update = Update {
                    withdrawn: Vec::new(),
                    announced: Vec::new(),
                    attributes: Arc::default(),
                    end_of_rib: Some(family),
                    faults: Vec::new(),
                };
                self.deliver(*peer, update);
                self.oracle.end_of_rib(*peer, family);
            }
            Op::RtcTimeout(peer) => {
                self.all(&Input::RtcTimeout { peer: PeerIx(*peer) });
                self.oracle.attach(*peer);
            }
            Op::Refresh(peer, family) => {
                let family = script::FAMILIES[*family];
                // It asks because it has forgotten.
                if let Some(receiver) = self.queues.receivers.get_mut(&PeerIx(*peer)) {
                    receiver.knows.retain(|(of, _), _| *of != family);
                }
                self.all(&Input::RouteRefresh { peer: PeerIx(*peer), family });
            }
            Op::Sweep(peer, family) => {
                let family = script::FAMILIES[*family];
                self.all(&Input::StaleSweep { peer: PeerIx(*peer), family });
                self.oracle.sweep(*peer, family);
            }
            Op::Block(peer, credit) => {
                self.queues.credit.insert(PeerIx(*peer), *credit);
            }
            Op::Unblock(peer) => self.unblock(PeerIx(*peer)),
            Op::Flush => self.flush(),
            Op::Check => self.check(),
        }
    }

    fn unblock(&mut self, peer: PeerIx) {
        self.queues.credit.remove(&peer);
        for (number, shard) in (0u16..).zip(&mut self.shards) {
            if self.queues.refused.remove(&(number, peer)) {
                shard.handle(Input::Drained { peer });
            }
        }
    }

    fn deliver(&mut self, peer: u16, update: Update) {
        let shards = &mut self.shards;
        self.map.split(update, |shard, update| {
            let updates = vec![update];
            shards[usize::from(shard)].handle(Input::Updates { peer: PeerIx(peer), updates });
        });
    }

    fn announce<F: Family>(
        &mut self,
        (peer, id): (u16, u32),
        attributes: PathAttributes,
        next_hop: NextHop,
        routes: &[(u8, u8)],
        make: impl Fn(u8, u8) -> (F::Key, F::Data),
    ) where
        F::Data: Debug,
    {
        let mut list = Vec::new();
        for (number, data) in routes {
            let (key, data) = make(*number, *data);
            let dest = (F::AFI_SAFI, key.to_string());
            let text = format!("{data:?}");
            self.oracle.announce(peer, dest, id, attributes.clone(), next_hop, text);
            list.push(Route { path_id: PathId(id), key, data });
        }
        self.deliver(
            peer,
            Update {
                withdrawn: Vec::new(),
                announced: vec![(next_hop, F::into_routes(list))],
                attributes: Arc::new(attributes),
                end_of_rib: None,
                faults: Vec::new(),
            },
        );
    }

    fn withdraw<F: Family>(
        &mut self,
        (peer, id): (u16, u32),
        keys: &[u8],
        make: impl Fn(u8) -> F::Key,
    ) {
        let mut list = Vec::new();
        for number in keys {
            let key = make(*number);
            self.oracle.withdraw(peer, (F::AFI_SAFI, key.to_string()), id);
            list.push(Withdrawal { path_id: PathId(id), key });
        }
        self.deliver(
            peer,
            Update {
                withdrawn: vec![F::into_withdrawals(list)],
                announced: Vec::new(),
                attributes: Arc::default(),
                end_of_rib: None,
                faults: Vec::new(),
            },
        );
    }

    fn flush(&mut self) {
        for (number, shard) in (0u16..).zip(&mut self.shards) {
            self.queues.shard = number;
            shard.flush(&mut self.queues);
        }
    }

    /// Flushes to the end, and compares for all peers that are not blocked.
    fn check(&mut self) {
        let mut flushes = 0;
        loop {
            self.flush();
            if !self.shards.iter().any(Shard::has_work) {
                break;
            }
            flushes += 1;
            assert!(flushes < 10_000, "work without end at {:?}", self.pace);
        }
        for peer in (0..PEERS).filter(|peer| self.oracle.is_up(*peer)) {
            let ix = PeerIx(peer);
            if self.queues.refused.iter().any(|(_, refused)| *refused == ix) {
                continue;
            }
            let receiver = &self.queues.receivers[&ix];
            let derived = self.oracle.adj_rib_out(peer);
            if receiver.knows != derived {
                let knows = &receiver.knows;
                let differ: Vec<_> = knows
                    .keys()
                    .chain(derived.keys())
                    .filter(|dest| knows.get(*dest) != derived.get(*dest))
                    .map(|dest| (dest, knows.get(dest), derived.get(dest)))
                    .collect();
                panic!("peer {peer}: (destination, told, derived) {differ:#?}");
            }
        }
    }

    /// Lets everything drain, compares, and looks whether each end of a table was said once.
    fn finish(&mut self) {
        (0..PEERS).for_each(|peer| self.unblock(PeerIx(peer)));
        self.check();
        for (peer, receiver) in &self.queues.receivers {
            let Some(view) = self.oracle.view(peer.0) else { continue };
            let attached = self.oracle.is_attached(peer.0);
            for family in &view.negotiated.families {
                for shard in 0..self.map.shards() {
                    let ends = receiver.ends.get(&(*family, shard)).copied().unwrap_or(0);
                    let due = u32::from(attached || !family.has_targets());
                    assert_eq!(ends, due, "ends of {family} from shard {shard} for peer {peer}");
                }
            }
        }
    }
}

fn pace() -> impl Strategy<Value = Pace> {
    prop_oneof![
        Just(Pace::default()),
        (1usize..4, 1usize..3, 1usize..4).prop_map(|(round, rounds, walk)| Pace {
            round,
            rounds,
            walk
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_told_is_what_follows(
        shards in 1u16..4,
        pace in pace(),
        start in proptest::collection::vec(script::manner(), 0..4),
        ops in proptest::collection::vec(script::op(), 1..120),
    ) {
        let mut bench = Bench::new(shards, pace);
        for (peer, manner) in (0u16..).zip(start) {
            bench.run(&Op::Up(peer, manner));
        }
        for op in &ops {
            bench.run(op);
        }
        bench.finish();
    }
}
