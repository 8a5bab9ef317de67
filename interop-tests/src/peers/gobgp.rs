//! GoBGP: knows all our families and shows all attributes; also the far side of every route.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testbed::{Bed, GiveUp, Namespace, Process};

use super::route::{COMMUNITY, LARGE_COMMUNITY, MED, RD};
use super::{ASN, Attributes, Field, Kind, Life, Member, Role, Route, Speaker};

#[derive(Debug)]
pub struct GoBgp {
    namespace: Namespace,
    process: Process,
    upstream: String,
}

/// GoBGP 3 tells a peer that speaks RTC no route without a target, unicast included: with unicast it goes
/// without RTC.
const UNICAST_TOO: [&str; 5] =
    ["ipv4-unicast", "ipv6-unicast", "l3vpn-ipv4-unicast", "l3vpn-ipv6-unicast", "l2vpn-evpn"];
const OVERLAY_FAMILIES: [&str; 4] =
    ["l3vpn-ipv4-unicast", "l3vpn-ipv6-unicast", "l2vpn-evpn", "rtc"];

impl GoBgp {
    fn configuration(member: &Member) -> Result<String> {
        let mut text = String::new();
        let Member { asn, address, upstream, client, .. } = member;
        writeln!(text, "[global.config]\nas = {asn}\nrouter-id = \"{address}\"")?;
        Self::neighbor(member, *upstream, &mut text)?;
        if let Some(client) = client {
            // It adds itself to what it tells clients, and only there: the control node is one, too.
            let reflects = format!(
                "[neighbors.route-reflector.config]\nroute-reflector-client = true\n\
                 route-reflector-cluster-id = \"{address}\"\n"
            );
            text += &reflects;
            Self::neighbor(member, *client, &mut text)?;
            text += &reflects;
        }
        Ok(text)
    }

    fn neighbor(member: &Member, peer: Ipv4Addr, text: &mut String) -> Result<()> {
        writeln!(text, "[[neighbors]]\n[neighbors.config]")?;
        writeln!(text, "neighbor-address = \"{peer}\"\npeer-as = {ASN}")?;
        writeln!(text, "[neighbors.timers.config]\nconnect-retry = 1")?;
        writeln!(text, "idle-hold-time-after-reset = 1")?;
        if member.role.is_external() {
            writeln!(text, "[neighbors.ebgp-multihop.config]")?;
            writeln!(text, "enabled = true\nmultihop-ttl = 255")?;
        }
        let graceful = member.life == Life::Graceful;
        if graceful {
            writeln!(text, "[neighbors.graceful-restart.config]")?;
            writeln!(text, "enabled = true\nrestart-time = 60")?;
        }
        let families: &[&str] =
            if member.role.has_unicast() { &UNICAST_TOO } else { &OVERLAY_FAMILIES };
        for family in families {
            writeln!(text, "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]")?;
            writeln!(text, "afi-safi-name = \"{family}\"")?;
            if graceful {
                writeln!(text, "[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true")?;
            }
        }
        Ok(())
    }

    async fn start_with(
        bed: &Bed,
        namespace: &Namespace,
        member: &Member,
        more: &[&str],
    ) -> Result<Self> {
        let file = bed.run_dir().join(format!("{}.toml", member.name));
        fs::write(&file, Self::configuration(member)?)?;
        let file = file.display().to_string();
        let args = ["-f", &file, "--api-hosts", "127.0.0.1:50051"];
        let args = args.iter().chain(more);
        let mut process = bed.start(namespace, member.name, "gobgpd", args)?;
        bed.wait_for("gobgpd answers", Duration::from_secs(20), async || {
            ensure!(process.is_running(), GiveUp("it ended".to_owned()));
            gobgp(namespace, &["global"]).await.map(drop)
        })
        .await?;
        let upstream = member.upstream.to_string();
        let speaker = Self { namespace: namespace.clone(), process, upstream };
        if !member.role.has_unicast() {
            // Its memberships come from its VRFs.
            let rd = format!("{}:1", member.address);
            let vrf = ["vrf", "add", "blue", "rd", &rd, "rt", "both"];
            speaker.gobgp(&[&vrf[..], &["64512:100", "64512:101"]].concat()).await?;
        }
        Ok(speaker)
    }

