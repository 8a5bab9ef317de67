//! Why a path won or lost, in words and with the values that decided.

use arcus_api::v1::Path;

/// What the deciding step of `path` means beside the path that it was compared with. A step that we
/// do not know is printed as the daemon calls it.
pub(super) fn explain(path: &Path, other: &Path) -> String {
    let word = |won, lost| if path.best { won } else { lost };
    match path.why.as_str() {
        "reachable" => word("its next hop is reached", "its next hop is not reached").to_owned(),
        "long-lived-stale" => word(
            "heard from a neighbor that is there",
            "kept for long from a neighbor that is gone",
        )
        .to_owned(),
        "default-gateway" => {
            word("the address of a default gateway", "the other is a default gateway's").to_owned()
        }
        "sticky-mac" => word("an address that does not move", "the other does not move").to_owned(),
        "mac-mobility" => {
            word("the address was seen here last", "the address has moved").to_owned()
        }
        "aigp" => format!("{} accumulated IGP metric", word("lower", "higher or no")),
        "next-hop-cost" => format!("{} way to the next hop", word("shorter", "longer")),
        "local-preference" => {
            let (ours, theirs) = (number(path.local_pref), number(other.local_pref));
            format!("{} local preference, {ours} against {theirs}", word("higher", "lower"))
        }
        "as-path-length" => {
            let (ours, theirs) = (hops(&path.as_path), hops(&other.as_path));
            format!("{} AS path, {ours} against {theirs}", word("shorter", "longer"))
        }
        "origin" => {
            let (ours, theirs) = (&path.origin, &other.origin);
            format!("{} origin, {ours} against {theirs}", word("better", "worse"))
        }
        "med" => {
            let (ours, theirs) = (path.med.unwrap_or(0), other.med.unwrap_or(0));
            format!("{} MED, {ours} against {theirs}", word("lower", "higher"))
        }
        "external" => word(
            "from another AS, the other from our own",
            "from our own AS, the other from another",
        )
        .to_owned(),
        "router-id" => match (path.originator, other.originator) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                format!("{} originator, {ours} against {theirs}", word("lower", "higher"))
            }
            _ => format!("{} router id of the originator or neighbor", word("lower", "higher")),
        },
        "cluster-list-length" => {
            let (ours, theirs) = (path.cluster_list.len(), other.cluster_list.len());
            format!("{} cluster list, {ours} against {theirs}", word("shorter", "longer"))
        }
        "peer-address" => {
            let (ours, theirs) = (path.neighbor, other.neighbor);
            format!("{} neighbor address, {ours} against {theirs}", word("lower", "higher"))
        }
        "path-id" => format!("{} path identifier", word("lower", "higher")),
        unknown => unknown.to_owned(),
    }
}

/// RFC 4271 §9.1.2.2: a set counts as one.
fn hops(as_path: &str) -> usize {
    let mut depth = 0_usize;
    let mut count = 0;
    for word in as_path.replace('{', " { ").replace('}', " } ").split_whitespace() {
        match word {
            "{" => {
                count += 1;
                depth += 1;
            }
            "}" => depth = depth.saturating_sub(1),
            _ if depth == 0 => count += 1,
            _ => {}
        }
    }
    count
}

fn number(value: Option<u32>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(best: bool, why: &str, from: u8) -> Path {
        Path {
            multipath: false,
            best,
            neighbor: [10, 2, 0, from].into(),
            next_hop: None,
            label: None,
            as_path: if best { "64513" } else { "64512 {64520 64521}" }.to_owned(),
            local_pref: Some(if best { 200 } else { 100 }),
            med: (!best).then_some(10),
            origin: if best { "igp" } else { "incomplete" }.to_owned(),
            targets: vec![],
            communities: vec![],
            encapsulations: vec![],
            originator: Some([10, 2, 1, from].into()),
            cluster_list: if best { vec![] } else { vec![[10, 2, 0, 12].into()] },
            stale: false,
            why: why.to_owned(),
        }
    }

    #[test]
    fn each_step_is_told_with_its_values() {
        // (step, of the best, of the other)
        let cases = [
            (
                "local-preference",
                "higher local preference, 200 against 100",
                "lower local preference, 100 against 200",
            ),
            ("as-path-length", "shorter AS path, 1 against 2", "longer AS path, 2 against 1"),
            (
                "origin",
                "better origin, igp against incomplete",
                "worse origin, incomplete against igp",
            ),
            ("med", "lower MED, 0 against 10", "higher MED, 10 against 0"),
            (
                "external",
                "from another AS, the other from our own",
                "from our own AS, the other from another",
            ),
            (
                "router-id",
                "lower originator, 10.2.1.11 against 10.2.1.12",
                "higher originator, 10.2.1.12 against 10.2.1.11",
            ),
            (
                "cluster-list-length",
                "shorter cluster list, 0 against 1",
                "longer cluster list, 1 against 0",
            ),
            (
                "peer-address",
                "lower neighbor address, 10.2.0.11 against 10.2.0.12",
                "higher neighbor address, 10.2.0.12 against 10.2.0.11",
            ),
            ("path-id", "lower path identifier", "higher path identifier"),
            ("newer-step", "newer-step", "newer-step"),
        ];
        for (step, won, lost) in cases {
            let (best, other) = (path(true, step, 11), path(false, step, 12));
            assert_eq!(explain(&best, &other), won);
            assert_eq!(explain(&other, &best), lost);
        }
    }
}
