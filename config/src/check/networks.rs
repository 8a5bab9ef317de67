//! Whether a network can have the VNI, the static routes and the aggregates that it names.

use std::collections::BTreeMap;

use super::{addresses::overlap, targets::shared_target};
use crate::{AfiSafi, ConfigError, Encapsulation, Network, StaticNext, StaticRoute, read::Draft};

pub(super) fn check(draft: &Draft) -> Result<(), ConfigError> {
    vnis_differ(draft)?;
    vxlan_has_what_it_needs(draft)?;
    for network in draft.topology.networks.values() {
        static_routes_lead_somewhere(draft, network)?;
        aggregates_hold_something(draft, network)?;
    }
    Ok(())
}

/// Halves of one network in different clouds may have one VNI; every other pair would mix.
fn vnis_differ(draft: &Draft) -> Result<(), ConfigError> {
    let mut seen: BTreeMap<u32, Vec<&Network>> = BTreeMap::new();
    for network in draft.topology.networks.values() {
        let Some(vni) = network.vni else { continue };
        let others = seen.entry(vni).or_default();
        let clash = others.iter().find(|other| {
            let meet = network.clouds.iter().any(|cloud| other.is_in(cloud));
            meet || shared_target(network, other).is_none()
        });
        if let Some(other) = clash {
            let message = format!(
                "networks `{}` and `{}` have the same vni; give each its own (only halves of one \
                 network, in different clouds and with a common target, may share one)",
                other.name, network.name
            );
            let path = |network: &Network| format!("network.{}.vni", network.name);
            return Err(draft.places.clash(&path(network), message, &path(other)));
        }
        others.push(network);
    }
    Ok(())
}

fn vxlan_has_what_it_needs(draft: &Draft) -> Result<(), ConfigError> {
    for cloud in draft.topology.clouds.values() {
        if cloud.encapsulations != [Encapsulation::Vxlan] {
            continue;
        }
        let without = draft.topology.networks_of(&cloud.name).find(|n| n.vni.is_none());
        if let Some(network) = without {
            let message = format!(
                "cloud `{}` sends over VXLAN only, and network `{}` has no vni; write vni = 5001, \
                 or name other encapsulations for the cloud, too",
                cloud.name, network.name
            );
            let (path, other) = (
                format!("network.{}", network.name),
                format!("cloud.{}.encapsulations", cloud.name),
            );
            return Err(draft.places.error_beside(&path, message, &other, "VXLAN only"));
        }
    }
    for gateway in draft.topology.gateways.values() {
        let has_vxlan = gateway.encapsulations.contains(&Encapsulation::Vxlan);
        if has_vxlan && !gateway.families.contains(&AfiSafi::EVPN) {
            let list = format!("gateway.{}.encapsulations", gateway.name);
            let message = format!(
                "gateway `{}` has no EVPN routes, and others are never behind VXLAN; write \
                 families = [\"evpn\"] or remove \"vxlan\"",
                gateway.name
            );
            let path = draft.places.item(&list, Encapsulation::Vxlan.as_str());
            return Err(draft.places.error(&path, message));
        }
    }
    Ok(())
}

fn static_routes_lead_somewhere(draft: &Draft, network: &Network) -> Result<(), ConfigError> {
    let path = |route: &StaticRoute, key: &str| {
        let list = format!("network.{}.static-routes", network.name);
        let place = |written: &str| draft.places.inner_item(&list, key, written);
        match (key, route.next) {
            ("via", StaticNext::Via(address)) => place(&address.to_string()),
            _ => place(&route.prefix.to_string()),
        }
    };
    let mut before: Option<&StaticRoute> = None;
    for route in &network.static_routes {
        if let StaticNext::Via(address) = route.next {
            if !network.subnets.iter().any(|subnet| subnet.contains(&address)) {
                let message = format!(
                    "{address} is in no subnet of network `{}`; write the address of a port of \
                     this network",
                    network.name
                );
                return Err(draft.places.error(&path(route, "via"), message));
            }
            if address.is_ipv4() != route.prefix.addr().is_ipv4() {
                let message = format!(
                    "{} and {address} are of different IP versions; write an address of the \
                     prefix's version",
                    route.prefix
                );
                return Err(draft.places.error(&path(route, "via"), message));
            }
        }
        // Sorted: equal prefixes are neighbours, and a discard is the last of them.
        if let Some(other) = before
            && other.prefix == route.prefix
            && (other == route || route.next == StaticNext::Discard)
        {
            let message = format!(
                "network `{}` has two static routes to {}; remove one (several ports may share a \
                 prefix, each with its own via)",
                network.name, route.prefix
            );
            return Err(draft.places.error(&path(route, "prefix"), message));
        }
        before = Some(route);
    }
    Ok(())
}

fn aggregates_hold_something(draft: &Draft, network: &Network) -> Result<(), ConfigError> {
    for aggregate in &network.aggregates {
        let list = format!("network.{}.aggregates", network.name);
        let path = draft.places.item(&list, &aggregate.to_string());
        let routes = network.static_routes.iter().map(|route| route.prefix);
        if routes.clone().any(|prefix| prefix == *aggregate) {
            let message = format!(
                "{aggregate} is a static route of network `{}`, too; remove one of them",
                network.name
            );
            return Err(draft.places.error(&path, message));
        }
        let mut parts = network.prefixes().chain(routes);
        if !parts.any(|part| overlap(part, *aggregate)) {
            let message = format!(
                "network `{}` has no addresses in {aggregate}, so nobody would ever announce it; \
                 write a prefix that holds some of its subnets",
                network.name
            );
            return Err(draft.places.error(&path, message));
        }
    }
    Ok(())
}
