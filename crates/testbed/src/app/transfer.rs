//! A TCP transfer of which every octet is checked.
//!
//! The octets are a counter: a lost, doubled or moved piece shows at once. The sink answers with the number of
//! octets that it took, when the source has ended its half of the connection.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, interval, timeout};

/// Octets written at once; a multiple of 8.
const PIECE: usize = 16 * 1024;

/// Receives transfers until the process ends.
#[derive(Debug, Clone, clap::Args)]
pub struct Sink {
    /// Address and port to listen on
    #[arg(long)]
    listen: SocketAddr,
}

impl Sink {
    pub async fn run(self) -> Result<()> {
        let listener = TcpListener::bind(self.listen).await?;
        writeln!(std::io::stdout(), "listening")?;
        serve(listener).await
    }
}

async fn serve(listener: TcpListener) -> Result<()> {
    loop {
        let (mut stream, from) = listener.accept().await?;
        tokio::spawn(async move {
            let answer = match take(&mut stream).await {
                Ok(octets) => format!("took {octets}\n"),
                Err(why) => format!("refused: {why:#}\n"),
            };
            // It may be the connection itself that is broken; then the log is all there is.
            let _sent = stream.write_all(answer.as_bytes()).await;
            let _logged = write!(std::io::stdout(), "{from}: {answer}");
        });
    }
}

/// Reads and checks until the end; the number of octets. It goes on after a wrong octet, because to close
/// with octets unread would reset the connection, and the source would not hear what was wrong.
async fn take(stream: &mut TcpStream) -> Result<u64> {
    let mut buffer = vec![0; PIECE];
    let mut taken = 0_u64;
    let mut first_wrong = None;
    loop {
        let count = stream.read(&mut buffer).await.with_context(|| format!("after {taken}"))?;
        if count == 0 {
            return first_wrong.map_or(Ok(taken), |at| bail!("octet {at} is wrong"));
        }
        for octet in &buffer[..count] {
            if *octet != octet_at(taken) {
                first_wrong.get_or_insert(taken);
            }
            taken += 1;
        }
    }
}

/// The octet at a place of the transfer: the big-endian counter of its group of eight.
fn octet_at(place: u64) -> u8 {
    (place / 8).to_be_bytes()[(place % 8) as usize]
}

/// Sends for a while at a steady pace and prints how many octets arrived; fails if that is not all.
#[derive(Debug, Clone, clap::Args)]
pub struct Source {
    /// Address and port of the sink
    to: SocketAddr,
    /// Seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Address to connect from
    #[arg(long)]
    from: Option<IpAddr>,
    /// Milliseconds between pieces of 16 KiB
    #[arg(long, default_value_t = 5)]
    pace: u64,
}

impl Source {
    pub async fn run(self) -> Result<()> {
        let socket = if self.to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let mut stream = timeout(Duration::from_secs(5), socket.connect(self.to)).await??;
        writeln!(std::io::stdout(), "connected")?;
        let sent = self.send(&mut stream).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await??;
        writeln!(std::io::stdout(), "sent {sent}, the sink {}", answer.trim())?;
        ensure!(answer.trim() == format!("took {sent}"), "sent {sent}, the sink {answer}");
        Ok(())
    }

    async fn send(&self, stream: &mut TcpStream) -> Result<u64> {
        let until = Instant::now() + Duration::from_secs(self.seconds);
        let mut pace = interval(Duration::from_millis(self.pace.max(1)));
        let mut piece = vec![0; PIECE];
        let mut sent = 0_u64;
        while Instant::now() < until {
            pace.tick().await;
            for octet in &mut piece {
                *octet = octet_at(sent);
                sent += 1;
            }
            stream.write_all(&piece).await.with_context(|| format!("after {sent}"))?;
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sink_says(octets: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(serve(listener));
        let mut stream = TcpStream::connect(address).await.expect("the sink");
        stream.write_all(octets).await.expect("sent");
        stream.shutdown().await.expect("ended");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    #[tokio::test]
    async fn a_whole_transfer_is_taken_and_a_lost_piece_is_seen() {
        let whole: Vec<u8> = (0..100_000).map(octet_at).collect();
        assert_eq!(sink_says(&whole).await, "took 100000\n");
        let holed: Vec<u8> =
            (0..100_000).filter(|p| !(5000..5008).contains(p)).map(octet_at).collect();
        assert_eq!(sink_says(&holed).await, "refused: octet 5007 is wrong\n");
    }
}
