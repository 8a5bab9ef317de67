//! FRR's EVPN table, read from what it shows as JSON.

use anyhow::{Context, Result};
use serde_json::Value;

use super::tunnel::{Mark, Route, Tunnel};

/// All of type 5 at once, with everything that is said of them.
pub(super) const QUESTION: &str = "show bgp l2vpn evpn route detail type prefix json";

/// The best paths of the answer to [`QUESTION`] that have all that VXLAN between routers needs.
pub(super) fn read_routes(answer: &str) -> Result<Vec<Route>> {
    if answer.trim().is_empty() {
        return Ok(Vec::new());
    }
    let table: Value = serde_json::from_str(answer).context("the EVPN table as JSON")?;
    let mut routes = Vec::new();
    // By route distinguisher, between counters.
    for distinguished in table.as_object().into_iter().flat_map(|table| table.values()) {
        for route in distinguished.as_object().into_iter().flat_map(|routes| routes.values()) {
            // An array in an array, once for each path.
            let paths = route["paths"].as_array().into_iter().flatten();
            let paths = paths.flat_map(|path| path.as_array().into_iter().flatten());
            routes.extend(paths.filter_map(|path| read_path(route, path)));
        }
    }
    Ok(routes)
}

fn read_path(route: &Value, path: &Value) -> Option<Route> {
    let is_best = path["bestpath"]["overall"].as_bool().unwrap_or(false);
    if !is_best || path["valid"].as_bool() != Some(true) {
        return None;
    }
    let communities = path["extendedCommunity"]["string"].as_str().unwrap_or_default();
    let named =
        |name: &'static str| communities.split(' ').filter_map(move |c| c.strip_prefix(name));
    // 8 is VXLAN (RFC 8365 section 5.1.3).
    named("ET:").find(|tunnel| *tunnel == "8")?;
    Some(Route {
        prefix: format!("{}/{}", route["ip"].as_str()?, route["ipLen"].as_u64()?),
        targets: named("RT:").map(str::to_owned).collect(),
        tunnel: Tunnel {
            end: path["nexthops"][0]["ip"].as_str()?.parse().ok()?,
            mark: Mark::Vxlan {
                vni: path["vni"].as_str()?.parse().ok()?,
                router_mac: named("Rmac:").next()?.to_owned(),
            },
        },
        is_local: path["sourced"].as_bool().unwrap_or(false),
    })
}
