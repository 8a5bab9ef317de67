//! Takes a TOML table apart key by key, and remembers where each value stands.

use std::{cell::RefCell, collections::BTreeMap};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    ConfigError, name,
    places::{Place, Places},
    value::{Value, kind},
};

/// A table that is being read.
pub(crate) struct Table<'a> {
    places: &'a RefCell<Places>,
    source: usize,
    /// Dotted, empty for a file as a whole.
    path: String,
    /// Keys not yet taken, with their places.
    left: BTreeMap<&'a str, (Place, &'a Spanned<DeValue<'a>>)>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(
        places: &'a RefCell<Places>,
        source: usize,
        path: String,
        table: &'a DeTable<'a>,
    ) -> Self {
        let left = table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), (Place::new(source, key.span()), value)))
            .collect();
        Self { places, source, path, left }
    }

    /// Refuses every other key: one that is not read would be a wish that nobody hears.
    pub(crate) fn only(&self, known: &[&'static str]) -> Result<(), ConfigError> {
        let Some((key, (place, _))) = self.left.iter().find(|(key, _)| !known.contains(key)) else {
            return Ok(());
        };
        let cure = match name::closest(key, known.iter().copied()) {
            Some(meant) => format!("write `{meant}`"),
            None => format!("known here: {}", known.join(", ")),
        };
        let message = format!("the key `{key}` is unknown here; {cure}");
        Err(self.places.borrow().error_at(place, message))
    }

    /// The dotted path of a key of this table.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A mistake at a key of this table, or at the table when it has no such key.
    pub(crate) fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        self.places.borrow().error(&self.path_of(key), message)
    }

    /// A value that has a default.
    pub(crate) fn optional<T: Value>(
        &mut self,
        key: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        let path = self.path_of(key);
        self.take(key).map(|value| self.value(&path, value)).transpose()
    }

    /// A value that must be there.
    pub(crate) fn required<T: Value>(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Result<T, ConfigError> {
        match self.optional(key)? {
            Some(value) => Ok(value),
            None => Err(self.error(key, format!("`{key}` is missing; write {key} = {example}"))),
        }
    }

    /// A list without repetitions that must hold something, if it is there.
    pub(crate) fn list<T: Value + PartialEq>(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let items = self.items(key, value, example)?;
        let mut list: Vec<T> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}.{index}", self.path_of(key));
            let value = self.value(&path, item)?;
            if list.contains(&value) {
                let message = "this stands twice in the list; remove one";
                return Err(self.error_at_value(item, message));
            }
            list.push(value);
        }
        if list.is_empty() {
            let message = format!("`{key}` is empty; write {key} = {example}");
            return Err(self.error_at_value(value, message));
        }
        Ok(Some(list))
    }

    /// As [`Table::list`]; a single value stands for a list of one.
    pub(crate) fn one_or_more<T: Value + PartialEq>(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        match self.left.get(key) {
            Some((_, value)) if !value.get_ref().is_array() => {
                self.optional(key).map(|value| value.map(|one| vec![one]))
            }
            _ => self.list(key, example),
        }
    }

    /// A list of tables that must hold something, if it is there; else nothing.
    pub(crate) fn tables(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Result<Vec<Self>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        let items = self.items(key, value, example)?;
        if items.is_empty() {
            let message = format!("`{key}` is empty; write {key} = {example}");
            return Err(self.error_at_value(value, message));
        }
        let mut tables = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let DeValue::Table(table) = item.get_ref() else {
                let message = format!(
                    "`{key}` holds tables, and this is {}; write {key} = {example}",
                    kind(item.get_ref())
                );
                return Err(self.error_at_value(item, message));
            };
            let path = format!("{}.{index}", self.path_of(key));
            let place = Place::new(self.source, item.span());
            self.places.borrow_mut().record(path.clone(), place);
            tables.push(Self::new(self.places, self.source, path, table));
        }
        Ok(tables)
    }

    fn items(
        &self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
        example: &str,
    ) -> Result<&'a [Spanned<DeValue<'a>>], ConfigError> {
        value.get_ref().as_array().map(|items| &items[..]).ok_or_else(|| {
            let message = format!(
                "`{key}` is a list, and this is {}; write {key} = {example}",
                kind(value.get_ref())
            );
            self.error_at_value(value, message)
        })
    }

    /// A list that must be there.
    pub(crate) fn required_list<T: Value + PartialEq>(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Result<Vec<T>, ConfigError> {
        match self.list(key, example)? {
            Some(list) => Ok(list),
            None => Err(self.error(key, format!("`{key}` is missing; write {key} = {example}"))),
        }
    }

    /// A table inside this one that no other file may have, too.
    pub(crate) fn table(&mut self, key: &'static str) -> Result<Option<Self>, ConfigError> {
        let path = self.path_of(key);
        if let Some((place, _)) = self.left.get(key) {
            self.first_time(&path, place)?;
        }
        self.take(key).map(|value| self.inner(path, key, "", value)).transpose()
    }

    /// The tables `[key.NAME]`, each with its name.
    pub(crate) fn named(&mut self, key: &'static str) -> Result<Vec<(String, Self)>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        let mut outer = self.inner(self.path_of(key), key, ".NAME", value)?;
        let mut tables = Vec::with_capacity(outer.left.len());
        for (name, (place, value)) in std::mem::take(&mut outer.left) {
            if let Err(message) = name::check(name) {
                return Err(self.places.borrow().error_at(&place, message));
            }
            let path = outer.path_of(name);
            self.first_time(&path, &place)?;
            self.places.borrow_mut().record(path.clone(), place);
            tables.push((name.to_owned(), self.inner(path, &format!("{key}.{name}"), "", value)?));
        }
        Ok(tables)
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        let (place, value) = self.left.remove(key)?;
        self.places.borrow_mut().record(self.path_of(key), place);
        Some(value)
    }

    /// Each table stands in one file: two halves of one would have to be looked for.
    fn first_time(&self, path: &str, place: &Place) -> Result<(), ConfigError> {
        let places = self.places.borrow();
        if !places.contains(path) {
            return Ok(());
        }
        let error = places.error_at(place, format!("[{path}] stands twice; remove one"));
        Err(error.with_other(places.error(path, "the other one is here")))
    }

    /// Reads one value and remembers where it stands.
    fn value<T: Value>(&self, path: &str, value: &Spanned<DeValue<'_>>) -> Result<T, ConfigError> {
        let place = Place::new(self.source, value.span());
        let read = T::read(value.get_ref())
            .map_err(|message| self.places.borrow().error_at(&place, message));
        self.places.borrow_mut().record(path.to_owned(), place);
        read
    }

    fn inner(
        &self,
        path: String,
        shown: &str,
        more: &str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<Self, ConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(Self::new(self.places, self.source, path, table)),
            other => {
                let message = format!(
                    "`{shown}` is a table, and this is {}; write [{path}{more}]",
                    kind(other)
                );
                Err(self.error_at_value(value, message))
            }
        }
    }

    fn error_at_value(
        &self,
        value: &Spanned<DeValue<'_>>,
        message: impl Into<String>,
    ) -> ConfigError {
        self.places.borrow().error_at(&Place::new(self.source, value.span()), message)
    }
}
