//! ExaBGP: says what it is told through a pipe, and writes down what it hears as JSON.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::{Bed, GiveUp, Namespace, Process};
use tokio::process::Command;

use super::route::{COMMUNITY, LARGE_COMMUNITY, MED, RD};
use super::{
    ASN, Attributes, CONTROL_NODE, Kind, Life, Member, Role, Route, Speaker, exabgp_table,
};

#[derive(Debug)]
pub struct ExaBgp {
    process: Process,
    /// A pipe: what is written here it does.
    commands: PathBuf,
    /// What it has heard, in order.
    heard: PathBuf,
    /// What it says now: a changed label alone it would not send.
    said: Vec<Route>,
}

impl ExaBgp {
    fn configuration(member: &Member, program: &Path) -> Result<String> {
        let Member { role, address, asn, life, .. } = member;
        let mut text = format!(
            "process bed {{ run {}; encoder json; }}\nneighbor {CONTROL_NODE} {{\n router-id {address};\n",
            program.display()
        );
        writeln!(text, " local-address {address}; local-as {asn}; peer-as {ASN};")?;
        let unicast = if role.has_unicast() { "ipv4 unicast; ipv6 unicast; " } else { "" };
        writeln!(text, " family {{ {unicast}ipv4 mpls-vpn; ipv6 mpls-vpn; l2vpn evpn; }}")?;
        let restart = if *life == Life::Graceful { "graceful-restart 60; " } else { "" };
        writeln!(text, " capability {{ {restart}route-refresh; }}")?;
        text += " api { processes [ bed ]; neighbor-changes; receive { parsed; update; } }\n}\n";
        Ok(text)
    }

    fn command(&self, command: &str) -> Result<()> {
        let mut pipe = File::options().write(true).open(&self.commands)?;
        writeln!(pipe, "{command}").with_context(|| command.to_owned())
    }
}

impl Speaker for ExaBgp {
    const NAME: &'static str = "ExaBGP 4.2";
    const SENDS: &'static [Kind] = &Kind::UNICAST_AND_VPN;
    const HEARS: &'static [Kind] = &Kind::ALL;
    const REFLECTS: &'static [Kind] = &[];
    const RESTARTS: &'static [Role] = &Role::ENDS;
    const SPEAKS_RTC: bool = false;

    async fn start(bed: &Bed, namespace: &Namespace, member: &Member) -> Result<Self> {
        let directory = bed.run_dir().join("exabgp");
        // Nothing of an earlier life.
        let _absent = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        let (commands, heard) = (directory.join("commands"), directory.join("heard"));
        let made = Command::new("mkfifo").arg(&commands).status().await?;
        ensure!(made.success(), "mkfifo: {made}");
        File::create(&heard)?;
        let program = directory.join("bed.sh");
        fs::write(&program, api_program(&commands, &heard))?;
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        let file = directory.join("exabgp.conf");
        fs::write(&file, Self::configuration(member, &program)?)?;
        let settings = [
            "env",
            "exabgp.daemon.user=root",
            "exabgp.daemon.daemonize=false",
            "exabgp.api.ack=false",
            "exabgp.api.cli=false",
            "exabgp.tcp.bind=",
            "exabgp",
        ];
        let file = file.display().to_string();
        let args = settings[1..].iter().copied().chain([file.as_str()]);
        let mut process = bed.start(namespace, member.name, settings[0], args)?;
        bed.wait_for("ExaBGP runs its program", Duration::from_secs(20), async || {
            ensure!(process.is_running(), GiveUp("it ended".to_owned()));
            ensure!(!fs::read_to_string(&heard)?.is_empty(), "it has said nothing yet");
            Ok(())
        })
        .await?;
        Ok(Self { process, commands, heard, said: Vec::new() })
    }

    async fn tell(&mut self, route: &Route) -> Result<()> {
        let is_it = |old: &&Route| (old.kind, old.number) == (route.kind, route.number);
        if let Some(old) = self.said.iter().find(is_it).cloned() {
            self.withdraw(&old).await?;
        }
        self.said.push(route.clone());
        self.command(&format!("announce route {}", words(route)))
    }

    async fn withdraw(&mut self, route: &Route) -> Result<()> {
        self.said.retain(|old| (old.kind, old.number) != (route.kind, route.number));
        self.command(&format!("withdraw route {}", words(route)))
    }

    async fn hears(&mut self, route: &Route) -> Result<Option<Attributes>> {
        exabgp_table::look_up(&fs::read_to_string(&self.heard)?, route)
    }

    async fn reset(&mut self) -> Result<()> {
        self.command(&format!("neighbor {CONTROL_NODE} teardown 4"))
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Between ExaBGP and two files. The pipe is held open for writing too, or its first writer would end it.
fn api_program(commands: &Path, heard: &Path) -> String {
    format!(
        "#!/bin/bash\nexec 3<&0 4<>{}\ncat <&3 >>{} &\n\
         while read -r line <&4; do echo \"$line\"; done\n",
        commands.display(),
        heard.display()
    )
}

fn words(route: &Route) -> String {
    let Route { next_hop, label, target, .. } = route;
    let overlay = if route.kind.is_unicast() {
        String::new()
    } else {
        format!(" rd {RD} label [ {label} ] extended-community [ target:{target} ]")
    };
    format!(
        "{} next-hop {next_hop}{overlay} origin igp med {MED} community [ {COMMUNITY} ] \
         large-community [ {LARGE_COMMUNITY} ]",
        route.prefix()
    )
}
