//! FRR's bgpd, alone. Configured and asked through vtysh.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testbed::{Bed, GiveUp, Namespace, Process};

use super::route::{COMMUNITY, LARGE_COMMUNITY, MED, RD};
use super::{
    ASN, Attributes, CONTROL_NODE, Field, Kind, Life, Member, Role, Route, Speaker, own_route,
};

/// Where Debian and Ubuntu have it, then Fedora.
const PROGRAMS: [&str; 2] = ["/usr/lib/frr/bgpd", "/usr/libexec/frr/bgpd"];

#[derive(Debug)]
pub struct Frr {
    namespace: Namespace,
    directory: PathBuf,
    process: Process,
    asn: u32,
    /// What it says now: a static VPN route cannot be changed, only replaced.
    said: Vec<Route>,
}

impl Frr {
    fn configuration(member: &Member) -> Result<String> {
        let Member { name, role, address, asn, life, client, .. } = member;
        let mut text = format!(
            "hostname {name}\nlog stdout informational\nrouter bgp {asn}\n bgp router-id {address}\n \
             no bgp ebgp-requires-policy\n no bgp suppress-duplicates\n no bgp default ipv4-unicast\n no bgp network import-check\n"
        );
        if *life == Life::Graceful {
            // It forwards nothing here, and says that it would.
            text += " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n";
        }
        let peers = || [Some(CONTROL_NODE), *client].into_iter().flatten();
        for peer in peers() {
            writeln!(text, " neighbor {peer} remote-as {ASN}")?;
            writeln!(text, " neighbor {peer} timers connect 1")?;
        }
        if role.is_external() {
            writeln!(text, " neighbor {CONTROL_NODE} ebgp-multihop 255")?;
        }
        for kind in [Kind::Ipv4, Kind::Ipv6, Kind::Vpnv4, Kind::Vpnv6, Kind::EvpnPrefix] {
            if kind.is_for(*role) {
                writeln!(text, " address-family {}", family(kind))?;
                for peer in peers() {
                    writeln!(text, "  neighbor {peer} activate")?;
                    // Its own next hops too, which come from route maps.
                    writeln!(text, "  neighbor {peer} attribute-unchanged next-hop")?;
                }
                if let Some(client) = client {
                    writeln!(text, "  neighbor {client} route-reflector-client")?;
                }
                let own = if kind == Kind::Ipv4 { member.own_routes } else { 0 };
                for number in 0..own {
                    writeln!(text, "  network {}", own_route(number))?;
                }
                writeln!(text, " exit-address-family")?;
            }
        }
        Ok(text)
    }

    async fn vtysh(&self, commands: &[String]) -> Result<String> {
        vtysh(&self.namespace, &self.directory, commands).await
    }

    /// Gives one command below a family.
    async fn network(&self, kind: Kind, command: String) -> Result<()> {
        let path = [
            "configure terminal".to_owned(),
            format!("router bgp {}", self.asn),
            format!("address-family {}", family(kind)),
            command,
        ];
        let said = self.vtysh(&path).await?;
        ensure!(said.trim().is_empty(), "{said}");
        Ok(())
    }
}

impl Speaker for Frr {
    const NAME: &'static str = "FRR 8.4";
    const SENDS: &'static [Kind] = &Kind::UNICAST_AND_VPN;
    const HEARS: &'static [Kind] = &Kind::ALL;
    const REFLECTS: &'static [Kind] = &Kind::ALL;
    const RESTARTS: &'static [Role] = &Role::ALL;
    const SPEAKS_RTC: bool = false;

    async fn start(bed: &Bed, namespace: &Namespace, member: &Member) -> Result<Self> {
        let program = PROGRAMS.iter().find(|path| Path::new(path).exists());
        let program = program.context("FRR's bgpd is not installed")?;
        let directory = bed.run_dir().join("frr");
        fs::create_dir_all(&directory)?;
        let configuration = directory.join("bgpd.conf");
        fs::write(&configuration, Self::configuration(member)?)?;
        let text = |path: &Path| path.display().to_string();
        let (file, pid) = (text(&configuration), text(&directory.join("bgpd.pid")));
        let socket = text(&directory);
        let args = ["-Z", "-S", "-f", &file, "-i", &pid, "--vty_socket", &socket, "-P", "0"];
        let mut process = bed.start(namespace, member.name, program, args)?;
        // 100,000 routes of its own take it half a minute where others need the machine, too.
        bed.wait_for("FRR answers", Duration::from_mins(2), async || {
            ensure!(process.is_running(), GiveUp("it ended".to_owned()));
            vtysh(namespace, &directory, &["show version".to_owned()]).await.map(drop)
        })
        .await?;
        let namespace = namespace.clone();
        Ok(Self { namespace, directory, process, asn: member.asn, said: Vec::new() })
    }

    async fn tell(&mut self, route: &Route) -> Result<()> {
        let map = route_map(route);
        self.vtysh(&map).await?;
        if self.said.iter().any(|old| (old.kind, old.number) == (route.kind, route.number)) {
            self.withdraw(route).await?;
        }
        self.said.push(route.clone());
        let command = format!("{} route-map {}", network(route), map_name(route));
        self.network(route.kind, command).await
    }

    async fn withdraw(&mut self, route: &Route) -> Result<()> {
        let (kind, number) = (route.kind, route.number);
        let Some(at) = self.said.iter().position(|old| (old.kind, old.number) == (kind, number))
        else {
            return Ok(());
        };
        let old = self.said.swap_remove(at);
        self.network(kind, format!("no {}", network(&old))).await
    }

