//! Log lines: text for people, JSON for collectors, levels that the journal understands.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};

use tracing::{Event, Level, Subscriber, error};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, fmt as layer};

/// The environment variable with the filter: `info`, `debug`, `info,bgp_peer=trace`.
pub const FILTER_ENV: &str = "ARCUS_LOG";

/// What is logged when [`FILTER_ENV`] is not set.
pub const DEFAULT_FILTER: &str = "info";

/// The environment variable with the form of lines, for [`Format::Auto`]: `text`, `journal`, `json`.
pub const FORMAT_ENV: &str = "ARCUS_LOG_FORMAT";

/// What a log line looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// As [`FORMAT_ENV`] says; else [`Format::Journal`] under systemd, else [`Format::Text`].
    #[default]
    Auto,
    /// With time, and with colours on a terminal.
    Text,
    /// Without a time, with the level in front in the form that the journal takes out again (`<6>`).
    Journal,
    /// One object a line.
    Json,
}

/// Why there is no logging.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("{FILTER_ENV} is not a filter; write for example `info` or `info,bgp_peer=debug`")]
    Filter(#[from] ParseError),
    #[error("{FORMAT_ENV} is `{0}`; write `text`, `journal` or `json`")]
    Format(String),
    #[error("logging was set up before")]
    Again(#[from] TryInitError),
}

/// Sends every log line to standard error, and panics to the log. Once in a process.
pub fn init(format: Format) -> Result<(), LoggingError> {
    let filter = match env::var(FILTER_ENV) {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(filter)?,
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let terminal = io::stderr().is_terminal();
    let format = match format {
        Format::Auto => match env::var(FORMAT_ENV) {
            Ok(word) if !word.is_empty() => named(&word).ok_or(LoggingError::Format(word))?,
            _ if !terminal && env::var_os("JOURNAL_STREAM").is_some() => Format::Journal,
            _ => Format::Text,
        },
        chosen => chosen,
    };
    let colours = if terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
        Colours::On
    } else {
        Colours::Off
    };
    let lines = lines(format, colours, io::stderr);
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;

    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        error!(thread = thread.name().unwrap_or("?"), %panic, "panicked");
    }));
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    On,
    Off,
}

fn named(word: &str) -> Option<Format> {
    match word {
        "text" => Some(Format::Text),
        "journal" => Some(Format::Journal),
        "json" => Some(Format::Json),
        _ => None,
    }
}

fn lines<S, W>(format: Format, colours: Colours, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let base = layer::layer().with_writer(writer).with_ansi(colours == Colours::On);
    match format {
        Format::Json => base.json().flatten_event(true).boxed(),
        Format::Journal => base.with_ansi(false).event_format(JournalLine::new()).boxed(),
        Format::Auto | Format::Text => base.boxed(),
    }
}

/// A text line for the journal, which adds the time itself.
struct JournalLine(layer::format::Format<Full, ()>);

impl JournalLine {
    fn new() -> Self {
        Self(layer::format().without_time().with_level(false))
    }
}

impl<S, N> FormatEvent<S, N> for JournalLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// `sd-daemon(3)`.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What two events inside a span look like.
    fn written(format: Format) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let lines = lines(format, Colours::Off, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let _span = info_span!("session", peer = "10.1.1.11").entered();
            info!("session up");
            warn!(reason = "hold timer", "session down");
        });
        let octets = written.0.lock().unwrap().clone();
        String::from_utf8(octets).expect("text").lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_journal_learns_the_level_and_sees_no_time() {
        let lines = written(Format::Journal);
        assert!(lines[0].starts_with("<6>session{peer=\"10.1.1.11\"}"), "{lines:?}");
        assert!(lines[0].ends_with("session up"), "{lines:?}");
        assert!(lines[1].starts_with("<4>"), "{lines:?}");
    }

    #[test]
    fn a_collector_gets_an_object_a_line() {
        let lines = written(Format::Json);
        let line: serde_json::Value = serde_json::from_str(&lines[1]).expect("json");
        assert_eq!(line["message"], "session down");
        assert_eq!(line["reason"], "hold timer");
        assert_eq!(line["span"]["peer"], "10.1.1.11");
        assert_eq!(line["level"], "WARN");
    }

    #[test]
    fn a_person_sees_time_and_level() {
        let lines = written(Format::Text);
        assert!(lines[1].starts_with("20") && lines[1].contains(" WARN session{"), "{lines:?}");
    }

    #[test]
    fn forms_are_known_by_name() {
        assert_eq!(named("json"), Some(Format::Json));
        assert_eq!(named("xml"), None);
    }
}
