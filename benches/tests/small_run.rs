//! The benchmark itself, small: every scenario that waits for nothing but the daemon, all content
//! checked. What it measured is not looked at.

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "needs root: make test-netns"]
fn a_small_run_of_the_scenarios_ends_well() {
    let bench = Path::new(env!("CARGO_BIN_EXE_arcus-bench"));
    let bgpd = bench.with_file_name("arcus-bgpd");
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("bench.json");
    let scenarios = "vpnv4-1m,unicast-1m,evpn-400k,all-at-once,late-joiner,sender-loss,churn,rtc-100x10,\
                     rtc-1000-clients,never-reads";
    let output = Command::new(bench)
        .args(["run", "--runs", "1", "--scale", "0.002", "--only", scenarios, "--bgpd"])
        .arg(&bgpd)
        .arg("--json")
        .arg(&json)
        .output()
        .expect("it runs");
    let text =
        [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned());
    assert!(output.status.success(), "{}", text.concat());

    let results = std::fs::read_to_string(json).expect("results");
    let results: serde_json::Value = serde_json::from_str(&results).expect("JSON");
    let rows = results["rows"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["failures"] == serde_json::json!([])), "{results:#}");
    let ours = rows.iter().filter(|row| row["subject"] == "arcus").count();
    assert_eq!(ours, scenarios.split(',').count());
}

#[test]
#[ignore = "needs root: make test-netns"]
fn a_node_takes_a_few_routes_and_what_it_writes_is_right() {
    let bench = Path::new(env!("CARGO_BIN_EXE_arcus-bench"));
    let agent = bench.with_file_name("arcus-vrouter-agent");
    let output = Command::new(bench)
        .args(["agent", "--runs", "1", "--routes", "3000", "--agent"])
        .arg(&agent)
        .output()
        .expect("it runs");
    let text =
        [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned());
    assert!(output.status.success(), "{}", text.concat());
    // Five steps of each of two ways that routes lead.
    assert_eq!(text[0].lines().count(), 2 + 10, "{}", text[0]);
}
