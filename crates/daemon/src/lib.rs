//! What every daemon of Arcus has: log lines, metrics, signals, systemd, the HTTP shell, and the rule
//! that a task which ends unexpectedly ends the daemon.
//!
//! Knows no BGP and no data plane. A daemon's `main` puts the parts together:
//!
//! ```no_run
//! use daemon::{Alive, Claim, Supervisor, http, live, logging, metrics};
//!
//! struct Topology;
//!
//! impl Alive for Topology {
//!     async fn reload(&self) -> anyhow::Result<Result<(), String>> {
//!         Ok(Err("there is none".to_owned()))
//!     }
//! }
//!
//! # async fn run() -> anyhow::Result<()> {
//! logging::init(logging::Format::Auto)?;
//! let claim = Claim::take("/run/arcus".as_ref(), "os-ctl-1")?;
//! let mut registry = metrics::registry("arcus-bgpd");
//! // .. register metrics, then freeze them:
//! let routes = axum::Router::new().merge(metrics::router(registry));
//! let listeners = http::Listeners::bind(claim.socket(), None).await?;
//!
//! let mut supervisor = Supervisor::new();
//! let shutdown = supervisor.shutdown();
//! supervisor.spawn("http", http::serve(listeners, routes, shutdown.clone()));
//!
//! let outcome = live(&Topology, &mut supervisor).await;
//! supervisor.stop(std::time::Duration::from_secs(5)).await;
//! outcome?;
//! # Ok(()) }
//! ```

pub mod http;
pub mod logging;
pub mod metrics;
pub mod signals;

mod claim;
mod life;
mod supervisor;
mod systemd;
mod version;

pub use claim::{Claim, ClaimError};
pub use life::{Alive, live};
pub use supervisor::{Ended, Supervisor};
pub use systemd::{Notifier, Watchdog};
pub use version::version;
