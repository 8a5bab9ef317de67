//! Where the programs under test are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Names a directory to take the programs from, instead of beside the running one.
const DIRECTORY_ENV: &str = "ARCUS_BIN_DIR";

/// The programs of one build.
#[derive(Debug, Clone)]
pub struct Binaries {
    pub bgpd: PathBuf,
    pub agent: PathBuf,
    pub arcus: PathBuf,
    pub demo: PathBuf,
}

impl Binaries {
    /// Looks in `$ARCUS_BIN_DIR`, else beside this program, where cargo puts all of a workspace.
    pub fn find() -> Result<Self> {
        let directory = Self::directory()?;
        let find = |name: &str| {
            let path = directory.join(name);
            ensure!(
                path.is_file(),
                "{} is missing: run `make build`, or say where it is with {DIRECTORY_ENV}",
                path.display()
            );
            Ok(path)
        };
        Ok(Self {
            bgpd: find("arcus-bgpd")?,
            agent: find("arcus-vrouter-agent")?,
            arcus: find("arcus")?,
            demo: find("arcus-demo")?,
        })
    }

    /// Where [`Binaries::find`] looks; a program of the build may be missing there.
    pub fn directory() -> Result<PathBuf> {
        match env::var_os(DIRECTORY_ENV) {
            Some(directory) => Ok(directory.into()),
            None => beside(&env::current_exe()?),
        }
    }
}

/// `target/debug` for `target/debug/arcus-demo`, and for a test in `target/debug/deps`.
fn beside(program: &Path) -> Result<PathBuf> {
    let directory = program.parent().context("a program is in a directory")?;
    let is_test = directory.file_name().is_some_and(|name| name == "deps");
    let directory = if is_test { directory.parent() } else { Some(directory) };
    Ok(directory.context("a target directory")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_finds_what_the_build_made() {
        let test = Path::new("/a/target/debug/deps/demo-0123");
        assert_eq!(beside(test).expect("a directory"), Path::new("/a/target/debug"));
        let demo = Path::new("/a/target/debug/arcus-demo");
        assert_eq!(beside(demo).expect("a directory"), Path::new("/a/target/debug"));
    }
}
