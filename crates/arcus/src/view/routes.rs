use arcus_api::v1::{Path, Route, Target};

use super::why::explain;
use super::{fields, text};
use crate::table::{Cell, Paint, Table, Width, joined, or_dash};

/// Routes, a line for each path.
pub(crate) fn routes(routes: &[Route], width: Width, paint: Paint) -> String {
    let mut table = Table::new(width)
        .text("")
        .text("Route")
        .text("Next hop")
        .number("Label")
        .text("From")
        .number("Pref")
        .wide_number("MED")
        .text("AS path")
        .text("Targets")
        .wide_text("Origin")
        .wide_text("Encapsulations")
        .wide_text("Communities")
        .wide_text("Originator")
        .wide_text("Clusters")
        .wide_text("Why");
    for route in routes {
        for (ix, path) in route.paths.iter().enumerate() {
            table.row([
                mark(path),
                if ix == 0 { Cell::from(&route.nlri) } else { Cell::from("") },
                or_dash(path.next_hop).into(),
                or_dash(path.label).into(),
                path.neighbor.into(),
                or_dash(path.local_pref).into(),
                or_dash(path.med).into(),
                as_path(path).into(),
                joined(&path.targets, ",").into(),
                (&path.origin).into(),
                joined(&path.encapsulations, ",").into(),
                joined(&path.communities, ",").into(),
                or_dash(path.originator).into(),
                joined(&path.cluster_list, ",").into(),
                (&path.why).into(),
            ]);
        }
    }
    table.render(paint, "no routes")
}

/// One route and everything about its paths.
pub(crate) fn route(route: &Route, paint: Paint) -> String {
    let title = paint.strong(&format!("{} {}", route.family, route.nlri));
    let count = match route.paths.len() {
        1 => "1 path".to_owned(),
        count => format!("{count} paths"),
    };
    let paths = route.paths.iter().map(|path| {
        // The best was compared with the next best, every other with the best.
        let rival = route.paths.iter().find(|other| other.best != path.best);
        let why = rival.map(|rival| explain(path, rival)).unwrap_or_default();
        format!("\n{}", whole(path, &why, paint))
    });
    format!("{title}, {count}\n{}", paths.collect::<Vec<_>>().concat())
}

fn whole(path: &Path, why: &str, paint: Paint) -> String {
    let stale = if path.stale { ", stale" } else { "" };
    let title = match (path.best, why) {
        (true, "") => paint.strong("best") + ": the only path",
        (true, why) => paint.strong("best") + ": " + why,
        (false, "") => "not the best".to_owned(),
        (false, why) => format!("not the best: {why}"),
    };
    let fields = fields(
        4,
        &[
            ("from", format!("{}{stale}", path.neighbor)),
            ("next hop", text(path.next_hop)),
            ("label", text(path.label)),
            ("AS path", as_path(path)),
            ("origin", path.origin.clone()),
            ("local preference", text(path.local_pref)),
            ("MED", text(path.med)),
            ("targets", path.targets.join(", ")),
            ("communities", path.communities.join(", ")),
            ("encapsulations", path.encapsulations.join(", ")),
            ("originator", text(path.originator)),
            (
                "clusters",
                if path.cluster_list.is_empty() {
                    String::new()
                } else {
                    joined(&path.cluster_list, ", ")
                },
            ),
        ],
    );
    format!("  {title}\n{fields}")
}

/// Route targets, a line each.
pub(crate) fn targets(targets: &[Target], width: Width, paint: Paint) -> String {
    let mut table = Table::new(width).text("Target").number("Routes").text("Asked for by");
    for Target { target, asked_by, routes } in targets {
        table.row([target.into(), (*routes).into(), joined(asked_by, ", ").into()]);
    }
    table.render(paint, "no route targets")
}

fn mark(path: &Path) -> Cell {
    let stale = if path.stale { "S" } else { "" };
    match (path.best, path.multipath) {
        (true, _) => Cell::good(format!("*>{stale}")),
        (false, true) => Cell::from(format!("*={stale}")),
        (false, false) => Cell::from(format!("* {stale}")),
    }
}

fn as_path(path: &Path) -> String {
    if path.as_path.is_empty() { "local".to_owned() } else { path.as_path.clone() }
}

#[cfg(test)]
mod tests {
    use arcus_api::v1::Family;

    use super::*;

    fn path(from: u8) -> Path {
        Path {
            best: false,
            multipath: false,
            neighbor: [10, 2, 0, from].into(),
            next_hop: Some([10, 2, 1, 11].into()),
            label: Some(16),
            as_path: String::new(),
            local_pref: Some(100),
            med: None,
            origin: "igp".to_owned(),
            targets: vec!["64512:100".to_owned()],
            communities: vec![],
            encapsulations: vec!["mpls-over-gre".to_owned(), "mpls-over-udp".to_owned()],
            originator: None,
            cluster_list: vec![],
            stale: false,
            why: String::new(),
        }
    }

    fn service() -> Route {
        let best = Path { best: true, why: "cluster-list-length".to_owned(), ..path(11) };
        let other = Path {
            why: "cluster-list-length".to_owned(),
            originator: Some([10, 2, 1, 11].into()),
            cluster_list: vec![[10, 2, 0, 12].into()],
            stale: true,
            ..path(12)
        };
        Route {
            family: Family::Vpnv4,
            nlri: "10.2.1.11:1:10.254.98.15/32".to_owned(),
            rd: Some("10.2.1.11:1".to_owned()),
            prefix: "10.254.98.15/32".parse().ok(),
            paths: vec![best, other],
        }
    }

    #[test]
    fn each_path_has_a_line_and_the_best_its_mark() {
        let want =
            "     Route                        Next hop   Label  From       Pref  AS path  Targets
*>   10.2.1.11:1:10.254.98.15/32  10.2.1.11     16  10.2.0.11   100  local    64512:100
* S                               10.2.1.11     16  10.2.0.12   100  local    64512:100
";
        assert_eq!(routes(&[service()], Width::Normal, Paint::Off), want);
    }

    #[test]
    fn a_route_in_detail_says_why_its_best_won() {
        let want = "\
vpnv4 10.2.1.11:1:10.254.98.15/32, 2 paths

  best: shorter cluster list, 0 against 1
    from              10.2.0.11
    next hop          10.2.1.11
    label             16
    AS path           local
    origin            igp
    local preference  100
    targets           64512:100
    encapsulations    mpls-over-gre, mpls-over-udp

  not the best: longer cluster list, 1 against 0
    from              10.2.0.12, stale
    next hop          10.2.1.11
    label             16
    AS path           local
    origin            igp
    local preference  100
    targets           64512:100
    encapsulations    mpls-over-gre, mpls-over-udp
    originator        10.2.1.11
    clusters          10.2.0.12
";
        assert_eq!(route(&service(), Paint::Off), want);
    }

    #[test]
    fn who_asked_for_a_target_is_listed() {
        let asked = Target {
            target: "64512:100".to_owned(),
            asked_by: vec![[10, 2, 1, 11].into(), [10, 2, 1, 12].into()],
            routes: 7,
        };
        let nobody = Target { target: "64512:900".to_owned(), asked_by: vec![], routes: 3 };
        let want = "\
Target     Routes  Asked for by
64512:100       7  10.2.1.11, 10.2.1.12
64512:900       3  -
";
        assert_eq!(targets(&[asked, nobody], Width::Normal, Paint::Off), want);
    }
}
