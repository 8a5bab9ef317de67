//! What a gateway's bridge is to do, as groups and flows of `OpenFlow`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use super::switch::{LAN_PORT, TUNNEL_PORT};
use super::vpn_table::VpnRoute;

/// What the bridge is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Program {
    /// Labels that this gateway has announced: packets with one go to the outside.
    pub(super) own_labels: BTreeSet<u32>,
    /// Prefixes of others, each with all its tunnel ends and labels.
    pub(super) remote: BTreeMap<String, BTreeSet<(Ipv4Addr, u32)>>,
}

impl Program {
    /// The program for the routes that carry a route target.
    pub(super) fn new(routes: &[VpnRoute], route_target: &str) -> Self {
        let mut program = Self::default();
        for route in routes.iter().filter(|route| route.targets.contains(route_target)) {
            if route.is_local {
                program.own_labels.insert(route.label);
            } else {
                let members = program.remote.entry(route.prefix.clone()).or_default();
                members.insert((route.next_hop, route.label));
            }
        }
        program
    }

    pub(super) fn next_hops(&self) -> BTreeSet<Ipv4Addr> {
        self.remote.values().flatten().map(|(next_hop, _)| *next_hop).collect()
    }

    pub(super) fn flows(&self, outside_mac: &str) -> Result<String> {
        let mut text = String::new();
        for label in &self.own_labels {
            writeln!(
                text,
                "priority=1000,in_port={TUNNEL_PORT},dl_type=0x8847,mpls_label={label},mpls_bos=1,\
                 actions=pop_mpls:0x0800,set_field:{outside_mac}->eth_dst,output:{LAN_PORT}"
            )?;
        }
        for prefix in self.remote.keys() {
            let length: u16 =
                prefix.rsplit_once('/').context("a prefix without a length")?.1.parse()?;
            writeln!(
                text,
                "priority={},in_port={LAN_PORT},ip,nw_dst={prefix},actions=dec_ttl,group:{}",
                1000 + length,
                group_id(prefix)
            )?;
        }
        Ok(text)
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "program: own labels {:?}", self.own_labels)?;
        for (prefix, members) in &self.remote {
            write!(f, "  {prefix} ->")?;
            for (next_hop, label) in members {
                write!(f, " {next_hop} label {label};")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A number for a prefix that stays the same from program to program: FNV-1a of its text, below the
/// reserved numbers of `OpenFlow`.
pub(super) fn group_id(prefix: &str) -> u32 {
    let hash = prefix
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
    (hash >> 1).max(1)
}

/// A group that spreads flows over tunnels.
pub(super) fn group(id: u32, members: &BTreeSet<(Ipv4Addr, u32)>) -> String {
    let buckets = members.iter().map(|(next_hop, label)| {
        format!(
            ",bucket=actions=push_mpls:0x8847,set_field:{label}->mpls_label,\
             set_field:{next_hop}->tun_dst,output:{TUNNEL_PORT}"
        )
    });
    format!(
        "group_id={id},type=select,selection_method=hash,\
         fields(ip_src,ip_dst,nw_proto,tcp_src,tcp_dst){}",
        buckets.collect::<Vec<_>>().concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(prefix: &str, next_hop: [u8; 4], label: u32, target: &str) -> VpnRoute {
        VpnRoute {
            prefix: prefix.to_owned(),
            targets: BTreeSet::from([target.to_owned()]),
            next_hop: next_hop.into(),
            label,
            is_local: false,
        }
    }

    #[test]
    fn routes_of_other_targets_make_no_flow() {
        let table = [
            route("185.22.97.188/32", [10, 2, 1, 11], 21, "64512:900"),
            route("185.22.97.188/32", [10, 2, 1, 12], 22, "64512:900"),
            route("10.0.100.4/32", [10, 1, 1, 11], 17, "64512:100"),
            VpnRoute { is_local: true, ..route("0.0.0.0/0", [10, 2, 0, 1], 3000, "64512:900") },
        ];
        let program = Program::new(&table, "64512:900");
        assert_eq!(program.own_labels, BTreeSet::from([3000]));
        assert_eq!(program.remote.keys().collect::<Vec<_>>(), ["185.22.97.188/32"]);
        let flows = program.flows("02:00:00:00:00:99").expect("flows");
        assert_eq!(flows.lines().count(), 2, "{flows}");
        assert!(flows.contains("mpls_label=3000") && flows.contains("nw_dst=185.22.97.188/32"));
        let group = group(7, &program.remote["185.22.97.188/32"]);
        assert_eq!(group.matches("bucket=").count(), 2, "{group}");
    }

    #[test]
    fn a_longer_prefix_has_a_higher_priority() {
        let table = [
            route("10.0.0.0/8", [10, 2, 1, 11], 21, "t"),
            route("10.1.0.0/16", [10, 2, 1, 12], 22, "t"),
        ];
        let flows = Program::new(&table, "t").flows("02:00:00:00:00:99").expect("flows");
        assert!(flows.contains("priority=1008") && flows.contains("priority=1016"), "{flows}");
    }
}
