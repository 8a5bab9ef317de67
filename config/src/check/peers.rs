//! Whether the options of peers go together, and whether each neighbor can be what it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::references;
use crate::{
    AfiSafi, Cloud, ConfigError, ControlNode, HoldTime, Neighbor, NextHop, PeerAs, PeerOptions,
    Remote, places::Places, read::Draft,
};

pub(super) fn check(draft: &Draft) -> Result<(), ConfigError> {
    for cloud in draft.topology.clouds.values() {
        control_nodes_of_clouds(draft, cloud)?;
        let subject = Subject {
            path: format!("cloud.{}.nodes", cloud.name),
            what: format!("the nodes of cloud `{}`", cloud.name),
            is_external: false,
            families: &cloud.nodes.families,
            hold_time: cloud.hold_time,
            restart_time: cloud.graceful_restart_time,
            max_prefixes: cloud.nodes.limits.max_prefixes,
            options: &cloud.nodes.options,
        };
        subject.check(&draft.places)?;
    }
    for gateway in draft.topology.gateways.values() {
        let homes = gateway.clouds.iter().filter_map(|name| draft.topology.clouds.get(name));
        let restart_time = homes.map(|cloud| cloud.graceful_restart_time).min();
        let subject = Subject {
            path: format!("gateway.{}", gateway.name),
            what: format!("gateway `{}`", gateway.name),
            is_external: true,
            families: &gateway.families,
            hold_time: gateway.hold_time,
            restart_time: gateway
                .options
                .graceful_restart_time
                .or(restart_time)
                .unwrap_or_default(),
            max_prefixes: gateway.max_prefixes,
            options: &gateway.options,
        };
        subject.check(&draft.places)?;
    }
    draft.topology.neighbors.values().try_for_each(|one| neighbor(draft, one))?;
    neighbors_are_apart(draft)
}

fn control_nodes_of_clouds(draft: &Draft, home: &Cloud) -> Result<(), ConfigError> {
    for (name, options) in &home.peers {
        let path = format!("cloud.{}.peer.{name}", home.name);
        let Some(other) = draft.topology.clouds.get(name) else {
            let known = draft.topology.clouds.keys();
            return Err(draft.places.unknown(&path, ("cloud", name), known));
        };
        let subject = Subject {
            what: format!("control nodes of cloud `{name}`"),
            path,
            is_external: home.asn != other.asn,
            families: options.families.as_deref().unwrap_or_default(),
            hold_time: options.hold_time.unwrap_or(home.hold_time),
            restart_time: options.graceful_restart_time.unwrap_or(home.graceful_restart_time),
            max_prefixes: options.max_prefixes,
            options,
        };
        subject.check(&draft.places)?;
    }
    Ok(())
}

/// A peer with options, and what they depend on.
struct Subject<'a> {
    path: String,
    what: String,
    is_external: bool,
    families: &'a [AfiSafi],
    hold_time: HoldTime,
    restart_time: u16,
    max_prefixes: Option<u32>,
    options: &'a PeerOptions,
}

