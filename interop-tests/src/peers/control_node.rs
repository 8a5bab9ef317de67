//! Our daemon in its namespace, and what its command line says.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arcus_api::v1::{GracefulRestartState, Neighbor, SessionState};
use testbed::{Bed, GiveUp, Namespace, Process};

use super::Member;
use crate::Binaries;

/// How long a session may take. GoBGP lets ten seconds pass before it connects, and OpenBGPD two minutes
/// after a connection that was refused.
pub(super) const CEILING: Duration = Duration::from_secs(150);

/// Its name in the topology.
pub(super) const NAME: &str = "ctl-1";

/// It reads `topology.toml` of the run directory.
#[derive(Debug)]
pub struct ControlNode {
    binaries: Binaries,
    namespace: Namespace,
    process: Process,
}

impl ControlNode {
    /// Starts it; it may not answer yet.
    pub fn start(bed: &Bed, binaries: &Binaries, namespace: &Namespace) -> Result<Self> {
        let process = run(bed, binaries, namespace)?;
        Ok(Self { binaries: binaries.clone(), namespace: namespace.clone(), process })
    }

    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// After it was killed.
    pub async fn start_again(&mut self, bed: &Bed) -> Result<()> {
        self.process = run(bed, &self.binaries, &self.namespace)?;
        self.wait_until_it_answers(bed).await
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub async fn wait_until_it_answers(&mut self, bed: &Bed) -> Result<()> {
        let (binaries, namespace, ours) = (&self.binaries, &self.namespace, &mut self.process);
        bed.wait_for("arcus-bgpd answers", CEILING, async || {
            ensure!(ours.is_running(), GiveUp(format!("it ended:\n{}", ours.output())));
            arcus(bed, binaries, namespace, &["neighbors", "-o", "json"]).await.map(drop)
        })
        .await
    }

    /// What `arcus` prints.
    pub async fn arcus(&self, bed: &Bed, words: &[&str]) -> Result<String> {
        arcus(bed, &self.binaries, &self.namespace, words).await
    }

    pub async fn neighbor(&self, bed: &Bed, member: &Member) -> Result<Neighbor> {
        let text = self.arcus(bed, &["neighbors", "-o", "json"]).await?;
        let all: Vec<Neighbor> = serde_json::from_str(&text).context(text)?;
        let found = all.into_iter().find(|neighbor| neighbor.address == member.address);
        found.with_context(|| format!("{} is not known yet", member.address))
    }

    /// Waits for a session that has ended so often at least.
    pub async fn wait_until_up(&self, bed: &Bed, member: &Member, flaps: u64) -> Result<Neighbor> {
        let what = format!("the session of {} is established", member.name);
        bed.wait_for(&what, CEILING, async || {
            let neighbor = self.neighbor(bed, member).await?;
            let state = neighbor.state;
            ensure!(state == SessionState::Established, "{state:?}");
            ensure!(neighbor.flaps >= flaps, "it has not ended yet");
            Ok(neighbor)
        })
        .await
    }

    /// Waits until routes of `member` are kept for it and marked stale.
    pub async fn wait_until_stale(&self, bed: &Bed, member: &Member) -> Result<Neighbor> {
        self.wait_for_restart(bed, member, GracefulRestartState::Helping).await
    }

    /// Waits until none is any more.
    pub async fn wait_until_fresh(&self, bed: &Bed, member: &Member) -> Result<Neighbor> {
        self.wait_for_restart(bed, member, GracefulRestartState::Ready).await
    }

    async fn wait_for_restart(
        &self,
        bed: &Bed,
        member: &Member,
        want: GracefulRestartState,
    ) -> Result<Neighbor> {
        let what = format!("the restart of {} is {want:?}", member.name);
        bed.wait_for(&what, CEILING, async || {
            let neighbor = self.neighbor(bed, member).await?;
            let restart = &neighbor.graceful_restart;
            let is_helping = want == GracefulRestartState::Helping;
            ensure!(restart.state == want && (restart.stale > 0) == is_helping, "{restart:?}");
            Ok(neighbor)
        })
        .await
    }
}

fn run(bed: &Bed, binaries: &Binaries, namespace: &Namespace) -> Result<Process> {
    let run_dir = bed.run_dir().display().to_string();
    let topology = bed.run_dir().join("topology.toml").display().to_string();
    let args = ["--topology", &topology, "--node", NAME, "--run-dir", &run_dir];
    bed.start(namespace, NAME, &binaries.bgpd, args)
}

async fn arcus(bed: &Bed, binaries: &Binaries, at: &Namespace, words: &[&str]) -> Result<String> {
    let socket = arcus_api::socket::path(bed.run_dir(), NAME);
    ensure!(socket.exists(), "it has no socket yet");
    let (arcus, socket) = (binaries.arcus.display().to_string(), socket.display().to_string());
    let mut all = vec![arcus.as_str(), "--socket", &socket];
    all.extend(words);
    at.run(&all).await
}
