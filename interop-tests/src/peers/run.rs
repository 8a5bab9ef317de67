//! Takes a daemon through all cases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::Signal;

use super::known::{Known, tries_known};
use super::outcomes::Tried;
use super::route::next_hop;
use super::{
    Attributes, CASES, CONTROL_NODE, Case, Kind, Lab, Life, Loss, Member, Outcomes, Role, Route,
    Speaker, Step, Way,
};

/// How long a route may take on an established session. A peer with RTC and without graceful restart says
/// no End-of-RIB: for 30 seconds it is waited for (RFC 4684 section 6).
const ROUTE_CEILING: Duration = Duration::from_secs(45);

/// Tries everything with one daemon, in all roles at the same time: most of it is waiting. What fails is
/// among the outcomes.
pub async fn try_all<S: Speaker>() -> Outcomes {
    let [a, b, c, d, e] = Role::ALL;
    let (a, b, c, d, e) = tokio::join!(
        try_role::<S>(a),
        try_role::<S>(b),
        try_role::<S>(c),
        try_role::<S>(d),
        try_role::<S>(e)
    );
    let mut all = Outcomes::default();
    for some in [a, b, c, d, e] {
        all.extend(some);
    }
    all
}

async fn try_role<S: Speaker>(role: Role) -> Outcomes {
    let mut outcomes = Outcomes::default();
    if role == Role::Reflector && S::REFLECTS.is_empty() {
        return outcomes;
    }
    for life in [Life::Plain, Life::Graceful] {
        if life == Life::Graceful && !S::RESTARTS.contains(&role) {
            continue;
        }
        if let Err(error) = try_life::<S>(role, life, &mut outcomes).await {
            outcomes.ended_early(S::NAME, role, &format!("{life:?}, {error:#}"));
        }
    }
    outcomes
}

async fn try_life<S: Speaker>(role: Role, life: Life, outcomes: &mut Outcomes) -> Result<()> {
    let member = Member::under_test(role, life);
    let lab = Lab::raise(&member).await?;
    let speaker = S::start(lab.bed(), lab.under_test(), &member).await?;
    let mut trial = Trial { lab, speaker: Some(speaker), member, number: 0, flaps: 0 };
    let cases = CASES.iter().filter(|case| case.life == life && case.roles.contains(&role));
    for case in cases {
        for way in case.ways {
            trial.try_case(case, *way, outcomes).await?;
        }
    }
    Ok(())
}

struct Trial<S> {
    lab: Lab,
    /// None while it is killed.
    speaker: Option<S>,
    member: Member,
    /// Of the case: each has prefixes of its own.
    number: u8,
    /// How often the session shall have ended.
    flaps: u64,
}

impl<S: Speaker> Trial<S> {
    /// Takes the steps for all kinds at once. A kind that fails takes no further one.
    async fn try_case(&mut self, case: &Case, way: Way, outcomes: &mut Outcomes) -> Result<()> {
        self.number += 1;
        let role = self.member.role;
        let kinds = match way {
            _ if role == Role::Reflector => S::REFLECTS,
            Way::Sends => S::SENDS,
            Way::Hears => S::HEARS,
        };
        let mut kinds: BTreeSet<Kind> = kinds
            .iter()
            .copied()
            .filter(|kind| kind.is_for(role) && case.needs.takes(*kind))
            .filter(|kind| {
                tries_known() || Known::find(S::NAME, role, case.name, way, *kind).is_none()
            })
            .collect();
        let tried = |kind| Tried { peer: S::NAME, role, case: case.name, way, kind };
        let mut told: BTreeMap<Kind, Route> = BTreeMap::new();
        let before = self.lab.ours.neighbor(self.lab.bed(), &self.member).await;
        self.flaps = before.map_or(0, |neighbor| neighbor.flaps);
        for (at, step) in case.steps.iter().enumerate() {
            if kinds.is_empty() {
                break;
            }
            if let Some(done) = self.session_step(*step).await {
                // Without a session there is nothing more to see, of any kind.
                done.with_context(|| format!("{}, step {at}: {step:?}", case.name))?;
                continue;
            }
            for kind in kinds.clone() {
                if let Err(error) = self.route_step(*step, kind, way, &mut told).await {
                    let why = format!("step {}, {step:?}: {error:#}", at + 1);
                    outcomes.failed(&tried(kind), &why);
                    kinds.remove(&kind);
                }
            }
        }
        for kind in kinds {
            outcomes.passed(&tried(kind));
        }
        // What is left of it shall not disturb the next one.
        for route in told.values() {
            if way == Way::Hears || self.speaker.is_some() {
                self.withdraw(way, route).await?;
            }
        }
        Ok(())
    }

