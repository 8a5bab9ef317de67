//! The handles: which sessions are wanted, and how they are doing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::watch;

use super::config::PathConfig;
use super::driver::Driver;
use super::status::{Counters, Drops, Status};
use crate::Timing;

/// Numbers handles in the order in which they were made.
pub(super) type Number = u64;

/// Who is told at once of each failure. It is called by the task that has all sessions, so it must not
/// wait.
type OnFailure = Box<dyn Fn(&Status) + Send + Sync>;

/// A session that somebody wants.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) config: PathConfig,
    /// By an operator.
    pub(super) is_held_down: bool,
    pub(super) report: Arc<Report>,
}

/// Where a session says how it is doing.
pub(super) struct Report {
    pub(super) status: watch::Sender<Status>,
    pub(super) counters: Arc<Counters>,
    on_failure: Option<OnFailure>,
}

impl Report {
    /// Changes the status if `change` says so.
    pub(super) fn publish(&self, change: impl FnOnce(&mut Status) -> bool) {
        let mut failures = 0;
        self.status.send_if_modified(|status| {
            let before = status.failures;
            let is_news = change(status);
            failures = status.failures - before;
            is_news
        });
        if failures > 0
            && let Some(tell) = &self.on_failure
        {
            tell(&self.status.borrow());
        }
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("status", &self.status).finish_non_exhaustive()
    }
}

pub(super) type WantedSet = BTreeMap<Number, Arc<Wanted>>;

/// Starts sessions. Clones start sessions of the same driver.
#[derive(Debug, Clone)]
pub struct Speaker {
    wanted: Arc<watch::Sender<WantedSet>>,
    next: Arc<AtomicU64>,
    drops: Arc<Drops>,
}

/// A session that is wanted. Dropping it ends the session; the peer learns that it was ended on purpose.
#[derive(Debug)]
pub struct Handle {
    number: Number,
    wanted: Arc<watch::Sender<WantedSet>>,
    status: watch::Receiver<Status>,
    counters: Arc<Counters>,
}

impl Speaker {
    /// Sessions run once the driver does.
    pub fn new() -> (Self, Driver) {
        let (wanted, newest) = watch::channel(WantedSet::new());
        let drops = Arc::new(Drops::default());
        let driver = Driver::new(newest, Arc::clone(&drops));
        (Self { wanted: Arc::new(wanted), next: Arc::default(), drops }, driver)
    }

    /// Asks for a session. Whatever keeps it from running is in [`Status::fault`] and tried again.
    ///
    /// Of two sessions on one path (the same addresses, mode and interface) only the first one runs.
    pub fn start(&self, config: PathConfig) -> Handle {
        self.start_with(config, None)
    }

    /// As [`Speaker::start`]; `on_failure` is told of each failure, also of one that is over before
    /// anybody looks. It is called by the task that has all sessions, so it must not wait.
    pub fn start_telling(
        &self,
        config: PathConfig,
        on_failure: impl Fn(&Status) + Send + Sync + 'static,
    ) -> Handle {
        self.start_with(config, Some(Box::new(on_failure)))
    }

    fn start_with(&self, config: PathConfig, on_failure: Option<OnFailure>) -> Handle {
        let number = self.next.fetch_add(1, Relaxed);
        let (publish, status) = watch::channel(Status::new());
        let counters = Arc::new(Counters::default());
        let report = Report { status: publish, counters: Arc::clone(&counters), on_failure };
        let wanted = Arc::new(Wanted { config, is_held_down: false, report: Arc::new(report) });
        self.wanted.send_modify(|all| drop(all.insert(number, wanted)));
        Handle { number, wanted: Arc::clone(&self.wanted), status, counters }
    }

    /// What was dropped of all that came.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }
}

impl Handle {
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// For an observer that waits for a change. It ends with the session.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Other intervals or another multiplier. A session that is up stays up.
    pub fn set_timing(&self, timing: Timing) {
        self.modify(|wanted| wanted.config.timing = timing);
    }

    /// Holds the session down: the peer learns that an operator did it, not the path.
    pub fn hold_down(&self) {
        self.modify(|wanted| wanted.is_held_down = true);
    }

    /// Undoes [`Handle::hold_down`].
    pub fn release(&self) {
        self.modify(|wanted| wanted.is_held_down = false);
    }

    fn modify(&self, change: impl FnOnce(&mut Wanted)) {
        self.wanted.send_modify(|all| {
            if let Some(wanted) = all.get_mut(&self.number) {
                change(Arc::make_mut(wanted));
            }
        });
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.wanted.send_modify(|all| drop(all.remove(&self.number)));
    }
}
