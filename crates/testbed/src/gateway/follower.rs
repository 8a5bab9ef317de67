//! The follower: FRR's VPN table, and nothing else, becomes flows of Open vSwitch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{MissedTickBehavior, interval};

use super::frr::Vty;
use super::switch::{LAN_PORT, TUNNEL_PORT};

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
            let wanted = self.program(&read_table(&mut vty, &summary).await?);
            if wanted != done {
                self.resolve(&wanted, &done).await;
                self.apply(&wanted, &done).await?;
                write!(std::io::stdout(), "{wanted}")?;
                done = wanted;
            }
            seen = summary;
        }
    }

    fn program(&self, routes: &[VpnRoute]) -> Program {
        let mut program = Program::default();
        for route in routes.iter().filter(|route| route.targets.contains(&self.route_target)) {
            if route.is_local {
                program.own_labels.insert(route.label);
            } else {
                let members = program.remote.entry(route.prefix.clone()).or_default();
                members.insert((route.next_hop, route.label));
            }
        }
        program
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

/// A best path of FRR's VPN table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct VpnRoute {
    prefix: String,
    targets: BTreeSet<String>,
    next_hop: Ipv4Addr,
    label: u32,
    /// Exported by a VRF of this FRR, not received.
    is_local: bool,
}

/// The summary has neither labels nor route targets: each prefix is asked for by itself.
async fn read_table(vty: &mut Vty, summary: &str) -> Result<Vec<VpnRoute>> {
    let mut routes = Vec::new();
    for prefix in prefixes(summary)? {
        let detail = vty.run(&format!("show bgp ipv4 vpn {prefix} json")).await?;
        routes.extend(read_routes(&prefix, &detail)?);
    }
    Ok(routes)
}

/// All prefixes of `show bgp ipv4 vpn json`, of whatever route distinguisher.
fn prefixes(summary: &str) -> Result<BTreeSet<String>> {
    if summary.trim().is_empty() {
        return Ok(BTreeSet::new());
    }
    let table: Value = serde_json::from_str(summary).context("the VPN table as JSON")?;
    let Some(distinguishers) = table["routes"]["routeDistinguishers"].as_object() else {
        return Ok(BTreeSet::new());
    };
    let tables = distinguishers.values().filter_map(Value::as_object);
    Ok(tables.flat_map(|routes| routes.keys().cloned()).collect())
}

/// The best paths of `show bgp ipv4 vpn PREFIX json`. A path without a label is of no use here.
fn read_routes(prefix: &str, detail: &str) -> Result<Vec<VpnRoute>> {
    let detail: Value = serde_json::from_str(detail).context("a VPN route as JSON")?;
    let mut routes = Vec::new();
    for route in detail.as_object().into_iter().flat_map(|rds| rds.values()) {
        // The longest match is given too where the prefix itself is not there.
        if route["prefix"].as_str() != Some(prefix) {
            continue;
        }
        let paths = route["paths"].as_array().into_iter().flatten();
        routes.extend(paths.filter_map(|path| read_path(prefix, path)));
    }
    Ok(routes)
}

fn read_path(prefix: &str, path: &Value) -> Option<VpnRoute> {
    let is_best = path["bestpath"]["overall"].as_bool().unwrap_or(false);
    if !is_best || path["valid"].as_bool() != Some(true) {
        return None;
    }
    let communities = path["extendedCommunity"]["string"].as_str().unwrap_or_default();
    let targets = communities.split(' ').filter_map(|community| community.strip_prefix("RT:"));
    Some(VpnRoute {
        prefix: prefix.to_owned(),
        targets: targets.map(str::to_owned).collect(),
        next_hop: path["nexthops"][0]["ip"].as_str()?.parse().ok()?,
        label: u32::try_from(path["remoteLabel"].as_u64()?).ok()?,
        is_local: path["sourced"].as_bool().unwrap_or(false),
    })
}

/// What the bridge is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Program {
    /// Labels that this gateway has announced: packets with one go to the outside.
    own_labels: BTreeSet<u32>,
    /// Prefixes of others, each with all its tunnel ends and labels.
    remote: BTreeMap<String, BTreeSet<(Ipv4Addr, u32)>>,
}

impl Program {
    fn next_hops(&self) -> BTreeSet<Ipv4Addr> {
        self.remote.values().flatten().map(|(next_hop, _)| *next_hop).collect()
    }

    fn flows(&self, outside_mac: &str) -> Result<String> {
        let mut text = String::new();
        for label in &self.own_labels {
            writeln!(
                text,
                "priority=1000,in_port={TUNNEL_PORT},dl_type=0x8847,mpls_label={label},mpls_bos=1,\
                 actions=pop_mpls:0x0800,set_field:{outside_mac}->eth_dst,output:{LAN_PORT}"
            )?;
        }
        for prefix in self.remote.keys() {
            let length: u16 =
                prefix.rsplit_once('/').context("a prefix without a length")?.1.parse()?;
            writeln!(
                text,
                "priority={},in_port={LAN_PORT},ip,nw_dst={prefix},actions=dec_ttl,group:{}",
                1000 + length,
                group_id(prefix)
            )?;
        }
        Ok(text)
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "program: own labels {:?}", self.own_labels)?;
        for (prefix, members) in &self.remote {
            write!(f, "  {prefix} ->")?;
            for (next_hop, label) in members {
                write!(f, " {next_hop} label {label};")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A number for a prefix that stays the same from program to program: FNV-1a of its text, below the
/// reserved numbers of `OpenFlow`.
fn group_id(prefix: &str) -> u32 {
    let hash = prefix
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
    (hash >> 1).max(1)
}

/// A group that spreads flows over tunnels.
fn group(id: u32, members: &BTreeSet<(Ipv4Addr, u32)>) -> String {
    let buckets = members.iter().map(|(next_hop, label)| {
        format!(
            ",bucket=actions=push_mpls:0x8847,set_field:{label}->mpls_label,\
             set_field:{next_hop}->tun_dst,output:{TUNNEL_PORT}"
        )
    });
    format!(
        "group_id={id},type=select,selection_method=hash,\
         fields(ip_src,ip_dst,nw_proto,tcp_src,tcp_dst){}",
        buckets.collect::<Vec<_>>().concat()
    )
}
