//! The platform of whoever sits at the machine: ports over the agent's own API.

use arcus_api::v1::{PortId, PortRequest, PortStatus};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use daemon::http::{ApiError, Json, Path};

use crate::core::{Denied, PortAnswer};
use crate::http::Api;
use crate::ipam;
use crate::owner::Request;

/// The part of the API that is about ports.
pub fn router() -> Router<Api> {
    Router::new()
        .route("/v1/ports", get(list))
        .route("/v1/ports/{id}", put(add).delete(remove).get(show))
        .route("/v1/ports/{id}/ready", post(ready))
        .route("/v1/ports/{id}/unready", post(unready))
}

async fn list(State(api): State<Api>) -> Result<Json<Vec<PortStatus>>, ApiError> {
    api.look(|owner| owner.core.show_ports()).await.map(Json)
}

async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<PortStatus>, ApiError> {
    let id = read_id(id)?;
    let unknown = ApiError::not_found(Denied::Unknown(id.clone()).to_string());
    api.look(move |owner| owner.core.status_of(&id)).await?.map(Json).ok_or(unknown)
}

async fn add(
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(request): Json<PortRequest>,
) -> Result<Json<PortStatus>, ApiError> {
    let id = read_id(id)?;
    let spec = ipam::read_request(&request).map_err(|refused| ApiError::refused(refused.0))?;
    api.netns(&spec.netns).await?;
    let wanted = id.clone();
    status(&id, api.ask(|reply| Request::Put { id: wanted, spec: Box::new(spec), reply }).await?)
}

async fn remove(State(api): State<Api>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = read_id(id)?;
    let answer = api.ask(|reply| Request::Remove { id, reply }).await?;
    answer.map(|_| StatusCode::NO_CONTENT).map_err(|denied| refusal(&denied))
}

async fn ready(state: State<Api>, id: Path<String>) -> Result<Json<PortStatus>, ApiError> {
    set_ready(state, id, true).await
}

async fn unready(state: State<Api>, id: Path<String>) -> Result<Json<PortStatus>, ApiError> {
    set_ready(state, id, false).await
}

async fn set_ready(
    State(api): State<Api>,
    Path(id): Path<String>,
    ready: bool,
) -> Result<Json<PortStatus>, ApiError> {
    let id = read_id(id)?;
    let wanted = id.clone();
    status(&id, api.ask(|reply| Request::Ready { id: wanted, ready, reply }).await?)
}

pub(crate) fn read_id(text: String) -> Result<PortId, ApiError> {
    PortId::try_from(text).map_err(|error| ApiError::bad_request(error.to_string()))
}

fn status(id: &PortId, answer: PortAnswer) -> Result<Json<PortStatus>, ApiError> {
    match answer {
        Ok(Some(status)) => Ok(Json(status)),
        Ok(None) => Err(ApiError::conflict(format!("port `{id}` was removed meanwhile"))),
        Err(denied) => Err(refusal(&denied)),
    }
}

fn refusal(denied: &Denied) -> ApiError {
    let status = match denied {
        Denied::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Denied::Unknown(_) => StatusCode::NOT_FOUND,
        Denied::Overtaken(_) => StatusCode::CONFLICT,
        Denied::NotSaved(_) => StatusCode::INSUFFICIENT_STORAGE,
    };
    ApiError::new(status, denied.to_string())
}
