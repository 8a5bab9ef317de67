//! Targets that a topology leaves out: chosen once, recorded, and read by everyone.

#[expect(dead_code, reason = "what is read here lies beside a record")]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use arcus_config::{Allocation, ConfigError, allocate, read};
use support::written;

const BASE: &str = r#"
[federation]
name = "allocated"
target-range = "64512:5000-5003"

[cloud.lab]
asn = 64512

[cloud.lab.control-node.ctl-1]
address = "10.1.0.11"

[network.web]
clouds = ["lab"]
subnets = ["10.10.0.0/16"]
route-targets = ["64512:5001"]

[network.database]
clouds = ["lab"]
subnets = ["10.20.0.0/16"]
route-targets = ["64512:100"]
"#;

const USES: &str = "\n[connection.uses]\nfrom = \"web\"\nto = \"database\"\n";
const BACKUP: &str = "\n[connection.backup]\nfrom = \"database\"\nto = \"web\"\n";

/// A folder with one topology in it.
struct Folder {
    topology: PathBuf,
    folder: tempfile::TempDir,
}

impl Folder {
    fn with(text: &str) -> Self {
        let (folder, topology) = written(text);
        Self { topology, folder }
    }

    fn edit(&self, text: &str) {
        fs::write(&self.topology, text).expect("the topology");
    }

    fn allocate(&self) -> Result<Allocation, ConfigError> {
        let allocation = allocate(&self.topology)?;
        allocation.write().expect("the record");
        Ok(allocation)
    }
}

fn new_targets(allocation: &Allocation) -> Vec<String> {
    allocation.new.iter().map(|(name, key, target)| format!("{name} {key} {target}")).collect()
}

#[test]
fn a_daemon_refuses_what_was_not_allocated_and_says_what_to_run() {
    let folder = Folder::with(&[BASE, USES].concat());
    let error = read(&folder.topology).expect_err("nothing is recorded");
    let command = format!("run `arcus allocate {}` or write one", folder.topology.display());
    assert!(error.message.contains(&command), "{error}");
    assert_eq!(error.excerpt, "[connection.uses]");
}

#[test]
fn what_was_allocated_is_used_and_never_what_something_else_uses() {
    let folder = Folder::with(&[BASE, USES].concat());
    let allocation = folder.allocate().expect("an allocation");
    assert_eq!(
        new_targets(&allocation),
        ["uses service-target 64512:5000", "uses return-target 64512:5002"],
        "64512:5001 is the network's"
    );
    let topology = read(&folder.topology).expect("a topology");
    let connection = &topology.connections["uses"];
    assert_eq!(connection.service_target.to_string(), "64512:5000");
    assert_eq!(connection.return_target.to_string(), "64512:5002");
}

#[test]
fn a_second_run_finds_nothing_to_do() {
    let folder = Folder::with(&[BASE, USES].concat());
    let first = folder.allocate().expect("an allocation");
    let second = folder.allocate().expect("an allocation");
    assert_eq!((second.new.len(), second.text), (0, first.text));
}

#[test]
fn a_target_of_a_connection_that_is_gone_is_not_given_to_another() {
    let folder = Folder::with(&[BASE, USES].concat());
    folder.allocate().expect("an allocation");
    folder.edit(&[BASE, BACKUP].concat());
    let error = folder.allocate().expect_err("only one is left");
    assert!(error.message.contains("every target of 64512:5000-5003 is used"), "{error}");
    assert_eq!(error.excerpt, "target-range = \"64512:5000-5003\"");

    folder.edit(&[BASE, USES].concat());
    let again = read(&folder.topology).expect("a topology");
    assert_eq!(again.connections["uses"].service_target.to_string(), "64512:5000");
}

#[test]
fn only_what_is_left_out_is_allocated() {
    let folder = Folder::with(&[BASE, USES, "service-target = \"64512:5000\"\n"].concat());
    let allocation = folder.allocate().expect("an allocation");
    assert_eq!(new_targets(&allocation), ["uses return-target 64512:5002"]);
}

#[test]
fn without_a_range_nothing_can_be_allocated() {
    let text = [BASE, USES].concat().replace("target-range = \"64512:5000-5003\"\n", "");
    let error = Folder::with(&text).allocate().expect_err("there is no range");
    assert!(error.message.ends_with("write target-range = \"64512:5000-5999\""), "{error}");
    assert_eq!(error.excerpt, "[federation]");
}

#[test]
fn a_record_that_was_spoilt_by_hand_is_shown_where_it_is() {
    let folder = Folder::with(&[BASE, USES].concat());
    let record = folder.folder.path().join("lab.allocated.toml");
    fs::write(&record, "[connection.uses]\nservice-target = \"x\"\n").expect("the record");
    let error = read(&folder.topology).expect_err("a target is malformed");
    assert_eq!((Path::new(&error.file), error.line, error.column), (record.as_path(), 2, 18));
}

#[test]
fn a_recorded_target_that_a_network_took_since_is_refused() {
    let folder = Folder::with(&[BASE, USES].concat());
    folder.allocate().expect("an allocation");
    folder.edit(&[BASE, USES].concat().replace("64512:100", "64512:5002"));
    let error = read(&folder.topology).expect_err("both use it");
    assert!(error.message.contains("used by network `database` already"), "{error}");
}

#[test]
fn the_committed_record_is_what_would_be_written() {
    let path = Path::new("../topology-examples/split/federation.toml");
    let allocation = allocate(path).expect("an allocation");
    let written = fs::read_to_string(&allocation.file).expect("the record");
    assert_eq!((allocation.new.len(), allocation.text), (0, written));
}
