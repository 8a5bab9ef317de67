//! Daemons of FRR that work together: zebra, bfdd, bgpd of one router.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{Bed, GiveUp, Namespace, Process};

/// Where Debian and Ubuntu have them, then Fedora.
const DIRECTORIES: [&str; 2] = ["/usr/lib/frr", "/usr/libexec/frr"];

const CEILING: Duration = Duration::from_secs(20);

/// One router of several daemons in one namespace. zebra is always among them: the others learn of
/// interfaces from it, and it puts what they find into the kernel of the namespace.
#[derive(Debug)]
pub struct FrrRouter {
    namespace: Namespace,
    directory: PathBuf,
    daemons: Vec<(String, Process)>,
}

impl FrrRouter {
    /// Starts zebra, then each of `daemons` (its name, as `bfdd`, and its configuration). zebra is named
    /// there when it has a configuration.
    pub async fn start(
        bed: &Bed,
        namespace: &Namespace,
        name: &str,
        daemons: &[(&str, &str)],
    ) -> Result<Self> {
        let directory = bed.run_dir().join(name);
        fs::create_dir(&directory)?;
        // The daemons give up being root before they make their sockets.
        namespace.run(&["chown", "frr:frr", &directory.display().to_string()]).await?;
        let mut router = Self { namespace: namespace.clone(), directory, daemons: Vec::new() };
        let (zebra, others): (Vec<_>, Vec<_>) =
            daemons.iter().partition(|(daemon, _)| *daemon == "zebra");
        let configuration = zebra.first().map_or("", |(_, configuration)| configuration);
        router.add(bed, name, "zebra", configuration).await?;
        for (daemon, configuration) in others {
            router.add(bed, name, daemon, configuration).await?;
        }
        Ok(router)
    }

    async fn add(
        &mut self,
        bed: &Bed,
        name: &str,
        daemon: &str,
        configuration: &str,
    ) -> Result<()> {
        let programs = DIRECTORIES.map(|directory| Path::new(directory).join(daemon));
        let program = programs.iter().find(|path| path.exists());
        let program = program.with_context(|| format!("FRR's {daemon} is not installed"))?;
        let file = |end: &str| self.directory.join(format!("{daemon}.{end}")).display().to_string();
        let (conf, pid) = (file("conf"), file("pid"));
        fs::write(&conf, format!("hostname {name}\nlog stdout informational\n{configuration}"))?;
        let socket = self.directory.display().to_string();
        let zebra = self.directory.join("zserv.api").display().to_string();
        let mut args =
            vec!["-f", &conf, "-i", &pid, "--vty_socket", &socket, "-P", "0", "-z", &zebra];
        let control = self.directory.join("bfdd.sock").display().to_string();
        if daemon == "bfdd" {
            args.extend(["--bfdctl", &control]);
        }
        let mut process = bed.start(&self.namespace, &format!("{name}-{daemon}"), program, args)?;
        bed.wait_for(&format!("FRR's {daemon} answers"), CEILING, async || {
            ensure!(process.is_running(), GiveUp("it ended".to_owned()));
            self.tell(&["-d", daemon, "-c", "show version"]).await.map(drop)
        })
        .await?;
        self.daemons.push((daemon.to_owned(), process));
        Ok(())
    }

    /// Gives commands one after the other and returns what was said.
    pub async fn vtysh(&self, commands: &[&str]) -> Result<String> {
        let words: Vec<_> = commands.iter().flat_map(|command| ["-c", command]).collect();
        self.tell(&words).await
    }

    /// What a `show .. json` command says.
    pub async fn json(&self, command: &str) -> Result<Value> {
        let text = self.vtysh(&[command]).await?;
        serde_json::from_str(&text).with_context(|| format!("{command}: {text}"))
    }

    /// The socket of a daemon that takes commands.
    pub fn socket(&self, daemon: &str) -> PathBuf {
        self.directory.join(format!("{daemon}.vty"))
    }

    /// The process of a daemon.
    pub fn daemon(&mut self, name: &str) -> Result<&mut Process> {
        let found = self.daemons.iter_mut().find(|(daemon, _)| daemon == name);
        found.map(|(_, process)| process).with_context(|| format!("no {name} was started"))
    }

    async fn tell(&self, words: &[&str]) -> Result<String> {
        let directory = self.directory.display().to_string();
        let vtysh = ["vtysh", "--vty_socket", &directory];
        self.namespace.run(&[&vtysh, words].concat()).await
    }
}
