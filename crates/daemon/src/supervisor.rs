use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Runs the tasks and threads that a daemon consists of.
///
/// None of them may end before the daemon does: a daemon that has lost a part of itself looks alive to
/// its peers and is not. Whoever owns the supervisor waits for [`Supervisor::unexpected_end`] and
/// leaves; systemd starts the daemon again.
#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, String>,
    shutdown: CancellationToken,
}

/// A part of the daemon that ended before it was told to.
#[derive(Debug)]
pub struct Ended {
    pub name: String,
    /// `None` if it returned as if all its work were done.
    pub cause: Option<anyhow::Error>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "task `{}` ended: {cause:#}", self.name),
            None => write!(f, "task `{}` ended by itself", self.name),
        }
    }
}

impl std::error::Error for Ended {}

impl Supervisor {
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the daemon goes: every part of it ends then, in its own order.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Runs a task. It ends when [`Supervisor::shutdown`] is cancelled, not before.
    pub fn spawn<E>(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<anyhow::Error> + 'static,
    {
        let handle = self.tasks.spawn(async { task.await.map_err(Into::into) });
        self.names.insert(handle.id(), name.into());
    }

    /// Runs a thread of its own, named `name`, for what never yields.
    pub fn spawn_thread<E>(
        &mut self,
        name: &str,
        body: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> io::Result<()>
    where
        E: Into<anyhow::Error> + 'static,
    {
        let (done, ended) = oneshot::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nobody listens only when the whole runtime is gone.
            drop(done.send(body().map_err(Into::into)));
        })?;
        self.spawn(name, async {
            // A thread that panics drops the sender.
            ended.await.unwrap_or_else(|_| Err(anyhow::anyhow!("the thread panicked")))
        });
        Ok(())
    }

    /// Waits until a part of the daemon ends that should not. May be cancelled.
    pub async fn unexpected_end(&mut self) -> Ended {
        match self.tasks.join_next_with_id().await {
            Some(joined) => self.ended(joined),
            None => std::future::pending().await,
        }
    }

    /// Cancels [`Supervisor::shutdown`], waits at most `grace` for all parts, and drops what is left.
    pub async fn stop(mut self, grace: Duration) {
        self.shutdown.cancel();
        let deadline = Instant::now() + grace;
        while let Ok(Some(joined)) = timeout_at(deadline, self.tasks.join_next_with_id()).await {
            if let Ended { name, cause: Some(cause) } = self.ended(joined) {
                error!(name, cause = format!("{cause:#}"), "task failed while stopping");
            }
        }
        for name in self.names.values() {
            warn!(name, "task did not stop in time");
        }
    }

    fn ended(&mut self, joined: Result<(Id, anyhow::Result<()>), JoinError>) -> Ended {
        let (id, cause) = match joined {
            Ok((id, result)) => (id, result.err()),
            Err(error) => (error.id(), Some(error.into())),
        };
        Ended { name: self.names.remove(&id).unwrap_or_default(), cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_returns_is_named() {
        let mut supervisor = Supervisor::new();
        supervisor.spawn("waits", std::future::pending::<io::Result<()>>());
        supervisor.spawn("returns", async { io::Result::Ok(()) });
        let ended = supervisor.unexpected_end().await;
        assert_eq!(ended.to_string(), "task `returns` ended by itself");
    }

    #[tokio::test]
    async fn a_panic_and_an_error_are_told_as_the_cause() {
        let mut supervisor = Supervisor::new();
        supervisor.spawn("listener", async { Err(io::Error::other("address in use")) });
        let ended = supervisor.unexpected_end().await.to_string();
        assert_eq!(ended, "task `listener` ended: address in use");

        supervisor.spawn("control", async {
            assert_eq!(1 + 1, 3, "arithmetic");
            io::Result::Ok(())
        });
        let ended = supervisor.unexpected_end().await.to_string();
        assert!(ended.starts_with("task `control` ended: task") && ended.contains("panicked"));
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_noticed() {
        let mut supervisor = Supervisor::new();
        supervisor
            .spawn_thread("shard-0", || {
                assert_eq!(1 + 1, 3, "arithmetic");
                io::Result::Ok(())
            })
            .expect("a thread");
        let ended = supervisor.unexpected_end().await.to_string();
        assert_eq!(ended, "task `shard-0` ended: the thread panicked");
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_waits_for_the_willing_and_not_for_the_others() {
        let mut supervisor = Supervisor::new();
        let shutdown = supervisor.shutdown();
        let (done, mut seen) = oneshot::channel();
        supervisor.spawn("willing", async move {
            shutdown.cancelled().await;
            done.send(()).expect("the test waits");
            io::Result::Ok(())
        });
        supervisor.spawn("deaf", std::future::pending::<io::Result<()>>());
        supervisor.stop(Duration::from_secs(5)).await;
        assert!(seen.try_recv().is_ok());
    }
}
