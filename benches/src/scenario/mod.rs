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
    /// Ours and the bare programs: of others it would take longer than all else together.
    OursAndBare,
    /// Ours only, for the same reason.
    Ours,
}

/// A number that ours is to stay below.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) metric: &'static str,
    pub(crate) most: f64,
    /// Whose number in the same run `most` is a multiple of; without, it is in the unit of the metric.
    pub(crate) of: Option<Subject>,
}

/// At most so much, in the unit of the metric.
const fn at_most(most: f64, metric: &'static str) -> Aim {
    Aim { metric, most, of: None }
}

/// At most so many times the floor's CPU time.
const fn of_floor(most: f64) -> Aim {
    of(Subject::Floor, most, "cpu_s")
}

/// At most so many times the number of another subject.
const fn of(subject: Subject, most: f64, metric: &'static str) -> Aim {
    Aim { metric, most, of: Some(subject) }
}

const KIB: f64 = 1_024.0;

/// One line of the benchmark.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What it is, at scale 1.
    pub(crate) about: &'static str,
    pub(crate) field: Field,
    /// What ours shall not exceed, at full size.
    pub(crate) aims: &'static [Aim],
    pub(crate) run: fn(&Place<'_>) -> Result<Metrics>,
}

impl Scenario {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|scenario| scenario.name == name)
    }

    pub(crate) fn admits(&self, subject: Subject) -> bool {
        match self.field {
            Field::Everyone(kind) => subject.speaks(kind),
            Field::Daemons(kind) => !subject.is_bare() && subject.speaks(kind),
            Field::Constrained => subject.has_constraint(),
            Field::OursAndBare => !subject.is_rival(),
            Field::Ours => subject.is_ours(),
        }
    }
}

/// All of them, in the order in which they run.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "vpnv4-1m",
        about: "1M VPNv4 routes of 4 senders to 10 clients",
        field: Field::Everyone(Kind::VpnV4),
        aims: &[of_floor(4.0), at_most(1.5, "wall_s"), at_most(200.0, "peak_bytes_per_route")],
        run: load::vpnv4,
    },
    Scenario {
        name: "unicast-1m",
        about: "1M IPv4 unicast routes of 10 senders to 10 clients",
        field: Field::Everyone(Kind::Ipv4Unicast),
        aims: &[of_floor(4.0), at_most(130.0, "peak_bytes_per_route")],
        run: load::unicast,
    },
    Scenario {
        name: "evpn-400k",
        about: "400k EVPN type 2 routes of 4 senders to 10 clients",
        field: Field::Everyone(Kind::Evpn),
        aims: &[of_floor(5.0)],
        run: load::evpn,
    },
    Scenario {
        name: "all-at-once",
        about: "vpnv4-1m, with everyone connecting at the same time",
        field: Field::Everyone(Kind::VpnV4),
        aims: &[of_floor(4.0), at_most(1.5, "wall_s"), at_most(200.0, "peak_bytes_per_route")],
        run: load::all_at_once,
    },
    Scenario {
        name: "late-joiner",
        about: "one more client on the table of vpnv4-1m",
        field: Field::Everyone(Kind::VpnV4),
        aims: &[at_most(0.2, "wall_s")],
        run: load::late_joiner,
    },
    Scenario {
        name: "sender-loss",
        about: "loss of a sender of 250k of 1M routes, until 10 clients have all withdrawals",
        field: Field::Daemons(Kind::VpnV4),
        aims: &[at_most(0.3, "wall_s"), at_most(0.3, "cpu_s")],
        run: load::sender_loss,
    },
    Scenario {
        name: "churn",
        about: "5,000 routes/s withdrawn and announced 200 ms later, 11 clients, 1M routes",
        field: Field::Everyone(Kind::VpnV4),
        aims: &[
            of(Subject::Relay, 1.5, "p99_us"),
            of(Subject::Bird, 1.0, "p99_us"),
            at_most(30.0, "core_percent"),
        ],
        run: churn::churn,
    },
    Scenario {
        name: "rtc-100x10",
        about: "40k routes to 100 clients with 10 of 1,000 targets each",
        field: Field::Constrained,
        aims: &[at_most(0.2, "cpu_s")],
        run: constraint::clients_100,
    },
    Scenario {
        name: "rtc-200x200k",
        about: "200k routes to 200 clients with 10 of 1,000 targets each",
        field: Field::Constrained,
        aims: &[at_most(1.0, "wall_s")],
        run: constraint::clients_200,
    },
    Scenario {
        name: "rtc-1000-clients",
        about: "1,000 clients with 10 of 1,000 targets each come up on 40k routes",
        field: Field::Constrained,
        aims: &[at_most(1.0, "wall_s"), at_most(1.0, "cpu_s")],
        run: constraint::clients_1000,
    },
    Scenario {
        name: "rtc-5000-clients",
        about: "5,000 clients with 10 of 1,000 targets each come up on 40k routes",
        field: Field::Constrained,
        aims: &[at_most(10.0, "wall_s"), at_most(16.0 * KIB, "peak_bytes_per_client")],
        run: constraint::clients_5000,
    },
    Scenario {
        name: "idle",
        about: "1,000 sessions on which nothing happens",
        field: Field::Daemons(Kind::VpnV4),
        aims: &[at_most(16.0 * KIB, "bytes_per_session"), at_most(0.5, "core_percent")],
        run: standing::idle,
    },
    Scenario {
        name: "per-client-slope",
        about: "vpnv4-1m with 40 clients against 10: what one more costs",
        field: Field::OursAndBare,
        aims: &[of(Subject::Relay, 2.0, "cpu_s"), at_most(1.0, "peak_bytes_per_route")],
        run: standing::slope,
    },
    Scenario {
        name: "never-reads",
        about: "vpnv4-1m with one more client that never reads, against the same without it",
        field: Field::Ours,
        aims: &[at_most(1.05, "cpu_ratio"), at_most(16.0 * KIB * KIB, "more_peak_bytes")],
        run: standing::never_reads,
    },
];