impl Subject<'_> {
    fn check(&self, places: &Places) -> Result<(), ConfigError> {
        self.session(places)?;
        self.transport(places)?;
        self.as_numbers(places)?;
        self.policy(places)
    }

    fn session(&self, places: &Places) -> Result<(), ConfigError> {
        let Self { what, hold_time, options, .. } = self;
        if let Some(keepalive) = options.keepalive {
            if *hold_time == HoldTime::OFF {
                let message = format!(
                    "{what} has no hold timer, so no KEEPALIVE is sent; remove keepalive or write \
                     a hold-time"
                );
                return Err(self.error(places, "keepalive", message));
            }
            if keepalive >= hold_time.seconds().into() {
                let message = format!(
                    "a KEEPALIVE each {keepalive} s comes too late for a hold time of {hold_time} \
                     s; write keepalive = {}",
                    hold_time.seconds() / 3
                );
                return Err(self.error(places, "keepalive", message));
            }
        }
        if let Some(send_hold) = options.send_hold_time
            && send_hold <= hold_time.seconds().into()
        {
            let message = format!(
                "a peer that reads slowly would be lost before one that is silent, with a hold time of \
                 {hold_time} s (RFC 9687); write send-hold-time = {}",
                u32::from(hold_time.seconds()) * 2
            );
            return Err(self.error(places, "send-hold-time", message));
        }
        if options.long_lived_time.is_some_and(|time| time > 0) && self.restart_time == 0 {
            let message = format!(
                "{what} has no graceful restart, and long-lived routes come after one (RFC 9494); \
                 write graceful-restart-time = 120"
            );
            return Err(self.error(places, "long-lived-time", message));
        }
        if options.role.is_some() && !self.is_external {
            let message = format!(
                "{what} is of our own AS, and roles are said between ASes (RFC 9234); remove role"
            );
            return Err(self.error(places, "role", message));
        }
        if options.role_strict.is_some() && options.role.is_none() {
            let message = "role-strict asks for a role of the peer, so we must say ours; write \
                           role = \"provider\" or what we are to it";
            return Err(self.error(places, "role-strict", message));
        }
        let needs_limit = [
            ("max-prefixes-warning", options.max_prefixes_warning.is_some()),
            ("max-prefixes-restart", options.max_prefixes_restart.is_some()),
        ];
        let limitless = needs_limit.iter().find(|(_, set)| *set && self.max_prefixes.is_none());
        if let Some((key, _)) = limitless {
            let message =
                format!("there is no limit that {key} could be about; write max-prefixes");
            return Err(self.error(places, key, message));
        }
        Ok(())
    }

    fn transport(&self, places: &Places) -> Result<(), ConfigError> {
        let options = self.options;
        if options.ttl_security.is_some() && options.ttl.is_some() {
            let message = "ttl-security sends with a time to live of 255, or the other side could \
                           not count hops (RFC 5082); remove ttl";
            return Err(self.error(places, "ttl", message));
        }
        if options.bfd_strict == Some(true) && options.bfd.is_none() {
            let message = "bfd-strict waits for BFD, and none is asked for; write bfd = { interval = \
                           300, multiplier = 3 }";
            return Err(self.error(places, "bfd-strict", message));
        }
        if options.bfd_hold_time.is_some() && options.bfd_strict != Some(true) {
            let message = "bfd-hold-time is how long bfd-strict waits; write bfd-strict = true";
            return Err(self.error(places, "bfd-hold-time", message));
        }
        if options.password_file.is_some() && options.ao_keys.is_some() {
            let message = "a session is signed by TCP-MD5 or by TCP-AO; remove password-file or \
                           ao-keys";
            return Err(self.error(places, "password-file", message));
        }
        Ok(())
    }

    fn as_numbers(&self, places: &Places) -> Result<(), ConfigError> {
        let Self { what, options, .. } = self;
        let for_ebgp = [
            ("local-as", options.local_as.is_some()),
            ("as-override", options.as_override == Some(true)),
            ("remove-private-as", options.remove_private_as.is_some()),
            ("preference-as-med", options.preference_as_med == Some(true)),
            ("transit", options.transit.is_some()),
        ];
        if let Some((key, _)) = for_ebgp.iter().find(|(_, set)| *set && !self.is_external) {
            let message = format!("{what} is of our own AS, and {key} is for others; remove it");
            return Err(self.error(places, key, message));
        }
        let needs_local_as = [
            ("local-as-no-prepend", options.local_as_no_prepend.is_some()),
            ("local-as-replace", options.local_as_replace.is_some()),
        ];
        let without = needs_local_as.iter().find(|(_, set)| *set && options.local_as.is_none());
        if let Some((key, _)) = without {
            let message = format!("{key} says how local-as is used; write local-as = 64999, too");
            return Err(self.error(places, key, message));
        }
        Ok(())
    }

    fn policy(&self, places: &Places) -> Result<(), ConfigError> {
        let Self { what, options, families, .. } = self;
        if options.next_hop == Some(NextHop::Itself) {
            let labelled = families.iter().find(|family| !is_unicast(**family));
            if let Some(family) = labelled {
                let message = format!(
                    "next-hop = \"self\" cannot be for {family}: the label belongs to whoever \
                     announced it, and a control node forwards no packets; remove it, or give \
                     {what} families = [\"ipv4\", \"ipv6\"] only"
                );
                return Err(self.error(places, "next-hop", message));
            }
        }
        let about_targets = [
            ("import-targets", options.import_targets.is_some()),
            ("export-targets", options.export_targets.is_some()),
            ("import-rewrite", options.import_rewrite.is_some()),
            ("export-rewrite", options.export_rewrite.is_some()),
        ];
        let has_targets = families.is_empty() || families.iter().any(|family| family.has_targets());
        if let Some((key, _)) = about_targets.iter().find(|(_, set)| *set && !has_targets) {
            let message = format!(
                "no family of {what} has route targets, so {key} means nothing; remove it or add \
                 one to families, as \"vpnv4\""
            );
            return Err(self.error(places, key, message));
        }
        Ok(())
    }

    /// At the key, or at the template that has it.
    fn error(&self, places: &Places, key: &str, message: impl Into<String>) -> ConfigError {
        places.error(&at(places, &self.path, key), message)
    }
}

