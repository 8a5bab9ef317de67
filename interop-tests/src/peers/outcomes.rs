//! What came of it, and the page that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

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

impl Tried {
    /// Tried only to see that it fails still.
    fn is_known(&self) -> bool {
        Known::find(self.peer, self.role, self.case, self.way, self.kind).is_some()
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, role, case, way, kind } = self;
        write!(f, "{peer} as {}, {case}, {way:?}, {}", role.name(), kind.name())
    }
}

/// The outcomes of one run.
#[derive(Debug, Default)]
pub struct Outcomes {
    passed: BTreeMap<Row, BTreeSet<(Kind, Way)>>,
    failed: Vec<String>,
}

impl Outcomes {
    pub(super) fn passed(&mut self, trial: &Tried) {
        if trial.is_known() {
            return self.record(format!("{trial}: passes, although it is among the known ones"));
        }
        let row = (trial.peer, trial.role, trial.case);
        self.passed.entry(row).or_default().insert((trial.kind, trial.way));
    }

    pub(super) fn failed(&mut self, trial: &Tried, why: &str) {
        if trial.is_known() {
            eprintln!("known: {trial}: {why}");
        } else {
            self.record(format!("{trial}: {why}"));
        }
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
            let Known { peer, roles, cases, ways, kinds, why } = known;
            let roles = if *roles == Role::ALL {
                "any".to_owned()
            } else {
                names(roles.iter().map(|role| role.name()))
            };
            let ways = names(ways.iter().map(|way| way.name()));
            let kinds = names(kinds.iter().map(|kind| kind.name()));
            let cases = names(cases.iter().copied());
            let _ok = writeln!(text, "| {peer} | {roles} | {cases} | {ways} | {kinds} | {why} |");
        }
        text += AT_SCALE;
        text += VXLAN;
        let peers: BTreeSet<_> = self.passed.keys().map(|(peer, ..)| *peer).collect();
        for peer in peers {
            let _ok = writeln!(text, "\n## {peer}");
            // Roles in which the same came of it share a table.
            let mut tables: Vec<(String, Vec<&str>)> = Vec::new();
            for role in Role::ALL.into_iter().filter(|role| self.has(peer, *role)) {
                let table = self.table(peer, role);
                match tables.iter_mut().find(|(known, _)| *known == table) {
                    Some((_, roles)) => roles.push(role.name()),
                    None => tables.push((table, vec![role.name()])),
                }
            }
            for (table, roles) in tables {
                let _ok =
                    writeln!(text, "\nAs {}:\n\n{table}", names(roles.into_iter()).trim_end());
            }
            while text.ends_with("\n\n") {
                text.pop();
            }
        }
        text
    }

    fn has(&self, peer: &'static str, role: Role) -> bool {
        self.passed.keys().any(|row| (row.0, row.1) == (peer, role))
    }

    fn table(&self, peer: &'static str, role: Role) -> String {
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kind.is_for(role)).collect();
        let mut text = String::new();
        let mut line = |first: &str, cells: Vec<&str>| {
            // Writing to a string does not fail.
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
        text
    }
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    all.collect::<Vec<_>>().join(", ")
}

const KNOWN_HEADING: &str = "
## What is not tried, because the other daemon has it otherwise

| daemon | as | cases | way | routes | why |
| --- | --- | --- | --- | --- | --- |
";

const AT_SCALE: &str = "
## Graceful restart with 100,000 routes each way

The daemon is a reflector between a client of its own and us, and both ends count every route that they are told. *It
restarts*: killed and started; our node on the far side notices nothing: no route is withdrawn or missing. *We restart*:
`arcus-bgpd` is killed and started; its End-of-RIB comes behind the last route, and the client behind the daemon notices
nothing until a route really goes.

| daemon | routes | it restarts | we restart |
| --- | --- | --- | --- |
| BIRD 2.0.12 | vpnv4 | yes | yes |
| FRR 8.4 | ipv4 | yes, with routes of its own: of those that it has learnt again, FRR says End-of-RIB behind the first 10,000 | yes |
| FRR 8.4 | vpnv4 | | yes |
| GoBGP 3.10 | ipv4 | yes | yes |
";

const VXLAN: &str = "
## Packets over VXLAN

`make test-netns`, in `interop-tests/tests/vxlan.rs`. FRR 8.4 tells EVPN routes of type 5 and hears those of our nodes; a host is
behind it. TCP of which every octet is checked, opened by either side, over IPv4 and IPv6. tshark reads all frames between
router and nodes: none but VXLAN, with the VNI and the router's MAC that its receiver has told, from tunnel end to tunnel
end, and no bad checksum inside or outside. A port that is removed is gone where packets are sent, within two seconds.

| packets of the router | what else comes of it |
| --- | --- |
| by the kernel's VXLAN device (FRR maps the VNI to the default VRF) | FRR puts route, neighbour and forwarding entry there; they follow a workload to another node; a service on two nodes has two ways, both are used, and one is left when its node has no endpoint |
| by Open vSwitch 3.1 in user space, with flows from FRR's table alone | each side sends with the VNI of the other: ours becomes another one while traffic goes on |
";

const INTRODUCTION: &str = "\
# Other people's daemons

Made by `make test-interop UPDATE=1`; `make test-interop` fails when it is not what this page says.

`arcus-bgpd` stands between the daemon and GoBGP. *Sends*: the daemon announces, and GoBGP is asked what arrived. *Hears*:
GoBGP announces, and the daemon is asked, through its own output. Compared by value, as far as that output shows them:
next hop, label or VNI, AS path, origin, MED, LOCAL_PREF, route targets, communities, large communities, originator, cluster
list. The versions are those of Debian 12. What the daemon is to us:

| as | session |
| --- | --- |
| gateway | `[gateway]`: eBGP, limited to the targets of one network |
| node | one of `[cloud.NAME.nodes]`: iBGP, a client of the reflector |
| control node | a second control node of the cloud: iBGP, no client |
| control node of another cloud | eBGP, next hops unchanged, preference as MED |
| reflector | `[neighbor]`: iBGP, no client; behind it is a GoBGP that is its client: that one announces and is asked |

An empty cell is not a failure: the daemon has no such routes, or cannot be made to originate them. Of those here only GoBGP
originates EVPN routes without a data plane and speaks RTC; OpenBGPD originates no VPN routes on Linux and restarts
gracefully as helper only; ExaBGP is no reflector. FRR runs with `no bgp suppress-duplicates`: else it keeps a new label of
an old route to itself, as sender and as reflector. GoBGP 3.10 with RTC and graceful restart ends itself when its peer
restarts.

| case | what has to come of it |
| --- | --- |
";
