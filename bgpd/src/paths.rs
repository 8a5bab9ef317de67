//! The paths to peers, as BFD sees them (RFC 5882).
//!
//! BGP does not wait for BFD, unless both sides are strict about it: a session comes up whether the path is
//! watched or not. A path that was up
//! and is lost ends the session, unless an operator of either side has ended only the watching.
//!
//! Nodes have no BFD. Their data plane sends back what comes to the echo port, also while their agent is
//! away; a node that never did so is none the worse for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arcus_api::v1;
use arcus_config::{Echo, PeerRole, PeerSpec};
use bfd::socket::{Counters, Driver, Handle, Mode, PathConfig, Speaker, Status};
use bfd::{AuthKey, Diag, Role, State, Timing};
use bgp_rib::PeerIx;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::peering::Identity;

/// How the path to a peer is now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathNews {
    pub(crate) peer: PeerIx,
    /// Numbers are given again: it is about the peer only that still has this address.
    pub(crate) address: IpAddr,
    pub(crate) now: Path,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// It is up, or an operator of either side has switched the watching off.
    Up,
    /// Neither that, nor was it ever lost.
    Away,
    /// It was up and is lost.
    Lost {
        /// The peer has said that BFD on its side outlives its BGP: then a loss says something about
        /// the path even while its BGP restarts (RFC 5882 §4.3).
        is_independent: bool,
    },
}

/// Starts to watch paths.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    speaker: Speaker,
    news: mpsc::Sender<PathNews>,
}

impl Paths {
    /// What changes goes to `news`. The driver wants a thread of its own.
    pub(crate) fn new(news: mpsc::Sender<PathNews>) -> (Self, Driver) {
        let (speaker, driver) = Speaker::new();
        (Self { speaker, news }, driver)
    }

    pub(crate) fn watch(&self, peer: PeerIx, config: PathConfig) -> WatchedPath {
        let (address, to) = (config.remote, self.news.clone());
        let handle = self.speaker.start_telling(config.clone(), move |status| {
            let is_independent = status.peer_is_independent;
            tell(&to, PathNews { peer, address, now: Path::Lost { is_independent } });
        });
        // For nodes nothing waits.
        let teller = (config.mode != Mode::Echo).then(|| {
            let changes = tell_changes(handle.watch(), peer, address, self.news.clone());
            tokio::spawn(changes).abort_handle()
        });
        WatchedPath { config, handle, teller }
    }

    /// For a peer that was too busy to hear it.
    pub(crate) fn tell_again(&self, news: PathNews, later: Duration) {
        let again = self.news.clone();
        tokio::spawn(async move {
            tokio::time::sleep(later).await;
            // Closed only when the daemon ends.
            again.send(news).await.ok();
        });
    }
}

/// The path to one peer, watched until it is dropped.
#[derive(Debug)]
pub(crate) struct WatchedPath {
    config: PathConfig,
    handle: Handle,
    teller: Option<AbortHandle>,
}

impl WatchedPath {
    /// Takes another configuration if that needs no other session; says whether it did.
    pub(crate) fn follow(&mut self, config: &PathConfig) -> bool {
        let timing = config.timing;
        if (PathConfig { timing, ..self.config.clone() }) != *config {
            return false;
        }
        if self.config.timing != timing {
            self.config.timing = timing;
            self.handle.set_timing(timing);
        }
        true
    }

    pub(crate) fn state(&self) -> PathState {
        PathState {
            status: self.handle.status(),
            mode: self.config.mode,
            counters: Arc::clone(self.handle.counters()),
        }
    }
}

impl Drop for WatchedPath {
    fn drop(&mut self) {
        if let Some(teller) = &self.teller {
            teller.abort();
        }
    }
}

/// Tells of a loss; where the line is full, beside those who watch.
fn tell(to: &mpsc::Sender<PathNews>, lost: PathNews) {
    if let Err(TrySendError::Full(lost)) = to.try_send(lost) {
        let to = to.clone();
        // Closed only when the daemon ends.
        tokio::spawn(async move { to.send(lost).await.ok() });
    }
}

/// Tells whether a session would have to wait, whenever that changes.
async fn tell_changes(
    mut status: watch::Receiver<Status>,
    peer: PeerIx,
    address: IpAddr,
    news: mpsc::Sender<PathNews>,
) {
    let mut known = Path::Away;
    loop {
        let Ok(now) =
            status.wait_for(|status| passable(status) != known).await.as_deref().map(passable)
        else {
            return;
        };
        known = now;
        if news.send(PathNews { peer, address, now }).await.is_err() {
            return;
        }
    }
}

/// Whether a session over the path would have to wait (RFC 5882 §3.2: `AdminDown` says nothing of the path).
fn passable(status: &Status) -> Path {
    let both = [Some(status.state), status.remote.map(|remote| remote.state)];
    let is_off = both.contains(&Some(State::AdminDown));
    if is_off || status.state == State::Up { Path::Up } else { Path::Away }
}

