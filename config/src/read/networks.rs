//! `[network.NAME]` and `[connection.NAME]`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::DraftConnection;
use crate::{
    ConfigError, Network, RouteTarget, StaticNext, StaticRoute,
    options::{Bounded, sorted},
    table::Table,
    value::AnyNet,
};

pub(super) fn network(name: String, mut table: Table<'_>) -> Result<Network, ConfigError> {
    table.only(&[
        "clouds",
        "subnets",
        "service-subnets",
        "route-targets",
        "import-targets",
        "export-targets",
        "vni",
        "filter",
        "groups",
        "static-routes",
        "aggregates",
        "masquerade",
        "host-access",
        "port-labels",
    ])?;
    let clouds = sorted(table.required_list("clouds", "[\"openstack\"]")?);
    let (subnets, service_subnets) = subnets(&name, &mut table)?;
    let (import_targets, export_targets) = targets(&name, &mut table)?;
    let static_routes = table.tables("static-routes", STATIC_ROUTES)?;
    let static_routes =
        static_routes.into_iter().map(static_route).collect::<Result<Vec<_>, _>>()?;
    let vni = table.optional::<Bounded<1, 0x00ff_ffff>>("vni")?;
    Ok(Network {
        name,
        clouds,
        subnets,
        service_subnets,
        import_targets: sorted(import_targets),
        export_targets: sorted(export_targets),
        vni: vni.map(Into::into),
        filter: table.optional("filter")?,
        groups: sorted(table.list("groups", "[\"web\"]")?.unwrap_or_default()),
        static_routes: sorted(static_routes),
        aggregates: sorted(table.list("aggregates", "[\"10.20.0.0/16\"]")?.unwrap_or_default()),
        masquerade: table.optional("masquerade")?.unwrap_or(false),
        host_access: table.optional("host-access")?.unwrap_or(false),
        port_labels: table.optional("port-labels")?.unwrap_or(false),
    })
}

fn subnets(name: &str, table: &mut Table<'_>) -> Result<(Vec<IpNet>, Vec<IpNet>), ConfigError> {
    let subnets: Option<Vec<IpNet>> = table.list("subnets", "[\"10.0.100.0/24\"]")?;
    let service_subnets: Option<Vec<IpNet>> =
        table.list("service-subnets", "[\"10.254.98.0/24\"]")?;
    if subnets.is_none() && service_subnets.is_none() {
        let message = format!(
            "network `{name}` has no addresses; write subnets = [\"10.0.100.0/24\"] or \
             service-subnets"
        );
        return Err(table.error("subnets", message));
    }
    Ok((sorted(subnets.unwrap_or_default()), sorted(service_subnets.unwrap_or_default())))
}

/// Those that are imported, and those that are exported.
fn targets(
    name: &str,
    table: &mut Table<'_>,
) -> Result<(Vec<RouteTarget>, Vec<RouteTarget>), ConfigError> {
    let both: Option<Vec<RouteTarget>> = table.list("route-targets", "[\"64512:100\"]")?;
    let import: Option<Vec<RouteTarget>> = table.list("import-targets", "[\"64512:100\"]")?;
    let export: Option<Vec<RouteTarget>> = table.list("export-targets", "[\"64512:100\"]")?;
    match (both, import, export) {
        (Some(both), None, None) => Ok((both.clone(), both)),
        (None, None, None) => {
            let message = format!(
                "network `{name}` has no route targets; write route-targets = [\"64512:100\"], or \
                 import-targets and export-targets"
            );
            Err(table.error("route-targets", message))
        }
        (None, import, export) => Ok((import.unwrap_or_default(), export.unwrap_or_default())),
        (Some(_), _, _) => {
            let message = "`route-targets` means import and export; write either it, or \
                           import-targets and export-targets";
            Err(table.error("route-targets", message))
        }
    }
}

const STATIC_ROUTES: &str = "[{ prefix = \"10.99.0.0/16\", via = \"10.20.0.9\" }]";

fn static_route(mut table: Table<'_>) -> Result<StaticRoute, ConfigError> {
    table.only(&["prefix", "via", "discard"])?;
    let AnyNet(prefix) = table.required("prefix", "\"10.99.0.0/16\"")?;
    let via: Option<IpAddr> = table.optional("via")?;
    let next = match (via, table.optional("discard")?.unwrap_or(false)) {
        (Some(address), false) => StaticNext::Via(address),
        (None, true) => StaticNext::Discard,
        (via, _) => {
            let message = format!(
                "the route to {prefix} leads {}; write either via = \"10.20.0.9\" or discard = true",
                if via.is_some() { "somewhere and nowhere" } else { "nowhere" }
            );
            return Err(table.error("prefix", message));
        }
    };
    Ok(StaticRoute { prefix, next })
}

pub(super) fn connection(mut table: Table<'_>) -> Result<DraftConnection, ConfigError> {
    table.only(&["from", "to", "service-target", "return-target", "one-way"])?;
    let connection = DraftConnection {
        from: table.required("from", "\"nginx\"")?,
        to: table.required("to", "\"leonardo\"")?,
        service_target: table.optional("service-target")?,
        return_target: table.optional("return-target")?,
        one_way: table.optional("one-way")?.unwrap_or(false),
    };
    Ok(connection)
}
