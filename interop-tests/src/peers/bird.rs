//! BIRD 2. Its configuration is written anew for each change; birdc shows its tables as text.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::{Bed, GiveUp, Namespace, Process};

use super::route::{COMMUNITY, LARGE_COMMUNITY, MED, RD};
use super::{ASN, Attributes, CONTROL_NODE, Field, Kind, Life, Member, Role, Route, Speaker};

#[derive(Debug)]
pub struct Bird {
    namespace: Namespace,
    process: Process,
    member: Member,
    file: PathBuf,
    socket: String,
    said: Vec<Route>,
}

impl Bird {
    fn configuration(member: &Member, said: &[Route]) -> Result<String> {
        let Member { role, address, asn, life, client, .. } = member;
        let mut text = format!("log stderr all;\nrouter id {address};\nprotocol device {{}}\n");
        // Next hops resolve over the underlay alone.
        text += "protocol direct { ipv4; ipv6; }\n";
        for kind in Kind::UNICAST_AND_VPN {
            let (family, table) = (family(kind), table(kind));
            if !kind.is_unicast() {
                writeln!(text, "{family} table {table};")?;
            }
            writeln!(text, "protocol static {table}_said {{\n {family} {{ table {table}; }};")?;
            for route in said.iter().filter(|route| route.kind == kind) {
                writeln!(text, " {}", route_text(route))?;
            }
            text += "}\n";
        }
        let peers =
            [Some(("arcus", CONTROL_NODE, "")), client.map(|at| ("behind", at, " rr client;\n"))];
        for (name, peer, more) in peers.into_iter().flatten() {
            writeln!(text, "protocol bgp {name} {{\n local {address} as {asn};\n{more}")?;
            writeln!(text, " neighbor {peer} as {ASN};")?;
            writeln!(text, " connect retry time 1; error wait time 1, 2;")?;
            // Else a next hop on the same wire would be left out for our own address, and the label with it.
            writeln!(text, " direct;")?;
            let restart = if *life == Life::Graceful { "on" } else { "aware" };
            writeln!(text, " graceful restart {restart};")?;
            for kind in Kind::UNICAST_AND_VPN.into_iter().filter(|kind| kind.is_for(*role)) {
                let mpls = if kind.is_unicast() { "" } else { " mpls" };
                writeln!(text, " {}{mpls} {{ table {}; import all;", family(kind), table(kind))?;
                let what = if client.is_some() {
                    "if source = RTS_BGP then accept; reject;".to_owned()
                } else {
                    // A MED that was not set here does not leave the AS.
                    format!("if source != RTS_STATIC then reject; bgp_med = {MED}; accept;")
                };
                writeln!(text, "  export filter {{ {what} }}; }};")?;
            }
            text += "}\n";
        }
        Ok(text)
    }

    async fn configure(&self) -> Result<()> {
        fs::write(&self.file, Self::configuration(&self.member, &self.said)?)?;
        let said = self.birdc("configure").await?;
        ensure!(said.contains("econfigur"), "{said}");
        Ok(())
    }

    async fn start_with(
        bed: &Bed,
        namespace: &Namespace,
        member: &Member,
        more: &[&str],
    ) -> Result<Self> {
        let file = bed.run_dir().join("bird.conf");
        let socket = bed.run_dir().join("bird.ctl").display().to_string();
        fs::write(&file, Self::configuration(member, &[])?)?;
        let path = file.display().to_string();
        let args = ["-f", "-c", &path, "-s", &socket];
        let args = args.iter().chain(more);
        let mut process = bed.start(namespace, member.name, "bird", args)?;
        bed.wait_for("BIRD answers", Duration::from_secs(20), async || {
            ensure!(process.is_running(), GiveUp("it ended".to_owned()));
            birdc(namespace, &socket, "show status").await.map(drop)
        })
        .await?;
        let (namespace, member) = (namespace.clone(), *member);
        Ok(Self { namespace, process, member, file, socket, said: Vec::new() })
    }

    async fn birdc(&self, command: &str) -> Result<String> {
        birdc(&self.namespace, &self.socket, command).await
    }
}

impl Speaker for Bird {
    const NAME: &'static str = "BIRD 2.0.12";
    const SENDS: &'static [Kind] = &Kind::UNICAST_AND_VPN;
    const HEARS: &'static [Kind] = &Kind::UNICAST_AND_VPN;
    const REFLECTS: &'static [Kind] = &Kind::UNICAST_AND_VPN;
    const RESTARTS: &'static [Role] = &Role::ALL;
    const SPEAKS_RTC: bool = false;

