//! OpenBGPD. Carries VPN routes and cannot originate them without the MPLS of OpenBSD.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testbed::{Bed, GiveUp, Namespace, Process};

use super::route::{COMMUNITY, LARGE_COMMUNITY, MED, RD};
use super::{ASN, Attributes, CONTROL_NODE, Field, Kind, Member, Role, Route, Speaker};

/// The root directory of its processes without privileges; the package leaves it to systemd to make it.
const CHROOT: &str = "/run/openbgpd";

#[derive(Debug)]
pub struct OpenBgpd {
    namespace: Namespace,
    process: Process,
    member: Member,
    file: PathBuf,
    socket: String,
    said: Vec<Route>,
}

impl OpenBgpd {
    fn configuration(member: &Member, socket: &str, said: &[Route]) -> Result<String> {
        let Member { role, address, asn, client, .. } = member;
        let mut text = format!(
            "AS {asn}\nrouter-id {address}\nfib-update no\nsocket \"{socket}\"\nlisten on {address}\n"
        );
        for route in said {
            writeln!(text, "network {} set {{ nexthop {} }}", route.prefix(), route.next_hop)?;
        }
        for peer in [Some(CONTROL_NODE), *client].into_iter().flatten() {
            writeln!(text, "neighbor {peer} {{\n remote-as {ASN}\n local-address {address}")?;
            if role.is_external() {
                text += " multihop 255\n";
            }
            if Some(peer) == *client {
                text += " route-reflector\n";
            }
            let unicast = if role.has_unicast() { "unicast" } else { "none" };
            writeln!(text, " announce IPv4 {unicast}\n announce IPv6 {unicast}")?;
            text += " announce IPv4 vpn\n announce IPv6 vpn\n}\n";
        }
        text += "allow from any\n";
        if client.is_some() {
            text += "allow to any\n";
            return Ok(text);
        }
        let attributes =
            format!("metric {MED} community {COMMUNITY} large-community {LARGE_COMMUNITY}");
        writeln!(text, "allow to any set {{ {attributes} }}")?;
        Ok(text)
    }

    async fn configure(&self) -> Result<()> {
        write(&self.file, &Self::configuration(&self.member, &self.socket, &self.said)?)?;
        self.bgpctl(&["reload"]).await.map(drop)
    }

    async fn bgpctl(&self, words: &[&str]) -> Result<String> {
        bgpctl(&self.namespace, &self.socket, words).await
    }
}

impl Speaker for OpenBgpd {
    const NAME: &'static str = "OpenBGPD 7.7";
    /// Over a session of IPv4 it gives IPv6 routes the next hop `::1`, whatever it is told.
    const SENDS: &'static [Kind] = &[Kind::Ipv4];
    const HEARS: &'static [Kind] = &Kind::UNICAST_AND_VPN;
    const REFLECTS: &'static [Kind] = &Kind::UNICAST_AND_VPN;
    /// It keeps routes of others and offers nothing for its own.
    const RESTARTS: &'static [Role] = &[];
    const SPEAKS_RTC: bool = false;

    async fn start(bed: &Bed, namespace: &Namespace, member: &Member) -> Result<Self> {
        fs::create_dir_all(CHROOT)?;
        let file = bed.run_dir().join("openbgpd.conf");
        let socket = bed.run_dir().join("openbgpd.sock").display().to_string();
        write(&file, &Self::configuration(member, &socket, &[])?)?;
        let path = file.display().to_string();
        let mut process =
            bed.start(namespace, member.name, "/usr/sbin/bgpd", ["-d", "-f", &path])?;
        bed.wait_for("OpenBGPD answers", Duration::from_secs(20), async || {
            ensure!(process.is_running(), GiveUp("it ended".to_owned()));
            bgpctl(namespace, &socket, &["show"]).await.map(drop)
        })
        .await?;
        let (namespace, member) = (namespace.clone(), *member);
        Ok(Self { namespace, process, member, file, socket, said: Vec::new() })
    }

    async fn tell(&mut self, route: &Route) -> Result<()> {
        self.said.retain(|old| (old.kind, old.number) != (route.kind, route.number));
        self.said.push(route.clone());
        self.configure().await
    }

    async fn withdraw(&mut self, route: &Route) -> Result<()> {
        self.said.retain(|old| (old.kind, old.number) != (route.kind, route.number));
        self.configure().await
    }

    async fn hears(&mut self, route: &Route) -> Result<Option<Attributes>> {
        let text = self.bgpctl(&["-j", "show", "rib", "detail"]).await?;
        let table: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        let rd = if route.kind.is_unicast() { String::new() } else { format!("rd {RD} ") };
        let prefix = format!("{rd}{}", route.prefix());
        let control_node = CONTROL_NODE.to_string();
        let is_it = |entry: &&Value| {
            entry["prefix"] == prefix.as_str()
                && entry["neighbor"]["remote_addr"] == control_node.as_str()
        };
        let found: Vec<_> = table["rib"].as_array().into_iter().flatten().filter(is_it).collect();
        match found[..] {
            [] => Ok(None),
            [entry] => Ok(Some(attributes(self.member.role, entry))),
            _ => bail!("several paths: {text}"),
        }
    }

    async fn reset(&mut self) -> Result<()> {
        self.bgpctl(&["neighbor", &CONTROL_NODE.to_string(), "clear"]).await.map(drop)
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// It refuses a file that others may read.
fn write(file: &PathBuf, text: &str) -> Result<()> {
    fs::write(file, text)?;
    fs::set_permissions(file, Permissions::from_mode(0o600))?;
    Ok(())
}

async fn bgpctl(namespace: &Namespace, socket: &str, words: &[&str]) -> Result<String> {
    let mut all = vec!["bgpctl", "-s", socket];
    all.extend(words);
    namespace.run(&all).await
}

/// It shows no labels.
fn attributes(role: Role, entry: &Value) -> Attributes {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(text).collect()
    };
    let mut all = Attributes::default();
    all.set(Field::NextHop, text(&entry["exit_nexthop"]));
    all.set(Field::AsPath, text(&entry["aspath"]));
    all.set(Field::Origin, text(&entry["origin"]).to_lowercase());
    // Absent and 0 look the same.
    let med = entry["metric"].as_u64().filter(|med| *med != 0);
    all.set(Field::Med, med.map_or(String::new(), |med| med.to_string()));
    if !role.is_external() {
        let preference = entry["localpref"].as_u64();
        all.set(Field::LocalPref, preference.map_or(String::new(), |value| value.to_string()));
    }
    all.set_all(Field::Communities, list(&entry["communities"]));
    all.set_all(Field::LargeCommunities, list(&entry["large_communities"]));
    let extended = list(&entry["extended_communities"]);
    let targets = extended.iter().filter_map(|one| one.strip_prefix("rt ").map(str::to_owned));
    all.set_all(Field::Targets, targets);
    all
}
