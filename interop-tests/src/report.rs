//! What the demo says while it proves itself.

use std::env;
use std::io::{self, IsTerminal, Write};

use anyhow::{Error, Result};

/// Prints one line per proof and remembers what failed.
#[derive(Debug)]
pub struct Report {
    has_colour: bool,
    failed: Vec<String>,
}

impl Report {
    /// Colours only on a terminal, and not with `NO_COLOR`.
    pub fn new() -> Self {
        let has_colour = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self { has_colour, failed: Vec::new() }
    }

    /// A line that is no proof.
    pub fn say(&self, text: &str) {
        line(text);
    }

    /// A headline over what follows.
    pub fn title(&self, text: &str) {
        line("");
        line(&if self.has_colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() });
    }

    /// ✔ with what was seen, or ✘ with why not.
    pub fn proof(&mut self, what: &str, outcome: Result<String>) {
        match outcome {
            Ok(seen) => {
                line(&format!("  {} {what}", self.mark("✔", 32)));
                for part in seen.lines() {
                    line(&format!("      {part}"));
                }
            }
            Err(why) => {
                line(&format!("  {} {what}", self.mark("✘", 31)));
                for part in causes(&why).lines() {
                    line(&format!("      {part}"));
                }
                self.failed.push(what.to_owned());
            }
        }
    }

    /// What failed, in order.
    pub fn failed(&self) -> &[String] {
        &self.failed
    }

    fn mark(&self, mark: &str, colour: u8) -> String {
        if self.has_colour { format!("\x1b[{colour}m{mark}\x1b[0m") } else { mark.to_owned() }
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

fn causes(error: &Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A reader that has gone away (`| head`) is not a failure of the demo.
fn line(text: &str) {
    let _written = writeln!(io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_failed_is_remembered_by_name() {
        let mut report = Report { has_colour: false, failed: Vec::new() };
        report.proof("water is wet", Ok("seen".to_owned()));
        report.proof("fire is cold", Err(anyhow!("it is 800 degrees")));
        assert_eq!(report.failed(), ["fire is cold"]);
    }
}
