//! `arcus check`, `plan` and `allocate`: topology files without a daemon.
//!
//! Each command is a function from files to what is printed. A mistake in a file is an answer here,
//! not an error of the program.

use std::path::Path;

use arcus_config::{
    Change, ConfigError, Effect, Topology, allocate as find_targets, plan as compare, read,
};
use serde_json::{Value, json};

/// What a command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Without a line end: for standard output when the code is 0, else for standard error.
    pub(crate) text: String,
    /// The same for a program, which finds it on standard output in either case: an object in which
    /// `accepted` says whether the files are right, and if not, `mistake` what is wrong.
    pub(crate) json: Value,
    /// Exit code of the program: 0 when all is well, 1 when a file was refused.
    pub(crate) code: u8,
}

impl Answer {
    fn well(text: String, json: Value) -> Self {
        Self { text, json, code: 0 }
    }

    fn refused(error: &ConfigError) -> Self {
        let json = json!({ "accepted": false, "mistake": mistake(error) });
        Self { text: error.to_string(), json, code: 1 }
    }

    fn not_written(record: &Path, error: &std::io::Error) -> Self {
        let message = format!("cannot be written: {error}");
        let text = format!("{}: {message}", record.display());
        let json = json!({ "accepted": false, "mistake": { "file": record, "message": message } });
        Self { text, json, code: 1 }
    }
}

fn mistake(error: &ConfigError) -> Value {
    let ConfigError { file, line, column, excerpt, message, other } = error;
    let mut json = json!({ "file": file, "message": message });
    if *line > 0 {
        json["line"] = (*line).into();
        json["column"] = (*column).into();
        json["excerpt"] = excerpt.as_str().into();
    }
    if let Some(other) = other {
        json["other"] = mistake(other);
    }
    json
}

/// `arcus check FILE`: whether daemons would take this topology.
pub(crate) fn check(file: &Path) -> Answer {
    match read(file) {
        Ok(topology) => {
            let text = format!("{} is right: {}", file.display(), summary(&topology));
            let json = json!({
                "accepted": true,
                "file": file,
                "hash": format!("{:016x}", topology.fingerprint()),
                "federation": topology.federation.name,
                "clouds": topology.clouds.len(),
                "control_nodes": topology.control_nodes().count(),
                "networks": topology.networks.len(),
                "connections": topology.connections.len(),
                "gateways": topology.gateways.len(),
                "neighbors": topology.neighbors.len(),
            });
            Answer::well(text, json)
        }
        Err(error) => Answer::refused(&error),
    }
}

/// `arcus plan OLD NEW`: what would change, and what that costs.
pub(crate) fn plan(old: &Path, new: &Path) -> Answer {
    let changes = match (read(old), read(new)) {
        (Ok(old), Ok(new)) => compare(&old, &new),
        (Err(error), _) | (_, Err(error)) => return Answer::refused(&error),
    };
    let cost = Cost::of(&changes);
    let json = json!({
        "accepted": true,
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
        "sessions": { "reset": cost.reset, "refreshed": cost.refreshed, "closed": cost.closed },
    });
    if changes.is_empty() {
        return Answer::well("nothing changes".to_owned(), json);
    }
    let mut lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    lines.push(String::new());
    lines.push(cost.in_words(changes.len()));
    Answer::well(lines.join("\n"), json)
}

/// `arcus allocate FILE`: chooses and records the targets that connections leave out.
pub(crate) fn allocate(file: &Path) -> Answer {
    let allocation = match find_targets(file) {
        Ok(allocation) => allocation,
        Err(error) => return Answer::refused(&error),
    };
    let new = allocation.new.iter().map(|(connection, key, target)| {
        json!({ "connection": connection, "key": key, "target": target.to_string() })
    });
    let new: Vec<Value> = new.collect();
    let json = json!({ "accepted": true, "record": allocation.file, "new": new });
    if allocation.new.is_empty() {
        return Answer::well("every connection has its targets".to_owned(), json);
    }
    let record = allocation.file.display();
    if let Err(error) = allocation.write() {
        return Answer::not_written(&allocation.file, &error);
    }
    let targets = allocation
        .new
        .iter()
        .map(|(connection, key, target)| format!("+ {connection}: {key} {target}"));
    let last = format!("recorded in {record}; keep it beside {}", file.display());
    Answer::well(targets.chain([last]).collect::<Vec<_>>().join("\n"), json)
}

