//! A topology that is a text of a test.

use std::{fs, path::PathBuf};

use arcus_config::{ConfigError, Topology, read};
use tempfile::TempDir;

/// Writes a text as the only file of a folder of its own, which goes with the folder.
pub(crate) fn written(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lab.toml");
    fs::write(&path, text).expect("the topology");
    (folder, path)
}

/// Reads a text as a topology.
pub(crate) fn read_text(text: &str) -> Result<Topology, ConfigError> {
    let (_folder, path) = written(text);
    read(&path)
}
