//! `GET /v1/neighbors`, `GET /v1/neighbors/{address}`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use arcus_api::v1::Neighbor;
use axum::extract::State;
use bgp_rib::query::{RouteFilter, RoutesQuery};
use bgp_rib::{Answer, Query};
use bgp_wire::AfiSafi;
use daemon::http::{ApiError, Json, Path};

use super::Api;
use crate::neighbor::NeighborState;

/// Memberships shown of one neighbor; who has more is better asked by `/v1/targets`.
const MEMBERSHIPS: usize = 1000;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<Neighbor>>, ApiError> {
    let mut neighbors = Vec::new();
    for neighbor in api.neighbors().await? {
        neighbors.push(complete(&api, neighbor).await?);
    }
    neighbors.sort_by_key(|neighbor| neighbor.address);
    Ok(Json(neighbors))
}

pub(super) async fn one(
    State(api): State<Api>,
    Path(address): Path<IpAddr>,
) -> Result<Json<Neighbor>, ApiError> {
    let neighbors = api.neighbors().await?;
    let addresses: Vec<_> = neighbors.iter().map(|n| n.address.to_string()).collect();
    let neighbor = neighbors
        .into_iter()
        .find(|neighbor| neighbor.address == address)
        .ok_or_else(|| unknown(address, &addresses))?;
    complete(&api, neighbor).await.map(Json)
}

pub(super) fn unknown(address: IpAddr, known: &[String]) -> ApiError {
    ApiError::not_found(format!("there is no neighbor {address}; there are {}", known.join(", ")))
}

/// Adds what the shards know.
async fn complete(api: &Api, neighbor: NeighborState) -> Result<Neighbor, ApiError> {
    let answers = api.ask_all(&Query::Peer(neighbor.number)).await?;
    let shards: Vec<_> = answers
        .into_iter()
        .filter_map(|answer| match answer {
            Answer::Peer(info) => info,
            _ => None,
        })
        .collect();
    // Every shard knows every membership.
    let memberships = Query::Routes(RoutesQuery {
        family: AfiSafi::RTC,
        filter: RouteFilter { from: Some(neighbor.number), ..RouteFilter::default() },
        after: None,
        limit: MEMBERSHIPS,
    });
    let memberships = match api.ask(0, memberships).await? {
        // Of one target there may be memberships of several origin ASes.
        Answer::Routes(page) => {
            page.routes.into_iter().map(|route| membership(&route.key)).collect()
        }
        _ => BTreeSet::new(),
    };
    Ok(neighbor.with(&shards, memberships.into_iter().collect()))
}

/// The target of a membership, without the origin AS.
fn membership(key: &str) -> String {
    key.split_once(':')
        .filter(|(_, rest)| rest.contains(':'))
        .map_or_else(|| key.to_owned(), |(_, target)| target.to_owned())
}
