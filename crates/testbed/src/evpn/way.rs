//! What FRR has put into the kernel for a route over VXLAN: it takes three tables to send a packet.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{BRIDGE, DEVICE};
use crate::Namespace;

/// A way over the VXLAN device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Where the tunnel ends.
    pub end: Ipv4Addr,
    /// Where the frame inside is sent.
    pub router_mac: String,
}

/// The ways of the route that BGP has put there for this one host; none when there is no route.
pub(super) async fn ways_to(namespace: &Namespace, host: IpAddr) -> Result<Vec<Way>> {
    let version = if host.is_ipv6() { "-6" } else { "-4" };
    let routes = json(namespace, &["ip", version, "-j", "route", "show", "proto", "bgp"]).await?;
    let neighbours = json(namespace, &["ip", "-j", "neigh", "show", "dev", BRIDGE]).await?;
    let entries = json(namespace, &["bridge", "-j", "fdb", "show", "dev", DEVICE]).await?;
    read(&routes, &neighbours, &entries, &host.to_string())
}

fn read(routes: &Value, neighbours: &Value, entries: &Value, host: &str) -> Result<Vec<Way>> {
    let mut routes = routes.as_array().into_iter().flatten();
    let Some(route) = routes.find(|route| route["dst"] == host) else { return Ok(Vec::new()) };
    let several = route["nexthops"].as_array().map(Vec::as_slice);
    let next_hops = several.unwrap_or(std::slice::from_ref(route));
    let mut ways: Vec<Way> =
        next_hops.iter().map(|hop| way(hop, neighbours, entries)).collect::<Result<_>>()?;
    ways.sort();
    Ok(ways)
}

fn way(hop: &Value, neighbours: &Value, entries: &Value) -> Result<Way> {
    ensure!(hop["dev"] == BRIDGE, "not over the bridge: {hop}");
    // A next hop of the other version of IP is in an object of its own.
    let gateway = hop["gateway"].as_str().or_else(|| hop["via"]["host"].as_str());
    let gateway = gateway.with_context(|| format!("no next hop: {hop}"))?;
    let mut neighbours = neighbours.as_array().into_iter().flatten();
    let neighbour = neighbours.find(|neighbour| neighbour["dst"] == gateway);
    let router_mac = neighbour.and_then(|neighbour| neighbour["lladdr"].as_str());
    let router_mac = router_mac.with_context(|| format!("no neighbour {gateway}"))?;
    let mut entries = entries.as_array().into_iter().flatten();
    let entry = entries.find(|entry| entry["mac"] == router_mac && entry["dst"].is_string());
    let end = entry.and_then(|entry| entry["dst"].as_str());
    let end = end.with_context(|| format!("no forwarding entry for {router_mac}"))?.parse()?;
    Ok(Way { end, router_mac: router_mac.to_owned() })
}

async fn json(namespace: &Namespace, words: &[&str]) -> Result<Value> {
    let text = namespace.run(words).await?;
    // Nothing at all where a table is empty.
    let text = if text.trim().is_empty() { "[]" } else { &text };
    serde_json::from_str(text).with_context(|| format!("{}: {text}", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_takes_a_route_a_neighbour_and_a_forwarding_entry() {
        // As iproute2 6.1 shows them.
        let hop = |gateway| json!({ "gateway": gateway, "dev": BRIDGE, "flags": ["onlink"] });
        let routes = json!([
            { "dst": "10.100.0.5", "gateway": "10.0.1.1", "dev": BRIDGE, "protocol": "bgp" },
            { "dst": "10.101.0.1", "nexthops": [hop("10.0.1.2"), hop("10.0.1.1")] },
            { "dst": "2001:db8::5", "gateway": "::ffff:10.0.1.1", "dev": BRIDGE },
        ]);
        let neighbour = |dst, mac| json!({ "dst": dst, "lladdr": mac, "state": ["NOARP"] });
        let neighbours = json!([
            neighbour("10.0.1.1", "02:5e:0a:00:01:01"),
            neighbour("::ffff:10.0.1.1", "02:5e:0a:00:01:01"),
            neighbour("10.0.1.2", "02:5e:0a:00:01:02"),
        ]);
        let entry = |mac, dst| json!({ "mac": mac, "dst": dst, "ifname": DEVICE });
        let mut entries = json!([
            // In the bridge, and then in the device.
            { "mac": "02:5e:0a:00:01:01", "master": BRIDGE },
            entry("02:5e:0a:00:01:01", "10.0.1.1"),
            entry("02:5e:0a:00:01:02", "10.0.1.2"),
        ]);
        let ways = |entries: &Value, host| {
            let ways = read(&routes, &neighbours, entries, host)?;
            Ok::<_, anyhow::Error>(ways.iter().map(|way| way.end.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(ways(&entries, "10.100.0.5").expect("a way"), ["10.0.1.1"]);
        assert_eq!(ways(&entries, "2001:db8::5").expect("a way"), ["10.0.1.1"]);
        assert_eq!(ways(&entries, "10.101.0.1").expect("ways"), ["10.0.1.1", "10.0.1.2"]);
        assert!(ways(&entries, "10.100.0.6").expect("none").is_empty());
        entries[1]["dst"] = Value::Null;
        let error = ways(&entries, "10.100.0.5").expect_err("no entry").to_string();
        assert!(error.contains("no forwarding entry for 02:5e:0a:00:01:01"), "{error}");
    }
}
