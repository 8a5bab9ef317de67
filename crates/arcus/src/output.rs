//! Where answers go: tables for people, JSON for programs, colours only for a terminal.

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;

use crate::cli::Output;
use crate::table::{Paint, Width};

/// Writes answers to standard output.
pub(crate) struct Printer {
    out: io::Stdout,
    form: Output,
    paint: Paint,
}

impl Printer {
    pub(crate) fn stdout(form: Output) -> Self {
        let out = io::stdout();
        let paint = if out.is_terminal() && colours_wanted() { Paint::On } else { Paint::Off };
        Self { out, form, paint }
    }

    /// How much a table shows.
    pub(crate) fn width(&self) -> Width {
        match self.form {
            Output::Wide => Width::Wide,
            Output::Table | Output::Json => Width::Normal,
        }
    }

    pub(crate) const fn is_for_programs(&self) -> bool {
        matches!(self.form, Output::Json)
    }

    /// Writes `value` as JSON, or what `view` makes of it.
    pub(crate) fn show<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        view: impl FnOnce(&T, Width, Paint) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.form {
            Output::Json => serde_json::to_string_pretty(value)?,
            Output::Table | Output::Wide => view(value, self.width(), self.paint),
        };
        self.text(&text)
    }

    /// Writes text as it is, with a line's end if it has none.
    pub(crate) fn text(&mut self, text: &str) -> anyhow::Result<()> {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        write!(self.out, "{text}{end}")?;
        self.out.flush()?;
        Ok(())
    }

    /// A remark beside the answer, which must not spoil what a program reads.
    #[expect(clippy::unused_self, reason = "remarks and answers are one printer's")]
    pub(crate) fn remark(&self, text: &str) {
        // Nobody left to tell when this fails.
        drop(writeln!(io::stderr(), "{text}"));
    }

    /// Why there is no answer.
    pub(crate) fn complain(&self, error: &anyhow::Error) {
        let paint =
            if io::stderr().is_terminal() && colours_wanted() { Paint::On } else { Paint::Off };
        let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
        self.remark(&format!("{} {}", paint.bad("error:"), causes.join(": ")));
    }
}

/// Whether the reader of our output has gone.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
    })
}

/// See <https://no-color.org>.
fn colours_wanted() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
