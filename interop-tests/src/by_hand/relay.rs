//! A session whose messages come from one file and go to another, as lines of hexadecimal.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};

use super::octets::{self, KEEPALIVE, OPEN};

const PORT: u16 = 179;
/// Between two attempts to connect, and two looks for more to send.
const PAUSE: Duration = Duration::from_millis(50);
/// For a hold time of 9 seconds.
const PACE: Duration = Duration::from_secs(3);

/// Keeps a session, and opens it again when it has ended. What it sends is what it was given.
#[derive(Debug, Clone, clap::Args)]
pub struct Relay {
    /// Address to connect from
    #[arg(long)]
    local: IpAddr,
    /// Address to connect to
    #[arg(long)]
    remote: IpAddr,
    /// A line for each message: the OPEN, then what each session is told, also what is added later
    #[arg(long)]
    say: PathBuf,
    /// A line for each message heard, behind the number of the session
    #[arg(long)]
    heard: PathBuf,
}

impl Relay {
    pub async fn run(self) -> Result<()> {
        let mut heard = File::create(&self.heard).await?;
        let mut session = 0_u32;
        let mut pace = interval(PAUSE);
        loop {
            pace.tick().await;
            let socket =
                if self.local.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(self.local, 0))?;
            let connecting = socket.connect(SocketAddr::new(self.remote, PORT));
            let Ok(Ok(stream)) = timeout(Duration::from_secs(2), connecting).await else {
                continue;
            };
            stream.set_nodelay(true)?;
            session += 1;
            let (reader, writer) = stream.into_split();
            let (up, is_up) = watch::channel(false);
            let ended = tokio::select! {
                ended = read(reader, &mut heard, session, &up) => ended,
                ended = write(writer, &self.say, is_up) => ended,
            };
            let why = ended.err().map_or_else(|| "it was closed".to_owned(), |e| format!("{e:#}"));
            heard.write_all(format!("{session} down {why}\n").as_bytes()).await?;
            heard.flush().await?;
        }
    }
}

async fn read(
    mut stream: OwnedReadHalf,
    heard: &mut File,
    session: u32,
    up: &watch::Sender<bool>,
) -> Result<()> {
    let mut header = [0; 19];
    loop {
        stream.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
        let mut body = vec![0; length.checked_sub(header.len()).context("a short message")?];
        stream.read_exact(&mut body).await?;
        match header[18] {
            OPEN => ensure!(!*up.borrow(), "a second OPEN"),
            KEEPALIVE => drop(up.send_replace(true)),
            _ => {}
        }
        let mut line = format!("{session} {:02x}", header[18]);
        for octet in body {
            write!(line, "{octet:02x}")?;
        }
        line.push('\n');
        heard.write_all(line.as_bytes()).await?;
        heard.flush().await?;
    }
}

/// The OPEN and our side of the handshake at once; all the rest when the session is up.
async fn write(
    mut stream: OwnedWriteHalf,
    say: &Path,
    mut is_up: watch::Receiver<bool>,
) -> Result<()> {
    let mut said = 0;
    let Some(open) = next(&fs::read(say).await?, &mut said)? else { bail!("no OPEN to send") };
    stream.write_all(&open).await?;
    stream.write_all(&octets::keepalive()).await?;
    is_up.wait_for(|is_up| *is_up).await?;
    let mut pace = interval(PAUSE);
    let mut alive = Instant::now();
    loop {
        let length = usize::try_from(fs::metadata(say).await?.len())?;
        if length > said {
            let all = fs::read(say).await?;
            while let Some(message) = next(&all, &mut said)? {
                stream.write_all(&message).await?;
            }
        }
        if alive.elapsed() >= PACE {
            stream.write_all(&octets::keepalive()).await?;
            alive = Instant::now();
        }
        pace.tick().await;
    }
}

/// The next whole line from `at` on, as octets.
fn next(all: &[u8], at: &mut usize) -> Result<Option<Vec<u8>>> {
    let rest = all.get(*at..).unwrap_or_default();
    let Some(length) = rest.iter().position(|octet| *octet == b'\n') else { return Ok(None) };
    *at += length + 1;
    from_hex(std::str::from_utf8(&rest[..length])?).map(Some)
}

/// Octets of hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| Ok(u8::from_str_radix(std::str::from_utf8(two)?, 16)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_not_sent() {
        let (all, mut at) = (b"ff00\n0102", 0);
        assert_eq!(next(all, &mut at).expect("digits"), Some(vec![0xff, 0]));
        assert_eq!(next(all, &mut at).expect("nothing"), None);
        assert_eq!(next(b"ff00\n0102\n", &mut at).expect("digits"), Some(vec![1, 2]));
    }
}
