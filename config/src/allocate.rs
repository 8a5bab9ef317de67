//! Route targets for connections that leave theirs out: allocated once, and recorded in a file.
//!
//! Never computed from a name: two computations can meet, and a renamed connection would move.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use crate::{
    ConfigError, RouteTarget,
    check::check,
    places::Places,
    read::{Draft, DraftConnection, syntax},
    table::Table,
};

type Targets = (Option<RouteTarget>, Option<RouteTarget>);

/// What was allocated before, by connection. Those of connections that are gone stay: a target
/// that was seen in the network yesterday is not handed to someone else today.
#[derive(Debug, Default)]
pub(crate) struct Record(BTreeMap<String, Targets>);

/// What [`allocate`] found to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The record: `leonardo.allocated.toml` beside `leonardo.toml`.
    pub file: PathBuf,
    /// The whole record, with what is new.
    pub text: String,
    /// What is new: connection, key and target. Empty when nothing lacks a target.
    pub new: Vec<(String, &'static str, RouteTarget)>,
}

/// Finds targets for all connections of a topology that have none, without writing anything.
///
/// # Errors
///
/// The topology has a mistake, names no `target-range`, or its range is used up.
pub fn allocate(path: &Path) -> Result<Allocation, ConfigError> {
    let mut record = Record::beside(path)?;
    let draft = Draft::read(path, &record)?;
    check(&draft)?;

    let mut used: BTreeSet<RouteTarget> = record.all().collect();
    for network in draft.topology.networks.values() {
        used.extend(network.import_targets.iter().chain(&network.export_targets));
    }
    used.extend(
        draft.connections.values().flat_map(DraftConnection::targets).filter_map(|(_, t)| t),
    );
    let mut free = draft
        .topology
        .federation
        .target_range
        .iter()
        .flat_map(crate::TargetRange::targets)
        .filter(|target| !used.contains(target));

    let mut new = Vec::new();
    for (name, connection) in &draft.connections {
        for (key, target) in connection.targets() {
            if target.is_some() {
                continue;
            }
            let Some(target) = free.next() else {
                return Err(nothing_free(&draft, path, name));
            };
            record.set(name, key, target);
            new.push((name.clone(), key, target));
        }
    }
    Ok(Allocation { file: record_path(path), text: record.render(path), new })
}

impl Allocation {
    /// Writes the record: all of it or nothing.
    ///
    /// # Errors
    ///
    /// The folder or the file cannot be written.
    pub fn write(&self) -> io::Result<()> {
        let unfinished = self.file.with_extension("toml.new");
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(self.text.as_bytes())?;
        // A record that a power cut left empty would hand the same targets out again.
        file.sync_all()?;
        fs::rename(&unfinished, &self.file)
    }
}

fn nothing_free(draft: &Draft, path: &Path, connection: &str) -> ConfigError {
    match &draft.topology.federation.target_range {
        None => {
            let message = format!(
                "connection `{connection}` leaves targets out and there is no range to take them \
                 from; write target-range = \"64512:5000-5999\""
            );
            draft.places.error("federation", message)
        }
        Some(range) => {
            let message = format!(
                "every target of {range} is used; make it longer, or remove connections that are \
                 gone from {}",
                record_path(path).display()
            );
            draft.places.error("federation.target-range", message)
        }
    }
}

fn record_path(topology: &Path) -> PathBuf {
    topology.with_extension("allocated.toml")
}

impl Record {
    /// Reads the record of a topology; without one, nothing was allocated yet.
    pub(crate) fn beside(topology: &Path) -> Result<Self, ConfigError> {
        let path = record_path(topology);
        let shown = path.display().to_string();
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&shown, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError::whole_file(&shown, format!("cannot be read: {error}"))),
        }
    }

    fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().unwrap_or_default().start;
            ConfigError::at(file, text, at, syntax(&error))
        })?;
        let mut places = Places::default();
        let source = places.add_source(file.to_owned(), text.to_owned());
        let places = RefCell::new(places);
        let mut root = Table::new(&places, source, String::new(), document.get_ref());
        let mut record = BTreeMap::new();
        root.only(&["connection"])?;
        for (name, mut table) in root.named("connection")? {
            table.only(&["service-target", "return-target"])?;
            let targets = (table.optional("service-target")?, table.optional("return-target")?);
            record.insert(name, targets);
        }
        Ok(Self(record))
    }

    /// The recorded service target and return target of a connection.
    pub(crate) fn targets(&self, connection: &str) -> Targets {
        self.0.get(connection).copied().unwrap_or_default()
    }

    fn all(&self) -> impl Iterator<Item = RouteTarget> {
        self.0.values().flat_map(|(service, back)| [*service, *back]).flatten()
    }

    fn set(&mut self, connection: &str, key: &str, target: RouteTarget) {
        let (service, back) = self.0.entry(connection.to_owned()).or_default();
        *(if key == "service-target" { service } else { back }) = Some(target);
    }

    fn render(&self, topology: &Path) -> String {
        let name = topology.file_name().unwrap_or_default().display();
        let mut text = format!(
            "# Route targets that `arcus allocate {name}` chose for connections which leave theirs \
             out.\n# Every daemon reads this file with {name}: keep both together, and do not \
             change a number\n# that is in use.\n"
        );
        for (connection, (service, back)) in &self.0 {
            let lines = [("service-target", service), ("return-target", back)];
            text.extend(["\n[connection.", connection, "]\n"]);
            for (key, target) in lines {
                if let Some(target) = target {
                    text.extend([key, " = \"", &target.to_string(), "\"\n"]);
                }
            }
        }
        text
    }
}
