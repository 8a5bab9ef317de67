//! One shard: inputs in, batches and events out.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bgp_wire::{AfiSafi, NextHop, PathAttributes, Route, Update, Withdrawal, for_each_family};

use crate::arena::{Batch, Full, Mark, Sink};
use crate::bucket::{Said, Source, as_sent_inside};
use crate::decision::{DecisionOptions, Rank, UNREACHABLE};
use crate::family::TableFamily;
use crate::interest::Wanted;
use crate::peer::{PeerIx, PeerView};
use crate::policy;
use crate::query::{Answer, Query};
use crate::registry::World;
use crate::round::Round;
use crate::table::Table;
use crate::tables::{Held, Tables, family_of, for_each_table};

/// What a shard is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardConfig {
    /// Number of this shard, below `shards`. Shard 0 also reflects memberships.
    pub shard: u16,
    pub shards: u16,
    pub local_as: u32,
    pub router_id: Ipv4Addr,
    pub cluster_id: Ipv4Addr,
    pub decision: DecisionOptions,
    /// Reflect between clients; off where the clients are meshed (RFC 4456 §6).
    pub client_to_client: bool,
    /// Against peers that choose keys to make hashing slow; random in a daemon, fixed in a replay.
    pub hash_seed: u64,
}

/// All that can happen to a shard. Equal inputs in equal order give equal outputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A session is established. Of a peer that went down with retained families, the same number.
    PeerUp { peer: PeerIx, view: Arc<PeerView> },
    /// What a peer said, split by [`crate::ShardMap`]. An `end_of_rib` in one of them counts as
    /// [`Input::EndOfRib`].
    Updates { peer: PeerIx, updates: Vec<Update> },
    /// The peer has said all it had in this family (RFC 4724): what is still stale goes. Of RTC: its
    /// interest is complete, and it is told routes.
    EndOfRib { peer: PeerIx, family: AfiSafi },
    /// No End-of-RIB of RTC has come in time: go on with the interest known so far.
    RtcTimeout { peer: PeerIx },
    /// The peer wants all of a family again (RFC 2918).
    RouteRefresh { peer: PeerIx, family: AfiSafi },
    /// The queue of the peer, full before, has room.
    Drained { peer: PeerIx },
    /// The session has ended. Routes of `retained` families stay as stale ones (RFC 4724 §4.2), the
    /// others go.
    PeerDown { peer: PeerIx, retained: Vec<AfiSafi> },
    /// A mark of the peer around its answer to our request (RFC 7313 §4): what it has announced and
    /// does not repeat between `begin` and the other mark goes.
    RefreshMark { peer: PeerIx, family: AfiSafi, begin: bool },
    /// The restart time of the peer is over, and what is still stale may stay longer (RFC 9494 §4.2):
    /// it becomes the last choice, and says so with `LLGR_STALE`. What has `NO_LLGR` goes.
    LongLived { peer: PeerIx, family: AfiSafi },
    /// Time is up for what is still stale of this peer and family.
    StaleSweep { peer: PeerIx, family: AfiSafi },
    /// Nothing more will come of this peer: forget it. Answered by [`Output::Gone`].
    PeerGone { peer: PeerIx },
    /// The answer to [`Output::NextHopWanted`], and whenever it is another one: the cost of the way to the
    /// next hop, `None` when there is no way.
    NextHop { next_hop: IpAddr, cost: Option<u32> },
    /// The answer to [`Output::LimitSuspected`], to every shard.
    CheckLimit { peer: PeerIx, family: AfiSafi },
    /// Policy, interest or limits are different now. The peer is told what is new to it and is
    /// withdrawn what is gone. Kind, router id, addresses, what was negotiated and how
    /// memberships are rewritten stay as they are.
    PeerChanged { peer: PeerIx, view: Arc<PeerView> },
}

