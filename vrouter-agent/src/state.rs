//! What must survive the agent: ports, and the numbers that other nodes know.
//!
//! One JSON file, replaced as a whole: a crash leaves the old one or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use arcus_api::v1::PortId;
use serde::{Deserialize, Serialize};

use crate::labels::Numbers;
use crate::port::PortSpec;

/// The version that this agent writes. It reads the one before, too.
const VERSION: u32 = 2;

/// Ports had one address, of IPv4, called `address`.
const WITHOUT_IPV6: u32 = 1;

/// The file's name in the state directory.
const FILE: &str = "state.json";

/// What is known of a file that cannot be read, and what to do with it.
const DAMAGED: &str = "is damaged; restore it, or remove it and add the ports again: they may get other \
                       labels, and other nodes take a moment to learn them";

/// The whole content of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub numbers: Numbers,
    pub ports: BTreeMap<PortId, PortSpec>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned<S> {
    version: u32,
    state: S,
}

/// The place of the file.
#[derive(Debug, Clone)]
pub struct StateFile {
    directory: PathBuf,
}

/// The state file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}", path = path.display())]
pub struct StateError {
    path: PathBuf,
    what: &'static str,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StateFile {
    /// Makes the directory if it is not there.
    pub fn in_directory(directory: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(directory).map_err(|source| StateError {
            path: directory.to_owned(),
            what: "the state directory cannot be made; give --state-dir another one",
            source: Some(source.into()),
        })?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// The state of the earlier run; the empty state if there was none.
    ///
    /// # Errors
    /// It is there and cannot be read or understood. The agent must not go on then: it would give
    /// out numbers that other nodes know for something else.
    pub fn read(&self) -> Result<State, StateError> {
        let path = self.path();
        let error = |what, source| StateError { path: path.clone(), what, source };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(source) => return Err(error("cannot be read", Some(source.into()))),
        };
        let damaged = |cause: serde_json::Error| error(DAMAGED, Some(cause.into()));
        // The version first: a later one may have any content.
        let raw: Versioned<serde_json::Value> = serde_json::from_slice(&text).map_err(damaged)?;
        if ![WITHOUT_IPV6, VERSION].contains(&raw.version) {
            return Err(error(
                "was written by another version of the agent; install that one",
                None,
            ));
        }
        let mut value = raw.state;
        if raw.version == WITHOUT_IPV6 {
            name_addresses(&mut value);
        }
        let state: State = serde_json::from_value(value).map_err(damaged)?;
        if !state.numbers.is_consistent() {
            return Err(error("gives one number or label to two networks", None));
        }
        Ok(state)
    }

    /// Replaces the file. When this returns `Ok`, the new one is on the disk.
    pub fn write(&self, state: &State) -> Result<(), StateError> {
        self.try_write(state).map_err(|source| StateError {
            path: self.path(),
            what: "cannot be written",
            source: Some(source.into()),
        })
    }

    fn try_write(&self, state: &State) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(&Versioned { version: VERSION, state })?;
        text.push(b'\n');
        let unfinished = self.directory.join(format!("{FILE}.new"));
        let mut file = File::create(&unfinished)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.path())?;
        // The new name is in the directory only when that is on the disk too.
        File::open(&self.directory)?.sync_all()
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }
}

/// From version 1 to 2.
fn name_addresses(state: &mut serde_json::Value) {
    let ports = state.get_mut("ports").and_then(serde_json::Value::as_object_mut);
    for port in ports.into_iter().flat_map(|ports| ports.values_mut()) {
        if let Some(port) = port.as_object_mut()
            && let Some(address) = port.remove("address")
        {
            port.insert("v4".to_owned(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::default_mac;

    fn some_state() -> State {
        let mut state = State::default();
        state.numbers.assign("database").unwrap();
        let address = std::net::Ipv4Addr::new(10, 0, 100, 4);
        state.ports.insert(
            "db-1".parse().unwrap(),
            PortSpec {
                network: "database".into(),
                netns: "/run/netns/db-1".into(),
                interface: "eth0".into(),
                v4: Some(address),
                v6: None,
                mac: default_mac(address.into()),
                floating: [].into(),
                services: [].into(),
                ready: true,
                filter: None,
                groups: None,
                allowed: [].into(),
                bandwidth: None,
            },
        );
        state
    }

    #[test]
    fn what_was_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::in_directory(&directory.path().join("a/b")).unwrap();
        assert_eq!(file.read().unwrap(), State::default(), "no file yet");
        file.write(&some_state()).unwrap();
        assert_eq!(file.read().unwrap(), some_state());
    }

    #[test]
    fn a_file_of_the_version_before_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::in_directory(directory.path()).unwrap();
        file.write(&some_state()).unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        let older =
            text.replace("\"version\": 2", "\"version\": 1").replace("\"v4\"", "\"address\"");
        assert_ne!(older, text);
        fs::write(file.path(), older).unwrap();
        assert_eq!(file.read().unwrap(), some_state());
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_not_taken_for_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::in_directory(directory.path()).unwrap();
        let half = r#"{"networks":{"a":{"id":1,"label":16},"b":{"id":1,"label":17}}}"#;
        let cases = [
            ("", "is damaged"),
            ("{\"version\": 1, \"state\": {}}", "is damaged"),
            ("{\"version\": 3, \"state\": []}", "another version"),
            (&format!("{{\"version\":1,\"state\":{{\"numbers\":{half},\"ports\":{{}}}}}}"), "two"),
        ];
        for (text, want) in cases {
            fs::write(file.path(), text).unwrap();
            let error = file.read().expect_err(text).to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
