//! What every daemon is tried with. A case is a row.

use super::{Kind, Role};

/// Targets that the lab's network has.
const FIRST: &str = "64512:100";
const SECOND: &str = "64512:101";
/// One that it has not.
const FOREIGN: &str = "64512:999";

/// Steps in order, taken for all kinds of routes at once.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    /// As the table of results explains it.
    pub what: &'static str,
    pub life: Life,
    pub ways: &'static [Way],
    pub needs: Needs,
    pub roles: &'static [Role],
    pub steps: &'static [Step],
}

/// Which kinds of routes a case is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Anything,
    /// Labels and route targets.
    Overlay,
}

impl Needs {
    pub const fn takes(self, kind: Kind) -> bool {
        match self {
            Self::Anything => true,
            Self::Overlay => !kind.is_unicast(),
        }
    }
}

/// Whether the daemon under test offers graceful restart (RFC 4724).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    Plain,
    Graceful,
}

/// Who originates: the daemon under test, or GoBGP on the far side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Sends,
    Hears,
}

impl Way {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sends => "sends",
            Self::Hears => "hears",
        }
    }
}

/// How a session of the daemon under test ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// SIGKILL.
    Killed,
    Notification,
    /// The kernel closes the connection of both.
    TcpCut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The originator announces the route with this label and target.
    Tell(u32, &'static str),
    Withdraw,
    /// The other side has the route, each attribute that it shows as it should be.
    Heard,
    Gone,
    /// Gone from a listener that is told some targets only; heard by one that is told all.
    Unwanted,
    Lose(Loss),
    /// A killed daemon is started again and knows nothing of what it had said.
    Start,
    /// The session is established again.
    Up,
    /// The control node keeps the routes of the daemon under test and marks them stale.
    Stale,
    /// The control node keeps nothing stale.
    Fresh,
    /// Our own daemon is killed.
    KillOurs,
    StartOurs,
}

use Step::{
    Fresh, Gone, Heard, KillOurs, Lose, Stale, Start, StartOurs, Tell, Unwanted, Up, Withdraw,
};

const BOTH: &[Way] = &[Way::Sends, Way::Hears];

pub const CASES: &[Case] = &[
    Case {
        name: "announce",
        what: "the other side has the route, with every attribute as it was given",
        life: Life::Plain,
        ways: BOTH,
        needs: Needs::Anything,
        roles: &Role::ALL,
        steps: &[Up, Tell(100, FIRST), Heard],
    },
    Case {
        name: "withdraw",
        what: "gone, again after a second time, whatever label the withdrawal carries",
        life: Life::Plain,
        ways: BOTH,
        needs: Needs::Anything,
        roles: &Role::ALL,
        steps: &[Tell(100, FIRST), Heard, Withdraw, Gone, Tell(101, FIRST), Heard, Withdraw, Gone],
    },
    Case {
        name: "relabel",
        what: "the label is a value of the route: announced anew it takes the place of the old",
        life: Life::Plain,
        ways: BOTH,
        needs: Needs::Overlay,
        roles: &Role::ALL,
        steps: &[
            Tell(100, FIRST),
            Heard,
            Tell(200, FIRST),
            Heard,
            Tell(100, FIRST),
            Heard,
            Withdraw,
            Gone,
        ],
    },
    Case {
        name: "route target",
        what: "to another of the network, to one that nobody asked for, and back",
        life: Life::Plain,
        ways: BOTH,
        needs: Needs::Overlay,
        roles: &Role::ALL,
        steps: &[
            Tell(100, FIRST),
            Heard,
            Tell(100, SECOND),
            Heard,
            Tell(100, FOREIGN),
            Unwanted,
            Tell(100, FIRST),
            Heard,
        ],
    },
    Case {
        name: "route target of an old route",
        what: "likewise, of a route that is older than the session",
        life: Life::Plain,
        ways: BOTH,
        needs: Needs::Overlay,
        roles: &Role::ALL,
        steps: &[
            Tell(100, FIRST),
            Heard,
            Lose(Loss::Notification),
            Up,
            Heard,
            Tell(100, SECOND),
            Heard,
            Tell(100, FOREIGN),
            Unwanted,
        ],
    },
    Case {
        name: "NOTIFICATION",
        what: "it closes the session, and comes back",
        life: Life::Plain,
        ways: BOTH,
        needs: Needs::Anything,
        roles: &Role::ALL,
        steps: &[Tell(100, FIRST), Heard, Lose(Loss::Notification), Up, Heard],
    },
    Case {
        name: "TCP cut",
        what: "the connection ends without a word",
        life: Life::Plain,
        ways: BOTH,
        needs: Needs::Anything,
        roles: &Role::ALL,
        steps: &[Tell(100, FIRST), Heard, Lose(Loss::TcpCut), Up, Heard],
    },
    Case {
        name: "killed",
        what: "its routes go with it and come back with it",
        life: Life::Plain,
        ways: &[Way::Sends],
        needs: Needs::Anything,
        roles: &Role::ALL,
        steps: &[
            Tell(100, FIRST),
            Heard,
            Lose(Loss::Killed),
            Gone,
            Start,
            Up,
            Tell(100, FIRST),
            Heard,
        ],
    },
    Case {
        name: "killed, as listener",
        what: "it is told everything again",
        life: Life::Plain,
        ways: &[Way::Hears],
        needs: Needs::Anything,
        roles: &Role::ALL,
        steps: &[Tell(100, FIRST), Heard, Lose(Loss::Killed), Start, Up, Heard],
    },
    Case {
        name: "our restart",
        what: "`arcus-bgpd` is killed and started: all is told again",
        life: Life::Plain,
        ways: BOTH,
        needs: Needs::Anything,
        roles: &Role::ALL,
        steps: &[Tell(100, FIRST), Heard, KillOurs, StartOurs, Up, Heard],
    },
    Case {
        name: "graceful restart",
        what: "killed, its routes are kept; started, it says them again and nothing is stale",
        life: Life::Graceful,
        ways: &[Way::Sends],
        needs: Needs::Anything,
        roles: &Role::ALL,
        steps: &[
            Up,
            Tell(100, FIRST),
            Heard,
            Lose(Loss::Killed),
            Stale,
            Heard,
            Start,
            Up,
            Tell(100, FIRST),
            Heard,
            Fresh,
            // What is kept would have been heard before, too.
            Heard,
        ],
    },
    Case {
        name: "graceful restart, less to say",
        what: "what it does not say again is gone at its End-of-RIB",
        life: Life::Graceful,
        ways: &[Way::Sends],
        needs: Needs::Anything,
        roles: &Role::ENDS,
        steps: &[Tell(100, FIRST), Heard, Lose(Loss::Killed), Stale, Heard, Start, Up, Gone, Fresh],
    },
    Case {
        name: "our graceful restart",
        what: "`arcus-bgpd` is killed and started; both sides end with all routes",
        life: Life::Graceful,
        ways: BOTH,
        needs: Needs::Anything,
        roles: &Role::ALL,
        steps: &[Tell(100, FIRST), Heard, KillOurs, StartOurs, Up, Heard],
    },
];
