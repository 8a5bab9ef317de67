//! The topology that is running: which file, which generation, and what became of the last reload.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arcus_api::v1::TopologyStatus;
use arcus_config::Topology;
use daemon::metrics::now;

/// One generation of the topology file.
#[derive(Debug)]
pub struct Running {
    file: PathBuf,
    topology: Arc<Topology>,
    generation: u64,
    loaded_at: u64,
    last_error: Option<String>,
}

/// Reads a topology in which `cloud` exists.
///
/// # Errors
/// The mistake with its place, or that there is no such cloud.
pub fn read(file: &Path, cloud: &str) -> Result<Arc<Topology>, String> {
    let topology = arcus_config::read(file).map_err(|error| error.to_string())?;
    if !topology.clouds.contains_key(cloud) {
        let clouds: Vec<&str> = topology.clouds.keys().map(String::as_str).collect();
        let file = file.display();
        return Err(format!("{file} has no cloud `{cloud}`; it has {}", clouds.join(", ")));
    }
    Ok(Arc::new(topology))
}

impl Running {
    pub fn new(file: PathBuf, topology: Arc<Topology>) -> Self {
        Self { file, topology, generation: 1, loaded_at: now(), last_error: None }
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Takes the next generation, and says what it changes.
    pub fn accept(&mut self, topology: Arc<Topology>) -> Vec<String> {
        let changes = arcus_config::plan(&self.topology, &topology);
        self.topology = topology;
        self.generation += 1;
        self.loaded_at = now();
        self.last_error = None;
        changes.iter().map(ToString::to_string).collect()
    }

    /// Keeps what is running, and remembers why the next one was refused.
    pub fn refuse(&mut self, error: String) {
        self.last_error = Some(error);
    }

    pub fn status(&self) -> TopologyStatus {
        TopologyStatus {
            file: self.file.display().to_string(),
            generation: self.generation,
            hash: format!("{:016x}", self.topology.fingerprint()),
            loaded_at: self.loaded_at,
            last_error: self.last_error.clone(),
        }
    }
}
