//! The part of the API that is about packets: counters, traces, copies.

use std::time::Duration;

use arcus_api::v1::{Counters, MirrorQuery, Trace, TraceRequest};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use daemon::http::{ApiError, Json, Path};

use super::Api;
use crate::platform::local::read_id;
use crate::reconcile_task::Question;
use crate::trace;

/// Octets of each packet in a mirror, unless told otherwise: all of the largest one.
const WHOLE: u32 = 262_144;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/v1/counters", get(counters))
        .route("/v1/trace", post(send_trace))
        .route("/v1/ports/{id}/mirror", get(mirror))
}

async fn counters(State(api): State<Api>) -> Result<Json<Counters>, ApiError> {
    let counted = api.counters().await?;
    api.look(move |owner| owner.core.show_counters(&counted)).await.map(Json)
}

async fn send_trace(
    State(api): State<Api>,
    Json(request): Json<TraceRequest>,
) -> Result<Json<Trace>, ApiError> {
    let probe = api.look(move |owner| trace::probe(&owner.core, &request)).await?;
    let probe = probe.map_err(ApiError::refused)?;
    let answer = api.question(|reply| Question::Trace(probe, reply)).await?;
    let done = answer.map_err(ApiError::refused)?;
    api.look(move |owner| trace::show(&owner.core, &done)).await.map(Json)
}

async fn mirror(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<MirrorQuery>,
) -> Result<Response, ApiError> {
    let id = read_id(id)?;
    let unknown = ApiError::not_found(format!(
        "there is no port `{id}`; `arcus port list` shows those that are"
    ));
    let wanted = id.clone();
    api.look(move |owner| owner.core.status_of(&wanted)).await?.ok_or(unknown)?;
    let watch = api.mirrors.watch(crate::local::plane_id(&id)).await.map_err(ApiError::refused)?;
    let time = query.seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
    let packets = watch.pcap(query.snaplen.unwrap_or(WHOLE), time);
    let kind = (CONTENT_TYPE, "application/vnd.tcpdump.pcap");
    Ok(([kind], Body::from_stream(packets)).into_response())
}
