//! The HTTP API of a control node (`arcus_api::v1`). Handlers hold no table and no lock: they ask the
//! control task and the shards, and when these are busy with routes, routes come first.

mod neighbors;
mod routes;
mod status;
mod targets;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use bgp_rib::policy::Reject;
use bgp_rib::{Answer, PeerIx, Query};
use daemon::http::ApiError;
use tokio::sync::{mpsc, oneshot};

use crate::control::Command;
use crate::gauges::NeighborGauges;
use crate::neighbor::NeighborState;
use crate::shard_thread::ShardInput;

/// Where handlers ask.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) shards: Arc<[mpsc::Sender<ShardInput>]>,
    pub(crate) gauges: Arc<NeighborGauges>,
}

/// `metrics` is what serves `/metrics`; the gauges of neighbors are brought up to date before it does.
pub(crate) fn router(api: Api, metrics: Router) -> Router {
    let metrics = metrics.layer(middleware::from_fn_with_state(api.clone(), refresh_gauges));
    Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/reload", post(status::reload))
        .route("/v1/neighbors", get(neighbors::list))
        .route("/v1/neighbors/{address}", get(neighbors::one))
        .route("/v1/neighbors/{address}/advertised", get(routes::advertised))
        .route("/v1/routes", get(routes::list))
        .route("/v1/routes/{family}/{*nlri}", get(routes::one))
        .route("/v1/targets", get(targets::list))
        .with_state(api)
        .merge(metrics)
}

async fn refresh_gauges(State(api): State<Api>, request: Request, next: Next) -> Response {
    // Who is too busy to answer leaves the gauges as they were.
    if let (Ok(neighbors), Ok(rejected)) = (api.neighbors().await, api.rejected().await) {
        api.gauges.publish(&neighbors, &rejected);
    }
    next.run(request).await
}

impl Api {
    /// Asks the control task.
    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        let busy = || ApiError::busy("the control task is busy; try again");
        self.commands.try_send(command(reply)).map_err(|_| busy())?;
        answer.await.map_err(|_| busy())
    }

    async fn neighbors(&self) -> Result<Vec<NeighborState>, ApiError> {
        self.command(Command::Neighbors).await
    }

    /// Routes that were not taken, by peer and reason.
    async fn rejected(&self) -> Result<BTreeMap<PeerIx, BTreeMap<Reject, u64>>, ApiError> {
        let mut sums: BTreeMap<PeerIx, BTreeMap<Reject, u64>> = BTreeMap::new();
        for answer in self.ask_all(&Query::Rejected).await? {
            let Answer::Rejected(shard) = answer else { continue };
            for (peer, reason, routes) in shard {
                *sums.entry(peer).or_default().entry(reason).or_default() += routes;
            }
        }
        Ok(sums)
    }

    /// Addresses of the peers by number.
    async fn addresses(&self) -> Result<HashMap<PeerIx, IpAddr>, ApiError> {
        Ok(self.neighbors().await?.into_iter().map(|n| (n.number, n.address)).collect())
    }

    /// Asks one shard.
    async fn ask(&self, shard: usize, query: Query) -> Result<Answer, ApiError> {
        let (reply, answer) = oneshot::channel();
        let busy = || ApiError::busy("the table is busy; try again");
        let shard = self.shards.get(shard).ok_or_else(busy)?;
        shard.try_send(ShardInput::Ask(query, reply)).map_err(|_| busy())?;
        answer.await.map_err(|_| busy())
    }

    /// Asks every shard the same.
    async fn ask_all(&self, query: &Query) -> Result<Vec<Answer>, ApiError> {
        let mut answers = Vec::with_capacity(self.shards.len());
        for shard in 0..self.shards.len() {
            answers.push(self.ask(shard, query.clone()).await?);
        }
        Ok(answers)
    }
}
