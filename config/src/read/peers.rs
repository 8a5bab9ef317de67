//! Tables that describe peers: templates, neighbors, gateways, and other control nodes. What such a
//! table leaves out may stand in a template of another file, so they are finished when all are read.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;

use crate::{
    AfiSafi, ConfigError, Encapsulation, Gateway, HoldTime, Neighbor, PeerAs, PeerOptions, Remote,
    options::sorted, places::Places, table::Table,
};

const BGP_PORT: u16 = 179;

/// Options that mean nothing for a gateway, which is one peer, of another AS, and whose networks
/// say what it may take part in.
const NOT_FOR_GATEWAYS: [&str; 6] =
    ["client", "asns", "max-peers", "import-targets", "export-targets", ONLY_FOR_NODES];

/// What only a data plane of ours answers.
const ONLY_FOR_NODES: &str = "echo";

/// Options that one control node may have for those of a cloud.
pub(super) const FOR_CONTROL_NODES: [&str; 38] = [
    "description",
    "shutdown",
    "passive",
    "families",
    "hold-time",
    "keepalive",
    "connect-retry",
    "send-hold-time",
    "delay-open",
    "idle-hold",
    "graceful-restart-time",
    "max-restart-time",
    "long-lived-time",
    "preference-as-med",
    "aigp",
    "password-file",
    "ao-keys",
    "ttl-security",
    "ttl",
    "source-interface",
    "add-path-send",
    "add-path-receive",
    "four-octet-as",
    "route-refresh",
    "extended-messages",
    "extended-next-hop",
    "multiple-labels",
    "disable-family",
    "as-sets",
    "max-prefixes",
    "max-prefixes-warning",
    "max-prefixes-restart",
    "max-as-path",
    "bfd",
    "bfd-strict",
    "bfd-hold-time",
    "import-rewrite",
    "export-rewrite",
];

/// Options of `[cloud.NAME.nodes]`.
pub(super) const FOR_NODES: [&str; 11] = [
    "send-hold-time",
    ONLY_FOR_NODES,
    "families",
    "keepalive",
    "max-restart-time",
    "long-lived-time",
    "add-path-send",
    "add-path-receive",
    "max-prefixes",
    "max-prefixes-warning",
    "max-prefixes-restart",
];

/// Options as one table has them, and the template for the rest.
#[derive(Debug)]
pub(super) struct Templated {
    template: Option<String>,
    options: PeerOptions,
}

impl Templated {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let template = table.optional("template")?;
        Ok(Self { template, options: PeerOptions::read(table)? })
    }

    /// The options of the table at `path` together with those of its template, all of which must be
    /// of `allowed` for `what`.
    fn finish(
        self,
        path: &str,
        (what, is_allowed): (&str, impl Fn(&str) -> bool),
        templates: &BTreeMap<String, PeerOptions>,
        places: &Places,
    ) -> Result<PeerOptions, ConfigError> {
        let Some(name) = self.template else { return Ok(self.options) };
        let Some(template) = templates.get(&name) else {
            let known = ("template", name.as_str());
            return Err(places.unknown(&format!("{path}.template"), known, templates.keys()));
        };
        if let Some((key, _)) = template.written().into_iter().find(|(key, _)| !is_allowed(key)) {
            let message = format!(
                "template `{name}` has `{key}`, which is not for {what}; remove it or use another \
                 template"
            );
            return Err(places.error_beside(
                &format!("{path}.template"),
                message,
                &format!("template.{name}.{key}"),
                "it stands here",
            ));
        }
        Ok(self.options.or(template))
    }
}

pub(super) fn template(mut table: Table<'_>) -> Result<PeerOptions, ConfigError> {
    table.only(&for_neighbors())?;
    PeerOptions::read(&mut table)
}

/// Options of whoever is no node.
fn for_neighbors() -> Vec<&'static str> {
    PeerOptions::KEYS.iter().filter(|key| **key != ONLY_FOR_NODES).copied().collect()
}

/// `[cloud.NAME.peer.CLOUD]`
pub(super) fn control_nodes(mut table: Table<'_>) -> Result<Templated, ConfigError> {
    table.only(&[&["template"][..], &FOR_CONTROL_NODES].concat())?;
    Templated::read(&mut table)
}

pub(super) fn finish_control_nodes(
    path: &str,
    draft: Templated,
    templates: &BTreeMap<String, PeerOptions>,
    places: &Places,
) -> Result<PeerOptions, ConfigError> {
    let allowed = |key: &str| FOR_CONTROL_NODES.contains(&key);
    draft.finish(path, ("control nodes of a cloud", allowed), templates, places)
}

/// A gateway without what its template may say.
#[derive(Debug)]
pub(super) struct DraftGateway {
    clouds: Vec<String>,
    address: IpAddr,
    networks: Vec<String>,
    tunnel_addresses: Vec<IpAddr>,
    encapsulations: Vec<Encapsulation>,
    options: Templated,
}

