use arcus_api::v1::{
    Action, Counters, PortCounter, RuleCounter, Traffic, TunnelCounter, VrfCounter,
};

use crate::table::{Cell, Paint, Table, Width};

/// Everything, a table for each kind.
pub(crate) fn counters(counters: &Counters, width: Width, paint: Paint) -> String {
    let tables = [
        port_counters(&counters.ports, width, paint),
        tunnel_counters(&counters.tunnels, width, paint),
        vrf_counters(&counters.vrfs, width, paint),
        rule_counters(&counters.rules, width, paint),
        format!("remembered connections  {}\n", counters.flows),
    ];
    tables.join("\n")
}

pub(crate) fn port_counters(ports: &[PortCounter], width: Width, paint: Paint) -> String {
    let mut table = traffic(Table::new(width).text("Port").text("Network"));
    for PortCounter { id, network, traffic } in ports {
        let [a, b, c, d] = cells(traffic);
        table.row([id.into(), network.into(), a, b, c, d]);
    }
    table.render(paint, "no ports")
}

pub(crate) fn tunnel_counters(tunnels: &[TunnelCounter], width: Width, paint: Paint) -> String {
    let mut table = traffic(Table::new(width).text("Remote"));
    for TunnelCounter { remote, traffic } in tunnels {
        let [a, b, c, d] = cells(traffic);
        table.row([remote.into(), a, b, c, d]);
    }
    table.render(paint, "no tunnels")
}

pub(crate) fn vrf_counters(vrfs: &[VrfCounter], width: Width, paint: Paint) -> String {
    let mut table = traffic(Table::new(width).text("VRF"));
    for VrfCounter { name, traffic } in vrfs {
        let [a, b, c, d] = cells(traffic);
        table.row([name.into(), a, b, c, d]);
    }
    table.render(paint, "no VRFs")
}

pub(crate) fn rule_counters(rules: &[RuleCounter], width: Width, paint: Paint) -> String {
    let mut table = Table::new(width)
        .text("Filter")
        .text("Rule")
        .text("Direction")
        .text("Action")
        .number("Packets");
    for RuleCounter { filter, rule, direction, action, packets } in rules {
        let packets = match action {
            Action::Deny if *packets > 0 => Cell::bad(packets.to_string()),
            Action::Allow | Action::Deny => packets.into(),
        };
        table.row([filter.into(), rule.into(), direction.into(), action.into(), packets]);
    }
    table.render(paint, "no filters")
}

fn traffic(table: Table) -> Table {
    table.number("Received").number("Octets received").number("Sent").number("Octets sent")
}

fn cells(traffic: &Traffic) -> [Cell; 4] {
    let Traffic { rx_packets, rx_octets, tx_packets, tx_octets } = traffic;
    [rx_packets.into(), rx_octets.into(), tx_packets.into(), tx_octets.into()]
}

#[cfg(test)]
mod tests {
    use arcus_api::v1::Direction;

    use super::*;

    #[test]
    fn every_kind_has_a_table() {
        let traffic = Traffic { rx_packets: 3, rx_octets: 252, tx_packets: 2, tx_octets: 168 };
        let all = Counters {
            ports: vec![PortCounter {
                id: "db-1".parse().unwrap(),
                network: "database".to_owned(),
                traffic,
            }],
            tunnels: vec![TunnelCounter { remote: [10, 1, 1, 11].into(), traffic }],
            vrfs: vec![],
            rules: vec![RuleCounter {
                filter: "web".to_owned(),
                rule: "http".to_owned(),
                direction: Direction::In,
                action: Action::Allow,
                packets: 7,
            }],
            flows: 4,
        };
        let want = "\
Port  Network   Received  Octets received  Sent  Octets sent
db-1  database         3              252     2          168

Remote     Received  Octets received  Sent  Octets sent
10.1.1.11         3              252     2          168

no VRFs

Filter  Rule  Direction  Action  Packets
web     http  in         allow         7

remembered connections  4
";
        assert_eq!(counters(&all, Width::Normal, Paint::Off), want);
    }
}
