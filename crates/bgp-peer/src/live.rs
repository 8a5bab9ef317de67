//! A peer while its session is up: hands over what it hears, and weighs a second connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bgp_session::cease::Cease;
use bgp_session::{Agreement, DownReason, Input, collision};
use bgp_wire::{AfiSafi, RouteRefresh};
use tracing::debug;

use crate::connection::{Connection, Reading, now};
use crate::drive::{Driver, Wish, has_restarted_no_more, turn};
use crate::event::{Deliver, Down, Established, Gone, PeerEvent, Retained};
use crate::peer::{Command, Path};
use crate::status::PeerState;

/// A session that does not last so long is one more failure: the next attempt waits longer, and what ends
/// one session after the other does so at a measured pace (RFC 4271 §8.1.1, `DampPeerOscillations`).
const STEADY: Duration = Duration::from_secs(30);

/// A session that is up, and a connection that may take its place.
pub(crate) struct Live {
    pub(crate) up: Box<Connection>,
    pub(crate) rival: Option<Box<Connection>>,
    /// Whether the rival connected after the session was up.
    pub(crate) is_late: bool,
}

impl Driver {
    /// Hands over what the session hears, until it is over. Gives the other connection, if there is one.
    pub(crate) async fn established(
        &mut self,
        mut live: Live,
        deliver: &mut impl Deliver,
    ) -> Result<Option<Box<Connection>>, Gone> {
        let Some(established) = self.has_come_up(&mut live.up) else { return Ok(None) };
        let began = tokio::time::Instant::now();
        loop {
            if let Some(event) = live.up.events.pop_front() {
                let mut delivering = pin!(deliver.deliver(event));
                loop {
                    tokio::select! {
                        biased;
                        delivered = &mut delivering => {
                            delivered?;
                            break;
                        }
                        () = self.turn_established(&mut live, Reading::No) => {}
                    }
                }
            } else if let Some(reason) = live.up.down.take() {
                let Live { up, rival, .. } = live;
                self.part(up);
                if began.elapsed() >= STEADY {
                    self.backoff.succeeded();
                    self.unsteady.succeeded();
                } else if !matches!(reason, DownReason::Ceased(_) | DownReason::Replaced) {
                    self.hold_idle();
                }
                let down = self.has_gone_down(&established, reason);
                deliver.deliver(PeerEvent::Down(down)).await?;
                return Ok(rival);
            } else {
                self.turn_established(&mut live, Reading::Yes).await;
            }
        }
    }

    /// Waits for one thing beside the handing over, and deals with it. May be dropped at any time.
    async fn turn_established(&mut self, live: &mut Live, reading: Reading) {
        let Live { up, rival, .. } = live;
        if up.down.is_some() {
            return std::future::pending().await;
        }
        let tidings = Arc::clone(&up.tidings);
        tokio::select! {
            biased;
            command = self.commands.recv() => {
                self.command_established(command.map(|command| *command), live);
            }
            () = tidings.drained.notified() => {
                if !up.events.iter().any(|event| matches!(event, PeerEvent::Drained)) {
                    up.events.push_back(PeerEvent::Drained);
                }
            }
            families = tidings.answered() => up.answered(&families),
            () = turn(rival) => self.weigh(live),
            () = up.turn(reading) => {}
        }
    }

    fn command_established(&mut self, command: Option<Command>, live: &mut Live) {
        let input = match command {
            None => {
                self.wish = Wish::End;
                Input::Cease(Cease::Deconfigured, String::new())
            }
            Some(Command::Restart) => {
                self.wish = Wish::End;
                Input::Restart
            }
            Some(Command::Cease { why, text, then }) => {
                self.then(then);
                Input::Cease(why, text)
            }
            Some(Command::Path(path)) => {
                self.path_is_up = path == Path::Up;
                if path != Path::Down {
                    for connection in std::iter::once(&mut live.up).chain(&mut live.rival) {
                        connection.step(now(), path.input());
                    }
                    return;
                }
                path.input()
            }
            Some(Command::Start) => return,
            Some(Command::Reconfigure(config)) => return self.reconfigure(*config),
            Some(Command::Refresh(family)) => {
                return live.up.ask(RouteRefresh { family, subtype: 0 });
            }
            Some(Command::Incoming(incoming)) => {
                if let Some(incoming) = self.admit(incoming) {
                    self.replace(&mut live.rival, incoming);
                    live.is_late = true;
                }
                return;
            }
        };
        if let Some(mut rival) = live.rival.take() {
            rival.step(now(), Input::Cease(Cease::ConnectionRejected, String::new()));
            self.part(rival);
        }
        live.up.step(now(), input);
    }

