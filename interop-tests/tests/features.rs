//! What sessions with other people's daemons agree on beyond plain routes: ADD-PATH both ways, labeled unicast,
//! roles, keys of TCP-MD5, extended messages and next hops, enhanced refresh, long-lived restart, IPv6 as
//! transport; and a route with more attributes than anybody needs, compared in each daemon's own output.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arcus_api::v1::{Neighbor, SessionState};
use interop_tests::Binaries;
use serde_json::Value;
use testbed::{Bed, Namespace, Process};

const CEILING: Duration = Duration::from_mins(1);
const KEY: &str = "sesame";
/// What all of them announce: it has five paths.
const COMMON: &str = "10.200.0.0/24";
/// ExaBGP's, with all attributes.
const RICH: &str = "10.205.0.0/24";
const PATH_LENGTH: usize = 300;
const COMMUNITIES: usize = 60;

/// The transport of all sessions of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Ipv4,
    Ipv6,
}

impl Transport {
    /// 0 is ours.
    fn address(self, number: u32) -> String {
        match self {
            Self::Ipv4 => format!("10.0.9.{}", 10 + number),
            Self::Ipv6 => format!("2001:db8::{}", 10 + number),
        }
    }
}

/// In the order of their numbers; the last two are BIRD with another key and without one.
const PEERS: [&str; 7] = ["frr", "bird", "gobgp", "openbgpd", "exabgp", "wrong-key", "no-key"];

/// What a session over IPv4 agrees on, by the daemon's number, as `/v1` names it.
const AGREED: [&[&str]; 5] = [
    &[
        "enhanced-route-refresh",
        "extended-messages",
        "graceful-restart",
        "long-lived-graceful-restart",
        "role",
        "add-path-receive",
        "add-path-send",
    ],
    &[
        "enhanced-route-refresh",
        "extended-messages",
        "graceful-restart",
        "long-lived-graceful-restart",
        "role",
        "add-path-receive",
        "add-path-send",
    ],
    &[
        "extended-next-hop",
        "graceful-restart",
        "long-lived-graceful-restart",
        "add-path-receive",
        "add-path-send",
    ],
    &["enhanced-route-refresh", "role", "add-path-receive", "add-path-send"],
    &[
        "enhanced-route-refresh",
        "extended-messages",
        "extended-next-hop",
        "graceful-restart",
        "add-path-receive",
        "add-path-send",
    ],
];

struct Lab {
    bed: Bed,
    namespace: Namespace,
    binaries: Binaries,
    processes: Vec<Process>,
}

