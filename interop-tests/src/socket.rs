//! Questions to a daemon itself, where starting a program for each would take longer than what is measured.

use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// What the daemon behind this socket answers to a GET.
pub async fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    serde_json::from_str(body).with_context(|| answer.clone())
}