/// The path of a key of this table, or of the name of the template that it comes from.
fn at(places: &Places, path: &str, key: &str) -> String {
    let own = format!("{path}.{key}");
    if places.contains(&own) { own } else { format!("{path}.template") }
}

fn is_unicast(family: AfiSafi) -> bool {
    matches!(family, AfiSafi::IPV4_UNICAST | AfiSafi::IPV6_UNICAST)
}

fn neighbor(draft: &Draft, neighbor: &Neighbor) -> Result<(), ConfigError> {
    let places = &draft.places;
    let path = format!("neighbor.{}", neighbor.name);
    references::known_clouds(draft, &format!("{path}.clouds"), &neighbor.clouds)?;
    let known: BTreeSet<&String> =
        draft.topology.control_nodes().map(|(_, node)| &node.name).collect();
    for name in &neighbor.control_nodes {
        if !known.contains(name) {
            let list = format!("{path}.control-nodes");
            let known = known.iter().copied();
            return Err(places.unknown(&list, ("control node", name), known));
        }
    }
    let homes: Vec<(&Cloud, &ControlNode)> = draft
        .topology
        .control_nodes()
        .filter(|(cloud, node)| neighbor.peers_with(&cloud.name, &node.name))
        .collect();
    whose_it_is(draft, neighbor, &path, &homes)?;
    who_may_connect(draft, neighbor, &path)?;
    where_it_is(draft, neighbor, &path, &homes)?;
    for (cloud, _) in &homes {
        let restart_time = neighbor.graceful_restart_time.unwrap_or(cloud.graceful_restart_time);
        let subject = Subject {
            path: path.clone(),
            what: format!("neighbor `{}`", neighbor.name),
            is_external: neighbor.asn.only() != Some(cloud.asn),
            families: &neighbor.families,
            hold_time: neighbor.hold_time,
            restart_time,
            max_prefixes: neighbor.max_prefixes,
            options: &neighbor.options,
        };
        subject.check(places)?;
    }
    Ok(())
}

fn whose_it_is(
    draft: &Draft,
    neighbor: &Neighbor,
    path: &str,
    homes: &[(&Cloud, &ControlNode)],
) -> Result<(), ConfigError> {
    let places = &draft.places;
    let of_another = homes.iter().find(|(cloud, _)| neighbor.asn.only() != Some(cloud.asn));
    if neighbor.client
        && let Some((cloud, _)) = of_another
    {
        let message = format!(
            "neighbor `{}` has AS {} and cloud `{}` has AS {}; a client of a route reflector is \
             of its AS (RFC 4456), remove client or write asn = {3}",
            neighbor.name, neighbor.asn, cloud.name, cloud.asn
        );
        return Err(places.error(&at(places, path, "client"), message));
    }
    let Some(local_as) = neighbor.options.local_as else { return Ok(()) };
    let same = homes.iter().any(|(cloud, _)| cloud.asn == local_as);
    if same || neighbor.asn == PeerAs::Is(local_as) {
        let whose = if same { "that of its cloud" } else { "the neighbor's own" };
        let message = format!(
            "local-as {local_as} of neighbor `{}` is {whose}; write another AS or remove it",
            neighbor.name
        );
        return Err(places.error(&at(places, path, "local-as"), message));
    }
    Ok(())
}

fn who_may_connect(draft: &Draft, neighbor: &Neighbor, path: &str) -> Result<(), ConfigError> {
    let places = &draft.places;
    let is_one = matches!(neighbor.remote, Remote::Address(_));
    let (keys, message): (&[(&str, bool)], &str) = if is_one {
        (
            &[("max-peers", neighbor.max_peers.is_some()), ("asns", neighbor.asn.only().is_none())],
            "is for peers from prefixes, and this one has an address",
        )
    } else {
        (
            &[
                ("port", places.contains(&format!("{path}.port"))),
                ("connect-retry", neighbor.options.connect_retry.is_some()),
                ("passive", neighbor.options.passive == Some(false)),
            ],
            "is about connecting, and peers from prefixes connect to us",
        )
    };
    match keys.iter().find(|(_, set)| *set) {
        Some((key, _)) => {
            Err(places.error(&at(places, path, key), format!("`{key}` {message}; remove it")))
        }
        None => Ok(()),
    }
}

