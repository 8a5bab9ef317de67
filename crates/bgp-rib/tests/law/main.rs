//! The law: for any sequence of inputs, what a peer was told, applied in order, equals what follows
//! from the state at the end, whatever was blocked, walked, retained, changed or reused on the way.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by it, also in its helpers")]

mod oracle;
mod receiver;
mod script;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use bgp_rib::journal::{Reader, Writer};
use bgp_rib::query::{RouteFilter, RoutesQuery};
use bgp_rib::{
    Answer, DecisionOptions, Input, Output, Pace, PeerIx, Query, Shard, ShardConfig, ShardMap,
};
use bgp_wire::{
    AfiSafi, Evpn, Family, Ipv4Labeled, Ipv4Unicast, Ipv6Labeled, Ipv6Unicast, Labels, NextHop,
    PathAttributes, PathId, Route, Rtc, Update, VpnV4, VpnV6, Withdrawal,
};
use oracle::{Dest, Oracle, Rules, Told};
use proptest::prelude::*;
use receiver::{Queues, Receiver};
use script::{Attributes, Op, PEERS};

/// Shards, queues and oracle side by side.
struct Bench {
    map: ShardMap,
    shards: Vec<Shard>,
    queues: Queues,
    oracle: Oracle,
    journals: Vec<Writer<Vec<u8>>>,
    /// Of each shard, those that nobody took.
    outputs: Vec<Vec<Output>>,
    pace: Pace,
}

impl Bench {
    fn new(shards: u16, pace: Pace, rules: Rules) -> Self {
        let config = |shard| ShardConfig {
            shard,
            shards,
            local_as: oracle::LOCAL_AS,
            router_id: oracle::ROUTER_ID,
            cluster_id: oracle::CLUSTER_ID,
            decision: rules.decision,
            client_to_client: rules.client_to_client,
            hash_seed: 7,
        };
        let shard = |number| {
            let mut shard = Shard::new(config(number));
            shard.set_pace(pace);
            shard
        };
        let journal = |number| Writer::new(Vec::new(), &config(number)).expect("memory");
        Self {
            journals: (0..shards).map(journal).collect(),
            map: ShardMap::new(shards),
            shards: (0..shards).map(shard).collect(),
            queues: Queues::default(),
            oracle: Oracle::new(rules),
            outputs: vec![Vec::new(); shards.into()],
            pace,
        }
    }

    fn all(&mut self, input: &Input) {
        for number in 0..self.map.shards() {
            self.one(number, input.clone());
        }
    }

    fn one(&mut self, number: u16, input: Input) {
        let number = usize::from(number);
        self.journals[number].record(&input).expect("memory");
        self.shards[number].handle(input);
        for output in self.shards[number].take_outputs() {
            match output {
                Output::NextHopWanted { next_hop, wanted: true } => {
                    let cost = self.oracle.cost(next_hop);
                    self.one(number.try_into().unwrap(), Input::NextHop { next_hop, cost });
                }
                output => self.outputs[number].push(output),
            }
        }
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
                for outputs in &mut self.outputs {
                    let gone = Output::Gone { peer: PeerIx(*peer) };
                    assert!(std::mem::take(outputs).contains(&gone));
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
                let from = (*peer, u32::from(*id));
                self.announce_some(from, script::FAMILIES[*family], attributes, routes);
            }
            Op::Withdraw(peer, family, keys, id) => {
                let from = (*peer, u32::from(*id));
                self.withdraw_some(from, script::FAMILIES[*family], keys);
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
            Op::Refresh(peer, family) => self.refresh(*peer, script::FAMILIES[*family]),
            Op::Sweep(peer, family) => {
                let family = script::FAMILIES[*family];
                self.all(&Input::StaleSweep { peer: PeerIx(*peer), family });
                self.oracle.sweep(*peer, family);
            }
            Op::LongLived(peer, family) => {
                let family = script::FAMILIES[*family];
                self.all(&Input::LongLived { peer: PeerIx(*peer), family });
                self.oracle.long_lived(*peer, family);
            }
            Op::NextHop(number, cost) => {
                let (v4, v6) = script::next_hops_by(*number);
                for next_hop in [v4, v6].into_iter().filter_map(NextHop::address) {
                    let cost = (*cost > 0).then_some((*cost).into());
                    self.oracle.next_hop(next_hop, cost);
                    self.all(&Input::NextHop { next_hop, cost });
                }
            }
            Op::Mark(peer, family, begin) => {
                let family = script::FAMILIES[*family];
                self.all(&Input::RefreshMark { peer: PeerIx(*peer), family, begin: *begin });
                self.oracle.mark(*peer, family, *begin);
            }
            Op::Block(peer, credit) => {
                self.queues.credit.insert(PeerIx(*peer), *credit);
            }
            Op::Unblock(peer) => self.unblock(PeerIx(*peer)),
            Op::Flush => self.flush(),
            Op::Check => self.check(),
        }
    }

