//! A peer that is told everything, and that all cases of a group may ask what that is.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bed::{Bed, Sort};
use crate::heard::{Heard, Key, Told};
use crate::speaker::{CEILING, Got, Speaker};

#[derive(Default)]
struct State {
    heard: Heard,
    /// Why nothing comes any more.
    ended: Option<String>,
    stop: bool,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

pub(crate) struct Watcher {
    shared: Shared,
}

impl Watcher {
    pub(crate) fn start(bed: &Bed, sort: Sort) -> Result<Self> {
        let seat = bed.seat(sort)?;
        // Without a hold time it needs to send nothing. It takes IPv6 next hops (RFC 8950).
        let of_ipv6 = [0, 1, 0, 128, 0, 2, 0, 1, 0, 1, 0, 2];
        let open = seat.open(&bed.families(sort)).hold(0).and(5, &of_ipv6);
        let mut speaker = bed.up_with(seat, &open)?;
        speaker.asks_for_all()?;
        let shared = Shared::default();
        lock(&shared).heard = std::mem::take(&mut speaker.heard);
        let hers = Arc::clone(&shared);
        std::thread::spawn(move || listen(speaker, &hers));
        Ok(Self { shared })
    }

    /// Waits until something is so, and gives what `is_so` finds.
    pub(crate) fn until<T>(&self, what: &str, is_so: impl Fn(&Heard) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + CEILING;
        let mut state = lock(&self.shared);
        loop {
            if let Some(found) = is_so(&state.heard) {
                return Ok(found);
            }
            ensure!(state.ended.is_none(), "the watcher has ended: {:?}", state.ended);
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "the watcher waited too long until {what}");
            let waited = self.shared.1.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn route(&self, key: &Key) -> Result<Told> {
        self.until(&format!("{key:02x?} is told"), |heard| heard.get(key).cloned())
    }

    /// Waits until a route is told with something.
    pub(crate) fn route_with(&self, key: &Key, is_so: impl Fn(&Told) -> bool) -> Result<Told> {
        let found = |heard: &Heard| heard.get(key).filter(|told| is_so(told)).cloned();
        self.until("the route is told so", found)
            .with_context(|| format!("it is {:02x?}", self.now(|heard| heard.get(key).cloned())))
    }

    pub(crate) fn gone(&self, key: &Key) -> Result<()> {
        self.until(&format!("{key:02x?} is withdrawn"), |heard| {
            heard.get(key).is_none().then_some(())
        })
    }

    /// Looks without waiting.
    pub(crate) fn now<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&lock(&self.shared).heard)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        lock(&self.shared).stop = true;
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(mut speaker: Speaker, shared: &Shared) {
    loop {
        let got = speaker.next(Duration::from_millis(200));
        let mut state = lock(shared);
        let ended = match got {
            Ok(Got::Message(3, body)) => Some(format!("NOTIFICATION {body:?}")),
            Ok(Got::Message(kind, body)) => {
                state.heard.message(kind, &body).err().map(|error| format!("{error:#}"))
            }
            Ok(Got::Closed) => Some("closed".to_owned()),
            Ok(Got::Nothing) => None,
            Err(error) => Some(format!("{error:#}")),
        };
        let stop = state.stop || ended.is_some();
        state.ended = ended;
        shared.1.notify_all();
        if stop {
            return;
        }
    }
}
