//! What the writer of a session tells the session.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use bgp_wire::AfiSafi;
use tokio::sync::Notify;

use crate::marks::Restarts;

/// Told by the writer task, heard by the task of the peer; one thing the other way.
#[derive(Debug, Default)]
pub(crate) struct Tidings {
    /// A queue that had been full has room again.
    pub(crate) drained: Notify,
    answered: Notify,
    /// Families of which an answer to a request for our routes is complete, until they are taken. Locked
    /// for a moment, a few times for each request.
    families: Mutex<Vec<AfiSafi>>,
    /// The peer has said that it restarts gracefully; known before anything is written for it.
    restarts: AtomicBool,
}

impl Tidings {
    /// What the peer has said in its OPEN.
    pub(crate) fn peer_is(&self, restarts: Restarts) {
        self.restarts.store(restarts == Restarts::Gracefully, Relaxed);
    }

    pub(crate) fn peer(&self) -> Restarts {
        if self.restarts.load(Relaxed) { Restarts::Gracefully } else { Restarts::No }
    }

    /// The answer to a request for our routes is complete.
    pub(crate) fn has_answered(&self, family: AfiSafi) {
        self.families.lock().unwrap_or_else(PoisonError::into_inner).push(family);
        self.answered.notify_one();
    }

    /// Waits for answers to be complete, and gives their families.
    pub(crate) async fn answered(&self) -> Vec<AfiSafi> {
        self.answered.notified().await;
        mem::take(&mut *self.families.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
