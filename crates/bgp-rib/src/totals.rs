//! How many routes a peer has in all shards together: what its limits count.
//!
//! The one thing that shards share. Each adds what has changed in it, and only for peers that have a
//! limit.
//!
//! A peer that withdraws a route of one shard and then announces one of another has as many as before, but
//! the shards may see it the other way round. So too many are only suspected: a question that goes to
//! all shards behind what they have still to do ([`crate::Input::CheckLimit`]) finds out.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{AcqRel, Relaxed},
};

use bgp_wire::AfiSafi;

use crate::family::TableFamily;
use crate::peer::{Limit, PeerIx, PeerView};
use crate::shard::{Output, Shard};
use crate::table::Table;
use crate::tables::{family_of, for_each_table};

/// The routes of one session, by family.
#[derive(Debug, Clone)]
pub struct Totals(Arc<[Total]>);

#[derive(Debug)]
struct Total {
    family: AfiSafi,
    routes: AtomicU32,
    /// Some shard has said that there may be too many, or that there are.
    exceeded: AtomicBool,
    /// Shards that have looked again since, and whether one of them saw that there are not.
    looked: AtomicU32,
    denied: AtomicBool,
    /// Some shard has said that there are nearly too many, and there were not clearly fewer since.
    warned: AtomicBool,
}

impl Totals {
    fn of(&self, family: AfiSafi) -> Option<&Total> {
        self.0.iter().find(|total| total.family == family)
    }

    /// Other limits are news again.
    fn forget_news(&self) {
        for total in self.0.iter() {
            total.exceeded.store(false, Relaxed);
        }
    }
}

/// Nothing has been counted.
impl Default for Totals {
    fn default() -> Self {
        Self(AfiSafi::NAMED.iter().map(|(family, _)| Total::new(*family)).collect())
    }
}

/// Two are equal when they count together.
impl PartialEq for Totals {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Totals {}

impl Total {
    const fn new(family: AfiSafi) -> Self {
        Self {
            family,
            routes: AtomicU32::new(0),
            exceeded: AtomicBool::new(false),
            looked: AtomicU32::new(0),
            denied: AtomicBool::new(false),
            warned: AtomicBool::new(false),
        }
    }

    /// Whether it is news that there are more than so many.
    fn suspects(&self, routes: u32, most: u32) -> bool {
        let is_news = routes > most && !self.exceeded.swap(true, Relaxed);
        if is_news {
            self.looked.store(0, Relaxed);
            self.denied.store(false, Relaxed);
        }
        is_news
    }

    /// Brings what a shard had said to what it has; gives the sum over all shards.
    fn follow(&self, said: u32, has: u32) -> u32 {
        // Wrapping is what a difference below 0 needs.
        let change = has.wrapping_sub(said);
        self.routes.fetch_add(change, Relaxed).wrapping_add(change)
    }
}

impl Shard {
    /// Begins to count the routes of a session: those kept from the one before are among them.
    pub(crate) fn count_anew(&mut self, peer: PeerIx) {
        for_each_table!(self.tables, table => table.sender_mut(peer).counted = 0);
        self.count(peer);
    }

    /// Tells the others of what has changed here of the routes of a peer, and says where they are too
    /// many.
    pub(crate) fn count(&mut self, peer: PeerIx) {
        let Some(known) = self.world.peer(peer).filter(|known| !known.view.limits.is_empty())
        else {
            return;
        };
        let (view, is_up) = (Arc::clone(&known.view), known.up);
        let (is_first, shards) = (self.world.config.shard == 0, self.world.config.shards);
        for_each_table!(self.tables, table => {
            // Memberships are in every shard.
            let has = if is_first || family_of(table) != AfiSafi::RTC { table.sender(peer).paths } else { 0 };
            let output = table.count(peer, &view, has, shards);
            self.outputs.extend(output.filter(|_| is_up));
        });
    }

    /// Looks again whether a peer has too many routes; the last shard that does so knows.
    pub(crate) fn check_limit(&mut self, peer: PeerIx, family: AfiSafi) {
        self.count(peer);
        let shards = u32::from(self.world.config.shards);
        let Some(known) = self.world.up(peer) else { return };
        let limit = known.view.limits.iter().find(|limit| limit.family == family);
        let Some((limit, total)) = limit.zip(known.view.totals.of(family)) else { return };
        if total.routes.load(Relaxed) <= limit.routes {
            total.denied.store(true, Relaxed);
        }
        if total.looked.fetch_add(1, AcqRel) + 1 < shards {
            return;
        }
        let limit = limit.routes;
        if !total.denied.load(Relaxed) {
            return self.outputs.push(Output::LimitExceeded { peer, family, limit });
        }
        total.exceeded.store(false, Relaxed);
        // They may have become too many meanwhile.
        if total.suspects(total.routes.load(Relaxed), limit) {
            self.outputs.push(Output::LimitSuspected { peer, family });
        }
    }

    /// The limits of a session are other ones now.
    pub(crate) fn limits_changed(&mut self, peer: PeerIx, view: &PeerView) {
        view.totals.forget_news();
        self.count(peer);
    }
}

impl<F: TableFamily> Table<F> {
    fn count(&mut self, peer: PeerIx, view: &PeerView, has: u32, shards: u16) -> Option<Output> {
        let limit = view.limits.iter().find(|limit| limit.family == F::AFI_SAFI)?;
        let total = view.totals.of(F::AFI_SAFI)?;
        let said = std::mem::replace(&mut self.sender_mut(peer).counted, has);
        said_of(peer, *limit, total, total.follow(said, has), shards)
    }
}

/// Whether it is news how many routes there are.
fn said_of(peer: PeerIx, limit: Limit, total: &Total, routes: u32, shards: u16) -> Option<Output> {
    let Limit { family, routes: most, warning } = limit;
    if total.suspects(routes, most) {
        return Some(match shards {
            1 => Output::LimitExceeded { peer, family, limit: most },
            _ => Output::LimitSuspected { peer, family },
        });
    }
    let warning = warning?;
    if routes < warning - warning / 10 {
        // A tenth below, or a peer that wavers would be news all the time.
        total.warned.store(false, Relaxed);
        return None;
    }
    let is_news = (warning..=most).contains(&routes) && !total.warned.swap(true, Relaxed);
    is_news.then_some(Output::LimitNear { peer, family, routes, limit: most })
}