    /// A step that is about the session; `None` for one about a route.
    async fn session_step(&mut self, step: Step) -> Option<Result<()>> {
        Some(match step {
            Step::Lose(loss) => self.lose(loss).await,
            Step::Start => {
                let started = S::start(self.lab.bed(), self.lab.under_test(), &self.member).await;
                started.map(|speaker| self.speaker = Some(speaker))
            }
            Step::Up => {
                let (bed, ours) = (self.lab.bed(), &self.lab.ours);
                ours.wait_until_up(bed, &self.member, self.flaps).await.map(drop)
            }
            Step::Stale => {
                self.lab.ours.wait_until_stale(self.lab.bed(), &self.member).await.map(drop)
            }
            Step::Fresh => {
                self.lab.ours.wait_until_fresh(self.lab.bed(), &self.member).await.map(drop)
            }
            Step::KillOurs => self.lab.ours.kill().await,
            Step::StartOurs => {
                self.flaps = 0;
                self.lab.start_ours().await
            }
            Step::Tell(..) | Step::Withdraw | Step::Heard | Step::Gone | Step::Unwanted => {
                return None;
            }
        })
    }

    async fn lose(&mut self, loss: Loss) -> Result<()> {
        self.flaps += 1;
        let speaker = self.speaker.as_mut().context("it is dead already")?;
        match loss {
            Loss::Killed => {
                speaker.process().signal(Signal::KILL)?;
                speaker.process().kill().await?;
                self.speaker = None;
                Ok(())
            }
            Loss::Notification => speaker.reset().await,
            Loss::TcpCut => {
                let cut = ["ss", "-K", "dst", &CONTROL_NODE.to_string()];
                let closed = self.lab.under_test().run(&cut).await?;
                ensure!(closed.contains("ESTAB"), "no connection was closed: {closed}");
                Ok(())
            }
        }
    }

    async fn route_step(
        &mut self,
        step: Step,
        kind: Kind,
        way: Way,
        told: &mut BTreeMap<Kind, Route>,
    ) -> Result<()> {
        let (near, (_, far)) = (self.near(), self.lab.far(kind));
        let from = if way == Way::Sends { near } else { far };
        match step {
            Step::Tell(label, target) => {
                let next_hop = next_hop(kind, from.address);
                let route = Route { kind, number: self.number, next_hop, label, target };
                told.insert(kind, route.clone());
                self.tell(way, &route).await
            }
            Step::Withdraw => {
                let route = told.remove(&kind).context("nothing was told")?;
                let done = self.withdraw(way, &route).await;
                // Its prefix is still looked for.
                told.insert(kind, route);
                done
            }
            _ => {
                let route = told.get(&kind).context("nothing was told")?;
                let heard = match step {
                    Step::Heard => true,
                    // A node that does not speak RTC is told all routes.
                    Step::Unwanted => way == Way::Hears && self.hears_all(kind),
                    _ => false,
                };
                self.wait(way, route, heard, far).await
            }
        }
    }

    /// Whether the daemon under test is told routes of any target.
    fn hears_all(&self, kind: Kind) -> bool {
        match self.member.role {
            Role::Gateway => kind.is_unicast(),
            Role::Reflector => true,
            Role::Node | Role::ControlNode | Role::FarControlNode => !S::SPEAKS_RTC,
        }
    }

    /// Who originates and listens on this side: the daemon under test, or the client of a reflector.
    fn near(&mut self) -> Member {
        self.lab.behind().map_or(self.member, |(_, member)| member)
    }

    async fn tell(&mut self, way: Way, route: &Route) -> Result<()> {
        match (way, self.lab.behind()) {
            (Way::Sends, Some((behind, _))) => behind.tell(route).await,
            (Way::Sends, None) => self.speaker.as_mut().context("it is dead")?.tell(route).await,
            (Way::Hears, _) => self.lab.far(route.kind).0.tell(route).await,
        }
    }

    async fn withdraw(&mut self, way: Way, route: &Route) -> Result<()> {
        match (way, self.lab.behind()) {
            (Way::Sends, Some((behind, _))) => behind.withdraw(route).await,
            (Way::Sends, None) => {
                self.speaker.as_mut().context("it is dead")?.withdraw(route).await
            }
            (Way::Hears, _) => self.lab.far(route.kind).0.withdraw(route).await,
        }
    }

    /// Waits until the other side has the route as it should be, or has not.
    async fn wait(&mut self, way: Way, route: &Route, want: bool, far: Member) -> Result<()> {
        let near = self.near();
        let (from, to) = match way {
            Way::Sends => (near, far),
            Way::Hears => (far, near),
        };
        let expected = Attributes::expected(route, &from, &to);
        testbed::wait_for("the other side has it as it should", ROUTE_CEILING, async || {
            let heard = match way {
                Way::Sends => self.lab.far(route.kind).0.hears(route).await?,
                Way::Hears => match self.lab.behind() {
                    Some((behind, _)) => behind.hears(route).await?,
                    None => self.speaker.as_mut().context("it is dead")?.hears(route).await?,
                },
            };
            match (heard, want) {
                (Some(heard), true) => {
                    let differs = heard.differs(&expected);
                    ensure!(differs.is_empty(), "{differs}");
                }
                (None, false) => {}
                (heard, _) => ensure!(heard.is_some() == want, "heard: {heard:?}"),
            }
            Ok(())
        })
        .await
    }
}