/// What the control task should know. Taken by [`Shard::take_outputs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// This shard holds nothing of the peer any more; its number may be used again.
    Gone { peer: PeerIx },
    /// More routes than [`PeerView::limits`] allows. Said once per session and family.
    LimitExceeded { peer: PeerIx, family: AfiSafi, limit: u32 },
    /// There may be more routes than [`PeerView::limits`] allows: every shard should be asked to look again
    /// ([`Input::CheckLimit`]). Never said by an only shard.
    LimitSuspected { peer: PeerIx, family: AfiSafi },
    /// [`crate::Limit::warning`] was reached: said again only after there were clearly fewer.
    LimitNear { peer: PeerIx, family: AfiSafi, routes: u32, limit: u32 },
    /// The import policy of the peer lets pass what was refused before, so it should be asked for
    /// its routes again (RFC 2918).
    RefreshWanted { peer: PeerIx, family: AfiSafi },
    /// Whether the way to this next hop should be told ([`Input::NextHop`]): routes have it, or none have
    /// it any more.
    NextHopWanted { next_hop: IpAddr, wanted: bool },
}

/// One shard of the tables.
#[derive(Debug)]
pub struct Shard {
    pub(crate) world: World,
    pub(crate) tables: Tables,
    pub(crate) outputs: Vec<Output>,
    round: Round,
    pace: Pace,
    /// Another flush would get further.
    work: bool,
}

/// How much is done in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Destinations encoded before they are handed out: enough to amortise that, little enough that
    /// an arena is some hundred kilobytes.
    pub round: usize,
    /// Octets after which no more is encoded in a round: long attributes make long messages.
    pub arena: usize,
    /// Rounds of one table in one flush; then inputs are looked at again.
    pub rounds: usize,
    /// Routes that a walk owes its peer in one round.
    pub walk: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { round: 16_384, arena: 16 << 20, rounds: 4, walk: 8_192 }
    }
}

impl Shard {
    pub fn new(config: ShardConfig) -> Self {
        let seed = config.hash_seed;
        Self {
            world: World::new(config),
            tables: Tables::new(seed),
            outputs: Vec::new(),
            round: Round::default(),
            pace: Pace::default(),
            work: false,
        }
    }

    pub fn config(&self) -> &ShardConfig {
        &self.world.config
    }

    /// Changes how much one flush does. What is said in the end stays the same.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Takes one input. Inputs about a peer that is not up are ignored, but for `PeerDown`,
    /// `StaleSweep` and `PeerGone`.
    pub fn handle(&mut self, input: Input) {
        self.work = true;
        match input {
            Input::PeerUp { peer, view } => self.peer_up(peer, &view),
            Input::Updates { peer, updates } => {
                for update in updates {
                    self.update(peer, update);
                }
            }
            Input::EndOfRib { peer, family } => self.end_of_rib(peer, family),
            Input::RtcTimeout { peer } => self.attach(peer),
            Input::RouteRefresh { peer, family } => self.route_refresh(peer, family),
            Input::Drained { peer } => self.world.unblock(peer),
            Input::PeerDown { peer, retained } => self.peer_down(peer, &retained),
            Input::RefreshMark { peer, family, begin } => self.refresh_mark(peer, family, begin),
            Input::LongLived { peer, family } => self.long_lived(peer, family),
            Input::NextHop { next_hop, cost } => self.next_hop(next_hop, cost),
            Input::StaleSweep { peer, family } => self.sweep(peer, family),
            Input::CheckLimit { peer, family } => self.check_limit(peer, family),
            Input::PeerGone { peer } => {
                self.peer_down(peer, &[]);
                self.world.remove(peer);
                self.outputs.push(Output::Gone { peer });
            }
            Input::PeerChanged { peer, view } => self.peer_changed(peer, &view),
        }
    }

    /// Encodes and hands out what is owed to peers that are not blocked. Does a bounded amount of
    /// work: see [`Shard::has_work`].
    pub fn flush(&mut self, sink: &mut impl Sink) {
        let mut more = false;
        for_each_table!(self.tables, table => {
            more |= flush_table(table, &mut self.world, &mut self.round, self.pace, sink);
        });
        self.work = more;
    }

    /// Whether another [`Shard::flush`] would get further without another input.
    pub fn has_work(&self) -> bool {
        self.work
    }

