//! A peer in a namespace, by hand.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use testbed::{Bed, Namespace, Process};

use super::Heard;
use super::octets::{OPEN, Open};
use super::relay::from_hex;

/// One session after the other, and what was heard in each.
#[derive(Debug)]
pub struct ByHand {
    _process: Process,
    say: File,
    heard: PathBuf,
    /// Octets of that file that were read.
    read: u64,
    /// What was heard in each session, the latest one last.
    pub sessions: Vec<Session>,
}

/// What was heard in one session.
#[derive(Debug, Default)]
pub struct Session {
    /// The body of the other side's OPEN; empty until it has come.
    pub open: Vec<u8>,
    pub heard: Heard,
    /// Why it has ended.
    pub ended: Option<String>,
}

impl ByHand {
    /// Starts one that connects from `local` to `remote`. `program` has a [`super::Relay`] as its
    /// subcommand `relay`.
    pub fn start(
        bed: &Bed,
        namespace: &Namespace,
        program: &Path,
        (name, local, remote): (&str, IpAddr, IpAddr),
        open: &Open,
    ) -> Result<Self> {
        let file = |what: &str| bed.run_dir().join(format!("{name}.{what}"));
        let (path, heard) = (file("say"), file("heard"));
        let say = File::options().create(true).append(true).open(&path)?;
        File::create(&heard)?;
        let (local, remote) = (local.to_string(), remote.to_string());
        let text = |path: &Path| path.display().to_string();
        let files = (text(&path), text(&heard));
        let args = ["relay", "--local", &local, "--remote", &remote];
        let args = args.into_iter().chain(["--say", &files.0, "--heard", &files.1]);
        let mut peer = {
            // Its first line, before it looks.
            let mut first = say.try_clone()?;
            first.write_all(line(&open.octets())?.as_bytes())?;
            let process = bed.start(namespace, name, program, args)?;
            Self { _process: process, say, heard, read: 0, sessions: Vec::new() }
        };
        peer.listen()?;
        Ok(peer)
    }

    /// Tells these messages, in this session and in all later ones.
    pub fn say(&mut self, messages: &[Vec<u8>]) -> Result<()> {
        let lines = messages.iter().map(|message| line(message)).collect::<Result<String>>()?;
        self.say.write_all(lines.as_bytes()).context("it is told nothing")
    }

    /// Takes what has come since the last time; the latest session, if there ever was one.
    pub fn listen(&mut self) -> Result<Option<&Session>> {
        let mut file = File::open(&self.heard)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may be on its way still.
        let complete = text.rfind('\n').map_or("", |end| &text[..=end]);
        self.read += u64::try_from(complete.len())?;
        for line in complete.lines() {
            self.take(line).with_context(|| line.to_owned())?;
        }
        Ok(self.sessions.last())
    }

    /// The latest session, as far as it was listened to.
    pub fn now(&mut self) -> Result<&Session> {
        self.listen()?.context("no session yet")
    }

    fn take(&mut self, line: &str) -> Result<()> {
        let (number, what) = line.split_once(' ').context("no number")?;
        let number: usize = number.parse()?;
        while self.sessions.len() < number {
            self.sessions.push(Session::default());
        }
        let session = self.sessions.last_mut().context("numbered from 1")?;
        if let Some(why) = what.strip_prefix("down ") {
            session.ended = Some(why.to_owned());
            return Ok(());
        }
        let octets = from_hex(what)?;
        let (kind, body) = octets.split_first().context("no type")?;
        if *kind == OPEN {
            session.open = body.to_vec();
        }
        session.heard.message(*kind, body)
    }
}

fn line(message: &[u8]) -> Result<String> {
    let mut line = String::with_capacity(2 * message.len() + 1);
    for octet in message {
        write!(line, "{octet:02x}")?;
    }
    line.push('\n');
    Ok(line)
}

/// The most that a process ever had in memory, in octets.
pub fn most_memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.split_whitespace().next().context("a number")?.parse::<u64>()? * 1024)
}
