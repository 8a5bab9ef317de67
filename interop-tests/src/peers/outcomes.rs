//! What came of it, and the page that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::known::{KNOWN, Known};
use super::{CASES, Kind, Role, Way};

type Row = (&'static str, Role, &'static str);

/// One kind of routes in one case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    pub(super) peer: &'static str,
    pub(super) role: Role,
    pub(super) case: &'static str,
    pub(super) way: Way,
    pub(super) kind: Kind,
}

/// The outcomes of one run.
#[derive(Debug, Default)]
pub struct Outcomes {
    passed: BTreeMap<Row, BTreeSet<(Kind, Way)>>,
    failed: Vec<String>,
}

impl Outcomes {
    pub(super) fn passed(&mut self, trial: &Tried) {
        let row = (trial.peer, trial.role, trial.case);
        self.passed.entry(row).or_default().insert((trial.kind, trial.way));
    }

    pub(super) fn failed(&mut self, trial: &Tried, why: &str) {
        let Tried { peer, role, case, way, kind } = trial;
        let (role, kind) = (role.name(), kind.name());
        self.record(format!("{peer} as {role}, {case}, {way:?}, {kind}: {why}"));
    }

    /// The session itself failed, and with it all that was still to be tried.
    pub(super) fn ended_early(&mut self, peer: &'static str, role: Role, why: &str) {
        self.record(format!("{peer} as {}, {why}", role.name()));
    }

    /// Said at once too: the whole run takes minutes.
    fn record(&mut self, failure: String) {
        eprintln!("{failure}");
        self.failed.push(failure);
    }

    /// Adds those of other daemons.
    pub fn extend(&mut self, others: Self) {
        self.passed.extend(others.passed);
        self.failed.extend(others.failed);
    }

    /// One line for each failure.
    pub fn failures(&self) -> &[String] {
        &self.failed
    }

    /// `docs/interop.md`.
    pub fn page(&self) -> String {
        let mut text = INTRODUCTION.to_owned();
        for case in CASES {
            // Writing to a string does not fail.
            let _ok = writeln!(text, "| {} | {} |", case.name, case.what);
        }
        text += KNOWN_HEADING;
        for known in KNOWN {
            let kinds: Vec<&str> = known.kinds.iter().map(|kind| kind.name()).collect();
            let Known { peer, case, way, why, .. } = known;
            let way = if *way == Way::Sends { "sends" } else { "hears" };
            let kinds = kinds.join(", ");
            let _ok = writeln!(text, "| {peer} | {case} | {way} | {kinds} | {why} |");
        }
        let peers: BTreeSet<_> = self.passed.keys().map(|(peer, role, _)| (*peer, *role)).collect();
        for (peer, role) in peers {
            self.table(&mut text, peer, role);
        }
        text
    }

    fn table(&self, text: &mut String, peer: &'static str, role: Role) {
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kind.is_for(role)).collect();
        // Writing to a string does not fail.
        let _ok = writeln!(text, "\n## {peer} as {}\n", role.name());
        let mut line = |first: &str, cells: Vec<&str>| {
            let _ok = writeln!(text, "| {first} | {} |", cells.join(" | "));
        };
        line("case", kinds.iter().map(|kind| kind.name()).collect());
        line("---", vec!["---"; kinds.len()]);
        for case in CASES {
            let passed = self.passed.get(&(peer, role, case.name));
            let did = |kind: Kind, way: Way| passed.is_some_and(|set| set.contains(&(kind, way)));
            let cells =
                kinds.iter().map(|kind| match (did(*kind, Way::Sends), did(*kind, Way::Hears)) {
                    (true, true) => "both",
                    (true, false) => "sends",
                    (false, true) => "hears",
                    (false, false) => "",
                });
            line(case.name, cells.collect());
        }
    }
}

const KNOWN_HEADING: &str = "
## What is not tried, because the other daemon has it otherwise

| daemon | case | way | routes | why |
| --- | --- | --- | --- | --- |
";

const INTRODUCTION: &str = "\
# Other people's daemons

Made by `make test-interop UPDATE=1`; `make test-interop` fails when it is not what this page says.

Each daemon is tried as a gateway (eBGP, limited to the targets of one network) and as a node (iBGP, a client of the
reflector), with `arcus-bgpd` between it and GoBGP. *Sends*: it announces, and GoBGP is asked what arrived. *Hears*:
GoBGP announces, and the daemon is asked, through its own output. Compared by value, as far as that output shows them:
next hop, label or VNI, AS path, origin, MED, route targets, communities, large communities, originator, cluster list.
An empty cell is not a failure: the daemon has no such routes, or cannot be made to originate them.

| case | what has to come of it |
| --- | --- |
";
