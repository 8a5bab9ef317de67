//! Takes a daemon through all cases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::Signal;

use super::known::Known;
use super::outcomes::Tried;
use super::route::next_hop;
use super::{
    Attributes, CASES, CONTROL_NODE, Case, Kind, Lab, Life, Loss, Member, Outcomes, Role, Route,
    Speaker, Step, Way,
};

/// How long a route may take on an established session. A peer with RTC and without graceful restart says
/// no End-of-RIB: for 30 seconds it is waited for (RFC 4684 section 6).
const ROUTE_CEILING: Duration = Duration::from_secs(45);

/// Tries everything with one daemon, as gateway and as node at the same time: most of it is waiting. What
/// fails is among the outcomes.
pub async fn try_all<S: Speaker>() -> Outcomes {
    let (mut all, node) = tokio::join!(try_role::<S>(Role::Gateway), try_role::<S>(Role::Node));
    all.extend(node);
    all
}

async fn try_role<S: Speaker>(role: Role) -> Outcomes {
    let mut outcomes = Outcomes::default();
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
    for case in CASES.iter().filter(|case| case.life == life) {
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
        let kinds = match way {
            Way::Sends => S::SENDS,
            Way::Hears => S::HEARS,
        };
        let role = self.member.role;
        let mut kinds: BTreeSet<Kind> = kinds
            .iter()
            .copied()
            .filter(|kind| kind.is_for(role) && case.needs.takes(*kind))
            .filter(|kind| Known::find(S::NAME, case.name, way, *kind).is_none())
            .collect();
        let tried = |kind| Tried { peer: S::NAME, role, case: case.name, way, kind };
        let mut told: BTreeMap<Kind, Route> = BTreeMap::new();
        self.flaps = self.lab.flaps(&self.member).await?;
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
            match (way, &mut self.speaker) {
                (Way::Sends, Some(speaker)) => speaker.withdraw(route).await?,
                (Way::Sends, None) => {}
                (Way::Hears, _) => self.lab.far(route.kind).0.withdraw(route).await?,
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
            Step::Up => self.lab.wait_until_up(&self.member, self.flaps).await.map(drop),
            Step::Stale => self.lab.wait_until_stale(&self.member, true).await,
            Step::Fresh => self.lab.wait_until_stale(&self.member, false).await,
            Step::KillOurs => self.lab.kill_ours().await,
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
        let (_, far) = self.lab.far(kind);
        let from = if way == Way::Sends { self.member } else { far };
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
        kind.is_unicast() || self.member.role == Role::Node && !S::SPEAKS_RTC
    }

    async fn tell(&mut self, way: Way, route: &Route) -> Result<()> {
        match way {
            Way::Sends => self.speaker.as_mut().context("it is dead")?.tell(route).await,
            Way::Hears => self.lab.far(route.kind).0.tell(route).await,
        }
    }

    async fn withdraw(&mut self, way: Way, route: &Route) -> Result<()> {
        match way {
            Way::Sends => self.speaker.as_mut().context("it is dead")?.withdraw(route).await,
            Way::Hears => self.lab.far(route.kind).0.withdraw(route).await,
        }
    }

    /// Waits until the other side has the route as it should be, or has not.
    async fn wait(&mut self, way: Way, route: &Route, want: bool, far: Member) -> Result<()> {
        let (from, to) = match way {
            Way::Sends => (self.member, far),
            Way::Hears => (far, self.member),
        };
        let expected = Attributes::expected(route, &from, &to);
        testbed::wait_for("the other side has it as it should", ROUTE_CEILING, async || {
            let heard = match way {
                Way::Sends => self.lab.far(route.kind).0.hears(route).await?,
                Way::Hears => self.speaker.as_mut().context("it is dead")?.hears(route).await?,
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
