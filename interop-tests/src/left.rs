//! What a run has left behind: nothing, if all is well.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Namespaces, pins, run directories and processes of a run, by the name of its run directory.
pub fn left_of(run_dir: &Path) -> Result<Vec<String>> {
    let name = run_dir.file_name().and_then(|name| name.to_str()).context("a name")?;
    let prefix = name.rsplit_once('-').context("a prefix")?.1;
    let mut left = Vec::new();
    for directory in ["/run/netns", "/sys/fs/bpf/arcus", "/run"] {
        let Ok(items) = fs::read_dir(directory) else { continue };
        let paths = items.flatten().map(|item| item.path().display().to_string());
        left.extend(paths.filter(|path| path.contains(prefix)));
    }
    for process in fs::read_dir("/proc")?.flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(prefix) {
            left.push(line);
        }
    }
    Ok(left)
}

/// An error that names everything that a run has left behind.
pub fn ensure_nothing_left(run_dir: &Path) -> Result<()> {
    let left = left_of(run_dir)?;
    ensure!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    Ok(())
}