    /// Events since the last call, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.outputs.extend(self.world.next_hops.take_asked());
        std::mem::take(&mut self.outputs)
    }

    /// Answers a question; looks at a bounded number of destinations.
    pub fn query(&self, query: &Query) -> Answer {
        crate::answer::answer(&self.world, &self.tables, query)
    }

    fn update(&mut self, peer: PeerIx, update: Update) {
        if self.world.up(peer).is_none() {
            return;
        }
        let Update { withdrawn, announced, attributes, end_of_rib, faults: _ } = update;
        for list in withdrawn {
            for_each_family!(Withdrawals, list, list => self.withdraw(peer, &list));
        }
        let mut attributes = Some(attributes);
        let lists = announced.len();
        for (nth, (next_hop, list)) in announced.into_iter().enumerate() {
            // The last list gets our reference, so that nothing is copied.
            let own = if nth + 1 == lists { attributes.take() } else { attributes.clone() };
            if let Some(own) = own {
                for_each_family!(Routes, list, list => self.announce(peer, next_hop, own, list));
            }
        }
        self.memberships_changed();
        self.count(peer);
        if let Some(family) = end_of_rib {
            self.end_of_rib(peer, family);
        }
    }

    fn withdraw<F: Held>(&mut self, peer: PeerIx, list: &[Withdrawal<F>]) {
        let asked = self.world.rewriting(peer, F::AFI_SAFI).cloned();
        let table = F::of(&mut self.tables);
        for route in list {
            match &asked {
                None => table.withdraw(&self.world, peer, route.path_id, &route.key),
                Some(both) => both.heard.keys::<F>(&route.key).into_iter().for_each(|key| {
                    table.withdraw(&self.world, peer, route.path_id, &key);
                }),
            }
        }
    }

    fn announce<F: Held>(
        &mut self,
        peer: PeerIx,
        next_hop: NextHop,
        attributes: Arc<PathAttributes>,
        list: Vec<Route<F>>,
    ) {
        let Some(known) = self.world.peer_mut(peer) else { return };
        let view = Arc::clone(&known.view);
        if list.is_empty() || !view.speaks(F::AFI_SAFI) {
            return;
        }
        let list = match self.world.rewriting(peer, F::AFI_SAFI) {
            None => list,
            Some(both) => both.heard.routes(list),
        };
        if list.is_empty() {
            return;
        }
        let config = &self.world.config;
        let taken = policy::take_in(config, &view, F::AFI_SAFI, attributes, next_hop);
        let table = F::of(&mut self.tables);
        let attributes = match taken {
            Ok(attributes) => attributes,
            Err(reason) => {
                for route in &list {
                    table.withdraw(&self.world, peer, route.path_id, &route.key);
                }
                if let Some(known) = self.world.peer_mut(peer) {
                    *known.rejected.entry(reason).or_default() += list.len() as u64;
                }
                return;
            }
        };
        let source = Source::from(view.kind);
        let external = view.kind.is_external();
        let mut rank =
            Rank::of(&attributes, F::AFI_SAFI, config.decision, external, view.router_id);
        if config.decision.track_next_hops && F::AFI_SAFI != AfiSafi::RTC {
            rank.set_cost(self.world.next_hops.cost(next_hop));
        }
        let attributes = as_sent_inside(attributes, source, view.router_id, config.cluster_id);
        let bucket = table.bucket(Said { peer, source, next_hop, attributes, rank });
        table.announce(&self.world, bucket, list);
        if self.world.next_hops.is_untidy() {
            self.tidy_next_hops();
        }
    }

    fn next_hop(&mut self, next_hop: IpAddr, cost: Option<u32>) {
        // The highest cost is still a way.
        let cost = cost.map_or(UNREACHABLE, |cost| cost.min(UNREACHABLE - 1));
        if self.world.next_hops.answer(next_hop, cost) {
            for_each_table!(self.tables, table => {
                table.next_hop_changed(&self.world, next_hop, cost);
            });
        }
    }

    fn tidy_next_hops(&mut self) {
        let mut used = hashbrown::HashSet::new();
        for_each_table!(self.tables, table => table.next_hops(&mut used));
        self.world.next_hops.keep_only(|address| used.contains(address));
    }

    pub(crate) fn end_of_rib(&mut self, peer: PeerIx, family: AfiSafi) {
        if self.world.up(peer).is_none() {
            return;
        }
        self.sweep(peer, family);
        if family == AfiSafi::RTC {
            self.attach(peer);
        }
    }

    pub(crate) fn sweep(&mut self, peer: PeerIx, family: AfiSafi) {
        let world = &self.world;
        for_each_table!(self.tables, table => {
            if family_of(table) == family {
                table.sweep(world, peer);
            }
        });
        self.memberships_changed();
        self.count(peer);
    }

    fn route_refresh(&mut self, peer: PeerIx, family: AfiSafi) {
        let marked = self.world.up(peer).is_some_and(|known| known.view.enhanced_refresh);
        if !marked {
            return self.refresh(peer, family);
        }
        for_each_table!(self.tables, table => {
            if family_of(table) == family && table.group_ix(peer).is_some() {
                table.answers.ask(peer);
            }
        });
    }

    fn refresh_mark(&mut self, peer: PeerIx, family: AfiSafi, begin: bool) {
        if self.world.up(peer).is_none() {
            return;
        }
        if !begin {
            return self.sweep(peer, family);
        }
        for_each_table!(self.tables, table => {
            if family_of(table) == family {
                table.mark_stale(peer);
            }
        });
    }

    fn long_lived(&mut self, peer: PeerIx, family: AfiSafi) {
        let world = &self.world;
        for_each_table!(self.tables, table => {
            if family_of(table) == family {
                table.make_long_lived(world, peer);
            }
        });
        self.memberships_changed();
        self.count(peer);
    }

    /// Tells the interest what has changed in the table of memberships, and peers what follows.
    pub(crate) fn memberships_changed(&mut self) {
        for (peer, membership, has_come) in std::mem::take(&mut self.tables.rtc.membership_changes)
        {
            let Some(known) = self.world.peer(peer) else { continue };
            let (mode, wanted) = (known.mode(), Wanted::of(membership));
            let interest = &mut self.world.interest;
            let delta = if has_come {
                interest.add(peer, wanted, &mode)
            } else {
                interest.remove(peer, wanted, &mode)
            };
            self.interest_changed(peer, &delta);
        }
    }
}

