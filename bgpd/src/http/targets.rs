//! `GET /v1/targets`: who asks for which route target, and how much carries it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use arcus_api::v1::Target;
use axum::extract::State;
use bgp_rib::{Answer, Query};
use bgp_wire::RouteTarget;
use daemon::http::{ApiError, Json};

use super::Api;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<Target>>, ApiError> {
    let addresses = api.addresses().await?;
    let mut targets: BTreeMap<RouteTarget, (BTreeSet<IpAddr>, u64)> = BTreeMap::new();
    for answer in api.ask_all(&Query::Targets).await? {
        let Answer::Targets(shard) = answer else { continue };
        for info in shard {
            let (asked_by, routes) = targets.entry(info.target).or_default();
            asked_by.extend(info.asked_by.iter().filter_map(|peer| addresses.get(peer)));
            *routes += info.best.iter().map(|(_, best)| u64::from(*best)).sum::<u64>();
        }
    }
    let targets = targets.into_iter().map(|(target, (asked_by, routes))| Target {
        target: target.to_string(),
        asked_by: asked_by.into_iter().collect(),
        routes,
    });
    Ok(Json(targets.collect()))
}
