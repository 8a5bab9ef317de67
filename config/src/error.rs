//! A mistake in a topology, shown where it is.

use std::fmt;

/// One mistake, with its place and the line itself. Its `Display` is what the operator sees:
///
/// ```text
/// leonardo.toml:12:11: gateways `mx1` and `mx2` have the same address; give each its own
/// 12 | address = "10.2.0.1"
///    |           ^
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// As given on the command line; an included file is relative to the one that includes it.
    pub file: String,
    /// Counted from 1; 0 when the file as a whole is meant (it cannot be read).
    pub line: usize,
    /// In characters, counted from 1; 0 when the file as a whole is meant.
    pub column: usize,
    /// The line itself, without its end.
    pub excerpt: String,
    /// What is wrong and what to write instead.
    pub message: String,
    /// The other place that the message speaks of, as the first of two equal addresses.
    pub other: Option<Box<ConfigError>>,
}

impl ConfigError {
    /// A mistake that belongs to a file and to no line of it.
    pub(crate) fn whole_file(file: &str, message: String) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            excerpt: String::new(),
            message,
            other: None,
        }
    }

    /// A mistake at octet `at` of `text`.
    pub(crate) fn at(file: &str, text: &str, at: usize, message: String) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let excerpt = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            excerpt: excerpt.to_owned(),
            message,
            other: None,
        }
    }

    pub(crate) fn with_other(mut self, other: Self) -> Self {
        self.other = Some(Box::new(other));
        self
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, excerpt, message, other } = self;
        if *line == 0 {
            write!(f, "{file}: {message}")?;
        } else {
            let margin = line.to_string().len();
            // Tabs stay tabs under the line, or the mark would stand elsewhere.
            let pad: String = excerpt
                .chars()
                .chain(std::iter::repeat(' '))
                .take(column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            writeln!(f, "{file}:{line}:{column}: {message}")?;
            writeln!(f, "{line} | {excerpt}")?;
            write!(f, "{:margin$} | {pad}^", "")?;
        }
        match other {
            Some(other) => write!(f, "\n{other}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_under_the_mistake() {
        let text = "a = 1\n\tbé = \"x\"\nc = 2";
        let at = text.find('"').expect("a quote");
        let error = ConfigError::at("t.toml", text, at, "wrong".to_owned());
        assert_eq!((error.line, error.column), (2, 7));
        assert_eq!(error.to_string(), "t.toml:2:7: wrong\n2 | \tbé = \"x\"\n  | \t     ^");
    }

    #[test]
    fn a_place_past_the_end_is_the_last_line() {
        let error = ConfigError::at("t.toml", "a = ", 4, "nothing here".to_owned());
        assert_eq!((error.line, error.column, error.excerpt.as_str()), (1, 5, "a = "));
    }
}
