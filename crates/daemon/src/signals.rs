//! What an operator or systemd asks of a running daemon.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// A signal that a daemon acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the topology file again.
    Reload,
    /// SIGTERM or SIGINT: go in order.
    Shutdown,
}

/// Catches the signals from the moment it is made.
#[derive(Debug)]
pub struct Signals {
    hangup: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: unix::signal(SignalKind::hangup())?,
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one. Cancelling loses none; equal signals that come at once may be one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Shutdown,
            _ = self.interrupt.recv() => Signal::Shutdown,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    #[tokio::test]
    async fn a_hangup_is_a_reload() {
        let mut signals = Signals::new().expect("signal handlers");
        let status = Command::new("kill").args(["-HUP", &id().to_string()]).status().expect("kill");
        assert!(status.success());
        assert_eq!(signals.next().await, Signal::Reload);
    }
}
