//! What the writer of a session tells the session.

use std::mem;
use std::sync::{Mutex, PoisonError};

use bgp_wire::AfiSafi;
use tokio::sync::Notify;

/// Told by the writer task, heard by the task of the peer.
#[derive(Debug, Default)]
pub(crate) struct Tidings {
    /// A queue that had been full has room again.
    pub(crate) drained: Notify,
    answered: Notify,
    /// Families of which an answer to a request for our routes is complete, until they are taken. Locked
    /// for a moment, a few times for each request.
    families: Mutex<Vec<AfiSafi>>,
}

impl Tidings {
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
