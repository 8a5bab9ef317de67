//! The follower: FRR's VPN table, and nothing else, becomes flows of Open vSwitch.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{MissedTickBehavior, interval};

use super::frr::Vty;
use super::program::{Program, group, group_id};
use super::vpn_table::read_table;

/// How often FRR is asked. It has no way to tell by itself.
const POLL: Duration = Duration::from_millis(200);

/// Keeps the flows of one bridge.
#[derive(Debug, Clone, clap::Args)]
pub struct Follow {
    /// The command socket of bgpd
    #[arg(long)]
    vty: PathBuf,
    /// The bridge, as ovs-ofctl names it
    #[arg(long)]
    bridge: String,
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
            let summary = vty.run("show bgp ipv4 vpn json").await?;
            // Each path carries the version of the table in which it changed.
            if summary == seen {
                continue;
            }
            let wanted = Program::new(&read_table(&mut vty, &summary).await?, &self.route_target);
            if wanted != done {
                self.resolve(&wanted, &done).await;
                self.apply(&wanted, &done).await?;
                write!(std::io::stdout(), "{wanted}")?;
                done = wanted;
            }
            seen = summary;
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
            if done.remote.get(prefix) != Some(members) {
                let group = group(group_id(prefix), members);
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
