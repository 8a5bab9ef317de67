//! The life of a daemon between its start and its end: signals, the watchdog, and the rule that a part
//! which ends unexpectedly ends all.

use std::future::{Future, ready};

use tracing::error;

use crate::Notifier;
use crate::signals::{Signal, Signals};
use crate::supervisor::Supervisor;

/// What the signals of a daemon reach.
pub trait Alive {
    /// Reads the configuration again; `Err` says why it was refused.
    ///
    /// # Errors
    /// The outer one ends the daemon: the part that should have done it is gone.
    fn reload(&self) -> impl Future<Output = anyhow::Result<Result<(), String>>>;

    /// Whether the parts that matter still answer. The watchdog of systemd is told only then.
    fn has_pulse(&self) -> impl Future<Output = bool> {
        ready(true)
    }
}

/// Serves signals until one ends the daemon.
///
/// # Errors
/// A part of the daemon has ended that should not.
pub async fn live(daemon: &impl Alive, supervisor: &mut Supervisor) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let notifier = Notifier::from_env();
    let mut watchdog = notifier.watchdog();
    notifier.ready("running");
    let outcome = loop {
        tokio::select! {
            () = watchdog.due() => {
                if daemon.has_pulse().await {
                    notifier.alive();
                } else {
                    error!("the owner task does not answer");
                }
            }
            signal = signals.next() => match signal {
                Signal::Reload => {
                    notifier.reloading();
                    let status = match daemon.reload().await? {
                        Ok(()) => "reloaded".to_owned(),
                        Err(error) => format!("the topology was refused: {error}"),
                    };
                    notifier.ready(&status);
                }
                Signal::Shutdown => break Ok(()),
            },
            ended = supervisor.unexpected_end() => break Err(ended.into()),
        }
    };
    notifier.stopping();
    outcome
}