    async fn hears(&mut self, route: &Route) -> Result<Option<Attributes>> {
        let prefix = route.prefix();
        let family = family(route.kind).replace(" unicast", "");
        let command = match route.kind {
            Kind::EvpnMacIp | Kind::EvpnMulticast | Kind::EvpnPrefix => {
                format!("show bgp l2vpn evpn route rd {RD} json")
            }
            _ => format!("show bgp {family} {prefix} json"),
        };
        let text = self.vtysh(&[command]).await?;
        // For what is not in a table the answer is a sentence.
        let Ok(table) = serde_json::from_str::<Value>(&text) else { return Ok(None) };
        let octets: Vec<&str> = prefix.split('/').collect();
        let host = octets.first().copied().unwrap_or_default();
        let paths = match route.kind {
            Kind::Ipv4 | Kind::Ipv6 => &table["paths"],
            Kind::Vpnv4 | Kind::Vpnv6 => &table[RD]["paths"],
            Kind::EvpnMacIp => {
                let key = format!("[2]:[0]:[48]:[{}]:[32]:[{host}]", route.mac());
                &table[RD][key]["paths"][0]
            }
            Kind::EvpnMulticast => &table[RD][format!("[3]:[0]:[32]:[{host}]")]["paths"][0],
            Kind::EvpnPrefix => &table[RD][format!("[5]:[0]:[24]:[{host}]")]["paths"][0],
        };
        match paths.as_array().map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([path]) => attributes(route.kind, path).map(Some),
            Some(_) => bail!("several paths: {text}"),
        }
    }

    async fn reset(&mut self) -> Result<()> {
        self.vtysh(&[format!("clear bgp {CONTROL_NODE}")]).await.map(drop)
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

async fn vtysh(namespace: &Namespace, directory: &Path, commands: &[String]) -> Result<String> {
    let directory = directory.display().to_string();
    let mut words = vec!["vtysh", "--vty_socket", &directory];
    words.extend(commands.iter().flat_map(|command| ["-c", command]));
    namespace.run(&words).await
}

/// As its configuration names a family.
const fn family(kind: Kind) -> &'static str {
    match kind {
        Kind::Ipv4 => "ipv4 unicast",
        Kind::Ipv6 => "ipv6 unicast",
        Kind::Vpnv4 => "ipv4 vpn",
        Kind::Vpnv6 => "ipv6 vpn",
        Kind::EvpnMacIp | Kind::EvpnMulticast | Kind::EvpnPrefix => "l2vpn evpn",
    }
}

/// All attributes of a route come from a route map, one for each kind and target.
fn map_name(route: &Route) -> String {
    format!("{}-{}", route.kind.name(), route.target).replace(':', "-")
}

fn route_map(route: &Route) -> Vec<String> {
    let mut commands = vec![
        "configure terminal".to_owned(),
        format!("route-map {} permit 10", map_name(route)),
        format!("set metric {MED}"),
        format!("set community {COMMUNITY}"),
        format!("set large-community {LARGE_COMMUNITY}"),
    ];
    if !route.kind.is_unicast() {
        commands.push(format!("set extcommunity rt {}", route.target));
    }
    commands.push(if route.next_hop.is_ipv6() {
        format!("set ipv6 next-hop global {}", route.next_hop)
    } else {
        format!("set ip next-hop {}", route.next_hop)
    });
    commands
}

fn network(route: &Route) -> String {
    let prefix = route.prefix();
    if route.kind.is_unicast() {
        format!("network {prefix}")
    } else {
        format!("network {prefix} rd {RD} label {}", route.label)
    }
}

fn attributes(kind: Kind, path: &Value) -> Result<Attributes> {
    let mut all = Attributes::default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().map_or(String::new(), |number| number.to_string());
    let hops = path["nexthops"].as_array().context("no next hops")?;
    // An IPv6 route may have a link-local one beside.
    let hop = hops.iter().find(|hop| hop["scope"] != "link-local").context("no next hop")?;
    all.set(Field::NextHop, text(&hop["ip"]));
    all.set(Field::AsPath, text(&path["aspath"]["string"]).replace("Local", ""));
    all.set(Field::Origin, text(&path["origin"]).to_lowercase());
    all.set(Field::Med, number(&path["metric"]));
    all.set(Field::LocalPref, number(&path["locPrf"]));
    let words = |value: &Value| -> Vec<String> {
        text(&value["string"]).split_whitespace().map(str::to_owned).collect()
    };
    all.set_all(Field::Communities, words(&path["community"]));
    all.set_all(Field::LargeCommunities, words(&path["largeCommunity"]));
    let extended = words(&path["extendedCommunity"]);
    let targets = extended.iter().filter_map(|word| word.strip_prefix("RT:").map(str::to_owned));
    all.set_all(Field::Targets, targets);
    all.set(Field::Originator, text(&path["originatorId"]));
    let clusters = path["clusterList"]["list"].as_array().into_iter().flatten();
    all.set(Field::ClusterList, clusters.map(text).collect::<Vec<_>>().join(" "));
    all.set(
        Field::Label,
        match kind {
            Kind::EvpnMulticast => number(&path["pmsi"]["label"]),
            Kind::EvpnMacIp | Kind::EvpnPrefix => text(&path["vni"]),
            _ => number(&path["remoteLabel"]),
        },
    );
    Ok(all)
}
