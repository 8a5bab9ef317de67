//! What each command asks, and of whom.

use std::env;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use arcus_api::v1::{
    AdvertisedQuery, DropCounter, Family, Floating, MAX_LIMIT, MirrorQuery, Neighbor, PortId,
    PortRequest, PortState, PortStatus, Reloaded, Route, RoutePage, RouteQuery, ServiceEndpoint,
    Status, Target, Tunnel, Vrf, VrfTable,
};
use clap::CommandFactory;
use ipnet::IpNet;
use reqwest::StatusCode;
use serde::Serialize;

use crate::cli::{At, Cli, Command, PortAddArgs, PortCommand, RoutesArgs};
use crate::client::{Client, ClientError};
use crate::daemons::{self, SOCKET_ENV};
use crate::output::Printer;
use crate::packets;
use crate::port_args;
use crate::topology_commands::{self, Answer};
use crate::view::{self, now};

/// Does what the command line says.
pub(crate) async fn run(cli: Cli, printer: &mut Printer) -> Result<ExitCode> {
    let at = &cli.at;
    match cli.command {
        Command::Status => status(at, printer).await?,
        Command::Neighbors { neighbor: None } => {
            let neighbors: Vec<Neighbor> = client(at)?.get("/v1/neighbors").await?;
            printer.show(&neighbors[..], view::neighbors)?;
        }
        Command::Neighbors { neighbor: Some(which) } => {
            neighbor(&client(at)?, &which, printer).await?;
        }
        Command::Routes(args) => routes(&client(at)?, args, printer).await?,
        Command::Route { family, nlri } => route(&client(at)?, family, &nlri, printer).await?,
        Command::Targets => {
            let targets: Vec<Target> = client(at)?.get("/v1/targets").await?;
            printer.show(&targets[..], view::targets)?;
        }
        Command::Advertised { address, family, limit } => {
            advertised(&client(at)?, address, family, limit, printer).await?;
        }
        Command::Vrfs => {
            let vrfs: Vec<Vrf> = client(at)?.get("/v1/vrfs").await?;
            printer.show(&vrfs[..], view::vrfs)?;
        }
        Command::Vrf { name } => vrf(&client(at)?, &name, printer).await?,
        Command::Port(command) => return port(&client(at)?, command, printer).await,
        Command::Tunnels => {
            let tunnels: Vec<Tunnel> = client(at)?.get("/v1/tunnels").await?;
            printer.show(&tunnels[..], view::tunnels)?;
        }
        Command::Drops { all } => {
            let mut drops: Vec<DropCounter> = client(at)?.get("/v1/drops").await?;
            drops.retain(|drop| all || drop.packets > 0);
            printer.show(&drops[..], view::drops)?;
        }
        Command::Counters { kind } => packets::counters(&client(at)?, kind, printer).await?,
        Command::Trace(args) => return packets::trace(&client(at)?, *args, printer).await,
        Command::Mirror { port, write, seconds, snaplen, erspan, session } => {
            let query = MirrorQuery { seconds, snaplen, erspan, session };
            packets::mirror(&client(at)?, &port, &write, query).await?;
        }
        Command::Reload => {
            let reloaded: Reloaded = client(at)?.post("/v1/reload").await?;
            printer.show(&reloaded, |reloaded, _, paint| view::reloaded(reloaded, paint))?;
        }
        Command::Check { file } => return topology(topology_commands::check(&file), printer),
        Command::Plan { old, new } => {
            return topology(topology_commands::plan(&old, &new), printer);
        }
        Command::Allocate { file } => return topology(topology_commands::allocate(&file), printer),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "arcus", &mut script);
            printer.text(&String::from_utf8_lossy(&script))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a file led to: an answer, or a refusal where errors go. A program reads both in one place.
fn topology(answer: Answer, printer: &mut Printer) -> Result<ExitCode> {
    let Answer { text, json, code } = answer;
    if code == 0 || printer.is_for_programs() {
        printer.show(&json, |_, _, _| text)?;
    } else {
        printer.remark(&text);
    }
    Ok(ExitCode::from(code))
}

fn from_env() -> Option<PathBuf> {
    env::var_os(SOCKET_ENV).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn client(at: &At) -> Result<Client> {
    Ok(Client::new(daemons::meant(at, from_env())?)?)
}

async fn status(at: &At, printer: &mut Printer) -> Result<()> {
    let mut statuses: Vec<Status> = Vec::new();
    let daemons = daemons::all(at, from_env())?;
    let several = daemons.len() > 1;
    for daemon in daemons {
        let name = daemon.name.clone();
        match Client::new(daemon)?.get("/v1/status").await {
            Ok(status) => statuses.push(status),
            // One that does not answer must not hide the others.
            Err(error) if several => printer.remark(&format!("{name}: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    match &statuses[..] {
        [] => bail!("no daemon answered"),
        [only] if !several => {
            printer.show(only, |status, _, paint| view::status(status, now(), paint))
        }
        all => printer.show(all, |all, width, paint| view::statuses(all, now(), width, paint)),
    }
}

/// One neighbor by its address or name. Several have one name where they come from prefixes: then a line
/// each.
async fn neighbor(client: &Client, which: &str, printer: &mut Printer) -> Result<()> {
    if which.parse::<IpAddr>().is_ok() {
        let neighbor: Neighbor = client.get(&format!("/v1/neighbors/{which}")).await?;
        return printer.show(&neighbor, view::neighbor);
    }
    let mut neighbors: Vec<Neighbor> = client.get("/v1/neighbors").await?;
    neighbors.retain(|neighbor| neighbor.name.as_deref() == Some(which));
    match &neighbors[..] {
        [] => bail!("no neighbor is called `{which}`; `arcus neighbors` lists them"),
        [only] => printer.show(only, view::neighbor),
        several => printer.show(several, view::neighbors),
    }
}

async fn routes(client: &Client, args: RoutesArgs, printer: &mut Printer) -> Result<()> {
    let RoutesArgs { family, rd, target, prefix, neighbor, limit } = args;
    let query =
        RouteQuery { family: Some(family), prefix, rd, target, neighbor, limit: None, after: None };
    let (routes, more) = pages(client, "/v1/routes", limit, |limit, after| RouteQuery {
        limit,
        after,
        ..query.clone()
    })
    .await?;
    print_routes(&routes, more, printer)
}

async fn advertised(
    client: &Client,
    address: IpAddr,
    family: Family,
    limit: usize,
    printer: &mut Printer,
) -> Result<()> {
    let path = format!("/v1/neighbors/{address}/advertised");
    let (routes, more) = pages(client, &path, limit, |limit, after| AdvertisedQuery {
        family: Some(family),
        limit,
        after,
    })
    .await?;
    print_routes(&routes, more, printer)
}

fn print_routes(routes: &[Route], more: More, printer: &mut Printer) -> Result<()> {
    printer.show(routes, view::routes)?;
    if more == More::Follow {
        printer.remark(&format!("the first {}; --limit 0 shows all", routes.len()));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Follow,
    None,
}

/// Pages until there are `limit` routes (0: all of them) or no more.
async fn pages<Q: Serialize + Sync>(
    client: &Client,
    path: &str,
    limit: usize,
    query: impl Fn(Option<usize>, Option<String>) -> Q,
) -> Result<(Vec<Route>, More)> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let (mut routes, mut after) = (Vec::new(), None::<String>);
    loop {
        let asked = after.clone();
        let wanted = (limit - routes.len()).min(MAX_LIMIT);
        let page: RoutePage = client.query(path, &query(Some(wanted), after)).await?;
        routes.extend(page.routes);
        match page.next {
            None => return Ok((routes, More::None)),
            Some(_) if routes.len() >= limit => return Ok((routes, More::Follow)),
            Some(next) if asked.as_ref() == Some(&next) => {
                bail!("the daemon gives the same page again ({next}); this is a bug of the daemon")
            }
            Some(next) => after = Some(next),
        }
    }
}

/// A route by its whole key; a bare prefix of a VPN family means every route distinguisher.
async fn route(client: &Client, family: Family, nlri: &str, printer: &mut Printer) -> Result<()> {
    let distinguished = matches!(family, Family::Vpnv4 | Family::Vpnv6);
    let routes: Vec<Route> = match nlri.parse::<IpNet>() {
        Ok(prefix) if distinguished => {
            let (mut routes, _) = pages(client, "/v1/routes", 0, |limit, after| RouteQuery {
                family: Some(family),
                prefix: Some(prefix),
                limit,
                after,
                ..RouteQuery::default()
            })
            .await?;
            routes.retain(|route| route.prefix == Some(prefix));
            routes
        }
        _ => {
            let path = format!("/v1/routes/{family}/{}", segment(nlri));
            vec![client.get(&path).await?]
        }
    };
    if routes.is_empty() {
        bail!("no {family} route to {nlri}; `arcus routes {family}` lists them");
    }
    printer.show(&routes[..], |routes, _, paint| {
        routes.iter().map(|route| view::route(route, paint)).collect::<Vec<_>>().join("\n")
    })
}

/// Text as one segment of a path.
fn segment(text: &str) -> String {
    text.bytes()
        .map(|octet| match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                char::from(octet).to_string()
            }
            _ => format!("%{octet:02X}"),
        })
        .collect()
}

async fn vrf(client: &Client, name: &str, printer: &mut Printer) -> Result<()> {
    let vrfs: Vec<Vrf> = client.get("/v1/vrfs").await?;
    let names = || vrfs.iter().map(|vrf| vrf.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(vrf) = vrfs.iter().find(|vrf| vrf.name == name).cloned() else {
        bail!(
            "no VRF `{name}` on this node; it has {}",
            if vrfs.is_empty() { "none".to_owned() } else { names() }
        );
    };
    let table = client.get(&format!("/v1/vrfs/{}/routes", segment(name))).await?;
    printer.show(&VrfTable { vrf, table }, |of, width, paint| {
        view::vrf(&of.vrf, &of.table, width, paint)
    })
}

async fn port(client: &Client, command: PortCommand, printer: &mut Printer) -> Result<ExitCode> {
    match command {
        PortCommand::Add(args) => {
            let (id, request) = port_request(*args)?;
            let status: PortStatus = client.put(&format!("/v1/ports/{id}"), &request).await?;
            return show_port(&status, printer);
        }
        PortCommand::Remove { id } => client.delete(&format!("/v1/ports/{id}")).await?,
        PortCommand::List => {
            let ports: Vec<PortStatus> = client.get("/v1/ports").await?;
            printer.show(&ports[..], view::ports)?;
        }
        PortCommand::Ready { id } => {
            return show_port(&post_to_port(client, &id, "ready").await?, printer);
        }
        PortCommand::Unready { id } => {
            return show_port(&post_to_port(client, &id, "unready").await?, printer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn post_to_port(client: &Client, id: &PortId, what: &str) -> Result<PortStatus> {
    match client.post(&format!("/v1/ports/{id}/{what}")).await {
        Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => {
            bail!("no port `{id}` on this node; `arcus port list` shows them")
        }
        answer => Ok(answer?),
    }
}

fn show_port(status: &PortStatus, printer: &mut Printer) -> Result<ExitCode> {
    printer.show(status, |status, _, paint| view::port(status, paint))?;
    let failed = matches!(status.state, PortState::Failed { .. });
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn port_request(args: PortAddArgs) -> Result<(PortId, PortRequest)> {
    let netns = port_args::netns_path(&args.netns)?;
    let id = match args.id {
        Some(id) => id,
        None => port_args::id_for(&netns, &args.interface)?,
    };
    let (ip, ip6) = port_args::addresses(&args.ip)?;
    let (affinity_seconds, weight) = (args.affinity, args.weight);
    let floating = args.floating.into_iter().map(|floating| Floating { weight, ..floating });
    let services = args.service.into_iter();
    let services = services.map(|part| ServiceEndpoint { affinity_seconds, weight, ..part });
    let groups = (args.no_groups || !args.group.is_empty()).then_some(args.group);
    let request = PortRequest {
        network: args.network,
        netns,
        interface: args.interface,
        ip,
        ip6,
        mac: args.mac,
        floating: floating.collect(),
        services: services.collect(),
        ready: !args.unready,
        filter: args.filter,
        groups,
        allowed: args.allowed,
        bandwidth: args.bandwidth,
    };
    Ok((id, request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_s_name_is_one_segment_of_the_path() {
        assert_eq!(segment("10.2.1.11:1:10.20.0.5/32"), "10.2.1.11:1:10.20.0.5%2F32");
        assert_eq!(segment("[2]:[0]:[48]"), "%5B2%5D:%5B0%5D:%5B48%5D");
    }
}
