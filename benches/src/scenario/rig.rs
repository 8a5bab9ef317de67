//! A started subject, the sessions with it, and a stopwatch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::Process;

use super::{Metrics, Place};
use crate::load::crowd::{Crowd, Opening, Peer};
use crate::load::feed;
use crate::load::look::Expect;
use crate::load::routes::{Kind, TARGETS, memberships};
use crate::load::wire;
use crate::plan;
use crate::subject::{Subject, Wanted};
use crate::usage::{self, Usage};

/// How long anything may take before the subject counts as unable to do it.
pub(super) const CEILING: Duration = Duration::from_mins(5);

/// One subject under load.
pub(super) struct Rig {
    /// Dropped first: it shall not spend its last moments on withdrawing everything.
    process: Process,
    pub(super) crowd: Crowd,
    subject: Subject,
    kind: Kind,
    /// Of the whole run.
    pub(super) routes: u32,
}

/// A moment to measure from.
pub(super) struct Mark {
    usage: Usage,
    /// CPU time of the load.
    load: Duration,
    /// Of the crowd's clock.
    at: u64,
    updates: u64,
}

impl Rig {
    pub(super) fn new(
        place: &Place<'_>,
        kind: Kind,
        routes: u32,
        constrained: bool,
    ) -> Result<Self> {
        let wanted = Wanted { kind, has_constraint: constrained };
        let subject = place.subject;
        let process = subject.start(place.bed, place.namespace, place.arcus, wanted)?;
        Ok(Self { process, crowd: Crowd::new(plan::TARGET)?, subject, kind, routes })
    }

    fn expect(&self) -> Expect {
        Expect {
            kind: self.kind,
            routes: self.routes,
            is_reflected: self.subject.is_reflector(),
            may_have_med: self.subject.adds_med() && self.kind != Kind::Ipv4Unicast,
            targets: None,
        }
    }

    /// What each of the senders has to say, who share the routes equally.
    pub(super) fn encoded(&self) -> Vec<Vec<u8>> {
        let count = self.kind.senders();
        let each = self.routes / u32::from(count);
        let first = |number: u16| u32::from(number) * each;
        (0..count).map(|n| feed::encode(self.kind, first(n)..first(n) + each)).collect()
    }

    /// A sender for each of these. Not yet up.
    pub(super) fn senders(&self, encoded: Vec<Vec<u8>>) -> Result<Vec<(Arc<Peer>, Vec<u8>)>> {
        let join = |(number, octets)| {
            let from = plan::sender(number);
            let (mut families, mut hello) = (vec![self.kind.family()], Vec::new());
            if self.subject.senders_are_clients(self.kind) {
                families.push(wire::RTC);
                hello = memberships(&[], from);
            }
            let (expect, is_deaf) = (self.expect(), false);
            let peer = self.crowd.join(Opening { from, families, hello, expect, is_deaf })?;
            Ok((peer, octets))
        };
        (0..).zip(encoded).map(join).collect()
    }

    /// Clients who are told everything. Not yet up.
    pub(super) fn clients(&self, numbers: std::ops::Range<u16>) -> Result<Vec<Arc<Peer>>> {
        numbers.map(|number| self.client(number, false)).collect()
    }

    /// A client that stops reading once it is up.
    pub(super) fn deaf_client(&self, number: u16) -> Result<Arc<Peer>> {
        self.client(number, true)
    }

    fn client(&self, number: u16, is_deaf: bool) -> Result<Arc<Peer>> {
        let from = plan::client(number);
        let families = vec![self.kind.family()];
        let (hello, expect) = (Vec::new(), self.expect());
        self.crowd.join(Opening { from, families, hello, expect, is_deaf })
    }

    /// A client who asks for ten targets, spread over all.
    pub(super) fn constrained_client(&self, number: u16) -> Result<Arc<Peer>> {
        let from = plan::client(number);
        let targets: Vec<u32> =
            (0..10).map(|n| (u32::from(number) * 7 + n * (TARGETS / 10)) % TARGETS).collect();
        self.crowd.join(Opening {
            from,
            families: vec![self.kind.family(), wire::RTC],
            hello: memberships(&targets, from),
            expect: Expect { targets: Some(targets.into()), ..self.expect() },
            is_deaf: false,
        })
    }

    /// Waits until all of these sessions are established.
    pub(super) fn up<'p>(&self, peers: impl Iterator<Item = &'p Arc<Peer>>) -> Result<()> {
        let peers: Vec<_> = peers.collect();
        let up = || peers.iter().all(|peer| peer.is_up());
        self.crowd.wait("sessions are up", CEILING, up)
    }

    /// Waits until each of these clients has just so many routes.
    pub(super) fn have(&self, clients: &[Arc<Peer>], routes: u32) -> Result<()> {
        let have = || clients.iter().all(|client| client.present() == routes);
        let fewest = || clients.iter().map(|client| client.present()).min().unwrap_or_default();
        self.crowd
            .wait(&format!("{routes} routes everywhere"), CEILING, have)
            .with_context(|| format!("the client with the fewest has {}", fewest()))
    }

    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::of_group(self.process.pid())
    }

    /// Starts the stopwatch, after the subject has come to rest.
    pub(super) fn mark(&self) -> Result<Mark> {
        self.rest(Duration::from_secs(2))?;
        let (at, updates) = (self.crowd.now(), self.crowd.updates());
        Ok(Mark { usage: self.usage()?, load: usage::own()?, at, updates })
    }

    /// Waits until the subject has used no CPU for a while, at most for `ceiling`.
    pub(super) fn rest(&self, ceiling: Duration) -> Result<()> {
        let deadline = Instant::now() + ceiling;
        let mut before = self.usage()?.cpu();
        while Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.usage()?.cpu();
            if now == before {
                return Ok(());
            }
            before = now;
        }
        Ok(())
    }

    /// What it took from the mark until these clients had what they have now.
    pub(super) fn since(&self, mark: &Mark, clients: &[Arc<Peer>]) -> Result<Metrics> {
        let have: Vec<u32> = clients.iter().map(|client| client.present()).collect();
        // What is left to do behind the last route counts too.
        self.rest(Duration::from_secs(5))?;
        let (now, load) = (self.usage()?, usage::own()?.saturating_sub(mark.load));
        self.crowd.check()?;
        ensure!(
            clients.iter().map(|client| client.present()).eq(have),
            "a client was told something else behind what it was due"
        );
        let looked_at = self.crowd.looked_at(clients);
        ensure!(looked_at > 0, "of what a client was told, nothing was looked at");
        let last = clients
            .iter()
            .map(|client| client.status.changed.load(std::sync::atomic::Ordering::Relaxed))
            .max()
            .unwrap_or_default();
        let wall = Duration::from_nanos(last.saturating_sub(mark.at));
        let cpu = now.cpu().saturating_sub(mark.usage.cpu());
        let system = now.system.saturating_sub(mark.usage.system);
        #[expect(clippy::cast_precision_loss, reason = "octets and messages of one run")]
        let metrics = [
            ("wall_s", wall.as_secs_f64()),
            ("cpu_s", cpu.as_secs_f64()),
            ("system_s", system.as_secs_f64()),
            ("load_s", load.as_secs_f64()),
            ("peak_bytes", now.peak.saturating_sub(mark.usage.resident) as f64),
            ("updates_out", (self.crowd.updates() - mark.updates) as f64),
            ("looked_at_least", looked_at as f64),
        ];
        Ok(metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}
