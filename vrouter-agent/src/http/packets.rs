//! The part of the API that is about packets: counters, traces, copies.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use arcus_api::v1::{Counters, MirrorQuery, Trace, TraceRequest};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use daemon::http::{ApiError, Json, Path};
use futures::{StreamExt as _, stream};

use super::Api;
use crate::erspan::{Analyzer, Session};
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
    let port = api.look(move |owner| owner.core.status_of(&wanted)).await?.ok_or(unknown)?;
    let analyzer = match query.erspan {
        None => None,
        Some(to) => Some(analyzer(&api, to, query.session, &port.mac).await?),
    };
    let watch = api.mirrors.watch(crate::local::plane_id(&id)).await.map_err(ApiError::refused)?;
    let time = query.seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
    let snaplen = query.snaplen.unwrap_or(WHOLE);
    if let Some(analyzer) = analyzer {
        let all = async move {
            let lost = watch.send_to(analyzer, snaplen, time).await;
            if lost > 0 {
                tracing::warn!(port = %id, lost, "copies of packets were not sent");
            }
        };
        let nothing = |()| std::future::ready(None::<Result<Bytes, Infallible>>);
        let nothing = stream::once(all).filter_map(nothing);
        return Ok(Body::from_stream(nothing).into_response());
    }
    let packets = watch.pcap(snaplen, time);
    let kind = (CONTENT_TYPE, "application/vnd.tcpdump.pcap");
    Ok(([kind], Body::from_stream(packets)).into_response())
}

/// Where copies go, from this node's address of the same version of IP.
async fn analyzer(
    api: &Api,
    to: IpAddr,
    session: Option<u16>,
    mac: &str,
) -> Result<Analyzer, ApiError> {
    let session = Session::new(session.unwrap_or(1));
    let session = session.ok_or_else(|| ApiError::refused("a session is 0 to 1023"))?;
    let own = api.look(|owner| owner.core.node().tunnel_ends()).await?;
    let own = own.into_iter().find(|own| own.is_ipv4() == to.is_ipv4());
    let none = || ApiError::refused(format!("this node has no address of the version of {to}"));
    let mac = mac.parse().map_err(|_| ApiError::internal(format!("{mac} is no MAC address")))?;
    Analyzer::new(own.ok_or_else(none)?, to, session, mac)
        .map_err(|error| ApiError::refused(format!("no copies to {to}: {error}")))
}
