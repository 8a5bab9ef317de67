//! The edges between our crates are those of the table in `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

type Edges = BTreeMap<String, BTreeSet<String>>;

/// Rows of the form "| `name` | .. | `dep` `dep` |": package, responsibility, crates of ours it may use.
fn allowed(document: &str) -> Edges {
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    document
        .lines()
        .skip_while(|line| !line.starts_with("| package "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let cells: Vec<_> = line.split('|').collect();
            let name = quoted(cells.get(1)?).into_iter().next()?;
            Some((name, quoted(cells.get(3)?).into_iter().collect()))
        })
        .collect()
}

fn real(root: &Path) -> Edges {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let ours: BTreeSet<_> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    metadata
        .packages
        .iter()
        .map(|package| {
            let edges = package
                .dependencies
                .iter()
                .filter(|d| d.kind != DependencyKind::Development && ours.contains(&d.name))
                .map(|d| d.name.clone());
            (package.name.to_string(), edges.collect())
        })
        .collect()
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document =
        std::fs::read_to_string(root.join("docs/architecture.md")).expect("docs/architecture.md");
    let (allowed, real) = (allowed(&document), real(&root));
    assert_eq!(
        allowed.keys().collect::<Vec<_>>(),
        real.keys().collect::<Vec<_>>(),
        "the table and the workspace name different packages"
    );
    for (package, edges) in &real {
        let beyond: Vec<_> = edges.difference(&allowed[package]).collect();
        assert!(beyond.is_empty(), "{package} uses {beyond:?}, which docs/architecture.md forbids");
    }
}
