//! FRR's VPN table, read from what it shows as JSON.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::frr::Vty;
use super::tunnel::{Mark, Route, Tunnel};

/// The summary has neither labels nor route targets: each prefix is asked for by itself.
pub(super) async fn read_table(vty: &mut Vty, summary: &str) -> Result<Vec<Route>> {
    let mut routes = Vec::new();
    for prefix in prefixes(summary)? {
        let detail = vty.run(&format!("show bgp ipv4 vpn {prefix} json")).await?;
        routes.extend(read_routes(&prefix, &detail)?);
    }
    Ok(routes)
}

/// All prefixes of `show bgp ipv4 vpn json`, of whatever route distinguisher.
fn prefixes(summary: &str) -> Result<BTreeSet<String>> {
    if summary.trim().is_empty() {
        return Ok(BTreeSet::new());
    }
    let table: Value = serde_json::from_str(summary).context("the VPN table as JSON")?;
    let Some(distinguishers) = table["routes"]["routeDistinguishers"].as_object() else {
        return Ok(BTreeSet::new());
    };
    let tables = distinguishers.values().filter_map(Value::as_object);
    Ok(tables.flat_map(|routes| routes.keys().cloned()).collect())
}

/// The best paths of `show bgp ipv4 vpn PREFIX json`. A path without a label is of no use here.
fn read_routes(prefix: &str, detail: &str) -> Result<Vec<Route>> {
    let detail: Value = serde_json::from_str(detail).context("a VPN route as JSON")?;
    let mut routes = Vec::new();
    for route in detail.as_object().into_iter().flat_map(|rds| rds.values()) {
        // The longest match is given too where the prefix itself is not there.
        if route["prefix"].as_str() != Some(prefix) {
            continue;
        }
        let paths = route["paths"].as_array().into_iter().flatten();
        routes.extend(paths.filter_map(|path| read_path(prefix, path)));
    }
    Ok(routes)
}

fn read_path(prefix: &str, path: &Value) -> Option<Route> {
    let is_best = path["bestpath"]["overall"].as_bool().unwrap_or(false);
    if !is_best || path["valid"].as_bool() != Some(true) {
        return None;
    }
    let communities = path["extendedCommunity"]["string"].as_str().unwrap_or_default();
    let targets = communities.split(' ').filter_map(|community| community.strip_prefix("RT:"));
    Some(Route {
        prefix: prefix.to_owned(),
        targets: targets.map(str::to_owned).collect(),
        tunnel: Tunnel {
            end: path["nexthops"][0]["ip"].as_str()?.parse().ok()?,
            mark: Mark::Mpls { label: u32::try_from(path["remoteLabel"].as_u64()?).ok()? },
        },
        is_local: path["sourced"].as_bool().unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = include_str!("recorded/frr-8.4-vpn.json");
    const REMOTE: &str = include_str!("recorded/frr-8.4-vpn-remote.json");
    const LOCAL: &str = include_str!("recorded/frr-8.4-vpn-local.json");

    #[test]
    fn a_prefix_under_three_distinguishers_is_asked_for_once() {
        let want = BTreeSet::from(["0.0.0.0/0".to_owned(), "185.22.97.188/32".to_owned()]);
        assert_eq!(prefixes(SUMMARY).expect("a table"), want);
        assert_eq!(prefixes("").expect("an empty table"), BTreeSet::new());
    }

    #[test]
    fn each_distinguisher_gives_a_route_with_its_own_label() {
        let routes = read_routes("185.22.97.188/32", REMOTE).expect("routes");
        let seen: Vec<_> = routes.iter().map(|route| route.tunnel.to_string()).collect();
        let want = ["10.2.1.11 label 21", "10.2.1.12 label 22", "10.2.1.13 label 23"];
        assert_eq!(seen, want);
        let target = BTreeSet::from(["64512:900".to_owned()]);
        assert!(routes.iter().all(|route| route.targets == target && !route.is_local));
    }

    #[test]
    fn what_a_vrf_of_this_frr_exports_is_told_from_what_it_received() {
        let routes = read_routes("0.0.0.0/0", LOCAL).expect("routes");
        assert_eq!(
            routes.iter().map(|r| (r.tunnel.mark.clone(), r.is_local)).collect::<Vec<_>>(),
            [(Mark::Mpls { label: 3000 }, true)]
        );
    }

    #[test]
    fn a_longest_match_is_not_mistaken_for_the_prefix() {
        assert_eq!(read_routes("185.22.97.188/32", LOCAL).expect("no routes"), []);
    }
}
