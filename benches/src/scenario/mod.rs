//! What is measured. Each scenario is a function from a subject to numbers.

mod churn;
mod constraint;
mod load;
mod rig;
mod standing;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use testbed::{Bed, Namespace};

use crate::load::routes::Kind;
use crate::subject::Subject;

/// Numbers of one run by name. The name's end is the unit.
pub(crate) type Metrics = BTreeMap<String, f64>;

/// Where a run takes place, and how large it is.
pub(crate) struct Place<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) namespace: &'a Namespace,
    pub(crate) arcus: &'a Path,
    pub(crate) subject: Subject,
    /// 1.0 is the size that the scenario's name speaks of.
    pub(crate) scale: f64,
}

impl Place<'_> {
    /// `full`, scaled, and a multiple of `step` that is not 0.
    pub(crate) fn sized(&self, full: u32, step: u32) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "sizes are small, and a scale is positive"
        )]
        let scaled = (f64::from(full) * self.scale) as u32;
        (scaled / step).max(1) * step
    }
}

/// Who can take part in a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// Whoever speaks the family, the bare programs too.
    Everyone(Kind),
    /// Daemons only: the bare programs do not do this.
    Daemons(Kind),
    /// Daemons that send by route target membership.
    Constrained,
}

/// One line of the benchmark.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What it is, at scale 1.
    pub(crate) about: &'static str,
    pub(crate) field: Field,
    pub(crate) run: fn(&Place<'_>) -> Result<Metrics>,
}

impl Scenario {
    pub(crate) fn admits(&self, subject: Subject) -> bool {
        match self.field {
            Field::Everyone(kind) => subject.speaks(kind),
            Field::Daemons(kind) => !subject.is_bare() && subject.speaks(kind),
            Field::Constrained => subject.has_constraint(),
        }
    }
}

/// All of them, in the order in which they run.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "vpnv4-1m",
        about: "1M VPNv4 routes of 4 senders to 10 clients",
        field: Field::Everyone(Kind::VpnV4),
        run: load::vpnv4,
    },
    Scenario {
        name: "unicast-1m",
        about: "1M IPv4 unicast routes of 10 senders to 10 clients",
        field: Field::Everyone(Kind::Ipv4Unicast),
        run: load::unicast,
    },
    Scenario {
        name: "evpn-400k",
        about: "400k EVPN type 2 routes of 4 senders to 10 clients",
        field: Field::Everyone(Kind::Evpn),
        run: load::evpn,
    },
    Scenario {
        name: "all-at-once",
        about: "vpnv4-1m, with everyone connecting at the same time",
        field: Field::Everyone(Kind::VpnV4),
        run: load::all_at_once,
    },
    Scenario {
        name: "late-joiner",
        about: "one more client on the table of vpnv4-1m",
        field: Field::Everyone(Kind::VpnV4),
        run: load::late_joiner,
    },
    Scenario {
        name: "sender-loss",
        about: "loss of a sender of 250k of 1M routes, until 10 clients have all withdrawals",
        field: Field::Daemons(Kind::VpnV4),
        run: load::sender_loss,
    },
    Scenario {
        name: "churn",
        about: "5,000 routes/s withdrawn and announced 200 ms later, 11 clients, 1M routes",
        field: Field::Everyone(Kind::VpnV4),
        run: churn::churn,
    },
    Scenario {
        name: "rtc-100x10",
        about: "40k routes to 100 clients with 10 of 1,000 targets each",
        field: Field::Constrained,
        run: constraint::clients_100,
    },
    Scenario {
        name: "rtc-200x200k",
        about: "200k routes to 200 clients with 10 of 1,000 targets each",
        field: Field::Constrained,
        run: constraint::clients_200,
    },
    Scenario {
        name: "rtc-1000-clients",
        about: "1,000 clients with 10 of 1,000 targets each come up on 40k routes",
        field: Field::Constrained,
        run: constraint::clients_1000,
    },
    Scenario {
        name: "rtc-5000-clients",
        about: "5,000 clients with 10 of 1,000 targets each come up on 40k routes",
        field: Field::Constrained,
        run: constraint::clients_5000,
    },
    Scenario {
        name: "idle",
        about: "1,000 sessions on which nothing happens",
        field: Field::Daemons(Kind::VpnV4),
        run: standing::idle,
    },
    Scenario {
        name: "per-client-slope",
        about: "vpnv4-1m with 40 clients against 10: what one more costs",
        field: Field::Everyone(Kind::VpnV4),
        run: standing::slope,
    },
    Scenario {
        name: "never-reads",
        about: "vpnv4-1m with one more client that never reads, against the same without it",
        field: Field::Daemons(Kind::VpnV4),
        run: standing::never_reads,
    },
];
