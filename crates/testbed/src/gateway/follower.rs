//! The follower: a table of FRR, and nothing else, becomes flows of Open vSwitch.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{MissedTickBehavior, interval};

use super::frr::Vty;
use super::program::{Program, group_id};
use super::{evpn_table, vpn_table};

/// How often FRR is asked. It has no way to tell by itself.
const POLL: Duration = Duration::from_millis(200);

/// A table of FRR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Table {
    /// VPN routes of IPv4: MPLS over GRE
    Vpnv4,
    /// EVPN routes of type 5: VXLAN
    Evpn,
}

impl Table {
    /// What changes its answer whenever a path changes: each carries the version of the table in which it did.
    const fn question(self) -> &'static str {
        match self {
            Self::Vpnv4 => "show bgp ipv4 vpn json",
            Self::Evpn => evpn_table::QUESTION,
        }
    }
}

/// Keeps the flows of one bridge.
#[derive(Debug, Clone, clap::Args)]
pub struct Follow {
    /// The command socket of bgpd
    #[arg(long)]
    vty: PathBuf,
    /// The bridge, as ovs-ofctl names it
    #[arg(long)]
    bridge: String,
    /// The table to follow
    #[arg(long, value_enum, default_value_t = Table::Vpnv4)]
    table: Table,
    /// Routes with this route target are used
    #[arg(long)]
    route_target: String,
    /// Hardware address that packets from the tunnels are sent to
    #[arg(long)]
    outside_mac: String,
}

impl Follow {
    /// Runs until bgpd goes away.
    pub async fn run(self) -> Result<()> {
        let mut vty = Vty::connect(&self.vty).await?;
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = String::new();
        let mut done = Program::default();
        loop {
            ticks.tick().await;
            let answer = vty.run(self.table.question()).await?;
            if answer == seen {
                continue;
            }
            let routes = match self.table {
                Table::Vpnv4 => vpn_table::read_table(&mut vty, &answer).await?,
                Table::Evpn => evpn_table::read_routes(&answer)?,
            };
            let wanted = Program::new(&routes, &self.route_target);
            if wanted != done {
                self.resolve(&wanted, &done).await;
                self.apply(&wanted, &done).await?;
                write!(std::io::stdout(), "{wanted}")?;
                done = wanted;
            }
            seen = answer;
        }
    }

    /// Finds the hardware addresses of new tunnel ends, so that no packet waits for that. The switch learns
    /// them from the answers that pass through it. One that does not answer is used all the same.
    async fn resolve(&self, wanted: &Program, done: &Program) {
        let known = done.next_hops();
        let pings: Vec<_> = wanted
            .next_hops()
            .difference(&known)
            .filter_map(|address| {
                Command::new("ping")
                    .args(["-c1", "-W1", &address.to_string()])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .kill_on_drop(true)
                    .spawn()
                    .ok()
            })
            .collect();
        for mut ping in pings {
            let _answered = ping.wait().await;
        }
    }

    /// Groups before the flows that refer to them, and unused groups last.
    async fn apply(&self, wanted: &Program, done: &Program) -> Result<()> {
        for (prefix, members) in &wanted.remote {
            let group = wanted.group(prefix, members);
            let before = done.remote.get(prefix).map(|members| done.group(prefix, members));
            if before.as_ref() != Some(&group) {
                self.ofctl(&["--may-create", "mod-group", &self.bridge, &group], "").await?;
            }
        }
        let flows = wanted.flows(&self.outside_mac)?;
        self.ofctl(&["--bundle", "replace-flows", &self.bridge, "-"], &flows).await?;
        for prefix in done.remote.keys().filter(|prefix| !wanted.remote.contains_key(*prefix)) {
            let group = format!("group_id={}", group_id(prefix));
            self.ofctl(&["del-groups", &self.bridge, &group], "").await?;
        }
        Ok(())
    }

    async fn ofctl(&self, args: &[&str], input: &str) -> Result<()> {
        let mut child = Command::new("ovs-ofctl")
            .args(["-O", "OpenFlow15"])
            .args(args)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("ovs-ofctl")?;
        let mut stdin = child.stdin.take().context("its standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let status = child.wait().await?;
        ensure!(status.success(), "ovs-ofctl {}: {status}\n{input}", args.join(" "));
        Ok(())
    }
}
