//! One shard: inputs in, batches and events out.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bgp_wire::{
    AfiSafi, Evpn, Ipv4Unicast, Ipv6Unicast, NextHop, PathAttributes, PathId, Route, RouteTarget,
    RtMembership, Rtc, Update, VpnV4, VpnV6, Withdrawal, for_each_family,
};
use bytes::Bytes;

use crate::arena::{Batch, Full, Sink};
use crate::bucket::{Said, Source, as_sent_inside};
use crate::decision::{DEFAULT_LOCAL_PREF, Rank};
use crate::family::TableFamily;
use crate::group::UpdateGroup;
use crate::interest::{Delta, Wanted};
use crate::peer::{MembershipsOut, PeerIx, PeerView};
use crate::policy;
use crate::query::{Answer, Query};
use crate::registry::{Peer, World};
use crate::round::Round;
use crate::table::Table;

/// What a shard is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardConfig {
    /// Number of this shard, below `shards`. Shard 0 also reflects memberships.
    pub shard: u16,
    pub shards: u16,
    pub local_as: u32,
    pub router_id: Ipv4Addr,
    pub cluster_id: Ipv4Addr,
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
    /// Time is up for what is still stale of this peer and family.
    StaleSweep { peer: PeerIx, family: AfiSafi },
    /// Nothing more will come of this peer: forget it. Answered by [`Output::Gone`].
    PeerGone { peer: PeerIx },
    /// Policy, interest or limits are different now. The peer is told what is new to it and is
    /// withdrawn what is gone. Kind, router id, addresses and what was negotiated stay as they are.
    PeerChanged { peer: PeerIx, view: Arc<PeerView> },
}

/// What the control task should know. Taken by [`Shard::take_outputs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// This shard holds nothing of the peer any more; its number may be used again.
    Gone { peer: PeerIx },
    /// More routes than [`PeerView::limits`] allows. Said once per session and family.
    LimitExceeded { peer: PeerIx, family: AfiSafi, limit: u32 },
    /// The import policy of the peer lets pass what was refused before, so it should be asked for
    /// its routes again (RFC 2918).
    RefreshWanted { peer: PeerIx, family: AfiSafi },
}

/// One table per family.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) ipv4: Table<Ipv4Unicast>,
    pub(crate) ipv6: Table<Ipv6Unicast>,
    pub(crate) vpnv4: Table<VpnV4>,
    pub(crate) vpnv6: Table<VpnV6>,
    pub(crate) evpn: Table<Evpn>,
    pub(crate) rtc: Table<Rtc>,
}

/// Runs `$body` with `$table` bound to each table in turn.
macro_rules! for_each_table {
    ($tables:expr, $table:ident => $body:expr) => {{
        {
            let $table = &mut $tables.rtc;
            $body;
        }
        {
            let $table = &mut $tables.ipv4;
            $body;
        }
        {
            let $table = &mut $tables.ipv6;
            $body;
        }
        {
            let $table = &mut $tables.vpnv4;
            $body;
        }
        {
            let $table = &mut $tables.vpnv6;
            $body;
        }
        {
            let $table = &mut $tables.evpn;
            $body;
        }
    }};
}

/// Runs `$body` with `$table` bound to the tables whose routes have targets, in turn.
macro_rules! for_each_target_table {
    ($tables:expr, $table:ident => $body:expr) => {{
        {
            let $table = &mut $tables.vpnv4;
            $body;
        }
        {
            let $table = &mut $tables.vpnv6;
            $body;
        }
        {
            let $table = &mut $tables.evpn;
            $body;
        }
    }};
}