impl Lab {
    /// One namespace, an address of the loopback for each.
    async fn raise(transport: Transport) -> Result<Self> {
        let bed = Bed::new("interop")?;
        let binaries = Binaries::find()?;
        let namespace = bed.namespace("all").await?;
        namespace.run(&["sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=0"]).await?;
        for number in 0..=7 {
            let (address, bits) = match transport {
                Transport::Ipv4 => (Transport::Ipv4.address(number), 32),
                Transport::Ipv6 => (Transport::Ipv6.address(number), 128),
            };
            namespace.ip(&format!("addr add {address}/{bits} dev lo")).await?;
        }
        let mut lab = Self { bed, namespace, binaries, processes: Vec::new() };
        let file = |name: &str, text: &str| secret(&lab.bed.run_dir().join(name), text);
        let key = file("key", &format!("{KEY}\n"))?;
        let topology = file("topology.toml", &topology(transport, &key)?)?;
        let frr = file("frr.conf", &frr(transport))?;
        let gobgp = file("gobgp.toml", &gobgp(transport))?;
        let socket = lab.bed.run_dir().join("openbgpd.sock").display().to_string();
        let openbgpd = file("openbgpd.conf", &openbgpd(transport, &socket))?;
        let exabgp = file("exabgp.conf", &exabgp(transport))?;
        let mut birds = Vec::new();
        for (number, key) in [(2, Some(KEY)), (6, Some("another")), (7, None)] {
            let file = file(&format!("bird{number}.conf"), &bird(transport, number, key))?;
            birds.push((number, file));
        }
        let dir = lab.bed.run_dir().display().to_string();
        fs::create_dir_all("/run/openbgpd")?;
        let bgpd = lab.binaries.bgpd.display().to_string();
        let frr_pid = format!("{dir}/frr.pid");
        let mut commands: Vec<(&str, Vec<&str>)> = vec![
            ("ctl-1", vec![&bgpd, "--topology", &topology, "--node", "ctl-1", "--run-dir", &dir]),
            ("gobgp", vec!["gobgpd", "-f", &gobgp, "--api-hosts", "127.0.0.1:50051"]),
            ("openbgpd", vec!["/usr/sbin/bgpd", "-d", "-f", &openbgpd]),
        ];
        let mine = transport.address(1);
        commands.push((
            "frr",
            vec![
                "/usr/lib/frr/bgpd",
                "-Z",
                "-S",
                "-f",
                &frr,
                "-i",
                &frr_pid,
                "--vty_socket",
                &dir,
                "-P",
                "0",
                "-l",
                &mine,
            ],
        ));
        commands.push((
            "exabgp",
            vec![
                "env",
                "exabgp.daemon.user=root",
                "exabgp.daemon.daemonize=false",
                "exabgp.api.cli=false",
                "exabgp.tcp.bind=",
                "exabgp",
                &exabgp,
            ],
        ));
        let sockets: Vec<_> =
            birds.iter().map(|bird| format!("{dir}/bird{}.ctl", bird.0)).collect();
        for ((_, file), socket) in birds.iter().zip(&sockets) {
            commands.push(("bird", vec!["bird", "-f", "-c", file, "-s", socket]));
        }
        for (name, words) in commands {
            let process = lab.bed.start(&lab.namespace, name, words[0], &words[1..])?;
            lab.processes.push(process);
        }
        Ok(lab)
    }

    async fn run(&self, words: &str) -> Result<String> {
        self.namespace.run(&words.split_whitespace().collect::<Vec<_>>()).await
    }

    async fn neighbors(&self) -> Result<BTreeMap<String, Neighbor>> {
        let socket = arcus_api::socket::path(self.bed.run_dir(), "ctl-1");
        let arcus = self.binaries.arcus.display();
        let text =
            self.run(&format!("{arcus} --socket {} neighbors -o json", socket.display())).await?;
        let all: Vec<Neighbor> = serde_json::from_str(&text)?;
        Ok(all.into_iter().filter_map(|one| Some((one.name.clone()?, one))).collect())
    }

    /// How often the kernel has dropped a segment for its signature.
    async fn dropped(&self, counter: &str) -> Result<u64> {
        let text = self.run(&format!("nstat -asz {counter}")).await?;
        let line =
            text.lines().find(|line| line.starts_with(counter)).context("no such counter")?;
        Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
    }

    async fn vtysh(&self, show: &str) -> Result<Value> {
        let dir = self.bed.run_dir().display().to_string();
        let text = self.namespace.run(&["vtysh", "--vty_socket", &dir, "-c", show]).await?;
        Ok(serde_json::from_str(&text)?)
    }

    async fn bird(&self, show: &str) -> Result<String> {
        self.run(&format!("birdc -s {}/bird2.ctl {show}", self.bed.run_dir().display())).await
    }

    /// The sessions with the right key are up, the others are not, and the kernel has seen why.
    async fn keys_decide(&self) -> Result<()> {
        self.bed
            .wait_for("who has the key is up", CEILING, async || {
                let all = self.neighbors().await?;
                for (name, neighbor) in &all {
                    let want = !name.ends_with("key");
                    let is_up = neighbor.state == SessionState::Established;
                    ensure!(is_up == want, "{name}: {:?}", neighbor.state);
                }
                ensure!(all.len() == PEERS.len(), "{} neighbors", all.len());
                ensure!(self.dropped("TcpExtTCPMD5Failure").await? > 0, "no wrong signature");
                ensure!(self.dropped("TcpExtTCPMD5NotFound").await? > 0, "no missing signature");
                Ok(())
            })
            .await
    }

