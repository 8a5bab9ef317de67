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

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = include_str!("recorded/frr-8.4-evpn.json");

    #[test]
    fn routes_have_the_vni_and_the_router_of_their_sender() {
        let routes = read_routes(TABLE).expect("a table");
        let seen: Vec<_> = routes
            .iter()
            .map(|route| (route.prefix.as_str(), route.tunnel.to_string(), route.is_local))
            .collect();
        let (far, own) = (
            "10.0.1.1 VNI 11259375 router 02:5e:0a:00:01:01".to_owned(),
            "10.0.2.1 VNI 10100 router 02:00:5e:00:02:01".to_owned(),
        );
        let want = [
            ("10.100.0.5/32", far.clone(), false),
            ("2001:db8:100::5/128", far, false),
            ("203.0.113.0/24", own.clone(), true),
            ("2001:db8:113::/64", own, true),
        ];
        assert_eq!(seen.len(), want.len());
        assert!(want.iter().all(|route| seen.contains(route)), "{seen:?}");
        assert!(routes.iter().all(|route| route.targets.contains("64512:100")), "{routes:?}");
        assert_eq!(read_routes("").expect("an empty table"), []);
    }

    #[test]
    fn a_route_that_lacks_something_is_left_out() {
        let changes = [
            ("RT:64512:100 ET:8 ", "RT:64512:100 ", 2),
            (" Rmac:02:5e:0a:00:01:01", "", 2),
            ("\"overall\":true", "\"overall\":false", 0),
            ("\"valid\":true", "\"valid\":false", 0),
        ];
        for (from, to, left) in changes {
            let table = TABLE.replace(from, to);
            assert_eq!(read_routes(&table).expect("a table").len(), left, "{from}");
        }
    }
}
