//! A file and what it includes, to a [`Topology`].

mod filters;
mod networks;
mod peers;
mod sections;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use crate::{
    ConfigError, Connection, RouteTarget, Topology,
    allocate::Record,
    check::check,
    places::{Place, Places},
    table::Table,
};

/// Reads a topology, what it includes and the targets recorded beside it, and checks all of it.
///
/// # Errors
///
/// The first mistake, with its place. What is running should then go on as it is.
pub fn read(path: &Path) -> Result<Topology, ConfigError> {
    let record = Record::beside(path)?;
    let draft = Draft::read(path, &record)?;
    check(&draft)?;
    draft.complete(path)
}

/// A topology whose parts are right each by itself; connections may still lack targets.
pub(crate) struct Draft {
    /// Without connections.
    pub(crate) topology: Topology,
    pub(crate) connections: BTreeMap<String, DraftConnection>,
    pub(crate) places: Places,
}

/// A connection as it is written, its targets filled in from the record where they are left out.
#[derive(Debug)]
pub(crate) struct DraftConnection {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) service_target: Option<RouteTarget>,
    pub(crate) return_target: Option<RouteTarget>,
    pub(crate) one_way: bool,
}

impl DraftConnection {
    /// Its targets with the keys that they stand behind.
    pub(crate) const fn targets(&self) -> [(&'static str, Option<RouteTarget>); 2] {
        [("service-target", self.service_target), ("return-target", self.return_target)]
    }
}

impl Draft {
    pub(crate) fn read(path: &Path, record: &Record) -> Result<Self, ConfigError> {
        let mut reader = Reader::default();
        reader.file(path, None)?;
        let mut parts = reader.parts;
        let places = reader.places.into_inner();
        let Some(federation) = parts.federation else {
            let message = "the table [federation] is missing; write [federation] and under it \
                           name = \"leonardo\"";
            return Err(places.error_in_whole(message));
        };
        for (name, connection) in &mut parts.connections {
            let (service, back) = record.targets(name);
            connection.service_target = connection.service_target.or(service);
            connection.return_target = connection.return_target.or(back);
        }
        let templates = parts.templates;
        for ((name, other), draft) in parts.cloud_peers {
            let path = format!("cloud.{name}.peer.{other}");
            let options = peers::finish_control_nodes(&path, draft, &templates, &places)?;
            if let Some(cloud) = parts.clouds.get_mut(&name) {
                cloud.peers.insert(other, options);
            }
        }
        let gateways = parts.gateways.into_iter().map(|(name, draft)| {
            draft.finish(name.clone(), &templates, &places).map(|gateway| (name, gateway))
        });
        let neighbors = parts.neighbors.into_iter().map(|(name, draft)| {
            draft.finish(name.clone(), &templates, &places).map(|neighbor| (name, neighbor))
        });
        let topology = Topology {
            federation,
            clouds: parts.clouds,
            networks: parts.networks,
            connections: BTreeMap::new(),
            gateways: gateways.collect::<Result<_, _>>()?,
            neighbors: neighbors.collect::<Result<_, _>>()?,
            groups: parts.groups,
            filters: parts.filters,
        };
        Ok(Self { topology, connections: parts.connections, places })
    }

    /// Refuses a connection without targets: a daemon that made one up would not agree with others.
    fn complete(self, path: &Path) -> Result<Topology, ConfigError> {
        let Self { mut topology, connections, places } = self;
        for (name, draft) in connections {
            let target = |key: &str, target: Option<RouteTarget>| {
                target.ok_or_else(|| {
                    let message = format!(
                        "connection `{name}` has no {key} and none is recorded; run `arcus \
                         allocate {}` or write one",
                        path.display()
                    );
                    places.error(&format!("connection.{name}"), message)
                })
            };
            let connection = Connection {
                service_target: target("service-target", draft.service_target)?,
                return_target: target("return-target", draft.return_target)?,
                name: name.clone(),
                from: draft.from,
                to: draft.to,
                one_way: draft.one_way,
            };
            topology.connections.insert(name, connection);
        }
        Ok(topology)
    }
}

/// Goes through the files, each once.
#[derive(Default)]
struct Reader {
    places: RefCell<Places>,
    parts: sections::Parts,
    /// Files that are being read, outermost first, with the line that includes each.
    open: Vec<(PathBuf, Option<Place>)>,
    done: Vec<PathBuf>,
}

impl Reader {
    fn file(&mut self, path: &Path, included_at: Option<&Place>) -> Result<(), ConfigError> {
        let shown = path.display().to_string();
        let unreadable = |error: std::io::Error| match included_at {
            Some(place) => {
                let message = format!("`{shown}` cannot be read: {error}");
                self.places.borrow().error_at(place, message)
            }
            None => ConfigError::whole_file(&shown, format!("cannot be read: {error}")),
        };
        let identity = fs::canonicalize(path).map_err(unreadable)?;
        if self.done.contains(&identity) {
            return Ok(());
        }
        if let (Some(depth), Some(place)) =
            (self.open.iter().position(|(open, _)| *open == identity), included_at)
        {
            return Err(self.circle(&shown, depth, place));
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let document = DeTable::parse(&text).map_err(|error| {
            let at = error.span().unwrap_or_default().start;
            ConfigError::at(&shown, &text, at, syntax(&error))
        })?;
        let source = self.places.borrow_mut().add_source(shown, text.clone());

        self.open.push((identity.clone(), included_at.cloned()));
        let (included, places) = {
            let mut root = Table::new(&self.places, source, String::new(), document.get_ref());
            let included = root.list::<String>("include", "[\"other.toml\"]")?.unwrap_or_default();
            let places: Vec<Option<Place>> = (0..included.len())
                .map(|index| self.places.borrow().place(&format!("include.{index}")))
                .collect();
            sections::read(&mut root, &mut self.parts)?;
            (included, places)
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        for (name, place) in included.iter().zip(&places) {
            self.file(&folder.join(name), place.as_ref())?;
        }
        self.open.pop();
        self.done.push(identity);
        Ok(())
    }

    fn circle(&self, shown: &str, depth: usize, place: &Place) -> ConfigError {
        let places = self.places.borrow();
        let message = format!("`{shown}` includes itself in a circle; remove one `include`");
        let error = places.error_at(place, message);
        match self.open.get(depth + 1) {
            Some((_, Some(first))) => {
                error.with_other(places.error_at(first, "the circle starts here"))
            }
            _ => error,
        }
    }
}

/// What the reader of TOML says, in one line.
pub(crate) fn syntax(error: &toml::de::Error) -> String {
    match error.message() {
        "duplicate key" => "TOML: this stands twice; remove one".to_owned(),
        message => format!("TOML: {}", message.lines().collect::<Vec<_>>().join("; ")),
    }
}
