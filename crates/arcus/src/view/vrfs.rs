use arcus_api::v1::{DropCounter, Tunnel, Vrf, VrfNextHop, VrfNextHopKind, VrfRoute};

use super::{fields, text};
use crate::table::{Cell, Paint, Table, Width, joined, or_dash, trouble};

/// VRFs of a node, a line each.
pub(crate) fn vrfs(vrfs: &[Vrf], width: Width, paint: Paint) -> String {
    let mut table = Table::new(width)
        .text("VRF")
        .text("RD")
        .number("Label")
        .number("VNI")
        .number("Routes")
        .wide_number("IPv6")
        .text("Import")
        .text("Export");
    for vrf in vrfs {
        table.row([
            (&vrf.name).into(),
            (&vrf.rd).into(),
            vrf.label.into(),
            or_dash(vrf.vni).into(),
            vrf.routes.into(),
            vrf.ipv6_routes.into(),
            joined(&vrf.import_targets, ",").into(),
            joined(&vrf.export_targets, ",").into(),
        ]);
    }
    table.render(paint, "no VRFs: a node has those of its ports' networks")
}

/// A VRF and its routes, a line for each next hop.
pub(crate) fn vrf(vrf: &Vrf, routes: &[VrfRoute], width: Width, paint: Paint) -> String {
    let fields = fields(
        2,
        &[
            ("RD", vrf.rd.clone()),
            ("label", vrf.label.to_string()),
            ("VNI", text(vrf.vni)),
            ("import", joined(&vrf.import_targets, ", ")),
            ("export", joined(&vrf.export_targets, ", ")),
        ],
    );
    let mut table = Table::new(width)
        .text("Prefix")
        .text("To")
        .text("")
        .number("Label/VNI")
        .text("Encapsulation")
        .number("Weight")
        .text("From")
        .text("State")
        .wide_text("Groups");
    for route in routes {
        let discard = VrfNextHop {
            kind: VrfNextHopKind::Discard,
            to: String::new(),
            label: None,
            vni: None,
            encapsulation: None,
            weight: None,
        };
        let hops = if route.next_hops.is_empty() { &[discard] } else { &route.next_hops[..] };
        for (ix, hop) in hops.iter().enumerate() {
            let once = |cell: Cell| if ix == 0 { cell } else { "".into() };
            table.row([
                once(route.prefix.into()),
                kind(hop.kind).into(),
                (&hop.to).into(),
                or_dash(hop.label.or(hop.vni)).into(),
                or_dash(hop.encapsulation.as_ref()).into(),
                or_dash(hop.weight).into(),
                once(joined(&route.from, ", ").into()),
                once(state(route)),
                once(joined(&route.groups, ",").into()),
            ]);
        }
    }
    let routes = table.render(paint, "no routes");
    format!("{}\n{fields}\n{routes}", paint.strong(&vrf.name))
}

fn state(route: &VrfRoute) -> Cell {
    match (&route.problem, route.kept, route.programmed) {
        (Some(problem), ..) => Cell::bad(problem),
        (None, true, _) => "kept".into(),
        (None, false, true) => "programmed".into(),
        (None, false, false) => Cell::bad("pending"),
    }
}

/// Tunnels of a node, a line each.
pub(crate) fn tunnels(tunnels: &[Tunnel], width: Width, paint: Paint) -> String {
    let mut table = Table::new(width)
        .text("Remote")
        .text("Encapsulation")
        .number("Routes")
        .number("MTU")
        .text("Local")
        .wide_text("Router MAC");
    for tunnel in tunnels {
        table.row([
            tunnel.remote.into(),
            (&tunnel.encapsulation).into(),
            tunnel.routes.into(),
            or_dash(tunnel.mtu).into(),
            tunnel.local.into(),
            or_dash(tunnel.router_mac.as_ref()).into(),
        ]);
    }
    table.render(paint, "no tunnels: no route leads to another node")
}

/// What a node dropped, a line for each reason.
pub(crate) fn drops(drops: &[DropCounter], width: Width, paint: Paint) -> String {
    let mut table = Table::new(width).text("Reason").number("Packets").text("Meaning");
    for DropCounter { reason, meaning, packets } in drops {
        table.row([reason.into(), trouble(*packets), meaning.into()]);
    }
    table.render(paint, "nothing was dropped")
}

