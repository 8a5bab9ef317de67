//! The keys in which two tables differ, each as a short text.

use std::fmt::Display;

use crate::PeerOptions;

/// Collects the differences.
#[derive(Debug, Default)]
pub(super) struct Details(Vec<String>);

impl Details {
    pub(super) fn value<T: PartialEq + Display>(&mut self, key: &str, old: &T, new: &T) {
        if old != new {
            self.0.push(format!("{key} {old} -> {new}"));
        }
    }

    pub(super) fn option<T: PartialEq + Display>(
        &mut self,
        key: &str,
        old: Option<&T>,
        new: Option<&T>,
    ) {
        if old != new {
            let text = |value: Option<&T>| value.map_or("none".to_owned(), T::to_string);
            self.0.push(format!("{key} {} -> {}", text(old), text(new)));
        }
    }

    /// A list whose order means nothing: what came and what went.
    pub(super) fn set<'a, T: PartialEq + Display + 'a>(
        &mut self,
        key: &str,
        old: impl IntoIterator<Item = &'a T>,
        new: impl IntoIterator<Item = &'a T>,
    ) {
        let old: Vec<&T> = old.into_iter().collect();
        let new: Vec<&T> = new.into_iter().collect();
        let gone = old.iter().filter(|item| !new.contains(item)).map(|item| format!("-{item}"));
        let come = new.iter().filter(|item| !old.contains(item)).map(|item| format!("+{item}"));
        let marks: Vec<String> = gone.chain(come).collect();
        if !marks.is_empty() {
            self.0.push(format!("{key} {}", marks.join(" ")));
        }
    }

    /// A list whose order is a preference: all of both.
    pub(super) fn order<T: PartialEq + Display>(&mut self, key: &str, old: &[T], new: &[T]) {
        if old != new {
            let text = |list: &[T]| list.iter().map(T::to_string).collect::<Vec<_>>().join(" ");
            self.0.push(format!("{key} {} -> {}", text(old), text(new)));
        }
    }

    /// The options that differ, their keys behind `prefix`.
    pub(super) fn options(&mut self, prefix: &str, old: &PeerOptions, new: &PeerOptions) {
        let changes = PeerOptions::changes(old, new);
        self.0.extend(changes.into_iter().map(|(_, text)| format!("{prefix}{text}")));
    }

    pub(super) fn into_texts(self) -> Vec<String> {
        self.0
    }
}