    fn refresh(&mut self, peer: u16, family: AfiSafi) {
        let marks = self.oracle.view(peer).is_some_and(|view| view.enhanced_refresh);
        if let Some(receiver) = self.queues.receivers.get_mut(&PeerIx(peer)).filter(|_| !marks) {
            // It asks because it has forgotten.
            receiver.knows.retain(|((of, _), _), _| *of != family);
        }
        self.all(&Input::RouteRefresh { peer: PeerIx(peer), family });
    }

    fn unblock(&mut self, peer: PeerIx) {
        self.queues.credit.remove(&peer);
        for number in 0..self.map.shards() {
            if self.queues.refused.remove(&(number, peer)) {
                self.one(number, Input::Drained { peer });
            }
        }
    }

    fn deliver(&mut self, peer: u16, update: Update) {
        self.map.split(update, |shard, update| {
            let updates = vec![update];
            self.one(shard, Input::Updates { peer: PeerIx(peer), updates });
        });
    }

    fn announce_some(
        &mut self,
        from: (u16, u32),
        family: AfiSafi,
        attributes: &Attributes,
        routes: &[(u8, u8)],
    ) {
        let Some(view) = self.oracle.view(from.0).cloned() else { return };
        let (v4, v6) = script::next_hops(attributes);
        let says = script::path_attributes(&view, attributes);
        match family {
            AfiSafi::IPV4_UNICAST => {
                self.announce::<Ipv4Unicast>(from, says, v4, routes, |n, _| {
                    (script::ipv4_net(n), ())
                });
            }
            AfiSafi::IPV6_UNICAST => {
                self.announce::<Ipv6Unicast>(from, says, v6, routes, |n, _| {
                    (script::ipv6_net(n), ())
                });
            }
            AfiSafi::VPNV4 => {
                let make = |n, l| (script::vpn4(n), script::label(l).into());
                self.announce::<VpnV4>(from, says, v4, routes, make);
            }
            AfiSafi::VPNV6 => {
                let make = |n, l| (script::vpn6(n), script::label(l).into());
                self.announce::<VpnV6>(from, says, v6, routes, make);
            }
            AfiSafi::IPV4_LABELED => {
                let make = |n, l| (script::ipv4_net(n), Labels::one(script::label(l)));
                self.announce::<Ipv4Labeled>(from, says, v4, routes, make);
            }
            AfiSafi::IPV6_LABELED => {
                let make = |n, l| (script::ipv6_net(n), Labels::one(script::label(l)));
                self.announce::<Ipv6Labeled>(from, says, v6, routes, make);
            }
            AfiSafi::EVPN => {
                let make = |n, l| (script::evpn(n), script::evpn_data(&script::evpn(n), l));
                self.announce::<Evpn>(from, says, v4, routes, make);
            }
            _ => {
                let make = |n, l| (script::membership(n + l), ());
                self.announce::<Rtc>(from, says, v4, routes, make);
            }
        }
    }