    async fn start(bed: &Bed, namespace: &Namespace, member: &Member) -> Result<Self> {
        Self::start_with(bed, namespace, member, &[]).await
    }

    async fn start_again(bed: &Bed, namespace: &Namespace, member: &Member) -> Result<Self> {
        Self::start_with(bed, namespace, member, &["-R"]).await
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
        let rd = if route.kind.is_unicast() { String::new() } else { format!("{RD} ") };
        let table = table(route.kind);
        let show = format!("show route {rd}{} protocol arcus all table {table}", route.prefix());
        let words: Vec<&str> = show.split_whitespace().collect();
        let mut all = vec!["birdc", "-s", &self.socket];
        all.extend(words);
        // It fails for what is not in the table.
        let output = self.namespace.output(&all).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !text.contains("BGP.next_hop") {
            return Ok(None);
        }
        ensure!(text.matches("BGP.next_hop").count() == 1, "several paths: {text}");
        let mut all = attributes(route.kind, &text)?;
        // It gives routes of another AS one of its own.
        if self.member.role.is_external() {
            all.0.remove(&Field::LocalPref);
        }
        Ok(Some(all))
    }

    async fn reset(&mut self) -> Result<()> {
        self.birdc("restart arcus").await.map(drop)
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

async fn birdc(namespace: &Namespace, socket: &str, command: &str) -> Result<String> {
    let mut words = vec!["birdc", "-s", socket];
    words.extend(command.split_whitespace());
    namespace.run(&words).await
}

const fn family(kind: Kind) -> &'static str {
    match kind {
        Kind::Ipv4 => "ipv4",
        Kind::Ipv6 => "ipv6",
        Kind::Vpnv6 => "vpn6",
        _ => "vpn4",
    }
}

const fn table(kind: Kind) -> &'static str {
    match kind {
        Kind::Ipv4 => "master4",
        Kind::Ipv6 => "master6",
        Kind::Vpnv6 => "vpntab6",
        _ => "vpntab4",
    }
}

fn route_text(route: &Route) -> String {
    let Route { next_hop, label, target, .. } = route;
    let commas = |text: &str| text.replace(':', ",");
    let attributes = format!(
        "bgp_community.add(({})); bgp_large_community.add(({}));",
        commas(COMMUNITY),
        commas(LARGE_COMMUNITY)
    );
    let prefix = route.prefix();
    if route.kind.is_unicast() {
        format!("route {prefix} via {next_hop} {{ {attributes} }};")
    } else {
        let target = commas(target);
        format!(
            "route {RD} {prefix} via {next_hop} mpls {label} \
             {{ {attributes} bgp_ext_community.add((rt,{target})); }};"
        )
    }
}

/// From lines like `BGP.as_path: 64512 65109`.
fn attributes(kind: Kind, text: &str) -> Result<Attributes> {
    let line = |name: &str| {
        let prefix = format!("BGP.{name}:");
        text.lines().find_map(|line| line.trim().strip_prefix(&prefix)).unwrap_or("").trim()
    };
    // `(64512,1) (64512,2)`, some with blanks after the commas
    let lists = |name: &str| -> Vec<String> {
        let parts = line(name).split(['(', ')']).map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| part.replace(", ", ":").replace(',', ":")).collect()
    };
    let mut all = Attributes::default();
    let next_hop = line("next_hop").split_whitespace().next().context("no next hop")?;
    all.set(Field::NextHop, next_hop);
    all.set(Field::AsPath, line("as_path"));
    all.set(Field::Origin, line("origin").to_lowercase());
    all.set(Field::Med, line("med"));
    all.set(Field::LocalPref, line("local_pref"));
    all.set_all(Field::Communities, lists("community"));
    all.set_all(Field::LargeCommunities, lists("large_community"));
    let extended = lists("ext_community");
    let targets = extended.iter().filter_map(|one| one.strip_prefix("rt:").map(str::to_owned));
    all.set_all(Field::Targets, targets);
    all.set(Field::Originator, line("originator_id"));
    all.set(Field::ClusterList, line("cluster_list"));
    if !kind.is_unicast() {
        all.set(Field::Label, line("mpls_label_stack"));
    }
    Ok(all)
}
