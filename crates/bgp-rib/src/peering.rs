//! Peers that come, go and change, and what follows for what they are told.

use std::collections::BTreeSet;
use std::sync::Arc;

use bgp_wire::{AfiSafi, NextHop, PathAttributes, PathId, Route, RouteTarget, RtMembership};

use crate::bucket::{Said, Source};
use crate::decision::{DEFAULT_LOCAL_PREF, Rank};
use crate::group::UpdateGroup;
use crate::interest::Delta;
use crate::peer::{MembershipsOut, PeerIx, PeerView};
use crate::registry::Peer;
use crate::rewriting::Rewriting;
use crate::shard::{Output, Shard};
use crate::tables::{family_of, for_each_table, for_each_target_table};

impl Shard {
    pub(crate) fn peer_up(&mut self, peer: PeerIx, view: &Arc<PeerView>) {
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
        let rewriting = Rewriting::of(view);
        let known = Peer { view: Arc::clone(view), up: true, blocked: false, rejected, rewriting };
        self.world.insert(peer, known);
        self.world.note_listener(peer);
        for_each_table!(self.tables, table => {
            let family = family_of(table);
            if view.speaks(family) {
                let group = UpdateGroup::of(view, family, self.world.rewriting(peer, family));
                table.join(peer, group, view.paths_told(family));
                if !family.has_targets() {
                    table.end_of_rib_due.push(peer);
                }
            }
        });
        for family in [
            AfiSafi::IPV4_UNICAST,
            AfiSafi::IPV6_UNICAST,
            AfiSafi::IPV4_LABELED,
            AfiSafi::IPV6_LABELED,
            AfiSafi::RTC,
        ] {
            self.refresh(peer, family);
        }
        for membership in originate {
            self.originate(membership);
            self.owe_membership(peer, membership);
        }
        self.enforce_import(peer);
        self.count_anew(peer);
        if !self.world.up(peer).is_some_and(|known| known.mode().uses_rtc()) {
            self.attach(peer);
        }
    }

    /// The interest of a peer is known: it is told routes that have targets.
    pub(crate) fn attach(&mut self, peer: PeerIx) {
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

    pub(crate) fn peer_down(&mut self, peer: PeerIx, retained: &[AfiSafi]) {
        let Some(known) = self.world.peer_mut(peer) else { return };
        let was_up = std::mem::replace(&mut known.up, false);
        let originate = known.view.originate.clone();
        self.world.note_listener(peer);
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
        self.count(peer);
        if was_up {
            for membership in originate {
                self.stop_originating(membership);
            }
        }
    }

    pub(crate) fn peer_changed(&mut self, peer: PeerIx, view: &Arc<PeerView>) {
        let Some(known) = self.world.peer_mut(peer).filter(|known| known.up) else { return };
        let before = std::mem::replace(&mut known.view, Arc::clone(view));
        let mode = known.mode();
        self.world.note_listener(peer);
        self.world.epoch += 1;
        if self.world.interest.is_attached(peer) {
            let delta = self.world.interest.attach(peer, &mode);
            self.interest_changed(peer, &delta);
        } else if !mode.uses_rtc() {
            self.attach(peer);
        }
        self.export_changed(peer, &before, view);
        self.memberships_out_changed(peer, &before, view);
        self.enforce_import(peer);
        let wider = wider(before.import_targets.as_deref(), view.import_targets.as_deref());
        let other = !view.policy.takes_in_as(&before.policy);
        let families = view.negotiated.families.iter().copied();
        let unknown = families.filter(|family| other || wider && family.has_targets());
        self.outputs.extend(unknown.map(|family| Output::RefreshWanted { peer, family }));
        if before.limits != view.limits {
            self.limits_changed(peer, view);
        }
        self.count(peer);
    }

    /// Tells a peer in another way what it is told in another way now, and what else it may be told
    /// or may not. The table of memberships is left to [`Self::memberships_out_changed`].
    fn export_changed(&mut self, peer: PeerIx, before: &PeerView, view: &PeerView) {
        let mut again = Vec::new();
        let world = &self.world;
        for_each_table!(self.tables, table => {
            let family = family_of(table);
            if view.speaks(family) {
                let rewriting = world.rewriting(peer, family);
                let group = UpdateGroup::of(view, family, rewriting);
                let told = view.paths_told(family);
                if group != UpdateGroup::of(before, family, rewriting) || told != before.paths_told(family) {
                    table.join(peer, group, told);
                    table.owe_all_numbers(peer);
                    again.push(family);
                }
                if before.policy != view.policy {
                    table.owe_what_may_go_differently(world, peer, before);
                }
            }
        });
        for family in again {
            self.refresh(peer, family);
        }
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
        let differs = before.memberships != view.memberships || before.policy != view.policy;
        if differs && speaks {
            let table = &mut self.tables.rtc;
            for destination in table.all() {
                table.owe(destination, peer);
            }
        }
    }

    /// Shows a peer all of a family that it is due.
    pub(crate) fn refresh(&mut self, peer: PeerIx, family: AfiSafi) {
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
        }
        let world = &self.world;
        for_each_table!(self.tables, table => {
            if family_of(table) == family {
                table.show_all(world, peer);
            }
        });
    }

    pub(crate) fn interest_changed(&mut self, peer: PeerIx, delta: &Delta) {
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
                    table.start_walk(peer, &delta.joined);
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
            rank: Rank::of(&attributes, AfiSafi::RTC, self.world.config.decision, false, router_id),
            attributes: Arc::new(attributes),
        };
        let table = &mut self.tables.rtc;
        let bucket = table.bucket(said);
        let route = Route { path_id: PathId(0), key: membership, data: () };
        table.announce(&self.world, bucket, vec![route]);
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
        for_each_table!(self.tables, table => table.enforce_import(world, peer, &view));
        self.memberships_changed();
    }
}

/// Whether the second policy lets pass what the first did not.
fn wider(before: Option<&BTreeSet<RouteTarget>>, now: Option<&BTreeSet<RouteTarget>>) -> bool {
    match (before, now) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(now)) => !now.is_subset(before),
    }
}
