//! Sessions that come up and go down, and what is due some time after that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_peer::{Down, Established};
use bgp_rib::{Input, PeerIx};
use bgp_session::DownReason;
use bgp_session::cease::Cease;
use bgp_wire::AfiSafi;
use tracing::info;

use super::Control;
use super::connections::FORGET;
use super::limits::idle_after_limit;
use super::standing;
use crate::deliver::{SessionEvent, SessionEventKind};
use crate::peering::{Terms, view};
use crate::shard_thread::ShardInput;
use crate::timers::Timer;

/// How long a peer is waited for to tell its memberships (RFC 4684 §5 leaves it open).
const MEMBERSHIPS_WAIT: Duration = Duration::from_secs(30);

/// How long a peer that is up again may take to tell its routes anew (RFC 4724 §4.2).
pub(super) const END_OF_RIB_WAIT: Duration = Duration::from_mins(5);

impl Control {
    pub(super) fn session_event(&mut self, SessionEvent { peer, kind }: SessionEvent) {
        let now = Instant::now();
        // An End-of-RIB says nothing of who else is coming. If it counted, control nodes that start
        // together would wait for each other in turn.
        if !matches!(kind, SessionEventKind::EndOfRib(_)) {
            self.convergence.event(now);
        }
        let Some(entry) = self.peers.get_mut(peer) else { return };
        entry.last_seen = now;
        match kind {
            SessionEventKind::Up { session, told, totals, queue, stale } => {
                entry.totals = totals;
                entry.queue = Some(queue);
                entry.stale = stale;
                self.up(peer, session, told, now);
            }
            SessionEventKind::EndOfRib(family) => {
                entry.ended.insert(family);
                entry.stale.retain(|stale| *stale != family);
                entry.long_lived.remove(&family);
            }
            SessionEventKind::Disabled(family) => {
                entry.disabled.insert(family);
                entry.stale.retain(|stale| *stale != family);
            }
            SessionEventKind::Refreshing => {
                let epoch = entry.epoch;
                self.timers.set(now + END_OF_RIB_WAIT, peer, epoch, Timer::Refresh);
            }
            SessionEventKind::Down(down) => self.down(peer, &down, now),
        }
    }

    fn up(&mut self, peer: PeerIx, session: Arc<Established>, told: Terms, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        info!(
            peer = %entry.address,
            name = %told.spec.name,
            families = ?session.agreement.negotiated.families,
            hold_time = session.agreement.hold_time.secs(),
            "session up"
        );
        // Should it go again before its End-of-RIB, their time has not begun anew (RFC 9494 §4.2).
        let stale = &entry.stale;
        entry.long_lived.retain(|family, kept| kept.has_begun() && stale.contains(family));
        entry.ended.clear();
        entry.disabled.clear();
        entry.epoch += 1;
        entry.session = Some(session);
        entry.told = Some(told);
        let epoch = entry.epoch;
        let stale = !entry.stale.is_empty();
        self.timers.set(now + MEMBERSHIPS_WAIT, peer, epoch, Timer::Memberships);
        if stale {
            self.timers.set(now + END_OF_RIB_WAIT, peer, epoch, Timer::Stale);
        }
        self.watch_path(peer);
        // The topology may have changed while the session told the shards.
        self.retell(peer);
    }

    fn down(&mut self, peer: PeerIx, down: &Down, now: Instant) {
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let path_was_lost = entry.lost_in == Some(entry.epoch);
        entry.epoch += 1;
        entry.flaps += 1;
        entry.session = None;
        entry.queue = None;
        entry.told = None;
        entry.ended.clear();
        entry.disabled.clear();
        let kept = entry.keep(down.retained.as_ref());
        info!(
            peer = %entry.address,
            reason = %down.reason,
            kept_seconds = kept.map(|time| time.as_secs()),
            "session down"
        );
        let sent_away = match &down.reason {
            DownReason::Ceased(Cease::PrefixLimit { .. }) => idle_after_limit(&entry.spec()),
            _ => Duration::ZERO,
        };
        // What it was to be told is void with the session.
        entry.unsaid = None;
        entry.away_until = now + sent_away;
        let (epoch, dynamic) = (entry.epoch, entry.dynamic);
        if let Some(restart) = down.retained.as_ref().map(|retained| retained.restart_time) {
            self.timers.set(now + restart, peer, epoch, Timer::Stale);
        }
        self.await_long_lived(peer);
        if dynamic {
            // Whoever was sent away for a while is not forgotten before, or it could come back at once.
            let away = FORGET + kept.unwrap_or_default() + sent_away;
            self.timers.set(now + away, peer, epoch, Timer::Forget);
        }
        // Its connection broke before the session heard of the path.
        if path_was_lost && down.retained.is_some() {
            self.keep_nothing(peer, now);
        }
    }

    /// Tells the shards of other terms for a session that is up.
    pub(super) fn retell(&mut self, peer: PeerIx) {
        let identity = self.running.identity();
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let (Some(session), Some(told)) = (&entry.session, &entry.told) else { return };
        let newest = entry.terms.borrow().clone();
        if *told == newest {
            return;
        }
        let (view, session) =
            (Arc::new(view(&identity, &newest, session, &entry.totals)), session.epoch);
        entry.told = Some(newest);
        self.lanes.send_all(|| ShardInput::Changed { peer, session, view: Arc::clone(&view) });
    }

    pub(super) fn time(&mut self, now: Instant) {
        while let Some((peer, epoch, timer)) = self.timers.take(now) {
            let Some(entry) = self.peers.get_mut(peer) else { continue };
            if entry.epoch != epoch {
                continue;
            }
            match timer {
                Timer::Memberships => {
                    if !entry.ended.contains(&AfiSafi::RTC) {
                        self.lanes.send_all(|| ShardInput::Rib(Input::RtcTimeout { peer }));
                    }
                }
                Timer::Stale => self.restart_is_over(peer, now),
                Timer::LongLived => self.long_lived_is_over(peer, now),
                Timer::Refresh => self.refresh_is_late(peer, now),
                Timer::Unsaid => {
                    if let Some(ending) = entry.unsaid.take() {
                        self.end(peer, ending);
                    }
                }
                Timer::Forget if entry.session.is_none() => self.remove(peer),
                Timer::Forget => {}
            }
        }
        let standings: Vec<_> = self.peers.iter().map(|(_, entry)| standing(entry)).collect();
        let nodes = self.running.has_nodes();
        if self.convergence.check(now, nodes, standings.into_iter()) {
            info!("End-of-RIB may go out");
            self.lanes.send_all(|| ShardInput::Converged);
        }
    }
}