    /// All paths of the common route, and the rich one as it was told, in each daemon's output.
    async fn routes_are_heard(&self, transport: Transport) -> Result<()> {
        self.bed
            .wait_for("each daemon has all", CEILING, async || {
                let frr = self.vtysh(&format!("show bgp ipv4 unicast {RICH} json")).await?;
                let path = &frr["paths"][0];
                let length = path["aspath"]["length"].as_u64();
                ensure!(length == Some(PATH_LENGTH as u64 + 1), "FRR: AS path of {length:?}");
                for list in ["community", "largeCommunity"] {
                    let text = path[list]["string"].as_str().unwrap_or_default();
                    let count = text.split_whitespace().count();
                    ensure!(count == COMMUNITIES, "FRR: {list} of {count}");
                }
                let bird = self.bird(&format!("show route all {RICH}")).await?;
                ensure!(count_in_bird(&bird, "BGP.community") == COMMUNITIES, "BIRD: {bird}");
                ensure!(count_in_bird(&bird, "BGP.large_community") == COMMUNITIES, "BIRD: {bird}");
                ensure!(bird.contains("0x8071fc58"), "BIRD: {bird}");
                let text = self.run(&format!("gobgp global rib -a ipv4 {RICH} -j")).await?;
                ensure!(text.matches("\"type\":32").count() == 1, "GoBGP: {text}");
                let text = self.run(&format!("gobgp global rib -a ipv4 {COMMON} -j")).await?;
                let paths = text.matches("\"neighbor-ip\":").count();
                if transport == Transport::Ipv4 {
                    ensure!(paths >= 4, "GoBGP has {paths} paths");
                    let bird = self.bird(&format!("show route all {COMMON}")).await?;
                    let paths = bird.matches("BGP.as_path").count();
                    ensure!(paths >= 3, "BIRD has {paths} paths");
                }
                Ok(())
            })
            .await
    }
}

#[tokio::test]
#[ignore = "needs root and other daemons: make test-interop"]
async fn everyone_elses_daemons_agree_on_what_both_can() -> Result<()> {
    let lab = Lab::raise(Transport::Ipv4).await?;
    lab.keys_decide().await?;
    let all = lab.neighbors().await?;
    for (name, agreed) in PEERS.iter().zip(AGREED) {
        let found = &all[*name].capabilities;
        for one in agreed {
            ensure!(found.iter().any(|found| found == one), "{name}: no {one} in {found:?}");
        }
    }
    for prefix in ["10.203.0.0/24", COMMON] {
        lab.run(&format!("gobgp global rib -a ipv4 add {prefix} nexthop 10.0.9.13")).await?;
    }
    lab.run("gobgp global rib -a ipv4-mpls add 10.213.0.0/24 213 nexthop 10.0.9.13").await?;
    lab.routes_are_heard(Transport::Ipv4).await?;
    lab.bed
        .wait_for("labels cross", CEILING, async || {
            let text = lab.run("gobgp global rib -a ipv4-mpls").await?;
            ensure!(text.contains("[215]"), "{text}");
            let text = lab.bird("show route table lab4 all").await?;
            ensure!(text.contains("10.213.0.0/24") && text.contains("10.215.0.0/24"), "{text}");
            Ok(())
        })
        .await?;
    let otc = lab.bird(&format!("show route all {RICH}")).await?;
    ensure!(otc.contains("BGP.otc: 64512"), "a customer is told who it has it from: {otc}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and other daemons: make test-interop"]
async fn everyone_elses_daemons_carry_ipv4_over_ipv6() -> Result<()> {
    let lab = Lab::raise(Transport::Ipv6).await?;
    lab.keys_decide().await?;
    lab.routes_are_heard(Transport::Ipv6).await?;
    let all = lab.neighbors().await?;
    for name in ["frr", "bird", "gobgp", "exabgp"] {
        let found = &all[name].capabilities;
        ensure!(found.iter().any(|one| one == "extended-next-hop"), "{name}: {found:?}");
    }
    let frr = lab.vtysh(&format!("show bgp ipv4 unicast {RICH} json")).await?;
    let hop = &frr["paths"][0]["nexthops"][0]["ip"];
    // Ours: FRR is of another AS, and shares no network with who announces it.
    ensure!(*hop == Transport::Ipv6.address(0).as_str(), "FRR: {hop}");
    Ok(())
}

/// How many communities a list has, as BIRD shows it: a long one goes on in lines of its own.
fn count_in_bird(text: &str, name: &str) -> usize {
    let mut lines = text.lines().skip_while(|line| !line.contains(name));
    let first = lines.next().into_iter();
    let rest = lines.take_while(|line| line.trim_start().starts_with('('));
    first.chain(rest).map(|line| line.matches('(').count()).sum()
}

/// A file that nobody else may read; its path.
fn secret(path: &Path, text: &str) -> Result<String> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(path.display().to_string())
}