    async fn gobgp(&self, words: &[&str]) -> Result<String> {
        gobgp(&self.namespace, words).await
    }

    async fn rib(&self, command: &str, route: &Route) -> Result<()> {
        let words = words(route);
        let mut all = vec!["global", "rib", "-a", family(route.kind), command];
        all.extend(words.split_whitespace());
        self.gobgp(&all).await.map(drop)
    }
}

impl Speaker for GoBgp {
    const NAME: &'static str = "GoBGP 3.10";
    const SENDS: &'static [Kind] = &Kind::ALL;
    const HEARS: &'static [Kind] = &Kind::ALL;
    /// GoBGP 3.10 with RTC and graceful restart ends in a nil pointer (`propagateUpdate`) when its peer restarts.
    const REFLECTS: &'static [Kind] = &Kind::ALL;
    const RESTARTS: &'static [Role] = &[Role::Gateway, Role::Reflector];
    const SPEAKS_RTC: bool = true;

    async fn start(bed: &Bed, namespace: &Namespace, member: &Member) -> Result<Self> {
        Self::start_with(bed, namespace, member, &[]).await
    }

    async fn start_again(bed: &Bed, namespace: &Namespace, member: &Member) -> Result<Self> {
        Self::start_with(bed, namespace, member, &["-r"]).await
    }

    async fn tell(&mut self, route: &Route) -> Result<()> {
        self.rib("add", route).await
    }

    async fn withdraw(&mut self, route: &Route) -> Result<()> {
        self.rib("del", route).await
    }

    async fn hears(&mut self, route: &Route) -> Result<Option<Attributes>> {
        let text = self.gobgp(&["global", "rib", "-a", family(route.kind), "-j"]).await?;
        let table: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        let Some(paths) = table.get(key(route)).and_then(Value::as_array) else { return Ok(None) };
        let mut heard = paths.iter().filter(|path| path["neighbor-ip"] == self.upstream.as_str());
        let path = heard.next();
        ensure!(heard.next().is_none(), "several paths: {text}");
        path.map(|path| attributes(route.kind, path)).transpose()
    }