/// Runs `$body` with `$table` bound to the table of a family, if there is one.
macro_rules! with_table {
    ($tables:expr, $family:expr, $table:ident => $body:expr) => {
        match $family {
            AfiSafi::IPV4_UNICAST => {
                let $table = &$tables.ipv4;
                Some($body)
            }
            AfiSafi::IPV6_UNICAST => {
                let $table = &$tables.ipv6;
                Some($body)
            }
            AfiSafi::VPNV4 => {
                let $table = &$tables.vpnv4;
                Some($body)
            }
            AfiSafi::VPNV6 => {
                let $table = &$tables.vpnv6;
                Some($body)
            }
            AfiSafi::EVPN => {
                let $table = &$tables.evpn;
                Some($body)
            }
            AfiSafi::RTC => {
                let $table = &$tables.rtc;
                Some($body)
            }
            _ => None,
        }
    };
}
pub(crate) use with_table;

/// Which table holds a family.
pub(crate) trait Held: TableFamily {
    fn of(tables: &mut Tables) -> &mut Table<Self>;
}

macro_rules! held {
    ($($family:ident in $table:ident),*) => {
        $(impl Held for $family {
            fn of(tables: &mut Tables) -> &mut Table<Self> {
                &mut tables.$table
            }
        })*
    };
}
held!(Ipv4Unicast in ipv4, Ipv6Unicast in ipv6, VpnV4 in vpnv4, VpnV6 in vpnv6, Evpn in evpn, Rtc in rtc);

/// One shard of the tables.
#[derive(Debug)]
pub struct Shard {
    pub(crate) world: World,
    pub(crate) tables: Tables,
    outputs: Vec<Output>,
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
    /// Rounds of one table in one flush; then inputs are looked at again.
    pub rounds: usize,
    /// Routes that a walk owes its peer in one round.
    pub walk: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { round: 16_384, rounds: 4, walk: 8_192 }
    }
}

