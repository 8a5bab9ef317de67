//! A line of text, word by word.

use std::iter::Peekable;
use std::str::{FromStr, SplitWhitespace};

pub(crate) struct Words<'a>(Peekable<SplitWhitespace<'a>>);

/// What was read, or why not.
pub(crate) type Read<T> = Result<T, String>;

impl<'a> Words<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self(text.split_whitespace().peekable())
    }

    /// Reads all of a text.
    pub(crate) fn whole<T>(text: &'a str, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let mut words = Self::of(text);
        let value = read(&mut words)?;
        match words.0.next() {
            None => Ok(value),
            Some(word) => Err(format!("`{word}` is one word too many")),
        }
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.0.peek().is_none()
    }

    pub(crate) fn next(&mut self) -> Read<&'a str> {
        self.0.next().ok_or_else(|| "it ends too early".to_owned())
    }

    pub(crate) fn next_unless(&mut self, end: &str) -> Option<&'a str> {
        self.0.next_if(|word| *word != end)
    }

    pub(crate) fn rest(&mut self) -> Vec<&'a str> {
        std::iter::from_fn(|| self.0.next()).collect()
    }

    /// Takes the next word if it is this one.
    pub(crate) fn has(&mut self, word: &str) -> bool {
        self.0.next_if_eq(&word).is_some()
    }

    pub(crate) fn expect(&mut self, word: &str) -> Read<()> {
        let found = self.next()?;
        if found == word { Ok(()) } else { Err(format!("`{found}` stands where `{word}` belongs")) }
    }

    pub(crate) fn value<T: FromStr>(&mut self) -> Read<T> {
        parsed(self.next()?)
    }

    /// Takes the next word if it is such a value.
    pub(crate) fn maybe<T: FromStr>(&mut self) -> Option<T> {
        let value = self.0.peek()?.parse().ok()?;
        self.0.next();
        Some(value)
    }

    /// A number, decimal or after `0x` hexadecimal.
    pub(crate) fn number<T: TryFrom<u32>>(&mut self) -> Read<T> {
        let word = self.next()?;
        let number = match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        };
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("`{word}` is no number that fits here"))
    }
}

pub(crate) fn parsed<T: FromStr>(word: &str) -> Read<T> {
    word.parse().map_err(|_| format!("`{word}` does not belong here"))
}