fn summary(topology: &Topology) -> String {
    let counts = [
        counted(topology.clouds.len(), "cloud"),
        counted(topology.control_nodes().count(), "control node"),
        counted(topology.networks.len(), "network"),
        counted(topology.connections.len(), "connection"),
        counted(topology.gateways.len(), "gateway"),
        counted(topology.neighbors.len(), "neighbor"),
    ];
    format!("federation {} with {}", topology.federation.name, counts.join(", "))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// One change: the line that people read, and what of it a program would ask for.
fn change(change: &Change) -> Value {
    let effect = match change {
        Change::PeerChanged { effect: Effect::Keep, .. } => "keep",
        Change::PeerChanged { effect: Effect::Refresh, .. } => "refresh",
        Change::PeerChanged { effect: Effect::Reset, .. } => "reset",
        Change::PeerAdded { .. } => "open",
        Change::PeerRemoved { .. } => "close",
        Change::Added(_) | Change::Removed(_) | Change::Changed { .. } => {
            return json!({ "text": change.to_string() });
        }
    };
    json!({
        "text": change.to_string(),
        "control_node": change.control_node(),
        "session": effect,
    })
}

/// Which sessions would notice.
struct Cost {
    reset: usize,
    refreshed: usize,
    closed: usize,
}

impl Cost {
    fn of(changes: &[Change]) -> Self {
        let count =
            |matches: fn(&Change) -> bool| changes.iter().filter(|change| matches(change)).count();
        Self {
            reset: count(|c| matches!(c, Change::PeerChanged { effect: Effect::Reset, .. })),
            refreshed: count(|c| matches!(c, Change::PeerChanged { effect: Effect::Refresh, .. })),
            closed: count(|c| matches!(c, Change::PeerRemoved { .. })),
        }
    }

    /// The line that an operator looks for first.
    fn in_words(&self, changes: usize) -> String {
        format!(
            "{}; {} reset, {} asked for routes again, {} closed",
            counted(changes, "change"),
            counted(self.reset, "session"),
            self.refreshed,
            self.closed
        )
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LAB: &str = r#"
[federation]
name = "lab"
target-range = "64512:5000-5999"

[cloud.lab]
asn = 64512

[cloud.lab.control-node.ctl-1]
address = "10.1.0.11"

[cloud.lab.control-node.ctl-2]
address = "10.1.0.12"

[network.web]
clouds = ["lab"]
subnets = ["10.10.0.0/16"]
route-targets = ["64512:200"]

[network.database]
clouds = ["lab"]
subnets = ["10.20.0.0/16"]
route-targets = ["64512:100"]
"#;

    const USES: &str = "\n[connection.uses]\nfrom = \"web\"\nto = \"database\"\n";

    /// Writes each text to a file of its own in one folder.
    fn files<const N: usize>(texts: [&str; N]) -> (tempfile::TempDir, [std::path::PathBuf; N]) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut number = 0;
        let paths = texts.map(|text| {
            number += 1;
            let path = folder.path().join(format!("{number}.toml"));
            fs::write(&path, text).expect("a file");
            path
        });
        (folder, paths)
    }

    #[test]
    fn a_right_file_is_summed_up() {
        let (_folder, [file]) = files([LAB]);
        let answer = check(&file);
        let text = format!(
            "{} is right: federation lab with 1 cloud, 2 control nodes, 2 networks, 0 \
             connections, 0 gateways, 0 neighbors",
            file.display()
        );
        assert_eq!((answer.text, answer.code), (text, 0));
    }

    #[test]
    fn a_wrong_file_is_shown_at_its_line() {
        let (_folder, [file]) = files([&LAB.replace("asn = 64512", "asn = 0")]);
        let answer = check(&file);
        assert_eq!(answer.code, 1);
        let mistake = &answer.json["mistake"];
        assert_eq!((&answer.json["accepted"], &mistake["line"]), (&json!(false), &json!(7)));
        assert_eq!(mistake["excerpt"], "asn = 0");
        assert!(answer.text.starts_with(&format!("{}:7:7: ", file.display())), "{}", answer.text);
        assert!(answer.text.ends_with("7 | asn = 0\n  |       ^"), "{}", answer.text);
    }

    #[test]
    fn a_plan_ends_with_what_it_costs() {
        let new = LAB.replace("asn = 64512", "asn = 64512\nhold-time = 30");
        let (_folder, [old, new]) = files([LAB, &new]);
        let text = [
            "~ cloud lab: hold-time 90 -> 30",
            "~ peer ctl-2 of ctl-1: hold-time 90 -> 30; the session is reset",
            "~ peer ctl-1 of ctl-2: hold-time 90 -> 30; the session is reset",
            "",
            "3 changes; 2 sessions reset, 0 asked for routes again, 0 closed",
        ]
        .join("\n");
        let answer = plan(&old, &new);
        assert_eq!((answer.text, answer.code), (text, 0));
        assert_eq!(answer.json["sessions"]["reset"], 2);
        let sessions: Vec<_> = answer.json["changes"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|c| &c["session"])
            .collect();
        assert_eq!(sessions, [&Value::Null, &json!("reset"), &json!("reset")]);
    }

    #[test]
    fn equal_files_change_nothing_and_a_wrong_one_has_no_plan() {
        let (_folder, [old, wrong]) = files([LAB, "x = 1\n"]);
        assert_eq!(plan(&old, &old).text, "nothing changes");
        assert_eq!(plan(&old, &old).json["changes"], json!([]));
        assert_eq!(plan(&old, &wrong).code, 1);
    }

    #[test]
    fn what_was_allocated_makes_the_file_right() {
        let (folder, [file]) = files([&[LAB, USES].concat()]);
        assert_eq!(check(&file).code, 1);
        let answer = allocate(&file);
        let record = folder.path().join("1.allocated.toml");
        let text = format!(
            "+ uses: service-target 64512:5000\n+ uses: return-target 64512:5001\nrecorded in {}; \
             keep it beside {}",
            record.display(),
            file.display()
        );
        assert_eq!((answer.text, answer.code), (text, 0));
        assert_eq!(check(&file).code, 0);
        assert_eq!(allocate(&file).text, "every connection has its targets");
    }
}