impl Shard {
    pub fn new(config: ShardConfig) -> Self {
        let seed = config.hash_seed;
        Self {
            world: World::new(config),
            tables: Tables {
                ipv4: Table::new(seed),
                ipv6: Table::new(seed),
                vpnv4: Table::new(seed),
                vpnv6: Table::new(seed),
                evpn: Table::new(seed),
                rtc: Table::new(seed),
            },
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
            Input::RouteRefresh { peer, family } => self.refresh(peer, family),
            Input::Drained { peer } => self.world.unblock(peer),
            Input::PeerDown { peer, retained } => self.peer_down(peer, &retained),
            Input::StaleSweep { peer, family } => self.sweep(peer, family),
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
        std::mem::take(&mut self.outputs)
    }

    /// Answers a question; looks at a bounded number of destinations.
    pub fn query(&self, query: &Query) -> Answer {
        crate::answer::answer(&self.world, &self.tables, query)
    }

    fn peer_up(&mut self, peer: PeerIx, view: &Arc<PeerView>) {
        if self.world.up(peer).is_some() {
            self.peer_down(peer, &view.negotiated.families);
        }
        if let Some(before) = self.world.peer(peer) {
            // Routes kept from somebody else are not this peer's.
            let same = before.view.kind == view.kind
                && before.view.router_id == view.router_id
                && before.view.address == view.address;
            let world = &self.world;
            for_each_table!(self.tables, table => {
                if !same || !view.speaks(family_of(table)) {
                    table.remove_all(world, peer);
                }
            });
            self.memberships_changed();
        }
        let rejected = self.world.remove(peer).map(|before| before.rejected).unwrap_or_default();
        let originate = view.originate.clone();
        self.world
            .insert(peer, Peer { view: Arc::clone(view), up: true, blocked: false, rejected });
        for_each_table!(self.tables, table => {
            let family = family_of(table);
            if view.speaks(family) {
                table.join(peer, UpdateGroup::of(view, family));
                table.sender_mut(peer).limit_told = false;
                if !family.has_targets() {
                    table.end_of_rib_due.push(peer);
                }
            }
        });
        for family in [AfiSafi::IPV4_UNICAST, AfiSafi::IPV6_UNICAST, AfiSafi::RTC] {
            self.refresh(peer, family);
        }
        for membership in originate {
            self.originate(membership);
            self.owe_membership(peer, membership);
        }
        self.enforce_import(peer);
        if !self.world.up(peer).is_some_and(|known| known.mode().uses_rtc()) {
            self.attach(peer);
        }
    }

    /// The interest of a peer is known: it is told routes that have targets.
    fn attach(&mut self, peer: PeerIx) {
        if self.world.interest.is_attached(peer) {
            return;
        }
        let Some(known) = self.world.up(peer) else { return };
        let mode = known.mode();
        let delta = self.world.interest.attach(peer, &mode);
        self.interest_changed(peer, &delta);
        for_each_target_table!(self.tables, table => {
            if table.group_ix(peer).is_some() {
                table.end_of_rib_due.push(peer);
            }
        });
    }

    fn peer_down(&mut self, peer: PeerIx, retained: &[AfiSafi]) {
        let Some(known) = self.world.peer_mut(peer) else { return };
        let was_up = std::mem::replace(&mut known.up, false);
        let originate = known.view.originate.clone();
        self.world.unblock(peer);
        self.world.interest.detach(peer);
        self.world.epoch += 1;
        let world = &self.world;
        for_each_table!(self.tables, table => {
            table.leave(peer);
            if !retained.contains(&family_of(table)) {
                table.remove_all(world, peer);
            } else if was_up {
                table.retain(world, peer);
            }
        });
        self.memberships_changed();
        if was_up {
            for membership in originate {
                self.stop_originating(membership);
            }
        }
    }

    fn peer_changed(&mut self, peer: PeerIx, view: &Arc<PeerView>) {
        let Some(known) = self.world.peer_mut(peer).filter(|known| known.up) else { return };
        let before = std::mem::replace(&mut known.view, Arc::clone(view));
        let mode = known.mode();
        self.world.epoch += 1;
        if self.world.interest.is_attached(peer) {
            let delta = self.world.interest.attach(peer, &mode);
            self.interest_changed(peer, &delta);
        } else if !mode.uses_rtc() {
            self.attach(peer);
        }
        for family in [AfiSafi::IPV4_UNICAST, AfiSafi::IPV6_UNICAST] {
            let group = UpdateGroup::of(view, family);
            if view.speaks(family) && group != UpdateGroup::of(&before, family) {
                match family {
                    AfiSafi::IPV4_UNICAST => self.tables.ipv4.join(peer, group),
                    _ => self.tables.ipv6.join(peer, group),
                }
                self.refresh(peer, family);
            }
        }
        self.memberships_out_changed(peer, &before, view);
        for_each_table!(self.tables, table => {
            if before.limits != view.limits {
                table.sender_mut(peer).limit_told = false;
            }
        });
        self.enforce_import(peer);
        if wider(before.import_targets.as_deref(), view.import_targets.as_deref()) {
            let families = view.negotiated.families.iter().copied().filter(|f| f.has_targets());
            self.outputs.extend(families.map(|family| Output::RefreshWanted { peer, family }));
        }
        self.check_limits(peer);
    }

    fn memberships_out_changed(&mut self, peer: PeerIx, before: &PeerView, view: &PeerView) {
        for membership in view.originate.difference(&before.originate) {
            self.originate(*membership);
            self.owe_membership(peer, *membership);
        }
        for membership in before.originate.difference(&view.originate) {
            self.owe_membership(peer, *membership);
            self.stop_originating(*membership);
        }
        let speaks = self.tells_memberships() && view.speaks(AfiSafi::RTC);
        if before.memberships != view.memberships && speaks {
            let table = &mut self.tables.rtc;
            for destination in table.all() {
                table.owe(destination, peer);
            }
        }
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
        if let Some(family) = end_of_rib {
            self.end_of_rib(peer, family);
        }
    }

    fn withdraw<F: Held>(&mut self, peer: PeerIx, list: &[Withdrawal<F>]) {
        let table = F::of(&mut self.tables);
        for route in list {
            table.withdraw(&self.world, peer, route.path_id, &route.key);
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
        let config = &self.world.config;
        let accepted = policy::accept(config, &view, F::AFI_SAFI, &attributes, next_hop);
        let table = F::of(&mut self.tables);
        if let Err(reason) = accepted {
            if let Some(known) = self.world.peer_mut(peer) {
                *known.rejected.entry(reason).or_default() += list.len() as u64;
            }
            for route in list {
                table.withdraw(&self.world, peer, route.path_id, &route.key);
            }
            return;
        }
        let source = Source::from(view.kind);
        let rank = Rank::of(&attributes, view.kind.is_external(), view.router_id);
        let attributes = as_sent_inside(attributes, source, view.router_id, config.cluster_id);
        let bucket = table.bucket(Said { peer, source, next_hop, attributes, rank });
        for route in list {
            table.announce(&self.world, bucket, route);
        }
        self.check_limit::<F>(peer, &view);
    }

    fn check_limits(&mut self, peer: PeerIx) {
        let Some(known) = self.world.up(peer) else { return };
        let view = Arc::clone(&known.view);
        self.check_limit::<Ipv4Unicast>(peer, &view);
        self.check_limit::<Ipv6Unicast>(peer, &view);
        self.check_limit::<VpnV4>(peer, &view);
        self.check_limit::<VpnV6>(peer, &view);
        self.check_limit::<Evpn>(peer, &view);
        self.check_limit::<Rtc>(peer, &view);
    }

    fn check_limit<F: Held>(&mut self, peer: PeerIx, view: &PeerView) {
        let Some(limit) = view.limits.iter().find(|limit| limit.family == F::AFI_SAFI) else {
            return;
        };
        let sender = F::of(&mut self.tables).sender_mut(peer);
        if sender.paths > limit.routes && !sender.limit_told {
            sender.limit_told = true;
            let (family, limit) = (limit.family, limit.routes);
            self.outputs.push(Output::LimitExceeded { peer, family, limit });
        }
    }

    fn end_of_rib(&mut self, peer: PeerIx, family: AfiSafi) {
        if self.world.up(peer).is_none() {
            return;
        }
        self.sweep(peer, family);
        if family == AfiSafi::RTC {
            self.attach(peer);
        }
    }

    fn sweep(&mut self, peer: PeerIx, family: AfiSafi) {
        let world = &self.world;
        for_each_table!(self.tables, table => {
            if family_of(table) == family {
                table.sweep(world, peer);
            }
        });
        self.memberships_changed();
    }

    /// Shows a peer all of a family that it is due.
    fn refresh(&mut self, peer: PeerIx, family: AfiSafi) {
        let Some(known) = self.world.up(peer).filter(|known| known.view.speaks(family)) else {
            return;
        };
        if family == AfiSafi::RTC {
            let own_only = known.view.memberships == MembershipsOut::OwnOnly;
            let originate = known.view.originate.clone();
            if own_only {
                for membership in originate {
                    self.owe_membership(peer, membership);
                }
                return;
            }
            let (table, world) = (&mut self.tables.rtc, &self.world);
            for destination in table.all() {
                if table.told(world, destination, peer).is_some() {
                    table.owe(destination, peer);
                }
            }
            return;
        }
        let wanted: Vec<Wanted> = if family.has_targets() {
            self.world.interest.of(peer).collect()
        } else {
            vec![Wanted::All]
        };
        for_each_table!(self.tables, table => {
            if family_of(table) == family {
                table.walks.start(peer, wanted.iter().copied());
            }
        });
    }

    /// Tells the interest what has changed in the table of memberships, and peers what follows.
    fn memberships_changed(&mut self) {
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

    fn interest_changed(&mut self, peer: PeerIx, delta: &Delta) {
        if delta.is_empty() {
            return;
        }
        self.world.epoch += 1;
        let world = &self.world;
        for_each_target_table!(self.tables, table => {
            if table.group_ix(peer).is_some() {
                for wanted in &delta.left {
                    table.retract(world, peer, *wanted);
                }
                if !delta.joined.is_empty() {
                    table.walks.start(peer, delta.joined.iter().copied());
                }
            }
        });
    }

    /// One more peer to which we originate a membership.
    fn originate(&mut self, membership: RtMembership) {
        let peers = self.world.originated.entry(membership).or_insert(0);
        *peers += 1;
        if *peers > 1 || !self.tells_memberships() {
            return;
        }
        let attributes =
            PathAttributes { local_pref: Some(DEFAULT_LOCAL_PREF), ..PathAttributes::default() };
        let router_id = self.world.config.router_id;
        let said = Said {
            peer: PeerIx::LOCAL,
            source: Source::Local,
            next_hop: NextHop::V4(router_id),
            rank: Rank::of(&attributes, false, router_id),
            attributes: Arc::new(attributes),
        };
        let table = &mut self.tables.rtc;
        let bucket = table.bucket(said);
        let route = Route { path_id: PathId(0), key: membership, data: () };
        table.announce(&self.world, bucket, route);
        self.memberships_changed();
    }

    fn stop_originating(&mut self, membership: RtMembership) {
        let Some(peers) = self.world.originated.get_mut(&membership) else { return };
        *peers -= 1;
        if *peers > 0 {
            return;
        }
        self.world.originated.remove(&membership);
        self.tables.rtc.withdraw(&self.world, PeerIx::LOCAL, PathId(0), &membership);
        self.memberships_changed();
    }

    /// All shards hold memberships, one says them: two would contradict each other.
    fn tells_memberships(&self) -> bool {
        self.world.config.shard == 0
    }

    fn owe_membership(&mut self, peer: PeerIx, membership: RtMembership) {
        if !self.tells_memberships() {
            return;
        }
        let table = &mut self.tables.rtc;
        if let Some(destination) = table.find(&membership)
            && table.group_ix(peer).is_some()
        {
            table.owe(destination, peer);
        }
    }

    fn enforce_import(&mut self, peer: PeerIx) {
        let Some(known) = self.world.up(peer) else { return };
        let view = Arc::clone(&known.view);
        let world = &self.world;
        for_each_target_table!(self.tables, table => table.enforce_import(world, peer, &view));
    }
}

fn family_of<F: TableFamily>(_: &Table<F>) -> AfiSafi {
    F::AFI_SAFI
}

/// Whether the second policy lets pass what the first did not.
fn wider(before: Option<&BTreeSet<RouteTarget>>, now: Option<&BTreeSet<RouteTarget>>) -> bool {
    match (before, now) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(now)) => !now.is_subset(before),
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
    for _ in 0..pace.rounds {
        table.advance_walks(world, pace.walk);
        let runs = table.pack(world, round, pace.round);
        let mut failed = Vec::new();
        for (peer, batch) in runs.batches() {
            if push(world, sink, peer, batch).is_err() {
                failed.push(peer);
            }
        }
        table.settle_round(round, &failed);
        if !table.has_work(world) {
            break;
        }
    }
    for peer in table.complete(world) {
        let end_of_rib = vec![F::AFI_SAFI];
        let batch = Batch { arena: Bytes::new(), ranges: Vec::new(), end_of_rib };
        if push(world, sink, peer, batch).is_ok() {
            table.end_of_rib_due.retain(|other| *other != peer);
        }
    }
    table.has_work(world)
}

/// Hands over a batch. A full queue blocks the peer; then it is tried once more, since the queue may
/// have drained between its refusal and its promise to say so.
fn push(world: &mut World, sink: &mut impl Sink, peer: PeerIx, batch: Batch) -> Result<(), Full> {
    if sink.push(peer, batch.clone()).is_ok() {
        return Ok(());
    }
    world.block(peer);
    sink.push(peer, batch)?;
    world.unblock(peer);
    Ok(())
}
