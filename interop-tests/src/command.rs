//! The command line program.

use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// What it prints for the daemon behind this socket.
pub(crate) async fn run_arcus(program: &Path, socket: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .arg("--socket")
        .arg(socket)
        .args(words)
        .env("NO_COLOR", "1")
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| program.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("arcus {}: {}{}", words.join(" "), text.trim(), error.trim());
    }
    Ok(text)
}