pub(super) fn gateway(mut table: Table<'_>) -> Result<DraftGateway, ConfigError> {
    let own = ["clouds", "address", "networks", "tunnel-addresses", "encapsulations", "template"];
    let options = PeerOptions::KEYS.iter().filter(|key| !NOT_FOR_GATEWAYS.contains(key)).copied();
    table.only(&own.into_iter().chain(options).collect::<Vec<_>>())?;
    let clouds = sorted(table.required_list("clouds", "[\"kubernetes\"]")?);
    let address: IpAddr = table.required("address", "\"10.2.0.1\"")?;
    Ok(DraftGateway {
        clouds,
        address,
        networks: sorted(table.required_list("networks", "[\"public\"]")?),
        tunnel_addresses: sorted(
            table.list("tunnel-addresses", "[\"10.2.0.1\"]")?.unwrap_or(vec![address]),
        ),
        encapsulations: table
            .list("encapsulations", "[\"mpls-over-gre\"]")?
            .unwrap_or(vec![Encapsulation::MplsOverGre]),
        options: Templated::read(&mut table)?,
    })
}

impl DraftGateway {
    pub(super) fn finish(
        self,
        name: String,
        templates: &BTreeMap<String, PeerOptions>,
        places: &Places,
    ) -> Result<Gateway, ConfigError> {
        let path = format!("gateway.{name}");
        let allowed = |key: &str| !NOT_FOR_GATEWAYS.contains(&key);
        let mut options = self.options.finish(&path, ("a gateway", allowed), templates, places)?;
        let Some(asn) = options.asn.take() else {
            return Err(missing(places, &path, "asn", "64999"));
        };
        Ok(Gateway {
            name,
            clouds: self.clouds,
            address: self.address,
            port: options.port.take().unwrap_or(BGP_PORT),
            asn,
            families: options.families.take().unwrap_or(vec![AfiSafi::VPNV4]),
            networks: self.networks,
            tunnel_addresses: self.tunnel_addresses,
            encapsulations: self.encapsulations,
            hold_time: options.hold_time.take().unwrap_or(HoldTime::DEFAULT),
            max_prefixes: options.max_prefixes.take(),
            options,
        })
    }
}

/// A neighbor without what its template may say.
#[derive(Debug)]
pub(super) struct DraftNeighbor {
    clouds: Vec<String>,
    control_nodes: Vec<String>,
    address: Option<IpAddr>,
    prefixes: Option<Vec<IpNet>>,
    options: Templated,
}

pub(super) fn neighbor(name: &str, mut table: Table<'_>) -> Result<DraftNeighbor, ConfigError> {
    let own = ["template", "clouds", "control-nodes", "address", "prefixes"];
    table.only(&[&own[..], &for_neighbors()].concat())?;
    let clouds: Option<Vec<String>> = table.list("clouds", "[\"openstack\"]")?;
    let control_nodes: Option<Vec<String>> = table.list("control-nodes", "[\"os-ctl-1\"]")?;
    if clouds.is_some() == control_nodes.is_some() {
        let message = format!(
            "neighbor `{name}` peers with whom? write either clouds = [\"openstack\"] or \
             control-nodes = [\"os-ctl-1\"]"
        );
        return Err(table.error("control-nodes", message));
    }
    let address: Option<IpAddr> = table.optional("address")?;
    let prefixes: Option<Vec<IpNet>> = table.list("prefixes", "[\"10.1.9.0/24\"]")?;
    if address.is_some() == prefixes.is_some() {
        let message = format!(
            "neighbor `{name}` is where? write either address = \"10.1.0.1\" or prefixes = \
             [\"10.1.9.0/24\"]"
        );
        return Err(table.error("prefixes", message));
    }
    Ok(DraftNeighbor {
        clouds: sorted(clouds.unwrap_or_default()),
        control_nodes: sorted(control_nodes.unwrap_or_default()),
        address,
        prefixes: prefixes.map(sorted),
        options: Templated::read(&mut table)?,
    })
}

impl DraftNeighbor {
    pub(super) fn finish(
        self,
        name: String,
        templates: &BTreeMap<String, PeerOptions>,
        places: &Places,
    ) -> Result<Neighbor, ConfigError> {
        let path = format!("neighbor.{name}");
        let mut options =
            self.options.finish(&path, ("a neighbor", |_: &str| true), templates, places)?;
        let asn = match (options.asn.take(), options.asns.take()) {
            (Some(asn), None) => PeerAs::Is(asn),
            (None, Some(ranges)) => PeerAs::In(ranges),
            (None, None) => return Err(missing(places, &path, "asn", "64999")),
            (Some(_), Some(_)) => {
                let message = format!("neighbor `{name}` has both asn and asns; remove one");
                return Err(places.error(&format!("{path}.asns"), message));
            }
        };
        let port = options.port.take().unwrap_or(BGP_PORT);
        Ok(Neighbor {
            name,
            clouds: self.clouds,
            control_nodes: self.control_nodes,
            remote: match self.address {
                Some(address) => Remote::Address(SocketAddr::new(address, port)),
                None => Remote::Prefixes(self.prefixes.unwrap_or_default()),
            },
            asn,
            client: options.client.take().unwrap_or_default(),
            families: options.families.take().unwrap_or(vec![AfiSafi::VPNV4]),
            hold_time: options.hold_time.take().unwrap_or(HoldTime::DEFAULT),
            graceful_restart_time: options.graceful_restart_time.take(),
            max_peers: options.max_peers.take(),
            max_prefixes: options.max_prefixes.take(),
            options,
        })
    }
}

fn missing(places: &Places, path: &str, key: &str, example: &str) -> ConfigError {
    let message = format!("`{key}` is missing; write {key} = {example}");
    places.error(&format!("{path}.{key}"), message)
}