fn kind(kind: VrfNextHopKind) -> &'static str {
    match kind {
        VrfNextHopKind::Local => "port",
        VrfNextHopKind::Service => "service",
        VrfNextHopKind::Floating => "floating",
        VrfNextHopKind::Tunnel => "tunnel",
        VrfNextHopKind::Masquerade => "masquerade",
        VrfNextHopKind::Discard => "discard",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leonardo() -> Vrf {
        Vrf {
            id: 1,
            name: "leonardo".to_owned(),
            rd: "10.2.1.11:1".to_owned(),
            label: 16,
            vni: Some(5020),
            import_targets: vec!["64512:100".to_owned(), "64512:5002".to_owned()],
            export_targets: vec!["64512:100".to_owned()],
            routes: 2,
            ipv6_routes: 0,
        }
    }

    fn hop(kind: VrfNextHopKind, to: &str) -> VrfNextHop {
        VrfNextHop {
            kind,
            to: to.to_owned(),
            label: None,
            vni: None,
            encapsulation: None,
            weight: None,
        }
    }

    fn tunnel(to: &str, label: u32) -> VrfNextHop {
        VrfNextHop {
            label: Some(label),
            encapsulation: Some("mpls-over-gre".to_owned()),
            ..hop(VrfNextHopKind::Tunnel, to)
        }
    }

    #[test]
    fn a_vrf_shows_every_next_hop_of_a_spread_route() {
        let routes = [
            VrfRoute {
                prefix: "10.20.0.5/32".parse().unwrap(),
                next_hops: vec![hop(VrfNextHopKind::Local, "leo-1")],
                groups: vec![],
                from: vec![],
                programmed: true,
                kept: false,
                problem: None,
            },
            VrfRoute {
                prefix: "10.254.98.15/32".parse().unwrap(),
                next_hops: vec![
                    hop(VrfNextHopKind::Service, "leo-1:8080"),
                    tunnel("10.2.1.12", 17),
                    VrfNextHop {
                        label: None,
                        vni: Some(5020),
                        encapsulation: Some("vxlan".to_owned()),
                        weight: Some(2),
                        ..tunnel("10.2.1.13", 16)
                    },
                ],
                groups: vec![],
                from: vec![[10, 2, 0, 11].into(), [10, 2, 0, 12].into()],
                programmed: false,
                kept: false,
                problem: None,
            },
            VrfRoute {
                prefix: "10.0.100.4/32".parse().unwrap(),
                next_hops: vec![tunnel("10.1.1.11", 18)],
                groups: vec![],
                from: vec![],
                programmed: true,
                kept: true,
                problem: None,
            },
            VrfRoute {
                prefix: "10.0.100.5/32".parse().unwrap(),
                next_hops: vec![],
                groups: vec![],
                from: vec![],
                programmed: false,
                kept: false,
                problem: Some("no-common-encapsulation".to_owned()),
            },
        ];
        let want = "\
leonardo
  RD      10.2.1.11:1
  label   16
  VNI     5020
  import  64512:100, 64512:5002
  export  64512:100

Prefix           To                   Label/VNI  Encapsulation  Weight  From                  State
10.20.0.5/32     port     leo-1               -  -                   -  -                     programmed
10.254.98.15/32  service  leo-1:8080          -  -                   -  10.2.0.11, 10.2.0.12  pending
                 tunnel   10.2.1.12          17  mpls-over-gre       -
                 tunnel   10.2.1.13        5020  vxlan               2
10.0.100.4/32    tunnel   10.1.1.11          18  mpls-over-gre       -  -                     kept
10.0.100.5/32    discard                      -  -                   -  -                     no-common-encapsulation
";
        assert_eq!(vrf(&leonardo(), &routes, Width::Normal, Paint::Off), want);
    }

    #[test]
    fn vrfs_are_a_line_each() {
        let want = "\
VRF       RD           Label   VNI  Routes  Import                Export
leonardo  10.2.1.11:1     16  5020       2  64512:100,64512:5002  64512:100
";
        assert_eq!(vrfs(&[leonardo()], Width::Normal, Paint::Off), want);
    }

    #[test]
    fn tunnels_and_drops_are_a_line_each() {
        let tunnel = Tunnel {
            local: [10, 2, 1, 11].into(),
            remote: [10, 1, 1, 11].into(),
            encapsulation: "mpls-over-gre".to_owned(),
            routes: 3,
            router_mac: None,
            mtu: Some(1472),
        };
        let want = "\
Remote     Encapsulation  Routes   MTU  Local
10.1.1.11  mpls-over-gre       3  1472  10.2.1.11
";
        assert_eq!(tunnels(&[tunnel], Width::Normal, Paint::Off), want);

        let drop = DropCounter {
            reason: "no-route".to_owned(),
            meaning: "no route in the VRF leads to the destination".to_owned(),
            packets: 12,
        };
        let want = "\
Reason    Packets  Meaning
no-route       12  no route in the VRF leads to the destination
";
        assert_eq!(drops(&[drop], Width::Normal, Paint::Off), want);
    }
}
