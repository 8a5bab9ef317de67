//! Which routes outlive a session (RFC 4724, RFC 8538).

use std::time::Duration;

use bgp_wire::AfiSafi;
use bgp_wire::capability::{GracefulRestart, LongLived};

use crate::config::SessionConfig;
use crate::down::DownReason;

/// What both sides said about restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartAgreement {
    /// How long the peer's routes are kept for it to come back: by its own word, and not longer than we
    /// would wait.
    pub restart_time: Duration,
    /// Families whose routes are kept: the peer named them here or as long-lived, and they were
    /// negotiated.
    pub families: Vec<AfiSafi>,
    /// Families whose forwarding state the peer has kept over its last restart (F bit). At session up
    /// what is still kept of all other families must go (RFC 4724 §4.2).
    pub forwarding: Vec<AfiSafi>,
    /// The peer has just restarted and waits for no End-of-RIB of ours (R bit).
    pub restarted: bool,
    /// A NOTIFICATION and an expired hold timer keep routes too (N bit on both sides, RFC 8538 §2).
    pub notification: bool,
}

impl RestartAgreement {
    /// `None` unless both sides sent the capability.
    pub fn of(
        config: &SessionConfig,
        peers: Option<&GracefulRestart>,
        negotiated: &[AfiSafi],
    ) -> Option<Self> {
        let (ours, peers) = (config.restart.as_ref()?, peers?);
        let named = || peers.families.iter().filter(|(family, _)| negotiated.contains(family));
        Some(Self {
            restart_time: Duration::from_secs(
                peers.restart_time.min(config.longest_restart).into(),
            ),
            families: named().map(|(family, _)| *family).collect(),
            forwarding: named().filter(|(_, kept)| *kept).map(|(family, _)| *family).collect(),
            restarted: peers.restarted,
            notification: ours.notification && peers.notification,
        })
    }

    /// Families that the peer named as long-lived only are kept as well (RFC 9494 §4.2).
    pub(crate) fn keep_too(&mut self, long_lived: &[LongLived]) {
        for entry in long_lived {
            if !self.families.contains(&entry.family) {
                self.families.push(entry.family);
                if entry.forwarding {
                    self.forwarding.push(entry.family);
                }
            }
        }
    }

    /// The families whose routes are kept after a session that ended like this.
    pub fn retained(&self, reason: &DownReason) -> &[AfiSafi] {
        let keeps = match reason {
            DownReason::Closed | DownReason::Replaced => true,
            DownReason::HoldTimerExpired | DownReason::SendHoldTimerExpired => self.notification,
            DownReason::Sent(why) | DownReason::Received(why) => {
                self.notification && !why.is_hard_reset()
            }
            DownReason::Ceased(cease) => self.notification && !cease.is_hard(),
            DownReason::Unreachable(_) | DownReason::Restarting | DownReason::PathDown => false,
        };
        if keeps { &self.families } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::cease::Cease;

    fn capability(notification: bool) -> GracefulRestart {
        GracefulRestart {
            restarted: false,
            notification,
            restart_time: 120,
            families: vec![(AfiSafi::VPNV4, true), (AfiSafi::RTC, false), (AfiSafi::EVPN, true)],
        }
    }

    fn config(restart: Option<GracefulRestart>) -> SessionConfig {
        SessionConfig { restart, ..SessionConfig::internal(64512, Ipv4Addr::LOCALHOST) }
    }

    fn agreed(ours: bool, peers: bool) -> RestartAgreement {
        RestartAgreement::of(
            &config(Some(capability(ours))),
            Some(&capability(peers)),
            &[AfiSafi::VPNV4, AfiSafi::RTC, AfiSafi::VPNV6],
        )
        .unwrap()
    }

    #[test]
    fn only_negotiated_families_that_the_peer_named_are_kept() {
        let agreement = agreed(false, false);
        assert_eq!(agreement.families, [AfiSafi::VPNV4, AfiSafi::RTC]);
        assert_eq!(agreement.forwarding, [AfiSafi::VPNV4]);
    }

    #[test]
    fn nothing_is_kept_unless_both_sides_said_the_capability() {
        let said = capability(true);
        assert_eq!(RestartAgreement::of(&config(None), Some(&said), &[AfiSafi::VPNV4]), None);
        assert_eq!(RestartAgreement::of(&config(Some(said)), None, &[AfiSafi::VPNV4]), None);
    }

    #[test]
    fn nobody_is_waited_for_longer_than_we_would() {
        for (longest, want) in [(4095, 120), (60, 60), (0, 0)] {
            let config =
                SessionConfig { longest_restart: longest, ..config(Some(capability(false))) };
            let agreed = RestartAgreement::of(&config, Some(&capability(false)), &[]).unwrap();
            assert_eq!(agreed.restart_time.as_secs(), want);
        }
    }

    #[test]
    fn which_ends_keep_routes() {
        let hard = Cease::Deconfigured.notification_that_ends("");
        let soft = Cease::AdministrativeReset.notification("");
        // (how it ended, kept without the N bit, kept with it)
        let cases = [
            (DownReason::Closed, true, true),
            (DownReason::Replaced, true, true),
            (DownReason::HoldTimerExpired, false, true),
            (DownReason::SendHoldTimerExpired, false, true),
            (DownReason::Received(soft.clone()), false, true),
            (DownReason::Sent(soft), false, true),
            (DownReason::Received(hard.clone()), false, false),
            (DownReason::Sent(hard), false, false),
            (DownReason::Ceased(Cease::AdministrativeReset), false, true),
            (DownReason::Ceased(Cease::AdministrativeShutdown), false, false),
            (DownReason::Ceased(Cease::Deconfigured), false, false),
            (DownReason::PathDown, false, false),
        ];
        for (reason, without, with) in cases {
            let keeps = |agreement: RestartAgreement| !agreement.retained(&reason).is_empty();
            assert_eq!(keeps(agreed(false, false)), without, "{reason:?} without the N bit");
            assert_eq!(keeps(agreed(true, false)), without, "{reason:?} with only our N bit");
            assert_eq!(keeps(agreed(true, true)), with, "{reason:?} with the N bit");
        }
    }
}
