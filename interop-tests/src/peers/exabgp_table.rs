//! From the messages that ExaBGP writes down to the routes that it has.

use anyhow::{Context, Result};
use serde_json::Value;

use super::route::RD;
use super::{Attributes, Field, Kind, Route};

/// What is left of one route after all messages. A session that ends takes it away.
pub(super) fn look_up(messages: &str, route: &Route) -> Result<Option<Attributes>> {
    let mut found = None;
    // The last line may be on its way still.
    let complete = messages.rsplit_once('\n').map_or("", |(lines, _)| lines);
    for line in complete.lines() {
        // The reason in such a message may have quotation marks in it, and is no JSON then.
        if line.contains("\"type\": \"state\"") {
            found = None;
            continue;
        }
        let message: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let update = &message["neighbor"]["message"]["update"];
        let family = family(route.kind);
        let withdrawn = update["withdraw"][family].as_array().into_iter().flatten();
        if withdrawn.into_iter().any(|nlri| is_it(nlri, route)) {
            found = None;
        }
        let hops = update["announce"][family].as_object().into_iter().flatten();
        for (hop, routes) in hops {
            let mut routes = routes.as_array().into_iter().flatten();
            if let Some(nlri) = routes.find(|nlri| is_it(nlri, route)) {
                found = Some(attributes(route.kind, hop, nlri, &update["attribute"]));
            }
        }
    }
    Ok(found)
}

const fn family(kind: Kind) -> &'static str {
    match kind {
        Kind::Ipv4 => "ipv4 unicast",
        Kind::Ipv6 => "ipv6 unicast",
        Kind::Vpnv4 => "ipv4 mpls-vpn",
        Kind::Vpnv6 => "ipv6 mpls-vpn",
        Kind::EvpnMacIp | Kind::EvpnMulticast | Kind::EvpnPrefix => "l2vpn evpn",
    }
}

fn is_it(nlri: &Value, route: &Route) -> bool {
    let prefix = route.prefix();
    let has_rd = nlri["rd"] == RD;
    match route.kind {
        Kind::Ipv4 | Kind::Ipv6 => nlri["nlri"] == prefix.as_str(),
        Kind::Vpnv4 | Kind::Vpnv6 => has_rd && nlri["nlri"] == prefix.as_str(),
        Kind::EvpnMacIp => {
            has_rd
                && nlri["code"] == 2
                && nlri["ip"] == prefix.as_str()
                && nlri["mac"].as_str().is_some_and(|mac| mac.eq_ignore_ascii_case(&route.mac()))
        }
        Kind::EvpnMulticast => has_rd && nlri["code"] == 3 && nlri["ip"] == prefix.as_str(),
        Kind::EvpnPrefix => {
            has_rd
                && nlri["code"] == 5
                && prefix.split('/').next().is_some_and(|address| nlri["ip"] == address)
        }
    }
}

fn attributes(kind: Kind, hop: &str, nlri: &Value, attribute: &Value) -> Attributes {
    let list = |value: &Value, between: &str| -> String {
        let values = value.as_array().into_iter().flatten();
        values.map(plain).collect::<Vec<_>>().join(between)
    };
    let mut all = Attributes::default();
    all.set(Field::NextHop, hop);
    all.set(Field::AsPath, list(&attribute["as-path"], " "));
    all.set(Field::Origin, plain(&attribute["origin"]));
    all.set(Field::Med, attribute["med"].as_u64().map_or(String::new(), |med| med.to_string()));
    let preference = attribute["local-preference"].as_u64();
    all.set(Field::LocalPref, preference.map_or(String::new(), |value| value.to_string()));
    let lists = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|one| list(one, ":")).collect()
    };
    all.set_all(Field::Communities, lists(&attribute["community"]));
    all.set_all(Field::LargeCommunities, lists(&attribute["large-community"]));
    let extended = attribute["extended-community"].as_array().into_iter().flatten();
    let targets = extended.filter_map(|one| one["string"].as_str()?.strip_prefix("target:"));
    all.set_all(Field::Targets, targets.map(str::to_owned));
    all.set(Field::Originator, attribute["originator-id"].as_str().unwrap_or_default());
    all.set(Field::ClusterList, list(&attribute["cluster-list"], " "));
    match kind {
        Kind::Ipv4 | Kind::Ipv6 => {}
        // It reads 20 bits of the label, and shows all 24 behind them.
        Kind::EvpnMacIp | Kind::EvpnPrefix => {
            all.set(
                Field::Label,
                nlri["label"][0][1].as_u64().map_or(String::new(), |vni| vni.to_string()),
            );
        }
        // `pmsi:ingressreplication:0:6(100):10.0.2.9`
        Kind::EvpnMulticast => {
            let pmsi = attribute["pmsi"].as_str().unwrap_or_default();
            let label = pmsi.split(['(', ')']).nth(1).unwrap_or_default();
            all.set(Field::Label, label);
        }
        Kind::Vpnv4 | Kind::Vpnv6 => all.set(Field::Label, list(&nlri["label"][0], " ")),
    }
    all
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ExaBGP 4.2.21 wrote them, shortened.
    const ANNOUNCED: &str = r#"{ "type": "update", "neighbor": { "message": { "update": { "attribute": { "origin": "igp", "as-path": [ 64512, 65102 ], "med": 50, "community": [ [ 64512, 1 ] ], "extended-community": [ { "value": 840026883620964, "string": "target:64512:100" } ] }, "announce": { "ipv4 mpls-vpn": { "10.0.2.1": [ { "nlri": "10.100.3.0/24", "label": [ [100] ], "rd": "64512:1" } ] } } } } } }
"#;
    const WITHDRAWN: &str = r#"{ "type": "update", "neighbor": { "message": { "update": { "withdraw": { "ipv4 mpls-vpn": [ { "nlri": "10.100.3.0/24", "label": [ [524288] ], "rd": "64512:1" } ] } } } } }
"#;
    const DOWN: &str = "{ \"type\": \"state\", \"neighbor\": { \"state\": \"down\", \"reason\": \"said \"no\"\" } }\n";

    fn route() -> Route {
        let next_hop = [10, 0, 2, 1].into();
        Route { kind: Kind::Vpnv4, number: 3, next_hop, label: 100, target: "64512:100" }
    }

    #[test]
    fn the_last_word_counts() {
        let heard = |messages: &str| look_up(messages, &route()).expect("JSON");
        let seen = heard(ANNOUNCED).expect("announced");
        assert_eq!(seen.0[&Field::Label], "100");
        assert_eq!(seen.0[&Field::Communities], "64512:1");
        assert_eq!(seen.0[&Field::Targets], "64512:100");
        assert_eq!(heard(&format!("{ANNOUNCED}{WITHDRAWN}")), None);
        assert_eq!(heard(&format!("{ANNOUNCED}{DOWN}")), None);
        assert!(heard(&format!("{ANNOUNCED}{WITHDRAWN}{ANNOUNCED}")).is_some());
        assert!(
            heard(&format!("{ANNOUNCED}{{ \"type\"")).is_some(),
            "half a line is no message yet"
        );
    }
}