fn where_it_is(
    draft: &Draft,
    neighbor: &Neighbor,
    path: &str,
    homes: &[(&Cloud, &ControlNode)],
) -> Result<(), ConfigError> {
    let places = &draft.places;
    let remote = match &neighbor.remote {
        Remote::Address(address) => vec![("address", address.ip())],
        Remote::Prefixes(prefixes) => prefixes.iter().map(|p| ("prefixes", p.addr())).collect(),
    };
    let version = |address: IpAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
    if let Some(source) = neighbor.options.source_address {
        if homes.len() > 1 {
            let message = format!(
                "{source} is an address of one machine, and neighbor `{}` peers with {} control \
                 nodes; write a neighbor for each",
                neighbor.name,
                homes.len()
            );
            return Err(places.error(&at(places, path, "source-address"), message));
        }
        if let Some((_, odd)) = remote.iter().find(|(_, ip)| ip.is_ipv4() != source.is_ipv4()) {
            let message = format!(
                "{source} is {}, and neighbor `{}` is at {odd}, which is {}; write an {2} address",
                version(source),
                neighbor.name,
                version(*odd)
            );
            return Err(places.error(&at(places, path, "source-address"), message));
        }
        return Ok(());
    }
    for (_, node) in homes {
        let odd = remote.iter().find(|(_, ip)| ip.is_ipv4() != node.address.is_ipv4());
        if let Some((key, ip)) = odd {
            let message = format!(
                "neighbor `{}` is at {ip}, and control node `{}` has an {} address; write \
                 source-address, the {} address that it uses for this neighbor",
                neighbor.name,
                node.name,
                version(node.address),
                version(*ip)
            );
            return Err(places.error(&format!("{path}.{key}"), message));
        }
    }
    Ok(())
}

/// No control node has two peers that it cannot tell apart. An address beats a prefix, and a longer
/// prefix a shorter one.
fn neighbors_are_apart(draft: &Draft) -> Result<(), ConfigError> {
    let mut addresses: BTreeMap<(&str, IpAddr), (String, String)> = BTreeMap::new();
    let mut prefixes: BTreeMap<(&str, IpNet), (String, String)> = BTreeMap::new();
    let topology = &draft.topology;
    for (cloud, node) in topology.control_nodes() {
        for (other_cloud, other) in topology.control_nodes() {
            let path = format!("cloud.{}.control-node.{}.address", other_cloud.name, other.name);
            let what = format!("control node `{}`", other.name);
            addresses.insert((&node.name, other.address), (what, path));
        }
        for gateway in topology.gateways_of(&cloud.name) {
            let path = format!("gateway.{}.address", gateway.name);
            let what = format!("gateway `{}`", gateway.name);
            addresses.insert((&node.name, gateway.address), (what, path));
        }
        for prefix in &cloud.nodes.prefixes {
            let list = format!("cloud.{}.nodes.prefixes", cloud.name);
            let path = draft.places.item(&list, &prefix.to_string());
            prefixes.insert((&node.name, *prefix), (format!("nodes of `{}`", cloud.name), path));
        }
        for neighbor in topology.neighbors.values() {
            if !neighbor.peers_with(&cloud.name, &node.name) {
                continue;
            }
            let what = format!("neighbor `{}`", neighbor.name);
            let clash = match &neighbor.remote {
                Remote::Address(address) => {
                    let path = format!("neighbor.{}.address", neighbor.name);
                    let key = (node.name.as_str(), address.ip());
                    let there = addresses.insert(key, (what.clone(), path.clone()));
                    there.map(|other| (path, "address", other))
                }
                Remote::Prefixes(own) => {
                    let list = format!("neighbor.{}.prefixes", neighbor.name);
                    own.iter().find_map(|prefix| {
                        let path = draft.places.item(&list, &prefix.to_string());
                        let key = (node.name.as_str(), *prefix);
                        let there = prefixes.insert(key, (what.clone(), path.clone()));
                        there.map(|other| (path, "prefix", other))
                    })
                }
            };
            if let Some((path, thing, (other, other_path))) = clash {
                let message = format!(
                    "{other} and {what} have the same {thing} towards control node `{}`; give \
                     each its own",
                    node.name
                );
                return Err(draft.places.clash(&path, message, &other_path));
            }
        }
    }
    Ok(())
}
