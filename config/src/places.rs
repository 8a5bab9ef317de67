//! Where each value of a topology stands, so that a check over the whole can show the line.

use std::{collections::BTreeMap, ops::Range};

use crate::{ConfigError, name};

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Source {
    /// As the operator would write it.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A span of octets in a [`Source`].
#[derive(Debug, Clone)]
pub(crate) struct Place {
    source: usize,
    span: Range<usize>,
}

/// All files of a topology, and the place of each key and value by its dotted path, as
/// `gateway.mx1.address` or `network.database.clouds.0`.
#[derive(Debug, Default)]
pub(crate) struct Places {
    sources: Vec<Source>,
    by_path: BTreeMap<String, Place>,
}

impl Places {
    /// Takes in a file and returns its number.
    pub(crate) fn add_source(&mut self, name: String, text: String) -> usize {
        self.sources.push(Source { name, text });
        self.sources.len() - 1
    }

    pub(crate) fn record(&mut self, path: String, place: Place) {
        self.by_path.insert(path, place);
    }

    pub(crate) fn place(&self, path: &str) -> Option<Place> {
        self.by_path.get(path).cloned()
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }

    /// The path of the item of a list that is written like this, or of the list.
    pub(crate) fn item(&self, list: &str, written: &str) -> String {
        let quoted = format!("\"{written}\"");
        (0..)
            .map(|index| format!("{list}.{index}"))
            .map_while(|path| self.by_path.get(&path).map(|place| (path, place)))
            .find(|(_, place)| self.text(place) == quoted)
            .map_or_else(|| list.to_owned(), |(path, _)| path)
    }

    /// The path of `key` in the table of a list where it is written like this, or of the list.
    pub(crate) fn inner_item(&self, list: &str, key: &str, written: &str) -> String {
        let quoted = format!("\"{written}\"");
        let paths = (0..).map(|index| format!("{list}.{index}"));
        paths
            .take_while(|path| self.by_path.contains_key(path))
            .map(|path| format!("{path}.{key}"))
            .filter(|path| self.by_path.get(path).is_some_and(|place| self.text(place) == quoted))
            .last()
            .unwrap_or_else(|| list.to_owned())
    }

    /// What stands at a place.
    fn text(&self, place: &Place) -> &str {
        self.sources
            .get(place.source)
            .and_then(|source| source.text.get(place.span.clone()))
            .unwrap_or_default()
    }

    /// A mistake at the value of this path or, where that was left out, at the table around it.
    pub(crate) fn error(&self, path: &str, message: impl Into<String>) -> ConfigError {
        match self.nearest(path) {
            Some(place) => self.error_at(place, message),
            None => self.error_in_whole(message),
        }
    }

    fn nearest(&self, path: &str) -> Option<&Place> {
        let around = path.rmatch_indices('.').map(|(dot, _)| &path[..dot]);
        std::iter::once(path).chain(around).find_map(|path| self.by_path.get(path))
    }

    /// A name at `path` that nothing of its kind has, with what was probably meant.
    pub(crate) fn unknown<'a>(
        &self,
        path: &str,
        (kind, name): (&str, &str),
        known: impl Iterator<Item = &'a String> + Clone,
    ) -> ConfigError {
        let names: Vec<&str> = known.map(String::as_str).collect();
        let cure = match name::closest(name, names.iter().copied()) {
            Some(meant) => format!("write `{meant}`"),
            None if names.is_empty() => format!("write [{kind}.{name}] with what it needs"),
            None => format!("there are: {}", names.join(", ")),
        };
        self.error(&self.item(path, name), format!("there is no {kind} `{name}`; {cure}"))
    }

    /// Two values that cannot both stand: the mistake is shown at the later one, if they are in one
    /// file.
    pub(crate) fn clash(&self, path: &str, message: impl Into<String>, other: &str) -> ConfigError {
        let (here, there) = (self.nearest(path), self.nearest(other));
        let is_earlier = here.zip(there).is_some_and(|(here, there)| {
            here.source == there.source && here.span.start < there.span.start
        });
        let (path, other) = if is_earlier { (other, path) } else { (path, other) };
        self.error_beside(path, message, other, "the other one is here")
    }

    /// As [`Places::error`], with another value that the message speaks of.
    pub(crate) fn error_beside(
        &self,
        path: &str,
        message: impl Into<String>,
        other: &str,
        note: &str,
    ) -> ConfigError {
        self.error(path, message).with_other(self.error(other, note))
    }

    /// A mistake of the topology as a whole, as a table that no file has.
    pub(crate) fn error_in_whole(&self, message: impl Into<String>) -> ConfigError {
        let file = self.sources.first().map_or("", |source| source.name.as_str());
        ConfigError::whole_file(file, message.into())
    }

    pub(crate) fn error_at(&self, place: &Place, message: impl Into<String>) -> ConfigError {
        match self.sources.get(place.source) {
            Some(source) => {
                ConfigError::at(&source.name, &source.text, place.span.start, message.into())
            }
            None => self.error_in_whole(message),
        }
    }
}

impl Place {
    pub(crate) const fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, span }
    }
}