/// Returns whether there is more to do.
fn flush_table<F: TableFamily>(
    table: &mut Table<F>,
    world: &mut World,
    round: &mut Round,
    pace: Pace,
    sink: &mut impl Sink,
) -> bool {
    // Most tables, most of the time: a flush follows each small batch, in each of many shards.
    if table.is_at_rest() {
        return false;
    }
    begin_answers(table, world, sink);
    for _ in 0..pace.rounds {
        table.advance_walks(world, pace.walk);
        table.pack(world, round, pace);
        let mut failed = Vec::new();
        round.runs.hand_out(|peer, batch| {
            if push(world, sink, peer, batch).is_err() {
                failed.push(peer);
            }
        });
        table.settle_round(round, &failed);
        if !table.has_work(world) {
            break;
        }
    }
    for peer in table.complete(world) {
        let batch = Batch { messages: None, marks: vec![Mark::EndOfRib(F::AFI_SAFI)] };
        if push(world, sink, peer, &batch).is_ok() {
            table.end_of_rib_due.retain(|other| *other != peer);
        }
    }
    for peer in table.answered(world) {
        let batch = Batch { messages: None, marks: vec![Mark::RefreshEnd(F::AFI_SAFI)] };
        if push(world, sink, peer, &batch).is_ok() {
            table.answers.end(peer);
        }
    }
    table.has_work(world)
}

/// Begins to answer those who asked for all routes and mark answers. What they are shown is behind the
/// mark, all of it: what was said before, they forget.
fn begin_answers<F: TableFamily>(table: &mut Table<F>, world: &mut World, sink: &mut impl Sink) {
    for peer in table.answers.asked() {
        if !world.is_ready(peer) {
            continue;
        }
        let batch = Batch { messages: None, marks: vec![Mark::RefreshBegin(F::AFI_SAFI)] };
        if push(world, sink, peer, &batch).is_ok() {
            table.answers.begin(peer);
            table.show_all(world, peer);
        }
    }
}

/// Hands over a batch. A full queue blocks the peer; then it is tried once more, since the queue may
/// have drained between its refusal and its promise to say so.
fn push(world: &mut World, sink: &mut impl Sink, peer: PeerIx, batch: &Batch) -> Result<(), Full> {
    if sink.push(peer, batch).is_ok() {
        return Ok(());
    }
    world.block(peer);
    sink.push(peer, batch)?;
    world.unblock(peer);
    Ok(())
}