fn topology(transport: Transport, key: &str) -> Result<String> {
    let mut text = format!(
        "[federation]\nname = \"interop\"\n[cloud.lab]\nasn = 64512\n[cloud.lab.control-node.ctl-1]\n\
         address = \"{}\"\nrouter-id = \"10.0.0.11\"\n[template.all]\nhold-time = 9\n\
         add-path-send = 8\nadd-path-receive = true\nlong-lived-time = 100\npassword-file = \"{key}\"\n",
        transport.address(0)
    );
    for (name, number) in PEERS.iter().zip(1..) {
        let address = transport.address(number);
        writeln!(text, "[neighbor.{name}]\nclouds = [\"lab\"]\naddress = \"{address}\"")?;
        writeln!(text, "asn = {}\ntemplate = \"all\"", 65200 + number)?;
        // OpenBGPD 7.7 takes ADD-PATH as not said at all when it names a family that it does not know.
        let has_labels = *name != "openbgpd" && transport == Transport::Ipv4;
        let labeled = if has_labels { ", \"ipv4-labeled\"" } else { "" };
        writeln!(text, "families = [\"ipv4\", \"ipv6\"{labeled}]")?;
        if !matches!(*name, "gobgp" | "exabgp") && transport == Transport::Ipv4 {
            writeln!(text, "role = \"provider\"")?;
        }
    }
    Ok(text)
}

fn frr(transport: Transport) -> String {
    let (ours, mine) = (transport.address(0), transport.address(1));
    let role = match transport {
        Transport::Ipv4 => format!(" neighbor {ours} local-role customer\n"),
        Transport::Ipv6 => format!(" neighbor {ours} capability extended-nexthop\n"),
    };
    format!(
        "hostname frr\nrouter bgp 65201\n bgp router-id 10.0.9.11\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n no bgp network import-check\n bgp graceful-restart\n \
         bgp long-lived-graceful-restart stale-time 100\n neighbor {ours} remote-as 64512\n \
         neighbor {ours} update-source {mine}\n neighbor {ours} ebgp-multihop 255\n \
         neighbor {ours} password {KEY}\n neighbor {ours} timers connect 1\n{role} \
         address-family ipv4 unicast\n  network 10.201.0.0/24\n  network {COMMON}\n  \
         neighbor {ours} activate\n  neighbor {ours} addpath-tx-all-paths\n exit-address-family\n \
         address-family ipv6 unicast\n  neighbor {ours} activate\n exit-address-family\n"
    )
}

fn bird(transport: Transport, number: u32, key: Option<&str>) -> String {
    let (ours, mine) = (transport.address(0), transport.address(number));
    let password = key.map_or(String::new(), |key| format!("password \"{key}\";"));
    let more = match transport {
        Transport::Ipv4 => {
            " local role customer;\n ipv4 { import all; export where source = RTS_STATIC; add paths on; };\n \
             ipv4 mpls { table lab4; import all; export where source = RTS_STATIC; add paths on; };\n"
        }
        Transport::Ipv6 => {
            " ipv4 { import all; export where source = RTS_STATIC; extended next hop on; next hop self; };\n"
        }
    };
    format!(
        "log stderr all;\nrouter id 10.0.9.{};\nprotocol device {{}}\nprotocol direct {{ ipv4; ipv6; }}\n\
         ipv4 table lab4;\nprotocol static {{ ipv4; route 10.202.0.0/24 via {ours}; route {COMMON} via {ours}; }}\n\
         protocol bgp arcus {{\n local {mine} as {};\n neighbor {ours} as 64512;\n multihop;\n \
         strict bind on;\n {password}\n enable extended messages on;\n graceful restart on;\n \
         long lived graceful restart on;\n long lived stale time 100;\n connect retry time 1;\n \
         error wait time 1, 2;\n{more} ipv6 {{ import all; export none; }};\n}}\n",
        10 + number,
        65200 + number
    )
}

