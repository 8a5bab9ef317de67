//! What every daemon of Arcus has: log lines, metrics, signals, systemd, the HTTP shell, and the rule
//! that a task which ends unexpectedly ends the daemon.
//!
//! Knows no BGP and no data plane. A daemon's `main` puts the parts together:
//!
//! ```no_run
//! use daemon::{Claim, Notifier, Supervisor, http, logging, metrics, signals::{Signal, Signals}};
//!
//! # async fn run() -> anyhow::Result<()> {
//! logging::init(logging::Format::Auto)?;
//! let claim = Claim::take("/run/arcus".as_ref(), "os-ctl-1")?;
//! let (mut registry, mut signals) = (metrics::registry("arcus-bgpd"), Signals::new()?);
//! // .. register metrics, then freeze them:
//! let routes = axum::Router::new().merge(metrics::router(registry));
//! let listeners = http::Listeners::bind(claim.socket(), None).await?;
//!
//! let mut supervisor = Supervisor::new();
//! let shutdown = supervisor.shutdown();
//! supervisor.spawn("http", http::serve(listeners, routes, shutdown.clone()));
//!
//! let notifier = Notifier::from_env();
//! notifier.ready("2 neighbors");
//! let mut watchdog = notifier.watchdog();
//! let outcome = loop {
//!     tokio::select! {
//!         () = watchdog.due() => notifier.alive(),
//!         signal = signals.next() => match signal {
//!             Signal::Reload => { notifier.reloading(); /* .. */ notifier.ready("reloaded") }
//!             Signal::Shutdown => break Ok(()),
//!         },
//!         ended = supervisor.unexpected_end() => break Err(ended),
//!     }
//! };
//! notifier.stopping();
//! supervisor.stop(std::time::Duration::from_secs(5)).await;
//! outcome?;
//! # Ok(()) }
//! ```

pub mod http;
pub mod logging;
pub mod metrics;
pub mod signals;

mod claim;
mod supervisor;
mod systemd;
mod version;

pub use claim::{Claim, ClaimError};
pub use supervisor::{Ended, Supervisor};
pub use systemd::{Notifier, Watchdog};
pub use version::version;