    async fn reset(&mut self) -> Result<()> {
        self.gobgp(&["neighbor", &self.upstream, "reset"]).await.map(drop)
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

async fn gobgp(namespace: &Namespace, words: &[&str]) -> Result<String> {
    let mut all = vec!["gobgp"];
    all.extend(words);
    let text = namespace.run(&all).await?;
    // It says so on its standard output and exits with 0.
    ensure!(!text.starts_with("error:"), "{}: {text}", all.join(" "));
    Ok(text)
}

const fn family(kind: Kind) -> &'static str {
    kind.family()
}

/// As `gobgp global rib add` takes a route.
fn words(route: &Route) -> String {
    let Route { next_hop, label, target, .. } = route;
    let prefix = route.prefix();
    let mac = route.mac();
    let overlay = format!("rd {RD} rt {target}");
    let what = match route.kind {
        Kind::Ipv4 | Kind::Ipv6 => prefix,
        Kind::Vpnv4 | Kind::Vpnv6 => format!("{prefix} label {label} {overlay}"),
        Kind::EvpnMacIp => {
            format!("macadv {mac} {prefix} etag 0 label {label} {overlay} encap vxlan")
        }
        Kind::EvpnMulticast => {
            format!(
                "multicast {prefix} etag 0 {overlay} encap vxlan pmsi ingress-repl {label} {next_hop}"
            )
        }
        Kind::EvpnPrefix => {
            format!("prefix {prefix} gw 0.0.0.0 etag 0 label {label} {overlay} encap vxlan")
        }
    };
    format!(
        "{what} origin igp nexthop {next_hop} med {MED} community {COMMUNITY} large-community {LARGE_COMMUNITY}"
    )
}

/// As its tables name a route.
fn key(route: &Route) -> String {
    let prefix = route.prefix();
    match route.kind {
        Kind::Ipv4 | Kind::Ipv6 => prefix,
        Kind::Vpnv4 | Kind::Vpnv6 => format!("{RD}:{prefix}"),
        Kind::EvpnMacIp => {
            format!("[type:macadv][rd:{RD}][etag:0][mac:{}][ip:{prefix}]", route.mac())
        }
        Kind::EvpnMulticast => format!("[type:multicast][rd:{RD}][etag:0][ip:{prefix}]"),
        Kind::EvpnPrefix => format!("[type:Prefix][rd:{RD}][etag:0][prefix:{prefix}]"),
    }
}

/// It shows everything: what an answer does not have, the route does not have.
const ABSENT: [Field; 9] = [
    Field::Label,
    Field::AsPath,
    Field::Med,
    Field::LocalPref,
    Field::Targets,
    Field::Communities,
    Field::LargeCommunities,
    Field::Originator,
    Field::ClusterList,
];

fn attributes(kind: Kind, path: &Value) -> Result<Attributes> {
    let mut all = Attributes::default();
    for absent in ABSENT {
        all.set(absent, "");
    }
    let nlri = &path["nlri"];
    let label = match kind {
        Kind::Ipv4 | Kind::Ipv6 | Kind::EvpnMulticast => None,
        Kind::Vpnv4 | Kind::Vpnv6 => nlri["labels"].as_array(),
        Kind::EvpnMacIp => nlri["value"]["labels"].as_array(),
        Kind::EvpnPrefix => {
            all.set(Field::Label, &nlri["value"]["label"]);
            None
        }
    };
    if let Some(labels) = label {
        all.set(Field::Label, list(labels.iter().map(ToString::to_string)));
    }
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(plain).collect()
    };
    for attribute in path["attrs"].as_array().context("no attributes")? {
        let value = &attribute["value"];
        match attribute["type"].as_u64() {
            Some(1) => all.set(Field::Origin, origin(value)?),
            Some(2) => {
                let segments = attribute["as_paths"].as_array().into_iter().flatten();
                all.set(Field::AsPath, list(segments.flat_map(|segment| texts(&segment["asns"]))));
            }
            Some(3 | 14) => all.set(Field::NextHop, plain(&attribute["nexthop"])),
            Some(4) => all.set(Field::Med, &attribute["metric"]),
            Some(5) => all.set(Field::LocalPref, &attribute["value"]),
            Some(8) => {
                let numbers = attribute["communities"].as_array().into_iter().flatten();
                let numbers = numbers.filter_map(Value::as_u64);
                all.set_all(
                    Field::Communities,
                    numbers.map(|n| format!("{}:{}", n >> 16, n & 0xffff)),
                );
            }
            Some(9) => all.set(Field::Originator, plain(value)),
            Some(10) => all.set(Field::ClusterList, list(texts(value))),
            Some(16) => {
                let communities = value.as_array().into_iter().flatten();
                let targets = communities.filter(|c| c["subtype"] == 2 && c["type"] != 3);
                all.set_all(Field::Targets, targets.map(|target| plain(&target["value"])));
            }
            Some(22) => all.set(Field::Label, &attribute["label"]),
            Some(32) => {
                let communities = value.as_array().into_iter().flatten();
                let text =
                    |c: &Value| format!("{}:{}:{}", c["ASN"], c["LocalData1"], c["LocalData2"]);
                all.set_all(Field::LargeCommunities, communities.map(text));
            }
            _ => {}
        }
    }
    Ok(all)
}

fn origin(value: &Value) -> Result<&'static str> {
    Ok(match value.as_u64() {
        Some(0) => "igp",
        Some(1) => "egp",
        Some(2) => "incomplete",
        _ => bail!("no origin: {value}"),
    })
}

fn list(values: impl IntoIterator<Item = String>) -> String {
    values.into_iter().collect::<Vec<_>>().join(" ")
}

/// A string without its quotes, a number as it is.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
