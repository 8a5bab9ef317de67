//! HTTP/1.1, as little as the demo's applications need: one request per connection, bodies of text.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// The most that a request or an answer may have.
const LIMIT: usize = 64 * 1024;

/// Reads a request and gives its path.
pub(super) async fn read_request(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        ensure!(head.len() < LIMIT, "the request is longer than {LIMIT} octets");
        ensure!(stream.read_buf(&mut head).await? > 0, "the request ends too early");
    }
    let text = String::from_utf8_lossy(&head);
    match text.split(' ').collect::<Vec<_>>()[..] {
        ["GET", path, ..] => Ok(path.to_owned()),
        _ => bail!("only GET is understood"),
    }
}

/// Answers and closes.
pub(super) async fn answer(stream: &mut TcpStream, status: &str, body: &str) -> Result<()> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}

/// The body of `http://TO/PATH`. Any status but 200 is an error that shows the body.
///
/// `from` is the address to connect from; `ceiling` covers everything from connect to the last octet.
pub async fn get(
    to: SocketAddr,
    path: &str,
    from: Option<IpAddr>,
    ceiling: Duration,
) -> Result<String> {
    timeout(ceiling, exchange(to, path, from))
        .await
        .with_context(|| format!("{to} did not answer within {ceiling:?}"))?
        .with_context(|| to.to_string())
}

async fn exchange(to: SocketAddr, path: &str, from: Option<IpAddr>) -> Result<String> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let mut stream = socket.connect(to).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut octets = Vec::new();
    while stream.read_buf(&mut octets).await? > 0 {
        ensure!(octets.len() < LIMIT, "the answer is longer than {LIMIT} octets");
    }
    let text = String::from_utf8(octets)?;
    let (head, body) = text.split_once("\r\n\r\n").context("the answer ends too early")?;
    let status = head.split(' ').nth(1).context("no status in the answer")?;
    ensure!(status == "200", "status {status}: {body}");
    Ok(body.trim().to_owned())
}
