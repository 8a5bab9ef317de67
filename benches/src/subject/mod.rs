//! Who is measured: the bare programs, our daemon, and those of others.

mod arcus;
mod bird;
mod frr;
mod gobgp;
mod openbgpd;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use testbed::{Bed, Namespace, Process};

use crate::load::routes::Kind;
use crate::plan;

/// How long a daemon may take to listen.
const START: Duration = Duration::from_secs(15);

/// A program that reflects routes, or looks as if.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    Floor,
    Relay,
    Arcus,
    /// Ours of another commit.
    #[value(skip)]
    Before,
    Frr,
    Bird,
    Gobgp,
    Openbgpd,
}

impl Subject {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Relay => "relay",
            Self::Arcus => "arcus",
            Self::Before => "before",
            Self::Frr => "frr",
            Self::Bird => "bird",
            Self::Gobgp => "gobgp",
            Self::Openbgpd => "openbgpd",
        }
    }

    pub(crate) const fn is_bare(self) -> bool {
        matches!(self, Self::Floor | Self::Relay)
    }

    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Arcus | Self::Before)
    }

    /// Whether it is a daemon of others.
    pub(crate) const fn is_rival(self) -> bool {
        !self.is_bare() && !self.is_ours()
    }

    /// Whether it adds `ORIGINATOR_ID` and `CLUSTER_LIST`.
    pub(crate) const fn is_reflector(self) -> bool {
        !matches!(self, Self::Relay)
    }

    /// Whether what it passes on may have a MED of 0 that was not there.
    pub(crate) const fn adds_med(self) -> bool {
        matches!(self, Self::Frr)
    }

    /// Whether it sends by route target membership (RFC 4684).
    pub(crate) const fn has_constraint(self) -> bool {
        self.is_ours() || matches!(self, Self::Gobgp)
    }

    /// Whether it reflects this family to its clients.
    pub(crate) const fn speaks(self, kind: Kind) -> bool {
        match self {
            // BIRD 2 has no EVPN, and OpenBGPD of Debian 12 none either.
            Self::Bird | Self::Openbgpd => !matches!(kind, Kind::Evpn),
            _ => true,
        }
    }

    /// Whether senders are clients like all others, who keep what others sent away from themselves by
    /// asking for no target. Else a sender is a peer that is no client.
    pub(crate) const fn senders_are_clients(self, kind: Kind) -> bool {
        self.is_ours() && !matches!(kind, Kind::Ipv4Unicast)
    }

    fn program(self, arcus: &Path) -> Result<PathBuf> {
        let candidates: &[&str] = match self {
            Self::Floor | Self::Relay => return Ok(std::env::current_exe()?),
            Self::Arcus | Self::Before => {
                ensure!(
                    arcus.exists(),
                    "{} is not there: cargo build --release -p arcus-bgpd",
                    arcus.display()
                );
                return Ok(arcus.canonicalize()?);
            }
            Self::Frr => &["/usr/lib/frr/bgpd", "/usr/libexec/frr/bgpd"],
            Self::Bird => &["/usr/sbin/bird"],
            Self::Gobgp => &["/usr/bin/gobgpd", "/usr/sbin/gobgpd"],
            Self::Openbgpd => &["/usr/sbin/bgpd"],
        };
        match candidates.iter().find(|path| Path::new(path).exists()) {
            Some(path) => Ok(PathBuf::from(path)),
            None => bail!("{} is not installed: make bench RIVALS={0}", self.name()),
        }
    }

    /// Starts it in the namespace, in which this thread must be too. On return it accepts connections.
    pub(crate) fn start(
        self,
        bed: &Bed,
        namespace: &Namespace,
        arcus: &Path,
        wanted: Wanted,
    ) -> Result<Process> {
        let program = self.program(arcus)?;
        let directory = bed.run_dir();
        let args = match self {
            Self::Floor | Self::Relay => {
                vec!["bare".to_owned(), self.name().to_owned(), plan::TARGET.to_string()]
            }
            Self::Arcus | Self::Before => arcus::configure(directory, wanted)?,
            Self::Frr => frr::configure(directory, wanted)?,
            Self::Bird => bird::configure(directory, wanted)?,
            Self::Gobgp => gobgp::configure(directory, wanted)?,
            Self::Openbgpd => openbgpd::configure(bed, wanted)?,
        };
        let mut process = bed.start(namespace, self.name(), program, args)?;
        let deadline = Instant::now() + START;
        while TcpStream::connect(plan::TARGET).is_err() {
            ensure!(process.is_running(), "{} has ended:\n{}", self.name(), process.output());
            ensure!(Instant::now() < deadline, "{} does not listen", self.name());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(process)
    }
}

/// What a daemon is configured for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    /// Clients ask for targets.
    pub(crate) has_constraint: bool,
}
