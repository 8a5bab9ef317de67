//! What the control task has for the shards and they have no room for yet.
//!
//! The control task never waits for a shard: it would not hear of events meanwhile. It takes no new
//! command while something is in a lane, so a lane is bounded by what one command makes.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::shard_thread::ShardInput;

pub(crate) struct Lanes {
    shards: Arc<[mpsc::Sender<ShardInput>]>,
    waiting: Vec<VecDeque<ShardInput>>,
}

impl Lanes {
    pub(crate) fn new(shards: Arc<[mpsc::Sender<ShardInput>]>) -> Self {
        let waiting = shards.iter().map(|_| VecDeque::new()).collect();
        Self { shards, waiting }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }

    /// Sends to every shard, now or as soon as it has room, in the order of the calls.
    pub(crate) fn send_all(&mut self, mut input: impl FnMut() -> ShardInput) {
        for (shard, waiting) in self.shards.iter().zip(&mut self.waiting) {
            if !waiting.is_empty() {
                waiting.push_back(input());
            } else if let Err(TrySendError::Full(input)) = shard.try_send(input()) {
                waiting.push_back(input);
            }
        }
    }

    /// Waits until one that waits was sent. May be dropped at any time.
    pub(crate) async fn pump(&mut self) {
        for (shard, waiting) in self.shards.iter().zip(&mut self.waiting) {
            if waiting.is_empty() {
                continue;
            }
            match shard.reserve().await {
                Ok(permit) => {
                    if let Some(input) = waiting.pop_front() {
                        permit.send(input);
                    }
                }
                // The daemon ends.
                Err(_) => waiting.clear(),
            }
            return;
        }
        std::future::pending::<()>().await;
    }
}
