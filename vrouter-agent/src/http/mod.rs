//! The HTTP API: holds nothing, asks the owner.

mod gauges;
mod packets;

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arcus_api::v1::{DropCounter, Neighbor, Reloaded, Status, Tunnel, Vrf, VrfRoute};
use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use daemon::http::{ApiError, Json, Path};
use daemon::metrics;
use daemon::metrics::prometheus_client::registry::Registry;
use dataplane::{Counters, DropReason};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::core::PortAnswer;
use crate::flow_export::Exported;
use crate::mirror::Mirrors;
use crate::owner::{Owner, Request};
use crate::platform::local;
use crate::reconcile_task::{Question, Reply};
use crate::running;
use gauges::AgentGauges;

/// How long a request may wait for the data plane. What was asked goes on afterwards; asking again
/// tells how far it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the owner may be busy with one turn before it counts as stuck.
const PULSE: Duration = Duration::from_secs(10);

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    owner: mpsc::Sender<Request>,
    questions: mpsc::Sender<Question>,
    mirrors: Mirrors,
    exported: Arc<Exported>,
    topology: Arc<TopologyFile>,
    gauges: Arc<AgentGauges>,
}

/// Where the topology is read from; one reload at a time, so that the last one asked for wins.
#[derive(Debug)]
pub struct TopologyFile {
    path: PathBuf,
    cloud: String,
    turn: Mutex<()>,
}

impl TopologyFile {
    /// Of this cloud's node.
    pub fn new(path: PathBuf, cloud: String) -> Self {
        Self { path, cloud, turn: Mutex::new(()) }
    }
}

impl Api {
    /// Registers the agent's metrics.
    pub fn new(
        owner: mpsc::Sender<Request>,
        questions: mpsc::Sender<Question>,
        mirrors: Mirrors,
        exported: Arc<Exported>,
        topology: TopologyFile,
        registry: &mut Registry,
    ) -> Self {
        let gauges = Arc::new(AgentGauges::register(registry));
        Self { owner, questions, mirrors, exported, topology: Arc::new(topology), gauges }
    }

    /// The whole API.
    pub fn router(self, registry: Registry) -> Router {
        Router::new()
            .route("/v1/status", get(status))
            .route("/v1/reload", post(reload))
            .route("/v1/vrfs", get(vrfs))
            .route("/v1/vrfs/{name}/routes", get(routes))
            .route("/v1/tunnels", get(tunnels))
            .route("/v1/drops", get(drops))
            .route("/v1/neighbors", get(neighbors))
            .route("/v1/neighbors/{address}", get(neighbor))
            .merge(local::router())
            .merge(packets::router())
            .merge(
                metrics::router(registry)
                    .layer(from_fn_with_state(self.clone(), refresh_metrics))
                    .with_state(()),
            )
            .with_state(self)
    }

    /// Reads the topology file again and hands it to the owner.
    ///
    /// # Errors
    /// Why it was refused; nothing has changed then.
    pub async fn reload(&self) -> Result<Reloaded, ApiError> {
        let _turn = self.topology.turn.lock().await;
        let topology = Arc::clone(&self.topology);
        let read =
            tokio::task::spawn_blocking(move || running::read(&topology.path, &topology.cloud))
                .await
                .map_err(|panic| ApiError::internal(panic.to_string()))?;
        let (reply, answer) = oneshot::channel();
        // Not `try_send`: a reload is rare and must not be lost to a busy moment.
        self.owner.send(Request::Reload { read, reply }).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?.map_err(ApiError::refused)
    }

