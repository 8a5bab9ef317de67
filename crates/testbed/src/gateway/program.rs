//! What a gateway's bridge is to do, as groups and flows of `OpenFlow`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use super::switch::LAN_PORT;
use super::tunnel::{Mark, Route, Tunnel};

/// What the bridge is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Program {
    /// What this gateway has announced: packets that come so go to the outside.
    pub(super) own: BTreeSet<Tunnel>,
    /// Prefixes of others, each with all its tunnels.
    pub(super) remote: BTreeMap<String, BTreeSet<Tunnel>>,
}

impl Program {
    /// The program for the routes that carry a route target.
    pub(super) fn new(routes: &[Route], route_target: &str) -> Self {
        let mut program = Self::default();
        for route in routes.iter().filter(|route| route.targets.contains(route_target)) {
            if route.is_local {
                program.own.insert(route.tunnel.clone());
            } else {
                let members = program.remote.entry(route.prefix.clone()).or_default();
                members.insert(route.tunnel.clone());
            }
        }
        program
    }

    pub(super) fn next_hops(&self) -> BTreeSet<Ipv4Addr> {
        self.remote.values().flatten().map(|tunnel| tunnel.end).collect()
    }

    pub(super) fn flows(&self, outside_mac: &str) -> Result<String> {
        let mut text = String::new();
        for (packets, actions) in self.own.iter().flat_map(Tunnel::arrivals) {
            writeln!(
                text,
                "priority=1000,{packets},\
                 actions={actions},set_field:{outside_mac}->eth_dst,output:{LAN_PORT}"
            )?;
        }
        for prefix in self.remote.keys() {
            let length: u16 =
                prefix.rsplit_once('/').context("a prefix without a length")?.1.parse()?;
            let packets = if is_v6(prefix) { "ipv6,ipv6_dst" } else { "ip,nw_dst" };
            writeln!(
                text,
                "priority={},in_port={LAN_PORT},{packets}={prefix},actions=dec_ttl,group:{}",
                1000 + length,
                group_id(prefix)
            )?;
        }
        Ok(text)
    }

    /// The group that spreads flows to a prefix over its tunnels.
    pub(super) fn group(&self, prefix: &str, members: &BTreeSet<Tunnel>) -> String {
        let own_mac = self.own.iter().find_map(|own| match &own.mark {
            Mark::Vxlan { router_mac, .. } => Some(router_mac.as_str()),
            Mark::Mpls { .. } => None,
        });
        let buckets =
            members.iter().map(|tunnel| format!(",bucket=actions={}", tunnel.actions(own_mac)));
        let addresses = if is_v6(prefix) { "ipv6_src,ipv6_dst" } else { "ip_src,ip_dst" };
        format!(
            "group_id={},type=select,selection_method=hash,\
             fields({addresses},nw_proto,tcp_src,tcp_dst){}",
            group_id(prefix),
            buckets.collect::<Vec<_>>().concat()
        )
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "program: own")?;
        for tunnel in &self.own {
            write!(f, " {tunnel};")?;
        }
        writeln!(f)?;
        for (prefix, members) in &self.remote {
            write!(f, "  {prefix} ->")?;
            for tunnel in members {
                write!(f, " {tunnel};")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn is_v6(prefix: &str) -> bool {
    prefix.contains(':')
}

/// A number for a prefix that stays the same from program to program: FNV-1a of its text, below the
/// reserved numbers of `OpenFlow`.
pub(super) fn group_id(prefix: &str) -> u32 {
    let hash = prefix
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
    (hash >> 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(prefix: &str, end: [u8; 4], label: u32, target: &str) -> Route {
        marked(prefix, end, Mark::Mpls { label }, target)
    }

    fn marked(prefix: &str, end: [u8; 4], mark: Mark, target: &str) -> Route {
        Route {
            prefix: prefix.to_owned(),
            targets: BTreeSet::from([target.to_owned()]),
            tunnel: Tunnel { end: end.into(), mark },
            is_local: false,
        }
    }

    #[test]
    fn frames_of_vxlan_are_sent_from_router_to_router() {
        let vxlan = |vni, mac: &str| Mark::Vxlan { vni, router_mac: mac.to_owned() };
        let own = vxlan(10100, "02:00:00:00:00:01");
        let table = [
            Route { is_local: true, ..marked("203.0.113.0/24", [10, 0, 2, 1], own, "t") },
            marked("2001:db8::5/128", [10, 0, 1, 1], vxlan(10200, "02:5e:0a:00:01:01"), "t"),
        ];
        let program = Program::new(&table, "t");
        let flows = program.flows("02:00:00:00:00:99").expect("flows");
        assert_eq!(flows.lines().count(), 3, "{flows}");
        for version in ["ip", "ipv6"] {
            let comes = format!("tun_id=10100,dl_dst=02:00:00:00:00:01,{version},actions=dec_ttl,");
            assert!(flows.contains(&comes), "{flows}");
        }
        assert!(
            flows.contains("priority=1128,in_port=20,ipv6,ipv6_dst=2001:db8::5/128"),
            "{flows}"
        );
        let group = program.group("2001:db8::5/128", &program.remote["2001:db8::5/128"]);
        assert!(
            group.ends_with(
                "fields(ipv6_src,ipv6_dst,nw_proto,tcp_src,tcp_dst),bucket=actions=\
                 set_field:02:00:00:00:00:01->eth_src,set_field:02:5e:0a:00:01:01->eth_dst,\
                 set_field:10200->tun_id,set_field:10.0.1.1->tun_dst,output:11"
            ),
            "{group}"
        );
    }

    #[test]
    fn routes_of_other_targets_make_no_flow() {
        let table = [
            route("185.22.97.188/32", [10, 2, 1, 11], 21, "64512:900"),
            route("185.22.97.188/32", [10, 2, 1, 12], 22, "64512:900"),
            route("10.0.100.4/32", [10, 1, 1, 11], 17, "64512:100"),
            Route { is_local: true, ..route("0.0.0.0/0", [10, 2, 0, 1], 3000, "64512:900") },
        ];
        let program = Program::new(&table, "64512:900");
        let own = Tunnel { end: [10, 2, 0, 1].into(), mark: Mark::Mpls { label: 3000 } };
        assert_eq!(program.own, BTreeSet::from([own]));
        assert_eq!(program.remote.keys().collect::<Vec<_>>(), ["185.22.97.188/32"]);
        let flows = program.flows("02:00:00:00:00:99").expect("flows");
        assert_eq!(flows.lines().count(), 2, "{flows}");
        assert!(flows.contains("mpls_label=3000") && flows.contains("nw_dst=185.22.97.188/32"));
        let prefix = "185.22.97.188/32";
        let group = program.group(prefix, &program.remote[prefix]);
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
