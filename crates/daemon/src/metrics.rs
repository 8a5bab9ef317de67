//! Metrics in the text form that Prometheus reads.
//!
//! A daemon makes a [`registry`], registers its own metrics, then hands it to [`router`].

use std::fs;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::http::ApiError;

pub use prometheus_client;

/// A registry that knows the process: `arcus_build_info`, `process_start_time_seconds`,
/// `process_resident_memory_bytes`, `process_open_fds`, `process_threads`.
///
/// A daemon's own metrics go into a sub-registry with the prefix `arcus_bgpd` or `arcus_agent`.
pub fn registry(daemon: &'static str) -> Registry {
    let mut registry = Registry::default();
    let build = Info::new(vec![("daemon", daemon), ("version", crate::version())]);
    registry.register("arcus_build", "Which daemon this is, and its version", build);
    registry.register_collector(Box::new(Process { started_at: now() }));
    registry
}

/// Serves `GET /metrics`.
pub fn router(registry: Registry) -> Router {
    let registry = Arc::new(registry);
    Router::new().route("/metrics", get(move || async move { text(&registry) }))
}

fn text(registry: &Registry) -> Result<impl IntoResponse + use<>, ApiError> {
    let mut body = String::new();
    encode(&mut body, registry).map_err(|_| ApiError::internal("a metric could not be written"))?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], body))
}

/// Seconds since the epoch, as the API and Prometheus count them.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Read from `/proc/self` when asked. What cannot be read is left out, as Prometheus expects.
#[derive(Debug)]
struct Process {
    started_at: u64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().find_map(|word| word.parse::<i64>().ok())
        };
        let open =
            fs::read_dir("/proc/self/fd").ok().and_then(|dir| i64::try_from(dir.count()).ok());
        let gauges = [
            (
                "process_start_time_seconds",
                "When the process started, in seconds since the epoch",
                i64::try_from(self.started_at).ok(),
            ),
            (
                "process_resident_memory_bytes",
                "Memory in RAM",
                field("VmRSS:").map(|kibibytes| kibibytes * 1024),
            ),
            ("process_threads", "Threads", field("Threads:")),
            ("process_open_fds", "Open file descriptors", open),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    #[test]
    fn a_scrape_has_the_process_and_the_daemons_own() {
        let mut registry = registry("arcus-bgpd");
        let owed = Gauge::<i64>::default();
        owed.set(7);
        registry.sub_registry_with_prefix("arcus_bgpd").register("owed", "Routes owed", owed);
        let mut body = String::new();
        encode(&mut body, &registry).expect("text");
        for line in [
            "arcus_build_info{daemon=\"arcus-bgpd\",version=\"",
            "arcus_bgpd_owed 7",
            "process_open_fds ",
            "process_resident_memory_bytes ",
        ] {
            assert!(body.lines().any(|have| have.starts_with(line)), "{line} in\n{body}");
        }
    }
}