    /// Asks for something about ports.
    pub(crate) async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<PortAnswer>) -> Request,
    ) -> Result<PortAnswer, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply))?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|_| stopping()),
            Err(_) => Err(ApiError::busy(
                "the data plane has not answered yet; the request stands, ask again for its state",
            )),
        }
    }

    /// Looks at something.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Owner) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        // Whoever asked may have gone when the answer is there.
        self.send(Request::Look(Box::new(move |owner| drop(reply.send(look(owner))))))?;
        answer.await.map_err(|_| stopping())
    }

    /// Refuses a namespace that is not there: the data plane would only fail later.
    pub(crate) async fn netns(&self, path: &FilePath) -> Result<(), ApiError> {
        match tokio::fs::metadata(path).await {
            Ok(_) => Ok(()),
            Err(error) => Err(ApiError::refused(format!(
                "network namespace {}: {error}; make it first (ip netns add NAME)",
                path.display()
            ))),
        }
    }

    async fn counters(&self) -> Result<Counters, ApiError> {
        self.question(Question::Counters).await?.map_err(ApiError::internal)
    }

    /// Asks the data plane; the inner error is what it says.
    async fn question<T>(
        &self,
        question: impl FnOnce(Reply<T>) -> Question,
    ) -> Result<Result<T, String>, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.questions.try_send(question(reply)).map_err(|_| busy())?;
        answer.await.map_err(|_| stopping())
    }

    fn send(&self, request: Request) -> Result<(), ApiError> {
        // Routes come first: whoever asks is told to try again.
        self.owner.try_send(request).map_err(|_| busy())
    }
}

fn busy() -> ApiError {
    ApiError::busy("the agent is busy with routes; try again")
}

fn stopping() -> ApiError {
    ApiError::busy("the agent is stopping")
}

async fn status(State(api): State<Api>) -> Result<Json<Status>, ApiError> {
    api.look(Owner::status).await.map(Json)
}

impl daemon::Alive for Api {
    async fn reload(&self) -> anyhow::Result<Result<(), String>> {
        Ok(Self::reload(self).await.map(drop).map_err(|error| error.to_string()))
    }

    /// Whether the owner still takes its work up: for the watchdog. Waits for its turn.
    async fn has_pulse(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let look = Request::Look(Box::new(move |owner| drop(reply.send(Owner::status(owner)))));
        let turn = async { self.owner.send(look).await.is_ok() && answer.await.is_ok() };
        tokio::time::timeout(PULSE, turn).await.unwrap_or(false)
    }
}

async fn reload(State(api): State<Api>) -> Result<Json<Reloaded>, ApiError> {
    api.reload().await.map(Json)
}

async fn vrfs(State(api): State<Api>) -> Result<Json<Vec<Vrf>>, ApiError> {
    api.look(|owner| owner.core.show_vrfs()).await.map(Json)
}

async fn routes(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Vec<VrfRoute>>, ApiError> {
    let unknown = ApiError::not_found(format!(
        "this node has no VRF `{name}`; `arcus vrfs` shows those that it has"
    ));
    api.look(move |owner| owner.core.show_routes(&name)).await?.map(Json).ok_or(unknown)
}

async fn tunnels(State(api): State<Api>) -> Result<Json<Vec<Tunnel>>, ApiError> {
    api.look(|owner| owner.core.show_tunnels()).await.map(Json)
}

async fn drops(State(api): State<Api>) -> Result<Json<Vec<DropCounter>>, ApiError> {
    let counters = api.counters().await?;
    let drops = DropReason::ALL.iter().map(|reason| DropCounter {
        reason: reason.name().to_owned(),
        meaning: reason.meaning().to_owned(),
        packets: counters.drops.get(reason).copied().unwrap_or(0),
    });
    Ok(Json(drops.collect()))
}

async fn neighbors(State(api): State<Api>) -> Result<Json<Vec<Neighbor>>, ApiError> {
    api.look(Owner::neighbors).await.map(Json)
}

async fn neighbor(
    State(api): State<Api>,
    Path(address): Path<std::net::IpAddr>,
) -> Result<Json<Neighbor>, ApiError> {
    let neighbors = api.look(Owner::neighbors).await?;
    let found = neighbors.into_iter().find(|neighbor| neighbor.address == address);
    let unknown = || ApiError::not_found(format!("{address} is no control node of this cloud"));
    found.map(Json).ok_or_else(unknown)
}

/// Brings the gauges up to date before they are read.
async fn refresh_metrics(State(api): State<Api>, request: HttpRequest, next: Next) -> Response {
    api.gauges.set_exported(&api.exported);
    // Old figures are better than none while the agent is busy.
    if let Ok(core) = api.look(|owner| owner.core.gauges()).await {
        api.gauges.set_core(&core);
    }
    if let Ok(counters) = api.counters().await {
        api.gauges.set_counters(&counters);
        if let Ok(shown) = api.look(move |owner| owner.core.show_counters(&counters)).await {
            api.gauges.set_traffic(&shown);
        }
    }
    next.run(request).await
}