    /// What a second connection means. Its KEEPALIVE proves that the peer has given up the first, and
    /// then it takes over. Before that, one that cannot take over is closed:
    ///
    /// - one that was on its way when the session came up, if the identifiers speak for the session:
    ///   the peer may have compared them before it saw the session up (RFC 4271 §6.8);
    /// - a later one, unless graceful restart was agreed on (RFC 4724 §4.2).
    fn weigh(&mut self, live: &mut Live) {
        let Live { up, rival, is_late } = live;
        let Some(second) = rival else { return };
        if let (Some(session), Some(other)) = (up.agreement(), second.agreement()) {
            let may_take_over = if *is_late {
                session.restart.is_some()
            } else {
                collision::winner(self.config.session.speaker(), other.peer.speaker())
                    == second.initiator
            };
            if !may_take_over {
                second.step(now(), Input::Cease(Cease::Collision, String::new()));
            } else if second.up.is_some() {
                return up.step(now(), Input::Replaced);
            }
        }
        if second.down.is_some()
            && let Some(dead) = rival.take()
        {
            self.part(dead);
        }
    }

    /// Announces the session, before whatever it has read already.
    fn has_come_up(&mut self, up: &mut Connection) -> Option<Arc<Established>> {
        let agreement = Arc::clone(up.up.as_ref()?);
        self.epoch += 1;
        if self.config.session.restart.as_ref().is_some_and(|restart| restart.restarted) {
            has_restarted_no_more(Arc::make_mut(&mut self.config));
        }
        let established = Arc::new(Established {
            agreement,
            local: up.local,
            remote: up.remote,
            epoch: self.epoch,
        });
        // Whose peer it is, and what follows, is said by who is told.
        debug!(initiator = ?up.initiator, families = ?established.agreement.negotiated.families, "session up");
        up.events.push_front(PeerEvent::Up(Arc::clone(&established), up.writer.clone()));
        self.publish.send_modify(|status| {
            (status.state, status.since) = (PeerState::Established, SystemTime::now());
            status.established = Some(Arc::clone(&established));
            (status.sessions, status.failures) = (self.epoch, 0);
        });
        Some(established)
    }

    fn has_gone_down(&mut self, established: &Established, reason: DownReason) -> Down {
        let restart = established.agreement.restart.as_ref();
        let retained = restart
            .map(|restart| (restart, restart.retained(&reason)))
            .filter(|(_, families)| !families.is_empty())
            .map(|(restart, families)| Retained {
                families: families.to_vec(),
                long_lived: long_lived(&established.agreement, families),
                restart_time: restart.restart_time,
            });
        debug!(%reason, kept = retained.is_some(), "session down");
        self.failed(reason.clone());
        // The peer may have learnt what capabilities are.
        self.plain = false;
        self.publish.send_modify(|status| {
            (status.state, status.since) = (PeerState::Idle, SystemTime::now());
            status.established = None;
        });
        Down { reason, retained }
    }
}

/// Those of the families that are kept for long, with a time.
fn long_lived(agreement: &Agreement, families: &[AfiSafi]) -> Vec<(AfiSafi, Duration)> {
    let kept = agreement.long_lived.iter().filter(|entry| families.contains(&entry.family));
    kept.filter(|entry| entry.stale_time > 0)
        .map(|entry| (entry.family, Duration::from_secs(entry.stale_time.into())))
        .collect()
}