    fn withdraw_some(&mut self, from: (u16, u32), family: AfiSafi, keys: &[u8]) {
        match family {
            AfiSafi::IPV4_UNICAST => self.withdraw::<Ipv4Unicast>(from, keys, script::ipv4_net),
            AfiSafi::IPV6_UNICAST => self.withdraw::<Ipv6Unicast>(from, keys, script::ipv6_net),
            AfiSafi::VPNV4 => self.withdraw::<VpnV4>(from, keys, script::vpn4),
            AfiSafi::VPNV6 => self.withdraw::<VpnV6>(from, keys, script::vpn6),
            AfiSafi::IPV4_LABELED => self.withdraw::<Ipv4Labeled>(from, keys, script::ipv4_net),
            AfiSafi::IPV6_LABELED => self.withdraw::<Ipv6Labeled>(from, keys, script::ipv6_net),
            AfiSafi::EVPN => self.withdraw::<Evpn>(from, keys, script::evpn),
            _ => self.withdraw::<Rtc>(from, keys, script::membership),
        }
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
            let mut knows: BTreeMap<Dest, Vec<String>> = BTreeMap::new();
            for ((dest, _), told) in &receiver.knows {
                knows.entry(dest.clone()).or_default().push(format!("{told:#?}"));
            }
            let text = |told: Vec<Told>| told.iter().map(|told| format!("{told:#?}")).collect();
            let mut derived: BTreeMap<Dest, Vec<String>> =
                derived.into_iter().map(|(dest, told)| (dest, text(told))).collect();
            // Which number a path has is ours to choose.
            knows.values_mut().chain(derived.values_mut()).for_each(|told| told.sort());
            for dest in knows.keys().chain(derived.keys()) {
                if knows.get(dest) != derived.get(dest) {
                    let show =
                        |told: Option<&Vec<String>>| told.cloned().unwrap_or_default().join("\n");
                    panic!(
                        "peer {peer}, {dest:?}: told {}\nderived {}",
                        show(knows.get(dest)),
                        show(derived.get(dest))
                    );
                }
            }
        }
    }

    /// What is answered agrees with what was told.
    fn question(&self) {
        for (peer, receiver) in &self.queues.receivers {
            let mut counted: BTreeMap<AfiSafi, [u32; 3]> = BTreeMap::new();
            let mut advertised = BTreeMap::new();
            for shard in &self.shards {
                let Answer::Peer(Some(info)) = shard.query(&Query::Peer(*peer)) else {
                    panic!("a peer that is up is known");
                };
                for of in info.families {
                    assert!(of.best <= of.received && of.stale <= of.received, "{of:?}");
                    let sums = counted.entry(of.family).or_default();
                    // Memberships are received by each shard.
                    let received = if of.family == AfiSafi::RTC {
                        sums[1].max(of.received)
                    } else {
                        sums[1] + of.received
                    };
                    *sums = [sums[0] + of.advertised, received, sums[2] + of.owed];
                    advertised.extend(pages(shard, *peer, of.family));
                }
            }
            for (family, sums) in counted {
                let knows = receiver.knows.keys().filter(|((of, _), _)| *of == family).count();
                let heard = self.oracle.heard(peer.0, family);
                assert_eq!(sums.map(|sum| sum as usize), [knows, heard, 0], "{family} of {peer}");
            }
            let told = receiver
                .knows
                .iter()
                .map(|(dest, told)| (dest.clone(), (told.attributes.clone(), told.next_hop)));
            assert_eq!(advertised, told.collect::<BTreeMap<_, _>>());
        }
    }

    /// A shard that reads the journal comes to the same end.
    fn replay(&mut self) {
        let receivers = self.queues.receivers.keys().copied().collect::<Vec<_>>();
        self.queues.credit.clear();
        for peer in receivers {
            let Some(view) = self.oracle.view(peer.0) else { continue };
            if let Some(receiver) = self.queues.receivers.get_mut(&peer) {
                *receiver = receiver.anew(view);
            }
        }
        for (journal, shard) in self.journals.iter_mut().zip(&mut self.shards) {
            journal.flush().expect("memory");
            let (inputs, config) = Reader::new(&journal.get_ref()[..]).expect("a journal");
            assert_eq!(config, *shard.config());
            *shard = Shard::new(config);
            for input in inputs {
                shard.handle(input.expect("an input"));
            }
        }
        self.check();
    }

    /// Once all peers are gone, nothing is left.
    fn leave(mut self) {
        (0..PEERS).for_each(|peer| self.run(&Op::Gone(peer)));
        self.check();
        for shard in &self.shards {
            let Answer::Summary(sizes) = shard.query(&Query::Summary) else { panic!("no summary") };
            for size in sizes {
                let left = (size.destinations, size.paths, size.buckets, size.owed);
                assert_eq!(left, (0, 0, 0, 0), "{}", size.family);
            }
        }
    }

    /// Lets everything drain, compares, and looks whether each end of a table was said once.
    fn finish(&mut self) {
        (0..PEERS).for_each(|peer| self.unblock(PeerIx(peer)));
        self.check();
        for (peer, receiver) in &self.queues.receivers {
            let Some(view) = self.oracle.view(peer.0) else { continue };
            assert!(receiver.doubtful.is_empty(), "an answer without an end to {peer}");
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

type Advertised = ((Dest, u32), (PathAttributes, NextHop));

/// All that a shard says it tells a peer, in pages of two.
fn pages(shard: &Shard, peer: PeerIx, family: AfiSafi) -> Vec<Advertised> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = RoutesQuery { family, filter: RouteFilter::default(), after, limit: 2 };
        let Answer::Routes(answer) = shard.query(&Query::Advertised { peer, page }) else {
            panic!("no page");
        };
        for route in answer.routes {
            assert!(!route.paths.is_empty(), "a destination without a path");
            for path in &route.paths {
                let dest = (route.family, route.key.clone());
                let told = ((*path.attributes).clone(), path.next_hop);
                found.push(((dest, path.path_id.0), told));
            }
        }
        after = answer.next;
        if after.is_none() {
            return found;
        }
    }
}

fn rules() -> impl Strategy<Value = Rules> {
    (any::<[bool; 4]>(), proptest::bool::weighted(0.8)).prop_map(|(options, client_to_client)| {
        let [always_compare_med, missing_med_is_worst, aigp, track_next_hops] = options;
        let decision =
            DecisionOptions { always_compare_med, missing_med_is_worst, aigp, track_next_hops };
        Rules { decision, client_to_client }
    })
}

fn pace() -> impl Strategy<Value = Pace> {
    prop_oneof![
        Just(Pace::default()),
        (1usize..4, prop_oneof![1usize..300, Just(1 << 20)], 1usize..3, 1usize..4)
            .prop_map(|(round, arena, rounds, walk)| Pace { round, arena, rounds, walk }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_told_is_what_follows(
        shards in 1u16..4,
        pace in pace(),
        rules in rules(),
        start in proptest::collection::vec(script::manner(), 0..4),
        ops in proptest::collection::vec(script::op(), 1..120),
    ) {
        let mut bench = Bench::new(shards, pace, rules);
        for (peer, manner) in (0u16..).zip(start) {
            bench.run(&Op::Up(peer, manner));
        }
        for op in &ops {
            bench.run(op);
        }
        bench.finish();
        bench.question();
        bench.replay();
        bench.leave();
    }
}