/// What the topology says of the path to a peer; `None` when it is not to be watched. `key` is what
/// packets are signed with.
pub(crate) fn wanted(
    identity: &Identity,
    spec: &PeerSpec,
    address: IpAddr,
    key: Option<Arc<AuthKey>>,
) -> Option<PathConfig> {
    let options = &spec.options;
    if spec.is_shut_down() {
        return None;
    }
    let path = PathConfig {
        interface: options.source_interface.as_ref().map(ToString::to_string),
        ..PathConfig::new(options.source_address.unwrap_or(identity.address), address)
    };
    if matches!(spec.role, PeerRole::Nodes { .. }) {
        let Echo::On { interval, multiplier } = options.echo.unwrap_or_default() else {
            return None;
        };
        return Some(PathConfig { mode: Mode::Echo, timing: timing(interval, multiplier), ..path });
    }
    let bfd = options.bfd.as_ref()?;
    Some(PathConfig {
        mode: if bfd.multihop { Mode::MultiHop } else { Mode::SingleHop },
        timing: timing(bfd.interval, bfd.multiplier),
        role: if bfd.passive { Role::Passive } else { Role::Active },
        auth: key,
        ..path
    })
}

/// The topology has the same bounds.
fn timing(interval: u32, multiplier: u8) -> Timing {
    Timing::new(Duration::from_millis(interval.into()), multiplier).unwrap_or_default()
}

/// A path as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct PathState {
    status: Status,
    mode: Mode,
    counters: Arc<Counters>,
}

impl PathState {
    pub(crate) fn is_up(&self) -> bool {
        self.status.state == State::Up
    }

    pub(crate) fn is_echo(&self) -> bool {
        self.mode == Mode::Echo
    }

    pub(crate) const fn failures(&self) -> u64 {
        self.status.failures
    }

    pub(crate) fn shown(&self) -> v1::Bfd {
        let Self { status, mode, counters } = self;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let said = |diag: Diag| (diag != Diag::NONE).then(|| diag.to_string());
        v1::Bfd {
            state: state(status.state),
            since_seconds: SystemTime::now()
                .duration_since(status.since)
                .ok()
                .map(|since| since.as_secs()),
            diagnostic: said(status.diag),
            remote_state: status.remote.map(|remote| state(remote.state)),
            remote_diagnostic: status.remote.and_then(|remote| said(remote.diag)),
            multihop: *mode == Mode::MultiHop,
            echo: *mode == Mode::Echo,
            transmit_interval_milliseconds: milliseconds(status.transmit_interval),
            detection_milliseconds: status.detection_time.map(milliseconds),
            ups: status.ups,
            failures: status.failures,
            packets_received: counters.received(),
            packets_sent: counters.sent(),
            packets_refused: counters.refused(),
            fault: status.fault.clone(),
        }
    }
}

const fn state(state: State) -> v1::BfdState {
    match state {
        State::AdminDown => v1::BfdState::AdminDown,
        State::Down => v1::BfdState::Down,
        State::Init => v1::BfdState::Init,
        State::Up => v1::BfdState::Up,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use arcus_config::{Bfd, PeerOptions};

    use super::*;
    use crate::peering::tests::spec;

    #[tokio::test]
    async fn a_session_waits_until_the_path_is_up_or_switched_off() {
        let (speaker, _driver) = Speaker::new();
        let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
        let handle = speaker.start(PathConfig::new(Ipv4Addr::LOCALHOST.into(), address));
        let (status, watch) = watch::channel(handle.status());
        let (news, mut told) = mpsc::channel(8);
        let teller = tokio::spawn(tell_changes(watch, PeerIx(0), address, news));
        for (state, want) in [
            (State::Up, Path::Up),
            (State::Init, Path::Away),
            (State::AdminDown, Path::Up),
            (State::Down, Path::Away),
        ] {
            status.send_modify(|now| now.state = state);
            assert_eq!(told.recv().await.map(|news| news.now), Some(want), "{state:?}");
        }
        teller.abort();
    }

    #[test]
    fn nodes_are_watched_by_echoes_and_others_where_they_ask_for_bfd() {
        let us = Ipv4Addr::new(192, 0, 2, 9);
        let identity =
            Identity { asn: 64_512, address: us.into(), router_id: us, cluster_id: us, shards: 1 };
        let watched = |role, options| {
            let spec = PeerSpec { options, ..spec(role) };
            let path = wanted(&identity, &spec, Ipv4Addr::new(192, 0, 2, 1).into(), None)?;
            Some((path.mode, path.timing.interval().as_millis()))
        };
        let node = || PeerRole::Nodes { max_nodes: None };
        let neighbor = || PeerRole::Neighbor { client: true, max_peers: None };
        let unset = PeerOptions::default;
        let echo = |echo| PeerOptions { echo: Some(echo), ..unset() };
        let bfd = PeerOptions { bfd: Some(Bfd { multihop: true, ..Bfd::default() }), ..unset() };
        let shut = PeerOptions { shutdown: Some(true), ..unset() };
        for (role, options, want) in [
            (node(), unset(), Some((Mode::Echo, 300))),
            (node(), echo(Echo::On { interval: 50, multiplier: 5 }), Some((Mode::Echo, 50))),
            (node(), echo(Echo::Off), None),
            (neighbor(), unset(), None),
            (neighbor(), bfd, Some((Mode::MultiHop, 300))),
            (node(), shut, None),
        ] {
            assert_eq!(watched(role, options.clone()), want, "{options:?}");
        }
    }
}