fn gobgp(transport: Transport) -> String {
    let (ours, mine) = (transport.address(0), transport.address(3));
    let mut text = format!(
        "[global.config]\nas = 65203\nrouter-id = \"10.0.9.13\"\nlocal-address-list = [\"{mine}\"]\n\
         [[neighbors]]\n[neighbors.config]\nneighbor-address = \"{ours}\"\npeer-as = 64512\n\
         auth-password = \"{KEY}\"\n[neighbors.transport.config]\nlocal-address = \"{mine}\"\n\
         [neighbors.timers.config]\nconnect-retry = 1\n[neighbors.ebgp-multihop.config]\nenabled = true\n\
         multihop-ttl = 255\n[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n\
         long-lived-enabled = true\n"
    );
    let labeled = (transport == Transport::Ipv4).then_some("ipv4-labelled-unicast");
    for family in ["ipv4-unicast", "ipv6-unicast"].into_iter().chain(labeled) {
        // Writing to a string does not fail.
        let _ok = write!(
            text,
            "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n\
             [neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n\
             [neighbors.afi-safis.long-lived-graceful-restart.config]\nenabled = true\nrestart-time = 100\n\
             [neighbors.afi-safis.add-paths.config]\nreceive = true\nsend-max = 8\n"
        );
    }
    text
}

fn openbgpd(transport: Transport, socket: &str) -> String {
    let (ours, mine) = (transport.address(0), transport.address(4));
    let policy = if transport == Transport::Ipv4 { " announce policy customer\n" } else { "" };
    format!(
        "AS 65204\nrouter-id 10.0.9.14\nfib-update no\nsocket \"{socket}\"\nlisten on {mine}\n\
         network 10.204.0.0/24\nnetwork {COMMON}\nneighbor {ours} {{\n remote-as 64512\n \
         local-address {mine}\n multihop 255\n tcp md5sig password \"{KEY}\"\n{policy} \
         announce IPv4 unicast\n announce IPv6 unicast\n announce enhanced refresh yes\n \
         announce add-path recv yes\n announce add-path send all\n}}\nallow from any\nallow to any\n"
    )
}

fn exabgp(transport: Transport) -> String {
    let (ours, mine) = (transport.address(0), transport.address(5));
    let list = |one: &dyn Fn(usize) -> String, count: usize| {
        (1..=count).map(one).collect::<Vec<_>>().join(" ")
    };
    let path = list(&|n| (66_000 + n).to_string(), PATH_LENGTH - 1);
    let communities = list(&|n| format!("65205:{n}"), COMMUNITIES);
    let large = list(&|n| format!("65205:1:{n}"), COMMUNITIES);
    let labeled = match transport {
        Transport::Ipv4 => {
            ("ipv4 nlri-mpls;", format!("route 10.215.0.0/24 next-hop {mine} label [ 215 ];"))
        }
        Transport::Ipv6 => ("", String::new()),
    };
    format!(
        "neighbor {ours} {{\n router-id 10.0.9.15; local-address {mine}; local-as 65205; peer-as 64512;\n \
         md5-password \"{KEY}\";\n family {{ ipv4 unicast; ipv6 unicast; {} }}\n capability {{ route-refresh; \
         graceful-restart 60; add-path send/receive; extended-message; nexthop; }}\n \
         nexthop {{ ipv4 unicast ipv6; }}\n static {{\n route {COMMON} next-hop {mine};\n {}\n \
         route {RICH} next-hop {mine} as-path [ 65205 {path} ] community [ {communities} ] \
         large-community [ {large} ] extended-community [ 0x8071fc5800000005 ];\n }}\n}}\n",
        labeled.0, labeled.1
    )
}
