//! What the documents name is there: files, functions, log lines, drop reasons, targets of `make`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dataplane::DropReason;

/// How `docs/standards.md` shortens paths.
const SHORT: [(&str, &str); 7] = [
    ("wire", "crates/bgp-wire/src"),
    ("session", "crates/bgp-session/src"),
    ("peer", "crates/bgp-peer/src"),
    ("rib", "crates/bgp-rib/src"),
    ("bfd", "crates/bfd/src"),
    ("agent", "vrouter-agent/src"),
    ("ebpf", "crates/dataplane-ebpf"),
];

/// Directories of programs, which are searched for what programs say.
const SOURCES: [&str; 4] = ["crates", "bgpd/src", "vrouter-agent/src", "config/src"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    paths.flat_map(below).collect()
}

/// The documents themselves, with their names.
fn documents() -> Vec<(String, String)> {
    let pages = files(&root().join("docs"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "md"));
    let top = ["README.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    let with_text =
        |path: PathBuf| (path.display().to_string(), fs::read_to_string(&path).expect("a page"));
    pages.chain(top).map(with_text).collect()
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Cells of the rows of every table whose header has `column`: that cell.
fn cells<'a>(document: &'a str, column: &str) -> Vec<&'a str> {
    let mut place = None;
    let mut found = Vec::new();
    for line in document.lines() {
        let row: Vec<_> = line.split('|').map(str::trim).collect();
        match place {
            _ if !line.starts_with('|') => place = None,
            None => place = Some(row.iter().position(|cell| *cell == column)),
            Some(at) => {
                let cell = at.and_then(|at| row.get(at));
                found.extend(cell.filter(|cell| cell.contains('`')));
            }
        }
    }
    found
}

/// The file or directory of a short name, which may go on where the one before was.
fn place(name: &str, before: Option<&Path>) -> Option<PathBuf> {
    let (first, rest) = name.split_once('/').unwrap_or((name, ""));
    let long = SHORT.iter().find(|(short, _)| *short == first);
    let long = long.map(|(_, directory)| root().join(directory).join(rest));
    let beside = before.and_then(Path::parent).map(|directory| directory.join(name));
    let candidates = long.into_iter().chain(beside).chain([root().join(name)]);
    candidates
        .flat_map(|path| {
            let module = path.with_file_name(format!(
                "{}.rs",
                path.file_name().unwrap_or_default().to_string_lossy()
            ));
            [path, module]
        })
        .find(|path| path.exists())
}

fn has(place: &Path, word: &str) -> bool {
    let parts = if place.is_dir() { files(place) } else { vec![place.to_owned()] };
    parts.iter().any(|path| {
        fs::read_to_string(path).is_ok_and(|text| {
            text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
        })
    })
}

#[test]
fn the_code_of_each_standard_is_where_the_page_says() {
    let page = text("docs/standards.md");
    let mut wrong = Vec::new();
    let cells = cells(&page, "where");
    assert!(cells.len() > 100, "{} cells", cells.len());
    for cell in cells {
        let mut last: Option<PathBuf> = None;
        // A name in brackets is in the file in front of it.
        let mut is_inside = false;
        for (at, part) in cell.split('`').enumerate() {
            if at % 2 == 0 {
                is_inside = (is_inside || part.contains('(')) && !part.contains(')');
            } else if is_inside {
                if !last.as_deref().is_some_and(|file| has(file, part)) {
                    wrong.push(format!("{part} in {cell}"));
                }
            } else {
                last = place(part, last.as_deref());
                if last.is_none() {
                    wrong.push(format!("{part} of {cell}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "not there: {wrong:#?}");
}

#[test]
fn files_that_documents_name_exist() {
    let tops = fs::read_dir(root()).expect("the root");
    let tops: BTreeSet<_> = tops.map(|entry| entry.expect("an entry").file_name()).collect();
    let mut wrong = Vec::new();
    for (page, text) in documents() {
        for name in text.lines().flat_map(quoted) {
            let Some((top, _)) = name.split_once('/') else { continue };
            let is_path = tops.contains(std::ffi::OsStr::new(top)) && top != "target";
            if !is_path || name.contains([' ', '*', '{', '<']) {
                continue;
            }
            let path = root().join(name);
            // Decisions are named by their number.
            let number = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let starts_so = |entry: &Path| {
                entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&number))
            };
            let siblings = path.parent().filter(|parent| parent.is_dir()).map(files);
            if !path.exists() && !siblings.unwrap_or_default().iter().any(|p| starts_so(p)) {
                wrong.push(format!("{name} in {page}"));
            }
        }
    }
    assert!(wrong.is_empty(), "not there: {wrong:#?}");
}

#[test]
fn log_lines_of_the_operations_page_are_said_by_a_program() {
    let source = |directory: &&str| files(&root().join(directory));
    let is_program = |path: &PathBuf| path.extension().is_some_and(|e| e == "rs");
    let sources = SOURCES.iter().flat_map(source).filter(is_program);
    let code: String = sources.map(|path| fs::read_to_string(path).expect("a source")).collect();
    // A string that is broken over lines goes on behind the blanks of the next.
    let mut parts = code.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    let code = parts.fold(first, |code, part| code + part.trim_start());

    let page = text("docs/operations.md");
    let lines = cells(&page, "message");
    assert!(lines.len() > 40, "{} lines", lines.len());
    let is_said = |message: &str| {
        let composed = ["connection allowed", "connection denied"].contains(&message);
        let line = if composed { "connection {action}" } else { message };
        code.contains(&format!("\"{line}\""))
    };
    let wrong: Vec<_> = lines.into_iter().flat_map(quoted).filter(|line| !is_said(line)).collect();
    assert!(wrong.is_empty(), "nobody says {wrong:#?}");
}

#[test]
fn every_drop_reason_is_explained() {
    let names: BTreeSet<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
    let page = text("docs/operations.md");
    let (_, section) = page.split_once("## What a node drops").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("the next one");
    let explained: BTreeSet<_> = cells(section, "reason").into_iter().flat_map(quoted).collect();
    assert_eq!(explained, names);
}

#[test]
fn targets_of_make_exist() {
    let makefile = text("Makefile");
    let targets: BTreeSet<_> =
        makefile.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let mut wrong = Vec::new();
    let is_of_names = |c: char| c.is_ascii_lowercase() || c == '-';
    for (page, text) in documents() {
        let blocks = text.split("```").skip(1).step_by(2);
        let in_blocks = blocks.flat_map(str::lines).filter(|line| line.starts_with("make "));
        for command in text.lines().flat_map(quoted).chain(in_blocks) {
            let mut words = command.split_whitespace().skip_while(|word| *word != "make").skip(1);
            let target = words.next().and_then(|word| word.split(|c| !is_of_names(c)).next());
            if let Some(target) = target.filter(|target| !targets.contains(target)) {
                wrong.push(format!("make {target} in {page}"));
            }
        }
    }
    assert!(wrong.is_empty(), "not there: {wrong:#?}");
}
